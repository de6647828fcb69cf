//! Numerics on a thread of their own: in virtual time they come when they are said to take, however long they took.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::runtime::{Address, Compute, Context, Environment, ScaledClock, Stage, Supervisor};
use grid::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const TAKES: Duration = Duration::from_secs(18);

#[derive(Debug, Clone, PartialEq)]
enum Asked {
    /// Numerics that really take so long, and then panic or not.
    Calculate(Duration, bool),
    Disk,
    Found(&'static str),
    Note(&'static str),
}

type Heard = Arc<Mutex<Vec<(i64, Asked)>>>;

struct Asking(Heard);

impl Stage for Asking {
    type Msg = Asked;

    fn handle(&mut self, msg: Asked, cx: &mut Context<Asked>) {
        match msg {
            Asked::Calculate(really, panics) => cx.compute(Asked::Found("a panic"), move || {
                std::thread::sleep(really);
                assert!(!panics, "on purpose");
                Asked::Found("a state")
            }),
            Asked::Disk => cx.at_disk(Asked::Found("a panic"), || Asked::Found("a record")),
            other => self.0.lock().unwrap().push((cx.now().seconds(), other)),
        }
    }
}

async fn asking() -> (Supervisor, Address<Asked>, Heard) {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor =
        Supervisor::start(Environment::new(clock, Compute::Beside { takes: TAKES })).await.unwrap();
    let heard = Heard::default();
    let kept = heard.clone();
    let address = supervisor.spawn("asking", move || Asking(kept.clone())).await.unwrap();
    (supervisor, address, heard)
}

#[tokio::test(start_paused = true)]
async fn what_is_found_comes_at_its_time_and_what_happens_meanwhile_before_it() {
    for really in [Duration::ZERO, Duration::from_millis(300)] {
        let (supervisor, address, heard) = asking().await;
        address.deliver(Asked::Calculate(really, false));
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(7)).await;
            address.deliver(Asked::Note("meanwhile"));
        }
        tokio::time::sleep(Duration::from_secs(7)).await;
        let note = |at| (at, Asked::Note("meanwhile"));
        let expected = [note(7), note(14), (18, Asked::Found("a state")), note(21)];
        assert_eq!(*heard.lock().unwrap(), expected, "{really:?}");
        supervisor.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_told_and_disks_take_no_time() {
    let (supervisor, address, heard) = asking().await;
    address.deliver(Asked::Calculate(Duration::ZERO, true));
    address.deliver(Asked::Disk);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(*heard.lock().unwrap(), [(0, Asked::Found("a record")), (18, Asked::Found("a panic"))]);
    assert_eq!(supervisor.incidents().snapshot().restarts, 0);
    supervisor.stop().await;
}
