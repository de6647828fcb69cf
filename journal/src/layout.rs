//! Which files are there: segments and snapshots by their names.

use crate::error::JournalError;
use files::Disk;

/// Name of the first segment inside its directory.
pub const FILE_NAME: &str = "market.journal";
pub(crate) const TIP_NAME: &str = "market.tip";
const PREFIX: &str = "market-";
const SEGMENT: &str = ".journal";
const SNAPSHOT: &str = ".snapshot";

/// Names with the record number each carries, ascending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// By the number of their first record.
    pub segments: Vec<(u64, String)>,
    /// By the number of the last record they hold.
    pub snapshots: Vec<(u64, String)>,
}

impl Layout {
    pub fn of(disk: &dyn Disk) -> Result<Self, JournalError> {
        let names = disk.names().map_err(io_in(disk, "", "listing the data directory"))?;
        let mut layout = Layout::default();
        for name in names {
            if name == FILE_NAME {
                layout.segments.push((1, name));
            } else if let Some(first) = number(&name, SEGMENT) {
                layout.segments.push((first, name));
            } else if let Some(newest) = number(&name, SNAPSHOT) {
                layout.snapshots.push((newest, name));
            }
        }
        layout.segments.sort_unstable();
        layout.snapshots.sort_unstable();
        Ok(layout)
    }
}

fn number(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?.strip_suffix(ending)?;
    (digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Whether a file of that name is part of the journal itself, and not something made from it.
pub fn is_segment(name: &str) -> bool {
    name == FILE_NAME || number(name, SEGMENT).is_some_and(|first| first > 1)
}

/// Whether a file of that name is a segment, a snapshot, the tip, or what was left of one of them.
pub fn is_of_journal(name: &str) -> bool {
    name == TIP_NAME
        || name.starts_with(FILE_NAME)
        || name.starts_with(PREFIX)
        || name.starts_with("market.snapshot")
}

/// The name of the segment that begins with a record.
pub(crate) fn segment_name(first: u64) -> String {
    if first == 1 { FILE_NAME.to_owned() } else { format!("{PREFIX}{first:012}{SEGMENT}") }
}

/// The name of the snapshot that ends with a record.
pub(crate) fn snapshot_name(newest: u64) -> String {
    format!("{PREFIX}{newest:012}{SNAPSHOT}")
}

/// Puts an operating system's refusal into our words.
pub(crate) fn io_in(
    disk: &dyn Disk,
    name: &str,
    doing: &'static str,
) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = if name.is_empty() { disk.place() } else { disk.place().join(name) };
    move |source| match source.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => JournalError::Full { path },
        _ => JournalError::Io { path, doing, source },
    }
}
