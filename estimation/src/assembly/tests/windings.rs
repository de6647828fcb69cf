//! Transformers winding by winding against OpenDSS's element matrices: `cases/make_winding_transformers.py`.

use crate::assembly::{Assembly, BranchPlace};
use crate::case::read;
use grid::network::*;
use grid::{BranchId, BusId};
use num_complex::Complex64;
use serde_json::Value;

fn real(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"))
}

/// The transformer of a case between buses named by their letters, and its terminals' wires as OpenDSS orders them.
fn unit(case: &Value) -> WindingTransformer {
    let phases = case["phases"].as_u64().unwrap() as u8;
    let mut wires = case["wires"].as_array().unwrap().iter().map(|wire| Wire(wire.as_u64().unwrap() as u8));
    let buses = case["buses"].as_array().unwrap();
    let windings = (case["windings"].as_array().unwrap().iter().zip(buses))
        .map(|(row, bus)| {
            let delta = row["delta"].as_bool().unwrap();
            let count = if delta && phases == 3 { 3 } else { usize::from(phases) + 1 };
            let letter = bus.as_str().unwrap().as_bytes()[0];
            CoupledWinding {
                terminal: Terminal {
                    bus: BusId(u32::from(letter - b'a')),
                    wires: wires.by_ref().take(count).collect(),
                },
                delta,
                u_rated_v: 1e3 * real(row, "u_kv"),
                s_rated_va: 1e3 * real(row, "s_kva"),
                r_pu: real(row, "r_percent") / 100.0,
                tap_pu: real(row, "tap"),
                tap_range_pu: (0.9, 1.1),
                tap_steps: 32,
                neutral_ohm: row["neutral"]
                    .as_array()
                    .map(|z| (z[0].as_f64().unwrap(), z[1].as_f64().unwrap())),
            }
        })
        .collect();
    WindingTransformer {
        id: BranchId(1),
        phases,
        windings,
        x_pu: case["x_percent"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() / 100.0).collect(),
        no_load_loss_pu: real(case, "no_load_percent") / 100.0,
        magnetising_pu: real(case, "magnetising_percent") / 100.0,
        antifloat_pu: real(case, "antifloat_ppm") * 1e-6,
        leads: case["leads"].as_bool().unwrap(),
    }
}

pub(crate) fn network(unit: WindingTransformer) -> Network {
    let bus = |id, u_rated_v| Bus { id: BusId(id), u_rated_v, position_m: None };
    Network::new(NetworkParts {
        name: "windings".into(),
        buses: vec![bus(0, 12470.0), bus(1, 480.0), bus(2, 4160.0), bus(3, 208.0)],
        sources: vec![Source { id: 9, bus: BusId(0), ..Source::default() }],
        winding_transformers: vec![unit],
        dead_islands: true,
        ..NetworkParts::default()
    })
    .unwrap()
}

#[test]
fn every_unit_has_the_element_matrix_of_opendss() {
    let expected = read("cases/assembly/winding_transformers/expected.json");
    let cases = expected["cases"].as_array().unwrap();
    assert!(cases.len() >= 16);
    for case in cases {
        let assembly = Assembly::new(&network(unit(case)), false).unwrap();
        let [element] = &assembly.circuit.general[..] else { panic!("one element") };
        let bases: Vec<f64> = (element.terminals.iter())
            .flat_map(|(bus, wires)| {
                let base = assembly.circuit.buses[*bus as usize].u_base_v;
                wires.iter().map(move |_| base)
            })
            .collect();
        let theirs = |row: usize, column: usize| {
            let entry = &case["y"][row][column];
            Complex64::new(entry[0].as_f64().unwrap(), entry[1].as_f64().unwrap())
        };
        for (row, u_row) in bases.iter().enumerate() {
            for (column, u_column) in bases.iter().enumerate() {
                let own = element.y[(row, column)] * assembly.circuit.s_base_va / (u_row * u_column);
                let scale = (theirs(row, row).norm() * theirs(column, column).norm()).sqrt();
                let off = (own - theirs(row, column)).norm() / scale;
                assert!(off < 1e-12, "{}: entry {row}, {column}: {own}, off {off:.1e}", case["situation"]);
            }
        }
    }
}

#[test]
fn conductors_of_a_bus_are_those_that_something_uses() {
    let expected = read("cases/assembly/winding_transformers/expected.json");
    let case =
        expected["cases"].as_array().unwrap().iter().find(|c| c["situation"] == "centre-tapped").unwrap();
    let assembly = Assembly::new(&network(unit(case)), false).unwrap();
    assert_eq!(assembly.conductors(1), [Wire(1), Wire(2)]);
    assert_eq!(assembly.conductors(0), Wire::PHASES, "the source has three");
}

#[test]
fn moving_a_tap_in_place_is_assembling_anew() {
    let expected = read("cases/assembly/winding_transformers/expected.json");
    let mut unit = unit(&expected["cases"][2]);
    let mut assembly = Assembly::new(&network(unit.clone()), false).unwrap();
    unit.windings[1].tap_pu = 1.025;
    assembly.replace_winding_transformer(&unit).unwrap();
    assert_eq!(assembly, Assembly::new(&network(unit), false).unwrap());
    assert!(matches!(assembly.branches[&BranchId(1)], BranchPlace::General(0, _)));
}
