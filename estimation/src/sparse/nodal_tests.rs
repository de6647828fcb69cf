use super::test_circuits::{bus, circuit, even, line, mesh, residual, wye};
use super::{Method, Nodal, power_flow, power_flow_on};
use crate::circuit::{CircuitShunt, Coupling, Series};
use crate::solve::{NoSolution, Tolerance};
use nalgebra::DMatrix;
use num_complex::Complex64;
use proptest::prelude::*;

const TIGHT: Tolerance = Tolerance { voltage_pu: 1e-12, iterations_max: 100 };

#[test]
fn two_buses_meet_the_closed_form() {
    // A source of 1 p.u. behind practically nothing, a line of x = 0.1, a load of p = 0.5: u² from the quadratic.
    let mut net = circuit(vec![bus(1), bus(1)]);
    net.sources[0].y = even(1e9, 0.0, 0.0, 0.0);
    net.series.push(line(0, 1, even(0.0, 0.1, 0.0, 0.0)));
    net.ports.push(wye(1, 0, 0.5, 0.0));
    let u = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap().voltages[1].norm();
    let truth = ((1.0 + (1.0 - 4.0 * 0.05_f64.powi(2)).sqrt()) / 2.0).sqrt();
    assert!((u - truth).abs() < 1e-8, "{u} {truth}");
}

#[test]
fn a_linear_power_flow_takes_the_nominal_impedance() {
    let mut net = circuit(vec![bus(1), bus(1)]);
    net.sources[0].y = even(1e9, 0.0, 0.0, 0.0);
    net.series.push(line(0, 1, even(0.1, 0.0, 0.0, 0.0)));
    net.ports.push(wye(1, 0, 1.0, 0.0));
    let found = power_flow(&net, &TIGHT, Method::Linear).unwrap();
    assert!((found.voltages[1].re - 1.0 / 1.1).abs() < 1e-8);
}

#[test]
fn behind_a_delta_winding_voltages_add_up_to_zero() {
    // Two wires of a delta-star unit carry a load; nothing ties the delta side's bus 1 to the earth.
    let mut net = circuit(vec![bus(3), bus(3)]);
    let third = 1.0 / 3.0_f64.sqrt();
    let turn = [third, -third, 0.0, 0.0, third, -third, -third, 0.0, third].map(Complex64::from);
    net.series.push(Series {
        from: 0,
        to: 1,
        ratio: Some(Box::new(DMatrix::from_row_slice(3, 3, &turn))),
        z: even(0.01, 0.04, 0.0, 0.0),
        y_from: Coupling::Zero,
        y_to: Coupling::Zero,
    });
    net.series.push(line(1, 2, even(0.02, 0.03, 0.005, 0.01)));
    net.buses.push(crate::circuit::CircuitBus { first_wire: 6, ..bus(3) });
    // Turned round: bus 1 at the delta side.
    net.series[0].from = 1;
    net.series[0].to = 0;
    let mut between = wye(2, 0, 0.1, 0.05);
    between.minus = 1;
    between.u_nominal = 3.0_f64.sqrt();
    net.ports.push(between);
    let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
    for bus in [1, 2] {
        let sum: Complex64 = net.wires(bus).map(|wire| found.voltages[wire]).sum();
        assert!(sum.norm() < 1e-9, "bus {bus}: {sum}");
    }
    assert!(residual(&net, &found.voltages) < 1e-9);
}

#[test]
fn a_wire_that_hangs_on_nothing_is_named() {
    let mut net = circuit(vec![bus(3), bus(3)]);
    let mut y = DMatrix::zeros(4, 4);
    for phase in 0..2 {
        y[(phase, phase)] = Complex64::ONE;
        y[(phase + 2, phase + 2)] = Complex64::ONE;
        y[(phase, phase + 2)] = -Complex64::ONE;
        y[(phase + 2, phase)] = -Complex64::ONE;
    }
    net.general.push(crate::circuit::General { terminals: vec![(0, vec![0, 1]), (1, vec![0, 1])], y });
    // One wire hangs: the tie of the bus's mean cannot help it together with nothing else, but alone it can.
    let found = power_flow(&net, &TIGHT, Method::FixedPoint);
    assert!(found.is_ok());
    net.general.clear();
    assert_eq!(power_flow(&net, &TIGHT, Method::FixedPoint), Err(NoSolution::Singular { bus: 1 }));
}

#[test]
fn dead_buses_have_no_voltage() {
    let mut net = circuit(vec![bus(3), bus(3), bus(3)]);
    net.series.push(line(0, 1, even(0.1, 0.1, 0.0, 0.0)));
    net.buses[2].energized = false;
    net.ports.push(wye(2, 0, 1.0, 0.0));
    let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
    assert!(found.voltages[6..].iter().all(|v| *v == Complex64::ZERO));
    assert!((found.voltages[3] - 1.0).norm() < 1e-12);
}

#[test]
fn absurd_values_end_in_an_error() {
    let mut net = circuit(vec![bus(1), bus(1)]);
    net.series.push(line(0, 1, even(0.1, 0.0, 0.0, 0.0)));
    net.shunts.push(CircuitShunt { bus: 1, y: even(f64::NAN, 0.0, 0.0, 0.0) });
    assert_eq!(power_flow(&net, &TIGHT, Method::FixedPoint), Err(NoSolution::NotFinite { bus: 1 }));
    net.shunts.clear();
    net.ports.push(wye(1, 0, f64::NAN, 0.0));
    assert!(power_flow(&net, &TIGHT, Method::FixedPoint).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn currents_add_up_to_nothing_at_every_bus_of_a_mesh(net in mesh()) {
        let found = power_flow(&net, &TIGHT, Method::FixedPoint).unwrap();
        prop_assert!(residual(&net, &found.voltages) < 1e-8);
    }

    #[test]
    fn equations_that_are_there_give_the_very_same_answer(
        net in mesh(), factor in 0.2..1.5_f64, impedances in any::<bool>(), newton in any::<bool>(),
    ) {
        let method = if newton { Method::Newton } else { Method::FixedPoint };
        let mut equations = None;
        power_flow_on(&mut equations, &net, &TIGHT, method).unwrap();
        let mut other = net.clone();
        for port in &mut other.ports {
            port.power *= factor;
            port.current *= factor;
            if impedances {
                port.impedance *= factor;
            }
        }
        let kept = equations.as_ref().is_some_and(|nodal| nodal.suits(&other.ports));
        prop_assert_eq!(kept, !impedances || net.ports.iter().all(|port| port.impedance == Complex64::ZERO));
        let again = power_flow_on(&mut equations, &other, &TIGHT, method);
        prop_assert_eq!(again, power_flow(&other, &TIGHT, method));
        prop_assert!(equations.is_some_and(|nodal| nodal.suits(&other.ports)));
    }

    #[test]
    fn a_kept_factor_solves_for_other_loads(net in mesh(), factor in 0.2..1.5_f64) {
        let nodal = Nodal::new(&net).unwrap();
        let mut other = net.clone();
        for port in &mut other.ports {
            port.power *= factor;
            port.impedance *= 2.0 - factor;
        }
        let kept = nodal.solve(&other.ports, &TIGHT).unwrap();
        let fresh = power_flow(&other, &TIGHT, Method::FixedPoint).unwrap();
        for (a, b) in kept.voltages.iter().zip(&fresh.voltages) {
            prop_assert!((a - b).norm() < 1e-9);
        }
    }
}
