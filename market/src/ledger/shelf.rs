//! What a ledger holds by name and never gives away: each thing keeps its place, and places are what the ledger's own
//! lists are of. A name is hashed once to find the place; the order of the names is kept beside it for whoever lists them.

use crate::portfolio::hash;
use hashbrown::HashTable;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{BuildHasher, Hash, RandomState};
use std::ops::RangeBounds;

/// Where something stands on its shelf: how many came before it. Of this process; files have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u32);

impl Place {
    pub const FIRST: Self = Self(0);
    pub const LAST: Self = Self(u32::MAX);

    /// The place after so many others. More things than 32 bits count do not fit into memory.
    fn after(count: usize) -> Self {
        Self(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

/// Things in blocks, so that what is there is never copied when more comes.
#[derive(Debug, Clone)]
pub(super) struct Blocks<T>(Vec<Vec<T>>);

/// Things in a block.
const BLOCK: usize = 256;

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Blocks<T> {
    pub(super) fn len(&self) -> usize {
        self.0.split_last().map_or(0, |(last, full)| full.len() * BLOCK + last.len())
    }

    pub(super) fn push(&mut self, thing: T) -> Place {
        let place = Place::after(self.len());
        match self.0.last_mut().filter(|block| block.len() < BLOCK) {
            Some(block) => block.push(thing),
            None => {
                // Small ledgers are many.
                let mut block = Vec::with_capacity(if self.0.is_empty() { 4 } else { BLOCK });
                block.push(thing);
                self.0.push(block);
            }
        }
        place
    }

    fn at(&self, Place(at): Place) -> Option<&T> {
        self.0.get(at as usize / BLOCK)?.get(at as usize % BLOCK)
    }

    fn at_mut(&mut self, Place(at): Place) -> Option<&mut T> {
        self.0.get_mut(at as usize / BLOCK)?.get_mut(at as usize % BLOCK)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.0.last()?.last()
    }

    /// The thing that stands so that all before it are less and all after it are greater.
    pub(super) fn find(&self, stands: impl Fn(&T) -> Ordering) -> Option<&T> {
        let after = |block: &Vec<T>| block.first().is_some_and(|first| stands(first).is_le());
        let block = self.0.get(self.0.partition_point(after).checked_sub(1)?)?;
        block.get(block.binary_search_by(stands).ok()?)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.0.iter().flatten()
    }
}

/// Has its own name.
pub(super) trait Named {
    type Name: Clone + Ord + Hash;

    fn name(&self) -> &Self::Name;
}

#[derive(Debug, Clone, Copy)]
struct Hashed {
    hash: u32,
    place: Place,
}

/// Things by name.
#[derive(Clone)]
pub(super) struct Shelf<T: Named> {
    things: Blocks<T>,
    by_name: HashTable<Hashed>,
    in_order: BTreeMap<T::Name, Place>,
    /// Drawn anew for each shelf, so that names that collide are hard to find; it changes no result.
    hash_key: u64,
}

impl<T: Named> Default for Shelf<T> {
    fn default() -> Self {
        let hash_key = RandomState::new().hash_one(0_u8);
        Self { things: Blocks::default(), by_name: HashTable::new(), in_order: BTreeMap::new(), hash_key }
    }
}

impl<T: Named> Shelf<T> {
    fn hash(&self, name: &T::Name) -> u32 {
        hash::of_name(self.hash_key, name)
    }

    pub fn len(&self) -> usize {
        self.things.len()
    }

    /// The place of a name.
    pub fn place(&self, name: &T::Name) -> Option<Place> {
        let hash = self.hash(name);
        let is_it = |known: &Hashed| {
            known.hash == hash && self.at(known.place).is_some_and(|thing| thing.name() == name)
        };
        self.by_name.find(hash::wide(hash), is_it).map(|known| known.place)
    }

    pub fn at(&self, place: Place) -> Option<&T> {
        self.things.at(place)
    }

    /// Its name is not to be changed.
    pub fn at_mut(&mut self, place: Place) -> Option<&mut T> {
        self.things.at_mut(place)
    }

    pub fn get(&self, name: &T::Name) -> Option<&T> {
        self.at(self.place(name)?)
    }

    /// Its name is not to be changed.
    pub fn get_mut(&mut self, name: &T::Name) -> Option<&mut T> {
        self.at_mut(self.place(name)?)
    }

    /// Adds what is not there yet.
    pub fn insert(&mut self, thing: T) -> Place {
        let (hash, name) = (self.hash(thing.name()), thing.name().clone());
        let place = self.things.push(thing);
        self.in_order.insert(name, place);
        let rehash = |known: &Hashed| hash::wide(known.hash);
        self.by_name.insert_unique(hash::wide(hash), Hashed { hash, place }, rehash);
        place
    }

    /// All of them, by name.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.in_order.values().filter_map(|place| self.at(*place))
    }

    /// Names in their order.
    pub fn names(&self, range: impl RangeBounds<T::Name>) -> impl Iterator<Item = &T::Name> {
        self.in_order.range(range).map(|(name, _)| name)
    }

    /// All of them with their places, in the order in which they came.
    pub fn places(&self) -> impl Iterator<Item = (Place, &T)> {
        self.things.iter().enumerate().map(|(at, thing)| (Place::after(at), thing))
    }
}

/// The things by name, and nothing that differs between two shelves with the same.
impl<T: Named + std::fmt::Debug> std::fmt::Debug for Shelf<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

/// Things by key, in the order of the keys. Those stay small beside what they lead to, and what comes late moves no other.
#[derive(Clone)]
pub(super) struct Filed<K, T> {
    things: Blocks<T>,
    in_order: BTreeMap<K, Place>,
}

impl<K, T> Default for Filed<K, T> {
    fn default() -> Self {
        Self { things: Blocks::default(), in_order: BTreeMap::new() }
    }
}

impl<K: Ord, T> Filed<K, T> {
    pub fn len(&self) -> usize {
        self.things.len()
    }

    pub fn get(&self, key: &K) -> Option<&T> {
        self.things.at(*self.in_order.get(key)?)
    }

    /// Adds what is not there yet. Returns whether it was added.
    pub fn insert(&mut self, key: K, thing: T) -> bool {
        match self.in_order.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(self.things.push(thing));
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// Puts something into the place of what is there.
    pub fn replace(&mut self, key: &K, thing: T) {
        let place = self.in_order.get(key).and_then(|place| self.things.at_mut(*place));
        if let Some(place) = place {
            *place = thing;
        }
    }

    pub fn last_key(&self) -> Option<&K> {
        self.in_order.last_key_value().map(|(key, _)| key)
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.in_order.values().filter_map(|place| self.things.at(*place))
    }
}

impl<K: Ord, T: std::fmt::Debug> std::fmt::Debug for Filed<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl<K: Ord, T> FromIterator<(K, T)> for Filed<K, T> {
    /// Of keys that differ.
    fn from_iter<I: IntoIterator<Item = (K, T)>>(pairs: I) -> Self {
        let mut things = Blocks::default();
        let in_order = pairs.into_iter().map(|(key, thing)| (key, things.push(thing))).collect();
        Self { things, in_order }
    }
}

impl<T: Named> FromIterator<T> for Shelf<T> {
    /// Of names that differ.
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        let mut shelf = Self::default();
        things.into_iter().for_each(|thing| {
            shelf.insert(thing);
        });
        shelf
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Bound;

    #[derive(Debug, Clone, PartialEq)]
    struct Thing(String, u64);

    impl Named for Thing {
        type Name = String;

        fn name(&self) -> &String {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn a_shelf_answers_like_an_ordered_map(
            things in prop::collection::btree_map("[a-c]{0,4}", any::<u64>(), 0..60),
            asked in prop::collection::vec("[a-c]{0,4}", 20),
        ) {
            let mut shelf = Shelf::default();
            let mut filed = Filed::default();
            // In another order than that of the names.
            let mixed: BTreeMap<u64, &String> = things.iter().map(|(name, value)| (*value, name)).collect();
            prop_assume!(mixed.len() == things.len());
            for (value, name) in mixed {
                let place = shelf.insert(Thing(name.clone(), value));
                prop_assert_eq!(shelf.at(place), Some(&Thing(name.clone(), value)));
                prop_assert!(filed.insert(name.clone(), 7) && !filed.insert(name.clone(), 0));
                filed.replace(name, value);
            }
            for name in asked.iter().chain(things.keys()) {
                prop_assert_eq!(shelf.get(name).map(|thing| &thing.1), things.get(name));
                prop_assert_eq!(filed.get(name), things.get(name));
                let after = (Bound::Excluded(name.clone()), Bound::Unbounded);
                prop_assert!(shelf.names(after.clone()).eq(things.range(after).map(|(name, _)| name)));
            }
            prop_assert!(shelf.values().map(|thing| &thing.1).eq(things.values()));
            prop_assert!(filed.values().eq(things.values()));
            prop_assert_eq!((shelf.len(), filed.last_key()), (things.len(), things.keys().next_back()));
        }
    }
}
