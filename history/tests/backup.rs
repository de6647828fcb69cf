//! Copies of a history that is being written to and sealed: each holds a beginning of what was appended, every value of it once, and all
//! that was acknowledged before the copy was begun.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

use grid::{Measurement, Quality, Timestamp};
use history::{History, Kind, Options, Query, Value, Versions, back_up};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

/// The value of a number.
fn value(number: i64) -> Value {
    let point = ["bus.1.u.a", "bus.2.u.b", "bus.3.u.c"][number as usize % 3].parse().unwrap();
    let at = Timestamp::from_seconds(number);
    let (value, quality) = (number as f64, Quality::Measured);
    Value::measured(&Measurement { point, value, quality, measured_at: at, received_at: at })
}

fn small() -> Options {
    Options { head_values: 400, keep: BTreeMap::new(), ..Options::default() }
}

/// Appends groups, seals them, until it is told to stop.
fn write(directory: &Path, acknowledged: &AtomicI64, stop: &AtomicBool) {
    let mut history = History::open(directory, small()).unwrap();
    let (mut number, mut size) = (0, 1);
    while !stop.load(Ordering::SeqCst) {
        let values: Vec<Value> = (number..number + size).map(value).collect();
        history.append(&values).unwrap();
        number += size;
        acknowledged.store(number, Ordering::SeqCst);
        size = size % 50 + 1;
        if let Some(sealer) = history.seal_due().unwrap() {
            history.adopt(sealer.make()).unwrap();
        }
    }
}

/// The numbers of all values.
fn numbers(directory: &Path) -> Vec<i64> {
    let history = History::open(directory, small()).unwrap();
    assert_eq!(history.torn_bytes(), 0, "something half is in {}", directory.display());
    let (from, until) = (Timestamp::from_seconds(-1), Timestamp::from_seconds(1 << 32));
    let (points, most, versions) = (Vec::new(), usize::MAX, Versions::All);
    let found = Kind::ALL.into_iter().flat_map(|kind| {
        let points = points.clone();
        history.query(&Query { kind, points, from, until, versions, most }).unwrap()
    });
    let mut numbers: Vec<i64> = found.map(|value| value.value as i64).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn every_copy_of_a_history_in_use_has_each_value_once_up_to_some_value() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("history");
    let (acknowledged, stop) = (AtomicI64::new(0), AtomicBool::new(false));
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| write(&directory, &acknowledged, &stop));
        while acknowledged.load(Ordering::SeqCst) == 0 {
            std::thread::yield_now();
        }
        for nth in 0..60 {
            std::thread::sleep(Duration::from_micros(nth * 617 % 3_000));
            let to = place.path().join(format!("copy-{nth}"));
            std::fs::create_dir(&to).unwrap();
            let before = acknowledged.load(Ordering::SeqCst);
            back_up(&directory, &to).unwrap();
            made.push((before, to));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let (mut sealed, mut most) = (0, 0);
    for (before, to) in made {
        let files = std::fs::read_dir(&to).unwrap().map(|file| file.unwrap().file_name());
        sealed = sealed.max(files.filter(|name| name.to_str().unwrap().ends_with(".parquet")).count());
        let numbers = numbers(&to);
        assert!(numbers.iter().copied().eq(0..numbers.len() as i64), "{}: {numbers:?}", to.display());
        assert!(numbers.len() as i64 >= before, "{before} were acknowledged before {}", to.display());
        most = most.max(numbers.len());
    }
    assert!(sealed > 10, "too little was sealed meanwhile: {sealed}");
    eprintln!("60 copies, of up to {most} values in up to {sealed} sealed files");
}
