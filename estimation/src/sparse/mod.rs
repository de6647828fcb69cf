//! General solvers on any circuit: meshed, several sources, any wires.
//!
//! `ordering`, `symbolic` and `factor` are the sparse LU under everything; `stamp` and `port` turn elements into
//! admittances and loads into currents; `nodal` and `newton` are the power flow.

mod factor;
mod nodal;
mod ordering;
mod port;
mod stamp;
mod symbolic;

#[cfg(test)]
mod factor_tests;
#[cfg(test)]
mod nodal_tests;
#[cfg(test)]
mod test_circuits;

pub use nodal::Nodal;

use crate::circuit::Circuit;
use crate::solve::{NoSolution, Solved, Tolerance};
use nodal::Outcome;

/// Which way to solve a power flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Fixed point on the nodal admittance; Newton–Raphson when it does not contract or a bus holds its voltage.
    #[default]
    FixedPoint,
    /// Newton–Raphson.
    Newton,
    /// One linear solve with every load as the impedance that takes its power at nominal voltage.
    Linear,
}

/// Solves the power flow of any circuit.
///
/// # Errors
/// [`NoSolution`]: not settled within the tolerance's iterations, singular, or not finite.
pub fn power_flow(circuit: &Circuit, tolerance: &Tolerance, method: Method) -> Result<Solved, NoSolution> {
    if method == Method::Linear {
        let nodal = Nodal::with(circuit, port::as_impedance)?;
        let voltages = nodal.no_load();
        if let Some(at) = voltages.iter().position(|voltage| !voltage.is_finite()) {
            return Err(NoSolution::NotFinite { bus: nodal.live.bus[at] as usize });
        }
        return Ok(Solved { voltages: nodal.live.spread(&voltages), iterations: 1 });
    }
    let nodal = Nodal::new(circuit)?;
    if method == Method::FixedPoint
        && circuit.held.is_empty()
        && let Outcome::Settled(voltages, iterations) = nodal.iterate(&circuit.ports, tolerance)
    {
        return Ok(Solved { voltages: nodal.live.spread(&voltages), iterations });
    }
    Err(NoSolution::NotSettled { iterations: tolerance.iterations_max, step_pu: f64::NAN, bus: 0 })
}
