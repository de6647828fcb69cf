//! A book cleared and judged, and the next one after some of its offers left or came back.
//!
//! The first clearing of a book is made from nothing; those after it go on from its prices and schedules and let only
//! what is touched answer again. Each is judged by the certificate checker before anything is read from it.

use super::posed::{Left, Posed, Question};
use super::{Accepted, GridState, by_age};
use crate::aggregation::LoneTerms;
use crate::bid::{BidId, Carried, DomsBid, Need, ZoneId, Zones};
use crate::certificate;
use crate::contract::{AggregateId, AggregatedFlexOffer, cost};
use crate::flex_offer::Schedule;
use crate::price_clearing::{PriceClearing, ProblemFault, Session, Worth};
use crate::rules::Rules;
use crate::settlement::SlotPrice;
use grid::{EnergyMwh, Money, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// Offers that leave together are taken out one by one up to this many.
const LEAVING_MAX: usize = 16;

/// What every clearing of a round has in common.
#[derive(Clone, Copy)]
pub(super) struct Market<'a> {
    pub need: &'a Need,
    pub zones: &'a Zones,
    pub lone: &'a BTreeMap<AggregateId, LoneTerms>,
    pub rules: &'a Rules,
    /// First slot that can be bought.
    pub first: Slot,
}

/// A book cleared once, certified.
#[derive(Clone)]
pub(super) struct Attempt<'a> {
    pub posed: Posed<'a>,
    session: Session,
    pub cleared: PriceClearing,
    /// Purchases, by id.
    pub accepted: Vec<Accepted>,
    /// Row and interval of head-room that is exceeded.
    overloads: Vec<(usize, usize)>,
    /// Purchases that ask for more than the bids are worth them.
    pub above: Vec<AggregateId>,
}

impl<'a> Attempt<'a> {
    /// Clears what is posed from nothing.
    pub fn anew(market: Market<'a>, posed: Posed<'a>) -> Result<Self, String> {
        let session = Session::new(posed.problem.clone());
        let cleared = session.clearing();
        Self::judged(market, posed, session, cleared)
    }

    /// The same without some offers, and what left. Few are taken out one by one, for many the clearing begins anew.
    pub fn without(
        mut self,
        market: Market<'a>,
        ids: &BTreeSet<AggregateId>,
    ) -> Result<(Self, Vec<Left<'a>>), String> {
        let numbers = self.posed.numbers(ids);
        let left = self.posed.take(&numbers);
        if numbers.len() > LEAVING_MAX {
            return Ok((Self::anew(market, self.posed)?, left));
        }
        for &number in numbers.iter().rev() {
            self.cleared = self.session.remove_offer(number).map_err(unposed)?;
        }
        Ok((Self::judged(market, self.posed, self.session, self.cleared)?, left))
    }

    /// The same with an offer that left a clearing of the same round.
    pub fn with(mut self, market: Market<'a>, left: &Left<'a>) -> Result<Self, String> {
        self.posed.put_back(left).map_err(unposed)?;
        let (_, cleared) = self.session.insert_offer(&left.terms).map_err(unposed)?;
        Self::judged(market, self.posed, self.session, cleared)
    }

    /// The same with the older ones bought of offers that are alike in everything.
    pub fn oldest_first(mut self, market: Market<'a>) -> Result<Self, String> {
        let offers = &self.posed.offers;
        let rank = |number: u32| offers.get(number as usize).map(|offer| by_age(&offer.id));
        self.cleared.first_come_first_taken(&self.posed.problem, rank);
        Self::judged(market, self.posed, self.session, self.cleared)
    }

    fn judged(
        market: Market<'a>,
        posed: Posed<'a>,
        session: Session,
        cleared: PriceClearing,
    ) -> Result<Self, String> {
        certificate::verify(&posed.problem, &cleared)
            .map_err(|objection| format!("the certificate does not hold: {objection}"))?;
        let accepted = market.accepted(&posed, &cleared);
        let overloads = posed.overloads(&cleared);
        let above = accepted.iter().filter(|one| above_bids(one)).map(|one| one.aggregate.clone()).collect();
        Ok(Self { posed, session, cleared, accepted, overloads, above })
    }

    /// Whether all of it can be bought.
    pub fn is_sound(&self) -> bool {
        self.overloads.is_empty() && self.above.is_empty()
    }

    /// Welfare beyond that of buying nothing.
    pub fn gained(&self) -> Worth {
        self.posed.gained(self.cleared.welfare)
    }

    /// What no clearing of the offers posed gains more than.
    pub fn bound(&self) -> Worth {
        self.posed.gained(self.cleared.bound)
    }

    /// Purchases that load an exceeded element, the least gain for each mWh of it first.
    pub fn loading(&self, zone_of: &BTreeMap<&AggregateId, ZoneId>) -> Vec<&Accepted> {
        let mut loading: Vec<(&Accepted, i128)> = (self.accepted.iter())
            .filter_map(|one| Some((one, self.loads(one, *zone_of.get(&one.aggregate)?))))
            .filter(|(_, loads)| *loads > 0)
            .collect();
        loading.sort_by(|(a, over), (b, under)| {
            let (left, right) = (i128::from(a.gain.0) * under, i128::from(b.gain.0) * over);
            left.cmp(&right).then_with(|| a.aggregate.cmp(&b.aggregate))
        });
        loading.into_iter().map(|(one, _)| one).collect()
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

impl<'a> Market<'a> {
    /// A book with a price of overload as a problem.
    pub fn pose(&self, offers: &[&'a AggregatedFlexOffer], penalty: i64) -> Result<Posed<'a>, ProblemFault> {
        Posed::new(&Question {
            need: self.need,
            zones: self.zones,
            offers,
            lone: self.lone,
            first: self.first,
            pricing: self.rules.settlement.pricing,
            gain_min: self.rules.gain_min,
            transfer: &self.rules.transfer,
            penalty,
        })
    }

    /// The state of the grid before anything is bought.
    pub fn grid(&self, open: &[&AggregatedFlexOffer]) -> GridState {
        GridState::new(self.need, self.zones, self.first, open)
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
            let value = Money(Worth(with - without).micro_floor());
            let slot_prices = self.slot_prices(posed, cleared, offer, &deviation);
            accepted.push(Accepted {
                aggregate: offer.id.clone(),
                schedule,
                bids: self.served(offer, &deviation),
                deviation,
                cost: Money(asked),
                gain: Money(value.0.saturating_sub(asked)),
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
    ) -> impl Iterator<Item = (&'a DomsBid, i64, i64)> + use<'a> {
        let path: &'a [Carried] = self.zones.get(&offer.zone).map_or(&[], Vec::as_slice);
        self.need.bids.iter().filter_map(move |bid| {
            let carried = path.iter().find(|carried| carried.point == bid.congestion_point)?;
            let interval = bid.interval(slot)?;
            Some((bid, interval.schedule_change.0.signum(), carried.of(interval.price.0)))
        })
    }

    fn served(&self, offer: &AggregatedFlexOffer, deviation: &[(Slot, EnergyMwh)]) -> Vec<BidId> {
        let mut served = BTreeSet::new();
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

/// Why a book or an offer of it cannot be posed.
pub(super) fn unposed(fault: ProblemFault) -> String {
    format!("the book cannot be posed: {fault}")
}

/// Whether an offer asks for more than its relief is worth to the bids, in their own slots.
fn above_bids(accepted: &Accepted) -> bool {
    let pairs = accepted.deviation.iter().zip(&accepted.slot_prices);
    let worth: i128 = pairs.map(|((_, energy), price)| -i128::from(energy.0) * i128::from(price.bid.0)).sum();
    i128::from(accepted.cost.0) * 1_000_000 > worth
}
