//! Lump prices on integers.
//!
//! What exceeds a head-room `H ≥ 0`, `s ≥ max(0, Σxᵢ − H)`, also exceeds `Σ G(xᵢ)` with `G(x) = max(0, x − H)` for `x > 0`
//! and `G(x) = x` for `x ≤ 0`: if no `xᵢ` is above `H` the sum is not positive, and if one is, `Σxᵢ⁺ − H` is at least
//! `Σ(xᵢ − H)⁺`. Where `H < 0` (relief of `D = −H` is wanted) it exceeds `D + Σ G(xᵢ)` with `G(x) = −min(−x, D)` for
//! `x < 0` and 0 otherwise. So part of a penalty may be charged on `G`: a charger that would not fit pays in full what
//! a share of it would not, and relief beyond what is asked earns nothing. Few, lumpy offers are judged far better so.
//!
//! A *unit* `δ` counts several lumps together (mixed-integer rounding): with `r = H mod δ`,
//! `φ(x) = (δ − r)·⌊x/δ⌋ + max(0, x mod δ − r)` is superadditive and nowhere steeper than 1, so
//! `s ≥ φ(Σxᵢ) − φ(H) ≥ Σ φ(xᵢ) − φ(H)`. Of two chargers, each a little larger than half of the head-room, it knows that
//! only one fits. Divisible amounts count as relief in full and as nothing when they add: `min(0, x)`, never above `φ`.
//!
//! An offer may count from a *reference* `ρᵢ` instead of from no deviation: `Σxᵢ − H = Σ(xᵢ − ρᵢ) − (H − Σρᵢ)`, and the same
//! holds of the differences and of what is left of the head-room. Any references prove; those near what offers do prove
//! most. What an offer pays is told against its default: `φ(x − ρ) − φ(−ρ)`; the rest is the same for all schedules.

use super::offer::OfferView;
use super::outcome::{Limit, Prices};
use super::problem::{ClearingProblem, WHOLE};
use super::worth::{Incidence, headroom};

const MILLION: i128 = WHOLE as i128;

/// What all lump prices have in common with each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Lumps {
    /// What the references leave of the head-room, millionths of a mWh, per lump price.
    left: Vec<i128>,
    /// Per offer: its references as lump price and mWh, ascending.
    from: Vec<Vec<(u32, i64)>>,
}

/// From where an offer counts.
#[derive(Debug, Clone, Default)]
pub(super) struct References {
    /// In the order of the lump prices at its node, mWh; nothing when it has none.
    of: Vec<i64>,
    /// Whether it is taken as a whole.
    whole: bool,
}

impl References {
    fn of(&self, lump: usize) -> i64 {
        self.of.get(lump).copied().unwrap_or_default()
    }
}

/// A lump price at a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lump {
    /// Place in the prices.
    number: u32,
    /// Sensitivity, millionths.
    pub factor: i128,
    /// Micro-units per kWh.
    pub price: i128,
    left: i128,
    unit: i128,
}

impl Lumps {
    pub fn new(problem: &ClearingProblem, incidence: &Incidence, prices: &Prices) -> Self {
        let mut lumps = Self { left: Vec::new(), from: vec![Vec::new(); problem.offers()] };
        for (number, lump) in prices.lumps.iter().enumerate() {
            let mut left = headroom(problem, lump.limit, lump.interval.into()) * MILLION;
            for &(offer, energy) in &lump.from {
                let node = problem.offer(offer as usize).node() as usize;
                left -= incidence.factor(node, lump.limit) * i128::from(energy);
                lumps.from[offer as usize].push((number as u32, energy));
            }
            lumps.left.push(left);
        }
        lumps
    }

    /// A lump price at a node of a sensitivity in millionths.
    pub fn at(&self, prices: &Prices, number: usize, factor: i128) -> Lump {
        let lump = &prices.lumps[number];
        Lump {
            number: number as u32,
            factor,
            price: lump.price.into(),
            left: self.left[number],
            unit: lump.unit.into(),
        }
    }

    /// The references of an offer at some lump prices at its node.
    pub fn references(&self, offer: usize, view: &OfferView<'_>, lumps: &[Lump]) -> References {
        let from = &self.from[offer];
        let of = |lump: &Lump| {
            from.binary_search_by_key(&lump.number, |&(number, _)| number).map_or(0, |at| from[at].1)
        };
        let of = if from.is_empty() { Vec::new() } else { lumps.iter().map(of).collect() };
        References { of, whole: is_whole(view) }
    }

    /// What all lump prices are worth before any offer answers, times [`MILLION`] micro-units.
    pub fn constant(&self, problem: &ClearingProblem, incidence: &Incidence, prices: &Prices) -> i128 {
        let mut sum = 0;
        for (number, lump) in prices.lumps.iter().enumerate() {
            let whole = self.at(prices, number, MILLION);
            let mut free = whole.room();
            for &(offer, energy) in &lump.from {
                let view = problem.offer(offer as usize);
                let rest = -incidence.factor(view.node() as usize, lump.limit) * i128::from(energy);
                free -= if is_whole(&view) { whole.counted(rest) } else { rest.min(0) };
            }
            sum += whole.price * free;
        }
        sum
    }
}

/// Whether an offer is taken as a whole, so that its uses are rounded.
pub(super) fn is_whole(view: &OfferView<'_>) -> bool {
    match view.option {
        Some(_) => view.head.factor_min == WHOLE as u32,
        None => view.lower == view.upper,
    }
}

impl Lump {
    /// Of which limit.
    pub fn limit(&self, prices: &Prices) -> Limit {
        prices.lumps[self.number as usize].limit
    }

    /// `G` or `φ` of a use, millionths of a mWh.
    fn counted(&self, x: i128) -> i128 {
        if self.unit > 0 {
            let unit = self.unit * MILLION;
            let rest = self.left.rem_euclid(unit);
            return (unit - rest) * x.div_euclid(unit) + (x.rem_euclid(unit) - rest).max(0);
        }
        match (self.left >= 0, x > 0) {
            (true, true) => (x - self.left).max(0),
            (true, false) => x,
            (false, true) => 0,
            (false, false) => x.max(self.left),
        }
    }

    /// What all uses together may count without overload.
    fn room(&self) -> i128 {
        if self.unit > 0 { self.counted(self.left) } else { self.left.min(0) }
    }

    /// What a deviation (mWh) pays more than none. `number` is the lump price's place at the node.
    pub fn charge(&self, x: i128, number: usize, references: &References) -> i128 {
        let used = self.factor * x;
        let counts = match (self.factor * i128::from(references.of(number)), references.whole) {
            (0, _) => self.counted(used),
            (from, true) => self.counted(used - from) - self.counted(-from),
            (from, false) => (used - from).min(0) - (-from).min(0),
        };
        self.price * counts
    }

    /// What a mWh below and above no deviation pays of a divisible amount, which counts from its least, its default or its
    /// most.
    pub fn slopes(&self, number: usize, references: &References) -> (i128, i128) {
        let reference = references.of(number);
        let pays = self.price * self.factor;
        let (below, above) = match self.factor > 0 {
            true => (reference >= 0, reference > 0),
            false => (reference < 0, reference <= 0),
        };
        (if below { pays } else { 0 }, if above { pays } else { 0 })
    }
}
