//! The door to the market: FlexOffers from outside enter the system, what the DSO asks for can be seen.

use futures_util::future::BoxFuture;
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, ProsumerId, Quality, Slot, UsagePointId};
use market::{Activation, BidId, DomsBid, FlexOffer, FlexOfferId, Month, MonthlyBill};
use serde::Serialize;
use std::collections::BTreeMap;

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

/// A bid that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BidFound {
    /// The bid.
    pub bid: DomsBid,
    /// Whether it is of the newest need, so that more may be bought for it.
    pub open: bool,
    /// First slot and deviation per slot that was bought for it so far, mWh, positive is taken; `None` when nothing was.
    pub bought: Option<(Slot, Vec<EnergyMwh>)>,
}

/// What a device was ordered to take in one slot, and what is known of it. mWh, positive is taken from the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordered {
    /// What it would have taken without its order, as it is settled with.
    pub baseline: EnergyMwh,
    /// What it was ordered to take.
    pub scheduled: EnergyMwh,
    /// What its meter said for the settlement, once it did.
    pub metered: Option<(EnergyMwh, Quality)>,
}

/// Whose bill, of which month.
pub type BillKey = (ProsumerId, Month);

/// The system's side of the market's routes. Futures are bounded by [`crate::Limits::answer_deadline`].
pub trait MarketDoor: Send + Sync {
    /// Hands an offer in. Resolves only when the answer holds across a power failure.
    fn submit(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer>;

    /// Looks an offer up; `None` when no offer of that name was ever accepted.
    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>>;

    /// Takes an open offer back; `Accepted` when that holds across a power failure, `Known` when it was taken back before.
    fn withdraw(&self, _id: FlexOfferId) -> BoxFuture<'static, OfferAnswer> {
        let (code, sentence) = ("unavailable", "offers cannot be taken back here".to_owned());
        Box::pin(std::future::ready(OfferAnswer::Unavailable { code, sentence }))
    }

    /// At most `most` offers that hold across a power failure and are `wanted`, by name, after one of them.
    fn offers(
        &self,
        _after: Option<&FlexOfferId>,
        _wanted: &dyn Fn(&FlexOffer, OfferState) -> bool,
        _most: usize,
    ) -> Vec<OfferFound> {
        Vec::new()
    }

    /// Orders to the devices of a prosumer that no device has answered yet and that are not over, by name.
    fn orders(&self, _prosumer: ProsumerId) -> Vec<Activation> {
        Vec::new()
    }

    /// The devices of a prosumer and where each is connected; for offers that name neither.
    fn devices_of(&self, _prosumer: ProsumerId) -> Vec<(UsagePointId, DeviceId)> {
        Vec::new()
    }

    /// Whose an element of the grid is: the prosumers behind a usage point, the one of a device; nobody's otherwise.
    fn owners(&self, _element: Element) -> Vec<ProsumerId> {
        Vec::new()
    }

    /// Whether an element can feed in; then what it takes is not all that its energies are made of. What nobody knows can.
    fn feeds_in(&self, _element: Element) -> bool {
        true
    }

    /// What a device was ordered to take, by slot from `first` to before `end`, as far as it holds across a power failure.
    fn ordered(&self, _device: DeviceId, _first: Slot, _end: Slot) -> BTreeMap<Slot, Ordered> {
        BTreeMap::new()
    }

    /// What the DSO asks for now.
    fn bids(&self) -> Vec<DomsBid>;

    /// Looks a bid up, also one of an earlier need.
    fn bid(&self, id: &BidId) -> Option<BidFound>;

    /// At most `most` bills of delegated trading that hold across a power failure, of those prosumers that are `wanted`,
    /// by prosumer and month, after one of them. What their lines rest on is left out.
    fn bills(
        &self,
        after: Option<BillKey>,
        wanted: &dyn Fn(ProsumerId) -> bool,
        most: usize,
    ) -> Vec<MonthlyBill>;

    /// Looks one of them up, with what its lines rest on.
    fn bill(&self, key: BillKey) -> Option<MonthlyBill>;
}
