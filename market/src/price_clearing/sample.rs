//! Random problems for tests: one feeder, a few offers of every kind.

use super::ascent::Stream;
use super::offer::{ActivationOption, OfferTerms};
use super::problem::{ClearingProblem, GridRow, NeedBid, Pricing};

/// A problem of `offers` offers over `intervals`; energies are multiples of `unit` mWh.
pub(crate) fn problem(seed: u64, offers: usize, intervals: usize, unit: i64) -> ClearingProblem {
    let mut stream = Stream(seed);
    let nodes = 1 + stream.below(3);
    let pricing = [Pricing::PayAsBid, Pricing::Uniform, Pricing::UniformMakeWhole][stream.below(3)];
    let mut problem = ClearingProblem::new(intervals, nodes, pricing).unwrap();
    let energy = |stream: &mut Stream, most: usize| stream.below(most + 1) as i64 * unit;
    let asked = (0..intervals).map(|i| if i < intervals / 2 { energy(&mut stream, 4) } else { 0 }).collect();
    let price = (0..intervals).map(|_| 100_000 + stream.below(300_000) as i64).collect();
    problem.add_bid(NeedBid { nodes: (0..nodes as u32).collect(), asked, price, more: false }).unwrap();
    for node in 0..nodes {
        let headroom = (0..intervals).map(|_| energy(&mut stream, 3)).collect();
        let sensitivities = (node..nodes).map(|n| (n as u32, 1_000_000)).collect();
        problem.add_row(GridRow { headroom, penalty: 3_000_000, sensitivities }).unwrap();
    }
    for _ in 0..offers {
        let terms = terms(&mut stream, nodes, intervals, unit);
        problem.add_offer(&terms).unwrap();
    }
    problem
}

/// One offer.
pub(crate) fn terms(stream: &mut Stream, nodes: usize, intervals: usize, unit: i64) -> OfferTerms {
    let slices = 1 + stream.below(2);
    let start = stream.below(intervals - slices + 1) as u16;
    let default: Vec<i64> = (0..slices).map(|_| (1 + stream.below(2)) as i64 * unit).collect();
    let total: i64 = default.iter().sum();
    let mut terms = OfferTerms {
        node: stream.below(nodes) as u32,
        start_default: start,
        start_first: start,
        start_last: start,
        lower: default.clone(),
        upper: default.clone(),
        default,
        total_lower: total,
        total_upper: total,
        ..OfferTerms::default()
    };
    match stream.below(4) {
        0 => {
            terms.lower.iter_mut().for_each(|e| *e -= stream.below(2) as i64 * unit);
            terms.upper.iter_mut().for_each(|e| *e += stream.below(2) as i64 * unit);
            terms.total_lower -= stream.below(2) as i64 * unit;
            terms.total_upper += stream.below(2) as i64 * unit;
            (terms.price_up, terms.price_down) = (stream.below(150_000) as i64, stream.below(150_000) as i64);
        }
        1 => {
            let deviation = (0..slices).map(|k| if k == 0 { -2 * unit } else { unit }).collect();
            terms.option = Some(ActivationOption { deviation, factor_min: 1_000_000 });
            terms.activation = stream.below(200_000) as i64 * unit / 1_000_000;
        }
        kind => {
            terms.start_first = start.saturating_sub(stream.below(3) as u16);
            terms.start_last = (start + stream.below(3) as u16).min((intervals - slices) as u16);
            terms.activation = stream.below(100_000) as i64 * unit / 1_000_000;
            terms.per_interval_shifted = stream.below(50_000) as i64 * unit / 1_000_000;
            if kind == 3 {
                terms.lower.iter_mut().for_each(|e| *e -= stream.below(2) as i64 * unit);
                (terms.price_up, terms.price_down) =
                    (stream.below(150_000) as i64, stream.below(150_000) as i64);
                terms.total_lower -= stream.below(2) as i64 * unit;
            }
        }
    }
    terms
}

/// The same with exclusive groups and least deviations.
pub(crate) fn restricted(seed: u64, offers: usize, intervals: usize, unit: i64) -> ClearingProblem {
    let mut problem = self::problem(seed, 0, intervals, unit);
    let mut stream = Stream(seed ^ 0xabcd);
    let nodes = problem.nodes();
    for _ in 0..offers {
        let mut terms = terms(&mut stream, nodes, intervals, unit);
        terms.group = [0, 0, 1, 2, 3][stream.below(5)];
        if terms.option.is_none() && stream.below(2) == 0 {
            terms.least = (1 + stream.below(4)) as i64 * unit;
        }
        problem.add_offer(&terms).unwrap();
    }
    problem
}

/// Amounts that ask a sum once, options that can be taken in part, and shifts: all that branch and bound looks at.
pub(crate) fn lumpy(seed: u64, offers: usize, intervals: usize, unit: i64) -> ClearingProblem {
    let mut problem = self::problem(seed, 0, intervals, unit);
    let mut stream = Stream(seed ^ 0x1a3f);
    let nodes = problem.nodes();
    while problem.offers() < offers {
        let mut terms = terms(&mut stream, nodes, intervals, unit);
        let amount = terms.option.is_none() && terms.start_first == terms.start_last;
        let fixed = terms.lower == terms.upper;
        if let Some(option) = &mut terms.option {
            // Whole mWh at every factor that meets a whole head-room.
            option.factor_min = [1_000_000, 500_000, 250_000][stream.below(3)];
            terms.price_down = stream.below(100_000) as i64;
        } else if amount {
            terms.activation = stream.below(150_000) as i64;
        } else if !fixed {
            continue;
        }
        terms.group = [0, 0, 0, 1][stream.below(4)];
        problem.add_offer(&terms).unwrap();
    }
    problem
}

/// Amounts and shifting amounts with bounds on their running sums, some of them as tight as the default is.
pub(crate) fn coursed(seed: u64, offers: usize, intervals: usize, unit: i64) -> ClearingProblem {
    let mut problem = self::problem(seed, 0, intervals, unit);
    let mut stream = Stream(seed ^ 0x5c0);
    let nodes = problem.nodes();
    while problem.offers() < offers {
        let mut terms = terms(&mut stream, nodes, intervals, unit);
        if terms.option.is_some() {
            continue;
        }
        for k in 0..terms.default.len() {
            terms.lower[k] -= stream.below(2) as i64 * unit;
            terms.upper[k] += stream.below(2) as i64 * unit;
        }
        terms.total_lower -= stream.below(3) as i64 * unit;
        terms.total_upper += stream.below(3) as i64 * unit;
        let sums = terms.default.iter().scan(0, |sum, energy| {
            *sum += energy;
            Some(*sum)
        });
        let sums: Vec<i64> = sums.collect();
        let least = sums.iter().min().copied().unwrap_or(0) - stream.below(2) as i64 * unit;
        let most = sums.iter().max().copied().unwrap_or(0) + stream.below(2) as i64 * unit;
        terms.running = Some((least, most));
        problem.add_offer(&terms).unwrap();
    }
    problem
}
