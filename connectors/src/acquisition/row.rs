//! What an envelope holds: values as the GOFLEX project sends them, each with the line it stood in.

use super::pseudonym::Pseudonym;
use grid::Timestamp;
use serde::{Deserialize, Serialize};

/// Most rows in one envelope.
pub const ROWS_MAX: usize = 1000;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(into = "Written", try_from = "Written")]
pub struct Row {
    /// Line in its file, counted from 1.
    pub line: u64,
    /// Whose value, and which of its values.
    pub pseudonym: Pseudonym,
    /// When it was taken.
    pub observed_at: Timestamp,
    /// In the unit of the historian; finite. The platform's point map knows which unit that is.
    pub value: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    line: u64,
    device_id: String,
    observed_timestamp: String,
    value: f64,
}

impl From<Row> for Written {
    fn from(row: Row) -> Self {
        Written {
            line: row.line,
            device_id: row.pseudonym.to_string(),
            observed_timestamp: row.observed_at.to_string(),
            value: row.value,
        }
    }
}

impl TryFrom<Written> for Row {
    type Error = String;

    fn try_from(row: Written) -> Result<Self, String> {
        let pseudonym: Pseudonym = row.device_id.parse().map_err(|error| format!("device_id: {error}"))?;
        let observed_at = row.observed_timestamp.parse();
        let observed_at = observed_at.map_err(|error| format!("observed_timestamp: {error}"))?;
        Ok(Row { line: row.line, pseudonym, observed_at, value: row.value })
    }
}

/// Rows as a JSON array of `{line, device_id, observed_timestamp, value}`.
///
/// # Errors
/// When a value is not finite.
pub fn write(rows: &[Row]) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(rows)
}

/// Reads rows whose lines ascend and lie between `first` and `last`.
///
/// # Errors
/// A sentence with the place of the first row that is wrong. Never panics, whatever the bytes.
pub fn read(bytes: &[u8], first: u64, last: u64) -> Result<Vec<Row>, String> {
    let written: Vec<Written> = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if written.len() > ROWS_MAX {
        return Err(format!("{} rows, at most {ROWS_MAX} are read", written.len()));
    }
    let mut before = 0;
    let mut read = |(place, row): (usize, Written)| {
        let wrong = |reason: String| format!("row {}: {reason}", place + 1);
        if row.line <= before || row.line < first || row.line > last {
            return Err(wrong(format!(
                "line {} does not ascend, or is not one of {first} to {last}",
                row.line
            )));
        }
        before = row.line;
        Row::try_from(row).map_err(wrong)
    };
    written.into_iter().enumerate().map(&mut read).collect()
}
