//! `gridflex powerflow --sensitivities` against its own power flow with loads that take a little more and a little less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{run, text, words};
use serde_json::{Value, json};
use std::path::Path;

/// What a load takes more, W or var.
const STEP: f64 = 50.0;

fn document() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("estimation/cases/estimate")
        .join("nothing-wrong")
        .join("input.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let data = document["data"].as_object_mut().unwrap();
    data.retain(|component, _| !component.ends_with("_sensor"));
    data.insert(
        "asym_gen".into(),
        json!([{ "id": 46, "node": 7, "status": 1, "type": 0,
            "p_specified": [3e4, 2e4, 1e4], "q_specified": [1e3, 2e3, 3e3] }]),
    );
    data.insert(
        "sym_load".into(),
        json!([{ "id": 47, "node": 9, "status": 1, "type": 0, "p_specified": 3e4, "q_specified": 1e4 }]),
    );
    document
}

fn solve(folder: &Path, document: &Value, more: &[&str]) -> Value {
    let (input, out) = (folder.join("input.json"), folder.join("out.json"));
    std::fs::write(&input, document.to_string()).unwrap();
    let own = ["powerflow", text(&input), "-o", text(&out), "--tolerance", "1e-13"];
    let output = run([&own[..], more].concat());
    assert!(output.status.success(), "{}", words(&output));
    serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()
}

fn number(value: &Value, at: usize) -> f64 {
    value.as_f64().or_else(|| value[at].as_f64()).unwrap_or(f64::NAN)
}

/// The value a report speaks of.
fn value(data: &Value, report: &Value, what: &str) -> f64 {
    let rows = data[report["component"].as_str().unwrap()].as_array().unwrap();
    let row = rows.iter().find(|row| row["id"] == report["id"]).unwrap();
    let phase = ["a", "b", "c"].iter().position(|phase| report["phase"] == *phase).unwrap_or(0);
    match what {
        "u" => number(&row["u"], phase),
        "i" => number(&row[format!("i_{}", report["end"].as_str().unwrap())], phase),
        _ => row["loading"].as_f64().unwrap(),
    }
}

fn compare(more: &[&str]) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let document = document();
    let base = solve(folder.path(), &document, &[more, &["--sensitivities", "40"]].concat());
    let reports = base["sensitivities"].as_array().unwrap();
    let mut compared = 0;
    for component in ["asym_load", "asym_gen", "sym_load"] {
        for load in document["data"][component].as_array().unwrap() {
            for (power, attribute) in [("p", "p_specified"), ("q", "q_specified")] {
                let count = if component == "sym_load" { 1 } else { 3 };
                let scenarios = (0..2 * count).map(|k| {
                    let mut specified = load[attribute].clone();
                    let place = if count == 1 { &mut specified } else { &mut specified[k / 2] };
                    *place = json!(place.as_f64().unwrap() + if k % 2 == 0 { STEP } else { -STEP });
                    json!({ component: [{ "id": load["id"], attribute: specified }] })
                });
                let scenarios: Vec<Value> = scenarios.collect();
                let update = json!({ "version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": scenarios });
                let file = folder.path().join("update.json");
                std::fs::write(&file, update.to_string()).unwrap();
                let moved = solve(folder.path(), &document, &[more, &["--update", text(&file)]].concat());
                for report in reports {
                    let by =
                        report["by"].as_array().unwrap().iter().find(|by| by["id"] == load["id"]).unwrap();
                    assert_eq!(by["component"], component);
                    for (what, rounding) in [("u", 2e-9), ("i", 2e-9), ("loading", 1e-11)] {
                        let stated = &by[format!("d{what}_d{power}")];
                        if stated.is_null() {
                            continue;
                        }
                        // A symmetric calculation has the sum of a load's phases only.
                        let each = stated.as_array().map_or(1, Vec::len);
                        for at in 0..each {
                            let of = |k: usize| value(&moved["data"][k], report, what);
                            let found = (of(2 * at) - of(2 * at + 1)) / (2.0 * STEP);
                            let stated = number(stated, at);
                            compared += 1;
                            assert!(
                                (stated - found).abs() < 1e-4 * stated.abs() + rounding,
                                "{report} by {component} {}: d{what}/d{power} {stated:e} instead of {found:e}",
                                load["id"]
                            );
                        }
                    }
                }
            }
        }
    }
    compared
}

#[test]
fn sensitivities_of_three_phases_are_what_the_power_flow_does() {
    assert!(compare(&[]) > 1000);
}

#[test]
fn sensitivities_of_a_symmetric_calculation_are_what_the_power_flow_does() {
    assert!(compare(&["--symmetric"]) > 200);
}

#[test]
fn the_table_names_who_moves_most_and_a_mesh_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input.json");
    std::fs::write(&file, document().to_string()).unwrap();
    let said = words(&run(["powerflow", text(&file), "--sensitivities", "2", "--table"]));
    assert!(said.contains("what 100 kW more move") && said.contains("sym_load 47: "), "{said}");
    let mut mesh = document();
    for line in mesh["data"]["line"].as_array_mut().unwrap() {
        (line["from_status"], line["to_status"]) = (json!(1), json!(1));
    }
    std::fs::write(&file, mesh.to_string()).unwrap();
    let output = run(["powerflow", text(&file), "--sensitivities", "--table"]);
    let said = words(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("radial networks only") && said.contains("closes a loop"), "{said}");
    let linear = ["powerflow", text(&file), "--sensitivities", "--method", "linear"];
    assert_eq!(run(linear).status.code(), Some(2));
}
