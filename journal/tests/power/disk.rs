//! A disk in memory that can lose its power, fail, and fill up.
//!
//! What was written and not synced may be there after a power cut or not, each sector of 512 bytes by itself; a file may have
//! grown without its bytes (zeros); names that were not synced may be there or not.

use files::Disk;
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

const SECTOR: usize = 512;

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug, Clone, Default)]
struct Contents {
    now: Vec<u8>,
    lasting: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Set(String, usize),
    Gone(String),
}

/// What goes wrong at one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done: EIO.
    Fails,
    /// Half of a write is done, then EIO. A sync loses what it was to save.
    FailsHalfway,
    /// Nothing is done: ENOSPC.
    Full,
    /// Half of a write is done, then ENOSPC.
    FullHalfway,
}

/// Files and names, as the process sees them and as they would be after a power cut.
#[derive(Debug, Clone, Default)]
pub struct State {
    files: Vec<Contents>,
    names: BTreeMap<String, usize>,
    lasting_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Naming>,
    /// Operations so far that change something.
    pub operations: usize,
    /// The power goes at this operation.
    pub power_until: Option<usize>,
    /// The power goes in the middle of the next write that has this in it.
    pub power_in: Option<&'static str>,
    /// One operation goes wrong.
    pub fault: Option<(usize, Fault)>,
    /// Reads so far.
    pub reads: usize,
    /// One read fails: EIO.
    pub read_fault: Option<usize>,
    /// Bytes that all files together may have.
    pub room: Option<usize>,
}

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    Nothing,
    Everything,
    Some,
}

type Probe = Box<dyn FnMut(&State) + Send>;

/// The disk. A probe is shown the state in the middle of every operation.
#[derive(Default)]
pub struct TestDisk {
    state: Mutex<State>,
    probe: Mutex<Option<Probe>>,
}

impl std::fmt::Debug for TestDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestDisk")
    }
}

fn grown(bytes: &mut Vec<u8>, length: usize) {
    if bytes.len() < length {
        bytes.resize(length, 0);
    }
}

fn put(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    grown(bytes, at + piece.len());
    bytes[at..at + piece.len()].copy_from_slice(piece);
}

impl Contents {
    fn write(&mut self, at: usize, piece: &[u8]) {
        put(&mut self.now, at, piece);
        self.unsynced.push(Change::Write(at, piece.to_vec()));
    }

    fn after_power_cut(&self, survives: Survives, random: &mut Random) -> Vec<u8> {
        let mut lives = || match survives {
            Survives::Nothing => false,
            Survives::Everything => true,
            Survives::Some => random.next().is_multiple_of(2),
        };
        let mut bytes = self.lasting.clone();
        for change in &self.unsynced {
            match change {
                Change::Cut(length) if lives() => bytes.truncate(*length),
                Change::Cut(_) => {}
                Change::Write(at, piece) => {
                    let (mut at, mut piece) = (*at, piece.as_slice());
                    while !piece.is_empty() {
                        let (sector, rest) = piece.split_at((SECTOR - at % SECTOR).min(piece.len()));
                        if lives() {
                            put(&mut bytes, at, sector);
                        }
                        (at, piece) = (at + sector.len(), rest);
                    }
                }
            }
        }
        if lives() && !self.unsynced.is_empty() {
            grown(&mut bytes, self.now.len());
        }
        bytes
    }
}

impl State {
    /// What a process finds that starts after another one was killed: all that was written, synced or not. What was not, a power
    /// cut may still take.
    pub fn after_kill(&self) -> State {
        State {
            operations: 0,
            power_until: None,
            power_in: None,
            fault: None,
            room: None,
            reads: 0,
            read_fault: None,
            ..self.clone()
        }
    }

    /// What a process finds after a power cut now.
    pub fn after_power_cut(&self, survives: Survives, random: &mut Random) -> State {
        let mut names = self.lasting_names.clone();
        for change in &self.unsynced_names {
            let lives = match survives {
                Survives::Nothing => false,
                Survives::Everything => true,
                Survives::Some => random.next().is_multiple_of(2),
            };
            match change {
                Naming::Set(name, file) if lives => drop(names.insert(name.clone(), *file)),
                Naming::Gone(name) if lives => drop(names.remove(name)),
                _ => {}
            }
        }
        let files = self.files.iter().map(|file| {
            let bytes = file.after_power_cut(survives, random);
            Contents { now: bytes.clone(), lasting: bytes, unsynced: Vec::new() }
        });
        let files = files.collect();
        State { files, lasting_names: names.clone(), names, ..State::default() }
    }

    /// A file's bytes, to be spoilt.
    pub fn bytes(&mut self, name: &str) -> &mut Vec<u8> {
        let file = self.names[name];
        &mut self.files[file].now
    }

    pub fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    /// Forgets a file.
    pub fn lose(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Makes two files change places.
    pub fn swap(&mut self, one: &str, other: &str) {
        let (a, b) = (self.names[one], self.names[other]);
        self.names.insert(one.to_owned(), b);
        self.names.insert(other.to_owned(), a);
    }

    /// Lets the power go in the write of these bytes, if that was asked for.
    fn arm(&mut self, bytes: &[u8]) {
        let found = |word: &&str| bytes.windows(word.len()).any(|piece| piece == word.as_bytes());
        if self.power_in.as_ref().is_some_and(found) {
            (self.power_in, self.power_until) = (None, Some(self.operations));
        }
    }

    fn used(&self) -> usize {
        self.names.values().map(|file| self.files[*file].now.len()).sum()
    }

    fn file(&self, name: &str) -> Result<usize> {
        self.names.get(name).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn set(&mut self, name: &str, file: usize) {
        self.names.insert(name.to_owned(), file);
        self.unsynced_names.push(Naming::Set(name.to_owned(), file));
    }

    fn gone(&mut self, name: &str) {
        self.names.remove(name);
        self.unsynced_names.push(Naming::Gone(name.to_owned()));
    }
}

/// How an operation is to go.
enum Course {
    Well,
    Wrong(Error, bool),
}

impl TestDisk {
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(state), probe: Mutex::default() }
    }

    /// Shows every operation's middle to `probe`.
    pub fn probed(probe: impl FnMut(&State) + Send + 'static) -> Self {
        Self { state: Mutex::default(), probe: Mutex::new(Some(Box::new(probe))) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn begin(&self) -> Result<(MutexGuard<'_, State>, Course)> {
        let mut state = self.state();
        if state.power_until.is_some_and(|until| state.operations > until) {
            return Err(Error::other("there is no power"));
        }
        state.operations += 1;
        let now = state.operations;
        let course = match state.fault {
            Some((at, fault)) if at == now => {
                let full = matches!(fault, Fault::Full | Fault::FullHalfway);
                let error = if full { ErrorKind::StorageFull.into() } else { Error::other("it failed") };
                Course::Wrong(error, matches!(fault, Fault::FailsHalfway | Fault::FullHalfway))
            }
            _ if state.power_until.is_some_and(|until| now > until) => {
                Course::Wrong(Error::other("the power is gone"), true)
            }
            _ => Course::Well,
        };
        Ok((state, course))
    }

    fn show(&self, state: &State) {
        if let Some(probe) = self.probe.lock().unwrap().as_mut() {
            probe(state);
        }
    }

    /// An operation that is done, or not, as a whole.
    fn whole<T>(&self, run: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let (mut state, course) = self.begin()?;
        match course {
            Course::Well => {
                let done = run(&mut state)?;
                self.show(&state);
                Ok(done)
            }
            Course::Wrong(error, _) => Err(error),
        }
    }
}

impl Disk for TestDisk {
    fn place(&self) -> PathBuf {
        "test disk".into()
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(self.state().names())
    }

    fn read(&self, name: &str, at: u64, length: u64) -> Result<Vec<u8>> {
        let mut state = self.state();
        state.reads += 1;
        if state.read_fault == Some(state.reads) {
            return Err(Error::other("it failed"));
        }
        let bytes = &state.files[state.file(name)?].now;
        let at = (at as usize).min(bytes.len());
        let end = at.saturating_add(length.min(usize::MAX as u64) as usize).min(bytes.len());
        Ok(bytes[at..end].to_vec())
    }

    fn size(&self, name: &str) -> Result<u64> {
        let state = self.state();
        Ok(state.files[state.file(name)?].now.len() as u64)
    }

    fn create(&self, name: &str) -> Result<()> {
        self.whole(|state| {
            state.files.push(Contents::default());
            let file = state.files.len() - 1;
            state.set(name, file);
            Ok(())
        })
    }

    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        self.state().arm(bytes);
        let (mut state, course) = self.begin()?;
        if state.file(name).is_err() {
            state.files.push(Contents::default());
            let file = state.files.len() - 1;
            state.set(name, file);
        }
        let file = state.file(name)?;
        let half = &bytes[..bytes.len() / 2];
        match course {
            Course::Wrong(error, halfway) => {
                if halfway {
                    state.files[file].write(at as usize, half);
                }
                Err(error)
            }
            Course::Well => {
                let growth = (at as usize + bytes.len()).saturating_sub(state.files[file].now.len());
                let room = state.room.map_or(usize::MAX, |room| room.saturating_sub(state.used()));
                let fits = growth <= room;
                state.files[file].write(at as usize, if fits { bytes } else { half });
                self.show(&state);
                if fits { Ok(()) } else { Err(ErrorKind::StorageFull.into()) }
            }
        }
    }

    fn cut(&self, name: &str, length: u64) -> Result<()> {
        self.whole(|state| {
            let file = state.file(name)?;
            state.files[file].now.truncate(length as usize);
            state.files[file].unsynced.push(Change::Cut(length as usize));
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> Result<()> {
        let (mut state, course) = self.begin()?;
        let file = state.file(name)?;
        // The power may go while it runs.
        self.show(&state);
        let contents = &mut state.files[file];
        match course {
            Course::Well => {
                // Only what counts as unsynced is written: what an earlier sync lost is not.
                let changes = std::mem::take(&mut contents.unsynced);
                for change in changes {
                    match change {
                        Change::Write(at, piece) => put(&mut contents.lasting, at, &piece),
                        Change::Cut(length) => contents.lasting.truncate(length),
                    }
                }
                Ok(())
            }
            Course::Wrong(error, lost) => {
                // As Linux does: the pages count as clean although they are nowhere.
                if lost {
                    contents.unsynced.clear();
                }
                Err(error)
            }
        }
    }

    fn sync_names(&self) -> Result<()> {
        let (mut state, course) = self.begin()?;
        self.show(&state);
        match course {
            Course::Well => {
                state.lasting_names = state.names.clone();
                state.unsynced_names.clear();
                Ok(())
            }
            Course::Wrong(error, _) => Err(error),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.whole(|state| {
            let file = state.file(from)?;
            state.set(to, file);
            state.gone(from);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.whole(|state| {
            state.file(name)?;
            state.gone(name);
            Ok(())
        })
    }
}
