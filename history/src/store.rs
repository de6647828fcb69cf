//! The store: a log that grows, sealed files that stay, and what is asked of both.

use crate::error::{HistoryError, io_in};
use crate::log::{self, GROUP_MAX};
use crate::offset::Offset;
use crate::query::{Gathered, Query, Versions, Wanted};
use crate::sealed::{self, Sealed};
use crate::start::{Lock, log_name};
use crate::value::{Kind, Value};
use files::SharedDisk;
use grid::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

/// How a history is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Values in memory and in the log before they are sealed.
    pub head_values: usize,
    /// Values that are not sealed, at most: with more, because sealing fails or does not keep up, nothing is appended.
    pub unsealed_max: usize,
    /// Messages that may wait to be appended, for whoever hands them in; each has at most a thousand values.
    pub waiting_messages: usize,
    /// How long values of each kind are kept, after the instant they describe; for ever when absent.
    pub keep: BTreeMap<Kind, Duration>,
}

impl Default for Options {
    /// Half a million values (some 30 MB of memory) between two sealings, three times as many at most. Telemetry for a year, energies for three,
    /// estimates for a month: they are many, and can be made again.
    fn default() -> Self {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        let keep = [(Kind::Telemetry, days(366)), (Kind::Energy, days(1096)), (Kind::Estimate, days(31))];
        Self { head_values: 500_000, unsealed_max: 1_500_000, waiting_messages: 4096, keep: keep.into() }
    }
}

/// What is there of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Figures {
    /// Values that are not sealed yet.
    pub unsealed: u64,
    /// Values in sealed files.
    pub sealed: u64,
    /// Sealed files.
    pub files: u64,
    /// Bytes of sealed files.
    pub bytes: u64,
    /// The oldest instant in sealed files.
    pub oldest: Option<Timestamp>,
}

/// What went because it was kept long enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// The file.
    pub file: String,
    /// What was in it.
    pub kind: Kind,
    /// Values.
    pub values: u64,
    /// The oldest and the newest instant in it.
    pub instants: (Timestamp, Timestamp),
}

/// How long values stay in a log before it is sealed although it is short: they can go only when they are in a file.
const LOG_AGE_MAX: Duration = Duration::from_secs(86_400);

/// Largest group that is copied at once, values: some 400 kB.
const COPIED_MAX: usize = 10_000;

/// Ends of logs that are remembered, for those who had followed until there.
const ENDS_MAX: usize = 16;

/// Another place where values have to be before they last.
pub trait Copies: Send {
    /// Returns when a group of the log is there, too.
    ///
    /// # Errors
    /// Whatever the place says; then nothing more is appended.
    fn copy(&mut self, group: &[u8]) -> std::io::Result<()>;
}

/// An open history. Holds an exclusive lock.
pub struct History {
    pub(crate) disk: SharedDisk,
    pub(crate) options: Options,
    /// The log that is written to, its number, and where its next group begins.
    pub(crate) head: String,
    pub(crate) number: u64,
    pub(crate) head_end: u64,
    pub(crate) unsealed: Vec<Value>,
    /// How many of those there are of each kind.
    pub(crate) by_kind: Counts,
    pub(crate) sealing: Option<Sealing>,
    /// Where the newest logs before this one ended.
    pub(crate) ends: VecDeque<Offset>,
    pub(crate) sealed: Vec<Arc<Sealed>>,
    pub(crate) torn_bytes: u64,
    pub(crate) buffer: Vec<u8>,
    pub(crate) copies: Option<Box<dyn Copies>>,
    pub(crate) failed: bool,
    pub(crate) _lock: Option<Lock>,
}

/// What is being sealed, or is to be sealed again.
pub(crate) struct Sealing {
    pub number: u64,
    pub values: Arc<Vec<Value>>,
    pub by_kind: Counts,
    /// Whether somebody has the sealer.
    pub underway: bool,
}

/// How many values there are of each kind.
pub(crate) type Counts = [u64; Kind::ALL.len()];

pub(crate) fn counted(values: &[Value]) -> Counts {
    let mut counts = Counts::default();
    values.iter().for_each(|value| counts[value.kind as usize] += 1);
    counts
}

/// Not its values: there are too many.
impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("disk", &self.disk).finish_non_exhaustive()
    }
}

impl History {
    /// From now on values last only when `copies` has them, too.
    pub fn copied_to(mut self, copies: Box<dyn Copies>) -> Self {
        self.copies = Some(copies);
        self
    }

    /// Appends what another history copied; something else is refused as a whole.
    ///
    /// # Errors
    /// [`HistoryError::Group`], and those of [`append`](Self::append).
    pub fn append_copied(&mut self, group: &[u8]) -> Result<(), HistoryError> {
        let (values, whole) = log::read(group);
        match whole == group.len() {
            true => self.append(&values),
            false => Err(HistoryError::Group { bytes: group.len() }),
        }
    }

    /// Appends values as one group; they last when this returns. On a full disk, and where too many are
    /// [unsealed](HistoryError::Unsealed), nothing is kept of them, and the next attempt may succeed; after any other failure the
    /// history has to be opened again.
    pub fn append(&mut self, values: &[Value]) -> Result<(), HistoryError> {
        if self.failed {
            return Err(HistoryError::Failed { path: self.disk.place() });
        }
        if values.is_empty() {
            return Ok(());
        }
        let (unsealed, most) = (self.in_memory_count(), self.options.unsealed_max);
        if unsealed + values.len() > most {
            return Err(HistoryError::Unsealed { path: self.disk.place(), unsealed, most });
        }
        let begun = self.head_end;
        for group in values.chunks(GROUP_MAX) {
            self.buffer.clear();
            log::write(group, &mut self.buffer);
            let io = |doing| io_in(self.disk.as_ref(), &self.head, doing);
            let written = self.disk.write(&self.head, self.head_end, &self.buffer);
            if let Err(error) = written.map_err(io("appending to")) {
                // Whatever was written of it goes again. Synced, so that no sector of it can come back below what is written next.
                self.head_end = begun;
                let take_back = || self.disk.cut(&self.head, begun).and_then(|()| self.disk.sync(&self.head));
                self.failed = !error.is_full() || take_back().is_err();
                return Err(error);
            }
            if let Err(error) = self.disk.sync(&self.head).map_err(io("syncing")) {
                self.failed = true;
                return Err(error);
            }
            self.head_end += self.buffer.len() as u64;
        }
        self.unsealed.extend_from_slice(values);
        let more = counted(values);
        self.by_kind.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        self.copy(values)
    }

    /// How it is kept.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Bytes of torn, never acknowledged groups that were cut off when it was opened.
    pub fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Whether nothing more can be appended before it was opened again.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    fn copy(&mut self, values: &[Value]) -> Result<(), HistoryError> {
        let Some(copies) = &mut self.copies else { return Ok(()) };
        for group in values.chunks(COPIED_MAX) {
            self.buffer.clear();
            log::write(group, &mut self.buffer);
            if let Err(error) = copies.copy(&self.buffer) {
                self.failed = true;
                return Err(io_in(self.disk.as_ref(), &self.head, "copying")(error));
            }
        }
        Ok(())
    }

    /// What to seal: what is to be sealed [again](Self::seal_again), or the newest values when there are enough of them and
    /// nothing is being sealed. From here on values go to the next log.
    pub fn seal_due(&mut self) -> Result<Option<Sealer>, HistoryError> {
        if let Some(sealing) = self.sealing.as_mut().filter(|_| !self.failed) {
            let again = !std::mem::replace(&mut sealing.underway, true);
            let (disk, number, values) = (&self.disk, sealing.number, &sealing.values);
            let sealer = || Sealer { disk: disk.clone(), number, values: values.clone() };
            return Ok(again.then(sealer));
        }
        match self.unsealed.len() < self.options.head_values || self.failed {
            true => Ok(None),
            false => self.begin_sealing(),
        }
    }

    /// The same, and the newest values, too, when the first of them was received more than a day ago, or will be: a clock was put back.
    pub fn seal_aged(&mut self, now: Timestamp) -> Result<Option<Sealer>, HistoryError> {
        let first = self.unsealed.first().map(|value| value.received_at);
        let aged = first.is_some_and(|first| first < now.minus(LOG_AGE_MAX) || first > now.plus(LOG_AGE_MAX));
        match aged && self.sealing.is_none() && !self.failed {
            true => self.begin_sealing(),
            false => self.seal_due(),
        }
    }

    fn begin_sealing(&mut self) -> Result<Option<Sealer>, HistoryError> {
        let next = log_name(self.number + 1);
        let made = self.disk.create(&next).and_then(|()| self.disk.sync_names());
        made.map_err(io_in(self.disk.as_ref(), &next, "making"))?;
        self.ends.push_back(self.newest());
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
        // As much room again, so that it never has to be moved while it grows.
        let next_values = Vec::with_capacity(self.unsealed.capacity());
        let values = Arc::new(std::mem::replace(&mut self.unsealed, next_values));
        let by_kind = std::mem::take(&mut self.by_kind);
        self.sealing = Some(Sealing { number: self.number, values: values.clone(), by_kind, underway: true });
        let sealer = Sealer { disk: self.disk.clone(), number: self.number, values };
        (self.head, self.number, self.head_end) = (next, self.number + 1, 0);
        Ok(Some(sealer))
    }

    /// Takes over what was sealed; its log goes. After a failure the values stay in memory and in their log until they were
    /// sealed [again](Self::seal_again), or another start seals them.
    pub fn adopt(&mut self, made: Result<Made, HistoryError>) -> Result<(), HistoryError> {
        let made = made?;
        let name = log_name(made.number);
        match self.disk.remove(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_in(self.disk.as_ref(), &name, "removing")(error));
            }
            _ => {}
        }
        self.sealed.extend(made.files.into_iter().map(Arc::new));
        self.sealing = None;
        Ok(())
    }

    /// Sealing failed: what was being sealed is due again. To be called when nobody seals it any more.
    pub fn seal_again(&mut self) {
        self.sealing.iter_mut().for_each(|sealing| sealing.underway = false);
    }

    /// Values in memory that are not sealed yet.
    pub(crate) fn in_memory(&self) -> impl Iterator<Item = &Value> {
        self.sealing.iter().flat_map(|sealing| sealing.values.iter()).chain(&self.unsealed)
    }

    fn in_memory_count(&self) -> usize {
        self.unsealed.len() + self.sealing.as_ref().map_or(0, |sealing| sealing.values.len())
    }

    /// Number and values of the log that is written to.
    pub(crate) fn newest_log(&self) -> (u64, &[Value]) {
        (self.number, &self.unsealed)
    }

    /// Whether a log that is not written to any more ended there.
    pub(crate) fn is_end(&self, offset: Offset) -> bool {
        self.ends.contains(&offset)
    }

    /// Numbers and values of the logs in memory, older first.
    pub(crate) fn logs_in_memory(&self) -> Vec<(u64, &[Value])> {
        let sealing = self.sealing.iter().map(|sealing| (sealing.number, sealing.values.as_slice()));
        sealing.chain([self.newest_log()]).collect()
    }

    /// Removes sealed files all of whose values are older than their kind is kept. Returns what went, and the first failure: a file that
    /// cannot be removed stays as it is and is tried again the next time; the others go all the same.
    pub fn retain(&mut self, now: Timestamp) -> (Vec<Removed>, Option<HistoryError>) {
        let (keep, disk) = (&self.options.keep, self.disk.as_ref());
        let old = |file: &Sealed| keep.get(&file.kind).is_some_and(|keep| file.newest() < now.minus(*keep));
        let (mut removed, mut failed) = (Vec::new(), None);
        self.sealed.retain(|file| {
            if !old(file) {
                return true;
            }
            match disk.remove(&file.name) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    failed.get_or_insert(io_in(disk, &file.name, "removing")(error));
                    true
                }
                _ => {
                    let (file, instants) = (file.as_ref(), (file.oldest(), file.newest()));
                    let (name, kind, values) = (file.name.clone(), file.kind, file.rows());
                    removed.push(Removed { file: name, kind, values, instants });
                    false
                }
            }
        });
        if !removed.is_empty()
            && let Err(error) = disk.sync_names()
        {
            failed.get_or_insert(io_in(disk, "", "syncing the names in")(error));
        }
        (removed, failed)
    }

    /// Begins a search: what is in memory is found at once, so that the files can be read while values are appended.
    pub fn search(&self, query: &Query) -> Search {
        let wanted = Wanted::new(query);
        let found = self.in_memory().filter(|value| wanted.fits(value)).copied().collect();
        let files = self.sealed.iter().filter(|file| file.kind == wanted.kind()).cloned().collect();
        Search { disk: self.disk.clone(), wanted, versions: query.versions, most: query.most, found, files }
    }

    /// Searches.
    pub fn query(&self, query: &Query) -> Result<Vec<Value>, HistoryError> {
        self.search(query).finish()
    }

    /// What is there.
    pub fn figures(&self) -> BTreeMap<Kind, Figures> {
        let mut figures: BTreeMap<Kind, Figures> =
            Kind::ALL.into_iter().map(|kind| (kind, Figures::default())).collect();
        let unsealed = [Some(self.by_kind), self.sealing.as_ref().map(|sealing| sealing.by_kind)];
        for (kind, count) in
            unsealed.into_iter().flatten().flat_map(|counts| Kind::ALL.into_iter().zip(counts))
        {
            figures.entry(kind).or_default().unsealed += count;
        }
        for file in &self.sealed {
            let of_kind = figures.entry(file.kind).or_default();
            of_kind.sealed += file.rows();
            of_kind.files += 1;
            of_kind.bytes += file.bytes;
            let oldest = file.oldest();
            of_kind.oldest = Some(of_kind.oldest.map_or(oldest, |known| known.min(oldest)));
        }
        figures
    }
}

/// Seals one log, on any thread.
#[derive(Debug)]
pub struct Sealer {
    pub(crate) disk: SharedDisk,
    pub(crate) number: u64,
    pub(crate) values: Arc<Vec<Value>>,
}

/// Files that were made of a log.
#[derive(Debug)]
pub struct Made {
    number: u64,
    files: Vec<Sealed>,
}

impl Sealer {
    /// Sorts, and writes one file for each kind.
    pub fn make(self) -> Result<Made, HistoryError> {
        let mut files = Vec::new();
        for kind in Kind::ALL {
            let mut values: Vec<&Value> = self.values.iter().filter(|value| value.kind == kind).collect();
            if values.is_empty() {
                continue;
            }
            values.sort_by_key(|value| value.order());
            files.push(sealed::write(self.disk.as_ref(), kind, self.number, &values)?);
        }
        self.disk.sync_names().map_err(io_in(self.disk.as_ref(), "", "syncing the names in"))?;
        Ok(Made { number: self.number, files })
    }
}

/// A search that was begun.
pub struct Search {
    disk: SharedDisk,
    wanted: Wanted,
    versions: Versions,
    most: usize,
    found: Vec<Value>,
    files: Vec<Arc<Sealed>>,
}

impl Search {
    /// Reads the files that may have something, and puts everything in order: by point, instant, version.
    pub fn finish(mut self) -> Result<Vec<Value>, HistoryError> {
        let in_memory = std::mem::take(&mut self.found);
        let mut found = Gathered::new(self.versions, self.most);
        for file in &self.files {
            match file.search(self.disk.as_ref(), &self.wanted, &mut found) {
                // It was kept long enough, and went while we searched.
                Err(HistoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        in_memory.into_iter().try_for_each(|value| found.put(value))?;
        found.finish()
    }
}
