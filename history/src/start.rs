//! Opening a history: logs that were left are sealed, the newest one is read and goes on.

use crate::error::{HistoryError, io_in};
use crate::log;
use crate::sealed::{self, Sealed};
use crate::store::{History, Options, Sealer, Sealing, counted};
use crate::value::{Kind, Value};
use files::{Disk, Folder, SharedDisk};
use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

pub(crate) const LOCK: &str = "history.lock";

pub(crate) fn log_name(number: u64) -> String {
    format!("head-{number:010}.log")
}

/// The right to write in a directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the directory where there is none, and takes it.
    ///
    /// # Errors
    /// [`HistoryError::Locked`] when another process, or this one, has it.
    pub fn take(directory: &Path) -> Result<Self, HistoryError> {
        let folder = Folder::new(directory);
        std::fs::create_dir_all(directory).map_err(io_in(&folder, "", "making"))?;
        let path = directory.join(LOCK);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io_in(&folder, LOCK, "opening"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(HistoryError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(io_in(&folder, LOCK, "locking")(source)),
        }
    }
}

/// A sealed file by its name.
pub(crate) struct Found {
    pub name: String,
    pub kind: Kind,
    pub number: u64,
    pub sum: String,
}

/// The files of a history: logs by number, sealed ones.
pub(crate) fn layout(disk: &dyn Disk) -> Result<(Vec<u64>, Vec<Found>), HistoryError> {
    let (mut logs, mut found) = (Vec::new(), Vec::new());
    for name in disk.names().map_err(io_in(disk, "", "listing"))? {
        if let Some(number) = name.strip_prefix("head-").and_then(|rest| rest.strip_suffix(".log")) {
            logs.extend(number.parse::<u64>());
        } else if let Some((kind, number, sum)) = sealed::parse_name(&name) {
            let sum = sum.to_owned();
            found.push(Found { name, kind, number, sum });
        }
    }
    logs.sort_unstable();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((logs, found))
}

/// What is in a log.
#[derive(Default)]
struct Read {
    values: Vec<Value>,
    /// Where it ends.
    end: u64,
    /// Bytes that were cut off there.
    torn: u64,
}

/// Reads a log. A torn end is cut off and kept beside it.
///
/// The last group is written and synced once more: a process that ended before its sync, or after one that failed, has left it where a
/// power cut may still take it, and what is appended now would have nothing before it.
fn read_log(disk: &dyn Disk, name: &str) -> Result<Read, HistoryError> {
    let io = |doing| io_in(disk, name, doing);
    let size = disk.size(name).map_err(io("looking at"))?;
    let mut bytes = disk.read(name, 0, size).map_err(io("reading"))?;
    let (values, whole) = log::read(&bytes);
    let torn = bytes.len() - whole;
    if torn > 0 {
        if !log::is_torn(&bytes, whole) {
            let (count, size) = (values.len(), bytes.len());
            let reason = format!(
                "the group of values at byte {whole} of {size} is damaged; `truncate -s {whole}` leaves the {count} values before it"
            );
            return Err(HistoryError::Damaged { path: disk.place().join(name), reason });
        }
        let (kept, rest) = (format!("{name}.torn-{whole}"), bytes.split_off(whole));
        let copied = disk.create(&kept).and_then(|()| disk.write(&kept, 0, &rest));
        let copied = copied.map_or_else(|error| error.to_string(), |()| "kept".to_owned());
        tracing::warn!(kept, copied, bytes = torn, "a torn, never acknowledged end was cut off");
        disk.cut(name, whole as u64).map_err(io("cutting off a torn end of"))?;
    }
    let last = log::last_group(&bytes);
    let again = bytes.get(last..).unwrap_or_default();
    disk.write(name, last as u64, again)
        .and_then(|()| disk.sync(name))
        .map_err(io("syncing what is left of"))?;
    Ok(Read { values, end: whole as u64, torn: torn as u64 })
}

impl History {
    /// Opens or makes the history in a directory, and takes its lock.
    ///
    /// # Errors
    /// [`HistoryError::Locked`], and those of [`open_on`](Self::open_on).
    pub fn open(directory: &Path, options: Options) -> Result<Self, HistoryError> {
        let lock = Lock::take(directory)?;
        let mut history = Self::open_on(Arc::new(Folder::new(directory)), options)?;
        history._lock = Some(lock);
        Ok(history)
    }

    /// Opens or makes the history on a disk that nobody else writes to: seals logs that were left, reads the newest one, and looks
    /// at what each sealed file covers.
    ///
    /// # Errors
    /// [`HistoryError::Io`], [`HistoryError::Damaged`].
    pub fn open_on(disk: SharedDisk, options: Options) -> Result<Self, HistoryError> {
        let place = disk.as_ref();
        let (logs, found) = layout(place)?;
        // A number is never used twice.
        let number = logs.last().copied().max(found.iter().map(|file| file.number + 1).max()).unwrap_or(1);
        // A log that is there is sealed anew; what a crash left of the last time goes.
        for half in found.iter().filter(|file| logs.contains(&file.number)) {
            disk.remove(&half.name).map_err(io_in(place, &half.name, "removing"))?;
        }
        let (mut torn_bytes, mut sealing) = (0, None);
        for left in logs.iter().copied().filter(|log| *log < number) {
            let name = log_name(left);
            let Read { values, torn, .. } = read_log(place, &name)?;
            torn_bytes += torn;
            let values = Arc::new(values);
            let sealer = Sealer { disk: disk.clone(), number: left, values: values.clone() };
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
            disk.remove(&name).map_err(io_in(place, &name, "removing"))?;
        }
        let (_, found) = layout(place)?;
        // Of one that found no room some kinds may be there; they are made again with the others.
        let whole = |file: &&Found| sealing.as_ref().is_none_or(|sealing| sealing.number != file.number);
        let sealed = found.iter().filter(whole);
        let sealed = sealed.map(|file| Sealed::open(place, &file.name, file.kind, &file.sum).map(Arc::new));
        let sealed = sealed.collect::<Result<Vec<_>, _>>()?;
        let head = log_name(number);
        let newest = match logs.contains(&number) {
            true => read_log(place, &head)?,
            false => disk.create(&head).map(|()| Read::default()).map_err(io_in(place, &head, "making"))?,
        };
        disk.sync_names().map_err(io_in(place, "", "syncing the names in"))?;
        Ok(Self {
            disk,
            options,
            head,
            number,
            head_end: newest.end,
            by_kind: counted(&newest.values),
            unsealed: newest.values,
            sealing,
            ends: VecDeque::new(),
            sealed,
            torn_bytes: torn_bytes + newest.torn,
            buffer: Vec::new(),
            copies: None,
            failed: false,
            _lock: None,
        })
    }
}
