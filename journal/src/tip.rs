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

use files::Disk;
use crate::layout::TIP_NAME;
use crate::record::{Chain, hex, unhex};
use crate::segment::Position;
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
pub(crate) fn read(disk: &dyn Disk) -> Tip {
    let bytes = match disk.read(TIP_NAME, 0, LENGTH as u64 + 1) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Tip::Absent,
        Err(error) => return Tip::Damaged(format!("{TIP_NAME} cannot be read: {error}")),
    };
    if bytes.iter().all(|byte| *byte == 0) {
        return Tip::Absent;
    }
    match parse(&bytes).filter(|position| line(position).as_bytes() == bytes) {
        Some(position) => Tip::Known(position),
        None => Tip::Damaged(format!(
            "{TIP_NAME} is damaged: whether acknowledged records were cut off at the end cannot be told"
        )),
    }
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
