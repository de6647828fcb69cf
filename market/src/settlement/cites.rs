//! The records that a settlement rests on.

use crate::event::RecordNumber;
use grid::packed::{Malformed, Packed, unpack_list};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

/// Record numbers, ascending. What is settled together cites the same ones, and there are hundreds of them: they are one
/// list for all.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cites(Arc<[RecordNumber]>);

impl Deref for Cites {
    type Target = [RecordNumber];

    fn deref(&self) -> &[RecordNumber] {
        &self.0
    }
}

impl From<Vec<RecordNumber>> for Cites {
    fn from(numbers: Vec<RecordNumber>) -> Self {
        Self(numbers.into())
    }
}

impl PartialEq for Cites {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Cites {}

impl std::fmt::Debug for Cites {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Longest list that is remembered, bytes.
const REMEMBERED_MAX: usize = 1 << 16;

thread_local! {
    /// The list that was read last, and its bytes: the members of a group are recorded one after the other.
    static NEWEST: RefCell<(Vec<u8>, Cites)> = RefCell::default();
}

/// By their distances: whatever is cited together was recorded together.
pub(crate) fn pack(cites: &[RecordNumber], bytes: &mut Vec<u8>) {
    (cites.len() as u64).pack(bytes);
    let mut before = 0_u64;
    for RecordNumber(number) in cites {
        (number.wrapping_sub(before) as i64).pack(bytes);
        before = *number;
    }
}

/// Reads a list as [`pack`] writes it.
pub(crate) fn unpack(bytes: &mut &[u8]) -> Result<Vec<RecordNumber>, Malformed> {
    let mut before = 0_u64;
    unpack_list(bytes, |bytes| {
        before = before.wrapping_add(i64::unpack(bytes)? as u64);
        Ok(RecordNumber(before))
    })
}

impl Packed for Cites {
    fn pack(&self, bytes: &mut Vec<u8>) {
        pack(self, bytes);
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        NEWEST.with_borrow_mut(|(known, cites)| {
            // A packed list says where it ends, so bytes that begin with all of it are it.
            if !known.is_empty() && bytes.starts_with(known) {
                *bytes = &bytes[known.len()..];
                return Ok(cites.clone());
            }
            let begin = *bytes;
            let read = Self::from(unpack(bytes)?);
            let taken = &begin[..begin.len() - bytes.len()];
            if taken.len() <= REMEMBERED_MAX {
                known.clear();
                known.extend_from_slice(taken);
                cites.clone_from(&read);
            }
            Ok(read)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::packed::{pack_whole, unpack_whole};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lists_come_back_whatever_was_read_before(
            lists in prop::collection::vec(prop::collection::vec(any::<u64>(), 0..6), 1..12),
            order in prop::collection::vec(any::<prop::sample::Index>(), 1..30),
        ) {
            for at in order {
                let list = at.get(&lists);
                let cites = Cites::from(list.iter().map(|number| RecordNumber(*number)).collect::<Vec<_>>());
                let bytes = pack_whole(&cites);
                prop_assert_eq!(unpack_whole::<Cites>(&bytes), Ok(cites));
                prop_assert!(unpack_whole::<Cites>(&bytes[..bytes.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn what_is_settled_together_has_one_list() {
        let bytes = pack_whole(&Cites::from(vec![RecordNumber(7), RecordNumber(900)]));
        let read = || unpack_whole::<Cites>(&bytes).unwrap();
        assert!(Arc::ptr_eq(&read().0, &read().0));
    }
}
