//! How long things took, by when they were due.

use super::super::meter;
use serde::Serialize;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Seconds in a row that have to be as before.
const NORMAL_SECONDS: usize = 3;
/// Things in a second without which nothing is said of it.
const PER_SECOND_MIN: usize = 5;

/// One of each phase.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Phases<T> {
    pub before: T,
    pub during: T,
    pub after: T,
}

impl<T: Copy> Phases<T> {
    /// Something else of each.
    pub fn map<U>(&self, of: impl Fn(T) -> U) -> Phases<U> {
        Phases { before: of(self.before), during: of(self.during), after: of(self.after) }
    }
}

/// When things were due and how long they took, ms. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Samples(Arc<Mutex<Vec<(f64, f64)>>>);

impl Samples {
    /// One more.
    pub fn add(&self, due_ms: f64, wait_ms: f64) {
        self.all().push((due_ms, wait_ms));
    }

    /// How long those took that were due within a span, its end not included.
    pub fn within(&self, (from, until): (f64, f64)) -> Vec<f64> {
        let all = self.all();
        all.iter().filter(|(due, _)| (from..until).contains(due)).map(|(_, wait)| *wait).collect()
    }

    fn all(&self) -> MutexGuard<'_, Vec<(f64, f64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long things took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Latency {
    count: usize,
    ms_p50: f64,
    ms_p99: f64,
}

impl Latency {
    /// Of so many, ms.
    pub fn of(mut waits: Vec<f64>) -> Self {
        let (ms_p50, ms_p99) = (meter::quantile(&mut waits, 0.5), meter::quantile(&mut waits, 0.99));
        Self { count: waits.len(), ms_p50, ms_p99 }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.1} ms, 99 % {:.1} ms", self.count, self.ms_p50, self.ms_p99)
    }
}

/// Seconds from the end of the overload to the first of three whole seconds in a row in which 90 % of each kind took no longer than 99 %
/// did before; nothing when there are none yet. What is not answered yet is missing from its second, so a second counts once
/// [`PER_SECOND_MIN`] of each kind are answered in it and in the next.
pub fn normal_again_s(kinds: &[&Samples], before: (f64, f64), ended: f64) -> Option<f64> {
    let usual: Vec<f64> = kinds.iter().map(|kind| meter::quantile(&mut kind.within(before), 0.99)).collect();
    let seconds = ((meter::wall_ms() - ended) / 1e3).max(0.0) as usize;
    let waits = |kind: &Samples, second: usize| {
        let from = ended + second as f64 * 1e3;
        kind.within((from, from + 1e3))
    };
    let is_normal = |second: usize| {
        kinds.iter().zip(&usual).all(|(kind, usual)| {
            let mut of_second = waits(kind, second);
            let answered =
                of_second.len() >= PER_SECOND_MIN && waits(kind, second + 1).len() >= PER_SECOND_MIN;
            answered && meter::quantile(&mut of_second, 0.9) <= *usual
        })
    };
    // The second that runs is not whole, and that before it is looked at with it.
    let whole = seconds.saturating_sub(1);
    let first = (0..whole.saturating_sub(NORMAL_SECONDS - 1))
        .find(|first| (*first..first + NORMAL_SECONDS).all(is_normal))?;
    Some(first as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty a second for twenty seconds around an overload that ended ten seconds ago.
    fn samples(wait_ms: impl Fn(f64) -> f64) -> (Samples, f64) {
        let (samples, ended) = (Samples::default(), meter::wall_ms() - 10_000.0);
        for nth in 0..400 {
            let due = ended - 10_000.0 + f64::from(nth) * 50.0;
            samples.add(due, wait_ms(due - ended));
        }
        (samples, ended)
    }

    fn again(wait_ms: impl Fn(f64) -> f64) -> Option<f64> {
        let (samples, ended) = samples(wait_ms);
        normal_again_s(&[&samples], (ended - 10_000.0, ended - 5_000.0), ended)
    }

    #[test]
    fn it_is_as_before_from_the_first_of_three_usual_seconds_on() {
        let usual = |after: f64| 5.0 + (after / 50.0).rem_euclid(3.0);
        assert_eq!(again(usual), Some(0.0));
        assert_eq!(
            again(|after| if (0.0..4_000.0).contains(&after) { 40.0 } else { usual(after) }),
            Some(4.0)
        );
        // Better for a moment is not as before.
        let moment = |after: f64| (0.0..6_000.0).contains(&after) && !(2_000.0..4_000.0).contains(&after);
        assert_eq!(again(|after| if moment(after) { 40.0 } else { usual(after) }), Some(6.0));
        assert_eq!(again(|after| if after > 0.0 { 40.0 } else { usual(after) }), None);
    }

    #[test]
    fn what_is_not_answered_is_not_as_before() {
        let (samples, ended) = samples(|_| 5.0);
        let answered = Samples::default();
        let kept =
            samples.all().iter().filter(|(due, _)| *due < ended + 1_000.0).copied().collect::<Vec<_>>();
        kept.into_iter().for_each(|(due, wait)| answered.add(due, wait));
        assert_eq!(normal_again_s(&[&samples, &answered], (ended - 9_000.0, ended), ended), None);
    }
}
