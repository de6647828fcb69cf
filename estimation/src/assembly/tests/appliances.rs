//! Loads over chosen conductors, capacitors, laterals: against values by hand.

use super::dense;
use crate::assembly::{AppliancePlace, Assembly, BranchPlace};
use crate::circuit::GROUND;
use grid::network::*;
use grid::{BranchId, BusId};
use num_complex::Complex64;

/// A source, then a bus with the given conductors behind a line with mutual coupling over them.
fn lateral(wires: &[u8]) -> NetworkParts {
    let wires: Vec<Wire> = wires.iter().map(|&wire| Wire(wire)).collect();
    let n = wires.len();
    let z =
        |k: usize| if k.is_multiple_of(n + 1) { Complex64::new(0.3, 0.6) } else { Complex64::new(0.1, 0.2) };
    NetworkParts {
        name: "lateral".into(),
        buses: [1, 2].map(|id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None }).to_vec(),
        sources: vec![Source { id: 1, bus: BusId(1), sk_va: 1e7, ..Source::default() }],
        coupled_lines: vec![CoupledLine {
            id: BranchId(7),
            from: Terminal { bus: BusId(1), wires: wires.clone() },
            to: Terminal { bus: BusId(2), wires },
            z_ohm: (0..n * n).map(z).collect(),
            y_s: vec![Complex64::new(0.0, 1e-6); n * n],
            i_rated_a: None,
            from_closed: true,
            to_closed: true,
        }],
        ..NetworkParts::default()
    }
}

fn load(wires: &[u8], delta: bool, p_w: &[f64]) -> Load {
    Load {
        id: 11,
        generates: false,
        terminal: Terminal { bus: BusId(2), wires: wires.iter().map(|&wire| Wire(wire)).collect() },
        delta,
        u_branch_v: if delta { 400.0 } else { 400.0 / 3.0_f64.sqrt() },
        p_w: p_w.to_vec(),
        q_var: p_w.iter().map(|p| 0.5 * p).collect(),
        symmetric: false,
        dependence: VoltageDependence { limits_pu: Some((0.7, 1.3)), ..VoltageDependence::CURRENT },
        closed: true,
    }
}

fn assemble(parts: NetworkParts) -> Assembly {
    Assembly::new(&Network::new(parts).unwrap(), false).unwrap()
}

#[test]
fn a_delta_load_lies_between_consecutive_wires() {
    let mut parts = lateral(&[1, 2, 3]);
    parts.loads = vec![load(&[1, 2, 3], true, &[300.0, 600.0, 900.0])];
    let assembly = assemble(parts);
    let ends: Vec<_> = assembly.circuit.ports.iter().map(|port| (port.plus, port.minus)).collect();
    assert_eq!(ends, [(0, 1), (1, 2), (2, 0)]);
    let port = assembly.circuit.ports[1];
    assert!((port.u_nominal - 3.0_f64.sqrt()).abs() < 1e-15);
    assert!((port.taken(1.0) - Complex64::new(600.0, 300.0) * 3e-6).norm() < 1e-15);
    assert_eq!(port.power, Complex64::ZERO);
    assert_eq!(port.limits, Some((0.7, 1.3)));
}

#[test]
fn single_branches_lie_where_their_wires_say() {
    for (wires, delta, expected) in [
        (&[2, 3][..], true, (1, 2)),
        (&[3], false, (2, GROUND)),
        (&[2, 4], false, (1, 3)),
        (&[1, 0], false, (0, GROUND)),
        (&[0, 1], false, (0, GROUND)),
    ] {
        let mut parts = lateral(&[1, 2, 3, 4]);
        parts.loads = vec![load(wires, delta, &[300.0])];
        let assembly = assemble(parts);
        let port = assembly.circuit.ports[0];
        assert_eq!((port.plus, port.minus), expected, "{wires:?}");
        assert_eq!(assembly.appliances[&11], (1, AppliancePlace::Ports(0..1)));
    }
}

#[test]
fn a_line_over_all_wires_of_both_buses_is_a_series_element_and_a_lateral_is_not() {
    let three = assemble(lateral(&[1, 2, 3]));
    assert_eq!(three.branches[&BranchId(7)], BranchPlace::Series(0));
    assert!((three.circuit.series[0].z.at(0, 1) - Complex64::new(0.1, 0.2) / 0.16).norm() < 1e-15);
    let two = assemble(lateral(&[1, 3]));
    assert_eq!(two.branches[&BranchId(7)], BranchPlace::General(0, vec![Some(0), Some(1)]));
    assert_eq!(two.conductors(1), [Wire(1), Wire(3)]);
    assert_eq!(two.circuit.general[0].terminals, [(0, vec![0, 2]), (1, vec![0, 1])]);
}

#[test]
fn a_series_element_and_the_same_line_in_general_form_have_one_solution() {
    let solve = |spare: bool| {
        let mut parts = lateral(&[1, 2, 3]);
        parts.loads = vec![load(&[1, 2, 3], false, &[3000.0, 600.0, 900.0])];
        parts.loads[0].dependence.limits_pu = None;
        if spare {
            // A conductor that only a capacitor uses turns the line into a general element.
            parts.capacitors = vec![capacitor(&[4], false)];
        }
        let assembly = assemble(parts);
        assert_eq!(assembly.circuit.series.is_empty(), spare);
        let v = dense::solve(&assembly.circuit);
        assembly.circuit.wires(1).take(3).map(|wire| v[wire]).collect::<Vec<_>>()
    };
    let (one, other) = (solve(false), solve(true));
    assert!(one.iter().zip(other).all(|(one, other)| (one - other).norm() < 1e-12));
    assert!(one[0].norm() < 0.99, "the load moves the voltage");
}

fn capacitor(wires: &[u8], delta: bool) -> Capacitor {
    Capacitor {
        id: 12,
        terminal: Terminal { bus: BusId(2), wires: wires.iter().map(|&wire| Wire(wire)).collect() },
        delta,
        q_var: 3000.0,
        u_rated_v: 400.0,
        closed: true,
    }
}

#[test]
fn a_capacitor_gives_its_rated_power_at_rated_voltage() {
    for delta in [false, true] {
        let mut parts = lateral(&[1, 2, 3]);
        parts.capacitors = vec![capacitor(&[1, 2, 3], delta)];
        let network = Network::new(parts).unwrap();
        for symmetric in [false, true] {
            let assembly = Assembly::new(&network, symmetric).unwrap();
            let v = if symmetric { vec![Complex64::ONE] } else { assembly.circuit.sources[0].emf.clone() };
            let y = assembly.circuit.shunts[0].y.to_matrix(v.len());
            let s: Complex64 = (0..v.len())
                .map(|row| v[row] * (0..v.len()).map(|k| y[(row, k)] * v[k]).sum::<Complex64>().conj())
                .sum();
            let s_va = s * assembly.circuit.s_base_va;
            assert!((s_va - Complex64::new(0.0, -3000.0)).norm() < 1e-9, "delta {delta}: {s_va}");
        }
    }
}

#[test]
fn a_capacitor_is_switched_in_place() {
    let mut parts = lateral(&[1, 2, 3]);
    parts.capacitors = vec![capacitor(&[1, 2], true)];
    let closed = assemble(parts.clone());
    parts.capacitors[0].closed = false;
    let mut assembly = assemble(parts);
    assert_ne!(assembly, closed);
    assembly.replace_capacitor(&capacitor(&[1, 2], true)).unwrap();
    assert_eq!(assembly, closed);
    assert!(closed.circuit.shunts[0].y.at(0, 1).im < 0.0, "two wires are one unit");
    assert_eq!(closed.circuit.shunts[0].y.at(2, 2), Complex64::ZERO);
}

#[test]
fn a_load_is_set_in_place() {
    let mut parts = lateral(&[1, 2, 3]);
    parts.loads = vec![load(&[1, 2, 3], false, &[300.0, 600.0, 900.0])];
    let mut assembly = assemble(parts.clone());
    parts.loads[0].p_w[2] = 1000.0;
    assembly.replace_load(&parts.loads[0]).unwrap();
    assert_eq!(assembly, assemble(parts.clone()));
    parts.loads[0].closed = false;
    assembly.replace_load(&parts.loads[0]).unwrap();
    assert!(assembly.circuit.ports.iter().all(|port| port.taken(1.0) == Complex64::ZERO));
    let wrong = assembly.replace_load(&load(&[1], false, &[5.0])).unwrap_err();
    assert!(wrong.to_string().contains("load 11 changed its connection"), "{wrong}");
}
