//! Branches: lines, transformers, links and their kin.

use super::{BusIndex, Check, Component, WIRES_MAX, unique};
use crate::id::BusId;
use crate::network::{
    CoupledLine, GenericBranch, Line, NetworkError, NetworkParts, ThreeWindingTransformer, Transformer,
    WindingTransformer,
};

pub(in crate::network) fn check_branches(parts: &NetworkParts, buses: &BusIndex) -> Check {
    let component = |kind: &'static str, id: crate::id::BranchId| Component { kind, id: id.0 };
    let two_ended = (parts.lines.iter().map(|b| ("line", b.id, b.from, b.to)))
        .chain(parts.transformers.iter().map(|b| ("transformer", b.id, b.from, b.to)))
        .chain(parts.coupled_lines.iter().map(|b| ("coupled line", b.id, b.from.bus, b.to.bus)))
        .chain(parts.links.iter().map(|b| ("link", b.id, b.from, b.to)))
        .chain(parts.generic_branches.iter().map(|b| ("generic branch", b.id, b.from, b.to)));
    let mut numbers = Vec::new();
    for (kind, id, from, to) in two_ended {
        let here = component(kind, id);
        here.at(buses, from)?;
        here.at(buses, to)?;
        if from == to {
            return Err(NetworkError::Loop { kind, id: id.0, bus: from });
        }
        numbers.push(here);
    }
    numbers.extend(
        parts.three_winding_transformers.iter().map(|t| component("three-winding transformer", t.id)),
    );
    numbers.extend(parts.winding_transformers.iter().map(|t| component("transformer", t.id)));
    unique(numbers)?;
    parts.lines.iter().try_for_each(line)?;
    parts.transformers.iter().try_for_each(transformer)?;
    parts.coupled_lines.iter().try_for_each(|line| coupled_line(line, buses))?;
    parts.generic_branches.iter().try_for_each(generic_branch)?;
    parts.three_winding_transformers.iter().try_for_each(|unit| three_winding(unit, buses))?;
    parts.winding_transformers.iter().try_for_each(|unit| winding_transformer(unit, buses))
}

/// Calls `join` for every two buses that a branch joins.
pub(super) fn for_each_pair(parts: &NetworkParts, mut join: impl FnMut(BusId, BusId)) {
    let two_ended = (parts.lines.iter().map(|b| (b.from, b.to)))
        .chain(parts.transformers.iter().map(|b| (b.from, b.to)))
        .chain(parts.coupled_lines.iter().map(|b| (b.from.bus, b.to.bus)))
        .chain(parts.links.iter().map(|b| (b.from, b.to)))
        .chain(parts.generic_branches.iter().map(|b| (b.from, b.to)));
    for (from, to) in two_ended {
        join(from, to);
    }
    for unit in &parts.three_winding_transformers {
        join(unit.buses[0], unit.buses[1]);
        join(unit.buses[0], unit.buses[2]);
    }
    for unit in &parts.winding_transformers {
        for pair in unit.windings.windows(2) {
            join(pair[0].terminal.bus, pair[1].terminal.bus);
        }
    }
}

fn line(line: &Line) -> Check {
    let here = Component { kind: "line", id: line.id.0 };
    here.not_negative("r1 in ohm", line.r1_ohm)?;
    here.finite("x1 in ohm", line.x1_ohm)?;
    here.not_negative("r0 in ohm", line.r0_ohm)?;
    here.finite("x0 in ohm", line.x0_ohm)?;
    here.not_negative("c1 in F", line.c1_f)?;
    here.not_negative("c0 in F", line.c0_f)?;
    here.not_negative("tan1", line.tan1)?;
    here.not_negative("tan0", line.tan0)?;
    here.positive("impedance |r1 + j x1| in ohm", line.r1_ohm.hypot(line.x1_ohm))?;
    rated(here, line.i_rated_a)
}

fn rated(here: Component, i_rated_a: Option<f64>) -> Check {
    i_rated_a.map_or(Ok(()), |rated| here.positive("rated current in A", rated))
}

fn transformer(unit: &Transformer) -> Check {
    let here = Component { kind: "transformer", id: unit.id.0 };
    here.positive("u1 in V", unit.u1_v)?;
    here.positive("u2 in V", unit.u2_v)?;
    here.positive("sn in VA", unit.s_rated_va)?;
    here.positive("uk in p.u.", unit.uk_pu)?;
    here.not_negative("pk in W", unit.pk_w)?;
    here.not_negative("i0 in p.u.", unit.i0_pu)?;
    here.not_negative("p0 in W", unit.p0_w)?;
    for (low, high) in [unit.uk_at_limits_pu].into_iter().flatten() {
        here.positive("uk_min in p.u.", low)?;
        here.positive("uk_max in p.u.", high)?;
    }
    for (low, high) in [unit.pk_at_limits_w].into_iter().flatten() {
        here.not_negative("pk_min in W", low)?;
        here.not_negative("pk_max in W", high)?;
    }
    here.not_negative("i0_zero_sequence in p.u.", unit.i0_zero_pu.unwrap_or(0.0))?;
    here.not_negative("p0_zero_sequence in W", unit.p0_zero_w.unwrap_or(0.0))?;
    for (r, x) in [unit.grounding_from_ohm, unit.grounding_to_ohm] {
        here.not_negative("grounding resistance in ohm", r)?;
        here.finite("grounding reactance in ohm", x)?;
    }
    let (tapped_1, tapped_2) = unit.tapped_v();
    here.positive("u1 with its taps in V", tapped_1)?;
    here.positive("u2 with its taps in V", tapped_2)?;
    here.accept(unit.clock <= 11, "clock", f64::from(unit.clock), "0 to 11 is possible")
}

fn coupled_line(line: &CoupledLine, buses: &BusIndex) -> Check {
    let here = Component { kind: "coupled line", id: line.id.0 };
    here.terminal(buses, &line.from)?;
    here.terminal(buses, &line.to)?;
    let n = line.from.wires.len();
    here.wires(line.to.wires.len() == n, "its two ends have different numbers of conductors")?;
    here.wires(line.z_ohm.len() == n * n, "the impedance matrix does not fit the number of conductors")?;
    here.wires(line.y_s.len() == n * n, "the admittance matrix does not fit the number of conductors")?;
    for z in &line.z_ohm {
        here.finite("resistance matrix in ohm", z.re)?;
        here.finite("reactance matrix in ohm", z.im)?;
    }
    for y in &line.y_s {
        here.finite("conductance matrix in S", y.re)?;
        here.finite("susceptance matrix in S", y.im)?;
    }
    for conductor in 0..n {
        let own = conductor * n + conductor;
        here.not_negative("resistance of a conductor in ohm", line.z_ohm[own].re)?;
        here.positive("impedance of a conductor in ohm", line.z_ohm[own].norm())?;
        here.not_negative("conductance of a conductor in S", line.y_s[own].re)?;
    }
    rated(here, line.i_rated_a)
}

/// Its resistance may be negative: one leg of the star that stands for a three-winding transformer often is.
fn generic_branch(branch: &GenericBranch) -> Check {
    let here = Component { kind: "generic branch", id: branch.id.0 };
    here.finite("r1 in ohm", branch.r1_ohm)?;
    here.finite("x1 in ohm", branch.x1_ohm)?;
    here.positive("impedance |r1 + j x1| in ohm", branch.r1_ohm.hypot(branch.x1_ohm))?;
    here.finite("g1 in S", branch.g1_s)?;
    here.finite("b1 in S", branch.b1_s)?;
    here.positive("k", branch.k)?;
    here.finite("theta in rad", branch.theta_rad)?;
    here.not_negative("sn in VA", branch.s_rated_va.unwrap_or(0.0))
}

fn three_winding(unit: &ThreeWindingTransformer, buses: &BusIndex) -> Check {
    let here = Component { kind: "three-winding transformer", id: unit.id.0 };
    let [one, two, three] = unit.buses;
    for bus in unit.buses {
        here.at(buses, bus)?;
    }
    if one == two || one == three || two == three {
        let bus = if two == three { two } else { one };
        return Err(NetworkError::Loop { kind: here.kind, id: here.id, bus });
    }
    for winding in 0..3 {
        here.positive("rated voltage in V", unit.u_v[winding])?;
        here.positive("sn in VA", unit.s_rated_va[winding])?;
        // Named after the pair: 12, 13, 23.
        here.positive("uk in p.u.", unit.uk_pu[winding])?;
        here.not_negative("pk in W", unit.pk_w[winding])?;
        here.not_negative("grounding resistance in ohm", unit.grounding_ohm[winding].0)?;
        here.finite("grounding reactance in ohm", unit.grounding_ohm[winding].1)?;
    }
    for (low, high) in unit.uk_at_limits_pu.into_iter().flatten() {
        here.positive("uk_min in p.u.", low)?;
        here.positive("uk_max in p.u.", high)?;
    }
    for (low, high) in unit.pk_at_limits_w.into_iter().flatten() {
        here.not_negative("pk_min in W", low)?;
        here.not_negative("pk_max in W", high)?;
    }
    here.not_negative("i0 in p.u.", unit.i0_pu)?;
    here.not_negative("p0 in W", unit.p0_w)?;
    for clock in unit.clocks {
        here.accept((-12..=12).contains(&clock), "clock", f64::from(clock), "-12 to 12 is possible")?;
    }
    for u in unit.tapped_v() {
        here.positive("rated voltage with its taps in V", u)?;
    }
    Ok(())
}

fn winding_transformer(unit: &WindingTransformer, buses: &BusIndex) -> Check {
    let here = Component { kind: "transformer", id: unit.id.0 };
    let windings = unit.windings.len();
    here.accept((1..=3).contains(&unit.phases), "phases", f64::from(unit.phases), "1 to 3 is possible")?;
    here.accept((2..=WIRES_MAX).contains(&windings), "windings", windings as f64, "2 to 8 are possible")?;
    let pairs = windings * (windings - 1) / 2;
    here.accept(
        unit.x_pu.len() == pairs,
        "short-circuit reactances",
        unit.x_pu.len() as f64,
        "one per pair of windings is needed",
    )?;
    for &x in &unit.x_pu {
        here.positive("short-circuit reactance in p.u.", x)?;
    }
    here.not_negative("no-load loss in p.u.", unit.no_load_loss_pu)?;
    here.not_negative("magnetising current in p.u.", unit.magnetising_pu)?;
    here.not_negative("antifloat in p.u.", unit.antifloat_pu)?;
    let phases = usize::from(unit.phases);
    for winding in &unit.windings {
        here.terminal(buses, &winding.terminal)?;
        let wires = winding.terminal.wires.len();
        // A delta of one phase lies between two conductors, one of two phases between three (open delta).
        let needed = if winding.delta && phases == 3 { 3 } else { phases + 1 };
        here.wires(wires == needed, "the conductors of a winding do not fit its connection and phases")?;
        here.positive("rated voltage in V", winding.u_rated_v)?;
        here.positive("rated power in VA", winding.s_rated_va)?;
        here.not_negative("resistance in p.u.", winding.r_pu)?;
        here.positive("tap in p.u.", winding.tap_pu)?;
        here.positive("lowest tap in p.u.", winding.tap_range_pu.0)?;
        here.positive("highest tap in p.u.", winding.tap_range_pu.1)?;
        if let Some((r, x)) = winding.neutral_ohm {
            here.not_negative("neutral resistance in ohm", r)?;
            here.finite("neutral reactance in ohm", x)?;
        }
    }
    Ok(())
}
