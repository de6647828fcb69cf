//! Each kind of component: its attributes, and what becomes of them.

use super::error::NetworkFileError;
use super::row::Row;
use grid::network::{Bus, Line, NetworkParts, Source, Transformer, UsagePoint, Winding};
use grid::{BranchId, BusId, Phase, UsagePointId};

type Result<T> = std::result::Result<T, NetworkFileError>;

pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) attributes: &'static [&'static str],
    pub(super) read: fn(&Row<'_>, &mut NetworkParts) -> Result<()>,
}

const LOAD: &[&str] = &["id", "node", "status", "type", "p_specified", "q_specified"];

pub(super) const KINDS: [Kind; 6] = [
    Kind { name: "node", attributes: &["id", "u_rated", "x_m", "y_m"], read: node },
    Kind {
        name: "line",
        attributes: &[
            "id",
            "from_node",
            "to_node",
            "from_status",
            "to_status",
            "r1",
            "x1",
            "c1",
            "tan1",
            "r0",
            "x0",
            "c0",
            "tan0",
            "i_n",
        ],
        read: line,
    },
    Kind {
        name: "transformer",
        attributes: &[
            "id",
            "from_node",
            "to_node",
            "from_status",
            "to_status",
            "u1",
            "u2",
            "sn",
            "uk",
            "pk",
            "i0",
            "p0",
            "i0_zero_sequence",
            "p0_zero_sequence",
            "winding_from",
            "winding_to",
            "clock",
            "tap_side",
            "tap_pos",
            "tap_min",
            "tap_max",
            "tap_nom",
            "tap_size",
            "uk_min",
            "uk_max",
            "pk_min",
            "pk_max",
            "r_grounding_from",
            "x_grounding_from",
            "r_grounding_to",
            "x_grounding_to",
        ],
        read: transformer,
    },
    Kind {
        name: "source",
        attributes: &["id", "node", "status", "u_ref", "u_ref_angle", "sk", "rx_ratio", "z01_ratio"],
        read: source,
    },
    Kind { name: "sym_load", attributes: LOAD, read: sym_load },
    Kind { name: "asym_load", attributes: LOAD, read: asym_load },
];

fn node(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    let position_m = match (row.optional("x_m")?, row.optional("y_m")?) {
        (Some(x), Some(y)) => Some((x, y)),
        (None, None) => None,
        (Some(_), None) => return Err(row.wrong("y_m", "is missing beside x_m")),
        (None, Some(_)) => return Err(row.wrong("x_m", "is missing beside y_m")),
    };
    parts.buses.push(Bus { id: BusId(row.id()), u_rated_v: row.number("u_rated")?, position_m });
    Ok(())
}

/// Both ends, or `None` when one of them is open.
fn ends(row: &Row<'_>) -> Result<Option<(BusId, BusId)>> {
    let ends = (BusId(row.reference("from_node")?), BusId(row.reference("to_node")?));
    let closed = row.status("from_status")? & row.status("to_status")?;
    Ok(closed.then_some(ends))
}

fn line(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    let ends = ends(row)?;
    for name in ["tan1", "tan0"] {
        row.without(name, 0.0, "dielectric losses are not modelled, set it to 0")?;
    }
    let line = |(from, to)| -> Result<Line> {
        Ok(Line {
            id: BranchId(row.id()),
            from,
            to,
            r1_ohm: row.number("r1")?,
            x1_ohm: row.number("x1")?,
            r0_ohm: row.number("r0")?,
            x0_ohm: row.number("x0")?,
            c1_f: row.number("c1")?,
            c0_f: row.number("c0")?,
            i_rated_a: row.optional("i_n")?,
            ..Line::default()
        })
    };
    parts.lines.extend(ends.map(line).transpose()?);
    Ok(())
}

fn transformer(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    let ends = ends(row)?;
    refuse_details(row)?;
    let (mut u1_v, mut u2_v) = (row.number("u1")?, row.number("u2")?);
    let (at_from, tap_v) = tap(row)?;
    *if at_from { &mut u1_v } else { &mut u2_v } += tap_v;
    let (winding_from, winding_to) = (winding(row, "winding_from")?, winding(row, "winding_to")?);
    let clock = row.integer("clock", -12..=12)?.ok_or_else(|| row.wrong("clock", "is missing"))?;
    let odd_expected = (winding_from == Winding::Delta) != (winding_to == Winding::Delta);
    if (clock % 2 != 0) != odd_expected {
        let parity = if odd_expected { "odd" } else { "even" };
        return Err(row.wrong("clock", format!("is {clock}, these windings need an {parity} number")));
    }
    let transformer = |(from, to)| -> Result<Transformer> {
        Ok(Transformer {
            id: BranchId(row.id()),
            from,
            to,
            u1_v,
            u2_v,
            s_rated_va: row.number("sn")?,
            uk_pu: row.number("uk")?,
            pk_w: row.number("pk")?,
            i0_pu: row.number("i0")?,
            p0_w: row.number("p0")?,
            winding_from,
            winding_to,
            clock: clock.rem_euclid(12) as u8,
            ..Transformer::default()
        })
    };
    parts.transformers.extend(ends.map(transformer).transpose()?);
    Ok(())
}

/// Details of a transformer that the network model does not have.
fn refuse_details(row: &Row<'_>) -> Result<()> {
    for name in ["r_grounding_from", "x_grounding_from", "r_grounding_to", "x_grounding_to"] {
        row.without(name, 0.0, "neutrals are grounded solidly or not at all, leave it out")?;
    }
    for (name, nominal) in [("uk_min", "uk"), ("uk_max", "uk"), ("pk_min", "pk"), ("pk_max", "pk")] {
        let advice =
            "the impedance does not depend on the tap, leave it out and set uk and pk for the present tap";
        row.without(name, row.number(nominal)?, advice)?;
    }
    for (name, positive) in [("i0_zero_sequence", "i0"), ("p0_zero_sequence", "p0")] {
        row.without(name, row.number(positive)?, "leave it out")?;
    }
    Ok(())
}

/// The tapped side (`true` is `from`) and what the tap adds to its rated voltage, V. As in power-grid-model the
/// voltage grows with the position when `tap_max` lies above `tap_min`, and falls otherwise.
fn tap(row: &Row<'_>) -> Result<(bool, f64)> {
    const POSITIONS: std::ops::RangeInclusive<i64> = -127..=127;
    let at_from = row.integer("tap_side", 0..=1)?.unwrap_or(0) == 0;
    let nominal = row.integer("tap_nom", POSITIONS)?.unwrap_or(0);
    let position = row.integer("tap_pos", POSITIONS)?.unwrap_or(nominal);
    if position == nominal {
        return Ok((at_from, 0.0));
    }
    let limit =
        |name| -> Result<i64> { row.integer(name, POSITIONS)?.ok_or_else(|| row.wrong(name, "is missing")) };
    let (min, max) = (limit("tap_min")?, limit("tap_max")?);
    if !(min.min(max)..=min.max(max)).contains(&position) {
        return Err(row.wrong("tap_pos", format!("is {position}, {min} to {max} is possible")));
    }
    let direction = if max > min { 1.0 } else { -1.0 };
    Ok((at_from, direction * (position - nominal) as f64 * row.number("tap_size")?))
}

fn winding(row: &Row<'_>, name: &str) -> Result<Winding> {
    match row.integer(name, 0..=4)? {
        Some(0) => Ok(Winding::Wye),
        Some(1) => Ok(Winding::WyeN),
        Some(2) => Ok(Winding::Delta),
        Some(code) => {
            Err(row
                .wrong(name, format!("is {code} (zigzag), which is not supported; use wye, wye_n or delta")))
        }
        None => Err(row.wrong(name, "is missing")),
    }
}

fn source(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    row.without("u_ref_angle", 0.0, "angles are counted from the source, leave it out")?;
    let source = Source {
        id: row.id(),
        bus: BusId(row.reference("node")?),
        u_ref_pu: row.number("u_ref")?,
        // The defaults are power-grid-model's.
        sk_va: row.optional("sk")?.unwrap_or(1e10),
        rx_ratio: row.optional("rx_ratio")?.unwrap_or(0.1),
        z01_ratio: row.optional("z01_ratio")?.unwrap_or(1.0),
        ..Source::default()
    };
    if row.status("status")? {
        parts.sources.push(source);
    }
    Ok(())
}

fn sym_load(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    let powers = (row.number("p_specified")?, row.number("q_specified")?);
    usage_point(row, None, powers, parts)
}

fn asym_load(row: &Row<'_>, parts: &mut NetworkParts) -> Result<()> {
    let (p, q) = (row.phases("p_specified")?, row.phases("q_specified")?);
    let sum = |values: [Option<f64>; 3]| values.iter().flatten().sum();
    usage_point(row, phase(row, p, q)?, (sum(p), sum(q)), parts)
}

/// The one phase that has a value, or else the one that has a value other than zero; `None` for three equal ones.
fn phase(row: &Row<'_>, p: [Option<f64>; 3], q: [Option<f64>; 3]) -> Result<Option<Phase>> {
    let value = |phase: Phase| (p[phase.index()], q[phase.index()]);
    let only = |wanted: &dyn Fn(Phase) -> bool| -> Option<Phase> {
        let mut found = Phase::ALL.into_iter().filter(|&phase| wanted(phase));
        found.next().filter(|_| found.next().is_none())
    };
    let given = |phase| value(phase) != (None, None);
    let loaded = |phase| value(phase).0.unwrap_or(0.0) != 0.0 || value(phase).1.unwrap_or(0.0) != 0.0;
    if let Some(phase) = only(&given).or_else(|| only(&loaded)) {
        return Ok(Some(phase));
    }
    let equal = |[a, b, c]: [Option<f64>; 3]| a.is_some() && a == b && b == c;
    if equal(p) && equal(q) {
        return Ok(None);
    }
    let reason = "differs between phases; split it into one single-phase asym_load per phase";
    Err(row.wrong("p_specified, q_specified", reason))
}

fn usage_point(
    row: &Row<'_>,
    phase: Option<Phase>,
    (p_specified_w, q_specified_var): (f64, f64),
    parts: &mut NetworkParts,
) -> Result<()> {
    row.without("type", 0.0, "only constant power (0) is modelled")?;
    let bus = BusId(row.reference("node")?);
    if row.status("status")? {
        let id = UsagePointId(row.id());
        parts.usage_points.push(UsagePoint { id, bus, phase, p_specified_w, q_specified_var });
    }
    Ok(())
}
