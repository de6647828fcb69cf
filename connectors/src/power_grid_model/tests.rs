//! Both row forms, defaults, signs, updates, refusals, damaged files.

use super::*;
use grid::{PhaseValue, SensorPlace, SensorValue};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A file with one of most components.
fn sample() -> Value {
    json!({
        "version": "1.0", "type": "input", "is_batch": false, "attributes": {},
        "data": {
            "node": [{"id": 1, "u_rated": 10e3}, {"id": 2, "u_rated": 400.0}, {"id": 3, "u_rated": 400.0}],
            "line": [{"id": 4, "from_node": 2, "to_node": 3, "from_status": 1, "to_status": 1,
                "r1": 0.1, "x1": 0.2, "c1": 0.0, "tan1": 0.0, "i_n": null}],
            "transformer": [{"id": 5, "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1,
                "u1": 10e3, "u2": 400.0, "sn": 1e5, "uk": 0.04, "pk": 1e3, "i0": 0.01, "p0": 100.0,
                "winding_from": 2, "winding_to": 1, "clock": 11, "tap_side": 0, "tap_pos": 9, "tap_min": -3,
                "tap_max": 3, "tap_size": 100.0}],
            "source": [{"id": 6, "node": 1, "status": 1, "u_ref": 1.0, "note": "skipped"}],
            "sym_load": [{"id": 7, "node": 3, "status": 1, "type": 0, "p_specified": 3e3, "q_specified": 0}],
            "asym_gen": [{"id": 8, "node": 3, "status": 1, "type": 2, "p_specified": [1.0, 2.0, 3.0],
                "q_specified": [0, 0, 0]}],
            "transformer_tap_regulator": [{"id": 9, "regulated_object": 5, "status": 1, "control_side": 1,
                "u_set": 400.0, "u_band": 10.0}],
            "sym_power_sensor": [
                {"id": 10, "measured_object": 6, "measured_terminal_type": 2, "power_sigma": 20.0,
                    "p_measured": 5.0, "q_measured": -1.0},
                {"id": 11, "measured_object": 7, "measured_terminal_type": 4, "power_sigma": "inf",
                    "p_measured": 5.0, "q_measured": -1.0}],
            "asym_voltage_sensor": [{"id": 12, "measured_object": 2, "u_sigma": 1.0,
                "u_measured": [230.0, null, 231.0]}],
            "fault": [{"id": 13}],
        }
    })
}

fn parsed(file: &Value) -> Result<Input, ReadError> {
    read(file.to_string().as_bytes(), "sample")
}

/// Every list with its rows as lists.
fn compact(file: &Value) -> Value {
    let mut file = file.clone();
    let mut attributes = serde_json::Map::new();
    for (component, rows) in file["data"].as_object_mut().unwrap() {
        let rows = rows.as_array_mut().unwrap();
        let mut names: Vec<String> = rows[0].as_object().unwrap().keys().cloned().collect();
        names.retain(|name| name != "note");
        for row in rows.iter_mut() {
            *row = names.iter().map(|name| row[name].clone()).collect();
        }
        attributes.insert(component.clone(), json!(names));
    }
    attributes.remove("fault");
    file["attributes"] = Value::Object(attributes);
    file
}

#[test]
fn both_row_forms_give_the_same_input() {
    let objects = sample();
    // As text: values that an update may still give are NaN, which equals nothing.
    assert_eq!(
        format!("{:?}", parsed(&objects).unwrap()),
        format!("{:?}", parsed(&compact(&objects)).unwrap())
    );
}

#[test]
fn data_before_its_explanation_is_read_as_well() {
    let file = compact(&sample());
    let text = format!(
        r#"{{"data":{},"attributes":{},"is_batch":false,"type":"input","version":"1.0"}}"#,
        file["data"], file["attributes"]
    );
    assert_eq!(
        format!("{:?}", read(text.as_bytes(), "sample").unwrap()),
        format!("{:?}", parsed(&file).unwrap())
    );
}

#[test]
fn defaults_limits_and_signs_are_those_of_power_grid_model() {
    let input = parsed(&sample()).unwrap();
    let source = &input.parts.sources[0];
    assert_eq!((source.sk_va, source.rx_ratio, source.z01_ratio), (1e10, 0.1, 1.0));
    assert_eq!(input.parts.transformers[0].tap.unwrap().position, 3, "9 is beyond the last tap");
    assert_eq!(input.parts.lines[0].i_rated_a, None);
    assert_eq!(input.parts.loads[0].p_w, [1e3; 3], "a symmetric load is divided over the phases");
    assert_eq!(input.parts.loads[1].p_w, [-1.0, -2.0, -3.0], "a generator gives");
    assert!((input.parts.loads[0].u_branch_v - 230.94).abs() < 0.01);
    let SensorValue::Power { p_w, q_var, p_sigma_w, .. } = input.sensors[0].value else { panic!() };
    assert_eq!((p_w, q_var), (PhaseValue::Symmetric(-5.0), PhaseValue::Symmetric(1.0)), "a source gives");
    assert_eq!(p_sigma_w, PhaseValue::Symmetric(20.0 / 2.0_f64.sqrt()));
    assert_eq!(input.sensors[1].place, SensorPlace::Appliance(7));
    let SensorValue::Voltage { u_v: PhaseValue::PerPhase(u), angle_rad, .. } = input.sensors[2].value else {
        panic!()
    };
    assert!(u[1].is_nan() && u[2] == 231.0 && angle_rad.is_none());
    assert!(input.network().is_ok());
}

#[test]
fn a_pseudo_measurement_is_told_from_a_meter() {
    let mut file = sample();
    let pseudo = |file: &serde_json::Value| {
        let SensorValue::Power { pseudo, .. } = parsed(file).unwrap().sensors[0].value else { panic!() };
        pseudo
    };
    assert!(!pseudo(&file));
    file["data"]["sym_power_sensor"][0]["pseudo"] = json!(1);
    assert!(pseudo(&file) && pseudo(&compact(&file)));
    file["data"]["sym_power_sensor"][0]["measured_object"] = json!(4);
    file["data"]["sym_power_sensor"][0]["measured_terminal_type"] = json!(0);
    let error = parsed(&file).unwrap_err().to_string();
    assert!(error.contains("pseudo is 1: only what appliances and nodes take"), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    for (component, attribute, value, expected) in [
        ("line", "r1", json!("thick"), "line 4: r1 is \"thick\", a number is needed"),
        ("line", "r1", json!(null), "line 4: r1 is missing"),
        ("line", "from_status", json!(2), "line 4: from_status is 2"),
        ("line", "id", json!(1), "id is already that of a node"),
        ("line", "id", json!(1.5), "line, row 1: id is 1.5, an id is needed"),
        ("transformer", "clock", json!(2), "transformer 5: clock is 2, these windings need an odd"),
        ("asym_gen", "p_specified", json!(5), "asym_gen 8: p_specified is 5, a list of three numbers"),
        ("asym_gen", "p_specified", json!([1, 2]), "asym_gen 8: p_specified is [1, 2]"),
        ("sym_power_sensor", "measured_object", json!(99), "sym_power_sensor 10: measured_object is 99"),
        ("sym_power_sensor", "power_sigma", json!(-1), "power_sigma is -1, a positive number"),
        ("sym_power_sensor", "pseudo", json!(2), "sym_power_sensor 10: pseudo is 2"),
        ("transformer_tap_regulator", "control_side", json!(2), "control_side is 2"),
        ("transformer_tap_regulator", "regulated_object", json!(4), "regulated_object is 4, which is no"),
    ] {
        let mut file = sample();
        file["data"][component][0][attribute] = value;
        let error = parsed(&file).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n  expected: {expected}");
    }
    let mut file = sample();
    file["data"]["unheard_of"] = json!([{ "id": 99 }]);
    assert!(parsed(&file).unwrap_err().to_string().contains("unheard_of"));
    let twice = sample().to_string().replacen(r#""r1":"#, r#""r1":1,"r1":"#, 1);
    assert!(read(twice.as_bytes(), "").unwrap_err().to_string().contains("r1 is given twice"));
}

fn update(data: Value) -> Batch {
    let file = json!({"version": "1.0", "type": "update", "is_batch": data.is_array(), "attributes": {}, "data": data});
    read_update(file.to_string().as_bytes()).unwrap()
}

#[test]
fn an_update_changes_what_it_gives_and_is_taken_back() {
    let base = parsed(&sample()).unwrap();
    let batch = update(json!([
        {"asym_gen": [{"id": 8, "p_specified": [null, 5.0, null]}], "transformer": [{"id": 5, "tap_pos": -2}]},
        {"sym_load": [{"p_specified": 6e3}], "sym_power_sensor": [{"p_measured": 1.0}, {"power_sigma": 2.0}]},
    ]));
    let mut input = base.clone();
    input.apply(&batch.scenarios[0]).unwrap();
    assert_eq!(input.parts.loads[1].p_w, [-1.0, -5.0, -3.0]);
    assert_eq!(input.parts.transformers[0].tap.unwrap().position, -2);
    input.take_back(&batch.scenarios[0], &base);
    assert_eq!(input.parts, base.parts);
    input.apply(&batch.scenarios[1]).unwrap();
    assert_eq!(input.parts.loads[0].p_w, [2e3; 3], "rows without ids are all components in their order");
    let SensorValue::Power { p_w, p_sigma_w, .. } = input.sensors[0].value else { panic!() };
    assert_eq!((p_w, p_sigma_w), (PhaseValue::Symmetric(-1.0), PhaseValue::Symmetric(20.0 / 2.0_f64.sqrt())));
    let SensorValue::Power { p_sigma_w, .. } = input.sensors[1].value else { panic!() };
    let PhaseValue::Symmetric(sigma) = p_sigma_w else { panic!() };
    assert!((sigma - 2.0_f64.sqrt()).abs() < 1e-12);
}

#[test]
fn an_update_of_something_that_is_not_there_is_refused() {
    let base = parsed(&sample()).unwrap();
    for (data, expected) in [
        (json!({"line": [{"id": 99, "from_status": 0}]}), "update of line 99"),
        (json!({"line": [{"id": 5, "from_status": 0}]}), "update of line 5"),
        (json!({"sym_load": [{"status": 0}, {"status": 0}]}), "2 rows for 1 components"),
    ] {
        let error = base.clone().apply(&update(data).scenarios[0]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_value_that_nobody_gives_is_missed_when_it_is_needed() {
    let mut file = sample();
    file["data"]["sym_load"][0]["p_specified"] = json!(null);
    let mut input = parsed(&file).unwrap();
    let error = input.network().unwrap_err().to_string();
    assert!(error.contains("sym_load 7: p_specified is missing"), "{error}");
    assert!(input.network_to_estimate().is_ok());
    input.apply(&update(json!({"sym_load": [{"id": 7, "p_specified": 1.0}]})).scenarios[0]).unwrap();
    assert!(input.network().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_damaged_file_is_answered(
        listed in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"0123456789{}[]\",:.-+eEntf \\\xff"[..])), 1..5),
    ) {
        let file = if listed { compact(&sample()) } else { sample() };
        let mut bytes = file.to_string().into_bytes();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok(input) = read(&bytes, "damaged") {
            let _ = input.network();
        }
        let _ = read_update(&bytes);
    }
}
