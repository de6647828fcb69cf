//! Several offers as one. Offers that load the grid alike and have the same shape in time are summed slice by
//! slice; every schedule of the sum splits into schedules of the members with exact integer sums.
//!
//! After Šikšnys et al. (TKDE 2015): group by a tolerance grid, bin-pack, align at the start, add the bounds.
//! Exactness comes before compression: all members start at the same slot and by default at the same slot,
//! offers with a binding total or with terms that no sum keeps (`lone`) stay alone, and only offers whose
//! deviations never cancel each other inside one slot are packed together, so that what the members are
//! ordered to deviate adds up to what the DSO bought.

mod disaggregation;
mod lone;
mod pending;
#[cfg(test)]
mod tests;

pub use disaggregation::{DisaggregationError, disaggregate};
pub use lone::{ExclusiveGroup, LoneTerms};
pub use pending::{Aggregation, AggregationError, Removal};

use crate::bid::ZoneId;
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::{DeviationPrices, EnergyBounds, FlexOffer, Schedule};
use grid::{EnergyMwh, Money};

/// Sums offers of one zone that have the same start window, default start and number of slices.
///
/// `None` when there are none or they do not fit together.
pub fn combine(id: AggregateId, zone: ZoneId, members: &[&FlexOffer]) -> Option<AggregatedFlexOffer> {
    let (first, rest) = members.split_first()?;
    let mut sum = AggregatedFlexOffer {
        id,
        zone,
        members: members.iter().map(|offer| offer.id.clone()).collect(),
        assignment_before: first.assignment_before,
        start_after: first.start_after,
        start_before: first.start_before,
        slices: first.slices.clone(),
        total_energy: if rest.is_empty() { first.profile().binding_total() } else { None },
        default_schedule: first.default_schedule.clone(),
        prices: first.prices,
    };
    for offer in rest {
        let alike = offer.start_after == sum.start_after
            && offer.start_before == sum.start_before
            && offer.slices.len() == sum.slices.len()
            && offer.default_schedule.start == sum.default_schedule.start
            && stays_alone(offer).is_none();
        if !alike || stays_alone(first).is_some() {
            return None;
        }
        add(&mut sum, offer);
    }
    Some(sum)
}

/// Why a checked offer is an aggregate by itself, in words; `None` when it can be summed with others.
fn stays_alone(offer: &FlexOffer) -> Option<&'static str> {
    if offer.profile().binding_total().is_some() {
        return Some("a total that binds");
    }
    offer.terms.restriction().or(LoneTerms::of(offer).map(|_| "a cost beside its prices"))
}

fn add(sum: &mut AggregatedFlexOffer, offer: &FlexOffer) {
    sum.assignment_before = sum.assignment_before.min(offer.assignment_before);
    for (EnergyBounds { min, max }, slice) in sum.slices.iter_mut().zip(&offer.slices) {
        *min = saturating_sum(*min, slice.min);
        *max = saturating_sum(*max, slice.max);
    }
    let Schedule { energies, .. } = &mut sum.default_schedule;
    for (energy, more) in energies.iter_mut().zip(&offer.default_schedule.energies) {
        *energy = saturating_sum(*energy, *more);
    }
    let dearest = |a: Money, b: Money| a.max(b);
    sum.prices = DeviationPrices {
        decrease: dearest(sum.prices.decrease, offer.prices.decrease),
        increase: dearest(sum.prices.increase, offer.prices.increase),
    };
}

fn saturating_sum(a: EnergyMwh, b: EnergyMwh) -> EnergyMwh {
    EnergyMwh(a.0.saturating_add(b.0))
}
