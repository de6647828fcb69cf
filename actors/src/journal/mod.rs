//! The stage that owns the journal, and the books that everybody reads. The files are the `journal` crate's.

pub mod books;
pub mod stage;

pub use books::{Books, planned_deviation_w};
pub use journal::measure;
pub use journal::{
    BackedUp, Durability, Entry, FILE_NAME, Fact, Journal, JournalError, Opened, Options, Snapshotter,
    Standing, VerifyReport, is_of_journal,
};
pub use stage::{JournalMsg, JournalStage, JournalWriter};

use grid::Timestamp;

/// How a new life of the system began.
#[derive(Debug)]
pub struct Begun {
    /// Records in the journal.
    pub records: u64,
    /// Facts it had no room for; the system records them before all others, once there is.
    pub owed: Vec<(Timestamp, Fact)>,
}

/// Notes in a journal that the system goes on with it. On a full disk that is owed, and the system begins read-only: what was
/// recorded can be read all the same.
///
/// # Errors
/// [`JournalError`]; a full disk only where nothing was recorded yet.
pub fn begin(journal: &mut Journal, now: Timestamp, configuration: String) -> Result<Begun, JournalError> {
    let opening = Fact::Opened { configuration };
    match journal.append([(now, &opening)]) {
        Ok(records) => Ok(Begun { records, owed: Vec::new() }),
        Err(error @ JournalError::Full { .. }) if journal.records() > 0 => {
            tracing::error!(%error, "nothing can be recorded; what was recorded can be read");
            Ok(Begun { records: journal.records(), owed: vec![(now, opening)] })
        }
        Err(error) => Err(error),
    }
}
