//! Air temperature at the site's place, quarter-hour by quarter-hour: what was measured, and what is forecast.
//!
//! What was measured counts before every forecast; of forecasts the newest counts. A measured value may be corrected.

use crate::error::Refusal;
use grid::{Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long temperatures are kept: baselines look back 121 days, comparisons a year.
pub const KEPT_FOR: Duration = Duration::from_secs(400 * 86_400);
/// How far ahead a forecast may reach.
pub const AHEAD_MAX: Duration = Duration::from_secs(16 * 86_400);
/// Most quarter-hours that are given at once: 32 days.
pub const SLOTS_MAX: usize = 3_072;
/// Lowest and highest temperature, °C: a little beyond what was ever measured on earth.
pub const CELSIUS: std::ops::RangeInclusive<f64> = -90.0..=60.0;

/// What is known of the air in a quarter-hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Air {
    /// Mean temperature, thousandths of a degree Celsius.
    pub milli_celsius: i32,
    /// Measured; forecast otherwise.
    pub measured: bool,
    /// When it was measured or forecast.
    pub issued_at: Timestamp,
}

/// Temperatures that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Temperatures {
    /// Whether they were measured.
    pub measured: bool,
    /// When they were measured or forecast.
    pub issued_at: Timestamp,
    /// First quarter-hour.
    pub start: Slot,
    /// Quarter-hours of each value: 1, or 4 for hours.
    pub slots_each: usize,
    /// °C.
    pub celsius: Vec<f64>,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Weather(pub BTreeMap<Slot, Air>);

impl Weather {
    /// What would change.
    pub fn may_give(&self, given: &Temperatures, now: Timestamp) -> Result<Vec<(Slot, Air)>, Refusal> {
        let count = given.celsius.len().saturating_mul(given.slots_each);
        if count > SLOTS_MAX {
            let what = "quarter-hours of temperatures at once";
            return Err(Refusal::Limit { what, most: SLOTS_MAX, found: count });
        }
        if let Some((place, celsius)) =
            given.celsius.iter().enumerate().find(|(_, celsius)| !CELSIUS.contains(celsius))
        {
            let (least, most) = (CELSIUS.start(), CELSIUS.end());
            let sentence =
                format!("temperature {place} is {celsius} °C; it has to lie between {least} and {most}");
            return Err(Refusal::Malformed(sentence));
        }
        if given.issued_at > now {
            let sentence = format!("issued_at {} lies in the future; it is {now}", given.issued_at);
            return Err(Refusal::Malformed(sentence));
        }
        let end = Slot(given.start.0.saturating_add(count as i64));
        let (earliest, latest) =
            (now.minus(KEPT_FOR), if given.measured { now } else { now.plus(AHEAD_MAX) });
        if given.start.start() < earliest || end.start() > latest {
            let kind = if given.measured { "measured" } else { "forecast" };
            let sentence = format!(
                "{kind} temperatures from {} to {}; they have to lie between {earliest} and {latest}",
                given.start.start(),
                end.start()
            );
            return Err(Refusal::Malformed(sentence));
        }
        let air = |celsius: &f64| Air {
            milli_celsius: (celsius * 1e3).round() as i32,
            measured: given.measured,
            issued_at: given.issued_at,
        };
        let each =
            given.celsius.iter().flat_map(|celsius| std::iter::repeat_n(air(celsius), given.slots_each));
        let slots = (0..).map(|place| given.start.plus(place)).zip(each);
        Ok(slots.filter(|(slot, air)| self.is_news(*slot, air)).collect())
    }

    fn is_news(&self, slot: Slot, air: &Air) -> bool {
        self.0.get(&slot).is_none_or(|known| {
            known != air && (air.measured, air.issued_at) >= (known.measured, known.issued_at)
        })
    }

    /// Lets go of what is too old.
    pub fn forget(&mut self, now: Timestamp) {
        let earliest = now.minus(KEPT_FOR);
        while self.0.first_key_value().is_some_and(|(slot, _)| slot.end() < earliest) {
            self.0.pop_first();
        }
    }
}
