//! One clearing of the open offers: pose, clear, judge, and say what is bought and why the rest is not.
//!
//! The engine prices overload; the market does not sell it. When a result overloads an element the penalty grows, and
//! when that does not help the offers that load it leave, the one that gains least per overload first; those that can
//! be taken after all are taken back in. An offer that asks for more than the bids are worth it leaves, too.
//!
//! A book is cleared from nothing once per penalty, and once more at the end without what left. Between them the clearing
//! goes on warm: an offer leaves or comes back, what it touches answers again. Each clearing is judged. How many there
//! are is bounded by a count of offers looked at, so that the same book ends the same way everywhere. The bound is that
//! of all offers.

use super::attempt::{Attempt, Market, unposed};
use super::posed::{Left, Posed, largest_energy};
use super::{Book, Clearing, Refusal, Refused, explain, explain_lone};
use crate::bid::{DomsBid, Need, ZoneId};
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::price_clearing::{DeclineReason, PriceClearing, ProblemFault, Worth};
use crate::rules::Rules;
use grid::{Money, Slot, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Warm clearings of a round before all offers that load an overloaded element leave at once.
const STEPS_MAX: usize = 128;
/// Offers that all warm clearings of a round look at together before that.
const WORK_MAX: usize = 640_000;
/// So often all of them leave at once; then nothing is bought.
const LAST_ATTEMPTS: usize = 4;
/// Offers that left for others' sake and are tried again.
const READMITTED_MAX: usize = 8;
/// How often the penalty grows, by this factor.
const GROWING: usize = 2;
const PENALTY_GROWTH: i64 = 30;
/// Largest price of a problem, micro-units per kWh.
const PENALTY_MAX: i64 = 1_000_000_000_000;

/// Clears the open offers of a book against a checked need.
pub(super) fn clear_open(
    need: &Need,
    book: &Book,
    open: &[&AggregatedFlexOffer],
    rules: &Rules,
    now: Timestamp,
    clearing: &mut Clearing,
) {
    let first = rules.first_open_slot(now);
    let market = Market { need, zones: &book.zones, lone: &book.lone, rules, first };
    let before = market.grid(open);
    clearing.need_before = before.unmet();
    clearing.need_after = clearing.need_before;
    let offers: Vec<&AggregatedFlexOffer> = open.iter().copied().filter(|offer| before.asks(offer)).collect();
    let zone_of = offers.iter().map(|offer| (&offer.id, offer.zone)).collect();
    let mut round = Round { market, offers, zone_of, left_out: BTreeMap::new(), bound: None };
    let mut details = BTreeMap::new();
    let mut after = before.clone();
    match round.clear() {
        Ok(None) => {}
        Ok(Some(best)) => {
            clearing.welfare = Money(best.gained().micro_floor());
            clearing.accepted = best.accepted;
            for accepted in &clearing.accepted {
                if let Some(offer) = book.offers.get(&accepted.aggregate) {
                    after.take(offer.zone, &accepted.deviation);
                }
            }
            clearing.need_after = after.unmet();
            clearing.prices = best.posed.prices(&best.cleared);
            details = declined(&best.posed, &best.cleared);
        }
        Err(objection) => clearing.objection = Some(objection),
    }
    clearing.bound = Money(round.bound.unwrap_or_default().micro_ceil()).max(clearing.welfare);
    let bought = |offer: &&&AggregatedFlexOffer| {
        clearing.accepted.binary_search_by(|accepted| accepted.aggregate.cmp(&offer.id)).is_ok()
    };
    let others = open.iter().filter(|offer| !bought(offer));
    let sold: BTreeSet<_> =
        clearing.accepted.iter().filter_map(|accepted| book.group(&accepted.aggregate)).collect();
    let refused = others.map(|offer| {
        let left_out = round.left_out.get(&offer.id).copied();
        let (declined, asked_and_winning, against) = details.remove(&offer.id).unwrap_or_default();
        let reason = match clearing.objection {
            Some(_) => Refusal::NotCertified,
            None if book.group(&offer.id).is_some_and(|group| sold.contains(group)) => Refusal::GroupSold,
            None => left_out.unwrap_or_else(|| match book.lone.contains_key(&offer.id) {
                true => explain_lone(offer, &before, &after, declined),
                false => explain(offer, &before, &after, rules.gain_min),
            }),
        };
        Refused { aggregate: offer.id.clone(), reason, asked_and_winning, against }
    });
    let refused: Vec<Refused> = refused.collect();
    clearing.refused.extend(refused);
}

type Details = (Option<DeclineReason>, Option<(Money, Money)>, Option<(crate::bid::CongestionPoint, Slot)>);

/// What the prices say of the offers that were not taken.
fn declined(posed: &Posed<'_>, cleared: &PriceClearing) -> BTreeMap<AggregateId, Details> {
    let details = |declined: &crate::price_clearing::Declined| {
        let offer = posed.offers.get(declined.offer as usize)?;
        let choice = declined.reason != DeclineReason::NoChoice;
        let money = choice.then_some((Money(declined.asked), Money(declined.winning_ask)));
        let against = declined.against.and_then(|(limit, interval)| posed.place(limit, interval));
        Some((offer.id.clone(), (Some(declined.reason), money, against)))
    };
    cleared.declined.iter().filter_map(details).collect()
}

struct Round<'a> {
    market: Market<'a>,
    /// What could be bought.
    offers: Vec<&'a AggregatedFlexOffer>,
    zone_of: BTreeMap<&'a AggregateId, ZoneId>,
    /// Offers left out of the problem, and why.
    left_out: BTreeMap<AggregateId, Refusal>,
    /// What no clearing of the book gains more than.
    bound: Option<Worth>,
}

impl<'a> Round<'a> {
    /// A certified clearing without overload; `None` when there is nothing to clear, or the objection.
    fn clear(&mut self) -> Result<Option<Attempt<'a>>, String> {
        let Some((posed, mut penalty)) = self.pose()? else { return Ok(None) };
        let (market, mut growing) = (self.market, GROWING);
        let mut attempt = Attempt::anew(market, posed)?;
        self.bounded_by(&attempt);
        let mut dropped: Vec<(Money, Left<'a>)> = Vec::new();
        let steps = (WORK_MAX / self.offers.len().max(1)).clamp(LAST_ATTEMPTS, STEPS_MAX);
        for step in 0..steps + LAST_ATTEMPTS {
            while growing > 0 && attempt.above.is_empty() && !attempt.is_sound() && penalty < PENALTY_MAX {
                growing -= 1;
                penalty = penalty.saturating_mul(PENALTY_GROWTH).min(PENALTY_MAX);
                let Ok(posed) = attempt.posed.with_penalty(penalty) else { break };
                attempt = Attempt::anew(market, posed)?;
                self.bounded_by(&attempt);
            }
            growing = 0;
            // Nobody leaves what can be bought as it is.
            let (leaving, gains) = self.leaving(&attempt, step >= steps);
            if leaving.is_empty() {
                break;
            }
            let left;
            (attempt, left) = attempt.without(market, &leaving)?;
            dropped.extend(left.into_iter().filter_map(|left| Some((*gains.get(&left.offer.id)?, left))));
        }
        if !attempt.is_sound() {
            return Err("an element stays overloaded though what loads it was left out".to_owned());
        }
        self.with_more(attempt, dropped)?.oldest_first(market).map(Some)
    }

    /// The offers as a problem with its penalty; `None` when none of them can be posed. Where they are too much in all for exact sums
    /// the largest are left out until the others fit.
    fn pose(&mut self) -> Result<Option<(Posed<'a>, i64)>, String> {
        let mut offers = self.offers.clone();
        let mut too_many = 1;
        while !offers.is_empty() {
            let penalty = self.penalty();
            match self.market.pose(&offers, penalty) {
                Ok(posed) => {
                    let refused = posed.refused.iter().map(|offer| (offer.id.clone(), Refusal::Malformed));
                    self.left_out.extend(refused);
                    return Ok((!posed.offers.is_empty()).then_some((posed, penalty)));
                }
                Err(ProblemFault::TooMuchInAll { .. }) => {
                    let largest = offers.iter().map(|offer| largest_energy(offer)).max().unwrap_or(0);
                    let large = offers.iter().filter(|offer| largest_energy(offer) >= largest / 2);
                    let large = large.take(too_many).map(|offer| (offer.id.clone(), Refusal::Malformed));
                    self.left_out.extend(large);
                    offers.retain(|offer| !self.left_out.contains_key(&offer.id));
                    too_many *= 2;
                }
                Err(fault) => return Err(unposed(fault)),
            }
        }
        Ok(None)
    }

    /// What bounds the clearing of all offers bounds every clearing of them; one of fewer offers bounds nothing. A
    /// malformed offer cannot be bought in any.
    fn bounded_by(&mut self, attempt: &Attempt<'_>) {
        if self.left_out.values().all(|reason| *reason == Refusal::Malformed) {
            let bound = attempt.bound();
            self.bound = Some(self.bound.map_or(bound, |known| known.min(bound)));
        }
    }

    /// Who leaves a clearing that cannot be bought as it is, and what those gain who leave for others' sake: the one
    /// that gains least, or near the end all, since a clearing of fewer offers is better than none.
    fn leaving(
        &mut self,
        attempt: &Attempt<'_>,
        all: bool,
    ) -> (BTreeSet<AggregateId>, BTreeMap<AggregateId, Money>) {
        let mut leaving: BTreeSet<AggregateId> = attempt.above.iter().cloned().collect();
        self.left_out.extend(leaving.iter().map(|id| (id.clone(), Refusal::TooDear)));
        let loading = attempt.loading(&self.zone_of);
        let count = if all { loading.len() } else { 1 };
        let first = loading.into_iter().take(count).map(|one| (one.aggregate.clone(), one.gain));
        let gains: BTreeMap<AggregateId, Money> = first.collect();
        self.left_out.extend(gains.keys().map(|id| (id.clone(), Refusal::NoHeadRoom)));
        leaving.extend(gains.keys().cloned());
        (leaving, gains)
    }

    /// The same with offers that left for others' sake, as far as more is gained by it; and what a clearing from nothing
    /// makes of those that are in it in the end, if that is more.
    fn with_more(
        &mut self,
        mut best: Attempt<'a>,
        mut dropped: Vec<(Money, Left<'a>)>,
    ) -> Result<Attempt<'a>, String> {
        if self.left_out.values().all(|reason| *reason == Refusal::Malformed) {
            return Ok(best);
        }
        dropped.sort_by(|(a, left), (b, right)| (b, &right.offer.id).cmp(&(a, &left.offer.id)));
        for (_, left) in dropped.into_iter().take(READMITTED_MAX) {
            let with = best.clone().with(self.market, &left)?;
            if with.is_sound() && with.gained() > best.gained() {
                best = with;
                self.left_out.remove(&left.offer.id);
            }
        }
        let anew = Attempt::anew(self.market, best.posed.clone())?;
        Ok(if anew.is_sound() && anew.gained() > best.gained() { anew } else { best })
    }

    /// Well above what all bids on the way of an offer and the dearest offer are worth together.
    fn penalty(&self) -> i64 {
        let dearest = |bid: &DomsBid| bid.intervals.iter().map(|i| i.price.0).max().unwrap_or(0);
        let bids = self.market.need.bids.iter().map(dearest).fold(0_i64, i64::saturating_add);
        let offers = self.offers.iter().filter(|offer| !self.left_out.contains_key(&offer.id));
        let asks = offers.map(|offer| offer.prices.decrease.0.max(offer.prices.increase.0)).max();
        let use_of_grid = self.market.rules.transfer.per_kwh.values().map(|price| price.0).max();
        let asks = asks.unwrap_or(0).saturating_add(use_of_grid.unwrap_or(0));
        bids.saturating_add(asks).saturating_mul(4).clamp(1_000_000, PENALTY_MAX)
    }
}
