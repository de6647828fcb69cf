//! The audit log: one line of JSON per entry, each with the hash of the one before.
//!
//! `hash = SHA-256(previous hash ‖ the line without its hash)`. Changing, removing or inserting an entry breaks the chain
//! at that place. Cutting entries off the end does not, nor does writing the whole chain anew from some entry on: whoever keeps
//! a hash elsewhere finds that ([`verify`] tells whether the log still holds it).
//!
//! A last entry whose end is missing, or that has zeros in it (JSON never does) where a sector was not written, was never acknowledged:
//! opening the log cuts it off.

use grid::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// The hash before the first entry.
const START: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line, bytes.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What was asked and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// Who, by name; empty for somebody who proved nothing.
    pub who: String,
    /// What was tried, for example `create flex-offer`.
    pub what: String,
    /// With what, for example the name of an offer.
    pub object: String,
    /// What became of it: `allowed`, or the code of the refusal.
    pub outcome: String,
}

/// An entry as it stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    number: u64,
    entry: Entry,
    hash: String,
}

fn hash(previous: &str, number: u64, entry: &Entry) -> io::Result<String> {
    let text = serde_json::to_string(&(number, entry))?;
    let digest = Sha256::new().chain_update(previous).chain_update(text).finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// An audit log that is written to.
#[derive(Debug)]
pub struct AuditLog {
    file: File,
    path: PathBuf,
    /// The folder does not know for certain yet that the file is there.
    unplaced: bool,
    next: u64,
    last: String,
    /// Bytes of whole entries.
    good: u64,
    /// Why nothing can be written any more.
    stuck: Option<String>,
}

impl AuditLog {
    /// Opens a log, new or old, reads all of it, and cuts off an entry that a crash left unfinished.
    ///
    /// # Errors
    /// The operating system's, or [`io::ErrorKind::InvalidData`] with the place where the chain is broken.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.create(true).append(true).read(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let report = walk(BufReader::new(&file), None)?;
        if let Some(reason) = report.broken {
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        // Not the file that only appends.
        let mut whole = File::options().read(true).write(true).open(path)?;
        files::make_last(&mut whole, report.good - report.newest, report.good)?;
        let (path, unplaced, good) = (path.to_owned(), true, report.good);
        Ok(Self { file, path, unplaced, next: report.entries, last: report.last, good, stuck: None })
    }

    /// Writes an entry; it is on the disk when this returns.
    ///
    /// # Errors
    /// The operating system's. The entry is taken back then; where that fails too, nothing is written any more.
    pub fn write(&mut self, entry: Entry) -> io::Result<()> {
        if let Some(reason) = &self.stuck {
            return Err(io::Error::other(reason.clone()));
        }
        if self.unplaced {
            files::sync_name(&self.path)?;
            self.unplaced = false;
        }
        let hash = hash(&self.last, self.next, &entry)?;
        let mut text = serde_json::to_string(&Line { number: self.next, entry, hash: hash.clone() })?;
        text.push('\n');
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            if let Err(worse) = self.file.set_len(self.good) {
                self.stuck =
                    Some(format!("{error}; and what was written of it cannot be taken back: {worse}"));
            }
            return Err(error);
        }
        (self.next, self.last, self.good) = (self.next + 1, hash, self.good + text.len() as u64);
        Ok(())
    }
}

/// What a log says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditReport {
    /// Entries in order.
    pub entries: u64,
    /// Hash of the last one.
    pub last: String,
    /// Bytes they take.
    pub good: u64,
    /// Bytes of the last one.
    pub newest: u64,
    /// Whether an unfinished entry follows, which was never acknowledged.
    pub torn: bool,
    /// Whether one of them has the hash that was asked for.
    pub known: bool,
    /// Where and how the chain is broken; `None` when it is whole.
    pub broken: Option<String>,
}

/// Reads a log and checks its chain, without anything but the file; and whether it holds a hash that was kept elsewhere.
///
/// # Errors
/// The operating system's.
pub fn verify(path: &Path, kept: Option<&str>) -> io::Result<AuditReport> {
    walk(BufReader::new(File::open(path)?), kept)
}

fn walk(mut reader: impl BufRead, kept: Option<&str>) -> io::Result<AuditReport> {
    let last = START.to_owned();
    let mut report =
        AuditReport { entries: 0, last, good: 0, newest: 0, torn: false, known: false, broken: None };
    loop {
        let mut text = Vec::new();
        if reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text)? == 0 {
            return Ok(report);
        }
        if text.last() != Some(&b'\n') && (text.len() as u64) < LINE_BYTES_MAX {
            report.torn = true;
            return Ok(report);
        }
        let number = report.entries;
        let line: Result<Line, _> = serde_json::from_slice(&text);
        let fault = match line {
            Err(error) => Some(format!("no entry: {error}")),
            Ok(line) if line.number != number => Some(format!("its number is {}", line.number)),
            Ok(line) if line.hash != hash(&report.last, number, &line.entry)? => {
                Some("it is not what was written, or what stood before it is not".to_owned())
            }
            Ok(line) => {
                report.last = line.hash;
                None
            }
        };
        if fault.is_some() && text.contains(&0) && reader.fill_buf()?.is_empty() {
            report.torn = true;
            return Ok(report);
        }
        if let Some(fault) = fault {
            report.broken = Some(format!("line {}: {fault}", number + 1));
            return Ok(report);
        }
        report.known |= kept == Some(report.last.as_str());
        report.entries += 1;
        report.newest = text.len() as u64;
        report.good += report.newest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: i64) -> Entry {
        Entry {
            at: Timestamp::from_seconds(number),
            who: "ada".to_owned(),
            what: "create flex-offer".to_owned(),
            object: format!("offer-{number}"),
            outcome: "allowed".to_owned(),
        }
    }

    /// A log, and its bytes.
    fn three_entries() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = AuditLog::open(&path).unwrap();
        for number in 0..3 {
            log.write(entry(number)).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        (folder, path, whole)
    }

    #[test]
    fn what_was_written_goes_on_after_a_restart_and_any_change_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        for round in 0..2 {
            let mut log = AuditLog::open(&path).unwrap();
            for number in 0..3 {
                log.write(entry(3 * round + number)).unwrap();
            }
        }
        let report = verify(&path, None).unwrap();
        assert_eq!((report.entries, report.broken), (6, None));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n") + "\n";
        let without = joined(&[&lines[..2], &lines[3..]].concat());
        let swapped = joined(&[lines[1], lines[0], lines[2]]);
        let changed = text.replace("offer-4", "offer-5");
        for (broken, line) in [(without, 3), (swapped, 1), (changed, 5), (text.replacen("ada", "eve", 1), 1)]
        {
            std::fs::write(&path, broken).unwrap();
            let found = verify(&path, None).unwrap().broken.unwrap();
            assert!(found.starts_with(&format!("line {line}: ")), "{found}");
            assert_eq!(AuditLog::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn every_flipped_byte_is_found() {
        let (_folder, path, whole) = three_entries();
        let last = verify(&path, None).unwrap().last;
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            std::fs::write(&path, &flipped).unwrap();
            let report = verify(&path, None).unwrap();
            assert!(report.broken.is_some() || report.torn || report.last != last, "byte {at}");
        }
    }

    #[test]
    fn a_log_cut_anywhere_goes_on_from_its_last_whole_entry() {
        let (_folder, path, whole) = three_entries();
        let ends: Vec<usize> = (0..whole.len()).filter(|&at| whole[at] == b'\n').collect();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let kept = ends.iter().filter(|&&end| end < cut).count() as u64;
            let mut log = AuditLog::open(&path).unwrap();
            log.write(entry(9)).unwrap();
            let report = verify(&path, None).unwrap();
            assert_eq!((report.entries, report.torn, report.broken), (kept + 1, false, None), "cut at {cut}");
        }
    }

    #[test]
    fn a_last_entry_of_which_any_part_was_not_written_is_torn_and_an_earlier_one_breaks_the_chain() {
        let (_folder, path, whole) = three_entries();
        let begins = whole.len() - whole.split_inclusive(|&byte| byte == b'\n').next_back().unwrap().len();
        for from in 0..whole.len() - 1 {
            // Where the line ends, whose end is there.
            let end = from + whole[from..].iter().position(|&byte| byte == b'\n').unwrap();
            for until in
                [from + 1, from.midpoint(end), end].into_iter().filter(|until| from < *until && *until <= end)
            {
                let mut lost = whole.clone();
                lost[from..until].fill(0);
                std::fs::write(&path, &lost).unwrap();
                let report = verify(&path, None).unwrap();
                let expected = (from >= begins, from < begins);
                assert_eq!((report.torn, report.broken.is_some()), expected, "{from} to {until}");
                let opened = AuditLog::open(&path);
                assert_eq!(opened.is_ok(), from >= begins, "{from} to {until}");
                if let Ok(mut log) = opened {
                    log.write(entry(9)).unwrap();
                    let report = verify(&path, None).unwrap();
                    assert_eq!((report.entries, report.torn, report.broken), (3, false, None));
                }
            }
        }
    }

    /// After a sync that failed the operating system takes an entry for written that the disk does not have.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_entry_is_written_once_more_when_a_log_is_opened() {
        /// Bytes that this thread has written so far.
        fn written() -> u64 {
            let counted = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            counted.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
        }
        let (_folder, path, whole) = three_entries();
        let newest = whole.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
        let before = written();
        let _log = AuditLog::open(&path).unwrap();
        assert_eq!(written() - before, newest.len() as u64);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn nothing_is_written_down_before_the_name_of_the_file_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let (here, away) = (folder.path().join("data"), folder.path().join("away"));
        std::fs::create_dir(&here).unwrap();
        let mut log = AuditLog::open(&here.join("audit.jsonl")).unwrap();
        // The file can be written, the folder cannot be synced.
        std::fs::rename(&here, &away).unwrap();
        log.write(entry(1)).unwrap_err();
        std::fs::rename(&away, &here).unwrap();
        log.write(entry(2)).unwrap();
        assert_eq!(verify(&here.join("audit.jsonl"), None).unwrap().entries, 1);
    }

    #[test]
    fn a_hash_kept_elsewhere_tells_a_chain_that_was_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut log = AuditLog::open(&path).unwrap();
        log.write(entry(1)).unwrap();
        let kept = verify(&path, None).unwrap().last;
        log.write(entry(2)).unwrap();
        assert!(verify(&path, Some(&kept)).unwrap().known);
        std::fs::remove_file(&path).unwrap();
        AuditLog::open(&path).unwrap().write(entry(3)).unwrap();
        let anew = verify(&path, Some(&kept)).unwrap();
        assert!(anew.broken.is_none() && !anew.known);
    }
}
