//! The door through which FlexOffers from outside enter the system.

use futures_util::future::BoxFuture;
use market::{FlexOffer, FlexOfferId};
use serde::Serialize;

/// What became of a submitted offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferAnswer {
    /// Accepted and durable.
    Accepted,
    /// The same offer had been accepted before; nothing changed.
    Known,
    /// Another offer with this id exists.
    Conflict,
    /// Refused by a rule of the market.
    Refused {
        /// Stable code of the reason.
        code: String,
        /// The reason in one sentence, with the facts.
        sentence: String,
    },
    /// The system cannot take it now; the client may try again with the same id.
    Unavailable {
        /// Stable code of the reason.
        code: &'static str,
        /// The reason in one sentence.
        sentence: String,
    },
}

/// Where an offer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OfferState {
    /// Accepted, may be assigned.
    Accepted,
    /// Part of a contract.
    Contracted,
    /// Taken back by its owner.
    Withdrawn,
    /// Its assignment deadline passed; the default schedule runs.
    Expired,
}

/// An offer that is known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfferFound {
    /// The offer as accepted.
    pub offer: FlexOffer,
    /// Where it stands.
    pub state: OfferState,
}

/// The system's side of the offer routes. Both futures are bounded by [`crate::Limits::answer_deadline`].
pub trait OfferDoor: Send + Sync {
    /// Hands an offer in. Resolves only when the answer holds across a power failure.
    fn submit(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer>;

    /// Looks an offer up; `None` when no offer of that name was ever accepted.
    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>>;
}
