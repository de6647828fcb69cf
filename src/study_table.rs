//! What a calculation says to people: worst voltages, highest loadings, sensors that are off.

use connectors::power_grid_model::{Component, Input, State};
use estimation::assembly::Assembly;
use estimation::circuit::Circuit;
use estimation::study::{Deviations, Judgement, Observability};
use grid::BranchId;
use std::fmt::Write;

/// Rows shown of each list.
const ROWS: usize = 8;

/// How well an estimate is known.
#[derive(Debug, Clone, Copy)]
pub struct Doubt<'a> {
    /// Voltages.
    pub judgement: &'a Judgement,
    /// Everything else, where it was asked for.
    pub flows: Option<&'a Deviations>,
}

/// The table of one state; of an estimate with one standard deviation behind each value.
pub fn table(state: &State<'_>, title: &str, doubt: Option<&Doubt<'_>>) -> String {
    let mut text = String::new();
    let circuit = &state.assembly.circuit;
    let live = circuit.buses.iter().filter(|bus| bus.energized).count();
    let _ = writeln!(
        text,
        "{}: {} buses ({live} energized), {} branches, {}",
        state.input.parts.name,
        state.input.parts.buses.len(),
        state.assembly.branches.len(),
        title
    );
    voltages(&mut text, state, circuit, doubt);
    loadings(&mut text, state, doubt.and_then(|doubt| doubt.flows));
    text
}

/// What its file calls a component, where it has a name.
fn called(input: &Input, id: u32) -> String {
    input.parts.names.get(&id).map_or_else(String::new, |name| format!("  {name}"))
}

/// One standard deviation behind a value, where there is one.
fn give_or_take(deviation: Option<f64>, decimals: usize) -> String {
    let deviation = deviation.filter(|deviation| deviation.is_finite());
    deviation.map_or_else(String::new, |deviation| format!(" ± {deviation:.decimals$}"))
}

fn voltages(text: &mut String, state: &State<'_>, circuit: &Circuit, doubt: Option<&Doubt<'_>>) {
    let mut rows: Vec<(f64, u32, usize, f64, String)> = Vec::new();
    for bus in &state.input.parts.buses {
        let Some(&position) = state.assembly.buses.get(&bus.id) else { continue };
        if !circuit.buses[position as usize].energized {
            continue;
        }
        for (wire, global) in circuit.wires(position).enumerate().take(3) {
            let u = state.voltages[global].norm();
            let deviation = doubt.and_then(|doubt| doubt.judgement.voltage_std.get(global).copied());
            rows.push(((u - 1.0).abs(), bus.id.0, wire, u, give_or_take(deviation, 5)));
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let _ = writeln!(
        text,
        "\nvoltages farthest from rated\n  {:>8}  {:>5}  {:>10}",
        "node", "phase", "u in p.u."
    );
    for (_, id, wire, u, deviation) in rows.iter().take(ROWS) {
        let phase = if state.assembly.symmetric { "all" } else { ["a", "b", "c"][*wire] };
        let _ = writeln!(text, "  {id:>8}  {phase:>5}  {u:>10.5}{deviation}{}", called(state.input, *id));
    }
}

fn loadings(text: &mut String, state: &State<'_>, flows: Option<&Deviations>) {
    let mut rows: Vec<(f64, Component, u32)> =
        state.loadings().into_iter().filter(|row| row.0.is_finite()).collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let _ = writeln!(text, "\nhighest loadings\n  {:>8}  {:<26}  {:>9}", "branch", "kind", "loading");
    for (loading, component, id) in rows.iter().take(ROWS) {
        let (kind, percent) = (component.name(), loading * 100.0);
        let deviation = flows.and_then(|flows| flows.branches.get(&BranchId(*id)));
        let deviation = give_or_take(deviation.map(|branch| branch.loading * 100.0), 1);
        let _ =
            writeln!(text, "  {id:>8}  {kind:<26}  {percent:>7.1}{deviation} %{}", called(state.input, *id));
    }
}

/// How well an estimate is known, and which sensors do not fit.
pub fn sensors(text: &mut String, input: &Input, assembly: &Assembly, judgement: &Judgement) {
    let count = |wanted| judgement.observability.iter().filter(|wire| **wire == Some(wanted)).count();
    let _ = writeln!(
        text,
        "\nwires determined by measurements {}, with pseudo-measurements {}, by nothing {}",
        count(Observability::Measured),
        count(Observability::Pseudo),
        count(Observability::None)
    );
    let worst = judgement.voltage_std.iter().enumerate().filter(|(_, std)| std.is_finite());
    if let Some((wire, std)) = worst.max_by(|a, b| a.1.total_cmp(b.1)) {
        let at = assembly.buses.iter().find(|(_, bus)| assembly.circuit.wires(**bus).contains(&wire));
        let at = at.map_or("a star point".into(), |(bus, _)| format!("node {bus}"));
        let _ = writeln!(text, "least known voltage: {at}, ± {std:.5} p.u. (one standard deviation)");
    }
    let mut rows: Vec<(f64, u32, Component)> = Vec::new();
    for list in input.lists.iter().filter(|list| list.component.is_sensor()) {
        for (row, &id) in list.ids.iter().enumerate() {
            let value = judgement.normalized.get(list.first + row).copied().unwrap_or(f64::NAN);
            rows.extend(value.is_finite().then_some((value, id, list.component)));
        }
    }
    rows.sort_by(|a, b| b.0.total_cmp(&a.0));
    let _ = writeln!(
        text,
        "\nlargest normalised residuals\n  {:>8}  {:<20}  {:>8}",
        "sensor", "kind", "residual"
    );
    for (value, id, component) in rows.iter().take(ROWS) {
        let kind = component.name();
        let _ = writeln!(text, "  {id:>8}  {kind:<20}  {value:>8.2}{}", called(input, *id));
    }
}
