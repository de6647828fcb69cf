//! pandapower networks: read, solved, and compared with pandapower's own results, which stand in the files
//! (`testdata/pandapower/make.py` writes them).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // helpers outside the test functions may fail them too

use connectors::pandapower;
use connectors::power_grid_model::Input;
use estimation::assembly::Assembly;
use estimation::solve::Tolerance;
use estimation::study::{EstimateStudy, EstimationMethod, FlowMethod, FlowStudy};
use grid::BusId;
use num_complex::Complex64;
use serde_json::Value;
use std::path::{Path, PathBuf};

const TOLERANCE: Tolerance = Tolerance { voltage_pu: 1e-11, iterations_max: 200 };

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/pandapower").join(format!("{name}.json"))
}

/// Rows of a table of pandapower's results: index of the bus, voltage (none where there is no supply).
fn results(name: &str, table: &str) -> Vec<(i64, Option<Complex64>)> {
    let document: Value = serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap();
    let body: Value = serde_json::from_str(document["_object"][table]["_object"].as_str().unwrap()).unwrap();
    let column = |wanted: &str| {
        let columns = body["columns"].as_array().unwrap();
        columns.iter().position(|column| column == wanted).unwrap()
    };
    let (magnitude, angle) = (column("vm_pu"), column("va_degree"));
    let rows = body["index"].as_array().unwrap().iter().zip(body["data"].as_array().unwrap());
    rows.map(|(index, row)| {
        let voltage = row[magnitude].as_f64().zip(row[angle].as_f64());
        (index.as_i64().unwrap(), voltage.map(|(u, degree)| Complex64::from_polar(u, degree.to_radians())))
    })
    .collect()
}

/// Largest difference to pandapower's voltages, p.u., and where.
fn deviation(
    input: &Input,
    assembly: &Assembly,
    voltages: &[Complex64],
    truth: &[(i64, Option<Complex64>)],
) -> f64 {
    let number = |index: i64| {
        let own = |name: &str| name == format!("bus {index}") || name.starts_with(&format!("bus {index}, "));
        input.parts.names.iter().find(|(_, name)| own(name)).map(|(id, _)| BusId(*id)).unwrap()
    };
    assert_eq!(truth.len(), input.parts.buses.len());
    let mut worst = 0.0_f64;
    for (index, expected) in truth {
        let position = assembly.buses[&number(*index)];
        let found = voltages[assembly.circuit.wires(position).start];
        match expected {
            Some(expected) => worst = worst.max((found - expected).norm()),
            None => assert!(!assembly.circuit.buses[position as usize].energized, "bus {index}"),
        }
    }
    worst
}

fn flow_deviation(name: &str, symmetric: bool) -> f64 {
    let input = pandapower::read_path(&path(name)).unwrap_or_else(|error| panic!("{error}"));
    let network = input.network().unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut study = FlowStudy::new(&network, symmetric, FlowMethod::Auto)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let flow = study.solve(&TOLERANCE).unwrap_or_else(|error| panic!("{name}: {error}"));
    let worst = deviation(&input, study.assembly(), &flow.solved.voltages, &results(name, "res_bus"));
    println!("{name}: {} buses, within {worst:.1e} p.u. of pandapower", network.buses().len());
    worst
}

#[test]
fn power_flows_are_those_of_pandapower() {
    // A closed switch between buses is a link, power-grid-model's small impedance; pandapower joins the buses. With 300 MVA
    // through several of them in a row that shows.
    for (name, bound) in [("cigre_lv", 1e-8), ("corners", 1e-9), ("corners_pi", 1e-9), ("multivoltage", 1e-5)]
    {
        let worst = flow_deviation(name, true);
        assert!(worst < bound, "{name}: {worst:.1e}");
    }
}

#[test]
fn three_phases_of_a_balanced_network_are_those_of_one() {
    let worst = flow_deviation("cigre_lv", false);
    assert!(worst < 1e-8, "{worst:.1e}");
}

#[test]
fn an_estimate_is_that_of_pandapower() {
    let input = pandapower::read_path(&path("measured")).unwrap();
    let network = input.network_to_estimate().unwrap();
    let mut study = EstimateStudy::new(&network, &input.sensors, true, EstimationMethod::Auto).unwrap();
    let found = study.estimate(&TOLERANCE).unwrap();
    let worst =
        deviation(&input, study.assembly(), &found.outcome.voltages, &results("measured", "res_bus_est"));
    println!("measured: {} sensors, within {worst:.1e} p.u. of pandapower's estimate", input.sensors.len());
    assert!(worst < 1e-9, "{worst:.1e}");
}
