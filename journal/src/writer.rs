//! Appending: one write and one sync for each group of facts.

use crate::error::JournalError;
use crate::layout::{io_in, segment_name};
use crate::reader::Active;
use crate::record::{Chain, Fact, encode};
use crate::segment::{self, Position, SECTOR, chain_of_head, close_group, open_group};
use crate::snapshot::{Kept, Snapshotter};
use crate::start::Lock;
use crate::tip;
use files::SharedDisk;
use grid::Timestamp;
use grid::defect::{Defect, planted};
use std::io::{Error, ErrorKind};

/// When an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// After the file was synced to the disk. The only choice where devices or money are real.
    Synced,
    /// When it was handed to the operating system. For `gridflex simulate`, whose journal is a result file.
    Simulated,
}

/// How a journal is written.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// When an append counts as done.
    pub durability: Durability,
    /// A segment of at least this size is followed by the next one, bytes.
    pub segment_bytes: u64,
    /// A snapshot is due after so many bytes of finished segments.
    pub snapshot_bytes: u64,
}

impl Options {
    /// Segments of 16 MiB (some 150,000 records), a snapshot after each.
    pub fn new(durability: Durability) -> Self {
        Self { durability, segment_bytes: 16 << 20, snapshot_bytes: 16 << 20 }
    }
}

/// An open journal that can be appended to. Holds an exclusive lock.
#[derive(Debug)]
pub struct Journal {
    disk: SharedDisk,
    options: Options,
    position: Position,
    /// The chain that the next record goes on from.
    link: Chain,
    /// The segment that is written to.
    active: String,
    /// Where its next group begins; `None` when it is finished whatever its size.
    end: Option<u64>,
    /// Bytes of finished segments since the newest snapshot.
    sealed: u64,
    kept: Kept,
    failed: bool,
    _lock: Option<Lock>,
}

/// Where a journal that was read ends.
pub(crate) struct End {
    pub position: Position,
    pub active: Option<Active>,
    pub sealed: u64,
}

impl Journal {
    /// Takes up a journal where it ends; begins the first segment where there is none.
    pub(crate) fn at(disk: SharedDisk, options: Options, end: End) -> Result<Self, JournalError> {
        let End { position, active, sealed } = end;
        let active = active.filter(|active| active.current || position.number > 0);
        let mut journal = Self {
            disk,
            options,
            link: position.chain,
            position,
            active: String::new(),
            end: None,
            sealed,
            kept: Kept::default(),
            failed: false,
            _lock: None,
        };
        match active {
            None => journal.begin_segment()?,
            Some(active) => {
                let empty = active.current && active.end == SECTOR as u64;
                if empty {
                    journal.link = chain_of_head(&segment::head(&journal.position));
                }
                journal.active = active.name;
                journal.end = active.current.then_some(active.end);
            }
        }
        Ok(journal)
    }

    pub(crate) fn hold(&mut self, lock: Lock) {
        self._lock = Some(lock);
    }

    /// Number of the newest record.
    pub fn records(&self) -> u64 {
        self.position.number
    }

    /// Appends facts as one group and, where durability asks for it, syncs once. Returns the number of the last.
    ///
    /// [`Full`](JournalError::Full) means that nothing was written and the same may be tried again. After any other error
    /// the journal refuses everything: the process must stop and recover from what is on the disk.
    pub fn append<'a>(
        &mut self,
        facts: impl IntoIterator<Item = (Timestamp, &'a Fact)>,
    ) -> Result<u64, JournalError> {
        if self.failed {
            return Err(self.io("refusing to append", Error::other("an earlier write or sync failed")));
        }
        let written = self.append_group(&mut facts.into_iter());
        self.failed = !matches!(written, Ok(_) | Err(JournalError::Full { .. }));
        written
    }

    /// Whether a snapshot is due; who asks is the one to make it.
    pub fn snapshot_due(&mut self) -> Option<Snapshotter> {
        let due = self.options.durability == Durability::Synced && self.sealed >= self.options.snapshot_bytes;
        due.then(|| {
            self.sealed = 0;
            self.snapshotter()
        })
    }

    /// Makes snapshots of this journal.
    pub fn snapshotter(&self) -> Snapshotter {
        Snapshotter { disk: self.disk.clone(), kept: self.kept.clone() }
    }

    fn append_group(
        &mut self,
        facts: &mut dyn Iterator<Item = (Timestamp, &Fact)>,
    ) -> Result<u64, JournalError> {
        let mut facts = facts.peekable();
        if facts.peek().is_none() {
            return Ok(self.position.number);
        }
        let at = match self.end {
            Some(end) if end < self.options.segment_bytes || end == SECTOR as u64 => end,
            _ => {
                let finished = self.end.unwrap_or(0);
                self.begin_segment()?;
                self.sealed += finished;
                SECTOR as u64
            }
        };
        let (mut bytes, mut number, mut chain) = (open_group(), self.position.number, self.link);
        for (written_at, fact) in facts {
            number += 1;
            encode(written_at, fact, &mut chain, &mut bytes).map_err(|reason| self.unencodable(reason))?;
        }
        let count = u32::try_from(number - self.position.number).ok().filter(|_| bytes.len() < 1 << 31);
        let count = count.ok_or_else(|| self.unencodable("a group of more than 2 GiB".into()))?;
        let before = Position { number: self.position.number, chain: self.link };
        close_group(&before, count, &mut bytes);
        self.write_group(at, &bytes)?;
        self.position = Position { number, chain };
        (self.link, self.end) = (chain, Some(at + bytes.len() as u64));
        if let Err(error) = tip::write(self.disk.as_ref(), &self.position) {
            tracing::warn!(%error, "the tip stays behind; a journal cut off at its end would not be noticed");
        }
        Ok(number)
    }

    fn write_group(&mut self, at: u64, bytes: &[u8]) -> Result<(), JournalError> {
        match self.disk.write(&self.active, at, bytes) {
            Ok(()) => self.sync("syncing"),
            Err(error) if is_full(&error) => {
                // Takes back what fitted. Synced, so that no sector of it can come back below what is written next.
                self.disk.cut(&self.active, at).map_err(|error| self.io("taking back a write", error))?;
                self.sync("syncing after a write was taken back")?;
                Err(JournalError::Full { path: self.disk.place().join(&self.active) })
            }
            Err(error) => Err(self.io("appending", error)),
        }
    }

    /// Begins the next segment. Its head is synced before anything follows it.
    fn begin_segment(&mut self) -> Result<(), JournalError> {
        let name = segment_name(self.position.number + 1);
        let head = segment::head(&self.position);
        let begun = self.disk.create(&name).and_then(|()| self.disk.write(&name, 0, &head));
        if let Err(error) = begun {
            if is_full(&error) && self.position.number > 0 {
                match self.disk.remove(&name) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(self.io("taking back a new segment", error));
                    }
                    _ => return Err(JournalError::Full { path: self.disk.place().join(name) }),
                }
            }
            return Err(io_in(self.disk.as_ref(), &name, "beginning a segment")(error));
        }
        self.active = name;
        self.sync("syncing a new segment")?;
        if self.options.durability == Durability::Synced {
            self.disk.sync_names().map_err(|error| self.io("syncing the data directory", error))?;
        }
        (self.link, self.end) = (chain_of_head(&head), Some(SECTOR as u64));
        Ok(())
    }

    /// An error of a sync is never "full": what is on the disk is not known any more.
    fn sync(&self, doing: &'static str) -> Result<(), JournalError> {
        match self.options.durability {
            Durability::Synced if planted(Defect::SkipsSync) => Ok(()),
            Durability::Synced => self.disk.sync(&self.active).map_err(|error| self.io(doing, error)),
            Durability::Simulated => Ok(()),
        }
    }

    fn io(&self, doing: &'static str, source: Error) -> JournalError {
        JournalError::Io { path: self.disk.place().join(&self.active), doing, source }
    }

    fn unencodable(&self, reason: String) -> JournalError {
        JournalError::Encode { path: self.disk.place().join(&self.active), reason }
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
