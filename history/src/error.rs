//! Why the history cannot be written or read.

use files::Disk;
use std::path::PathBuf;
use thiserror::Error;

/// Why the history cannot be written or read.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The operating system refused.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// A sealed file or a log is none of this history, or damaged.
    #[error("{}: not a file of this history, or damaged: {reason}. Move it away to start without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Another process writes here.
    #[error("{}: another process writes this history", path.display())]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// An earlier write failed, and what is on the disk is not known.
    #[error("{}: an earlier write failed; start again to go on", path.display())]
    Failed {
        /// The directory.
        path: PathBuf,
    },
    /// So many values wait to be sealed that no more are taken.
    #[error("{}: {unsealed} values are not sealed, {most} may be: sealing fails or does not keep up", path.display())]
    Unsealed {
        /// The directory.
        path: PathBuf,
        /// Values that wait.
        unsealed: usize,
        /// Values that may.
        most: usize,
    },
    /// What came from another history is no group of values.
    #[error("{bytes} bytes that are no group of this version's history")]
    Group {
        /// How many.
        bytes: usize,
    },
    /// A query that would return more than it may.
    #[error("more than {most} values fit; ask for a shorter time, fewer points, or a larger limit")]
    TooMany {
        /// Values that may be returned.
        most: usize,
    },
}

impl HistoryError {
    /// Whether the disk is full.
    pub fn is_full(&self) -> bool {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), StorageFull | QuotaExceeded))
    }
}

/// An error of the operating system about a file, or about the folder when the name is empty.
pub(crate) fn io_in(
    disk: &dyn Disk,
    name: &str,
    doing: &'static str,
) -> impl Fn(std::io::Error) -> HistoryError {
    let place = disk.place();
    let path = if name.is_empty() { place } else { place.join(name) };
    move |source| HistoryError::Io { path: path.clone(), doing, source }
}
