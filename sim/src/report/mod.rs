//! What a simulated run leaves for people and programs: `outcome.json`, `minutes.parquet` and `report.html`
//! (docs/results.md). The same run gives the same bytes: nothing here reads a clock, a name of the machine or chance.

mod chart;
mod figures;
mod html;
mod parquet;

use crate::field::Minute;
use crate::run::Outcome;
use crate::run::virtual_time::Simulated;
use grid::Timestamp;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// File name of the figures.
pub const OUTCOME_FILE: &str = "outcome.json";
/// File name of the minutes.
pub const MINUTES_FILE: &str = "minutes.parquet";
/// File name of the page.
pub const REPORT_FILE: &str = "report.html";
/// What the files say about who wrote them.
const CREATED_BY: &str = concat!("gridflex version ", env!("CARGO_PKG_VERSION"));
/// Nothing of a low-voltage feeder is larger, in W, p.u. or as fraction; it keeps axes and files readable.
const MAGNITUDE_MAX: f64 = 1e9;

/// Why the results could not be written.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A recorded value is no physical value.
    #[error("{column} at {at} is {value}, a finite number of at most {MAGNITUDE_MAX} is needed")]
    Value {
        /// Which column of the minutes.
        column: &'static str,
        /// End of the minute.
        at: Timestamp,
        /// As recorded.
        value: f64,
    },
    /// The minutes do not follow each other.
    #[error("minute {at} is recorded after minute {before}")]
    Order {
        /// End of the earlier record.
        before: Timestamp,
        /// End of the record after it.
        at: Timestamp,
    },
    /// The figures could not be put into JSON.
    #[error("{OUTCOME_FILE}: {0}")]
    Json(#[from] serde_json::Error),
    /// The minutes could not be put into Parquet.
    #[error("{MINUTES_FILE}: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    /// A file or directory could not be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What the files are made from.
struct Results<'a> {
    outcome: &'a Outcome,
    /// Ascending by `at`.
    minutes: &'a [Minute],
    /// Loading of the transformer with every device left to itself, by end of minute, ascending.
    without: &'a [(Timestamp, f64)],
    /// What the scenario changes in its network, in sentences; empty when that is not known.
    changes: &'a [String],
}

/// Writes the results of a run into the directory `out`, which is made if need be, and returns the text of
/// `outcome.json`. Files of the same names are replaced.
///
/// # Errors
/// When a recorded value is not finite or out of all proportion, the minutes are not ascending, or a file cannot
/// be written. Nothing is written unless all files could be made.
pub fn write(out: &Path, simulated: &Simulated) -> Result<String, ReportError> {
    write_with_changes(out, simulated, &[])
}

/// Like [`write()`]; the page also says what the scenario changes in its network (see
/// [`crate::plant::changes_in_words`]).
///
/// # Errors
/// As [`write()`].
pub fn write_with_changes(
    out: &Path,
    simulated: &Simulated,
    changes: &[String],
) -> Result<String, ReportError> {
    let Simulated { outcome, minutes, without } = simulated;
    let results = Results { outcome, minutes, without, changes };
    results.check()?;
    let document = serde_json::to_string_pretty(outcome)? + "\n";
    let table = parquet::minutes(&results)?;
    let page = html::page(&results);
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ReportError::Io { path, source }
    };
    std::fs::create_dir_all(out).map_err(at(out))?;
    let files = [
        (OUTCOME_FILE, document.as_bytes()),
        (MINUTES_FILE, table.as_slice()),
        (REPORT_FILE, page.as_bytes()),
    ];
    for (name, bytes) in files {
        let path = out.join(name);
        std::fs::write(&path, bytes).map_err(at(&path))?;
    }
    Ok(document)
}

impl Results<'_> {
    fn check(&self) -> Result<(), ReportError> {
        for pair in self.minutes.windows(2) {
            if pair[1].at <= pair[0].at {
                return Err(ReportError::Order { before: pair[0].at, at: pair[1].at });
            }
        }
        for (column, value_of) in parquet::COLUMNS {
            for minute in self.minutes {
                accept(column, minute.at, value_of(minute))?;
            }
        }
        for pair in self.without.windows(2) {
            if pair[1].0 <= pair[0].0 {
                return Err(ReportError::Order { before: pair[0].0, at: pair[1].0 });
            }
        }
        self.without.iter().try_for_each(|&(at, loading)| accept(parquet::LOADING_WITHOUT, at, loading))
    }
}

fn accept(column: &'static str, at: Timestamp, value: f64) -> Result<(), ReportError> {
    if value.abs() <= MAGNITUDE_MAX { Ok(()) } else { Err(ReportError::Value { column, at, value }) }
}

#[cfg(test)]
mod tests;
