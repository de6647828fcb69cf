//! The primal: block coordinate ascent on the augmented Lagrangian, its smoothing annealed to nothing.
//!
//! With a width w, a limit's price is no step but a ramp: clamp(μ + penalty/w·(use − head-room), 0, penalty). Offers
//! answer one after the other to the ramps as the others left them; after a round μ takes the price at which the
//! ramps stand (the method of multipliers), and w shrinks. Without the ramp an ascent stalls a quarter below; at
//! w = 0 the last rounds are exact, and every step gains.

use super::arrays::{Arrays, Kind, NO_GROUP, Offer};
use super::energies::Segment;
use super::pieces::{Piece, Pieces};
use super::respond::{Answer, Deviation, Scratch};
use super::state::State;

/// Least slope, so that a price alone never moves an amount without measure: micro-units per kWh per mWh.
const SLOPE_MIN: f64 = 1e-7;

/// The ramps of all limits: price = clamp(base + slope·use, 0, penalty).
#[derive(Debug, Clone, Default)]
pub(super) struct Ramps {
    pub base: Vec<f64>,
    pub slope: Vec<f64>,
}

impl Ramps {
    /// Ramps of a width (mWh) through the prices at the head-rooms.
    pub fn set(&mut self, arrays: &Arrays, price: &[f64], width: f64) {
        let size = price.len();
        self.base.resize(size, 0.0);
        self.slope.resize(size, 0.0);
        for i in 0..size {
            let slope = arrays.penalty[i] / width;
            self.slope[i] = slope;
            self.base[i] = price[i] - slope * arrays.headroom[i];
        }
    }

    /// The prices at which the ramps stand.
    pub fn read(&self, arrays: &Arrays, flow: &[f64], price: &mut [f64]) {
        for i in 0..price.len() {
            price[i] = (self.base[i] + self.slope[i] * flow[i]).max(0.0).min(arrays.penalty[i]);
        }
    }
}

/// A deterministic stream of numbers (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Stream(pub u64);

impl Stream {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Prices, slopes and exact rooms at one node, and the buffers of a sweep.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweep {
    pub scratch: Scratch,
    price: Vec<f64>,
    curve: Vec<f64>,
    room_up: Vec<f64>,
    room_down: Vec<f64>,
    price_down: Vec<f64>,
    pub old: Deviation,
    new: Deviation,
    order: Vec<u32>,
    nodes: Vec<u32>,
}

impl Sweep {
    fn fit(&mut self, t: usize) {
        for field in
            [&mut self.price, &mut self.curve, &mut self.room_up, &mut self.room_down, &mut self.price_down]
        {
            field.resize(t, 0.0);
        }
    }

    /// One answer of every offer to the ramps, nodes and offers in an order drawn from `stream`.
    pub fn smooth(
        &mut self,
        arrays: &Arrays,
        ramps: &Ramps,
        state: &mut State,
        stream: &mut Stream,
        rounds: usize,
    ) {
        self.fit(arrays.t);
        for part in 0..rounds {
            self.nodes.clear();
            self.nodes.extend(0..arrays.nodes as u32);
            let mut nodes = std::mem::take(&mut self.nodes);
            stream.shuffle(&mut nodes);
            for &node in &nodes {
                let node = node as usize;
                let offers = arrays.offers_of(node);
                if offers.is_empty() {
                    continue;
                }
                let mut order = std::mem::take(&mut self.order);
                order.clear();
                order.extend(offers.iter().skip(part).step_by(rounds));
                stream.shuffle(&mut order);
                self.ramp_prices(arrays, ramps, &state.flow, node, 0, arrays.t);
                for &index in &order {
                    if arrays.offers[index as usize].group == NO_GROUP {
                        self.smooth_step(arrays, ramps, state, index as usize);
                    } else {
                        self.group_step(arrays, Some(ramps), state, index as usize);
                        self.ramp_prices(arrays, ramps, &state.flow, node, 0, arrays.t);
                    }
                }
                self.order = order;
            }
            self.nodes = nodes;
        }
    }

    fn ramp_prices(
        &mut self,
        arrays: &Arrays,
        ramps: &Ramps,
        flow: &[f64],
        node: usize,
        from: usize,
        to: usize,
    ) {
        let n = to - from;
        let (price, curve) = (&mut self.price[from..to], &mut self.curve[from..to]);
        price.iter_mut().for_each(|p| *p = 0.0);
        curve.iter_mut().for_each(|r| *r = SLOPE_MIN);
        for &(limit, factor) in arrays.limits_of(node) {
            let at = limit as usize * arrays.t + from;
            let (base, slope) = (&ramps.base[at..][..n], &ramps.slope[at..][..n]);
            let (flow, penalty) = (&flow[at..][..n], &arrays.penalty[at..][..n]);
            for i in 0..n {
                let free = base[i] + slope[i] * flow[i];
                let held = free.max(0.0).min(penalty[i]);
                price[i] += factor * held;
                curve[i] += if free == held { factor * factor * slope[i] } else { 0.0 };
            }
        }
    }

    fn smooth_step(&mut self, arrays: &Arrays, ramps: &Ramps, state: &mut State, index: usize) {
        let offer = &arrays.offers[index];
        state.deviation(arrays, index, &mut self.old);
        for (j, x) in self.old.values.iter().enumerate() {
            let i = self.old.at + j;
            self.price[i] -= self.curve[i] * x;
        }
        let answer = arrays.respond::<true>(offer, &self.price, &self.curve, &mut self.scratch);
        arrays.deviation(offer, &answer, &self.scratch.energies, &mut self.new);
        let (from, to) = self.exchange(arrays, state, index, answer);
        if from < to {
            self.ramp_prices(arrays, ramps, &state.flow, offer.node as usize, from, to);
        }
    }

    /// Puts an answer whose deviation is in `new` in the place of the one in `old`; returns the intervals touched.
    fn exchange(
        &mut self,
        arrays: &Arrays,
        state: &mut State,
        index: usize,
        answer: Answer,
    ) -> (usize, usize) {
        let node = arrays.offers[index].node as usize;
        let (mut from, mut to) = (usize::MAX, 0);
        for (deviation, weight) in [(&self.old, -1.0), (&self.new, 1.0)] {
            if !deviation.values.is_empty() {
                state.add(arrays, node, deviation, weight);
                from = from.min(deviation.at);
                to = to.max(deviation.at + deviation.values.len());
            }
        }
        state.put(arrays, index, answer, &self.scratch.energies);
        (from, to)
    }

    /// One exact answer of every offer; nothing is lost by any. Returns how many changed.
    pub fn exact(
        &mut self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        state: &mut State,
        stream: &mut Stream,
    ) -> usize {
        self.fit(arrays.t);
        let mut nodes: Vec<u32> = (0..arrays.nodes as u32).collect();
        stream.shuffle(&mut nodes);
        let mut changed = 0;
        for &node in &nodes {
            let mut order = std::mem::take(&mut self.order);
            order.clear();
            order.extend_from_slice(arrays.offers_of(node as usize));
            stream.shuffle(&mut order);
            self.exact_prices(arrays, &state.flow, node as usize, 0, arrays.t);
            for &index in &order {
                let gain = if arrays.offers[index as usize].group == NO_GROUP {
                    self.exact_step(arrays, ramps, state, index as usize)
                } else {
                    let gain = self.group_step(arrays, ramps, state, index as usize);
                    self.exact_prices(arrays, &state.flow, node as usize, 0, arrays.t);
                    gain
                };
                changed += usize::from(gain > 0.0);
            }
            self.order = order;
        }
        changed
    }

    /// Marginal prices at a node, upward and downward, and how far they hold.
    pub fn exact_prices(&mut self, arrays: &Arrays, flow: &[f64], node: usize, from: usize, to: usize) {
        self.fit(arrays.t);
        for i in from..to {
            self.price[i] = 0.0;
            self.price_down[i] = 0.0;
            self.room_up[i] = f64::INFINITY;
            self.room_down[i] = f64::INFINITY;
        }
        for &(limit, factor) in arrays.limits_of(node) {
            let at = limit as usize * arrays.t;
            let reach = 1.0 / factor.abs();
            for i in from..to {
                let over = state_over(arrays, flow, at + i);
                let penalty = arrays.penalty[at + i];
                if penalty == 0.0 {
                    continue;
                }
                let p = factor * penalty;
                // Upward is toward the penalty when the factor is positive, away from it otherwise.
                let (toward, away) = if factor > 0.0 {
                    (&mut self.room_up, &mut self.room_down)
                } else {
                    (&mut self.room_down, &mut self.room_up)
                };
                if over >= 0.0 {
                    if factor > 0.0 {
                        self.price[i] += p
                    } else {
                        self.price_down[i] += p
                    };
                } else {
                    toward[i] = toward[i].min(-over * reach);
                }
                if over > 0.0 {
                    if factor > 0.0 {
                        self.price_down[i] += p
                    } else {
                        self.price[i] += p
                    };
                    away[i] = away[i].min(over * reach);
                }
            }
        }
    }

    /// What `x` more at the node in interval `i` costs on the ramps.
    #[inline]
    fn ramp_cost(arrays: &Arrays, ramps: &Ramps, flow: &[f64], node: usize, i: usize, x: f64) -> f64 {
        let mut sum = 0.0;
        for &(limit, factor) in arrays.limits_of(node) {
            let at = limit as usize * arrays.t + i;
            let (penalty, slope) = (arrays.penalty[at], ramps.slope[at]);
            if penalty == 0.0 {
                continue;
            }
            let before = ramps.base[at] + slope * flow[at];
            let after = before + slope * factor * x;
            let held = (before.max(0.0).min(penalty), after.max(0.0).min(penalty));
            let area = 0.5 * (held.1 - held.0) * (held.1 + held.0)
                + penalty * ((after - penalty).max(0.0) - (before - penalty).max(0.0));
            sum += area / slope;
        }
        sum
    }

    /// What `x` more at the node in interval `i` costs.
    #[inline]
    pub fn exact_cost(
        &self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        flow: &[f64],
        node: usize,
        i: usize,
        x: f64,
    ) -> f64 {
        if let Some(ramps) = ramps {
            return Self::ramp_cost(arrays, ramps, flow, node, i, x);
        }
        if x >= 0.0 {
            if x <= self.room_up[i] {
                return self.price[i] * x;
            }
        } else if -x <= self.room_down[i] {
            return self.price_down[i] * x;
        }
        let mut sum = 0.0;
        for &(limit, factor) in arrays.limits_of(node) {
            let at = limit as usize * arrays.t + i;
            let over = state_over(arrays, flow, at);
            sum += arrays.penalty[at] * ((over + factor * x).max(0.0) - over.max(0.0));
        }
        sum
    }

    /// The best answer of one offer against the others as they are; keeps it when it gains. Returns the gain.
    pub fn exact_step(
        &mut self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        state: &mut State,
        index: usize,
    ) -> f64 {
        let offer = &arrays.offers[index];
        let node = offer.node as usize;
        let before = state.answers[index];
        state.deviation(arrays, index, &mut self.old);
        let mut now = 0.0;
        if before.active {
            state.add(arrays, node, &self.old, -1.0);
            self.exact_prices(arrays, &state.flow, node, self.old.at, self.old.at + self.old.values.len());
            now = arrays.asked(offer, &before, &self.old);
            for (j, &x) in self.old.values.iter().enumerate() {
                now += self.exact_cost(arrays, ramps, &state.flow, node, self.old.at + j, x);
            }
        }
        let answer = self.exact_answer(arrays, ramps, &state.flow, index);
        let must = !offer.may_rest && !before.active;
        let keep = !must && answer.cost >= now - 0.5;
        if keep {
            if before.active {
                state.add(arrays, node, &self.old, 1.0);
                self.exact_prices(
                    arrays,
                    &state.flow,
                    node,
                    self.old.at,
                    self.old.at + self.old.values.len(),
                );
            }
            return 0.0;
        }
        arrays.deviation(offer, &answer, &self.scratch.energies, &mut self.new);
        if !self.new.values.is_empty() {
            state.add(arrays, node, &self.new, 1.0);
            self.exact_prices(arrays, &state.flow, node, self.new.at, self.new.at + self.new.values.len());
        }
        state.put(arrays, index, answer, &self.scratch.energies);
        if must { 0.0 } else { now - answer.cost }
    }

    /// The best answer of an offer that is not in `flow`; its node's prices are current.
    pub fn exact_answer(
        &mut self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        flow: &[f64],
        index: usize,
    ) -> Answer {
        let offer = &arrays.offers[index];
        let node = offer.node as usize;
        let mut best =
            if offer.may_rest { Answer::REST } else { Answer { cost: f64::INFINITY, ..Answer::REST } };
        let mut scratch = std::mem::take(&mut self.scratch);
        match offer.kind {
            Kind::Shift | Kind::Option => {
                let starts =
                    if offer.kind == Kind::Shift { offer.start_first..=offer.start_last } else { 0..=0 };
                for start in starts {
                    let factors: &[f64] = if offer.kind == Kind::Shift {
                        &[0.0]
                    } else if offer.factor_min < 1.0 {
                        &[0.0, 0.25, 0.5, 0.75, 1.0]
                    } else {
                        &[1.0]
                    };
                    for &share in factors {
                        let factor = offer.factor_min + (1.0 - offer.factor_min) * share;
                        let factor = (factor * 1e6).round() / 1e6;
                        let start = if offer.kind == Kind::Shift { start } else { offer.start_default };
                        if offer.kind == Kind::Shift && start == offer.start_default {
                            continue;
                        }
                        let candidate = Answer { active: true, start, factor, cost: 0.0 };
                        arrays.deviation(offer, &candidate, &[], &mut scratch.deviation);
                        let deviation = &scratch.deviation;
                        let mut cost = arrays.asked(offer, &candidate, deviation);
                        for (j, &x) in deviation.values.iter().enumerate() {
                            cost += self.exact_cost(arrays, ramps, flow, node, deviation.at + j, x);
                        }
                        if cost < best.cost {
                            best = Answer { cost, ..candidate };
                        }
                    }
                }
            }
            Kind::Amount | Kind::General => {
                scratch.pieces.clear(arrays.t);
                self.leave(arrays, ramps, flow, offer, &mut scratch.left);
                for start in offer.start_first..=offer.start_last {
                    let fixed = self.exact_energies(arrays, ramps, flow, index, start as usize, &mut scratch);
                    if offer.least > 0.0 && !self.reach_least(arrays, offer, start as usize, &mut scratch) {
                        continue;
                    }
                    let mut cost = fixed;
                    for k in 0..scratch.profile.x.len() {
                        let x = scratch.profile.x[k];
                        cost += self.exact_cost(arrays, ramps, flow, node, start as usize + k, x)
                            + if x > 0.0 { offer.up * x } else { -offer.down * x };
                    }
                    if cost < best.cost {
                        best = Answer { active: true, start, factor: 0.0, cost };
                        let x = std::mem::take(&mut scratch.profile.x);
                        if offer.kind == Kind::Amount {
                            scratch.energies.clear();
                            scratch.energies.extend_from_slice(&x);
                        } else {
                            arrays.absolute(offer, start as usize, &x, &mut scratch.energies);
                        }
                        scratch.profile.x = x;
                    }
                }
            }
        }
        self.scratch = scratch;
        best
    }

    /// Moves energies that deviate by less than the offer accepts; false where that cannot be. The marginal prices are those
    /// of the flows as they are: what it costs is counted afterwards.
    fn reach_least(&self, arrays: &Arrays, offer: &Offer, start: usize, scratch: &mut Scratch) -> bool {
        let least = offer.least - arrays.left_behind(offer, start);
        let (price, down) = (&self.price[start..], &self.price_down[start..]);
        scratch.profile.reach(
            least,
            |k, _, rises| {
                if rises { price[k] + offer.up } else { offer.down - down[k] }
            },
        )
    }

    /// Solves the energies of a start exactly; returns what does not depend on them.
    fn exact_energies(
        &self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        flow: &[f64],
        index: usize,
        start: usize,
        scratch: &mut Scratch,
    ) -> f64 {
        let offer = &arrays.offers[index];
        let Scratch { profile, pieces, left, .. } = scratch;
        let mut fixed = arrays.pose(offer, start, profile, |_| (0.0, 0.0));
        let (from, n) = (offer.start_default as usize, offer.slices as usize);
        for i in (from..from + n).filter(|i| *i < start || *i >= start + n) {
            fixed += left[i - from];
        }
        profile.segments.clear();
        for k in 0..n {
            let (bounds, i) = ((profile.lower[k], profile.upper[k]), start + k);
            let cut = pieces.find(i, bounds).unwrap_or_else(|| {
                let first = pieces.all.len();
                self.cut(arrays, ramps, flow, offer, (i, bounds), pieces);
                pieces.keep(i, bounds, first..pieces.all.len());
                first..pieces.all.len()
            });
            let slice = k as u32;
            let segment = |&Piece { gain, length }: &Piece| Segment { gain, length, slice };
            profile.segments.extend(pieces.all[cut].iter().map(segment));
        }
        profile.fill();
        fixed
    }

    /// What it costs to leave the default behind, by its interval.
    fn leave(
        &self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        flow: &[f64],
        offer: &Offer,
        left: &mut Vec<f64>,
    ) {
        left.clear();
        if (offer.start_first, offer.start_last) == (offer.start_default, offer.start_default) {
            return;
        }
        let (node, from) = (offer.node as usize, offer.start_default as usize);
        let default = &arrays.default[offer.at as usize..(offer.at + offer.slices) as usize];
        let costs = default.iter().zip(from..);
        left.extend(costs.map(|(&energy, i)| self.exact_cost(arrays, ramps, flow, node, i, -energy)));
    }

    /// Cuts what an offer may take in an interval, between two bounds, into pieces on which a unit more gains the same.
    fn cut(
        &self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        flow: &[f64],
        offer: &Offer,
        (i, (lower, upper)): (usize, (f64, f64)),
        pieces: &mut Pieces,
    ) {
        let (node, kinks) = (offer.node as usize, &mut pieces.kinks);
        kinks.clear();
        kinks.extend([lower, upper]);
        if lower < 0.0 && upper > 0.0 {
            kinks.push(0.0);
        }
        if ramps.is_some() {
            for part in 1..8 {
                let x = (lower + (upper - lower) * f64::from(part) / 8.0).round();
                if x > lower && x < upper {
                    kinks.push(x);
                }
            }
        } else if upper > self.room_up[i] || -lower > self.room_down[i] {
            for &(limit, factor) in arrays.limits_of(node) {
                let at = limit as usize * arrays.t + i;
                let x = (-state_over(arrays, flow, at) / factor).floor();
                if arrays.penalty[at] > 0.0 && x > lower && x < upper {
                    kinks.push(x);
                }
            }
        }
        kinks.sort_unstable_by(f64::total_cmp);
        let mut before = self.exact_cost(arrays, ramps, flow, node, i, kinks[0]);
        for pair in kinks.windows(2) {
            let length = pair[1] - pair[0];
            if length <= 0.0 {
                continue;
            }
            let after = self.exact_cost(arrays, ramps, flow, node, i, pair[1]);
            let asked = if pair[0] >= 0.0 { offer.up } else { -offer.down };
            pieces.all.push(Piece { gain: (before - after) / length - asked, length });
            before = after;
        }
    }
}

/// How far a limit is exceeded.
#[inline]
fn state_over(arrays: &Arrays, flow: &[f64], at: usize) -> f64 {
    flow[at] - arrays.headroom[at]
}
