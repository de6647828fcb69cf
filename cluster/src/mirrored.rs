//! The disk of a journal that is written in two places: in a folder, and in the area's stream.
//!
//! What is done to segments is gathered, and goes to the stream when the journal asks for it to last; it lasts when both have
//! it. Snapshots and the tip are made from segments and stay in the folder.

use crate::nats::{AreaStream, PublishError};
use crate::operation::Operation;
use crate::replica::{Replica, ReplicaError};
use bytes::Bytes;
use journal::{Disk, Folder, is_segment};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Largest piece of a file in one message, bytes; NATS takes a megabyte unless told otherwise.
const PIECE_BYTES: usize = 512 << 10;
/// How often it is written down up to where folder and stream agree.
pub const NOTE_PERIOD: Duration = Duration::from_secs(2);

/// Why an area could not be taken over, or went on elsewhere.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// The stream.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The folder, as a copy.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The folder, as the journal's.
    #[error("{0}")]
    Here(String),
}

/// Both places.
#[derive(Debug)]
pub struct Mirrored {
    folder: Folder,
    runtime: Handle,
    pending: Mutex<Vec<Operation>>,
    /// Held by the thread that sends: whoever asks next also waits for what is on its way.
    turn: Mutex<Turn>,
    writer: Arc<tokio::sync::Mutex<Writer>>,
}

#[derive(Debug)]
struct Turn {
    noted_at: Instant,
    failed: bool,
}

#[derive(Debug)]
struct Writer {
    stream: AreaStream,
    replica: Replica,
    term: String,
}

/// Claims the stream of a journal, which must end where `replica` does.
///
/// # Errors
/// [`PublishError::Fenced`] when the stream has gone on.
pub async fn claim(
    stream: &AreaStream,
    replica: &mut Replica,
    member: &str,
    term: &str,
) -> Result<(), MirrorError> {
    let claim = Operation::Claim { member: member.to_owned() };
    let ends = replica.sequence();
    let sequence = stream.append(ends, term, Bytes::from(claim.encode())).await?;
    Ok(replica.follow(sequence, &claim)?)
}

impl Mirrored {
    /// The disk of a claimed journal. Makes the stream hold what `replica` holds.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn new(
        directory: &Path,
        stream: AreaStream,
        replica: Replica,
        member: &str,
        term: String,
    ) -> Result<Self, MirrorError> {
        let mut writer = Writer { stream, replica, term };
        for operation in writer.replica.seed(member)? {
            writer.send(operation).await?;
        }
        writer.replica.sync()?;
        // Only after it is noted that the folder is a copy: from here on others may go on from the stream.
        if writer.replica.seeding() == Some(member) {
            writer.send(Operation::Seeded).await?;
            writer.replica.sync()?;
        }
        let turn = Mutex::new(Turn { noted_at: Instant::now(), failed: false });
        let (folder, runtime, pending) = (Folder::new(directory), Handle::current(), Mutex::default());
        Ok(Self { folder, runtime, pending, turn, writer: Arc::new(tokio::sync::Mutex::new(writer)) })
    }

    fn pending(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether stream and folder hold these bytes there already. A journal that is opened writes its newest group once more, so that it
    /// lasts on this disk. In the stream that group would come in pieces, the first of which cuts the others off every copy: a member
    /// that died between them would leave copies without records that were acknowledged.
    fn has_already(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<bool> {
        if self.pending().iter().any(|operation| operation.is_of(name)) {
            return Ok(false);
        }
        let end = at.saturating_add(bytes.len() as u64);
        let shared = self.runtime.block_on(self.writer.lock()).replica.length(name);
        Ok(at < end && end <= shared && self.folder.read(name, at, end - at)? == bytes)
    }

    fn gather(&self, name: &str, operation: impl FnOnce() -> Operation) {
        if is_segment(name) {
            self.pending().push(operation());
        }
    }

    /// Sends what was gathered while `local` does its part, and returns when both are done.
    /// `lasts`: the local part makes last what was gathered, so it may be noted.
    fn both(&self, lasts: bool, local: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.failed {
            return Err(io::Error::other("the area's stream was lost"));
        }
        let pending = std::mem::take(&mut *self.pending());
        if pending.is_empty() {
            return local();
        }
        let writer = self.writer.clone();
        let sent = self.runtime.spawn(async move {
            let mut writer = writer.lock().await;
            for operation in pending.into_iter().flat_map(pieces) {
                writer.send(operation).await?;
            }
            Ok::<_, MirrorError>(())
        });
        let here = local();
        let there = self.runtime.block_on(sent).map_err(io::Error::other);
        // An error of the folder that says "full" is passed on as another: what the stream has is not taken back.
        let both = there.and_then(|there| {
            there.and(here.map_err(|error| MirrorError::Here(error.to_string()))).map_err(io::Error::other)
        });
        turn.failed = both.is_err();
        both?;
        if lasts && turn.noted_at.elapsed() > NOTE_PERIOD {
            turn.noted_at = Instant::now();
            // The note saves work after a restart; what is recorded does not hang on it.
            if let Err(error) = self.runtime.block_on(self.writer.lock()).replica.note() {
                tracing::warn!(%error, "it was not written down up to where folder and stream agree");
            }
        }
        Ok(())
    }
}

/// An operation that fits into messages.
fn pieces(operation: Operation) -> Vec<Operation> {
    match operation {
        Operation::Write { name, at, bytes } if bytes.len() > PIECE_BYTES => {
            let piece = |(nth, piece): (usize, &[u8])| Operation::Write {
                name: name.clone(),
                at: at + (nth * PIECE_BYTES) as u64,
                bytes: piece.to_vec(),
            };
            bytes.chunks(PIECE_BYTES).enumerate().map(piece).collect()
        }
        operation => vec![operation],
    }
}

impl Writer {
    async fn send(&mut self, operation: Operation) -> Result<(), MirrorError> {
        let (ends, payload) = (self.replica.sequence(), Bytes::from(operation.encode()));
        let sequence = self.stream.append(ends, &self.term, payload).await?;
        Ok(self.replica.follow(sequence, &operation)?)
    }
}

impl Disk for Mirrored {
    fn place(&self) -> PathBuf {
        self.folder.place()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.folder.names()
    }

    fn read(&self, name: &str, at: u64, length: u64) -> io::Result<Vec<u8>> {
        self.folder.read(name, at, length)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        self.folder.size(name)
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.folder.create(name)?;
        self.gather(name, || Operation::Write { name: name.into(), at: 0, bytes: Vec::new() });
        Ok(())
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        if is_segment(name) && self.has_already(name, at, bytes)? {
            return self.folder.write(name, at, bytes);
        }
        self.folder.write(name, at, bytes)?;
        self.gather(name, || Operation::Write { name: name.into(), at, bytes: bytes.to_vec() });
        Ok(())
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        self.folder.cut(name, length)?;
        self.gather(name, || Operation::Write { name: name.into(), at: length, bytes: Vec::new() });
        Ok(())
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        match is_segment(name) {
            true => self.both(true, || self.folder.sync(name)),
            false => self.folder.sync(name),
        }
    }

    fn sync_names(&self) -> io::Result<()> {
        self.both(false, || self.folder.sync_names())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        if is_segment(from) || is_segment(to) {
            return Err(io::Error::other("a segment is never renamed"));
        }
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)?;
        self.gather(name, || Operation::Remove { name: name.into() });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
