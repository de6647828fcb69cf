//! When the system lived, by which clock, and when it could not do what it should: what explains that something came late.

use grid::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// The clock of the machine: the true one, and how far it is off.
#[derive(Clone)]
pub struct Machine {
    truth: Arc<actors::runtime::ScaledClock>,
    /// What it has been off since the last life began, and what somebody set it by, s.
    skew: Arc<AtomicI64>,
    step: Arc<AtomicI64>,
}

impl Machine {
    /// One that is right.
    pub fn new(truth: Arc<actors::runtime::ScaledClock>) -> Self {
        Self { truth, skew: Arc::default(), step: Arc::default() }
    }

    /// What it says.
    pub fn now(&self) -> Timestamp {
        let off = self.skew.load(Ordering::Relaxed) + self.step.load(Ordering::Relaxed);
        moved(grid::Clock::now(self.truth.as_ref()), off.saturating_mul(1_000_000_000))
    }

    /// Off by so much from now on.
    pub fn skew(&self, seconds: i64) {
        self.skew.store(seconds, Ordering::Relaxed);
    }

    /// Set by so much, and set right after a while.
    pub fn step(&self, seconds: i64, right_after: Duration) {
        let step = self.step.clone();
        step.fetch_add(seconds, Ordering::Relaxed);
        tokio::spawn(async move {
            tokio::time::sleep(right_after).await;
            step.fetch_sub(seconds, Ordering::Relaxed);
        });
    }
}

fn moved(at: Timestamp, nanos: i64) -> Timestamp {
    Timestamp::from_nanos(at.nanos().saturating_add(nanos))
}

/// All lives so far.
#[derive(Debug, Clone, Default)]
pub struct Lives {
    /// How far the clock of each was ahead of the true one, ns. Each opens the journal once.
    ahead: Vec<i64>,
    /// When, in true time, the system was away, its disk full, or a stage being made anew.
    outages: Vec<(Timestamp, Timestamp)>,
}

impl Lives {
    /// A life begins, in truth and by its own clock.
    pub fn begin(&mut self, truth: Timestamp, own: Timestamp) {
        self.ahead.push(own.nanos() - truth.nanos());
    }

    /// Something could not go on for a while.
    pub fn outage(&mut self, from: Timestamp, until: Timestamp) {
        self.outages.push((from, until));
    }

    /// What a clock said, in truth; `life` counts from 1.
    pub fn truly(&self, life: usize, said: Timestamp) -> Timestamp {
        moved(said, -life.checked_sub(1).and_then(|life| self.ahead.get(life)).copied().unwrap_or_default())
    }

    /// Whether there was an outage at any instant of a span of true time.
    pub fn broken(&self, from: Timestamp, until: Timestamp) -> bool {
        self.outages.iter().any(|(begin, end)| *begin <= until && from <= *end)
    }
}
