//! `gridflex powerflow --sensitivities`: what limited elements answer to connection points, as a member of the document and
//! as a table.

use connectors::power_grid_model::{Component, Input, State};
use estimation::study::{Answer, Limited, Moves, Response};
use grid::{BranchId, BusId, Network};
use serde::Serialize;
use std::fmt::Write;

/// Connection points named in the table, those with the largest effect.
const NAMED: usize = 4;
/// The step that the table speaks of, W.
const STEP_W: f64 = 100e3;

/// One limited element.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    component: &'static str,
    id: u32,
    /// Of a voltage: `a`, `b`, `c`, or `all` in a symmetric calculation. Of a branch: the conductor with most current.
    phase: &'static str,
    /// The end that decides a branch's loading: `from`, `to`, or the number of a winding.
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<&'static str>,
    by: Vec<By>,
}

/// By one connection point, in the sign of its component: a load takes, a generator gives. Volts and amperes per W or var,
/// loading (a fraction) per W or var; a number for an appliance with one power, a list for one with a power per phase.
#[derive(Debug, Clone, Serialize)]
struct By {
    component: &'static str,
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    du_dp: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    du_dq: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    di_dp: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    di_dq: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dloading_dp: Option<Numbers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dloading_dq: Option<Numbers>,
}

/// Written without a list when there is one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
enum Numbers {
    One(f64),
    Each(Vec<f64>),
}

impl Numbers {
    /// `None` where there is no such number.
    fn new(moves: &[Moves], sign: f64, of: impl Fn(&Moves) -> f64) -> Option<Self> {
        let all: Vec<f64> = moves.iter().map(|moves| sign * of(moves)).collect();
        match all[..] {
            _ if all.iter().all(|value| value.is_nan()) => None,
            [one] => Some(Self::One(one)),
            _ => Some(Self::Each(all)),
        }
    }

    /// Of a power that is spread evenly.
    fn evenly(&self) -> f64 {
        match self {
            Self::One(one) => *one,
            Self::Each(all) => all.iter().sum::<f64>() / all.len() as f64,
        }
    }
}

/// The branches with the highest loadings and the voltages farthest from rated, `count` of each.
pub fn limited(state: &State<'_>, count: usize) -> Vec<Limited> {
    let mut loadings: Vec<(f64, u32)> = state
        .loadings()
        .into_iter()
        .map(|(loading, _, id)| (loading, id))
        .filter(|row| row.0.is_finite())
        .collect();
    loadings.sort_by(|a, b| b.0.total_cmp(&a.0));
    let circuit = &state.assembly.circuit;
    let mut voltages: Vec<(f64, BusId, usize)> = Vec::new();
    for (&id, &position) in &state.assembly.buses {
        if circuit.buses[position as usize].energized {
            let wires = circuit.wires(position).enumerate().take(3);
            voltages.extend(wires.map(|(wire, at)| ((state.voltages[at].norm() - 1.0).abs(), id, wire)));
        }
    }
    voltages.sort_by(|a, b| b.0.total_cmp(&a.0));
    let loadings = loadings.into_iter().take(count).map(|(_, id)| Limited::Loading(BranchId(id)));
    loadings.chain(voltages.into_iter().take(count).map(|(_, id, wire)| Limited::Voltage(id, wire))).collect()
}

/// The reports of all responses.
pub fn reports(input: &Input, network: &Network, symmetric: bool, responses: &[Response]) -> Vec<Report> {
    let component = |id: u32| input.find(id).map_or("usage_point", |(component, _)| component.name());
    let gives = |id: u32| network.loads().iter().any(|load| load.id == id && load.generates);
    let by = |answer: &Answer| {
        let id = answer.appliance;
        let sign = if gives(id) { -1.0 } else { 1.0 };
        let numbers = |moves: &[Moves], of: fn(&Moves) -> f64| Numbers::new(moves, sign, of);
        By {
            component: component(id),
            id,
            du_dp: numbers(&answer.p, |moves| moves.u_v),
            du_dq: numbers(&answer.q, |moves| moves.u_v),
            di_dp: numbers(&answer.p, |moves| moves.i_a),
            di_dq: numbers(&answer.q, |moves| moves.i_a),
            dloading_dp: numbers(&answer.p, |moves| moves.loading),
            dloading_dq: numbers(&answer.q, |moves| moves.loading),
        }
    };
    let one = |response: &Response| {
        let id = match response.of {
            Limited::Voltage(id, _) => id.0,
            Limited::Loading(id) => id.0,
        };
        let winding = input.find(id).is_some_and(|found| found.0 == Component::ThreeWindingTransformer);
        let names: &[&str] = if winding { &["1", "2", "3"] } else { &["from", "to"] };
        let end = names.get(response.end).copied().filter(|_| matches!(response.of, Limited::Loading(_)));
        let phase =
            if symmetric { "all" } else { ["a", "b", "c"].get(response.wire).copied().unwrap_or("n") };
        let by = response.answers.iter().map(by).collect();
        Report { component: component(id), id, phase, end, by }
    };
    responses.iter().map(one).collect()
}

/// What the table says of them.
pub fn table(reports: &[Report]) -> String {
    let mut text = format!("\nwhat {} kW more move (loads take them, generators give them)\n", STEP_W / 1e3);
    for report in reports {
        let end = report.end.map_or_else(|| format!("phase {}", report.phase), |end| format!("end {end}"));
        let mut rows: Vec<(f64, &'static str, u32, &'static str)> = Vec::new();
        for by in &report.by {
            let (number, unit) = match (&by.du_dp, &by.dloading_dp, &by.di_dp) {
                (Some(u), ..) => (u.evenly(), "V"),
                (_, Some(loading), _) => (100.0 * loading.evenly(), "%"),
                (.., Some(i)) => (i.evenly(), "A"),
                _ => continue,
            };
            rows.push((number * STEP_W, by.component, by.id, unit));
        }
        rows.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
        let named =
            rows.iter().take(NAMED).map(|(move_, kind, id, unit)| format!("{kind} {id}: {move_:+.3} {unit}"));
        let named: Vec<String> = named.collect();
        let _ = writeln!(text, "  {} {}, {end}: {}", report.component, report.id, named.join(", "));
    }
    text
}
