//! Lump prices for markets of few, lumpy offers: the dual of `lump.rs` in `f64`, raised by subgradient steps.
//!
//! A limit's penalty is split into a price on its use and a lump price (`lump.rs` says what that is and why it is
//! valid). Each evaluation answers every offer once; the answers say where both move, and their running mean which
//! units tell most (`lump_unit`).

use super::arrays::{Arrays, Kind, Offer};
use super::lump_unit::Mean;
use super::respond::{Answer, Deviation, Scratch};

/// Prices, lump prices, and the least bound seen.
#[derive(Debug, Clone)]
pub(super) struct LumpDual {
    pub price: Vec<f64>,
    pub lump: Vec<f64>,
    /// Unit of each lump price, mWh; 0 for none.
    pub unit: Vec<f64>,
    pub bound: f64,
    slope_price: Vec<f64>,
    slope_lump: Vec<f64>,
    node: NodeTerms,
    deviation: Deviation,
    /// The best answer of each exclusive group so far, with its offer and deviation.
    of_groups: Vec<(Answer, u32, Deviation)>,
}

/// Prices at a node: linear, and for each interval the limits with a lump price.
#[derive(Debug, Clone, Default)]
struct NodeTerms {
    linear: Vec<f64>,
    /// Σ ν·factor over limits whose factor is positive, and over the others.
    below: Vec<f64>,
    above: Vec<f64>,
    lumps: Vec<LumpTerm>,
    first: Vec<u32>,
    /// Of one offer: what it costs that its first 0, 1, 2, … default slices go.
    before: Vec<f64>,
}

/// A lump price at a node.
#[derive(Debug, Clone, Copy)]
struct LumpTerm {
    factor: f64,
    price: f64,
    measure: Measure,
}

/// What counts of a use: `G` or `φ` of `lump.rs`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    headroom: f64,
    unit: f64,
    /// 1 ÷ unit.
    inverse: f64,
    /// Head-room modulo the unit.
    rest: f64,
}

/// The largest whole number not above `x`, for |x| < 2⁵¹: two additions instead of a call.
#[inline]
fn floor(x: f64) -> f64 {
    const WHOLE_ONLY: f64 = 6_755_399_441_055_744.0;
    let near = (x + WHOLE_ONLY) - WHOLE_ONLY;
    if near > x { near - 1.0 } else { near }
}

impl Measure {
    pub fn new(headroom: f64, unit: f64) -> Self {
        let (rest, inverse) = if unit > 0.0 { (headroom.rem_euclid(unit), 1.0 / unit) } else { (0.0, 0.0) };
        Self { headroom, unit, inverse, rest }
    }

    #[inline]
    pub fn of(&self, x: f64) -> f64 {
        if self.unit > 0.0 {
            // Rounding to the wrong side of a multiple is no matter: `φ` has no jumps.
            let whole = floor(x * self.inverse);
            return (self.unit - self.rest) * whole + (x - whole * self.unit - self.rest).max(0.0);
        }
        lump(x, self.headroom)
    }

    /// What all uses together may count without overload.
    pub fn free(&self) -> f64 {
        if self.unit > 0.0 { self.of(self.headroom) } else { self.headroom.min(0.0) }
    }
}

/// How often units are chosen.
const UNIT_CHOICES: usize = 9;

#[inline]
fn lump(x: f64, headroom: f64) -> f64 {
    if headroom >= 0.0 {
        if x > 0.0 { (x - headroom).max(0.0) } else { x }
    } else if x < 0.0 {
        x.max(headroom)
    } else {
        0.0
    }
}

impl NodeTerms {
    fn set(&mut self, arrays: &Arrays, trial: &Trial, node: usize) {
        let t = arrays.t;
        for field in [&mut self.linear, &mut self.below, &mut self.above] {
            field.clear();
            field.resize(t, 0.0);
        }
        self.lumps.clear();
        self.first.clear();
        for i in 0..t {
            self.first.push(self.lumps.len() as u32);
            for &(limit, factor) in arrays.limits_of(node) {
                let at = limit as usize * t + i;
                self.linear[i] += factor * trial.price[at];
                let nu = trial.lumps[at];
                if nu > 0.0 {
                    let side = if factor > 0.0 { &mut self.below } else { &mut self.above };
                    side[i] += nu * factor;
                    self.lumps.push(LumpTerm { factor, price: nu, measure: trial.measures[at] });
                }
            }
        }
        self.first.push(self.lumps.len() as u32);
    }

    #[inline]
    fn charge(&self, i: usize, x: f64) -> f64 {
        let mut sum = self.linear[i] * x;
        for term in &self.lumps[self.first[i] as usize..self.first[i + 1] as usize] {
            sum += term.price * term.measure.of(term.factor * x);
        }
        sum
    }

    /// The best other start of an offer that is shifted as a whole; where nothing is taken twice, what the default
    /// leaves is charged once for all starts.
    fn shift(&mut self, arrays: &Arrays, offer: &Offer) -> Answer {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let (energies, default) = (&arrays.lower[at..at + n], &arrays.default[at..at + n]);
        let mut before = std::mem::take(&mut self.before);
        before.clear();
        before.push(0.0);
        let mut sum = 0.0;
        for (k, e) in default.iter().enumerate() {
            sum += self.charge(from + k, -e);
            before.push(sum);
        }
        let mut best = Answer::REST;
        for start in offer.start_first as usize..=offer.start_last as usize {
            if start == from {
                continue;
            }
            let away = start.abs_diff(from);
            let apart = away.min(n);
            // Slices of the default that the new profile does not meet: the first ones when it goes later.
            let mut cost = if start > from { before[apart] } else { sum - before[n - apart] };
            cost += offer.activation + offer.shifted * away as f64 + arrays.moved(offer, start);
            let (alone, shared) =
                if start > from { (n - apart..n, 0..n - apart) } else { (0..apart, apart..n) };
            for k in alone {
                cost += self.charge(start + k, energies[k]);
            }
            for k in shared {
                cost += self.charge(start + k, energies[k] - default[start + k - from]);
            }
            if cost < best.cost {
                best = Answer { active: true, start: start as u32, factor: 1.0, cost };
            }
        }
        self.before = before;
        best
    }
}

impl LumpDual {
    pub fn new(arrays: &Arrays, price: Vec<f64>) -> Self {
        let size = arrays.limits * arrays.t;
        Self {
            price,
            lump: vec![0.0; size],
            unit: vec![0.0; size],
            bound: f64::INFINITY,
            slope_price: vec![0.0; size],
            slope_lump: vec![0.0; size],
            node: NodeTerms::default(),
            deviation: Deviation::default(),
            of_groups: Vec::new(),
        }
    }

    /// The bound at prices, with its slopes in `slope_price` and `slope_lump`; the answers go into `mean`.
    fn value(&mut self, arrays: &Arrays, at: &Trial, mean: &mut Mean, scratch: &mut Scratch) -> f64 {
        let Trial { price, lumps, measures, .. } = at;
        let mut sum = arrays.constant;
        for i in 0..price.len() {
            let headroom = arrays.headroom[i];
            let free = measures[i].free();
            sum += price[i] * headroom + lumps[i] * free;
            self.slope_price[i] = headroom;
            self.slope_lump[i] = free;
        }
        let mut of_groups = std::mem::take(&mut self.of_groups);
        of_groups.clear();
        of_groups.resize(arrays.groups.len(), (Answer::REST, 0, Deviation::default()));
        let mut node_terms = std::mem::take(&mut self.node);
        for node in 0..arrays.nodes {
            let offers = arrays.offers_of(node);
            if offers.is_empty() {
                continue;
            }
            node_terms.set(arrays, at, node);
            for &index in offers {
                let offer = &arrays.offers[index as usize];
                let answer = respond(arrays, offer, &mut node_terms, scratch);
                if !answer.active {
                    continue;
                }
                arrays.deviation(offer, &answer, &scratch.energies, &mut self.deviation);
                if let Some(best) = of_groups.get_mut(offer.group as usize) {
                    if answer.cost < best.0.cost {
                        *best = (answer, index, self.deviation.clone());
                    }
                    continue;
                }
                sum -= answer.cost;
                self.follow(arrays, node, offer.kind, measures);
                mean.take(arrays, index as usize, &answer, &self.deviation);
            }
        }
        self.node = node_terms;
        for (answer, index, deviation) in of_groups.iter().filter(|best| best.0.active) {
            let offer = &arrays.offers[*index as usize];
            sum -= answer.cost;
            self.deviation.clone_from(deviation);
            self.follow(arrays, offer.node as usize, offer.kind, measures);
            mean.take(arrays, *index as usize, answer, deviation);
        }
        self.of_groups = of_groups;
        sum
    }

    /// Takes an answer into the slopes.
    fn follow(&mut self, arrays: &Arrays, node: usize, kind: Kind, measures: &[Measure]) {
        let deviation = &self.deviation;
        let whole = matches!(kind, Kind::Shift | Kind::Option);
        for &(limit, factor) in arrays.limits_of(node) {
            let at = limit as usize * arrays.t + deviation.at;
            for (j, &x) in deviation.values.iter().enumerate() {
                let used = factor * x;
                self.slope_price[at + j] -= used;
                self.slope_lump[at + j] -= if whole { measures[at + j].of(used) } else { used.min(0.0) };
            }
        }
    }

    /// Lowers the bound toward `target` in at most `turns` evaluations; stops when it is within `enough` of it.
    pub fn improve(
        &mut self,
        arrays: &Arrays,
        target: f64,
        turns: usize,
        enough: f64,
        scratch: &mut Scratch,
    ) {
        let mut trial = Trial {
            price: self.price.clone(),
            lumps: self.lump.clone(),
            units: self.unit.clone(),
            measures: Vec::new(),
        };
        trial.measure(arrays);
        let mut mean = Mean::new(arrays);
        let mut walk = Walk::new(self.price.len());
        let (mut step, mut since) = (1.0_f64, 0);
        for turn in 0..turns {
            if turn > 0 && turn.is_multiple_of((turns / UNIT_CHOICES).max(1)) {
                mean.choose(arrays, &mut trial.units);
                trial.measure(arrays);
            }
            mean.fade();
            let value = self.value(arrays, &trial, &mut mean, scratch);
            if value < self.bound {
                if self.bound - value > 1e-4 * self.bound.abs() {
                    since = 0;
                }
                self.bound = value;
                self.price.copy_from_slice(&trial.price);
                self.lump.copy_from_slice(&trial.lumps);
                self.unit.copy_from_slice(&trial.units);
            }
            since += 1;
            if since > 20 {
                (step, since) = (step * 0.7, 0);
                trial.price.copy_from_slice(&self.price);
                trial.lumps.copy_from_slice(&self.lump);
                trial.units.copy_from_slice(&self.unit);
                trial.measure(arrays);
                continue;
            }
            if self.bound - target <= enough * self.bound.abs() {
                break;
            }
            let norm = walk.turn(arrays, &trial, [&self.slope_price, &self.slope_lump]);
            let length = step * (value - target).max(1e-4 * target.abs()) / norm.max(1e-30);
            walk.go(arrays, &mut trial, length);
        }
    }
}

/// The way of the prices (0) and lump prices (1), per limit and interval.
///
/// Slopes differ by orders between the head of a feeder and its end, so each goes by the size of its own: it is
/// divided by the root of its mean square. At 1,000 offers that brings the bound 0.2 and 0.5 % further down (two cases).
struct Walk {
    direction: [Vec<f64>; 2],
    /// Running mean of the squared slopes.
    square: [Vec<f64>; 2],
    weight: [Vec<f64>; 2],
    first: bool,
}

/// How much of the last direction stays, which keeps it from zigzagging.
const DEFLECTED: f64 = 0.85;
/// How much of the mean square stays.
const SQUARED: f64 = 0.95;
/// A slope below this counts as this, mWh.
const SLOPE_SMALL: f64 = 2e5;

impl Walk {
    fn new(size: usize) -> Self {
        let both = |value: f64| [vec![value; size], vec![value; size]];
        Self { direction: both(0.0), square: both(1e12), weight: both(1.0), first: true }
    }

    /// Turns toward the slopes; returns the square of the direction's length, weighted, without what cannot move.
    fn turn(&mut self, arrays: &Arrays, at: &Trial, slopes: [&[f64]; 2]) -> f64 {
        let keep = if std::mem::take(&mut self.first) { 0.0 } else { DEFLECTED };
        let mut norm = 0.0;
        for (which, (slopes, values)) in slopes.into_iter().zip([&at.price, &at.lumps]).enumerate() {
            let direction = self.direction[which].iter_mut().zip(&mut self.weight[which]);
            let all = direction.zip(&mut self.square[which]).zip(slopes.iter().zip(values));
            for (i, (((direction, weight), square), (&slope, &value))) in all.enumerate() {
                if arrays.penalty[i] <= 0.0 {
                    continue;
                }
                *direction = keep * *direction + (1.0 - keep) * slope;
                *square = SQUARED * *square + (1.0 - SQUARED) * slope * slope;
                *weight = 1.0 / (square.sqrt() + SLOPE_SMALL);
                if !(value <= 0.0 && *direction > 0.0) {
                    norm += *weight * *direction * *direction;
                }
            }
        }
        norm
    }

    /// Moves the prices, never below 0 nor together above the penalty.
    fn go(&self, arrays: &Arrays, at: &mut Trial, length: f64) {
        let moved = |which: usize, i: usize, value: f64| {
            (value - length * self.weight[which][i] * self.direction[which][i]).max(0.0)
        };
        for i in (0..at.price.len()).filter(|&i| arrays.penalty[i] > 0.0) {
            let (mut p, mut n) = (moved(0, i, at.price[i]), moved(1, i, at.lumps[i]));
            let over = p + n - arrays.penalty[i];
            if over > 0.0 {
                // Nearest point with p + n = penalty.
                (p, n) = (p - 0.5 * over, n - 0.5 * over);
                if p < 0.0 {
                    (p, n) = (0.0, arrays.penalty[i]);
                } else if n < 0.0 {
                    (p, n) = (arrays.penalty[i], 0.0);
                }
            }
            (at.price[i], at.lumps[i]) = (p, n);
        }
    }
}

/// Prices that are tried.
struct Trial {
    price: Vec<f64>,
    lumps: Vec<f64>,
    units: Vec<f64>,
    measures: Vec<Measure>,
}

impl Trial {
    fn measure(&mut self, arrays: &Arrays) {
        self.measures.clear();
        let both = arrays.headroom.iter().zip(&self.units);
        self.measures.extend(both.map(|(&headroom, &unit)| Measure::new(headroom, unit)));
    }
}

/// The best answer at prices and lump prices; its cost is never more than the true one.
fn respond(arrays: &Arrays, offer: &Offer, node: &mut NodeTerms, scratch: &mut Scratch) -> Answer {
    let mut best = if offer.may_rest { Answer::REST } else { Answer { cost: f64::INFINITY, ..Answer::REST } };
    match offer.kind {
        Kind::Shift => best = node.shift(arrays, offer),
        Kind::Option => {
            let candidate = Answer { active: true, start: offer.start_default, factor: 1.0, cost: 0.0 };
            arrays.deviation(offer, &candidate, &[], &mut scratch.deviation);
            let deviation = &scratch.deviation;
            let mut cost = arrays.asked(offer, &candidate, deviation);
            for (j, &x) in deviation.values.iter().enumerate() {
                cost += node.charge(deviation.at + j, x);
            }
            if cost < best.cost {
                best = Answer { cost, ..candidate };
            }
        }
        Kind::Amount | Kind::General => {
            for start in offer.start_first..=offer.start_last {
                let fixed =
                    arrays.pose(offer, start as usize, &mut scratch.profile, |i| (node.linear[i], 0.0));
                let slopes = |i: usize| (node.linear[i] + node.below[i], node.linear[i] + node.above[i]);
                let cost = fixed + scratch.profile.bent(|k| slopes(start as usize + k));
                if cost < best.cost {
                    best = Answer { active: true, start, factor: 0.0, cost };
                    if offer.kind == Kind::Amount {
                        scratch.energies.clear();
                        scratch.energies.extend_from_slice(&scratch.profile.x);
                    } else {
                        let x = std::mem::take(&mut scratch.profile.x);
                        arrays.absolute(offer, start as usize, &x, &mut scratch.energies);
                        scratch.profile.x = x;
                    }
                }
            }
        }
    }
    best
}
