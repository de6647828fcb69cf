//! How far it came: for each file its keyed name, and the line and byte up to which the platform has it; of a table, which rows have
//! a number ([`Taken`]). The file is replaced as
//! a whole (written aside, synced, renamed, the folder synced), so that a crash leaves the old or the new one.

use super::super::keys::Digest128;
#[cfg(feature = "postgres")]
use super::database::taken::Taken;
use super::source::Batch;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Files remembered that are not in the folder any more.
const ABSENT_MAX: usize = 1000;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reached {
    /// Its name now.
    pub(super) file: String,
    /// Its name when it was first seen; with its first line it makes the keyed name.
    pub(super) first_name: String,
    pub(super) id: Digest128,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Lines that the platform has.
    pub(super) line: u64,
    /// Bytes of those lines.
    pub(super) offset: u64,
}

#[derive(Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Written {
    files: Vec<Reached>,
    #[cfg(feature = "postgres")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<Taken>,
}

#[derive(Debug)]
pub(super) struct Progress {
    path: PathBuf,
    pub(super) files: Vec<Reached>,
    /// Of a database, once it began.
    #[cfg(feature = "postgres")]
    pub(super) table: Option<Taken>,
}

impl Progress {
    /// Reads what an earlier run reached; nothing when there is no file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let written = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Written::default(),
            Err(error) => return Err(error),
        };
        Ok(Self {
            path: path.to_owned(),
            files: written.files,
            #[cfg(feature = "postgres")]
            table: written.table,
        })
    }

    /// Forgets the oldest files that are not there any more, beyond some. When one comes back its lines are sent again, and the
    /// platform leaves them out.
    pub(super) fn forget_absent(&mut self, present: &BTreeSet<Digest128>) {
        let absent = self.files.iter().filter(|reached| !present.contains(&reached.id)).count();
        let mut too_many = absent.saturating_sub(ABSENT_MAX);
        self.files.retain(|reached| {
            let goes = too_many > 0 && !present.contains(&reached.id);
            too_many -= usize::from(goes);
            !goes
        });
    }

    /// The platform has a batch.
    pub(super) fn is_kept(&mut self, batch: &Batch) {
        #[cfg(feature = "postgres")]
        if let Some(table) = self.table.as_mut().filter(|table| table.id == batch.file) {
            table.is_kept();
        }
        if let Some(reached) = self.files.iter_mut().find(|reached| reached.id == batch.file) {
            (reached.line, reached.offset) = (batch.last, batch.offset);
        }
    }

    /// Lines of files, and rows of the table, that the platform has, by name.
    pub(super) fn reached(&self) -> BTreeMap<String, u64> {
        let reached = self.files.iter().map(|reached| (reached.file.clone(), reached.line));
        #[cfg(feature = "postgres")]
        let reached = reached.chain(self.table.iter().map(|table| (table.name.clone(), table.line)));
        reached.collect()
    }

    pub(super) fn save(&self) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(&Written {
            files: self.files.clone(),
            #[cfg(feature = "postgres")]
            table: self.table.clone(),
        })?;
        let next = self.path.with_extension("next");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.path)?;
        files::sync_name(&self.path)
    }
}
