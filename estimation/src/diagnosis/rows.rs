//! Readings as single numbers: what was measured, what the estimate says, how sure the meter is.

use crate::circuit::{Circuit, FlowPlace, Readings, flow};
use num_complex::Complex64;

/// Which number of a reading a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Voltage magnitude.
    Magnitude,
    /// Voltage or current phasor, along the measured direction.
    Along,
    /// Voltage or current phasor, across it (positive is ahead).
    Across,
    /// Current magnitude.
    Current,
    /// Active power.
    Active,
    /// Reactive power.
    Reactive,
}

/// Which reading a row belongs to: an index into the lists of [`Readings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Into `voltages`.
    Voltage(u32),
    /// Into `injections`.
    Injection(u32),
    /// Into `powers`.
    Power(u32),
    /// Into `currents`.
    Current(u32),
}

/// One number of a reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Of which reading.
    pub reading: Reading,
    /// Which of its numbers.
    pub part: Part,
    /// The caller's sensor.
    pub sensor: u32,
    /// Only expected, not metered.
    pub pseudo: bool,
    /// Measured minus estimated, p.u.
    pub residual: f64,
    /// Variance of the meter, p.u.².
    pub variance: f64,
}

/// The rows of readings in a state (voltage of every wire, p.u.).
///
/// Order, which everybody who speaks of rows by number keeps: voltages (magnitude, or along and across), injections
/// (active, reactive), powers (active, reactive, as far as measured), currents (magnitude, or along and across); within
/// each the order of [`Readings`]. Injections of zero variance are exact and have rows as well.
pub fn rows(circuit: &Circuit, readings: &Readings, voltages: &[Complex64]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(2 * (readings.voltages.len() + readings.injections.len()));
    for (at, reading) in (0_u32..).zip(&readings.voltages) {
        let v = voltages[circuit.wires(reading.bus).start + usize::from(reading.wire)];
        let mut push = |part, residual| {
            rows.push(Row {
                reading: Reading::Voltage(at),
                part,
                sensor: reading.sensor,
                pseudo: false,
                residual,
                variance: reading.variance,
            });
        };
        match reading.angle {
            None => push(Part::Magnitude, reading.magnitude - v.norm()),
            Some(angle) => {
                let seen = v * Complex64::from_polar(1.0, -angle);
                push(Part::Along, reading.magnitude - seen.re);
                push(Part::Across, -seen.im);
            }
        }
    }
    let taken = flow::taken(circuit, voltages);
    for (at, reading) in (0_u32..).zip(&readings.injections) {
        let s = taken[circuit.wires(reading.bus).start + usize::from(reading.wire)];
        let pseudo = readings.first_pseudo.is_some_and(|first| at >= first);
        let off = reading.s - s;
        for (part, residual, variance) in
            [(Part::Active, off.re, reading.variance_p), (Part::Reactive, off.im, reading.variance_q)]
        {
            let reading_at = Reading::Injection(at);
            rows.push(Row { reading: reading_at, part, sensor: reading.sensor, pseudo, residual, variance });
        }
    }
    flows(circuit, readings, voltages, &mut rows);
    rows
}

fn flows(circuit: &Circuit, readings: &Readings, voltages: &[Complex64], rows: &mut Vec<Row>) {
    for (at, reading) in (0_u32..).zip(&readings.powers) {
        let first = circuit.wires(bus_of(circuit, reading.place)).start;
        let s: Complex64 = flow::currents(circuit, reading.place, voltages)
            .into_iter()
            .filter(|(wire, _)| reading.wire.is_none_or(|measured| measured == *wire))
            .map(|(wire, current)| voltages[first + usize::from(wire)] * current.conj())
            .sum();
        let off = reading.s - s;
        for (part, residual, variance) in
            [(Part::Active, off.re, reading.variance_p), (Part::Reactive, off.im, reading.variance_q)]
        {
            let (reading_at, sensor) = (Reading::Power(at), reading.sensor);
            rows.extend(variance.map(|variance| Row {
                reading: reading_at,
                part,
                sensor,
                pseudo: false,
                residual,
                variance,
            }));
        }
    }
    for (at, reading) in (0_u32..).zip(&readings.currents) {
        let currents = flow::currents(circuit, reading.place, voltages);
        let i = currents.iter().find(|(wire, _)| *wire == reading.wire).map_or(Complex64::ZERO, |(_, i)| *i);
        let v = voltages[circuit.wires(bus_of(circuit, reading.place)).start + usize::from(reading.wire)];
        let mut push = |part, residual, variance| {
            let reading_at = Reading::Current(at);
            rows.push(Row {
                reading: reading_at,
                part,
                sensor: reading.sensor,
                pseudo: false,
                residual,
                variance,
            });
        };
        match reading.angle {
            None => push(Part::Current, reading.magnitude - i.norm(), reading.variance),
            Some(angle) => {
                let from = if reading.angle_from_voltage { v.arg() } else { 0.0 };
                let seen = i * Complex64::from_polar(1.0, -angle - from);
                push(Part::Along, reading.magnitude - seen.re, reading.variance);
                push(Part::Across, -seen.im, reading.variance_across);
            }
        }
    }
}

/// The bus where a flow is measured.
pub(super) fn bus_of(circuit: &Circuit, place: FlowPlace) -> u32 {
    match place {
        FlowPlace::SeriesFrom(k) => circuit.series[k as usize].from,
        FlowPlace::SeriesTo(k) => circuit.series[k as usize].to,
        FlowPlace::General { element, terminal } => {
            circuit.general[element as usize].terminals[usize::from(terminal)].0
        }
        FlowPlace::Shunt(k) => circuit.shunts[k as usize].bus,
        FlowPlace::Bus(bus) => bus,
    }
}

/// Wires that take exactly nothing, in rising order: those of live buses without an injection reading that are not free.
pub fn exact_wires(circuit: &Circuit, readings: &Readings) -> Vec<usize> {
    let mut open = vec![false; circuit.wire_count()];
    for bus in (0..).zip(&circuit.buses).filter(|(_, bus)| bus.energized).map(|(at, _)| at) {
        open[circuit.wires(bus)].fill(true);
    }
    for reading in &readings.injections {
        open[circuit.wires(reading.bus).start + usize::from(reading.wire)] = false;
    }
    for wire in &readings.free {
        open[*wire as usize] = false;
    }
    (0..open.len()).filter(|wire| open[*wire]).collect()
}
