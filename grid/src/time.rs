//! Time is UTC in integer nanoseconds, and it is always handed in.
//!
//! The market slot is 900 s, numbered from the Unix epoch. Local days with 92 or 100 quarter-hours are
//! known to the dashboard only.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use thiserror::Error;

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Why a time from outside was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeError {
    /// Not `YYYY-MM-DDThh:mm:ss[.fraction]Z`.
    #[error("{text:?} is not a UTC time like 2026-01-15T17:30:00Z")]
    Form {
        /// The text as given.
        text: String,
    },
    /// Outside 1970 to 2200.
    #[error("{text:?} lies outside the years 1970 to 2200")]
    Range {
        /// The text as given.
        text: String,
    },
}

/// An instant: nanoseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch; what does not fit becomes the nearest instant that does.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SECOND)
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This instant moved into the future.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// This instant moved into the past.
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// The market slot that contains this instant.
    pub const fn slot(self) -> Slot {
        Slot(self.0.div_euclid(Slot::SECONDS * NANOS_PER_SECOND))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.seconds().div_euclid(86_400), self.seconds().rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        match self.0.rem_euclid(NANOS_PER_SECOND) {
            0 => {}
            nanos if nanos % 1_000_000 == 0 => write!(f, ".{:03}", nanos / 1_000_000)?,
            nanos => write!(f, ".{nanos:09}")?,
        }
        f.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimeError;

    /// Reads `YYYY-MM-DDThh:mm:ss[.fraction]Z`, the only form written here.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let form = || TimeError::Form { text: text.chars().take(40).collect() };
        let bytes = text.as_bytes();
        if !text.is_ascii() || bytes.len() < 20 || bytes.len() > 30 || !text.ends_with('Z') {
            return Err(form());
        }
        if [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().any(|&(at, c)| bytes[at] != c) {
            return Err(form());
        }
        let number = |from: usize, to: usize| -> Result<i64, TimeError> {
            let digits = &text[from..to];
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return Err(form());
            }
            digits.parse().map_err(|_| form())
        };
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let nanos = match bytes[19] {
            b'Z' if bytes.len() == 20 => 0,
            b'.' => {
                let digits = bytes.len() - 21;
                if digits == 0 || digits > 9 {
                    return Err(form());
                }
                number(20, bytes.len() - 1)? * 10_i64.pow(9 - digits as u32)
            }
            _ => return Err(form()),
        };
        if !(1970..2200).contains(&year) {
            return Err(TimeError::Range { text: text.to_owned() });
        }
        let days = days_from_civil(year, month, day);
        if hour > 23 || minute > 59 || second > 59 || civil_from_days(days) != (year, month, day) {
            return Err(form());
        }
        Ok(Self((days * 86_400 + hour * 3600 + minute * 60 + second) * NANOS_PER_SECOND + nanos))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A market slot: the quarter-hour `[start, end)`, numbered from the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub i64);

crate::packed!(struct Slot(0));

impl Slot {
    /// Length of a slot in seconds.
    pub const SECONDS: i64 = 900;
    /// Length of a slot.
    pub const DURATION: Duration = Duration::from_secs(900);
    /// Length of a slot in hours, to turn mean power (W) into energy (Wh).
    pub const HOURS: f64 = 0.25;

    /// First instant of the slot.
    pub const fn start(self) -> Timestamp {
        Timestamp::from_seconds(self.0.saturating_mul(Self::SECONDS))
    }

    /// First instant after the slot.
    pub const fn end(self) -> Timestamp {
        self.plus(1).start()
    }

    /// The slot `count` quarter-hours later (earlier when negative).
    pub const fn plus(self, count: i64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.start().fmt(f)
    }
}

/// The only source of time. The running system has one that follows the OS clock, a simulation one that
/// follows the runtime's paused clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// Days since 1970-01-01 of a proleptic Gregorian date (H. Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn slots_are_half_open_quarter_hours() {
        let start: Timestamp = "2026-01-15T17:30:00Z".parse().unwrap();
        assert_eq!(start.slot().start(), start);
        assert_eq!(start.minus(Duration::from_nanos(1)).slot(), start.slot().plus(-1));
        assert_eq!(start.slot().end().to_string(), "2026-01-15T17:45:00Z");
    }

    #[test]
    fn impossible_times_are_refused() {
        for bad in [
            "",
            "now",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+01:00",
            "1969-01-01T00:00:00Z",
            "2026-01-01T00:00:00.1234567890Z",
            "-026-01-01T00:00:00Z",
            "2026-01-01T00:00:6öZ",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(seconds in 0_i64..7_258_118_400, millis in 0_i64..1000) {
            let time = Timestamp::from_nanos(seconds * NANOS_PER_SECOND + millis * 1_000_000);
            prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }

        #[test]
        fn any_text_is_answered(text in ".{0,40}") {
            let _ = text.parse::<Timestamp>();
        }
    }
}
