//! What is wrong with a pandapower file.

use crate::power_grid_model::ReadError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file was refused.
#[derive(Debug, Error)]
pub enum PandapowerError {
    /// The operating system does not give it, or it is too large.
    #[error(transparent)]
    File(#[from] ReadError),
    /// Something is wrong inside a file.
    #[error("{}: {error}", path.display())]
    Within {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: Box<PandapowerError>,
    },
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but no pandapower network.
    #[error("not a pandapower network: {0}")]
    Frame(&'static str),
    /// A table that is none.
    #[error("table {table}: {reason}")]
    Table {
        /// Which table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A cell of a table.
    #[error("{table} {index}: {column} {reason}")]
    Cell {
        /// Which table.
        table: &'static str,
        /// Index of the row, as pandapower shows it.
        index: i64,
        /// Which column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Elements that are not read.
    #[error("{count} {table} in service, which is not supported; {advice}")]
    Unsupported {
        /// Which table.
        table: &'static str,
        /// How many.
        count: usize,
        /// What to do about it.
        advice: &'static str,
    },
}
