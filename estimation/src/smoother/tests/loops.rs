//! Loops closed on the tree, against sparse least squares.

use crate::circuit::{Circuit, FlowPlace, Opened, Readings, Series};
use crate::smoother::{Closed, NotSmoothable};
use crate::solve::{NoSolution, Tolerance};
use crate::sparse::test_circuits::{bus, circuit, element_currents, even, line, mesh};
use crate::sparse::test_readings::{TIGHT, measure, moved};
use crate::sparse::{Flows, RowOf, Wls};
use num_complex::Complex64;
use proptest::prelude::*;

const EXACT: Tolerance = Tolerance { voltage_pu: 1e-10, iterations_max: 100 };
/// Known worse than this, p.u., a voltage may have several optima.
const WELL: f64 = 0.03;

/// A smoother of the readings, if it takes them.
fn closed(net: &Circuit, readings: &Readings) -> Option<Closed> {
    let opened = Opened::new(net, 8).unwrap();
    match Closed::new(net, &opened, readings) {
        Ok(smoother) => Some(smoother),
        Err(NotSmoothable::Open) => None,
        Err(other) => panic!("{other}"),
    }
}

/// The optimum that sparse least squares find, where they find one that is certain.
fn certain(net: &Circuit, readings: &Readings) -> Option<(Vec<Complex64>, f64)> {
    let mut wls = Wls::new(net, readings).unwrap();
    let found = wls.estimate(&TIGHT).ok().filter(|_| wls.settled_regularly())?;
    let posterior = wls.posterior().unwrap();
    let known = |wire| posterior.magnitude_std(wire).is_some_and(|std| std < WELL);
    // The rows that angles count from are no readings.
    let references = found.rows.iter().filter(|row| matches!(row.of, RowOf::Reference(_)));
    let objective = found.objective - references.map(|row| row.residual.powi(2) / row.variance).sum::<f64>();
    (0..net.wire_count()).all(known).then_some((found.voltages, objective))
}

/// Whether no loop carries far more than all loads: taps of random circuits drive up to ten times as much through short lines, and
/// then sparse least squares may have to stand in.
fn is_calm(net: &Circuit, truth: &[Complex64]) -> bool {
    element_currents(net, truth, false).iter().all(|(_, _, currents)| currents.iter().all(|i| i.norm() < 3.0))
}

/// Magnitudes of currents alone leave a choice of directions, and with it several optima.
fn with_directions(mut readings: Readings) -> Readings {
    readings.currents.retain(|reading| reading.angle.is_some());
    readings
}

fn same(found: &crate::smoother::Estimated, expected: &(Vec<Complex64>, f64)) -> Result<(), TestCaseError> {
    let (voltages, objective) = expected;
    // Who has no phasor turns as it likes.
    let turn = |all: &[Complex64]| Complex64::cis(-all[0].arg());
    let (own, other) = (turn(&found.voltages), turn(voltages));
    for (a, b) in found.voltages.iter().zip(voltages) {
        prop_assert!((a * own - b * other).norm() < 1e-8, "{a} {b} after {}", found.iterations);
    }
    prop_assert!(
        (found.objective - objective).abs() < 1e-7 * (1.0 + objective),
        "{} {objective}",
        found.objective
    );
    prop_assert!(found.violation_pu < 1e-9, "{}", found.violation_pu);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn estimates_with_loops_are_those_of_sparse_least_squares(
        net in mesh(), seed in any::<u64>(), share in 0.0..0.3_f64,
    ) {
        let (truth, readings) = measure(&net, seed, false);
        if net.series.len() < net.buses.len() || !is_calm(&net, &truth) {
            return Ok(());
        }
        let readings = with_directions(readings);
        let Some(expected) = certain(&net, &readings) else { return Ok(()) };
        let Some(mut smoother) = closed(&net, &readings) else { return Ok(()) };
        let found = smoother.estimate(EXACT);
        prop_assert!(found.is_ok(), "{found:?}");
        same(&found.unwrap(), &expected)?;
        // Other values on the same factors.
        let other = moved(&readings, seed, share);
        let Some(expected) = certain(&net, &other) else { return Ok(()) };
        smoother.set_values(&other);
        let found = smoother.estimate_kept(EXACT);
        prop_assert!(found.is_ok(), "{found:?}");
        same(&found.unwrap(), &expected)?;
    }

    #[test]
    fn deviations_with_loops_are_those_of_sparse_least_squares(net in mesh(), seed in any::<u64>()) {
        let (truth, readings) = measure(&net, seed, false);
        let readings = with_directions(readings);
        if net.series.len() < net.buses.len() || !is_calm(&net, &truth) || certain(&net, &readings).is_none() {
            return Ok(());
        }
        let Some(mut smoother) = closed(&net, &readings) else { return Ok(()) };
        let found = smoother.estimate(EXACT).unwrap();
        smoother.renew_factors().unwrap();
        let own = smoother.uncertainty().unwrap();
        let mut wls = Wls::new(&net, &readings).unwrap();
        wls.estimate_from(&found.voltages, &TIGHT).unwrap();
        let posterior = wls.posterior().unwrap();
        let voltages: Vec<f64> =
            (0..net.wire_count()).map(|wire| posterior.magnitude_std(wire).unwrap()).collect();
        let flows = Flows::new(&net, posterior).unwrap();
        let wires = net.uniform_wires().unwrap();
        // Rounding leaves a hundred-millionth of what surrounds it where nothing is open.
        let near = |what: &str, own: f64, other: f64| {
            prop_assert!((own - other).abs() < 1e-5 * own.max(other) + 1e-5, "{what}: {own:e} {other:e}");
            Ok(())
        };
        let reference = readings.currents.iter().all(|reading| reading.angle_from_voltage)
            && readings.voltages.iter().all(|reading| reading.angle.is_none());
        for wire in 0..net.wire_count() {
            let close = (own.voltages[wire] - voltages[wire]).abs() < 1e-5 * voltages[wire] + 1e-8;
            prop_assert!(close, "u: {:e} {:e}", own.voltages[wire], voltages[wire]);
            let angles = if reference { &own.turned_angles } else { &own.angles };
            near("angle", angles[wire], flows.angle_std(wire, reference.then_some(0)).unwrap())?;
            let (taken, together) = (flows.taken(wire).unwrap(), own.taken[wire]);
            near(&format!("p taken {wire}"), own.injections[wire].0, taken.p.sqrt())?;
            near(&format!("q taken {wire}"), own.injections[wire].1, taken.q.sqrt())?;
            if own.injections[wire].0 > 1e-6 {
                near("p and u", together.pu, taken.pu)?;
                near("p and q", together.pq, taken.pq)?;
            }
        }
        for element in 0..net.series.len() {
            for (place, own, total) in [
                (FlowPlace::SeriesFrom(element as u32), &own.from, &own.from_total),
                (FlowPlace::SeriesTo(element as u32), &own.to, &own.to_total),
            ] {
                near("apparent", total[element].apparent, flows.apparent(place))?;
                for (wire, [p, q, i]) in flows.at(place) {
                    let own = &own[element * wires + usize::from(wire)];
                    near("p", own.p, p)?;
                    near("q", own.q, q)?;
                    near("i", own.i, i)?;
                }
            }
        }
        for (bus, covariance) in &own.buses {
            let (first, v) = (net.wires(*bus).start, &found.voltages);
            for k in 0..wires {
                let unit = v[first + k] / v[first + k].norm();
                let gradient = nalgebra::DVector::from_fn(2 * wires, |row, _| {
                    if row == k { unit.re } else if row == wires + k { unit.im } else { 0.0 }
                });
                near("whole", (covariance * &gradient).dot(&gradient).sqrt(), own.voltages[first + k])?;
            }
        }
    }

    #[test]
    fn the_objective_is_that_of_closed_loops_while_gaps_are_open(net in mesh(), seed in any::<u64>()) {
        let readings = with_directions(measure(&net, seed, false).1);
        let Some(mut smoother) = closed(&net, &readings) else { return Ok(()) };
        let Ok(exact) = smoother.estimate(EXACT) else { return Ok(()) };
        let rough = smoother.estimate(Tolerance { voltage_pu: 1e-8, ..EXACT }).unwrap();
        let away = (rough.objective - exact.objective).abs();
        prop_assert!(away < 1e-7 * (1.0 + exact.objective), "{} {}", rough.objective, exact.objective);
    }

    #[test]
    fn each_loop_is_opened_once(net in mesh()) {
        let opened = Opened::new(&net, 8).unwrap();
        let (buses, elements) = (net.buses.len(), net.series.len());
        prop_assert_eq!(opened.ties.len(), elements + 1 - buses);
        prop_assert_eq!(opened.tree.order.len(), elements + 1);
        prop_assert_eq!(opened.tree.position.len(), buses);
        let mut above: Vec<u32> = opened.tree.element[1..].to_vec();
        above.sort_unstable();
        prop_assert!(above.iter().copied().eq(0..elements as u32));
        for (bus, &position) in (0..).zip(&opened.tree.position) {
            prop_assert_eq!(opened.tree.order[position as usize], bus);
        }
        for tie in &opened.ties {
            let bus = opened.tree.order[tie.twin as usize];
            prop_assert_eq!(opened.tree.position[bus as usize], tie.bus);
            prop_assert!(tie.twin != tie.bus && opened.tree.size[tie.twin as usize] == 1);
            prop_assert!(opened.tree.fed_at_from[tie.twin as usize]);
        }
    }
}

/// Source, and two buses joined by two lines beside each other.
fn ring(between: impl Fn(u32, u32) -> Series) -> Circuit {
    let mut net = circuit(vec![bus(1); 3]);
    net.series = vec![line(0, 1, even(0.01, 0.02, 0.0, 0.0)), between(1, 2), between(2, 1)];
    net
}

#[test]
fn a_loop_without_impedance_is_singular() {
    let net = ring(|from, to| line(from, to, even(0.0, 0.0, 0.0, 0.0)));
    let solid = ring(|from, to| line(from, to, even(0.01, 0.02, 0.0, 0.0)));
    let readings = measure(&solid, 1, false).1;
    let mut smoother = closed(&net, &readings).expect("a voltmeter at the source");
    let found = smoother.estimate(EXACT);
    assert!(matches!(found, Err(NoSolution::Singular { .. })), "{found:?}");
}

#[test]
fn more_loops_than_allowed_are_none() {
    let net = ring(|from, to| line(from, to, even(0.01, 0.02, 0.0, 0.0)));
    assert!(matches!(Opened::new(&net, 0), Err(crate::circuit::NotATree::Loop(2))));
    assert_eq!(Opened::new(&net, 1).unwrap().ties.len(), 1);
}

#[test]
fn what_is_not_known_of_a_load_or_the_source_is_not_smoothed() {
    let net = ring(|from, to| line(from, to, even(0.01, 0.02, 0.0, 0.0)));
    let opened = Opened::new(&net, 1).unwrap();
    let readings = with_directions(measure(&net, 1, false).1);
    let refused =
        |readings: &Readings| Closed::new(&net, &opened, readings).err() == Some(NotSmoothable::Open);
    assert!(!refused(&readings));
    let mut free = readings.clone();
    free.injections.clear();
    free.free.push(2);
    assert!(refused(&free));
    let mut dark = readings;
    dark.voltages.retain(|reading| reading.bus > 0);
    assert!(refused(&dark));
}
