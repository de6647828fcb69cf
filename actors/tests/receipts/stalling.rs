//! A folder whose syncs can be held up, and which knows what a power cut would leave of it.

use journal::{Disk, Folder};
use std::collections::BTreeMap;
use std::io::Result;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

/// Whether syncs are held up, and how many wait.
#[derive(Debug, Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

#[derive(Debug)]
pub struct StallingDisk {
    folder: Folder,
    gate: Mutex<Gate>,
    opened: Condvar,
    /// What was synced, by name: all that is left when the power goes now.
    lasting: Mutex<BTreeMap<String, Vec<u8>>>,
}

impl StallingDisk {
    pub fn new(directory: &Path) -> Self {
        let folder = Folder::new(directory);
        Self { folder, gate: Mutex::default(), opened: Condvar::new(), lasting: Mutex::default() }
    }

    /// From now on no sync returns.
    pub fn stall(&self) {
        self.gate.lock().unwrap().closed = true;
    }

    /// Syncs go on.
    pub fn go_on(&self) {
        self.gate.lock().unwrap().closed = false;
        self.opened.notify_all();
    }

    /// Whether a sync is held up right now.
    pub fn is_waited_for(&self) -> bool {
        self.gate.lock().unwrap().waiting > 0
    }

    /// Makes a folder as it would be found after a power cut now.
    pub fn after_a_power_cut(&self, directory: &Path) {
        for (name, bytes) in self.lasting.lock().unwrap().iter() {
            std::fs::write(directory.join(name), bytes).unwrap();
        }
    }
}

impl Disk for StallingDisk {
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
        self.folder.write(name, at, bytes)
    }

    fn cut(&self, name: &str, length: u64) -> Result<()> {
        self.folder.cut(name, length)
    }

    fn sync(&self, name: &str) -> Result<()> {
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += 1;
        gate = self.opened.wait_while(gate, |gate| gate.closed).unwrap();
        gate.waiting -= 1;
        drop(gate);
        self.folder.sync(name)?;
        let bytes = self.folder.read(name, 0, u64::MAX)?;
        self.lasting.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        self.folder.sync_names()
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.folder.rename(from, to)?;
        let mut lasting = self.lasting.lock().unwrap();
        if let Some(bytes) = lasting.remove(from) {
            lasting.insert(to.to_owned(), bytes);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.lasting.lock().unwrap().remove(name);
        self.folder.remove(name)
    }
}
