//! What every solver of a circuit promises: options in, voltages out, or the reason why not.

use num_complex::Complex64;
use thiserror::Error;

/// How to solve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Largest change of any voltage in the last step, p.u.
    pub voltage_pu: f64,
    /// Most iterations.
    pub iterations_max: usize,
}

impl Default for Tolerance {
    /// 1e-8 p.u., 100 iterations.
    fn default() -> Self {
        Self { voltage_pu: 1e-8, iterations_max: 100 }
    }
}

/// How many times the largest no-load voltage, or the largest voltage measured where that is more than nominal.
const PLAUSIBLE_TIMES: f64 = 2.0;

/// The largest voltage that is believed of an estimate, p.u.; `no_load` is the largest one without any load, `measured`
/// the largest one measured.
pub(crate) fn voltage_max(no_load: f64, measured: f64) -> f64 {
    PLAUSIBLE_TIMES * no_load.max(1.0) * measured.max(1.0)
}

/// A solved circuit.
#[derive(Debug, Clone, PartialEq)]
pub struct Solved {
    /// Voltage of every wire, p.u., by global wire number; zero on dead buses.
    pub voltages: Vec<Complex64>,
    /// Iterations taken.
    pub iterations: usize,
}

/// Why there is no solution.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum NoSolution {
    /// The iteration did not settle.
    #[error(
        "not settled after {iterations} iterations: the last step still moved a voltage by {step_pu:.1e} p.u. (bus position {bus})"
    )]
    NotSettled {
        /// Taken.
        iterations: usize,
        /// Largest change in the last, p.u.
        step_pu: f64,
        /// Position of the bus where it happened.
        bus: usize,
    },
    /// The equations are singular: something floats, or nothing is known about it.
    #[error("the equations are singular at bus position {bus}: its voltage is not determined")]
    Singular {
        /// Position of a bus that is part of it.
        bus: usize,
    },
    /// The equations hold, but far from any grid.
    #[error(
        "no solution near a grid's voltages: the iteration settled at {voltage_pu:.1e} p.u. (bus position {bus}), {max_pu:.1} p.u. is the most that is believed"
    )]
    Implausible {
        /// Position of the bus.
        bus: usize,
        /// Its voltage, p.u.
        voltage_pu: f64,
        /// The largest that is believed, p.u.
        max_pu: f64,
    },
    /// A value that is no number turned up: voltage collapse, or absurd input.
    #[error("no solution: the voltage at bus position {bus} is not finite")]
    NotFinite {
        /// Position of the bus.
        bus: usize,
    },
}
