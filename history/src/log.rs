//! The log: groups of values in the order in which they came.
//!
//! ```text
//! group  = number of values (u32), first 8 bytes of SHA-256 over number and values, values
//! value  = kind, quality (u8 each), point (u64), value, standard deviation (f64; NaN for none), measured, received (i64, µs)
//! ```
//!
//! All little-endian. A group is written with one sync, and nothing after it before that sync has returned. So only the last one may be
//! *torn*: cut short, or with sectors of zeros in it that were never written. That was never acknowledged and is cut off. Anything else
//! that is wrong is damage.

use crate::value::{Kind, Value, code, decode};
use grid::{Quality, Timestamp};
use sha2::{Digest, Sha256};

/// What a disk writes whole or not at all, bytes.
const SECTOR: usize = 512;
/// Bytes of a group before its values, and of a value.
pub(crate) const HEAD: usize = 12;
pub(crate) const ROW: usize = 42;
/// Values of one group, at most.
pub const GROUP_MAX: usize = 1 << 20;

const QUALITIES: [Quality; 6] = [
    Quality::Measured,
    Quality::Estimated,
    Quality::Substituted,
    Quality::Forecast,
    Quality::Missing,
    Quality::Implausible,
];

/// Appends a group; of more than [`GROUP_MAX`] values several.
pub fn write(values: &[Value], bytes: &mut Vec<u8>) {
    for group in values.chunks(GROUP_MAX) {
        let start = bytes.len();
        bytes.reserve(HEAD + ROW * group.len());
        bytes.extend_from_slice(&(group.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        for value in group {
            write_row(value, bytes);
        }
        let sum = checksum(&bytes[start..start + 4], &bytes[start + HEAD..]);
        bytes[start + 4..start + HEAD].copy_from_slice(&sum);
    }
}

fn checksum(count: &[u8], rows: &[u8]) -> [u8; 8] {
    let digest = Sha256::new().chain_update(count).chain_update(rows).finalize();
    let mut sum = [0; 8];
    sum.copy_from_slice(&digest[..8]);
    sum
}

fn write_row(value: &Value, bytes: &mut Vec<u8>) {
    let quality = QUALITIES.iter().position(|quality| *quality == value.quality).unwrap_or(4);
    bytes.extend_from_slice(&[value.kind as u8, quality as u8]);
    bytes.extend_from_slice(&code(value.point).to_le_bytes());
    bytes.extend_from_slice(&value.value.to_le_bytes());
    bytes.extend_from_slice(&value.std.unwrap_or(f64::NAN).to_le_bytes());
    bytes.extend_from_slice(&micros(value.measured_at).to_le_bytes());
    bytes.extend_from_slice(&micros(value.received_at).to_le_bytes());
}

pub(crate) fn micros(at: Timestamp) -> i64 {
    at.nanos().div_euclid(1000)
}

/// Instants beyond what nanoseconds can count are cut to the last one.
pub(crate) fn from_micros(micros: i64) -> Timestamp {
    Timestamp::from_nanos(micros.saturating_mul(1000))
}

fn read_row(row: &[u8]) -> Option<Value> {
    let word = |at: usize| -> Option<[u8; 8]> { row.get(at..at + 8)?.try_into().ok() };
    let std = f64::from_le_bytes(word(18)?);
    let value = Value {
        kind: *Kind::ALL.get(usize::from(*row.first()?))?,
        quality: *QUALITIES.get(usize::from(*row.get(1)?))?,
        point: decode(u64::from_le_bytes(word(2)?))?,
        value: f64::from_le_bytes(word(10)?),
        std: std.is_finite().then_some(std),
        measured_at: from_micros(i64::from_le_bytes(word(26)?)),
        received_at: from_micros(i64::from_le_bytes(word(34)?)),
    };
    value.value.is_finite().then_some(value)
}

/// Reads whole groups from the front; returns the values and how many bytes they take. Whatever the rest is, it is left.
pub fn read(bytes: &[u8]) -> (Vec<Value>, usize) {
    let (mut values, mut at) = (Vec::new(), 0);
    while let Some(group) = group_at(bytes, at) {
        let before = values.len();
        values.extend(group.chunks_exact(ROW).map_while(read_row));
        if values.len() - before != group.len() / ROW {
            values.truncate(before);
            break;
        }
        at += HEAD + group.len();
    }
    (values, at)
}

/// The rows of the group that begins at a byte, when it is whole.
fn group_at(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let head = bytes.get(at..at + HEAD)?;
    let count = u32::from_le_bytes(head.get(..4)?.try_into().ok()?) as usize;
    if count == 0 || count > GROUP_MAX {
        return None;
    }
    let rows = bytes.get(at + HEAD..at + HEAD + count * ROW)?;
    (checksum(&head[..4], rows) == head[4..]).then_some(rows)
}

/// Bytes of a group by its first ones.
pub(crate) fn length_of(head: &[u8]) -> usize {
    let count = head.first_chunk().map_or(0, |count| u32::from_le_bytes(*count));
    HEAD + count as usize * ROW
}

/// Where the last of the groups in `bytes` begins, all of which are whole.
pub(crate) fn last_group(bytes: &[u8]) -> usize {
    let (mut last, mut at) = (0, 0);
    while let Some(count) = bytes.get(at..at + 4).and_then(|count| count.try_into().ok()) {
        last = at;
        at += HEAD + u32::from_le_bytes(count) as usize * ROW;
    }
    last
}

/// Whether what begins at byte `at` and is no whole group is one that was never finished, and nothing but that.
pub(crate) fn is_torn(bytes: &[u8], at: usize) -> bool {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((head, rows)) = rest.split_at_checked(HEAD) else { return true };
    let end = match unwritten(bytes, at, 0..HEAD) {
        true => None,
        false => {
            let count = head.iter().take(4).rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            Some(HEAD + count * ROW).filter(|_| (1..=GROUP_MAX).contains(&count))
        }
    };
    match end {
        Some(end) if end < rest.len() => return false,
        Some(end) if end == rest.len() && !unwritten(bytes, at, 0..end) => return false,
        None if !unwritten(bytes, at, 0..HEAD) => return false,
        _ => {}
    }
    // All of it is there, and its number is wrong.
    let count = u32::try_from(rows.len() / ROW).unwrap_or(0).to_le_bytes();
    if rows.len().is_multiple_of(ROW) && checksum(&count, rows)[..] == head[4..] {
        return false;
    }
    // What was written of it are rows; groups that follow would not fall into step with them.
    rows.chunks_exact(ROW)
        .zip((HEAD..).step_by(ROW))
        .all(|(row, from)| read_row(row).is_some() || unwritten(bytes, at, from..from + ROW))
}

/// Whether one of the sectors in which bytes `of` a group lie was never written, as far as it is the group's. The last byte of a
/// group is a zero anyhow.
fn unwritten(bytes: &[u8], at: usize, of: std::ops::Range<usize>) -> bool {
    let sectors = (at + of.start) / SECTOR..(at + of.end).div_ceil(SECTOR);
    let mut parts = sectors.map(|sector| {
        let (from, until) = ((sector * SECTOR).max(at), ((sector + 1) * SECTOR).min(bytes.len()));
        (from, bytes.get(from..until).unwrap_or_default())
    });
    parts.any(|(from, part)| (from == at || part.len() > 1) && part.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn values() -> impl Strategy<Value = Vec<Value>> {
        let one = (
            0_usize..3,
            0_usize..5,
            0_u32..50,
            0_u64..5,
            0_u64..4,
            -1e9_f64..1e9,
            prop::option::of(0_f64..1e3),
            0_i64..4_000_000,
            0_i64..9_000_000,
        );
        let one =
            one.prop_map(|(kind, quality, number, quantity, phase, value, std, measured, received)| Value {
                kind: Kind::ALL[kind],
                quality: QUALITIES[quality],
                point: decode(((kind as u64) << 40) | (u64::from(number) << 8) | (quantity << 2) | phase)
                    .unwrap(),
                value,
                std,
                measured_at: from_micros(measured * 1000),
                received_at: from_micros(received),
            });
        prop::collection::vec(one, 1..60)
    }

    proptest! {
        #[test]
        fn groups_round_trip_and_a_torn_end_is_left(groups in prop::collection::vec(values(), 1..5), cut in 1_usize..500) {
            let (mut bytes, mut ends) = (Vec::new(), vec![0]);
            for group in &groups {
                write(group, &mut bytes);
                ends.push(bytes.len());
            }
            let all: Vec<Value> = groups.concat();
            prop_assert_eq!(read(&bytes), (all.clone(), bytes.len()));
            let torn = &bytes[..bytes.len() - cut.min(bytes.len())];
            let (values, whole) = read(torn);
            prop_assert!(ends.contains(&whole));
            prop_assert_eq!(&values[..], &all[..values.len()]);
        }

        #[test]
        fn any_flipped_bit_is_noticed(group in values(), at in 0_usize..10_000, bit in 0_u32..8) {
            let mut bytes = Vec::new();
            write(&group, &mut bytes);
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(read(&bytes), (Vec::new(), 0));
        }

        #[test]
        fn rubbish_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
