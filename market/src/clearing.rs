//! Clearing: which aggregated offers the DSO buys, with which schedules.
//!
//! A welfare greedy. For every open offer the best schedule is found exactly: over all start slots, the energies
//! that maximise (value of relief − price of deviation), subject to what the grid can still carry. The offer
//! with the largest gain is accepted, needs and head-room move, and so on until nobody gains. Ties: larger gain,
//! lower prices, earlier deadline, smaller id. All arithmetic is on integers, so the same book gives the same
//! result on every machine.
//!
//! * *Value*: relief of a bid counts at the bid's price up to what it still lacks. An offer behind several
//!   congested elements relieves all of them; each bid pays for its own element, once.
//! * *Grid*: through no element may more be added than its remaining head-room; an element without a row has
//!   none. Nothing may be added where a bid still asks for less, nor taken where one still asks for more; what
//!   was bought for a bid is never undone.

mod best_schedule;
mod grid_state;
#[cfg(test)]
mod tests;

use crate::bid::{BidId, Need, Zones};
use crate::contract::{AggregateId, AggregatedFlexOffer, cost};
use crate::flex_offer::Schedule;
use crate::rules::Rules;
use best_schedule::{Best, Conditions, best_schedule};
use grid::{EnergyMwh, Money, Slot, Timestamp};
use grid_state::GridState;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Everything a clearing looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Book {
    /// What the DSO wants; nothing is bought without one.
    pub need: Option<Need>,
    /// Where each zone's energy flows.
    pub zones: Zones,
    /// What is offered.
    pub offers: BTreeMap<AggregateId, AggregatedFlexOffer>,
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
    /// The bids it brings closer to what they ask.
    pub bids: Vec<BidId>,
    /// What the deviation costs if delivered, micro-units.
    pub cost: Money,
    /// Value of the relief minus cost, micro-units.
    pub gain: Money,
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
    /// Its price is above the value of its relief.
    TooDear,
    /// What it would gain is less than the rules ask for.
    NotWorthIt,
    /// Its deviation would overload an element or undo relief.
    NoHeadRoom,
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
            Self::PastGate => "past-gate",
            Self::UnknownZone => "unknown-zone",
            Self::Malformed => "malformed",
            Self::NeedMalformed => "need-malformed",
            Self::BookFull => "book-full",
        }
    }
}

/// The result of a clearing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Clearing {
    /// Purchases, in the order they were made.
    pub accepted: Vec<Accepted>,
    /// All other offers of the book with the reason, by id.
    pub refused: Vec<(AggregateId, Refusal)>,
    /// Sum of the gains, micro-units.
    pub welfare: Money,
    /// Sum over bids and open slots of what was asked for, mWh (a magnitude).
    pub need_before: EnergyMwh,
    /// What of it stays unmet, mWh.
    pub need_after: EnergyMwh,
}

/// Clears a book at an instant. Never fails: what cannot be served is refused with its reason.
pub fn clear(book: &Book, rules: &Rules, now: Timestamp) -> Clearing {
    let mut clearing = Clearing::default();
    let open = admit(book, rules, now, &mut clearing.refused);
    let Some(need) = book.need.as_ref().filter(|need| need.check().is_ok()) else {
        let reason = if book.need.is_some() { Refusal::NeedMalformed } else { Refusal::NoNeed };
        clearing.refused.extend(open.into_iter().map(|offer| (offer.id.clone(), reason)));
        clearing.refused.sort();
        return clearing;
    };
    let before = GridState::new(need, &book.zones, rules.first_open_slot(now), &open);
    let mut state = before.clone();
    clearing.need_before = state.unmet();
    let mut candidates: Vec<(&AggregatedFlexOffer, Option<Best>)> =
        open.into_iter().map(|offer| (offer, best_schedule(offer, &state, Conditions::default()))).collect();
    while let Some(index) = pick(&candidates, rules.gain_min) {
        let (offer, Some(best)) = candidates.swap_remove(index) else { break };
        let bids = state.take(offer.zone, &best.deviation);
        clearing.accepted.push(Accepted {
            aggregate: offer.id.clone(),
            cost: cost(&best.deviation, &offer.prices),
            gain: best.gain.rounded(),
            schedule: best.schedule,
            deviation: best.deviation.clone(),
            bids,
        });
        for (other, best_of_other) in &mut candidates {
            if state.concerns(other, offer.zone, &best.deviation) {
                *best_of_other = best_schedule(other, &state, Conditions::default());
            }
        }
    }
    clearing.welfare =
        Money(clearing.accepted.iter().fold(0, |sum, accepted| sum.saturating_add(accepted.gain.0)));
    clearing.need_after = state.unmet();
    clearing
        .refused
        .extend(candidates.iter().map(|(offer, _)| (offer.id.clone(), explain(offer, &before, &state))));
    clearing.refused.sort();
    clearing
}

/// The offers that can be bought at all; the others are refused at once.
fn admit<'a>(
    book: &'a Book,
    rules: &Rules,
    now: Timestamp,
    refused: &mut Vec<(AggregateId, Refusal)>,
) -> Vec<&'a AggregatedFlexOffer> {
    let first = rules.first_open_slot(now);
    let mut open = Vec::new();
    for (id, offer) in &book.offers {
        let reason = if offer.check().is_err() || offer.id != *id {
            Some(Refusal::Malformed)
        } else if offer.assignment_before <= now || offer.start_before < first {
            Some(Refusal::PastGate)
        } else if GridState::beyond(first, offer) {
            Some(Refusal::Malformed)
        } else if !book.zones.contains_key(&offer.zone) {
            Some(Refusal::UnknownZone)
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

/// The candidate to accept next.
fn pick(candidates: &[(&AggregatedFlexOffer, Option<Best>)], gain_min: Money) -> Option<usize> {
    let rank = |&(_, offer, best): &(usize, &AggregatedFlexOffer, &Best)| {
        let prices = offer.prices;
        (Reverse(best.gain), prices.decrease, prices.increase, offer.assignment_before, offer.id.clone())
    };
    let gainful = candidates.iter().enumerate().filter_map(|(index, (offer, best))| {
        let worth_it = |best: &&Best| best.gain.is_positive() && best.gain.rounded() >= gain_min;
        best.as_ref().filter(worth_it).map(|best| (index, *offer, best))
    });
    gainful.min_by_key(rank).map(|(index, _, _)| index)
}

/// Why an offer that could have been bought was not.
fn explain(offer: &AggregatedFlexOffer, before: &GridState, after: &GridState) -> Refusal {
    if !before.asks(offer) {
        return Refusal::NoNeed;
    }
    if !after.asks(offer) {
        return Refusal::NeedMet;
    }
    let gains = |free_of_charge, without_limits| {
        best_schedule(offer, after, Conditions { free_of_charge, without_limits })
            .is_some_and(|best| best.gain.is_positive())
    };
    if gains(false, false) {
        Refusal::NotWorthIt
    } else if gains(true, false) {
        Refusal::TooDear
    } else if gains(false, true) {
        Refusal::NoHeadRoom
    } else if gains(true, true) {
        Refusal::TooDear
    } else {
        Refusal::CannotRelieve
    }
}
