//! From readings to meters: which rows there are, and what each looks at.

use super::meter::{Kind, Meters, NO_ROW, Wish};
use super::stamp::{self, EARTH, Live, Stamp};
use crate::circuit::{Circuit, CurrentReading, FlowPlace, GROUND, PowerReading, Readings, VoltageReading};
use crate::solve::NoSolution;
use num_complex::Complex64;

/// What a row measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOf {
    /// Magnitude of a voltage reading (its index).
    VoltageMagnitude(u32),
    /// Angle of a voltage reading.
    VoltageAngle(u32),
    /// Active power of an injection reading.
    InjectionActive(u32),
    /// Reactive power of an injection reading.
    InjectionReactive(u32),
    /// Active power of a power reading.
    Active(u32),
    /// Reactive power of a power reading.
    Reactive(u32),
    /// Magnitude of a current reading, or its part along the measured angle.
    Current(u32),
    /// Part of a current reading across the measured angle.
    CurrentAcross(u32),
    /// Real or imaginary part of the current at a wire (global number) that takes nothing.
    Nothing(u32),
    /// Angle of a wire (global number) that stands for the reference.
    Reference(u32),
}

/// Meters with the names of their rows.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) meters: Meters,
    pub(super) names: Vec<RowOf>,
    /// Meters from injections that are pseudo-measurements only.
    pub(super) pseudo: Vec<u32>,
}

pub(super) type Terms = Vec<(u32, Complex64)>;

/// Currents of all elements as terms.
#[derive(Debug)]
pub(super) struct Currents {
    series: Vec<Option<Stamp>>,
    general: Vec<Option<Stamp>>,
    shunts: Vec<Option<Stamp>>,
    /// Unknown → current into branches, and into branches and shunts.
    branches: Vec<Terms>,
    pub(super) all: Vec<Terms>,
}

impl Currents {
    pub(super) fn new(circuit: &Circuit, live: &Live) -> Result<Self, NoSolution> {
        let mut series = Vec::with_capacity(circuit.series.len());
        for element in &circuit.series {
            series.push(stamp::series(circuit, live, element).map_err(|bus| NoSolution::Singular { bus })?);
        }
        let general: Vec<_> = (0..circuit.general.len()).map(|k| stamp::general(circuit, live, k)).collect();
        let shunts: Vec<_> =
            circuit.shunts.iter().map(|shunt| stamp::at_bus(circuit, live, shunt.bus, &shunt.y)).collect();
        let mut branches: Vec<Terms> = vec![Vec::new(); live.len()];
        for stamp in series.iter().chain(&general).flatten() {
            collect(stamp, &mut branches);
        }
        branches.iter_mut().for_each(merge);
        let mut all = branches.clone();
        for stamp in shunts.iter().flatten() {
            collect(stamp, &mut all);
        }
        all.iter_mut().for_each(merge);
        Ok(Self { series, general, shunts, branches, all })
    }

    /// The wires a flow is measured at: (local wire, unknown of its voltage, terms of the current).
    pub(super) fn at(&self, circuit: &Circuit, live: &Live, place: FlowPlace) -> Vec<(u8, u32, Terms)> {
        let stamp = |stamp: Option<&Option<Stamp>>, first: usize, bus: u32, locals: &[u8]| {
            let Some(Some(stamp)) = stamp else { return Vec::new() };
            let each = locals.iter().enumerate().filter(|(_, local)| **local != GROUND);
            each.map(|(k, &local)| (local, live.at(circuit, bus, local), stamp.row(first + k).collect()))
                .filter(|(_, wire, _)| *wire != EARTH)
                .collect()
        };
        let whole = |bus: u32| -> Vec<u8> { (0..circuit.buses[bus as usize].wires).collect() };
        match place {
            FlowPlace::SeriesFrom(k) | FlowPlace::SeriesTo(k) => {
                let Some(element) = circuit.series.get(k as usize) else { return Vec::new() };
                let from = matches!(place, FlowPlace::SeriesFrom(_));
                let bus = if from { element.from } else { element.to };
                let locals = whole(bus);
                let first = if from { 0 } else { locals.len() };
                stamp(self.series.get(k as usize), first, bus, &locals)
            }
            FlowPlace::General { element, terminal } => {
                let Some(terminals) = circuit.general.get(element as usize).map(|e| &e.terminals) else {
                    return Vec::new();
                };
                let terminal = usize::from(terminal);
                let first = terminals.iter().take(terminal).map(|(_, wires)| wires.len()).sum();
                let Some((bus, locals)) = terminals.get(terminal) else { return Vec::new() };
                stamp(self.general.get(element as usize), first, *bus, locals)
            }
            FlowPlace::Shunt(k) => {
                let Some(shunt) = circuit.shunts.get(k as usize) else { return Vec::new() };
                stamp(self.shunts.get(k as usize), 0, shunt.bus, &whole(shunt.bus))
            }
            FlowPlace::Bus(bus) => {
                let each = whole(bus).into_iter().map(|local| (local, live.at(circuit, bus, local)));
                each.filter(|(_, wire)| *wire != EARTH)
                    .map(|(local, wire)| (local, wire, negative(&self.branches[wire as usize])))
                    .collect()
            }
        }
    }
}

impl Rows {
    /// All meters of `readings` and the wires that take nothing.
    pub(super) fn new(circuit: &Circuit, live: &Live, readings: &Readings) -> Result<Self, NoSolution> {
        let currents = Currents::new(circuit, live)?;
        let mut rows = Self::default();
        for (index, reading) in (0..).zip(&readings.voltages) {
            rows.voltage(circuit, live, index, reading);
        }
        rows.injections(circuit, live, readings, &currents);
        for (index, reading) in (0..).zip(&readings.powers) {
            rows.power(currents.at(circuit, live, reading.place), index, reading);
        }
        for (index, reading) in (0..).zip(&readings.currents) {
            rows.current(currents.at(circuit, live, reading.place), index, reading);
        }
        Ok(rows)
    }

    fn add(&mut self, wish: Wish, names: [RowOf; 2]) {
        let rows = self.meters.add(wish);
        for (row, name) in rows.into_iter().zip(names) {
            if row != NO_ROW {
                self.names.push(name);
            }
        }
    }

    fn voltage(&mut self, circuit: &Circuit, live: &Live, index: u32, reading: &VoltageReading) {
        let wire = live.at(circuit, reading.bus, reading.wire);
        if wire == EARTH {
            return;
        }
        let variances = [said(reading.variance), reading.angle.and_then(|_| said(reading.variance_across))];
        let target = Complex64::new(reading.magnitude, reading.angle.unwrap_or(0.0));
        let wish = Wish { kind: Kind::Voltage, parts: vec![(wire, Vec::new())], target, variances };
        self.add(wish, [RowOf::VoltageMagnitude(index), RowOf::VoltageAngle(index)]);
    }

    /// The angle of a wire, as reference.
    pub(super) fn reference(&mut self, live: &Live, wire: u32, angle: f64, variance: f64) {
        let wish = Wish {
            kind: Kind::Voltage,
            parts: vec![(wire, Vec::new())],
            target: Complex64::new(0.0, angle),
            variances: [None, Some(variance)],
        };
        let name = RowOf::Reference(live.wire[wire as usize]);
        self.add(wish, [name, name]);
    }

    /// Takes over values and variances of the same readings; false when they are not the same.
    pub(super) fn set_values(&mut self, readings: &Readings) -> bool {
        let Meters { meters, variance, .. } = &mut self.meters;
        for meter in meters {
            for part in 0..2 {
                let row = meter.rows[part];
                if row == NO_ROW {
                    continue;
                }
                let name = self.names[row as usize];
                let Some(now) = value_of(name, readings) else { return false };
                let Some((value, stated)) = now else { continue };
                let Some(stated) = said(stated) else { return false };
                // What is exactly nothing is another kind of row.
                if (stated == 0.0) != (variance[row as usize] == 0.0) {
                    return false;
                }
                variance[row as usize] = stated;
                if part == 0 {
                    meter.target.re = value
                } else {
                    meter.target.im = value
                }
                if let (RowOf::Current(index), Kind::CurrentPhasor { back, .. }) = (name, &mut meter.kind) {
                    let angle = readings.currents[index as usize].angle.unwrap_or(0.0);
                    *back = Complex64::from_polar(1.0, -angle);
                }
            }
        }
        true
    }

    fn injections(&mut self, circuit: &Circuit, live: &Live, readings: &Readings, currents: &Currents) {
        let mut open = vec![true; live.len()];
        for &wire in &readings.free {
            if let Some(&unknown) = live.unknown.get(wire as usize).filter(|unknown| **unknown != EARTH) {
                open[unknown as usize] = false;
            }
        }
        for (index, reading) in (0..).zip(&readings.injections) {
            let wire = live.at(circuit, reading.bus, reading.wire);
            let exactly_nothing =
                reading.s == Complex64::ZERO && reading.variance_p == 0.0 && reading.variance_q == 0.0;
            if wire == EARTH || exactly_nothing {
                continue;
            }
            open[wire as usize] = false;
            let terms = negative(&currents.all[wire as usize]);
            let wish = Wish {
                kind: Kind::Power,
                parts: vec![(wire, terms)],
                target: reading.s,
                variances: [said(reading.variance_p), said(reading.variance_q)],
            };
            if readings.first_pseudo.is_some_and(|first| index >= first) {
                self.pseudo.push(self.meters.meters.len() as u32);
            }
            self.add(wish, [RowOf::InjectionActive(index), RowOf::InjectionReactive(index)]);
        }
        for wire in (0..live.len()).filter(|&wire| open[wire]) {
            let parts = vec![(wire as u32, negative(&currents.all[wire]))];
            let variances = [Some(0.0), Some(0.0)];
            let wish = Wish { kind: Kind::Balance, parts, target: Complex64::ZERO, variances };
            self.add(wish, [RowOf::Nothing(live.wire[wire]); 2]);
        }
    }

    fn power(&mut self, places: Vec<(u8, u32, Terms)>, index: u32, reading: &PowerReading) {
        let parts: Vec<(u32, Terms)> = places
            .into_iter()
            .filter(|(local, ..)| reading.wire.is_none_or(|wire| wire == *local))
            .map(|(_, wire, terms)| (wire, terms))
            .collect();
        if parts.is_empty() {
            return;
        }
        let variances = [reading.variance_p.and_then(said), reading.variance_q.and_then(said)];
        let wish = Wish { kind: Kind::Power, parts, target: reading.s, variances };
        self.add(wish, [RowOf::Active(index), RowOf::Reactive(index)]);
    }

    fn current(&mut self, places: Vec<(u8, u32, Terms)>, index: u32, reading: &CurrentReading) {
        let Some((_, wire, terms)) = places.into_iter().find(|(local, ..)| *local == reading.wire) else {
            return;
        };
        let (kind, across) = match reading.angle {
            None => (Kind::CurrentMagnitude, None),
            Some(angle) => {
                let back = Complex64::from_polar(1.0, -angle);
                let kind = Kind::CurrentPhasor { back, from_voltage: reading.angle_from_voltage };
                (kind, said(reading.variance_across))
            }
        };
        let target = Complex64::new(reading.magnitude, 0.0);
        let wish =
            Wish { kind, parts: vec![(wire, terms)], target, variances: [said(reading.variance), across] };
        self.add(wish, [RowOf::Current(index), RowOf::CurrentAcross(index)]);
    }
}

/// Value and variance of a row in other readings: nothing when there is no such reading, nothing inside when the row
/// does not come from one.
fn value_of(name: RowOf, readings: &Readings) -> Option<Option<(f64, f64)>> {
    let at = |index: u32| index as usize;
    Some(Some(match name {
        RowOf::VoltageMagnitude(k) => {
            let reading = readings.voltages.get(at(k))?;
            (reading.magnitude, reading.variance)
        }
        RowOf::VoltageAngle(k) => {
            let reading = readings.voltages.get(at(k))?;
            (reading.angle?, reading.variance_across)
        }
        RowOf::InjectionActive(k) => {
            let reading = readings.injections.get(at(k))?;
            (reading.s.re, reading.variance_p)
        }
        RowOf::InjectionReactive(k) => {
            let reading = readings.injections.get(at(k))?;
            (reading.s.im, reading.variance_q)
        }
        RowOf::Active(k) => {
            let reading = readings.powers.get(at(k))?;
            (reading.s.re, reading.variance_p?)
        }
        RowOf::Reactive(k) => {
            let reading = readings.powers.get(at(k))?;
            (reading.s.im, reading.variance_q?)
        }
        RowOf::Current(k) => {
            let reading = readings.currents.get(at(k))?;
            (reading.magnitude, reading.variance)
        }
        RowOf::CurrentAcross(k) => {
            let reading = readings.currents.get(at(k))?;
            reading.angle?;
            (0.0, reading.variance_across)
        }
        RowOf::Nothing(_) | RowOf::Reference(_) => return Some(None),
    }))
}

/// A variance that says something: an infinite one does not.
fn said(variance: f64) -> Option<f64> {
    (variance.is_finite() && variance >= 0.0).then_some(variance)
}

pub(super) fn negative(terms: &Terms) -> Terms {
    terms.iter().map(|&(wire, y)| (wire, -y)).collect()
}

fn collect(stamp: &Stamp, to: &mut [Terms]) {
    for (row, &wire) in stamp.wires.iter().enumerate().filter(|(_, wire)| **wire != EARTH) {
        to[wire as usize].extend(stamp.row(row));
    }
}

/// Adds up terms of the same wire.
fn merge(terms: &mut Terms) {
    terms.sort_by_key(|term| term.0);
    terms.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}
