//! What is asked of the stations and not answered yet: one question at a time, each station in turn.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// An answer that was begun may take this long, in times of how long its confirmation may take. What then has not come is
/// not waited for.
const SLOW: u32 = 4;

/// Questions of one kind.
pub(super) struct Asking {
    stations: Vec<u16>,
    patience: Duration,
    waiting: VecDeque<u16>,
    open: Option<Open>,
}

struct Open {
    ca: u16,
    at: Instant,
    confirmed: bool,
}

/// What became of a question for which no time is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// The station does not even say that it will answer.
    Unconfirmed(u16),
    /// The answer has no end.
    Unended(u16),
}

impl Asking {
    /// Nothing is asked yet.
    pub fn new(stations: Vec<u16>, patience: Duration) -> Self {
        Self { stations, patience, waiting: VecDeque::new(), open: None }
    }

    /// Every station is to be asked, unless it still waits for its turn.
    pub fn all(&mut self) {
        for index in 0..self.stations.len() {
            if let Some(&ca) = self.stations.get(index) {
                self.one(ca);
            }
        }
    }

    /// This station is to be asked.
    pub fn one(&mut self, ca: u16) {
        if self.stations.contains(&ca) && !self.waiting.contains(&ca) {
            self.waiting.push_back(ca);
        }
    }

    /// Whether there is something to ask.
    pub fn is_ready(&self) -> bool {
        self.open.is_none() && !self.waiting.is_empty()
    }

    /// Whom to ask now; it is asked.
    pub fn next(&mut self, now: Instant) -> Option<u16> {
        if self.open.is_some() {
            return None;
        }
        let ca = self.waiting.pop_front()?;
        self.open = Some(Open { ca, at: now, confirmed: false });
        Some(ca)
    }

    /// The station says that it will answer.
    pub fn confirmed(&mut self, ca: u16) {
        if let Some(open) = self.open.as_mut().filter(|open| open.ca == ca) {
            open.confirmed = true;
        }
    }

    /// The station has answered, or will not; whether that was asked.
    pub fn ended(&mut self, ca: u16) -> bool {
        self.open.take_if(|open| open.ca == ca).is_some()
    }

    /// When [`late`](Self::late) is next to be asked.
    pub fn due(&self) -> Option<Instant> {
        self.open.as_ref().map(|open| open.at + self.patience * if open.confirmed { SLOW } else { 1 })
    }

    /// What is not answered in time; it is not waited for any more.
    pub fn late(&mut self, now: Instant) -> Option<Late> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let open = self.open.take()?;
        Some(if open.confirmed { Late::Unended(open.ca) } else { Late::Unconfirmed(open.ca) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn stations_are_asked_one_after_the_other_and_none_waits_twice() {
        let mut asking = Asking::new(vec![1, 2], Duration::from_secs(10));
        let now = Instant::now();
        asking.all();
        asking.all();
        asking.one(9);
        assert_eq!((asking.next(now), asking.next(now)), (Some(1), None));
        assert!(!asking.ended(2) && asking.ended(1));
        assert_eq!((asking.next(now), asking.is_ready()), (Some(2), false));
        assert!(asking.ended(2) && asking.next(now).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_or_does_not_end_is_not_waited_for() {
        let mut asking = Asking::new(vec![1], Duration::from_secs(10));
        let now = Instant::now();
        asking.all();
        asking.next(now);
        assert_eq!(asking.late(now + Duration::from_secs(9)), None);
        assert_eq!(asking.late(now + Duration::from_secs(10)), Some(Late::Unconfirmed(1)));
        asking.all();
        asking.next(now);
        asking.confirmed(1);
        assert_eq!(asking.late(now + Duration::from_secs(39)), None);
        assert_eq!(asking.late(now + Duration::from_secs(40)), Some(Late::Unended(1)));
        assert_eq!(asking.due(), None);
    }
}
