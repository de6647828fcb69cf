//! Appliances: sources, loads, usage points, shunts, capacitors.

use super::{Results, View, WireFlow};
use crate::assembly::AppliancePlace;
use crate::circuit::{CircuitSource, LoadPort};
use grid::Network;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// One appliance.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplianceResult {
    /// Which.
    pub id: u32,
    /// Whether it is connected to a bus that is alive; otherwise every number is zero.
    pub energized: bool,
    /// Branch by branch of a load, conductor by conductor of its bus for the others; one in a symmetric calculation.
    /// Sources and generators deliver, the others take.
    pub wires: Box<[WireFlow]>,
}

impl ApplianceResult {
    /// Active power of all conductors, W.
    pub fn p_w(&self) -> f64 {
        self.wires.iter().map(|wire| wire.p_w).sum()
    }

    /// Reactive power of all conductors, var.
    pub fn q_var(&self) -> f64 {
        self.wires.iter().map(|wire| wire.q_var).sum()
    }
}

pub(super) fn fill(view: &View<'_>, network: &Network, results: &mut Results) {
    let sources = source_currents(view);
    let one_of = |id: u32, conductors: usize, delivers: bool| {
        let sign = if delivers { -1.0 } else { 1.0 };
        let (bus, place) = match view.assembly.appliances.get(&id) {
            Some((bus, place)) => (*bus, place),
            None => (0, &AppliancePlace::Off),
        };
        let energized = view.assembly.circuit.buses[bus as usize].energized;
        let wires: Box<[WireFlow]> = match place {
            AppliancePlace::Off => {
                return ApplianceResult { id, energized: false, wires: view.nothing(conductors) };
            }
            AppliancePlace::Source(k) => view.flows(bus, &sources[*k as usize]),
            AppliancePlace::Shunt(k) => view.flows(bus, &view.currents.shunts[*k as usize]),
            AppliancePlace::Ports(ports) => {
                let ports = &view.assembly.circuit.ports[ports.start as usize..ports.end as usize];
                ports.iter().map(|port| taken(view, port, sign)).collect()
            }
        };
        ApplianceResult { id, energized, wires }
    };
    results.sources = network.sources().iter().map(|one| one_of(one.id, 3, true)).collect();
    results.loads = network.loads().iter().map(|one| one_of(one.id, one.p_w.len(), one.generates)).collect();
    results.usage_points = network
        .usage_points()
        .iter()
        .map(|one| one_of(one.id.0, if one.phase.is_some() { 1 } else { 3 }, false))
        .collect();
    results.shunts = network.shunts().iter().map(|one| one_of(one.id, 3, false)).collect();
    results.capacitors = (network.capacitors().iter())
        .map(|one| {
            let result = one_of(one.id, one.terminal.wires.len(), false);
            ApplianceResult { energized: one.closed && result.energized, ..result }
        })
        .collect();
}

/// What a load takes at its voltage; `sign` −1 gives what it delivers.
fn taken(view: &View<'_>, port: &LoadPort, sign: f64) -> WireFlow {
    let across = view.voltage(port.bus, port.plus) - view.voltage(port.bus, port.minus);
    let s = port.taken(across.norm() / port.u_nominal) * sign;
    let i = if across == Complex64::ZERO { Complex64::ZERO } else { (s / across).conj() };
    let s = s * view.assembly.circuit.s_base_va;
    WireFlow { p_w: s.re, q_var: s.im, i_a: i * view.i_base_a(port.bus) }
}

/// What sources deliver, p.u. It follows from the balance of their bus, not from the voltage across their impedance, which
/// for a strong source is smaller than any rounding. Several at one bus share by their impedances.
fn source_currents(view: &View<'_>) -> Vec<Vec<Complex64>> {
    let circuit = &view.assembly.circuit;
    let mut by_bus: Vec<(u32, usize)> =
        circuit.sources.iter().enumerate().map(|(k, source)| (source.bus, k)).collect();
    by_bus.sort_unstable();
    let mut delivered = vec![Vec::new(); circuit.sources.len()];
    if by_bus.is_empty() {
        return delivered;
    }
    // What loads take at the buses that have a source.
    let mut total: Vec<Option<Vec<Complex64>>> = vec![None; circuit.buses.len()];
    for &(bus, _) in &by_bus {
        total[bus as usize] = Some(circuit.wires(bus).map(|wire| view.currents.injected[wire]).collect());
    }
    for port in &circuit.ports {
        let Some(currents) = &mut total[port.bus as usize] else { continue };
        let across = view.voltage(port.bus, port.plus) - view.voltage(port.bus, port.minus);
        if across == Complex64::ZERO {
            continue;
        }
        let i = (port.taken(across.norm() / port.u_nominal) / across).conj();
        for (local, sign) in [(port.plus, 1.0), (port.minus, -1.0)] {
            if let Some(current) = currents.get_mut(usize::from(local)) {
                *current += i * sign;
            }
        }
    }
    for group in by_bus.chunk_by(|one, other| one.0 == other.0) {
        let total = total[group[0].0 as usize].take().unwrap_or_default();
        if let [(_, only)] = group {
            delivered[*only] = total;
            continue;
        }
        let sources: Vec<&CircuitSource> = group.iter().map(|&(_, k)| &circuit.sources[k]).collect();
        for (&(_, k), share) in group.iter().zip(shares(&sources, total)) {
            delivered[k] = share;
        }
    }
    delivered
}

/// Splits a current i among sources: each delivers `Y (e − u)` with `u = (Σ Y)⁻¹ (Σ Y e − i)`. Voltages count from that
/// of the first source, so that equal ones cancel exactly however strong the sources are. Wires that no source feeds
/// carry nothing.
fn shares(sources: &[&CircuitSource], total: Vec<Complex64>) -> Vec<Vec<Complex64>> {
    let n = total.len();
    let (mut y_sum, mut driven) = (DMatrix::<Complex64>::zeros(n, n), -DVector::from_vec(total));
    let matrices: Vec<DMatrix<Complex64>> = sources.iter().map(|source| source.y.to_matrix(n)).collect();
    let first = DVector::from_column_slice(&sources[0].emf);
    let beyond = |source: &CircuitSource| DVector::from_column_slice(&source.emf) - &first;
    for (source, y) in sources.iter().zip(&matrices) {
        driven += y * beyond(source);
        y_sum += y;
    }
    for wire in 0..n {
        if y_sum.row(wire).iter().all(|entry| *entry == Complex64::ZERO) {
            y_sum[(wire, wire)] = Complex64::ONE;
        }
    }
    let u = y_sum.lu().solve(&driven).unwrap_or_else(|| DVector::zeros(n));
    let deliver = |(source, y): (&&CircuitSource, &DMatrix<Complex64>)| {
        (y * (beyond(source) - &u)).iter().copied().collect()
    };
    sources.iter().zip(&matrices).map(deliver).collect()
}
