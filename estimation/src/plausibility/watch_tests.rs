//! Each rule on a branch of a small network, in the order in which values come.

use super::*;
use crate::case::{network, read};
use grid::{Measurement, Quality, Timestamp};
use proptest::prelude::*;
use std::sync::Arc;

fn watch() -> Watch {
    let network = network(&read("cases/dyn11/input.json"));
    Watch::new(Arc::new(Plausibility::new(&network, &Register::default())))
}

fn value(point: &str, value: f64, minute: i64) -> Measurement {
    let at = Timestamp::from_seconds(60 * minute);
    let point = point.parse().unwrap();
    Measurement { point, value, quality: Quality::Measured, measured_at: at, received_at: at }
}

/// The monitor of a phase of line 10 behind bus 2: about 20 kW, with the small movement of many homes.
fn monitor(minute: i64) -> [Measurement; 4] {
    let p_w = 20_000.0 + 900.0 * (minute as f64 * 1.7).sin();
    let (q_var, u_v) = (0.3 * p_w, 231.0 + (minute as f64).sin());
    let i_a = p_w.hypot(q_var) / u_v;
    [
        value("branch.10.p.a", p_w, minute),
        value("branch.10.q.a", q_var, minute),
        value("branch.10.i.a", i_a, minute),
        value("bus.2.u.a", u_v, minute),
    ]
}

/// One that has heard an hour.
fn experienced() -> Watch {
    let mut watch = watch();
    for minute in 0..60 {
        let judged = watch.judge(&monitor(minute));
        assert!(judged.unused.is_empty(), "{:?}", judged.unused);
    }
    watch
}

fn rules(judged: &Judged) -> Vec<(String, &'static str)> {
    judged.unused.iter().map(|one| (one.measurement.point.to_string(), one.rule.name())).collect()
}

/// The monitor's values with one of them changed.
fn with(minute: i64, which: usize, change: impl Fn(f64) -> f64) -> [Measurement; 4] {
    let mut batch = monitor(minute);
    batch[which].value = change(batch[which].value);
    batch
}

#[test]
fn another_unit_is_stopped_for_as_long_as_it_lasts_and_only_it() {
    for (which, factor) in [(0, 1e3), (1, 1e3), (2, 1e3), (0, 1e-3), (2, 1e-3)] {
        let mut watch = experienced();
        for minute in 60..100 {
            let judged = watch.judge(&with(minute, which, |value| value * factor));
            let point = monitor(0)[which].point.to_string();
            assert_eq!(judged.good.len(), 3, "{point} times {factor}: {judged:?}");
            assert_eq!(judged.unused[0].measurement.point.to_string(), point);
            assert_eq!(judged.unused[0].measurement.quality, Quality::Implausible);
        }
        assert!(watch.judge(&monitor(100)).unused.is_empty(), "it is right again");
    }
}

#[test]
fn another_unit_is_stopped_at_the_first_value_ever() {
    let judged = watch().judge(&with(0, 2, |value| value / 1e3));
    assert!(rules(&judged).contains(&("branch.10.i.a".to_owned(), "unit-slip")), "{judged:?}");
}

#[test]
fn what_came_one_by_one_is_withdrawn_when_the_last_of_it_contradicts() {
    let mut watch = watch();
    let [p, q, i, u] = with(0, 2, |value| value / 1e3);
    assert_eq!(watch.judge(&[i, u]).good.len(), 2);
    assert_eq!(watch.judge(&[q]).good.len(), 1);
    let judged = watch.judge(&[p]);
    assert!(judged.withdrawn.contains(&i.point), "{judged:?}");
}

#[test]
fn a_turned_sign_is_stopped_for_as_long_as_it_lasts() {
    let mut watch = experienced();
    for minute in 60..200 {
        let judged = watch.judge(&with(minute, 0, |value| -value));
        assert_eq!(rules(&judged), [("branch.10.p.a".to_owned(), "sign-flip")], "minute {minute}");
    }
    assert!(watch.judge(&monitor(200)).unused.is_empty());
    assert!(watch.judge(&monitor(201)).unused.is_empty());
}

#[test]
fn a_flow_that_turns_while_the_sun_rises_is_believed() {
    let mut watch = experienced();
    for minute in 60..180 {
        let p_w = 20_000.0 - 400.0 * (minute - 60) as f64;
        let judged = watch.judge(&[value("branch.10.p.a", p_w, minute)]);
        assert!(judged.unused.is_empty(), "{judged:?}");
    }
}

#[test]
fn a_spike_is_stopped_and_a_step_believed_at_the_second_value() {
    let mut watch = experienced();
    let at = |watch: &mut Watch, p_w, minute| rules(&watch.judge(&[value("branch.10.p.a", p_w, minute)]));
    let rate = vec![("branch.10.p.a".to_owned(), "rate")];
    assert_eq!(at(&mut watch, 90_000.0, 60), rate);
    assert!(at(&mut watch, 20_100.0, 61).is_empty(), "it was a spike");
    assert_eq!(at(&mut watch, 90_000.0, 62), rate);
    assert!(at(&mut watch, 91_000.0, 63).is_empty(), "it is so");
}

#[test]
fn a_number_that_no_longer_moves_is_stuck() {
    let mut watch = experienced();
    let mut said = Vec::new();
    for minute in 60..190 {
        said.extend(rules(&watch.judge(&[value("branch.10.p.a", 20_500.0, minute)])));
    }
    assert_eq!(said.first(), Some(&("branch.10.p.a".to_owned(), "stuck")));
    assert_eq!(said.len(), 10, "after two hours");
    assert!(watch.judge(&monitor(190)).unused.is_empty(), "it moves again");
    // One that was always coarse, and one that rests at zero, are not.
    for resting in [0.0, 20_000.0] {
        let mut watch = self::watch();
        for minute in 0..2_000 {
            let p_w = if minute / 70 % 2 == 0 { resting } else { 21_000.0 };
            let said = rules(&watch.judge(&[value("branch.10.p.a", p_w, minute)]));
            assert!(said.is_empty(), "{said:?} in minute {minute}");
        }
    }
}

#[test]
fn what_came_before_or_too_late_is_not_used_and_not_doubted() {
    let mut watch = watch();
    let voltage = |number, minute| value("bus.2.u.a", number, minute);
    assert_eq!(watch.judge(&[voltage(230.0, 10)]).good.len(), 1);
    let judged = watch.judge(&[voltage(230.0, 10), voltage(229.0, 9)]);
    assert_eq!(
        judged.unused.iter().map(|one| one.rule).collect::<Vec<_>>(),
        [Rule::Duplicate, Rule::Overtaken]
    );
    assert!(judged.unused.iter().all(|one| one.measurement.quality == Quality::Measured));
    assert_eq!(watch.judge(&[voltage(231.0, 10)]).good.len(), 1, "a correction");
    let old = Measurement { received_at: Timestamp::from_seconds(60 * 20), ..voltage(231.0, 11) };
    assert_eq!(watch.judge(&[old]).unused[0].rule, Rule::Late);
    // The energy of a slot is a fact whenever it comes, and however often.
    for minute in [45, 15, 45] {
        let energy = value("meter.41.energy", 400.0, minute);
        let late = Measurement { received_at: Timestamp::from_seconds(86_400), ..energy };
        assert_eq!(watch.judge(&[late]).good, [late]);
    }
}

#[test]
fn what_is_missing_is_passed_on() {
    let mut watch = experienced();
    let lost = Measurement { quality: Quality::Missing, ..value("branch.10.p.a", 0.0, 60) };
    assert_eq!(watch.judge(&[lost]).good, [lost]);
}

proptest! {
    #[test]
    fn every_value_is_answered_once_whatever_comes(
        values in proptest::collection::vec((0..5_usize, any::<f64>(), 0..40_i64, 0..4_u8), 1..60)
    ) {
        let mut watch = experienced();
        let points = ["branch.10.p.a", "branch.10.q.a", "branch.10.i.a", "bus.2.u.a", "meter.41.energy"];
        let batch: Vec<_> = values.into_iter().map(|(which, number, minute, quality)| {
            let quality = [Quality::Measured, Quality::Measured, Quality::Substituted, Quality::Missing][quality as usize];
            Measurement { quality, ..value(points[which], number, 55 + minute) }
        }).collect();
        let judged = watch.judge(&batch);
        prop_assert_eq!(judged.good.len() + judged.unused.len() - judged.withdrawn.len(), batch.len());
        prop_assert!(judged.good.iter().all(|value| value.value.is_finite() || value.quality == Quality::Missing));
    }
}
