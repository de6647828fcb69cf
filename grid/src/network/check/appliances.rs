//! What stands at a bus: sources, usage points, loads, shunts, capacitors.

use super::{BusIndex, Check, Component, unique};
use crate::network::{Capacitor, Load, NetworkError, NetworkParts, Source, Wire};

pub(in crate::network) fn check_appliances(parts: &NetworkParts, buses: &BusIndex) -> Check {
    if parts.sources.is_empty() {
        return Err(NetworkError::NoSource);
    }
    parts.sources.iter().try_for_each(|one| source(one, buses))?;
    for point in &parts.usage_points {
        let here = Component { kind: "usage point", id: point.id.0 };
        here.at(buses, point.bus)?;
        here.finite("p_specified in W", point.p_specified_w)?;
        here.finite("q_specified in var", point.q_specified_var)?;
    }
    for shunt in &parts.shunts {
        let here = Component { kind: "shunt", id: shunt.id };
        here.at(buses, shunt.bus)?;
        here.finite("g1 in S", shunt.y1_s.0)?;
        here.finite("b1 in S", shunt.y1_s.1)?;
        here.finite("g0 in S", shunt.y0_s.0)?;
        here.finite("b0 in S", shunt.y0_s.1)?;
    }
    parts.capacitors.iter().try_for_each(|one| capacitor(one, buses))?;
    parts.loads.iter().try_for_each(|one| load(one, buses))?;
    unique(
        parts.usage_points.iter().map(|point| Component { kind: "usage point", id: point.id.0 }).collect(),
    )?;
    unique(
        (parts.sources.iter().map(|one| Component { kind: "source", id: one.id }))
            .chain(parts.shunts.iter().map(|one| Component { kind: "shunt", id: one.id }))
            .chain(parts.capacitors.iter().map(|one| Component { kind: "capacitor", id: one.id }))
            .chain(parts.loads.iter().map(|one| Component { kind: "load", id: one.id }))
            .collect(),
    )
}

fn source(source: &Source, buses: &BusIndex) -> Check {
    // Sources without numbers (all zero but one network has one) are named by their bus.
    let here = match source.id {
        0 => Component { kind: "source at bus", id: source.bus.0 },
        id => Component { kind: "source", id },
    };
    here.at(buses, source.bus)?;
    here.positive("u_ref in p.u.", source.u_ref_pu)?;
    here.finite("u_ref_angle in rad", source.u_ref_angle_rad)?;
    // Files write "infinite" as 1e50.
    here.accept(
        source.sk_va > 0.0 && source.sk_va < 1e60,
        "sk in VA",
        source.sk_va,
        "a positive finite number is needed",
    )?;
    here.not_negative("rx_ratio", source.rx_ratio)?;
    here.positive("z01_ratio", source.z01_ratio)?;
    if let Some((r1, x1, r0, x0)) = source.z_ohm {
        here.not_negative("r1 in ohm", r1)?;
        here.finite("x1 in ohm", x1)?;
        here.not_negative("r0 in ohm", r0)?;
        here.finite("x0 in ohm", x0)?;
        here.positive("impedance |r1 + j x1| in ohm", r1.hypot(x1))?;
        here.positive("impedance |r0 + j x0| in ohm", r0.hypot(x0))?;
    }
    Ok(())
}

fn capacitor(capacitor: &Capacitor, buses: &BusIndex) -> Check {
    let here = Component { kind: "capacitor", id: capacitor.id };
    here.terminal(buses, &capacitor.terminal)?;
    here.wires(
        !capacitor.delta || capacitor.terminal.wires.len() > 1,
        "a delta lies between two conductors or more",
    )?;
    here.finite("power in var", capacitor.q_var)?;
    here.positive("rated voltage in V", capacitor.u_rated_v)
}

fn load(load: &Load, buses: &BusIndex) -> Check {
    let here = Component { kind: "load", id: load.id };
    here.terminal(buses, &load.terminal)?;
    let wires = &load.terminal.wires;
    let branches = load.p_w.len();
    here.wires(branches == load.q_var.len(), "it has active and reactive power of different lengths")?;
    let fits = if load.delta {
        wires.len() > 1 && (branches == wires.len() || branches + 1 == wires.len())
    } else {
        branches > 0 && (branches == wires.len() || branches + 1 == wires.len())
    };
    here.wires(fits, "the number of powers does not fit its conductors and connection")?;
    let grounded = wires.iter().filter(|&&wire| wire == Wire::GROUND).count();
    here.wires(grounded < wires.len(), "all its conductors are the earth")?;
    here.positive("rated voltage in V", load.u_branch_v)?;
    for (p, q) in load.p_w.iter().zip(&load.q_var) {
        here.finite("p_specified in W", *p)?;
        here.finite("q_specified in var", *q)?;
    }
    let kind = &load.dependence;
    for share in [kind.z_p, kind.i_p, kind.z_q, kind.i_q] {
        here.finite("share of the voltage dependence", share)?;
    }
    match kind.limits_pu {
        Some((low, high)) => {
            here.positive("lower voltage limit in p.u.", low)?;
            here.accept(
                high > low && high.is_finite(),
                "upper voltage limit in p.u.",
                high,
                "more than the lower is needed",
            )
        }
        None => Ok(()),
    }
}
