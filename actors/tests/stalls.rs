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
    let noticed = timeout(Duration::from_secs(40), stalled(operations, shown)).await;
    assert_eq!(noticed.unwrap(), "the journal has been waiting for its disk for more than 30 s");
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_stands_still_is_noticed() {
    let (moves, shown) = moving();
    let noticed = timeout(Duration::from_secs(600), stalled(Operations::default(), shown.clone())).await;
    assert!(noticed.is_err(), "{noticed:?}");
    moves.abort();
    let noticed = timeout(Duration::from_secs(70), stalled(Operations::default(), shown)).await;
    assert!(noticed.unwrap().contains("picture"));
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
