//! Why something is not kept.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use thiserror::Error;

/// What a rule says against it; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It belongs to somebody else.
    #[error("{key} belongs to {owner}; nothing was changed")]
    NotOwner {
        /// Which key.
        key: String,
        /// Whose it is.
        owner: String,
    },
    /// There would be too many, or it would be too large.
    #[error("{what}: at most {most} are kept, this would be {found}")]
    Limit {
        /// Of what, with the unit.
        what: &'static str,
        /// The limit.
        most: usize,
        /// What it would be.
        found: usize,
    },
    /// It cannot be what it is said to be.
    #[error("{0}")]
    Malformed(String),
    /// Something else stands there.
    #[error("{0}")]
    Taken(String),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// It is too late, or too early.
    #[error("{0}")]
    Closed(String),
}

impl Refusal {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotOwner { .. } => "not_own",
            Self::Limit { .. } => "limit",
            Self::Malformed(_) => "malformed",
            Self::Taken(_) => "taken",
            Self::Unknown(_) => "not_found",
            Self::Closed(_) => "closed",
        }
    }
}

/// What the disk says against it.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Reading, writing or syncing failed.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the operating system says.
        source: io::Error,
    },
    /// Not as it was written.
    #[error("{}:{line}: the record is damaged, so what follows it cannot be trusted; restore the file, or move it away to begin an empty one", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// A write or sync failed before, and nobody knows what is on the disk.
    #[error("{}: a write failed before; nothing more is kept until the program starts again", path.display())]
    Stuck {
        /// Which file.
        path: PathBuf,
    },
}

impl StoreError {
    /// Whether there is no room, so that the same may succeed later.
    pub fn is_full(&self) -> bool {
        let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
        matches!(self, Self::File { source, .. } if full.contains(&source.kind()))
    }
}

/// Why something is not kept.
#[derive(Debug, Error)]
pub enum RegisterError {
    /// A rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}
