use super::test_circuits::{bus, circuit, even, line, mesh, residual, wye};
use super::{Method, power_flow};
use crate::circuit::{Circuit, CircuitSource, HeldBus};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;
use proptest::prelude::*;

const TIGHT: Tolerance = Tolerance { voltage_pu: 1e-12, iterations_max: 50 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn both_ways_meet(net in mesh()) {
        let fixed = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
        let newton = power_flow(&net, &TIGHT, Method::Newton).unwrap();
        for (a, b) in fixed.voltages.iter().zip(&newton.voltages) {
            prop_assert!((a - b).norm() < 1e-9);
        }
        prop_assert!(newton.iterations < 8, "{} iterations", newton.iterations);
    }

    #[test]
    fn limits_of_loads_are_kept(net in mesh(), low in 0.9..0.999_f64) {
        let mut net = net;
        for port in &mut net.ports {
            port.limits = Some((low, 1.0));
        }
        if let Ok(found) = power_flow(&net, &TIGHT, Method::Newton) {
            prop_assert!(residual(&net, &found.voltages) < 1e-7);
        }
    }
}

/// A load beyond half of what a line can carry: the fixed point circles, Newton–Raphson arrives.
#[test]
fn a_heavy_load_falls_back_on_newton() {
    let mut net = circuit(vec![bus(1), bus(1)]);
    net.sources[0].y = even(1e9, 0.0, 0.0, 0.0);
    net.series.push(line(0, 1, even(0.0, 0.1, 0.0, 0.0)));
    net.ports.push(wye(1, 0, 4.99, 0.0));
    let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
    let truth = ((1.0 + (1.0 - 4.0 * 0.499_f64.powi(2)).sqrt()) / 2.0).sqrt();
    assert!((found.voltages[1].norm() - truth).abs() < 1e-6, "{} {truth}", found.voltages[1].norm());
    net.ports[0].power.re = 5.1;
    assert!(matches!(
        power_flow(&net, &TIGHT, Method::FixedPoint),
        Err(NoSolution::NotSettled { .. } | NoSolution::NotFinite { .. } | NoSolution::Singular { .. })
    ));
}

fn held(limits: (f64, f64)) -> Circuit {
    let mut net = circuit(vec![bus(3), bus(3), bus(3)]);
    net.series.push(line(0, 1, even(0.01, 0.03, 0.0, 0.0)));
    net.series.push(line(1, 2, even(0.01, 0.03, 0.0, 0.0)));
    for wire in 0..3 {
        net.ports.push(wye(2, wire, 0.5, 0.2));
        net.ports.push(wye(1, wire, -0.3, 7.0));
    }
    net.held.push(HeldBus { bus: 1, u_pu: 1.01, ports: vec![1, 3, 5], q_range: limits });
    net
}

fn reactive_at_held(net: &Circuit, voltages: &[Complex64]) -> f64 {
    // What the two lines bring to bus 1.
    let mut q = 0.0;
    for wire in 0..3 {
        let [a, b, c] = [0, 1, 2].map(|bus| voltages[net.wires(bus).start + wire]);
        let z = Complex64::new(0.01, 0.03);
        q += (b * ((a - b) / z - (b - c) / z).conj()).im;
    }
    q
}

#[test]
fn a_bus_holds_its_voltage_with_reactive_power() {
    let net = held((f64::NEG_INFINITY, f64::INFINITY));
    let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
    assert!((found.voltages[3].norm() - 1.01).abs() < 1e-10);
    assert!(reactive_at_held(&net, &found.voltages) < 0.0, "it gives reactive power");
}

#[test]
fn a_limit_of_reactive_power_lets_the_voltage_go() {
    let net = held((-0.05, 0.05));
    let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
    assert!((reactive_at_held(&net, &found.voltages) + 0.05).abs() < 1e-9);
    assert!(found.voltages[3].norm() < 1.01);
}

#[test]
fn two_sources_share_the_load() {
    let mut net = circuit(vec![bus(1), bus(1), bus(1)]);
    net.series.push(line(0, 1, even(0.01, 0.02, 0.0, 0.0)));
    net.series.push(line(1, 2, even(0.01, 0.02, 0.0, 0.0)));
    net.series.push(line(0, 2, even(0.05, 0.02, 0.0, 0.0)));
    net.sources.push(CircuitSource {
        bus: 2,
        emf: vec![Complex64::new(1.01, 0.02)],
        y: even(100.0, -300.0, 0.0, 0.0),
    });
    net.ports.push(wye(1, 0, 1.0, 0.3));
    for method in [Method::FixedPoint, Method::Newton] {
        let found = power_flow(&net, &TIGHT, method).unwrap();
        assert!(residual(&net, &found.voltages) < 1e-9);
    }
}

/// Links of next to no impedance between long lines: the linear equations themselves are solved to some 1e-12 only.
#[test]
fn a_step_that_is_rounding_is_the_last() {
    let mut net = circuit(vec![bus(1); 40]);
    net.sources[0].y = even(1e7, -1e7, 0.0, 0.0);
    for at in 0..39 {
        let z = if at % 2 == 0 { 1e-7 } else { 5e-3 };
        net.series.push(line(at, at + 1, even(z, z, 0.0, 0.0)));
        net.ports.push(wye(at + 1, 0, 0.02, 0.01));
    }
    for method in [Method::FixedPoint, Method::Newton] {
        let beyond = Tolerance { voltage_pu: 1e-17, iterations_max: 50 };
        let found = power_flow(&net, &beyond, method).unwrap();
        assert!(found.iterations < 30, "{method:?} took {}", found.iterations);
        let rough = power_flow(&net, &Tolerance { voltage_pu: 1e-9, iterations_max: 50 }, method).unwrap();
        for (a, b) in found.voltages.iter().zip(&rough.voltages) {
            assert!((a - b).norm() < 1e-9);
        }
    }
}
