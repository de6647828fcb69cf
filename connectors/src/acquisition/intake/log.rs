//! The file that makes a line count once: values and the lines they stood in, in one record, synced before anybody is told.
//!
//! One record a line: 16 hexadecimal digits of the SHA-256 of the rest, a space, JSON, a newline.
//!
//! * `{"marks":{FILE:{"lines":[[first,last],…],"used":SECONDS}}}`: the first record: what came before this file was begun;
//! * `{"kept":{…}}`: the new values of one envelope;
//! * `{"passed":N}`: the first N kept records of this file were passed on. It is not synced: without it they are passed on again.
//!
//! A last line that is torn was never acknowledged and is cut off. A bad line elsewhere is a broken disk: the file is not used.

use super::super::hex;
use super::super::keys::Digest128;
use super::super::lines::LineSet;
use grid::{Measurement, PointId, Quality, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
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
}

impl Log {
    /// Opens or begins a log; with it what was kept and not passed on.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Kept>), LogError> {
        let failed = |source| LogError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut found = Found::default();
        for (place, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            match read(line) {
                Some(record) => {
                    found.bytes += line.len() as u64;
                    found
                        .take(record)
                        .ok_or_else(|| LogError::Damaged { path: path.to_owned(), line: place + 1 })?;
                }
                // Only the very last line can be torn.
                None if found.bytes + line.len() as u64 == bytes.len() as u64 && !line.ends_with(b"\n") => {
                    break;
                }
                None => return Err(LogError::Damaged { path: path.to_owned(), line: place + 1 }),
            }
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let mut log = Self {
            path: path.to_owned(),
            file,
            bytes: found.bytes,
            marks: found.marks,
            kept: found.kept.len() as u64,
            passed: found.passed,
        };
        log.file.set_len(found.bytes).map_err(failed)?;
        log.file.seek(SeekFrom::Start(found.bytes)).map_err(failed)?;
        log.sync_all()?;
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
        let mut text = Vec::new();
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
        Ok(())
    }

    /// One more kept record was passed on.
    pub(super) fn passed(&mut self) -> Result<(), LogError> {
        self.passed += 1;
        let mut text = Vec::new();
        self.write_record(&mut text, &Record::Passed(self.passed))?;
        match self.file.write_all(&text) {
            Ok(()) => self.bytes += text.len() as u64,
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
        self.sync_all()
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
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let sync =
            self.file.sync_all().and_then(|()| File::open(folder.unwrap_or(Path::new(".")))?.sync_all());
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
    bytes: u64,
}

impl Found {
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
            assert_eq!(std::fs::metadata(&path).unwrap().len(), before as u64);
        }
        std::fs::write(&path, &whole).unwrap();
        let (log, left) = Log::open(&path).unwrap();
        assert_eq!(left, [kept(2, 1, 1), kept(1, 4, 5)]);
        assert!(log.lines(Digest128([1; 16])).unwrap().covers(1, 5));
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
