//! What is still missing after a step, judged by how the steps before it shrank.
//!
//! A step's size is the error before it, so the quotient of two steps is what the first of them left. One quotient may be
//! small by chance: a step on new factors removes what the old ones left, and the next one finds what bends. The largest
//! of the last three is trusted.

/// Quotients looked back at.
const LOOK_BACK: usize = 3;
/// A quotient that stands alone may be too small by this.
const ALONE: f64 = 10.0;
/// What is foreseen is taken twice.
const MARGIN: f64 = 2.0;

/// The last steps of an iteration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shrinking {
    last: f64,
    rates: [f64; LOOK_BACK],
    seen: usize,
}

impl Shrinking {
    pub fn new() -> Self {
        Self { last: f64::INFINITY, rates: [0.0; LOOK_BACK], seen: 0 }
    }

    /// Takes a step's size; returns its quotient by the one before, 1 for the first.
    pub fn note(&mut self, step: f64, least: f64) -> f64 {
        let rate = if self.last.is_finite() { (step / self.last).max(least) } else { 1.0 };
        if self.last.is_finite() {
            self.rates[self.seen % LOOK_BACK] = rate;
            self.seen += 1;
        }
        self.last = step;
        rate
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
        let rate = self.slowest();
        if rate < 0.5 { MARGIN * self.last * rate / (1.0 - rate) } else { f64::INFINITY }
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
