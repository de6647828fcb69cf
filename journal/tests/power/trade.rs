//! Something to record: meter readings of many devices, in groups of one to five, with snapshots in between.

use crate::disk::{Random, State, Survives, TestDisk};
use grid::{DeviceId, EnergyMwh, Quality, Slot, Timestamp};
use journal::{Durability, Fact, Journal, JournalError, Options};
use market::{MarketEvent, MeterReading};
use std::sync::{Arc, Mutex};

/// Facts that were acknowledged, in order.
pub type Acknowledged = Arc<Mutex<Vec<Fact>>>;

/// Small, so that a short trace passes many segments and snapshots.
pub fn small(durability: Durability) -> Options {
    Options { durability, segment_bytes: 4 << 10, snapshot_bytes: 10 << 10 }
}

fn fact(number: usize, random: &mut Random) -> Fact {
    if random.below(16) == 0 {
        let configuration = "x".repeat(random.below(2_000));
        return Fact::Opened { configuration };
    }
    let slot = Slot(1_900_000 + number as i64 / 7);
    Fact::Market(MarketEvent::MeterRead {
        reading: MeterReading {
            source: None,
            device: DeviceId(number as u32 % 7),
            slot,
            energy: EnergyMwh(random.below(1_000_000) as i64),
            quality: Quality::Measured,
            received_at: slot.end(),
        },
    })
}

/// What was being done when it went wrong.
#[derive(Debug)]
pub enum Ended {
    Opening(JournalError),
    Appending(JournalError),
}

/// Records on a new journal until `operations` of the disk were done. A full disk is tried again; other errors end it.
pub fn trade(
    disk: &Arc<TestDisk>,
    options: Options,
    operations: usize,
    seed: u64,
    acknowledged: &Acknowledged,
) -> Result<Journal, (Ended, Option<Journal>)> {
    let mut random = Random(seed);
    let opened = Journal::open_on(disk.clone(), options);
    let mut journal = opened.map_err(|error| (Ended::Opening(error), None))?.journal;
    let (mut number, mut refused) = (0, 0);
    while disk.state().operations < operations {
        let group: Vec<Fact> = (0..1 + random.below(5)).map(|at| fact(number + at, &mut random)).collect();
        loop {
            match journal.append(group.iter().map(|fact| (Timestamp::from_seconds(number as i64), fact))) {
                Ok(_) => break,
                Err(JournalError::Full { .. }) if refused < 10 => refused += 1,
                Err(error) => return Err((Ended::Appending(error), Some(journal))),
            }
        }
        number += group.len();
        acknowledged.lock().unwrap().extend(group);
        if let Some(snapshotter) = journal.snapshot_due() {
            // Its failure is no failure of the journal.
            drop(snapshotter.make());
        }
    }
    Ok(journal)
}

/// Whether what a killed process left can be opened, appended to, and then lose its power: all that the start had found, and
/// what was acknowledged since, is still there.
pub fn objection_after_kill(killed: &State, durability: Durability, acknowledged: &[Fact]) -> Option<String> {
    let disk = Arc::new(TestDisk::new(killed.after_kill()));
    let mut opened = match Journal::open_on(disk.clone(), small(durability)) {
        Ok(opened) => opened,
        Err(error) => return Some(format!("it does not open after a kill: {error}")),
    };
    if let Err(error) = opened.journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]) {
        return Some(format!("it cannot be appended to after a kill: {error}"));
    }
    drop(opened);
    let found = match Journal::verify_on(disk.as_ref()) {
        Ok(report) => report.entries.into_iter().map(|entry| entry.fact).collect::<Vec<_>>(),
        Err(error) => return Some(format!("after a kill, a start and an append: {error}")),
    };
    if found.len() <= acknowledged.len() || found[..acknowledged.len()] != *acknowledged {
        return Some("something acknowledged is lost by a kill".to_owned());
    }
    let cut = disk.state().after_power_cut(Survives::Nothing, &mut Random(0));
    objection(TestDisk::new(cut), durability, &found)
        .map(|words| format!("a power cut after a kill: {words}"))
}

/// Whether a journal found on a disk can be opened, holds all of `acknowledged` in order, and can be appended to.
pub fn objection(disk: TestDisk, durability: Durability, acknowledged: &[Fact]) -> Option<String> {
    let disk = Arc::new(disk);
    let mut opened = match Journal::open_on(disk.clone(), small(durability)) {
        Ok(opened) => opened,
        Err(error) => return Some(format!("it does not open: {error}")),
    };
    let lost = |found: &[Fact]| {
        let same = found.iter().zip(acknowledged).take_while(|(one, other)| one == other).count();
        (same < acknowledged.len())
            .then(|| format!("acknowledged record {} of {} is lost", same + 1, acknowledged.len()))
    };
    if (opened.standing.records as usize) < acknowledged.len() {
        return Some(format!("{} records, {} acknowledged", opened.standing.records, acknowledged.len()));
    }
    let before = opened.standing.records;
    match opened.journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]) {
        Ok(number) if number == before + 1 => {}
        other => return Some(format!("it cannot be appended to: {other:?}")),
    }
    drop(opened);
    match Journal::verify_on(disk.as_ref()) {
        Err(error) => Some(format!("after a start and an append: {error}")),
        Ok(report) if report.entries.len() as u64 != before + 1 => Some("the next append is lost".to_owned()),
        Ok(report) => {
            let found: Vec<Fact> = report.entries.into_iter().map(|entry| entry.fact).collect();
            lost(&found)
        }
    }
}
