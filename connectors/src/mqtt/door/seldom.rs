//! What anybody can cause as often as they like is said once a second, with how often it was not said.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const EVERY: Duration = Duration::from_secs(1);

/// Of one kind of line in the log.
#[derive(Debug, Default)]
pub(super) struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// Whether it is to be said now, and how often it was not since it was said.
    pub(super) fn say(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.is_some_and(|said| now.saturating_duration_since(said) < EVERY) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_second_with_how_often_it_was_not() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        let said = |ms: u64| seldom.say(start + Duration::from_millis(ms));
        assert_eq!(said(0), Some(0));
        assert!((1..1_000).all(|ms| said(ms).is_none()));
        assert_eq!((said(1_000), said(1_999), said(2_000)), (Some(999), None, Some(1)));
    }
}
