//! The best energies of one profile whose start is known: a concave separable problem with one sum.
//!
//! Minimise Σ pₖxₖ + ½rₖxₖ² + up·xₖ⁺ + down·xₖ⁻ over loₖ ≤ xₖ ≤ upₖ and tl ≤ Σxₖ ≤ tu, where x is the deviation from
//! what would be taken anyway.

/// One such problem; the vectors have the same length.
#[derive(Debug, Clone, Default)]
pub(super) struct Profile {
    pub price: Vec<f64>,
    pub curve: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub total_lower: f64,
    pub total_upper: f64,
    /// Asked per unit upward.
    pub up: f64,
    /// Asked per unit downward.
    pub down: f64,
    /// The answer.
    pub x: Vec<f64>,
    other: Vec<f64>,
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
        let n = self.lower.len();
        self.x.clear();
        let mut sum = 0.0;
        for k in 0..n {
            let (lower, upper, p) = (self.lower[k], self.upper[k], self.price[k]);
            let x = if p + self.up < 0.0 {
                upper
            } else if p - self.down > 0.0 {
                lower
            } else {
                0.0_f64.clamp(lower, upper)
            };
            sum += x;
            self.x.push(x);
        }
        if sum >= self.total_lower && sum <= self.total_upper {
            return;
        }
        self.segments.clear();
        let wanted = if sum > self.total_upper { self.total_upper } else { self.total_lower };
        let down = sum > self.total_upper;
        for k in 0..n {
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
    }

    /// Solves with curvature, to rounding.
    pub fn quadratic(&mut self) {
        let sum = self.at(0.0, false);
        if sum >= self.total_lower && sum <= self.total_upper {
            return;
        }
        let wanted = if sum > self.total_upper { self.total_upper } else { self.total_lower };
        // Σx falls with the price ν that is put on it: bracket, then false position.
        let (mut near, mut near_sum) = (0.0, sum);
        let mut step = if sum > wanted { 1.0 } else { -1.0 }
            * (self.price.iter().fold(1.0_f64, |m, p| m.max(p.abs())) * 0.25);
        let (mut far, mut far_sum);
        let mut tries = 0;
        loop {
            far = near + step;
            far_sum = self.at(far, false);
            tries += 1;
            if (far_sum - wanted) * (sum - wanted) <= 0.0 || tries > 60 {
                break;
            }
            (near, near_sum) = (far, far_sum);
            step *= 2.0;
        }
        for turn in 0..14 {
            let spread = far_sum - near_sum;
            if spread.abs() < 1.0 || (far - near).abs() < 1e-9 {
                break;
            }
            let share = ((wanted - near_sum) / spread).clamp(0.05, 0.95);
            let share = if turn % 3 == 2 { 0.5 } else { share };
            let middle = near + (far - near) * share;
            let middle_sum = self.at(middle, false);
            if (middle_sum - wanted) * (near_sum - wanted) > 0.0 {
                (near, near_sum) = (middle, middle_sum);
            } else {
                (far, far_sum) = (middle, middle_sum);
            }
        }
        // Sums of both ends are linear in their mixture.
        let near_sum = self.at(near, true);
        let far_sum = self.at(far, false);
        let share = if far_sum == near_sum {
            1.0
        } else {
            ((wanted - near_sum) / (far_sum - near_sum)).clamp(0.0, 1.0)
        };
        for (x, other) in self.x.iter_mut().zip(&self.other) {
            *x = other + share * (*x - other);
        }
    }

    /// The best energies if a unit also costs `nu`, and their sum.
    fn at(&mut self, nu: f64, keep: bool) -> f64 {
        let target = if keep { &mut self.other } else { &mut self.x };
        target.clear();
        let mut sum = 0.0;
        for k in 0..self.lower.len() {
            let q = self.price[k] + nu;
            let r = self.curve[k];
            let free = if q + self.up < 0.0 {
                -(q + self.up) / r
            } else if q - self.down > 0.0 {
                -(q - self.down) / r
            } else {
                0.0
            };
            let x = free.max(self.lower[k]).min(self.upper[k]);
            sum += x;
            target.push(x);
        }
        sum
    }

    /// Greedy over concave segments that were collected from the lower bounds upward, best first.
    pub fn fill(&mut self) {
        self.x.clear();
        self.x.extend_from_slice(&self.lower);
        let mut sum: f64 = self.lower.iter().sum();
        self.segments.sort_unstable_by(|a, b| b.gain.total_cmp(&a.gain).then(a.slice.cmp(&b.slice)));
        for segment in &self.segments {
            let room = if segment.gain > 0.0 { self.total_upper } else { self.total_lower } - sum;
            if room <= 0.0 {
                if segment.gain > 0.0 {
                    continue;
                }
                break;
            }
            let step = segment.length.min(room);
            self.x[segment.slice as usize] += step;
            sum += step;
        }
    }
}

impl Profile {
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
        self.fill();
        // What was filled, by the same slopes.
        let mut filled: f64 = 0.0;
        let mut left: Vec<f64> = self.x.iter().zip(&self.lower).map(|(x, lower)| x - lower).collect();
        for segment in &self.segments {
            let step = segment.length.min(left[segment.slice as usize]);
            left[segment.slice as usize] -= step;
            filled -= segment.gain * step;
        }
        cost + filled
    }
}
