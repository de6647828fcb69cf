//! The file that makes a line count once: values and the lines they stood in, in one record, synced before anybody is told.
//!
//! One record a line: 16 hexadecimal digits of the SHA-256 of the rest, a space, JSON, a newline.
//!
//! * `{"marks":{FILE:{"lines":[[first,last],…],"used":SECONDS}}}`: at the beginning: what came before this file was begun;
//! * `{"kept":{…}}`: the new values of one envelope;
//! * `{"passed":N}`: the first N kept records of this file were passed on. It is not synced: without it they are passed on again;
//! * `{"synced":N}`: the first N bytes of this file are on the disk. It stands at the beginning, and before the first
//!   record that follows a sync.
//!
//! Several records may be written with one sync, so a crash may leave any part of what follows the bytes that were synced: cut short, or
//! with zeros, which JSON never has, where a sector was not written. From the first such line on it was never acknowledged and is cut off.
//! Any other bad line is a broken disk: the file is not used.

use super::super::hex;
use super::super::keys::Digest128;
use super::super::lines::LineSet;
use grid::{Measurement, PointId, Quality, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Above it the file is begun anew, bytes.
const BYTES_MAX: u64 = 16 << 20;
/// Files of a sender whose lines are remembered; those that were not heard of for longest are forgotten.
const FILES_MAX: usize = 100_000;
const DIGITS: usize = 16;

/// Why the log cannot be used.
#[derive(Debug, Error)]
pub enum LogError {
    /// Reading, writing or syncing failed.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// No room: nothing was changed.
    #[error("{}: no room: {source}", path.display())]
    NoRoom {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// Not as it was written.
    #[error("{}:{line}: the record is damaged; the lines after it cannot be trusted. Restore the file, or move it away: then lines that are sent again count again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
}

/// New values of one envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    file: Digest128,
    first: u64,
    last: u64,
    received_at: Timestamp,
    /// Point, value in its base unit, when it was taken.
    values: Vec<(PointId, f64, Timestamp)>,
}

impl Kept {
    pub(super) fn new(
        file: Digest128,
        lines: (u64, u64),
        received_at: Timestamp,
        values: &[Measurement],
    ) -> Self {
        let values = values.iter().map(|value| (value.point, value.value, value.measured_at)).collect();
        Self { file, first: lines.0, last: lines.1, received_at, values }
    }

    pub(super) fn values(&self) -> Vec<Measurement> {
        let measurement = |&(point, value, measured_at): &(PointId, f64, Timestamp)| Measurement {
            point,
            value,
            quality: Quality::Measured,
            measured_at,
            received_at: self.received_at,
        };
        self.values.iter().map(measurement).collect()
    }
}

/// Where the values stood.
impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}, lines {} to {}", self.file, self.first, self.last)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Mark {
    lines: LineSet,
    /// When lines of it came last, seconds since the epoch.
    used: i64,
}

type Marks = BTreeMap<Digest128, Mark>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Marks(Marks),
    Kept(Kept),
    Passed(u64),
    Synced(u64),
}

#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    marks: Marks,
    /// Kept records of this file, and how many of them were passed on.
    kept: u64,
    passed: u64,
    /// All of it is on the disk, and the file does not say so yet.
    all_synced: bool,
}

impl Log {
    /// Opens or begins a log; with it what was kept and not passed on.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Kept>), LogError> {
        let failed = |source| LogError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            files::make_folder(folder).map_err(failed)?;
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut found =
            Found::read(&bytes).map_err(|line| LogError::Damaged { path: path.to_owned(), line })?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            bytes: found.bytes,
            marks: found.marks,
            kept: found.kept.len() as u64,
            passed: found.passed,
            all_synced: true,
        };
        log.file.set_len(found.bytes).map_err(failed)?;
        // What a process left that stopped after a failed sync is read by everybody and taken for written by the operating system: without
        // being written once more, a power cut would tear a hole before what is appended now.
        let synced = found.synced.unwrap_or(0);
        log.file.seek(SeekFrom::Start(synced)).map_err(failed)?;
        let unsure = bytes.get(synced as usize..found.bytes as usize).unwrap_or_default();
        log.file.write_all(unsure).map_err(failed)?;
        log.sync_all()?;
        if found.bytes == 0 {
            match log.begin_anew(&[]) {
                // What comes first says how far the file is on the disk, too.
                Err(LogError::NoRoom { .. }) => {}
                begun => begun?,
            }
        }
        let left =
            found.kept.split_off(usize::try_from(found.passed).unwrap_or(usize::MAX).min(found.kept.len()));
        Ok((log, left))
    }

    /// Lines that came of a file; those of records that are noted and not yet appended, too.
    pub(super) fn lines(&self, file: Digest128) -> Option<&LineSet> {
        self.marks.get(&file).map(|mark| &mark.lines)
    }

    /// Notes lines that are going to be appended. Whether there is room for them.
    pub(super) fn note(&mut self, kept: &Kept) -> bool {
        note(&mut self.marks, kept)
    }

    /// Appends records and syncs. When there is no room nothing is changed, and it may be tried again.
    pub(super) fn append(&mut self, kept: &[Kept]) -> Result<(), LogError> {
        if self.bytes > BYTES_MAX && self.passed == self.kept {
            self.begin_anew(kept)?;
            return Ok(());
        }
        let mut text = self.first_words()?;
        for one in kept {
            self.write_record(&mut text, &Record::Kept(one.clone()))?;
        }
        if let Err(source) = self.file.write_all(&text) {
            let back =
                self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            let path = self.path.clone();
            return Err(match back {
                Ok(_)
                    if source.kind() == ErrorKind::StorageFull
                        || source.kind() == ErrorKind::QuotaExceeded =>
                {
                    LogError::NoRoom { path, source }
                }
                _ => LogError::File { path, source },
            });
        }
        // After a sync that failed nobody knows what is on the disk: it is not tried again.
        self.sync_all()?;
        self.bytes += text.len() as u64;
        self.kept += kept.len() as u64;
        self.all_synced = true;
        Ok(())
    }

    /// One more kept record was passed on.
    pub(super) fn passed(&mut self) -> Result<(), LogError> {
        self.passed += 1;
        let mut text = self.first_words()?;
        self.write_record(&mut text, &Record::Passed(self.passed))?;
        match self.file.write_all(&text) {
            Ok(()) => (self.bytes, self.all_synced) = (self.bytes + text.len() as u64, false),
            // Only a hint, and it is written again with the next one.
            Err(_) => {
                let back =
                    self.file.set_len(self.bytes).and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
                back.map_err(|source| LogError::File { path: self.path.clone(), source })?;
            }
        }
        Ok(())
    }

    /// Replaces the file by one with what is known of lines, and `kept`, which is not passed on.
    fn begin_anew(&mut self, kept: &[Kept]) -> Result<(), LogError> {
        if self.marks.len() > FILES_MAX {
            let mut used: Vec<(i64, Digest128)> =
                self.marks.iter().map(|(file, mark)| (mark.used, *file)).collect();
            used.sort_unstable();
            let too_many = used.len() - FILES_MAX;
            used.iter().take(too_many).for_each(|(_, file)| drop(self.marks.remove(file)));
            tracing::warn!(files = too_many, "lines of files that were silent for longest are forgotten");
        }
        let mut text = Vec::new();
        self.write_record(&mut text, &Record::Synced(0))?;
        self.write_record(&mut text, &Record::Marks(self.marks.clone()))?;
        for one in kept {
            self.write_record(&mut text, &Record::Kept(one.clone()))?;
        }
        let next = self.path.with_extension("next");
        let make = || -> io::Result<File> {
            let mut file = File::create(&next)?;
            file.write_all(&text)?;
            file.sync_all()?;
            std::fs::rename(&next, &self.path)?;
            Ok(file)
        };
        match make() {
            Ok(file) => self.file = file,
            Err(source) if source.kind() == ErrorKind::StorageFull => {
                return Err(LogError::NoRoom { path: next, source });
            }
            Err(source) => return Err(LogError::File { path: next, source }),
        }
        (self.bytes, self.kept, self.passed) = (text.len() as u64, kept.len() as u64, 0);
        self.all_synced = true;
        self.sync_all()
    }

    /// What stands before the next record: how far the file is on the disk, when that is news.
    fn first_words(&self) -> Result<Vec<u8>, LogError> {
        let mut text = Vec::new();
        if self.all_synced {
            self.write_record(&mut text, &Record::Synced(self.bytes))?;
        }
        Ok(text)
    }

    fn write_record(&self, text: &mut Vec<u8>, record: &Record) -> Result<(), LogError> {
        let failed =
            |source: serde_json::Error| LogError::File { path: self.path.clone(), source: source.into() };
        let json = serde_json::to_vec(record).map_err(failed)?;
        text.extend(sum(&json).into_bytes());
        text.push(b' ');
        text.extend(json);
        text.push(b'\n');
        Ok(())
    }

    /// Content and name.
    fn sync_all(&self) -> Result<(), LogError> {
        let sync = self.file.sync_all().and_then(|()| files::sync_name(&self.path));
        sync.map_err(|source| LogError::File { path: self.path.clone(), source })
    }
}

fn note(marks: &mut Marks, kept: &Kept) -> bool {
    let mark = marks.entry(kept.file).or_default();
    mark.used = mark.used.max(kept.received_at.seconds());
    mark.lines.add(kept.first, kept.last)
}

/// What a file holds.
#[derive(Default)]
struct Found {
    marks: Marks,
    kept: Vec<Kept>,
    passed: u64,
    /// Of whole records.
    bytes: u64,
    /// How many of them were on the disk for certain, as they say themselves. Older files do not.
    synced: Option<u64>,
}

impl Found {
    /// All that can be trusted. What is wrong behind it was never acknowledged; otherwise the line that is damaged, counted from 1.
    fn read(bytes: &[u8]) -> Result<Self, usize> {
        let mut found = Found::default();
        let mut lines = bytes.split_inclusive(|&byte| byte == b'\n').enumerate();
        while let Some((place, line)) = lines.next() {
            let Some(record) = read(line) else {
                let is_last = found.bytes + line.len() as u64 == bytes.len() as u64;
                let is_unsure = is_last || found.synced.is_some();
                let is_torn = files::is_torn(line);
                let says_synced = |line| matches!(read(line), Some(Record::Synced(to)) if to > found.bytes);
                let was_synced = lines.any(|(_, line)| says_synced(line));
                return if is_torn && is_unsure && !was_synced { Ok(found) } else { Err(place + 1) };
            };
            found.take(record).ok_or(place + 1)?;
            found.bytes += line.len() as u64;
        }
        Ok(found)
    }

    fn take(&mut self, record: Record) -> Option<()> {
        match record {
            Record::Marks(marks) => {
                self.marks = marks;
                return self.marks.values().all(|mark| mark.lines.is_sound()).then_some(());
            }
            Record::Kept(kept) => {
                if kept.first == 0 || kept.first > kept.last || !note(&mut self.marks, &kept) {
                    return None;
                }
                self.kept.push(kept);
            }
            Record::Passed(passed) => self.passed = passed,
            Record::Synced(synced) if synced <= self.bytes => self.synced = Some(synced),
            Record::Synced(_) => return None,
        }
        (self.passed <= self.kept.len() as u64).then_some(())
    }
}

fn sum(json: &[u8]) -> String {
    let digest = Sha256::digest(json);
    hex(digest.get(..DIGITS / 2).unwrap_or_default())
}

fn read(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (digits, rest) = line.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    (sum(json).as_bytes() == digits).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kept(file: u8, first: u64, last: u64) -> Kept {
        let at = Timestamp::from_seconds(1_800_000_000);
        let point = "bus.1.u.a".parse().unwrap();
        let quality = Quality::Measured;
        let values = (first..=last).map(|n| Measurement {
            point,
            value: 0.1 * n as f64,
            quality,
            measured_at: at,
            received_at: at,
        });
        Kept::new(Digest128([file; 16]), (first, last), at, &values.collect::<Vec<_>>())
    }

    fn filled(path: &Path) -> (Vec<u8>, usize) {
        let (mut log, left) = Log::open(path).unwrap();
        assert!(left.is_empty());
        for one in [kept(1, 1, 3), kept(2, 1, 1)] {
            assert!(log.note(&one));
            log.append(&[one]).unwrap();
        }
        log.passed().unwrap();
        let before = std::fs::metadata(path).unwrap().len();
        let last = kept(1, 4, 5);
        assert!(log.note(&last));
        log.append(&[last]).unwrap();
        (std::fs::read(path).unwrap(), before as usize)
    }

    #[test]
    fn whatever_a_crash_leaves_of_the_last_record_all_earlier_ones_are_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        let (whole, before) = filled(&path);
        for cut in before..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (log, left) = Log::open(&path).unwrap();
            assert_eq!(left, [kept(2, 1, 1)], "cut at {cut} of {}", whole.len());
            assert!(log.lines(Digest128([1; 16])).unwrap().covers(1, 3));
        }
        std::fs::write(&path, &whole).unwrap();
        let (log, left) = Log::open(&path).unwrap();
        assert_eq!(left, [kept(2, 1, 1), kept(1, 4, 5)]);
        assert!(log.lines(Digest128([1; 16])).unwrap().covers(1, 5));
    }

    /// Bytes of whole lines, and where the last append begins: with what it says of the sync before it.
    fn ends(bytes: &[u8]) -> (Vec<usize>, usize) {
        let mut ends = vec![0];
        bytes
            .split_inclusive(|&byte| byte == b'\n')
            .for_each(|line| ends.push(ends.last().unwrap() + line.len()));
        let says_synced =
            |at: &&usize| bytes[**at..].get(DIGITS + 1..).is_some_and(|json| json.starts_with(b"{\"synced"));
        let last = *ends.iter().rfind(says_synced).unwrap();
        (ends, last)
    }

    #[test]
    fn of_a_group_any_part_may_be_missing_and_what_was_synced_before_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        filled(&path);
        let (mut log, _) = Log::open(&path).unwrap();
        log.passed().unwrap();
        let group: Vec<_> = (6..9).map(|line| kept(1, line, line)).collect();
        group.iter().for_each(|one| assert!(log.note(one)));
        log.append(&group).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let (ends, last) = ends(&whole);
        assert_eq!(ends.iter().filter(|end| **end > last).count(), 5, "synced, passed, and three records");
        for from in (0..whole.len() - 1).step_by(5) {
            let end = if from < last { last } else { whole.len() };
            for until in [from + 1, (from + end) / 2, end - 1].into_iter().filter(|until| *until > from) {
                let mut lost = whole.clone();
                lost[from..until].fill(0);
                std::fs::write(&path, &lost).unwrap();
                let opened = Log::open(&path);
                if from < last {
                    assert!(matches!(opened, Err(LogError::Damaged { .. })), "{from} to {until}");
                    continue;
                }
                let (mut log, _) = opened.unwrap_or_else(|error| panic!("{from} to {until}: {error}"));
                let lines = log.lines(Digest128([1; 16])).unwrap();
                assert!(lines.covers(1, 5) && !lines.covers(1, 8), "{from} to {until}");
                let next = kept(1, 6, 6);
                log.note(&next);
                log.append(&[next]).unwrap();
                assert!(Log::open(&path).unwrap().0.lines(Digest128([1; 16])).unwrap().covers(1, 6));
            }
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_was_synced_may_be_torn_in_its_last_line_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        let (whole, _) = filled(&path);
        let says = |line: &&[u8]| !line[DIGITS + 1..].starts_with(b"{\"synced");
        let older: Vec<&[u8]> = whole.split_inclusive(|&byte| byte == b'\n').filter(says).collect();
        for line in 0..older.len() {
            let mut lost: Vec<Vec<u8>> = older.iter().map(|line| line.to_vec()).collect();
            lost[line][20..24].fill(0);
            std::fs::write(&path, lost.concat()).unwrap();
            assert_eq!(Log::open(&path).is_ok(), line + 1 == older.len(), "line {line}");
        }
    }

    /// After a sync that failed the operating system takes records for written that the disk does not have.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_not_synced_for_certain_is_written_once_more_when_a_log_is_opened() {
        /// Bytes that this thread has written so far.
        fn written() -> u64 {
            let counted = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            counted.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        let (whole, _) = filled(&path);
        let unsure = whole.len() - ends(&whole).1;
        let before = written();
        let _log = Log::open(&path).unwrap();
        assert_eq!(written() - before, unsure as u64);
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_damaged_record_is_named_and_nothing_is_guessed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        let (whole, before) = filled(&path);
        for place in (0..before).step_by(7) {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x04;
            std::fs::write(&path, &damaged).unwrap();
            let error = Log::open(&path).unwrap_err();
            assert!(matches!(error, LogError::Damaged { .. }), "byte {place}: {error}");
        }
    }

    #[test]
    fn a_file_begun_anew_remembers_all_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("west.log");
        filled(&path);
        let (mut log, left) = Log::open(&path).unwrap();
        left.iter().for_each(|_| log.passed().unwrap());
        log.bytes = BYTES_MAX + 1;
        let next = kept(3, 7, 9);
        assert!(log.note(&next));
        log.append(std::slice::from_ref(&next)).unwrap();
        drop(log);
        let (log, left) = Log::open(&path).unwrap();
        assert_eq!(left, [next]);
        assert!(log.lines(Digest128([1; 16])).unwrap().covers(1, 5));
        assert!(log.lines(Digest128([3; 16])).unwrap().covers(7, 9));
        assert_eq!(log.marks.len(), 3);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_no_log_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("west.log");
            std::fs::write(&path, &bytes).unwrap();
            if let Ok((log, left)) = Log::open(&path) {
                prop_assert!(left.is_empty() && log.marks.is_empty());
            }
        }
    }
}
