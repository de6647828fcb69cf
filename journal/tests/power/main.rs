//! Power cuts, failing disks, full disks and spoilt files: nothing that was acknowledged is lost or served wrongly.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::result_large_err)] // a test

mod damage;
mod disk;
mod faults;
#[path = "../../../tests/harness/soak.rs"]
mod soak;
mod torn;
mod trade;

use disk::{Random, State, Survives, TestDisk};
use journal::{Durability, Journal};
use soak::{sized, soak_row};
use std::sync::{Arc, Mutex};
use trade::{Acknowledged, objection, objection_after_kill, small, trade};

/// A second cut while the first one is being recovered from, then the check.
fn cut_again(
    state: &State,
    durability: Durability,
    acknowledged: &[journal::Fact],
    random: &mut Random,
) -> Option<String> {
    let mut first = state.after_power_cut(Survives::Some, random);
    first.power_until = Some(random.below(8));
    let disk = Arc::new(TestDisk::new(first));
    drop(Journal::open_on(disk.clone(), small(durability)));
    let second = disk.state().after_power_cut(Survives::Some, random);
    objection(TestDisk::new(second), durability, acknowledged)
}

/// Cuts the power in the middle of every operation of a trace: nothing unsynced survives, everything does, and `drawn`
/// times some. Returns how many cuts there were and the first objection.
fn cuts(durability: Durability, operations: usize, drawn: usize, seed: u64) -> (usize, Option<String>) {
    let acknowledged = Acknowledged::default();
    let found: Arc<Mutex<(usize, Option<String>)>> = Arc::default();
    let (known, told, mut random) = (acknowledged.clone(), found.clone(), Random(seed ^ 1));
    let probe = move |state: &State| {
        let acknowledged = known.lock().unwrap().clone();
        let mut told = told.lock().unwrap();
        if told.1.is_some() {
            return;
        }
        let mut note = |kind: &str, objection: Option<String>| {
            told.0 += 1;
            let words = |words| format!("operation {} of seed {seed}, {kind}: {words}", state.operations);
            told.1 = told.1.take().or(objection.map(words));
        };
        for survives in [Survives::Nothing, Survives::Everything] {
            let image = state.after_power_cut(survives, &mut random);
            note(&format!("{survives:?}"), objection(TestDisk::new(image), durability, &acknowledged));
        }
        note("killed", objection_after_kill(state, durability, &acknowledged));
        for _ in 0..drawn {
            let image = state.after_power_cut(Survives::Some, &mut random);
            note("Some", objection(TestDisk::new(image), durability, &acknowledged));
            note("twice", cut_again(state, durability, &acknowledged, &mut random));
        }
    };
    let disk = Arc::new(TestDisk::probed(probe));
    trade(&disk, small(durability), operations, seed, &acknowledged).expect("nothing fails but the power");
    let mut found = found.lock().unwrap();
    (found.0, found.1.take())
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut_at_any_operation() {
    let (count, objection) = cuts(Durability::Synced, 250, 1, 7);
    assert_eq!(objection, None, "after {count} cuts");
    assert!(count >= 1_000, "{count}");
}

#[test]
fn acknowledging_before_the_sync_loses_something_and_is_found_out() {
    let (_, objection) = cuts(Durability::Simulated, 250, 1, 7);
    // Something acknowledged is gone: a record, or the head of the segment and with it everything.
    let lost = |words: &str| words.contains("acknowledged") || words.contains("it does not open");
    assert!(objection.as_deref().is_some_and(lost), "{objection:?}");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn nothing_acknowledged_is_lost_by_a_power_cut_in_a_trace_of_2000_calls_and_many_random_ones() {
    let (calls, wanted) = (sized("SOAK_POWER_CALLS", 2_000), sized("SOAK_POWER_RANDOM", 2_000));
    let (count, objection) = cuts(Durability::Synced, calls, 1, 11);
    let (asked, lost) =
        (format!("at each of {calls} calls, 0 lost"), objection.clone().unwrap_or("0 lost".to_owned()));
    soak_row("power cut", &asked, &format!("{count} cuts, {lost}"), objection.is_none() && count >= calls);
    assert_eq!(objection, None, "after {count} cuts");
    assert!(count >= calls);
    let (mut random_cuts, mut seed) = (0, 100);
    while random_cuts < wanted {
        let (count, objection) = cuts(Durability::Synced, 150, 2, seed);
        assert_eq!(objection, None, "after {count} cuts");
        random_cuts += count;
        seed += 1;
    }
    soak_row(
        "power cuts of random traces",
        &format!("{wanted}, 0 lost"),
        &format!("{random_cuts}, 0 lost"),
        true,
    );
}
