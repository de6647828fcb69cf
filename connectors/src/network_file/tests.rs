//! Samples written by power-grid-model itself (`testdata/network_file/`), refusals, and damaged files.

use super::*;
use grid::network::Winding;
use grid::{BranchId, BusId, Phase};
use proptest::prelude::*;
use serde_json::{Value, json};

const OBJECTS: &[u8] = include_bytes!("../../testdata/network_file/objects.json");
const LISTS: &[u8] = include_bytes!("../../testdata/network_file/lists.json");

#[test]
fn both_row_forms_give_the_same_network() {
    assert_eq!(read(OBJECTS).unwrap(), read(LISTS).unwrap());
}

#[test]
fn each_component_is_understood() {
    let network = read(OBJECTS).unwrap();
    assert_eq!(network.buses().len(), 4);
    assert_eq!(network.buses()[1].position_m, None);
    let line = &network.lines()[0];
    assert_eq!((line.id, line.from, line.to), (BranchId(11), BusId(2), BusId(3)));
    assert_eq!((line.r1_ohm, line.x0_ohm, line.c1_f, line.i_rated_a), (0.05, 0.08, 1e-9, Some(179.0)));
    assert_eq!(network.lines().iter().map(|l| l.id.0).collect::<Vec<_>>(), [11, 12], "13 is open");
    let transformer = &network.transformers()[0];
    assert_eq!((transformer.winding_from, transformer.winding_to), (Winding::Delta, Winding::WyeN));
    assert_eq!(transformer.clock, 11);
    // Position 1, nominal 3, tap_min 5 above tap_max 1: two steps up.
    assert_eq!((transformer.u1_v, transformer.u2_v), (10_500.0 + 2.0 * 250.0, 400.0));
    let source = &network.sources()[0];
    assert_eq!((source.u_ref_pu, source.sk_va, source.rx_ratio, source.z01_ratio), (1.05, 1e8, 0.1, 1.0));
    let points: Vec<_> = network.usage_points().iter().map(|p| (p.id.0, p.phase, p.p_specified_w)).collect();
    let expected =
        [(31, None, 3000.0), (41, Some(Phase::B), 700.0), (42, None, 900.0), (43, Some(Phase::C), 0.0)];
    assert_eq!(points, expected);
}

/// The sample with one attribute of one component changed.
fn with(component: &str, attribute: &str, value: Value) -> Result<Network, NetworkFileError> {
    let mut file: Value = serde_json::from_slice(OBJECTS).unwrap();
    let row = file["data"][component][0].as_object_mut().unwrap();
    row.insert(attribute.to_owned(), value);
    read(file.to_string().as_bytes())
}

#[test]
fn errors_name_component_id_and_attribute() {
    for (component, attribute, value, expected) in [
        ("line", "r1", json!(null), "line 11: r1 is missing"),
        ("line", "r1", json!("0.1"), "line 11: r1 is \"0.1\", a number"),
        ("line", "r1", json!(1e300), "line 11: r1 in ohm is 1000000"),
        ("line", "r1", json!(-1.0), "line 11: r1 in ohm is -1"),
        ("line", "tan1", json!(0.1), "line 11: tan1 is 0.1, which is not supported"),
        ("line", "colour", json!("red"), "line 11: colour is not an attribute"),
        ("line", "x_m", json!(1), "line 11: x_m is not an attribute"),
        ("line", "from_status", json!(2), "line 11: from_status is 2, a whole number from 0 to 1"),
        ("line", "from_node", json!(99), "line 11 is connected to bus 99, which does not exist"),
        ("line", "from_node", json!(-1), "line 11: from_node is -1, an id"),
        ("line", "id", json!(1), "line 1: the id is already that of a node"),
        ("line", "id", json!(4_294_967_296_u64), "line, row 1: id is 4294967296"),
        ("transformer", "clock", json!(6), "transformer 21: clock is 6, these windings need an odd"),
        ("transformer", "winding_to", json!(4), "transformer 21: clock is 11, these windings need an even"),
        ("transformer", "uk_min", json!(0.5), "transformer 21: uk_min is 0.5"),
        ("transformer", "x_grounding_to", json!(5), "transformer 21: x_grounding_to is 5"),
        ("source", "u_ref_angle", json!(0.1), "source 25: u_ref_angle is 0.1"),
        ("sym_load", "type", json!(1), "sym_load 31: type is 1"),
        ("asym_load", "p_specified", json!([1, 2]), "asym_load 41: p_specified is [1, 2], a list of three"),
        ("asym_load", "p_specified", json!([1, 2, 3]), "split it into"),
        ("node", "x_m", json!(5), "node 1: y_m is missing"),
    ] {
        let error = with(component, attribute, value.clone())
            .err()
            .unwrap_or_else(|| panic!("{component} {attribute} {value} was accepted"))
            .to_string();
        assert!(error.contains(expected), "{error}\n  expected: {expected}");
    }
}

#[test]
fn coordinates_are_read() {
    let mut file: Value = serde_json::from_slice(OBJECTS).unwrap();
    file["data"]["node"][2]["x_m"] = json!(390872.663);
    file["data"]["node"][2]["y_m"] = json!(-5);
    let network = read(file.to_string().as_bytes()).unwrap();
    assert_eq!(network.buses()[2].position_m, Some((390872.663, -5.0)));
}

#[test]
fn information_is_ignored() {
    for (attribute, value) in [("name", json!("Main street")), ("id_reference", json!({"table": "x"}))] {
        assert_eq!(with("line", attribute, value).unwrap(), read(OBJECTS).unwrap());
    }
}

#[test]
fn components_without_counterpart_are_refused_with_advice() {
    let row = |more: Value| {
        let mut row = json!({ "id": 99 });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([row])
    };
    let ends = json!({ "from_node": 1, "to_node": 2, "from_status": 1, "to_status": 1 });
    let power = json!({ "node": 1, "status": 1, "type": 0, "p_specified": 1, "q_specified": 0 });
    for (component, rows, advice) in [
        ("link", row(ends), "merge"),
        ("sym_gen", row(power), "negative power"),
        ("shunt", row(json!({ "node": 1, "status": 1, "g1": 0, "b1": 0, "g0": 0, "b0": 0 })), "leave it out"),
        (
            "sym_voltage_sensor",
            row(json!({ "measured_object": 1, "u_measured": 400, "u_sigma": 1 })),
            "leave it out",
        ),
    ] {
        let mut file: Value = serde_json::from_slice(OBJECTS).unwrap();
        file["data"][component] = rows;
        let error = read(file.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(component) && error.contains(advice), "{error}");
        file["data"][component] = json!([]);
        assert!(read(file.to_string().as_bytes()).is_ok(), "an empty {component} list matters to nobody");
    }
}

#[test]
fn other_frames_are_refused() {
    for (key, value, expected) in [
        ("version", json!("2.0"), "version"),
        ("type", json!("update"), "type"),
        ("is_batch", json!(true), "batch"),
        ("data", json!([]), "data"),
        ("attributes", json!(null), "attributes"),
        ("attributes", json!({"node": ["id", "id"]}), "twice"),
        ("scenario", json!(1), "scenario"),
    ] {
        let mut file: Value = serde_json::from_slice(OBJECTS).unwrap();
        file[key] = value;
        let error = read(file.to_string().as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    assert!(matches!(read(b""), Err(NetworkFileError::Json(_))));
    assert!(matches!(read(&vec![b' '; FILE_BYTES_MAX + 1]), Err(NetworkFileError::TooLarge { .. })));
    let deep = "[".repeat(100_000);
    let deep = read(deep.as_bytes());
    assert!(matches!(deep, Err(NetworkFileError::Json(_) | NetworkFileError::Frame(_))));
}

#[test]
fn a_path_is_named_in_errors_and_names_the_network() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("main street.json");
    let error = read_path(&path).unwrap_err().to_string();
    assert!(error.contains("main street.json"), "{error}");
    std::fs::write(&path, OBJECTS).unwrap();
    assert_eq!(read_path(&path).unwrap().name(), "main street");
    std::fs::write(&path, b"{}").unwrap();
    let error = read_path(&path).unwrap_err().to_string();
    assert!(error.contains("main street.json") && error.contains("version"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn a_damaged_file_is_answered(
        objects in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"0123456789{}[]\",:.-+eEntf \\\xff"[..])), 1..5),
    ) {
        let mut bytes = if objects { OBJECTS } else { LISTS }.to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = read(&bytes);
    }
}
