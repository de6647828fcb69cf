//! How well an estimate is known, whichever solver found it.

use crate::circuit::{Circuit, Readings};
use crate::diagnosis::{self, Reading};
use crate::gathering::Gathered;
use crate::on_tree;
use crate::smoother::{self, Uncertainty};
use crate::solve::NoSolution;
use crate::sparse::{EstimatedRow, RowOf, Wls};
use num_complex::Complex64;
use std::collections::BTreeMap;

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
    /// residuals tell nothing (critical, or left out). Sensors that were gathered into one reading share its residual.
    pub normalized: Vec<f64>,
}

/// Smallest part of a stated variance that a residual may keep and still tell something.
const CRITICAL: f64 = 1e-6;

/// The largest normalised residual of every sensor.
struct Largest<'a> {
    readings: &'a Readings,
    /// By bus: the sensors behind what it takes.
    behind: BTreeMap<u32, Vec<u32>>,
    normalized: Vec<f64>,
}

impl<'a> Largest<'a> {
    fn new(gathered: &'a Gathered, sensors: usize) -> Self {
        let behind = gathered.behind_injections();
        Self { readings: &gathered.readings, behind, normalized: vec![f64::NAN; sensors] }
    }

    fn note(&mut self, reading: Reading, residual: f64, variance: f64, estimated_std: f64) {
        let left = variance - estimated_std * estimated_std;
        if !(variance.is_finite() && left > CRITICAL * variance) {
            return;
        }
        let value = residual.abs() / left.sqrt();
        let readings = self.readings;
        let one = match reading {
            Reading::Voltage(at) => &[readings.voltages[at as usize].sensor],
            Reading::Power(at) => &[readings.powers[at as usize].sensor],
            Reading::Current(at) => &[readings.currents[at as usize].sensor],
            Reading::Injection(at) => {
                let bus = readings.injections[at as usize].bus;
                self.behind.get(&bus).map_or(&[][..], Vec::as_slice)
            }
        };
        for sensor in one {
            if let Some(slot) = self.normalized.get_mut(*sensor as usize) {
                *slot = if slot.is_nan() { value } else { slot.max(value) };
            }
        }
    }
}

/// From what the smoother knows of an estimate, and what it says determines each wire.
pub(super) fn from_smoother(
    circuit: &Circuit,
    gathered: &Gathered,
    (known, observed): (&Uncertainty, Vec<smoother::Observability>),
    v: &[Complex64],
    sensors: usize,
) -> Judgement {
    let readings = &gathered.readings;
    let mut largest = Largest::new(gathered, sensors);
    let rows = diagnosis::rows(circuit, readings, v);
    for (row, variance) in rows.iter().zip(on_tree::variances(circuit, readings, &rows, known, v)) {
        if row.variance > 0.0 && variance.is_finite() {
            largest.note(row.reading, row.residual, row.variance, variance.sqrt());
        }
    }
    // What nothing determines has no deviation: the number would be that of the smoother's windows.
    let std = |(std, seen): (&f64, &smoother::Observability)| match seen {
        smoother::Observability::Unknown => f64::NAN,
        _ => *std,
    };
    let voltage_std = known.voltages.iter().zip(&observed).map(std).collect();
    let observability = observed.into_iter().map(|one| match one {
        smoother::Observability::Measured => Observability::Measured,
        smoother::Observability::ByPseudoMeasurement => Observability::Pseudo,
        smoother::Observability::Unknown => Observability::None,
    });
    let observability = live(circuit, observability.collect());
    Judgement { voltage_std, observability, normalized: largest.normalized }
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
    gathered: &Gathered,
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
    let mut largest = Largest::new(gathered, sensors);
    for (number, row) in rows.iter().enumerate() {
        let reading = match row.of {
            RowOf::VoltageMagnitude(at) | RowOf::VoltageAngle(at) => Reading::Voltage(at),
            RowOf::InjectionActive(at) | RowOf::InjectionReactive(at) => Reading::Injection(at),
            RowOf::Active(at) | RowOf::Reactive(at) => Reading::Power(at),
            RowOf::Current(at) | RowOf::CurrentAcross(at) => Reading::Current(at),
            RowOf::Nothing(_) | RowOf::Reference(_) => continue,
        };
        if row.variance > 0.0 {
            largest.note(reading, row.residual, row.variance, posterior.estimated_std(number));
        }
    }
    let observability = (0..wires).map(|wire| match (observed.determined[wire], observed.measured[wire]) {
        (false, _) => Observability::None,
        (true, false) => Observability::Pseudo,
        (true, true) => Observability::Measured,
    });
    let observability = live(circuit, observability.collect());
    Ok(Judgement { voltage_std, observability, normalized: largest.normalized })
}
