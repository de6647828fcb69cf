//! Values as few bytes, for files that are read back by the million: the journal and its snapshots. Text is serde's.
//!
//! ```text
//! number   = groups of 7 bits, lowest first; the last byte has its highest bit set        0 is 80, 127 is ff, 128 is 00 81
//! signed   = number 2·n of a n ≥ 0, 2·|n| − 1 of a n < 0
//! text     = number of bytes, bytes; 00 is written as ff, which is in no UTF-8
//! list     = number of items, items                    a map: key and value in turn, keys ascending
//! option   = number 0, or 1 and the value              a choice: its number, then its fields
//! fields   = one after the other, in the order of their list
//! instant  = signed seconds since 1970, number of nanoseconds
//! ```
//!
//! Each value has one form only. No field is marked: whoever adds one gives its choice a new number, or the file a new
//! version. The last byte of a number is never zero, so that a packed value never looks like a sector that was not written.
//! Reading never panics, and takes no more memory than in proportion to the bytes that are there.

use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// Bytes that are no packed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// Can be packed. [`packed!`](crate::packed!) writes it for structs and enums.
pub trait Packed: Sized {
    /// Appends the value.
    fn pack(&self, bytes: &mut Vec<u8>);
    /// Takes the value from the front.
    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed>;
}

/// The bytes of a value alone.
#[must_use]
pub fn pack_whole(value: &impl Packed) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.pack(&mut bytes);
    bytes
}

/// A value that fills the bytes.
pub fn unpack_whole<T: Packed>(mut bytes: &[u8]) -> Result<T, Malformed> {
    let value = T::unpack(&mut bytes)?;
    if bytes.is_empty() { Ok(value) } else { Err(Malformed("something follows the value")) }
}

/// Implements [`Packed`](crate::packed::Packed): `struct Name { field, field }` with all fields in the order they are
/// written, `struct Name(0)` for a newtype, `enum Name { 0 = Unit, 1 = Choice { field }, 2 = Other(inner) }` with the
/// numbers that are written. `field => how` uses the functions `pack` and `unpack` of the module `how`.
#[macro_export]
macro_rules! packed {
    (struct $name:ident { $($field:ident $(=> $how:ident)?),* $(,)? }) => {
        impl $crate::packed::Packed for $name {
            fn pack(&self, bytes: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::packed!(@pack $field, bytes $(, $how)?);)*
            }
            fn unpack(bytes: &mut &[u8]) -> Result<Self, $crate::packed::Malformed> {
                Ok(Self { $($field: $crate::packed!(@unpack bytes $(, $how)?)),* })
            }
        }
    };
    (struct $name:ident(0)) => {
        impl $crate::packed::Packed for $name {
            fn pack(&self, bytes: &mut Vec<u8>) {
                $crate::packed::Packed::pack(&self.0, bytes);
            }
            fn unpack(bytes: &mut &[u8]) -> Result<Self, $crate::packed::Malformed> {
                $crate::packed::Packed::unpack(bytes).map(Self)
            }
        }
    };
    (enum $name:ident {
        $($number:literal = $variant:ident $({ $($field:ident),* $(,)? })? $(( $inner:ident ))?),* $(,)?
    }) => {
        impl $crate::packed::Packed for $name {
            fn pack(&self, bytes: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(( $inner ))? => {
                        let number: u64 = $number;
                        $crate::packed::Packed::pack(&number, bytes);
                        $($($crate::packed::Packed::pack($field, bytes);)*)?
                        $($crate::packed::Packed::pack($inner, bytes);)?
                    })*
                }
            }
            fn unpack(bytes: &mut &[u8]) -> Result<Self, $crate::packed::Malformed> {
                Ok(match <u64 as $crate::packed::Packed>::unpack(bytes)? {
                    $($number => {
                        $($(let $field = $crate::packed::Packed::unpack(bytes)?;)*)?
                        $(let $inner = $crate::packed::Packed::unpack(bytes)?;)?
                        Self::$variant $({ $($field),* })? $(( $inner ))?
                    })*
                    _ => return Err($crate::packed::Malformed(concat!("no such ", stringify!($name)))),
                })
            }
        }
    };
    (@pack $field:ident, $bytes:ident) => { $crate::packed::Packed::pack($field, $bytes) };
    (@pack $field:ident, $bytes:ident, $how:ident) => { $how::pack($field, $bytes) };
    (@unpack $bytes:ident) => { $crate::packed::Packed::unpack($bytes)? };
    (@unpack $bytes:ident, $how:ident) => { $how::unpack($bytes)? };
}

impl Packed for u64 {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            bytes.push(rest as u8 & 0x7f);
            rest >>= 7;
        }
        bytes.push(rest as u8 | 0x80);
    }

    #[inline]
    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        match bytes.split_first() {
            // Most numbers are below 128.
            Some((&byte, rest)) if byte >= 0x80 => {
                *bytes = rest;
                Ok(u64::from(byte & 0x7f))
            }
            _ => unpack_long(bytes),
        }
    }
}

fn unpack_long(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let (mut value, mut shift) = (0_u64, 0);
    for (at, &byte) in bytes.iter().enumerate() {
        let group = u64::from(byte & 0x7f);
        if shift > 63 || (shift == 63 && group > 1) {
            return Err(Malformed("a number is too large"));
        }
        value |= group << shift;
        if byte >= 0x80 {
            if group == 0 && at > 0 {
                return Err(Malformed("a number is longer than it need be"));
            }
            *bytes = &bytes[at + 1..];
            return Ok(value);
        }
        shift += 7;
    }
    Err(Malformed("the bytes end inside a number"))
}

impl Packed for i64 {
    fn pack(&self, bytes: &mut Vec<u8>) {
        (((self << 1) ^ (self >> 63)) as u64).pack(bytes);
    }

    #[inline]
    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let folded = u64::unpack(bytes)?;
        Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

macro_rules! narrower {
    ($($narrow:ty as $wide:ty),*) => {$(
        impl Packed for $narrow {
            fn pack(&self, bytes: &mut Vec<u8>) {
                <$wide>::from(*self).pack(bytes);
            }
            fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
                <$narrow>::try_from(<$wide>::unpack(bytes)?).map_err(|_| Malformed("a number is too large"))
            }
        }
    )*};
}

narrower!(u8 as u64, u16 as u64, u32 as u64, i32 as i64);

impl Packed for bool {
    fn pack(&self, bytes: &mut Vec<u8>) {
        u64::from(*self).pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        match u64::unpack(bytes)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("neither yes nor no")),
        }
    }
}

impl Packed for Timestamp {
    fn pack(&self, bytes: &mut Vec<u8>) {
        self.seconds().pack(bytes);
        ((self.nanos().rem_euclid(1_000_000_000)) as u64).pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let (seconds, nanos) = (i64::unpack(bytes)?, u64::unpack(bytes)?);
        let fraction = i64::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
        // Toward zero, so that the earliest instants there are do not overflow on the way.
        let (seconds, fraction) = match fraction {
            Some(nanos) if seconds < 0 => (seconds + 1, nanos - 1_000_000_000),
            Some(nanos) => (seconds, nanos),
            None => return Err(Malformed("an instant is out of range")),
        };
        let whole = seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(fraction));
        whole.map(Timestamp::from_nanos).ok_or(Malformed("an instant is out of range"))
    }
}

/// How many items follow.
fn unpack_length(bytes: &mut &[u8]) -> Result<usize, Malformed> {
    let length = u64::unpack(bytes)?;
    // Every item takes a byte at least.
    let length = usize::try_from(length).ok().filter(|length| *length <= bytes.len());
    length.ok_or(Malformed("a list is longer than its bytes"))
}

/// Room that is taken before the items are seen.
const TRUSTED: usize = 1 << 10;

/// Takes a list from the front whose items are read by `item`.
pub fn unpack_list<T>(
    bytes: &mut &[u8],
    mut item: impl FnMut(&mut &[u8]) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let length = unpack_length(bytes)?;
    let mut items = Vec::with_capacity(length.min(TRUSTED));
    for _ in 0..length {
        items.push(item(bytes)?);
    }
    Ok(items)
}

/// Takes text from the front, as it lies there.
pub(crate) fn unpack_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = unpack_length(bytes)?;
    let (text, rest) = bytes.split_at(length);
    *bytes = rest;
    Ok(text)
}

impl Packed for String {
    fn pack(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).pack(bytes);
        bytes.extend(self.bytes().map(|byte| if byte == 0 { 0xff } else { byte }));
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let text = unpack_bytes(bytes)?.iter().map(|&byte| match byte {
            0 => Err(Malformed("a text has a byte that is written otherwise")),
            0xff => Ok(0),
            _ => Ok(byte),
        });
        String::from_utf8(text.collect::<Result<_, _>>()?).map_err(|_| Malformed("a text is no UTF-8"))
    }
}

impl<T: Packed> Packed for Option<T> {
    fn pack(&self, bytes: &mut Vec<u8>) {
        self.is_some().pack(bytes);
        if let Some(value) = self {
            value.pack(bytes);
        }
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        bool::unpack(bytes)?.then(|| T::unpack(bytes)).transpose()
    }
}

impl<T: Packed> Packed for Vec<T> {
    fn pack(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).pack(bytes);
        self.iter().for_each(|item| item.pack(bytes));
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        unpack_list(bytes, T::unpack)
    }
}

impl<K: Packed + Ord, V: Packed> Packed for BTreeMap<K, V> {
    fn pack(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).pack(bytes);
        for (key, value) in self {
            key.pack(bytes);
            value.pack(bytes);
        }
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let pairs = Vec::<(K, V)>::unpack(bytes)?;
        match pairs.is_sorted_by(|one, next| one.0 < next.0) {
            true => Ok(pairs.into_iter().collect()),
            false => Err(Malformed("the keys of a map do not ascend")),
        }
    }
}

impl<T: Packed + Ord> Packed for BTreeSet<T> {
    fn pack(&self, bytes: &mut Vec<u8>) {
        (self.len() as u64).pack(bytes);
        self.iter().for_each(|item| item.pack(bytes));
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let items = Vec::<T>::unpack(bytes)?;
        match items.is_sorted_by(|one, next| one < next) {
            true => Ok(items.into_iter().collect()),
            false => Err(Malformed("the items of a set do not ascend")),
        }
    }
}

impl<A: Packed, B: Packed> Packed for (A, B) {
    fn pack(&self, bytes: &mut Vec<u8>) {
        self.0.pack(bytes);
        self.1.pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::unpack(bytes)?, B::unpack(bytes)?))
    }
}

impl<A: Packed, B: Packed, C: Packed> Packed for (A, B, C) {
    fn pack(&self, bytes: &mut Vec<u8>) {
        self.0.pack(bytes);
        self.1.pack(bytes);
        self.2.pack(bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        Ok((A::unpack(bytes)?, B::unpack(bytes)?, C::unpack(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Everything = (Vec<(u64, i64)>, (Option<String>, bool, BTreeMap<String, i32>), BTreeSet<u8>);

    #[test]
    fn numbers_have_the_documented_bytes() {
        assert_eq!(pack_whole(&0_u64), [0x80]);
        assert_eq!(pack_whole(&127_u64), [0xff]);
        assert_eq!(pack_whole(&128_u64), [0x00, 0x81]);
        assert_eq!(pack_whole(&-1_i64), [0x81]);
        assert_eq!(pack_whole(&u64::MAX).len(), 10);
        assert_eq!(pack_whole(&"a\0".to_owned()), [0x82, b'a', 0xff]);
        let year_1960 = Timestamp::from_nanos(-315_619_200_000_000_001);
        assert_eq!(unpack_whole(&pack_whole(&year_1960)), Ok(year_1960));
    }

    #[test]
    fn another_form_of_a_value_is_refused() {
        assert!(unpack_whole::<u64>(&[0x00, 0x80]).is_err());
        assert!(unpack_whole::<u64>(&[0x7f; 11]).is_err());
        assert!(unpack_whole::<bool>(&[0x82]).is_err());
        assert!(unpack_whole::<String>(&[0x81, 0]).is_err());
        assert!(unpack_whole::<BTreeSet<u8>>(&[0x82, 0x82, 0x81]).is_err());
        assert!(unpack_whole::<Vec<u8>>(&pack_whole(&u64::MAX)).is_err());
    }

    proptest! {
        #[test]
        fn what_was_packed_is_unpacked_and_every_cut_is_noticed(
            numbers in prop::collection::vec(any::<(u64, i64)>(), 0..5),
            words in any::<(Option<String>, bool)>(),
            map in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..4),
            set in prop::collection::btree_set(any::<u8>(), 0..9),
        ) {
            let value: Everything = (numbers, (words.0, words.1, map), set);
            let bytes = pack_whole(&value);
            prop_assert_eq!(unpack_whole::<Everything>(&bytes), Ok(value));
            for cut in 0..bytes.len() {
                prop_assert!(unpack_whole::<Everything>(&bytes[..cut]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_have_one_form(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = unpack_whole::<Everything>(&bytes) {
                prop_assert_eq!(pack_whole(&value), bytes);
            }
        }

        #[test]
        fn no_packed_value_has_long_runs_of_zeros(energies in prop::collection::vec(any::<i64>(), 0..50)) {
            let zeros = vec![0_i64; 2_000];
            let bytes = pack_whole(&(energies, zeros));
            prop_assert!(!bytes.chunks(10).any(|bytes| bytes.len() == 10 && bytes.iter().all(|byte| *byte == 0)));
        }
    }
}
