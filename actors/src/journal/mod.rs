//! The journal: every fact that moves money or devices, written and synced before it takes effect.
//!
//! One append-only file, each record chained to the one before by SHA-256 (see [`record`]). Starting is replaying
//! it into the [`market::Ledger`]; there is no other recovery.

pub mod books;
pub mod file;
pub mod record;
pub mod stage;

pub use books::{Books, planned_deviation_w};
pub use file::{Durability, Journal, JournalError, Opened, VerifyReport};
pub use record::{Entry, Fact};
pub use stage::{JournalMsg, JournalStage, JournalWriter};
