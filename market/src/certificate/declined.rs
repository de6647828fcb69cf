//! Whether every offer is answered, and whether what is said of the declined ones follows from the prices.

use super::offer_gain::{Gain, NodeTariff, References};
use super::{MICRO, MILLION, Objection, asks, change, within};
use crate::price_clearing::{
    ClearingProblem, DeclineReason, Declined, Limit, OfferTerms, Plan, PriceClearing,
};
use std::collections::BTreeSet;

/// Exclusive groups of which an offer leaves its default.
pub(super) struct Groups<'a> {
    pub taken: &'a BTreeSet<u32>,
}

/// Checks that plans and declined offers are all offers, each once, and each declined one.
pub(super) fn all_answered(
    problem: &ClearingProblem,
    clearing: &PriceClearing,
    tariffs: &[NodeTariff],
    references: &[References],
    (gains, groups): (&[Gain], &Groups<'_>),
) -> Result<(), Objection> {
    let limits = limits_of_nodes(problem);
    let mut plans = clearing.plans.iter().peekable();
    let mut declined = clearing.declined.iter();
    for offer in 0..problem.offers() as u32 {
        if plans.next_if(|plan| plan.offer == offer).is_some() {
            continue;
        }
        let said = declined
            .next()
            .filter(|said| said.offer == offer)
            .ok_or(Objection::Declined { offer, what: "it is in neither list, or out of order" })?;
        let terms = problem.offer(offer as usize).terms();
        let node = terms.node as usize;
        let judge = Judge {
            problem,
            clearing,
            tariff: &tariffs[node],
            from: &references[offer as usize],
            limits: &limits[node],
            other_taken: terms.group != 0 && groups.taken.contains(&terms.group),
        };
        judge
            .holds(&terms, said, gains[offer as usize])
            .map_err(|what| Objection::Declined { offer, what })?;
    }
    match declined.next() {
        Some(said) => {
            Err(Objection::Declined { offer: said.offer, what: "it is assigned, unknown or named twice" })
        }
        None => Ok(()),
    }
}

/// The limits that each node uses, bids first, with the sensitivity in millionths.
fn limits_of_nodes(problem: &ClearingProblem) -> Vec<Vec<(Limit, i64)>> {
    let mut limits = vec![Vec::new(); problem.nodes()];
    for (number, bid) in problem.bids().iter().enumerate() {
        let factor = if bid.more { -1_000_000 } else { 1_000_000 };
        bid.nodes.iter().for_each(|&node| limits[node as usize].push((Limit::Bid(number as u32), factor)));
    }
    for (number, row) in problem.rows().iter().enumerate() {
        for &(node, factor) in &row.sensitivities {
            limits[node as usize].push((Limit::Row(number as u32), factor));
        }
    }
    limits
}

struct Judge<'a> {
    problem: &'a ClearingProblem,
    clearing: &'a PriceClearing,
    tariff: &'a NodeTariff,
    from: &'a References,
    limits: &'a [(Limit, i64)],
    /// Whether another offer of its group leaves its default.
    other_taken: bool,
}

impl Judge<'_> {
    fn holds(&self, terms: &OfferTerms, said: &Declined, gain: Gain) -> Result<(), &'static str> {
        let Some(alternative) = &said.alternative else {
            let silent = (said.asked, said.winning_ask, said.against) == (0, 0, None);
            return match said.reason {
                DeclineReason::NoChoice if silent && has_choice(terms) => {
                    Err("it has another schedule than its default")
                }
                DeclineReason::TooLittle if silent && terms.least == 0 => {
                    Err("it accepts deviations of any size")
                }
                DeclineReason::NoChoice | DeclineReason::TooLittle if silent => Ok(()),
                _ => Err("figures without the schedule they speak of"),
            };
        };
        let plan = Plan {
            offer: said.offer,
            start: alternative.start,
            energies: alternative.energies.clone(),
            factor: alternative.factor,
            ..Plan::default()
        };
        within(terms, &plan).map_err(|_| "the alternative is not one of its schedules")?;
        let change = change(terms, &plan);
        if change.iter().all(|&(_, energy)| energy == 0) {
            return Err("the alternative is its default");
        }
        let asked = asks(terms, usize::from(plan.start), &change);
        let earned =
            -change.iter().map(|&(at, energy)| self.tariff.charge(at, energy, self.from)).sum::<i128>();
        let best = gain
            .away
            .is_some_and(|away| if gain.reached { earned - asked == away } else { earned - asked <= away });
        let reason = match (earned > asked, self.other_taken) {
            (false, _) => DeclineReason::TooDear,
            (true, true) => DeclineReason::OtherOfGroup,
            (true, false) => DeclineReason::DoesNotFit,
        };
        if i128::from(said.asked) != -(-asked).div_euclid(MICRO) {
            Err("what the alternative asks is something else")
        } else if i128::from(said.winning_ask) != earned.div_euclid(MICRO) {
            Err("what would have won is something else")
        } else if said.reason != reason {
            Err("the reason is another")
        } else if !best {
            Err("the alternative is not its best one")
        } else if said.against != self.against(&change) {
            Err("another row stands against it")
        } else {
            Ok(())
        }
    }

    /// The limit and interval that charge a change most; the first of equals.
    fn against(&self, change: &[(usize, i128)]) -> Option<(Limit, u16)> {
        let t = self.problem.intervals();
        let mut worst = (0, None);
        for &(limit, factor) in self.limits {
            let prices = &self.clearing.prices;
            for &(interval, energy) in change {
                let price = match limit {
                    Limit::Bid(bid) => prices.bid[bid as usize * t + interval],
                    Limit::Row(row) => prices.row[row as usize * t + interval],
                };
                let lumps = match energy {
                    0 => 0,
                    _ => self.tariff.lump_charge(limit, interval, energy, self.from),
                };
                let charge = i128::from(price) * i128::from(factor) * energy + lumps;
                if charge > worst.0 {
                    worst = (charge, Some((limit, interval as u16)));
                }
            }
        }
        worst.1
    }
}

/// Whether an offer can do anything else than its default, as far as its bounds tell.
fn has_choice(terms: &OfferTerms) -> bool {
    if let Some(option) = &terms.option {
        let moves = |factor: i128| option.deviation.iter().any(|&x| i128::from(x) * factor / MILLION != 0);
        return moves(i128::from(option.factor_min)) || moves(MILLION);
    }
    let n = terms.default.len();
    let total: i64 = terms.default.iter().sum();
    let less: Vec<bool> = (0..n).map(|k| terms.lower[k] < terms.default[k]).collect();
    let more: Vec<bool> = (0..n).map(|k| terms.default[k] < terms.upper[k]).collect();
    // Which running sums may still fall, and which may rise.
    let bounds = terms.running.unwrap_or((i64::MIN, i64::MAX));
    let sums: Vec<i128> = (1..=n).map(|k| terms.default[..k].iter().map(|&e| i128::from(e)).sum()).collect();
    let falls = |sums: &[i128]| sums.iter().all(|&sum| sum > bounds.0.into());
    let rises = |sums: &[i128]| sums.iter().all(|&sum| sum < bounds.1.into());
    let between = |m: usize, l: usize| if m < l { falls(&sums[m..l]) } else { rises(&sums[l..m]) };
    let moved = (0..n).any(|m| less[m] && (0..n).any(|l| l != m && more[l] && between(m, l)));
    let here = (terms.start_first..=terms.start_last).contains(&terms.start_default)
        && (moved
            || (total > terms.total_lower && (0..n).any(|k| less[k] && falls(&sums[k..])))
            || (total < terms.total_upper && (0..n).any(|k| more[k] && rises(&sums[k..]))));
    let fixed = terms.lower == terms.upper && terms.lower.iter().any(|&energy| energy != 0);
    here || (fixed && terms.start_first < terms.start_last)
}
