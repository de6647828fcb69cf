//! Sensors. Powers are turned to load convention: sources, generators and whole buses count as given to the grid in
//! power-grid-model.

use super::columns::{
    Component, sym_current_sensor as current, sym_power_sensor as power, sym_voltage_sensor as voltage,
};
use super::error::ReadError;
use super::row::Row;
use grid::network::TransformerSide;
use grid::{BranchId, BusId, PhaseValue, Sensor, SensorPlace, SensorValue};

type Result<T> = std::result::Result<T, ReadError>;

/// Standard deviations of a power sensor as written: the apparent power's, and those of its parts, which go first.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sigmas {
    pub(super) apparent: f64,
    pub(super) p: [f64; 3],
    pub(super) q: [f64; 3],
}

impl Sigmas {
    pub(super) const NONE: Self = Self { apparent: f64::NAN, p: [f64::NAN; 3], q: [f64::NAN; 3] };

    /// The deviations of active and reactive power, as stated by part, otherwise 1/√2 of the apparent power's each
    /// (power-grid-model, components, "Power sensor concrete types"). When only one part is stated the other is NaN, which
    /// nobody weighs: it is refused when the sensor is read.
    pub(super) fn parts(&self, symmetric: bool) -> (PhaseValue, PhaseValue) {
        let stated = |values: &[f64; 3]| values.iter().any(|value| !value.is_nan());
        if stated(&self.p) || stated(&self.q) {
            return (phase_value(symmetric, self.p), phase_value(symmetric, self.q));
        }
        let both = phase_value(symmetric, [self.apparent / std::f64::consts::SQRT_2; 3]);
        (both, both)
    }
}

pub(super) fn phase_value(symmetric: bool, values: [f64; 3]) -> PhaseValue {
    if symmetric { PhaseValue::Symmetric(values[0]) } else { PhaseValue::PerPhase(values) }
}

/// Whether the component measures one value for all phases.
pub(super) fn symmetric(component: Component) -> bool {
    matches!(component, Component::SymVoltageSensor | Component::SymPowerSensor | Component::SymCurrentSensor)
}

/// An angle, unless one of its phases is missing.
pub(super) fn angle(symmetric: bool, values: [f64; 3]) -> Option<PhaseValue> {
    let needed = if symmetric { 1 } else { 3 };
    values.iter().take(needed).all(|v| !v.is_nan()).then(|| phase_value(symmetric, values))
}

/// A voltage sensor.
pub(super) fn voltage_sensor(row: &Row<'_>) -> Result<Sensor> {
    let symmetric = symmetric(row.component);
    Ok(Sensor {
        id: row.id(),
        place: SensorPlace::Bus(BusId(row.reference(voltage::measured_object)?)),
        value: SensorValue::Voltage {
            u_v: phase_value(symmetric, row.phases(voltage::u_measured)),
            angle_rad: angle(symmetric, row.phases(voltage::u_angle_measured)),
            sigma_v: positive(row, voltage::u_sigma)?,
        },
    })
}

/// A standard deviation: missing, positive or infinite.
fn positive(row: &Row<'_>, column: usize) -> Result<f64> {
    match row.optional(column) {
        Some(sigma) if sigma <= 0.0 => {
            Err(row.wrong(column, format!("is {sigma}, a positive number is needed")))
        }
        sigma => Ok(sigma.unwrap_or(f64::NAN)),
    }
}

/// The same for one deviation per phase.
fn all_positive(row: &Row<'_>, column: usize) -> Result<[f64; 3]> {
    let sigmas = row.phases(column);
    match sigmas.iter().find(|sigma| **sigma <= 0.0) {
        Some(sigma) => Err(row.wrong(column, format!("is {sigma}, a positive number is needed"))),
        None => Ok(sigmas),
    }
}

/// Where a power or current sensor sits, by its `measured_terminal_type`.
fn place(row: &Row<'_>) -> Result<SensorPlace> {
    let object = row.reference(power::measured_object)?;
    let side = |side| SensorPlace::Branch(BranchId(object), side);
    Ok(match row.needed_code(power::measured_terminal_type, 0..=9)? {
        0 | 6 => side(TransformerSide::From),
        1 | 7 => side(TransformerSide::To),
        8 => side(TransformerSide::Third),
        9 => SensorPlace::BusInjection(BusId(object)),
        _ => SensorPlace::Appliance(object),
    })
}

/// A power sensor. power-grid-model does not tell expectations from meters; our attribute `pseudo` (1: a
/// pseudo-measurement) does, at appliances and whole nodes.
pub(super) fn power_sensor(row: &Row<'_>) -> Result<(Sensor, Sigmas)> {
    let symmetric = symmetric(row.component);
    let sigmas = Sigmas {
        apparent: positive(row, power::power_sigma)?,
        p: all_positive(row, power::p_sigma)?,
        q: all_positive(row, power::q_sigma)?,
    };
    let place = place(row)?;
    let sign = sign(row.code(power::measured_terminal_type, 0..=9)?.unwrap_or(0));
    let turned = |column: usize| phase_value(symmetric, row.phases(column).map(|value| sign * value));
    let (p_sigma_w, q_sigma_var) = sigmas.parts(symmetric);
    let pseudo = row.code(power::pseudo, 0..=1)? == Some(1);
    if pseudo && matches!(place, SensorPlace::Branch(..)) {
        return Err(row.wrong(power::pseudo, "is 1: only what appliances and nodes take can be expected"));
    }
    let value = SensorValue::Power {
        p_w: turned(power::p_measured),
        q_var: turned(power::q_measured),
        p_sigma_w,
        q_sigma_var,
        pseudo,
    };
    Ok((Sensor { id: row.id(), place, value }, sigmas))
}

/// −1 where power-grid-model counts what is given to the grid: source (2), generator (5), whole bus (9).
pub(super) fn sign(terminal_type: i8) -> f64 {
    if matches!(terminal_type, 2 | 5 | 9) { -1.0 } else { 1.0 }
}

/// A current sensor.
pub(super) fn current_sensor(row: &Row<'_>) -> Result<Sensor> {
    let symmetric = symmetric(row.component);
    if !matches!(row.needed_code(current::measured_terminal_type, 0..=9)?, 0 | 1 | 6..=8) {
        return Err(row.wrong(current::measured_terminal_type, "is no end of a branch"));
    }
    Ok(Sensor {
        id: row.id(),
        place: place(row)?,
        value: SensorValue::Current {
            i_a: phase_value(symmetric, row.phases(current::i_measured)),
            angle_rad: angle(symmetric, row.phases(current::i_angle_measured)),
            global_angle: row.needed_code(current::angle_measurement_type, 0..=1)? == 1,
            sigma_a: positive(row, current::i_sigma)?,
            sigma_rad: positive(row, current::i_angle_sigma)?,
        },
    })
}
