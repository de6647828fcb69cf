//! How facts become bytes. Pure functions, no file.
//!
//! ```text
//! file   = head record*
//! head   = "gridflex journal 1\n"                                     19 bytes
//! record = length (u32, little endian) chain (32 bytes) payload      length counts the payload
//! chain  = SHA-256(previous chain ‖ length ‖ payload)                the first previous chain is SHA-256(head)
//! ```
//!
//! The payload is the JSON of an [`Entry`]. A flipped bit, a removed or moved record breaks the chain from there
//! on; a record cut short at the end of the file is a torn write that was never acknowledged.

use grid::Timestamp;
use market::MarketEvent;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// First bytes of every journal.
pub const HEAD: &[u8; 19] = b"gridflex journal 1\n";
/// Largest payload, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAME: usize = 36;

/// A fingerprint of everything up to and including a record.
pub type Chain = [u8; 32];

/// What is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Appends one record to `bytes` and moves `chain` on.
pub fn encode(entry: &Entry, chain: &mut Chain, bytes: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let payload = serde_json::to_vec(entry)?;
    let length = (payload.len() as u32).to_le_bytes();
    *chain = link(chain, length, &payload);
    bytes.extend_from_slice(&length);
    bytes.extend_from_slice(chain);
    bytes.extend_from_slice(&payload);
    Ok(())
}

/// Reads the record at the start of `bytes` and moves `chain` on. Returns the entry and its length in bytes.
pub fn decode(bytes: &[u8], chain: &mut Chain) -> Result<(Entry, usize), Defect> {
    let Some((frame, rest)) = bytes.split_at_checked(FRAME) else { return Err(Defect::Torn) };
    let length = [frame[0], frame[1], frame[2], frame[3]];
    let size = u32::from_le_bytes(length) as usize;
    if size > PAYLOAD_BYTES_MAX {
        return Err(Defect::Chain);
    }
    let Some(payload) = rest.get(..size) else { return Err(Defect::Torn) };
    let next = link(chain, length, payload);
    if next != frame[4..] {
        return Err(if size == rest.len() { Defect::Torn } else { Defect::Chain });
    }
    let entry = serde_json::from_slice(payload).map_err(|error| Defect::Payload(error.to_string()))?;
    *chain = next;
    Ok((entry, FRAME + size))
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
            let entry =
                Entry { number, written_at: Timestamp::from_seconds(number as i64), fact: Fact::Reached };
            encode(&entry, &mut chain, &mut bytes).unwrap();
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
