//! Offers that are an aggregate by themselves: what they accept, what they ask beside their prices, their exclusive group.

use super::{Audit, change};
use crate::contract::AggregatedFlexOffer;
use crate::contract::Contract;
use crate::flex_offer::{Acceptance, FlexOffer, Schedule};

impl<'a> Audit<'a> {
    /// What a contract may cost beside its prices per kWh, micro-units; notes what a lone offer does not accept.
    pub(super) fn beside(&mut self, contract: &'a Contract) -> i128 {
        let aggregate = self.aggregates.get(&contract.aggregate).copied();
        let Some(offer) = aggregate.and_then(|aggregate| self.lone(aggregate)) else { return 0 };
        let id = &contract.id;
        if !accepts(offer, &contract.schedule) {
            self.wrong(format!("contract {id} buys what offer {} does not accept", offer.id));
        }
        if let Some(group) = &offer.terms.exclusive_group
            && let Some(first) = self.groups_sold.insert((offer.prosumer, group), &offer.id)
        {
            self.wrong(format!(
                "offers {first} and {} of exclusive group {group} were both bought",
                offer.id
            ));
        }
        let shifted = i128::from(contract.schedule.start.0) - i128::from(offer.default_schedule.start.0);
        let (once, each) = (offer.terms.cost.activation.0, offer.terms.cost.per_slot_shifted.0);
        match contract.schedule == offer.default_schedule {
            true => 0,
            false => i128::from(once) + i128::from(each) * shifted.abs(),
        }
    }

    /// The offer that an aggregate is by itself.
    fn lone(&self, aggregate: &AggregatedFlexOffer) -> Option<&'a FlexOffer> {
        match aggregate.members.as_slice() {
            [member] => self.offers.get(member).copied(),
            _ => None,
        }
    }
}

/// Whether an offer can be a part of a sum.
pub(super) fn is_plain(offer: &FlexOffer) -> bool {
    let terms = &offer.terms;
    terms.acceptance == Acceptance::Any
        && terms.exclusive_group.is_none()
        && (terms.cost.activation.0, terms.cost.per_slot_shifted.0) == (0, 0)
}

/// Whether a schedule inside the bounds is one that the offer accepts.
pub(super) fn accepts(offer: &FlexOffer, schedule: &Schedule) -> bool {
    let changes = change(&offer.default_schedule, schedule);
    match &offer.terms.acceptance {
        _ if changes.is_empty() => true,
        Acceptance::Any => true,
        Acceptance::AtLeast { energy } => {
            changes.values().map(|energy| energy.abs()).sum::<i128>() >= i128::from(energy.0)
        }
        Acceptance::Block { deviation, factor_min_ppm } => {
            let slot = |at: usize| offer.default_schedule.start.0.saturating_add(at as i64);
            let parts: Vec<(i128, i128)> = (deviation.iter().enumerate())
                .map(|(at, block)| (i128::from(block.0), changes.get(&slot(at)).copied().unwrap_or_default()))
                .collect();
            let own = |at: &i64| (0..deviation.len()).any(|part| slot(part) == *at);
            changes.keys().all(own) && is_fraction(&parts, i128::from(*factor_min_ppm))
        }
    }
}

/// Whether one factor, in whole parts per million, takes every block to less than 1 mWh from what was moved. The factors
/// that do for the largest block are tried one by one.
fn is_fraction(parts: &[(i128, i128)], factor_min_ppm: i128) -> bool {
    const WHOLE: i128 = 1_000_000;
    let near = |&(block, moved): &(i128, i128), factor: i128| (block * factor - moved * WHOLE).abs() < WHOLE;
    let Some(&(block, moved)) = parts.iter().max_by_key(|(block, _)| block.abs()) else { return false };
    let around = |edge: i128| (moved * block.signum() + edge) * WHOLE / block.abs().max(1);
    let from = (around(-1) - 1).max(factor_min_ppm);
    (from..=(around(1) + 1).min(WHOLE)).any(|factor| parts.iter().all(|part| near(part, factor)))
}
