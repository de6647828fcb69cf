//! What each device has in the order of a key, the newest nearly always last: a row each, so that what is added lies beside what was
//! added before, however many devices there are.

use grid::DeviceId;
use grid::packed::{Malformed, Packed};
use std::collections::BTreeMap;

/// A value per device and key.
#[derive(Debug, Clone)]
pub(super) struct PerDevice<K, V>(BTreeMap<DeviceId, Vec<(K, V)>>);

impl<K, V> Default for PerDevice<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

/// Where a key is in a row, or belongs.
fn place<K: Ord, V>(row: &[(K, V)], key: &K) -> Result<usize, usize> {
    match row.last() {
        Some((last, _)) if last >= key => row.binary_search_by(|(known, _)| known.cmp(key)),
        _ => Err(row.len()),
    }
}

impl<K: Ord, V: Default> PerDevice<K, V> {
    /// The value of a key, made where there is none.
    pub fn entry(&mut self, device: DeviceId, key: K) -> &mut V {
        let row = self.0.entry(device).or_default();
        let at = place(row, &key).unwrap_or_else(|at| {
            row.insert(at, (key, V::default()));
            at
        });
        &mut row[at].1
    }

    pub fn get(&self, device: DeviceId, key: &K) -> Option<&V> {
        let row = self.0.get(&device)?;
        place(row, key).ok().map(|at| &row[at].1)
    }

    /// All of a device.
    pub fn of(&self, device: DeviceId) -> &[(K, V)] {
        self.0.get(&device).map_or(&[], Vec::as_slice)
    }

    /// Those of a device after a key.
    pub fn after(&self, device: DeviceId, key: &K) -> &[(K, V)] {
        let row = self.of(device);
        &row[row.partition_point(|(known, _)| known <= key)..]
    }
}

/// Of pairs in the order of devices and keys.
impl<K: Ord, V> FromIterator<((DeviceId, K), V)> for PerDevice<K, V> {
    fn from_iter<I: IntoIterator<Item = ((DeviceId, K), V)>>(pairs: I) -> Self {
        let mut all = Self::default();
        for ((device, key), value) in pairs {
            all.0.entry(device).or_default().push((key, value));
        }
        all
    }
}

/// As a map by device and key would be.
impl<K: Packed + Ord, V: Packed> Packed for PerDevice<K, V> {
    fn pack(&self, bytes: &mut Vec<u8>) {
        let count: usize = self.0.values().map(Vec::len).sum();
        (count as u64).pack(bytes);
        for (device, row) in &self.0 {
            for (key, value) in row {
                device.pack(bytes);
                key.pack(bytes);
                value.pack(bytes);
            }
        }
    }

    fn unpack(bytes: &mut &[u8]) -> Result<Self, Malformed> {
        let pairs = Vec::<((DeviceId, K), V)>::unpack(bytes)?;
        match pairs.is_sorted_by(|one, next| one.0 < next.0) {
            true => Ok(pairs.into_iter().collect()),
            false => Err(Malformed("the keys of a map do not ascend")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::packed::{pack_whole, unpack_whole};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_answers_and_is_packed_like_an_ordered_map(
            coming in prop::collection::vec((0..4_u32, 0..60_i64, any::<i64>()), 0..200),
            asked in prop::collection::vec((0..5_u32, 0..70_i64), 20),
        ) {
            let (mut all, mut plain) = (PerDevice::<i64, i64>::default(), BTreeMap::new());
            for (device, key, value) in coming {
                *all.entry(DeviceId(device), key) = value;
                plain.insert((DeviceId(device), key), value);
            }
            for (device, key) in asked {
                let device = DeviceId(device);
                prop_assert_eq!(all.get(device, &key), plain.get(&(device, key)));
                let own = |from: i64| plain.range((device, from)..=(device, i64::MAX)).map(|((_, key), value)| (*key, *value));
                prop_assert!(all.of(device).iter().copied().eq(own(i64::MIN)));
                prop_assert!(all.after(device, &key).iter().copied().eq(own(key + 1)));
            }
            let bytes = pack_whole(&all);
            prop_assert_eq!(&bytes, &pack_whole(&plain));
            prop_assert_eq!(pack_whole(&unpack_whole::<PerDevice<i64, i64>>(&bytes).unwrap()), bytes);
        }
    }

    #[test]
    fn pairs_that_do_not_ascend_are_malformed() {
        for (one, other) in [((2, 1), (1, 9)), ((1, 2), (1, 1)), ((1, 1), (1, 1))] {
            let pairs = [one, other].map(|(device, key)| ((DeviceId(device), key), 7_i64)).to_vec();
            assert!(unpack_whole::<PerDevice<i64, i64>>(&pack_whole(&pairs)).is_err());
        }
    }
}
