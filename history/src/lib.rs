//! The history: what was measured and estimated, kept for as long as its kind is to be kept.
//!
//! ```text
//! head-0000000012.log                    the newest values, in the order in which they came, synced before they count
//! telemetry-0000000011.<sum>.parquet     sealed: by point and time, for anybody who reads Parquet
//! energy-0000000011.<sum>.parquet        quarter-hours of meters
//! estimate-0000000011.<sum>.parquet      what the estimator made of them, with standard deviations
//! ```
//!
//! Values are appended to a log ([`log`]) in groups, one sync each. A log that is long enough is *sealed*: sorted by point and
//! time and written as Parquet, one file for each [`Kind`] ([`sealed`]); then the log goes. A crash in between seals it again,
//! to the same files. The Parquet files are the store and the export at once: compressed column by column, with what each
//! group of rows covers written in the file, so that a query reads only the groups it needs.
//!
//! Nothing is overwritten. A late value, and a correction of one that was there before, is one more row; `received_at` is its
//! version. A query tells the newest version, or the newest as of an instant, or all ([`Query`]).
//!
//! Everything that touches files goes through [`files::Disk`], so that a test can take the power away at any of its operations.

mod backup;
mod error;
mod export;
pub mod log;
pub mod measure;
mod offset;
mod query;
pub mod sealed;
mod start;
mod store;
mod value;

pub use backup::{BackedUp, back_up};
pub use error::HistoryError;
pub use offset::{Followed, Gone, NoOffset, Offset};
pub use query::{Query, Versions};
pub use start::Lock;
pub use store::{Copies, Figures, History, Made, Options, Removed, Sealer, Search};
pub use value::{Kind, Value};
