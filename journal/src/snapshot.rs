//! Snapshots: the fold of all records up to the end of a segment, so that a start need not read them again.
//!
//! ```text
//! snapshot = head body
//! head     = "gridflex snapshot 5 record 000000051233 chain " 64 hex digits " bytes " 12 digits
//!            " sha256 " 64 hex digits " check " 16 hex digits, spaces, "\n"       512 bytes
//! body     = a Standing, packed (`grid::packed`)
//! ```
//!
//! *chain* is that of the record and must be the one that the next segment goes on from; *sha256* is the body's. A
//! snapshot is made from the files, never from memory: it holds nothing that is not synced, and is never the only copy
//! of anything. A damaged one is passed over. The newest two are kept.

use crate::error::{JournalError, contradiction};
use crate::layout::{Layout, io_in, snapshot_name};
use crate::reader::walk;
use crate::record::{Chain, hex, unhex};
use crate::segment::{Position, SECTOR, is_checked_as, parse_head};
use crate::standing::Standing;
use files::{Disk, SharedDisk};
use grid::packed::{pack_whole, unpack_whole};
use sha2::{Digest, Sha256};
use std::sync::{Arc, Mutex, PoisonError};

/// Snapshots that are kept.
const KEPT: usize = 2;
pub(crate) const UNFINISHED: &str = "market.snapshot.new";

const VERSION: u32 = 5;

/// The version of a snapshot with these first bytes. One of another version is of no use, and nothing is wrong with it.
fn version(bytes: &[u8]) -> Option<u32> {
    const START: &str = "gridflex snapshot ";
    let text = std::str::from_utf8(bytes.get(..40)?).ok()?;
    let version = text.strip_prefix(START)?.split_once(" record ")?.0.parse().ok()?;
    // With its own number it would be whole: that digit is damaged.
    (version == VERSION || !is_checked_as(bytes, START, b'5')).then_some(version)
}

/// Whether a snapshot was written by another version of the program.
pub(crate) fn is_of_other_version(disk: &dyn Disk, name: &str) -> bool {
    disk.read(name, 0, SECTOR as u64).is_ok_and(|bytes| version(&bytes).is_some_and(|found| found != VERSION))
}

fn head(position: &Position, bytes: usize, digest: &Chain) -> [u8; SECTOR] {
    let words = format!(
        "gridflex snapshot 5 record {:012} chain {} bytes {bytes:012} sha256 {} ",
        position.number,
        hex(&position.chain),
        hex(digest)
    );
    let check: Chain = Sha256::digest(&words).into();
    let mut head = [b' '; SECTOR];
    for (to, from) in head.iter_mut().zip(format!("{words}check {}", &hex(&check)[..16]).bytes()) {
        *to = from;
    }
    head[SECTOR - 1] = b'\n';
    head
}

fn parse(bytes: &[u8]) -> Option<Position> {
    let text = std::str::from_utf8(bytes.get(..SECTOR)?).ok()?;
    let mut words = text.strip_prefix("gridflex snapshot 5 record ")?.split(' ');
    let number = words.next()?.parse().ok()?;
    let chain = unhex((words.next()? == "chain").then(|| words.next())??)?;
    let position = Position { number, chain };
    let body = bytes.get(SECTOR..)?;
    let digest: Chain = Sha256::digest(body).into();
    (head(&position, body.len(), &digest) == bytes[..SECTOR]).then_some(position)
}

/// Reads a snapshot; an error in words when it is damaged.
pub(crate) fn load(disk: &dyn Disk, name: &str) -> Result<(Position, Standing), String> {
    let bytes = disk.read(name, 0, u64::MAX).map_err(|error| format!("{name} cannot be read: {error}"))?;
    let wrong = match version(&bytes) {
        Some(older) if older < VERSION => "of an older version",
        Some(newer) if newer > VERSION => "of a newer version of the program",
        _ => "damaged",
    };
    let position = parse(&bytes).ok_or_else(|| format!("{name} is {wrong}"))?;
    let standing: Standing = unpack_whole(&bytes[SECTOR..])
        .map_err(|error| format!("{name} was written by another version: {error}"))?;
    if standing.records > position.number || snapshot_name(position.number) != name {
        return Err(format!("{name} is of other records"));
    }
    Ok((position, standing))
}

/// The newest good snapshot with the index of the segment that goes on from it. What is passed over is noted.
pub(crate) fn newest_good(
    disk: &dyn Disk,
    layout: &Layout,
    notes: &mut Vec<String>,
) -> Option<(Position, Standing, usize)> {
    for (number, name) in layout.snapshots.iter().rev() {
        let Ok(index) = layout.segments.binary_search_by_key(&(number + 1), |(first, _)| *first) else {
            notes.push(format!("{name} is passed over: no segment goes on from it"));
            continue;
        };
        let after = disk.read(&layout.segments[index].1, 0, SECTOR as u64).ok();
        let after = after.and_then(|bytes| parse_head(&bytes));
        match load(disk, name) {
            Ok((position, standing)) if Some(&position) == after.as_ref() => {
                return Some((position, standing, index));
            }
            Ok(_) => {
                notes.push(format!("{name} is passed over: the segment after it goes on from another record"))
            }
            Err(words) => notes.push(format!("{words}, and is passed over")),
        }
    }
    None
}

/// The segment that goes on from what is known already.
fn goes_on(
    disk: &dyn Disk,
    layout: &Layout,
    position: Position,
    standing: Standing,
) -> Option<(Position, Standing, usize)> {
    let index = layout.segments.binary_search_by_key(&(position.number + 1), |(first, _)| *first).ok()?;
    let head = disk.read(&layout.segments.get(index)?.1, 0, SECTOR as u64).ok()?;
    (parse_head(&head).as_ref() == Some(&position)).then_some((position, standing, index))
}

/// What the newest snapshot says, so that the next one goes on from it without reading it again.
pub(crate) type Kept = Arc<Mutex<Option<(Position, Standing)>>>;

/// Makes snapshots from the files of a journal, beside whoever appends to it.
#[derive(Debug, Clone)]
pub struct Snapshotter {
    pub(crate) disk: SharedDisk,
    pub(crate) kept: Kept,
}

impl Snapshotter {
    /// Writes a snapshot of all segments but the last and removes those that are not needed any more. Returns the number
    /// of its last record; nothing when there is one already. From the first one on it holds a second ledger, which is
    /// what makes the work grow with what is new and with what is written, not with what has to be read.
    pub fn make(&self) -> Result<Option<u64>, JournalError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = self.disk.as_ref();
        let layout = Layout::of(disk)?;
        let Some(((first, active), sealed)) = layout.segments.split_last() else { return Ok(None) };
        let newest = first - 1;
        let is_there = |number: u64| layout.snapshots.iter().any(|(known, _)| *known == number);
        if sealed.is_empty() || is_there(newest) && kept.as_ref().is_some_and(|kept| kept.0.number == newest)
        {
            return Ok(None);
        }
        // Taken out: whatever fails from here on, nothing half-folded stays.
        let known = kept.take().filter(|(position, _)| position.number < newest);
        let known = known.and_then(|(position, standing)| goes_on(disk, &layout, position, standing));
        let (from, mut standing, index) = known
            .or_else(|| newest_good(disk, &layout, &mut Vec::new()))
            .unwrap_or_else(|| (Position::start(), Standing::default(), 0));
        if from.number >= newest {
            *kept = Some((from, standing));
            return Ok(None);
        }
        let segments = sealed.get(index..).unwrap_or_default();
        let walked = walk(disk, segments, from, None, &mut |record, _| {
            standing.fold_record(record).map_err(contradiction(disk, record.number))
        })?;
        let position = walked.position;
        let after =
            disk.read(active, 0, SECTOR as u64).map_err(io_in(disk, active, "reading the journal"))?;
        if parse_head(&after).as_ref() != Some(&position) {
            let reason = format!("{active} does not go on from the segment before it");
            return Err(JournalError::Missing { path: disk.place(), number: position.number + 1, reason });
        }
        self.write(&position, &standing)?;
        *kept = Some((position, standing));
        self.thin_out(newest)?;
        Ok(Some(newest))
    }

    fn write(&self, position: &Position, standing: &Standing) -> Result<(), JournalError> {
        let disk = self.disk.as_ref();
        let body = pack_whole(standing);
        let head = head(position, body.len(), &Sha256::digest(&body).into());
        let name = snapshot_name(position.number);
        let written = (|| {
            disk.create(UNFINISHED)?;
            disk.write(UNFINISHED, 0, &head)?;
            disk.write(UNFINISHED, SECTOR as u64, &body)?;
            disk.sync(UNFINISHED)?;
            disk.rename(UNFINISHED, &name)?;
            disk.sync_names()
        })();
        written.map_err(|error| {
            // What is left of it takes room and is of no use; the next start removes it otherwise.
            if disk.remove(UNFINISHED).is_err() {
                tracing::debug!("an unfinished snapshot stays until the next start");
            }
            io_in(disk, &name, "writing a snapshot")(error)
        })
    }

    /// Removes what is not needed beside the one just written.
    fn thin_out(&self, written: u64) -> Result<(), JournalError> {
        let disk = self.disk.as_ref();
        let whole = |name: &str| disk.read(name, 0, u64::MAX).is_ok_and(|bytes| parse(&bytes).is_some());
        let good = |(number, name): &&(u64, String)| *number == written || whole(name);
        let layout = Layout::of(disk)?;
        let kept: Vec<u64> =
            layout.snapshots.iter().rev().filter(good).take(KEPT).map(|(number, _)| *number).collect();
        let Some(oldest) = kept.last().filter(|_| kept.len() == KEPT) else { return Ok(()) };
        for (_, name) in layout.snapshots.iter().filter(|(number, _)| number < oldest) {
            disk.remove(name).map_err(io_in(disk, name, "removing an old snapshot"))?;
        }
        Ok(())
    }
}
