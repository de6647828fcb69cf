//! Long searches take turns, so that the journal finds a thread to write on.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::runtime::{Compute, Context, Environment, ScaledClock, Stage, Supervisor};
use grid::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// More than tokio has blocking threads, 512.
const SEARCHES: usize = 600;

#[derive(Debug, Clone)]
enum Asked {
    /// Does not end before something was written, or five seconds have passed.
    Search,
    Write,
    Found,
}

#[derive(Debug, Default)]
struct Seen {
    found: AtomicUsize,
    written: AtomicBool,
}

struct Asking(Arc<Seen>);

impl Stage for Asking {
    type Msg = Asked;

    fn handle(&mut self, msg: Asked, cx: &mut Context<Asked>) {
        let seen = self.0.clone();
        match msg {
            Asked::Search => cx.search(Asked::Found, move || {
                for _ in 0..500 {
                    if seen.written.load(Ordering::SeqCst) {
                        break;
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
                seen.found.fetch_add(1, Ordering::SeqCst);
                Asked::Found
            }),
            Asked::Write => cx.at_disk(Asked::Found, move || {
                // What ended before did not wait for this.
                if seen.found.load(Ordering::SeqCst) == 0 {
                    seen.written.store(true, Ordering::SeqCst);
                }
                Asked::Found
            }),
            Asked::Found => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_waits_for_no_search_and_all_searches_end() {
    let clock = ScaledClock::start(Timestamp::from_seconds(0), 1);
    let supervisor = Supervisor::start(Environment::new(clock, Compute::Blocking)).await.unwrap();
    let seen = Arc::new(Seen::default());
    let shared = seen.clone();
    let address = supervisor.spawn("asking", move || Asking(shared.clone())).await.unwrap();
    (0..SEARCHES).for_each(|_| address.deliver(Asked::Search));
    address.deliver(Asked::Write);
    while seen.found.load(Ordering::SeqCst) < SEARCHES {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(seen.written.load(Ordering::SeqCst), "it waited for a search");
    supervisor.stop().await;
}
