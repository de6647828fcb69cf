//! What a system is given at birth: its clock and where heavy numerics run.

use super::clock::ScaledClock;
use grid::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Where a stage's heavy work runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compute {
    /// On the spot. One thread, so that a simulation repeats to the byte.
    Inline,
    /// On tokio's blocking threads, so that a solve does not hold up messages.
    Blocking,
    /// On a thread of its own while the others go on; what it finds comes when so much time has passed, however long it took.
    /// For paused time: a simulation repeats to the byte on two processors, too.
    Beside {
        /// How long numerics take, by the clock of the system.
        takes: Duration,
    },
}

/// Clock and compute policy, shared by all stages of one system.
#[derive(Debug, Clone)]
pub struct Environment {
    clock: Arc<ScaledClock>,
    compute: Compute,
    searches: Arc<Semaphore>,
}

impl Environment {
    /// Puts the parts together.
    pub fn new(clock: ScaledClock, compute: Compute) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let searches = Arc::new(Semaphore::new(threads.saturating_sub(1).max(1)));
        Self { clock: Arc::new(clock), compute, searches }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<ScaledClock> {
        &self.clock
    }

    /// Turns of long searches on tokio's blocking threads: one processor less than there are, so that the writes of the journal and
    /// the history, which wait on the same threads, are not held up by thousands of searches.
    pub(super) fn searches(&self) -> Arc<Semaphore> {
        self.searches.clone()
    }

    /// The compute policy.
    pub fn compute(&self) -> Compute {
        self.compute
    }
}
