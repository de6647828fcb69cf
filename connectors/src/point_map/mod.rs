//! Point maps: what a foreign system calls its values, and what they are here (`docs/point-map.md`).
//!
//! One CSV file per connector. Foreign names, units, scales and signs end in it: a [`MappedPoint`] turns a foreign number
//! into the point's base unit in load convention. What a tag looks like is the connector's business.

mod read;
#[cfg(test)]
mod tests;

use grid::{Measurement, PointId, Timestamp};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

pub use read::{BYTES_MAX, ROWS_MAX, TAG_BYTES_MAX, read};

/// A value within its deadband is passed on all the same after this time, so that silence means silence.
pub const SILENCE_MAX: Duration = Duration::from_secs(60);

/// All points of one connector, in the order of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PointMap {
    /// Rows; no tag and no point twice.
    pub rows: Vec<MappedPoint>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct MappedPoint {
    /// Line in the file, counted from 1.
    pub line: u64,
    /// What the foreign system calls it.
    pub tag: String,
    /// What it is here.
    pub point: PointId,
    /// Base units in load convention per foreign unit: unit, scale and sign in one. Not zero.
    pub factor: f64,
    /// Standard deviation as a share of the value; `None`: that of the quantity's usual instrument.
    pub accuracy: Option<f64>,
    /// A change smaller than this is not passed on, base unit; see [`SILENCE_MAX`].
    pub deadband: f64,
}

/// A line that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Counted from 1.
    pub line: u64,
    /// The column, when it is one.
    pub column: Option<&'static str>,
    /// What is wrong and what is possible.
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "line {}: {column}: {}", self.line, self.reason),
            None => write!(f, "line {}: {}", self.line, self.reason),
        }
    }
}

/// Why there is no point map.
#[derive(Debug, Error)]
pub enum PointMapError {
    /// The file cannot be read.
    #[error("point map {path} cannot be read: {source}")]
    File {
        /// Which.
        path: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Lines that cannot be used: all of them.
    #[error("point map {path}: {}", lines(bad))]
    Lines {
        /// Which file.
        path: String,
        /// In the order of the file.
        bad: Vec<BadLine>,
    },
}

fn lines(bad: &[BadLine]) -> String {
    bad.iter().map(BadLine::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads a point map from a file of at most [`BYTES_MAX`].
///
/// # Errors
/// [`PointMapError`] names every line that cannot be used.
pub fn read_path(path: &Path) -> Result<PointMap, PointMapError> {
    let name = || path.display().to_string();
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    let bytes = match size {
        Ok(bytes) if bytes > BYTES_MAX as u64 => {
            Err(std::io::Error::other(format!("{bytes} bytes, at most {BYTES_MAX} are read")))
        }
        Ok(_) => std::fs::read(path),
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|source| PointMapError::File { path: name(), source })?;
    read(&bytes).map_err(|bad| PointMapError::Lines { path: name(), bad })
}

impl PointMap {
    /// The lines whose point is not one of a network's: `why` says which column is wrong, and what is possible.
    pub fn unknown(&self, why: impl Fn(PointId) -> Option<(&'static str, String)>) -> Vec<BadLine> {
        let bad = self.rows.iter().filter_map(|row| {
            let (column, reason) = why(row.point)?;
            let reason = format!("{} is no point of the network: {reason}", row.point);
            Some(BadLine { line: row.line, column: Some(column), reason })
        });
        bad.collect()
    }

    /// The accuracies that are given.
    pub fn accuracies(&self) -> BTreeMap<PointId, f64> {
        self.rows.iter().filter_map(|row| Some((row.point, row.accuracy?))).collect()
    }
}

/// What of one point was passed on last.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Passed(Option<(f64, Timestamp)>);

impl Passed {
    /// Whether a value is worth passing on; notes it if so.
    pub fn is_news(&mut self, value: &Measurement, deadband: f64) -> bool {
        let is_news = match self.0 {
            None => true,
            Some((last, at)) => {
                (value.value - last).abs() >= deadband || value.received_at.since(at) >= SILENCE_MAX
            }
        };
        if is_news {
            self.0 = Some((value.value, value.received_at));
        }
        is_news
    }

    /// The next value is news, whatever it is.
    pub fn forget(&mut self) {
        self.0 = None;
    }
}
