//! The mean of the X highest of the last Y similar days, adjusted to the same day ("high X of Y" with a scalar
//! adjustment, as in the programmes of CAISO and PJM).
//!
//! Similar days are of the same kind (working day or weekend), have no order on them and a reading for every slot that
//! is asked for (slots after midnight are of the day that follows it, which must have no order either). The adjustment compares what was metered on the day itself, in a window that ends an hour before the
//! first ordered slot (so that preparing for the order does not count), with the mean of the same slots of the chosen
//! days; its ratio is cut to ± the largest adjustment. Without readings in the window, on a day with another order, or where
//! one of the two sums is not positive, nothing is adjusted.

use super::{BaselineError, History, SLOTS_PER_DAY, day_of, is_weekend, within};
use grid::{EnergyMwh, Slot};

/// An hour, in slots: what lies between the window and the order.
const GAP: i64 = 4;
/// How far back similar days are looked for.
const DAYS_BACK_MAX: i64 = 120;

/// The checked parameters.
pub(super) struct XOfY {
    x: usize,
    y: usize,
    window: i64,
    most_per_mille: i128,
}

impl XOfY {
    pub(super) fn new(x: u8, y: u8, window: u8, most_per_mille: u16) -> Result<Self, BaselineError> {
        within("Y", y.into(), 1, 60)?;
        within("X", x.into(), 1, y.into())?;
        within("the adjustment window", window.into(), 0, SLOTS_PER_DAY)?;
        within("the largest adjustment", most_per_mille.into(), 0, 1000)?;
        Ok(Self { x: x.into(), y: y.into(), window: window.into(), most_per_mille: most_per_mille.into() })
    }

    pub(super) fn estimate(
        &self,
        start: Slot,
        covered: impl Iterator<Item = Slot> + Clone,
        history: &History,
    ) -> Result<Vec<EnergyMwh>, BaselineError> {
        let days = self.chosen(start, covered.clone(), history)?;
        let (numerator, denominator) = self.adjustment(start, &days, history);
        let mean = |slot: Slot| {
            let sum: i128 = days.iter().map(|day| reading(*day, start, slot, history).unwrap_or(0)).sum();
            let scaled = sum * numerator;
            let whole = denominator * days.len() as i128;
            let rounded = (2 * scaled + whole * scaled.signum()) / (2 * whole);
            EnergyMwh(i64::try_from(rounded).unwrap_or(0))
        };
        Ok(covered.map(mean).collect())
    }

    /// The X days with the highest sums among the newest Y similar ones; of equal sums the newer day.
    fn chosen(
        &self,
        start: Slot,
        covered: impl Iterator<Item = Slot> + Clone,
        history: &History,
    ) -> Result<Vec<i64>, BaselineError> {
        let today = day_of(start);
        let mut similar: Vec<(i128, i64)> = Vec::new();
        for day in (1..=DAYS_BACK_MAX).map(|back| today - back) {
            if similar.len() >= self.y {
                break;
            }
            let on_it = |slot: Slot| history.event_days.contains(&(day + day_of(slot) - today));
            if is_weekend(day) != is_weekend(today) || covered.clone().chain([start]).any(on_it) {
                continue;
            }
            let mut sum = Some(0);
            for slot in covered.clone() {
                sum = sum.zip(reading(day, start, slot, history)).map(|(a, b)| a + b);
            }
            similar.extend(sum.map(|sum| (sum, day)));
        }
        if similar.len() < self.y {
            return Err(BaselineError::TooFewDays { found: similar.len(), needed: self.y });
        }
        similar.sort_unstable_by(|a, b| b.cmp(a));
        similar.truncate(self.x);
        Ok(similar.into_iter().map(|(_, day)| day).collect())
    }

    /// The ratio same day ÷ chosen days as a fraction, cut.
    fn adjustment(&self, start: Slot, days: &[i64], history: &History) -> (i128, i128) {
        let (mut today, mut before) = (0_i128, 0_i128);
        for slot in (start.0 - GAP - self.window..start.0 - GAP).map(Slot) {
            if history.event_days.contains(&day_of(slot)) {
                return (1, 1);
            }
            let Some(metered) = history.metered.get(&slot) else { return (1, 1) };
            today += i128::from(metered.0) * days.len() as i128;
            for day in days {
                let Some(energy) = reading(*day, start, slot, history) else { return (1, 1) };
                before += energy;
            }
        }
        if today <= 0 || before <= 0 {
            return (1, 1);
        }
        if today * 1000 > before * (1000 + self.most_per_mille) {
            (1000 + self.most_per_mille, 1000)
        } else if today * 1000 < before * (1000 - self.most_per_mille) {
            (1000 - self.most_per_mille, 1000)
        } else {
            (today, before)
        }
    }
}

/// What was metered on an earlier day where `slot` is on the day of `start`; slots after midnight follow that day.
fn reading(day: i64, start: Slot, slot: Slot, history: &History) -> Option<i128> {
    let of_day = slot.0 - day_of(start) * SLOTS_PER_DAY;
    history.on(day, of_day).map(|energy| i128::from(energy.0))
}
