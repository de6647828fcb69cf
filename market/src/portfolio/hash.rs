//! A keyed hash that is the same on every machine. The key makes names that collide hard to find; the order of what
//! is hashed is never seen, so the key changes no result.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Folds the 128-bit product of two words.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

fn narrow(hash: u64) -> u32 {
    (hash ^ hash >> 32) as u32
}

/// Hash of a text.
pub(super) fn of_text(key: u64, text: &str) -> u32 {
    let mut hash = key ^ text.len() as u64;
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    for &word in words {
        hash = fold(hash ^ u64::from_le_bytes(word), MULTIPLIER ^ key.rotate_left(32));
    }
    let rest = rest.iter().fold(1_u64, |word, &byte| word << 8 | u64::from(byte));
    narrow(fold(hash ^ rest, MULTIPLIER ^ key.rotate_left(17)))
}

/// Hash of some numbers.
pub(super) fn of_numbers(key: u64, numbers: &[i64]) -> u32 {
    let mix = |hash: u64, number: &i64| fold(hash ^ *number as u64, MULTIPLIER ^ key.rotate_left(32));
    narrow(fold(numbers.iter().fold(key, mix) ^ MULTIPLIER, key.rotate_left(17) | 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn like_names_have_unlike_hashes() {
        let names = (0..100_000).map(|n| format!("fo-{n}")).chain(["".to_owned(), "fo".to_owned()]);
        let hashes: BTreeSet<u32> = names.map(|name| of_text(7, &name)).collect();
        assert!(hashes.len() > 99_990, "{}", hashes.len());
        let low: BTreeSet<u32> = (0..4096).map(|n| of_numbers(7, &[n, 0, 4096 - n]) & 0xffff).collect();
        assert!(low.len() > 3900, "{}", low.len());
    }
}
