//! The stage that owns the journal, and the books that everybody reads. The files are the `journal` crate's.

pub mod books;
mod full;
pub mod stage;

pub use books::{Books, planned_deviation_w};
pub use journal::{Durability, Entry, Fact, Journal, JournalError, Opened, Options, Standing, VerifyReport};
pub use stage::{JournalMsg, JournalStage, JournalWriter};
