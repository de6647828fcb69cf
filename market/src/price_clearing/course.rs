//! Bounds on running sums: on the energy that a schedule has taken from its start to the end of each slice, as a battery
//! has them above and below its state.
//!
//! A separable convex problem with such bounds is split where they bind (van der Klauw, Gerards and Hurink 2017, *Resource
//! allocation problems in decentralized energy management*, OR Spectrum 39): solve it without them; in an optimum the
//! running sum that is furthest outside stands at its bound, so that what is before and what is after are two smaller
//! problems of the same kind.

use super::offer::OfferView;
use std::ops::{Add, Range, Sub};

/// Bounds on the running sum up to the end of each slice; empty when there are none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Course<T> {
    pub floor: Vec<T>,
    pub ceiling: Vec<T>,
}

impl<T: Copy + Sub<Output = T>> Course<T> {
    pub fn clear(&mut self) {
        self.floor.clear();
        self.ceiling.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.floor.is_empty()
    }

    /// The bounds of the next slice, counted from what is taken anyway up to its end.
    pub fn push(&mut self, (floor, ceiling): (T, T), anyway: T) {
        self.floor.push(floor - anyway);
        self.ceiling.push(ceiling - anyway);
    }
}

/// A problem that is solved for a range of its slices and bounds on their sum.
pub(super) trait Separable<T> {
    /// What a solution is worth; ranges beside each other add up.
    type Worth: Add<Output = Self::Worth>;

    /// Solves a range, without bounds on running sums.
    fn solve(&mut self, slices: Range<usize>, total: (T, T)) -> Self::Worth;

    /// What the solution takes in a slice.
    fn taken(&self, slice: usize) -> T;
}

/// Solves a range whose running sums begin at `before`. Sums may end as far outside as `tolerance`.
pub(super) fn solve<T, P>(
    problem: &mut P,
    course: &Course<T>,
    slices: Range<usize>,
    total: (T, T),
    (before, tolerance): (T, T),
) -> P::Worth
where
    T: Copy + PartialOrd + Add<Output = T> + Sub<Output = T>,
    P: Separable<T>,
{
    let worth = problem.solve(slices.clone(), total);
    let mut worst: Option<(T, usize, T)> = None;
    let (mut sum, mut most) = (before, tolerance);
    for k in slices.clone() {
        sum = sum + problem.taken(k);
        for (outside, bound) in
            [(sum - course.ceiling[k], course.ceiling[k]), (course.floor[k] - sum, course.floor[k])]
        {
            if outside > most {
                (most, worst) = (outside, Some((outside, k, bound)));
            }
        }
    }
    let Some((_, k, bound)) = worst else { return worth };
    let here = bound - before;
    let (left, right) = (slices.start..k + 1, k + 1..slices.end);
    if right.is_empty() {
        // The sum of all is then its total; a total that is given already cannot be met any better.
        let given = total.0 == total.1;
        return if given { worth } else { solve(problem, course, left, (here, here), (before, tolerance)) };
    }
    let worth = solve(problem, course, left, (here, here), (before, tolerance));
    let rest = (total.0 - here, total.1 - here);
    worth + solve(problem, course, right, rest, (bound, tolerance))
}

/// Whole energies near `x` that keep to slices, running sums and total: each running sum is rounded, and moved no
/// further than what is before and behind it asks. `bounds` are those of a slice.
pub(super) fn whole(
    x: &mut [f64],
    course: &Course<f64>,
    bounds: impl Fn(usize) -> (f64, f64),
    total: (f64, f64),
) {
    let n = x.len();
    // What every running sum has to keep to, so that those behind it can be met.
    let mut window = vec![(f64::NEG_INFINITY, f64::INFINITY); n];
    let mut behind = total;
    for k in (0..n).rev() {
        let here = (behind.0.max(course.floor[k]), behind.1.min(course.ceiling[k]));
        window[k] = here;
        let (lower, upper) = bounds(k);
        behind = (here.0 - upper, here.1 - lower);
    }
    let (mut wanted, mut sum) = (0.0, 0.0);
    for k in 0..n {
        wanted += x[k];
        let (lower, upper) = bounds(k);
        let (least, most) = (window[k].0.max(sum + lower), window[k].1.min(sum + upper));
        let next = wanted.round().min(most).max(least);
        x[k] = next - sum;
        sum = next;
    }
}

/// How far the running sums of a default schedule are from their bounds.
#[derive(Debug)]
pub(super) struct Slack {
    /// Per slice: how much less, how much more.
    of: Vec<(i64, i64)>,
}

impl Slack {
    /// Of an offer that starts with its default.
    pub fn of(view: &OfferView<'_>) -> Self {
        let mut sum = 0_i64;
        let each = view.default.iter().map(|energy| {
            sum = sum.saturating_add(*energy);
            view.head.running.map_or((i64::MAX, i64::MAX), |(floor, ceiling)| {
                (sum.saturating_sub(floor), ceiling.saturating_sub(sum))
            })
        });
        Self { of: each.collect() }
    }

    /// How much less may be taken in a slice when nothing else changes.
    pub fn less(&self, slice: usize) -> i64 {
        self.of[slice..].iter().map(|slack| slack.0).min().unwrap_or(i64::MAX)
    }

    /// How much more.
    pub fn more(&self, slice: usize) -> i64 {
        self.of[slice..].iter().map(|slack| slack.1).min().unwrap_or(i64::MAX)
    }

    /// How much may be moved from a slice to another.
    pub fn moved(&self, from: usize, to: usize) -> i64 {
        let between = match from < to {
            true => self.of[from..to].iter().map(|slack| slack.0).min(),
            false => self.of[to..from].iter().map(|slack| slack.1).min(),
        };
        between.unwrap_or(i64::MAX)
    }
}

/// Whether energies keep to bounds on their running sums.
pub(super) fn keeps(running: Option<(i64, i64)>, energies: &[i64]) -> bool {
    let Some((floor, ceiling)) = running else { return true };
    let mut sum = 0_i64;
    energies.iter().all(|energy| {
        sum = sum.saturating_add(*energy);
        (floor..=ceiling).contains(&sum)
    })
}

/// Whether any energies between bounds keep to running sums and to a total.
pub(super) fn can_be_kept(running: (i64, i64), lower: &[i64], upper: &[i64], total: (i64, i64)) -> bool {
    let mut reach = (0_i64, 0_i64);
    for (least, most) in lower.iter().zip(upper) {
        reach = (reach.0.saturating_add(*least).max(running.0), reach.1.saturating_add(*most).min(running.1));
        if reach.0 > reach.1 {
            return false;
        }
    }
    reach.0 <= total.1 && reach.1 >= total.0
}
