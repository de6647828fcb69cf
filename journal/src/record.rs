//! How facts become bytes. Pure functions, no file.
//!
//! ```text
//! record = length check chain payload      4 (little endian, counts the payload), 4, 32 and length bytes
//! check  = first 4 bytes of SHA-256(previous chain ‖ length)
//! chain  = SHA-256(previous chain ‖ length ‖ payload)
//! ```
//!
//! The payload is the JSON of an [`Entry`]. A flipped bit, a removed or moved record breaks the chain from there on.
//! [`segment`](crate::segment) says where the first previous chain comes from.
//!
//! A journal of version 1 is one file of `"gridflex journal 1\n"` and records; its first previous chain is SHA-256 of
//! that line. A record cut short at its end, or never filled with anything but zeros, is a torn write that was
//! never acknowledged; the check of the length keeps a flipped length from looking like one.

use grid::Timestamp;
use market::MarketEvent;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First bytes of a journal of version 1, a single file.
pub const HEAD: &[u8; 19] = b"gridflex journal 1\n";
/// Largest payload, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAME: usize = 40;

/// A fingerprint of everything up to and including a record.
pub type Chain = [u8; 32];

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)] // nearly every record is a market fact; a box would only add an allocation to each
pub enum Fact {
    /// A system was started on this journal.
    Opened {
        /// What it was started with, so that a journal is not continued by another scenario.
        configuration: String,
    },
    /// Time passed and all was well; lets a restart know how far the run had come.
    Reached,
    /// A market fact.
    Market(MarketEvent),
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Counted from 1 without gaps.
    pub number: u64,
    /// When it was handed to the journal.
    pub written_at: Timestamp,
    /// The fact.
    pub fact: Fact,
}

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Defect {
    /// The bytes end inside the record.
    Torn,
    /// The chain does not match: something was changed, removed or inserted.
    Chain,
    /// The payload is no entry.
    Payload(String),
}

/// The chain before the first record.
pub fn first_chain() -> Chain {
    Sha256::digest(HEAD).into()
}

/// An [`Entry`] as it is written.
#[derive(Serialize)]
struct Written<'a> {
    number: u64,
    written_at: Timestamp,
    fact: &'a Fact,
}

/// Appends one record to `bytes` and moves `chain` on.
pub fn encode(
    number: u64,
    written_at: Timestamp,
    fact: &Fact,
    chain: &mut Chain,
    bytes: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let payload = serde_json::to_vec(&Written { number, written_at, fact })?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are written", payload.len());
        return Err(serde::ser::Error::custom(reason));
    }
    let length = (payload.len() as u32).to_le_bytes();
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(&check(chain, length));
    *chain = link(chain, length, &payload);
    bytes.extend_from_slice(chain);
    bytes.extend_from_slice(&payload);
    Ok(())
}

/// Reads the record at the start of `bytes` and moves `chain` on. Returns the entry and its length in bytes.
pub fn decode(bytes: &[u8], chain: &mut Chain) -> Result<(Entry, usize), Defect> {
    let Some((frame, rest)) = bytes.split_at_checked(FRAME) else { return Err(Defect::Torn) };
    let length = [frame[0], frame[1], frame[2], frame[3]];
    if frame[4..8] != check(chain, length) {
        return Err(if bytes[8..].iter().all(|byte| *byte == 0) { Defect::Torn } else { Defect::Chain });
    }
    let size = u32::from_le_bytes(length) as usize;
    let Some(payload) = rest.get(..size) else { return Err(Defect::Torn) };
    let next = link(chain, length, payload);
    if next != frame[8..] {
        // JSON never ends with a zero byte: the end of this last record was never written.
        let unwritten = size == rest.len() && payload.last() == Some(&0);
        return Err(if unwritten { Defect::Torn } else { Defect::Chain });
    }
    let entry = serde_json::from_slice(payload).map_err(|error| Defect::Payload(error.to_string()))?;
    *chain = next;
    Ok((entry, FRAME + size))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A chain from its hexadecimal digits.
pub(crate) fn unhex(digits: &str) -> Option<Chain> {
    let mut chain = Chain::default();
    if digits.len() != 2 * chain.len() || !digits.is_ascii() {
        return None;
    }
    for (at, byte) in chain.iter_mut().enumerate() {
        *byte = u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(chain)
}

fn check(previous: &Chain, length: [u8; 4]) -> [u8; 4] {
    let digest: Chain = Sha256::new().chain_update(previous).chain_update(length).finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn link(previous: &Chain, length: [u8; 4], payload: &[u8]) -> Chain {
    Sha256::new().chain_update(previous).chain_update(length).chain_update(payload).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let (mut chain, mut bytes) = (first_chain(), Vec::new());
        for number in 1..=3 {
            let at = Timestamp::from_seconds(number as i64);
            encode(number, at, &Fact::Reached, &mut chain, &mut bytes).unwrap();
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> (u64, Option<Defect>) {
        let (mut chain, mut count) = (first_chain(), 0);
        while !bytes.is_empty() {
            match decode(bytes, &mut chain) {
                Ok((entry, size)) => {
                    count += 1;
                    assert_eq!(entry.number, count);
                    bytes = &bytes[size..];
                }
                Err(defect) => return (count, Some(defect)),
            }
        }
        (count, None)
    }

    #[test]
    fn every_cut_leaves_a_whole_prefix() {
        let bytes = three();
        let size = bytes.len() / 3;
        for cut in 0..bytes.len() {
            let (count, defect) = read(&bytes[..cut]);
            assert_eq!(count as usize, cut / size);
            assert_eq!(defect, (cut % size != 0).then_some(Defect::Torn));
        }
        assert_eq!(read(&bytes), (3, None));
    }

    #[test]
    fn a_tail_of_zeros_was_never_written() {
        let whole = three();
        let size = whole.len() / 3;
        for zeros in 1..size {
            let mut bytes = whole.clone();
            let end = bytes.len();
            bytes[end - zeros..].fill(0);
            assert_eq!(read(&bytes), (2, Some(Defect::Torn)), "{zeros} zeros");
        }
        let mut bytes = whole;
        bytes.extend_from_slice(&[0; 4096]);
        assert_eq!(read(&bytes), (3, Some(Defect::Torn)));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = three();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                let found = matches!(read(&broken).1, Some(Defect::Chain));
                assert!(found, "flip of bit {bit} at {at} was not found or taken for a torn write");
            }
        }
    }
}
