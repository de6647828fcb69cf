//! What would have been taken without an order: methods with a version, whose answer is frozen before the device is
//! told.
//!
//! * *Declared schedule*: the default schedule of the offer. It is frozen with the offer, before anybody knows whether
//!   it will be bought.
//! * *X of Y* (`x_of_y`): the mean of the X highest of the last Y days of the same kind without an order, adjusted to
//!   what the same day has been like so far.
//! * *Weather regression* (`regression`): a level per hour of the day plus a slope on heating degrees, by least
//!   squares over days without an order.
//!
//! All arithmetic is on integers. A method looks at nothing that was measured after the instant of freezing. Days are
//! UTC days. A change of a method is a new version with a new name, so that an old settlement stays what it was.

mod quality;
mod regression;
#[cfg(test)]
mod tests;
mod x_of_y;

pub use quality::{BaselineQuality, assess};

use crate::flex_offer::FlexOffer;
use grid::{EnergyMwh, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Quarter-hours of a UTC day.
pub const SLOTS_PER_DAY: i64 = 96;
/// Most slots one baseline covers: eight days.
pub const COVERED_MAX: usize = 768;

/// How a baseline is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "method", deny_unknown_fields)]
pub enum BaselineMethod {
    /// The default schedule of the offer.
    #[default]
    DeclaredSchedule,
    /// The highest days among the last similar ones.
    XOfY {
        /// How many days are averaged, at least 1 and at most `y`.
        x: u8,
        /// Among how many days they are chosen, at most 60.
        y: u8,
        /// Slots before the first ordered one (less an hour) whose course adjusts the mean; 0 does not adjust. At most 96.
        adjustment_slots: u8,
        /// Largest adjustment up or down, thousandths.
        adjustment_max_per_mille: u16,
    },
    /// A level per hour and a slope on heating degrees.
    WeatherRegression {
        /// Days without an order that are needed at least.
        days_min: u8,
        /// Days looked back at most.
        days_max: u8,
        /// Outdoor temperature at which heating begins, thousandths of a degree Celsius.
        heating_limit_milli_celsius: i32,
    },
}

impl BaselineMethod {
    /// Name and version.
    pub fn id(self) -> &'static str {
        match self {
            Self::DeclaredSchedule => "declared-schedule/1",
            Self::XOfY { .. } => "x-of-y/1",
            Self::WeatherRegression { .. } => "weather-regression/1",
        }
    }
}

/// What a method may look at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct History {
    /// What the device's meter said, by slot.
    pub metered: BTreeMap<Slot, EnergyMwh>,
    /// UTC days (slot number divided by 96) on which something was ordered from the device.
    pub event_days: BTreeSet<i64>,
    /// Outdoor temperature, measured or forecast, thousandths of a degree Celsius, by slot.
    pub temperature: BTreeMap<Slot, i32>,
}

impl History {
    /// The same as it was known at an instant. Temperatures may be forecasts and stay.
    pub fn known_at(&self, instant: Timestamp) -> Self {
        let known = |slot: &Slot| slot.end() <= instant;
        let metered = self.metered.iter().filter(|(slot, _)| known(slot)).map(|(s, e)| (*s, *e)).collect();
        Self { metered, ..self.clone() }
    }

    /// The reading of a slot on a day.
    fn on(&self, day: i64, of_day: i64) -> Option<EnergyMwh> {
        self.metered.get(&Slot(day.checked_mul(SLOTS_PER_DAY)?.checked_add(of_day)?)).copied()
    }
}

/// A baseline as it was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// By which method, with its parameters.
    pub method: BaselineMethod,
    /// Its name and version.
    pub version: String,
    /// Nothing that was measured after this instant is in it.
    pub frozen_at: Timestamp,
    /// First slot it covers.
    pub start: Slot,
    /// Energy per slot from `start` on, mWh, positive is taken.
    pub energies: Vec<EnergyMwh>,
}

/// Why there is no baseline.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BaselineError {
    /// Nothing or too much to cover.
    #[error("a baseline of {slots} slots; at least one and at most {COVERED_MAX} are covered")]
    Slots {
        /// As given.
        slots: i64,
    },
    /// A parameter out of its range.
    #[error("{what} is {value}; it has to lie between {least} and {most}")]
    Parameter {
        /// Which.
        what: &'static str,
        /// As given.
        value: i64,
        /// Least.
        least: i64,
        /// Most.
        most: i64,
    },
    /// Too few days to learn from.
    #[error("{found} days without an order and with readings, {needed} are needed")]
    TooFewDays {
        /// There are.
        found: usize,
        /// There should be.
        needed: usize,
    },
    /// No temperature where one is needed.
    #[error("no temperature for {slot}")]
    NoTemperature {
        /// When.
        slot: Slot,
    },
    /// A reading too large to be meant.
    #[error("a reading of {} mWh, magnitudes up to 1e15 mWh are allowed", .energy.0)]
    Reading {
        /// As given.
        energy: EnergyMwh,
    },
}

impl Baseline {
    /// Energy in a slot; `None` where it says nothing.
    pub fn energy_in(&self, slot: Slot) -> Option<EnergyMwh> {
        let at = usize::try_from(slot.0.checked_sub(self.start.0)?).ok()?;
        self.energies.get(at).copied()
    }

    /// The slots it covers.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        let start = self.start;
        (0..self.energies.len() as i64).filter_map(move |count| start.0.checked_add(count)).map(Slot)
    }

    /// The declared schedule as a baseline, frozen when the offer was accepted. It covers every slot in which the offer
    /// may run: outside its default schedule the device declared to take nothing.
    pub fn declared(offer: &FlexOffer, accepted_at: Timestamp) -> Self {
        Self {
            method: BaselineMethod::DeclaredSchedule,
            version: BaselineMethod::DeclaredSchedule.id().to_owned(),
            frozen_at: accepted_at,
            start: offer.default_schedule.start,
            energies: offer.default_schedule.energies.clone(),
        }
    }
}

/// Estimates what a device would take from `start` on, as known at `frozen_at`; the first slot in which something is
/// ordered is `start` or later.
///
/// `DeclaredSchedule` answers with the default schedule of `offer`, whatever was measured.
pub fn estimate(
    method: BaselineMethod,
    offer: &FlexOffer,
    slots: std::ops::Range<Slot>,
    history: &History,
    frozen_at: Timestamp,
) -> Result<Baseline, BaselineError> {
    let count = slots.end.0.saturating_sub(slots.start.0);
    if !(1..=COVERED_MAX as i64).contains(&count) {
        return Err(BaselineError::Slots { slots: count });
    }
    let limit = 1_000_000_000_000_000;
    let known = history.known_at(frozen_at);
    if let Some(&energy) = known.metered.values().find(|energy| energy.0.unsigned_abs() > limit) {
        return Err(BaselineError::Reading { energy });
    }
    let covered = || (slots.start.0..slots.end.0).map(Slot);
    let energies = match method {
        BaselineMethod::DeclaredSchedule => return Ok(Baseline::declared(offer, frozen_at)),
        BaselineMethod::XOfY { x, y, adjustment_slots, adjustment_max_per_mille } => {
            let rules = x_of_y::XOfY::new(x, y, adjustment_slots, adjustment_max_per_mille)?;
            rules.estimate(slots.start, covered(), &known)?
        }
        BaselineMethod::WeatherRegression { days_min, days_max, heating_limit_milli_celsius } => {
            regression::estimate(
                usize::from(days_min),
                i64::from(days_max),
                heating_limit_milli_celsius,
                slots.start,
                covered(),
                &known,
            )?
        }
    };
    Ok(Baseline { method, version: method.id().to_owned(), frozen_at, start: slots.start, energies })
}

fn within(what: &'static str, value: i64, least: i64, most: i64) -> Result<(), BaselineError> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(BaselineError::Parameter { what, value, least, most }),
    }
}

fn day_of(slot: Slot) -> i64 {
    slot.0.div_euclid(SLOTS_PER_DAY)
}

/// Saturday or Sunday: 1970-01-01 was a Thursday.
fn is_weekend(day: i64) -> bool {
    (day + 3).rem_euclid(7) >= 5
}
