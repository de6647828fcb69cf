//! Every model against power-grid-model: `cases/assembly`, written by `cases/make_assembly.py`.

mod appliances;
pub(crate) mod dense;
pub(crate) mod pgm;
mod windings;

use super::*;
use crate::case::read;
use grid::network::*;
use num_complex::Complex64;
use serde_json::Value;

const SITUATIONS: [&str; 7] = [
    "lines_and_loads",
    "open_ends",
    "links_and_sources",
    "taps",
    "three_windings",
    "asym_lines",
    "generic_branches",
];

pub(crate) fn situations() -> Vec<(String, Network, Value, bool)> {
    let mut all = Vec::new();
    for name in SITUATIONS {
        let network = pgm::network(&read(&format!("cases/assembly/{name}/input.json")));
        let expected = read(&format!("cases/assembly/{name}/expected.json"));
        for (calculation, symmetric) in [("symmetric", true), ("asymmetric", false)] {
            if !expected[calculation].is_null() {
                all.push((
                    format!("{name}, {calculation}"),
                    network.clone(),
                    expected[calculation].clone(),
                    symmetric,
                ));
            }
        }
    }
    all
}

/// Voltage phasors of a node row.
fn phasors(row: &Value) -> Vec<Complex64> {
    match (&row["u_pu"], &row["u_angle"]) {
        (Value::Array(u), Value::Array(angle)) => (u.iter().zip(angle))
            .map(|(u, angle)| Complex64::from_polar(u.as_f64().unwrap(), angle.as_f64().unwrap()))
            .collect(),
        (u, angle) => vec![Complex64::from_polar(u.as_f64().unwrap(), angle.as_f64().unwrap())],
    }
}

#[test]
fn every_situation_has_the_voltages_of_power_grid_model() {
    for (name, network, expected, symmetric) in situations() {
        let assembly = Assembly::new(&network, symmetric).unwrap();
        let v = dense::solve(&assembly.circuit);
        for row in expected["node"].as_array().unwrap() {
            let id = row["id"].as_u64().unwrap() as u32;
            let bus = assembly.buses[&BusId(id)];
            let alive = row["energized"].as_i64() == Some(1);
            assert_eq!(assembly.circuit.buses[bus as usize].energized, alive, "{name}: node {id}");
            let own = &v[assembly.circuit.wires(bus)];
            for (phase, (own, theirs)) in own.iter().zip(phasors(row)).enumerate() {
                let off = (own - theirs).norm();
                assert!(
                    off < 1e-9,
                    "{name}: node {id} phase {phase}: {own} instead of {theirs}, off {off:.1e}"
                );
            }
        }
    }
}

#[test]
fn every_winding_and_clock_has_the_voltages_of_power_grid_model() {
    let input = read("cases/assembly/windings/input.json");
    let expected = read("cases/assembly/windings/expected.json");
    let cases = expected["cases"].as_array().unwrap();
    assert!(cases.len() > 250);
    let (mut series, mut worst) = (0, 0.0_f64);
    for case in cases {
        let mut input = input.clone();
        let row = input["data"]["transformer"][0].as_object_mut().unwrap();
        for (key, value) in case["transformer"].as_object().unwrap() {
            row.insert(key.clone(), value.clone());
        }
        input["data"]["source"][1]["u_ref_angle"] = case["u_ref_angle"].clone();
        let assembly = Assembly::new(&pgm::network(&input), false).unwrap();
        series += assembly.circuit.series.len();
        let v = dense::solve(&assembly.circuit);
        for (bus, row) in case["node"].as_array().unwrap().iter().enumerate() {
            for phase in 0..3 {
                let theirs =
                    Complex64::from_polar(row[0][phase].as_f64().unwrap(), row[1][phase].as_f64().unwrap());
                let off = (v[3 * bus + phase] - theirs).norm();
                worst = worst.max(off);
                assert!(off < 1e-9, "{}: bus {bus} phase {phase} off {off:.1e}", case["transformer"]);
            }
        }
    }
    println!("{} cases, {series} with a series element, largest difference {worst:.1e} p.u.", cases.len());
    assert!(series > 50, "grounded stars at the `to` side are series elements");
}

#[test]
fn ratios_of_three_wires_are_real_and_dyn_stars_keep_the_short_circuit_impedance() {
    let input = read("cases/dyn11/input.json");
    let assembly = Assembly::new(&crate::case::network(&input), false).unwrap();
    let unit = assembly.circuit.series.iter().find(|series| series.ratio.is_some()).unwrap();
    let ratio = unit.ratio.as_deref().unwrap();
    assert!(ratio.iter().all(|entry| entry.im == 0.0));
    assert!(ratio.row_sum().iter().all(|sum| sum.norm() < 1e-14), "no zero sequence passes a delta");
    assert!(unit.z.at(0, 1).norm() < 1e-12 * unit.z.at(0, 0).norm());
}

#[test]
fn an_impossible_clock_is_named() {
    let mut input = read("cases/assembly/windings/input.json");
    input["data"]["transformer"][0]["clock"] = 2.into();
    let error = Assembly::new(&pgm::network(&input), false).unwrap_err();
    assert!(error.to_string().contains("transformer 11: clock 2"), "{error}");
}

#[test]
fn a_line_without_zero_sequence_serves_symmetric_calculations_only() {
    let mut parts = pgm::parts(&read("cases/assembly/lines_and_loads/input.json"));
    (parts.lines[1].r0_ohm, parts.lines[1].x0_ohm) = (0.0, 0.0);
    let network = Network::new(parts).unwrap();
    assert!(Assembly::new(&network, true).is_ok());
    let error = Assembly::new(&network, false).unwrap_err();
    assert!(error.to_string().contains("line 12: its zero-sequence impedance"), "{error}");
}

#[test]
fn a_usage_point_with_the_number_of_a_load_is_that_load() {
    let mut parts = pgm::parts(&read("cases/assembly/lines_and_loads/input.json"));
    let point = |id| UsagePoint {
        id: grid::UsagePointId(id),
        bus: BusId(3),
        phase: Some(grid::Phase::B),
        p_specified_w: 3000.0,
        q_specified_var: 600.0,
    };
    let before = Assembly::new(&Network::new(parts.clone()).unwrap(), false).unwrap().circuit.ports.len();
    parts.usage_points = vec![point(31), point(131)];
    let assembly = Assembly::new(&Network::new(parts).unwrap(), false).unwrap();
    assert_eq!(assembly.circuit.ports.len(), before + 1);
    let port = assembly.circuit.ports.last().unwrap();
    assert_eq!((port.bus, port.plus), (2, 1));
    assert!((port.power - Complex64::new(0.009, 0.0018)).norm() < 1e-15);
}
