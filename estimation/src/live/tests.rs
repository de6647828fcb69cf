//! The live estimator against the first one (injections as the state, dense), against drawn truths, and against rubbish.

use super::LiveEstimator;
use crate::MeasurementSet;
use crate::state_estimation::Estimator;
use crate::state_estimation::tests::{european, every_kind, priors, small_feeder};
use grid::{Observability, Tested, Timestamp};
use proptest::prelude::*;

fn estimate(feeder: &std::sync::Arc<crate::Feeder>, set: &MeasurementSet) -> grid::Estimate {
    LiveEstimator::new(feeder.clone()).unwrap().estimate(Timestamp::default(), set).unwrap()
}

#[test]
fn it_agrees_with_the_dense_estimator_as_far_as_their_supplies_do() {
    let (feeder, set, _) = european();
    let (live, dense) =
        (estimate(&feeder, &set), Estimator::new(feeder).estimate(Timestamp::default(), &set).unwrap());
    for (one, other) in live.buses.iter().zip(&dense.buses) {
        for phase in 0..3 {
            let apart = (one.u_v[phase] - other.u_v[phase]).abs() / other.u_std_v[phase];
            // The supply is 3 % per phase here, 5 % for all and 0.5 % per phase there.
            assert!(apart < 1.0, "bus {} phase {phase}: {apart} standard deviations apart", one.bus);
        }
    }
    let transformer = |estimate: &grid::Estimate| estimate.branches.last().unwrap().clone();
    let (one, other) = (transformer(&live), transformer(&dense));
    assert!((one.loading.unwrap() - other.loading.unwrap()).abs() < 0.5 * other.loading_std.unwrap());
    let ratio = one.loading_std.unwrap() / other.loading_std.unwrap();
    assert!((0.9..1.1).contains(&ratio), "loading_std {ratio} times the dense one");
    let total = |estimate: &grid::Estimate| estimate.usage_points.iter().map(|point| point.p_w).sum::<f64>();
    assert!((total(&live) / total(&dense) - 1.0).abs() < 0.01);
}

#[test]
fn the_european_feeder_is_estimated_within_its_stated_uncertainty() {
    let (feeder, set, truth) = european();
    let found = estimate(&feeder, &set);
    assert!(found.iterations <= 8, "{} iterations", found.iterations);
    let exact = feeder.solve(&truth).unwrap();
    let mut squares = 0.0;
    for (bus, exact) in found.buses.iter().zip(&exact.voltages_v) {
        squares += (0..3).map(|p| ((bus.u_v[p] - exact[p].norm()) / bus.u_std_v[p]).powi(2)).sum::<f64>();
    }
    let mean = squares / (3 * found.buses.len()) as f64;
    assert!(mean < 4.0, "mean squared normalized voltage error {mean}");
    let transformer = found.branches.last().unwrap();
    let error = transformer.loading.unwrap() - exact.loading(feeder.branch_count() - 1).unwrap();
    assert!(error.abs() < 4.0 * transformer.loading_std.unwrap(), "transformer loading off by {error}");
    let ratio = found.objective / found.degrees_of_freedom as f64;
    assert!((0.3..2.5).contains(&ratio), "objective over degrees of freedom {ratio}");
}

#[test]
fn a_lie_that_passes_the_range_rules_is_named_by_the_largest_residual() {
    let (feeder, set, _) = european();
    for (index, factors) in
        [(0, [-5.0, 0.0, 3.0, 8.0]), (10, [-5.0, 0.0, 3.0, 8.0]), (11, [0.5, 0.8, 1.1, 1.3])]
    {
        for factor in factors {
            let mut set = set.clone();
            set.values[index].value *= factor;
            let found = estimate(&feeder, &set);
            let size = |r: &&grid::Residual| r.normalized().unwrap_or(0.0).abs();
            let worst = found.residuals.iter().max_by(|a, b| size(a).total_cmp(&size(b))).unwrap();
            assert_eq!(worst.point, set.values[index].point, "times {factor}");
            assert!(worst.normalized().unwrap().abs() > 4.0, "times {factor}: {:?}", worst.tested);
        }
    }
}

/// An error of the size that is told moves the normalised residual by as much as the alarm's limit and 1.6 deviations, and one that is half as
/// large again raises the alarm whatever noise there is.
#[test]
fn an_error_of_the_size_that_is_told_raises_the_alarm() {
    let (feeder, set, _) = european();
    let before = estimate(&feeder, &set);
    let mut moved = Vec::new();
    for (index, residual) in before.residuals.iter().enumerate() {
        let Ok(Tested { normalized, detectable }) = residual.tested else { continue };
        // What hardly anything else tells bends the estimate to it.
        if detectable > 20.0 * set.values[index].sigma {
            continue;
        }
        let with = |error: f64| {
            let mut set = set.clone();
            set.values[index].value += error * normalized.signum();
            estimate(&feeder, &set)
        };
        let after = &with(detectable).residuals[index];
        let Ok(tested) = after.tested else { panic!("{residual:?}\n{after:?}") };
        moved.push((tested.normalized - normalized).abs());
        let alarm = with(1.5 * detectable).consistency;
        assert!(!alarm.suspects.is_empty() || alarm.expectations_off, "{residual:?}: {alarm:?}");
    }
    moved.sort_by(f64::total_cmp);
    // The largest errors bend what they move.
    let (count, likely) = (moved.len(), 5.0..7.0);
    assert!(count > 20 && moved.iter().all(|moved| likely.contains(moved)), "{moved:?}");
    assert!(moved[3 * count / 4] < 1.02 * moved[count / 4], "{moved:?}");
}

/// A current into a shunt or source has no deviation, a lone meter no second opinion: neither is said to fit.
#[test]
fn what_nothing_can_test_is_not_said_to_fit() {
    let (feeder, set, _) = european();
    let all = estimate(&feeder, &set);
    assert!(all.residuals.iter().any(|residual| residual.tested.is_ok()));
    // One value that is as exact as the estimate it decides.
    let mut alone = set.clone();
    alone.values.truncate(1);
    alone.values[0].sigma *= 1e-6;
    let found = estimate(&feeder, &alone);
    assert_eq!(found.residuals[0].tested, Err(grid::Untestable::OwnValue));
    assert!((found.residuals[0].measured - found.residuals[0].estimated).abs() < 1e-3);
}

#[test]
fn what_rests_on_expectations_is_told_apart_from_what_is_measured() {
    let (feeder, set, _) = european();
    let found = estimate(&feeder, &set);
    let metered = set.values.iter().find(|item| item.point.to_string().contains(".u.")).unwrap();
    let bus = match metered.point.element {
        grid::telemetry::Element::Bus(bus) => bus,
        other => panic!("{other:?}"),
    };
    let seen = |bus| found.buses.iter().find(|one| one.bus == bus).unwrap().observability;
    assert_eq!(seen(bus), [Observability::Measured; 3]);
    let expected = found.buses.iter().filter(|bus| bus.observability.contains(&Observability::Expected));
    assert!(expected.count() > 100, "the ends of the feeder have no meter");
    assert!(found.buses.iter().all(|bus| !bus.observability.contains(&Observability::Unobservable)));
}

/// One estimator remembers what a pattern of instruments determines; others, made anew, must say the same.
#[test]
fn what_is_determined_follows_the_instruments_that_speak() {
    let (feeder, all, _) = european();
    let kept = LiveEstimator::new(feeder.clone()).unwrap();
    let of =
        |estimate: grid::Estimate| estimate.buses.iter().map(|bus| bus.observability).collect::<Vec<_>>();
    let mut different = std::collections::BTreeSet::new();
    for step in 0..6 {
        let mut set = all.clone();
        if step % 3 == 2 {
            set.values.clear();
        }
        for item in &mut set.values {
            item.value *= 1.0 + 0.001 * f64::from(step);
        }
        let found = of(kept.estimate(Timestamp::default(), &set).unwrap());
        assert_eq!(found, of(estimate(&feeder, &set)), "step {step}");
        different.insert(format!("{found:?}"));
    }
    assert_eq!(different.len(), 2, "without values less is determined");
}

#[test]
fn a_changed_value_is_what_the_next_estimate_says_but_for_what_it_bends() {
    let (feeder, set, _) = european();
    let region = std::sync::Arc::new(LiveEstimator::new(feeder.clone()).unwrap());
    let at = Timestamp::default();
    let (first, kept) = region.estimate_and_keep(at, &set, None).unwrap();
    let mut moved_most = 0.0_f64;
    for index in 0..set.values.len() {
        let (mut kept, mut other) = (kept.clone(), set.clone());
        other.values[index].value *= 1.0 + 1e-4;
        assert!(kept.take(other.values[index].point, other.values[index].value));
        let next = region.estimate(at, &other).unwrap();
        for (bus, before) in next.buses.iter().zip(&first.buses) {
            let read = kept.u_v(bus.bus).unwrap();
            for phase in 0..3 {
                let moved = (bus.u_v[phase] - before.u_v[phase]).abs();
                let away = (read[phase] - bus.u_v[phase]).abs();
                moved_most = moved_most.max(moved);
                let point = other.values[index].point;
                assert!(
                    away < 2e-4 + 0.05 * moved,
                    "{point}, bus {}: moved {moved:.2e}, off {away:.2e} V",
                    bus.bus
                );
            }
        }
    }
    assert!(moved_most > 5e-3, "nothing moved: {moved_most} V");
}

/// On factors of the last estimate alone a far value would move the picture along a straight line, without bound.
#[test]
fn a_value_far_off_is_followed_by_whole_steps_or_not_told() {
    let (feeder, set, _) = european();
    let region = std::sync::Arc::new(LiveEstimator::new(feeder.clone()).unwrap());
    let at = Timestamp::default();
    let (first, kept) = region.estimate_and_keep(at, &set, None).unwrap();
    let (mut far, mut lost) = (0, 0);
    for index in (0..set.values.len()).step_by(5) {
        for factor in [1.1, 3.0, -5.0, 1e3, 1e9] {
            let (mut kept, mut other) = (kept.clone(), set.clone());
            other.values[index].value *= factor;
            let point = other.values[index].point;
            assert!(kept.take(point, other.values[index].value));
            let next = region.estimate(at, &other);
            for (number, before) in first.buses.iter().enumerate() {
                let Some(read) = kept.u_v(before.bus) else {
                    lost += 1;
                    continue;
                };
                let next = next.as_ref().unwrap_or_else(|error| panic!("{point} times {factor}: {error}"));
                for phase in 0..3 {
                    let moved = (next.buses[number].u_v[phase] - before.u_v[phase]).abs();
                    let away = (read[phase] - next.buses[number].u_v[phase]).abs();
                    far += usize::from(moved > 0.02 * before.u_v[phase]);
                    assert!(
                        away < 2.5e-4 * before.u_v[phase],
                        "{point} times {factor}, bus {}: moved {moved:.2e}, off {away:.2e} V",
                        before.bus
                    );
                }
            }
        }
    }
    assert!(far > 1000 && lost > 0, "{far} voltages moved far, {lost} were not told");
}

#[test]
fn points_that_are_no_part_of_an_estimate_and_rubbish_change_nothing() {
    let (feeder, set, _) = european();
    let region = std::sync::Arc::new(LiveEstimator::new(feeder).unwrap());
    let (first, mut kept) = region.estimate_and_keep(Timestamp::default(), &set, None).unwrap();
    let known = set.values[0].point;
    assert!(!kept.take(known, f64::NAN) && !kept.take(known, f64::INFINITY));
    let unknown = grid::PointId {
        element: grid::telemetry::Element::UsagePoint(grid::UsagePointId(4_000_000)),
        ..known
    };
    assert!(!kept.take(unknown, 1.0));
    assert!(kept.take(known, set.values[0].value));
    assert_eq!(kept.u_v(grid::BusId(4_000_000)), None);
    let bus = &first.buses[first.buses.len() / 2];
    let read = kept.u_v(bus.bus).unwrap();
    assert!((0..3).all(|phase| (read[phase] - bus.u_v[phase]).abs() < 1e-6));
}

#[test]
fn without_values_the_expectations_come_back() {
    for case in ["dyn11", "dyn1", "ynyn0"] {
        let feeder = small_feeder(case);
        let set = MeasurementSet { values: vec![], priors: priors(&feeder) };
        let found = estimate(&feeder, &set);
        for (point, prior) in found.usage_points.iter().zip(&set.priors) {
            assert!((point.p_w - prior.p_w).abs() < 1.0, "{case}: {} instead of {}", point.p_w, prior.p_w);
            assert!((point.p_std_w / prior.p_std_w - 1.0).abs() < 0.01, "{case}: ± {}", point.p_std_w);
        }
    }
}

/// Minutes on one estimator that keeps what it can, against estimates of their own.
#[test]
fn an_estimate_that_goes_on_is_the_one_from_nothing() {
    let (feeder, all, _) = european();
    let region = std::sync::Arc::new(LiveEstimator::new(feeder.clone()).unwrap());
    let mut spare = None;
    for minute in 0..6 {
        let mut set = all.clone();
        for (number, item) in set.values.iter_mut().enumerate() {
            item.value *= 1.0 + 1e-3 * f64::from(minute) * if number % 2 == 0 { 1.0 } else { -1.0 };
        }
        match minute {
            2 => set.values.iter_mut().for_each(|item| item.sigma *= 1.5),
            4 => set.values.truncate(all.values.len() / 2),
            _ => {}
        }
        let alone = estimate(&feeder, &set);
        let (found, mut kept) = region.estimate_and_keep(Timestamp::default(), &set, spare).unwrap();
        for (one, other) in found.buses.iter().zip(&alone.buses) {
            for phase in 0..3 {
                assert!((one.u_v[phase] - other.u_v[phase]).abs() < 1e-4, "minute {minute}, bus {}", one.bus);
                let ratio = one.u_std_v[phase] / other.u_std_v[phase];
                // Each is told from factors as old as the way to it was long: a per cent, where half of the sensors fell
                // silent at once.
                assert!((ratio - 1.0).abs() < 5e-2, "minute {minute}, bus {}: {ratio}", one.bus);
            }
        }
        assert_eq!(found.consistency.suspects, alone.consistency.suspects);
        // Values come one by one meanwhile.
        assert!(kept.take(set.values[0].point, set.values[0].value * 1.001));
        assert!(kept.u_v(found.buses[3].bus).is_some());
        spare = Some(kept);
    }
}

#[test]
fn a_lie_is_a_suspect_of_the_diagnosis_and_healthy_instruments_raise_no_alarm() {
    let (feeder, set, _) = european();
    let healthy = estimate(&feeder, &set).consistency;
    assert!(healthy.suspects.is_empty() && !healthy.chi_square_alarm && healthy.chance > 1e-3, "{healthy:?}");
    for (index, factor) in [(0, 3.0), (10, 8.0), (11, 1.3)] {
        let mut set = set.clone();
        set.values[index].value *= factor;
        let found = estimate(&feeder, &set).consistency;
        assert_eq!(found.suspects.first(), Some(&set.values[index].point), "times {factor}: {found:?}");
        assert!(found.chance < 1e-6 && found.chi_square_alarm, "times {factor}: {found:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_value_with_any_deviation_is_answered(
        choice in 0..11_usize,
        bad in any::<f64>(),
        sigma in any::<f64>(),
        prior in -1e5..1e5_f64,
    ) {
        let feeder = small_feeder("dyn11");
        let mut set = MeasurementSet { values: every_kind(), priors: priors(&feeder) };
        set.values[choice].value = bad;
        set.values[choice].sigma = sigma;
        set.priors[0].p_w = prior;
        let estimator = LiveEstimator::new(feeder).unwrap();
        if let Ok(found) = estimator.estimate(Timestamp::default(), &set) {
            prop_assert!(found.objective.is_finite());
            prop_assert!(found.buses.iter().all(|b| b.u_v.iter().chain(&b.u_std_v).all(|u| u.is_finite())));
        }
    }
}
