//! The newest acknowledged record, kept beside the segments.
//!
//! A journal that was cut off, or whose last segment was taken away, is a whole journal by itself. The tip tells. It is
//! written after each group's sync and before its acknowledgement, without a sync of its own: it may be old after a
//! power cut, but it is never ahead of what is on the disk.
//!
//! ```text
//! gridflex tip 1 record 000000051233 chain <64 hex digits> check <16 hex digits>
//! ```
//!
//! The check is the beginning of SHA-256 of what is before it.

use crate::error::JournalError;
use crate::layout::{TIP_NAME, io_in};
use crate::record::{Chain, hex, unhex};
use crate::segment::{Position, is_checked_as};
use files::Disk;
use sha2::{Digest, Sha256};

const LENGTH: usize = 160;

/// Text of the tip.
fn line(position: &Position) -> String {
    let words = format!("gridflex tip 1 record {:012} chain {} ", position.number, hex(&position.chain));
    let check: Chain = Sha256::digest(&words).into();
    let mut line = format!("{words}check {}", &hex(&check)[..16]);
    while line.len() < LENGTH - 1 {
        line.push(' ');
    }
    line.push('\n');
    line
}

/// Writes it over the one before.
pub(crate) fn write(disk: &dyn Disk, position: &Position) -> std::io::Result<()> {
    disk.write(TIP_NAME, 0, line(position).as_bytes())
}

/// What became of the tip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tip {
    /// It says this.
    Known(Position),
    /// It is not there, or was never written: it may have been left out of a copy, or lost in a power cut.
    Absent,
    /// It is there and is no tip.
    Damaged(String),
}

impl Tip {
    /// The newest record that must be there.
    pub fn position(&self) -> Option<&Position> {
        match self {
            Tip::Known(position) => Some(position),
            Tip::Absent | Tip::Damaged(_) => None,
        }
    }
}

/// What is said of a journal with records and without a tip.
pub(crate) const ABSENT: &str =
    "there is no market.tip: whether acknowledged records were cut off at the end cannot be told";

/// Reads it.
///
/// # Errors
/// When it is there and cannot be read, or when a later version of the program wrote it.
pub(crate) fn read(disk: &dyn Disk) -> Result<Tip, JournalError> {
    let bytes = match disk.read(TIP_NAME, 0, LENGTH as u64 + 1) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Tip::Absent),
        Err(error) => return Err(io_in(disk, TIP_NAME, "reading the newest acknowledged record")(error)),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(Tip::Absent);
    }
    if let Some(version) = newer_version(&bytes) {
        let what = format!("it is a tip of version {version}; known here is 1");
        return Err(JournalError::Newer { path: disk.place().join(TIP_NAME), what });
    }
    Ok(match parse(&bytes).filter(|position| line(position).as_bytes() == bytes) {
        Some(position) => Tip::Known(position),
        None => Tip::Damaged(format!(
            "{TIP_NAME} is damaged: whether acknowledged records were cut off at the end cannot be told"
        )),
    })
}

fn newer_version(bytes: &[u8]) -> Option<u32> {
    const START: &str = "gridflex tip ";
    let text = std::str::from_utf8(bytes).ok()?;
    let version = text.strip_prefix(START)?.split_once(' ')?.0.parse().ok()?;
    (version > 1 && !is_checked_as(bytes, START, b'1')).then_some(version)
}

fn parse(bytes: &[u8]) -> Option<Position> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut words = text.strip_prefix("gridflex tip 1 record ")?.split(' ');
    let number = words.next()?.parse().ok()?;
    let chain = (words.next()? == "chain").then(|| words.next())??;
    Some(Position { number, chain: unhex(chain)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_read_again_and_every_flipped_bit_of_it_is_found() {
        let position = Position { number: 51_233, chain: [7; 32] };
        let line = line(&position);
        assert_eq!((line.len(), parse(line.as_bytes())), (LENGTH, Some(position.clone())));
        for at in 0..line.len() * 8 {
            let mut bytes = line.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            let same = parse(&bytes).filter(|position| super::line(position).as_bytes() == bytes);
            assert_eq!(same, None, "bit {at}");
        }
    }
}
