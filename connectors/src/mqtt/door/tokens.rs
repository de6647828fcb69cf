//! A rate with some room for bursts.

use std::time::Duration;
use tokio::time::Instant;

/// Gives out so many tokens a second, up to twice that at once.
#[derive(Debug)]
pub(super) struct Tokens {
    per_second: f64,
    level: f64,
    at: Instant,
}

impl Tokens {
    /// Full.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, level: 2.0 * per_second, at: now }
    }

    fn refill(&mut self, now: Instant) {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + gained).min(2.0 * self.per_second);
        self.at = now;
    }

    /// Takes one, when there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        if self.level < 1.0 {
            return false;
        }
        self.level -= 1.0;
        true
    }

    /// Takes so many, whether or not they are there; what is missing has to be waited for.
    pub(super) fn charge(&mut self, count: usize, now: Instant) {
        self.refill(now);
        self.level -= count as f64;
    }

    /// How long until there is one again.
    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.level).max(0.0) / self.per_second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_beyond_what_is_there_has_to_be_waited_for() {
        let now = Instant::now();
        let mut tokens = Tokens::new(10, now);
        tokens.charge(39, now);
        assert!(!tokens.take(now));
        assert!((tokens.wait().as_secs_f64() - 2.0).abs() < 1e-9, "{:?}", tokens.wait());
        assert!(tokens.take(now + Duration::from_millis(2001)));
    }
}
