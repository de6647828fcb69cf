//! Every number against power-grid-model's output of the same situations (`cases/assembly`).

use super::*;
use crate::assembly::tests::{dense, situations};
use serde_json::Value;

/// Compares numbers with a row's attribute, phase by phase.
fn same(name: &str, row: &Value, attribute: &str, own: &[f64], tolerance: f64) {
    let theirs: Vec<f64> = match &row[attribute] {
        Value::Array(values) => values.iter().map(|x| x.as_f64().unwrap()).collect(),
        one => vec![one.as_f64().unwrap_or_else(|| panic!("{attribute} of {row}"))],
    };
    assert_eq!(own.len(), theirs.len(), "{name}: {attribute} of {row}");
    for (own, theirs) in own.iter().zip(&theirs) {
        // Where a flow is nothing, what rounding leaves of others' hundred kilowatts counts.
        let voltage_or_loading = attribute.starts_with('u') || attribute.starts_with("loading");
        let floor = if voltage_or_loading { 1.0 } else { 1e3 };
        let off = (own - theirs).abs();
        assert!(
            off <= tolerance * theirs.abs().max(floor),
            "{name}: {attribute} {own} instead of {theirs} in {row}"
        );
    }
}

fn flows(name: &str, row: &Value, suffix: &str, wires: &[WireFlow], tolerance: f64) {
    let of = |f: &dyn Fn(&WireFlow) -> f64| wires.iter().map(f).collect::<Vec<_>>();
    same(name, row, &format!("p{suffix}"), &of(&|w| w.p_w), tolerance);
    same(name, row, &format!("q{suffix}"), &of(&|w| w.q_var), tolerance);
    same(name, row, &format!("s{suffix}"), &of(&|w| w.s_va()), tolerance);
    same(name, row, &format!("i{suffix}"), &of(&|w| w.i_a.norm()), tolerance);
}

fn rows<'a>(expected: &'a Value, kind: &str) -> Vec<&'a Value> {
    expected[kind].as_array().into_iter().flatten().collect()
}

fn energized(row: &Value) -> bool {
    row["energized"].as_i64() == Some(1)
}

#[test]
fn every_bus_says_what_power_grid_model_says() {
    for (name, network, expected, symmetric) in situations() {
        let assembly = Assembly::new(&network, symmetric).unwrap();
        let results = Results::new(&network, &assembly, &dense::solve(&assembly.circuit));
        let tolerance = if network.links().is_empty() { 1e-8 } else { 1e-4 };
        for (bus, row) in results.buses.iter().zip(rows(&expected, "node")) {
            let of = |f: &dyn Fn(&WireVoltage) -> f64| bus.wires.iter().map(f).collect::<Vec<_>>();
            assert_eq!(u64::from(bus.id.0), row["id"].as_u64().unwrap());
            assert_eq!(bus.energized, energized(row), "{name}: {row}");
            let close = f64::min(tolerance, 1e-9);
            same(&name, row, "u_pu", &of(&|w| w.u_pu()), close);
            same(&name, row, "u", &of(&|w| w.u_v), close);
            same(&name, row, "u_angle", &of(&|w| w.angle_rad()), close);
            same(&name, row, "p", &of(&|w| w.p_w), tolerance);
            same(&name, row, "q", &of(&|w| w.q_var), tolerance);
        }
    }
}

#[test]
fn every_branch_says_what_power_grid_model_says() {
    for (name, network, expected, symmetric) in situations() {
        let assembly = Assembly::new(&network, symmetric).unwrap();
        let results = Results::new(&network, &assembly, &dense::solve(&assembly.circuit));
        let two_ended = [
            ("line", &results.lines),
            ("transformer", &results.transformers),
            ("link", &results.links),
            ("generic_branch", &results.generic_branches),
            ("asym_line", &results.coupled_lines),
        ];
        let mut compared = 0;
        for (kind, own) in two_ended {
            // 1e8 p.u. of a link times the rounding of a voltage.
            let tolerance = if network.links().is_empty() { 1e-8 } else { 1e-4 };
            let theirs = rows(&expected, kind);
            assert_eq!(own.len(), theirs.len(), "{name}: {kind}");
            for (branch, row) in own.iter().zip(theirs) {
                assert_eq!(branch.energized, energized(row), "{name}: {row}");
                flows(&name, row, "_from", &branch.ends[0].wires, tolerance);
                flows(&name, row, "_to", &branch.ends[1].wires, tolerance);
                same(&name, row, "loading", &[branch.loading.unwrap()], tolerance);
                compared += 1;
            }
        }
        for (unit, row) in
            results.three_winding_transformers.iter().zip(rows(&expected, "three_winding_transformer"))
        {
            assert_eq!(unit.energized, energized(row), "{name}: {row}");
            for (end, winding) in unit.ends.iter().zip(1..) {
                flows(&name, row, &format!("_{winding}"), &end.wires, 1e-8);
                // Of a dead unit power-grid-model gives the winding no loading at all.
                if unit.energized {
                    same(&name, row, &format!("loading_{winding}"), &[end.loading.unwrap()], 1e-8);
                }
            }
            same(&name, row, "loading", &[unit.loading.unwrap()], 1e-8);
            compared += 1;
        }
        assert!(compared > 0, "{name}");
    }
}

#[test]
fn every_appliance_says_what_power_grid_model_says() {
    for (name, network, expected, symmetric) in situations() {
        let assembly = Assembly::new(&network, symmetric).unwrap();
        let results = Results::new(&network, &assembly, &dense::solve(&assembly.circuit));
        let loads: Vec<&Value> = ["sym_load", "sym_gen", "asym_load", "asym_gen"]
            .iter()
            .flat_map(|kind| rows(&expected, kind))
            .collect();
        let tolerance = if network.links().is_empty() { 1e-8 } else { 1e-4 };
        for (own, theirs) in [
            (&results.loads, loads),
            (&results.sources, rows(&expected, "source")),
            (&results.shunts, rows(&expected, "shunt")),
        ] {
            assert_eq!(own.len(), theirs.len());
            for (one, row) in own.iter().zip(theirs) {
                assert_eq!(u64::from(one.id), row["id"].as_u64().unwrap(), "{name}");
                assert_eq!(one.energized, energized(row), "{name}: {row}");
                flows(&name, row, "", &one.wires, tolerance);
                let pf: Vec<f64> = one.wires.iter().map(WireFlow::power_factor).collect();
                same(&name, row, "pf", &pf, 1e-6);
            }
        }
    }
}

#[test]
fn a_source_as_strong_as_numbers_go_delivers_what_its_bus_needs() {
    let mut parts = crate::assembly::tests::pgm::parts(&crate::case::read("cases/assembly/taps/input.json"));
    let weak = results_of(&parts, 1e12);
    let strong = results_of(&parts, 3e50);
    assert!((strong.sources[0].p_w() - weak.sources[0].p_w()).abs() < 1.0);
    assert!(strong.sources[0].p_w() > 4e5);
    // Two alike share alike.
    parts.sources.push(grid::network::Source { id: 99, ..parts.sources[0].clone() });
    let both = results_of(&parts, 1e12);
    assert!((both.sources[0].p_w() - both.sources[1].p_w()).abs() < 1e-3);
}

fn results_of(parts: &grid::network::NetworkParts, sk_va: f64) -> Results {
    let mut parts = parts.clone();
    parts.sources.iter_mut().for_each(|source| source.sk_va = sk_va);
    let network = Network::new(parts).unwrap();
    let assembly = Assembly::new(&network, false).unwrap();
    // The dense oracle cannot hold 1e44 beside 1: the voltages are those of a merely strong source.
    let mut moderate = assembly.clone();
    for source in &mut moderate.circuit.sources {
        source.y =
            crate::circuit::Coupling::from_sequence(Complex64::new(0.0, -1e6), Complex64::new(0.0, -1e6));
    }
    Results::new(&network, &assembly, &dense::solve(&moderate.circuit))
}
