//! What is overloaded after a clearing, and whether it is worth its price.

use super::{MILLION, asks, change};
use crate::price_clearing::{ClearingProblem, PriceClearing};

/// The overload of a clearing. Overload is priced slack: it belongs to an optimal clearing where what causes it is
/// worth more than its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overload {
    /// Row-intervals that are loaded beyond their head-room by more than a mWh.
    pub priced: usize,
    /// Of those, where leaving out some one accepted offer that loads them would have been worth more.
    pub beyond: usize,
    /// Energy beyond the head-rooms, mWh, summed over row-intervals and rounded up.
    pub energy: i128,
    /// What it costs, 10⁻¹⁸ of the currency; it is part of the welfare.
    pub cost: i128,
}

/// Looks at every overloaded row-interval of a clearing.
pub fn overload(problem: &ClearingProblem, clearing: &PriceClearing) -> Overload {
    let t = problem.intervals();
    let mut at_node = vec![0_i128; problem.nodes() * t];
    let mut changes = Vec::with_capacity(clearing.plans.len());
    for plan in &clearing.plans {
        let terms = problem.offer(plan.offer as usize).terms();
        let change = change(&terms, plan);
        for &(interval, energy) in &change {
            at_node[terms.node as usize * t + interval] += energy;
        }
        changes.push((terms.node, asks(&terms, usize::from(plan.start), &change), change));
    }
    let used = |row: usize, interval: usize| -> i128 {
        let part = |&(node, factor): &(u32, i64)| i128::from(factor) * at_node[node as usize * t + interval];
        problem.rows()[row].sensitivities.iter().map(part).sum()
    };
    let mut found = Overload::default();
    for (number, row) in problem.rows().iter().enumerate() {
        for interval in 0..t {
            let over = used(number, interval) - i128::from(row.headroom[interval]) * MILLION;
            if over <= MILLION {
                continue;
            }
            found.priced += 1;
            found.energy -= (-over).div_euclid(MILLION);
            found.cost += over * i128::from(row.penalty);
            let loads = |node: u32, change: &[(usize, i128)]| {
                let energy = change.iter().find(|part| part.0 == interval).map_or(0, |part| part.1);
                row.sensitivities.iter().any(|&(at, factor)| at == node && i128::from(factor) * energy > 0)
            };
            let regretted = changes
                .iter()
                .filter(|(node, _, change)| loads(*node, change))
                .any(|change| gain_without(problem, &at_node, &used, change) > 0);
            found.beyond += usize::from(regretted);
        }
    }
    found
}

/// What welfare gains when one offer stays with its default and nothing else changes.
fn gain_without(
    problem: &ClearingProblem,
    at_node: &[i128],
    used: &impl Fn(usize, usize) -> i128,
    (node, asked, change): &(u32, i128, Vec<(usize, i128)>),
) -> i128 {
    let t = problem.intervals();
    let mut gain = *asked;
    for bid in problem.bids().iter().filter(|bid| bid.nodes.contains(node)) {
        for &(interval, energy) in change.iter().filter(|part| bid.asked[part.0] > 0) {
            let sign = if bid.more { -1 } else { 1 };
            let relief: i128 =
                bid.nodes.iter().map(|&node| -sign * at_node[node as usize * t + interval]).sum();
            let asked = i128::from(bid.asked[interval]);
            let lost = relief.min(asked) - (relief + sign * energy).min(asked);
            gain -= lost * i128::from(bid.price[interval]) * MILLION;
        }
    }
    for (number, row) in problem.rows().iter().enumerate() {
        let factor =
            row.sensitivities.iter().find(|part| part.0 == *node).map_or(0, |part| i128::from(part.1));
        for &(interval, energy) in change.iter().filter(|_| factor != 0) {
            let over = used(number, interval) - i128::from(row.headroom[interval]) * MILLION;
            let less = over.max(0) - (over - factor * energy).max(0);
            gain += less * i128::from(row.penalty);
        }
    }
    gain
}
