//! What is still missing after a step, judged by how the steps before it shrank.
//!
//! A step's size is the error before it, so the quotient of two steps is what the first of them left. One quotient may be
//! small by chance: a step on new factors removes what the old ones left, and the next one finds what bends. The largest
//! of the last three is trusted.

/// Quotients looked back at.
const LOOK_BACK: usize = 3;
/// A quotient that stands alone may be too small by this.
const ALONE: f64 = 10.0;
/// What is expected of a quotient of which nothing is known.
const EXPECTED: f64 = 1e-2;
/// What is foreseen is taken twice.
const MARGIN: f64 = 2.0;
/// Exact steps are waited for while they shrink at least by this.
const SLOWEST: f64 = 0.98;
/// Steps may wander, none of them shorter by [`SHORTER`] than all before, for so many of them times positions of the tree, and
/// for so many at any rate: some find their way after thirty, which is a matter of milliseconds in small networks.
const WANDERS: usize = 150_000;
const WANDERS_LEAST: usize = 15;
const SHORTER: f64 = 0.9;
/// A first step below this part of the tolerance finds nothing to do.
const FIRST: f64 = 0.01;

/// The last steps of an iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shrinking {
    last: f64,
    rates: [f64; LOOK_BACK],
    seen: usize,
    shortest: f64,
    /// Steps since the shortest.
    since: usize,
}

impl Shrinking {
    pub fn new() -> Self {
        Self { last: f64::INFINITY, rates: [0.0; LOOK_BACK], seen: 0, shortest: f64::INFINITY, since: 0 }
    }

    /// A step's quotient by the one before, 1 for the first.
    pub fn quotient(&self, step: f64, least: f64) -> f64 {
        if self.last.is_finite() { (step / self.last).max(least) } else { 1.0 }
    }

    /// Takes a step's size without its quotient, which does not tell how steps shrink.
    pub fn skip(&mut self, step: f64) {
        self.last = step;
    }

    /// Takes a step's size; returns its quotient.
    pub fn note(&mut self, step: f64, least: f64) -> f64 {
        let rate = self.quotient(step, least);
        if self.last.is_finite() {
            self.rates[self.seen % LOOK_BACK] = rate;
            self.seen += 1;
        }
        self.last = step;
        if step < SHORTER * self.shortest {
            (self.shortest, self.since) = (step, 0);
        } else {
            self.since += 1;
        }
        rate
    }

    /// Whether steps have not become shorter for longer than is worth the time on a tree of so many positions.
    pub fn wander(&self, positions: usize) -> bool {
        self.since >= WANDERS_LEAST.max(WANDERS / positions.max(1))
    }

    /// How large the next step will be if it shrinks as the last one did.
    pub fn next(&self) -> f64 {
        let rate = if self.seen == 0 { EXPECTED } else { self.rates[(self.seen - 1) % LOOK_BACK] };
        rate * self.last
    }

    /// The slowest of the last quotients; 1 when there is none.
    pub fn slowest(&self) -> f64 {
        match self.seen {
            0 => 1.0,
            1 => (ALONE * self.rates[0]).min(1.0),
            _ => self.rates.iter().fold(0.0, |most, rate| if *rate <= most { most } else { *rate }),
        }
    }

    /// What all steps to come would add up to, p.u.; infinite while the steps do not tell.
    pub fn missing(&self) -> f64 {
        self.missing_below(0.5)
    }

    /// Whether exact steps are at their end: the last one and what is missing are below the tolerance, or steps below it no
    /// longer shrink, which is rounding. `quotient` is that of the last step.
    pub fn done(&self, quotient: f64, voltage_pu: f64) -> bool {
        let rounding = quotient >= 1.0 && self.seen > 0;
        let nothing = self.seen <= 1 && self.last < FIRST * voltage_pu;
        self.last < voltage_pu && (rounding || nothing || self.missing_below(SLOWEST) < voltage_pu)
    }

    fn missing_below(&self, most: f64) -> f64 {
        let rate = self.slowest();
        if rate < most { MARGIN * self.last * rate / (1.0 - rate) } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_quick_step_among_slow_ones_is_not_taken_for_the_end() {
        let mut steps = Shrinking::new();
        for step in [5.78e-4, 2.36e-4, 1.94e-5, 1.36e-7] {
            steps.note(step, 0.0);
        }
        // The step after these was 5e-8.
        assert!(steps.missing() > 5e-8, "{}", steps.missing());
    }

    #[test]
    fn exact_steps_end_when_what_is_missing_is_short_or_they_no_longer_shrink() {
        let done = |steps: &[f64]| {
            let (mut all, mut quotient) = (Shrinking::new(), 1.0);
            for step in steps {
                quotient = all.note(*step, 0.0);
            }
            all.done(quotient, 1e-8)
        };
        assert!(!done(&[1e-9]), "one step tells little");
        assert!(done(&[1e-11]));
        assert!(done(&[1e-3, 1e-5, 1e-7, 1e-9]));
        assert!(!done(&[1e-3, 1e-5, 1e-7]), "a slow mode may hide under a fast one until steps are short");
        assert!(!done(&[1.3e-8, 1.1e-8, 9.9e-9]), "nine times as much is to come");
        assert!(done(&[1e-3, 1e-9, 2e-9]), "rounding");
        assert!(!done(&[1e-3, 1e-6, 2e-6]) && !done(&[1e-3, f64::NAN]));
    }

    #[test]
    fn steps_that_wander_are_told_from_slow_ones() {
        let wander = |step: &dyn Fn(i32) -> f64, positions| {
            let mut all = Shrinking::new();
            (0..50).map(step).any(|step| {
                all.note(step, 0.0);
                all.wander(positions)
            })
        };
        let to_and_fro = |n| 1e-2 * (1.5 + f64::from(n).sin());
        assert!(!wander(&|n| 0.95_f64.powi(n), 10_000) && wander(&|n| 1.1_f64.powi(n), 10_000));
        assert!(wander(&to_and_fro, 10_000) && !wander(&to_and_fro, 1_000));
        assert!(wander(&|_| f64::NAN, 10_000));
    }

    #[test]
    fn what_follows_of_a_geometric_row_is_foreseen() {
        for rate in [0.01, 0.1, 0.4_f64] {
            let mut steps = Shrinking::new();
            let mut step = 1.0;
            for _ in 0..6 {
                steps.note(step, 0.0);
                step *= rate;
            }
            let rest = step / (1.0 - rate);
            assert!(steps.missing() >= rest && steps.missing() < 3.0 * rest, "{rate}: {}", steps.missing());
        }
    }

    #[test]
    fn the_first_step_and_what_is_no_number_tell_nothing() {
        let mut steps = Shrinking::new();
        steps.note(1e-12, 0.0);
        assert!(steps.missing().is_infinite());
        steps.note(f64::NAN, 0.0);
        assert!(!(steps.missing() < 1.0));
    }
}
