//! The forecaster against persistence on synthetic days, and its edges.

use super::*;

const HOMES: u32 = 40;

/// Uniform numbers in [0, 1) from a linear congruential generator (Knuth's MMIX constants).
struct Lcg(u64);

impl Lcg {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn start() -> Slot {
    "2026-01-15T00:00:00Z".parse::<Timestamp>().unwrap().slot()
}

/// Evening peak, and a charger of 7.4 kW for two hours from a random quarter-hour of the evening.
fn day(random: &mut Lcg, level: f64) -> Vec<f64> {
    let begin = 68 + (random.uniform() * 16.0) as usize;
    let charges = random.uniform() < 0.4;
    (0..96)
        .map(|q| {
            let evening = (-((q as f64 - 76.0) / 9.0).powi(2)).exp();
            let base = level * (250.0 + 900.0 * evening) * (0.6 + 0.8 * random.uniform());
            base + if charges && (begin..begin + 8).contains(&q) { 7400.0 } else { 0.0 }
        })
        .collect()
}

/// A forecaster with `days` of history before `start()`, and the day that follows.
fn region(seed: u64, days: i64, level_today: f64) -> (Forecaster, Vec<Vec<f64>>) {
    let mut random = Lcg(seed);
    let mut forecaster = Forecaster::new((0..HOMES).map(UsagePointId).collect());
    let mut today = Vec::new();
    for home in 0..HOMES {
        for back in (1..=days).rev() {
            for (quarter, value) in (0_i64..).zip(day(&mut random, 1.0)) {
                forecaster.record(UsagePointId(home), start().plus(quarter - 96 * back), value).unwrap();
            }
        }
        today.push(day(&mut random, level_today));
    }
    (forecaster, today)
}

fn total(day: &[Vec<f64>], quarter: usize) -> f64 {
    day.iter().map(|home| home[quarter]).sum()
}

#[test]
fn it_beats_persistence_on_daily_patterns() {
    for (seed, days) in [(1, 1), (2, 1), (3, 7), (4, 7)] {
        let (mut forecaster, today) = region(seed, days, 1.0);
        let forecast = forecaster.issue(start().start(), start(), 96);
        let last: f64 =
            forecaster.history.iter().map(|history| history.get(&start().plus(-1)).unwrap()).sum();
        let (mut ours, mut persistence) = (0.0, 0.0);
        for quarter in 0..96 {
            let expected: f64 = forecast.iter().map(|f| f.slots[quarter].p_w).sum();
            ours += (expected - total(&today, quarter)).abs();
            persistence += (last - total(&today, quarter)).abs();
        }
        let skill = 1.0 - ours / persistence;
        assert!(skill > 0.5, "seed {seed}, {days} days: skill {skill}");
    }
}

#[test]
fn the_spread_of_the_total_is_honest() {
    // These homes are independent, so no correlation is assumed here.
    let (mut inside, mut squares, mut all) = (0, 0.0, 0);
    for seed in 0..20 {
        let (mut forecaster, today) = region(100 + seed, 3, 1.0);
        let forecast = forecaster.issue(start().start(), start(), 96);
        for quarter in 60..96 {
            let expected: f64 = forecast.iter().map(|f| f.slots[quarter].p_w).sum();
            let std = sum_std(forecast.iter().map(|f| [f.slots[quarter].p_std_w]), 0.0)[0];
            let off = (total(&today, quarter) - expected) / std;
            inside += i32::from(off.abs() < 1.2816);
            squares += off * off;
            all += 1;
        }
    }
    let (share, mean) = (f64::from(inside) / f64::from(all), squares / f64::from(all));
    assert!((0.65..0.95).contains(&share), "{share} of the totals lie between P10 and P90");
    assert!((0.5..1.6).contains(&mean), "mean squared normalized error {mean}");
}

#[test]
fn a_cold_day_is_seen_in_the_total_and_corrected() {
    let (mut forecaster, today) = region(9, 7, 1.4);
    let now = start().plus(72);
    let before = forecaster.issue(now.start(), now, 96);
    for quarter in 60..72 {
        forecaster.record_total(start().plus(quarter), total(&today, quarter as usize)).unwrap();
    }
    let after = forecaster.issue(now.start(), now, 96);
    let error = |forecast: &[UsagePointForecast]| -> f64 {
        (0..8)
            .map(|ahead| {
                let expected: f64 = forecast.iter().map(|f| f.slots[ahead].p_w).sum();
                (expected - total(&today, 72 + ahead)).abs()
            })
            .sum()
    };
    assert!(error(&after) < 0.7 * error(&before), "{} instead of {}", error(&after), error(&before));
    let late = |forecast: &[UsagePointForecast]| forecast.iter().map(|f| f.slots[95].p_w).sum::<f64>();
    assert!((late(&after) / late(&before) - 1.0).abs() < 1e-3, "the drift outlives the day");
}

#[test]
fn nothing_known_is_said_with_little_confidence() {
    let mut forecaster = Forecaster::new(vec![UsagePointId(1)]);
    let forecast = forecaster.issue(start().start(), start(), 2);
    assert_eq!(forecast[0].slots[1], SlotForecast { slot: start().plus(1), p_w: 500.0, p_std_w: 500.0 });
}

#[test]
fn part_of_a_day_gives_its_mean() {
    let mut forecaster = Forecaster::new(vec![UsagePointId(1)]);
    for (back, value) in [(1, 300.0), (2, 500.0)] {
        forecaster.record(UsagePointId(1), start().plus(-back), value).unwrap();
    }
    let forecast = forecaster.issue(start().start(), start(), 1);
    assert_eq!(forecast[0].slots[0].p_w, 400.0);
}

#[test]
fn a_newer_value_replaces_and_the_history_stays_bounded() {
    let mut forecaster = Forecaster::new(vec![UsagePointId(1)]);
    for back in (1..2000).rev() {
        forecaster.record(UsagePointId(1), start().plus(-back), 1.0).unwrap();
    }
    forecaster.record(UsagePointId(1), start().plus(-96), 700.0).unwrap();
    assert_eq!(forecaster.history[0].len(), HISTORY_SLOTS_MAX);
    let forecast = forecaster.issue(start().start(), start(), 1);
    assert_eq!(forecast[0].slots[0].p_w, (700.0 + 6.0) / 7.0);
}

#[test]
fn the_future_is_not_used() {
    let (mut forecaster, _) = region(5, 3, 1.0);
    let now = start().plus(-96);
    let mut blind = forecaster.clone();
    for history in &mut blind.history {
        history.split_off(&now);
    }
    assert_eq!(forecaster.issue(now.start(), now, 96), blind.issue(now.start(), now, 96));
}

#[test]
fn bad_values_are_refused() {
    let mut forecaster = Forecaster::new(vec![UsagePointId(1)]);
    for bad in [f64::NAN, f64::INFINITY, 1e308, -1e308] {
        assert!(forecaster.record(UsagePointId(1), start(), bad).is_err());
        assert!(forecaster.record_total(start(), bad).is_err());
    }
    let refusal = forecaster.record(UsagePointId(2), start(), 1.0).unwrap_err();
    assert_eq!(refusal.to_string(), "usage point 2 is not forecast here");
}

#[test]
fn a_sum_lies_between_independent_and_common() {
    let both = |rho| sum_std([[3.0, 5.0], [4.0, 12.0]].into_iter(), rho);
    assert!(both(0.0).into_iter().zip([5.0, 13.0]).all(|(std, known)| (std - known).abs() < 1e-12));
    assert!(both(1.0).into_iter().zip([7.0, 17.0]).all(|(std, known)| (std - known).abs() < 1e-12));
}

#[test]
fn what_is_kept_is_what_would_be_found_again() {
    let ids: Vec<UsagePointId> = (0..5).map(UsagePointId).collect();
    let mut forecaster = Forecaster::new(ids.clone());
    let mut random = Lcg(11);
    let (mut issued, mut kept) = (0, 0);
    // Ten days of values that come late, twice, never, or from the future; one usage point has hardly any.
    for slot in 0..960 {
        let now = start().plus(slot);
        for &id in &ids {
            let often = if id.0 == 4 { 0.01 } else { 0.9 };
            while random.uniform() < often {
                let late = (random.uniform() * 120.0) as i64 - 2;
                forecaster.record(id, now.plus(-late), random.uniform() * 3000.0).unwrap();
                if random.uniform() < 0.6 {
                    break;
                }
            }
        }
        forecaster.record_total(now.plus(-1), random.uniform() * 8000.0).unwrap();
        if random.uniform() < 0.3 {
            let back = if random.uniform() < 0.1 { 100 } else { 0 };
            let (at, first) = (now.plus(-back).start(), now.plus(-(slot % 3)));
            kept += forecaster.kept.whole();
            let mut anew = Forecaster { kept: KeptBeliefs::default(), ..forecaster.clone() };
            assert_eq!(forecaster.issue(at, first, 150), anew.issue(at, first, 150), "slot {slot}");
            issued += 1;
        }
    }
    assert!(issued > 200 && kept > 100 * issued, "{kept} kept in {issued}");
}
