//! The power flow against another program's answers; each `expected.json` says whose.

mod case;

use case::{id, network, read, real, reals};
use estimation::Feeder;
use grid::{BranchId, BusId};
use num_complex::Complex64;
use serde_json::Value;

fn loads_of(feeder: &Feeder) -> Vec<Complex64> {
    let points = feeder.network().usage_points();
    points.iter().map(|p| Complex64::new(p.p_specified_w, p.q_specified_var)).collect()
}

fn close(actual: f64, expected: f64, relative: f64, absolute: f64, what: &str) {
    let allowed = relative * expected.abs() + absolute;
    assert!((actual - expected).abs() <= allowed, "{what}: {actual} instead of {expected}");
}

fn check(feeder: &Feeder, loads: &[Complex64], expected: &Value) {
    let flow = feeder.solve(loads).unwrap();
    for row in expected["node"].as_array().unwrap() {
        let bus = feeder.network().bus_index(BusId(id(row, "id"))).unwrap();
        let (u, angle) = (reals(&row["u"]), reals(&row["u_angle"]));
        for phase in 0..3 {
            let wanted = Complex64::from_polar(u[phase], angle[phase]);
            let gap = (flow.voltages_v[bus][phase] - wanted).norm() / u[phase];
            assert!(gap < 2e-8, "bus {} phase {phase}: {gap:e} p.u. away from {wanted}", id(row, "id"));
        }
    }
    for (row, rated_once) in (expected["line"].as_array().into_iter().flatten().map(|r| (r, true)))
        .chain(expected["transformer"].as_array().into_iter().flatten().map(|r| (r, false)))
    {
        let branch = feeder.branch_position(BranchId(id(row, "id"))).unwrap();
        let (p, q, i) = (reals(&row["p_from"]), reals(&row["q_from"]), reals(&row["i_from"]));
        let p_to = reals(&row["p_to"]);
        for phase in 0..3 {
            close(flow.powers_from_va[branch][phase].re, p[phase], 1e-6, 1e-3, "p_from");
            close(flow.powers_from_va[branch][phase].im, q[phase], 1e-6, 1e-3, "q_from");
            close(flow.powers_to_va[branch][phase].re, p_to[phase], 1e-6, 1e-3, "p_to");
            close(flow.currents_from_a[branch][phase].norm(), i[phase], 1e-6, 1e-6, "i_from");
        }
        if rated_once {
            close(flow.loading(branch).unwrap(), real(row, "loading"), 1e-6, 1e-9, "line loading");
        } else {
            // The peer adds the magnitudes of the phases, gridflex adds the phases.
            assert!(flow.loading(branch).unwrap() <= real(row, "loading") * (1.0 + 1e-9));
        }
    }
}

#[test]
fn transformers_of_each_supported_connection_agree() {
    for name in ["dyn11", "dyn1", "ynyn0", "ynyn6_fed_from_winding_2"] {
        let feeder = Feeder::new(&network(&read(&format!("cases/{name}/input.json")))).unwrap();
        check(&feeder, &loads_of(&feeder), &read(&format!("cases/{name}/expected.json")));
    }
}

#[test]
fn the_european_low_voltage_feeder_agrees() {
    let feeder = Feeder::new(&network(&read("../sim/networks/ieee_european_lv.json"))).unwrap();
    let expected = read("cases/european_lv/expected.json");
    let rows = expected["load"].as_array().unwrap();
    let points = feeder.network().usage_points();
    assert_eq!(rows.len(), points.len());
    let loads: Vec<Complex64> = rows.iter().map(|r| Complex64::new(real(r, "p"), real(r, "q"))).collect();
    check(&feeder, &loads, &expected);
}
