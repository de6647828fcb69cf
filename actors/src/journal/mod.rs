//! The stage that owns the journal, and the books that everybody reads. The files are the `journal` crate's.

pub mod books;
pub mod stage;

pub use books::{Books, planned_deviation_w};
pub use journal::measure;
pub use journal::{
    Durability, Entry, Fact, Journal, JournalError, Opened, Options, Snapshotter, Standing, VerifyReport,
};
pub use stage::{JournalMsg, JournalStage, JournalWriter};
