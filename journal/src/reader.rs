//! Reading segments one after the other.

use crate::error::JournalError;
use crate::layout::io_in;
use crate::record::{HEAD, Record, Stop, Version};
use crate::segment::{self, Broken, Expected, Position, SECTOR, VERSION};
use files::Disk;

/// Where reading ended.
pub(crate) struct Walked {
    /// The newest whole record.
    pub position: Position,
    /// The segment to go on with; none when not even the first one was begun.
    pub active: Option<Active>,
    /// What was never finished at the end.
    pub torn: Option<Torn>,
    /// Bytes read.
    pub bytes: u64,
}

/// The last segment that is there.
pub(crate) struct Active {
    pub name: String,
    /// Where its newest group, or its head, begins.
    pub last: u64,
    /// Where the next group begins.
    pub end: u64,
    /// Whether its version is today's.
    pub current: bool,
}

/// The unfinished end of the last segment.
pub(crate) struct Torn {
    pub name: String,
    /// Where it begins; 0 when not even the head is whole.
    pub at: u64,
    pub bytes: Vec<u8>,
}

/// Reads `segments`, the first of which goes on after `from`. `tip` is the newest record that must be there.
pub(crate) fn walk(
    disk: &dyn Disk,
    segments: &[(u64, String)],
    from: Position,
    tip: Option<&Position>,
    visit: &mut dyn FnMut(Record<'_>, &Position) -> Result<(), Stop<JournalError>>,
) -> Result<Walked, JournalError> {
    let acknowledged = tip.map_or(0, |tip| tip.number);
    check_tip(disk, tip, &from)?;
    let mut walked = Walked { position: from, active: None, torn: None, bytes: 0 };
    for (index, (first, name)) in segments.iter().enumerate() {
        let last = index + 1 == segments.len();
        let bytes = disk.read(name, 0, u64::MAX).map_err(io_in(disk, name, "reading the journal"))?;
        walked.bytes += bytes.len() as u64;
        let newest = walked.position.number;
        if *first != newest + 1 {
            return Err(gap(disk, newest + 1, *first, name));
        }
        if !check_head(disk, name, &bytes, &walked.position, last && acknowledged <= newest)? {
            walked.torn = Some(Torn { name: name.clone(), at: 0, bytes });
            break;
        }
        let mut checked = |record: Record<'_>, position: &Position| {
            check_tip(disk, tip, position).map_err(Stop::Refused)?;
            visit(record, position)
        };
        let expected = Expected { acknowledged, last };
        let read = segment::read(&bytes, walked.position.clone(), expected, &mut checked)?;
        walked.position = read.position;
        let (last, end) = (read.last as u64, read.end as u64);
        let current = segment::version(&bytes) == Some(Version::Three);
        walked.active = Some(Active { name: name.clone(), last, end, current });
        match read.broken {
            None => {}
            Some(Broken::Torn) => {
                let bytes = bytes.get(read.end..).unwrap_or_default().to_vec();
                walked.torn = Some(Torn { name: name.clone(), at: end, bytes });
            }
            Some(Broken::Unknown { number, reason }) => {
                let what = format!("record {number} is whole, and not known here ({reason})");
                return Err(JournalError::Newer { path: disk.place().join(name), what });
            }
            Some(Broken::Damaged { number, offset, reason }) => {
                let (path, offset, good) = (disk.place().join(name), offset as u64, number - 1);
                return Err(JournalError::Damaged { path, number, offset, reason, good });
            }
        }
    }
    if acknowledged > walked.position.number {
        let reason = format!(
            "market.tip says that record {acknowledged} was acknowledged. Restore the files, or remove market.tip \
             when this is a copy that was made while the program ran"
        );
        return Err(JournalError::Missing { path: disk.place(), number: walked.position.number + 1, reason });
    }
    Ok(walked)
}

fn gap(disk: &dyn Disk, number: u64, first: u64, name: &str) -> JournalError {
    let reason = format!("{name} begins with record {first}; restore the segment before it");
    JournalError::Missing { path: disk.place(), number, reason }
}

/// The tip's record must be the one with the tip's chain.
fn check_tip(disk: &dyn Disk, tip: Option<&Position>, position: &Position) -> Result<(), JournalError> {
    match tip {
        Some(tip) if tip.number == position.number && tip.chain != position.chain && tip.number > 0 => {
            Err(JournalError::Damaged {
                path: disk.place(),
                number: tip.number,
                offset: 0,
                reason: "market.tip knows another record of this number: files of two journals are mixed"
                    .into(),
                good: tip.number - 1,
            })
        }
        _ => Ok(()),
    }
}

/// Whether a segment's head is there; false when it was never finished, which only the last one's may be.
fn check_head(
    disk: &dyn Disk,
    name: &str,
    bytes: &[u8],
    before: &Position,
    may_be_torn: bool,
) -> Result<bool, JournalError> {
    let (head, older) = (segment::head(before), segment::head_of(Version::Two, before));
    let version_1 = before.number == 0 && bytes.starts_with(HEAD);
    let found = bytes.get(..SECTOR);
    if version_1 || found == Some(&head[..]) || found == Some(&older[..]) {
        return Ok(true);
    }
    let begun = |head: &[u8]| head.starts_with(bytes);
    let unwritten = bytes.len() <= SECTOR && bytes.iter().all(|byte| *byte == 0);
    if may_be_torn && (unwritten || begun(&head) || begun(&older) || (before.number == 0 && begun(HEAD))) {
        return Ok(false);
    }
    let path = disk.place().join(name);
    if let Some(version) = segment::newer_version(bytes) {
        let what = format!("it is a journal of version {version}; known here are 1 to {VERSION}");
        return Err(JournalError::Newer { path, what });
    }
    if before.number == 0 && !bytes.starts_with(b"gridflex journal ") {
        return Err(JournalError::Foreign { path });
    }
    let reason = match segment::parse_head(bytes) {
        Some(other) if other.number == before.number => "its segment goes on from another journal",
        _ => "the head of its segment is damaged",
    };
    let (number, reason) = (before.number + 1, reason.to_owned());
    Err(JournalError::Damaged { path, number, offset: 0, reason, good: before.number })
}
