//! How facts become bytes. Pure functions, no file.
//!
//! ```text
//! record  = length chain payload           4 (little endian, counts the payload), 32 and length bytes
//! chain   = SHA-256(previous chain ‖ length ‖ payload)
//! payload = instant of writing, fact       packed as `grid::packed` and `market/src/packed.rs` say
//! fact    = 0 = opened { configuration }, 1 = reached, 2 = market(event)
//! ```
//!
//! A flipped bit, a removed or moved record breaks the chain from there on. [`segment`](crate::segment) says where the first
//! previous chain comes from, and counts the records.
//!
//! # Versions
//!
//! Versions 1 and 2 are read, 3 is written. In those two the payload is the JSON of an [`Entry`], and between length and
//! chain stand the first 4 bytes of SHA-256(previous chain ‖ length). A journal of version 1 is one file of
//! `"gridflex journal 1\n"` and records; its first previous chain is SHA-256 of that line. A record cut short at its end, or
//! never filled with anything but zeros, is a torn write that was never acknowledged; the check of the length keeps a
//! flipped length from looking like one.

use grid::packed::{Malformed, Packed, unpack_whole};
use grid::{Timestamp, packed};
use market::MarketEvent;
use serde::{Deserialize, Serialize};
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// First bytes of a journal of version 1, a single file.
pub(crate) const HEAD: &[u8; 19] = b"gridflex journal 1\n";
/// Largest payload, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Length and chain.
const FRAME: usize = 36;
/// Length, check and chain.
const OLD_FRAME: usize = 40;

/// How the records of a segment are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// JSON in one file without groups.
    One,
    /// JSON in groups.
    Two,
    /// Packed, in groups: what is written today.
    Three,
}

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

packed!(enum Fact { 0 = Opened { configuration }, 1 = Reached, 2 = Market(event) });

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
    /// The payload is as it was written, and says what this version of the program does not know.
    Unknown(String),
}

/// The chain before the first record of version 1.
pub(crate) fn first_chain() -> Chain {
    Sha256::digest(HEAD).into()
}

/// Whether a record can hold a fact; what it packs into is in `scratch` then.
///
/// # Errors
/// How large it is, and how large it may be.
pub fn check_size(fact: &Fact, scratch: &mut Vec<u8>) -> Result<(), String> {
    scratch.clear();
    Timestamp::default().pack(scratch);
    fact.pack(scratch);
    check_payload(scratch)
}

fn check_payload(payload: &[u8]) -> Result<(), String> {
    match payload.len() > PAYLOAD_BYTES_MAX {
        true => Err(format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are written", payload.len())),
        false => Ok(()),
    }
}

/// Appends one record to `bytes` and moves `chain` on.
pub(crate) fn encode(
    written_at: Timestamp,
    fact: &Fact,
    chain: &mut Chain,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let begin = bytes.len();
    bytes.extend_from_slice(&[0; FRAME]);
    written_at.pack(bytes);
    fact.pack(bytes);
    let (frame, payload) = bytes[begin..].split_at_mut(FRAME);
    check_payload(payload)?;
    let length = (payload.len() as u32).to_le_bytes();
    *chain = link(chain, length, payload);
    frame[..4].copy_from_slice(&length);
    frame[4..].copy_from_slice(chain);
    Ok(())
}

/// Checks the record at the start of `bytes` and moves `chain` on. Returns where its payload is; the record ends there.
pub(crate) fn check_next(
    version: Version,
    bytes: &[u8],
    chain: &mut Chain,
) -> Result<std::ops::Range<usize>, Defect> {
    let frame_length = if version == Version::Three { FRAME } else { OLD_FRAME };
    let Some((frame, rest)) = bytes.split_at_checked(frame_length) else { return Err(Defect::Torn) };
    let length = [frame[0], frame[1], frame[2], frame[3]];
    if version != Version::Three && frame[4..8] != check(chain, length) {
        return Err(if bytes[8..].iter().all(|byte| *byte == 0) { Defect::Torn } else { Defect::Chain });
    }
    let size = u32::from_le_bytes(length) as usize;
    let Some(payload) = rest.get(..size) else { return Err(Defect::Torn) };
    let next = link(chain, length, payload);
    if !frame.ends_with(&next) {
        // JSON never ends with a zero byte: the end of this last record was never written.
        let unwritten = size == rest.len() && payload.last() == Some(&0);
        return Err(if unwritten { Defect::Torn } else { Defect::Chain });
    }
    *chain = next;
    Ok(frame_length..frame_length + size)
}

/// A record as it lies in a segment: its chain was checked, what it says was not read yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub version: Version,
    /// Counted from 1.
    pub number: u64,
    pub payload: &'a [u8],
}

/// The number of [`Fact::Market`] among the facts.
const MARKET: u64 = 2;

impl<'a> Record<'a> {
    /// Reads all of it.
    pub fn entry(&self) -> Result<Entry, Defect> {
        let number = self.number;
        if self.version == Version::Three {
            let (written_at, fact) = unpack_whole::<(Timestamp, Fact)>(self.payload)?;
            return Ok(Entry { number, written_at, fact });
        }
        let entry: Entry =
            serde_json::from_slice(self.payload).map_err(|error| Defect::Unknown(error.to_string()))?;
        match entry.number == number {
            true => Ok(entry),
            false => Err(Defect::Payload(format!("it carries number {}", entry.number))),
        }
    }

    /// The packed market fact that it is, and when it was written; nothing when it has to be read as a whole.
    pub fn market(&self) -> Result<Option<(Timestamp, &'a [u8])>, Defect> {
        if self.version != Version::Three {
            return Ok(None);
        }
        let mut rest = self.payload;
        let written_at = Timestamp::unpack(&mut rest)?;
        Ok((u64::unpack(&mut rest)? == MARKET).then_some((written_at, rest)))
    }
}

impl From<Malformed> for Defect {
    fn from(error: Malformed) -> Self {
        Self::Unknown(error.to_string())
    }
}

/// Why reading does not go on behind a record.
#[derive(Debug)]
pub(crate) enum Stop<E> {
    /// What it says cannot be read.
    Unreadable(Defect),
    /// Whoever it was read for refuses it.
    Refused(E),
}

impl<E> From<Defect> for Stop<E> {
    fn from(defect: Defect) -> Self {
        Self::Unreadable(defect)
    }
}

impl<E> Stop<E> {
    /// Says otherwise why it was refused.
    pub fn because<F>(self, how: impl FnOnce(E) -> F) -> Stop<F> {
        match self {
            Self::Unreadable(defect) => Stop::Unreadable(defect),
            Self::Refused(error) => Stop::Refused(how(error)),
        }
    }
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

/// Bytes that SHA-256 takes at once.
const BLOCK: usize = 64;
/// Blocks of a record that is laid out whole.
const BLOCKS: usize = 8;
/// What SHA-256 begins with (FIPS 180-4, 5.3.3).
const BEGIN: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 of the three. Nearly all records are short: those are laid out at once with their padding (FIPS 180-4, 5.1.1),
/// instead of being handed on piece by piece.
fn link(previous: &Chain, length: [u8; 4], payload: &[u8]) -> Chain {
    let size = previous.len() + length.len() + payload.len();
    // A one bit and the number of bits follow.
    let count = (size + 9).div_ceil(BLOCK);
    let mut blocks = [[0; BLOCK]; BLOCKS];
    let Some(used) = blocks.get_mut(..count) else {
        return Sha256::new()
            .chain_update(previous)
            .chain_update(length)
            .chain_update(payload)
            .finalize()
            .into();
    };
    let bytes = used.as_flattened_mut();
    bytes[..32].copy_from_slice(previous);
    bytes[32..36].copy_from_slice(&length);
    bytes[36..size].copy_from_slice(payload);
    bytes[size] = 0x80;
    let end = bytes.len();
    bytes[end - 8..].copy_from_slice(&(8 * size as u64).to_be_bytes());
    let mut state = BEGIN;
    compress256(&mut state, used);
    let mut chain = Chain::default();
    for (to, from) in chain.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&from.to_be_bytes());
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Vec<u8> {
        let (mut chain, mut bytes) = (first_chain(), Vec::new());
        for number in 1..=3 {
            encode(Timestamp::from_seconds(number), &Fact::Reached, &mut chain, &mut bytes).unwrap();
        }
        bytes
    }

    fn read(mut bytes: &[u8]) -> (u64, Option<Defect>) {
        let (mut chain, mut count) = (first_chain(), 0);
        while !bytes.is_empty() {
            let entry = check_next(Version::Three, bytes, &mut chain).and_then(|payload| {
                let (version, number) = (Version::Three, count + 1);
                let record = Record { version, number, payload: &bytes[payload.clone()] };
                Ok((payload.end, record.entry()?))
            });
            match entry {
                Ok((end, entry)) => {
                    count += 1;
                    assert_eq!(entry.written_at, Timestamp::from_seconds(count as i64));
                    bytes = &bytes[end..];
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
    fn a_link_is_the_sha_256_of_what_it_links() {
        for size in 0..700 {
            let payload: Vec<u8> = (0..size).map(|at| (at * 7 + size) as u8).collect();
            let (before, length) = (first_chain(), (size as u32).to_le_bytes());
            let whole = [&before[..], &length, &payload].concat();
            assert_eq!(link(&before, length, &payload), Chain::from(Sha256::digest(whole)), "{size}");
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = three();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                assert!(read(&broken).1.is_some(), "flip of bit {bit} at {at} was not found");
            }
        }
    }
}
