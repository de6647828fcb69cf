//! Damage inside a log, as opposed to an end that was never finished.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use grid::{Measurement, PointId, Quality, Timestamp};
use history::{History, HistoryError, Kind, Options, Query, Value, Versions};
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;
/// 2026-01-15T16:30Z.
const EVENING: i64 = 1_768_494_600;

fn values(group: i64, count: i64) -> Vec<Value> {
    let point: PointId = "bus.3.u.a".parse().unwrap();
    let value = |at: i64| {
        let measured_at = Timestamp::from_seconds(EVENING + 1_000 * group + at);
        let (value, quality) = (230.0 + at as f64, Quality::Measured);
        Value::measured(&Measurement { point, value, quality, measured_at, received_at: measured_at })
    };
    (0..count).map(value).collect()
}

/// A log with groups of so many values; where each ends.
fn log(directory: &Path, counts: &[i64]) -> (PathBuf, Vec<usize>) {
    let log = directory.join("head-0000000001.log");
    let mut history = History::open(directory, Options::default()).unwrap();
    let mut ends = Vec::new();
    for (group, count) in counts.iter().enumerate() {
        history.append(&values(group as i64, *count)).unwrap();
        ends.push(std::fs::metadata(&log).unwrap().len() as usize);
    }
    (log, ends)
}

fn count(history: &History) -> usize {
    let (from, until) = (Timestamp::from_seconds(EVENING), Timestamp::from_seconds(EVENING + 1_000_000));
    let query = Query {
        kind: Kind::Telemetry,
        points: Vec::new(),
        from,
        until,
        versions: Versions::All,
        most: 1_000_000,
    };
    history.query(&query).unwrap().len()
}

#[test]
fn any_flipped_bit_of_a_log_stops_the_start_and_cuts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (log, ends) = log(directory.path(), &[3, 40, 1, 14]);
    let whole = std::fs::read(&log).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&log, &bytes).unwrap();
        let begins = ends.iter().rev().find(|end| **end <= at).unwrap_or(&0);
        match History::open(directory.path(), Options::default()) {
            Err(error @ HistoryError::Damaged { .. }) => {
                let words = error.to_string();
                assert!(words.contains(&format!("at byte {begins} ")), "{words}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert!(std::fs::read(&log).unwrap() == bytes, "byte {at}: the log was changed");
    }
    std::fs::write(&log, &whole).unwrap();
    assert_eq!(count(&History::open(directory.path(), Options::default()).unwrap()), 58);
}

#[test]
fn zeros_in_the_midst_of_a_log_are_damage_and_those_of_a_last_group_are_what_was_never_written() {
    let counts = [30, 61, 25];
    for first in 0..5 {
        let directory = tempfile::tempdir().unwrap();
        // Groups that begin at other places of a sector.
        let (log, ends) = log(directory.path(), &[&[first + 1][..], &counts].concat());
        let whole = std::fs::read(&log).unwrap();
        let acknowledged = (first + 1 + 30 + 61) as usize;
        let last = ends[2];
        for sector in 0..whole.len().div_ceil(SECTOR) {
            let (from, until) = (sector * SECTOR, ((sector + 1) * SECTOR).min(whole.len()));
            let mut bytes = whole.clone();
            bytes[from.max(last).min(until)..until].fill(0);
            if until > last {
                std::fs::write(&log, &bytes).unwrap();
                let history = History::open(directory.path(), Options::default()).unwrap();
                assert_eq!(count(&history), acknowledged, "sector {sector} was never written");
                assert_eq!(history.torn_bytes() as usize, whole.len() - last);
                let kept = format!("head-0000000001.log.torn-{last}");
                assert!(std::fs::read(directory.path().join(kept)).unwrap() == bytes[last..]);
            } else {
                bytes[from..until].fill(0);
                std::fs::write(&log, &bytes).unwrap();
                let opened = History::open(directory.path(), Options::default());
                assert!(matches!(opened, Err(HistoryError::Damaged { .. })), "sector {sector}: {opened:?}");
            }
        }
    }
}
