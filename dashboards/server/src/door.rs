//! The door to the market: FlexOffers from outside enter the system, what the DSO asks for can be seen.

use actors::picture::RefusedRow;
use futures_util::future::BoxFuture;
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, ProsumerId, Quality, Slot, Timestamp, UsagePointId};
use market::flex_offer::life_cycle::{Phase, phase_of};
use market::settlement::SlotSettlement;
use market::transfer_price::TransferPart;
use market::{
    Activation, BidId, ContractId, DeviationPrices, DomsBid, FlexOffer, FlexOfferId, Month, MonthlyBill,
    OfferStatus, Schedule,
};
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
    /// What was assigned to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Why it was not bought in its last round; said where one offer is asked for that is not sold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_bought: Option<NotBought>,
}

/// Why an offer was not bought.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotBought {
    /// In the round of this instant.
    pub at: Timestamp,
    /// The aggregate that it is part of, and why that was not bought.
    #[serde(flatten)]
    pub refused: RefusedRow,
}

impl OfferFound {
    /// The phase of its life at an instant.
    pub fn phase(&self, now: Timestamp) -> Phase {
        let status = match (self.state, &self.schedule) {
            (OfferState::Accepted, _) => OfferStatus::Open,
            (OfferState::Contracted, None) => OfferStatus::Contracted,
            (OfferState::Contracted, Some(schedule)) => {
                OfferStatus::Assigned { until: schedule.end().start() }
            }
            (OfferState::Withdrawn, _) => OfferStatus::Withdrawn,
            (OfferState::Expired, _) => OfferStatus::Expired,
        };
        phase_of(&self.offer, status, self.schedule.as_ref(), now)
    }
}

/// Offers that are looked at for one answer, whether they are wanted or not.
pub const OFFERS_LOOKED_AT_MAX: usize = 10_000;

/// Which offers are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffersAsked {
    /// Those whose names come after this one.
    pub after: Option<FlexOfferId>,
    /// Those of these prosumers; all when it is `None`.
    pub owners: Option<Vec<ProsumerId>>,
    /// Those that can still be sold or are (`true`), or were taken back or are over (`false`).
    pub active: Option<bool>,
    /// So many.
    pub most: usize,
}

impl OffersAsked {
    /// Whether an offer that stands so is asked for.
    pub fn wants(&self, state: OfferState) -> bool {
        let is_active = matches!(state, OfferState::Accepted | OfferState::Contracted);
        self.active.is_none_or(|active| active == is_active)
    }
}

/// Some of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OffersPage {
    /// By name.
    pub offers: Vec<OfferFound>,
    /// The last one that was looked at, when there may be more behind it.
    pub next: Option<FlexOfferId>,
}

/// Which of a prosumer's offers that were bought are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradesAsked {
    /// Whose.
    pub prosumer: ProsumerId,
    /// Those of which every slot is settled, or those of which one is not.
    pub over: bool,
    /// Those whose offers' names come after this one.
    pub after: Option<FlexOfferId>,
    /// So many.
    pub most: usize,
}

/// Some of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TradesPage {
    /// By the offers' names.
    pub trades: Vec<Trade>,
    /// The last offer that was looked at, when there may be more behind it.
    pub next: Option<FlexOfferId>,
}

/// An offer's part of a contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trade {
    /// Whose.
    pub prosumer: ProsumerId,
    /// Under which contract.
    pub contract: ContractId,
    /// Of which offer.
    pub offer: FlexOfferId,
    /// Of which device.
    pub device: DeviceId,
    /// When the contract was formed.
    pub agreed_at: Timestamp,
    /// What the contract's offer asks per kWh deviated, micro-units.
    pub prices: DeviationPrices,
    /// Slots with a deviation, ascending.
    pub slots: Vec<TradedSlot>,
}

impl Trade {
    /// Whether every slot is settled.
    pub fn is_over(&self) -> bool {
        self.slots.iter().all(|slot| slot.settled.is_some())
    }
}

/// One slot of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TradedSlot {
    /// Which.
    pub slot: Slot,
    /// Deviation ordered, mWh; negative is less consumption.
    pub ordered: EnergyMwh,
    /// What it came to, once that is known.
    pub settled: Option<SlotSettlement>,
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

    /// Puts other contents into the place of an open offer's of the same name; `Accepted` when that holds across a power failure,
    /// `Known` when it says so already.
    fn change(&self, _offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let (code, sentence) = ("unavailable", "offers cannot be changed here".to_owned());
        Box::pin(std::future::ready(OfferAnswer::Unavailable { code, sentence }))
    }

    /// Takes an open offer back; `Accepted` when that holds across a power failure, `Known` when it was taken back before.
    fn withdraw(&self, _id: FlexOfferId) -> BoxFuture<'static, OfferAnswer> {
        let (code, sentence) = ("unavailable", "offers cannot be taken back here".to_owned());
        Box::pin(std::future::ready(OfferAnswer::Unavailable { code, sentence }))
    }

    /// Offers that hold across a power failure, by name. Looks at [`OFFERS_LOOKED_AT_MAX`] of them, and blocks for so long.
    fn offers(&self, _asked: &OffersAsked) -> OffersPage {
        OffersPage::default()
    }

    /// Something came from a party; with `expected` it is a heartbeat: where three of them are missing its offers are suspended
    /// until it is heard again. False where too much is under way to say so.
    fn heard(&self, _party: ProsumerId, _expected: bool) -> bool {
        true
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

    /// What a device was ordered to take, by slot from `first` to before `end`, as far as it holds across a power failure. Blocks.
    fn ordered(&self, _device: DeviceId, _first: Slot, _end: Slot) -> BTreeMap<Slot, Ordered> {
        BTreeMap::new()
    }

    /// What a kWh taken behind a usage point costs in each of `count` slots from `first` on, element by element; `None` when
    /// there is no such usage point.
    fn transfer_costs(
        &self,
        _point: UsagePointId,
        _first: Slot,
        _count: u16,
    ) -> Option<Vec<Vec<TransferPart>>> {
        None
    }

    /// What was bought of a prosumer's offers, as far as it holds across a power failure, by the offers' names. Looks at
    /// [`OFFERS_LOOKED_AT_MAX`] offers, and blocks for so long.
    fn trades(&self, _asked: &TradesAsked) -> TradesPage {
        TradesPage::default()
    }

    /// What the DSO asks for now.
    fn bids(&self) -> Vec<DomsBid> {
        Vec::new()
    }

    /// Looks a bid up, also one of an earlier need.
    fn bid(&self, _id: &BidId) -> Option<BidFound> {
        None
    }

    /// At most `most` bills of delegated trading that hold across a power failure, of these prosumers (all when that is
    /// `None`), by prosumer and month, after one of them. What their lines rest on is left out. Blocks.
    fn bills(
        &self,
        _after: Option<BillKey>,
        _owners: Option<&[ProsumerId]>,
        _most: usize,
    ) -> Vec<MonthlyBill> {
        Vec::new()
    }

    /// Looks one of them up, with what its lines rest on.
    fn bill(&self, _key: BillKey) -> Option<MonthlyBill> {
        None
    }
}
