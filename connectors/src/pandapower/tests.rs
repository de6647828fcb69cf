//! What is refused, and how it is said. Voltages are compared with pandapower's in `tests/pandapower.rs`.

use super::{is_pandapower, read};
use proptest::prelude::*;
use serde_json::{Value, json};

const CORNERS: &str = include_str!("../../testdata/pandapower/corners.json");
const MEASURED: &str = include_str!("../../testdata/pandapower/measured.json");

/// The file with one cell changed; `row` counts from 0.
fn changed(file: &str, table: &str, row: usize, column: &str, value: &Value) -> Vec<u8> {
    let mut document: Value = serde_json::from_str(file).unwrap();
    let body = &mut document["_object"][table]["_object"];
    let mut frame: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
    let columns = frame["columns"].as_array().unwrap();
    let at = columns.iter().position(|name| name == column).unwrap();
    frame["data"][row][at] = value.clone();
    *body = json!(frame.to_string());
    document.to_string().into_bytes()
}

fn refusal(bytes: &[u8]) -> String {
    match read(bytes, "net") {
        Err(error) => error.to_string(),
        Ok(input) => match input.network() {
            Err(error) => error.to_string(),
            Ok(_) => panic!("accepted"),
        },
    }
}

#[test]
fn the_corners_are_read() {
    assert!(is_pandapower(CORNERS.as_bytes()));
    let input = read(CORNERS.as_bytes(), "net").unwrap();
    let parts = &input.parts;
    assert_eq!(parts.name, "corners");
    assert_eq!((parts.transformers.len(), parts.generic_branches.len()), (3, 3));
    // Two in parallel on -3 of 1.5 %.
    assert_eq!(parts.transformers[0].s_rated_va, 50e6);
    assert_eq!(parts.transformers[0].tapped_v(), (110e3 * (1.0 - 0.045), 20e3));
    assert_eq!(parts.lines[1].i_rated_a, Some(600.0));
    assert!(!parts.lines[2].from_closed || !parts.lines[2].to_closed);
    assert!(parts.names.values().any(|name| name == "line 7"));
    let charged: f64 =
        parts.loads.iter().filter(|load| load.closed).map(|load| load.p_w.iter().sum::<f64>()).sum();
    assert!((charged - (6e6 + 0.8 * 2.1e6 + 0.2e6 - 0.9 * 0.15e6 + 0.3e6 + 0.4e6 - 1.2e6)).abs() < 1e-3);
}

#[test]
fn what_is_wrong_is_named_by_table_index_and_column() {
    let cases: &[(&str, usize, &str, Value, &str)] = &[
        ("line", 0, "length_km", json!(null), "line 5: length_km is missing"),
        ("line", 0, "r_ohm_per_km", json!("thick"), "line 5: r_ohm_per_km is \"thick\", a number is needed"),
        ("line", 1, "from_bus", json!(77), "line 6: from_bus is 77, which is no bus"),
        ("line", 1, "from_bus", json!(10.5), "line 6: from_bus is 10.5, no index"),
        ("trafo", 0, "vkr_percent", json!(13.0), "trafo 0: vkr_percent is larger than vk_percent"),
        ("trafo", 0, "vector_group", json!("Dd"), "does not go with clock number 5"),
        ("trafo", 0, "vector_group", json!("Dq"), "is no vector group"),
        ("trafo", 1, "tap_side", json!("mv"), "trafo 1: tap_side is no side of this transformer"),
        ("trafo", 0, "tap_changer_type", json!("Tabular"), "is not Ratio, Symmetrical or Ideal"),
        ("trafo", 0, "tap_dependency_table", json!(true), "is not supported"),
        ("switch", 0, "et", json!("x"), "switch 0: et is not b, l, t or t3"),
        ("impedance", 0, "rtf_pu", json!(0.5), "impedance 0: rtf_pu differs from rft_pu"),
        ("bus", 0, "vn_kv", json!(0.0), "is 0"),
        ("load", 0, "p_mw", json!(1e308), "p_specified in W"),
    ];
    for (table, row, column, value, expected) in cases {
        let said = refusal(&changed(CORNERS, table, *row, column, value));
        assert!(said.contains(expected), "{table} {column}: {said}");
    }
}

#[test]
fn measurements_that_cannot_be_used_are_named() {
    let cases: &[(&str, Value, &str)] = &[
        ("measurement_type", json!("va"), "va is not supported"),
        ("measurement_type", json!("w"), "is w, not v, p, q or i"),
        ("element", json!(99), "measurement 1: element is 99, which is no bus"),
        ("element_type", json!("load"), "is load; measure at its bus"),
        ("std_dev", json!(null), "measurement 1: std_dev is missing"),
    ];
    for (column, value, expected) in cases {
        let said = refusal(&changed(MEASURED, "measurement", 1, column, value));
        assert!(said.contains(expected), "{column}: {said}");
    }
}

#[test]
fn a_meter_without_a_value_says_nothing() {
    let all = read(MEASURED.as_bytes(), "net").unwrap().sensors.len();
    // The first measurement is a voltage, a sensor by itself.
    let fewer =
        read(&changed(MEASURED, "measurement", 0, "value", &Value::Null), "net").unwrap().sensors.len();
    assert_eq!(fewer, all - 1);
}

#[test]
fn elements_that_are_not_read_are_refused_when_in_service() {
    let with = |in_service: bool| {
        let mut document: Value = serde_json::from_str(CORNERS).unwrap();
        let frame = json!({"columns": ["name", "in_service"], "index": [4], "data": [["m", in_service]]});
        document["_object"]["motor"] = json!({"_object": frame.to_string()});
        document.to_string().into_bytes()
    };
    assert_eq!(refusal(&with(true)), "1 motor in service, which is not supported; replace it by a load");
    assert!(read(&with(false), "net").is_ok());
}

#[test]
fn what_is_no_network_is_refused() {
    assert!(refusal(b"[1, 2]").contains("an object is needed"));
    assert!(refusal(b"{}").contains("_class is not pandapowerNet"));
    assert!(refusal(b"{\"_class\": \"pandapowerNet\"").contains("not JSON"));
    assert!(refusal(br#"{"_class": "pandapowerNet", "_object": 3}"#).contains("_object is missing"));
    let odd = br#"{"_class": "pandapowerNet", "_object": {"bus": {"_object": "{\"columns\": [\"vn_kv\"], \"index\": [0], \"data\": [[1, 2]]}"}}}"#;
    assert!(refusal(odd).contains("table bus: row 0 has 2 cells for 1 columns"));
    assert!(!is_pandapower(b"{\"version\": \"1.0\", \"type\": \"input\"}"));
}

proptest! {
    #[test]
    fn mutated_files_never_panic(place in 0_usize..60_000, byte: u8, cut in prop::option::of(0_usize..60_000)) {
        for file in [CORNERS, MEASURED] {
            let mut bytes = file.as_bytes().to_vec();
            let length = bytes.len();
            bytes[place % length] = byte;
            if let Some(cut) = cut {
                bytes.truncate(cut % length);
            }
            if let Ok(input) = read(&bytes, "net") {
                let _ = input.network();
            }
        }
    }

    #[test]
    fn cells_of_any_number_never_panic(column in 0_usize..30, row in 0_usize..4, value: f64) {
        for table in ["bus", "line", "trafo", "load", "shunt", "impedance", "gen", "switch"] {
            let mut document: Value = serde_json::from_str(CORNERS).unwrap();
            let body = &mut document["_object"][table]["_object"];
            let mut frame: Value = serde_json::from_str(body.as_str().unwrap()).unwrap();
            let rows = frame["data"].as_array().unwrap().len();
            let columns = frame["columns"].as_array().unwrap().len();
            frame["data"][row % rows][column % columns] = json!(value);
            *body = json!(frame.to_string());
            if let Ok(input) = read(document.to_string().as_bytes(), "net") {
                let _ = input.network();
            }
        }
    }
}
