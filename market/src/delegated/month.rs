//! A month of the UTC calendar.

use grid::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// A month; January is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u16, u8)", into = "(u16, u8)")]
pub struct Month {
    year: u16,
    month: u8,
}

/// No month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{year}-{month} is no month of the years 1970 to 2198; January is 1")]
pub struct MonthError {
    /// As given.
    pub year: u16,
    /// As given.
    pub month: u8,
}

impl Month {
    /// A month of the years 1970 to 2198: the next one can be named, too.
    pub fn new(year: u16, month: u8) -> Result<Self, MonthError> {
        let known = (1970..=2198).contains(&year) && (1..=12).contains(&month);
        known.then_some(Self { year, month }).ok_or(MonthError { year, month })
    }

    /// Its first instant.
    pub fn start(self) -> Timestamp {
        // Months of these years are always readable.
        format!("{self}-01T00:00:00Z").parse().unwrap_or_default()
    }

    /// The first instant after it.
    pub fn end(self) -> Timestamp {
        self.next().start()
    }

    /// The one after it.
    pub fn next(self) -> Self {
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        Self { year, month }
    }

    /// The month of an instant; January 1970 for all before.
    pub fn of(instant: Timestamp) -> Self {
        let text = instant.to_string();
        text.get(..7).and_then(|month| month.parse().ok()).unwrap_or(Self { year: 1970, month: 1 })
    }

    /// Whether an instant lies in it.
    pub fn contains(self, instant: Timestamp) -> bool {
        self.start() <= instant && instant < self.end()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

/// Reads `2026-12`.
impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let number =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
        let parts = text.split_once('-').and_then(|(year, month)| {
            let month = number(month).filter(|month: &u16| *month <= 12)?;
            Some((number(year)?, month as u8))
        });
        let (year, month) = parts.unwrap_or_default();
        Self::new(year, month)
    }
}

impl TryFrom<(u16, u8)> for Month {
    type Error = MonthError;

    fn try_from((year, month): (u16, u8)) -> Result<Self, MonthError> {
        Self::new(year, month)
    }
}

impl From<Month> for (u16, u8) {
    fn from(month: Month) -> Self {
        (month.year, month.month)
    }
}
