//! What one offer does at given prices: its best start, energies or factor. Exact for each kind of offer.
//!
//! Prices are those of the offer's node, per interval, with a slope: a unit more costs `price + curve·x`. Without
//! curves the answer is the offer's part of the Lagrangian; with them it is a step of the augmented one.

use super::arrays::{Arrays, Kind, Offer};
use super::energies::Profile;
use super::pieces::Pieces;

/// A schedule by its choices; the energies lie in a buffer beside it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Answer {
    /// Whether it leaves its default.
    pub active: bool,
    pub start: u32,
    /// Of an option.
    pub factor: f64,
    /// Cost at these prices, asked sums included; the default costs 0.
    pub cost: f64,
}

impl Answer {
    pub const REST: Self = Self { active: false, start: 0, factor: 0.0, cost: 0.0 };
}

/// A deviation over some intervals.
#[derive(Debug, Clone, Default)]
pub(super) struct Deviation {
    pub at: usize,
    pub values: Vec<f64>,
}

/// Buffers of a response.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    pub profile: Profile,
    /// The answer's energies: deviations of an amount offer, absolute of a general one.
    pub energies: Vec<f64>,
    pub deviation: Deviation,
    pub pieces: Pieces,
    /// What it costs to leave the default behind, by its interval.
    pub left: Vec<f64>,
    shifted: Vec<f64>,
    costs: Vec<f64>,
}

impl Arrays {
    /// The deviation of an answer whose energies are given.
    pub fn deviation(&self, offer: &Offer, answer: &Answer, energies: &[f64], out: &mut Deviation) {
        out.values.clear();
        if !answer.active {
            return;
        }
        let (at, slices) = (offer.at as usize, offer.slices as usize);
        match offer.kind {
            Kind::Amount => {
                out.at = offer.start_default as usize;
                out.values.extend_from_slice(energies);
            }
            Kind::Option => {
                out.at = offer.start_default as usize;
                let whole = &self.option[at..at + slices];
                out.values.extend(whole.iter().map(|e| (e * answer.factor).trunc()));
            }
            Kind::Shift | Kind::General => {
                let (from, start) = (offer.start_default as usize, answer.start as usize);
                out.at = from.min(start);
                out.values.resize(from.max(start) + slices - out.at, 0.0);
                let taken = if offer.kind == Kind::Shift { &self.lower[at..at + slices] } else { energies };
                for k in 0..slices {
                    out.values[start + k - out.at] += taken[k];
                    out.values[from + k - out.at] -= self.default[at + k];
                }
            }
        }
    }

    /// What an offer asks for a deviation from a start.
    pub fn asked(&self, offer: &Offer, answer: &Answer, deviation: &Deviation) -> f64 {
        if !answer.active {
            return 0.0;
        }
        let away = f64::from(answer.start.abs_diff(offer.start_default));
        let mut sum = offer.activation + offer.shifted * away;
        if offer.up != 0.0 || offer.down != 0.0 {
            sum += deviation
                .values
                .iter()
                .map(|&x| if x > 0.0 { offer.up * x } else { -offer.down * x })
                .sum::<f64>();
        }
        sum
    }

    /// What an offer whose slices are fixed asks per kWh for another start.
    pub fn moved(&self, offer: &Offer, start: usize) -> f64 {
        if offer.up == 0.0 && offer.down == 0.0 {
            return 0.0;
        }
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let taken = |energies: &[f64], begin: usize, slot: usize| {
            slot.checked_sub(begin).and_then(|k| energies.get(k)).copied().unwrap_or(0.0)
        };
        let (energies, default) = (&self.lower[at..at + n], &self.default[at..at + n]);
        let deviation = |slot| taken(energies, start, slot) - taken(default, from, slot);
        let asked = |x: f64| if x > 0.0 { offer.up * x } else { -offer.down * x };
        (start.min(from)..start.max(from) + n).map(|slot| asked(deviation(slot))).sum()
    }

    /// The best answer at prices and slopes of the offer's node. `CURVED` is false for prices alone.
    pub fn respond<const CURVED: bool>(
        &self,
        offer: &Offer,
        price: &[f64],
        curve: &[f64],
        scratch: &mut Scratch,
    ) -> Answer {
        match offer.kind {
            Kind::Amount => self.amount::<CURVED>(offer, price, curve, scratch),
            Kind::Shift => self.shift::<CURVED>(offer, price, curve, scratch),
            Kind::Option => self.option::<CURVED>(offer, price, curve),
            Kind::General => self.general::<CURVED>(offer, price, curve, scratch),
        }
    }

    fn amount<const CURVED: bool>(
        &self,
        offer: &Offer,
        price: &[f64],
        curve: &[f64],
        scratch: &mut Scratch,
    ) -> Answer {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let profile = &mut scratch.profile;
        profile.clear();
        profile.price.extend_from_slice(&price[from..from + n]);
        for k in 0..n {
            profile.lower.push(self.lower[at + k] - self.default[at + k]);
            profile.upper.push(self.upper[at + k] - self.default[at + k]);
        }
        profile.total_lower = offer.total_lower - offer.default_sum;
        profile.total_upper = offer.total_upper - offer.default_sum;
        self.take_course(offer, from, profile);
        (profile.up, profile.down) = (offer.up, offer.down);
        if CURVED {
            profile.curve.extend_from_slice(&curve[from..from + n]);
            profile.quadratic();
        } else {
            profile.curve.resize(n, 0.0);
            profile.linear();
        }
        let cost = profile.cost() + offer.activation;
        if cost >= 0.0 {
            return Answer::REST;
        }
        let cost = match profile.reach_least(offer.least) {
            Some(true) => profile.cost() + offer.activation,
            Some(false) => 0.0,
            None => cost,
        };
        if cost >= 0.0 {
            return Answer::REST;
        }
        scratch.energies.clear();
        scratch.energies.extend_from_slice(&profile.x);
        Answer { active: true, start: offer.start_default, factor: 0.0, cost }
    }

    fn shift<const CURVED: bool>(
        &self,
        offer: &Offer,
        price: &[f64],
        curve: &[f64],
        scratch: &mut Scratch,
    ) -> Answer {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let energies = &self.lower[at..at + n];
        let (first, last) = (offer.start_first as usize, offer.start_last as usize);
        let mut away = 0.0;
        let window: &[f64] = if CURVED {
            // (new − old)² = new² + old² − 2·new·old, so the old profile lowers the price where it was.
            let shifted = &mut scratch.shifted;
            shifted.clear();
            shifted.extend_from_slice(&price[first..last + n]);
            for k in 0..n {
                let (e, i) = (energies[k], from + k);
                away += (0.5 * curve[i] * e - price[i]) * e;
                shifted[i - first] -= curve[i] * e;
            }
            shifted
        } else {
            for k in 0..n {
                away -= price[from + k] * energies[k];
            }
            &price[first..last + n]
        };
        // All starts at once, slice by slice: sums of their own are added side by side.
        let costs = &mut scratch.costs;
        costs.clear();
        let asked = |start: usize| {
            let shifted = offer.shifted * start.abs_diff(from) as f64;
            away + offer.activation + shifted + self.moved(offer, start)
        };
        costs.extend((first..=last).map(asked));
        for k in 0..n {
            let e = energies[k];
            let here = &window[k..k + costs.len()];
            if CURVED {
                let slope = &curve[first + k..first + k + costs.len()];
                for ((sum, p), r) in costs.iter_mut().zip(here).zip(slope) {
                    *sum += (p + 0.5 * r * e) * e;
                }
            } else {
                for (sum, p) in costs.iter_mut().zip(here) {
                    *sum += p * e;
                }
            }
        }
        let mut best = Answer::REST;
        for (start, &cost) in (first..).zip(costs.iter()) {
            if start != from && cost < best.cost {
                best = Answer { active: true, start: start as u32, factor: 0.0, cost };
            }
        }
        best
    }

    fn option<const CURVED: bool>(&self, offer: &Offer, price: &[f64], curve: &[f64]) -> Answer {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let (mut slope, mut bend) = (0.0, 0.0);
        for k in 0..n {
            let x = self.option[at + k];
            slope += price[from + k] * x + if x > 0.0 { offer.up * x } else { -offer.down * x };
            if CURVED {
                bend += curve[from + k] * x * x;
            }
        }
        let free = if CURVED && bend > 0.0 {
            -slope / bend
        } else if slope < 0.0 {
            1.0
        } else {
            0.0
        };
        let factor = free.clamp(offer.factor_min, 1.0);
        let factor = (factor * 1e6).round() / 1e6;
        let cost = slope * factor + 0.5 * bend * factor * factor + offer.activation;
        if cost < 0.0 {
            Answer { active: true, start: offer.start_default, factor, cost }
        } else {
            Answer::REST
        }
    }

    fn general<const CURVED: bool>(
        &self,
        offer: &Offer,
        price: &[f64],
        curve: &[f64],
        scratch: &mut Scratch,
    ) -> Answer {
        let mut best =
            if offer.may_rest { Answer::REST } else { Answer { cost: f64::INFINITY, ..Answer::REST } };
        for start in offer.start_first..=offer.start_last {
            let fixed = self.pose(offer, start as usize, &mut scratch.profile, |i| {
                (price[i], if CURVED { curve[i] } else { 0.0 })
            });
            if CURVED {
                scratch.profile.quadratic();
            } else {
                scratch.profile.linear();
            }
            let inside = offer.least - self.left_behind(offer, start as usize);
            if scratch.profile.reach_least(inside) == Some(false) {
                continue;
            }
            let cost = fixed + scratch.profile.cost();
            if cost < best.cost {
                best = Answer { active: true, start, factor: 0.0, cost };
                self.absolute(offer, start as usize, &scratch.profile.x, &mut scratch.energies);
            }
        }
        best
    }

    /// Writes the energies problem of a start into `profile`; returns what is the same whatever the energies:
    /// the default that is left elsewhere, and the sums asked.
    pub fn pose(
        &self,
        offer: &Offer,
        start: usize,
        profile: &mut Profile,
        terms: impl Fn(usize) -> (f64, f64),
    ) -> f64 {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        profile.clear();
        let mut base_sum = 0.0;
        for k in 0..n {
            let base = self.base(offer, start + k);
            let (price, curve) = terms(start + k);
            profile.price.push(price);
            profile.curve.push(curve);
            profile.lower.push(self.lower[at + k] - base);
            profile.upper.push(self.upper[at + k] - base);
            base_sum += base;
        }
        profile.total_lower = offer.total_lower - base_sum;
        profile.total_upper = offer.total_upper - base_sum;
        self.take_course(offer, start, profile);
        (profile.up, profile.down) = (offer.up, offer.down);
        let mut fixed = offer.activation + offer.shifted * start.abs_diff(from) as f64;
        for i in (from..from + n).filter(|i| *i < start || *i >= start + n) {
            let x = -self.default[at + i - from];
            let (price, curve) = terms(i);
            fixed += (price + 0.5 * curve * x) * x + if x > 0.0 { offer.up * x } else { -offer.down * x };
        }
        fixed
    }

    /// The offer's bounds on running sums, as bounds on the deviations of a start.
    fn take_course(&self, offer: &Offer, start: usize, profile: &mut Profile) {
        let Some(running) = offer.running else { return };
        let mut anyway = 0.0;
        for interval in start..start + offer.slices as usize {
            anyway += self.base(offer, interval);
            profile.course.push(running, anyway);
        }
    }

    /// What a start deviates by where it leaves the default behind, mWh; counted only where a least is asked for.
    pub fn left_behind(&self, offer: &Offer, start: usize) -> f64 {
        if offer.least == 0.0 {
            return 0.0;
        }
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        let behind = (from..from + n).filter(|i| *i < start || *i >= start + n);
        behind.map(|i| self.default[at + i - from].abs()).sum()
    }

    /// What the default takes in an interval.
    fn base(&self, offer: &Offer, interval: usize) -> f64 {
        let (at, n, from) = (offer.at as usize, offer.slices as usize, offer.start_default as usize);
        if interval >= from && interval < from + n { self.default[at + interval - from] } else { 0.0 }
    }

    /// Deviations of a start from energies.
    pub fn relative(&self, offer: &Offer, start: usize, energies: &[i64]) -> Vec<f64> {
        let one = |(k, &energy): (usize, &i64)| energy as f64 - self.base(offer, start + k);
        energies.iter().enumerate().map(one).collect()
    }

    /// Energies from deviations of a start.
    pub fn absolute(&self, offer: &Offer, start: usize, x: &[f64], out: &mut Vec<f64>) {
        out.clear();
        out.extend(x.iter().enumerate().map(|(k, x)| x + self.base(offer, start + k)));
    }
}
