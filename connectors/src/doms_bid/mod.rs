//! The DSO's bid as GOFLEX writes it (D6.1, Table 1), as JSON ⇄ [`market::DomsBid`]; pure functions.
//!
//! | field | unit, sign |
//! |---|---|
//! | `StartTime` | UTC; absent: at once, which is the next quarter-hour that can still be reached |
//! | `IntervalLength` | seconds; 900 |
//! | `ScheduleChange` | list, kWh per interval relative to the operation prognosis; **positive is less consumption or more production**, negative is more consumption |
//! | `EnergyPrice` | list of the same length, currency units per kWh of that change |
//!
//! Inside, positive is taken from the grid: the sign of `ScheduleChange` turns here and nowhere else.

mod feedback;
#[cfg(test)]
mod tests;

pub use feedback::{Feedback, decode_feedback, encode_feedback};

use grid::{EnergyMwh, Money, Slot, Timestamp};
use market::{BidId, BidInterval, CongestionPoint, DomsBid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Largest message read, bytes.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Most intervals of a bid: a week.
pub const INTERVALS_MAX: usize = 672;
/// Largest energy of an interval, kWh.
const ENERGY_MAX_KWH: f64 = 1e9;
/// Largest price, currency units per kWh.
const PRICE_MAX: f64 = 1000.0;

/// Why a message was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DomsBidError {
    /// More bytes than a bid can need.
    #[error("{bytes} bytes, at most {MESSAGE_BYTES_MAX} are read")]
    TooLarge {
        /// As given.
        bytes: usize,
    },
    /// No JSON, a field too many or one missing.
    #[error("not a bid of Table 1: {reason}")]
    Json {
        /// Where and what.
        reason: String,
    },
    /// Another interval than the market's.
    #[error("IntervalLength is {seconds} s, the market's interval is 900 s")]
    Interval {
        /// As given.
        seconds: u64,
    },
    /// A start that is none, or does not begin a quarter-hour.
    #[error("StartTime {text} is no start of a quarter-hour in UTC")]
    Start {
        /// As given, shortened.
        text: String,
    },
    /// Lists of different length, or none.
    #[error(
        "{changes} schedule changes and {prices} prices; as many of one as of the other, 1 to {INTERVALS_MAX}"
    )]
    Length {
        /// Entries of `ScheduleChange`.
        changes: usize,
        /// Entries of `EnergyPrice`.
        prices: usize,
    },
    /// A number that is not finite or too large to be meant.
    #[error("{field}[{index}] is {value}")]
    Number {
        /// Which list.
        field: &'static str,
        /// Which entry.
        index: usize,
        /// As given.
        value: String,
    },
}

impl DomsBidError {
    /// The stable code of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "too-large",
            Self::Json { .. } => "json",
            Self::Interval { .. } => "interval-length",
            Self::Start { .. } => "start-time",
            Self::Length { .. } => "unequal-length",
            Self::Number { .. } => "number",
        }
    }
}

/// Table 1 as it is written.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "StartTime", default, skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(rename = "IntervalLength")]
    interval_length: u64,
    #[serde(rename = "ScheduleChange")]
    schedule_change: Vec<f64>,
    #[serde(rename = "EnergyPrice")]
    energy_price: Vec<f64>,
}

/// Reads a bid for a congestion point. `first_open` is the first slot that can still be bought: where a bid without
/// `StartTime` begins.
pub fn decode(
    text: &[u8],
    id: BidId,
    congestion_point: CongestionPoint,
    first_open: Slot,
) -> Result<DomsBid, DomsBidError> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(DomsBidError::TooLarge { bytes: text.len() });
    }
    let wire: Wire =
        serde_json::from_slice(text).map_err(|error| DomsBidError::Json { reason: error.to_string() })?;
    if wire.interval_length != Slot::SECONDS as u64 {
        return Err(DomsBidError::Interval { seconds: wire.interval_length });
    }
    let start = match &wire.start_time {
        None => first_open,
        Some(text) => start_slot(text)?,
    };
    let (changes, prices) = (wire.schedule_change.len(), wire.energy_price.len());
    if changes != prices || !(1..=INTERVALS_MAX).contains(&changes) {
        return Err(DomsBidError::Length { changes, prices });
    }
    let mut intervals = Vec::with_capacity(changes);
    for (index, (&change, &price)) in wire.schedule_change.iter().zip(&wire.energy_price).enumerate() {
        let change = number("ScheduleChange", index, change, -ENERGY_MAX_KWH..=ENERGY_MAX_KWH)?;
        let price = number("EnergyPrice", index, price, 0.0..=PRICE_MAX)?;
        intervals.push(BidInterval {
            schedule_change: EnergyMwh(-((change * 1e6).round() as i64)),
            price: Money((price * 1e6).round() as i64),
        });
    }
    Ok(DomsBid { id, congestion_point, start, intervals })
}

/// Writes a bid as Table 1.
pub fn encode(bid: &DomsBid) -> String {
    let wire = Wire {
        start_time: Some(bid.start.start().to_string()),
        interval_length: Slot::SECONDS as u64,
        schedule_change: bid.intervals.iter().map(|i| kilowatt_hours(-i.schedule_change)).collect(),
        energy_price: bid.intervals.iter().map(|i| i.price.units()).collect(),
    };
    // Finite numbers and a text: there is nothing that could not be written.
    serde_json::to_string(&wire).unwrap_or_default()
}

/// Zero without a sign.
fn kilowatt_hours(energy: EnergyMwh) -> f64 {
    energy.kilowatt_hours() + 0.0
}

fn start_slot(text: &str) -> Result<Slot, DomsBidError> {
    let refused = || DomsBidError::Start { text: text.chars().take(40).collect() };
    let start: Timestamp = text.parse().map_err(|_| refused())?;
    if start.slot().start() == start { Ok(start.slot()) } else { Err(refused()) }
}

fn number(
    field: &'static str,
    index: usize,
    value: f64,
    range: std::ops::RangeInclusive<f64>,
) -> Result<f64, DomsBidError> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(DomsBidError::Number { field, index, value: value.to_string() }),
    }
}
