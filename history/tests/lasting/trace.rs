//! Something to keep: values of a few points in groups of one to thirty, sealed every forty or so.

use crate::disk::{Random, State, Survives, TestDisk};
use files::{Disk, SharedDisk};
use grid::{Measurement, Quality, Timestamp};
use history::{History, HistoryError, Kind, Options, Query, Value, Versions};
use std::io::Result;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Small, so that a short trace seals many files.
pub fn small() -> Options {
    Options { head_values: 40, ..Options::default() }
}

/// The value with a number; every one is another.
pub fn value(number: usize) -> Value {
    let name = ["bus.3.u.a", "branch.7.p.c", "meter.12.energy"][number % 3];
    let measured_at = Timestamp::from_seconds(number as i64 / 2);
    // Every other one corrects the one before it.
    let received_at = Timestamp::from_seconds(number as i64);
    let (value, quality) = (number as f64, Quality::Measured);
    Value::measured(&Measurement { point: name.parse().unwrap(), value, quality, measured_at, received_at })
}

/// How many values were acknowledged; they are those with the first numbers.
pub type Acknowledged = Arc<Mutex<usize>>;

/// What was being done when it went wrong.
#[derive(Debug)]
pub enum Ended {
    Opening(HistoryError),
    Appending(HistoryError),
}

/// Keeps values on a new history until `operations` of the disk were done. A full disk is tried again a few times, a sealing that
/// fails too; other errors end it.
pub fn keep(
    disk: &Arc<TestDisk>,
    on: SharedDisk,
    operations: usize,
    seed: u64,
    acknowledged: &Acknowledged,
) -> std::result::Result<History, (Ended, Option<History>)> {
    let mut random = Random(seed);
    let mut history = History::open_on(on, small()).map_err(|error| (Ended::Opening(error), None))?;
    let mut refused = 0;
    while disk.state().operations < operations {
        let first = *acknowledged.lock().unwrap();
        let group: Vec<Value> = (first..first + 1 + random.below(30)).map(value).collect();
        match history.append(&group) {
            Ok(()) => *acknowledged.lock().unwrap() += group.len(),
            Err(error) if error.is_full() && !history.has_failed() && refused < 10 => refused += 1,
            Err(error) => return Err((Ended::Appending(error), Some(history))),
        }
        if let Ok(Some(sealer)) = history.seal_due()
            && history.adopt(sealer.make()).is_err()
        {
            history.seal_again();
        }
    }
    Ok(history)
}

/// The numbers of the values that a history has, and an objection when one is there twice or was never handed in.
pub fn numbers(history: &History) -> std::result::Result<Vec<usize>, String> {
    let (from, until) = (Timestamp::from_seconds(-1), Timestamp::from_seconds(1 << 32));
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let (points, versions) = (Vec::new(), Versions::All);
        let query = Query { kind, points, from, until, versions, most: 1_000_000 };
        found.extend(history.query(&query).map_err(|error| format!("it cannot be asked: {error}"))?);
    }
    let mut numbers: Vec<usize> = found.iter().map(|value| value.value as usize).collect();
    numbers.sort_unstable();
    if let Some(wrong) = found.iter().find(|found| **found != value(found.value as usize)) {
        return Err(format!("{wrong:?} was never handed in"));
    }
    // What lies there twice is answered once, so the rows are counted, too.
    let rows: u64 = history.figures().values().map(|figures| figures.unsealed + figures.sealed).sum();
    match rows == numbers.len() as u64 {
        true => Ok(numbers),
        false => Err(format!("{rows} rows for {} values: some are there twice", numbers.len())),
    }
}

/// Whether a history found on a disk can be opened, has every value of those acknowledged once, can be appended to, and has all of
/// it after another power cut.
pub fn objection(disk: TestDisk, acknowledged: usize) -> Option<String> {
    let disk = Arc::new(disk);
    let mut history = match History::open_on(disk.clone(), small()) {
        Ok(history) => history,
        Err(error) => return Some(format!("it does not open: {error}")),
    };
    let before = match numbers(&history) {
        Ok(numbers) => numbers,
        Err(words) => return Some(words),
    };
    let first = (0..acknowledged).find(|number| before.get(*number) != Some(number));
    if let Some(lost) = first {
        return Some(format!("acknowledged value {lost} of {acknowledged} is lost or doubled"));
    }
    let next = 1_000_000;
    if let Err(error) = history.append(&[value(next)]) {
        return Some(format!("it cannot be appended to: {error}"));
    }
    drop(history);
    for survives in [Survives::Nothing, Survives::Everything] {
        let again = disk.state().after_power_cut(survives, &mut Random(0));
        let found = match History::open_on(Arc::new(TestDisk::new(again)), small()) {
            Ok(history) => numbers(&history),
            Err(error) => return Some(format!("it does not open after the next cut: {error}")),
        };
        let wanted: Vec<usize> = before.iter().copied().chain([next]).collect();
        if found.as_ref() != Ok(&wanted) {
            return Some(format!(
                "after a start, an append and another cut ({survives:?}) it is not the same"
            ));
        }
    }
    None
}

/// The same for what a killed process left.
pub fn objection_after_kill(state: &State, acknowledged: usize) -> Option<String> {
    objection(TestDisk::new(state.after_kill()), acknowledged).map(|words| format!("after a kill: {words}"))
}

/// A disk that says it has synced and has not: for the null control.
#[derive(Debug)]
pub struct Lying(pub Arc<TestDisk>);

impl Disk for Lying {
    fn place(&self) -> PathBuf {
        self.0.place()
    }
    fn names(&self) -> Result<Vec<String>> {
        self.0.names()
    }
    fn read(&self, name: &str, at: u64, length: u64) -> Result<Vec<u8>> {
        self.0.read(name, at, length)
    }
    fn size(&self, name: &str) -> Result<u64> {
        self.0.size(name)
    }
    fn create(&self, name: &str) -> Result<()> {
        self.0.create(name)
    }
    fn write(&self, name: &str, at: u64, bytes: &[u8]) -> Result<()> {
        self.0.write(name, at, bytes)
    }
    fn cut(&self, name: &str, length: u64) -> Result<()> {
        self.0.cut(name, length)
    }
    fn sync(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn sync_names(&self) -> Result<()> {
        self.0.sync_names()
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.0.remove(name)
    }
}
