//! A keyed hash that is the same on every machine. The key makes names that collide hard to find; the order of what
//! is hashed is never seen, so the key changes no result.

use std::hash::{Hash, Hasher};

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds the 128-bit product of two words.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn narrow(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

/// All 64 bits that a table looks at, from those that are kept.
pub(crate) fn wide(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(MULTIPLIER)
}

/// Hash of a name.
pub(crate) fn of_name(key: u64, name: &impl Hash) -> u32 {
    let mut words = Words { key, hash: key };
    name.hash(&mut words);
    narrow(fold(words.hash ^ MULTIPLIER, key.rotate_left(17) | 1))
}

/// Takes in whole words, so that a short name, which lies in place, is a few of them.
struct Words {
    key: u64,
    hash: u64,
}

impl Words {
    fn word(&mut self, word: u64) {
        self.hash = fold(self.hash ^ word, MULTIPLIER ^ self.key.rotate_left(32));
    }
}

impl Hasher for Words {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|&word| self.word(u64::from_le_bytes(word)));
        if !rest.is_empty() {
            self.word(rest.iter().fold(1_u64, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    fn write_usize(&mut self, number: usize) {
        self.word(number as u64);
    }

    fn write_isize(&mut self, number: isize) {
        self.word(number as u64);
    }

    fn finish(&self) -> u64 {
        self.hash
    }
}

/// Hash of some numbers.
pub(super) fn of_numbers(key: u64, numbers: &[u64]) -> u32 {
    let mix = |hash: u64, number: &u64| fold(hash ^ number, MULTIPLIER ^ key.rotate_left(32));
    narrow(fold(numbers.iter().fold(key, mix) ^ MULTIPLIER, key.rotate_left(17) | 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flex_offer::FlexOfferId;
    use std::collections::BTreeSet;

    #[test]
    fn like_names_have_unlike_hashes() {
        let long = "a-name-that-does-not-lie-in-place-";
        let names = (0..50_000).flat_map(|n| [format!("fo-{n}"), format!("{long}{n}")]);
        let id = |name: String| FlexOfferId::new(name).unwrap();
        let hashes: BTreeSet<u32> = names.map(|name| of_name(7, &id(name))).collect();
        assert!(hashes.len() > 99_990, "{}", hashes.len());
        let low: BTreeSet<u32> = (0..4096).map(|n| of_numbers(7, &[n, 0, 4096 - n]) & 0xffff).collect();
        assert!(low.len() > 3900, "{}", low.len());
    }
}
