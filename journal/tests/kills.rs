//! `kill -9` of a process that appends, again and again: what it acknowledged is there, once and in order. The child is this
//! program itself, told by the environment; its acknowledgements come through a pipe. The null control acknowledges before it
//! appends, and the same check finds it out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

#[path = "../../tests/harness/soak.rs"]
mod soak;

use grid::{DeviceId, EnergyMwh, Quality, Slot, Timestamp};
use journal::{Durability, Fact, Journal, Options};
use market::{MarketEvent, MeterReading};
use soak::{sized, soak_row};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DIRECTORY: &str = "GRIDFLEX_KILL_DIRECTORY";
const EARLY: &str = "GRIDFLEX_KILL_EARLY";

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % count.max(1)
    }
}

/// The fact of a number: every record is known from its number alone.
fn fact(number: u64) -> Fact {
    let slot = Slot(1_900_000 + number as i64 / 7);
    let (device, energy) = (DeviceId((number % 7) as u32), EnergyMwh(number as i64 * 31));
    let (quality, received_at) = (Quality::Measured, slot.end());
    Fact::Market(MarketEvent::MeterRead {
        reading: MeterReading { device, slot, energy, quality, received_at, source: None },
    })
}

fn options() -> Options {
    Options { segment_bytes: 64 << 10, snapshot_bytes: 128 << 10, ..Options::new(Durability::Synced) }
}

/// The child: appends for ever, and says what it has found and what is acknowledged.
#[test]
#[ignore = "the child of the tests here"]
fn child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let early = std::env::var(EARLY).is_ok();
    let mut opened = Journal::open_with(Path::new(&directory), options()).unwrap();
    let mut out = std::io::stdout();
    let mut number = opened.standing.records;
    // The test harness has written to this line already.
    write!(out, "\nfound {number}\n").unwrap();
    out.flush().unwrap();
    let mut random = Random(number);
    loop {
        let facts: Vec<Fact> = (1..=1 + random.below(16)).map(|more| fact(number + more)).collect();
        number += facts.len() as u64;
        if early {
            writeln!(out, "acknowledged {number}").unwrap();
        }
        opened.journal.append(facts.iter().map(|fact| (Timestamp::from_seconds(0), fact))).unwrap();
        if !early {
            writeln!(out, "acknowledged {number}").unwrap();
        }
        if let Some(snapshotter) = opened.journal.snapshot_due() {
            snapshotter.make().unwrap();
        }
    }
}

fn start(directory: &Path, early: bool) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(DIRECTORY, directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if early {
        command.env(EARLY, "1");
    }
    command.spawn().unwrap()
}

/// One life: kills the child after some acknowledgements and some time. Returns what it found and what it acknowledged last.
fn life(directory: &Path, early: bool, random: &mut Random) -> (u64, u64) {
    let mut child = start(directory, early);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let number =
        |line: &str, word: &str| line.strip_prefix(word).and_then(|rest| rest.trim().parse::<u64>().ok());
    let found = lines.by_ref().find_map(|line| number(&line.ok()?, "found "));
    let found = found.expect("the child opens its journal");
    let (mut acknowledged, least) = (found, 100 + random.below(50));
    let mut hear = |lines: &mut dyn Iterator<Item = std::io::Result<String>>| {
        let line = lines.next()?.ok()?;
        // A line that the kill cut short says nothing.
        acknowledged = number(&line, "acknowledged ").unwrap_or(acknowledged).max(acknowledged);
        Some(acknowledged)
    };
    while hear(&mut lines).is_some_and(|heard| heard < found + least) {}
    let until = Instant::now() + Duration::from_micros(random.below(3_000));
    while Instant::now() < until {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    while hear(&mut lines).is_some() {}
    (found, acknowledged)
}

/// Kills so often. Returns how many records were acknowledged, and what is wrong.
fn lives(kills: usize, early: bool, seed: u64) -> (u64, Option<String>) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut total, mut promised, mut starts) = (0, 0, Vec::new());
    for kill in 0..=kills {
        let begin = Instant::now();
        let (found, acknowledged) = life(directory.path(), early, &mut random);
        starts.push(begin.elapsed());
        if found < promised {
            return (
                total,
                Some(format!("{promised} records were acknowledged before kill {kill}, {found} are there")),
            );
        }
        (total, promised) = (total + acknowledged - found, acknowledged);
    }
    starts.sort();
    eprintln!("{kills} kills, {total} records acknowledged, a life took {:?} at most", starts.last());
    let report = Journal::verify(directory.path()).unwrap();
    let objection = (!report.faults.is_empty()).then(|| format!("{:?}", report.faults));
    let wrong = report.entries.iter().find(|entry| entry.fact != fact(entry.number));
    (total, objection.or(wrong.map(|entry| format!("record {} is another one", entry.number))))
}

#[test]
fn what_was_acknowledged_survives_twenty_kills() {
    let (total, objection) = lives(20, false, 7);
    assert_eq!(objection, None);
    assert!(total >= 2_000, "{total}");
}

#[test]
fn acknowledging_before_appending_is_found_out() {
    let (_, objection) = lives(300, true, 7);
    assert!(objection.as_deref().is_some_and(|words| words.contains("were acknowledged")), "{objection:?}");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn what_was_acknowledged_survives_two_thousand_kills() {
    let kills = sized("SOAK_KILLS", 2_000);
    let (total, objection) = lives(kills, false, 11);
    let (wanted, lost) = (100 * kills as u64, objection.clone().unwrap_or("0 lost".to_owned()));
    let held = objection.is_none() && total >= wanted;
    let asked = format!("{kills} kills, {wanted} records, 0 lost");
    soak_row("kill -9 while appending", &asked, &format!("{kills} kills, {total} records, {lost}"), held);
    assert_eq!(objection, None);
    assert!(total >= wanted, "{total}");
}

#[test]
#[ignore = "the null control of the kills in `make soak`"]
fn acknowledging_before_appending_is_found_out_by_as_many_kills() {
    let (total, objection) = lives(2_000, true, 7);
    let (held, found) = (objection.is_some(), objection.unwrap_or("not found".to_owned()));
    let reached = format!("after {total} records: {found}");
    soak_row("the same, acknowledged before appended", "found out", &reached, held);
    assert!(held);
}
