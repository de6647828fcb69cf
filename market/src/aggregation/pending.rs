//! Which offers wait, which are sealed, and how waiting ones are packed.

use super::{combine, stays_alone};
use crate::bid::ZoneId;
use crate::contract::{AggregateId, AggregatedFlexOffer};
use crate::flex_offer::{FlexOffer, FlexOfferError, FlexOfferId, TradingMode};
use grid::{Slot, Timestamp};
use std::collections::BTreeMap;
use thiserror::Error;

/// Width of a price bucket, micro-units per kWh (0.01 EUR): members of an aggregate are paid the dearest
/// member's price, so at most this much more than they asked for.
const PRICE_BUCKET: i64 = 10_000;

/// Why an offer was not taken up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AggregationError {
    /// The offer breaks a rule.
    #[error(transparent)]
    Offer(#[from] FlexOfferError),
    /// The offer asks for something that bundles do not keep.
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

/// What offers must have in common to be summed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    zone: ZoneId,
    start_after: Slot,
    start_before: Slot,
    default_start: Slot,
    slices: usize,
    decrease_bucket: i64,
    increase_bucket: i64,
    assignment_before: Timestamp,
    mode: TradingMode,
    /// Set for an offer that no other is summed with: it is a group of its own.
    alone: Option<FlexOfferId>,
}

#[derive(Debug, Clone)]
enum Place {
    Pending(Group),
    Sealed(AggregateId),
}

/// Offers on their way into aggregates. Adding or removing one costs a few ordered-map steps, whatever the total.
#[derive(Debug, Clone, Default)]
pub struct Aggregation {
    groups: BTreeMap<Group, BTreeMap<FlexOfferId, FlexOffer>>,
    places: BTreeMap<FlexOfferId, Place>,
    sealed: BTreeMap<AggregateId, Vec<FlexOfferId>>,
}

impl Aggregation {
    /// Takes up a valid offer whose energy flows through `zone`; it waits until [`Aggregation::seal`].
    pub fn add(&mut self, offer: FlexOffer, zone: ZoneId) -> Result<(), AggregationError> {
        offer.check()?;
        if let Some(restriction) = offer.terms.untraded() {
            return Err(AggregationError::Restricted { offer: offer.id, restriction });
        }
        if self.places.contains_key(&offer.id) {
            return Err(AggregationError::Twice { offer: offer.id });
        }
        let group = Group {
            zone,
            start_after: offer.start_after,
            start_before: offer.start_before,
            default_start: offer.default_schedule.start,
            slices: offer.slices.len(),
            decrease_bucket: offer.prices.decrease.0 / PRICE_BUCKET,
            increase_bucket: offer.prices.increase.0 / PRICE_BUCKET,
            assignment_before: offer.assignment_before,
            mode: offer.terms.mode,
            alone: stays_alone(&offer).map(|_| offer.id.clone()),
        };
        self.places.insert(offer.id.clone(), Place::Pending(group.clone()));
        self.groups.entry(group).or_default().insert(offer.id.clone(), offer);
        Ok(())
    }

    /// Packs all waiting offers that can still be assigned at `now` into aggregates of at most `size_max`
    /// members (at least one), first fit in the order of their ids. The rest keeps waiting.
    pub fn seal(
        &mut self,
        now: Timestamp,
        mut next_id: impl FnMut() -> AggregateId,
        size_max: usize,
    ) -> Vec<AggregatedFlexOffer> {
        let mut formed = Vec::new();
        let open: Vec<Group> =
            self.groups.keys().filter(|group| group.assignment_before > now).cloned().collect();
        for group in open {
            let Some(offers) = self.groups.remove(&group) else { continue };
            for bin in pack(offers.values(), size_max.max(1)) {
                let Some(aggregate) = combine(next_id(), group.zone, &bin) else { continue };
                for member in &aggregate.members {
                    self.places.insert(member.clone(), Place::Sealed(aggregate.id.clone()));
                }
                self.sealed.insert(aggregate.id.clone(), aggregate.members.clone());
                formed.push(aggregate);
            }
        }
        formed
    }

    /// Takes an offer back. A waiting one is gone; a sealed one stays where it is.
    pub fn remove(&mut self, offer: &FlexOfferId) -> Removal {
        match self.places.get(offer).cloned() {
            None => Removal::Unknown,
            Some(Place::Sealed(aggregate)) => Removal::Sealed(aggregate),
            Some(Place::Pending(group)) => {
                if let Some(offers) = self.groups.get_mut(&group) {
                    offers.remove(offer);
                    if offers.is_empty() {
                        self.groups.remove(&group);
                    }
                }
                self.places.remove(offer);
                Removal::Pending
            }
        }
    }

    /// Forgets an aggregate that was contracted, expired or taken back; its members do not wait again.
    pub fn forget(&mut self, aggregate: &AggregateId) {
        for member in self.sealed.remove(aggregate).unwrap_or_default() {
            self.places.remove(&member);
        }
    }

    /// How many offers wait to be sealed.
    pub fn pending(&self) -> usize {
        self.groups.values().map(BTreeMap::len).sum()
    }
}

struct Bin<'a> {
    members: Vec<&'a FlexOffer>,
    signs: Vec<Sign>,
}

fn pack<'a>(offers: impl Iterator<Item = &'a FlexOffer>, size_max: usize) -> Vec<Vec<&'a FlexOffer>> {
    let mut bins: Vec<Bin<'a>> = Vec::new();
    for offer in offers {
        let signs = deviation_signs(offer);
        let fits = |bin: &&mut Bin<'_>| {
            bin.members.len() < size_max && bin.signs.iter().zip(&signs).all(|(&a, &b)| a.joins(b))
        };
        match bins.iter_mut().find(fits) {
            None => bins.push(Bin { members: vec![offer], signs }),
            Some(bin) => {
                bin.members.push(offer);
                bin.signs.iter_mut().zip(&signs).for_each(|(sum, &sign)| *sum = sum.with(sign));
            }
        }
    }
    bins.into_iter().map(|bin| bin.members).collect()
}

/// In which directions an offer may deviate in one slot for one start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    None,
    Less,
    More,
    Both,
}

impl Sign {
    /// Whether deviations of two offers can never cancel each other.
    fn joins(self, other: Self) -> bool {
        self == Self::None || other == Self::None || (self == other && self != Self::Both)
    }

    fn with(self, other: Self) -> Self {
        if self == Self::None { other } else { self }
    }
}

/// The signs for every start but the default one (there the split keeps all members on the same side of their
/// defaults) and every slot from the earliest start to the latest end.
fn deviation_signs(offer: &FlexOffer) -> Vec<Sign> {
    let mut signs = Vec::new();
    let last = offer.start_before.0 + offer.slices.len() as i64;
    let starts =
        (offer.start_after.0..=offer.start_before.0).filter(|&s| s != offer.default_schedule.start.0);
    for start in starts {
        for slot in offer.start_after.0..last {
            let slice = usize::try_from(slot - start).ok().and_then(|index| offer.slices.get(index));
            let (min, max) = slice.map_or((0, 0), |slice| (slice.min.0, slice.max.0));
            let default = offer.default_schedule.energy_in(Slot(slot)).0;
            signs.push(match (min < default, max > default) {
                (false, false) => Sign::None,
                (true, false) => Sign::Less,
                (false, true) => Sign::More,
                (true, true) => Sign::Both,
            });
        }
    }
    signs
}
