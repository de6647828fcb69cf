//! Power cuts, failing disks and full disks: no value that was acknowledged is lost or doubled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::result_large_err)] // a test

#[path = "../../../journal/tests/power/disk.rs"]
#[allow(dead_code)] // the journal's tests use more of it
mod disk;
mod faults;
#[path = "../../../tests/harness/soak.rs"]
mod soak;
mod trace;

use disk::{Random, State, Survives, TestDisk};
use files::SharedDisk;
use history::History;
use soak::{sized, soak_row};
use std::sync::{Arc, Mutex};
use trace::{Acknowledged, Lying, keep, objection, objection_after_kill, small};

/// A second cut while the first one is being recovered from, then the check.
fn cut_again(state: &State, acknowledged: usize, random: &mut Random) -> Option<String> {
    let mut first = state.after_power_cut(Survives::Some, random);
    first.power_until = Some(random.below(12));
    let disk = Arc::new(TestDisk::new(first));
    drop(History::open_on(disk.clone(), small()));
    let second = disk.state().after_power_cut(Survives::Some, random);
    objection(TestDisk::new(second), acknowledged)
}

/// Cuts the power in the middle of every operation of a trace: nothing unsynced survives, everything does, and `drawn`
/// times some. Returns how many cuts there were and the first objection.
fn cuts(lying: bool, operations: usize, drawn: usize, seed: u64) -> (usize, Option<String>) {
    let acknowledged = Acknowledged::default();
    let found: Arc<Mutex<(usize, Option<String>)>> = Arc::default();
    let (known, told, mut random) = (acknowledged.clone(), found.clone(), Random(seed ^ 1));
    let probe = move |state: &State| {
        let acknowledged = *known.lock().unwrap();
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
            note(&format!("{survives:?}"), objection(TestDisk::new(image), acknowledged));
        }
        note("killed", objection_after_kill(state, acknowledged));
        for _ in 0..drawn {
            let image = state.after_power_cut(Survives::Some, &mut random);
            note("Some", objection(TestDisk::new(image), acknowledged));
            note("twice", cut_again(state, acknowledged, &mut random));
        }
    };
    let disk = Arc::new(TestDisk::probed(probe));
    let on: SharedDisk = if lying { Arc::new(Lying(disk.clone())) } else { disk.clone() };
    let kept = keep(&disk, on, operations, seed, &acknowledged).expect("nothing fails but the power");
    let sealed: u64 = kept.figures().values().map(|figures| figures.sealed).sum();
    assert!(lying || sealed > 0, "nothing was sealed");
    let mut found = found.lock().unwrap();
    (found.0, found.1.take())
}

#[test]
fn no_acknowledged_value_is_lost_or_doubled_by_a_power_cut_at_any_operation() {
    let (count, objection) = cuts(false, 150, 1, 7);
    assert_eq!(objection, None, "after {count} cuts");
    assert!(count >= 600, "{count}");
}

#[test]
fn acknowledging_before_the_sync_loses_a_value_and_is_found_out() {
    let (_, objection) = cuts(true, 150, 1, 7);
    let lost = |words: &str| words.contains("acknowledged") || words.contains("damaged");
    assert!(objection.as_deref().is_some_and(lost), "{objection:?}");
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn no_acknowledged_value_is_lost_by_a_power_cut_in_a_trace_of_2000_calls_and_many_random_ones() {
    let (calls, wanted) = (sized("SOAK_POWER_CALLS", 2_000), sized("SOAK_POWER_RANDOM", 2_000));
    let (count, objection) = cuts(false, calls, 1, 11);
    let (asked, lost) =
        (format!("at each of {calls} calls, 0 lost"), objection.clone().unwrap_or("0 lost".to_owned()));
    soak_row(
        "power cut, history",
        &asked,
        &format!("{count} cuts, {lost}"),
        objection.is_none() && count >= calls,
    );
    assert_eq!(objection, None, "after {count} cuts");
    assert!(count >= calls);
    let (mut random_cuts, mut seed) = (0, 100);
    while random_cuts < wanted {
        let (count, objection) = cuts(false, 100, 2, seed);
        assert_eq!(objection, None, "after {count} cuts");
        random_cuts += count;
        seed += 1;
    }
    let asked = format!("{wanted}, 0 lost");
    soak_row("power cuts of random traces, history", &asked, &format!("{random_cuts}, 0 lost"), true);
}
