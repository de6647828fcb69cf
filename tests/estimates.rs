//! `gridflex estimate` as people call it: every case of `estimation/cases/estimate`, batches, tables, drawings, and what
//! nobody can estimate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{gridflex, run, text, words};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("estimation/cases/estimate")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .unwrap()
}

fn input(case: &str) -> Value {
    read(&cases().join(case).join("input.json"))
}

/// The row of a component.
fn row<'a>(data: &'a Value, component: &str, id: &str) -> &'a Value {
    let rows = data[component].as_array().unwrap_or_else(|| panic!("no {component}"));
    let number: u32 = id.parse().unwrap();
    rows.iter().find(|row| row["id"] == number).unwrap_or_else(|| panic!("no {component} {id}"))
}

/// Whether `found` has everything `expected` says: objects may say more, lists of objects may be longer than expected.
fn holds(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(name, value)| found.get(name).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(found), Value::Array(expected)) => {
            let more = expected.first().is_some_and(Value::is_object);
            (found.len() == expected.len() || (more && found.len() > expected.len()))
                && found.iter().zip(expected).all(|(found, expected)| holds(found, expected))
        }
        _ => found == expected,
    }
}

/// What is wrong with the answer to a case.
fn check(folder: &Path) -> Result<(), String> {
    let case = read(&folder.join("case.json"));
    let out = tempfile::tempdir().unwrap();
    let (file, input) = (out.path().join("out.json"), folder.join("input.json"));
    let mut arguments = vec!["estimate", text(&input), "--table", "-o", text(&file)];
    arguments.extend(case["arguments"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
    let output = run(arguments);
    let said = words(&output);
    let code = output.status.code().map(i64::from);
    if code != case["exit"].as_i64() || said.contains("panicked") {
        return Err(said);
    }
    for part in case["says"].as_array().unwrap() {
        if !said.contains(part.as_str().unwrap()) {
            return Err(format!("does not say {part}: {said}"));
        }
    }
    if code != Some(0) {
        return Ok(());
    }
    let answer = read(&file);
    for (component, expected) in case["expect"].as_object().into_iter().flatten() {
        if component == "diagnosis" {
            if !holds(&answer["diagnosis"], expected) {
                return Err(format!("{expected} is expected, {:#} found", answer["diagnosis"]));
            }
            continue;
        }
        for (id, expected) in expected.as_object().unwrap() {
            let found = row(&answer["data"], component, id);
            if !holds(found, expected) {
                return Err(format!("{component} {id}: {expected} is expected, {found} found"));
            }
        }
    }
    for (id, truth) in case["true_u"].as_object().into_iter().flatten() {
        let found = row(&answer["data"], "node", id);
        for phase in 0..3 {
            let of = |name: &str| found[name][phase].as_f64().unwrap_or(f64::NAN);
            let away = (of("u") - truth[phase].as_f64().unwrap()).abs() / of("u_std");
            if !(away < case["within_sigmas"].as_f64().unwrap()) {
                return Err(format!("node {id}, phase {phase}: {away} deviations from the truth"));
            }
        }
    }
    Ok(())
}

#[test]
fn every_case_is_answered_as_it_says() {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(cases()).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() > 20, "{folders:?}");
    let name = |folder: &Path| folder.file_name().unwrap().to_string_lossy().into_owned();
    let wrong: Vec<String> = folders
        .iter()
        .filter_map(|folder| Some(format!("{}: {}", name(folder), check(folder).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), folders.len(), wrong.join("\n\n"));
}

/// An answer in a folder of its own.
struct Answer {
    folder: tempfile::TempDir,
}

impl Answer {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content.to_string()).unwrap();
        path
    }

    fn estimate(&self, input: &Path, more: &[&str]) -> (Value, Output) {
        let out = self.folder.path().join("out.json");
        let output = run([&["estimate", text(input), "-o", text(&out)], more].concat());
        assert!(output.status.success(), "{}", words(&output));
        (read(&out), output)
    }
}

fn each_u(data: &Value) -> Vec<f64> {
    let nodes = data["node"].as_array().unwrap();
    nodes
        .iter()
        .flat_map(|node| node["u_pu"].as_array().unwrap().iter().map(|u| u.as_f64().unwrap()))
        .collect()
}

#[test]
fn a_batch_answers_as_its_scenarios_one_by_one() {
    let answer = Answer::new();
    for (case, method) in
        [("nothing-wrong", "auto"), ("nothing-wrong", "sparse"), ("unobservable-lateral", "auto")]
    {
        let base = input(case);
        let power = |factor: f64| {
            let rows = base["data"]["asym_power_sensor"].as_array().unwrap().iter().take(6).map(|row| {
                let scaled = |name: &str| {
                    let values = row[name].as_array().unwrap().iter();
                    values.map(|x| x.as_f64().unwrap() * factor).collect::<Vec<_>>()
                };
                json!({ "id": row["id"], "p_measured": scaled("p_measured"), "q_measured": scaled("q_measured") })
            });
            rows.collect::<Vec<_>>()
        };
        // Values, a deviation, a sensor that falls silent, a switch, and values again.
        let scenarios = [
            json!({ "asym_power_sensor": power(1.03) }),
            json!({ "asym_power_sensor": power(0.8) }),
            json!({ "asym_voltage_sensor": [{ "id": 52, "u_sigma": 40.0 }] }),
            json!({ "asym_power_sensor": [{ "id": 72, "power_sigma": "inf" }] }),
            json!({ "line": [{ "id": 27, "from_status": 1, "to_status": 1 }] }),
            json!({ "asym_power_sensor": power(1.1), "asym_voltage_sensor": [{ "id": 53, "u_measured": [5800.0, 5810.0, 5805.0] }] }),
        ];
        let file = answer.file("input.json", &base);
        let update = |data: Value, batch: bool| json!({ "version": "1.0", "type": "update", "is_batch": batch, "attributes": {}, "data": data });
        let all = answer.file("all.json", &update(json!(scenarios), true));
        let (together, _) = answer.estimate(&file, &["--update", text(&all), "--method", method]);
        for (number, scenario) in scenarios.iter().enumerate() {
            let one = answer.file("one.json", &update(json!([scenario]), true));
            let (alone, _) = answer.estimate(&file, &["--update", text(&one), "--method", method]);
            let (one, other) = (each_u(&together["data"][number]), each_u(&alone["data"][0]));
            let apart = one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-7, "{case}, {method}, scenario {number}: {apart:.1e} p.u. apart");
            let words = |data: &Value| {
                data["node"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|node| node["observability"].clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                words(&together["data"][number]),
                words(&alone["data"][0]),
                "{case}, scenario {number}"
            );
        }
    }
}

#[test]
fn a_batch_is_diagnosed_scenario_by_scenario() {
    let answer = Answer::new();
    let file = cases().join("nothing-wrong/input.json");
    let wrong = json!({ "asym_voltage_sensor": [{ "id": 53, "u_measured": [6200.0, 5800.0, 5800.0] }] });
    let update = json!({ "version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": [{}, wrong] });
    let update = answer.file("update.json", &update);
    let (found, _) = answer.estimate(&file, &["--diagnose", "--update", text(&update)]);
    assert_eq!(found["diagnosis"].as_array().unwrap().len(), 2);
    assert_eq!(found["diagnosis"][0]["consistent"], json!(true));
    assert_eq!(found["diagnosis"][1]["suspects"][0]["id"], json!(53));
    assert_eq!(row(&found["data"][1], "asym_voltage_sensor", "53")["suspect"], json!(1.0));
    assert_eq!(row(&found["data"][0], "asym_voltage_sensor", "53")["suspect"], json!(null));
}

#[test]
fn every_kind_of_sensor_on_a_tree_has_a_residual_and_an_error_that_would_be_seen() {
    let answer = Answer::new();
    let file = cases().join("nothing-wrong/input.json");
    let (tree, _) = answer.estimate(&file, &["--diagnose"]);
    let (sparse, _) = answer.estimate(&file, &["--diagnose", "--method", "sparse"]);
    // A voltage, a flow, a shunt, a whole node, a current phasor.
    for (component, id) in [
        ("asym_voltage_sensor", "53"),
        ("asym_power_sensor", "72"),
        ("asym_power_sensor", "75"),
        ("asym_power_sensor", "76"),
        ("asym_current_sensor", "81"),
    ] {
        let (one, other) = (row(&tree["data"], component, id), row(&sparse["data"], component, id));
        for attribute in ["normalized_residual", "detectable_error"] {
            let of = |row: &Value| {
                row[attribute].as_f64().unwrap_or_else(|| panic!("{component} {id}: no {attribute}"))
            };
            assert!((of(one) / of(other) - 1.0).abs() < 0.02, "{component} {id}: {attribute} {one} {other}");
        }
    }
}

#[test]
fn the_table_names_what_a_person_asks_for() {
    let answer = Answer::new();
    let file = cases().join("bad-sensor/input.json");
    let (_, output) = answer.estimate(&file, &["--table", "--diagnose"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in [
        "9 buses (9 energized)",
        "voltages farthest from rated",
        "highest loadings",
        "largest normalised residuals",
        "the readings do not fit the network: chi-square",
        "most suspicious: sensor 72",
        "the others fit",
    ] {
        assert!(table.contains(part), "{part:?} is not said: {table}");
    }
    let (_, output) = answer.estimate(&cases().join("unobservable-lateral/input.json"), &["--table"]);
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(table.contains("by nothing") && !table.contains("by nothing 0"), "{table}");
    assert!(!table.contains("the readings"), "without --diagnose nobody judges: {table}");
}

#[test]
fn the_drawing_has_three_phases_with_bands_and_none_where_nothing_is_known() {
    let answer = Answer::new();
    let svg = answer.folder.path().join("u.svg");
    let draw = |case: &str| {
        answer.estimate(&cases().join(case).join("input.json"), &["--plot", text(&svg)]);
        std::fs::read_to_string(&svg).unwrap()
    };
    let known = draw("nothing-wrong");
    assert!(known.starts_with("<svg") && known.trim_end().ends_with("</svg>"), "{known}");
    assert!(!known.contains("NaN") && !known.contains("inf"), "{known}");
    let blind = draw("unobservable-lateral");
    assert!(!blind.contains("NaN") && !blind.contains("inf"), "{blind}");
    let count = |svg: &str, what: &str| svg.matches(what).count();
    // Nine buses of three phases with a bar each, and eight closed branches of three lines.
    assert_eq!((count(&known, "stroke-width=\"5\""), count(&known, "stroke-dasharray")), (27, 0));
    let (bars, dotted) = (count(&blind, "stroke-width=\"5\""), count(&blind, "stroke-dasharray"));
    assert!((3..27).contains(&bars) && dotted >= 3, "{bars} bars, {dotted} dotted lines");
}

/// A street of many nodes, each with a load and a sensor of it; voltages at the source.
fn street(nodes: u32) -> Value {
    let mut data = json!({
        "node": (1..=nodes).map(|id| json!({ "id": id, "u_rated": 10e3 })).collect::<Vec<_>>(),
        "source": [{ "id": 900_000, "node": 1, "status": 1, "u_ref": 1.0 }],
        "sym_voltage_sensor": [{ "id": 900_001, "measured_object": 1, "u_sigma": 50.0, "u_measured": 10e3 }],
    });
    let line = |to: u32| {
        json!({ "id": 100_000 + to, "from_node": (to / 3).max(1), "to_node": to, "from_status": 1, "to_status": 1,
            "r1": 0.01, "x1": 0.01, "c1": 0.0, "tan1": 0.0, "r0": 0.03, "x0": 0.03, "c0": 0.0, "tan0": 0.0, "i_n": 500.0 })
    };
    let load = |at: u32| json!({ "id": 200_000 + at, "node": at, "status": 1, "type": 0, "p_specified": 1e3, "q_specified": 1e2 });
    let sensor = |at: u32| {
        json!({ "id": 300_000 + at, "measured_object": 200_000 + at, "measured_terminal_type": 4, "power_sigma": 100.0,
            "p_measured": 1e3, "q_measured": 1e2 })
    };
    data["line"] = json!((2..=nodes).map(line).collect::<Vec<_>>());
    data["sym_load"] = json!((2..=nodes).map(load).collect::<Vec<_>>());
    data["sym_power_sensor"] = json!((2..=nodes).map(sensor).collect::<Vec<_>>());
    json!({ "version": "1.0", "type": "input", "is_batch": false, "attributes": {}, "data": data })
}

/// The street with a few more lines between its nodes, each of which closes a loop, and a voltmeter at its end.
fn rings(nodes: u32, loops: u32) -> Value {
    let mut street = street(nodes);
    let data = &mut street["data"];
    for number in 0..loops {
        let mut line = data["line"][0].clone();
        line["id"] = json!(800_000 + number);
        line["from_node"] = json!(2 + (nodes / 2 - 2 + 7 * number) % (nodes - 1));
        line["to_node"] = json!(nodes - 5 * number % 50);
        data["line"].as_array_mut().unwrap().push(line);
    }
    let mut meter = data["sym_voltage_sensor"][0].clone();
    meter["id"] = json!(900_002);
    meter["measured_object"] = json!(nodes);
    meter["u_measured"] = json!(9.8e3);
    data["sym_voltage_sensor"].as_array_mut().unwrap().push(meter);
    street
}

#[test]
fn a_few_loops_are_closed_on_the_tree_and_many_take_sparse_least_squares() {
    let answer = Answer::new();
    let nodes = 60_u32;
    for (loops, solver) in [(3, "(smoother)"), (16, "(sparse)")] {
        let file = answer.file("rings.json", &rings(nodes, loops));
        let reading = |at: u32, p: f64| json!({ "id": 300_000 + at, "p_measured": p, "q_measured": 0.1 * p });
        let values = |p: f64| {
            let all: Vec<_> = (2..=nodes).map(|at| reading(at, p * f64::from(1 + at % 7))).collect();
            json!({ "sym_power_sensor": all })
        };
        let scenarios = [values(4e5), values(6e5)];
        let update = json!({ "version": "1.0", "type": "update", "is_batch": true, "attributes": {}, "data": scenarios });
        let update = answer.file("update.json", &update);
        let estimate = |more: &[&str]| {
            let (found, output) =
                answer.estimate(&file, &[&["--update", text(&update), "--table"], more].concat());
            (found, String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let ((own, table), (sparse, _)) = (estimate(&[]), estimate(&["--method", "sparse"]));
        assert!(table.contains(solver), "{table}");
        for (own, sparse) in own["data"].as_array().unwrap().iter().zip(sparse["data"].as_array().unwrap()) {
            let lowest = each_u(own).into_iter().fold(1.0, f64::min);
            assert!((0.8..0.9999).contains(&lowest), "nothing to see: {lowest}");
            for (component, id, attribute, near) in [
                ("node", "41", "u_pu", 1e-8),
                ("node", "60", "u_angle", 1e-8),
                ("node", "41", "u_std", 0.05),
                ("node", "60", "u_std", 0.05),
            ] {
                let of = |data: &Value| numbers(&row(data, component, id)[attribute]);
                for (a, b) in of(own).into_iter().zip(of(sparse)) {
                    assert!((a - b).abs() < near, "{loops} loops: {component} {id} {attribute} {a} {b}");
                }
            }
        }
    }
}

/// A number, or the numbers of three phases.
fn numbers(value: &Value) -> Vec<f64> {
    let all = value.as_array().map_or_else(|| vec![value.clone()], Clone::clone);
    all.iter().map(|x| x.as_f64().unwrap_or_else(|| panic!("no number: {value}"))).collect()
}

/// How the program ends on bad input.
#[derive(Clone, Copy)]
enum Ends {
    /// With an answer, without numbers that mean nothing.
    Answers,
    /// With a status, and words that name what is wrong.
    Fails(i32, &'static str),
    /// With either: weights are nine orders of magnitude apart, and rounding decides whether steps come to rest.
    Either,
}

/// Bad input of many nodes, with what the program has to say.
fn spoiled(nodes: u32) -> Vec<(&'static str, Value, Ends)> {
    let street = street(nodes);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut file = street.clone();
        change(&mut file["data"]);
        file
    };
    let more = |data: &mut Value, p: f64, sigma: f64| {
        let sensors = data["sym_power_sensor"].as_array_mut().unwrap();
        sensors.push(json!({ "id": 900_010, "measured_object": 100_002, "measured_terminal_type": 0,
            "power_sigma": sigma, "p_measured": p, "q_measured": 0.0 }));
    };
    vec![
        ("contradictory", changed(&|data| more(data, 2e6, 1.0)), Ends::Answers),
        ("contradictory, and against the loads", changed(&|data| more(data, -5e6, 1.0)), Ends::Either),
        (
            "1e308",
            changed(&|data| data["sym_power_sensor"][7]["p_measured"] = json!(1e308)),
            Ends::Fails(2, "sensor 300009"),
        ),
        (
            "NaN impedance",
            changed(&|data| data["line"][7]["r1"] = json!(null)),
            Ends::Fails(2, "line 100009: r1 is missing"),
        ),
        (
            "absurd loads: no state of the network takes them",
            changed(&|data| {
                for sensor in data["sym_power_sensor"].as_array_mut().unwrap() {
                    (sensor["p_measured"], sensor["power_sigma"]) = (json!(1e9), json!(1.0));
                }
            }),
            Ends::Fails(1, "input.json"),
        ),
        (
            "half of the sensors gone",
            changed(&|data| {
                data["sym_power_sensor"]
                    .as_array_mut()
                    .unwrap()
                    .retain(|row| row["id"].as_u64().unwrap() % 2 == 0)
            }),
            Ends::Answers,
        ),
    ]
}

/// How long each took.
#[allow(clippy::disallowed_methods)] // the soak below is about time
fn ends_honestly(nodes: u32) -> Vec<(&'static str, std::time::Duration)> {
    let answer = Answer::new();
    let mut took = Vec::new();
    for (what, file, expected) in spoiled(nodes) {
        let (input, out) = (answer.file("input.json", &file), answer.folder.path().join("out.json"));
        let begin = std::time::Instant::now();
        let output = run(["estimate", text(&input), "--symmetric", "-o", text(&out)]);
        took.push((what, begin.elapsed()));
        let said = words(&output);
        assert!(!said.contains("panicked"), "{what}: {said}");
        let failed = match expected {
            Ends::Fails(code, names) => Some((code, names)),
            Ends::Either if !output.status.success() => Some((1, "not settled")),
            Ends::Either | Ends::Answers => None,
        };
        if let Some((code, names)) = failed {
            assert_eq!(output.status.code(), Some(code), "{what}: {said}");
            assert!(said.contains(names), "{what}: {said}");
            continue;
        }
        assert!(output.status.success(), "{what}: {said}");
        for node in read(&out)["data"]["node"].as_array().unwrap() {
            let known = node["observability"] != json!("unobservable");
            assert_eq!(node["u_std"].is_null(), !known, "{what}: {node}");
        }
    }
    took
}

#[test]
fn ten_thousand_nodes_of_bad_input_end_in_a_named_failure_or_an_honest_answer() {
    ends_honestly(10_000);
}

#[test]
#[ignore = "soak: about time, on an idle machine and an optimised build"]
fn soak_ten_thousand_nodes_of_bad_input_are_answered_within_a_second() {
    for (what, took) in ends_honestly(10_000) {
        assert!(took < std::time::Duration::from_secs(1), "{what}: {took:?}");
    }
}

/// Whoever stops reading the table gets the files all the same.
#[test]
fn a_table_that_nobody_reads_leaves_no_file_unfinished() {
    let out = tempfile::tempdir().unwrap();
    let (file, plot) = (out.path().join("out.json"), out.path().join("out.svg"));
    let input = cases().join("bad-sensor/input.json");
    let arguments = ["estimate", text(&input), "--table", "-o", text(&file), "--plot", text(&plot)];
    let mut running = gridflex(arguments).stdout(Stdio::piped()).spawn().unwrap();
    drop(running.stdout.take());
    assert!(running.wait().unwrap().success());
    assert!(!read(&file)["data"]["node"].as_array().unwrap().is_empty());
    assert!(std::fs::read_to_string(plot).unwrap().trim_end().ends_with("</svg>"));
}
