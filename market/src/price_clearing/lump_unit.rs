//! Which unit of a lump price tells most: the one whose rounding is broken most by the mean of many answers.
//!
//! At prices near the best ones the answers alternate between schedules, and their mean approaches the point of the
//! relaxation that the bound stands for. A unit whose `Σ φ(xᵢ)` exceeds `φ(H)` and the overload there cuts that point off.

use super::arrays::{Arrays, Kind};
use super::lump_dual::Measure;
use super::respond::{Answer, Deviation};

/// How much of the mean stays at every answer.
const KEEP: f64 = 0.96;
/// A schedule that is answered more rarely than this does not count.
const SHARE_MIN: f64 = 0.04;
/// Units tried per limit and interval.
const TRIED_MAX: usize = 12;
/// A use of one offer: mWh through the limit, and the share of answers that has it.
type Use = (f64, f64);

/// Running mean of the answers.
pub(super) struct Mean {
    /// First choice of each offer that is taken as a whole.
    first: Vec<u32>,
    shares: Vec<f64>,
    /// Per limit and interval: relief by divisible amounts (at most 0), and use in all.
    relief: Vec<f64>,
    used: Vec<f64>,
}

impl Mean {
    pub fn new(arrays: &Arrays) -> Self {
        let mut first = Vec::with_capacity(arrays.offers.len());
        let mut choices = 0;
        for offer in &arrays.offers {
            first.push(choices);
            choices += match offer.kind {
                Kind::Shift => offer.start_last - offer.start_first + 1,
                Kind::Option => 1,
                Kind::Amount | Kind::General => 0,
            };
        }
        let size = arrays.limits * arrays.t;
        Self { first, shares: vec![0.0; choices as usize], relief: vec![0.0; size], used: vec![0.0; size] }
    }

    /// Makes room for the next answers.
    pub fn fade(&mut self) {
        for values in [&mut self.shares, &mut self.relief, &mut self.used] {
            values.iter_mut().for_each(|value| *value *= KEEP);
        }
    }

    /// Takes in what one offer answered.
    pub fn take(&mut self, arrays: &Arrays, index: usize, answer: &Answer, deviation: &Deviation) {
        let offer = &arrays.offers[index];
        let whole = matches!(offer.kind, Kind::Shift | Kind::Option);
        if whole {
            let choice = if offer.kind == Kind::Shift { answer.start - offer.start_first } else { 0 };
            self.shares[(self.first[index] + choice) as usize] += 1.0 - KEEP;
        }
        for &(limit, factor) in arrays.limits_of(offer.node as usize) {
            let at = limit as usize * arrays.t + deviation.at;
            for (j, x) in deviation.values.iter().enumerate() {
                let part = (1.0 - KEEP) * factor * x;
                self.used[at + j] += part;
                self.relief[at + j] += if whole { 0.0 } else { part.min(0.0) };
            }
        }
    }

    /// Takes other units where they are broken more than the present ones.
    pub fn choose(&self, arrays: &Arrays, units: &mut [f64]) {
        let uses = self.uses(arrays);
        let mut here: Vec<Use> = Vec::new();
        let mut nodes = vec![Vec::new(); arrays.limits];
        for node in 0..arrays.nodes {
            arrays.limits_of(node).iter().for_each(|&(l, factor)| nodes[l as usize].push((node, factor)));
        }
        for at in (0..units.len()).filter(|&at| arrays.penalty[at] > 0.0) {
            here.clear();
            for &(node, factor) in &nodes[at / arrays.t] {
                let uses = &uses[node * arrays.t + at % arrays.t];
                here.extend(uses.iter().map(|&(x, share)| (factor * x, share)));
            }
            if !here.is_empty() {
                units[at] = self.best(arrays.headroom[at], at, &here, units[at]);
            }
        }
    }

    /// Per node and interval: what its whole offers take there.
    fn uses(&self, arrays: &Arrays) -> Vec<Vec<Use>> {
        let mut uses = vec![Vec::new(); arrays.nodes * arrays.t];
        let mut deviation = Deviation::default();
        for (index, offer) in arrays.offers.iter().enumerate() {
            let starts = match offer.kind {
                Kind::Shift => offer.start_first..=offer.start_last,
                Kind::Option => offer.start_default..=offer.start_default,
                Kind::Amount | Kind::General => continue,
            };
            for (start, choice) in starts.zip(self.first[index]..) {
                let share = self.shares[choice as usize];
                if share < SHARE_MIN {
                    continue;
                }
                let answer = Answer { active: true, start, factor: 1.0, cost: 0.0 };
                arrays.deviation(offer, &answer, &[], &mut deviation);
                let at = offer.node as usize * arrays.t + deviation.at;
                for (j, &x) in deviation.values.iter().enumerate().filter(|&(_, &x)| x != 0.0) {
                    uses[at + j].push((x, share));
                }
            }
        }
        uses
    }

    /// The unit that is broken most, and the present one when no other is clearly better.
    fn best(&self, headroom: f64, at: usize, uses: &[Use], present: f64) -> f64 {
        let over = (self.used[at] - headroom).max(0.0);
        let broken = |unit: f64| {
            let measure = Measure::new(headroom, unit);
            let counted: f64 = uses.iter().map(|&(x, share)| share * measure.of(x)).sum();
            counted + self.relief[at] - measure.free() - over
        };
        let mut tried: Vec<(f64, f64)> = uses.iter().map(|&(x, share)| (x.abs().round(), share)).collect();
        tried.retain(|&(unit, _)| unit >= 1.0);
        tried.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.total_cmp(&a.0)));
        tried.dedup_by(|a, b| a.0 == b.0);
        tried.truncate(TRIED_MAX);
        let size = headroom.abs() + 1.0;
        tried.extend([(size, 0.0), ((0.5 * size).ceil(), 0.0), ((size / 3.0).ceil(), 0.0), (0.0, 0.0)]);
        let now = broken(present);
        let mut best = (now + 0.02 * size.min(1e6), present);
        for (unit, _) in tried {
            let value = broken(unit);
            if value > best.0 {
                best = (value, unit);
            }
        }
        best.1
    }
}
