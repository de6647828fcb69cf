//! What stands at a bus: sources, shunts, loads, usage points.

use super::AssemblyError;
use super::coupled::coupling;
use super::element::Builder;
use super::frame::Frame;
use crate::circuit::{CircuitShunt, CircuitSource, Coupling, GROUND, LoadPort};
use grid::network::{Capacitor, Load, Shunt, Source, UsagePoint, Wire};
use grid::{Network, Phase};
use num_complex::Complex64;
use std::collections::BTreeSet;

pub(super) fn add_appliances(builder: &mut Builder, network: &Network) -> Result<(), AssemblyError> {
    for one in network.sources() {
        let bus = builder.frame.position(one.bus);
        if one.closed {
            let source = source(&builder.frame, one, bus)?;
            builder.source(one.id, source);
        } else {
            builder.off(one.id, bus);
        }
    }
    for one in network.shunts() {
        let bus = builder.frame.position(one.bus);
        if one.closed && builder.frame.alive(bus) {
            let shunt = shunt(&builder.frame, one, bus);
            builder.shunt(one.id, shunt);
        } else {
            builder.off(one.id, bus);
        }
    }
    for one in network.capacitors() {
        let bus = builder.frame.position(one.terminal.bus);
        // An open capacitor keeps its place, so that a control can switch it in.
        if builder.frame.alive(bus) {
            let shunt = capacitor(&builder.frame, one, bus);
            builder.shunt(one.id, shunt);
        } else {
            builder.off(one.id, bus);
        }
    }
    for one in network.loads() {
        let bus = builder.frame.position(one.terminal.bus);
        if one.closed && builder.frame.alive(bus) {
            let ports = load(&builder.frame, one, bus);
            builder.ports(one.id, bus, ports);
        } else {
            builder.off(one.id, bus);
        }
    }
    let loads: BTreeSet<u32> = network.loads().iter().map(|load| load.id).collect();
    for one in network.usage_points().iter().filter(|point| !loads.contains(&point.id.0)) {
        let bus = builder.frame.position(one.bus);
        if builder.frame.alive(bus) {
            let ports = usage_point(&builder.frame, one, bus);
            builder.ports(one.id.0, bus, ports);
        } else {
            builder.off(one.id.0, bus);
        }
    }
    builder.hold(network);
    Ok(())
}

/// A Thevenin equivalent: `|z1| = S_base / sk` split by R/X, `z0 = z01_ratio z1` (power-grid-model documentation,
/// "Source"), or the impedances as given. Its sequences hold over the three phases; other conductors are not fed.
pub(super) fn source(frame: &Frame, source: &Source, bus: u32) -> Result<CircuitSource, AssemblyError> {
    let z_base = frame.z_base_ohm(bus);
    let (z1, z0) = match source.z_ohm {
        Some((r1, x1, r0, x0)) => (Complex64::new(r1, x1) / z_base, Complex64::new(r0, x0) / z_base),
        None => {
            let x = super::frame::BASE_POWER_VA / source.sk_va / source.rx_ratio.hypot(1.0);
            let z1 = Complex64::new(x * source.rx_ratio, x);
            (z1, z1 * source.z01_ratio)
        }
    };
    let (y1, y0) = (1.0 / z1, 1.0 / z0);
    if !(y1.is_finite() && y0.is_finite()) {
        return Err(AssemblyError::NotFinite { kind: "source", id: source.id });
    }
    let emf = match source.u_ref_angle_rad {
        0.0 => Complex64::from(source.u_ref_pu),
        angle => Complex64::from_polar(source.u_ref_pu, angle),
    };
    Ok(CircuitSource { bus, emf: frame.rotated(bus, emf), y: over_phases(frame, bus, y1, y0) })
}

fn shunt(frame: &Frame, shunt: &Shunt, bus: u32) -> CircuitShunt {
    let of = |(g, b): (f64, f64)| Complex64::new(g, b) * frame.z_base_ohm(bus);
    CircuitShunt { bus, y: over_phases(frame, bus, of(shunt.y1_s), of(shunt.y0_s)) }
}

/// A capacitor bank: `q / u²` per unit, from each conductor to ground or between consecutive conductors (OpenDSS
/// `Capacitor`); nothing while it is open.
pub(super) fn capacitor(frame: &Frame, bank: &Capacitor, bus: u32) -> CircuitShunt {
    let wires: Vec<usize> =
        bank.terminal.wires.iter().map(|&wire| usize::from(frame.local(bus, wire))).collect();
    let count = usize::from(frame.buses[bus as usize].wires);
    let units = if bank.delta && wires.len() == 2 { 1 } else { wires.len() };
    let u_rated = if bank.delta || units == 1 { bank.u_rated_v } else { bank.u_rated_v / 3.0_f64.sqrt() };
    let b = bank.q_var / units as f64 / (u_rated * u_rated);
    let u_base = frame.buses[bus as usize].u_base_v;
    let mut y = nalgebra::DMatrix::zeros(count, count);
    if !bank.closed {
        return CircuitShunt { bus, y: Coupling::Zero };
    }
    if frame.symmetric {
        // All units together at the positive sequence; a delta sees √3 times the voltage.
        let ratio = if bank.delta { 3.0 } else { 1.0 };
        y[(0, 0)] = Complex64::new(0.0, b * ratio * units as f64 * u_base * u_base / frame.s_base_va());
        return CircuitShunt { bus, y: coupling(y) };
    }
    let b = Complex64::new(0.0, b * u_base * u_base / frame.s_base_va());
    for unit in 0..units {
        let here = wires[unit];
        let there = if bank.delta { wires[(unit + 1) % wires.len()] } else { usize::from(GROUND) };
        for (row, column, sign) in
            [(here, here, 1.0), (there, there, 1.0), (here, there, -1.0), (there, here, -1.0)]
        {
            if row < count && column < count {
                y[(row, column)] += b * sign;
            }
        }
    }
    CircuitShunt { bus, y: coupling(y) }
}

/// Sequence values over the three phases of a bus that may have more conductors.
fn over_phases(frame: &Frame, bus: u32, one: Complex64, zero: Complex64) -> Coupling {
    if frame.symmetric {
        return Coupling::Even { own: one, mutual: Complex64::ZERO };
    }
    let plain = Coupling::from_sequence(one, zero);
    if frame.three_phase(bus) {
        return plain;
    }
    let wires = frame.conductors(bus);
    let is_phase = |wire: Wire| Wire::PHASES.contains(&wire);
    let matrix = nalgebra::DMatrix::from_fn(wires.len(), wires.len(), |row, column| {
        let both = is_phase(wires[row]) && is_phase(wires[column]);
        match (both, row == column) {
            (false, _) => Complex64::ZERO,
            (true, true) => plain.at(0, 0),
            (true, false) => plain.at(0, 1),
        }
    });
    Coupling::Full(Box::new(matrix))
}

/// One port per branch; a symmetric calculation has one port with the sum.
pub(super) fn load(frame: &Frame, load: &Load, bus: u32) -> Vec<LoadPort> {
    let kind = &load.dependence;
    let u_base = frame.buses[bus as usize].u_base_v;
    let port = |p_w: f64, q_var: f64, plus: u8, minus: u8, u_nominal_v: f64| {
        let (p, q) = (p_w / frame.s_base_va(), q_var / frame.s_base_va());
        LoadPort {
            bus,
            plus,
            minus,
            u_nominal: u_nominal_v / u_base,
            power: Complex64::new(p * (1.0 - kind.z_p - kind.i_p), q * (1.0 - kind.z_q - kind.i_q)),
            current: Complex64::new(p * kind.i_p, q * kind.i_q),
            impedance: Complex64::new(p * kind.z_p, q * kind.z_q),
            limits: kind.limits_pu,
        }
    };
    if frame.symmetric {
        let u_nominal_v = if load.delta { load.u_branch_v / 3.0_f64.sqrt() } else { load.u_branch_v };
        return vec![port(load.p_w.iter().sum(), load.q_var.iter().sum(), 0, GROUND, u_nominal_v)];
    }
    let wires: Vec<u8> = load.terminal.wires.iter().map(|&wire| frame.local(bus, wire)).collect();
    let branches = load.p_w.len();
    let returns = |branch: usize| match (load.delta, wires.len() > branches) {
        (true, _) => wires[(branch + 1) % wires.len()],
        (false, true) => wires[branches],
        (false, false) => GROUND,
    };
    (0..branches)
        .map(|branch| {
            let (plus, minus) = (wires[branch], returns(branch));
            // A branch is written from a wire to whatever it returns by, never from the ground.
            let (plus, minus) = if plus == GROUND { (minus, plus) } else { (plus, minus) };
            port(load.p_w[branch], load.q_var[branch], plus, minus, load.u_branch_v)
        })
        .collect()
}

/// Constant power on one phase, or a third on each.
fn usage_point(frame: &Frame, point: &UsagePoint, bus: u32) -> Vec<LoadPort> {
    let whole = Complex64::new(point.p_specified_w, point.q_specified_var) / frame.s_base_va();
    let port = |plus: u8, power: Complex64| LoadPort {
        bus,
        plus,
        minus: GROUND,
        u_nominal: 1.0,
        power,
        current: Complex64::ZERO,
        impedance: Complex64::ZERO,
        limits: None,
    };
    if frame.symmetric {
        return vec![port(0, whole)];
    }
    let local = |phase: Phase| frame.local(bus, Wire(phase as u8 + 1));
    match point.phase {
        Some(phase) => vec![port(local(phase), whole)],
        None => Phase::ALL.iter().map(|&phase| port(local(phase), whole / 3.0)).collect(),
    }
}
