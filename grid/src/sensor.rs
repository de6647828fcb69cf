//! Sensors of a study: what a meter says of a voltage, a power or a current, with its standard deviation. Attributes
//! follow power-grid-model's sensors. (Live telemetry is `crate::telemetry`.)

use crate::id::{BranchId, BusId};
use crate::network::TransformerSide;

/// A value for the positive sequence or the sum of phases, or one per phase. NaN marks a phase without a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PhaseValue {
    /// One for all: the phase-to-phase voltage, the total power, the phase current.
    Symmetric(f64),
    /// Per phase: phase-to-neutral voltage, power of the phase, current of the phase.
    PerPhase([f64; 3]),
}

/// Where a sensor sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SensorPlace {
    /// At a bus (voltages).
    Bus(BusId),
    /// Between a bus and all its appliances together: power taken from the bus.
    BusInjection(BusId),
    /// At a load, generator, source or shunt, by the appliance's number: power taken from the bus.
    Appliance(u32),
    /// At one side of a branch: flow entering the branch.
    Branch(BranchId, TransformerSide),
}

/// What a sensor says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SensorValue {
    /// A voltage.
    Voltage {
        /// Magnitude, V (phase to phase when symmetric, phase to neutral per phase).
        u_v: PhaseValue,
        /// Angle, rad, of a phasor measurement.
        angle_rad: Option<PhaseValue>,
        /// Standard deviation of the magnitude, V, in the same convention.
        sigma_v: f64,
    },
    /// A power, load convention at appliances, entering at branches.
    Power {
        /// Active power, W.
        p_w: PhaseValue,
        /// Reactive power, var.
        q_var: PhaseValue,
        /// Standard deviation of the active power, W (total when symmetric; per phase otherwise).
        p_sigma_w: PhaseValue,
        /// Standard deviation of the reactive power, var.
        q_sigma_var: PhaseValue,
        /// Whether it is a pseudo-measurement: an expectation, no meter.
        pseudo: bool,
    },
    /// A current phasor.
    Current {
        /// Magnitude, A.
        i_a: PhaseValue,
        /// Angle, rad; `None`: only the magnitude is known.
        angle_rad: Option<PhaseValue>,
        /// Whether the angle is absolute; otherwise it says how far the current lags the voltage of the same phase
        /// (power-grid-model's `local_angle`).
        global_angle: bool,
        /// Standard deviation of the magnitude, A.
        sigma_a: f64,
        /// Standard deviation of the angle, rad.
        sigma_rad: f64,
    },
}

/// One sensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sensor {
    /// Its number, unique in its file.
    pub id: u32,
    /// Where.
    pub place: SensorPlace,
    /// What.
    pub value: SensorValue,
}
