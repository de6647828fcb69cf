//! Writes, syncs and room that fail.

use crate::disk::{Fault, Random, Survives, TestDisk};
use crate::trade::{Acknowledged, Ended, objection, objection_after_kill, small, trade};
use grid::Timestamp;
use journal::{Durability, Fact, Journal, JournalError};
use std::sync::Arc;

/// Lets one operation of a trace go wrong. Returns whether that ended the journal.
fn one_fault(at: usize, fault: Fault, operations: usize) -> bool {
    let disk = Arc::new(TestDisk::default());
    disk.state().fault = Some((at, fault));
    let acknowledged = Acknowledged::default();
    let ended = trade(&disk, small(Durability::Synced), operations, 7, &acknowledged);
    let what = format!("{fault:?} at operation {at}");
    let stopped = ended.is_err();
    if let Err((how, journal)) = ended {
        let (Ended::Appending(error) | Ended::Opening(error)) = &how;
        assert!(!error.is_finding(), "{what}: {error}");
        if let Some(mut journal) = journal {
            let again = journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]);
            assert!(again.is_err(), "{what}: acknowledged after a failure");
        }
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    // What the next process finds, with the power on, and off, now or later.
    let state = disk.state().after_kill();
    for survives in [Survives::Nothing, Survives::Everything, Survives::Some] {
        let image = state.after_power_cut(survives, &mut Random(at as u64));
        assert_eq!(
            objection(TestDisk::new(image), Durability::Synced, &acknowledged),
            None,
            "{what}, {survives:?}"
        );
    }
    assert_eq!(objection_after_kill(&state, Durability::Synced, &acknowledged), None, "{what}");
    assert_eq!(objection(TestDisk::new(state), Durability::Synced, &acknowledged), None, "{what}");
    stopped
}

fn faults(operations: usize) {
    for fault in [Fault::Fails, Fault::FailsHalfway, Fault::Full, Fault::FullHalfway] {
        let stopped = (1..=operations).filter(|at| one_fault(*at, fault, operations)).count();
        // Tips and snapshots may fail without harm, a full disk is waited for.
        assert!(
            stopped > operations / 6 && stopped < operations,
            "{fault:?}: {stopped} of {operations} stopped it"
        );
    }
}

#[test]
fn a_failure_at_any_operation_is_followed_by_no_acknowledgement() {
    faults(120);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn a_failure_at_any_operation_of_a_long_trace_is_followed_by_no_acknowledgement() {
    faults(1_000);
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    for room in (0..12_000).step_by(97) {
        let disk = Arc::new(TestDisk::default());
        disk.state().room = Some(6_000 + room);
        let acknowledged = Acknowledged::default();
        let ended = trade(&disk, small(Durability::Synced), 500, 3, &acknowledged);
        let Err((Ended::Appending(JournalError::Full { path }), Some(mut journal))) = ended else {
            panic!("with {room} bytes: {ended:?}")
        };
        assert!(path.starts_with("test disk"));
        let before = acknowledged.lock().unwrap().len() as u64;
        assert_eq!(journal.records(), before);
        let image = disk.state().after_power_cut(Survives::Some, &mut Random(room as u64));
        let known = acknowledged.lock().unwrap().clone();
        assert_eq!(objection(TestDisk::new(image), Durability::Synced, &known), None, "with {room} bytes");
        disk.state().room = None;
        let after = journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]).unwrap();
        assert_eq!(after, before + 1);
        drop(journal);
        assert_eq!(Journal::verify_on(disk.as_ref()).unwrap().entries.len() as u64, after);
    }
}
