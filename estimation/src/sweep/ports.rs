//! Load ports that are not plain constant powers to ground: shares of constant current and impedance, two wires, limits.

use super::phasors::Phasors;
use crate::circuit::{GROUND, LoadPort};
use num_complex::Complex64;

/// A port at a tree position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Port {
    /// Where.
    pub position: u32,
    /// Number in the circuit.
    pub number: u32,
    /// Its shares and limits; `bus` is the circuit's.
    pub port: LoadPort,
    /// Its constant power in each lane.
    pub powers: [Complex64; LANES],
}

/// Most scenarios that calculate together.
pub(super) const LANES: usize = 8;

/// Whether a port is a plain constant power to ground, which needs no record of its own.
pub(super) fn is_plain(port: &LoadPort) -> bool {
    let none = Complex64::ZERO;
    port.minus == GROUND && port.current == none && port.impedance == none && port.limits.is_none()
}

/// The exponent of a port's power over the voltage magnitude times its size, and the size.
pub(super) fn exponent(port: &LoadPort) -> (f64, f64) {
    let (p, i, z) = (port.power.norm(), port.current.norm(), port.impedance.norm());
    (i + 2.0 * z, p + i + z)
}

/// Adds the current of a port.
#[inline(never)]
pub(super) fn with_port<P: Phasors>(Port { port, powers, .. }: &Port, mut sum: P, v: P) -> P {
    for (lane, power) in powers.iter().enumerate().take(P::LANES) {
        let plus = v.at(usize::from(port.plus), lane);
        let back = (port.minus != GROUND).then(|| usize::from(port.minus));
        let across = back.map_or(plus, |wire| plus - v.at(wire, lane));
        let current = current(&LoadPort { power: *power, ..*port }, across);
        sum.add_at(usize::from(port.plus), lane, current);
        if let Some(wire) = back {
            sum.add_at(wire, lane, -current);
        }
    }
    sum
}

/// The current taken at a voltage across the port, p.u. Below its limit a port is an impedance, so that a voltage of
/// zero has a current too.
pub(super) fn current(port: &LoadPort, across: Complex64) -> Complex64 {
    let u = across.norm() / port.u_nominal;
    port.over_square(u).0.conj() * across / (port.u_nominal * port.u_nominal)
}
