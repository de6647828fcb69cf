//! Standard deviations beside power-grid-model's attributes: `p_from` has `p_from_std`, and so on. NaN, which is written
//! as null, where there is none.

use connectors::power_grid_model::{Component, Extra, ExtraValues, Input, Listed};
use estimation::assembly::Assembly;
use estimation::study::{BranchDeviation, BusDeviation, Deviations, WireDeviation};
use grid::BranchId;
use grid::network::Wire;

type Names = [&'static str; 3];

/// By end: active power, reactive power, current.
const TWO_ENDS: [Names; 2] =
    [["p_from_std", "q_from_std", "i_from_std"], ["p_to_std", "q_to_std", "i_to_std"]];
const THREE_ENDS: [Names; 3] =
    [["p_1_std", "q_1_std", "i_1_std"], ["p_2_std", "q_2_std", "i_2_std"], ["p_3_std", "q_3_std", "i_3_std"]];
const LOADINGS: Names = ["loading_1_std", "loading_2_std", "loading_3_std"];
const APPLIANCE: Names = ["p_std", "q_std", "i_std"];

/// The attributes of every component; `deviations` are those of an estimate, or nothing where they were not asked for.
pub fn extras(input: &Input, assembly: &Assembly, deviations: Option<&Deviations>) -> Vec<Extra> {
    use Component as C;
    let mut extras = Vec::new();
    let conductors = if assembly.symmetric { 1 } else { 3 };
    for list in &input.lists {
        match list.component {
            C::Node => nodes(&mut extras, assembly, deviations, list),
            C::Line | C::AsymLine | C::Link | C::GenericBranch | C::Transformer => {
                branches(&mut extras, deviations, list, &TWO_ENDS, conductors);
            }
            C::ThreeWindingTransformer => {
                branches(&mut extras, deviations, list, &THREE_ENDS, conductors);
                for (end, attribute) in LOADINGS.into_iter().enumerate() {
                    let loading =
                        |branch: &BranchDeviation| branch.ends.get(end).map_or(f64::NAN, |end| end.loading);
                    loadings(&mut extras, deviations, list, attribute, loading);
                }
            }
            C::Source | C::SymLoad | C::AsymLoad | C::SymGen | C::AsymGen | C::Shunt => {
                let of = |id: u32| {
                    deviations
                        .and_then(|all| all.appliances.get(&id))
                        .map(|wires| &wires[..wires.len().min(3)])
                };
                wires(&mut extras, list, APPLIANCE, conductors, of);
            }
            _ => {}
        }
    }
    extras
}

fn nodes(extras: &mut Vec<Extra>, assembly: &Assembly, deviations: Option<&Deviations>, list: &Listed) {
    let position = |id: u32| assembly.buses.get(&grid::BusId(id)).copied();
    let live = |at: u32| assembly.circuit.buses[at as usize].energized;
    type Of = fn(&BusDeviation) -> &[f64];
    let attributes: [(&'static str, Of, f64); 3] = [
        ("u_angle_std", |bus| &bus.angle_rad, f64::NAN),
        // A bus without appliances takes exactly nothing.
        ("p_std", |bus| &bus.p_w, 0.0),
        ("q_std", |bus| &bus.q_var, 0.0),
    ];
    for (attribute, of, without) in attributes {
        let row = |&id: &u32| {
            let found = position(id).and_then(|at| Some((at, deviations?.buses.get(at as usize)?)));
            let Some((at, bus)) = found.filter(|(at, _)| live(*at)) else { return [f64::NAN; 3] };
            let values = of(bus);
            let phase = |phase: usize| {
                let wanted = if assembly.symmetric { Wire(1) } else { Wire::PHASES[phase] };
                let wire = assembly.conductors(at).iter().position(|wire| *wire == wanted);
                wire.map_or(f64::NAN, |wire| values.get(wire).copied().unwrap_or(without))
            };
            [phase(0), phase(1), phase(2)]
        };
        let rows: Vec<[f64; 3]> = list.ids.iter().map(row).collect();
        let values = if assembly.symmetric {
            ExtraValues::Numbers(rows.iter().map(|row| row[0]).collect())
        } else {
            ExtraValues::Phases(rows)
        };
        extras.push(Extra { component: list.component, attribute, values });
    }
}

fn branches(
    extras: &mut Vec<Extra>,
    deviations: Option<&Deviations>,
    list: &Listed,
    ends: &[Names],
    conductors: usize,
) {
    loadings(extras, deviations, list, "loading_std", |branch| branch.loading);
    for (end, names) in ends.iter().enumerate() {
        let of = |id: u32| {
            let branch = deviations.and_then(|all| all.branches.get(&BranchId(id)))?;
            branch.ends.get(end).map(|end| end.wires.as_slice())
        };
        wires(extras, list, *names, conductors, of);
    }
}

fn loadings(
    extras: &mut Vec<Extra>,
    deviations: Option<&Deviations>,
    list: &Listed,
    attribute: &'static str,
    of: impl Fn(&BranchDeviation) -> f64,
) {
    let one = |id: &u32| deviations.and_then(|all| all.branches.get(&BranchId(*id))).map_or(f64::NAN, &of);
    let values = ExtraValues::Numbers(list.ids.iter().map(one).collect());
    extras.push(Extra { component: list.component, attribute, values });
}

/// Powers and current of every component of a list, wire by wire; as many nulls as it has conductors without them.
fn wires<'a>(
    extras: &mut Vec<Extra>,
    list: &Listed,
    names: Names,
    conductors: usize,
    of: impl Fn(u32) -> Option<&'a [WireDeviation]>,
) {
    let parts: [fn(&WireDeviation) -> f64; 3] = [|wire| wire.p_w, |wire| wire.q_var, |wire| wire.i_a];
    for (attribute, part) in names.into_iter().zip(parts) {
        let row = |id: &u32| match of(*id) {
            Some(wires) => wires.iter().map(part).collect(),
            None => vec![f64::NAN; conductors],
        };
        let values = ExtraValues::Wires(list.ids.iter().map(row).collect());
        extras.push(Extra { component: list.component, attribute, values });
    }
}
