//! Of offers that are alike, those that came first are taken.
//!
//! Which of two equal offers a search takes is chance, seeded but chance: another offer in the book can change it. Offers
//! that ask the same for the same at the same node can change places in a clearing without changing anything else of
//! it: schedules, prices with their references, payments and the bound only get other names. So whatever a clearing
//! gives to offers that are alike goes to them in the order of their ranks, the plans first.

use super::offer::OfferView;
use super::outcome::{Payee, Plan, PriceClearing};
use super::problem::ClearingProblem;
use std::cmp::Reverse;
use std::collections::BTreeMap;

impl PriceClearing {
    /// Exchanges offers of `problem` that are alike so that those of lower rank have plans before those of higher rank.
    pub fn first_come_first_taken<R: Ord>(&mut self, problem: &ClearingProblem, rank: impl Fn(u32) -> R) {
        let plans: BTreeMap<u32, &Plan> = self.plans.iter().map(|plan| (plan.offer, plan)).collect();
        let mut becomes: Vec<u32> = (0..problem.offers() as u32).collect();
        for alike in alike(problem) {
            let mut places = alike.clone();
            places.sort_by_key(|&offer| (rank(offer), offer));
            let mut holders = places.clone();
            holders.sort_by_key(|offer| match plans.get(offer) {
                Some(plan) => (false, Some((Reverse(plan.profit), plan.start, &plan.energies, plan.factor))),
                None => (true, None),
            });
            holders.iter().zip(&places).for_each(|(&holder, &place)| becomes[holder as usize] = place);
        }
        let now = |offer: &mut u32| *offer = becomes.get(*offer as usize).copied().unwrap_or(*offer);
        self.plans.iter_mut().for_each(|plan| now(&mut plan.offer));
        self.plans.sort_by_key(|plan| plan.offer);
        self.declined.iter_mut().for_each(|declined| now(&mut declined.offer));
        self.declined.sort_by_key(|declined| declined.offer);
        for lump in &mut self.prices.lumps {
            lump.from.iter_mut().for_each(|(offer, _)| now(offer));
            lump.from.sort_unstable();
        }
        for (payee, _) in &mut self.postings {
            if let Payee::Offer(offer) = payee {
                now(offer);
            }
        }
        self.postings.sort_by_key(|(payee, _)| *payee);
    }
}

/// Offers that differ in nothing but their numbers, where there are at least two of a kind.
fn alike(problem: &ClearingProblem) -> Vec<Vec<u32>> {
    let mut by_print: BTreeMap<u64, Vec<Vec<u32>>> = BTreeMap::new();
    for offer in 0..problem.offers() {
        let view = problem.offer(offer);
        let kinds = by_print.entry(print(&view)).or_default();
        let same = |kind: &&mut Vec<u32>| problem.offer(kind[0] as usize).terms() == view.terms();
        match kinds.iter_mut().find(same) {
            Some(kind) => kind.push(offer as u32),
            None => kinds.push(vec![offer as u32]),
        }
    }
    by_print.into_values().flatten().filter(|kind| kind.len() > 1).collect()
}

/// A number that offers which are alike have in common (FNV-1a).
fn print(view: &OfferView<'_>) -> u64 {
    let parts = view.parts();
    let scalars = [
        i64::from(view.node()),
        i64::from(parts.start_default),
        i64::from(parts.start_first),
        i64::from(parts.start_last),
        parts.activation,
        parts.price_up,
        parts.price_down,
        i64::from(parts.group),
    ];
    let slices = view.default.iter().chain(view.lower).chain(view.upper);
    scalars.iter().chain(slices).fold(0xcbf2_9ce4_8422_2325, |print, value| {
        (print ^ (*value as u64)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
