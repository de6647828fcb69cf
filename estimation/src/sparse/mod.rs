//! General solvers on any circuit: meshed, several sources, any wires.
//!
//! `ordering`, `symbolic` and `factor` are the sparse LU under everything; `stamp` and `port` turn elements into
//! admittances and loads into currents; `nodal` and `newton` are the power flow. `rows` and `meter` turn readings into
//! functions of the voltages; `flat` is where the estimate starts, `wls` finds it by `whole_steps`, by `damped`
//! ones with `bend` where that is hard, `posterior` says how well it is known, with `flows` for all that is no voltage.

mod bend;
mod damped;
mod factor;
mod fitted;
mod flat;
mod flows;
mod front;
mod meter;
mod newton;
mod nodal;
mod ordering;
mod port;
mod posterior;
mod rows;
mod stamp;
mod symbolic;
mod whole_steps;
mod wls;

#[cfg(test)]
mod dense_oracle;
#[cfg(test)]
mod factor_tests;
#[cfg(test)]
mod newton_tests;
#[cfg(test)]
mod nodal_tests;
#[cfg(test)]
pub(crate) mod test_circuits;
#[cfg(test)]
pub(crate) mod test_readings;
#[cfg(test)]
mod wls_tests;

pub use fitted::{General, Kept};
pub use flows::Flows;
pub use nodal::Nodal;
pub use posterior::{Observability, Posterior};
pub use rows::RowOf;
pub use wls::{Estimated, EstimatedRow, Wls};

use crate::circuit::{Circuit, Readings};
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
    power_flow_on(&mut None, circuit, tolerance, method)
}

/// The same on factorized equations that are there. They are made where there are none or where the impedance shares of
/// ports differ from theirs; whoever changes anything else of the circuit than values of its ports takes them away before.
///
/// # Errors
/// As [`power_flow`].
pub fn power_flow_on(
    equations: &mut Option<Nodal>,
    circuit: &Circuit,
    tolerance: &Tolerance,
    method: Method,
) -> Result<Solved, NoSolution> {
    if method == Method::Linear {
        let nodal = Nodal::for_ports(circuit, &circuit.ports, port::as_impedance)?;
        let voltages = nodal.no_load();
        if let Some(at) = voltages.iter().position(|voltage| !voltage.is_finite()) {
            return Err(NoSolution::NotFinite { bus: nodal.live.bus[at] as usize });
        }
        return Ok(Solved { voltages: nodal.live.spread(&voltages), iterations: 1 });
    }
    let ports = newton::without_held(circuit);
    let nodal = match equations.take().filter(|nodal| nodal.suits(&ports)) {
        Some(nodal) => equations.insert(nodal),
        None => equations.insert(Nodal::for_ports(circuit, &ports, port::impedance_share)?),
    };
    if method == Method::FixedPoint
        && !circuit.held.iter().any(|held| circuit.buses[held.bus as usize].energized)
        && let Outcome::Settled(voltages, iterations) = nodal.iterate(&ports, tolerance)
    {
        return Ok(Solved { voltages: nodal.live.spread(&voltages), iterations });
    }
    let solved = match newton::solve(circuit, nodal, ports.clone(), nodal.no_load(), tolerance) {
        Ok(solved) => solved,
        Err(first) => {
            // Heavily loaded: begin where the loads are already felt.
            let loaded = Nodal::for_ports(circuit, &ports, port::as_impedance)?.no_load();
            newton::solve(circuit, nodal, ports, loaded, tolerance).map_err(|_| first)?
        }
    };
    Ok(Solved { voltages: nodal.live.spread(&solved.0), iterations: solved.1 })
}

/// Estimates any circuit from its readings by weighted least squares; see [`Wls`] for what else can be asked.
///
/// # Errors
/// [`NoSolution`]: not settled within the tolerance's iterations, singular, or not finite.
pub fn estimate(
    circuit: &Circuit,
    readings: &Readings,
    tolerance: &Tolerance,
) -> Result<Estimated, NoSolution> {
    Wls::new(circuit, readings)?.estimate(tolerance)
}
