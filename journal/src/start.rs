//! Opening a journal: the newest good snapshot, what was recorded since, and an end that can be appended to.

use crate::error::{JournalError, contradiction};
use crate::layout::{FILE_NAME, Layout, io_in};
use crate::reader::{Active, Torn, walk};
use crate::record::Stop;
use crate::segment::Position;
use crate::snapshot::{UNFINISHED, newest_good};
use crate::standing::Standing;
use crate::tip::{self, ABSENT, Tip};
use crate::writer::{Durability, End, Journal, Options};
use files::{Disk, Folder, SharedDisk};
use grid::defect::{Defect, planted};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

/// A journal just opened, with what it held.
#[derive(Debug)]
pub struct Opened {
    /// Ready for appending.
    pub journal: Journal,
    /// What its records add up to.
    pub standing: Standing,
    /// Records that were read for that; the others are in a snapshot.
    pub replayed: u64,
    /// Bytes of a torn, never acknowledged group that were cut off and kept beside the journal.
    pub torn_bytes: u64,
    /// What was found and dealt with: passed-over snapshots, a torn end.
    pub notes: Vec<String>,
}

impl Journal {
    /// Opens or creates the journal in `directory` with the usual sizes.
    pub fn open(directory: &Path, durability: Durability) -> Result<Opened, JournalError> {
        Self::open_with(directory, Options::new(durability))
    }

    /// Opens or creates the journal in `directory`, takes its lock, and brings it to its end.
    pub fn open_with(directory: &Path, options: Options) -> Result<Opened, JournalError> {
        let lock = Lock::take(directory)?;
        Self::open_locked(lock, Arc::new(Folder::new(directory)), options)
    }

    /// Opens or creates the journal on a disk whose folder is locked, and holds the lock.
    pub fn open_locked(lock: Lock, disk: SharedDisk, options: Options) -> Result<Opened, JournalError> {
        let mut opened = Self::open_on(disk, options)?;
        opened.journal.hold(lock);
        Ok(opened)
    }

    /// Opens or creates the journal on a disk that nobody else writes to.
    pub fn open_on(disk: SharedDisk, options: Options) -> Result<Opened, JournalError> {
        let mut notes = Vec::new();
        let layout = Layout::of(disk.as_ref())?;
        let tip = tip::read(disk.as_ref())?;
        let found = newest_good(disk.as_ref(), &layout, &mut notes);
        let (from, mut standing, index) =
            found.unwrap_or_else(|| (Position::start(), Standing::default(), 0));
        let (segments, snapshot) = (&layout.segments[index..], from.number);
        let mut newest = None;
        let walked = walk(disk.as_ref(), segments, from, tip.position(), &mut |record, _| {
            let contradiction = contradiction(disk.as_ref(), record.number);
            if planted(Defect::ForgetsTheLastRecord) {
                let Some(before) = newest.replace(record.entry()?) else { return Ok(()) };
                return standing.fold(before).map_err(|error| contradiction(Stop::Refused(error)));
            }
            standing.fold_record(record).map_err(contradiction)
        })?;
        if layout.snapshots.iter().any(|(number, _)| *number > walked.position.number) {
            notes.push("a snapshot is newer than the journal and was passed over".to_owned());
        }
        match tip {
            Tip::Damaged(words) => notes.push(words),
            Tip::Absent if walked.position.number > 0 => notes.push(ABSENT.to_owned()),
            Tip::Absent | Tip::Known(_) => {}
        }
        let torn_bytes = walked.torn.as_ref().map_or(0, |torn| torn.bytes.len() as u64);
        if let Some(torn) = &walked.torn {
            cut_off(disk.as_ref(), torn, &walked.active, options.durability, &mut notes)?;
        }
        if let Some(active) = walked.active.as_ref().filter(|_| options.durability == Durability::Synced) {
            make_last(disk.as_ref(), active)?;
        }
        if disk.names().is_ok_and(|names| names.iter().any(|name| name == UNFINISHED)) {
            disk.remove(UNFINISHED).map_err(io_in(
                disk.as_ref(),
                UNFINISHED,
                "removing an unfinished snapshot",
            ))?;
        }
        notes.iter().for_each(|note| tracing::warn!(directory = %disk.place().display(), "{note}"));
        let replayed = walked.position.number - snapshot;
        let sealed = walked.bytes.saturating_sub(walked.active.as_ref().map_or(0, |active| active.end));
        let end = End { position: walked.position, active: walked.active, sealed };
        let journal = Journal::at(disk, options, end)?;
        Ok(Opened { journal, standing, replayed, torn_bytes, notes })
    }
}

/// The right to write in a directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory where there is none, and takes it.
    ///
    /// # Errors
    /// [`JournalError::Locked`] when another process, or this one, has it.
    pub fn take(directory: &Path) -> Result<Self, JournalError> {
        let folder = Folder::new(directory);
        std::fs::create_dir_all(directory).map_err(io_in(&folder, "", "creating the data directory"))?;
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io_in(&folder, FILE_NAME, "opening the journal"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(io_in(&folder, FILE_NAME, "locking the journal")(source)),
        }
    }
}

/// Makes what was read last. A process that was killed before a sync, or stopped after one that failed, has left its newest group
/// where everybody reads it and a power cut may take it; after a failed sync the operating system may even take it for written. So
/// it is written once more, and synced: from here on it counts, and what is recorded now goes on from it.
fn make_last(disk: &dyn Disk, active: &Active) -> Result<(), JournalError> {
    let io = |doing| io_in(disk, &active.name, doing);
    let group = disk.read(&active.name, active.last, active.end - active.last);
    let group = group.map_err(io("reading the newest group again"))?;
    disk.write(&active.name, active.last, &group).map_err(io("writing the newest group again"))?;
    disk.sync(&active.name).map_err(io("syncing what was found"))?;
    disk.sync_names().map_err(io("syncing the data directory"))
}

/// Cuts a torn end off and keeps it beside the journal. A segment of which not even the head was finished goes as a
/// whole, unless it is the first.
fn cut_off(
    disk: &dyn Disk,
    torn: &Torn,
    active: &Option<Active>,
    durability: Durability,
    notes: &mut Vec<String>,
) -> Result<(), JournalError> {
    let io = |doing| io_in(disk, &torn.name, doing);
    if torn.at == 0 {
        if active.is_some() {
            disk.remove(&torn.name).map_err(io("removing a segment that was not begun"))?;
            disk.sync_names().map_err(io("syncing the data directory"))?;
        }
        return Ok(());
    }
    let kept = format!("{}.torn-{}", torn.name, torn.at);
    let copied = disk.create(&kept).and_then(|()| disk.write(&kept, 0, &torn.bytes));
    let (bytes, place) = (torn.bytes.len(), copied.map_or_else(|error| format!("lost: {error}"), |()| kept));
    notes.push(format!("{bytes} bytes of a torn, never acknowledged group were cut off ({place})"));
    disk.cut(&torn.name, torn.at).map_err(io("cutting off a torn group"))?;
    if durability == Durability::Synced {
        disk.sync(&torn.name).map_err(io("syncing after cutting off a torn group"))?;
    }
    Ok(())
}
