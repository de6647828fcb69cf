//! From voltages back to volts, amperes and watts: what every bus, branch and appliance of a network says.
//!
//! Numbers mean what power-grid-model's output attributes of the same name mean (documentation, "Components"): powers
//! enter a branch; loads and shunts take, generators and sources deliver; a symmetric calculation has phase-to-phase
//! voltages, phase currents and the power of all phases, an asymmetric one phase-to-ground voltages and values per
//! conductor. Components stand in the order of the network.

mod appliance;
mod branch;
mod bus;

pub use appliance::ApplianceResult;
pub use branch::{BranchResult, EndResult};
pub use bus::{BusResult, WireVoltage};

use crate::assembly::Assembly;
use crate::circuit::flow::{self, PerWire};
use grid::Network;
use num_complex::Complex64;

/// What flows in one conductor.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WireFlow {
    /// Active power, W.
    pub p_w: f64,
    /// Reactive power, var.
    pub q_var: f64,
    /// Current phasor, A, in the direction of the power.
    pub i_a: Complex64,
}

impl WireFlow {
    /// Of a current at a voltage, p.u.
    pub(crate) fn new(v: Complex64, i: Complex64, (s_base_va, i_base_a): (f64, f64)) -> Self {
        let s = v * i.conj() * s_base_va;
        Self { p_w: s.re, q_var: s.im, i_a: i * i_base_a }
    }

    /// Apparent power, VA.
    pub fn s_va(&self) -> f64 {
        self.p_w.hypot(self.q_var)
    }

    /// Active over apparent power; zero where nothing flows.
    pub fn power_factor(&self) -> f64 {
        if self.s_va() < 1e-8 { 0.0 } else { self.p_w / self.s_va() }
    }
}

/// Everything a network says at given voltages; each list in the order of the network's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Results {
    /// Whether it is a symmetric calculation.
    pub symmetric: bool,
    /// Buses.
    pub buses: Vec<BusResult>,
    /// Lines.
    pub lines: Vec<BranchResult>,
    /// Two-winding transformers.
    pub transformers: Vec<BranchResult>,
    /// Lines given by matrices.
    pub coupled_lines: Vec<BranchResult>,
    /// Links.
    pub links: Vec<BranchResult>,
    /// π-models.
    pub generic_branches: Vec<BranchResult>,
    /// Three-winding transformers: three ends.
    pub three_winding_transformers: Vec<BranchResult>,
    /// Transformers given winding by winding: an end per winding.
    pub winding_transformers: Vec<BranchResult>,
    /// Sources, delivered.
    pub sources: Vec<ApplianceResult>,
    /// Loads, taken; generators, delivered.
    pub loads: Vec<ApplianceResult>,
    /// Usage points, taken.
    pub usage_points: Vec<ApplianceResult>,
    /// Shunts, taken.
    pub shunts: Vec<ApplianceResult>,
    /// Capacitors, taken (what they deliver is negative reactive power).
    pub capacitors: Vec<ApplianceResult>,
}

/// Currents of all elements, p.u., and what they leave over at each wire.
struct Currents {
    series: Vec<(PerWire, PerWire)>,
    general: Vec<Vec<Complex64>>,
    shunts: Vec<PerWire>,
    /// Sum of all that enters elements and shunts, per wire: what appliances inject.
    injected: Vec<Complex64>,
}

/// What the parts of this module share.
struct View<'a> {
    assembly: &'a Assembly,
    voltages: &'a [Complex64],
    currents: Currents,
}

impl Results {
    /// All results at the voltages (p.u., by global wire number; what a solver returns).
    pub fn new(network: &Network, assembly: &Assembly, voltages: &[Complex64]) -> Self {
        let view = View { assembly, voltages, currents: Currents::new(assembly, voltages) };
        let mut results =
            Self { symmetric: assembly.symmetric, buses: bus::buses(&view, network), ..Self::default() };
        branch::fill(&view, network, &mut results);
        appliance::fill(&view, network, &mut results);
        results
    }
}

impl Currents {
    fn new(assembly: &Assembly, v: &[Complex64]) -> Self {
        let circuit = &assembly.circuit;
        let series: Vec<_> = circuit.series.iter().map(|element| flow::series(circuit, element, v)).collect();
        let general: Vec<_> =
            circuit.general.iter().map(|element| flow::general(circuit, element, v)).collect();
        let shunts: Vec<_> =
            circuit.shunts.iter().map(|shunt| flow::times(&shunt.y, &v[circuit.wires(shunt.bus)])).collect();
        let mut injected = vec![Complex64::ZERO; v.len()];
        let mut add = |bus: u32, currents: &[Complex64]| {
            for (wire, current) in circuit.wires(bus).zip(currents) {
                injected[wire] += current;
            }
        };
        for (element, (from, to)) in circuit.series.iter().zip(&series) {
            add(element.from, from);
            add(element.to, to);
        }
        for (shunt, currents) in circuit.shunts.iter().zip(&shunts) {
            add(shunt.bus, currents);
        }
        for (element, currents) in circuit.general.iter().zip(&general) {
            let wires = element.terminals.iter().flat_map(|(bus, wires)| wires.iter().map(|w| (*bus, *w)));
            for ((bus, wire), current) in wires.zip(currents) {
                if let Some(wire) = circuit.wire(bus, wire) {
                    injected[wire] += current;
                }
            }
        }
        Self { series, general, shunts, injected }
    }
}

impl View<'_> {
    /// Base current of a wire, A.
    fn i_base_a(&self, bus: u32) -> f64 {
        let circuit = &self.assembly.circuit;
        let phases = if self.assembly.symmetric { 3.0 } else { 1.0 };
        circuit.s_base_va / (phases * circuit.buses[bus as usize].u_base_v)
    }

    /// A per-unit current at a voltage, p.u., as a flow.
    fn flow(&self, bus: u32, v: Complex64, i: Complex64) -> WireFlow {
        WireFlow::new(v, i, (self.assembly.circuit.s_base_va, self.i_base_a(bus)))
    }

    /// Flows over all wires of a bus.
    fn flows(&self, bus: u32, currents: &[Complex64]) -> Box<[WireFlow]> {
        let wires = self.assembly.circuit.wires(bus);
        wires.zip(currents).map(|(wire, &i)| self.flow(bus, self.voltages[wire], i)).collect()
    }

    /// The voltage of a local wire; zero for the earth.
    fn voltage(&self, bus: u32, local: u8) -> Complex64 {
        self.assembly.circuit.wire(bus, local).map_or(Complex64::ZERO, |wire| self.voltages[wire])
    }

    fn nothing(&self, conductors: usize) -> Box<[WireFlow]> {
        let count = if self.assembly.symmetric { 1 } else { conductors };
        vec![WireFlow::default(); count].into()
    }
}

#[cfg(test)]
mod tests;
