//! Wrong passwords of late, and when somebody has to wait because of them.
//!
//! A name is counted by the network it is tried from, so that a stranger's guesses keep nobody out elsewhere, and every network
//! by all names it tries. Names are kept as keyed hashes only: a wrong name may be a password, and whether it is known must
//! not be told by how soon it is refused.

use grid::Timestamp;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Wrong passwords for a name from one network within [`GUESSES_WITHIN`] before it has to wait there.
pub const GUESSES_PER_NAME: usize = 10;
/// How long a wrong password counts.
pub const GUESSES_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Counts that are kept; with more, the one that was not added to for longest goes.
const COUNTED_MAX: usize = 8192;
/// How often counts are forgotten that are too old.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60);

/// Counts wrong passwords in bounded memory.
#[derive(Debug)]
pub struct Guesses {
    per_network: usize,
    hashes: RandomState,
    counts: BTreeMap<Key, Vec<Timestamp>>,
    looked: Timestamp,
}

/// Somebody's name, or all names; from where.
type Key = (Option<u64>, Option<IpAddr>);

/// The answer to who wants to try a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Try {
    /// It may be checked. It counts as wrong until [`Guesses::right`] or [`Guesses::give_back`] is told.
    Free,
    /// There were too many; `first` when this is the first since there was one free.
    Barred {
        /// For whoever writes it down once.
        first: bool,
    },
}

impl Guesses {
    /// `per_network`: wrong passwords from one network for all names together before all have to wait there.
    pub fn new(per_network: usize) -> Self {
        let start = Timestamp::from_seconds(0);
        Self { per_network, hashes: RandomState::new(), counts: BTreeMap::new(), looked: start }
    }

    /// Whether a password for `name` may be checked once more. An IPv6 network is a /64, an IPv4 network one address; where it
    /// is not known, names alone are counted.
    pub fn try_once(&mut self, name: &str, from: Option<IpAddr>, now: Timestamp) -> Try {
        if now.since(self.looked) >= FORGOTTEN_EVERY {
            self.looked = now;
            self.counts.retain(|_, times| times.last().is_some_and(|at| now.since(*at) < GUESSES_WITHIN));
        }
        let keys = self.keys(name, from);
        let (mut full, mut first) = (Vec::new(), true);
        for (key, most) in &keys {
            let Some(times) = self.counts.get_mut(key) else { continue };
            times.retain(|at| now.since(*at) < GUESSES_WITHIN);
            if times.len() >= *most {
                // One beyond what is allowed stands for having said so.
                first &= times.len() == *most;
                full.push(*key);
            }
        }
        if full.is_empty() {
            keys.iter().for_each(|(key, _)| self.add(*key, now));
            return Try::Free;
        }
        if first {
            full.into_iter().for_each(|key| self.add(key, now));
        }
        Try::Barred { first }
    }

    /// The password was right: what was counted for the name there is forgotten.
    pub fn right(&mut self, name: &str, from: Option<IpAddr>) {
        self.give_back(name, from);
        let own = self.name(name, from);
        self.counts.remove(&own);
    }

    /// The password was not checked after all.
    pub fn give_back(&mut self, name: &str, from: Option<IpAddr>) {
        self.keys(name, from).into_iter().for_each(|(key, _)| self.take_off(key));
    }

    /// What is counted, and how much of it is allowed.
    fn keys(&self, name: &str, from: Option<IpAddr>) -> Vec<(Key, usize)> {
        let all_names = from.map(|from| ((None, Some(network(from))), self.per_network));
        [(self.name(name, from), GUESSES_PER_NAME)].into_iter().chain(all_names).collect()
    }

    fn name(&self, name: &str, from: Option<IpAddr>) -> Key {
        (Some(self.hashes.hash_one(name)), from.map(network))
    }

    fn add(&mut self, key: Key, now: Timestamp) {
        if self.counts.len() >= COUNTED_MAX && !self.counts.contains_key(&key) {
            let oldest = self.counts.iter().min_by_key(|(_, times)| times.last().copied());
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.counts.remove(&oldest);
            }
        }
        self.counts.entry(key).or_default().push(now);
    }

    fn take_off(&mut self, key: Key) {
        if let Some(times) = self.counts.get_mut(&key) {
            times.pop();
            if times.is_empty() {
                self.counts.remove(&key);
            }
        }
    }
}

/// What one subscriber is commonly given.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const START: Timestamp = Timestamp::from_seconds(1_000);

    fn from(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(10, 0, 0, last).into())
    }

    fn tries(guesses: &mut Guesses, name: &str, from: Option<IpAddr>, at: Timestamp) -> usize {
        (0..1000).filter(|_| guesses.try_once(name, from, at) == Try::Free).count()
    }

    #[test]
    fn ten_wrong_passwords_make_a_name_wait_in_that_network_and_nobody_elsewhere() {
        let mut guesses = Guesses::new(100);
        assert_eq!(tries(&mut guesses, "ada", from(1), START), GUESSES_PER_NAME);
        assert_eq!(guesses.try_once("ada", from(2), START), Try::Free, "a stranger kept her out");
        assert_eq!(guesses.try_once("eve", from(1), START), Try::Free);
        let later = START.plus(GUESSES_WITHIN);
        assert_eq!(guesses.try_once("ada", from(1), later), Try::Free);
        guesses.right("ada", from(1));
        assert_eq!(tries(&mut guesses, "ada", from(1), later), GUESSES_PER_NAME);
    }

    #[test]
    fn one_network_may_not_try_all_names() {
        let mut guesses = Guesses::new(100);
        let tried: usize =
            (0..1000).map(|number| tries(&mut guesses, &format!("name {number}"), from(1), START)).sum();
        assert_eq!(tried, 100);
        assert_eq!(guesses.try_once("ada", from(2), START), Try::Free);
    }

    #[test]
    fn one_is_told_once_that_somebody_has_to_wait() {
        let mut guesses = Guesses::new(100);
        assert_eq!(tries(&mut guesses, "ada", from(1), START), GUESSES_PER_NAME);
        let mut other = Guesses::new(100);
        let answers: Vec<Try> = (0..20).map(|_| other.try_once("ada", from(1), START)).collect();
        let firsts = answers.iter().filter(|answer| **answer == Try::Barred { first: true }).count();
        assert_eq!((answers[GUESSES_PER_NAME], firsts), (Try::Barred { first: true }, 1));
    }

    #[test]
    fn right_passwords_and_those_that_were_not_checked_count_nothing() {
        let mut guesses = Guesses::new(3);
        for _ in 0..1000 {
            assert_eq!(guesses.try_once("ada", from(1), START), Try::Free);
            guesses.right("ada", from(1));
            assert_eq!(guesses.try_once("eve", from(1), START), Try::Free);
            guesses.give_back("eve", from(1));
        }
        assert!(guesses.counts.is_empty());
    }

    #[test]
    fn an_ipv6_subscriber_has_one_count_for_all_of_its_addresses() {
        let mut guesses = Guesses::new(100);
        let address = |last: u16, net: u16| Some(IpAddr::from([0x2001, 0xdb8, 0, net, 0, 0, 0, last]));
        let tried =
            (0..100).filter(|at| guesses.try_once("ada", address(*at, 1), START) == Try::Free).count();
        assert_eq!(tried, GUESSES_PER_NAME);
        assert_eq!(guesses.try_once("ada", address(1, 2), START), Try::Free);
        let mapped = Some(IpAddr::V6(Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped()));
        assert_eq!(tries(&mut guesses, "ada", mapped, START), GUESSES_PER_NAME);
        assert_ne!(guesses.try_once("ada", from(1), START), Try::Free, "it is the same address");
    }

    #[test]
    fn guesses_are_counted_in_bounded_memory() {
        let mut guesses = Guesses::new(100);
        for number in 0..2 * COUNTED_MAX as u32 {
            guesses.try_once("ada", Some(Ipv4Addr::from(number).into()), START);
        }
        assert!(guesses.counts.len() <= COUNTED_MAX);
        tries(&mut guesses, "ada", from(1), START);
        assert!(guesses.counts.values().all(|times| times.len() <= GUESSES_PER_NAME + 1));
    }
}
