//! Lines, links, generic branches; transformers have their own files.

use super::element::{Builder, Element};
use super::frame::{BASE_POWER_VA, Frame};
use super::sequence::{Pi, SequenceBranch, Zero};
use super::transformer;
use super::{AssemblyError, coupled};
use grid::Network;
use grid::network::{GenericBranch, Line, Link};
use num_complex::Complex64;

pub(super) fn add_branches(builder: &mut Builder, network: &Network) -> Result<(), AssemblyError> {
    let omega = 2.0 * std::f64::consts::PI * network.frequency_hz();
    for unit in network.lines() {
        let element = line(&builder.frame, unit, omega)?;
        builder.branch(unit.id, element);
    }
    for unit in network.transformers() {
        let element = transformer::two_winding(&builder.frame, unit)?;
        builder.branch(unit.id, element);
    }
    for unit in network.coupled_lines() {
        let element = coupled::line(&builder.frame, unit)?;
        builder.branch(unit.id, element);
    }
    for unit in network.winding_transformers() {
        let element = coupled::windings(&builder.frame, unit)?;
        builder.branch(unit.id, element);
    }
    for unit in network.links() {
        let element = link(&builder.frame, unit);
        builder.branch(unit.id, element);
    }
    for unit in network.generic_branches() {
        let element = generic(&builder.frame, unit)?;
        builder.branch(unit.id, element);
    }
    for (number, unit) in network.three_winding_transformers().iter().enumerate() {
        let star = builder.frame.first_star + number as u32;
        let element = transformer::three_winding(&builder.frame, unit, star)?;
        builder.branch(unit.id, element);
    }
    Ok(())
}

/// A line: series impedance, and `ω C (tan δ + j)` half at each end (power-grid-model documentation, "Line"). Where its
/// two buses differ in rated voltage, the volts count.
fn line(frame: &Frame, line: &Line, omega: f64) -> Result<Element, AssemblyError> {
    let (from, to) = (frame.position(line.from), frame.position(line.to));
    let z_base = frame.z_base_ohm(to);
    let ratio = if frame.z_base_ohm(from) == z_base {
        Complex64::ONE
    } else {
        Complex64::from(frame.u_rated_v(to) / frame.u_rated_v(from))
    };
    let pi = |r: f64, x: f64, c: f64, tan: f64| Pi {
        y_series: 1.0 / (Complex64::new(r, x) / z_base),
        y_shunt: Complex64::new(tan, 1.0) * (omega * c * z_base),
        ratio,
    };
    let one = pi(line.r1_ohm, line.x1_ohm, line.c1_f, line.tan1);
    let zero = pi(line.r0_ohm, line.x0_ohm, line.c0_f, line.tan0);
    if !frame.symmetric && line.r0_ohm == 0.0 && line.x0_ohm == 0.0 {
        return Err(AssemblyError::Singular { kind: "line", id: line.id.0, what: "zero-sequence impedance" });
    }
    if !(one.y_series.is_finite() && (frame.symmetric || zero.y_series.is_finite())) {
        return Err(AssemblyError::NotFinite { kind: "line", id: line.id.0 });
    }
    let closed = (line.from_closed, line.to_closed);
    Ok(SequenceBranch { from, to, closed, one, zero: Zero::through(zero) }.element(frame))
}

/// Admittance of a link, p.u. of 1 MVA: power-grid-model's 1e6 S at 10 kV, in both parts.
const LINK_PU: f64 = 1e6 / (BASE_POWER_VA / 10e3 / 10e3);

fn link(frame: &Frame, link: &Link) -> Element {
    let (from, to) = (frame.position(link.from), frame.position(link.to));
    let y_series = Complex64::new(LINK_PU, LINK_PU);
    let one = Pi { y_series, y_shunt: Complex64::ZERO, ratio: Complex64::ONE };
    let closed = (link.from_closed, link.to_closed);
    SequenceBranch { from, to, closed, one, zero: Zero::through(one) }.element(frame)
}

/// A π-model behind a ratio (power-grid-model documentation, "Generic branch"); it has no zero sequence.
fn generic(frame: &Frame, branch: &GenericBranch) -> Result<Element, AssemblyError> {
    let id = branch.id.0;
    if !frame.symmetric {
        return Err(AssemblyError::OnlySymmetric { kind: "generic branch", id });
    }
    let (from, to) = (frame.position(branch.from), frame.position(branch.to));
    let z_base = frame.z_base_ohm(to);
    let one = Pi {
        y_series: 1.0 / (Complex64::new(branch.r1_ohm, branch.x1_ohm) / z_base),
        y_shunt: Complex64::new(branch.g1_s, branch.b1_s) * z_base,
        ratio: match branch.theta_rad {
            0.0 => Complex64::from(branch.k),
            theta => Complex64::from_polar(branch.k, theta),
        },
    };
    if !(one.y_series.is_finite() && one.y_shunt.is_finite()) {
        return Err(AssemblyError::NotFinite { kind: "generic branch", id });
    }
    let closed = (branch.from_closed, branch.to_closed);
    Ok(SequenceBranch { from, to, closed, one, zero: Zero::through(one) }.element(frame))
}
