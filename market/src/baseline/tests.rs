//! Each method on days made by hand, and on random ones.

use super::*;
use crate::sample::{energies, offer};
use proptest::prelude::*;

/// Monday 2026-01-12 00:00 UTC.
fn monday() -> Slot {
    "2026-01-12T00:00:00Z".parse::<Timestamp>().unwrap().slot()
}

fn at(day: i64, of_day: i64) -> Slot {
    monday().plus(day * SLOTS_PER_DAY + of_day)
}

/// Readings of `days` days before `day`, each slot `energy(day, slot of the day)`.
fn history(days: std::ops::Range<i64>, energy: impl Fn(i64, i64) -> i64) -> History {
    let slots = days.flat_map(|day| (0..SLOTS_PER_DAY).map(move |of_day| (day, of_day)));
    History {
        metered: slots.map(|(day, of_day)| (at(day, of_day), EnergyMwh(energy(day, of_day)))).collect(),
        ..History::default()
    }
}

const HIGH_2_OF_3: BaselineMethod =
    BaselineMethod::XOfY { x: 2, y: 3, adjustment_slots: 0, adjustment_max_per_mille: 200 };

fn adjusted() -> BaselineMethod {
    BaselineMethod::XOfY { x: 2, y: 3, adjustment_slots: 8, adjustment_max_per_mille: 200 }
}

#[test]
fn weekends_are_told_from_working_days() {
    let days = (0..7).map(|day| is_weekend(day_of(at(day, 0))));
    assert_eq!(days.collect::<Vec<_>>(), [false, false, false, false, false, true, true]);
}

#[test]
fn the_declared_schedule_is_the_offers_own() {
    let offer = offer("fo-1");
    let slots = offer.default_schedule.start..offer.default_schedule.end();
    let method = BaselineMethod::DeclaredSchedule;
    let baseline = estimate(method, &offer, slots, &History::default(), at(0, 0).start()).unwrap();
    assert_eq!(
        (baseline.start, &baseline.energies),
        (offer.default_schedule.start, &energies(&[1_000, 1_000]))
    );
    assert_eq!(baseline.version, "declared-schedule/1");
    assert_eq!(baseline.energy_in(offer.default_schedule.end()), None);
}

#[test]
fn nothing_is_learnt_from_slots_that_were_ordered() {
    // Over midnight: Thursday 23:30 to Friday 00:30. Wednesday had no order, but the hour behind it had.
    let mut past = history(-7..4, |day, _| if day == 2 { 500 } else { 100 });
    let slots = at(3, 94)..at(3, 98);
    past.event_days = [day_of(at(2, 0))].into();
    let baseline = estimate(HIGH_2_OF_3, &offer("fo-1"), slots, &past, at(3, 90).start()).unwrap();
    assert_eq!(baseline.energies, energies(&[100; 4]));
    // An earlier order of the same day: its window says nothing of what would have been.
    let mut today = history(-7..4, |day, _| if day == 3 { 110 } else { 100 });
    let slots = at(3, 68)..at(3, 70);
    let mean = |today: &History| {
        estimate(adjusted(), &offer("fo-1"), slots.clone(), today, at(3, 66).start()).unwrap().energies
    };
    assert_eq!(mean(&today), energies(&[110, 110]));
    today.event_days = [day_of(at(3, 0))].into();
    assert_eq!(mean(&today), energies(&[100, 100]));
}

#[test]
fn the_highest_two_of_the_last_three_working_days_are_averaged() {
    // Thursday: Wednesday 300, Tuesday 100, Monday 200 are the last three.
    let past = history(-7..3, |day, _| [200, 100, 300][day.rem_euclid(7).min(2) as usize]);
    let slots = at(3, 68)..at(3, 70);
    let baseline = estimate(HIGH_2_OF_3, &offer("fo-1"), slots, &past, at(3, 60).start()).unwrap();
    assert_eq!(baseline.energies, energies(&[250, 250]));
    assert_eq!(baseline.version, "x-of-y/1");
}

#[test]
fn days_with_an_order_and_weekends_do_not_count() {
    let mut past = history(-7..3, |day, _| if (-2..0).contains(&day) { 9_000 } else { 100 });
    past.event_days.insert(day_of(at(1, 0)));
    past.metered.iter_mut().for_each(|(slot, energy)| {
        if day_of(*slot) == day_of(at(1, 0)) {
            energy.0 = 50_000;
        }
    });
    let baseline = estimate(HIGH_2_OF_3, &offer("fo-1"), at(3, 68)..at(3, 69), &past, at(3, 60).start());
    assert_eq!(baseline.unwrap().energies, energies(&[100]));
}

#[test]
fn the_same_day_adjusts_within_its_limit() {
    let of_today = |today: i64| {
        let past = history(-7..4, |day, _| if day == 3 { today } else { 1_000 });
        let slots = at(3, 68)..at(3, 69);
        estimate(adjusted(), &offer("fo-1"), slots, &past, at(3, 66).start()).unwrap().energies[0].0
    };
    assert_eq!([of_today(1_100), of_today(1_900), of_today(100)], [1_100, 1_200, 800]);
    assert_eq!(of_today(-500), 1_000, "a roof in the sun says nothing about the evening");
}

#[test]
fn what_was_measured_after_freezing_is_not_looked_at() {
    let past = history(-7..3, |_, _| 1_000);
    let mut known_later = past.clone();
    for slot in (at(3, 0).0..at(4, 0).0).map(Slot) {
        known_later.metered.insert(slot, EnergyMwh(if slot < at(3, 60) { 1_050 } else { 77_777 }));
    }
    let frozen = at(3, 60).start();
    let ask = |history: &History| {
        estimate(adjusted(), &offer("fo-1"), at(3, 64)..at(3, 66), history, frozen).unwrap()
    };
    assert_eq!(ask(&known_later).energies, energies(&[1_050, 1_050]));
}

#[test]
fn too_little_history_is_refused() {
    let past = history(1..3, |_, _| 1_000);
    let found = estimate(HIGH_2_OF_3, &offer("fo-1"), at(3, 68)..at(3, 69), &past, at(3, 60).start());
    assert_eq!(found, Err(BaselineError::TooFewDays { found: 2, needed: 3 }));
    let ask = |method| estimate(method, &offer("fo-1"), at(3, 68)..at(3, 69), &past, at(3, 60).start());
    let none = BaselineMethod::XOfY { x: 4, y: 3, adjustment_slots: 0, adjustment_max_per_mille: 0 };
    assert!(matches!(ask(none), Err(BaselineError::Parameter { what: "X", .. })));
    let empty = estimate(HIGH_2_OF_3, &offer("fo-1"), at(3, 68)..at(3, 68), &past, at(3, 60).start());
    assert_eq!(empty, Err(BaselineError::Slots { slots: 0 }));
}

const BY_WEATHER: BaselineMethod =
    BaselineMethod::WeatherRegression { days_min: 5, days_max: 30, heating_limit_milli_celsius: 15_000 };

/// A heat pump: 40 mWh per tenth of a degree below 15 °C, and 100 Wh at night, 200 Wh by day.
fn heat_pump(milli_celsius: i64, of_day: i64) -> i64 {
    (15_000 - milli_celsius).max(0) * 40 / 100 + if of_day < 24 { 100_000 } else { 200_000 }
}

fn winter(days: std::ops::Range<i64>) -> History {
    let celsius = |day: i64, of_day: i64| (day.rem_euclid(9) - 3) * 1_000 + of_day * 50;
    let mut history = history(days.clone(), |day, of_day| heat_pump(celsius(day, of_day), of_day));
    for (day, of_day) in (days.start..days.end + 1).flat_map(|day| (0..SLOTS_PER_DAY).map(move |s| (day, s)))
    {
        history.temperature.insert(at(day, of_day), celsius(day, of_day) as i32);
    }
    history
}

#[test]
fn a_device_that_follows_the_weather_is_found_exactly() {
    let past = winter(-20..3);
    let slots = at(3, 60)..at(3, 80);
    let baseline = estimate(BY_WEATHER, &offer("fo-1"), slots.clone(), &past, at(3, 40).start()).unwrap();
    for (energy, slot) in baseline.energies.iter().zip(60..) {
        let truth = heat_pump(past.temperature[&at(3, slot)].into(), slot);
        assert!((energy.0 - truth).abs() <= 2, "{slot}: {} {truth}", energy.0);
    }
    let quality = assess(BY_WEATHER, &offer("fo-1"), slots, &past, 10);
    assert_eq!(quality.slots, 200);
    assert!(quality.bias.abs() <= 2 && quality.error <= 2, "{quality:?}");
}

#[test]
fn the_bias_of_a_method_that_takes_the_highest_days_is_seen() {
    let past = history(-60..3, |day, _| 1_000 + day.rem_euclid(3) * 300);
    let quality = assess(HIGH_2_OF_3, &offer("fo-1"), at(3, 60)..at(3, 64), &past, 20);
    assert!(quality.slots > 40 && quality.bias > 50 && quality.error >= quality.bias, "{quality:?}");
}

#[test]
fn missing_weather_is_refused() {
    let mut past = winter(-20..3);
    past.temperature.remove(&at(3, 61));
    let found = estimate(BY_WEATHER, &offer("fo-1"), at(3, 60)..at(3, 64), &past, at(3, 40).start());
    assert_eq!(found, Err(BaselineError::NoTemperature { slot: at(3, 61) }));
}

proptest! {
    #[test]
    fn wild_readings_give_an_answer_or_a_reason(
        seed in any::<i64>(),
        scale in prop_oneof![Just(1_i64), Just(1_000_000_000_000_000), Just(i64::MAX)],
        regression in any::<bool>(),
    ) {
        let wild = |day: i64, of_day: i64| seed.wrapping_mul(day * 31 + of_day * 7 + 1).wrapping_rem(scale.max(2));
        let mut past = winter(-20..3);
        past.metered = history(-20..3, wild).metered;
        let method = if regression { BY_WEATHER } else { adjusted() };
        match estimate(method, &offer("fo-1"), at(3, 60)..at(3, 64), &past, at(3, 40).start()) {
            Ok(baseline) => prop_assert!(baseline.energies.iter().all(|e| e.0.unsigned_abs() <= 2_000_000_000_000_000)),
            Err(error) => prop_assert!(matches!(error, BaselineError::Reading { .. }), "{}", error),
        }
    }

    #[test]
    fn an_average_of_days_lies_between_them(days in proptest::collection::vec(0_i64..5_000_000, 12)) {
        let past = history(-12..0, |day, _| days[(day + 12) as usize]);
        let working: Vec<i64> = (-12..0).filter(|d| !is_weekend(day_of(at(*d, 0)))).map(|d| days[(d + 12) as usize]).collect();
        let newest = &working[working.len() - 3..];
        let baseline = estimate(HIGH_2_OF_3, &offer("fo-1"), at(0, 60)..at(0, 61), &past, at(0, 50).start()).unwrap();
        let energy = baseline.energies[0].0;
        prop_assert!(energy <= *newest.iter().max().unwrap() && energy >= *newest.iter().min().unwrap());
        prop_assert!(2 * energy + 1 >= newest.iter().sum::<i64>() - newest.iter().min().unwrap());
    }
}
