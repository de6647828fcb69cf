//! One clearing of the open offers: pose, clear, judge, and say what is bought and why the rest is not.
//!
//! The engine prices overload; the market does not sell it. When a result overloads an element the penalty grows, and
//! when that does not help the offers that load it are left out, the one that gains least per overload first; those that can
//! be taken after all are taken back in at the end. An offer that asks for more than the bids are worth it is left out, too.
//! Each time the whole is cleared and judged again. The bound is that of all offers.

use super::posed::{Posed, Question};
use super::{Accepted, Book, Clearing, GridState, Refusal, Refused, explain, explain_lone};
use crate::aggregation::LoneTerms;
use crate::bid::{Need, ZoneId, Zones};
use crate::certificate;
use crate::contract::{AggregateId, AggregatedFlexOffer, cost};
use crate::flex_offer::Schedule;
use crate::price_clearing::{DeclineReason, PriceClearing, Worth, clear_by_prices};
use crate::rules::Rules;
use crate::settlement::SlotPrice;
use grid::{EnergyMwh, Money, Slot, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How often a clearing is made again before nothing is bought.
const ATTEMPTS_MAX: usize = 24;
/// The last attempts, in which every offer that loads an overloaded element is left out.
const LAST_ATTEMPTS: usize = 4;
/// Offers that were left out for others' sake and are tried again.
const READMITTED_MAX: usize = 4;
/// Attempts in which the penalty grows, by this factor.
const GROWING: usize = 2;
const PENALTY_GROWTH: i64 = 30;
/// Largest price of a problem, micro-units per kWh.
const PENALTY_MAX: i64 = 1_000_000_000_000;

/// What the journal keeps of a clearing in which something was bought, or that was not certified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// When; what it bought was formed at this instant.
    pub at: Timestamp,
    /// When the need that it served was issued.
    pub need_issued_at: Timestamp,
    /// Offers in the book.
    pub offers: u64,
    /// How many were bought.
    pub purchases: u64,
    /// Value of relief minus what accepted offers ask, micro-units.
    pub welfare: Money,
    /// What no clearing of this book exceeds, micro-units.
    pub bound: Money,
    /// What the certificate checker objected to; then nothing was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objection: Option<String>,
}

impl RoundRecord {
    /// The record of a clearing.
    pub fn new(book: &Book, clearing: &Clearing, at: Timestamp) -> Option<Self> {
        Some(Self {
            at,
            need_issued_at: book.need.as_ref()?.issued_at,
            offers: book.offers.len() as u64,
            purchases: clearing.accepted.len() as u64,
            welfare: clearing.welfare,
            bound: clearing.bound,
            objection: clearing.objection.clone(),
        })
    }
}

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
    let before = GridState::new(need, &book.zones, first, open);
    clearing.need_before = before.unmet();
    clearing.need_after = clearing.need_before;
    let (left_out, bound) = (BTreeMap::new(), None);
    let mut round = Round { need, zones: &book.zones, lone: &book.lone, rules, first, left_out, bound };
    let asked: Vec<&AggregatedFlexOffer> = open.iter().copied().filter(|offer| before.asks(offer)).collect();
    let mut details = BTreeMap::new();
    let mut after = before.clone();
    match round.clear(&asked) {
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
    need: &'a Need,
    zones: &'a Zones,
    lone: &'a BTreeMap<AggregateId, LoneTerms>,
    rules: &'a Rules,
    first: Slot,
    /// Offers left out of the problem, and why.
    left_out: BTreeMap<AggregateId, Refusal>,
    /// What no clearing of the book gains more than.
    bound: Option<Worth>,
}

/// A book cleared once, certified.
struct Attempt<'a> {
    posed: Posed<'a>,
    cleared: PriceClearing,
    accepted: Vec<Accepted>,
    /// Row and interval of head-room that is exceeded.
    overloads: Vec<(usize, usize)>,
    /// Purchases that ask for more than the bids are worth them.
    above: Vec<AggregateId>,
}

impl Attempt<'_> {
    fn is_sound(&self) -> bool {
        self.overloads.is_empty() && self.above.is_empty()
    }

    fn gained(&self) -> Worth {
        self.posed.gained(self.cleared.welfare)
    }

    /// Energy that a purchase moves through the exceeded elements, as far as they are exceeded, mWh; it is 0 for a
    /// purchase that does not load them.
    fn loads(&self, one: &Accepted, zone: ZoneId) -> i128 {
        let share = |&(row, interval): &(usize, usize)| {
            let slot = self.posed.slot(interval);
            let moved = one.deviation.iter().find(|(at, energy)| *at == slot && energy.0 > 0);
            let moved = moved.filter(|_| self.posed.carries(row, zone)).map_or(0, |(_, energy)| energy.0);
            i128::from(moved).min(self.posed.exceeded(&self.cleared, row, interval))
        };
        self.overloads.iter().map(share).sum()
    }
}

impl<'a> Round<'a> {
    /// A certified clearing without overload; `None` when there is nothing to clear, or the objection.
    fn clear(&mut self, offers: &[&'a AggregatedFlexOffer]) -> Result<Option<Attempt<'a>>, String> {
        let mut penalty = self.penalty(offers);
        let mut dropped = Vec::new();
        for number in 0..ATTEMPTS_MAX {
            let Some(attempt) = self.attempt(offers, penalty)? else {
                return self.with_more(offers, penalty, None, dropped);
            };
            // What bounds the clearing of all offers bounds every clearing of them; one of fewer offers bounds nothing.
            // A malformed offer cannot be bought in any.
            if self.left_out.values().all(|reason| *reason == Refusal::Malformed) {
                let bound = attempt.posed.gained(attempt.cleared.bound);
                self.bound = Some(self.bound.map_or(bound, |known| known.min(bound)));
            }
            if attempt.is_sound() {
                return self.with_more(offers, penalty, Some(attempt), dropped);
            }
            if attempt.above.is_empty() && number < GROWING && penalty < PENALTY_MAX {
                penalty = penalty.saturating_mul(PENALTY_GROWTH).min(PENALTY_MAX);
                continue;
            }
            self.left_out.extend(attempt.above.iter().map(|id| (id.clone(), Refusal::TooDear)));
            let zone = |one: &Accepted| offers.iter().find(|offer| offer.id == one.aggregate).map(|o| o.zone);
            let mut loading: Vec<(&Accepted, i128)> = (attempt.accepted.iter())
                .filter_map(|one| Some((one, attempt.loads(one, zone(one)?))))
                .filter(|(_, loads)| *loads > 0)
                .collect();
            // The least gain for each mWh of overload that goes with it.
            loading.sort_by(|(a, over), (b, under)| {
                let (left, right) = (i128::from(a.gain.0) * under, i128::from(b.gain.0) * over);
                left.cmp(&right).then_with(|| a.aggregate.cmp(&b.aggregate))
            });
            // Near the end all go: a clearing of fewer offers is better than none.
            let count = if number + LAST_ATTEMPTS < ATTEMPTS_MAX { 1 } else { loading.len() };
            for (one, _) in loading.into_iter().take(count) {
                self.left_out.insert(one.aggregate.clone(), Refusal::NoHeadRoom);
                dropped.push((one.gain, one.aggregate.clone()));
            }
        }
        Err(format!("after {ATTEMPTS_MAX} attempts an element is still overloaded"))
    }

    /// Clears and judges the offers that are not left out; `None` when there are none.
    fn attempt(
        &mut self,
        offers: &[&'a AggregatedFlexOffer],
        penalty: i64,
    ) -> Result<Option<Attempt<'a>>, String> {
        let kept: Vec<&'a AggregatedFlexOffer> =
            offers.iter().copied().filter(|offer| !self.left_out.contains_key(&offer.id)).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let question = Question {
            need: self.need,
            zones: self.zones,
            offers: &kept,
            lone: self.lone,
            first: self.first,
            pricing: self.rules.settlement.pricing,
            gain_min: self.rules.gain_min,
            penalty,
        };
        let posed = Posed::new(&question).map_err(|fault| format!("the book cannot be posed: {fault}"))?;
        for offer in &posed.refused {
            self.left_out.insert(offer.id.clone(), Refusal::Malformed);
        }
        let cleared = clear_by_prices(&posed.problem);
        certificate::verify(&posed.problem, &cleared)
            .map_err(|objection| format!("the certificate does not hold: {objection}"))?;
        let accepted = self.accepted(&posed, &cleared);
        let overloads = posed.overloads(&cleared);
        let above = accepted.iter().filter(|one| above_bids(one)).map(name).collect();
        Ok(Some(Attempt { posed, cleared, accepted, overloads, above }))
    }

    /// The same with offers that were left out for others' sake, as far as more is gained by it.
    fn with_more(
        &mut self,
        offers: &[&'a AggregatedFlexOffer],
        penalty: i64,
        mut best: Option<Attempt<'a>>,
        mut dropped: Vec<(Money, AggregateId)>,
    ) -> Result<Option<Attempt<'a>>, String> {
        let gained = |best: &Option<Attempt<'_>>| best.as_ref().map_or(Worth::default(), Attempt::gained);
        dropped.sort_by(|a, b| b.cmp(a));
        for (_, id) in dropped.into_iter().take(READMITTED_MAX) {
            self.left_out.remove(&id);
            match self.attempt(offers, penalty)? {
                Some(attempt) if attempt.is_sound() && attempt.gained() > gained(&best) => {
                    best = Some(attempt)
                }
                _ => _ = self.left_out.insert(id, Refusal::NoHeadRoom),
            }
        }
        Ok(best)
    }

    /// Well above what all bids on the way of an offer and the dearest offer are worth together.
    fn penalty(&self, offers: &[&AggregatedFlexOffer]) -> i64 {
        let dearest = |bid: &crate::bid::DomsBid| bid.intervals.iter().map(|i| i.price.0).max().unwrap_or(0);
        let bids = self.need.bids.iter().map(dearest).fold(0_i64, i64::saturating_add);
        let asks = offers.iter().map(|offer| offer.prices.decrease.0.max(offer.prices.increase.0)).max();
        bids.saturating_add(asks.unwrap_or(0)).saturating_mul(4).clamp(1_000_000, PENALTY_MAX)
    }

    /// The purchases of a clearing, by id.
    fn accepted(&self, posed: &Posed<'_>, cleared: &PriceClearing) -> Vec<Accepted> {
        let t = posed.problem.intervals();
        let mut at_node = vec![0_i128; posed.problem.nodes() * t];
        let mut bought = Vec::new();
        for plan in &cleared.plans {
            let Some(&offer) = posed.offers.get(plan.offer as usize) else { continue };
            let energies = plan.energies.iter().copied().map(EnergyMwh).collect();
            let schedule = Schedule { start: posed.slot(usize::from(plan.start)), energies };
            let deviation = offer.deviation(&schedule);
            let Some(node) = posed.node(offer.zone) else { continue };
            let moved: Vec<(usize, i128)> = (deviation.iter())
                .filter_map(|(slot, energy)| Some((posed.interval(*slot)?, i128::from(energy.0))))
                .collect();
            moved.iter().for_each(|&(interval, energy)| at_node[node as usize * t + interval] += energy);
            bought.push((offer, schedule, deviation, node, moved));
        }
        let mut accepted = Vec::new();
        for (offer, schedule, deviation, node, moved) in bought {
            let intervals: Vec<usize> = moved.iter().map(|&(interval, _)| interval).collect();
            let with = posed.value(node, &intervals, &at_node);
            let at = |interval: usize| node as usize * t + interval;
            moved.iter().for_each(|&(interval, energy)| at_node[at(interval)] -= energy);
            let without = posed.value(node, &intervals, &at_node);
            moved.iter().for_each(|&(interval, energy)| at_node[at(interval)] += energy);
            let beside = self.lone.get(&offer.id).map(|lone| lone.beside(&offer.default_schedule, &schedule));
            let asked = cost(&deviation, &offer.prices).0.saturating_add(beside.unwrap_or_default().0);
            let asked = Money(asked);
            let value = Money(Worth(with - without).micro_floor());
            let slot_prices = self.slot_prices(posed, cleared, offer, &deviation);
            accepted.push(Accepted {
                aggregate: offer.id.clone(),
                schedule,
                bids: self.served(offer, &deviation),
                deviation,
                cost: asked,
                gain: Money(value.0.saturating_sub(asked.0)),
                slot_prices,
            });
        }
        accepted.sort_by(|a, b| a.aggregate.cmp(&b.aggregate));
        accepted
    }

    /// Bids on the way of an offer, with the direction they ask for in a slot and what they pay for a kWh of the offer.
    fn asked(
        &self,
        offer: &AggregatedFlexOffer,
        slot: Slot,
    ) -> impl Iterator<Item = (&'a crate::bid::DomsBid, i64, i64)> {
        let path: &[crate::bid::Carried] = self.zones.get(&offer.zone).map_or(&[], Vec::as_slice);
        self.need.bids.iter().filter_map(move |bid| {
            let carried = path.iter().find(|carried| carried.point == bid.congestion_point)?;
            let interval = bid.interval(slot)?;
            Some((bid, interval.schedule_change.0.signum(), carried.of(interval.price.0)))
        })
    }

    fn served(&self, offer: &AggregatedFlexOffer, deviation: &[(Slot, EnergyMwh)]) -> Vec<crate::bid::BidId> {
        let mut served = std::collections::BTreeSet::new();
        for (slot, energy) in deviation {
            let along = self.asked(offer, *slot).filter(|(_, sign, _)| *sign == energy.0.signum());
            served.extend(along.map(|(bid, ..)| bid.id.clone()));
        }
        served.into_iter().collect()
    }

    fn slot_prices(
        &self,
        posed: &Posed<'_>,
        cleared: &PriceClearing,
        offer: &AggregatedFlexOffer,
        deviation: &[(Slot, EnergyMwh)],
    ) -> Vec<SlotPrice> {
        let price = |&(slot, _): &(Slot, EnergyMwh)| SlotPrice {
            slot,
            nodal: posed.nodal_price(cleared, offer.zone, slot),
            bid: Money(self.asked(offer, slot).fold(0, |sum, (_, sign, price)| sum - sign * price)),
        };
        deviation.iter().map(price).collect()
    }
}

fn name(accepted: &Accepted) -> AggregateId {
    accepted.aggregate.clone()
}

/// Whether an offer asks for more than its relief is worth to the bids, in their own slots.
fn above_bids(accepted: &Accepted) -> bool {
    let pairs = accepted.deviation.iter().zip(&accepted.slot_prices);
    let worth: i128 = pairs.map(|((_, energy), price)| -i128::from(energy.0) * i128::from(price.bid.0)).sum();
    i128::from(accepted.cost.0) * 1_000_000 > worth
}
