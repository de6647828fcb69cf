use super::dense_oracle::Dense;
use super::meter::as_rows;
use super::test_circuits::{bus, circuit, even, line, mesh, wye};
use super::test_readings::{TIGHT, measure, moved, noise};
use super::{Observability, RowOf, Wls, estimate};
use crate::circuit::{Circuit, InjectionReading, Readings, VoltageReading};
use crate::solve::{NoSolution, Tolerance};
use num_complex::Complex64;
use proptest::prelude::*;

const CASES: u32 = 192;

fn ties(net: &Circuit, readings: &Readings) -> Vec<(usize, f64, f64)> {
    let wls = Wls::new(net, readings).unwrap();
    let tied = wls.rows.names.iter().enumerate().filter_map(|(row, name)| match name {
        RowOf::Reference(wire) => {
            let local = *wire as usize - net.wires(net_bus(net, *wire)).start;
            let angle = -std::f64::consts::TAU / 3.0 * local as f64;
            Some((*wire as usize, angle, wls.rows.meters.variance[row]))
        }
        _ => None,
    });
    tied.collect()
}

fn net_bus(net: &Circuit, wire: u32) -> u32 {
    (0..net.buses.len() as u32).find(|&bus| net.wires(bus).contains(&(wire as usize))).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, ..ProptestConfig::default() })]

    #[test]
    fn every_derivative_is_that_of_its_row(net in mesh(), seed in any::<u64>()) {
        let (truth, readings) = measure(&net, seed, false);
        let mut wls = Wls::new(&net, &readings).unwrap();
        let dense = Dense { circuit: &net, readings: &readings, ties: ties(&net, &readings) };
        let mut state = seed;
        let moved: Vec<Complex64> =
            truth.iter().map(|v| v + Complex64::new(noise(&mut state), noise(&mut state)) * 0.02).collect();
        wls.put(&moved);
        let h = dense.slopes(&moved);
        let rows = dense.residuals(&moved);
        prop_assert_eq!(rows.len(), wls.rows.names.len());
        let scale = h.amax();
        for row in 0..rows.len() {
            prop_assert!((wls.residual(row) - rows[row]).abs() < 1e-9, "{:?}", wls.rows.names[row]);
            let mut line = vec![0.0; h.ncols()];
            for (at, value) in wls.row_of_h(row) {
                line[at] += value;
            }
            for (column, value) in line.iter().enumerate() {
                prop_assert!((value - h[(row, column)]).abs() < 1e-8 * scale, "{:?}", wls.rows.names[row]);
            }
        }
    }

    #[test]
    fn a_row_bends_as_its_derivative_changes(net in mesh(), seed in any::<u64>()) {
        let (truth, readings) = measure(&net, seed, false);
        let wls = Wls::new(&net, &readings).unwrap();
        let meters = &wls.rows.meters;
        for meter in &meters.meters {
            let columns = meters.columns_of(meter);
            let count = 2 * columns.len();
            let mut entries = Vec::new();
            meters.bend(meter, &truth, Complex64::new(0.7, -0.4), &mut entries);
            let mut bends = vec![0.0; count * count];
            for (row, column, value) in entries {
                bends[row as usize * count + column as usize] += value;
            }
            let slopes = |v: &[Complex64]| -> Vec<f64> {
                let mut slopes = Vec::new();
                meters.evaluate(meter, v, &mut slopes);
                let both = slopes.iter().map(|&slope| as_rows(slope));
                both.flat_map(|[re, im]| [0, 1].map(|k| 0.7 * re[k] + 0.4 * im[k])).collect()
            };
            let scale = slopes(&truth).iter().fold(1e-6_f64, |most, slope| most.max(slope.abs()));
            for column in 0..count {
                let by = [Complex64::ONE, Complex64::I][column % 2] * 1e-8;
                let (mut up, mut down) = (truth.clone(), truth.clone());
                up[columns[column / 2] as usize] += by;
                down[columns[column / 2] as usize] -= by;
                for (row, (up, down)) in slopes(&up).iter().zip(slopes(&down)).enumerate() {
                    let (theirs, ours) = ((up - down) / 2e-8, bends[row * count + column]);
                    prop_assert!((theirs - ours).abs() < 1e-5 * (scale + theirs.abs()), "{:?}: {ours} {theirs}", meter.kind);
                }
            }
        }
    }

    #[test]
    fn the_estimate_is_that_of_dense_normal_equations(net in mesh(), seed in any::<u64>()) {
        let (truth, readings) = measure(&net, seed, false);
        let dense = Dense { circuit: &net, readings: &readings, ties: ties(&net, &readings) };
        // Where only magnitudes of currents tell, Gauss-Newton may wander.
        let mut phasors = readings.clone();
        phasors.currents.retain(|reading| reading.angle.is_some());
        let without = Dense { circuit: &net, readings: &phasors, ties: dense.ties.clone() };
        prop_assume!(without.determined(&truth).is_some_and(|found| found.iter().all(|&known| known)));
        prop_assume!(without.solve(&truth).covariance.diagonal().amax() < 1e-3);
        let answer = dense.solve(&truth);
        prop_assume!(answer.voltages.iter().zip(&truth).all(|(a, b)| (a - b).norm() < 0.1));
        prop_assume!(answer.covariance.diagonal().amax() < 1e-3);
        let mut wls = Wls::new(&net, &readings).unwrap();
        let found = wls.estimate(&TIGHT);
        // Magnitudes of currents alone leave a choice of directions, and with it several optima.
        let several = readings.currents.iter().any(|reading| reading.angle.is_none());
        let answer = match &found {
            Ok(found) if several => dense.solve(&found.voltages),
            _ => answer,
        };
        // What is determined this well is found, however much the meters contradict each other.
        prop_assert!(found.is_ok(), "{found:?}");
        let found = found.unwrap();
        for (a, b) in found.voltages.iter().zip(&answer.voltages) {
            prop_assert!((a - b).norm() < 1e-9, "{a} {b} after {}, {} {} {readings:?}", found.iterations, found.objective, answer.objective);
        }
        prop_assert!(
            (found.objective - answer.objective).abs() < 1e-9 * (1.0 + answer.objective),
            "{} {} {:?}", found.objective, answer.objective, found.rows
        );
        let posterior = wls.posterior().unwrap();
        // The decomposition that splits off what exact rows fix loses digits where they nearly say the same twice.
        let covariance = dense.augmented_covariance(&answer.voltages).unwrap_or_else(|| answer.covariance.clone());
        let magnitude = |wire: usize| {
            let unit = answer.voltages[wire] / answer.voltages[wire].norm();
            let c = covariance.view((2 * wire, 2 * wire), (2, 2));
            unit.re * unit.re * c[(0, 0)] + 2.0 * unit.re * unit.im * c[(0, 1)] + unit.im * unit.im * c[(1, 1)]
        };
        // Nothing is known worse than its own meter tells: a dense inverse that says so has lost its digits.
        prop_assume!(readings.voltages.iter().all(|reading| {
            let wire = (net.buses[reading.bus as usize].first_wire + u32::from(reading.wire)) as usize;
            magnitude(wire) <= reading.variance * (1.0 + 1e-6)
        }));
        for wire in 0..truth.len() {
            let variance = magnitude(wire);
            let std = posterior.magnitude_std(wire).unwrap();
            prop_assert!(
                (std - variance.max(0.0).sqrt()).abs() < 1e-7,
                "wire {wire}: {std} {} lost {:?} {:?} {net:?}", variance.max(0.0).sqrt(), posterior.lost(), found.rows
            );
        }
        for row in 0..found.rows.len() {
            prop_assert!(posterior.residual_std(row) <= found.rows[row].variance.sqrt());
        }
    }

    #[test]
    fn an_estimate_that_goes_on_is_that_of_a_fresh_one(
        net in mesh(), seed in any::<u64>(), share in 0.0..0.5_f64,
    ) {
        let (_, mut readings) = measure(&net, seed, false);
        // Magnitudes of currents alone leave a choice of directions, and with it several optima.
        readings.currents.retain(|reading| reading.angle.is_some());
        let mut wls = Wls::new(&net, &readings).unwrap();
        prop_assume!(wls.estimate(&TIGHT).is_ok() && wls.settled_regularly());
        prop_assume!((0..net.wire_count()).all(|wire| {
            wls.posterior().unwrap().magnitude_std(wire).is_some_and(|std| std < 0.03)
        }));
        let other = moved(&readings, seed, share);
        prop_assert!(wls.set_values(&other));
        let mut fresh = Wls::new(&net, &other).unwrap();
        let Ok(expected) = fresh.estimate(&TIGHT) else { return Ok(()) };
        let again = wls.estimate_again(&TIGHT);
        prop_assert!(again.is_ok(), "{again:?} {expected:?}");
        let again = again.unwrap();
        let apart = again.voltages.iter().zip(&expected.voltages).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
        let (objective, voltages) = if apart < 1e-9 {
            (expected.objective, expected.voltages)
        } else {
            // A second optimum, as some readings have it; either may be the lower one.
            let dense = Dense { circuit: &net, readings: &other, ties: ties(&net, &other) };
            let answer = dense.solve(&again.voltages);
            prop_assume!(answer.objective.is_finite());
            (answer.objective, answer.voltages)
        };
        prop_assert!(
            (again.objective - objective).abs() < 1e-9 * (1.0 + objective),
            "{} {objective}, {apart} from the fresh one", again.objective
        );
        for (a, b) in again.voltages.iter().zip(&voltages) {
            prop_assert!((a - b).norm() < 1e-9, "{a} {b}, {apart} from the fresh one");
        }
    }

    #[test]
    fn what_is_determined_is_what_the_rank_says(net in mesh(), seed in any::<u64>()) {
        compare_with_rank(&net, seed)?;
    }

    #[test]
    fn little_measured_is_no_error(net in mesh(), seed in any::<u64>()) {
        let (_, readings) = measure(&net, seed, true);
        // A state in a long flat valley is found, or said to be still moving or in none of a grid's; never singular, never
        // not a number.
        match estimate(&net, &readings, &Tolerance::default()) {
            Ok(found) => prop_assert!(found.voltages.iter().all(|v| v.is_finite())),
            Err(why) => {
                let told = match why {
                    NoSolution::NotSettled { step_pu, .. } => step_pu.is_finite(),
                    NoSolution::Implausible { voltage_pu, max_pu, .. } => voltage_pu > max_pu,
                    _ => false,
                };
                prop_assert!(told, "{why}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 20_000, max_global_rejects: 1_000_000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    #[ignore = "soak: twenty thousand networks"]
    fn soak_of_what_is_determined_is_what_the_rank_says(net in mesh(), seed in any::<u64>()) {
        compare_with_rank(&net, seed)?;
    }
}

/// What is determined with and without pseudo-measurements, against the rank of the dense Jacobian. Networks whose rank
/// is a matter of taste (a singular value between clearly something and clearly nothing) are left out.
fn compare_with_rank(net: &Circuit, seed: u64) -> Result<(), TestCaseError> {
    let (truth, mut readings) = measure(net, seed, true);
    let expected = readings.injections.len() / 2;
    readings.first_pseudo = Some(expected as u32);
    let ties = ties(net, &readings);
    let mut real = readings.clone();
    for reading in real.injections.split_off(expected) {
        real.free.push(net.wires(reading.bus).start as u32 + u32::from(reading.wire));
    }
    let rank = |readings: &Readings| {
        let dense = Dense { circuit: net, readings, ties: ties.clone() };
        dense.determined(&truth).ok_or_else(|| TestCaseError::reject("taste"))
    };
    let (determined, measured) = (rank(&readings)?, rank(&real)?);
    let mut wls = Wls::new(net, &readings).unwrap();
    wls.put(&truth);
    let found = wls.observability().unwrap();
    prop_assert_eq!(&found.determined, &determined, "{:?} {:?}", wls.rows.names, readings);
    prop_assert_eq!(&found.measured, &measured, "without expectations: {:?} {:?}", wls.rows.names, real);
    Ok(())
}

/// 0 ─ 1 ─ 2, loads at 1 and 2; 2 is a pseudo-measurement.
fn chain() -> (Circuit, Readings) {
    let mut net = circuit(vec![bus(1), bus(1), bus(1)]);
    net.series.push(line(0, 1, even(0.01, 0.02, 0.0, 0.0)));
    net.series.push(line(1, 2, even(0.01, 0.02, 0.0, 0.0)));
    net.ports.push(wye(1, 0, 0.2, 0.1));
    net.ports.push(wye(2, 0, 0.3, 0.1));
    let injection = |bus, re| InjectionReading {
        sensor: bus,
        bus,
        wire: 0,
        s: Complex64::new(re, 0.1),
        variance_p: 1e-4,
        variance_q: 1e-4,
    };
    let voltage = VoltageReading {
        sensor: 0,
        bus: 0,
        wire: 0,
        magnitude: 1.0,
        angle: None,
        variance: 1e-6,
        variance_across: 1e-6,
    };
    let readings = Readings {
        voltages: vec![voltage],
        injections: vec![injection(1, 0.2), injection(2, 0.3)],
        free: vec![0],
        first_pseudo: Some(1),
        ..Readings::default()
    };
    (net, readings)
}

#[test]
fn without_its_pseudo_measurement_a_feeder_is_seen_to_the_last_meter() {
    let (net, readings) = chain();
    let mut wls = Wls::new(&net, &readings).unwrap();
    wls.estimate(&TIGHT).unwrap();
    let found = wls.observability().unwrap();
    assert_eq!(found, Observability { determined: vec![true; 3], measured: vec![true, false, false] });
}

#[test]
fn the_reference_angle_is_kept_and_a_phasor_outranks_it() {
    let (net, mut readings) = chain();
    readings.reference_angle = 0.3;
    let found = estimate(&net, &readings, &TIGHT).unwrap();
    assert!((found.voltages[0].arg() - 0.3).abs() < 1e-12);
    assert!(matches!(found.rows.last().unwrap().of, RowOf::Reference(0)));
    readings.voltages[0].angle = Some(-2.0);
    let found = estimate(&net, &readings, &TIGHT).unwrap();
    assert!((found.voltages[0].arg() + 2.0).abs() < 1e-12);
}

#[test]
fn other_values_need_no_other_structure() {
    let (net, mut readings) = chain();
    readings.voltages[0].angle = Some(0.1);
    let mut wls = Wls::new(&net, &readings).unwrap();
    wls.estimate(&TIGHT).unwrap();
    readings.voltages[0].magnitude = 1.02;
    readings.voltages[0].angle = Some(-0.2);
    readings.injections[1].s = Complex64::new(0.5, -0.1);
    readings.injections[1].variance_q = 1e-2;
    assert!(wls.set_values(&readings));
    let fresh = estimate(&net, &readings, &TIGHT).unwrap();
    let kept = wls.estimate(&TIGHT).unwrap();
    for (a, b) in kept.voltages.iter().zip(&fresh.voltages) {
        assert!((a - b).norm() < 1e-10);
    }
    readings.injections.pop();
    assert!(!wls.set_values(&readings), "fewer readings are another structure");
}

#[test]
fn other_values_need_no_other_factors() {
    let (net, readings) = chain();
    let mut wls = Wls::new(&net, &readings).unwrap();
    wls.estimate(&TIGHT).unwrap();
    for seed in 1..20 {
        let other = moved(&readings, seed, 0.2);
        assert!(wls.set_values(&other));
        let again = wls.estimate_again(&TIGHT).unwrap();
        assert_eq!(wls.spent, 0, "a factorization");
        let fresh = estimate(&net, &other, &TIGHT).unwrap();
        assert!((again.objective - fresh.objective).abs() < 1e-9 * (1.0 + fresh.objective));
        for (a, b) in again.voltages.iter().zip(&fresh.voltages) {
            assert!((a - b).norm() < 1e-10, "{a} {b}");
        }
        if seed % 3 == 0 {
            // What is asked meanwhile: factors without some rows, and then those of the estimate.
            wls.observability().unwrap();
            assert!(!wls.own());
            wls.posterior().unwrap();
            assert!(wls.own());
        }
    }
    assert!(wls.determines_all());
    // Factors of something else are none to go on with, and values that nothing can meet are refused as ever.
    wls.observability().unwrap();
    let again = wls.estimate_again(&TIGHT).unwrap();
    assert!(wls.spent > 0 && again.iterations <= 2, "{} {}", wls.spent, again.iterations);
    let mut absurd = readings.clone();
    absurd.injections[1].s.re = 1e200;
    assert!(wls.set_values(&absurd));
    assert!(matches!(wls.estimate_again(&TIGHT), Err(NoSolution::NotFinite { bus: 2 })));
    assert!(wls.set_values(&readings));
    assert!((wls.estimate_again(&TIGHT).unwrap().objective) < 1e-9, "after what was refused");
}

#[test]
fn an_infinite_deviation_is_no_measurement() {
    let (net, mut readings) = chain();
    let rows = estimate(&net, &readings, &TIGHT).unwrap().rows.len();
    readings.injections[1].variance_q = f64::INFINITY;
    assert_eq!(estimate(&net, &readings, &TIGHT).unwrap().rows.len(), rows - 1);
}

#[test]
fn nothing_measured_at_all_gives_the_flat_start() {
    let (net, _) = chain();
    let mut wls = Wls::new(&net, &Readings { free: vec![0, 1, 2], ..Readings::default() }).unwrap();
    let found = wls.estimate(&TIGHT).unwrap();
    assert!(found.voltages.iter().all(|v| (v - 1.0).norm() < 1e-6));
    assert!(!wls.determines_all());
}

#[test]
fn a_high_variance_does_not_stop_short() {
    // Only a reading of 10 p.u. deviation tells what bus 2 takes: it decides all the same.
    let (net, mut readings) = chain();
    readings.injections[1].variance_p = 1e6;
    readings.injections[1].variance_q = 1e6;
    let found = estimate(&net, &readings, &TIGHT).unwrap();
    assert!(found.objective < 1e-12, "{}", found.objective);
}

#[test]
fn absurd_readings_are_refused_at_once_and_named() {
    for value in [1e308, f64::NAN, -1e200] {
        let (net, mut readings) = chain();
        readings.injections[1].s.re = value;
        let found = estimate(&net, &readings, &TIGHT);
        assert!(matches!(found, Err(NoSolution::NotFinite { bus: 2 })), "{found:?}");
    }
}

/// Where all work is done that may be, whole steps settle as ever, and nothing is begun after them.
#[test]
fn what_may_not_take_longer_is_not_begun() {
    let (net, readings) = chain();
    let mut wls = Wls::new(&net, &readings).unwrap();
    let found = wls.estimate(&TIGHT).unwrap();
    assert!(wls.spent > 0 && !wls.is_spent(&TIGHT), "{}", wls.spent);
    wls.spent = u64::MAX / 2;
    assert_eq!(wls.estimate_from_flat(&TIGHT).unwrap(), found);
    let (net, readings) = far_from_every_grid(-400.0);
    let mut wls = Wls::new(&net, &readings).unwrap();
    assert!(wls.estimate(&TIGHT).is_err());
    let with_damped_steps = wls.spent;
    wls.spent = u64::MAX / 2;
    assert!(wls.estimate_from_flat(&TIGHT).is_err());
    assert!(wls.spent - u64::MAX / 2 < with_damped_steps, "damped steps were made");
}

/// A generator of 400 p.u. behind 1 p.u. of resistance: the equations hold at 20.5 p.u., and whole steps find that.
fn far_from_every_grid(p: f64) -> (Circuit, Readings) {
    let mut net = circuit(vec![bus(1), bus(1)]);
    net.series.push(line(0, 1, even(1.0, 0.0, 0.0, 0.0)));
    let voltage = VoltageReading {
        sensor: 0,
        bus: 0,
        wire: 0,
        magnitude: 1.0,
        angle: None,
        variance: 1e-6,
        variance_across: 1e-6,
    };
    let injection = InjectionReading {
        sensor: 0,
        bus: 1,
        wire: 0,
        s: Complex64::from(p),
        variance_p: 1e-4,
        variance_q: 1e-4,
    };
    let readings = Readings {
        voltages: vec![voltage],
        injections: vec![injection],
        free: vec![0],
        ..Readings::default()
    };
    (net, readings)
}

#[test]
fn an_estimate_far_from_every_grid_is_no_solution_here_either() {
    let (net, readings) = far_from_every_grid(-400.0);
    let mut wls = Wls::new(&net, &readings).unwrap();
    let found = wls.iterate(&TIGHT).expect("whole steps settle");
    assert!(wls.x.iter().any(|v| (v.norm() - 20.5).abs() < 0.1), "{:?} after {found}", wls.x);
    match wls.estimate(&TIGHT) {
        Err(NoSolution::Implausible { voltage_pu, max_pu, .. }) => {
            assert!(voltage_pu > 20.0 && max_pu == 2.0, "{voltage_pu} {max_pu}");
        }
        // Damped steps need not get there.
        Err(NoSolution::NotSettled { .. }) => {}
        other => panic!("{other:?}"),
    }
    let far = [Complex64::ONE, Complex64::from(20.5)];
    assert!(wls.estimate_from(&far, &TIGHT).is_err());
    // The same net where a grid may be: 1.366 p.u.
    let (net, readings) = far_from_every_grid(-0.5);
    let near = Wls::new(&net, &readings).unwrap().estimate(&TIGHT).unwrap();
    assert!((near.voltages[1].norm() - 1.366).abs() < 1e-3, "{:?}", near.voltages);
}
