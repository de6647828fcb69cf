//! What parties deposit beside the market: values under keys ([`keyed`]), consumption that others compare themselves with
//! ([`benchmark`]), indicators with goals and alarms ([`indicator`]), answers to bids ([`feedback`]), the last
//! readings of meters that count ([`meters`]), and the air's temperature ([`weather`]). None of it moves money
//! or devices, so none of it is in the journal; all of it is on the disk before anybody is told that it is kept.
//!
//! It lies in one file ([`log`]), one record for each thing that was done, and in memory as a whole: every collection has a
//! limit, and what would exceed it is refused with the limit's name. Starting is reading the file.
//!
//! Times are handed in. What comes from outside is checked here; whoever may do what is checked by the door, except for one
//! rule: a value belongs to who put it.

pub mod benchmark;
mod error;
pub mod feedback;
pub mod indicator;
pub mod keyed;
mod log;
pub mod meters;
mod store;
pub mod weather;

pub use error::{Refusal, RegisterError, StoreError};
pub use store::{FILE_NAME, Register};
