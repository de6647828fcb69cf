//! A member's own copy of an area's journal, brought up to date operation by operation.
//!
//! Beside the segments lies `replica.json`: up to which message of the stream they were on the disk, and how long they
//! were then. What a member wrote after that may never have reached the stream, so it is cut off before the copy goes on.

use crate::operation::Operation;
use journal::{Disk, Folder, is_segment};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::Path;
use thiserror::Error;

const POSITION: &str = "replica.json";
const POSITION_UNFINISHED: &str = "replica.json.new";
/// Bytes of a segment that seeds a stream, in one operation.
const SEED_BYTES: u64 = 256 << 10;
/// What the name of a segment gets, to be that of the file with what was cut off it last.
const CUT_OFF: &str = ".cut";

/// Why a copy cannot be kept.
#[derive(Debug, Error)]
pub enum ReplicaError {
    /// The operating system's.
    #[error("{place}: {source}")]
    Io {
        /// The directory.
        place: String,
        /// What it said.
        source: io::Error,
    },
    /// The position cannot be read.
    #[error(
        "{place}/{POSITION} is damaged ({reason}); move the directory away, and the journal comes anew from the cluster"
    )]
    Damaged {
        /// The directory.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// The stream does not go on from where this copy ends.
    #[error(
        "{place} holds the journal up to message {ours}, the cluster's ends at {theirs}: it is another one, or lost messages. \
         Nothing was changed. To go on from this member, give the others empty directories and the cluster an empty stream"
    )]
    Ahead {
        /// The directory.
        place: String,
        /// The newest message in the copy.
        ours: u64,
        /// The newest message in the stream.
        theirs: u64,
    },
    /// A journal that was written without a cluster, and a cluster that has one already.
    #[error(
        "{place} holds a journal that was not copied from the cluster, and the cluster has one; move the directory away"
    )]
    Foreign {
        /// The directory.
        place: String,
    },
    /// An operation does not fit to what is there.
    #[error(
        "{place}: message {sequence} writes at byte {at} of {name}, which has {length}; move the directory away"
    )]
    Gap {
        /// The directory.
        place: String,
        /// Of the message.
        sequence: u64,
        /// The file.
        name: String,
        /// Where it writes.
        at: u64,
        /// Where the file ends.
        length: u64,
    },
}

/// Up to where a copy is on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    /// Of the stream.
    sequence: u64,
    /// Bytes of each segment.
    lengths: BTreeMap<String, u64>,
    /// Who puts a journal into the stream that is not whole there yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seeding: Option<String>,
}

/// The copy.
#[derive(Debug)]
pub struct Replica {
    folder: Folder,
    position: Position,
    /// Segments that were changed since the last sync.
    changed: BTreeSet<String>,
    names_changed: bool,
    /// Message up to which it was written down.
    noted: Option<u64>,
    /// Whether there are segments that no stream has yet. Then nothing of the stream is done to them, and nothing is noted, so
    /// that it is still known after whatever may happen until the stream has all of them.
    unshared: bool,
}

impl Replica {
    /// Takes up the copy in a directory, which must be locked.
    ///
    /// # Errors
    /// [`ReplicaError::Damaged`] and the operating system's.
    pub fn open(directory: &Path) -> Result<Self, ReplicaError> {
        let folder = Folder::new(directory);
        let place = directory.display().to_string();
        let io = |source| ReplicaError::Io { place: place.clone(), source };
        let known = match std::fs::read(directory.join(POSITION)) {
            Ok(bytes) => Some(serde_json::from_slice::<Position>(&bytes).map_err(|error| {
                ReplicaError::Damaged { place: place.clone(), reason: error.to_string() }
            })?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(io(error)),
        };
        let mut segments: Vec<String> = folder.names().map_err(io)?;
        segments.retain(|name| is_segment(name));
        let mut replica = Self {
            folder,
            position: Position::default(),
            changed: BTreeSet::new(),
            names_changed: false,
            noted: None,
            unshared: false,
        };
        let Some(position) = known else {
            for name in segments {
                let length = replica.folder.size(&name).map_err(io)?;
                if length > 0 {
                    replica.position.lengths.insert(name, length);
                }
            }
            replica.unshared = !replica.position.lengths.is_empty();
            if !replica.unshared {
                // From here on what is in the directory is a copy.
                replica.note()?;
            }
            return Ok(replica);
        };
        replica.position = position;
        let whole =
            |(name, length): (&String, &u64)| replica.folder.size(name).is_ok_and(|size| size >= *length);
        if !replica.position.lengths.iter().all(whole) {
            // Power was cut between the names of files and the note of them.
            tracing::warn!(directory = %place, "segments are shorter than they were; the whole journal comes anew");
            replica.position = Position::default();
        }
        Ok(replica)
    }

    /// Bytes of a segment that the stream has.
    pub fn length(&self, name: &str) -> u64 {
        self.position.lengths.get(name).copied().unwrap_or(0)
    }

    /// The newest message of the stream in it.
    pub fn sequence(&self) -> u64 {
        self.position.sequence
    }

    /// Goes on from a stream that ends here: what is not known to be in it is cut off.
    ///
    /// # Errors
    /// [`ReplicaError::Ahead`] and [`ReplicaError::Foreign`], and then nothing was changed; the operating system's.
    pub fn go_on(&mut self, stream_ends: u64) -> Result<(), ReplicaError> {
        let (place, ours) = (self.place(), self.position.sequence);
        if self.unshared {
            // Whether the stream holds another journal, its messages will tell.
            return Ok(());
        }
        if ours > stream_ends {
            return Err(ReplicaError::Ahead { place, ours, theirs: stream_ends });
        }
        for name in self.folder.names().map_err(self.io())? {
            let length = self.position.lengths.get(&name).copied().unwrap_or(0);
            if is_segment(&name) && self.folder.size(&name).map_err(self.io())? > length {
                self.keep_beside(&name, length).map_err(self.io())?;
                self.folder.cut(&name, length).map_err(self.io())?;
                self.changed.insert(name);
            }
        }
        Ok(())
    }

    /// Keeps what is cut off a segment in a file beside it: if the stream has lost its end, these bytes are the only ones.
    fn keep_beside(&self, name: &str, from: u64) -> io::Result<()> {
        let (beside, size) = (format!("{name}{CUT_OFF}"), self.folder.size(name)?);
        self.folder.create(&beside)?;
        let mut at = from;
        while at < size {
            let bytes = self.folder.read(name, at, SEED_BYTES.min(size - at))?;
            if bytes.is_empty() {
                break;
            }
            self.folder.write(&beside, at - from, &bytes)?;
            at += bytes.len() as u64;
        }
        self.folder.sync(&beside)
    }

    /// Whether all of the journal is in the stream, or was put there by this member: then it may serve from here.
    pub fn may_serve(&self, member: &str) -> bool {
        self.position.seeding.as_ref().is_none_or(|by| by == member)
    }

    /// Who puts a journal into the stream that is not whole there yet.
    pub fn seeding(&self) -> Option<&str> {
        self.position.seeding.as_deref()
    }

    /// Does what a message says.
    ///
    /// # Errors
    /// [`ReplicaError::Gap`] and the operating system's.
    pub fn apply(&mut self, sequence: u64, operation: &Operation) -> Result<(), ReplicaError> {
        if self.unshared {
            return self.watch(sequence, operation);
        }
        let before = match operation {
            Operation::Seeding { .. } => std::mem::take(&mut self.position.lengths),
            _ => BTreeMap::new(),
        };
        self.follow(sequence, operation)?;
        match operation {
            Operation::Write { name, at, bytes } => {
                let (end, before) = (at + bytes.len() as u64, self.folder.size(name).unwrap_or(0));
                let written = self.folder.write(name, *at, bytes);
                let cut = |folder: &Folder| if before > end { folder.cut(name, end) } else { Ok(()) };
                written.and_then(|()| cut(&self.folder)).map_err(self.io())?;
                self.names_changed |= before == 0;
                self.changed.insert(name.clone());
            }
            Operation::Remove { name } => self.remove(name)?,
            Operation::Seeding { .. } => before.keys().try_for_each(|name| self.remove(name))?,
            Operation::Claim { .. } | Operation::Seeded => {}
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), ReplicaError> {
        if name == journal::FILE_NAME {
            // The first segment is also the lock, so it stays as an empty file.
            self.folder.cut(name, 0).map_err(self.io())?;
            self.changed.insert(name.to_owned());
            return Ok(());
        }
        match self.folder.remove(name) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.io()(error)),
            _ => self.names_changed = true,
        }
        self.changed.remove(name);
        Ok(())
    }

    /// A message of a stream that is to become this journal: it may hold nothing but what somebody began to put in.
    fn watch(&mut self, sequence: u64, operation: &Operation) -> Result<(), ReplicaError> {
        match operation {
            Operation::Claim { .. } => {}
            Operation::Seeding { member } => self.position.seeding = Some(member.clone()),
            Operation::Write { .. } | Operation::Remove { .. } if self.position.seeding.is_some() => {}
            _ => return Err(ReplicaError::Foreign { place: self.place() }),
        }
        self.position.sequence = sequence;
        Ok(())
    }

    /// Notes what was done to the files already.
    ///
    /// # Errors
    /// [`ReplicaError::Gap`].
    pub fn follow(&mut self, sequence: u64, operation: &Operation) -> Result<(), ReplicaError> {
        match operation {
            Operation::Write { name, at, bytes } => {
                let length = self.position.lengths.get(name).copied().unwrap_or(0);
                if *at > length {
                    let (place, name, at) = (self.place(), name.clone(), *at);
                    return Err(ReplicaError::Gap { place, sequence, name, at, length });
                }
                let end = at.saturating_add(bytes.len() as u64);
                self.position.lengths.insert(name.clone(), end);
            }
            Operation::Remove { name } => {
                self.position.lengths.remove(name);
            }
            Operation::Seeding { member } => self.position.seeding = Some(member.clone()),
            Operation::Seeded => self.position.seeding = None,
            Operation::Claim { .. } => {}
        }
        self.position.sequence = sequence;
        Ok(())
    }

    /// Returns when everything lasts, and is known to.
    ///
    /// # Errors
    /// The operating system's.
    pub fn sync(&mut self) -> Result<(), ReplicaError> {
        if self.unshared {
            return Ok(());
        }
        for name in std::mem::take(&mut self.changed) {
            self.folder.sync(&name).map_err(self.io())?;
        }
        if std::mem::take(&mut self.names_changed) {
            self.folder.sync_names().map_err(self.io())?;
        }
        match self.noted == Some(self.position.sequence) {
            true => Ok(()),
            false => self.note(),
        }
    }

    /// Writes down how far the segments are known to last.
    ///
    /// # Errors
    /// The operating system's.
    pub fn note(&mut self) -> Result<(), ReplicaError> {
        let bytes = serde_json::to_vec(&self.position).map_err(|error| self.io()(io::Error::other(error)))?;
        self.folder
            .create(POSITION_UNFINISHED)
            .and_then(|()| self.folder.write(POSITION_UNFINISHED, 0, &bytes))
            .and_then(|()| self.folder.sync(POSITION_UNFINISHED))
            .and_then(|()| self.folder.rename(POSITION_UNFINISHED, POSITION))
            .and_then(|()| self.folder.sync_names())
            .map_err(self.io())?;
        self.noted = Some(self.position.sequence);
        Ok(())
    }

    /// What makes a stream this journal, when it was written without a cluster: to be sent and [followed](Self::follow), and then
    /// [synced](Self::sync), before anything else is done here.
    ///
    /// # Errors
    /// The operating system's.
    pub fn seed(&mut self, member: &str) -> Result<Vec<Operation>, ReplicaError> {
        if !std::mem::take(&mut self.unshared) {
            return Ok(Vec::new());
        }
        let mut operations = vec![Operation::Seeding { member: member.to_owned() }];
        for (name, length) in std::mem::take(&mut self.position.lengths) {
            let mut at = 0;
            while at < length {
                let bytes = self.folder.read(&name, at, SEED_BYTES.min(length - at)).map_err(self.io())?;
                let next = at + bytes.len() as u64;
                operations.push(Operation::Write { name: name.clone(), at, bytes });
                if next == at {
                    break;
                }
                at = next;
            }
        }
        Ok(operations)
    }

    fn place(&self) -> String {
        self.folder.place().display().to_string()
    }

    fn io(&self) -> impl Fn(io::Error) -> ReplicaError + use<> {
        let place = self.place();
        move |source| ReplicaError::Io { place: place.clone(), source }
    }
}

#[cfg(test)]
mod tests;
