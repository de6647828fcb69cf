//! The market's part of the picture: needs, totals and the feed of what happened.

use grid::{Phase, Timestamp};
use market::{AggregateId, BidId};
use serde::Serialize;

/// Entries kept in the feed.
pub const FEED_ENTRIES_MAX: usize = 200;

/// One quarter-hour of one DOMS bid that asks for something.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NeedRow {
    /// The bid.
    pub bid: BidId,
    /// The congested element in words, for example `transformer 1`.
    pub element: String,
    /// The phase that counts; `None` sums the phases.
    pub phase: Option<Phase>,
    /// First instant of the slot.
    pub slot_start: Timestamp,
    /// Change of energy asked for, kWh; negative asks for less consumption.
    pub change_kwh: f64,
    /// What the DSO pays at most, EUR per kWh of that change.
    pub price_per_kwh: f64,
}

/// Refused offers shown of a clearing.
pub const REFUSED_ROWS_MAX: usize = 50;

/// How a clearing went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClearingPicture {
    /// When.
    pub at: Timestamp,
    /// Offers in the book.
    pub offers: u64,
    /// How many of them were bought.
    pub bought: u64,
    /// Value of relief minus what accepted offers ask, EUR.
    pub welfare_eur: f64,
    /// What no clearing of that book exceeds, EUR.
    pub bound_eur: f64,
    /// At most this share of the bound was left; `None` when nothing could be gained.
    pub gap: Option<f64>,
    /// What the certificate checker objected to; then nothing was bought.
    pub objection: Option<String>,
    /// Offers that were not bought, by name, at most [`REFUSED_ROWS_MAX`].
    pub refused: Vec<RefusedRow>,
}

/// Why an offer was not bought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RefusedRow {
    /// The aggregated offer.
    pub aggregate: AggregateId,
    /// Stable code of the reason.
    pub code: &'static str,
    /// What it asks for its best schedule at the prices, EUR; `None` where it has no other schedule.
    pub asked_eur: Option<f64>,
    /// What it could have asked for it, EUR; negative: it would have had to pay.
    pub winning_eur: Option<f64>,
    /// The element that charges that schedule most, in words.
    pub element: Option<String>,
    /// First instant of the slot in which it does.
    pub slot_start: Option<Timestamp>,
}

/// What was traded since the start of the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Totals {
    /// FlexOffers accepted.
    pub offers: u64,
    /// Contracts formed.
    pub contracts: u64,
    /// Activations issued to devices.
    pub activations: u64,
    /// Activations that the device confirmed.
    pub confirmed: u64,
    /// Slots of offers settled.
    pub settled: u64,
    /// Magnitude of the deviations contracted, kWh.
    pub ordered_kwh: f64,
    /// Magnitude of the deviations delivered and settled, kWh.
    pub delivered_kwh: f64,
    /// Paid by the DSO, EUR.
    pub paid_eur: f64,
    /// Magnitude of the energy still asked for now, kWh.
    pub need_kwh: f64,
}

/// Kind of a feed entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FeedKind {
    /// The DSO asked for flexibility.
    Need,
    /// A FlexOffer was accepted.
    Offer,
    /// The market was cleared.
    Clearing,
    /// A contract was formed.
    Contract,
    /// A device was told.
    Activation,
    /// A device answered, or its delivery was metered.
    Delivery,
    /// Delivery was valued and money moved.
    Settlement,
    /// An actor was restarted.
    Restart,
    /// Something from outside was refused.
    Rejected,
    /// A connection came up or went down.
    Link,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FeedEntry {
    /// Counts entries without gaps, ascending; the stream sends only entries newer than the last one sent.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What kind.
    pub kind: FeedKind,
    /// What, in one sentence for people, with units. Instants in it are UTC like `2026-01-15T17:30:00Z`; a page
    /// replaces them by local time.
    pub text: String,
}
