//! The rules of a clearing (pay as bid, uniform, uniform with make-whole) on many small random markets. Amounts, asks and
//! worth at the nodal prices are computed here anew, from the problem and the plans alone.

use super::*;
use crate::price_clearing::{Payee, PriceClearing, Pricing};

/// A micro-unit in the units of `Worth`.
const MICRO: i128 = Worth::MICRO;

/// What a plan changes, mWh by interval.
fn deviation(terms: &OfferTerms, plan: &Plan, intervals: usize) -> Vec<i128> {
    let mut changed = vec![0; intervals];
    for (k, energy) in plan.energies.iter().enumerate() {
        changed[usize::from(plan.start) + k] += i128::from(*energy);
    }
    for (k, energy) in terms.default.iter().enumerate() {
        changed[usize::from(terms.start_default) + k] -= i128::from(*energy);
    }
    changed
}

/// What an offer asks for a plan, 10⁻¹⁸ of the currency.
fn asked(terms: &OfferTerms, plan: &Plan, deviation: &[i128]) -> i128 {
    let away = i128::from(plan.start.abs_diff(terms.start_default));
    let up: i128 = deviation.iter().filter(|energy| **energy > 0).sum();
    let down: i128 = -deviation.iter().filter(|energy| **energy < 0).sum::<i128>();
    let once = i128::from(terms.activation) + away * i128::from(terms.per_interval_shifted);
    once * MICRO + (up * i128::from(terms.price_up) + down * i128::from(terms.price_down)) * 1_000_000
}

/// What a market was seen to do.
#[derive(Debug, Default)]
struct Seen {
    /// Plans under each rule, in the order they are declared.
    plans: [usize; 3],
    /// Clearings whose prices prove the optimum without lump prices.
    exact: usize,
    /// Plans that earn less than they ask, under the uniform rule: taken as a whole.
    losing: usize,
    /// Plans that are made whole.
    made_whole: usize,
}

/// Holds every rule against a clearing.
fn hold(problem: &ClearingProblem, clearing: &PriceClearing, seen: &mut Seen) {
    let t = problem.intervals();
    let exact = clearing.bound == clearing.welfare && clearing.prices.lumps.is_empty();
    seen.exact += usize::from(exact);
    let (mut asks, mut paid) = (0, 0);
    for (number, plan) in clearing.plans.iter().enumerate() {
        let view = problem.offer(plan.offer as usize);
        let terms = view.terms();
        // The amount: a schedule of the offer.
        match &terms.option {
            None => assert!(terms.holds(plan.start, &plan.energies), "{plan:?} of {terms:?}"),
            Some(option) => assert!(plan.factor >= option.factor_min && plan.factor <= 1_000_000, "{plan:?}"),
        }
        let deviation = deviation(&terms, plan, t);
        let asked = asked(&terms, plan, &deviation);
        let node = terms.node as usize;
        let price = |interval: usize| {
            let price = clearing.node_prices[node * t + interval];
            price.of_bids + price.of_rows
        };
        let earned: i128 = -(0..t).map(|interval| price(interval) * deviation[interval]).sum::<i128>();
        // The price: one for all at a node in an interval, or what is asked, or the better of the two.
        let (as_bid, uniform) = (-(-asked).div_euclid(MICRO), earned.div_euclid(MICRO));
        let (rule, due) = match problem.pricing {
            Pricing::PayAsBid => (0, as_bid),
            Pricing::Uniform => (1, uniform),
            Pricing::UniformMakeWhole => (2, as_bid.max(uniform)),
        };
        let payment = i128::from(plan.payment);
        assert_eq!(payment, due, "{plan:?}");
        seen.plans[rule] += 1;
        // Nobody is paid less than it asks, but who is taken as a whole at uniform prices; and that is said.
        if problem.pricing == Pricing::Uniform && earned < asked {
            assert!(plan.profit < 0, "{plan:?} asks {asked} and earns {earned}");
            seen.losing += 1;
        } else {
            assert!((payment + 1) * MICRO > asked, "{plan:?} asks {asked}");
        }
        seen.made_whole += usize::from(rule == 2 && as_bid > uniform);
        // Prices that prove the optimum leave nobody worse off than its default.
        assert!(!exact || earned >= asked, "{plan:?} asks {asked} and earns {earned}");
        // Money: one posting each.
        assert_eq!(clearing.postings[number], (Payee::Offer(plan.offer), plan.payment));
        (asks, paid) = (asks + asked, paid + payment);
    }
    // What one pays the others receive.
    assert_eq!(clearing.postings.len(), clearing.plans.len() + 1);
    assert_eq!(clearing.postings.last(), Some(&(Payee::Dso, i64::try_from(-paid).unwrap())));
    // The buyer's: what it gets is worth what was asked for it. At the prices of its bids it never pays beyond them.
    assert!(clearing.welfare.0 >= 0, "{} asked for less worth", asks);
    for (number, bid) in problem.bids().iter().enumerate() {
        for interval in 0..t {
            let price = clearing.prices.bid[number * t + interval];
            let most = if bid.asked[interval] > 0 { bid.price[interval] } else { 0 };
            assert!((0..=most).contains(&price), "bid {number} pays {price} in interval {interval}");
        }
    }
    for declined in &clearing.declined {
        // Whoever would have won at the prices is told that it did not fit.
        let dear = declined.reason == DeclineReason::TooDear;
        assert!(!dear || declined.winning_ask <= declined.asked, "{declined:?}");
        assert!(!exact || declined.reason != DeclineReason::DoesNotFit, "{declined:?}");
    }
}

fn every_rule_holds(seeds: std::ops::Range<u64>) -> Seen {
    let mut seen = Seen::default();
    for seed in seeds {
        let (offers, intervals) = (1 + (seed % 4) as usize, 3 + (seed / 4 % 3) as usize);
        let mut problem = sample::problem(seed, offers, intervals, UNIT);
        problem.pricing =
            [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole][(seed % 3) as usize];
        let clearing = clear_by_prices(&problem);
        let held = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            hold(&problem, &clearing, &mut seen);
        }));
        assert!(held.is_ok(), "seed {seed}");
    }
    seen
}

/// One interval, one node, no rows, amounts that can be divided: merit order is the optimum.
fn merit_order(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut stream = Stream(seed);
        let pricing = [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole][stream.below(3)];
        let mut problem = ClearingProblem::new(1, 1, pricing).unwrap();
        let (wanted, worth) = (stream.below(8) as i64 * UNIT / 2, 100_000 + stream.below(300_000) as i64);
        let bid = NeedBid { nodes: vec![0], asked: vec![wanted], price: vec![worth], more: false };
        problem.add_bid(bid).unwrap();
        let mut offered = Vec::new();
        for _ in 0..1 + stream.below(5) {
            let room = stream.below(5) as i64 * UNIT / 2;
            let price_down = stream.below(500_000) as i64;
            let (default, lower, total_lower) = (vec![3 * UNIT], vec![3 * UNIT - room], 3 * UNIT - room);
            let (upper, total_upper) = (default.clone(), 3 * UNIT);
            let fixed =
                OfferTerms { default, lower, upper, total_lower, total_upper, ..OfferTerms::default() };
            problem.add_offer(&OfferTerms { price_down, ..fixed }).unwrap();
            offered.push((price_down, room));
        }
        let clearing = clear_by_prices(&problem);
        offered.sort_unstable();
        let (mut left, mut welfare, mut dearest) = (wanted, 0, 0);
        for (price, room) in offered.into_iter().filter(|(price, _)| *price < worth) {
            let taken = room.min(left);
            (left, welfare) = (left - taken, welfare + i128::from(taken) * i128::from(worth - price));
            dearest = if taken > 0 { price } else { dearest };
        }
        assert_eq!(clearing.welfare.0, welfare * 1_000_000, "seed {seed}");
        assert_eq!(clearing.bound, clearing.welfare, "seed {seed}: not proved");
        let taken: i64 = clearing.plans.iter().map(|plan| 3 * UNIT - plan.energies[0]).sum();
        assert!(taken <= wanted, "seed {seed}: {taken} is more than the bid asks");
        let price = clearing.prices.bid[0];
        assert!(wanted == 0 || (dearest <= price && price <= worth), "seed {seed}: {price} for {dearest}");
        hold(&problem, &clearing, &mut Seen::default());
    }
}

#[test]
fn every_pricing_rule_holds_on_three_thousand_random_markets() {
    let seen = every_rule_holds(0..3_000);
    assert!(seen.plans.iter().all(|plans| *plans > 400) && seen.exact > 1_000, "{seen:?}");
    assert!(seen.losing > 10 && seen.made_whole > 10, "{seen:?}");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn every_pricing_rule_holds_on_a_million_random_markets() {
    let seen = every_rule_holds(10_000..1_010_000);
    assert!(seen.plans.iter().all(|plans| *plans > 100_000) && seen.exact > 100_000, "{seen:?}");
}

#[test]
fn one_interval_without_a_grid_is_cleared_in_merit_order_within_both_limits() {
    merit_order(0..3_000);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_million_markets_of_one_interval_are_cleared_in_merit_order_within_both_limits() {
    merit_order(10_000..1_010_000);
}
