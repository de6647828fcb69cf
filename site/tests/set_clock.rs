//! What a site notices of a clock that is set, and what it goes by meanwhile.
#![allow(clippy::unwrap_used)] // a test says what is wrong by panicking

use actors::runtime::ScaledClock;
use grid::{Clock, Timestamp};
use site::running::clock::was_set;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_is_noticed_within_ten_seconds_and_ours_goes_on_as_it_was() {
    let began = "2026-01-15T16:30:00Z".parse::<Timestamp>().unwrap();
    for by in [6, -6, 3_600, -3_600, 315_576_000, -315_576_000, 1, -1, 5, -5] {
        let ours = ScaledClock::start(began, 1);
        let step = Arc::new(AtomicI64::new(0));
        let machine = {
            let step = step.clone();
            move || Timestamp::from_seconds(ours.now().seconds() + step.load(Ordering::Relaxed))
        };
        let ahead = Duration::from_secs(3);
        let behind = move || machine().minus(ahead);
        let noticed = tokio::spawn(was_set(behind, ours, ahead));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!noticed.is_finished());
        step.store(by, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(10)).await;
        // What was agreed for a minute later comes a minute later.
        assert_eq!(ours.now(), began.plus(Duration::from_secs(70)));
        assert_eq!(noticed.is_finished(), by.abs() > 5, "{by} s");
        if noticed.is_finished() {
            assert_eq!(noticed.await.unwrap(), by);
        }
    }
}
