//! The file operations that journal and history need, and the folder that does them; names and last lines that last.
//!
//! Everything that has to survive a power cut goes through [`Disk`], so that a test can
//! put a disk in its place that loses its power, tears, fails and fills up.

mod lasting;
pub use lasting::{is_torn, make_folder, make_last, sync_folder, sync_name};

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// One folder of files by name. What was written lasts only after [`sync`](Disk::sync), what was created, renamed or
/// removed only after [`sync_names`](Disk::sync_names). Errors are the operating system's.
pub trait Disk: std::fmt::Debug + Send + Sync {
    /// Where it is, for messages.
    fn place(&self) -> PathBuf;
    /// The names in it, in no order.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Up to `length` bytes from byte `at` on; fewer where the file ends.
    fn read(&self, name: &str, at: u64, length: u64) -> io::Result<Vec<u8>>;
    /// Bytes of a file.
    fn size(&self, name: &str) -> io::Result<u64>;
    /// Makes an empty file, in place of another of that name.
    fn create(&self, name: &str) -> io::Result<()>;
    /// Writes at byte `at`; makes and grows the file where needed.
    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file down to `length` bytes.
    fn cut(&self, name: &str, length: u64) -> io::Result<()>;
    /// Returns when all of a file's bytes last.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Returns when the names last.
    fn sync_names(&self) -> io::Result<()>;
    /// Gives a file another name, in place of another file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A shared disk.
pub type SharedDisk = Arc<dyn Disk>;

/// Files that a folder keeps open at most: the segment that is written to, the tip, a snapshot in the making.
const OPEN_MAX: usize = 4;

/// A folder of the operating system. The files that were written last stay open.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// The one that was used last is the last.
    open: Mutex<Vec<(String, Arc<File>)>>,
}

impl Folder {
    /// A folder that is, or will be, there.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), open: Mutex::default() }
    }

    fn file(&self, name: &str) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.iter().position(|(known, _)| known == name) {
            Some(at) => open.remove(at).1,
            None => {
                let path = self.path.join(name);
                let options =
                    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
                Arc::new(options?)
            }
        };
        open.push((name.to_owned(), file.clone()));
        if open.len() > OPEN_MAX {
            open.remove(0);
        }
        Ok(file)
    }

    fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != name);
    }
}

impl Disk for Folder {
    fn place(&self) -> PathBuf {
        self.path.clone()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            names.extend(entry?.file_name().into_string().ok());
        }
        Ok(names)
    }

    fn read(&self, name: &str, at: u64, length: u64) -> io::Result<Vec<u8>> {
        let file = File::open(self.path.join(name))?;
        let length = length.min(file.metadata()?.len().saturating_sub(at));
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut filled = 0;
        while filled < bytes.len() {
            match file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn size(&self, name: &str) -> io::Result<u64> {
        Ok(std::fs::metadata(self.path.join(name))?.len())
    }

    fn create(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        File::create(self.path.join(name)).map(drop)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write_all_at(bytes, at)
    }

    fn cut(&self, name: &str, length: u64) -> io::Result<()> {
        self.file(name)?.set_len(length)
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn sync_names(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.forget(from);
        self.forget(to);
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.forget(name);
        std::fs::remove_file(self.path.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_files_are_written_few_stay_open() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path());
        for number in 0..100 {
            let name = format!("segment-{number}");
            folder.create(&name).unwrap();
            for at in 0..3 {
                folder.write(&name, at, b"x").unwrap();
                folder.sync(&name).unwrap();
                folder.write("tip", at, b"y").unwrap();
            }
            assert_eq!(folder.read(&name, 0, 9).unwrap(), b"xxx");
        }
        assert!(folder.open.lock().unwrap().len() <= OPEN_MAX);
    }
}
