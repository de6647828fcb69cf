//! What a point has said before, as far as its next value is judged by it.
//!
//! A value that lands on the mirror image of the one before, or on a thousand times it, opens a *dispute*: the point's true
//! value is then followed as if the sign (the unit) had been turned back, so that what stays wrong stays stopped however long
//! it lasts. It ends when a value fits again as it is, or, for a sign, after values so small that a sign says nothing.

use super::limits::Bounds;
use super::rule::Rule;
use grid::{Measurement, Quantity, Timestamp};
use std::time::Duration;

/// After so many steps it is known how the point moves.
const STEPS_LEARNED: u32 = 20;
/// The largest step is forgotten by half in this time.
const STEP_HALF_LIFE_S: f64 = 3.0 * 3600.0;
/// A turned value must jump further than this multiple of the largest step that was seen, or that one switch makes.
const TURNED_STEPS: (f64, f64) = (1.5, 1.2);
/// A turned value is so many times nearer to the mirror image than to what was expected.
const TURNED_NEARNESS: f64 = 3.0;
/// Small values in a row that end a dispute about a sign.
const SMALL_RUN: u32 = 3;
/// A thousand times, within a factor of two.
const SLIP: (f64, f64) = (500.0, 2000.0);
/// How much larger than [`Bounds::small`] a value must be for a thousandth of it to be a wrong unit and no rest.
const SLIP_DOWN: f64 = 10.0;
/// A dispute is forgotten when nothing was heard for so long.
const DISPUTE_FORGOTTEN: Duration = Duration::from_secs(3600);

/// How long values of a quantity mean something for the next one.
struct Spans {
    /// Between values that follow each other.
    step: Duration,
    /// For which the last value is what is expected.
    expected: Duration,
    /// The same number so many times, and for so long, may be stuck.
    stuck: (u32, Duration),
}

const SAMPLED: Spans = Spans {
    step: Duration::from_secs(180),
    expected: Duration::from_secs(600),
    stuck: (60, Duration::from_secs(2 * 3600)),
};
const ENERGY: Spans = Spans {
    step: Duration::from_secs(900),
    expected: Duration::from_secs(2700),
    stuck: (12, Duration::from_secs(12 * 900)),
};

fn spans(quantity: Quantity) -> &'static Spans {
    if quantity == Quantity::SlotEnergy { &ENERGY } else { &SAMPLED }
}

#[derive(Debug, Clone, Copy)]
enum Dispute {
    /// The true value is followed with its sign turned back.
    Turned { expected: f64, small: u32, at: Timestamp },
    /// The true value is followed in the old unit.
    Slipped { expected: f64, at: Timestamp },
}

/// How often the same number came.
#[derive(Debug, Clone, Copy, Default)]
struct Run {
    value: f64,
    count: u32,
    since: Timestamp,
    /// Longest one before.
    longest: u32,
    changes: u32,
}

/// The memory of one point. A clone judges on its own.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail {
    /// What came last in order, whatever was found of it.
    pub said: Option<(f64, Timestamp)>,
    /// What was last found good.
    pub last: Option<(f64, Timestamp)>,
    step_max: f64,
    steps: u32,
    run: Run,
    /// What jumped too far and waits for the next value.
    held: Option<f64>,
    dispute: Option<Dispute>,
}

impl Trail {
    /// What is expected at an instant: the last value, while it means something.
    fn expected(&self, at: Timestamp, within: Duration) -> Option<f64> {
        let (last, then) = self.last?;
        (at.since(then).max(then.since(at)) <= within).then_some(last)
    }

    /// Whether a value goes on from the last one as the point is used to; `None` when that is not known.
    pub fn fits(&self, value: &Measurement, bounds: &Bounds) -> Option<bool> {
        let expected = self.expected(value.measured_at, spans(value.point.quantity).expected)?;
        let switched = if bounds.switched.is_finite() { bounds.switched } else { 0.0 };
        let usual = (3.0 * self.step_max).max(1.2 * switched).max(0.5 * expected.abs()) + bounds.small;
        Some((value.value - expected).abs() <= usual)
    }

    /// Judges the next value and remembers it.
    pub fn judge(&mut self, value: &Measurement, bounds: &Bounds) -> Option<Rule> {
        let spans = spans(value.point.quantity);
        let is_stuck = self.is_stuck(value, spans);
        let expected = self.expected(value.measured_at, spans.expected);
        let found = self
            .slipped(value, bounds, expected)
            .or_else(|| self.turned(value, bounds, expected))
            .or_else(|| self.jumped(value, bounds, spans))
            .or(is_stuck.then_some(Rule::Stuck));
        if found.is_none() {
            self.accept(value, spans);
        }
        found
    }

    fn accept(&mut self, value: &Measurement, spans: &Spans) {
        let (number, at) = (value.value, value.measured_at);
        let was_held = self.held.take().is_some();
        if let Some((last, then)) = self.last {
            if at < then {
                return;
            }
            let forgotten = 0.5_f64.powf(at.since(then).as_secs_f64() / STEP_HALF_LIFE_S);
            self.step_max *= forgotten;
            if at.since(then) <= spans.step && !was_held {
                self.step_max = self.step_max.max((number - last).abs());
                self.steps = self.steps.saturating_add(1);
            }
        }
        self.last = Some((number, at));
    }

    /// Whether the same number came more often than ever, where numbers used to change. Zero is a rest.
    fn is_stuck(&mut self, value: &Measurement, spans: &Spans) -> bool {
        let run = &mut self.run;
        let (count_min, span) = spans.stuck;
        let is_long = |run: &Run| run.count >= count_min.max(4 * run.longest) && run.changes >= STEPS_LEARNED;
        if run.count > 0 && run.value == value.value {
            run.count = run.count.saturating_add(1);
        } else {
            if !is_long(run) {
                run.longest = run.longest.max(run.count);
            }
            let changes = run.changes.saturating_add(1);
            *run = Run { value: value.value, count: 1, since: value.measured_at, changes, ..*run };
        }
        value.value != 0.0 && is_long(run) && value.measured_at.since(run.since) >= span
    }

    /// A thousand times too large or too small.
    fn slipped(&mut self, value: &Measurement, bounds: &Bounds, expected: Option<f64>) -> Option<Rule> {
        let (number, at) = (value.value, value.measured_at);
        let disputed = match self.dispute {
            Some(Dispute::Slipped { expected, at: then }) if at.since(then) <= DISPUTE_FORGOTTEN => {
                Some(expected)
            }
            Some(Dispute::Slipped { .. }) => {
                self.dispute = None;
                None
            }
            _ => None,
        };
        let expected = disputed.or(expected)?;
        let (large, small) = (number / expected, expected / number);
        let within = |ratio: f64| (SLIP.0..=SLIP.1).contains(&ratio.abs());
        let before = if within(large) && expected.abs() >= 0.5 * bounds.small {
            number / 1000.0
        } else if within(small) && expected.abs() >= SLIP_DOWN * bounds.small {
            number * 1000.0
        } else {
            if disputed.is_some() {
                self.dispute = None;
            }
            return None;
        };
        self.dispute = Some(Dispute::Slipped { expected: before, at });
        Some(Rule::UnitSlip)
    }

    /// The mirror image.
    fn turned(&mut self, value: &Measurement, bounds: &Bounds, expected: Option<f64>) -> Option<Rule> {
        let (number, at) = (value.value, value.measured_at);
        match self.dispute {
            Some(Dispute::Turned { expected, small, at: then }) if at.since(then) <= DISPUTE_FORGOTTEN => {
                let small = if number.abs() < bounds.small { small + 1 } else { 0 };
                let fits = TURNED_NEARNESS * (number - expected).abs() <= (number + expected).abs();
                if small >= SMALL_RUN || (fits && expected.abs() > bounds.small) {
                    self.dispute = None;
                    return None;
                }
                self.dispute = Some(Dispute::Turned { expected: -number, small, at });
                Some(Rule::SignFlip)
            }
            _ => {
                self.dispute = None;
                let expected = expected.filter(|_| self.steps >= STEPS_LEARNED)?;
                let (jump, miss) = ((number - expected).abs(), (number + expected).abs());
                let usual = (TURNED_STEPS.0 * self.step_max).max(TURNED_STEPS.1 * bounds.switched);
                let is_turned = number * expected < 0.0 && jump > usual && TURNED_NEARNESS * miss < jump;
                if !is_turned || number.abs() < bounds.small {
                    return None;
                }
                self.dispute = Some(Dispute::Turned { expected: -number, small: 0, at });
                Some(Rule::SignFlip)
            }
        }
    }

    /// Further than the equipment is rated for, unless the next value says the same.
    fn jumped(&mut self, value: &Measurement, bounds: &Bounds, spans: &Spans) -> Option<Rule> {
        let rate = bounds.rate?;
        let expected = self.expected(value.measured_at, spans.step)?;
        let is_far = |from: f64| (value.value - from).abs() > rate;
        if !is_far(expected) {
            self.held = None;
            return None;
        }
        if self.held.is_some_and(|held| !is_far(held)) {
            return None;
        }
        self.held = Some(value.value);
        Some(Rule::Rate)
    }
}
