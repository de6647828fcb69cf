//! Buses.

use super::View;
use grid::{BusId, Network};
use num_complex::Complex64;

/// One conductor of a bus.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WireVoltage {
    /// Voltage phasor to ground, p.u. of the rated phase-to-ground voltage.
    pub v_pu: Complex64,
    /// Magnitude, V: phase to ground, or phase to phase in a symmetric calculation.
    pub u_v: f64,
    /// Active power that appliances inject, W (what shunts take is not part of it).
    pub p_w: f64,
    /// Reactive power injected, var.
    pub q_var: f64,
}

/// One bus.
#[derive(Debug, Clone, PartialEq)]
pub struct BusResult {
    /// Which.
    pub id: BusId,
    /// Whether a closed way leads to a source; otherwise every number is zero.
    pub energized: bool,
    /// Its conductors in ascending order (`Assembly::conductors`); one in a symmetric calculation.
    pub wires: Box<[WireVoltage]>,
}

impl WireVoltage {
    /// Magnitude, p.u.
    pub fn u_pu(&self) -> f64 {
        self.v_pu.norm()
    }

    /// Angle, rad.
    pub fn angle_rad(&self) -> f64 {
        self.v_pu.arg()
    }
}

pub(super) fn buses(view: &View<'_>, network: &Network) -> Vec<BusResult> {
    let circuit = &view.assembly.circuit;
    let one = |(position, bus): (usize, &grid::network::Bus)| {
        let place = &circuit.buses[position];
        let scale = if view.assembly.symmetric { bus.u_rated_v } else { place.u_base_v };
        let wires = circuit.wires(position as u32).map(|wire| {
            if !place.energized {
                return WireVoltage::default();
            }
            let v_pu = view.voltages[wire];
            let s = v_pu * view.currents.injected[wire].conj() * circuit.s_base_va;
            WireVoltage { v_pu, u_v: v_pu.norm() * scale, p_w: s.re, q_var: s.im }
        });
        BusResult { id: bus.id, energized: place.energized, wires: wires.collect() }
    };
    network.buses().iter().enumerate().map(one).collect()
}
