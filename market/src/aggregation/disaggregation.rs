//! Splitting the schedule of a sealed aggregate among its members, exact to the milliwatt hour, totals included: the work
//! of [`Portfolio::split`]; here are the checks before and after it.

use super::combine;
use crate::contract::{AggregateError, AggregateId, AggregatedFlexOffer, Assignment};
use crate::flex_offer::{FlexOffer, FlexOfferError, FlexOfferId, Schedule};
use crate::portfolio::{Portfolio, PortfolioError, SplitError};
use std::collections::BTreeMap;
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
    #[error("the members of aggregated FlexOffer {aggregate} do not add up to it")]
    Sum {
        /// Which aggregate.
        aggregate: AggregateId,
    },
    /// The members cannot be summed.
    #[error(transparent)]
    Portfolio(#[from] PortfolioError),
    /// The members cannot do it.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A member breaks a rule, or its part lies outside it.
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
            Self::Portfolio(error) => error.code(),
            Self::Split(error) => error.code(),
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
    if combine(aggregate.id.clone(), aggregate.zone, &members).as_ref() != Some(aggregate) {
        return Err(DisaggregationError::Sum { aggregate: aggregate.id.clone() });
    }
    let mut parts = match members.as_slice() {
        [alone] => BTreeMap::from([(alone.id.clone(), schedule.clone())]),
        _ => parts(aggregate, &members, schedule)?,
    };
    let assign = |offer: &&FlexOffer| {
        let sum = || DisaggregationError::Sum { aggregate: aggregate.id.clone() };
        let schedule = parts.remove(&offer.id).ok_or_else(sum)?;
        offer.check_schedule(&schedule)?;
        Ok(Assignment { offer: offer.id.clone(), deviation: offer.deviation(&schedule), schedule })
    };
    members.iter().map(assign).collect()
}

fn parts(
    aggregate: &AggregatedFlexOffer,
    members: &[&FlexOffer],
    schedule: &Schedule,
) -> Result<BTreeMap<FlexOfferId, Schedule>, DisaggregationError> {
    let portfolio = Portfolio::of_sealed(aggregate.zone, members)?;
    let number = portfolio.numbers().next().unwrap_or_default();
    let split = portfolio.split(number, schedule)?;
    Ok(split.schedules().map(|(id, schedule)| (id.clone(), schedule)).collect())
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
