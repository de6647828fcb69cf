//! The one clock of the running system.
//!
//! It follows tokio's monotonic clock from a given origin at a given speed. With tokio's clock running that is
//! (scaled) real time; with tokio's clock paused it is virtual time, and the very same actors run in it. No
//! other file of the product reads an operating-system clock.

use grid::{Clock, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// A clock that shows `origin` when it is made and then runs `speed` times as fast as tokio's clock.
#[derive(Debug, Clone, Copy)]
pub struct ScaledClock {
    origin: Timestamp,
    started: Instant,
    speed: u32,
}

impl ScaledClock {
    /// Starts the clock. A speed of 0 is taken as 1.
    pub fn start(origin: Timestamp, speed: u32) -> Self {
        Self { origin, started: Instant::now(), speed: speed.max(1) }
    }

    /// How many seconds of this clock pass in one second of tokio's.
    pub fn speed(&self) -> u32 {
        self.speed
    }

    /// How long tokio must sleep for this clock to advance by `span`.
    pub fn real(&self, span: Duration) -> Duration {
        span / self.speed
    }

    /// Sleeps until this clock shows `at`; returns at once when it already does.
    pub async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep_until(self.started + self.real(at.since(self.origin))).await;
    }
}

/// What the machine says, which may be set while the program runs.
#[allow(clippy::disallowed_methods)] // this is the file that may
pub fn machine_time() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(0).plus(since)
}

/// Measures how long something takes, in tokio's time; nothing passes while that is paused and work runs.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts it.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Since then.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        self.origin.plus(self.started.elapsed().saturating_mul(self.speed))
    }
}

/// The wall's time, for what concerns people rather than the grid: how long a session lasts, when a token expires.
#[derive(Debug, Clone, Copy)]
pub struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        machine_time()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_runs_at_the_given_speed() {
        let origin: Timestamp = "2026-01-15T16:30:00Z".parse().unwrap();
        let clock = ScaledClock::start(origin, 60);
        tokio::time::sleep(Duration::from_secs(15)).await;
        assert_eq!(clock.now().to_string(), "2026-01-15T16:45:00Z");
        clock.sleep_until(origin.plus(Duration::from_secs(1800))).await;
        assert_eq!(clock.now(), origin.plus(Duration::from_secs(1800)));
    }
}
