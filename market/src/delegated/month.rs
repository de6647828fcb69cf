//! A month of the UTC calendar.

use grid::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
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
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        Self { year, month }.start()
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
