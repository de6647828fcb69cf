//! The FlexOffers of an aggregator, summed: like offers share a bundle, which is offered onwards as one.
//!
//! Offers are alike when they lie in one zone, are traded in one mode, flow in one direction, and fall into the same
//! buckets of earliest start, time flexibility, assignment deadline and prices ([`Tolerances`]). Members keep their
//! distance in time: the bundle moves as a whole ("start alignment"). Each group is packed into bundles within
//! [`Bounds`]; an offer goes to the bundle of its group with most room.
//!
//! Adding or removing one offer costs a few integer sums per slice and a few steps in small ordered maps, whatever
//! the number of offers; nothing is ever rebuilt, and every call says what changed ([`Change`]).
//!
//! What a bundle can do is exactly the sum of what its members can do (bounds per slice and on the total make
//! generalised polymatroids, whose sum is found by adding their set functions, [`Portfolio::reach`]), and
//! [`Portfolio::split`] finds the members' parts to the milliwatt hour. A buyer who understands only bounds per slice
//! gets a box inside that set ([`Published::slices`]); what it loses is told.
//!
//! Members may deviate against each other in one slot when the bundle moves: what one lets go the other takes. Whoever
//! pays per kWh deviated asks for a portfolio that is [`Portfolio::one_sided`].
//!
//! Offers with bounds on their running energy, dependency polygons, conditions of acceptance or an exclusive group
//! are not summed: [`PortfolioError::Restricted`].

mod bulk;
mod bundle;
mod cells;
pub(crate) mod hash;
mod member;
mod multiset;
mod opposed;
mod published;
mod sealed;
mod split;
#[cfg(test)]
mod tests;
mod tolerance;

pub use published::{Loss, OfferIdentity, Published};
pub use split::{Split, SplitError};
pub use tolerance::{Bounds, Tolerances};

use crate::bid::ZoneId;
use crate::flex_offer::{FlexOffer, FlexOfferError, FlexOfferId, PRICE_MAX};
use bundle::Bundle;
use cells::Run;
use grid::{Slot, Timestamp};
use hashbrown::HashTable;
use member::{Kept, Sums};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;
use tolerance::Group;

/// Most offers of a portfolio.
pub const OFFERS_MAX: usize = 5_000_000;
/// Bundles with room that are looked at for one whose members an offer never deviates against.
const TRIES: usize = 16;
/// The hash key used when nobody hands in another one.
const HASH_KEY: u64 = 0x5bd1_e995_7b93_27d1;

/// Why an offer was not taken up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortfolioError {
    /// The offer breaks a rule.
    #[error(transparent)]
    Offer(#[from] FlexOfferError),
    /// The offer cannot be summed with others; it has to be passed on as it is.
    #[error("FlexOffer {offer} has {restriction} and stays alone")]
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
    /// It is to be summed with offers that it cannot move with.
    #[error(
        "FlexOffer {offer} does not move with the others: its default start lies at another distance from its earliest"
    )]
    Unlike {
        /// Which.
        offer: FlexOfferId,
    },
    /// The portfolio is full.
    #[error("FlexOffer {offer} is one more than the {max} offers a portfolio holds")]
    Full {
        /// Which.
        offer: FlexOfferId,
        /// The most it holds.
        max: usize,
    },
}

impl PortfolioError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Offer(error) => error.code(),
            Self::Restricted { .. } => "not-summable",
            Self::Twice { .. } => "offer-twice",
            Self::Unlike { .. } => "unlike-members",
            Self::Full { .. } => "portfolio-full",
        }
    }
}

/// What happened to an aggregate as it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It has one member more.
    Grown,
    /// It has one member less.
    Shrunk,
    /// It is gone.
    Deleted,
    /// It is below its least size, before and after: nobody sees it.
    Waiting,
}

/// The record of one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Number of the aggregate; never used twice by a portfolio.
    pub aggregate: u64,
    /// Counts its changes.
    pub revision: u64,
    /// What happened.
    pub kind: ChangeKind,
    /// By which offer.
    pub offer: FlexOfferId,
    /// Members after it.
    pub members: usize,
    /// Earliest start after it.
    pub start_after: Slot,
    /// Latest start after it, included.
    pub start_before: Slot,
    /// Earliest assignment deadline after it; the epoch when nobody is left.
    pub assignment_before: Timestamp,
}

#[derive(Debug, Clone)]
struct GroupOfBundles {
    group: Group,
    bundles: usize,
    /// The roomiest bundle that can take up more.
    roomiest: Option<u32>,
    /// All that can, the roomiest first.
    open: BTreeSet<(Reverse<u32>, u32)>,
}

/// An offer that is about to be taken up.
#[derive(Debug, Clone, Copy)]
struct Coming {
    /// Of its name.
    hash: u32,
    group: Group,
    group_hash: u32,
    sums: Sums,
    kept: Kept,
}

/// A place with enough of its hash to move it to a larger table without looking at what lies there.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    hash: u32,
    place: u32,
}

/// A member by the hash of its name: its bundle, its place in the list there, and its slices, which whoever takes it
/// out so finds without waiting for the list.
#[derive(Debug, Clone, Copy)]
struct Named {
    hash: u32,
    bundle: u32,
    at: u32,
    cells: Run,
}

/// Offers in bundles. See the module.
#[derive(Debug, Clone)]
pub struct Portfolio {
    tolerances: Tolerances,
    bounds: Bounds,
    one_sided: bool,
    hash_key: u64,
    /// Where the member of each name lies.
    names: HashTable<Named>,
    groups: Places<GroupOfBundles>,
    /// Groups by what they have in common.
    keys: HashTable<Hashed>,
    bundles: Places<Bundle>,
    by_number: BTreeMap<u64, u32>,
    next_number: u64,
}

impl Portfolio {
    /// A portfolio without offers.
    pub fn new(tolerances: Tolerances, bounds: Bounds) -> Self {
        Self::with_hash_key(tolerances, bounds, HASH_KEY)
    }

    /// As [`Portfolio::new`], with a secret of the installation as key of its hash tables, so that nobody can choose
    /// names that collide. Results do not depend on it.
    pub fn with_hash_key(tolerances: Tolerances, bounds: Bounds, hash_key: u64) -> Self {
        Self {
            tolerances,
            bounds,
            one_sided: false,
            hash_key,
            names: HashTable::new(),
            groups: Places::default(),
            keys: HashTable::new(),
            bundles: Places::default(),
            by_number: BTreeMap::new(),
            next_number: 1,
        }
    }

    /// From now on an offer joins only members that it never deviates against in one slot, wherever the bundle moves and
    /// however its slices are filled. So what the members deviate adds up, without a rest, to what the bundle does.
    pub fn one_sided(mut self) -> Self {
        self.one_sided = true;
        self
    }

    /// Makes room for this many offers more.
    pub fn reserve(&mut self, offers: usize) {
        self.names.reserve(offers, |named| hash::wide(named.hash));
    }

    /// How many offers it holds.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Takes up an offer whose energy flows through `zone`.
    pub fn insert(&mut self, offer: &FlexOffer, zone: ZoneId) -> Result<Change, PortfolioError> {
        let coming = self.look_at(offer, zone)?;
        let (bundle_at, published) = self.file(offer, &coming)?;
        Ok(self.change(bundle_at, offer.id.clone(), published, ChangeKind::Grown))
    }

    /// Takes an offer out; `None` when it is not here.
    pub fn remove(&mut self, offer: &FlexOfferId) -> Option<Change> {
        let hash = hash::of_name(self.hash_key, offer);
        let bundles = &self.bundles;
        let is_it = |named: &Named| named.hash == hash && is_called(bundles, named, offer);
        let (named, _) = self.names.find_entry(hash::wide(hash), is_it).ok()?.remove();
        let bundle_at = named.bundle;
        let published = self.is_published(bundle_at);
        let id = self.bundles.get_mut(bundle_at)?.take_out(named.at, named.cells)?;
        self.reopen(bundle_at);
        let change = self.change(bundle_at, id, published, ChangeKind::Shrunk);
        if change.members == 0 {
            self.drop_bundle(bundle_at);
        }
        Some(change)
    }

    /// Numbers of all published aggregates, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.by_number.iter().filter(|&(_, &at)| self.is_published(at)).map(|(&number, _)| number)
    }

    /// Offers in bundles that are too small to be published: the remainder.
    pub fn waiting(&self) -> Vec<FlexOfferId> {
        let small = self.by_number.values().filter(|&&at| !self.is_published(at));
        let bundles = small.filter_map(|&at| self.bundles.get(at));
        bundles.flat_map(|bundle| bundle.rows().filter_map(|row| row.id.clone())).collect()
    }

    /// The aggregate an offer is in.
    pub fn aggregate_of(&self, offer: &FlexOfferId) -> Option<u64> {
        let hash = hash::of_name(self.hash_key, offer);
        self.bundles.get(self.find(hash, offer)?.bundle).map(|bundle| bundle.number)
    }

    /// The offers in an aggregate.
    pub fn members(&self, number: u64) -> impl Iterator<Item = &FlexOfferId> {
        self.bundle(number).into_iter().flat_map(Bundle::rows).filter_map(|row| row.id.as_ref())
    }

    fn bundle(&self, number: u64) -> Option<&Bundle> {
        self.bundles.get(*self.by_number.get(&number)?)
    }

    fn find(&self, hash: u32, offer: &FlexOfferId) -> Option<&Named> {
        let is_it = |named: &Named| named.hash == hash && is_called(&self.bundles, named, offer);
        self.names.find(hash::wide(hash), is_it)
    }

    /// What there is to know of an offer without the others; refuses what cannot be summed.
    fn look_at(&self, offer: &FlexOffer, zone: ZoneId) -> Result<Coming, PortfolioError> {
        offer.check()?;
        if let Some(restriction) = offer.terms.restriction() {
            return Err(PortfolioError::Restricted { offer: offer.id.clone(), restriction });
        }
        let (mut sums, mut lowest, mut highest) = (Sums::default(), 0, 0);
        for slice in &offer.slices {
            sums.add(slice.min.0, slice.max.0);
            (lowest, highest) = (slice.min.0.min(lowest), slice.max.0.max(highest));
        }
        let group = Group::of(offer, (lowest, highest), zone, &self.tolerances);
        Ok(Coming {
            hash: hash::of_name(self.hash_key, &offer.id),
            group,
            group_hash: group.hash(self.hash_key),
            sums,
            kept: Kept::of(offer, group.base()),
        })
    }

    /// Puts an offer into the bundle that it goes to; says which one that is and whether it was published before.
    fn file(&mut self, offer: &FlexOffer, coming: &Coming) -> Result<(u32, bool), PortfolioError> {
        if self.len() >= OFFERS_MAX {
            return Err(PortfolioError::Full { offer: offer.id.clone(), max: OFFERS_MAX });
        }
        let hash = coming.hash;
        if self.find(hash, &offer.id).is_some() {
            return Err(PortfolioError::Twice { offer: offer.id.clone() });
        }
        let group_at = self.group_of(coming.group, coming.group_hash);
        let bundle = self.room_for(group_at, offer, coming);
        let published = self.is_published(bundle);
        if let Some(roomy) = self.bundles.get_mut(bundle) {
            let (at, cells) = roomy.add(offer, coming);
            let named = Named { hash, bundle, at, cells };
            self.names.insert_unique(hash::wide(hash), named, |named| hash::wide(named.hash));
        }
        self.reopen(bundle);
        Ok((bundle, published))
    }

    /// The place of a group, which is made if it is new.
    fn group_of(&mut self, group: Group, hash: u32) -> u32 {
        let groups = &self.groups;
        let is_it = |hashed: &Hashed| {
            hashed.hash == hash && groups.get(hashed.place).is_some_and(|known| known.group == group)
        };
        if let Some(hashed) = self.keys.find(hash::wide(hash), is_it) {
            return hashed.place;
        }
        let place =
            self.groups.put(GroupOfBundles { group, bundles: 0, roomiest: None, open: BTreeSet::new() });
        self.keys.insert_unique(hash::wide(hash), Hashed { hash, place }, |hashed| hash::wide(hashed.hash));
        place
    }

    /// The bundle of a group that an offer goes to; a new one when the roomiest cannot take it. No bundle's summed costs
    /// exceed what one offer may ask for, so that each can be offered onwards.
    fn room_for(&mut self, group_at: u32, offer: &FlexOffer, coming: &Coming) -> u32 {
        let group = self.groups.get(group_at);
        let found = match self.one_sided {
            false => group.and_then(|group| group.roomiest).filter(|&at| self.fits(at, coming)),
            true => group.and_then(|group| {
                let joins = |&at: &u32| self.fits(at, coming) && !self.is_against(at, offer, coming);
                group.open.iter().map(|&(_, at)| at).take(TRIES).find(joins)
            }),
        };
        if let Some(at) = found {
            return at;
        }
        let number = self.next_number;
        self.next_number += 1;
        let Some(group) = self.groups.get_mut(group_at) else { return group_at };
        let at = self.bundles.put(Bundle::new(number, group_at, group.group));
        group.bundles += 1;
        self.by_number.insert(number, at);
        at
    }

    fn fits(&self, at: u32, coming: &Coming) -> bool {
        self.bundles.get(at).is_some_and(|bundle| {
            bundle.energy.saturating_add(coming.sums.energy) <= self.bounds.energy_max.0
                && bundle.cost.activation.0 + i64::from(coming.kept.activation) <= PRICE_MAX
                && bundle.cost.per_slot_shifted.0 + i64::from(coming.kept.per_slot_shifted) <= PRICE_MAX
        })
    }

    fn is_against(&self, at: u32, offer: &FlexOffer, coming: &Coming) -> bool {
        self.bundles.get(at).is_some_and(|bundle| opposed::is_against(bundle, offer, &coming.kept))
    }

    /// How roomy a bundle is (the binary logarithm of its room, and 1); `None` when it is full. Its room is that for
    /// energy, or that for costs as the same part of the most energy, whichever is less.
    fn room(&self, bundle: &Bundle) -> Option<u32> {
        let room = self.bounds.energy_max.0 - bundle.energy;
        let cost = bundle.cost.activation.0.max(bundle.cost.per_slot_shifted.0);
        let room = match PRICE_MAX - cost {
            PRICE_MAX => room,
            left => {
                let part = i128::from(left) * i128::from(self.bounds.energy_max.0) / i128::from(PRICE_MAX);
                room.min(i64::try_from(part).unwrap_or(i64::MAX).max(left.signum()))
            }
        };
        let open = bundle.count > 0 && bundle.count < self.bounds.members_max && room > 0;
        open.then(|| 64 - room.leading_zeros())
    }

    /// Files a bundle under the room it now has.
    fn reopen(&mut self, at: u32) {
        let Some(bundle) = self.bundles.get(at) else { return };
        let room = self.room(bundle);
        if room == bundle.open {
            return;
        }
        let (before, group_at) = (bundle.open, bundle.group_at);
        if let Some(group) = self.groups.get_mut(group_at) {
            before.map(|room| group.open.remove(&(Reverse(room), at)));
            room.map(|room| group.open.insert((Reverse(room), at)));
            group.roomiest = group.open.first().map(|&(_, at)| at);
        }
        if let Some(bundle) = self.bundles.get_mut(at) {
            bundle.open = room;
        }
    }

    fn is_published(&self, at: u32) -> bool {
        self.bundles.get(at).is_some_and(|bundle| {
            bundle.count >= self.bounds.members_min.max(1) && bundle.energy >= self.bounds.energy_min.0
        })
    }

    fn change(&self, at: u32, offer: FlexOfferId, before: bool, kind: ChangeKind) -> Change {
        let kind = match (before, self.is_published(at)) {
            (false, true) => ChangeKind::Created,
            (true, true) => kind,
            (true, false) => ChangeKind::Deleted,
            (false, false) => ChangeKind::Waiting,
        };
        let mut change = Change {
            aggregate: 0,
            revision: 0,
            kind,
            offer,
            members: 0,
            start_after: Slot(0),
            start_before: Slot(0),
            assignment_before: Timestamp::default(),
        };
        if let Some(bundle) = self.bundles.get(at) {
            change.aggregate = bundle.number;
            change.revision = bundle.revision;
            change.members = bundle.count;
            change.start_after = bundle.group.base().plus(bundle.first() as i64);
            change.start_before = change.start_after.plus(bundle.flexibility());
            change.assignment_before = Timestamp::from_nanos(bundle.assignments.min().unwrap_or_default());
        }
        change
    }

    fn drop_bundle(&mut self, at: u32) {
        let Some(bundle) = self.bundles.take(at) else { return };
        self.by_number.remove(&bundle.number);
        let Some(group) = self.groups.get_mut(bundle.group_at) else { return };
        group.bundles -= 1;
        if group.bundles == 0 {
            let hash = bundle.group.hash(self.hash_key);
            self.groups.take(bundle.group_at);
            if let Ok(entry) =
                self.keys.find_entry(hash::wide(hash), |hashed| hashed.place == bundle.group_at)
            {
                entry.remove();
            }
        }
    }
}

/// Whether the member that lies there has this name.
fn is_called(bundles: &Places<Bundle>, named: &Named, offer: &FlexOfferId) -> bool {
    bundles.get(named.bundle).and_then(|bundle| bundle.name(named.at)) == Some(offer)
}

/// Values at places that stay the same; a place that is left is used again.
#[derive(Debug, Clone)]
struct Places<T> {
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }
}

impl<T> Places<T> {
    fn get(&self, place: u32) -> Option<&T> {
        self.values.get(place as usize).and_then(Option::as_ref)
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.values.get_mut(place as usize).and_then(Option::as_mut)
    }

    fn put(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(free) => {
                self.values[free as usize] = Some(value);
                free
            }
            None => {
                self.values.push(Some(value));
                (self.values.len() - 1) as u32
            }
        }
    }

    fn take(&mut self, place: u32) -> Option<T> {
        let value = self.values.get_mut(place as usize)?.take();
        if value.is_some() {
            self.free.push(place);
        }
        value
    }
}
