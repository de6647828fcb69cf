//! The power flow against hand calculations, against another program's answers (each `expected.json` says whose),
//! and with loads that nobody can serve.

use super::*;
use crate::case::{id, network, read, real, reals};
use grid::network::{Bus, Line, NetworkParts, Source, Transformer, UsagePoint, Winding};
use grid::{BranchId, Network, Phase};
use proptest::prelude::*;
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

/// A stiff source of 400 V, one line of 0.5 Ω, one usage point at its end.
fn two_buses(phase: Option<Phase>) -> NetworkParts {
    let bus = |id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None };
    NetworkParts {
        name: "two buses".into(),
        buses: vec![bus(1), bus(2)],
        lines: vec![Line {
            id: BranchId(5),
            from: BusId(1),
            to: BusId(2),
            r1_ohm: 0.5,
            x1_ohm: 0.0,
            r0_ohm: 0.5,
            x0_ohm: 0.0,
            c1_f: 0.0,
            c0_f: 0.0,
            i_rated_a: Some(50.0),
            ..Line::default()
        }],
        sources: vec![Source {
            bus: BusId(1),
            u_ref_pu: 1.0,
            sk_va: 1e14,
            rx_ratio: 0.1,
            z01_ratio: 1.0,
            ..Source::default()
        }],
        usage_points: vec![UsagePoint {
            id: UsagePointId(9),
            bus: BusId(2),
            phase,
            p_specified_w: 0.0,
            q_specified_var: 0.0,
        }],
        ..NetworkParts::default()
    }
}

fn feeder(parts: NetworkParts) -> Feeder {
    Feeder::new(&Network::new(parts).unwrap()).unwrap()
}

#[test]
fn two_buses_agree_with_the_quadratic_equation() {
    let p = 9_000.0;
    let e = 400.0 / 3.0_f64.sqrt();
    // One phase: U (E − U) = R P, the larger root.
    let single = feeder(two_buses(Some(Phase::B)));
    let flow = single.solve(&[Complex64::new(p, 0.0)]).unwrap();
    let u = 0.5 * (e + (e * e - 4.0 * 0.5 * p).sqrt());
    assert!((flow.voltages_v[1][1].norm() - u).abs() < 1e-6);
    assert!((flow.voltages_v[1][0].norm() - e).abs() < 1e-6, "phase a carries nothing");
    assert!((flow.loading(0).unwrap() - p / u / 50.0).abs() < 1e-9);
    assert!((flow.powers_from_va[0][1].re - p - 0.5 * (p / u).powi(2)).abs() < 1e-4, "losses are R I²");
    // Three phases: the same with a third of the power.
    let flow = feeder(two_buses(None)).solve(&[Complex64::new(p, 0.0)]).unwrap();
    let u = 0.5 * (e + (e * e - 4.0 * 0.5 * p / 3.0).sqrt());
    assert!((0..3).all(|phase| (flow.voltages_v[1][phase].norm() - u).abs() < 1e-6));
}

#[test]
fn a_loaded_phase_moves_its_neighbours_through_the_neutral() {
    let mut parts = two_buses(Some(Phase::A));
    parts.lines[0].r0_ohm = 2.0;
    let flow = feeder(parts).solve(&[Complex64::new(5_000.0, 0.0)]).unwrap();
    let e = 400.0 / 3.0_f64.sqrt();
    let current = flow.currents_from_a[0][0].norm();
    // Zm = (2.0 − 0.5) / 3 = 0.5 Ω: the drop adds to the neighbour's voltage at 120°.
    let neighbour = (Complex64::from_polar(e, -2.0 * std::f64::consts::FRAC_PI_3) - 0.5 * current).norm();
    assert!((flow.voltages_v[1][1].norm() - neighbour).abs() < 1e-6);
    assert!(flow.voltages_v[1][1].norm() > e, "the idle phases rise");
}

#[test]
fn a_warm_start_finds_the_same_voltages_sooner() {
    let feeder = feeder(two_buses(None));
    let cold = feeder.solve(&[Complex64::new(20_000.0, 3_000.0)]).unwrap();
    let near = feeder.solve(&[Complex64::new(19_990.0, 3_000.0)]).unwrap();
    let warm = feeder.solve_from(&near, &[Complex64::new(20_000.0, 3_000.0)]).unwrap();
    assert!(warm.sweeps < cold.sweeps);
    assert!((warm.voltages_v[1][0] - cold.voltages_v[1][0]).norm() < 1e-6);
}

#[test]
fn loads_that_cannot_be_served_are_an_error() {
    let feeder = feeder(two_buses(Some(Phase::B)));
    for p in [40_000.0, 1e6, 1e11] {
        let error = feeder.solve(&[Complex64::new(p, 0.0)]).unwrap_err();
        assert!(matches!(error, FlowError::Diverged { bus: BusId(2), .. }), "{error}");
    }
    for bad in [f64::NAN, f64::INFINITY, 1e308] {
        let error = feeder.solve(&[Complex64::new(0.0, bad)]).unwrap_err().to_string();
        assert!(error.starts_with("the load of usage point 9 is 0 W"), "{error}");
    }
    assert!(matches!(feeder.solve(&[]), Err(FlowError::LoadCount { given: 0, usage_points: 1 })));
}

#[test]
fn what_is_not_radial_is_named() {
    let refusal = |change: &dyn Fn(&mut NetworkParts)| {
        let mut parts = two_buses(None);
        change(&mut parts);
        Feeder::new(&Network::new(parts).unwrap()).unwrap_err().to_string()
    };
    let twice = |p: &mut NetworkParts| {
        let second = Line { id: BranchId(6), ..p.lines[0].clone() };
        p.lines.push(second);
    };
    assert!(
        refusal(&twice).contains("branch 6 closes a loop") || refusal(&twice).contains("branch 5 closes")
    );
    let sources = |p: &mut NetworkParts| {
        let second = Source { id: 1, bus: BusId(2), ..p.sources[0].clone() };
        p.sources.push(second);
    };
    assert!(refusal(&sources).contains("2 sources, at buses 1 and 2"));
    let unit = |winding_from, winding_to, clock| {
        move |p: &mut NetworkParts| {
            p.lines.clear();
            p.transformers.push(Transformer {
                id: BranchId(7),
                from: BusId(1),
                to: BusId(2),
                u1_v: 400.0,
                u2_v: 400.0,
                s_rated_va: 1e5,
                uk_pu: 0.04,
                pk_w: 1000.0,
                i0_pu: 0.0,
                p0_w: 0.0,
                winding_from,
                winding_to,
                clock,
                ..Transformer::default()
            });
        }
    };
    let star = unit(Winding::Wye, Winding::WyeN, 0);
    assert!(refusal(&star).contains("transformer 7 feeds a grounded star winding from a floating star"));
    assert!(refusal(&unit(Winding::Delta, Winding::Wye, 11)).contains("transformer 7"));
    assert!(refusal(&unit(Winding::Delta, Winding::WyeN, 6)).contains("transformer 7 cannot have clock 6"));
}

proptest! {
    #[test]
    fn any_loads_are_answered_and_power_is_conserved(
        p in prop::collection::vec(-60_000.0..60_000.0_f64, 4),
        q in prop::collection::vec(-20_000.0..20_000.0_f64, 4),
    ) {
        let feeder = Feeder::new(&network(&read("cases/dyn11/input.json"))).unwrap();
        let loads: Vec<Complex64> = p.iter().zip(&q).map(|(p, q)| Complex64::new(*p, *q)).collect();
        if let Ok(flow) = feeder.solve(&loads) {
            let lost: Complex64 = (0..feeder.branch_count())
                .flat_map(|b| flow.powers_from_va[b].iter().zip(&flow.powers_to_va[b]))
                .map(|(from, to)| from + to)
                .sum();
            let taken: Complex64 = loads.iter().sum();
            let delivered: Complex64 = flow.source_power_va.iter().sum();
            prop_assert!((delivered - taken - lost).norm() < 1e-5 * (1.0 + taken.norm() + lost.norm()));
            prop_assert!(lost.re > 0.0);
        }
    }
}
