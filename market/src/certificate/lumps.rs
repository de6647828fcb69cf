//! The lump prices of a clearing: whether they are allowed, what they are worth by themselves, and what each is at a node.

use super::offer_gain::{Lump, References};
use super::{MILLION, Objection, UNIT_MAX};
use crate::price_clearing::{ClearingProblem, Limit, OfferView, PriceClearing};

/// A whole offer counts from at most so many times the largest energy it names.
const REFERENCE_MAX: u64 = 4;
/// Largest lump price, micro-units per kWh: no penalty is larger.
const PRICE_MAX: i64 = 1_000_000_000_000;

/// The lump prices with what their references leave.
pub(super) struct Lumps {
    /// In the order of the clearing, for a node of sensitivity 1.
    pub all: Vec<Lump>,
    /// Per offer: from where it counts.
    pub of_offers: Vec<References>,
    /// What no offer has to answer for, 10⁻¹⁸ of the currency.
    pub worth: i128,
}

impl Lumps {
    /// Reads them; objects to those that are not allowed. Whether they keep to the penalties is not looked at here.
    pub fn read(problem: &ClearingProblem, clearing: &PriceClearing) -> Result<Self, Objection> {
        let none = |offer| References { whole: as_a_whole(&problem.offer(offer)), at: Vec::new() };
        let of_offers = (0..problem.offers()).map(none).collect();
        let mut lumps = Self { all: Vec::new(), of_offers, worth: 0 };
        let mut before = None;
        for (number, said) in clearing.prices.lumps.iter().enumerate() {
            let object = |what: &'static str| Err(Objection::Lump { number, what });
            let place = Some((said.interval, said.limit));
            if std::mem::replace(&mut before, place) > place {
                return object("out of order");
            }
            let Some(headroom) = headroom(problem, said.limit, said.interval.into()) else {
                return object("of an unknown limit or interval");
            };
            if !(1..=PRICE_MAX).contains(&said.price) || !(0..=UNIT_MAX).contains(&said.unit) {
                return object("its price or unit is not allowed");
            }
            let mut lump = Lump {
                number,
                limit: said.limit,
                factor: MILLION,
                price: said.price,
                left: headroom,
                unit: said.unit.into(),
            };
            let mut last = None;
            for &(offer, energy) in &said.from {
                if offer as usize >= problem.offers() || last.is_some_and(|last| last >= offer) {
                    return object("an offer it counts from is unknown, named twice or out of order");
                }
                last = Some(offer);
                let view = problem.offer(offer as usize);
                if !may_count_from(&view, said.interval.into(), energy) {
                    return object("an offer counts from what it may not");
                }
                lump.left -= factor(problem, view.node(), said.limit) * i128::from(energy);
                lumps.of_offers[offer as usize].at.push((number, energy.into()));
            }
            let mut free = lump.free();
            for &(offer, energy) in &said.from {
                let view = problem.offer(offer as usize);
                let rest = -factor(problem, view.node(), said.limit) * i128::from(energy);
                free -= if as_a_whole(&view) { lump.counted(rest) } else { rest.min(0) };
            }
            let worth = i128::from(said.price).checked_mul(free);
            let Some(worth) = worth.and_then(|worth| worth.checked_add(lumps.worth)) else {
                return object("it is worth more than can be");
            };
            lumps.worth = worth;
            lumps.all.push(lump);
        }
        Ok(lumps)
    }

    /// Sum of the prices of one limit in one interval.
    pub fn price(&self, problem: &ClearingProblem, clearing: &PriceClearing) -> Vec<i128> {
        let t = problem.intervals();
        let mut sums = vec![0; (problem.bids().len() + problem.rows().len()) * t];
        for said in &clearing.prices.lumps {
            let number = match said.limit {
                Limit::Bid(bid) => bid as usize,
                Limit::Row(row) => problem.bids().len() + row as usize,
            };
            sums[number * t + usize::from(said.interval)] += i128::from(said.price);
        }
        sums
    }
}

/// Whether uses of the offer are rounded, because it has no part of a schedule.
fn as_a_whole(view: &OfferView<'_>) -> bool {
    match view.option {
        Some(_) => i128::from(view.parts().factor_min) == MILLION,
        None => view.lower == view.upper,
    }
}

/// A whole offer may count from anything, a divisible amount from its ends.
fn may_count_from(view: &OfferView<'_>, interval: usize, energy: i64) -> bool {
    if as_a_whole(view) {
        let named = view.default.iter().chain(view.lower).chain(view.option.unwrap_or_default());
        let largest = named.map(|energy| energy.unsigned_abs()).max().unwrap_or(0);
        return energy.unsigned_abs() <= largest.saturating_mul(REFERENCE_MAX);
    }
    let terms = view.parts();
    let fixed_start = terms.start_first == terms.start_default && terms.start_last == terms.start_default;
    let slice = interval.checked_sub(terms.start_default.into()).filter(|&slice| slice < view.default.len());
    let Some(slice) = slice.filter(|_| fixed_start && view.option.is_none()) else { return false };
    let default = view.default[slice];
    let (least, most) = (view.lower[slice] - default, view.upper[slice] - default);
    (least <= 0 && energy == least) || (most >= 0 && energy == most)
}

/// Head-room of a limit, millionths of a mWh.
fn headroom(problem: &ClearingProblem, limit: Limit, interval: usize) -> Option<i128> {
    let energy = match limit {
        Limit::Bid(bid) => -problem.bids().get(bid as usize)?.asked.get(interval)?,
        Limit::Row(row) => *problem.rows().get(row as usize)?.headroom.get(interval)?,
    };
    Some(i128::from(energy) * MILLION)
}

/// Sensitivity of a limit to a node, millionths.
pub(super) fn factor(problem: &ClearingProblem, node: u32, limit: Limit) -> i128 {
    match limit {
        Limit::Bid(bid) => {
            let bid = &problem.bids()[bid as usize];
            i128::from(bid.nodes.contains(&node)) * if bid.more { -MILLION } else { MILLION }
        }
        Limit::Row(row) => {
            let parts = &problem.rows()[row as usize].sensitivities;
            parts.iter().find(|part| part.0 == node).map_or(0, |part| part.1.into())
        }
    }
}
