//! Following what is appended, by place: nothing is missed and nothing comes twice, over sealings and restarts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use grid::{Measurement, Quality, Timestamp};
use history::{History, Kind, Offset, Options, Value};
use std::collections::BTreeMap;

fn small() -> Options {
    Options { head_values: 40, keep: BTreeMap::new(), ..Options::default() }
}

fn values(count: i64) -> Vec<Value> {
    let one = |number: i64| {
        let at = Timestamp::from_seconds(number);
        let point = if number % 3 == 0 { "meter.7.energy" } else { "bus.3.u.a" };
        let (value, quality) = (number as f64, Quality::Measured);
        let point = point.parse().unwrap();
        Value::measured(&Measurement { point, value, quality, measured_at: at, received_at: at })
    };
    (0..count).map(one).collect()
}

/// Everything wanted after a place, a few at a time, and where to go on.
fn follow(history: &History, mut from: Offset, kind: Kind, into: &mut Vec<Value>) -> Offset {
    loop {
        let followed = history.after(from, |value| value.kind == kind, 7).unwrap();
        into.extend(followed.values.iter().map(|(_, value)| *value));
        from = followed.next;
        if followed.all {
            return from;
        }
    }
}

#[test]
fn a_follower_sees_each_value_once_over_sealings_and_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let all = values(400);
    let mut history = History::open(directory.path(), small()).unwrap();
    let (mut seen, mut from) = (Vec::new(), history.newest());
    for (group, values) in all.chunks(10).enumerate() {
        history.append(values).unwrap();
        from = follow(&history, from, Kind::Energy, &mut seen);
        if let Some(sealer) = history.seal_due().unwrap() {
            // It goes on while it is being sealed, or only when that is over.
            if group % 2 == 0 {
                from = follow(&history, from, Kind::Energy, &mut seen);
            }
            history.adopt(sealer.make()).unwrap();
        }
        if group == 24 {
            let text = from.to_string();
            drop(history);
            history = History::open(directory.path(), small()).unwrap();
            from = text.parse().unwrap();
        }
    }
    follow(&history, from, Kind::Energy, &mut seen);
    let wanted: Vec<Value> = all.into_iter().filter(|value| value.kind == Kind::Energy).collect();
    assert_eq!(seen, wanted);
}

#[test]
fn every_value_has_a_place_from_which_the_rest_follows() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(directory.path(), small()).unwrap();
    let (start, all) = (history.newest(), values(30));
    history.append(&all).unwrap();
    let followed = history.after(start, |_| true, 100).unwrap();
    for (count, (place, value)) in followed.values.iter().enumerate() {
        assert_eq!(*value, all[count]);
        let rest = history.after(*place, |_| true, 100).unwrap().values;
        assert_eq!(rest.iter().map(|(_, value)| *value).collect::<Vec<_>>(), all[count + 1..]);
    }
}

#[test]
fn a_place_of_a_sealed_log_or_of_another_history_is_said_to_be_gone() {
    let directory = tempfile::tempdir().unwrap();
    let mut history = History::open(directory.path(), small()).unwrap();
    let start = history.newest();
    history.append(&values(50)).unwrap();
    let middle = history.after(start, |_| true, 20).unwrap().next;
    let sealer = history.seal_due().unwrap().unwrap();
    assert!(history.after(middle, |_| true, 1).is_ok(), "it is in memory while it is sealed");
    history.adopt(sealer.make()).unwrap();
    assert_eq!(history.after(middle, |_| true, 1).unwrap_err().0, middle);
    history.append(&values(50)[20..]).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut other = History::open(elsewhere.path(), small()).unwrap();
    other.append(&values(3)).unwrap();
    let seal = other.seal_due().unwrap();
    assert!(seal.is_none());
    let foreign: Offset =
        format!("2-{}", other.newest().to_string().split_once('-').unwrap().1).parse().unwrap();
    assert!(history.after(foreign, |_| true, 1).is_err());
    for text in ["", "1", "1-2", "1-2-3", "1-2-0123456g", "1-2-01234567-8", "+1-2-01234567", "1--2-01234567"]
    {
        assert!(text.parse::<Offset>().is_err(), "{text}");
    }
}
