//! A copy of a history, also of one that is being written to.
//!
//! Logs grow at their end only and go when all of their values are sealed; sealed files never change. So the logs are copied first, and
//! then every sealed file that is there: a log that went meanwhile had left its sealed files behind. Of a group that was being written
//! nothing gets into the copy.

use crate::error::{HistoryError, io_in};
use crate::log;
use crate::sealed::Sealed;
use crate::start::{LOCK, layout, log_name};
use files::{Disk, Folder};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How often a log is read again whose end was being written over: a group that found no room is taken back and tried again.
const ATTEMPTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);

/// What a copy holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackedUp {
    /// Logs and sealed files.
    pub files: usize,
    /// Bytes of those.
    pub bytes: u64,
}

/// Copies the history in `from` into the empty directory `to`, while it may be written to. Nothing in `from` changes.
///
/// # Errors
/// [`HistoryError`]; then what is in `to` is no copy.
pub fn back_up(from: &Path, to: &Path) -> Result<BackedUp, HistoryError> {
    let (from, to) = (Folder::new(from), Folder::new(to));
    let mut made = BackedUp::default();
    let mut in_logs = BTreeSet::new();
    for number in layout(&from)?.0 {
        let name = log_name(number);
        let Some(bytes) = whole_groups(&from, &name)? else { continue };
        let written =
            to.create(&name).and_then(|()| to.write(&name, 0, &bytes)).and_then(|()| to.sync(&name));
        written.map_err(io_in(&to, &name, "writing a copy to"))?;
        made.files += 1;
        made.bytes += bytes.len() as u64;
        in_logs.insert(number);
    }
    // What is sealed of a log that was copied may not be all of it, and would be made anew.
    for found in layout(&from)?.1.into_iter().filter(|file| !in_logs.contains(&file.number)) {
        let (source, name) = (from.place().join(&found.name), &found.name);
        match std::fs::copy(&source, to.place().join(name)) {
            // It was kept long enough.
            Err(error) if error.kind() == ErrorKind::NotFound && !source.exists() => continue,
            copied => made.bytes += copied.map_err(io_in(&to, name, "writing a copy to"))?,
        }
        to.sync(name).map_err(io_in(&to, name, "syncing a copy in"))?;
        Sealed::open(&to, name, found.kind, &found.sum)?;
        made.files += 1;
    }
    to.create(LOCK).map_err(io_in(&to, LOCK, "making"))?;
    to.sync_names().map_err(io_in(&to, "", "syncing the names in"))?;
    Ok(made)
}

/// The groups of a log that are whole; nothing when it is not there any more.
fn whole_groups(from: &dyn Disk, name: &str) -> Result<Option<Vec<u8>>, HistoryError> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        let read = from.size(name).and_then(|size| from.read(name, 0, size));
        let mut bytes = match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.map_err(io_in(from, name, "reading"))?,
        };
        let (_, whole) = log::read(&bytes);
        if whole == bytes.len() || log::is_torn(&bytes, whole) {
            bytes.truncate(whole);
            return Ok(Some(bytes));
        }
        if attempt == ATTEMPTS {
            let reason = format!("the group of values at byte {whole} is damaged");
            return Err(HistoryError::Damaged { path: from.place().join(name), reason });
        }
        std::thread::sleep(PAUSE);
    }
}
