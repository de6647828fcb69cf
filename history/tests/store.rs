//! The store against a list of everything that was ever appended, through sealings, crashes and damage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use grid::{Measurement, PointId, Quality, Timestamp};
use history::{History, HistoryError, Kind, Options, Query, Value, Versions};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

fn small() -> Options {
    Options { head_values: 40, keep: BTreeMap::new(), ..Options::default() }
}

fn point(name: &str) -> PointId {
    name.parse().unwrap()
}

fn value(name: &str, value: f64, measured_s: i64, received_s: i64) -> Value {
    let (measured_at, received_at) =
        (Timestamp::from_seconds(measured_s), Timestamp::from_seconds(received_s));
    let measurement =
        Measurement { point: point(name), value, quality: Quality::Measured, measured_at, received_at };
    Value::measured(&measurement)
}

fn everything(kind: Kind, versions: Versions) -> Query {
    let (from, until) = (Timestamp::from_seconds(-1_000_000), Timestamp::from_seconds(1_000_000));
    Query { kind, points: Vec::new(), from, until, versions, most: 1_000_000 }
}

fn seal(history: &mut History) {
    if let Some(sealer) = history.seal_due().unwrap() {
        history.adopt(sealer.make()).unwrap();
    }
}

/// What a plain list says.
fn oracle(all: &[Value], query: &Query) -> Vec<Value> {
    let as_of = match query.versions {
        Versions::AsOf(at) => at,
        _ => Timestamp::from_nanos(i64::MAX),
    };
    let fits = |value: &&Value| {
        value.kind == query.kind
            && (query.points.is_empty() || query.points.contains(&value.point))
            && query.from <= value.measured_at
            && value.measured_at < query.until
            && value.received_at <= as_of
    };
    let mut found: Vec<Value> = all.iter().filter(fits).copied().collect();
    found.sort_by_key(|value| (value.point, value.measured_at, value.received_at));
    if query.versions == Versions::All {
        return found;
    }
    let mut newest = BTreeMap::new();
    for value in found {
        newest.insert((value.point, value.measured_at), value);
    }
    newest.into_values().collect()
}

fn one() -> impl Strategy<Value = Value> {
    let names =
        ["bus.3.u.a", "bus.3.u.b", "branch.7.p.c", "meter.12.energy", "device.121.energy", "meter.12.p"];
    (prop::sample::select(names.to_vec()), -1e6_f64..1e6, 0_i64..50, 0_i64..50)
        .prop_map(|(name, number, measured, received)| value(name, number, measured, received))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_query_says_what_a_list_of_everything_says(
        groups in prop::collection::vec(prop::collection::vec(one(), 1..30), 1..12),
        reopen in prop::collection::vec(any::<bool>(), 12),
        from in 0_i64..50,
        length in 1_i64..50,
        as_of in 0_i64..60,
        points in prop::collection::vec(prop::sample::select(vec!["bus.3.u.a", "meter.12.energy", "bus.9.u"]), 0..3),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut history = History::open(directory.path(), small()).unwrap();
        let mut all: Vec<Value> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            history.append(group).unwrap();
            all.extend(group);
            if reopen[at] {
                drop(history);
                history = History::open(directory.path(), small()).unwrap();
            }
            seal(&mut history);
        }
        for kind in Kind::ALL {
            for versions in [Versions::Newest, Versions::All, Versions::AsOf(Timestamp::from_seconds(as_of))] {
                let mut query = everything(kind, versions);
                (query.from, query.until) = (Timestamp::from_seconds(from), Timestamp::from_seconds(from + length));
                query.points = points.iter().map(|name| point(name)).collect();
                let (found, wanted) = (history.query(&query).unwrap(), oracle(&all, &query));
                prop_assert_eq!(found.len(), wanted.len());
                // Two values of one point, instant and version: the later written one counts, in any order of all.
                if versions != Versions::All {
                    prop_assert_eq!(found, wanted);
                }
            }
        }
        let figures = history.figures();
        let kept: u64 = figures.values().map(|one| one.unsealed + one.sealed).sum();
        prop_assert_eq!(kept, all.len() as u64);
    }
}

#[test]
fn a_crash_between_any_two_steps_of_sealing_loses_and_doubles_nothing() {
    let all: Vec<Value> =
        (0..100).map(|at| value("bus.3.u.a", f64::from(at), i64::from(at), i64::from(at))).collect();
    let found = |history: &History| history.query(&everything(Kind::Telemetry, Versions::All)).unwrap();
    for step in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let mut history = History::open(directory.path(), small()).unwrap();
        history.append(&all[..60]).unwrap();
        let sealer = history.seal_due().unwrap().unwrap();
        history.append(&all[60..]).unwrap();
        // While it is being sealed everything is found.
        assert_eq!(found(&history), all);
        match step {
            0 => drop(sealer),
            1 => drop(sealer.make().unwrap()),
            _ => history.adopt(sealer.make()).unwrap(),
        }
        assert_eq!(found(&history), all);
        drop(history);
        let history = History::open(directory.path(), small()).unwrap();
        assert_eq!(found(&history), all, "step {step}");
        assert_eq!(history.figures()[&Kind::Telemetry].files, 1);
    }
}

#[test]
fn a_sealing_that_failed_is_tried_again_and_memory_is_let_go_of() {
    let all: Vec<Value> =
        (0..150).map(|at| value("bus.3.u.a", f64::from(at), i64::from(at), i64::from(at))).collect();
    let found = |history: &History| history.query(&everything(Kind::Telemetry, Versions::All)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("telemetry-0000000001.unfinished");
    std::fs::create_dir(&in_the_way).unwrap();
    let mut history = History::open(directory.path(), small()).unwrap();
    history.append(&all[..60]).unwrap();
    let sealer = history.seal_due().unwrap().unwrap();
    let error = history.adopt(sealer.make()).unwrap_err();
    assert!(error.to_string().contains("unfinished"), "{error}");
    history.append(&all[60..]).unwrap();
    assert!(history.seal_due().unwrap().is_none(), "not before it is said that nobody seals it");

    history.seal_again();
    std::fs::remove_dir(&in_the_way).unwrap();
    for _ in 0..2 {
        let sealer = history.seal_due().unwrap().expect("what failed, then what came meanwhile");
        assert!(history.seal_due().unwrap().is_none(), "it is given out once");
        history.adopt(sealer.make()).unwrap();
    }
    let figures = history.figures()[&Kind::Telemetry];
    assert_eq!((figures.unsealed, figures.sealed, figures.files), (0, 150, 2));
    assert_eq!(found(&history), all);
    drop(history);
    assert_eq!(found(&History::open(directory.path(), small()).unwrap()), all);
}

#[test]
fn a_torn_end_is_cut_off_at_every_byte_and_what_was_acknowledged_stays() {
    let directory = tempfile::tempdir().unwrap();
    let groups: Vec<Vec<Value>> =
        (0..4).map(|group| (0..3).map(|at| value("bus.3.u.a", 1.0, group * 3 + at, 0)).collect()).collect();
    let next: Vec<Value> = (20..23).map(|at| value("bus.3.u.a", 1.0, at, 0)).collect();
    let log = directory.path().join("head-0000000001.log");
    let mut ends = Vec::new();
    {
        let mut history = History::open(directory.path(), Options::default()).unwrap();
        for group in &groups {
            history.append(group).unwrap();
            ends.push(std::fs::metadata(&log).unwrap().len() as usize);
        }
    }
    let whole = std::fs::read(&log).unwrap();
    for cut in 0..=whole.len() {
        std::fs::write(&log, &whole[..cut]).unwrap();
        let mut history = History::open(directory.path(), Options::default()).unwrap();
        let kept = ends.iter().filter(|end| **end <= cut).count();
        let found = history.query(&everything(Kind::Telemetry, Versions::All)).unwrap();
        assert_eq!(found.len(), kept * 3, "cut at {cut}");
        // It goes on from there.
        history.append(&next).unwrap();
        drop(history);
        let history = History::open(directory.path(), Options::default()).unwrap();
        assert_eq!(history.query(&everything(Kind::Telemetry, Versions::All)).unwrap().len(), kept * 3 + 3);
    }
}

#[test]
fn what_comes_twice_from_another_history_is_answered_once() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = std::sync::Arc::<std::sync::Mutex<Vec<Vec<u8>>>>::default();
    struct To(std::sync::Arc<std::sync::Mutex<Vec<Vec<u8>>>>);
    impl history::Copies for To {
        fn copy(&mut self, group: &[u8]) -> std::io::Result<()> {
            self.0.lock().unwrap().push(group.to_owned());
            Ok(())
        }
    }
    let history = History::open(one.path(), Options::default()).unwrap();
    let mut history = history.copied_to(Box::new(To(sent.clone())));
    let values: Vec<Value> = (0..25_000).map(|at| value("bus.3.u.a", 1.0, at, 0)).collect();
    history.append(&values).unwrap();
    let mut copy = History::open(other.path(), Options::default()).unwrap();
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 3, "a group fits into a message");
    for group in sent.iter().chain(&sent[1..]) {
        copy.append_copied(group).unwrap();
    }
    let all = everything(Kind::Telemetry, Versions::All);
    assert_eq!(copy.query(&all).unwrap(), history.query(&all).unwrap());
    assert!(copy.append_copied(&sent[0][1..]).is_err() && copy.append_copied(b"rubbish").is_err());
}

#[test]
fn a_damaged_file_is_named_and_never_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(directory.path(), small()).unwrap();
    let all: Vec<Value> = (0..60).map(|at| value("bus.3.u.a", f64::from(at), i64::from(at), 100)).collect();
    history.append(&all).unwrap();
    seal(&mut history);
    drop(history);
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let file = names.filter(|path| path.extension().is_some_and(|end| end == "parquet")).last().unwrap();
    let good = std::fs::read(&file).unwrap();
    let damaged = |path: &Path| match History::open(path, small()) {
        Err(error) => assert!(error.to_string().contains("telemetry-0000000001."), "{error}"),
        Ok(history) => match history.query(&everything(Kind::Telemetry, Versions::All)) {
            Err(error) => assert!(error.to_string().contains("telemetry-0000000001."), "{error}"),
            // A bit that says nothing, such as of the program's name.
            Ok(found) => assert_eq!(found, all),
        },
    };
    for cut in [0, 3, 4, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&file, &good[..cut]).unwrap();
        damaged(directory.path());
    }
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.location().is_some_and(|at| at.file().contains("store.rs")) {
            usual(panic)
        }
    }));
    for at in 0..good.len() * 2 {
        let mut bytes = good.clone();
        bytes[at / 2] ^= if at % 2 == 0 { 0x10 } else { 0x81 };
        std::fs::write(&file, &bytes).unwrap();
        damaged(directory.path());
    }
    std::fs::write(&file, b"not parquet").unwrap();
    damaged(directory.path());
}

#[test]
fn what_was_kept_long_enough_goes_kind_by_kind() {
    let directory = tempfile::tempdir().unwrap();
    let keep = [(Kind::Telemetry, Duration::from_secs(100)), (Kind::Energy, Duration::from_secs(10_000))];
    let options = Options { head_values: 10, keep: keep.into(), ..Options::default() };
    let mut history = History::open(directory.path(), options).unwrap();
    for start in [0, 1000] {
        let values: Vec<Value> = (0..10)
            .map(|at| {
                value(if at % 2 == 0 { "bus.3.u.a" } else { "meter.1.energy" }, 1.0, start + at, start + at)
            })
            .collect();
        history.append(&values).unwrap();
        seal(&mut history);
    }
    let retain = |history: &mut History, now| match history.retain(Timestamp::from_seconds(now)) {
        (removed, None) => removed,
        (_, Some(error)) => panic!("{error}"),
    };
    assert_eq!(retain(&mut history, 50), []);
    let removed = retain(&mut history, 1050).remove(0);
    assert!(removed.file.starts_with("telemetry-0000000001."), "{removed:?}");
    let instants = [0, 8].map(Timestamp::from_seconds).into();
    assert_eq!((removed.kind, removed.values, removed.instants), (Kind::Telemetry, 5, instants));
    let count = |history: &History, kind| history.query(&everything(kind, Versions::All)).unwrap().len();
    assert_eq!((count(&history, Kind::Telemetry), count(&history, Kind::Energy)), (5, 10));
    drop(history);
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 5, "a lock, a log, three sealed files");
}

#[test]
fn a_file_that_cannot_be_removed_does_not_keep_others_and_goes_the_next_time() {
    let directory = tempfile::tempdir().unwrap();
    let keep = [(Kind::Telemetry, Duration::from_secs(100))].into();
    let options = Options { head_values: 10, keep, ..Options::default() };
    let mut history = History::open(directory.path(), options).unwrap();
    for start in [0, 20, 40] {
        let values: Vec<Value> = (0..10).map(|at| value("bus.3.u.a", 1.0, start + at, start + at)).collect();
        history.append(&values).unwrap();
        seal(&mut history);
    }
    let sealed = || {
        let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut sealed: Vec<_> =
            names.filter(|path| path.extension().is_some_and(|end| end == "parquet")).collect();
        sealed.sort();
        sealed
    };
    let first = sealed().remove(0);
    std::fs::remove_file(&first).unwrap();
    std::fs::create_dir(&first).unwrap();
    let (removed, error) = history.retain(Timestamp::from_seconds(1_000));
    let error = error.unwrap();
    assert_eq!(removed.len(), 2);
    assert!(error.to_string().contains("telemetry-0000000001."), "{error}");
    assert_eq!((sealed(), history.figures()[&Kind::Telemetry].files), (vec![first.clone()], 1));
    std::fs::remove_dir(&first).unwrap();
    let (removed, failed) = history.retain(Timestamp::from_seconds(1_000));
    assert!(failed.is_none() && removed.len() == 1 && removed[0].values == 10, "{removed:?}");
    assert_eq!(history.figures()[&Kind::Telemetry].files, 0);
}

#[test]
fn versions_that_are_not_wanted_do_not_count_against_how_many_may_be_returned() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(
        directory.path(),
        Options { head_values: 2_500, keep: BTreeMap::new(), ..Options::default() },
    )
    .unwrap();
    // Every value five times, as a sender with a bad wire sends it.
    for version in 0..5 {
        let values: Vec<Value> = (0..1_000)
            .map(|at| value("device.7.energy", f64::from(version), at, at + i64::from(version)))
            .collect();
        history.append(&values).unwrap();
        seal(&mut history);
    }
    assert!(history.figures()[&Kind::Energy].sealed > 0);
    let ask = |versions, most| history.query(&Query { most, ..everything(Kind::Energy, versions) });
    let newest = ask(Versions::Newest, 1_000).unwrap();
    assert!(newest.len() == 1_000 && newest.iter().all(|value| value.value == 4.0));
    assert_eq!(ask(Versions::AsOf(Timestamp::from_seconds(2_000)), 1_000).unwrap(), newest);
    assert!(matches!(ask(Versions::Newest, 999), Err(HistoryError::TooMany { most: 999 })));
    assert!(matches!(ask(Versions::All, 4_999), Err(HistoryError::TooMany { .. })));
    assert_eq!(ask(Versions::All, 5_000).unwrap().len(), 5_000);
}

#[test]
fn a_second_process_and_a_query_for_too_much_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(directory.path(), small()).unwrap();
    assert!(matches!(History::open(directory.path(), small()), Err(HistoryError::Locked { .. })));
    let all: Vec<Value> = (0..100).map(|at| value("bus.3.u.a", 1.0, at, at)).collect();
    history.append(&all).unwrap();
    seal(&mut history);
    let query = Query { most: 99, ..everything(Kind::Telemetry, Versions::All) };
    assert!(matches!(history.query(&query), Err(HistoryError::TooMany { most: 99 })));
    assert_eq!(history.query(&Query { most: 100, ..query }).unwrap().len(), 100);
}

#[test]
fn what_is_not_sealed_stays_bounded_and_is_taken_again_when_it_was_sealed() {
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("telemetry-0000000001.unfinished");
    let options = Options { unsealed_max: 100, ..small() };
    let mut history = History::open(directory.path(), options).unwrap();
    std::fs::create_dir(&in_the_way).unwrap();
    let value = |at| value("bus.3.u.a", 1.0, at, at);
    let mut kept = 0;
    let refused = loop {
        match history.append(&[value(kept)]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        if let Some(sealer) = history.seal_due().unwrap() {
            history.adopt(sealer.make()).unwrap_err();
            history.seal_again();
        }
        assert!(kept <= 100);
    };
    assert!(refused.to_string().contains("100 values are not sealed, 100 may be"), "{refused}");
    assert!(!refused.is_full() && !history.has_failed() && kept == 100);
    std::fs::remove_dir(&in_the_way).unwrap();
    seal(&mut history);
    history.append(&[value(kept)]).unwrap();
    let found = history.query(&everything(Kind::Telemetry, Versions::All)).unwrap();
    assert_eq!(found, (0..=kept).map(value).collect::<Vec<_>>());
}

#[test]
fn a_log_of_yesterday_is_sealed_although_it_is_short() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(directory.path(), Options::default()).unwrap();
    let day = 86_400;
    history.append(&[value("bus.3.u.a", 1.0, 0, 100)]).unwrap();
    history.append(&[value("bus.3.u.a", 1.0, 0, day)]).unwrap();
    assert!(history.seal_aged(Timestamp::from_seconds(100 + day)).unwrap().is_none());
    let sealer = history.seal_aged(Timestamp::from_seconds(101 + day)).unwrap().unwrap();
    history.adopt(sealer.make()).unwrap();
    assert_eq!(history.figures()[&Kind::Telemetry].sealed, 2);
    assert!(history.seal_aged(Timestamp::from_seconds(9 * day)).unwrap().is_none(), "there is nothing");
}
