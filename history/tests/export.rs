//! A file for others against what a query says of the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use grid::{Measurement, Quality, Timestamp};
use history::{History, Kind, Options, Query, Value, Versions};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

/// Corrections, late values and repetitions, sealed into more files than are merged at once.
fn many_files(directory: &Path, files: usize) -> History {
    let options = Options { head_values: 30, keep: BTreeMap::new(), ..Options::default() };
    let mut history = History::open(directory, options).unwrap();
    let value = |number: usize| {
        let name = ["bus.3.u.a", "bus.3.u.b", "branch.7.p.c", "meter.12.energy"][number % 4];
        // The same instants come again in every eleventh file, some with the same version.
        let measured_at = Timestamp::from_seconds((number % 330) as i64);
        let received_at = Timestamp::from_seconds((number % 330 + number / 700) as i64);
        let (value, quality) = ((number / 3) as f64, Quality::Measured);
        Value::measured(&Measurement {
            point: name.parse().unwrap(),
            value,
            quality,
            measured_at,
            received_at,
        })
    };
    for file in 0..files {
        let values: Vec<Value> = (30 * file..30 * (file + 1)).map(value).collect();
        history.append(&values).unwrap();
        let sealer = history.seal_due().unwrap().unwrap();
        history.adopt(sealer.make()).unwrap();
    }
    // The same again, as what a copy has twice: told once.
    for _ in 0..2 {
        history.append(&(0..20).map(value).collect::<Vec<_>>()).unwrap();
    }
    history
}

/// Point, instant, version (µs) and value of each row.
fn rows(path: &Path) -> Vec<(String, i64, i64, f64)> {
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(Result::unwrap);
    let row = |row: parquet::record::Row| {
        let word = row.get_string(0).unwrap().clone();
        let at = |column| row.get_timestamp_micros(column).unwrap();
        (word, at(1), at(2), row.get_double(3).unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn what_is_exported_is_what_a_query_says_however_many_files_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    let history = many_files(directory.path(), 150);
    assert!(history.figures()[&Kind::Telemetry].files > 4 * 32, "they are merged twice");
    let (from, until) = (Timestamp::from_seconds(5), Timestamp::from_seconds(300));
    let out = tempfile::tempdir().unwrap();
    for (number, versions) in [Versions::Newest, Versions::All, Versions::AsOf(Timestamp::from_seconds(160))]
        .into_iter()
        .enumerate()
    {
        for points in [vec![], vec!["bus.3.u.b".parse().unwrap()]] {
            let query = Query { kind: Kind::Telemetry, points, from, until, versions, most: 1_000_000 };
            let path = out.path().join(format!("{number}-{}.parquet", query.points.len()));
            let count = history.export(&Query { most: 1, ..query.clone() }, &path).unwrap();
            let found = history.query(&query).unwrap();
            let micros = |at: Timestamp| at.nanos() / 1000;
            let wanted = found.iter().map(|value| {
                let point = value.point.to_string();
                (point, micros(value.measured_at), micros(value.received_at), value.value)
            });
            let wanted: Vec<_> = wanted.collect();
            assert_eq!(rows(&path), wanted, "{versions:?}");
            assert!(count == wanted.len() as u64 && count > 50, "{count}");
        }
    }
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 6, "no runs are left");
}

#[test]
fn a_file_that_is_there_is_left_alone_and_one_that_cannot_be_finished_goes() {
    let directory = tempfile::tempdir().unwrap();
    let history = many_files(directory.path(), 2);
    let out = tempfile::tempdir().unwrap();
    let (from, until) = (Timestamp::from_seconds(0), Timestamp::from_seconds(1_000));
    let query =
        Query { kind: Kind::Telemetry, points: Vec::new(), from, until, versions: Versions::All, most: 1 };
    let path = out.path().join("mine.parquet");
    std::fs::write(&path, b"something else").unwrap();
    assert!(history.export(&query, &path).unwrap_err().to_string().contains("mine.parquet"));
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
    let sealed = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path());
    let sealed = sealed.filter(|path| path.to_string_lossy().contains("telemetry")).min().unwrap();
    let mut bytes = std::fs::read(&sealed).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&sealed, &bytes).unwrap();
    let path = out.path().join("other.parquet");
    assert!(history.export(&query, &path).unwrap_err().to_string().contains("telemetry-0000000001."));
    assert!(!path.exists());
}
