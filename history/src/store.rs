//! The store: a log that grows, sealed files that stay, and what is asked of both.

use crate::error::HistoryError;
use crate::log::{self, GROUP_MAX};
use crate::offset::Offset;
use crate::query::{Gathered, Query, Versions, Wanted};
use crate::sealed::{self, Sealed};
use crate::value::{Kind, Value};
use grid::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const LOCK: &str = "history.lock";

/// How a history is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Values in memory and in the log before they are sealed.
    pub head_values: usize,
    /// How long values of each kind are kept, after the instant they describe; for ever when absent.
    pub keep: BTreeMap<Kind, Duration>,
}

impl Default for Options {
    /// Half a million values (some 30 MB of memory) between two sealings. Telemetry for a year, energies for three,
    /// estimates for a month: they are many, and can be made again.
    fn default() -> Self {
        let days = |count: u64| Duration::from_secs(count * 86_400);
        let keep = [(Kind::Telemetry, days(366)), (Kind::Energy, days(1096)), (Kind::Estimate, days(31))];
        Self { head_values: 500_000, keep: keep.into() }
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
    directory: PathBuf,
    options: Options,
    /// The log that is written to.
    head: File,
    head_path: PathBuf,
    number: u64,
    unsealed: Vec<Value>,
    /// How many of those there are of each kind.
    by_kind: Counts,
    sealing: Option<Sealing>,
    /// Where the newest logs before this one ended.
    ends: VecDeque<Offset>,
    sealed: Vec<Arc<Sealed>>,
    torn_bytes: u64,
    buffer: Vec<u8>,
    copies: Option<Box<dyn Copies>>,
    failed: bool,
    _lock: File,
}

/// What is being sealed, or is to be sealed again.
struct Sealing {
    number: u64,
    values: Arc<Vec<Value>>,
    by_kind: Counts,
    /// Whether somebody has the sealer.
    underway: bool,
}

/// How many values there are of each kind.
type Counts = [u64; Kind::ALL.len()];

fn counted(values: &[Value]) -> Counts {
    let mut counts = Counts::default();
    values.iter().for_each(|value| counts[value.kind as usize] += 1);
    counts
}

fn io<'a>(path: &'a Path, doing: &'static str) -> impl Fn(std::io::Error) -> HistoryError + 'a {
    move |source| HistoryError::Io { path: path.to_owned(), doing, source }
}

fn log_path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("head-{number:010}.log"))
}

fn sync_names(directory: &Path) -> Result<(), HistoryError> {
    File::open(directory).and_then(|folder| folder.sync_all()).map_err(io(directory, "syncing the names in"))
}

/// A sealed file by its name.
struct Found {
    path: PathBuf,
    kind: Kind,
    number: u64,
    sum: String,
}

/// The files of a directory: logs by number, sealed ones.
fn layout(directory: &Path) -> Result<(Vec<u64>, Vec<Found>), HistoryError> {
    let (mut logs, mut sealed) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(directory).map_err(io(directory, "listing"))?;
    for entry in entries {
        let entry = entry.map_err(io(directory, "listing"))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(number) = name.strip_prefix("head-").and_then(|rest| rest.strip_suffix(".log")) {
            logs.extend(number.parse::<u64>());
        }
        let known = sealed::parse_name(name);
        sealed.extend(known.map(|(kind, number, sum)| Found {
            path: entry.path(),
            kind,
            number,
            sum: sum.to_owned(),
        }));
    }
    logs.sort_unstable();
    sealed.sort_by(|one, other| one.path.cmp(&other.path));
    Ok((logs, sealed))
}

/// Reads a log. A torn end is cut off and kept beside it; returns how many bytes that was.
///
/// The last group is written and synced once more: a process that ended before its sync, or after one that failed, has left it where a
/// power cut may still take it, and what is appended now would have nothing before it.
fn read_log(path: &Path) -> Result<(Vec<Value>, u64), HistoryError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(io(path, "opening"))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io(path, "reading"))?;
    let (values, whole) = log::read(&bytes);
    let torn = bytes.split_off(whole);
    if !torn.is_empty() {
        bytes.extend_from_slice(&torn);
        if !log::is_torn(&bytes, whole) {
            let (count, size) = (values.len(), bytes.len());
            let reason = format!(
                "the group of values at byte {whole} of {size} is damaged; `truncate -s {whole}` leaves the {count} values before it"
            );
            return Err(HistoryError::Damaged { path: path.to_owned(), reason });
        }
        bytes.truncate(whole);
        let kept = PathBuf::from(format!("{}.torn-{whole}", path.display()));
        let copied =
            std::fs::write(&kept, &torn).map_or_else(|error| error.to_string(), |()| "kept".to_owned());
        tracing::warn!(kept = %kept.display(), copied, bytes = torn.len(), "a torn, never acknowledged end was cut off");
        file.set_len(whole as u64).map_err(io(path, "cutting off a torn end of"))?;
    }
    let last = log::last_group(&bytes);
    let again = bytes.get(last..).unwrap_or_default();
    file.write_all_at(again, last as u64)
        .and_then(|()| file.sync_all())
        .map_err(io(path, "syncing what is left of"))?;
    Ok((values, torn.len() as u64))
}

/// Not its values: there are too many.
impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl History {
    /// Opens or makes the history in a directory: seals logs that were left, reads the newest one, and looks at what each
    /// sealed file covers.
    pub fn open(directory: &Path, options: Options) -> Result<Self, HistoryError> {
        std::fs::create_dir_all(directory).map_err(io(directory, "making"))?;
        let lock = lock(directory)?;
        let (logs, found) = layout(directory)?;
        // A number is never used twice.
        let number = logs.last().copied().max(found.iter().map(|file| file.number + 1).max()).unwrap_or(1);
        // A log that is there is sealed anew; what a crash left of the last time goes.
        for half in found.iter().filter(|file| logs.contains(&file.number)) {
            std::fs::remove_file(&half.path).map_err(io(&half.path, "removing"))?;
        }
        let (mut torn_bytes, mut sealing) = (0, None);
        for left in logs.into_iter().filter(|log| *log < number) {
            let path = log_path(directory, left);
            let (values, torn) = read_log(&path)?;
            torn_bytes += torn;
            let values = Arc::new(values);
            let sealer = Sealer { directory: directory.to_owned(), number: left, values: values.clone() };
            match sealer.make() {
                // There is no room to seal it: it stays in its log and in memory, and is sealed when there is.
                Err(error) if error.is_full() && sealing.is_none() => {
                    tracing::warn!(%error, "values of the history stay in their log");
                    let by_kind = counted(&values);
                    sealing = Some(Sealing { number: left, values, by_kind, underway: false });
                    continue;
                }
                made => drop(made?),
            }
            std::fs::remove_file(&path).map_err(io(&path, "removing"))?;
        }
        let (_, found) = layout(directory)?;
        // Of one that found no room some kinds may be there; they are made again with the others.
        let whole = |file: &&Found| sealing.as_ref().is_none_or(|sealing| sealing.number != file.number);
        let sealed = found
            .iter()
            .filter(whole)
            .map(|file| Sealed::open(&file.path, file.kind, &file.sum).map(Arc::new));
        let sealed: Result<Vec<_>, _> = sealed.collect();
        let head_path = log_path(directory, number);
        let (unsealed, torn) = if head_path.exists() { read_log(&head_path)? } else { Default::default() };
        torn_bytes += torn;
        let head = OpenOptions::new().append(true).create(true).open(&head_path);
        let head = head.map_err(io(&head_path, "opening"))?;
        sync_names(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            options,
            head,
            head_path,
            number,
            by_kind: counted(&unsealed),
            unsealed,
            sealing,
            ends: VecDeque::new(),
            sealed: sealed?,
            torn_bytes,
            buffer: Vec::new(),
            copies: None,
            failed: false,
            _lock: lock,
        })
    }

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

    /// Appends values as one group; they last when this returns. On a full disk nothing is kept of them, and the next
    /// attempt may succeed; after any other failure the history has to be opened again.
    pub fn append(&mut self, values: &[Value]) -> Result<(), HistoryError> {
        if self.failed {
            return Err(HistoryError::Failed { path: self.directory.clone() });
        }
        if values.is_empty() {
            return Ok(());
        }
        let end = self.head.metadata().map_err(io(&self.head_path, "looking at"))?.len();
        for group in values.chunks(GROUP_MAX) {
            self.buffer.clear();
            log::write(group, &mut self.buffer);
            if let Err(error) = self.head.write_all(&self.buffer).map_err(io(&self.head_path, "appending to"))
            {
                // Whatever was written of it goes again.
                self.failed = !error.is_full() || self.head.set_len(end).is_err();
                return Err(error);
            }
            if let Err(error) = self.head.sync_data() {
                self.failed = true;
                return Err(io(&self.head_path, "syncing")(error));
            }
        }
        self.unsealed.extend_from_slice(values);
        let more = counted(values);
        self.by_kind.iter_mut().zip(more).for_each(|(count, more)| *count += more);
        self.copy(values)
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
                return Err(io(&self.head_path, "copying")(error));
            }
        }
        Ok(())
    }

    /// What to seal: what is to be sealed [again](Self::seal_again), or the newest values when there are enough of them and
    /// nothing is being sealed. From here on values go to the next log.
    pub fn seal_due(&mut self) -> Result<Option<Sealer>, HistoryError> {
        if let Some(sealing) = self.sealing.as_mut().filter(|_| !self.failed) {
            let again = !std::mem::replace(&mut sealing.underway, true);
            let (directory, number, values) = (&self.directory, sealing.number, &sealing.values);
            let sealer = || Sealer { directory: directory.clone(), number, values: values.clone() };
            return Ok(again.then(sealer));
        }
        if self.unsealed.len() < self.options.head_values || self.failed {
            return Ok(None);
        }
        let path = log_path(&self.directory, self.number + 1);
        let next = OpenOptions::new().append(true).create(true).open(&path).map_err(io(&path, "making"))?;
        sync_names(&self.directory)?;
        self.ends.push_back(self.newest());
        if self.ends.len() > ENDS_MAX {
            self.ends.pop_front();
        }
        // As much room again, so that it never has to be moved while it grows.
        let next_values = Vec::with_capacity(self.unsealed.capacity());
        let values = Arc::new(std::mem::replace(&mut self.unsealed, next_values));
        let by_kind = std::mem::take(&mut self.by_kind);
        self.sealing = Some(Sealing { number: self.number, values: values.clone(), by_kind, underway: true });
        let sealer = Sealer { directory: self.directory.clone(), number: self.number, values };
        (self.head, self.head_path, self.number) = (next, path, self.number + 1);
        Ok(Some(sealer))
    }

    /// Takes over what was sealed; its log goes. After a failure the values stay in memory and in their log until they were
    /// sealed [again](Self::seal_again), or another start seals them.
    pub fn adopt(&mut self, made: Result<Made, HistoryError>) -> Result<(), HistoryError> {
        let made = made?;
        let path = log_path(&self.directory, made.number);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(&path, "removing")(error)),
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
    fn in_memory(&self) -> impl Iterator<Item = &Value> {
        self.sealing.iter().flat_map(|sealing| sealing.values.iter()).chain(&self.unsealed)
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

    /// Removes sealed files all of whose values are older than their kind is kept. Returns how many values went. One that cannot be
    /// removed stays as it is and is tried again the next time; the others go all the same.
    pub fn retain(&mut self, now: Timestamp) -> Result<u64, HistoryError> {
        let keep = &self.options.keep;
        let old = |file: &Sealed| keep.get(&file.kind).is_some_and(|keep| file.newest() < now.minus(*keep));
        let (mut values, mut failed) = (0, None);
        self.sealed.retain(|file| {
            if !old(file) {
                return true;
            }
            match std::fs::remove_file(&file.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    failed.get_or_insert(io(&file.path, "removing")(error));
                    true
                }
                _ => {
                    tracing::info!(path = %file.path.display(), values = file.rows(), "kept long enough and removed");
                    values += file.rows();
                    false
                }
            }
        });
        failed.map_or(Ok(values), Err)
    }

    /// Begins a search: what is in memory is found at once, so that the files can be read while values are appended.
    pub fn search(&self, query: &Query) -> Search {
        let wanted = Wanted::new(query);
        let found = self.in_memory().filter(|value| wanted.fits(value)).copied().collect();
        let files = self.sealed.iter().filter(|file| file.kind == wanted.kind()).cloned().collect();
        Search { wanted, versions: query.versions, most: query.most, found, files }
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

fn lock(directory: &Path) -> Result<File, HistoryError> {
    let path = directory.join(LOCK);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(io(&path, "opening"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HistoryError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(io(&path, "locking")(source)),
    }
}

/// Seals one log, on any thread.
#[derive(Debug)]
pub struct Sealer {
    directory: PathBuf,
    number: u64,
    values: Arc<Vec<Value>>,
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
            files.push(sealed::write(&self.directory, kind, self.number, &values)?);
        }
        sync_names(&self.directory)?;
        Ok(Made { number: self.number, files })
    }
}

/// A search that was begun.
pub struct Search {
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
            match file.search(&self.wanted, &mut found) {
                // It was kept long enough, and went while we searched.
                Err(HistoryError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        in_memory.into_iter().try_for_each(|value| found.put(value))?;
        found.finish()
    }
}
