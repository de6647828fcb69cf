//! Reads, writes, syncs and room that fail.

use crate::disk::{Fault, Random, State, Survives, TestDisk};
use crate::trace::{Acknowledged, Ended, keep, numbers, objection, objection_after_kill, small, value};
use history::{History, HistoryError};
use std::sync::{Arc, Mutex};

/// What the next process finds, with the power on, and off, now or later.
fn nothing_lost(disk: &TestDisk, acknowledged: usize, what: &str) {
    let state = disk.state().after_kill();
    for survives in [Survives::Nothing, Survives::Everything, Survives::Some, Survives::Some] {
        let image = state.after_power_cut(survives, &mut Random(state.operations as u64));
        assert_eq!(objection(TestDisk::new(image), acknowledged), None, "{what}, {survives:?}");
    }
    assert_eq!(objection_after_kill(&state, acknowledged), None, "{what}");
}

/// Lets one operation of a trace go wrong. Returns whether that ended the history.
fn one_fault(at: usize, fault: Fault, operations: usize) -> bool {
    let disk = Arc::new(TestDisk::default());
    disk.state().fault = Some((at, fault));
    let acknowledged = Acknowledged::default();
    let ended = keep(&disk, disk.clone(), operations, 7, &acknowledged);
    let what = format!("{fault:?} at operation {at}");
    let stopped = ended.is_err();
    if let Err((how, history)) = ended {
        let (Ended::Appending(error) | Ended::Opening(error)) = &how;
        assert!(matches!(error, HistoryError::Io { .. }), "{what}: {error}");
        if let Some(mut history) = history {
            assert!(history.has_failed(), "{what}");
            let again = history.append(&[value(2_000_000)]);
            assert!(matches!(again, Err(HistoryError::Failed { .. })), "{what}: {again:?} after a failure");
        }
    }
    nothing_lost(&disk, *acknowledged.lock().unwrap(), &what);
    stopped
}

fn faults(operations: usize) {
    for fault in [Fault::Fails, Fault::FailsHalfway, Fault::Full, Fault::FullHalfway] {
        let stopped = (1..=operations).filter(|at| one_fault(*at, fault, operations)).count();
        // Sealings may fail without harm, a full disk is waited for.
        assert!(
            stopped > operations / 6 && stopped < operations,
            "{fault:?}: {stopped} of {operations} stopped it"
        );
    }
}

#[test]
fn a_failure_at_any_operation_is_followed_by_no_acknowledgement() {
    faults(80);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_failure_at_any_operation_of_a_long_trace_is_followed_by_no_acknowledgement() {
    faults(600);
}

/// The disk takes half of a group, then there is room again, and the power goes while the next group is synced: what was taken back
/// must not come up again below it.
#[test]
fn what_a_full_disk_took_half_of_does_not_spoil_what_is_written_in_its_place() {
    let newest = Arc::new(Mutex::new(State::default()));
    let seen = newest.clone();
    let disk = Arc::new(TestDisk::probed(move |state| *seen.lock().unwrap() = state.clone()));
    let mut history = History::open_on(disk.clone(), small()).unwrap();
    history.append(&[value(0)]).unwrap();
    disk.state().room = Some(900);
    let refused = history.append(&(10..39).map(value).collect::<Vec<_>>()).unwrap_err();
    assert!(refused.is_full() && !history.has_failed(), "{refused}");
    disk.state().room = None;
    history.append(&(1..30).map(value).collect::<Vec<_>>()).unwrap();
    // As it was when that was written and not synced.
    let state = newest.lock().unwrap().clone();
    for seed in 0..200 {
        let image = state.after_power_cut(Survives::Some, &mut Random(seed));
        assert_eq!(objection(TestDisk::new(image), 1), None, "seed {seed}");
    }
}

#[test]
fn a_full_disk_refuses_with_its_reason_and_goes_on_when_there_is_room() {
    for room in (0..12_000).step_by(197) {
        let disk = Arc::new(TestDisk::default());
        disk.state().room = Some(3_000 + room);
        let acknowledged = Acknowledged::default();
        let ended = keep(&disk, disk.clone(), 600, 3, &acknowledged);
        let Err((Ended::Appending(error), Some(mut history))) = ended else {
            panic!("with {room} bytes: {ended:?}")
        };
        assert!(error.is_full() && error.to_string().contains("appending to"), "{error}");
        let before = *acknowledged.lock().unwrap();
        assert_eq!(numbers(&history), Ok((0..before).collect()), "with {room} bytes");
        let state = disk.state().after_kill();
        let image = state.after_power_cut(Survives::Some, &mut Random(room as u64));
        assert_eq!(objection(TestDisk::new(image), before), None, "with {room} bytes");
        disk.state().room = None;
        // The same history, unaided: what waits is sealed, and what comes is kept.
        history.append(&[value(before)]).unwrap();
        while let Some(sealer) = history.seal_due().unwrap() {
            history.adopt(sealer.make()).unwrap();
        }
        assert_eq!(numbers(&history), Ok((0..=before).collect()));
        drop(history);
        let image = disk.state().after_power_cut(Survives::Nothing, &mut Random(0));
        assert_eq!(objection(TestDisk::new(image), before + 1), None, "with {room} bytes");
    }
}

#[test]
fn a_read_that_fails_is_told_as_what_it_is_and_the_next_one_finds_everything() {
    let disk = Arc::new(TestDisk::default());
    let acknowledged = Acknowledged::default();
    let kept = keep(&disk, disk.clone(), 120, 5, &acknowledged).unwrap();
    drop(kept);
    let all = Ok((0..*acknowledged.lock().unwrap()).collect::<Vec<_>>());
    let state = disk.state().after_kill();
    let (mut opening, mut asking) = (0, 0);
    for at in 1.. {
        let mut failing = state.clone();
        failing.read_fault = Some(at);
        let disk = Arc::new(TestDisk::new(failing));
        let history = match History::open_on(disk.clone(), small()) {
            Ok(history) => history,
            Err(HistoryError::Io { source, .. }) => {
                assert!(source.to_string().contains("it failed"), "{source}");
                opening += 1;
                let again = History::open_on(disk.clone(), small()).unwrap();
                assert_eq!(numbers(&again), all, "read {at}");
                continue;
            }
            Err(other) => panic!("read {at}: {other}"),
        };
        if disk.state().reads < at {
            let found = numbers(&history);
            if disk.state().reads < at {
                assert_eq!(found, all);
                break;
            }
            asking += 1;
            assert!(found.as_ref().is_err_and(|words| words.contains("reading: it failed")), "{found:?}");
        }
        assert_eq!(numbers(&history), all, "read {at}");
    }
    assert!(opening > 10 && asking > 10, "{opening} while opening, {asking} while asking");
}
