//! A book as a clearing problem, and the way back.
//!
//! Only zones with offers become nodes. Elements that the same zones load are one row with the least head-room of
//! them, slot by slot: the others can never bind. A wish for more consumption of d mWh at a price is a row with a
//! head-room of −d for the negated deviation and that price as its penalty, which is the same up to a constant. So is a bid
//! for less where zones load the element with a part of their energy only (a phase of a line to three-phase connections).

use super::{PriceOf, RowPrice};
use crate::aggregation::{ExclusiveGroup, LoneTerms};
use crate::bid::{Carried, CongestionPoint, Need, WHOLE_SHARE, ZoneId, Zones};
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::Acceptance;
use crate::price_clearing::{
    ActivationOption, ClearingProblem, GridRow, Limit, NeedBid, OfferTerms, PriceClearing, Pricing,
    ProblemFault, Worth, freeze_offer,
};
use crate::transfer_price::TransferPrices;
use grid::{EnergyMwh, Money, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// One, in millionths.
const WHOLE: i64 = WHOLE_SHARE;
/// Largest energy of a problem, mWh.
const ENERGY_MAX: i64 = 1_000_000_000_000;

/// Nodes behind an element, each with the share of its energy that flows through it.
type Behind = BTreeMap<CongestionPoint, Vec<(u32, i64)>>;

/// What a limit of the problem stands for.
#[derive(Debug, Clone)]
enum Meaning {
    /// A bid for less, or a row for more consumption, at this element.
    Asked(CongestionPoint),
    /// Head-room; per interval the element that has least.
    HeadRoom(Vec<Option<CongestionPoint>>),
}

/// A clearing problem that knows what its numbers mean.
#[derive(Clone)]
pub(super) struct Posed<'a> {
    pub problem: ClearingProblem,
    /// The offers of the problem, by their numbers.
    pub offers: Vec<&'a AggregatedFlexOffer>,
    /// Offers that the problem refused.
    pub refused: Vec<&'a AggregatedFlexOffer>,
    /// Slot of interval 0.
    begin: Slot,
    nodes: BTreeMap<ZoneId, u32>,
    bids: Vec<Meaning>,
    rows: Vec<Meaning>,
    /// Welfare when nothing is bought: what the wishes for more consumption cost as rows.
    pub rest: i128,
}

/// An offer that left a problem, and what it was posed as.
#[derive(Clone)]
pub(super) struct Left<'a> {
    pub offer: &'a AggregatedFlexOffer,
    pub terms: OfferTerms,
}

/// What is given to be posed.
pub(super) struct Question<'q, 'a> {
    pub need: &'q Need,
    pub zones: &'q Zones,
    pub offers: &'q [&'a AggregatedFlexOffer],
    pub lone: &'q BTreeMap<AggregateId, LoneTerms>,
    /// First slot that can be bought.
    pub first: Slot,
    pub pricing: Pricing,
    /// Asked once by every offer that leaves its default.
    pub gain_min: Money,
    /// Counted on top of what offers ask for taking more.
    pub transfer: &'q TransferPrices,
    /// Price of overload, micro-units per kWh.
    pub penalty: i64,
}

impl Question<'_, '_> {
    /// The dearest of the slots in which an offer may take more than by default.
    fn transfer_of(&self, offer: &AggregatedFlexOffer) -> Money {
        let end = offer.start_before.plus(offer.slices.len() as i64);
        self.transfer.dearest(self.zones, offer.zone, offer.start_after.max(self.first), end)
    }
}

/// The intervals of a problem.
struct Horizon {
    begin: Slot,
    intervals: usize,
    gate: usize,
    /// More than all offers of a zone could use in a slot, mWh, by the zone's node.
    plenty: Vec<i64>,
}

impl Horizon {
    fn of(question: &Question<'_, '_>) -> Self {
        let begins = question.offers.iter().map(|offer| offer.default_schedule.start);
        let begin = begins.chain([question.first]).min().unwrap_or(question.first);
        let ends = question.offers.iter().map(|offer| {
            (offer.start_before.0 + offer.slices.len() as i64).max(offer.default_schedule.end().0)
        });
        let end = ends.chain([question.first.0 + 1]).max().unwrap_or(begin.0 + 1);
        let mut plenty: BTreeMap<ZoneId, i64> = BTreeMap::new();
        for offer in question.offers {
            let sum = plenty.entry(offer.zone).or_insert(1);
            *sum = sum.saturating_add(largest_energy(offer).saturating_mul(4));
        }
        Self {
            begin,
            intervals: usize::try_from(end - begin.0).unwrap_or(1),
            gate: usize::try_from(question.first.0 - begin.0).unwrap_or(0),
            plenty: plenty.into_values().collect(),
        }
    }

    /// More than all offers at some nodes could use, mWh.
    fn plenty(&self, nodes: &[(u32, i64)]) -> i64 {
        let at = |&(node, _): &(u32, i64)| self.plenty.get(node as usize).copied().unwrap_or(0);
        nodes.iter().map(at).fold(1_i64, i64::saturating_add).min(100 * ENERGY_MAX)
    }

    /// The open intervals with their slots.
    fn open(&self) -> impl Iterator<Item = (usize, Slot)> + use<> {
        let begin = self.begin;
        (self.gate..self.intervals).map(move |interval| (interval, begin.plus(interval as i64)))
    }
}

/// The largest energy of an offer in a slot, mWh, a magnitude.
pub(super) fn largest_energy(offer: &AggregatedFlexOffer) -> i64 {
    let slices =
        offer.slices.iter().map(|slice| slice.min.0.saturating_abs().max(slice.max.0.saturating_abs()));
    slices.max().unwrap_or(0)
}

/// Makes an offer keep to what it says beyond a sum of offers; `group` is the number of its exclusive group or 0.
fn keep_to(lone: &LoneTerms, group: u32, terms: &mut OfferTerms) {
    terms.group = group;
    terms.activation = terms.activation.saturating_add(lone.cost.activation.0);
    terms.per_interval_shifted = lone.cost.per_slot_shifted.0;
    terms.running = lone.running.map(|running| (running.min.0, running.max.0));
    match &lone.acceptance {
        Acceptance::Any => {}
        Acceptance::AtLeast { energy } => terms.least = energy.0,
        Acceptance::Block { deviation, factor_min_ppm } => {
            let deviation = deviation.iter().map(|energy| energy.0).collect();
            terms.option = Some(ActivationOption { deviation, factor_min: *factor_min_ppm });
        }
    }
}

impl<'a> Posed<'a> {
    /// Poses a question; need and offers are checked, and no offer reaches further ahead than a clearing does.
    pub fn new(question: &Question<'_, 'a>) -> Result<Self, ProblemFault> {
        let horizon = Horizon::of(question);
        let zones: BTreeSet<ZoneId> = question.offers.iter().map(|offer| offer.zone).collect();
        let nodes: BTreeMap<ZoneId, u32> = zones.into_iter().zip(0..).collect();
        let problem = ClearingProblem::new(horizon.intervals, nodes.len(), question.pricing)?;
        let mut behind = Behind::new();
        for (zone, &node) in &nodes {
            let path: BTreeSet<Carried> = question.zones.get(zone).into_iter().flatten().copied().collect();
            path.into_iter().for_each(|on| behind.entry(on.point).or_default().push((node, on.share)));
        }
        let (offers, refused) = (Vec::new(), Vec::new());
        let (bids, rows) = (Vec::new(), Vec::new());
        let mut posed = Self { problem, offers, refused, begin: horizon.begin, nodes, bids, rows, rest: 0 };
        posed.ask(question.need, &behind, &horizon)?;
        posed.limit(question, &behind, &horizon)?;
        let mut groups: BTreeMap<&ExclusiveGroup, u32> = BTreeMap::new();
        for &offer in question.offers {
            let mut terms = posed.terms(offer, question.gain_min, &horizon);
            terms.price_up = terms.price_up.saturating_add(question.transfer_of(offer).0);
            if let Some(lone) = question.lone.get(&offer.id) {
                let next = groups.len() as u32 + 1;
                let group = lone.group.as_ref().map_or(0, |group| *groups.entry(group).or_insert(next));
                keep_to(lone, group, &mut terms);
            }
            match posed.add(&terms, &horizon) {
                Ok(()) => posed.offers.push(offer),
                Err(_) => posed.refused.push(offer),
            }
        }
        posed.problem.check_size()?;
        Ok(posed)
    }

    /// The same with another price of overload; refused when its sums would not fit.
    pub fn with_penalty(&self, penalty: i64) -> Result<Self, ProblemFault> {
        let mut posed = self.clone();
        for (number, meaning) in self.rows.iter().enumerate() {
            if matches!(meaning, Meaning::HeadRoom(_)) {
                posed.problem.set_penalty(number, penalty)?;
            }
        }
        posed.problem.check_size()?;
        Ok(posed)
    }

    /// The numbers of some offers, ascending.
    pub fn numbers(&self, ids: &BTreeSet<AggregateId>) -> Vec<usize> {
        (0..self.offers.len()).filter(|&number| ids.contains(&self.offers[number].id)).collect()
    }

    /// Takes offers out, by their ascending numbers; those that stay keep their order and move down.
    pub fn take(&mut self, numbers: &[usize]) -> Vec<Left<'a>> {
        let mut gone = vec![false; self.offers.len()];
        numbers.iter().for_each(|&number| gone[number] = true);
        let left = numbers
            .iter()
            .map(|&number| Left { offer: self.offers[number], terms: self.problem.offer(number).terms() });
        let left = left.collect();
        self.problem.remove_offers(&gone);
        let mut stays = gone.into_iter().map(|gone| !gone);
        self.offers.retain(|_| stays.next().unwrap_or(true));
        left
    }

    /// Puts an offer back in, as the last one.
    pub fn put_back(&mut self, left: &Left<'a>) -> Result<(), ProblemFault> {
        self.problem.add_offer(&left.terms)?;
        self.offers.push(left.offer);
        Ok(())
    }

    fn ask(&mut self, need: &Need, behind: &Behind, horizon: &Horizon) -> Result<(), ProblemFault> {
        for bid in &need.bids {
            let Some(nodes) = behind.get(&bid.congestion_point) else { continue };
            let (mut asked, mut price) = (vec![0; horizon.intervals], vec![0; horizon.intervals]);
            let mut wished: BTreeMap<i64, Vec<(usize, i64)>> = BTreeMap::new();
            for (interval, slot) in horizon.open() {
                let Some(wanted) = bid.interval(slot) else { continue };
                let change = wanted.schedule_change.0.clamp(-ENERGY_MAX, ENERGY_MAX);
                if change < 0 {
                    (asked[interval], price[interval]) = (-change, wanted.price.0);
                } else if change > 0 {
                    wished.entry(wanted.price.0).or_default().push((interval, change));
                }
            }
            let mut wants: Vec<(i64, i64, Vec<(usize, i64)>)> =
                wished.into_iter().map(|(price, wishes)| (-1, price, wishes)).collect();
            if nodes.iter().all(|(_, share)| *share == WHOLE) {
                if asked.iter().any(|&energy| energy > 0) {
                    let nodes = nodes.iter().map(|(node, _)| *node).collect();
                    self.problem.add_bid(NeedBid { nodes, asked, price, more: false })?;
                    self.bids.push(Meaning::Asked(bid.congestion_point));
                }
            } else {
                // A bid counts all of a node's energy. Where a part counts, what is lacking is an overload at that price.
                let mut lacking: BTreeMap<i64, Vec<(usize, i64)>> = BTreeMap::new();
                for (interval, change) in asked.into_iter().enumerate().filter(|(_, energy)| *energy > 0) {
                    lacking.entry(price[interval]).or_default().push((interval, change));
                }
                wants.extend(lacking.into_iter().map(|(price, lacks)| (1, price, lacks)));
            }
            for (sign, penalty, changes) in wants {
                let mut headroom = vec![horizon.plenty(nodes); horizon.intervals];
                for (interval, change) in changes {
                    headroom[interval] = -change;
                    self.rest -= i128::from(change) * i128::from(penalty) * i128::from(WHOLE);
                }
                let sensitivities = nodes.iter().map(|&(node, share)| (node, sign * share)).collect();
                self.problem.add_row(GridRow { headroom, penalty, sensitivities })?;
                self.rows.push(Meaning::Asked(bid.congestion_point));
            }
        }
        Ok(())
    }

    fn limit(
        &mut self,
        question: &Question<'_, '_>,
        behind: &Behind,
        horizon: &Horizon,
    ) -> Result<(), ProblemFault> {
        let mut known: BTreeMap<(CongestionPoint, Slot), i64> = BTreeMap::new();
        for row in &question.need.rows {
            known.insert((row.congestion_point, row.slot), row.headroom.0.max(0));
        }
        type Least = Vec<(i64, Option<CongestionPoint>)>;
        let mut alike: BTreeMap<&[(u32, i64)], Least> = BTreeMap::new();
        for (&point, nodes) in behind {
            let least =
                alike.entry(nodes).or_insert_with(|| vec![(horizon.plenty(nodes), None); horizon.intervals]);
            for (interval, slot) in horizon.open() {
                let headroom = known.get(&(point, slot)).copied().unwrap_or(0);
                if headroom < least[interval].0 {
                    least[interval] = (headroom, Some(point));
                }
            }
        }
        for (nodes, least) in alike {
            let (headroom, points): (Vec<i64>, Vec<_>) = least.into_iter().unzip();
            let sensitivities = nodes.to_vec();
            self.problem.add_row(GridRow { headroom, penalty: question.penalty, sensitivities })?;
            self.rows.push(Meaning::HeadRoom(points));
        }
        Ok(())
    }

    /// What an offer may do and asks, as a sum of offers.
    fn terms(&self, offer: &AggregatedFlexOffer, gain_min: Money, horizon: &Horizon) -> OfferTerms {
        let interval = |slot: Slot| (slot.0 - horizon.begin.0).clamp(0, i64::from(u16::MAX)) as u16;
        let energies = |energies: &[EnergyMwh]| energies.iter().map(|energy| energy.0).collect::<Vec<_>>();
        let lower: Vec<i64> = offer.slices.iter().map(|slice| slice.min.0).collect();
        let upper: Vec<i64> = offer.slices.iter().map(|slice| slice.max.0).collect();
        let total = |bound: &dyn Fn(crate::flex_offer::EnergyBounds) -> EnergyMwh, sum: &[i64]| {
            let widest = sum.iter().fold(0_i64, |sum, energy| sum.saturating_add(*energy));
            offer.total_energy.map_or(widest, |total| bound(total).0)
        };
        OfferTerms {
            node: self.nodes.get(&offer.zone).copied().unwrap_or(u32::MAX),
            start_default: interval(offer.default_schedule.start),
            start_first: interval(offer.start_after),
            start_last: interval(offer.start_before),
            default: energies(&offer.default_schedule.energies),
            total_lower: total(&|total| total.min, &lower),
            total_upper: total(&|total| total.max, &upper),
            lower,
            upper,
            option: None,
            activation: (gain_min.0 - 1).max(0), // a gain of just as much is taken
            per_interval_shifted: 0,
            price_up: offer.prices.increase.0,
            price_down: offer.prices.decrease.0,
            ..OfferTerms::default()
        }
    }

    fn add(&mut self, terms: &OfferTerms, horizon: &Horizon) -> Result<(), ProblemFault> {
        let number = self.problem.add_offer(terms)?;
        let frozen = freeze_offer(&mut self.problem, number, terms, horizon.gate as u16, None);
        if frozen.is_err() {
            self.problem.withdraw_last();
        }
        frozen
    }

    /// The slot of an interval.
    pub fn slot(&self, interval: usize) -> Slot {
        self.begin.plus(interval as i64)
    }

    /// Where and when a limit binds.
    pub fn place(&self, limit: Limit, interval: u16) -> Option<(CongestionPoint, Slot)> {
        let meaning = match limit {
            Limit::Bid(number) => self.bids.get(number as usize),
            Limit::Row(number) => self.rows.get(number as usize),
        };
        let point = match meaning? {
            Meaning::Asked(point) => Some(*point),
            Meaning::HeadRoom(points) => points.get(usize::from(interval)).copied().flatten(),
        };
        point.map(|point| (point, self.slot(usize::from(interval))))
    }

    /// The prices that are not 0, by element, slot and kind.
    pub fn prices(&self, cleared: &PriceClearing) -> Vec<RowPrice> {
        let t = self.problem.intervals();
        let limits = (0..self.bids.len() as u32).map(Limit::Bid);
        let limits = limits.chain((0..self.rows.len() as u32).map(Limit::Row));
        let all = cleared.prices.bid.iter().chain(&cleared.prices.row);
        let mut prices = Vec::new();
        for ((limit, interval), &price) in limits
            .flat_map(|limit| (0..t).map(move |interval| (limit, interval)))
            .zip(all)
            .filter(|(_, price)| **price != 0)
        {
            prices.extend(self.row_price(limit, interval as u16, price, None));
        }
        for lump in &cleared.prices.lumps {
            prices.extend(self.row_price(lump.limit, lump.interval, lump.price, Some(PriceOf::Lump)));
        }
        prices.sort();
        prices
    }

    fn row_price(&self, limit: Limit, interval: u16, price: i64, of: Option<PriceOf>) -> Option<RowPrice> {
        let asked = match limit {
            Limit::Bid(_) => true,
            Limit::Row(number) => matches!(self.rows.get(number as usize), Some(Meaning::Asked(_))),
        };
        let of = of.unwrap_or(if asked { PriceOf::Bid } else { PriceOf::Headroom });
        let (congestion_point, slot) = self.place(limit, interval)?;
        Some(RowPrice { congestion_point, slot, of, price: Money(price) })
    }

    /// Head-room that is exceeded: row and interval.
    pub fn overloads(&self, cleared: &PriceClearing) -> Vec<(usize, usize)> {
        let t = self.problem.intervals();
        let mut found = Vec::new();
        for (number, meaning) in self.rows.iter().enumerate() {
            if matches!(meaning, Meaning::HeadRoom(_)) {
                let exceeded = (0..t).filter(|&interval| self.exceeded(cleared, number, interval) > 0);
                found.extend(exceeded.map(|interval| (number, interval)));
            }
        }
        found
    }

    /// By how much a row is exceeded in an interval, mWh rounded up.
    pub fn exceeded(&self, cleared: &PriceClearing, row: usize, interval: usize) -> i128 {
        let used =
            cleared.row_use.get(row * self.problem.intervals() + interval).copied().unwrap_or_default();
        i128::from(cleared.overload(self.problem.rows()[row].headroom[interval], used))
    }

    /// Whether a row carries the energy of a zone.
    pub fn carries(&self, row: usize, zone: ZoneId) -> bool {
        let node = self.nodes.get(&zone);
        self.problem.rows()[row].sensitivities.iter().any(|(of, _)| Some(of) == node)
    }

    /// The nodal price of a zone in a slot, micro-units per kWh, rounded down.
    pub fn nodal_price(&self, cleared: &PriceClearing, zone: ZoneId, slot: Slot) -> Money {
        let t = self.problem.intervals();
        let (Some(&node), Ok(interval)) = (self.nodes.get(&zone), usize::try_from(slot.0 - self.begin.0))
        else {
            return Money::ZERO;
        };
        let mut sum = 0_i128;
        for (number, bid) in self.problem.bids().iter().enumerate() {
            if bid.nodes.contains(&node) {
                sum += i128::from(cleared.prices.bid[number * t + interval]) * i128::from(WHOLE);
            }
        }
        for (number, row) in self.problem.rows().iter().enumerate() {
            let factor =
                row.sensitivities.iter().find(|(of, _)| *of == node).map_or(0, |(_, factor)| *factor);
            sum += i128::from(cleared.prices.row[number * t + interval]) * i128::from(factor);
        }
        Money(i64::try_from(sum.div_euclid(i128::from(WHOLE))).unwrap_or(i64::MAX))
    }

    /// Welfare without what the problem itself costs when nothing is bought.
    pub fn gained(&self, welfare: Worth) -> Worth {
        Worth(welfare.0 - self.rest)
    }

    /// Value of all bids and rows for energies per node and interval (`at_node[node * intervals + interval]`, mWh) in
    /// some intervals and the limits of one node, in the units of `Worth`.
    pub fn value(&self, node: u32, intervals: &[usize], at_node: &[i128]) -> i128 {
        let t = self.problem.intervals();
        let taken = |node: u32, interval: usize| at_node[node as usize * t + interval];
        let mut sum = 0;
        for bid in self.problem.bids().iter().filter(|bid| bid.nodes.contains(&node)) {
            for &interval in intervals.iter().filter(|&&interval| bid.asked[interval] > 0) {
                let relief: i128 = bid.nodes.iter().map(|&node| -taken(node, interval)).sum();
                let worth = relief.min(i128::from(bid.asked[interval])) * i128::from(bid.price[interval]);
                sum += worth * i128::from(WHOLE);
            }
        }
        for row in
            self.problem.rows().iter().filter(|row| row.sensitivities.iter().any(|(of, _)| *of == node))
        {
            for &interval in intervals {
                let parts = row.sensitivities.iter();
                let used: i128 =
                    parts.map(|&(node, factor)| i128::from(factor) * taken(node, interval)).sum();
                let over = used - i128::from(row.headroom[interval]) * i128::from(WHOLE);
                sum -= over.max(0) * i128::from(row.penalty);
            }
        }
        sum
    }

    /// The node of a zone.
    pub fn node(&self, zone: ZoneId) -> Option<u32> {
        self.nodes.get(&zone).copied()
    }

    /// The interval of a slot.
    pub fn interval(&self, slot: Slot) -> Option<usize> {
        usize::try_from(slot.0 - self.begin.0).ok().filter(|interval| *interval < self.problem.intervals())
    }
}
