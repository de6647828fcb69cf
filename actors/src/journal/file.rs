//! The journal on disk: one directory, one file, one process.

use super::record::{Chain, Defect, Entry, Fact, HEAD, decode, encode, first_chain};
use grid::Timestamp;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Name of the journal inside its directory.
pub const FILE_NAME: &str = "market.journal";

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the file was synced to the disk. The only choice where devices or money are real.
    Synced,
    /// When it was handed to the operating system. For `gridflex simulate`, whose journal is a result file.
    Simulated,
}

/// What can go wrong with a journal. Every variant names the file.
#[derive(Debug, Error)]
pub enum JournalError {
    /// The operating system refused.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The reason.
        source: std::io::Error,
    },
    /// Another process holds it.
    #[error("{}: another gridflex process is using this data directory", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Not a journal, or of another version.
    #[error("{}: this is not a gridflex journal of version 1", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A record in the middle is damaged.
    #[error(
        "{}: record {number} at byte {offset} is damaged ({reason}); the {good} records before it are whole", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which record.
        number: u64,
        /// Where it begins.
        offset: u64,
        /// In what way.
        reason: String,
        /// Whole records before it.
        good: u64,
    },
    /// An entry could not be written as JSON.
    #[error("{}: an entry could not be encoded: {reason}", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// An open journal that can be appended to. Holds an exclusive lock.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    durability: Durability,
    chain: Chain,
    number: u64,
    failed: bool,
}

/// A journal just opened, with what it held.
#[derive(Debug)]
pub struct Opened {
    /// Ready for appending.
    pub journal: Journal,
    /// All entries, oldest first.
    pub entries: Vec<Entry>,
    /// Bytes of a torn, never acknowledged record that were cut off and kept beside the journal.
    pub torn_bytes: u64,
}

/// What reading a journal without changing it found.
#[derive(Debug)]
pub struct VerifyReport {
    /// All whole entries, oldest first.
    pub entries: Vec<Entry>,
    /// Size of the file, bytes.
    pub bytes: u64,
    /// Bytes of a torn record at the end.
    pub torn_bytes: u64,
}

impl Journal {
    /// Opens or creates the journal in `directory`, takes its lock, reads every record, and cuts off a torn tail, which
    /// is kept in a file of its own.
    pub fn open(directory: &Path, durability: Durability) -> Result<Opened, JournalError> {
        let path = directory.join(FILE_NAME);
        let io = |doing| {
            let path = path.clone();
            move |source| JournalError::Io { path, doing, source }
        };
        std::fs::create_dir_all(directory).map_err(io("creating the data directory"))?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("opening the journal"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(io("locking the journal")(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("reading the journal"))?;
        if bytes.len() < HEAD.len() && HEAD.starts_with(&bytes) {
            file.seek(SeekFrom::Start(0)).map_err(io("starting the journal"))?;
            file.write_all(HEAD).map_err(io("starting the journal"))?;
            file.sync_all().map_err(io("syncing the new journal"))?;
            File::open(directory)
                .and_then(|directory| directory.sync_all())
                .map_err(io("syncing the data directory"))?;
            bytes = HEAD.to_vec();
        }
        let read = read(&path, &bytes)?;
        if read.torn_bytes > 0 {
            let end = read.end as usize;
            let kept = directory.join(format!("{FILE_NAME}.torn-{end}"));
            std::fs::write(&kept, bytes.get(end..).unwrap_or_default())
                .map_err(io("keeping a torn record"))?;
            tracing::warn!(bytes = read.torn_bytes, kept = %kept.display(), "a torn record was cut off");
            file.set_len(read.end).map_err(io("cutting off a torn record"))?;
            file.sync_all().map_err(io("syncing after cutting off a torn record"))?;
        }
        file.seek(SeekFrom::Start(read.end)).map_err(io("seeking to the end"))?;
        let number = read.entries.last().map_or(0, |entry| entry.number);
        let journal = Self { path, file, durability, chain: read.chain, number, failed: false };
        Ok(Opened { journal, entries: read.entries, torn_bytes: read.torn_bytes })
    }

    /// Reads a journal without changing it.
    pub fn verify(directory: &Path) -> Result<VerifyReport, JournalError> {
        // Whoever names the file instead of its directory means the same.
        let path = if directory.is_file() { directory.to_owned() } else { directory.join(FILE_NAME) };
        let bytes = std::fs::read(&path).map_err(|source| JournalError::Io {
            path: path.clone(),
            doing: "reading the journal",
            source,
        })?;
        let read = read(&path, &bytes)?;
        Ok(VerifyReport { entries: read.entries, bytes: bytes.len() as u64, torn_bytes: read.torn_bytes })
    }

    /// Appends facts as one group and, where durability asks for it, syncs once. After an error the journal
    /// refuses everything: the process must stop and recover from what is on the disk.
    pub fn append<'a>(
        &mut self,
        facts: impl IntoIterator<Item = (Timestamp, &'a Fact)>,
    ) -> Result<u64, JournalError> {
        let io = |doing, source| JournalError::Io { path: self.path.clone(), doing, source };
        if self.failed {
            let source = std::io::Error::other("an earlier write or sync failed");
            return Err(io("refusing to append", source));
        }
        let mut bytes = Vec::new();
        for (written_at, fact) in facts {
            self.number += 1;
            encode(self.number, written_at, fact, &mut self.chain, &mut bytes).map_err(|error| {
                self.failed = true;
                JournalError::Encode { path: self.path.clone(), reason: error.to_string() }
            })?;
        }
        let written = self.file.write_all(&bytes).map_err(|source| io("appending", source));
        let synced = written.and_then(|()| match self.durability {
            Durability::Synced => self.file.sync_data().map_err(|source| io("syncing", source)),
            Durability::Simulated => Ok(()),
        });
        self.failed = synced.is_err();
        synced.map(|()| self.number)
    }
}

struct Contents {
    entries: Vec<Entry>,
    chain: Chain,
    end: u64,
    torn_bytes: u64,
}

fn read(path: &Path, bytes: &[u8]) -> Result<Contents, JournalError> {
    if !bytes.starts_with(HEAD) {
        return Err(JournalError::Foreign { path: path.to_owned() });
    }
    let (mut chain, mut at, mut entries) = (first_chain(), HEAD.len(), Vec::new());
    while at < bytes.len() {
        let damaged = |reason: String| JournalError::Damaged {
            path: path.to_owned(),
            number: entries.len() as u64 + 1,
            offset: at as u64,
            reason,
            good: entries.len() as u64,
        };
        match decode(&bytes[at..], &mut chain) {
            Ok((entry, _)) if entry.number != entries.len() as u64 + 1 => {
                return Err(damaged(format!("it carries number {}", entry.number)));
            }
            Ok((entry, size)) => {
                entries.push(entry);
                at += size;
            }
            Err(Defect::Torn) => break,
            Err(Defect::Chain) => return Err(damaged("its checksum does not match".into())),
            Err(Defect::Payload(reason)) => return Err(damaged(reason)),
        }
    }
    Ok(Contents { entries, chain, end: at as u64, torn_bytes: (bytes.len() - at) as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(count: i64) -> impl Iterator<Item = (Timestamp, &'static Fact)> {
        (0..count).map(|second| (Timestamp::from_seconds(second), &Fact::Reached))
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let mut opened = Journal::open(directory.path(), Durability::Synced).unwrap();
        assert!(opened.entries.is_empty());
        opened.journal.append(reached(3)).unwrap();
        drop(opened);
        let mut again = Journal::open(directory.path(), Durability::Synced).unwrap();
        assert_eq!(again.entries.len(), 3);
        assert_eq!(again.journal.append(reached(1)).unwrap(), 4);
        assert_eq!(Journal::verify(directory.path()).unwrap().entries.len(), 4);
    }

    #[test]
    fn a_second_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let _first = Journal::open(directory.path(), Durability::Synced).unwrap();
        let second = Journal::open(directory.path(), Durability::Synced).unwrap_err();
        assert!(second.to_string().contains("another gridflex process"), "{second}");
    }

    #[test]
    fn a_torn_tail_is_cut_at_every_byte_and_appending_goes_on() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Journal::open(directory.path(), Durability::Simulated).unwrap().journal.append(reached(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let record = (whole.len() - HEAD.len()) / 2;
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut opened = Journal::open(directory.path(), Durability::Simulated).unwrap();
            let expected = cut.saturating_sub(HEAD.len()) / record;
            assert_eq!(opened.entries.len(), expected, "cut at {cut}");
            assert_eq!(opened.journal.append(reached(1)).unwrap() as usize, expected + 1);
            drop(opened);
            assert_eq!(Journal::verify(directory.path()).unwrap().torn_bytes, 0);
        }
    }

    #[test]
    fn damage_in_the_middle_is_reported_and_nothing_is_cut() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE_NAME);
        Journal::open(directory.path(), Durability::Simulated).unwrap().journal.append(reached(3)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[HEAD.len() + 40] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Journal::open(directory.path(), Durability::Simulated).unwrap_err().to_string();
        assert!(error.contains("record 1 at byte 19 is damaged"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_foreign_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), "something else, longer than a head").unwrap();
        let error = Journal::open(directory.path(), Durability::Synced).unwrap_err().to_string();
        assert!(error.contains("not a gridflex journal"), "{error}");
    }
}
