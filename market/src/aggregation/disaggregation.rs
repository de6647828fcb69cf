//! Splitting the schedule of an aggregate among its members, exact to the milliwatt hour.
//!
//! The start is common. In each slice every member is filled at the same fraction of its range; the fraction is
//! an integer ratio, the rest goes to the largest remainders (ties: the earlier member). A remainder is positive
//! only where the exact share lies strictly inside the member's range, so one more unit never leaves it.
//!
//! When the aggregate starts at its default slot the range is cut at the default energy: an order for less
//! fills between lower bounds and defaults, an order for more between defaults and upper bounds. So the default
//! of the aggregate splits into the defaults of the members, and nobody deviates against the order.

use crate::contract::{AggregateError, AggregateId, AggregatedFlexOffer, Assignment};
use crate::flex_offer::{FlexOffer, FlexOfferError, FlexOfferId, Schedule};
use grid::EnergyMwh;
use grid::defect::{Defect, planted};
use thiserror::Error;

/// Why a schedule cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DisaggregationError {
    /// The schedule is none of the aggregate's.
    #[error(transparent)]
    Schedule(#[from] AggregateError),
    /// The offers handed in are not the members.
    #[error("aggregated FlexOffer {aggregate} has other members than the {given} offers handed in")]
    Members {
        /// Which aggregate.
        aggregate: AggregateId,
        /// How many offers were handed in.
        given: usize,
    },
    /// The members do not add up to the aggregate.
    #[error("the members of aggregated FlexOffer {aggregate} do not add up to it in slice {slice}")]
    Sum {
        /// Which aggregate.
        aggregate: AggregateId,
        /// Counted from 0.
        slice: usize,
    },
    /// A member cannot start or end up where the aggregate does.
    #[error(transparent)]
    Member(#[from] FlexOfferError),
}

impl DisaggregationError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Schedule(error) => error.fault.code(),
            Self::Members { .. } => "other-members",
            Self::Sum { .. } => "members-do-not-add-up",
            Self::Member(error) => error.code(),
        }
    }
}

/// Splits a schedule of `aggregate` among `members` (any order; the answer is in the aggregate's order).
///
/// Each part lies inside its offer and the parts add up to the schedule exactly.
pub fn disaggregate(
    aggregate: &AggregatedFlexOffer,
    members: &[FlexOffer],
    schedule: &Schedule,
) -> Result<Vec<Assignment>, DisaggregationError> {
    aggregate.check()?;
    aggregate.check_schedule(schedule)?;
    let members = in_order(aggregate, members)?;
    let at_default = schedule.start == aggregate.default_schedule.start;
    let mut parts: Vec<Vec<EnergyMwh>> = vec![Vec::with_capacity(schedule.energies.len()); members.len()];
    for (slice, &energy) in schedule.energies.iter().enumerate() {
        let mut ranges: Vec<(i64, i64)> = Vec::with_capacity(members.len());
        for offer in &members {
            let Some(bounds) = offer.slices.get(slice) else {
                return Err(DisaggregationError::Sum { aggregate: aggregate.id.clone(), slice });
            };
            ranges.push((bounds.min.0, bounds.max.0));
        }
        if at_default {
            cut_at_default(&mut ranges, &members, slice, energy);
        }
        let shares = fill(&ranges, energy.0)
            .ok_or_else(|| DisaggregationError::Sum { aggregate: aggregate.id.clone(), slice })?;
        parts.iter_mut().zip(shares).for_each(|(part, share)| part.push(EnergyMwh(share)));
    }
    let assign = |(offer, energies): (&&FlexOffer, Vec<EnergyMwh>)| {
        let schedule = Schedule { start: schedule.start, energies };
        offer.check_schedule(&schedule)?;
        Ok(Assignment { offer: offer.id.clone(), deviation: offer.deviation(&schedule), schedule })
    };
    members.iter().zip(parts).map(assign).collect()
}

fn in_order<'a>(
    aggregate: &AggregatedFlexOffer,
    members: &'a [FlexOffer],
) -> Result<Vec<&'a FlexOffer>, DisaggregationError> {
    let find = |id: &FlexOfferId| members.iter().find(|offer| offer.id == *id);
    let found: Option<Vec<&FlexOffer>> = aggregate.members.iter().map(find).collect();
    match found {
        Some(found) if found.len() == members.len() => {
            found.iter().try_for_each(|offer| offer.check())?;
            Ok(found)
        }
        _ => Err(DisaggregationError::Members { aggregate: aggregate.id.clone(), given: members.len() }),
    }
}

fn cut_at_default(ranges: &mut [(i64, i64)], members: &[&FlexOffer], slice: usize, energy: EnergyMwh) {
    let defaults: Vec<i64> =
        members.iter().map(|o| o.default_schedule.energies.get(slice).map_or(0, |e| e.0)).collect();
    let less = i128::from(energy.0) < defaults.iter().copied().map(i128::from).sum();
    for ((min, max), default) in ranges.iter_mut().zip(defaults) {
        *(if less { max } else { min }) = default;
    }
}

/// Shares of `energy` within `ranges`, all at the same fraction; `None` when it does not fit between the sums.
fn fill(ranges: &[(i64, i64)], energy: i64) -> Option<Vec<i64>> {
    let wide = |value: i64| i128::from(value);
    let least: i128 = ranges.iter().map(|&(min, _)| wide(min)).sum();
    let room: i128 = ranges.iter().map(|&(min, max)| wide(max) - wide(min)).sum();
    let above = wide(energy) - least;
    if above < 0 || above > room {
        return None;
    }
    if room == 0 {
        return Some(ranges.iter().map(|&(min, _)| min).collect());
    }
    let mut shares = Vec::with_capacity(ranges.len());
    let mut remainders = Vec::with_capacity(ranges.len());
    let mut left = above;
    for (index, &(min, max)) in ranges.iter().enumerate() {
        let product = (wide(max) - wide(min)) * above;
        left -= product / room;
        shares.push(wide(min) + product / room);
        remainders.push((std::cmp::Reverse(product % room), index));
    }
    remainders.sort_unstable();
    if planted(Defect::LosesTheRest) {
        left = 0;
    }
    for &(_, index) in remainders.iter().take(usize::try_from(left).ok()?) {
        *shares.get_mut(index)? += 1;
    }
    shares.into_iter().map(|share| i64::try_from(share).ok()).collect()
}
