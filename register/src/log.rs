//! The file: one record a line, 16 hexadecimal digits of the SHA-256 of the rest, a space, JSON, a newline. A record lasts when
//! [`Log::append`] returns.
//!
//! A record is written with one sync, and nothing after it before that sync has returned. So only the last line may be *torn*: without its
//! end, or with zeros in it, which JSON never has, where a sector was not written. It was never acknowledged and is cut off. Any other
//! bad line is a broken disk: the file is not used.
//! A file that grew far beyond what it says is written anew beside itself and put in its place.

use crate::error::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const DIGITS: usize = 16;
/// A file is written anew when it is larger than this and twice as large as after the last time, bytes.
const ANEW_BYTES_MIN: u64 = 4 << 20;

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// Bytes when it was last written anew.
    bytes_anew: u64,
    stuck: bool,
}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::File { path: path.to_owned(), doing, source }
}

impl Log {
    /// Opens or begins a log; with it what it says, oldest first.
    pub fn open<R: DeserializeOwned>(path: &Path) -> Result<(Self, Vec<R>), StoreError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(path, "reading")(error)),
        };
        let (mut records, mut whole) = (Vec::new(), 0);
        let mut last = 0;
        for (place, line) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
            match read(line) {
                Some(record) => {
                    records.push(record);
                    (last, whole) = (whole, whole + line.len());
                }
                None if whole + line.len() == bytes.len() && files::is_torn(line) => break,
                None => return Err(StoreError::Damaged { path: path.to_owned(), line: place + 1 }),
            }
        }
        if whole < bytes.len() {
            let cut = bytes.len() - whole;
            tracing::warn!(path = %path.display(), bytes = cut, "a torn, never acknowledged end was cut off");
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path).map_err(failed(path, "opening"))?;
        let whole = whole as u64;
        files::make_last(&mut file, last as u64, whole).map_err(failed(path, "cutting off a torn end of"))?;
        sync_name(path)?;
        let log = Self { path: path.to_owned(), file, bytes: whole, bytes_anew: whole, stuck: false };
        Ok((log, records))
    }

    /// Appends a record; it lasts when this returns. On a full disk nothing is changed and it may be tried again; after any
    /// other failure nothing more is taken.
    pub fn append(&mut self, record: &impl Serialize) -> Result<(), StoreError> {
        if self.stuck {
            return Err(StoreError::Stuck { path: self.path.clone() });
        }
        let mut line = Vec::new();
        write(record, &mut line).map_err(failed(&self.path, "writing a record of"))?;
        if let Err(source) = self.file.write_all(&line) {
            let error = failed(&self.path, "appending to")(source);
            let back = self.file.set_len(self.bytes);
            let back = back.and_then(|()| self.file.seek(SeekFrom::Start(self.bytes)));
            self.stuck = back.is_err() || !error.is_full();
            return Err(error);
        }
        if let Err(source) = self.file.sync_data() {
            self.stuck = true;
            return Err(failed(&self.path, "syncing")(source));
        }
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Whether it takes anything any more.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Whether it grew so far that it should be written anew.
    pub fn is_long(&self) -> bool {
        !self.stuck && self.bytes > ANEW_BYTES_MIN.max(2 * self.bytes_anew)
    }

    /// Puts a file that says the same in fewer records in its place. What goes wrong leaves the old file in use.
    pub fn write_anew<'a, R: Serialize + 'a>(
        &mut self,
        records: impl Iterator<Item = R>,
    ) -> Result<(), StoreError> {
        let next = self.path.with_extension("next");
        let mut bytes = Vec::new();
        for record in records {
            write(&record, &mut bytes).map_err(failed(&next, "writing a record of"))?;
        }
        let make = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&next)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&next, &self.path)?;
            Ok(file)
        };
        let file = make().map_err(failed(&next, "writing"))?;
        (self.file, self.bytes, self.bytes_anew) = (file, bytes.len() as u64, bytes.len() as u64);
        // The name may not last yet: what is appended now would go with it.
        sync_name(&self.path).inspect_err(|_| self.stuck = true)
    }
}

fn sync_name(path: &Path) -> Result<(), StoreError> {
    files::sync_name(path).map_err(failed(path, "syncing the name of"))
}

fn digits(json: &[u8]) -> String {
    Sha256::digest(json).iter().take(DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

fn write(record: &impl Serialize, into: &mut Vec<u8>) -> io::Result<()> {
    let json = serde_json::to_vec(record)?;
    into.extend_from_slice(digits(&json).as_bytes());
    into.push(b' ');
    into.extend_from_slice(&json);
    into.push(b'\n');
    Ok(())
}

fn read<R: DeserializeOwned>(line: &[u8]) -> Option<R> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, rest) = line.split_at_checked(DIGITS)?;
    let json = rest.strip_prefix(b" ")?;
    (digits(json).as_bytes() == sum).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (mut log, found) = Log::open::<u32>(&path).unwrap();
        assert!(found.is_empty());
        (1..=3_u32).for_each(|number| log.append(&number).unwrap());
        let bytes = std::fs::read(&path).unwrap();
        (folder, path, bytes)
    }

    #[test]
    fn a_file_cut_anywhere_goes_on_from_its_last_whole_record() {
        let (_folder, path, bytes) = three();
        let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
        for cut in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let kept = ends.iter().filter(|&&end| end < cut).count() as u32;
            let (mut log, found) = Log::open::<u32>(&path).unwrap();
            assert_eq!(found, (1..=kept).collect::<Vec<_>>(), "cut at {cut}");
            log.append(&9_u32).unwrap();
            drop(log);
            assert_eq!(Log::open::<u32>(&path).unwrap().1.last(), Some(&9), "cut at {cut}");
        }
    }

    #[test]
    fn every_flipped_bit_of_a_whole_line_is_found_and_named() {
        let (_folder, path, bytes) = three();
        let last = bytes.len() - 1;
        for at in 0..last {
            for bit in 0..8 {
                let mut broken = bytes.clone();
                broken[at] ^= 1 << bit;
                if broken[at] == 0 {
                    // As after a write that was torn.
                    continue;
                }
                std::fs::write(&path, &broken).unwrap();
                assert!(
                    matches!(Log::open::<u32>(&path), Err(StoreError::Damaged { .. })),
                    "byte {at}, bit {bit}"
                );
            }
        }
    }

    #[test]
    fn a_last_line_of_which_any_part_was_not_written_is_torn_and_an_earlier_one_is_damaged() {
        let (_folder, path, bytes) = three();
        let begins = bytes.len() - bytes.split_inclusive(|&byte| byte == b'\n').next_back().unwrap().len();
        for from in 0..bytes.len() - 1 {
            // Where the line ends, whose end is there.
            let end = from + bytes[from..].iter().position(|&byte| byte == b'\n').unwrap();
            for until in
                [from + 1, from.midpoint(end), end].into_iter().filter(|until| from < *until && *until <= end)
            {
                let mut lost = bytes.clone();
                lost[from..until].fill(0);
                std::fs::write(&path, &lost).unwrap();
                let opened = Log::open::<u32>(&path);
                if from < begins {
                    assert!(matches!(opened, Err(StoreError::Damaged { .. })), "{from} to {until}");
                    continue;
                }
                let (mut log, found) = opened.unwrap_or_else(|error| panic!("{from} to {until}: {error}"));
                assert_eq!(found, [1, 2]);
                log.append(&9_u32).unwrap();
                drop(log);
                assert_eq!(Log::open::<u32>(&path).unwrap().1, [1, 2, 9]);
            }
        }
    }

    /// After a sync that failed the operating system takes a record for written that the disk does not have.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_newest_record_is_written_once_more_when_a_log_is_opened() {
        /// Bytes that this thread has written so far.
        fn written() -> u64 {
            let counted = std::fs::read_to_string("/proc/thread-self/io").unwrap();
            counted.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
        }
        let (_folder, path, bytes) = three();
        let newest = bytes.split_inclusive(|&byte| byte == b'\n').next_back().unwrap();
        let before = written();
        let _log = Log::open::<u32>(&path).unwrap();
        assert_eq!(written() - before, newest.len() as u64);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_file_written_anew_says_the_same_and_takes_more() {
        let (_folder, path, _) = three();
        let (mut log, found) = Log::open::<u32>(&path).unwrap();
        log.write_anew(found.iter().rev()).unwrap();
        log.append(&4_u32).unwrap();
        drop(log);
        assert_eq!(Log::open::<u32>(&path).unwrap().1, [3, 2, 1, 4]);
    }
}
