//! What a system is given at birth: its clock and where heavy numerics run.

use super::clock::ScaledClock;
use grid::{Clock, Timestamp};
use std::sync::Arc;
use std::time::Duration;

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
}

impl Environment {
    /// Puts the parts together.
    pub fn new(clock: ScaledClock, compute: Compute) -> Self {
        Self { clock: Arc::new(clock), compute }
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<ScaledClock> {
        &self.clock
    }

    /// The compute policy.
    pub fn compute(&self) -> Compute {
        self.compute
    }
}
