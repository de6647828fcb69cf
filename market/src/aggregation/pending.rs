//! Which offers wait, which are sealed, and which are sealed together.

use super::{combine, is_summable};
use crate::bid::ZoneId;
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::{FlexOffer, FlexOfferError, FlexOfferId};
use crate::portfolio::{Bounds, Portfolio, PortfolioError, Published, Tolerances};
use crate::rules::AggregateRules;
use grid::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Why an offer was not taken up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AggregationError {
    /// The offer breaks a rule.
    #[error(transparent)]
    Offer(#[from] FlexOfferError),
    /// The offer asks for something that the running market does not keep.
    #[error("FlexOffer {offer} has {restriction}, which is not traded here yet")]
    Restricted {
        /// Which.
        offer: FlexOfferId,
        /// What it asks for.
        restriction: &'static str,
    },
    /// The offer is here already.
    #[error("FlexOffer {offer} was added before")]
    Twice {
        /// Which.
        offer: FlexOfferId,
    },
    /// The portfolio did not take it.
    #[error(transparent)]
    Portfolio(#[from] PortfolioError),
}

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was waiting and is gone.
    Pending,
    /// It is part of this aggregate and stays there; the whole aggregate must be taken back.
    Sealed(AggregateId),
    /// It was never added, or was removed before.
    Unknown,
}

#[derive(Debug, Clone)]
struct Waiting {
    offer: FlexOffer,
    zone: ZoneId,
    /// Whether it lies in a portfolio; else it becomes an aggregate by itself.
    summed: bool,
}

/// Offers on their way into aggregates. Adding or removing one costs a few sums and ordered-map steps, whatever the
/// total.
#[derive(Debug, Clone)]
pub struct Aggregation {
    rules: AggregateRules,
    /// Those that start at one time only, and those that can move: they are bundled in other numbers.
    fixed: Portfolio,
    moving: Portfolio,
    waiting: BTreeMap<FlexOfferId, Waiting>,
    /// When each waiting offer can no longer be assigned.
    deadlines: BTreeSet<(Timestamp, FlexOfferId)>,
    sealed_in: BTreeMap<FlexOfferId, AggregateId>,
    sealed: BTreeMap<AggregateId, Vec<FlexOfferId>>,
}

impl Default for Aggregation {
    fn default() -> Self {
        Self::new(AggregateRules::default(), 0)
    }
}

impl Aggregation {
    /// Without offers. The key is a secret of the installation, so that nobody can choose names that collide in the
    /// hash tables; results do not depend on it.
    pub fn new(rules: AggregateRules, hash_key: u64) -> Self {
        let tolerances = Tolerances {
            start_slots: rules.start_slots,
            flexibility_slots: rules.flexibility_slots,
            // An aggregate has its earliest member's deadline.
            assignment_slots: 1,
            price: rules.price,
        };
        let portfolio = |members_max: usize| {
            let bounds = Bounds { members_max: members_max.max(1), ..Bounds::default() };
            Portfolio::with_hash_key(tolerances, bounds, hash_key).one_sided()
        };
        Self {
            rules,
            fixed: portfolio(rules.members_max),
            moving: portfolio(rules.moving_members_max),
            waiting: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            sealed_in: BTreeMap::new(),
            sealed: BTreeMap::new(),
        }
    }

    /// Takes up a valid offer whose energy flows through `zone`; it waits until [`Aggregation::seal`].
    pub fn add(&mut self, offer: FlexOffer, zone: ZoneId) -> Result<(), AggregationError> {
        offer.check()?;
        if let Some(restriction) = offer.terms.untraded() {
            return Err(AggregationError::Restricted { offer: offer.id, restriction });
        }
        if self.waiting.contains_key(&offer.id) || self.sealed_in.contains_key(&offer.id) {
            return Err(AggregationError::Twice { offer: offer.id });
        }
        let summed = is_summable(&offer) && loss_percent(&offer) <= self.rules.loss_percent_max;
        if summed {
            self.portfolio_of(&offer).insert(&offer, zone)?;
        }
        self.deadlines.insert((offer.assignment_before, offer.id.clone()));
        self.waiting.insert(offer.id.clone(), Waiting { offer, zone, summed });
        Ok(())
    }

    /// Makes aggregates of all waiting offers that can still be assigned at `now`: first those that stay alone, by id,
    /// then the bundles, in the order in which their first members came. The rest keeps waiting.
    pub fn seal(
        &mut self,
        now: Timestamp,
        mut next_id: impl FnMut() -> AggregateId,
    ) -> Vec<AggregatedFlexOffer> {
        self.leave_late(now);
        let alone: Vec<_> = self.waiting.values().filter(|waiting| !waiting.summed).collect();
        let alone = alone.into_iter().filter(|waiting| waiting.offer.assignment_before > now);
        let mut formed: Vec<AggregatedFlexOffer> =
            alone.filter_map(|one| combine(next_id(), one.zone, &[&one.offer])).collect();
        for portfolio in [&self.fixed, &self.moving] {
            for number in portfolio.numbers() {
                let members: Vec<FlexOfferId> = portfolio.members(number).cloned().collect();
                let aggregate = match members.as_slice() {
                    [alone] => {
                        self.waiting.get(alone).and_then(|one| combine(next_id(), one.zone, &[&one.offer]))
                    }
                    _ => portfolio.published(number).map(|bundle| sum_of(next_id(), members, bundle)),
                };
                formed.extend(aggregate);
            }
        }
        for aggregate in &formed {
            for member in &aggregate.members {
                self.take_out(member);
                self.sealed_in.insert(member.clone(), aggregate.id.clone());
            }
            self.sealed.insert(aggregate.id.clone(), aggregate.members.clone());
        }
        formed
    }

    /// Takes an offer back. A waiting one is gone; a sealed one stays where it is.
    pub fn remove(&mut self, offer: &FlexOfferId) -> Removal {
        if let Some(aggregate) = self.sealed_in.get(offer) {
            return Removal::Sealed(aggregate.clone());
        }
        if self.take_out(offer) { Removal::Pending } else { Removal::Unknown }
    }

    /// Forgets an aggregate that was contracted, expired or taken back; its members do not wait again.
    pub fn forget(&mut self, aggregate: &AggregateId) {
        for member in self.sealed.remove(aggregate).unwrap_or_default() {
            self.sealed_in.remove(&member);
        }
    }

    /// How many offers wait to be sealed.
    pub fn pending(&self) -> usize {
        self.waiting.len()
    }

    fn portfolio_of(&mut self, offer: &FlexOffer) -> &mut Portfolio {
        if offer.start_after == offer.start_before { &mut self.fixed } else { &mut self.moving }
    }

    /// Takes waiting offers whose time is over out of the bundles, which they would take along.
    fn leave_late(&mut self, now: Timestamp) {
        let late = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let late: Vec<FlexOfferId> = late.map(|(_, offer)| offer.clone()).collect();
        for id in late {
            let Some(waiting) = self.waiting.get_mut(&id).filter(|waiting| waiting.summed) else { continue };
            waiting.summed = false;
            let offer = waiting.offer.clone();
            self.portfolio_of(&offer).remove(&id);
        }
    }

    fn take_out(&mut self, id: &FlexOfferId) -> bool {
        let Some(Waiting { offer, summed, .. }) = self.waiting.remove(id) else { return false };
        if summed {
            self.portfolio_of(&offer).remove(id);
        }
        self.deadlines.remove(&(offer.assignment_before, offer.id));
        true
    }
}

/// A bundle of several offers as an aggregate: inside bounds of which every filling can be split.
fn sum_of(id: AggregateId, members: Vec<FlexOfferId>, bundle: Published) -> AggregatedFlexOffer {
    AggregatedFlexOffer {
        id,
        zone: bundle.zone,
        members,
        assignment_before: bundle.assignment_before,
        start_after: bundle.start_after,
        start_before: bundle.start_before,
        slices: bundle.slices,
        total_energy: None,
        default_schedule: bundle.default_schedule,
        prices: bundle.prices,
    }
}

/// How much of the choice that a checked offer's slices leave is lost inside bounds that keep its total whatever happens,
/// percent, rounded up; 0 where no total binds.
fn loss_percent(offer: &FlexOffer) -> u32 {
    let Some(total) = offer.profile().binding_total() else { return 0 };
    let wide = |energy: grid::EnergyMwh| i128::from(energy.0);
    let cells = || offer.slices.iter().zip(&offer.default_schedule.energies);
    let below: i128 = cells().map(|(slice, &default)| wide(default) - wide(slice.min)).sum();
    let above: i128 = cells().map(|(slice, &default)| wide(slice.max) - wide(default)).sum();
    let default: i128 = cells().map(|(_, &default)| wide(default)).sum();
    let kept = (default - wide(total.min)).clamp(0, below) + (wide(total.max) - default).clamp(0, above);
    let lost = below + above - kept;
    u32::try_from((lost * 100 + below + above - 1) / (below + above).max(1)).unwrap_or(100)
}
