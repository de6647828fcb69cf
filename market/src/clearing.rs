//! Clearing: which aggregated offers the DSO buys, with which schedules.
//!
//! A book becomes a clearing problem (`posed`): a node per zone, a bid per congestion point, a row per element that
//! some offer's energy flows through. `crate::price_clearing` clears it, all slots and elements at once, and
//! `crate::certificate` judges the result; what it objects to is not bought. Same book, same result.
//!
//! * *Value*: relief of a bid counts at the bid's price up to what it asks. An offer behind several congested elements
//!   relieves all of them; each bid pays for its own element, once. Energy taken where relief is asked costs as much.
//! * *Grid*: through no element may more be added than its head-room; an element without a row has none, and where it
//!   is negative nothing may be added. The engine prices overload; here it is not accepted at any price.
//! * *Gate*: what runs before the first open slot is frozen: nothing is bought there.
//! * *Bids*: no offer is bought that asks for more than the bids are worth it.

mod attempt;
mod best_schedule;
mod greedy;
mod grid_state;
mod posed;
mod record;
mod round;
#[cfg(test)]
mod tests;

pub use greedy::clear_greedily;
pub use record::{ClearedAgain, PriceOf, RoundProof, RoundRecord, RowPrice};

use crate::aggregation::{ExclusiveGroup, LoneTerms};
use crate::bid::{BidId, CongestionPoint, Need, Zones};
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::Schedule;
use crate::price_clearing::DeclineReason;
use crate::rules::Rules;
use crate::settlement::SlotPrice;
use best_schedule::{Conditions, best_schedule};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use grid_state::GridState;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything a clearing looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// What the DSO wants; nothing is bought without one.
    pub need: Option<Need>,
    /// Where each zone's energy flows.
    pub zones: Zones,
    /// What is offered.
    pub offers: BTreeMap<AggregateId, AggregatedFlexOffer>,
    /// What those of them ask beyond it that are no sum of offers.
    pub lone: BTreeMap<AggregateId, LoneTerms>,
    /// Exclusive groups of which an offer was bought before.
    pub groups_sold: BTreeSet<ExclusiveGroup>,
}

impl Book {
    /// The exclusive group of an offer.
    fn group(&self, offer: &AggregateId) -> Option<&ExclusiveGroup> {
        self.lone.get(offer)?.group.as_ref()
    }
}

/// One purchase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// Which offer.
    pub aggregate: AggregateId,
    /// What it shall do.
    pub schedule: Schedule,
    /// Difference to its default schedule, mWh per slot, ascending, zeros left out.
    pub deviation: Vec<(Slot, EnergyMwh)>,
    /// The bids in whose direction it deviates where they ask.
    pub bids: Vec<BidId>,
    /// What it asks for the deviation if delivered, micro-units, with what it asks beside its prices per kWh.
    pub cost: Money,
    /// Welfare that would be missing without it, micro-units.
    pub gain: Money,
    /// Nodal prices and bids, for every slot of the deviation.
    pub slot_prices: Vec<SlotPrice>,
}

/// Why an offer was not bought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// Nobody asks for anything in its zone while it could run.
    NoNeed,
    /// What was asked for in its zone was bought from others.
    NeedMet,
    /// None of its schedules brings relief in a slot where it is asked for.
    CannotRelieve,
    /// Its price is above the value of its relief, or above the bids.
    TooDear,
    /// What it would gain is less than the rules ask for.
    NotWorthIt,
    /// Its deviation would overload an element or undo relief.
    NoHeadRoom,
    /// By itself it would gain, but with it the others would gain less.
    Outbid,
    /// No part of it that it accepts is worth what it asks: it is too large for what is asked for, or takes no less.
    DoesNotFit,
    /// Another offer of its exclusive group was bought.
    GroupSold,
    /// Its assignment deadline or the gate of its last start has passed.
    PastGate,
    /// Its zone is not known.
    UnknownZone,
    /// The offer breaks a rule of FlexOffers or lies more than eight days ahead.
    Malformed,
    /// The need breaks a rule and is not served.
    NeedMalformed,
    /// More offers than a book holds came before it.
    BookFull,
    /// The clearing could not be certified or made free of overload; nothing was bought.
    NotCertified,
}

impl Refusal {
    /// The stable code of the reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoNeed => "no-need",
            Self::NeedMet => "need-met",
            Self::CannotRelieve => "cannot-relieve",
            Self::TooDear => "too-dear",
            Self::NotWorthIt => "not-worth-it",
            Self::NoHeadRoom => "no-head-room",
            Self::Outbid => "outbid",
            Self::DoesNotFit => "does-not-fit",
            Self::GroupSold => "group-sold",
            Self::PastGate => "past-gate",
            Self::UnknownZone => "unknown-zone",
            Self::Malformed => "malformed",
            Self::NeedMalformed => "need-malformed",
            Self::BookFull => "book-full",
            Self::NotCertified => "not-certified",
        }
    }
}

/// An offer that was not bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// Which offer.
    pub aggregate: AggregateId,
    /// Why.
    pub reason: Refusal,
    /// What it asks for its best schedule at the prices, micro-units, and what it could have asked for it; `None` where
    /// it has no other schedule or was not looked at.
    pub asked_and_winning: Option<(Money, Money)>,
    /// Where and when the prices charge that schedule most.
    pub against: Option<(CongestionPoint, Slot)>,
}

/// The result of a clearing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Clearing {
    /// Purchases, by id.
    pub accepted: Vec<Accepted>,
    /// All other offers of the book with the reason, by id.
    pub refused: Vec<Refused>,
    /// Value of relief minus what accepted offers ask, micro-units, rounded down.
    pub welfare: Money,
    /// No clearing of this book with overload priced as it was is worth more, micro-units, rounded up.
    pub bound: Money,
    /// Sum over bids and open slots of what was asked for, mWh (a magnitude).
    pub need_before: EnergyMwh,
    /// What of it stays unmet, mWh.
    pub need_after: EnergyMwh,
    /// What the certificate checker objected to, in words; then nothing was bought.
    pub objection: Option<String>,
    /// The prices that are not 0, per element and slot; they prove the bound of what is left in the last clearing.
    #[serde(skip)]
    pub prices: Vec<RowPrice>,
}

impl Clearing {
    /// (bound − welfare) ÷ bound: at most this share was left. `None` when nothing could be gained.
    pub fn gap(&self) -> Option<f64> {
        (self.bound.0 > 0).then(|| (self.bound.0 - self.welfare.0) as f64 / self.bound.0 as f64)
    }
}

/// Clears a book at an instant. Never fails: what cannot be served is refused with its reason.
pub fn clear(book: &Book, rules: &Rules, now: Timestamp) -> Clearing {
    let mut clearing = Clearing::default();
    let mut refused = Vec::new();
    let open = admit(book, rules, now, &mut refused);
    let plain = |(aggregate, reason)| Refused { aggregate, reason, asked_and_winning: None, against: None };
    clearing.refused.extend(refused.into_iter().map(plain));
    match book.need.as_ref().filter(|need| need.check().is_ok()) {
        Some(need) => round::clear_open(need, book, &open, rules, now, &mut clearing),
        None => {
            let reason = if book.need.is_some() { Refusal::NeedMalformed } else { Refusal::NoNeed };
            clearing.refused.extend(open.into_iter().map(|offer| plain((offer.id.clone(), reason))));
        }
    }
    clearing.refused.sort_by(|a, b| a.aggregate.cmp(&b.aggregate));
    clearing
}

/// Aggregates are numbered as they are formed, so the shorter name is the older one, and of two as long the lesser. Of
/// offers that are worth the same the older one is bought.
fn by_age(id: &AggregateId) -> (usize, &AggregateId) {
    (id.as_str().len(), id)
}

/// The offers that can be bought at all, the oldest first; the others are refused at once.
fn admit<'a>(
    book: &'a Book,
    rules: &Rules,
    now: Timestamp,
    refused: &mut Vec<(AggregateId, Refusal)>,
) -> Vec<&'a AggregatedFlexOffer> {
    let first = rules.first_open_slot(now);
    let mut open = Vec::new();
    let mut oldest_first: Vec<_> = book.offers.iter().collect();
    oldest_first.sort_by_key(|(id, _)| by_age(id));
    for (id, offer) in oldest_first {
        let reason = if offer.check().is_err() || offer.id != *id {
            Some(Refusal::Malformed)
        } else if offer.assignment_before <= now || offer.start_before < first {
            Some(Refusal::PastGate)
        } else if GridState::beyond(first, offer) {
            Some(Refusal::Malformed)
        } else if !book.zones.contains_key(&offer.zone) {
            Some(Refusal::UnknownZone)
        } else if book.group(id).is_some_and(|group| book.groups_sold.contains(group)) {
            Some(Refusal::GroupSold)
        } else if open.len() >= rules.book_offers_max {
            Some(Refusal::BookFull)
        } else {
            None
        };
        match reason {
            Some(reason) => refused.push((id.clone(), reason)),
            None => open.push(offer),
        }
    }
    open
}

/// Why an offer that is no sum of offers was not bought, from what the prices say of it.
fn explain_lone(
    offer: &AggregatedFlexOffer,
    before: &GridState,
    after: &GridState,
    declined: Option<DeclineReason>,
) -> Refusal {
    match declined {
        _ if !before.asks(offer) => Refusal::NoNeed,
        Some(DeclineReason::OtherOfGroup) => Refusal::GroupSold,
        _ if !after.asks(offer) => Refusal::NeedMet,
        Some(DeclineReason::TooDear) => Refusal::TooDear,
        Some(DeclineReason::DoesNotFit | DeclineReason::TooLittle) => Refusal::DoesNotFit,
        Some(DeclineReason::NoChoice) | None => Refusal::CannotRelieve,
    }
}

/// Why an offer that could have been bought was not.
fn explain(offer: &AggregatedFlexOffer, before: &GridState, after: &GridState, gain_min: Money) -> Refusal {
    if !before.asks(offer) {
        return Refusal::NoNeed;
    }
    if !after.asks(offer) {
        return Refusal::NeedMet;
    }
    let best = |free_of_charge, without_limits| {
        let best = best_schedule(offer, after, Conditions { free_of_charge, without_limits });
        best.map(|best| best.gain).filter(|gain| gain.is_positive())
    };
    match best(false, false) {
        Some(gain) if gain.rounded() < gain_min => Refusal::NotWorthIt,
        Some(_) => Refusal::Outbid,
        None if best(true, false).is_some() => Refusal::TooDear,
        None if best(false, true).is_some() => Refusal::NoHeadRoom,
        None if best(true, true).is_some() => Refusal::TooDear,
        None => Refusal::CannotRelieve,
    }
}
