//! A copy of a journal, also of one that is being written to.
//!
//! Nobody is asked to stand still. Segments grow at their end only, and each begins where the one before it ended, so whatever is
//! copied of them in order is a beginning of the journal; everything acknowledged before the copy began lies in it. A group that was
//! being written meanwhile may be there in part: it was not acknowledged then, and it does not get into the copy. The copy is read
//! from its first record to its last, and gets a tip of its own: an end that is cut off it later is noticed.

use crate::error::{JournalError, contradiction};
use crate::layout::{FILE_NAME, Layout, TIP_NAME, io_in};
use crate::reader::{Torn, walk};
use crate::record::hex;
use crate::segment::{Position, SECTOR, parse_head};
use crate::snapshot::{load, newest_good};
use crate::standing::Standing;
use crate::tip;
use crate::writer::Journal;
use files::{Disk, Folder};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How often the newest segment is copied again when what was read of it was being written over: a group that found no room is taken
/// back and tried again at the same place.
const ATTEMPTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// What a copy holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUp {
    /// Number of its newest record.
    pub records: u64,
    /// [`Standing::digest`] of all of them.
    pub state: String,
    /// Segments and snapshots.
    pub files: usize,
    /// Bytes of those.
    pub bytes: u64,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

impl Journal {
    /// Copies the journal in `from` into the empty directory `to`, while it may be written to. Nothing in `from` changes.
    ///
    /// # Errors
    /// [`JournalError`]; then what is in `to` is no copy.
    pub fn back_up(from: &Path, to: &Path) -> Result<BackedUp, JournalError> {
        Self::back_up_on(&Folder::new(from), &Folder::new(to))
    }

    /// The same between any disks.
    ///
    /// # Errors
    /// [`JournalError`]; then what is in `to` is no copy.
    pub fn back_up_on(from: &dyn Disk, to: &dyn Disk) -> Result<BackedUp, JournalError> {
        // Read before anything else: what is acknowledged now must be in the copy.
        let tip = tip::read(from)?;
        let mut layout = Layout::of(from)?;
        // The lock makes an empty first one where the first ones are kept elsewhere.
        let size = |name: &str| from.size(name).map_err(io_in(from, name, "looking at the journal"));
        if layout.segments.len() > 1 && layout.segments[0].0 == 1 && size(FILE_NAME)? == 0 {
            layout.segments.remove(0);
        }
        if layout.segments.is_empty() {
            return Err(io_in(from, FILE_NAME, "reading the journal")(ErrorKind::NotFound.into()));
        }
        let mut bytes = 0;
        for (_, name) in &layout.segments {
            bytes += copy(from, to, name)?;
        }
        let mut snapshots = BTreeMap::new();
        for (number, name) in &layout.snapshots {
            match copy(from, to, name) {
                Ok(more) => {
                    bytes += more;
                    snapshots.insert(*number, name.as_str());
                }
                // A newer one is there by now, and it went.
                Err(JournalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let mut attempt = 0;
        let found = loop {
            attempt += 1;
            match Found::in_copy(to, tip.position()) {
                Err(JournalError::Damaged { .. }) if attempt < ATTEMPTS => {
                    std::thread::sleep(PAUSE);
                    if let Some((_, name)) = layout.segments.last() {
                        bytes -= to.size(name).map_err(io_in(to, name, "looking at a copy"))?;
                        bytes += copy(from, to, name)?;
                    }
                }
                found => break found?,
            }
        };
        found.finish(to, &snapshots, bytes)
    }
}

/// Copies a file and syncs it. Returns its size.
fn copy(from: &dyn Disk, to: &dyn Disk, name: &str) -> Result<u64, JournalError> {
    let bytes = from.read(name, 0, u64::MAX).map_err(io_in(from, name, "reading the journal"))?;
    let written = to.create(name).and_then(|()| to.write(name, 0, &bytes)).and_then(|()| to.sync(name));
    written.map_err(io_in(to, name, "writing a copy"))?;
    Ok(bytes.len() as u64)
}

/// What was read of a copy.
struct Found {
    position: Position,
    standing: Standing,
    torn: Option<Torn>,
    /// Whether a segment is there before the torn end.
    begun: bool,
    segments: usize,
    /// Of each segment, the chain its head goes on from.
    heads: BTreeMap<u64, Position>,
    notes: Vec<String>,
}

impl Found {
    /// Reads all segments of a copy; folds all records, or those after a snapshot where older segments are kept elsewhere.
    fn in_copy(disk: &dyn Disk, tip: Option<&Position>) -> Result<Self, JournalError> {
        let layout = Layout::of(disk)?;
        let mut notes = Vec::new();
        let mut heads = BTreeMap::new();
        for (first, name) in &layout.segments {
            let head = disk.read(name, 0, SECTOR as u64).map_err(io_in(disk, name, "reading a copy"))?;
            heads.extend(parse_head(&head).map(|position| (first - 1, position)));
        }
        let from = match layout.segments.first() {
            Some((1, _)) | None => None,
            Some((first, _)) => {
                notes
                    .push(format!("the segments before record {first} are kept elsewhere and are not in it"));
                newest_good(disk, &layout, &mut notes)
            }
        };
        let (from, mut standing, index) = from.unwrap_or_else(|| (Position::start(), Standing::default(), 0));
        let (before, after) = layout.segments.split_at(index);
        if let Some(begins) = before.first().and_then(|(first, _)| heads.get(&(first - 1))) {
            walk(disk, before, begins.clone(), None, &mut |record, _| {
                record.entry().map(drop).map_err(Into::into)
            })?;
        }
        let walked = walk(disk, after, from, tip, &mut |record, _| {
            standing.fold_record(record).map_err(contradiction(disk, record.number))
        })?;
        let (position, torn, begun) = (walked.position, walked.torn, walked.active.is_some());
        Ok(Self { position, standing, torn, begun, segments: layout.segments.len(), heads, notes })
    }

    /// Leaves out what is not whole, and writes the tip.
    fn finish(
        mut self,
        to: &dyn Disk,
        snapshots: &BTreeMap<u64, &str>,
        mut bytes: u64,
    ) -> Result<BackedUp, JournalError> {
        if let Some(torn) = &self.torn {
            let io = |doing| io_in(to, &torn.name, doing);
            bytes -= torn.bytes.len() as u64;
            if torn.at == 0 && self.begun {
                to.remove(&torn.name).map_err(io("leaving out a segment that was not begun"))?;
                self.segments -= 1;
            } else {
                to.cut(&torn.name, torn.at).map_err(io("leaving out a group that was being written"))?;
                to.sync(&torn.name).map_err(io("syncing a copy"))?;
            }
        }
        let mut good = 0;
        for (number, name) in snapshots {
            match load(to, name) {
                Ok((position, _)) if self.heads.get(number) == Some(&position) => good += 1,
                wrong => {
                    bytes -= to.size(name).map_err(io_in(to, name, "looking at a copy"))?;
                    to.remove(name).map_err(io_in(to, name, "leaving out a snapshot"))?;
                    let reason = wrong.err().unwrap_or_else(|| format!("{name} is of another journal"));
                    self.notes.push(format!("{reason}, and is left out"));
                }
            }
        }
        if self.position.number > 0 {
            let written = tip::write(to, &self.position).and_then(|()| to.sync(TIP_NAME));
            written.map_err(io_in(to, TIP_NAME, "writing a copy"))?;
        }
        to.sync_names().map_err(io_in(to, "", "syncing a copy"))?;
        let (records, state) = (self.position.number, self.standing.digest());
        Ok(BackedUp { records, state, files: self.segments + good, bytes, notes: self.notes })
    }
}

impl Standing {
    /// SHA-256 of all that the records add up to, as hexadecimal digits: two journals with the same records have the same, whether
    /// they were read from the first record or from a snapshot. Its form belongs to the program's version.
    pub fn digest(&self) -> String {
        use sha2::{Digest, Sha256};
        hex(&Sha256::digest(grid::packed::pack_whole(self)))
    }
}
