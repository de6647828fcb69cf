//! What can go wrong with a journal.

use crate::record::Stop;
use files::Disk;
use market::LedgerError;
use std::path::PathBuf;
use thiserror::Error;

/// What can go wrong with a journal. Every variant names the file.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// There is no room. Nothing of what was to be written remains; the same journal can be appended to once there is.
    #[error("{}: the disk is full; make room on it, and recording goes on by itself", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// Another process holds it.
    #[error("{}: another gridflex process is using this data directory", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Not a journal, or of another version.
    #[error("{}: this is not a gridflex journal of version 1 to 3", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version of the program wrote it. Nothing was changed.
    #[error(
        "{}: written by a newer gridflex than this one ({}): {what}. Nothing was changed; start with the newer program, or \
         restore a backup from before the upgrade", path.display(), env!("CARGO_PKG_VERSION")
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// What in it is not known here.
        what: String,
    },
    /// A record that must have been whole is damaged.
    #[error(
        "{}: record {number} at byte {offset} is damaged ({reason}); the {good} records before it are whole", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which record.
        number: u64,
        /// Where it, or its group, begins.
        offset: u64,
        /// In what way.
        reason: String,
        /// Whole records before it.
        good: u64,
    },
    /// Acknowledged records are not there.
    #[error("{}: records from {number} on are missing: {reason}", path.display())]
    Missing {
        /// The directory or file.
        path: PathBuf,
        /// The first one that is missing.
        number: u64,
        /// How that is known and what to do.
        reason: String,
    },
    /// A record that is whole contradicts those before it.
    #[error("{}: record {number} cannot follow the ones before it: {source}", path.display())]
    Contradiction {
        /// The directory.
        path: PathBuf,
        /// Which record.
        number: u64,
        /// Why.
        source: Box<LedgerError>,
    },
    /// An entry or a snapshot could not be encoded.
    #[error("{}: it could not be encoded: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl JournalError {
    /// Whether a journal was found to be damaged, as opposed to not being there or not being readable.
    pub fn is_finding(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. } | Self::Contradiction { .. })
    }
}

/// Says of which record of a journal it was that could not follow.
pub(crate) fn contradiction(
    disk: &dyn Disk,
    number: u64,
) -> impl FnOnce(Stop<Box<LedgerError>>) -> Stop<JournalError> {
    move |stop| stop.because(|source| JournalError::Contradiction { path: disk.place(), number, source })
}
