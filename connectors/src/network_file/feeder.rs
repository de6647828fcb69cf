//! From everything a file can say to what the live estimator's feeder model has.

use crate::power_grid_model::{Component, Input, ReadError};
use grid::network::{
    Load, NetworkParts, Transformer, TransformerSide, UsagePoint, VoltageDependence, Winding,
};
use grid::{Phase, UsagePointId};

type Result<T> = std::result::Result<T, ReadError>;

/// What to do about components that the feeder model does not have.
const ADVICE: [(Component, &str); 8] = [
    (Component::ThreeWindingTransformer, "replace it by two-winding transformers around an inner node"),
    (Component::Link, "merge its two nodes into one"),
    (Component::Shunt, "leave it out if its effect is small"),
    (Component::SymGen, "turn it into a load with negative power"),
    (Component::AsymGen, "turn it into loads with negative power"),
    (Component::AsymLine, "replace it by a line with sequence impedances"),
    (Component::GenericBranch, "replace it by a line or a transformer"),
    (Component::TransformerTapRegulator, "leave it out and set the tap position it would reach"),
];
const ADVICE_OTHERWISE: &str =
    "node, line, transformer, source, sym_load and asym_load are read; leave it out of the network file";
const READ: [Component; 6] = [
    Component::Node,
    Component::Line,
    Component::Transformer,
    Component::Source,
    Component::SymLoad,
    Component::AsymLoad,
];

/// Turns loads into usage points and applies taps and statuses, or says what cannot be expressed.
pub(super) fn narrow(input: Input) -> Result<NetworkParts> {
    let strange = input.lists.iter().find(|list| !list.ids.is_empty() && !READ.contains(&list.component));
    if let Some(list) = strange {
        let advice = ADVICE.iter().find(|(component, _)| *component == list.component);
        return Err(ReadError::Unsupported {
            component: list.component.name().into(),
            count: list.ids.len(),
            advice: advice.map_or(ADVICE_OTHERWISE, |(_, advice)| advice),
        });
    }
    let mut parts = input.parts;
    parts.dead_islands = false;
    for line in &parts.lines {
        for (attribute, value) in [("tan1", line.tan1), ("tan0", line.tan0)] {
            let advice = "dielectric losses are not modelled, set it to 0";
            without("line", line.id.0, attribute, value, 0.0, advice)?;
        }
    }
    parts.lines.retain(|line| line.from_closed && line.to_closed);
    for transformer in &mut parts.transformers {
        simplify(transformer)?;
    }
    parts.transformers.retain(|transformer| transformer.from_closed && transformer.to_closed);
    for source in &parts.sources {
        let advice = "angles are counted from the source, leave it out";
        without("source", source.id, "u_ref_angle", source.u_ref_angle_rad, 0.0, advice)?;
        if source.u_ref_pu.is_nan() {
            return Err(wrong("source", source.id, "u_ref", "is missing"));
        }
    }
    parts.sources.retain(|source| source.closed);
    for load in std::mem::take(&mut parts.loads) {
        let point = usage_point(&load)?;
        parts.usage_points.extend(load.closed.then_some(point));
    }
    Ok(parts)
}

fn wrong(component: &'static str, id: u32, attribute: &str, reason: impl Into<String>) -> ReadError {
    ReadError::Attribute { component, id, attribute: attribute.into(), reason: reason.into() }
}

/// Refuses an attribute that the model cannot express, unless it has no effect.
fn without(
    component: &'static str,
    id: u32,
    attribute: &str,
    value: f64,
    neutral: f64,
    advice: &str,
) -> Result<()> {
    if value == neutral {
        return Ok(());
    }
    Err(wrong(component, id, attribute, format!("is {value}, which is not supported; {advice}")))
}

/// Applies the tap and refuses details of a transformer that the model does not have.
fn simplify(transformer: &mut Transformer) -> Result<()> {
    let id = transformer.id.0;
    for (attribute, winding) in
        [("winding_from", transformer.winding_from), ("winding_to", transformer.winding_to)]
    {
        let code = match winding {
            Winding::Zigzag => 3,
            Winding::ZigzagN => 4,
            _ => continue,
        };
        let reason = format!("is {code} (zigzag), which is not supported; use wye, wye_n or delta");
        return Err(wrong("transformer", id, attribute, reason));
    }
    let grounding = [
        ("r_grounding_from", transformer.grounding_from_ohm.0),
        ("x_grounding_from", transformer.grounding_from_ohm.1),
        ("r_grounding_to", transformer.grounding_to_ohm.0),
        ("x_grounding_to", transformer.grounding_to_ohm.1),
    ];
    for (attribute, value) in grounding {
        let advice = "neutrals are grounded solidly or not at all, leave it out";
        without("transformer", id, attribute, value, 0.0, advice)?;
    }
    let (uk, pk) = (transformer.uk_pu, transformer.pk_w);
    let uk_at = transformer.uk_at_limits_pu.unwrap_or((uk, uk));
    let pk_at = transformer.pk_at_limits_w.unwrap_or((pk, pk));
    for (attribute, value, nominal) in
        [("uk_min", uk_at.0, uk), ("uk_max", uk_at.1, uk), ("pk_min", pk_at.0, pk), ("pk_max", pk_at.1, pk)]
    {
        let advice =
            "the impedance does not depend on the tap, leave it out and set uk and pk for the present tap";
        without("transformer", id, attribute, value, nominal, advice)?;
    }
    let i0_zero = transformer.i0_zero_pu.unwrap_or(transformer.i0_pu);
    let p0_zero = transformer.p0_zero_w.unwrap_or(transformer.p0_w);
    without("transformer", id, "i0_zero_sequence", i0_zero, transformer.i0_pu, "leave it out")?;
    without("transformer", id, "p0_zero_sequence", p0_zero, transformer.p0_w, "leave it out")?;
    if let Some(tap) = transformer.tap {
        if tap.size_v.is_nan() {
            return Err(wrong("transformer", id, "tap_size", "is missing"));
        }
        let voltage = match tap.side {
            TransformerSide::To => &mut transformer.u2_v,
            _ => &mut transformer.u1_v,
        };
        *voltage += tap.added_v();
    }
    transformer.tap = None;
    (transformer.uk_at_limits_pu, transformer.pk_at_limits_w) = (None, None);
    (transformer.i0_zero_pu, transformer.p0_zero_w) = (None, None);
    Ok(())
}

fn usage_point(load: &Load) -> Result<UsagePoint> {
    let component = if load.symmetric { "sym_load" } else { "asym_load" };
    if load.dependence != VoltageDependence::POWER {
        let code = if load.dependence == VoltageDependence::IMPEDANCE { 1 } else { 2 };
        let reason = format!("is {code}, which is not supported; only constant power (0) is modelled");
        return Err(wrong(component, load.id, "type", reason));
    }
    for (attribute, values) in [("p_specified", &load.p_w), ("q_specified", &load.q_var)] {
        if values.iter().all(|value| value.is_nan()) {
            return Err(wrong(component, load.id, attribute, "is missing"));
        }
    }
    let sum = |values: &[f64]| -> f64 { values.iter().filter(|value| !value.is_nan()).sum() };
    let total = |values: &[f64]| if load.symmetric { values[0] * 3.0 } else { sum(values) };
    Ok(UsagePoint {
        id: UsagePointId(load.id),
        bus: load.terminal.bus,
        phase: if load.symmetric { None } else { phase(load)? },
        p_specified_w: total(&load.p_w),
        q_specified_var: total(&load.q_var),
    })
}

/// The one phase that has a value, or else the one that has a value other than zero; `None` for three equal ones.
fn phase(load: &Load) -> Result<Option<Phase>> {
    let value = |phase: Phase| (load.p_w[phase.index()], load.q_var[phase.index()]);
    let only = |wanted: &dyn Fn(Phase) -> bool| -> Option<Phase> {
        let mut found = Phase::ALL.into_iter().filter(|&phase| wanted(phase));
        found.next().filter(|_| found.next().is_none())
    };
    let given = |phase| !value(phase).0.is_nan() || !value(phase).1.is_nan();
    let is_load = |value: f64| !value.is_nan() && value != 0.0;
    let loaded = |phase| is_load(value(phase).0) || is_load(value(phase).1);
    if let Some(phase) = only(&given).or_else(|| only(&loaded)) {
        return Ok(Some(phase));
    }
    let equal = |values: &[f64]| values[0] == values[1] && values[1] == values[2];
    if equal(&load.p_w) && equal(&load.q_var) {
        return Ok(None);
    }
    let reason = "differs between phases; split it into one single-phase asym_load per phase";
    Err(wrong("asym_load", load.id, "p_specified, q_specified", reason))
}
