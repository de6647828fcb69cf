//! What is wrong with a network file.

use grid::NetworkError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a network file was refused.
#[derive(Debug, Error)]
pub enum NetworkFileError {
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
        error: Box<NetworkFileError>,
    },
    /// Too large to be a network.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// Most bytes accepted.
        limit: usize,
    },
    /// No JSON at all.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but not the frame of a power-grid-model input.
    #[error("not a power-grid-model input of version 1.0: {0}")]
    Frame(String),
    /// A kind of component the network model does not have.
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
    /// The components do not make a network.
    #[error(transparent)]
    Network(#[from] NetworkError),
}
