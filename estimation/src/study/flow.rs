//! Power flow of a network, once or for many sets of loads.

use super::Solver;
use crate::assembly::{Assembly, AssemblyError};
use crate::circuit::{Circuit, Tree};
use crate::control::{NotAtRest, settle};
use crate::solve::{NoSolution, Solved, Tolerance};
use crate::sparse;
use crate::sweep::{Sweep, SweepState};
use grid::Network;
use num_complex::Complex64;
use thiserror::Error;

/// How to solve a power flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowMethod {
    /// Whatever fits: the sweep on a tree, the sparse fixed point otherwise, Newton–Raphson where that does not
    /// contract.
    #[default]
    Auto,
    /// The sparse fixed point (power-grid-model's `iterative_current`).
    FixedPoint,
    /// Newton–Raphson.
    Newton,
    /// One linear solve with loads as impedances (power-grid-model's `linear`, `linear_current`).
    Linear,
}

/// Why there is no power flow.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FlowError {
    /// The network has no equations.
    #[error(transparent)]
    Assembly(#[from] AssemblyError),
    /// The equations have no solution, or none was found.
    #[error(transparent)]
    NoSolution(#[from] NoSolution),
}

/// A solved power flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Voltages and iterations.
    pub solved: Solved,
    /// Which solver it was.
    pub solver: Solver,
}

/// A network prepared for power flows with changing loads.
#[derive(Debug)]
pub struct FlowStudy {
    assembly: Assembly,
    method: FlowMethod,
    tree: Option<(Sweep, SweepState)>,
    /// The factorized equations of a circuit that is no tree, until something else than values of loads changes.
    equations: Option<sparse::Nodal>,
}

impl FlowStudy {
    /// Assembles the network and chooses the solver.
    ///
    /// # Errors
    /// [`FlowError::Assembly`] when a component has no model in this calculation.
    pub fn new(network: &Network, symmetric: bool, method: FlowMethod) -> Result<Self, FlowError> {
        let mut study =
            Self { assembly: Assembly::new(network, symmetric)?, method, tree: None, equations: None };
        study.prepare();
        Ok(study)
    }

    fn prepare(&mut self) {
        let circuit = &self.assembly.circuit;
        (self.tree, self.equations) = (None, None);
        if self.method == FlowMethod::Auto
            && let Ok(tree) = Tree::new(circuit)
            && let Ok(sweep) = Sweep::new(circuit, &tree)
        {
            let state = sweep.state(&circuit.ports);
            self.tree = Some((sweep, state));
        }
    }

    /// The equations.
    pub fn assembly(&self) -> &Assembly {
        &self.assembly
    }

    /// Changes the equations in place (taps, sources); what was prepared for them is made anew.
    ///
    /// # Errors
    /// Whatever the change says.
    pub fn change(
        &mut self,
        change: impl FnOnce(&mut Assembly) -> Result<(), AssemblyError>,
    ) -> Result<(), AssemblyError> {
        let outcome = change(&mut self.assembly);
        self.prepare();
        outcome
    }

    /// Takes over the powers of loads that were changed in the network, keeping everything else.
    ///
    /// # Errors
    /// [`AssemblyError::Topology`] when a load was switched in or has other branches than before.
    pub fn set_loads(&mut self, network: &Network) -> Result<(), AssemblyError> {
        for load in network.loads() {
            self.assembly.replace_load(load)?;
        }
        if let Some((sweep, state)) = &mut self.tree {
            sweep.set_ports(state, &self.assembly.circuit.ports);
        }
        Ok(())
    }

    /// Solves with the controls of an OpenDSS model until they rest; taps and switches stay where they end.
    ///
    /// # Errors
    /// [`NotAtRest`] says which control or which power flow stands against it.
    pub fn settle_controls(
        &mut self,
        network: &Network,
        rounds_max: usize,
        tolerance: &Tolerance,
    ) -> Result<Flow, NotAtRest> {
        let mut solve =
            |circuit: &Circuit| sparse::power_flow(circuit, tolerance, sparse::Method::FixedPoint);
        let settled = settle(network, &mut self.assembly, rounds_max, &mut solve);
        self.prepare();
        Ok(Flow { solved: settled?.solved, solver: Solver::Sparse })
    }

    /// Solves from a flat start.
    ///
    /// # Errors
    /// [`NoSolution`] when nothing converges within the tolerance.
    pub fn solve(&mut self, tolerance: &Tolerance) -> Result<Flow, NoSolution> {
        if !self.assembly.circuit.buses.iter().any(|bus| bus.energized) {
            let voltages = vec![Complex64::ZERO; self.assembly.circuit.wire_count()];
            return Ok(Flow { solved: Solved { voltages, iterations: 0 }, solver: Solver::Sparse });
        }
        // A sweep that does not contract is no answer: the sparse solver may still find one.
        if let Some((sweep, state)) = &mut self.tree
            && let Ok(solved) = sweep.solve(state, tolerance)
        {
            return Ok(Flow { solved, solver: Solver::Sweep });
        }
        let method = match self.method {
            FlowMethod::Auto | FlowMethod::FixedPoint => sparse::Method::FixedPoint,
            FlowMethod::Newton => sparse::Method::Newton,
            FlowMethod::Linear => sparse::Method::Linear,
        };
        let solved = sparse::power_flow_on(&mut self.equations, &self.assembly.circuit, tolerance, method)?;
        Ok(Flow { solved, solver: Solver::Sparse })
    }
}
