//! How good a method is for a device: what it would have said of days without an order, against the meter. A baseline
//! that is biased pays one side at the expense of the other each time.

use super::{BaselineMethod, History, SLOTS_PER_DAY, day_of, estimate};
use crate::flex_offer::FlexOffer;
use grid::Slot;

/// Bias and error over days without an order, mWh per slot, rounded toward zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BaselineQuality {
    /// Slots compared; 0 says that there was nothing to compare.
    pub slots: u64,
    /// Mean of baseline minus meter: positive pays for reductions that were none.
    pub bias: i64,
    /// Mean of its magnitude.
    pub error: i64,
    /// Sum of the meter's magnitudes, to relate both to.
    pub metered_mean: i64,
}

/// Plays a method for the same quarter-hours of the `days` days before the day of `slots.start`, each frozen at its
/// own `slots.start`. Days with an order, and days the method cannot say anything of, are left out.
pub fn assess(
    method: BaselineMethod,
    offer: &FlexOffer,
    slots: std::ops::Range<Slot>,
    history: &History,
    days: u16,
) -> BaselineQuality {
    let (mut count, mut bias, mut error, mut metered) = (0_i128, 0_i128, 0_i128, 0_i128);
    for back in 1..=i64::from(days) {
        let shifted = |slot: Slot| Slot(slot.0.saturating_sub(back * SLOTS_PER_DAY));
        let there = shifted(slots.start)..shifted(slots.end);
        if history.event_days.contains(&day_of(there.start)) {
            continue;
        }
        let Ok(baseline) = estimate(method, offer, there.clone(), history, there.start.start()) else {
            continue;
        };
        for slot in (there.start.0..there.end.0).map(Slot) {
            let (Some(said), Some(read)) = (baseline.energy_in(slot), history.metered.get(&slot)) else {
                continue;
            };
            let difference = i128::from(said.0) - i128::from(read.0);
            count += 1;
            bias += difference;
            error += difference.abs();
            metered += i128::from(read.0).abs();
        }
    }
    let mean = |sum: i128| i64::try_from(sum / count.max(1)).unwrap_or(i64::MAX);
    BaselineQuality { slots: count as u64, bias: mean(bias), error: mean(error), metered_mean: mean(metered) }
}
