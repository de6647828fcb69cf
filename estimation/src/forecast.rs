//! Forecast of every usage point, one value per market slot, with standard deviations.
//!
//! * **Expected value**: the mean of the same quarter-hour on the known days among the last seven (with one day
//!   known: same quarter-hour yesterday); without any, the mean of what is known; without that,
//!   [`DEFAULT_W`] ± [`DEFAULT_STD_W`].
//! * **Region drift**: the measured total less the total that the history alone would have expected, over the
//!   last four finished slots, each weighing half of the next one; it decays with the horizon by
//!   [`DRIFT_TIME_S`] and is spread over the usage points in proportion to their standard deviations, because
//!   who is least certain is most likely the cause.
//! * **Standard deviation**: spread of the values within one and a half hours around the same quarter-hour on the
//!   known days, four fifths of a point's own variance and one fifth of the average one (yesterday a charger may
//!   have been idle by chance), times `1 + 1/days` because the expected value is itself an average of so few.
//!
//! Errors of different points are *not* independent: weather and habits move them together. The correlation
//! assumed between any two points is [`crate::OutlookRules::error_correlation`]; the standard deviation of a sum
//! follows from it by [`sum_std`].

#[path = "forecast_kept.rs"]
mod kept;

use grid::{Slot, SlotForecast, Timestamp, UsagePointForecast, UsagePointId};
use kept::KeptBeliefs;
use std::collections::BTreeMap;
use thiserror::Error;

/// Expected power of a usage point of which nothing is known, W.
pub const DEFAULT_W: f64 = 500.0;
/// Standard deviation of [`DEFAULT_W`], W.
pub const DEFAULT_STD_W: f64 = 500.0;
/// Time constant of the region drift, s.
pub const DRIFT_TIME_S: f64 = 7200.0;
/// Slots remembered per usage point: nine days.
pub const HISTORY_SLOTS_MAX: usize = 9 * 96;
/// Longest forecast: two days.
pub const FORECAST_SLOTS_MAX: usize = 192;
const SLOTS_PER_DAY: i64 = 96;
const DAYS_USED: i64 = 7;
const DRIFT_SLOTS: i64 = 4;
/// Quarter-hours at either side that count as the same time of day for the spread.
const SPREAD_SLOTS: i64 = 6;
/// Share of the average variance in each point's variance.
const POOLED_SHARE: f64 = 0.2;
/// No point is known better than this, W.
const STD_MIN_W: f64 = 50.0;
/// Mean powers beyond this are refused, W.
const POWER_MAX_W: f64 = 1e9;

/// Why a value was not recorded.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ForecastError {
    /// Not one of the forecaster's usage points.
    #[error("usage point {usage_point} is not forecast here")]
    UnknownUsagePoint {
        /// As given.
        usage_point: UsagePointId,
    },
    /// Not a number, or absurd.
    #[error("the mean power of slot {slot} is {value_w} W; a finite value below 1e9 is needed")]
    Value {
        /// The slot.
        slot: Slot,
        /// As given, W.
        value_w: f64,
    },
}

/// What is known about the past of a region, and the forecast that follows.
#[derive(Debug, Clone)]
pub struct Forecaster {
    usage_points: Vec<UsagePointId>,
    index: BTreeMap<UsagePointId, usize>,
    history: Vec<BTreeMap<Slot, f64>>,
    totals: BTreeMap<Slot, f64>,
    kept: KeptBeliefs,
}

/// Expected value and variance from the history alone, W and W².
#[derive(Debug, Clone, Copy)]
struct Belief {
    mean_w: f64,
    variance: f64,
}

impl Forecaster {
    /// A forecaster that knows nothing yet.
    pub fn new(usage_points: Vec<UsagePointId>) -> Self {
        let index = usage_points.iter().enumerate().map(|(index, id)| (*id, index)).collect();
        let history = vec![BTreeMap::new(); usage_points.len()];
        Self { usage_points, index, history, totals: BTreeMap::new(), kept: KeptBeliefs::default() }
    }

    /// Remembers the mean power of a slot, W, without contracted deviations; a newer value replaces, any order.
    pub fn record(
        &mut self,
        usage_point: UsagePointId,
        slot: Slot,
        mean_power_w: f64,
    ) -> Result<(), ForecastError> {
        let index = *self.index.get(&usage_point).ok_or(ForecastError::UnknownUsagePoint { usage_point })?;
        if let Some(forgotten) = remember(&mut self.history[index], slot, mean_power_w)? {
            self.kept.changed(index, forgotten);
        }
        self.kept.changed(index, slot);
        Ok(())
    }

    /// Remembers the measured total of a slot, W: the sum over all usage points, without contracted deviations
    /// and without losses.
    pub fn record_total(&mut self, slot: Slot, measured_total_w: f64) -> Result<(), ForecastError> {
        remember(&mut self.totals, slot, measured_total_w).map(|_| ())
    }

    /// The forecast for `count` slots from `first`, at most 192, as believed at `now`: only
    /// slots that ended before `now` are used. One entry per usage point, in the order given to `new`.
    pub fn issue(&mut self, now: Timestamp, first: Slot, count: usize) -> Vec<UsagePointForecast> {
        let mut forecasts: Vec<UsagePointForecast> = self
            .usage_points
            .iter()
            .map(|&usage_point| UsagePointForecast { usage_point, issued_at: now, slots: Vec::new() })
            .collect();
        let present = now.slot();
        self.kept.forget_before(present.min(first).plus(-DRIFT_SLOTS));
        let drift_w = self.drift_w(present);
        let count = count.min(FORECAST_SLOTS_MAX);
        if count > 1 {
            let (history, end) = (&self.history, first.plus(i64::try_from(count).unwrap_or(0)));
            let find = |slot: Slot, point: usize| belief(&history[point], slot, present);
            self.kept.renew(first..end, present, history.len(), find);
        }
        for ahead in 0..count {
            let slot = first.plus(i64::try_from(ahead).unwrap_or(i64::MAX));
            let beliefs = self.beliefs(slot, present);
            let spread: f64 = beliefs.iter().map(|belief| belief.variance.sqrt()).sum();
            let elapsed_s = (slot.0 - present.0).max(0) as f64 * Slot::SECONDS as f64;
            let drift_w = drift_w * (-elapsed_s / DRIFT_TIME_S).exp();
            for (forecast, belief) in forecasts.iter_mut().zip(beliefs) {
                let p_std_w = belief.variance.sqrt();
                let p_w = belief.mean_w + drift_w * p_std_w / spread;
                forecast.slots.push(SlotForecast { slot, p_w, p_std_w });
            }
        }
        forecasts
    }

    /// How much more the region takes than its history says, W.
    fn drift_w(&mut self, present: Slot) -> f64 {
        let (mut sum, mut weights) = (0.0, 0.0);
        for age in 1..=DRIFT_SLOTS {
            let slot = present.plus(-age);
            if let Some(&total) = self.totals.get(&slot) {
                let weight = 0.5_f64.powi(age as i32 - 1);
                let expected: f64 = self.beliefs(slot, slot).iter().map(|belief| belief.mean_w).sum();
                sum += weight * (total - expected);
                weights += weight;
            }
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// Expected values and variances of a slot from what was known before `before`.
    fn beliefs(&mut self, slot: Slot, before: Slot) -> Vec<Belief> {
        let history = &self.history;
        let find = |point: usize| belief(&history[point], slot, before);
        let mut beliefs = self.kept.get(slot, before, history.len(), find);
        let pooled = beliefs.iter().map(|b| b.variance).sum::<f64>() / beliefs.len().max(1) as f64;
        for belief in &mut beliefs {
            let mixed = (1.0 - POOLED_SHARE) * belief.variance + POOLED_SHARE * pooled;
            belief.variance = mixed.max(STD_MIN_W * STD_MIN_W);
        }
        beliefs
    }
}

/// Standard deviations of `N` weighted sums of forecasts whose errors have the same correlation `rho` for every
/// pair: `sqrt((1 − ρ) Σ s² + ρ (Σ s)²)` with `s` the weighted standard deviations, one of each sum at a time.
pub fn sum_std<const N: usize>(weighted_std: impl Iterator<Item = [f64; N]>, rho: f64) -> [f64; N] {
    let (mut squares, mut sums) = ([0.0; N], [0.0; N]);
    for std in weighted_std {
        for ((square, sum), std) in squares.iter_mut().zip(&mut sums).zip(std) {
            *square += std * std;
            *sum += std;
        }
    }
    std::array::from_fn(|at| ((1.0 - rho) * squares[at] + rho * sums[at] * sums[at]).max(0.0).sqrt())
}

/// Remembers a value; the slot that was forgotten for it, if one was.
fn remember(
    series: &mut BTreeMap<Slot, f64>,
    slot: Slot,
    value_w: f64,
) -> Result<Option<Slot>, ForecastError> {
    if value_w.is_nan() || value_w.abs() >= POWER_MAX_W {
        return Err(ForecastError::Value { slot, value_w });
    }
    series.insert(slot, value_w);
    let too_many = series.len() > HISTORY_SLOTS_MAX;
    Ok(too_many.then(|| series.pop_first()).flatten().map(|(forgotten, _)| forgotten))
}

/// What a history says about a slot, and whether it knows the slot's time of day.
fn belief(history: &BTreeMap<Slot, f64>, slot: Slot, before: Slot) -> (Belief, bool) {
    let (mut sum, mut days) = (0.0, 0.0);
    let mut near = Spread::default();
    for day in 1..=DAYS_USED {
        let same = slot.plus(-SLOTS_PER_DAY * day);
        let window_end = same.plus(SPREAD_SLOTS + 1).min(before);
        let window_start = same.plus(-SPREAD_SLOTS);
        if window_start >= window_end {
            continue;
        }
        for (&at, &value) in history.range(window_start..window_end) {
            near.add(value);
            if at == same {
                sum += value;
                days += 1.0;
            }
        }
    }
    if days > 0.0 {
        return (Belief { mean_w: sum / days, variance: near.variance() * (1.0 + 1.0 / days) }, true);
    }
    let mut known = Spread::default();
    history.range(..before).for_each(|(_, &value)| known.add(value));
    if known.count > 0.0 {
        let variance = if known.count > 1.0 { known.variance() } else { DEFAULT_STD_W * DEFAULT_STD_W };
        return (Belief { mean_w: known.mean(), variance: variance * (1.0 + 1.0 / known.count) }, false);
    }
    (Belief { mean_w: DEFAULT_W, variance: DEFAULT_STD_W * DEFAULT_STD_W }, false)
}

/// Mean and variance (Welford's recurrence).
#[derive(Default)]
struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let off = value - self.mean;
        self.mean += off / self.count;
        self.squares += off * (value - self.mean);
    }

    fn mean(&self) -> f64 {
        self.mean
    }

    fn variance(&self) -> f64 {
        if self.count > 1.0 { self.squares / (self.count - 1.0) } else { 0.0 }
    }
}

#[cfg(test)]
#[path = "forecast_tests.rs"]
mod tests;
