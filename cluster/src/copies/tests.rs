//! Copies of a history that stop anywhere, streams that begin anew, and a member whose time is over.

use super::*;
use crate::test_server::TestServer;
use futures_util::StreamExt;
use grid::{Measurement, Quality};
use history::{Kind, Query, Value, Versions, log};

fn value(number: i64) -> Value {
    let at = Timestamp::from_seconds(number);
    let (point, value, quality) = ("bus.3.u.a".parse().unwrap(), number as f64, Quality::Measured);
    Value::measured(&Measurement { point, value, quality, measured_at: at, received_at: at })
}

/// Message `sequence` with these values.
fn message(sequence: u64, numbers: std::ops::Range<i64>) -> Message {
    let mut payload = Vec::new();
    log::write(&numbers.map(value).collect::<Vec<_>>(), &mut payload);
    Message { sequence, payload: payload.into() }
}

fn claim_of(sequence: u64) -> Message {
    Message { sequence, payload: Bytes::new() }
}

fn options() -> Options {
    Options { head_values: 30, keep: Default::default(), ..Options::default() }
}

/// What a history answers with.
fn numbers(history: &History) -> Vec<i64> {
    let (from, until) = (Timestamp::from_seconds(-1), Timestamp::from_seconds(1 << 32));
    let (kind, points, versions, most) = (Kind::Telemetry, Vec::new(), Versions::Newest, 10_000);
    let found = history.query(&Query { kind, points, from, until, versions, most }).unwrap();
    found.iter().map(|value| value.value as i64).collect()
}

fn end(sequence: u64, is_empty: bool) -> End {
    End { sequence, is_empty }
}

#[test]
fn a_copy_that_stopped_anywhere_answers_with_each_value_once() {
    let stream = [
        claim_of(1),
        message(2, 0..7),
        message(3, 7..50),
        claim_of(4),
        message(5, 50..51),
        message(6, 51..90),
    ];
    for stop in 0..=stream.len() {
        for noted in 0..=stop {
            let directory = tempfile::tempdir().unwrap();
            let mut copy = Copy::open(directory.path(), options()).unwrap();
            for (nth, message) in stream[..stop].iter().enumerate() {
                if nth == noted {
                    copy.note();
                }
                copy.apply(message).unwrap();
            }
            if noted == stop {
                copy.note();
            }
            drop(copy);
            let mut copy = Copy::open(directory.path(), options()).unwrap();
            assert_eq!(copy.sequence(), noted as u64, "stopped at {stop}");
            copy.goes_on(end(6, false));
            let from = copy.sequence() as usize;
            stream[from..].iter().for_each(|message| copy.apply(message).unwrap());
            assert_eq!(copy.sequence(), 6);
            assert!(numbers(&copy.history).into_iter().eq(0..90), "stopped at {stop}, noted at {noted}");
        }
    }
}

#[test]
fn a_stream_that_was_made_anew_begins_anew_and_one_that_kept_nothing_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let mut copy = Copy::open(directory.path(), options()).unwrap();
    copy.apply(&message(9, 0..3)).unwrap();
    copy.goes_on(end(12, false));
    assert_eq!(copy.sequence(), 9);
    copy.goes_on(end(4, false));
    assert_eq!(copy.sequence(), 0);
    copy.goes_on(end(4, true));
    assert_eq!(copy.sequence(), 4);
    // What was noted and is no number costs time and nothing else.
    std::fs::write(directory.path().join(POSITION), b"{").unwrap();
    drop(copy);
    assert_eq!(Copy::open(directory.path(), options()).unwrap().sequence(), 0);
}

#[test]
fn bytes_that_are_no_group_are_refused_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let mut copy = Copy::open(directory.path(), options()).unwrap();
    copy.apply(&message(1, 0..5)).unwrap();
    let whole = message(2, 5..9).payload;
    for cut in 1..whole.len() {
        let payload = whole.slice(..cut);
        assert!(
            matches!(copy.apply(&Message { sequence: 2, payload }), Err(HistoryError::Group { .. })),
            "{cut}"
        );
        assert_eq!(copy.sequence(), 1);
    }
    copy.apply(&message(2, 5..9)).unwrap();
    assert!(numbers(&copy.history).into_iter().eq(0..9));
}

/// All messages of a stream.
async fn all(stream: &AreaStream) -> Vec<Message> {
    let last = stream.end().await.unwrap().sequence;
    let messages = stream.after(0).await.unwrap();
    messages.take(last as usize).map(Result::unwrap).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_last_when_the_stream_has_them_and_whoever_was_followed_by_another_appends_none() {
    let Some(server) = TestServer::start() else { return };
    let nats = server.connect("a").await;
    let stream = nats.history("north").await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let open = |name: &str| Copy::open(&place.path().join(name), options()).unwrap();
    let claimed = claim(&stream, 0, "a-1").await.unwrap();
    let mut first = open("a").serve(stream.clone(), "a-1".into(), claimed);
    let appended = tokio::task::spawn_blocking(move || {
        first.append(&(0..40).map(value).collect::<Vec<_>>()).unwrap();
        first
    });
    let mut first = appended.await.unwrap();

    // Another member follows, claims, and goes on.
    let mut second = open("b");
    for message in all(&stream).await {
        second.apply(&message).unwrap();
    }
    assert!(numbers(&second.history).into_iter().eq(0..40));
    assert!(claim(&stream, 1, "b-9").await.is_err(), "a claim of a stream that went on");
    let claimed = claim(&stream, second.sequence(), "b-9").await.unwrap();
    let mut second = second.serve(stream.clone(), "b-9".into(), claimed);
    let both = tokio::task::spawn_blocking(move || {
        let late = first.append(&[value(1_000)]);
        second.append(&[value(40)]).unwrap();
        (late, first.has_failed(), second)
    });
    let (late, has_failed, second) = both.await.unwrap();
    assert!(late.is_err() && has_failed, "the first member does not know that its time is over");
    assert!(numbers(&second).into_iter().eq(0..41));
    // Whoever reads the stream finds what the second one has.
    let mut third = open("c");
    for message in all(&stream).await {
        third.apply(&message).unwrap();
    }
    assert!(numbers(&third.history).into_iter().eq(0..41));
}
