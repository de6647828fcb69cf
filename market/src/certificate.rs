//! An independent judge of a clearing by prices: from the problem and what the clearing says, and nothing else.
//!
//! It shares no code with the solver, so that one mistake cannot hide in both; only the words of a problem and of a
//! result are the same. All of it is on integers. It checks that
//!
//! * every schedule lies in its offer and deviates by no less than that accepts, of an exclusive group there is one at most, and offers whose default is no longer possible have one;
//! * what is asked, paid and gained is what schedule and prices say, and the postings sum to zero;
//! * the use of every row, and the welfare, are what the schedules make them;
//! * every offer is either assigned or declined, and what is said of a declined one follows from the prices;
//! * the node prices are what bids and rows make of them;
//! * the prices are allowed, and the bound is exactly what they prove: for any allowed prices, what they are worth by
//!   themselves plus what every offer could gain at most is no less than the welfare of any clearing.
//!
//! What branch and bound claims beyond that bound is not judged here; it may only lie between welfare and bound.

mod declined;
mod lumps;
mod offer_gain;
mod overload;
#[cfg(test)]
mod tests;

use crate::price_clearing::{ClearingProblem, NodePrice, OfferTerms, Payee, Plan, PriceClearing, Pricing};
use lumps::{Lumps, factor};
use offer_gain::{Gain, Lump, NodeTariff, most_gained};
pub use overload::{Overload, overload};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// 10⁻¹⁸ of the currency in a micro-unit.
const MICRO: i128 = 1_000_000_000_000;
/// Largest unit of a lump price, mWh.
const UNIT_MAX: i64 = 1_000_000_000_000;
/// Millionths in one.
const MILLION: i128 = 1_000_000;

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentences name the fields
pub enum Objection {
    #[error("the problem cannot be judged: {0}")]
    Problem(String),
    #[error("{what}: {found} values, {expected} are needed")]
    Length { what: &'static str, found: usize, expected: usize },
    #[error("offer {offer} is unknown, assigned twice or out of order")]
    Order { offer: u32 },
    #[error("offer {offer} leaves its default, and so does another of its exclusive group")]
    Group { offer: u32 },
    #[error("offer {offer}: {what}")]
    Schedule { offer: u32, what: &'static str },
    #[error("offer {offer}: {what} is {said} micro-units, it should be {found}")]
    Money { offer: u32, what: &'static str, said: i64, found: i128 },
    #[error(
        "a price of {what} {number} in interval {interval} is below 0, or with its lump prices above the penalty"
    )]
    Price { what: &'static str, number: usize, interval: usize },
    #[error("lump price {number}: {what}")]
    Lump { number: usize, what: &'static str },
    #[error("row {row} in interval {interval} is used otherwise than the schedules make it")]
    Use { row: usize, interval: usize },
    #[error("{what} is {said}, it should be {found} (10⁻¹⁸ of the currency)")]
    Worth { what: &'static str, said: i128, found: i128 },
    #[error("the bound lies below the welfare")]
    BoundBelowWelfare,
    #[error("offer {offer} is declined: {what}")]
    Declined { offer: u32, what: &'static str },
    #[error("the price of node {node} in interval {interval} is not what bids and rows make it")]
    NodePrice { node: usize, interval: usize },
    #[error("what branch and bound claims lies outside of welfare and bound")]
    Claim,
    #[error("the postings are not the payments, or do not sum to zero")]
    Postings,
}

/// Verifies a clearing; the first thing that does not hold ends it. Whatever numbers the clearing says, none is computed with
/// before it is known to be small: a problem that passes `ClearingProblem::check_size`, which is asked first, cannot overflow.
pub fn verify(problem: &ClearingProblem, clearing: &PriceClearing) -> Result<(), Objection> {
    problem.check_size().map_err(|fault| Objection::Problem(fault.to_string()))?;
    let t = problem.intervals();
    lengths(problem, clearing)?;
    let lumps = Lumps::read(problem, clearing)?;
    allowed_prices(problem, clearing, &lumps)?;
    let tariffs: Vec<NodeTariff> = tariffs(problem, clearing, &lumps);
    let mut at_node = vec![0_i128; problem.nodes() * t];
    let mut asked_sum = 0;
    let mut before = None;
    let mut taken: BTreeSet<u32> = BTreeSet::new();
    for plan in &clearing.plans {
        if plan.offer as usize >= problem.offers() || before.is_some_and(|last| last >= plan.offer) {
            return Err(Objection::Order { offer: plan.offer });
        }
        before = Some(plan.offer);
        let terms = problem.offer(plan.offer as usize).terms();
        lies_within(&terms, plan)?;
        if terms.group != 0 && !taken.insert(terms.group) {
            return Err(Objection::Group { offer: plan.offer });
        }
        let change = change(&terms, plan);
        asked_sum += money(problem, &terms, plan, &change, &tariffs[terms.node as usize])?;
        for &(interval, energy) in &change {
            at_node[terms.node as usize * t + interval] += energy;
        }
    }
    let worth = value(problem, clearing, &at_node)? - asked_sum;
    if worth != clearing.welfare.0 {
        return Err(Objection::Worth { what: "the welfare", said: clearing.welfare.0, found: worth });
    }
    let gains: Vec<Gain> = (0..problem.offers())
        .map(|offer| {
            let view = problem.offer(offer);
            most_gained(&view, &tariffs[view.node() as usize], &lumps.of_offers[offer])
        })
        .collect();
    let bound = bound(problem, clearing, &lumps, &gains)?;
    if bound != clearing.bound.0 {
        return Err(Objection::Worth { what: "the bound", said: clearing.bound.0, found: bound });
    }
    if bound < worth {
        return Err(Objection::BoundBelowWelfare);
    }
    let within = |claimed: i128| claimed >= worth && claimed <= bound;
    if clearing.claimed.is_some_and(|claimed| !within(claimed.0))
        || clearing.claimed_offers > problem.offers()
    {
        return Err(Objection::Claim);
    }
    node_prices(problem, clearing, &tariffs)?;
    let groups = declined::Groups { taken: &taken };
    declined::all_answered(problem, clearing, &tariffs, &lumps.of_offers, (&gains, &groups))?;
    postings(clearing)
}

fn lengths(problem: &ClearingProblem, clearing: &PriceClearing) -> Result<(), Objection> {
    let (bids, rows) =
        (problem.bids().len() * problem.intervals(), problem.rows().len() * problem.intervals());
    let prices = &clearing.prices;
    for (what, found, expected) in [
        ("bid prices", prices.bid.len(), bids),
        ("row prices", prices.row.len(), rows),
        ("row uses", clearing.row_use.len(), rows),
        ("node prices", clearing.node_prices.len(), problem.nodes() * problem.intervals()),
    ] {
        if found != expected {
            return Err(Objection::Length { what, found, expected });
        }
    }
    Ok(())
}

fn allowed_prices(
    problem: &ClearingProblem,
    clearing: &PriceClearing,
    lumps: &Lumps,
) -> Result<(), Objection> {
    let t = problem.intervals();
    let (prices, lumps) = (&clearing.prices, lumps.price(problem, clearing));
    let fits =
        |price: i64, lump: i128, penalty: i64| price >= 0 && i128::from(price) + lump <= i128::from(penalty);
    for (number, bid) in problem.bids().iter().enumerate() {
        for interval in 0..t {
            let at = number * t + interval;
            let penalty = if bid.asked[interval] > 0 { bid.price[interval] } else { 0 };
            if !fits(prices.bid[at], lumps[at], penalty) {
                return Err(Objection::Price { what: "bid", number, interval });
            }
        }
    }
    for (number, row) in problem.rows().iter().enumerate() {
        let used = row.sensitivities.iter().any(|&(_, factor)| factor != 0);
        for interval in 0..t {
            let at = number * t + interval;
            // What nobody uses has the price that proves most, and no other.
            let idle = if row.headroom[interval] < 0 { row.penalty } else { 0 };
            let lump = lumps[problem.bids().len() * t + at];
            let settled = used || (prices.row[at] == idle && lump == 0);
            if !settled || !fits(prices.row[at], lump, row.penalty) {
                return Err(Objection::Price { what: "row", number, interval });
            }
        }
    }
    Ok(())
}

/// What energy costs at every node.
fn tariffs(problem: &ClearingProblem, clearing: &PriceClearing, lumps: &Lumps) -> Vec<NodeTariff> {
    let t = problem.intervals();
    let prices = &clearing.prices;
    let mut tariffs = vec![NodeTariff::new(t); problem.nodes()];
    for (number, bid) in problem.bids().iter().enumerate() {
        for &node in &bid.nodes {
            for interval in 0..t {
                let price = prices.bid[number * t + interval];
                let tariff = &mut tariffs[node as usize];
                // Where more is asked for, whoever takes more earns the price.
                let sign = if bid.more { -MILLION } else { MILLION };
                tariff.add(interval, price, sign);
                tariff.of_bids[interval] += i128::from(price) * sign;
            }
        }
    }
    for (number, row) in problem.rows().iter().enumerate() {
        for &(node, factor) in &row.sensitivities {
            for interval in 0..t {
                tariffs[node as usize].add(interval, prices.row[number * t + interval], factor.into());
            }
        }
    }
    for (lump, said) in lumps.all.iter().zip(&clearing.prices.lumps) {
        for (node, tariff) in tariffs.iter_mut().enumerate() {
            let factor = factor(problem, node as u32, lump.limit);
            if factor != 0 {
                tariff.add_lump(said.interval.into(), Lump { factor, ..*lump });
            }
        }
    }
    tariffs
}

/// Whether the parts of the node prices are what bids and rows make them.
fn node_prices(
    problem: &ClearingProblem,
    clearing: &PriceClearing,
    tariffs: &[NodeTariff],
) -> Result<(), Objection> {
    for (node, tariff) in tariffs.iter().enumerate() {
        for interval in 0..problem.intervals() {
            let NodePrice { of_bids, of_rows, of_lumps } =
                clearing.node_prices[node * problem.intervals() + interval];
            let bids = tariff.of_bids[interval];
            let holds = near(of_bids, bids)
                && near(of_rows, tariff.price[interval] - bids)
                && near(of_lumps, tariff.lump_price(interval));
            if !holds {
                return Err(Objection::NodePrice { node, interval });
            }
        }
    }
    Ok(())
}

/// Whether the plan is one of the offer's schedules, and another than its default.
fn lies_within(terms: &OfferTerms, plan: &Plan) -> Result<(), Objection> {
    within(terms, plan).map_err(|what| Objection::Schedule { offer: plan.offer, what })
}

fn within(terms: &OfferTerms, plan: &Plan) -> Result<(), &'static str> {
    let object = Err;
    if plan.energies.len() != terms.default.len() {
        return object("another number of slices than offered");
    }
    if plan.start == terms.start_default && plan.energies == terms.default {
        return object("a plan that is the default");
    }
    if let Some(option) = &terms.option {
        if plan.factor < option.factor_min || i128::from(plan.factor) > MILLION {
            return object("a factor outside of what is offered");
        }
        for (slice, &energy) in plan.energies.iter().enumerate() {
            let part = i128::from(option.deviation[slice]) * i128::from(plan.factor) / MILLION;
            if i128::from(energy) - i128::from(terms.default[slice]) != part {
                return object("energies that are not the default plus the factor of the option");
            }
        }
        return if plan.start == terms.start_default {
            Ok(())
        } else {
            object("a start that is not offered")
        };
    }
    if plan.factor != 0 {
        return object("a factor where none is offered");
    }
    if plan.start < terms.start_first || plan.start > terms.start_last {
        return object("a start outside of its window");
    }
    let mut total = 0_i128;
    for (slice, &energy) in plan.energies.iter().enumerate() {
        if energy < terms.lower[slice] || energy > terms.upper[slice] {
            return object("a slice outside of its bounds");
        }
        total += i128::from(energy);
        let floor = terms.running.map_or(i128::MIN, |running| running.0.into());
        let ceiling = terms.running.map_or(i128::MAX, |running| running.1.into());
        if total < floor || total > ceiling {
            return object("a running sum outside of its bounds");
        }
    }
    if total < i128::from(terms.total_lower) || total > i128::from(terms.total_upper) {
        return object("a total outside of its bounds");
    }
    let moved: i128 = change(terms, plan).iter().map(|(_, energy)| energy.abs()).sum();
    if moved < i128::from(terms.least) {
        return object("a deviation below the least that it accepts");
    }
    Ok(())
}

/// What changes, by interval; each interval once.
fn change(terms: &OfferTerms, plan: &Plan) -> Vec<(usize, i128)> {
    let (new, old) = (usize::from(plan.start), usize::from(terms.start_default));
    let n = terms.default.len();
    let taken = |first: usize, energies: &[i64], interval: usize| {
        interval.checked_sub(first).and_then(|slice| energies.get(slice)).copied().map_or(0, i128::from)
    };
    let first = new.min(old);
    let intervals = first..new.max(old) + n;
    intervals.map(|i| (i, taken(new, &plan.energies, i) - taken(old, &terms.default, i))).collect()
}

/// Checks the money of a plan; returns what it asks.
fn money(
    problem: &ClearingProblem,
    terms: &OfferTerms,
    plan: &Plan,
    change: &[(usize, i128)],
    tariff: &NodeTariff,
) -> Result<i128, Objection> {
    let asked = asks(terms, usize::from(plan.start), change);
    let earned = -change.iter().map(|&(interval, energy)| tariff.price[interval] * energy).sum::<i128>();
    let asked_micro = -(-asked).div_euclid(MICRO);
    let earned_micro = earned.div_euclid(MICRO);
    let paid = match problem.pricing {
        Pricing::PayAsBid => asked_micro,
        Pricing::Uniform => earned_micro,
        Pricing::UniformMakeWhole => asked_micro.max(earned_micro),
    };
    for (what, said, found) in [
        ("what it asks", plan.asked, asked_micro),
        ("its payment", plan.payment, paid),
        ("its profit", plan.profit, (earned - asked).div_euclid(MICRO)),
    ] {
        if i128::from(said) != found {
            return Err(Objection::Money { offer: plan.offer, what, said, found });
        }
    }
    Ok(asked)
}

/// What an offer asks for a change that leaves its default.
fn asks(terms: &OfferTerms, start: usize, change: &[(usize, i128)]) -> i128 {
    let away = start.abs_diff(usize::from(terms.start_default)) as i128;
    if away == 0 && change.iter().all(|&(_, energy)| energy == 0) {
        return 0;
    }
    let mut sum = (i128::from(terms.activation) + away * i128::from(terms.per_interval_shifted)) * MICRO;
    for &(_, energy) in change {
        let price = if energy > 0 { terms.price_up } else { terms.price_down };
        sum += energy.abs() * i128::from(price) * MILLION;
    }
    sum
}

/// Value of the bids minus the price of overload; checks the uses on the way.
fn value(problem: &ClearingProblem, clearing: &PriceClearing, at_node: &[i128]) -> Result<i128, Objection> {
    let t = problem.intervals();
    let mut sum = 0;
    for bid in problem.bids() {
        for interval in 0..t {
            let asked = i128::from(bid.asked[interval]);
            if asked > 0 {
                let taken: i128 = bid.nodes.iter().map(|&node| at_node[node as usize * t + interval]).sum();
                let given = if bid.more { taken } else { -taken };
                sum += given.min(asked) * i128::from(bid.price[interval]) * MILLION;
            }
        }
    }
    for (number, row) in problem.rows().iter().enumerate() {
        for interval in 0..t {
            let mut used = 0;
            for &(node, factor) in &row.sensitivities {
                used += i128::from(factor) * at_node[node as usize * t + interval];
            }
            if !near(clearing.row_use[number * t + interval], used) {
                return Err(Objection::Use { row: number, interval });
            }
            let over = used - i128::from(row.headroom[interval]) * MILLION;
            if over > 0 {
                sum -= over * i128::from(row.penalty);
            }
        }
    }
    Ok(sum)
}

/// What the prices prove.
fn bound(
    problem: &ClearingProblem,
    clearing: &PriceClearing,
    lumps: &Lumps,
    gains: &[Gain],
) -> Result<i128, Objection> {
    let t = problem.intervals();
    let prices = &clearing.prices;
    let mut sum = lumps.worth;
    for (number, bid) in problem.bids().iter().enumerate() {
        for interval in (0..t).filter(|&interval| bid.asked[interval] > 0) {
            let at = number * t + interval;
            let left = bid.price[interval] - prices.bid[at];
            sum += i128::from(left) * i128::from(bid.asked[interval]) * MILLION;
        }
    }
    for (number, row) in problem.rows().iter().enumerate() {
        for interval in 0..t {
            let at = number * t + interval;
            sum += i128::from(prices.row[at]) * i128::from(row.headroom[interval]) * MILLION;
        }
    }
    let mut of_groups: BTreeMap<u32, i128> = BTreeMap::new();
    let mut plans = clearing.plans.iter().peekable();
    for (number, gain) in gains.iter().enumerate() {
        let planned = plans.next_if(|plan| plan.offer as usize == number).is_some();
        if !gain.may_rest && !planned {
            return Err(Objection::Schedule {
                offer: number as u32,
                what: "its default is not possible any more",
            });
        }
        match problem.offer(number).parts().group {
            0 => sum += gain.at_most(),
            // At most one of a group leaves its default: the one that gains most, at most.
            group => {
                let most = of_groups.entry(group).or_insert(i128::MIN);
                *most = (*most).max(gain.at_most());
            }
        }
    }
    sum += of_groups.values().sum::<i128>();
    Ok(sum)
}

/// Whether a figure is the found one. Written with 15 digits: more is not held against it.
fn near(said: i128, found: i128) -> bool {
    let hidden = found.unsigned_abs() / 1_000_000_000_000_000;
    said.checked_sub(found).is_some_and(|apart| apart.unsigned_abs() <= hidden)
}

fn postings(clearing: &PriceClearing) -> Result<(), Objection> {
    let payments = clearing.plans.iter().map(|plan| (Payee::Offer(plan.offer), plan.payment));
    let paid: i128 = clearing.plans.iter().map(|plan| i128::from(plan.payment)).sum();
    let (last, others) = clearing.postings.split_last().ok_or(Objection::Postings)?;
    let dso = last.0 == Payee::Dso && i128::from(last.1) == -paid;
    if dso && others.iter().copied().eq(payments) { Ok(()) } else { Err(Objection::Postings) }
}
