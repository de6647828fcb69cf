//! Reading a journal without changing it.

use crate::error::JournalError;
use crate::layout::{FILE_NAME, Layout, io_in};
use crate::reader::walk;
use crate::record::Entry;
use crate::segment::{Position, SECTOR, parse_head};
use crate::snapshot;
use crate::tip::{self, ABSENT, Tip};
use crate::writer::Journal;
use files::{Disk, Folder};
use std::collections::BTreeMap;
use std::path::Path;

/// What reading a journal without changing it found.
#[derive(Debug)]
pub struct VerifyReport {
    /// All whole entries, oldest first; none where each was [handed over](Journal::verify_each).
    pub entries: Vec<Entry>,
    /// How many there are.
    pub records: u64,
    /// Size of the segments, bytes.
    pub bytes: u64,
    /// Bytes of a torn group at the end.
    pub torn_bytes: u64,
    /// How many segments there are.
    pub segments: usize,
    /// Number of the last record of each good snapshot.
    pub snapshots: Vec<u64>,
    /// What is wrong with files beside the segments. A start would pass them over.
    pub faults: Vec<String>,
    /// What cannot be told.
    pub notes: Vec<String>,
}

impl Journal {
    /// Reads every segment from the first record on, and checks the snapshots against them. Given a file, reads it alone. All entries
    /// are in the report, and in memory.
    pub fn verify(path: &Path) -> Result<VerifyReport, JournalError> {
        kept(|each| Self::verify_each(path, each))
    }

    /// The same, on any disk.
    pub fn verify_on(disk: &dyn Disk) -> Result<VerifyReport, JournalError> {
        kept(|each| verify_each_on(disk, each))
    }

    /// The same as [`verify`](Self::verify), one segment in memory at a time: `each` is handed every entry as it is read. What is wrong
    /// further on is found after it.
    pub fn verify_each(path: &Path, each: &mut dyn FnMut(Entry)) -> Result<VerifyReport, JournalError> {
        if path.is_file() && path.file_name() != Some(FILE_NAME.as_ref()) {
            return verify_file(path, each);
        }
        let directory = if path.is_file() { path.parent().unwrap_or(path) } else { path };
        verify_each_on(&Folder::new(directory), each)
    }
}

/// What was read, with all entries.
fn kept(
    read: impl FnOnce(&mut dyn FnMut(Entry)) -> Result<VerifyReport, JournalError>,
) -> Result<VerifyReport, JournalError> {
    let mut entries = Vec::new();
    let report = read(&mut |entry| entries.push(entry))?;
    Ok(VerifyReport { entries, ..report })
}

fn verify_each_on(disk: &dyn Disk, each: &mut dyn FnMut(Entry)) -> Result<VerifyReport, JournalError> {
    let mut faults = Vec::new();
    let tip = tip::read(disk)?;
    let layout = Layout::of(disk)?;
    if layout.segments.is_empty() {
        let missing = std::io::ErrorKind::NotFound.into();
        return Err(io_in(disk, FILE_NAME, "reading the journal")(missing));
    }
    let mut chains: BTreeMap<u64, _> = layout.snapshots.iter().map(|(number, _)| (*number, None)).collect();
    let mut records = 0;
    let walked = walk(disk, &layout.segments, Position::start(), tip.position(), &mut |record, position| {
        let entry = record.entry()?;
        if let Some(chain) = chains.get_mut(&entry.number) {
            *chain = Some(position.chain);
        }
        records += 1;
        each(entry);
        Ok(())
    })?;
    let (mut snapshots, mut of_others) = (Vec::new(), Vec::new());
    for (number, name) in &layout.snapshots {
        match snapshot::load(disk, name) {
            Err(words) if snapshot::is_of_other_version(disk, name) => of_others.push(words),
            Err(words) => faults.push(words),
            Ok((position, _)) if chains.get(number) == Some(&Some(position.chain)) => snapshots.push(*number),
            Ok(_) => faults.push(format!("{name} is of another journal")),
        }
    }
    let mut notes = of_others;
    match tip {
        Tip::Absent if walked.position.number > 0 => notes.push(ABSENT.to_owned()),
        Tip::Damaged(words) => faults.push(words),
        Tip::Absent | Tip::Known(_) => {}
    }
    let (entries, bytes, segments) = (Vec::new(), walked.bytes, layout.segments.len());
    let torn_bytes = walked.torn.map_or(0, |torn| torn.bytes.len() as u64);
    Ok(VerifyReport { entries, records, bytes, torn_bytes, segments, snapshots, faults, notes })
}

/// One segment, wherever it lies and whatever it is called.
fn verify_file(path: &Path, each: &mut dyn FnMut(Entry)) -> Result<VerifyReport, JournalError> {
    let folder = Folder::new(path.parent().unwrap_or(Path::new("")));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let head = folder.read(&name, 0, SECTOR as u64).map_err(io_in(&folder, &name, "reading the journal"))?;
    let Some(from) = parse_head(&head) else {
        // Says which version, where it is one that is not known here.
        walk(&folder, &[(1, name)], Position::start(), None, &mut |_, _| Ok(()))?;
        return Err(JournalError::Foreign { path: path.to_owned() });
    };
    let (mut records, entries) = (0, Vec::new());
    let walked = walk(&folder, &[(from.number + 1, name)], from, None, &mut |record, _| {
        records += 1;
        each(record.entry()?);
        Ok(())
    })?;
    let torn_bytes = walked.torn.map_or(0, |torn| torn.bytes.len() as u64);
    let (snapshots, faults, notes, bytes) = (Vec::new(), Vec::new(), Vec::new(), walked.bytes);
    Ok(VerifyReport { entries, records, bytes, torn_bytes, segments: 1, snapshots, faults, notes })
}
