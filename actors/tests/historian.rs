//! A history that cannot be written or sealed, under the historian.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::Historian;
use actors::figures::{Operations, Values};
use actors::picture::Picture;
use actors::runtime::{Compute, Environment, ScaledClock, Supervisor};
use connectors::Message;
use connectors::exchange::{Limits, inbox};
use estimation::{Implausible, Rule};
use grid::{Measurement, Quality, Timestamp};
use history::{Copies, History, Kind, Options};
use std::io::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::time::Duration;

struct Refusing(ErrorKind);

impl Copies for Refusing {
    fn copy(&mut self, _: &[u8]) -> Result<()> {
        Err(Error::new(self.0, "the other place is silent"))
    }
}

async fn keep(historian: &Historian, value: f64) {
    let measured_at = Timestamp::from_seconds(100);
    let point = "bus.3.u.a".parse().unwrap();
    let (quality, received_at) = (Quality::Implausible, measured_at);
    let measurement = Measurement { point, value, quality, measured_at, received_at };
    historian
        .keep_doubted(&[Implausible { measurement, rule: Rule::VoltageRange, limit: None }], measured_at);
    let known = historian.kept.get() + historian.lost.total();
    for _ in 0..500 {
        if historian.kept.get() + historian.lost.total() > known {
            assert_eq!(historian.underway.elapsed(), None, "what has ended is not under way");
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("neither kept nor lost");
}

async fn supervisor() -> (Supervisor, Environment) {
    let environment = Environment::new(ScaledClock::start(Timestamp::from_seconds(0), 1), Compute::Inline);
    (Supervisor::start(environment.clone()).await.unwrap(), environment)
}

#[tokio::test(start_paused = true)]
async fn a_sealing_that_failed_is_counted_and_tried_again_a_minute_later() {
    let (supervisor, environment) = supervisor().await;
    let directory = tempfile::tempdir().unwrap();
    let in_the_way = directory.path().join("telemetry-0000000001.unfinished");
    std::fs::create_dir(&in_the_way).unwrap();
    let options = Options { head_values: 1, ..Options::default() };
    let history = History::open(directory.path(), options).unwrap();
    let (historian, _tap) = Historian::start(history, |_| true, environment, supervisor.escalator());
    keep(&historian, 1.0).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(historian.unsealable.get(), 1);
    std::fs::remove_dir(&in_the_way).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    for value in [2.0, 3.0] {
        keep(&historian, value).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let figures = historian.figures()[&Kind::Telemetry];
    assert!(figures.files >= 1 && figures.unsealed < 3, "{figures:?}");
    assert_eq!((figures.sealed + figures.unsealed, historian.unsealable.get()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_history_that_cannot_be_written_ends_the_system_and_says_so() {
    for kind in [ErrorKind::TimedOut, ErrorKind::StorageFull] {
        let (supervisor, environment) = supervisor().await;
        let directory = tempfile::tempdir().unwrap();
        let history = History::open(directory.path(), Options::default()).unwrap();
        let history = history.copied_to(Box::new(Refusing(kind)));
        let (historian, _tap) = Historian::start(history, |_| true, environment, supervisor.escalator());
        keep(&historian, 1.0).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let reason = supervisor.escalation().borrow().clone().unwrap();
        assert!(reason.contains("history") && reason.contains("silent"), "{reason}");
        assert_eq!((historian.failed.get(), historian.lost.total(), historian.kept.get()), (1, 1, 0));
        assert_eq!(supervisor.incidents().snapshot().escalations, 1);
        // What comes until the process has ended is counted.
        keep(&historian, 2.0).await;
        assert_eq!((historian.lost.total(), supervisor.incidents().snapshot().escalations), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_again_is_not_counted_as_lost_and_what_is_no_number_is_counted() {
    let (supervisor, environment) = supervisor().await;
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), Options::default()).unwrap();
    let history = history.copied_to(Box::new(Refusing(ErrorKind::StorageFull)));
    let (historian, tap) = Historian::start(history, |_| true, environment, supervisor.escalator());
    let (mut writer, inbox) = inbox(Limits::default(), Arc::default());
    inbox.tap_into(tap);
    let value = |value: f64| {
        let (measured_at, point) = (Timestamp::from_seconds(100), "bus.3.u.a".parse().unwrap());
        Measurement { point, value, quality: Quality::Measured, measured_at, received_at: measured_at }
    };
    let (done, told) = tokio::sync::oneshot::channel();
    let values = vec![value(1.0), value(f64::NAN), value(2.0)];
    writer.pass_owing(Message::Telemetry(values), done).await.unwrap();
    assert!(told.await.is_err(), "it is to come again");
    writer.send(Message::Telemetry(vec![value(3.0)])).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((historian.unfit.get(), historian.kept.get()), (1, 0));
    // A copy that fails is a failure: nothing more can be appended.
    for (losses, count) in [(&historian.postponed, 2), (&historian.lost, 1)] {
        assert_eq!((losses.total(), losses.by_reason()[1]), (count, ("disk_failed", count)));
    }
}

/// What a device publishes with quality 0 while the history cannot keep up: the system goes on, and says what it did not keep.
#[tokio::test(start_paused = true)]
async fn what_finds_no_room_on_its_way_to_the_history_is_counted_with_its_reason() {
    let (supervisor, environment) = supervisor().await;
    let directory = tempfile::tempdir().unwrap();
    let history = History::open(directory.path(), Options::default()).unwrap();
    let (historian, tap) = Historian::start(history, |_| true, environment, supervisor.escalator());
    let (mut writer, inbox) = inbox(Limits::default(), Arc::default());
    inbox.tap_into(tap);
    let value = |value: f64| {
        let (measured_at, point) = (Timestamp::from_seconds(100), "bus.3.u.a".parse().unwrap());
        Measurement { point, value, quality: Quality::Measured, measured_at, received_at: measured_at }
    };
    // One thread, and nothing below waits: the historian gets no turn before all of it has come.
    for number in 0..5_000 {
        writer.send(Message::Telemetry(vec![value(f64::from(number)), value(0.5)])).await.unwrap();
    }
    for _ in 0..500 {
        if historian.kept.get() + historian.lost.total() == 10_000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let full = historian.lost.by_reason().into_iter().find(|(reason, _)| *reason == "tap_full").unwrap().1;
    assert_eq!((full, historian.kept.get()), (2 * (5_000 - 4_096), 2 * 4_096));
    assert_eq!(historian.lost.total(), full, "for no other reason");
    let operations = Operations { historian: Some(historian), ..Operations::default() };
    let families = operations.families(&Picture::default());
    let lost = families.into_iter().find(|family| family.name == "history_lost_values_total").unwrap();
    let Values::Totals(lost) = lost.values else { panic!("it is no counter") };
    assert!(lost.contains(&(vec![("reason", "tap_full".to_owned())], full)), "{lost:?}");
}
