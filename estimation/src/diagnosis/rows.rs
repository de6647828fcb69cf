//! Readings as single numbers: what was measured, what the estimate says, how sure the meter is.

use crate::circuit::{Circuit, InjectionReading, Readings, flow};
use num_complex::Complex64;

/// Which number of a reading a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Voltage magnitude.
    Magnitude,
    /// Voltage angle, rad; its variance is that of the relative magnitude.
    Angle,
    /// Current phasor, along the measured direction.
    Along,
    /// Current phasor, across it (positive is ahead).
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
/// Order, which everybody who speaks of rows by number keeps: voltages (magnitude, and angle of phasors), injections
/// (active, reactive), powers (active, reactive, as far as measured), currents (magnitude, or along and across); within
/// each the order of [`Readings`]. An injection that says exactly nothing is no reading but an exact wire.
pub fn rows(circuit: &Circuit, readings: &Readings, voltages: &[Complex64]) -> Vec<Row> {
    let mut rows = Vec::with_capacity(2 * (readings.voltages.len() + readings.injections.len()));
    for (at, reading) in (0_u32..).zip(&readings.voltages) {
        let v = voltages[circuit.wires(reading.bus).start + usize::from(reading.wire)];
        let mut push = |part, residual, variance| {
            let (reading, sensor) = (Reading::Voltage(at), reading.sensor);
            rows.push(Row { reading, part, sensor, pseudo: false, residual, variance });
        };
        push(Part::Magnitude, reading.magnitude - v.norm(), reading.variance);
        if let Some(angle) = reading.angle {
            // The short way round.
            let residual = (Complex64::from_polar(1.0, angle) * v.conj()).arg();
            push(Part::Angle, residual, reading.variance_across);
        }
    }
    let taken = flow::taken(circuit, voltages);
    for (at, reading) in (0_u32..).zip(&readings.injections).filter(|(_, reading)| !says_nothing(reading)) {
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
        let first = circuit.wires(circuit.bus_at(reading.place)).start;
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
        let v = voltages[circuit.wires(circuit.bus_at(reading.place)).start + usize::from(reading.wire)];
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

/// An injection that is exactly nothing.
fn says_nothing(reading: &InjectionReading) -> bool {
    reading.s == Complex64::ZERO && reading.variance_p == 0.0 && reading.variance_q == 0.0
}

/// What 1 p.u. of a row is in its SI unit: V to ground (phase to phase when symmetric), A, W or var; 1 for an angle.
pub fn base(circuit: &Circuit, readings: &Readings, row: &Row, symmetric: bool) -> f64 {
    let root = 3.0_f64.sqrt();
    let volts = |bus: u32| circuit.buses[bus as usize].u_base_v;
    match (row.part, row.reading) {
        (Part::Angle, _) => 1.0,
        (_, Reading::Voltage(at)) => {
            volts(readings.voltages[at as usize].bus) * if symmetric { root } else { 1.0 }
        }
        (_, Reading::Injection(_) | Reading::Power(_)) => circuit.s_base_va,
        (_, Reading::Current(at)) => {
            let bus = circuit.bus_at(readings.currents[at as usize].place);
            circuit.s_base_va / volts(bus) / if symmetric { 3.0 } else { 1.0 }
        }
    }
}

/// Wires that take exactly nothing, in rising order: those of live buses without an injection reading that are not free.
pub fn exact_wires(circuit: &Circuit, readings: &Readings) -> Vec<usize> {
    let mut open = vec![false; circuit.wire_count()];
    for bus in (0..).zip(&circuit.buses).filter(|(_, bus)| bus.energized).map(|(at, _)| at) {
        open[circuit.wires(bus)].fill(true);
    }
    for reading in readings.injections.iter().filter(|reading| !says_nothing(reading)) {
        open[circuit.wires(reading.bus).start + usize::from(reading.wire)] = false;
    }
    for wire in &readings.free {
        open[*wire as usize] = false;
    }
    (0..open.len()).filter(|wire| open[*wire]).collect()
}
