//! What is wrong with a power-grid-model file.

use grid::NetworkError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a file was refused.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The operating system does not give it.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Something is wrong inside a file.
    #[error("{}: {error}", path.display())]
    Within {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        error: Box<ReadError>,
    },
    /// Larger than accepted.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// Most bytes accepted.
        limit: usize,
    },
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Json(serde_json::Error),
    /// JSON, but not the frame of a power-grid-model file.
    #[error("not a power-grid-model file of version 1.0: {0}")]
    Frame(String),
    /// A kind of component that is not read.
    #[error("{count} {component} are given, which is not supported; {advice}")]
    Unsupported {
        /// Kind of component.
        component: String,
        /// How many.
        count: usize,
        /// What to do about it.
        advice: &'static str,
    },
    /// A row that is no component.
    #[error("{component}, row {row}: {reason}")]
    Row {
        /// Kind of component.
        component: &'static str,
        /// Which row, counted from 1.
        row: usize,
        /// What is wrong.
        reason: String,
    },
    /// An attribute of a component.
    #[error("{component} {id}: {attribute} {reason}")]
    Attribute {
        /// Kind of component.
        component: &'static str,
        /// Its id.
        id: u32,
        /// Which attribute.
        attribute: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two components with one id.
    #[error("{component} {id}: the id is already that of a {other}; ids are unique in a file")]
    DuplicateId {
        /// Kind of the second component.
        component: &'static str,
        /// The id.
        id: u32,
        /// Kind of the first component.
        other: &'static str,
    },
    /// An update of something that is not there.
    #[error("update of {component} {id}: there is no {component} with that id")]
    IdNotFound {
        /// Kind of component.
        component: &'static str,
        /// The id.
        id: u32,
    },
    /// An update without ids that does not have one row per component.
    #[error("update of {component} without ids: {rows} rows for {count} components")]
    RowCount {
        /// Kind of component.
        component: &'static str,
        /// Rows given.
        rows: usize,
        /// Components in the input.
        count: usize,
    },
    /// An error with its place in a batch.
    #[error("scenario {scenario}: {error}")]
    Scenario {
        /// Which scenario, counted from 0.
        scenario: usize,
        /// What is wrong.
        error: Box<ReadError>,
    },
    /// The components do not make a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

/// A text short and harmless enough for an error message.
pub(crate) fn brief_text(text: &str) -> String {
    text.chars().take(40).map(|c| if c.is_control() { '?' } else { c }).collect()
}
