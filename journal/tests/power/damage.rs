//! Spoilt files: every change is reported, no wrong ledger is served, nothing panics.

use crate::disk::{Random, State, TestDisk};
use crate::trade::{Acknowledged, small, trade};
use journal::{Durability, Journal, Standing};
use std::sync::Arc;

/// A journal of several segments with two snapshots, and what it adds up to.
fn whole(seed: u64) -> (State, Standing) {
    let disk = Arc::new(TestDisk::default());
    let journal = trade(&disk, small(Durability::Synced), 160, seed, &Acknowledged::default()).unwrap();
    drop(journal);
    let state = disk.state().clone();
    let opened = Journal::open_on(Arc::new(TestDisk::new(state.clone())), small(Durability::Synced)).unwrap();
    assert!(opened.notes.is_empty() && opened.replayed < opened.standing.records, "{:?}", opened.notes);
    (state, opened.standing)
}

/// Spoils one file in one way; says which and how. Nothing when it is as it was.
fn spoil(state: &mut State, random: &mut Random) -> Option<String> {
    let names = state.names();
    let name = names[random.below(names.len())].clone();
    let bytes = state.bytes(&name);
    let before = bytes.clone();
    let length = bytes.len();
    let what = match random.below(10) {
        0 => {
            bytes.truncate(random.below(length));
            format!("cut to {}", bytes.len())
        }
        1 => {
            let from = random.below(length);
            let to = from + random.below(length - from) + 1;
            bytes[from..to].fill(0);
            format!("zeros from {from} to {to}")
        }
        2 => {
            *bytes = (0..random.below(3_000)).map(|_| random.next() as u8).collect();
            "a foreign file".to_owned()
        }
        3 => {
            let from = random.below(length);
            bytes.drain(from..(from + 1 + random.below(700)).min(length));
            format!("something taken out at {from}")
        }
        4 => {
            let (from, extra) = (random.below(length), random.next().to_le_bytes());
            bytes.splice(from..from, extra);
            format!("something put in at {from}")
        }
        5 if name.ends_with(".journal") => {
            let other =
                names.iter().rev().find(|other| other.ends_with(".journal") && **other != name)?.clone();
            state.swap(&name, &other);
            return Some(format!("{name} and {other} swapped"));
        }
        6 if name.ends_with(".journal") => {
            state.lose(&name);
            return Some(format!("{name} lost"));
        }
        _ => {
            let (at, bit) = (random.below(length), random.below(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
    };
    (*state.bytes(&name) != before).then(|| format!("{name}: {what}"))
}

fn spoilt(count: usize, seed: u64) {
    let (whole, standing) = whole(seed);
    let mut random = Random(seed);
    let (mut done, mut opened_well) = (0, 0);
    while done < count {
        let mut state = whole.clone();
        let Some(what) = spoil(&mut state, &mut random) else { continue };
        done += 1;
        match Journal::verify_on(&TestDisk::new(state.clone())) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(report) => {
                let said = report.faults.len() + report.notes.len() + report.torn_bytes as usize;
                assert!(said > 0, "{what}, and nothing is reported");
            }
        }
        // A start that does not need what is spoilt goes well; one that needs it says so.
        if let Ok(opened) = Journal::open_on(Arc::new(TestDisk::new(state)), small(Durability::Synced)) {
            opened_well += 1;
            assert_eq!(opened.standing.records, standing.records, "{what}: {:?}", opened.notes);
            assert_eq!(opened.standing.ledger, standing.ledger, "{what}");
        }
    }
    assert!(opened_well > count / 20 && opened_well < count * 19 / 20, "{opened_well} of {count} opened");
}

#[test]
fn spoilt_files_are_reported_and_never_served() {
    spoilt(2_000, 7);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_hundred_thousand_spoilt_files_are_reported_and_never_served() {
    let wanted: usize = crate::sized("SOAK_DAMAGED", 100_000);
    (0..wanted.div_ceil(5_000)).for_each(|round| spoilt((wanted - 5_000 * round).min(5_000), round as u64));
    let asked = format!("{wanted} flips, cuts, foreign parts: all reported");
    crate::soak_row("spoilt files", &asked, &format!("{wanted} reported, 0 served wrongly"), true);
}
