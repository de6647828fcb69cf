//! A copy of a data directory, also of one that a running gridflex uses.
//!
//! Nothing stands still meanwhile, so each kind of file is copied as it may be copied while it grows, and what says that something
//! is elsewhere is copied before that: the logs of acquisition, which know the lines that came, before the history that has their
//! values. The copy gets its name when it is whole, synced and read once more. What belongs to a process or to a member of a cluster
//! (locks, what a crash left, how far a stream was followed) stays behind: the copy is the data directory of one machine.

use crate::check::{AUDIT_LOG, HISTORY_DIRECTORY};
use crate::sources::ACQUISITION_DIRECTORY;
use access::verify_audit;
use actors::journal::{self, Journal, JournalError};
use history::HistoryError;
use register::{Register, StoreError};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Folders within folders that are copied.
const DEPTH_MAX: usize = 8;
/// Ends of names of what is not copied: unfinished, left by a crash, or of a member of a cluster.
const LEFT_OUT: [&str; 6] = [".unfinished", ".next", ".new", ".cut", "replica.json", ".lock"];

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is no journal to copy.
    #[error("{}: there is no data directory of gridflex here", .0.display())]
    NoData(PathBuf),
    /// Something is where the copy was to be made.
    #[error("{}: it is there already; a copy is made where nothing is", .0.display())]
    Taken(PathBuf),
    /// A copy was begun and not ended.
    #[error("{}: this is left of a copy that did not end; remove it", .0.display())]
    Unfinished(PathBuf),
    /// The copy would lie in what is copied.
    #[error("{}: a copy cannot lie in the data directory it is made of", .0.display())]
    Inside(PathBuf),
    /// The operating system refused.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// The audit log is not whole.
    #[error("{}: {reason}", path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Where and how it is broken.
        reason: String,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The history.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What parties deposited.
    #[error(transparent)]
    Register(#[from] StoreError),
}

impl BackupError {
    /// Whether it was asked for something that makes no sense.
    pub fn is_of_the_question(&self) -> bool {
        matches!(self, Self::NoData(_) | Self::Taken(_) | Self::Unfinished(_) | Self::Inside(_))
    }
}

/// What a copy holds.
#[derive(Debug)]
pub struct BackedUp {
    /// The journal.
    pub journal: journal::BackedUp,
    /// The history.
    pub history: history::BackedUp,
    /// All other files.
    pub files: usize,
    /// Bytes of those.
    pub bytes: u64,
}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl Fn(io::Error) -> BackupError + 'a {
    move |source| BackupError::Io { path: path.to_owned(), doing, source }
}

/// Copies the data directory `data` to `to`, where nothing is yet. Everything acknowledged before it was called is in the copy, and
/// nothing in part.
///
/// # Errors
/// [`BackupError`]; then there is no `to`.
pub fn back_up(data: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    if !data.join(journal::FILE_NAME).is_file() {
        return Err(BackupError::NoData(data.to_owned()));
    }
    if to.symlink_metadata().is_ok() {
        return Err(BackupError::Taken(to.to_owned()));
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed(folder, "making"))?;
    let inside = folder.canonicalize().map_err(failed(folder, "looking at"))?;
    let place = |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    if inside.ancestors().any(|folder| place(folder) == place(data)) {
        return Err(BackupError::Inside(to.to_owned()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".unfinished");
    let unfinished = folder.join(name);
    match std::fs::create_dir(&unfinished) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(BackupError::Unfinished(unfinished));
        }
        made => made.map_err(failed(&unfinished, "making"))?,
    }
    let made = match copy_all(data, &unfinished) {
        Ok(made) => made,
        Err(error) => {
            // What is left of it is of no use; why it failed is what counts.
            if let Err(error) = std::fs::remove_dir_all(&unfinished) {
                tracing::warn!(%error, path = %unfinished.display(), "what was copied of it stays; remove it");
            }
            return Err(error);
        }
    };
    std::fs::rename(&unfinished, to).map_err(failed(&unfinished, "renaming"))?;
    sync_folder(folder)?;
    Ok(made)
}

fn copy_all(data: &Path, to: &Path) -> Result<BackedUp, BackupError> {
    let mut others = Others::default();
    let acquisition = data.join(ACQUISITION_DIRECTORY);
    if acquisition.is_dir() {
        others.folder(&acquisition, &to.join(ACQUISITION_DIRECTORY), 1)?;
    }
    others.folder(data, to, 0)?;
    let audit = to.join(AUDIT_LOG);
    if audit.is_file()
        && let Some(reason) = verify_audit(&audit, None).map_err(failed(&audit, "reading"))?.broken
    {
        return Err(BackupError::Audit { path: data.join(AUDIT_LOG), reason });
    }
    if to.join(register::FILE_NAME).is_file() {
        Register::open(to)?;
    }
    let journal = Journal::back_up(data, to)?;
    let (from, kept) = (data.join(HISTORY_DIRECTORY), to.join(HISTORY_DIRECTORY));
    let mut history = history::BackedUp::default();
    if from.is_dir() {
        make_folder(&from, &kept)?;
        history = history::back_up(&from, &kept)?;
    }
    sync_folder(to)?;
    Ok(BackedUp { journal, history, files: others.files, bytes: others.bytes })
}

/// What is neither journal nor history.
#[derive(Default)]
struct Others {
    files: usize,
    bytes: u64,
}

impl Others {
    fn folder(&mut self, from: &Path, to: &Path, depth: usize) -> Result<(), BackupError> {
        if depth > 0 {
            make_folder(from, to)?;
        }
        for entry in std::fs::read_dir(from).map_err(failed(from, "listing"))? {
            let entry = entry.map_err(failed(from, "listing"))?;
            let (path, name) = (entry.path(), entry.file_name());
            let text = name.to_string_lossy();
            let of_journal = depth == 0 && journal::is_of_journal(&text);
            let elsewhere = depth == 0 && [HISTORY_DIRECTORY, ACQUISITION_DIRECTORY].contains(&&*text);
            if of_journal || elsewhere || is_left_out(&text) {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(found) if found.is_dir() && depth < DEPTH_MAX => {
                    self.folder(&path, &to.join(&name), depth + 1)?;
                }
                Ok(found) if found.is_file() => self.file(&path, &to.join(&name))?,
                Ok(_) => tracing::warn!(path = %path.display(), "neither file nor folder, and left out"),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(&path, "looking at")(error)),
            }
        }
        if depth > 0 { sync_folder(to) } else { Ok(()) }
    }

    /// Of a file of lines only whole ones: the last may be being written.
    fn file(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        let mut bytes = match std::fs::read(from) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(failed(from, "reading"))?,
        };
        if from.extension().is_some_and(|end| end == "log" || end == "jsonl") {
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(whole);
        }
        let rights = std::fs::metadata(from).map_err(failed(from, "looking at"))?.permissions();
        let written = File::create_new(to).and_then(|mut file| {
            // Before anything is in it: it may be a key.
            file.set_permissions(rights)?;
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(failed(to, "writing a copy to"))?;
        self.files += 1;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn is_left_out(name: &str) -> bool {
    name.contains(".torn-") || LEFT_OUT.iter().any(|end| name.ends_with(end))
}

/// Makes a folder with the rights of another one.
fn make_folder(like: &Path, to: &Path) -> Result<(), BackupError> {
    let rights = std::fs::metadata(like).map_err(failed(like, "looking at"))?.permissions();
    std::fs::create_dir(to).map_err(failed(to, "making"))?;
    std::fs::set_permissions(to, rights).map_err(failed(to, "making"))
}

fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    files::sync_folder(folder).map_err(failed(folder, "syncing the names in"))
}
