//! Least squares on weather: energy = level of the hour + slope × heating degrees.
//!
//! Heating degrees are the heating limit minus the outdoor temperature, at least 0. With one level per hour of the day
//! and one common slope the normal equations have a closed form: with x̄, ȳ the means of an hour,
//! slope = Σ (x − x̄)(y − ȳ) ÷ Σ (x − x̄)², level = ȳ − slope·x̄. Sums are kept as integers: multiplied by the number
//! n of readings of the hour, Σ (x − x̄)(y − ȳ) = (n Σxy − Σx Σy) ÷ n. Where the weather never differed the slope is 0.

use super::{BaselineError, History, SLOTS_PER_DAY, day_of, within};
use grid::{EnergyMwh, Slot};

const HOURS: usize = 24;
/// Unit of the slope's fraction: parts of a mWh per thousandth of a degree.
const SLOPE_UNIT: i128 = 1_000_000;

/// Sums of one hour of the day.
#[derive(Clone, Copy, Default)]
struct Hour {
    n: i128,
    x: i128,
    y: i128,
    xy: i128,
    xx: i128,
}

fn hour_of(slot: Slot) -> usize {
    (slot.0.rem_euclid(SLOTS_PER_DAY) / 4) as usize
}

pub(super) fn estimate(
    days_min: usize,
    days_max: i64,
    limit: i32,
    start: Slot,
    covered: impl Iterator<Item = Slot>,
    history: &History,
) -> Result<Vec<EnergyMwh>, BaselineError> {
    within("the least number of days", days_min as i64, 2, days_max)?;
    within("the heating limit", limit.into(), -60_000, 60_000)?;
    let degrees = |slot: Slot| -> Option<i128> {
        let celsius = history.temperature.get(&slot).filter(|t| (-100_000..=100_000).contains(*t))?;
        Some((i128::from(limit) - i128::from(*celsius)).max(0))
    };
    let mut hours = [Hour::default(); HOURS];
    let mut days = std::collections::BTreeSet::new();
    let today = day_of(start);
    for (&slot, energy) in &history.metered {
        let day = day_of(slot);
        if !(today - days_max..today).contains(&day) || history.event_days.contains(&day) {
            continue;
        }
        let Some(x) = degrees(slot) else { continue };
        let y = i128::from(energy.0);
        let hour = &mut hours[hour_of(slot)];
        *hour =
            Hour { n: hour.n + 1, x: hour.x + x, y: hour.y + y, xy: hour.xy + x * y, xx: hour.xx + x * x };
        days.insert(day);
    }
    if days.len() < days_min {
        return Err(BaselineError::TooFewDays { found: days.len(), needed: days_min });
    }
    let filled = || hours.iter().filter(|hour| hour.n > 0);
    let above: i128 = filled().map(|h| (h.n * h.xy - h.x * h.y) / h.n).sum();
    let below: i128 = filled().map(|h| (h.n * h.xx - h.x * h.x) / h.n).sum();
    // Thousandths of degrees up to 2·10⁵, energies up to 10¹⁵, readings up to 10⁴: far below the limits of 128 bits.
    let slope = if below > 0 { above * SLOPE_UNIT / below } else { 0 };
    covered
        .map(|slot| {
            let hour = hours[hour_of(slot)];
            if hour.n == 0 {
                return Err(BaselineError::TooFewDays { found: 0, needed: days_min });
            }
            let x = degrees(slot).ok_or(BaselineError::NoTemperature { slot })?;
            let energy = (hour.y + slope * (x * hour.n - hour.x) / SLOPE_UNIT) / hour.n;
            Ok(EnergyMwh(energy.clamp(-ENERGY_MAX, ENERGY_MAX) as i64))
        })
        .collect()
}

/// As for a reading, mWh.
const ENERGY_MAX: i128 = 1_000_000_000_000_000;
