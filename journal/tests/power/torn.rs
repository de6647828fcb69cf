//! An end cut off at every byte, in every segment.

use crate::disk::{State, TestDisk};
use crate::trade::{Acknowledged, small, trade};
use grid::Timestamp;
use journal::{Durability, Fact, Journal};
use std::sync::Arc;

/// Where each group of a segment ends and how many records are in the segment up to there, from the format's description.
fn group_ends(segment: &[u8]) -> Vec<(usize, u64)> {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap());
    let (mut at, mut records, mut ends) = (512, 0, vec![(512, 0)]);
    while at < segment.len() {
        assert_eq!(&segment[at..at + 8], b"GFGROUP\n");
        records += u64::from(number(at + 16));
        at += (64 + number(at + 20) as usize).next_multiple_of(512);
        ends.push((at, records));
    }
    ends
}

/// The journal as it was when `name`, which begins with record `first`, was its last segment.
fn as_of(whole: &State, name: &str, first: u64) -> State {
    let mut state = whole.clone();
    let later = |other: &String| {
        let digits =
            other.trim_start_matches("market-").split('.').next().and_then(|digits| digits.parse().ok());
        digits.is_some_and(|number: u64| number + u64::from(other.ends_with(".snapshot")) > first)
    };
    let gone: Vec<String> = state.names().into_iter().filter(|other| other != name && later(other)).collect();
    gone.iter().for_each(|other| state.lose(other));
    state
}

#[test]
fn an_end_torn_at_every_byte_of_every_segment_leaves_the_whole_groups_before_it() {
    let disk = Arc::new(TestDisk::default());
    let options = small(Durability::Synced);
    drop(trade(&disk, options, 60, 5, &Acknowledged::default()).unwrap());
    let mut whole = disk.state().clone();
    let segments: Vec<String> = whole.names().into_iter().filter(|name| name.ends_with(".journal")).collect();
    let (mut first, mut with_snapshot) = (1, 0);
    assert!(segments.len() >= 4, "{segments:?}");
    // In the order of their records: `market.journal` comes last by name.
    for name in segments.iter().rev().take(1).chain(segments.iter().rev().skip(1).rev()) {
        let bytes = whole.bytes(name).clone();
        let ends = group_ends(&bytes);
        let state = as_of(&whole, name, first);
        for cut in 0..bytes.len() {
            let mut torn = state.clone();
            torn.bytes(name).truncate(cut);
            // The tip is newer, so something acknowledged was cut off: that is no torn write.
            let refused = Journal::open_on(Arc::new(TestDisk::new(torn.clone())), options);
            assert!(refused.is_err(), "{name} cut at {cut} is taken for whole");
            // Without it, as after a power cut that lost it.
            torn.lose("market.tip");
            let kept = ends.iter().rev().find(|(end, _)| *end <= cut).map_or(0, |(_, records)| *records);
            let disk = Arc::new(TestDisk::new(torn));
            let mut opened =
                Journal::open_on(disk.clone(), options).unwrap_or_else(|e| panic!("{name} at {cut}: {e}"));
            assert_eq!(opened.standing.records, first - 1 + kept, "{name} cut at {cut}");
            with_snapshot += usize::from(opened.replayed < opened.standing.records);
            let next = opened.journal.append([(Timestamp::from_seconds(0), &Fact::Reached)]).unwrap();
            assert_eq!(next, first + kept);
            drop(opened);
            let report = Journal::verify_on(disk.as_ref()).unwrap();
            assert_eq!((report.entries.len() as u64, report.torn_bytes), (next, 0));
        }
        first += ends.last().unwrap().1;
    }
    assert!(with_snapshot > 0, "no start used a snapshot");
}
