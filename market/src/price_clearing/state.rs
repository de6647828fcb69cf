//! Which schedule each offer runs, and what of every limit is used by them.

use super::arrays::{Arrays, Kind, Offer};
use super::course::{self, Course};
use super::respond::{Answer, Deviation};

/// A choice per offer, and the use of every limit.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub answers: Vec<Answer>,
    /// In the places of the slices: deviations of amount offers, energies of general ones.
    pub energies: Vec<f64>,
    /// Use per limit and interval, mWh.
    pub flow: Vec<f64>,
}

impl State {
    /// Every offer runs its default.
    pub fn at_rest(arrays: &Arrays) -> Self {
        Self {
            answers: vec![Answer::REST; arrays.offers.len()],
            energies: vec![0.0; arrays.default.len()],
            flow: vec![0.0; arrays.limits * arrays.t],
        }
    }

    /// The deviation of an offer as it is now.
    pub fn deviation(&self, arrays: &Arrays, index: usize, out: &mut Deviation) {
        let offer = &arrays.offers[index];
        let slices = offer.at as usize..(offer.at + offer.slices) as usize;
        arrays.deviation(offer, &self.answers[index], &self.energies[slices], out);
    }

    /// Another offer of the same exclusive group that leaves its default.
    pub fn rival(&self, arrays: &Arrays, index: usize) -> Option<usize> {
        let members = arrays.groups.get(arrays.offers[index].group as usize)?;
        members.iter().map(|&member| member as usize).find(|&m| m != index && self.answers[m].active)
    }

    /// Keeps an answer with its energies.
    pub fn put(&mut self, arrays: &Arrays, index: usize, answer: Answer, energies: &[f64]) {
        let offer = &arrays.offers[index];
        if answer.active && matches!(offer.kind, Kind::Amount | Kind::General) {
            let at = offer.at as usize;
            self.energies[at..at + energies.len()].copy_from_slice(energies);
        }
        self.answers[index] = answer;
    }

    /// Adds a deviation at a node to the flows.
    pub fn add(&mut self, arrays: &Arrays, node: usize, deviation: &Deviation, weight: f64) {
        add_flow(arrays, &mut self.flow, node, deviation, weight);
    }

    /// Counts the flows anew.
    pub fn recount(&mut self, arrays: &Arrays) {
        self.flow.iter_mut().for_each(|f| *f = 0.0);
        let mut deviation = Deviation::default();
        let mut at_node = vec![0.0; arrays.t];
        for node in 0..arrays.nodes {
            at_node.iter_mut().for_each(|x| *x = 0.0);
            for &index in arrays.offers_of(node) {
                self.deviation(arrays, index as usize, &mut deviation);
                let to = &mut at_node[deviation.at..];
                deviation.values.iter().zip(to).for_each(|(x, to)| *to += x);
            }
            spread(arrays, &mut self.flow, node, &at_node);
        }
    }

    /// Welfare as far as `f64` tells, in 10⁻⁶ micro-units.
    pub fn welfare(&self, arrays: &Arrays) -> f64 {
        let mut sum = arrays.constant;
        for i in 0..self.flow.len() {
            sum -= arrays.penalty[i] * (self.flow[i] - arrays.headroom[i]).max(0.0);
        }
        let mut deviation = Deviation::default();
        for (index, answer) in self.answers.iter().enumerate().filter(|(_, answer)| answer.active) {
            self.deviation(arrays, index, &mut deviation);
            sum -= arrays.asked(&arrays.offers[index], answer, &deviation);
        }
        sum
    }

    /// Energies become whole, totals kept, and the flows are counted anew.
    pub fn round(&mut self, arrays: &Arrays) {
        let mut deviation = Deviation::default();
        for (index, offer) in arrays.offers.iter().enumerate() {
            if !self.answers[index].active || !matches!(offer.kind, Kind::Amount | Kind::General) {
                continue;
            }
            let (at, n) = (offer.at as usize, offer.slices as usize);
            let base = if offer.kind == Kind::Amount { offer.default_sum } else { 0.0 };
            let x = &mut self.energies[at..at + n];
            let bounds = |k: usize| {
                let default = if offer.kind == Kind::Amount { arrays.default[at + k] } else { 0.0 };
                (arrays.lower[at + k] - default, arrays.upper[at + k] - default)
            };
            let total = (offer.total_lower - base, offer.total_upper - base);
            match offer.running {
                Some(running) => course::whole(x, &course_of(arrays, offer, running), bounds, total),
                None => whole(x, bounds, total),
            }
            if offer.least > 0.0 && offer.may_rest {
                // Rounding may have left too little; an exact step finds the rest again.
                self.deviation(arrays, index, &mut deviation);
                if deviation.values.iter().map(|x| x.abs()).sum::<f64>() < offer.least {
                    self.answers[index] = Answer::REST;
                }
            }
        }
        self.recount(arrays);
    }
}

/// Whole energies near `x` that keep to their bounds and to a total.
fn whole(x: &mut [f64], bounds: impl Fn(usize) -> (f64, f64), total: (f64, f64)) {
    x.iter_mut().for_each(|x| *x = x.round());
    let sum: f64 = x.iter().sum::<f64>();
    let mut missing = (total.0 - sum).max(0.0) - (sum - total.1).max(0.0);
    for (k, x) in x.iter_mut().enumerate() {
        let (lower, upper) = bounds(k);
        *x = x.clamp(lower, upper);
        let step = missing.clamp(lower - *x, upper - *x);
        *x += step;
        missing -= step;
    }
}

/// Bounds on the running sums of what is kept of an offer: deviations of amount offers, energies of general ones.
fn course_of(arrays: &Arrays, offer: &Offer, running: (f64, f64)) -> Course<f64> {
    let (mut course, mut anyway) = (Course::default(), 0.0);
    for at in offer.at as usize..(offer.at + offer.slices) as usize {
        anyway += if offer.kind == Kind::Amount { arrays.default[at] } else { 0.0 };
        course.push(running, anyway);
    }
    course
}

/// Adds a deviation at a node to flows.
pub(super) fn add_flow(arrays: &Arrays, flow: &mut [f64], node: usize, deviation: &Deviation, weight: f64) {
    for &(limit, factor) in arrays.limits_of(node) {
        let row = &mut flow[limit as usize * arrays.t + deviation.at..][..deviation.values.len()];
        let factor = factor * weight;
        for (to, x) in row.iter_mut().zip(&deviation.values) {
            *to += factor * x;
        }
    }
}

/// Adds a node's whole deviation to flows.
pub(super) fn spread(arrays: &Arrays, flow: &mut [f64], node: usize, at_node: &[f64]) {
    for &(limit, factor) in arrays.limits_of(node) {
        let row = &mut flow[limit as usize * arrays.t..][..arrays.t];
        for (to, x) in row.iter_mut().zip(at_node) {
            *to += factor * x;
        }
    }
}
