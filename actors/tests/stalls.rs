//! What does not end is noticed.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::Operations;
use actors::picture::Picture;
use actors::runtime::{Compute, Context, Environment, ScaledClock, Stage, Supervisor};
use actors::stalls::stalled;
use grid::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A picture that moves on each second.
fn moving() -> (tokio::task::JoinHandle<()>, watch::Receiver<Arc<Picture>>) {
    let (show, shown) = watch::channel(Arc::new(Picture::default()));
    let moves = tokio::spawn(async move {
        for seq in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = show.send(Arc::new(Picture { seq, ..Picture::default() }));
        }
    });
    (moves, shown)
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_never_answers_is_noticed_and_one_that_is_slow_is_not() {
    let operations = Operations::default();
    let (_moves, shown) = moving();
    // Slow, time and again.
    for _ in 0..10 {
        operations.journal.underway.begin();
        let noticed = timeout(Duration::from_secs(25), stalled(operations.clone(), shown.clone())).await;
        assert!(noticed.is_err(), "{noticed:?}");
        operations.journal.underway.end();
    }
    operations.journal.underway.begin();
    let noticed = timeout(Duration::from_secs(45), stalled(operations, shown)).await;
    assert_eq!(noticed.unwrap(), "the journal has been waiting for its disk for more than 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_stands_still_is_noticed() {
    let (moves, shown) = moving();
    let noticed = timeout(Duration::from_secs(600), stalled(Operations::default(), shown.clone())).await;
    assert!(noticed.is_err(), "{noticed:?}");
    moves.abort();
    let noticed = timeout(Duration::from_secs(80), stalled(Operations::default(), shown)).await;
    assert!(noticed.unwrap().contains("picture"));
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_and_continued_goes_on() {
    let operations = Operations::default();
    let (_moves, shown) = moving();
    let watching = tokio::spawn(stalled(operations.clone(), shown));
    tokio::time::sleep(Duration::from_secs(21)).await;
    // Stopped for an hour in the middle of a sync; all that runs finds it later by that.
    operations.journal.underway.begin();
    tokio::time::advance(Duration::from_secs(3_600)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    operations.journal.underway.end();
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(!watching.is_finished(), "{:?}", watching.await);
}

/// A picture that moves on each second, unless something panics on the way; with reports of devices.
#[derive(Debug, Clone)]
enum Told {
    PublishDue,
    /// Of a device, which makes it panic.
    Poison(u32),
}

struct Showing(watch::Sender<Arc<Picture>>);

impl Stage for Showing {
    type Msg = Told;

    fn kin(told: &Told) -> Option<String> {
        match told {
            Told::Poison(device) => Some(device.to_string()),
            Told::PublishDue => None,
        }
    }

    fn started(&mut self, cx: &mut Context<Told>) {
        cx.wake_each(Duration::from_secs(1), Duration::ZERO, Told::PublishDue);
    }

    fn handle(&mut self, told: Told, cx: &mut Context<Told>) {
        match told {
            Told::Poison(device) => panic!("poison of {device}"),
            Told::PublishDue => {
                cx.wake_each(Duration::from_secs(1), Duration::ZERO, Told::PublishDue);
                self.0.send_modify(|picture| Arc::make_mut(picture).seq += 1);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_waits_for_an_observer_full_of_poison_is_no_hang() {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Inline)).await.unwrap();
    let (show, shown) = watch::channel(Arc::new(Picture::default()));
    let address = supervisor.spawn("observer", move || Showing(show.clone())).await.unwrap();
    let operations = Operations { hold_ups: supervisor.hold_ups().clone(), ..Operations::default() };
    let watching = tokio::spawn(stalled(operations, shown.clone()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let before = shown.borrow().seq;
    (0..100).for_each(|device| address.deliver(Told::Poison(device)));
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert!(shown.borrow().seq < before + 10, "it stands still");
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert!(shown.borrow().seq > before + 60, "it moves again");
    assert!(!watching.is_finished(), "{:?}", watching.await);
    supervisor.stop().await;
}

/// Blocks its thread for as long as it is told.
struct Blocking;

impl Stage for Blocking {
    type Msg = Duration;

    fn handle(&mut self, long: Duration, _: &mut Context<Duration>) {
        std::thread::sleep(long);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_does_not_return_is_known_by_its_stage() {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Blocking)).await.unwrap();
    let address = supervisor.spawn("blocking one", || Blocking).await.unwrap();
    assert_eq!(supervisor.depths().slowest(), None);
    address.deliver(Duration::from_millis(600));
    let mut longest = Duration::ZERO;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        match supervisor.depths().slowest() {
            Some((stage, elapsed)) => {
                assert_eq!(stage, "blocking");
                longest = longest.max(elapsed);
            }
            None if longest > Duration::ZERO => break,
            None => {}
        }
    }
    assert!(longest > Duration::from_millis(300), "{longest:?}");
    assert_eq!(supervisor.depths().slowest(), None, "it has returned");
    supervisor.stop().await;
}
