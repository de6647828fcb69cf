//! Standard deviations that `gridflex estimate` writes, against what its answers do when readings move: by finite differences
//! (the sum over all readings of (answer per reading × sigma)², exact where readings fit) and by repeated measurement.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{run, text, words};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Component, id, attribute, phase.
type Key = (String, u64, String, usize);

/// One number of a sensor, with its sigma.
#[derive(Debug, Clone)]
struct Reading {
    component: &'static str,
    row: usize,
    attribute: &'static str,
    phase: usize,
    sigma: f64,
}

const ENDS: [&str; 6] = ["p_from", "q_from", "i_from", "p_to", "q_to", "i_to"];

fn attributes(component: &str) -> Vec<&'static str> {
    match component {
        "node" => vec!["u", "u_angle", "p", "q"],
        "line" | "transformer" => [&ENDS[..], &["loading"]].concat(),
        "source" | "asym_load" | "asym_gen" | "shunt" => vec!["p", "q", "i"],
        _ => Vec::new(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().map(|one| one.as_f64().unwrap_or(f64::NAN)).collect(),
        one => vec![one.as_f64().unwrap_or(f64::NAN)],
    }
}

/// All values of a kind of name (`{attribute}{suffix}`).
fn values(data: &Value, suffix: &str) -> BTreeMap<Key, f64> {
    let mut found = BTreeMap::new();
    for (component, rows) in data.as_object().unwrap() {
        for row in rows.as_array().unwrap() {
            for attribute in attributes(component) {
                let name = format!("{attribute}{suffix}");
                let value = row.get(&name).unwrap_or_else(|| panic!("{component} without {name}: {row}"));
                for (phase, number) in numbers(value).into_iter().enumerate() {
                    let id = row["id"].as_u64().unwrap();
                    found.insert((component.clone(), id, attribute.to_owned(), phase), number);
                }
            }
        }
    }
    found
}

/// A case with the readings it would have without errors.
struct Case {
    folder: tempfile::TempDir,
    document: Value,
    arguments: Vec<&'static str>,
    readings: Vec<Reading>,
}

impl Case {
    /// `phasors`: with angles at the source, otherwise they are counted from there. `mesh`: with a loop, otherwise a tree
    /// that has a branch open at one end.
    fn new(mesh: bool, phasors: bool, arguments: &[&'static str]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("estimation/cases/estimate/nothing-wrong");
        let mut document: Value =
            serde_json::from_slice(&std::fs::read(path.join("input.json")).unwrap()).unwrap();
        let data = document["data"].as_object_mut().unwrap();
        data.remove("asym_current_sensor");
        if phasors {
            data["asym_voltage_sensor"][0]["u_angle_measured"] =
                json!([0.0, -2.094_395_102_393_195, 2.094_395_102_393_195]);
        }
        // A second appliance at a node.
        data.insert(
            "asym_gen".into(),
            json!([{ "id": 46, "node": 3, "status": 1, "type": 0,
                "p_specified": [3e4, 2e4, 1e4], "q_specified": [1e3, 2e3, 3e3] }]),
        );
        let sensors = data["asym_power_sensor"].as_array_mut().unwrap();
        sensors
            .push(json!({ "id": 66, "measured_object": 46, "measured_terminal_type": 5, "power_sigma": 2e3,
            "p_measured": [3e4, 2e4, 1e4], "q_measured": [1e3, 2e3, 3e3] }));
        let open = data["line"].as_array_mut().unwrap().iter_mut().find(|row| row["from_status"] == 0);
        if let Some(line) = open {
            (line["c1"], line["c0"]) = (json!(1e-6), json!(5e-7));
            (line["from_status"], line["to_status"]) = (json!(1), json!(u8::from(mesh)));
        }
        let mut case = Self {
            folder: tempfile::tempdir().unwrap(),
            document,
            arguments: arguments.to_vec(),
            readings: Vec::new(),
        };
        case.fit();
        case.list();
        case
    }

    /// Sets every reading to what the estimate makes of it.
    fn fit(&mut self) {
        let found = self.estimate(&self.document, &[]);
        let measured = [
            (
                "asym_voltage_sensor",
                vec![("u_measured", "u_residual"), ("u_angle_measured", "u_angle_residual")],
            ),
            ("asym_power_sensor", vec![("p_measured", "p_residual"), ("q_measured", "q_residual")]),
        ];
        let symmetric = self.arguments.contains(&"--symmetric");
        for (component, attributes) in measured {
            let rows = found["data"][component].as_array().unwrap();
            for (sensor, row) in self.document["data"][component].as_array_mut().unwrap().iter_mut().zip(rows)
            {
                assert_eq!(sensor["id"], row["id"]);
                for (measured, residual) in &attributes {
                    if sensor[*measured].is_null() {
                        continue;
                    }
                    let off = numbers(&row[*residual]);
                    // A symmetric calculation has the mean of voltages (phase to phase) and the sum of powers.
                    let part = match (symmetric, *measured) {
                        (false, _) => 1.0,
                        (true, "u_measured") => 1.0 / 3.0_f64.sqrt(),
                        (true, _) => 1.0 / 3.0,
                    };
                    let all = numbers(&sensor[*measured]).into_iter().enumerate();
                    let fitting =
                        all.map(|(phase, value)| value - part * off[if symmetric { 0 } else { phase }]);
                    sensor[*measured] = json!(fitting.collect::<Vec<_>>());
                }
            }
        }
    }

    fn list(&mut self) {
        // A symmetric calculation takes the mean of three phases as no better than each (power-grid-model does).
        let worse = if self.arguments.contains(&"--symmetric") { 3.0_f64.sqrt() } else { 1.0 };
        let rows = |component: &str| self.document["data"][component].as_array().unwrap().clone();
        let mut readings = Vec::new();
        for (row, sensor) in rows("asym_voltage_sensor").iter().enumerate() {
            let sigma = worse * sensor["u_sigma"].as_f64().unwrap();
            for phase in 0..3 {
                let component = "asym_voltage_sensor";
                readings.push(Reading { component, row, attribute: "u_measured", phase, sigma });
                if !sensor["u_angle_measured"].is_null() {
                    let sigma = sigma / (10e3 / 3.0_f64.sqrt());
                    readings.push(Reading { component, row, attribute: "u_angle_measured", phase, sigma });
                }
            }
        }
        for (row, sensor) in rows("asym_power_sensor").iter().enumerate() {
            let sigma = worse * sensor["power_sigma"].as_f64().unwrap() / 2.0_f64.sqrt();
            for attribute in ["p_measured", "q_measured"] {
                let one = |phase| Reading { component: "asym_power_sensor", row, attribute, phase, sigma };
                readings.extend((0..3).map(one));
            }
        }
        self.readings = readings;
    }

    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path
    }

    fn estimate(&self, document: &Value, more: &[&str]) -> Value {
        let (input, out) = (self.file("input.json", document), self.folder.path().join("out.json"));
        let own = ["estimate", text(&input), "-o", text(&out), "--tolerance", "1e-12"];
        let output = run([&own[..], &self.arguments, more].concat());
        assert!(output.status.success(), "{}", words(&output));
        serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()
    }

    /// Values and stated deviations of the readings that fit.
    fn stated(&self) -> (BTreeMap<Key, f64>, BTreeMap<Key, f64>) {
        let found = self.estimate(&self.document, &[]);
        (values(&found["data"], ""), values(&found["data"], "_std"))
    }

    /// Estimates with readings moved by so many of their sigmas each, a row per scenario.
    fn moved(&self, scenarios: &[Vec<(usize, f64)>]) -> Vec<BTreeMap<Key, f64>> {
        let scenario = |moves: &Vec<(usize, f64)>| {
            let mut rows: BTreeMap<(&str, usize), Value> = BTreeMap::new();
            for &(at, sigmas) in moves {
                let reading = &self.readings[at];
                let sensor = &self.document["data"][reading.component][reading.row];
                let row = rows
                    .entry((reading.component, reading.row))
                    .or_insert_with(|| json!({ "id": sensor["id"] }));
                if row[reading.attribute].is_null() {
                    row[reading.attribute] = sensor[reading.attribute].clone();
                }
                let value = row[reading.attribute][reading.phase].as_f64().unwrap() + sigmas * reading.sigma;
                row[reading.attribute][reading.phase] = json!(value);
            }
            let mut update: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
            rows.into_iter().for_each(|((component, _), row)| update.entry(component).or_default().push(row));
            json!(update)
        };
        let data: Vec<Value> = scenarios.iter().map(scenario).collect();
        let update =
            json!({ "version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": data });
        let update = self.file("update.json", &update);
        let found = self.estimate(&self.document, &["--update", text(&update)]);
        found["data"].as_array().unwrap().iter().map(|data| values(data, "")).collect()
    }
}

/// The difference of two values; of angles the short way round.
fn difference(key: &Key, one: f64, other: f64) -> f64 {
    let off = one - other;
    if key.2 == "u_angle" { off - (off / std::f64::consts::TAU).round() * std::f64::consts::TAU } else { off }
}

/// What rounding may add, by attribute: rad, V, W and A.
fn rounding(key: &Key) -> f64 {
    match key.2.as_str() {
        "u_angle" | "loading" => 1e-8,
        "u" => 1e-5,
        "i" | "i_from" | "i_to" => 1e-5,
        _ => 1e-1,
    }
}

/// Compares with finite differences; returns how many deviations were compared.
fn compare(case: &Case, within: f64, skip: &[&str]) -> usize {
    let (_, stated) = case.stated();
    let step = 0.05;
    let scenarios: Vec<_> =
        (0..2 * case.readings.len()).map(|k| vec![(k / 2, if k % 2 == 0 { step } else { -step })]).collect();
    let moved = case.moved(&scenarios);
    let (mut compared, mut without, mut wrong) = (0, 0, Vec::new());
    for (key, &stated) in stated.iter().filter(|(key, _)| !skip.contains(&key.2.as_str())) {
        let squares = moved.chunks(2).map(|pair| difference(key, pair[0][key], pair[1][key]) / (2.0 * step));
        let expected = squares.map(|by| by * by).sum::<f64>().sqrt();
        if stated.is_nan() {
            without += 1;
            continue;
        }
        compared += 1;
        if (stated - expected).abs() > within * expected.max(stated) + rounding(key) {
            wrong.push(format!("{key:?}: stated {stated:.6e}, by readings {expected:.6e}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    // Ends of branches that are open have none.
    assert!(without <= 12, "{without} without a deviation");
    compared
}

#[test]
fn every_deviation_of_a_tree_is_what_the_readings_make_of_it() {
    assert!(compare(&Case::new(false, true, &[]), 5e-3, &[]) > 250);
}

#[test]
fn every_deviation_by_the_sparse_solver_is_what_the_readings_make_of_it() {
    assert!(compare(&Case::new(false, true, &["--method", "sparse"]), 5e-3, &[]) > 250);
    assert!(compare(&Case::new(true, true, &[]), 5e-3, &[]) > 250);
}

#[test]
fn deviations_of_a_symmetric_calculation_are_what_the_readings_make_of_them() {
    // Angles count from the source here.
    assert!(compare(&Case::new(false, false, &["--symmetric"]), 5e-3, &[]) > 80);
    let sparse = ["--symmetric", "--method", "sparse"];
    assert!(compare(&Case::new(false, false, &sparse), 5e-3, &[]) > 80);
}

#[test]
fn tree_and_sparse_solver_state_the_same_deviations() {
    let tree = Case::new(false, false, &[]);
    let sparse = Case::new(false, false, &["--method", "sparse"]);
    let ((_, tree), (_, sparse)) = (tree.stated(), sparse.stated());
    assert_eq!(tree.len(), sparse.len());
    for (key, one) in &tree {
        let other = sparse[key];
        let same = (one - other).abs() <= 5e-3 * one.max(other) + rounding(key);
        assert!(same || (one.is_nan() && other.is_nan()), "{key:?}: {one:.6e} {other:.6e}");
    }
}

/// A seeded standard normal draw.
fn gauss(state: &mut u64) -> f64 {
    let mut unit = || {
        // splitmix64
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (one, other) = (unit().max(1e-300), unit());
    (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * other).cos()
}

#[test]
fn repeated_measurement_scatters_as_stated() {
    let case = Case::new(false, true, &[]);
    let (exact, stated) = case.stated();
    let (mut state, draws) = (7_u64, 400);
    let scenarios: Vec<Vec<(usize, f64)>> =
        (0..draws).map(|_| (0..case.readings.len()).map(|at| (at, gauss(&mut state))).collect()).collect();
    let moved = case.moved(&scenarios);
    let mut kinds: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for (key, &stated) in stated.iter().filter(|(key, stated)| **stated > 10.0 * rounding(key)) {
        let squares = moved.iter().map(|found| difference(key, found[key], exact[key]).powi(2));
        let ratio = (squares.sum::<f64>() / f64::from(draws)).sqrt() / stated;
        assert!((0.8..1.2).contains(&ratio), "{key:?}: {ratio}");
        kinds.entry(key.2.clone()).or_default().push(ratio);
    }
    assert!(kinds.len() > 10, "{kinds:?}");
    for (kind, ratios) in kinds {
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        assert!((0.95..1.05).contains(&mean), "{kind}: {mean:.4} over {}", ratios.len());
    }
}

#[test]
fn what_nothing_determines_has_no_deviation_and_dead_parts_have_none() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("estimation/cases/estimate/unobservable-lateral/input.json");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.json");
    let mut documents = Vec::new();
    for method in ["auto", "sparse"] {
        let output = run(["estimate", text(&path), "-o", text(&out), "--table", "--method", method]);
        assert!(output.status.success(), "{}", words(&output));
        assert!(words(&output).contains(" ± "), "{}", words(&output));
        let found: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
        let mut blind = 0;
        for node in found["data"]["node"].as_array().unwrap() {
            let unknown = node["observability"] == "unobservable";
            blind += usize::from(unknown);
            let known = |attribute: &str| !numbers(&node[attribute]).iter().any(|value| value.is_nan());
            assert_eq!(known("u_std"), !unknown, "{method}: {node}");
            // The source's own voltage is not determined here, and angles count from there.
            assert!(!known("u_angle_std"), "{method}: {node}");
        }
        assert!(blind > 0);
        let nothing = |row: &Value| numbers(&row["p_from_std"]).iter().all(|value| value.is_nan());
        documents.push(found["data"]["line"].as_array().unwrap().iter().map(nothing).collect::<Vec<_>>());
    }
    assert_eq!(documents[0], documents[1]);
    assert!(documents[0].contains(&true) && documents[0].contains(&false), "{documents:?}");
}
