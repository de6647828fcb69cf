//! What nearly always comes in the order of its keys, and is never changed.

use super::shelf::Blocks;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;

/// Has its own key.
pub(super) trait Keyed {
    type Key: Ord;

    fn key(&self) -> Self::Key;

    /// Its key beside another one.
    fn compare(&self, key: &Self::Key) -> Ordering;
}

/// Things by their own keys. Those that come after all before them lie one after the other, without an index; the others lie in a
/// tree beside them.
#[derive(Clone)]
pub(super) struct Ascending<T: Keyed> {
    things: Blocks<T>,
    late: BTreeMap<T::Key, T>,
}

impl<T: Keyed> Default for Ascending<T> {
    fn default() -> Self {
        Self { things: Blocks::default(), late: BTreeMap::new() }
    }
}

impl<T: Keyed> Ascending<T> {
    pub fn len(&self) -> usize {
        self.things.len() + self.late.len()
    }

    /// Whether a key comes after all that are there.
    pub fn is_next(&self, key: &T::Key) -> bool {
        // What is late comes before something that is not.
        self.things.last().is_none_or(|last| last.compare(key) == Ordering::Less)
    }

    pub fn get(&self, key: &T::Key) -> Option<&T> {
        self.late.get(key).or_else(|| self.things.find(|thing| thing.compare(key)))
    }

    /// Adds what is not there yet.
    pub fn insert(&mut self, key: T::Key, thing: T) {
        if self.is_next(&key) {
            self.things.push(thing);
        } else {
            self.late.insert(key, thing);
        }
    }

    /// All of them by key.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        Merged {
            one: self.things.iter().peekable(),
            other: self.late.values().peekable(),
            first: Ordering::Less,
        }
    }

    /// All of them by key, the last one first.
    pub fn newest_first(&self) -> impl Iterator<Item = &T> {
        let (one, other) = (self.things.iter().rev().peekable(), self.late.values().rev().peekable());
        Merged { one, other, first: Ordering::Greater }
    }
}

/// Two ordered iterators as one.
struct Merged<A: Iterator, B: Iterator> {
    one: Peekable<A>,
    other: Peekable<B>,
    /// How what comes first stands to what comes later.
    first: Ordering,
}

impl<'a, T: Keyed + 'a, A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = &'a T>,
    B: Iterator<Item = &'a T>,
{
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        match (self.one.peek(), self.other.peek()) {
            (Some(one), Some(other)) if one.compare(&other.key()) != self.first => self.other.next(),
            (Some(_), _) => self.one.next(),
            (None, _) => self.other.next(),
        }
    }
}

/// The things by key.
impl<T: Keyed + std::fmt::Debug> std::fmt::Debug for Ascending<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

impl<T: Keyed> FromIterator<(T::Key, T)> for Ascending<T> {
    /// Of keys that differ.
    fn from_iter<I: IntoIterator<Item = (T::Key, T)>>(pairs: I) -> Self {
        let mut all = Self::default();
        pairs.into_iter().for_each(|(key, thing)| all.insert(key, thing));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    struct Thing(u16, usize);

    impl Keyed for Thing {
        type Key = u16;

        fn key(&self) -> u16 {
            self.0
        }

        fn compare(&self, key: &u16) -> Ordering {
            self.0.cmp(key)
        }
    }

    proptest! {
        #[test]
        fn it_answers_like_an_ordered_map(
            coming in prop::collection::vec((0..800_u16, any::<bool>()), 0..700),
            asked in prop::collection::vec(0..1600_u16, 20),
        ) {
            let (mut all, mut plain) = (Ascending::default(), BTreeMap::new());
            for (at, (key, in_order)) in coming.into_iter().enumerate() {
                // Most of them come in order.
                let key = if in_order { 800 + at as u16 } else { key };
                prop_assert_eq!(all.is_next(&key), plain.keys().next_back().is_none_or(|last| *last < key));
                if plain.insert(key, Thing(key, at)).is_none() {
                    all.insert(key, Thing(key, at));
                } else {
                    plain.insert(key, all.get(&key).unwrap().clone());
                }
                prop_assert_eq!(all.len(), plain.len());
            }
            for key in asked.iter().chain(plain.keys()) {
                prop_assert_eq!(all.get(key), plain.get(key));
            }
            prop_assert!(all.values().eq(plain.values()));
            prop_assert!(all.newest_first().eq(plain.values().rev()));
            let again: Ascending<Thing> = all.values().map(|thing| (thing.0, thing.clone())).collect();
            prop_assert!(again.values().eq(plain.values()) && again.late.is_empty());
        }
    }
}
