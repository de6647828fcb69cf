//! The journal: every fact that moves money or devices, written and synced before it takes effect.
//!
//! ```text
//! market.journal                        the first segment
//! market-000000051234.journal           a later one, by the number of its first record
//! market-000000051233.snapshot          the ledger after that record
//! market.tip                            the newest acknowledged record, so that a cut-off end is noticed
//! ```
//!
//! Segments are the journal; everything else can be made from them. Each record is chained to the one before by SHA-256
//! ([`record`]), also across segments ([`segment`]). Starting is the newest good snapshot and what was recorded since
//! ([`start`]); without one it is all of it. There is no other recovery.
//!
//! Everything that touches files goes through [`Disk`], so that a test can take the power away at any of its operations.

mod backup;
mod error;
mod layout;
pub mod measure;
mod reader;
pub mod record;
mod report;
pub mod segment;
mod snapshot;
mod standing;
mod start;
mod tip;
mod writer;

pub use backup::BackedUp;
pub use error::JournalError;
pub use files::{Disk, Folder};
pub use layout::{FILE_NAME, is_of_journal, is_segment};
pub use record::{Chain, Entry, Fact, check_size};
pub use report::VerifyReport;
pub use snapshot::Snapshotter;
pub use standing::Standing;
pub use start::{Lock, Opened};
pub use writer::{Durability, Journal, Options};
