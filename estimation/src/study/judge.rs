//! How well an estimate is known, whichever solver found it.

use crate::circuit::{Circuit, FlowPlace, Readings, flow};
use crate::smoother::{self, Smoother};
use crate::solve::NoSolution;
use crate::sparse::{EstimatedRow, RowOf, Wls};
use num_complex::Complex64;

/// What determines the voltage of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observability {
    /// Measurements.
    Measured,
    /// Measurements together with pseudo-measurements.
    Pseudo,
    /// Nothing: the value given is a guess.
    None,
}

/// How well an estimate is known.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judgement {
    /// Standard deviation of the voltage magnitude of every wire, p.u.; NaN where it has none.
    pub voltage_std: Vec<f64>,
    /// What determines every wire; nothing for dead ones.
    pub observability: Vec<Option<Observability>>,
    /// The largest residual of every sensor in units of the standard deviation that it should have; NaN for sensors whose
    /// residuals tell nothing (critical, left out, or merged with others).
    pub normalized: Vec<f64>,
}

/// Smallest part of a stated variance that a residual may keep and still tell something.
const CRITICAL: f64 = 1e-6;

fn note(normalized: &mut [f64], sensor: u32, residual: f64, variance: f64, estimated_std: f64) {
    let left = variance - estimated_std * estimated_std;
    let Some(slot) = normalized.get_mut(sensor as usize) else { return };
    if variance.is_finite() && left > CRITICAL * variance {
        let value = residual.abs() / left.sqrt();
        *slot = if slot.is_nan() { value } else { slot.max(value) };
    }
}

pub(super) fn from_tree(
    circuit: &Circuit,
    readings: &Readings,
    smoother: &mut Smoother,
    v: &[Complex64],
    sensors: usize,
) -> Judgement {
    let known = smoother.uncertainty();
    let observed = smoother.observability();
    let mut normalized = vec![f64::NAN; sensors];
    for reading in &readings.voltages {
        let wire = circuit.wires(reading.bus).start + usize::from(reading.wire);
        let residual = reading.magnitude - v[wire].norm();
        note(&mut normalized, reading.sensor, residual, reading.variance, known.voltages[wire]);
    }
    let taken = flow::taken(circuit, v);
    for reading in &readings.injections {
        let wire = circuit.wires(reading.bus).start + usize::from(reading.wire);
        let (residual, std) = (reading.s - taken[wire], known.injections[wire]);
        note(&mut normalized, reading.sensor, residual.re, reading.variance_p, std.0);
        note(&mut normalized, reading.sensor, residual.im, reading.variance_q, std.1);
    }
    let wires = circuit.uniform_wires().unwrap_or(1);
    for reading in &readings.powers {
        let (element, by_wire, total) = match reading.place {
            FlowPlace::SeriesFrom(element) => (element as usize, &known.from, &known.from_total),
            FlowPlace::SeriesTo(element) => (element as usize, &known.to, &known.to_total),
            _ => continue,
        };
        let (std_p, std_q) = match reading.wire {
            Some(wire) => by_wire.get(element * wires + usize::from(wire)).map_or((0.0, 0.0), |d| (d.p, d.q)),
            None => total.get(element).map_or((0.0, 0.0), |d| (d.p, d.q)),
        };
        let first = first_wire(circuit, reading.place);
        let there: Complex64 = flow::currents(circuit, reading.place, v)
            .into_iter()
            .filter(|(wire, _)| reading.wire.is_none_or(|only| only == *wire))
            .map(|(wire, current)| v[first + usize::from(wire)] * current.conj())
            .sum();
        let residual = reading.s - there;
        if let Some(variance) = reading.variance_p {
            note(&mut normalized, reading.sensor, residual.re, variance, std_p);
        }
        if let Some(variance) = reading.variance_q {
            note(&mut normalized, reading.sensor, residual.im, variance, std_q);
        }
    }
    let observability = observed.into_iter().map(|one| match one {
        smoother::Observability::Measured => Observability::Measured,
        smoother::Observability::ByPseudoMeasurement => Observability::Pseudo,
        smoother::Observability::Unknown => Observability::None,
    });
    let observability = live(circuit, observability.collect());
    Judgement { voltage_std: known.voltages, observability, normalized }
}

/// The first wire of the bus at which a flow is measured.
fn first_wire(circuit: &Circuit, place: FlowPlace) -> usize {
    circuit.wires(circuit.bus_at(place)).start
}

/// Nothing for the wires of dead buses.
fn live(circuit: &Circuit, all: Vec<Observability>) -> Vec<Option<Observability>> {
    let mut found: Vec<Option<Observability>> = all.into_iter().map(Some).collect();
    for (bus, _) in circuit.buses.iter().enumerate().filter(|(_, bus)| !bus.energized) {
        for wire in circuit.wires(bus as u32) {
            found[wire] = None;
        }
    }
    found
}

pub(super) fn from_sparse(
    circuit: &Circuit,
    readings: &Readings,
    wls: &mut Wls,
    rows: &[EstimatedRow],
    sensors: usize,
) -> Result<Judgement, NoSolution> {
    let observed = wls.observability()?;
    let posterior = wls.posterior()?;
    let wires = circuit.wire_count();
    let voltage_std = (0..wires)
        .map(|wire| posterior.magnitude_std(wire).filter(|_| observed.determined[wire]).unwrap_or(f64::NAN))
        .collect();
    let mut normalized = vec![f64::NAN; sensors];
    for (number, row) in rows.iter().enumerate() {
        let sensor = match row.of {
            RowOf::VoltageMagnitude(at) | RowOf::VoltageAngle(at) => readings.voltages[at as usize].sensor,
            RowOf::InjectionActive(at) | RowOf::InjectionReactive(at) => {
                readings.injections[at as usize].sensor
            }
            RowOf::Active(at) | RowOf::Reactive(at) => readings.powers[at as usize].sensor,
            RowOf::Current(at) | RowOf::CurrentAcross(at) => readings.currents[at as usize].sensor,
            RowOf::Nothing(_) | RowOf::Reference(_) => continue,
        };
        if row.variance > 0.0 {
            note(&mut normalized, sensor, row.residual, row.variance, posterior.estimated_std(number));
        }
    }
    let observability = (0..wires).map(|wire| match (observed.determined[wire], observed.measured[wire]) {
        (false, _) => Observability::None,
        (true, false) => Observability::Pseudo,
        (true, true) => Observability::Measured,
    });
    let observability = live(circuit, observability.collect());
    Ok(Judgement { voltage_std, observability, normalized })
}
