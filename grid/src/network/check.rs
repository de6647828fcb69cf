//! What makes a set of parts a network: unique numbers, known buses, physical attributes, everything fed.

use super::{Bus, NetworkError, NetworkParts};
use crate::id::BusId;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn index_buses(buses: &[Bus]) -> Result<BTreeMap<BusId, usize>, NetworkError> {
    let mut index = BTreeMap::new();
    for (position, bus) in buses.iter().enumerate() {
        positive("bus", bus.id.0, "rated voltage in V", bus.u_rated_v)?;
        if let Some((x, y)) = bus.position_m {
            finite("bus", bus.id.0, "x coordinate in m", x)?;
            finite("bus", bus.id.0, "y coordinate in m", y)?;
        }
        if index.insert(bus.id, position).is_some() {
            return Err(NetworkError::Duplicate { kind: "bus", id: bus.id.0 });
        }
    }
    Ok(index)
}

pub(super) fn check_branches(
    parts: &NetworkParts,
    buses: &BTreeMap<BusId, usize>,
) -> Result<(), NetworkError> {
    let mut seen = BTreeSet::new();
    let ends = (parts.lines.iter().map(|l| ("line", l.id, l.from, l.to)))
        .chain(parts.transformers.iter().map(|t| ("transformer", t.id, t.from, t.to)));
    for (kind, id, from, to) in ends {
        if !seen.insert(id) {
            return Err(NetworkError::Duplicate { kind, id: id.0 });
        }
        for bus in [from, to] {
            known_bus(buses, kind, id.0, bus)?;
        }
        if from == to {
            return Err(NetworkError::Loop { kind, id: id.0, bus: from });
        }
    }
    for line in &parts.lines {
        let id = line.id.0;
        not_negative("line", id, "r1 in ohm", line.r1_ohm)?;
        not_negative("line", id, "x1 in ohm", line.x1_ohm)?;
        not_negative("line", id, "r0 in ohm", line.r0_ohm)?;
        not_negative("line", id, "x0 in ohm", line.x0_ohm)?;
        not_negative("line", id, "c1 in F", line.c1_f)?;
        not_negative("line", id, "c0 in F", line.c0_f)?;
        positive("line", id, "impedance r1 + x1 in ohm", line.r1_ohm + line.x1_ohm)?;
        if let Some(rated) = line.i_rated_a {
            positive("line", id, "rated current in A", rated)?;
        }
    }
    for transformer in &parts.transformers {
        let id = transformer.id.0;
        positive("transformer", id, "u1 in V", transformer.u1_v)?;
        positive("transformer", id, "u2 in V", transformer.u2_v)?;
        positive("transformer", id, "sn in VA", transformer.s_rated_va)?;
        positive("transformer", id, "uk in p.u.", transformer.uk_pu)?;
        not_negative("transformer", id, "pk in W", transformer.pk_w)?;
        not_negative("transformer", id, "i0 in p.u.", transformer.i0_pu)?;
        not_negative("transformer", id, "p0 in W", transformer.p0_w)?;
        if transformer.clock > 11 {
            return Err(NetworkError::Attribute {
                kind: "transformer",
                id,
                attribute: "clock",
                value: f64::from(transformer.clock),
                expected: "0 to 11 is possible",
            });
        }
    }
    Ok(())
}

pub(super) fn check_terminals(
    parts: &NetworkParts,
    buses: &BTreeMap<BusId, usize>,
) -> Result<(), NetworkError> {
    if parts.sources.is_empty() {
        return Err(NetworkError::NoSource);
    }
    for source in &parts.sources {
        let id = source.bus.0;
        known_bus(buses, "source at bus", id, source.bus)?;
        positive("source at bus", id, "u_ref in p.u.", source.u_ref_pu)?;
        positive("source at bus", id, "sk in VA", source.sk_va)?;
        not_negative("source at bus", id, "rx_ratio", source.rx_ratio)?;
        positive("source at bus", id, "z01_ratio", source.z01_ratio)?;
    }
    let mut seen = BTreeSet::new();
    for point in &parts.usage_points {
        let id = point.id.0;
        known_bus(buses, "usage point", id, point.bus)?;
        finite("usage point", id, "p_specified in W", point.p_specified_w)?;
        finite("usage point", id, "q_specified in var", point.q_specified_var)?;
        if !seen.insert(point.id) {
            return Err(NetworkError::Duplicate { kind: "usage point", id });
        }
    }
    Ok(())
}

pub(super) fn check_islands(
    parts: &NetworkParts,
    buses: &BTreeMap<BusId, usize>,
) -> Result<(), NetworkError> {
    let mut neighbours: Vec<Vec<usize>> = vec![Vec::new(); parts.buses.len()];
    let ends =
        (parts.lines.iter().map(|l| (l.from, l.to))).chain(parts.transformers.iter().map(|t| (t.from, t.to)));
    for (from, to) in ends {
        if let (Some(&from), Some(&to)) = (buses.get(&from), buses.get(&to)) {
            neighbours[from].push(to);
            neighbours[to].push(from);
        }
    }
    let mut fed = vec![false; parts.buses.len()];
    let mut waiting: Vec<usize> =
        parts.sources.iter().filter_map(|source| buses.get(&source.bus).copied()).collect();
    while let Some(bus) = waiting.pop() {
        if !std::mem::replace(&mut fed[bus], true) {
            waiting.extend(neighbours[bus].iter().copied().filter(|&next| !fed[next]));
        }
    }
    match fed.iter().position(|fed| !fed) {
        None => Ok(()),
        Some(first) => Err(NetworkError::Island {
            count: fed.iter().filter(|fed| !**fed).count(),
            first: parts.buses[first].id,
        }),
    }
}

fn known_bus(
    buses: &BTreeMap<BusId, usize>,
    kind: &'static str,
    id: u32,
    bus: BusId,
) -> Result<(), NetworkError> {
    if buses.contains_key(&bus) { Ok(()) } else { Err(NetworkError::UnknownBus { kind, id, bus }) }
}

fn finite(kind: &'static str, id: u32, attribute: &'static str, value: f64) -> Result<(), NetworkError> {
    accept(value.is_finite() && value.abs() < 1e15, kind, id, attribute, value, "a finite number is needed")
}

fn positive(kind: &'static str, id: u32, attribute: &'static str, value: f64) -> Result<(), NetworkError> {
    accept(value > 0.0 && value < 1e15, kind, id, attribute, value, "a positive finite number is needed")
}

fn not_negative(
    kind: &'static str,
    id: u32,
    attribute: &'static str,
    value: f64,
) -> Result<(), NetworkError> {
    let expected = "zero or a positive finite number is needed";
    accept((0.0..1e15).contains(&value), kind, id, attribute, value, expected)
}

fn accept(
    good: bool,
    kind: &'static str,
    id: u32,
    attribute: &'static str,
    value: f64,
    expected: &'static str,
) -> Result<(), NetworkError> {
    if good { Ok(()) } else { Err(NetworkError::Attribute { kind, id, attribute, value, expected }) }
}
