//! An area's telemetry and estimates on every member: groups of the history's log as messages.
//!
//! Beside the files lies `replica.json`, up to which message they are in the history. It is written now and then, so after a crash
//! some groups are taken in a second time; a history answers with each value once.

use crate::mirrored::NOTE_PERIOD;
use crate::nats::{AreaStream, End, Message, PublishError};
use bytes::Bytes;
use grid::Timestamp;
use history::{Copies, History, HistoryError, Options, Removed};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tokio::runtime::Handle;
use tokio::time::Instant;

const POSITION: &str = "replica.json";

/// A follower's history.
pub struct Copy {
    history: History,
    sequence: u64,
    place: PathBuf,
    noted_at: Instant,
}

impl Copy {
    /// Takes it up in a directory.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn open(directory: &Path, options: Options) -> Result<Self, HistoryError> {
        let history = History::open(directory, options)?;
        let place = directory.join(POSITION);
        // Without a position everything comes again, which costs time and nothing else.
        let noted = std::fs::read(&place).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self { history, sequence: noted.unwrap_or(0), place, noted_at: Instant::now() })
    }

    /// The newest message in it.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Goes on from a stream that ends here. A stream that was made anew begins anew; what is not kept any more is passed over.
    pub fn goes_on(&mut self, end: End) {
        if self.sequence > end.sequence {
            tracing::warn!(place = %self.place.display(), "the cluster's history is a new one and begins anew");
            self.sequence = 0;
        }
        if end.is_empty {
            self.sequence = end.sequence;
        }
    }

    /// Removes values that were kept long enough, also those of a log that is a day old. Who serves the area writes down what went there;
    /// here it is a line of the log.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn retain(&mut self, now: Timestamp) -> Result<(), HistoryError> {
        if let Some(sealer) = self.history.seal_aged(now)? {
            self.history.adopt(sealer.make())?;
        }
        let (removed, failed) = self.history.retain(now);
        for Removed { file, values, .. } in &removed {
            tracing::info!(file, values, "kept long enough and removed");
        }
        failed.map_or(Ok(()), Err)
    }

    /// Takes in what a message carries; an empty one is a claim.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn apply(&mut self, message: &Message) -> Result<(), HistoryError> {
        if !message.payload.is_empty() {
            self.history.append_copied(&message.payload)?;
            if let Some(sealer) = self.history.seal_due()? {
                self.history.adopt(sealer.make())?;
            }
        }
        self.sequence = message.sequence;
        if self.noted_at.elapsed() > NOTE_PERIOD {
            self.note();
        }
        Ok(())
    }

    /// Writes down how far it is.
    pub fn note(&mut self) {
        self.noted_at = Instant::now();
        note(&self.place, self.sequence);
    }

    /// Becomes the history of the member that serves; `claimed` is the message it goes on from.
    pub fn serve(self, stream: AreaStream, term: String, claimed: u64) -> History {
        let Self { history, place, noted_at, .. } = self;
        let runtime = Handle::current();
        history.copied_to(Box::new(ToStream { stream, sequence: claimed, term, runtime, place, noted_at }))
    }
}

/// Whole or not at all: without a position the whole stream would be taken in once more, and kept twice.
fn note(place: &Path, sequence: u64) {
    let unfinished = place.with_extension("unfinished");
    let noted = File::create(&unfinished).and_then(|mut file| {
        file.write_all(sequence.to_string().as_bytes())?;
        file.sync_data()
    });
    let named =
        noted.and_then(|()| std::fs::rename(&unfinished, place)).and_then(|()| files::sync_name(place));
    if let Err(error) = named {
        tracing::warn!(%error, place = %place.display(), "the next start takes in more of the history again");
    }
}

/// The stream, as the place where values have to be before they last.
struct ToStream {
    stream: AreaStream,
    sequence: u64,
    term: String,
    runtime: Handle,
    place: PathBuf,
    noted_at: Instant,
}

impl Copies for ToStream {
    fn copy(&mut self, group: &[u8]) -> io::Result<()> {
        let append = self.stream.append(self.sequence, &self.term, Bytes::copy_from_slice(group));
        self.sequence = self.runtime.block_on(append).map_err(io::Error::other)?;
        if self.noted_at.elapsed() > NOTE_PERIOD {
            self.noted_at = Instant::now();
            note(&self.place, self.sequence);
        }
        Ok(())
    }
}

/// Claims a history's stream, which must end where the copy does.
///
/// # Errors
/// [`PublishError::Fenced`] when it has gone on.
pub async fn claim(stream: &AreaStream, ends: u64, term: &str) -> Result<u64, PublishError> {
    stream.append(ends, term, Bytes::new()).await
}

#[cfg(test)]
mod tests;
