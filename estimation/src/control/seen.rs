//! What a control sees at a branch: voltages to ground in V and currents into the branch in A, conductor by conductor.

use super::View;
use crate::assembly::BranchPlace;
use crate::circuit::{General, Series};
use grid::BranchId;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Voltages and currents at one terminal.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Seen {
    pub volts: Vec<Complex64>,
    pub amperes: Vec<Complex64>,
}

impl View<'_> {
    /// At a terminal of a branch (0, 1, 2 …); empty when that end is not connected.
    pub(super) fn at(&self, branch: BranchId, terminal: usize) -> Seen {
        match self.assembly.branches.get(&branch) {
            Some(BranchPlace::Series(at)) => {
                self.series(&self.assembly.circuit.series[*at as usize], terminal)
            }
            Some(BranchPlace::General(at, ends)) => match ends.get(terminal).copied().flatten() {
                Some(end) => self.general(&self.assembly.circuit.general[*at as usize], usize::from(end)),
                None => Seen::default(),
            },
            _ => Seen::default(),
        }
    }

    fn voltage(&self, bus: u32, local: u8) -> Complex64 {
        self.assembly.circuit.wire(bus, local).map_or(Complex64::ZERO, |wire| self.voltages[wire])
    }

    fn in_units(&self, bus: u32, voltages: Vec<Complex64>, currents: Vec<Complex64>) -> Seen {
        let circuit = &self.assembly.circuit;
        let u_base = circuit.buses[bus as usize].u_base_v;
        let i_base = circuit.s_base_va / u_base;
        Seen {
            volts: voltages.into_iter().map(|voltage| voltage * u_base).collect(),
            amperes: currents.into_iter().map(|current| current * i_base).collect(),
        }
    }

    fn general(&self, element: &General, terminal: usize) -> Seen {
        let of = |(bus, wires): &(u32, Vec<u8>)| -> Vec<Complex64> {
            wires.iter().map(|&local| self.voltage(*bus, local)).collect()
        };
        let all: Vec<Complex64> = element.terminals.iter().flat_map(of).collect();
        let first: usize = element.terminals[..terminal].iter().map(|(_, wires)| wires.len()).sum();
        let (bus, wires) = &element.terminals[terminal];
        let currents = (first..first + wires.len())
            .map(|row| all.iter().enumerate().map(|(column, v)| element.y[(row, column)] * v).sum())
            .collect();
        self.in_units(*bus, of(&element.terminals[terminal]), currents)
    }

    fn series(&self, element: &Series, terminal: usize) -> Seen {
        let wires = self.assembly.circuit.wires(element.from).len();
        let of = |bus: u32| DVector::from_fn(wires, |wire, _| self.voltage(bus, wire as u8));
        let (from, to) = (of(element.from), of(element.to));
        let unit = DMatrix::identity(wires, wires);
        let ratio = element.ratio.as_deref().unwrap_or(&unit);
        let drop = ratio * &from - &to;
        let z = element.z.to_matrix(wires);
        let through = z.lu().solve(&drop).unwrap_or_else(|| DVector::zeros(wires));
        let (bus, voltages, currents) = if terminal == 0 {
            let shunt = element.y_from.to_matrix(wires) * &from;
            (element.from, from, ratio.adjoint() * through + shunt)
        } else {
            let shunt = element.y_to.to_matrix(wires) * &to;
            (element.to, to, shunt - through)
        };
        self.in_units(bus, voltages.iter().copied().collect(), currents.iter().copied().collect())
    }
}
