//! One file of the journal: a head, then groups of records that were synced together.
//!
//! ```text
//! segment = head group*                    everything begins at a multiple of 512 bytes
//! head    = "gridflex journal 3 first 000000051234 after " 64 hex digits " check " 16 hex digits, spaces, "\n"
//! group   = frame record* zeros            up to the next multiple of 512
//! frame   = "GFGROUP\n" first count bytes chain check                8, 8, 4, 4, 32, 8 bytes, little endian
//! ```
//!
//! *first* is the number of the first record, *after* the chain of the record before it (zeros before record 1); the first
//! previous chain of a segment is SHA-256 of its head. A frame has its first record's number, how many records and bytes
//! follow, the chain before them, and the first 8 bytes of SHA-256 of all that. A head's check is that of what is before it.
//! A segment of version 2 differs in its head's number and in its records.
//!
//! # Torn or damaged
//!
//! A group is written with one sync, and nothing after it before that sync has returned. So a group with another one after
//! it was synced, and anything wrong with it is damage. The last group of the last segment may be *torn*: cut short,
//! or with sectors of zeros in it that were never written, in any order. Anything else wrong with it is damage, too, and
//! so is a group that the tip says was acknowledged. What is torn is cut off; damage stops the start.

use crate::record::{Chain, Defect, HEAD, Record, Stop, Version, check_next, first_chain, hex, unhex};
use sha2::{Digest, Sha256};
use std::ops::Range;

/// What a disk writes whole or not at all, bytes.
pub const SECTOR: usize = 512;
/// The newest version that is known, and the one that is written.
pub(crate) const VERSION: u32 = 3;
const MAGIC: &[u8; 8] = b"GFGROUP\n";
const FRAME: usize = 64;

/// The newest record and its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Its number, 0 before the first.
    pub number: u64,
    /// The fingerprint of everything up to it.
    pub chain: Chain,
}

impl Position {
    /// Before the first record.
    pub fn start() -> Self {
        Self { number: 0, chain: Chain::default() }
    }
}

/// The version of the segment with these first bytes; nothing when they are no head.
pub(crate) fn version(bytes: &[u8]) -> Option<Version> {
    let begins = |head: &[u8]| bytes.starts_with(head);
    match () {
        () if begins(HEAD) => Some(Version::One),
        () if begins(b"gridflex journal 2 ") => Some(Version::Two),
        () if begins(b"gridflex journal 3 ") => Some(Version::Three),
        () => None,
    }
}

/// The version of a segment with these first bytes when it is one that this program does not know yet.
pub(crate) fn newer_version(bytes: &[u8]) -> Option<u32> {
    let text = bytes.strip_prefix(b"gridflex journal ")?;
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let version = std::str::from_utf8(text.get(..digits.min(9))?).ok()?.parse().ok()?;
    let newer = version > VERSION && matches!(text.get(digits), Some(b' ' | b'\n'));
    let flipped = b"23".iter().any(|known| is_checked_as(bytes, "gridflex journal ", *known));
    (newer && !flipped).then_some(version)
}

/// Whether a line would be one of ours if the digit after `start` were another one: its check says so. Then that digit is damaged.
pub(crate) fn is_checked_as(line: &[u8], start: &str, digit: u8) -> bool {
    const CHECK: &[u8] = b"check ";
    let mut line = line.get(..line.len().min(SECTOR)).unwrap_or_default().to_vec();
    let Some(at) = line.windows(CHECK.len()).position(|word| word == CHECK) else { return false };
    line.get_mut(start.len()).map(|found| std::mem::replace(found, digit));
    let check: Chain = Sha256::digest(line.get(..at).unwrap_or_default()).into();
    let found = line.get(at + CHECK.len()..at + CHECK.len() + 16);
    found == Some(&hex(&check).as_bytes()[..16])
}

/// The head of the segment that goes on after a position.
pub(crate) fn head(after: &Position) -> [u8; SECTOR] {
    head_of(Version::Three, after)
}

/// The head of a segment with groups.
pub(crate) fn head_of(version: Version, after: &Position) -> [u8; SECTOR] {
    let version = if version == Version::Two { 2 } else { 3 };
    let (first, chain) = (after.number + 1, hex(&after.chain));
    let words = format!("gridflex journal {version} first {first:012} after {chain} ");
    let check: Chain = Sha256::digest(&words).into();
    let mut head = [b' '; SECTOR];
    for (to, from) in head.iter_mut().zip(format!("{words}check {}", &hex(&check)[..16]).bytes()) {
        *to = from;
    }
    head[SECTOR - 1] = b'\n';
    head
}

/// Where the segment with these first bytes goes on; nothing when they are no head.
pub(crate) fn parse_head(bytes: &[u8]) -> Option<Position> {
    let version = version(bytes)?;
    if version == Version::One {
        return Some(Position::start());
    }
    let text = std::str::from_utf8(bytes.get(..SECTOR)?).ok()?;
    let mut words = text.get("gridflex journal 3 first ".len()..)?.split(' ');
    let first: u64 = words.next()?.parse().ok()?;
    let chain = (words.next()? == "after").then(|| words.next())??;
    let position = Position { number: first.checked_sub(1)?, chain: unhex(chain)? };
    (head_of(version, &position) == bytes[..SECTOR]).then_some(position)
}

/// The chain before the first record of a segment with this head.
pub(crate) fn chain_of_head(head: &[u8]) -> Chain {
    Sha256::digest(head).into()
}

/// Puts a frame before encoded records and zeros after them. `bytes` has room for the frame at its front.
pub(crate) fn close_group(before: &Position, count: u32, bytes: &mut Vec<u8>) {
    let length = (bytes.len() - FRAME) as u32;
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&(before.number + 1).to_le_bytes());
    bytes[16..20].copy_from_slice(&count.to_le_bytes());
    bytes[20..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..56].copy_from_slice(&before.chain);
    let check: Chain = Sha256::digest(&bytes[..56]).into();
    bytes[56..FRAME].copy_from_slice(&check[..8]);
    bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
}

/// A buffer for a group's records.
pub(crate) fn open_group() -> Vec<u8> {
    vec![0; FRAME]
}

struct Frame {
    first: u64,
    count: u32,
    length: usize,
    chain: Chain,
}

fn parse_frame(bytes: &[u8]) -> Option<Frame> {
    let bytes = bytes.get(..FRAME).filter(|bytes| bytes.starts_with(MAGIC))?;
    let check: Chain = Sha256::digest(&bytes[..56]).into();
    if check[..8] != bytes[56..] {
        return None;
    }
    Some(Frame {
        first: u64::from_le_bytes(bytes[8..16].try_into().ok()?),
        count: u32::from_le_bytes(bytes[16..20].try_into().ok()?),
        length: u32::from_le_bytes(bytes[20..24].try_into().ok()?) as usize,
        chain: bytes[24..56].try_into().ok()?,
    })
}

/// Why the reading of a segment ended before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The last group was never finished.
    Torn,
    /// A record is not what was written.
    Damaged {
        /// Which, at the earliest.
        number: u64,
        /// Where it begins.
        offset: usize,
        /// In what way.
        reason: String,
    },
    /// A record is what was written, and this program does not know what it says.
    Unknown {
        /// Which.
        number: u64,
        /// What is not known.
        reason: String,
    },
}

/// What reading a segment found.
pub(crate) struct Segment {
    /// The newest whole record.
    pub position: Position,
    /// Bytes up to the end of its group.
    pub end: usize,
    /// Where that group begins: what was written with the newest sync; the head where there is none.
    pub last: usize,
    /// Why it did not go on to the end of the file.
    pub broken: Option<Broken>,
}

/// Whether records up to `acknowledged` must be there, and whether another segment follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub acknowledged: u64,
    pub last: bool,
}

/// Reads a whole segment that goes on after `position`, whose head was checked.
pub(crate) fn read<E>(
    bytes: &[u8],
    mut position: Position,
    expected: Expected,
    visit: &mut dyn FnMut(Record<'_>, &Position) -> Result<(), Stop<E>>,
) -> Result<Segment, E> {
    let version = match version(bytes) {
        Some(Version::One) | None => return read_version_1(bytes, expected, visit),
        Some(version) => version,
    };
    let (mut at, mut last) = (SECTOR, 0);
    let mut chain = chain_of_head(&bytes[..SECTOR]);
    let mut records = Vec::new();
    while at < bytes.len() {
        records.clear();
        let group_at = at;
        match check_group(version, &bytes[at..], position.number, chain, &mut records) {
            Ok(size) => at += size,
            Err((whole, offset, reason)) => {
                let number = position.number + whole + 1;
                let (first, offset) = (position.number + 1, at + offset);
                let torn = expected.last && first > expected.acknowledged && is_torn(&bytes[at..], first);
                let broken = if torn { Broken::Torn } else { Broken::Damaged { number, offset, reason } };
                let broken = Some(broken);
                return Ok(Segment { position, end: at, last, broken });
            }
        }
        last = group_at;
        for (payload, after) in records.drain(..) {
            let (number, offset) = (position.number + 1, group_at + payload.start);
            let record = Record { version, number, payload: &bytes[offset..group_at + payload.end] };
            let next = Position { number, chain: after };
            match visit(record, &next) {
                Ok(()) => (chain, position) = (after, next),
                Err(Stop::Refused(error)) => return Err(error),
                Err(Stop::Unreadable(defect)) => {
                    let broken = Some(unreadable(number, offset, defect));
                    return Ok(Segment { position, end: group_at, last, broken });
                }
            }
        }
    }
    Ok(Segment { position, end: at, last, broken: None })
}

/// Checks one whole group and says where its payloads are, and the chain after each; else how many of its records are
/// whole, where they end, and what is wrong after them.
fn check_group(
    version: Version,
    bytes: &[u8],
    newest: u64,
    mut chain: Chain,
    payloads: &mut Vec<(Range<usize>, Chain)>,
) -> Result<usize, (u64, usize, String)> {
    let Some(frame) = parse_frame(bytes) else { return Err((0, 0, "there is no frame of a group".into())) };
    if frame.first != newest + 1 {
        return Err((0, 0, format!("its group carries number {}", frame.first)));
    }
    if frame.chain != chain {
        return Err((0, 0, "its group belongs to another chain".into()));
    }
    let end = FRAME + frame.length;
    let records = bytes.get(..end.min(bytes.len())).unwrap_or_default();
    let mut at = FRAME;
    for count in 0..u64::from(frame.count) {
        let rest = records.get(at..).unwrap_or_default();
        let payload = check_next(version, rest, &mut chain).map_err(|defect| (count, at, words(defect)))?;
        payloads.push((at + payload.start..at + payload.end, chain));
        at += payload.end;
    }
    let count = u64::from(frame.count);
    let padding = bytes.get(end..end.next_multiple_of(SECTOR));
    if count == 0 || at != end || padding.is_none_or(|zeros| zeros.iter().any(|byte| *byte != 0)) {
        return Err((count, at, "the end of its group is not as it was written".into()));
    }
    Ok(end.next_multiple_of(SECTOR))
}

/// What a defect in the payload of a record comes to whose chain is whole.
fn unreadable(number: u64, offset: usize, defect: Defect) -> Broken {
    match defect {
        Defect::Unknown(reason) => Broken::Unknown { number, reason },
        defect => Broken::Damaged { number, offset, reason: words(defect) },
    }
}

fn words(defect: Defect) -> String {
    match defect {
        Defect::Torn => "it ends too early".into(),
        Defect::Chain => "its checksum does not match".into(),
        Defect::Payload(reason) | Defect::Unknown(reason) => reason,
    }
}

/// Whether what is wrong with the group at the start of `bytes` is that some of it was never written.
fn is_torn(bytes: &[u8], first: u64) -> bool {
    let later = |sector: &[u8]| parse_frame(sector).is_some_and(|frame| frame.first > first);
    if bytes.chunks(SECTOR).skip(1).any(later) {
        return false;
    }
    match parse_frame(bytes) {
        Some(frame) => {
            let end = (FRAME + frame.length).next_multiple_of(SECTOR);
            let Some((group, rest)) = bytes.split_at_checked(end) else { return true };
            is_unwritten(rest) && group.chunks(SECTOR).any(is_unwritten)
        }
        // A frame lies in one sector: it is cut short, or not there at all.
        None => bytes.len() < FRAME || is_unwritten(&bytes[..SECTOR.min(bytes.len())]),
    }
}

fn is_unwritten(sector: &[u8]) -> bool {
    sector.iter().all(|byte| *byte == 0)
}

fn read_version_1<E>(
    bytes: &[u8],
    expected: Expected,
    visit: &mut dyn FnMut(Record<'_>, &Position) -> Result<(), Stop<E>>,
) -> Result<Segment, E> {
    let (mut position, mut at) = (Position { number: 0, chain: first_chain() }, HEAD.len());
    let mut last = 0;
    while at < bytes.len() {
        let number = position.number + 1;
        let mut next = Position { number, chain: position.chain };
        let read = check_next(Version::One, &bytes[at..], &mut next.chain).map_err(Stop::Unreadable);
        let read = read.and_then(|payload| {
            let (size, payload) = (payload.end, &bytes[at + payload.start..at + payload.end]);
            visit(Record { version: Version::One, number, payload }, &next).map(|()| size)
        });
        let defect = match read {
            Ok(size) => {
                position = next;
                (last, at) = (at, at + size);
                continue;
            }
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Unreadable(defect)) => defect,
        };
        let broken = match defect {
            Defect::Torn if expected.last && number > expected.acknowledged => Some(Broken::Torn),
            defect => Some(unreadable(number, at, defect)),
        };
        return Ok(Segment { position, end: at, last, broken });
    }
    Ok(Segment { position, end: at, last, broken: None })
}
