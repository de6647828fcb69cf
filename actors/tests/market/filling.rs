//! A folder that can be full.

use actors::runtime::depths::Underway;
use journal::{Disk, Folder};
use std::io::{ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Debug)]
pub struct FillingDisk {
    folder: Folder,
    full: AtomicBool,
    watched: Mutex<Watched>,
}

/// Whether what is written is known to be under way.
#[derive(Debug, Default)]
struct Watched {
    underway: Option<Underway>,
    found: Vec<bool>,
}

impl FillingDisk {
    pub fn new(directory: &Path) -> Self {
        Self { folder: Folder::new(directory), full: AtomicBool::new(false), watched: Mutex::default() }
    }

    /// Finds out at each sync from now on whether this says that something is under way.
    pub fn watch(&self, underway: Underway) {
        self.watched.lock().unwrap().underway = Some(underway);
    }

    /// What was found.
    pub fn found(&self) -> Vec<bool> {
        self.watched.lock().unwrap().found.clone()
    }

    /// From now on there is no room, or there is.
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl Disk for FillingDisk {
    fn place(&self) -> PathBuf {
        self.folder.place()
    }

    fn names(&self) -> Result<Vec<String>> {
        self.folder.names()
    }

    fn read(&self, name: &str, at: u64, length: u64) -> Result<Vec<u8>> {
        self.folder.read(name, at, length)
    }

    fn size(&self, name: &str) -> Result<u64> {
        self.folder.size(name)
    }

    fn create(&self, name: &str) -> Result<()> {
        self.folder.create(name)
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        match self.full.load(Ordering::SeqCst) {
            true => Err(ErrorKind::StorageFull.into()),
            false => self.folder.write(name, at, bytes),
        }
    }

    fn cut(&self, name: &str, length: u64) -> Result<()> {
        self.folder.cut(name, length)
    }

    fn sync(&self, name: &str) -> Result<()> {
        let mut watched = self.watched.lock().unwrap();
        if let Some(is_underway) = watched.underway.as_ref().map(|underway| underway.elapsed().is_some()) {
            watched.found.push(is_underway);
        }
        self.folder.sync(name)
    }

    fn sync_names(&self) -> Result<()> {
        self.folder.sync_names()
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.folder.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.folder.remove(name)
    }
}
