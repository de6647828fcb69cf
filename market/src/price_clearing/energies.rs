//! The best energies of one profile whose start is known: a concave separable problem with one sum, or with bounds on
//! its running sums (`course`).
//!
//! Minimise Σ pₖxₖ + ½rₖxₖ² + up·xₖ⁺ + down·xₖ⁻ over loₖ ≤ xₖ ≤ upₖ and tl ≤ Σxₖ ≤ tu, where x is the deviation from
//! what would be taken anyway.

use super::course::{self, Course, Separable};
use std::ops::Range;

/// Most steps toward a total.
const STEPS_MAX: usize = 50;

/// One such problem; the vectors have the same length.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub price: Vec<f64>,
    pub curve: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub total_lower: f64,
    pub total_upper: f64,
    /// Bounds on the running sums.
    pub course: Course<f64>,
    /// Asked per unit upward.
    pub up: f64,
    /// Asked per unit downward.
    pub down: f64,
    /// The answer.
    pub x: Vec<f64>,
    inverse: Vec<f64>,
    pub segments: Vec<Segment>,
}

/// A piece of one slice on which a unit more gains the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub gain: f64,
    pub length: f64,
    pub slice: u32,
}

impl Profile {
    pub fn clear(&mut self) {
        self.price.clear();
        self.curve.clear();
        self.lower.clear();
        self.upper.clear();
        self.course.clear();
    }

    /// Solves all slices with one of the ways below; returns what that way does, parts added up.
    fn each(&mut self, tolerance: f64, way: fn(&mut Self, Range<usize>, (f64, f64)) -> f64) -> f64 {
        let (all, total) = (0..self.lower.len(), (self.total_lower, self.total_upper));
        if self.course.is_empty() {
            return way(self, all, total);
        }
        let course = std::mem::take(&mut self.course);
        let worth = course::solve(&mut Ways { profile: self, way }, &course, all, total, (0.0, tolerance));
        self.course = course;
        worth
    }

    /// What the answer costs.
    pub fn cost(&self) -> f64 {
        let mut sum = 0.0;
        for (k, &x) in self.x.iter().enumerate() {
            let asked = if x > 0.0 { self.up * x } else { -self.down * x };
            sum += (self.price[k] + 0.5 * self.curve[k] * x) * x + asked;
        }
        sum
    }

    /// Solves with prices alone; whole bounds give whole answers.
    pub fn linear(&mut self) {
        self.x.resize(self.lower.len(), 0.0);
        self.each(0.0, Self::linear_in);
    }

    fn linear_in(&mut self, slices: Range<usize>, (total_lower, total_upper): (f64, f64)) -> f64 {
        let mut sum = 0.0;
        for k in slices.clone() {
            let (lower, upper, p) = (self.lower[k], self.upper[k], self.price[k]);
            let x = if p + self.up < 0.0 {
                upper
            } else if p - self.down > 0.0 {
                lower
            } else {
                0.0_f64.clamp(lower, upper)
            };
            sum += x;
            self.x[k] = x;
        }
        if sum >= total_lower && sum <= total_upper {
            return 0.0;
        }
        self.segments.clear();
        let wanted = if sum > total_upper { total_upper } else { total_lower };
        let down = sum > total_upper;
        for k in slices {
            let (x, p) = (self.x[k], self.price[k]);
            // Pieces in the direction that is needed, with what a unit of it costs.
            let (near, far) = if down {
                (self.lower[k].max(0.0), self.lower[k])
            } else {
                (self.upper[k].min(0.0), self.upper[k])
            };
            let slice = k as u32;
            if down {
                if x > near {
                    self.segments.push(Segment { gain: -(p + self.up), length: x - near, slice });
                }
                if x.min(near) > far {
                    self.segments.push(Segment { gain: self.down - p, length: x.min(near) - far, slice });
                }
            } else {
                if x < near {
                    self.segments.push(Segment { gain: p - self.down, length: near - x, slice });
                }
                if x.max(near) < far {
                    self.segments.push(Segment { gain: p + self.up, length: far - x.max(near), slice });
                }
            }
        }
        // Cheapest first; ties by slice.
        self.segments.sort_unstable_by(|a, b| a.gain.total_cmp(&b.gain).then(a.slice.cmp(&b.slice)));
        let mut left = (sum - wanted).abs();
        for segment in &self.segments {
            let step = segment.length.min(left);
            self.x[segment.slice as usize] += if down { -step } else { step };
            left -= step;
            if left <= 0.0 {
                break;
            }
        }
        0.0
    }

    /// Solves with curvature, to rounding.
    pub fn quadratic(&mut self) {
        self.inverse.clear();
        self.inverse.extend(self.curve.iter().map(|r| 1.0 / r));
        self.x.resize(self.lower.len(), 0.0);
        self.each(1.0, Self::quadratic_in);
    }

    fn quadratic_in(&mut self, slices: Range<usize>, (total_lower, total_upper): (f64, f64)) -> f64 {
        let (mut sum, mut slope) = self.at(slices.clone(), 0.0);
        if sum >= total_lower && sum <= total_upper {
            return 0.0;
        }
        let wanted = if sum > total_upper { total_upper } else { total_lower };
        // Σx falls with the price ν that is put on it, piece by piece along straight lines: Newton's steps, kept between
        // the nearest ν on both sides.
        let (mut nu, mut low, mut high) = (0.0, f64::NEG_INFINITY, f64::INFINITY);
        let mut step = 0.25 * self.price[slices.clone()].iter().fold(1.0_f64, |most, p| most.max(p.abs()));
        for _ in 0..STEPS_MAX {
            let over = sum - wanted;
            if over.abs() < 0.5 {
                break;
            }
            if over > 0.0 {
                low = nu
            } else {
                high = nu
            }
            let mut next = if slope > 0.0 { nu + over / slope } else { f64::NAN };
            if !(next > low && next < high) {
                next = if low.is_finite() && high.is_finite() {
                    0.5 * (low + high)
                } else {
                    step *= 2.0;
                    nu + 0.5 * step.copysign(over)
                };
            }
            if next == nu {
                break;
            }
            nu = next;
            (sum, slope) = self.at(slices.clone(), nu);
        }
        0.0
    }

    /// The best energies of a range if a unit also costs `nu`: their sum, and how fast it falls with `nu`.
    fn at(&mut self, slices: Range<usize>, nu: f64) -> (f64, f64) {
        let n = slices.len();
        let (up, down) = (self.up, self.down);
        let (price, inverse) = (&self.price[slices.clone()], &self.inverse[slices.clone()]);
        let (lower, upper) = (&self.lower[slices.clone()], &self.upper[slices.clone()]);
        let x = &mut self.x[slices];
        for k in 0..n {
            let q = price[k] + nu;
            let free = (-(q + up) * inverse[k]).max(0.0) + ((down - q) * inverse[k]).min(0.0);
            x[k] = free.max(lower[k]).min(upper[k]);
        }
        let (mut sum, mut slope) = (0.0, 0.0);
        for k in 0..n {
            sum += x[k];
            let moves = x[k] > lower[k] && x[k] < upper[k] && x[k] != 0.0;
            slope += if moves { inverse[k] } else { 0.0 };
        }
        (sum, slope)
    }

    /// Greedy over concave segments that were collected from the lower bounds upward, best first; returns what they gain.
    pub fn fill(&mut self) -> f64 {
        self.x.clear();
        self.x.extend_from_slice(&self.lower);
        self.segments.sort_unstable_by(|a, b| b.gain.total_cmp(&a.gain).then(a.slice.cmp(&b.slice)));
        self.each(0.0, Self::fill_in)
    }

    fn fill_in(&mut self, slices: Range<usize>, (total_lower, total_upper): (f64, f64)) -> f64 {
        self.x[slices.clone()].copy_from_slice(&self.lower[slices.clone()]);
        let mut sum: f64 = self.lower[slices.clone()].iter().sum();
        let mut gained = 0.0;
        for segment in self.segments.iter().filter(|segment| slices.contains(&(segment.slice as usize))) {
            let room = if segment.gain > 0.0 { total_upper } else { total_lower } - sum;
            if room <= 0.0 {
                if segment.gain > 0.0 {
                    continue;
                }
                break;
            }
            let step = segment.length.min(room);
            self.x[segment.slice as usize] += step;
            sum += step;
            gained += segment.gain * step;
        }
        gained
    }
}

/// One of the ways to solve a profile, for parts of it.
struct Ways<'a> {
    profile: &'a mut Profile,
    way: fn(&mut Profile, Range<usize>, (f64, f64)) -> f64,
}

impl Separable<f64> for Ways<'_> {
    type Worth = f64;

    fn solve(&mut self, slices: Range<usize>, total: (f64, f64)) -> f64 {
        (self.way)(self.profile, slices, total)
    }

    fn taken(&self, slice: usize) -> f64 {
        self.profile.x[slice]
    }
}

/// How a profile is moved further away from 0.
#[derive(Debug, Clone, Copy)]
enum Away {
    Up(usize),
    Down(usize),
    /// One slice up, another down.
    Both(usize, usize),
}

impl Profile {
    /// Moves the answer further away from 0, the cheapest way first, until the magnitudes add up to `least`; false when
    /// no way leads there. `marginal` is what a unit more costs of a slice that stands at an energy, upward or downward.
    pub fn reach(&mut self, least: f64, marginal: impl Fn(usize, f64, bool) -> f64) -> bool {
        let n = self.x.len();
        for _ in 0..4 * n + 4 {
            let missing = least - self.x.iter().map(|x| x.abs()).sum::<f64>();
            if missing <= 1e-6 {
                return true;
            }
            let sum: f64 = self.x.iter().sum();
            let cheapest = |up: bool| -> Option<(f64, usize, f64)> {
                let mut best: Option<(f64, usize, f64)> = None;
                for (k, &x) in self.x.iter().enumerate() {
                    let (room, outward) =
                        if up { (self.upper[k] - x, x >= 0.0) } else { (x - self.lower[k], x <= 0.0) };
                    let cost = marginal(k, x, up);
                    if outward && room > 0.0 && best.is_none_or(|(least, ..)| cost < least) {
                        best = Some((cost, k, room));
                    }
                }
                best
            };
            let (up, down) = (cheapest(true), cheapest(false));
            let (spare_up, spare_down) = (self.total_upper - sum, sum - self.total_lower);
            let mut ways: Vec<(f64, f64, Away)> = Vec::with_capacity(3);
            if let Some((cost, k, room)) = up.filter(|_| spare_up > 0.0) {
                ways.push((cost, room.min(spare_up).min(missing), Away::Up(k)));
            }
            if let Some((cost, k, room)) = down.filter(|_| spare_down > 0.0) {
                ways.push((cost, room.min(spare_down).min(missing), Away::Down(k)));
            }
            if let (Some((rise, k, room)), Some((fall, l, other))) = (up, down)
                && k != l
            {
                ways.push((
                    0.5 * (rise + fall),
                    room.min(other).min((0.5 * missing).ceil()),
                    Away::Both(k, l),
                ));
            }
            let Some((_, step, way)) = ways.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)) else {
                return false;
            };
            match way {
                Away::Up(k) => self.x[k] += step,
                Away::Down(k) => self.x[k] -= step,
                Away::Both(k, l) => (self.x[k], self.x[l]) = (self.x[k] + step, self.x[l] - step),
            }
        }
        false
    }

    /// Whether the answer could be moved to magnitudes of `least` at the profile's prices; `None` when it is there.
    pub fn reach_least(&mut self, least: f64) -> Option<bool> {
        if least <= 0.0 || self.x.iter().map(|x| x.abs()).sum::<f64>() >= least {
            return None;
        }
        let (price, curve) = (std::mem::take(&mut self.price), std::mem::take(&mut self.curve));
        let (up, down) = (self.up, self.down);
        let reached = self.reach(least, |k, x, rises| {
            let slope = price[k] + curve[k] * x;
            if rises { slope + up } else { down - slope }
        });
        (self.price, self.curve) = (price, curve);
        Some(reached)
    }

    /// Solves with a price below and one above 0 per slice, each bent the wrong way replaced by its chord; returns
    /// the cost, which is never more than the true one.
    pub fn bent(&mut self, slopes: impl Fn(usize) -> (f64, f64)) -> f64 {
        self.segments.clear();
        let mut cost = 0.0;
        for k in 0..self.lower.len() {
            let (lower, upper) = (self.lower[k], self.upper[k]);
            let (below, above) = slopes(k);
            let (below, above) = (below - self.down, above + self.up);
            let at = |x: f64| if x < 0.0 { below * x } else { above * x };
            cost += at(lower);
            let slice = k as u32;
            if lower < 0.0 && upper > 0.0 && below <= above {
                self.segments.push(Segment { gain: -below, length: -lower, slice });
                self.segments.push(Segment { gain: -above, length: upper, slice });
            } else if upper > lower {
                self.segments.push(Segment {
                    gain: (at(lower) - at(upper)) / (upper - lower),
                    length: upper - lower,
                    slice,
                });
            }
        }
        cost - self.fill()
    }
}
