//! What one offer could gain at most at given prices, found another way than the solver does: for energies with a
//! total, the least cost is the largest of a family of bounds, one for each price on the total.

use super::MILLION;
use crate::price_clearing::OfferView;

/// What energy costs at one node, 10⁻¹⁸ of the currency per mWh, and the lump prices per interval.
#[derive(Debug, Clone)]
pub(super) struct NodeTariff {
    pub price: Vec<i128>,
    /// Of it, what the bids make.
    pub of_bids: Vec<i128>,
    lumps: Vec<Vec<Lump>>,
}

/// A lump price: charged on what one offer uses of the element beyond the head-room, and paid for what it relieves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lump {
    /// Sensitivity, millionths.
    pub factor: i128,
    /// Micro-units per kWh.
    pub price: i64,
    /// mWh.
    pub headroom: i64,
    /// In which uses are counted, mWh; 0 for none.
    pub unit: i64,
}

impl Lump {
    /// What a use of one element pays for the lump part.
    pub fn charge(self, energy: i128) -> i128 {
        i128::from(self.price) * self.counted(self.factor * energy)
    }

    /// What counts of a use (millionths of a mWh). In units: of every whole one what the head-room leaves of a unit, and
    /// what the rest exceeds that by.
    fn counted(self, used: i128) -> i128 {
        let headroom = i128::from(self.headroom);
        if self.unit > 0 {
            let unit = i128::from(self.unit) * MILLION;
            let remainder = (headroom * MILLION).rem_euclid(unit);
            let rest = used.rem_euclid(unit);
            return (used - rest) / unit * (unit - remainder)
                + if rest > remainder { rest - remainder } else { 0 };
        }
        match (headroom >= 0, used > 0) {
            (true, true) => (used - headroom * MILLION).max(0),
            (true, false) => used,
            (false, true) => 0,
            (false, false) => used.max(headroom * MILLION),
        }
    }

    /// What all uses together may count without overload, times the price.
    pub fn free(self) -> i128 {
        let whole = Self { factor: MILLION, ..self };
        match (self.unit > 0, self.headroom > 0) {
            (false, true) => 0,
            _ => whole.charge(i128::from(self.headroom)),
        }
    }
}

impl NodeTariff {
    pub fn new(intervals: usize) -> Self {
        Self { price: vec![0; intervals], of_bids: vec![0; intervals], lumps: vec![Vec::new(); intervals] }
    }

    pub fn add(&mut self, interval: usize, price: i64, lump: Lump) {
        self.price[interval] += i128::from(price) * lump.factor;
        if lump.price > 0 {
            self.lumps[interval].push(lump);
        }
    }

    /// Σ sensitivity × lump price.
    pub fn lump_price(&self, interval: usize) -> i128 {
        self.lumps[interval].iter().map(|lump| i128::from(lump.price) * lump.factor).sum()
    }

    /// What an energy pays at the node in an interval.
    pub fn charge(&self, interval: usize, energy: i128) -> i128 {
        let lumps: i128 = self.lumps[interval].iter().map(|lump| lump.charge(energy)).sum();
        self.price[interval] * energy + lumps
    }

    /// Price of a divisible kWh less and of one more: relief counts in full, additions do not count as lumps.
    fn sides(&self, interval: usize) -> (i128, i128) {
        let relief = |up: bool| -> i128 {
            let counts = |lump: &&Lump| if up { lump.factor < 0 } else { lump.factor > 0 };
            let all = self.lumps[interval].iter().filter(counts);
            all.map(|lump| i128::from(lump.price) * lump.factor).sum()
        };
        (self.price[interval] + relief(false), self.price[interval] + relief(true))
    }
}

/// What an offer could gain at the prices.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gain {
    /// By leaving its default, at most; `None` when it has no other schedule.
    pub away: Option<i128>,
    /// Whether it may stay.
    pub may_rest: bool,
    /// Whether `away` is reached by a schedule, where all its schedules are given as a whole.
    pub reached: bool,
}

impl Gain {
    /// By whatever it may do.
    pub fn at_most(self) -> i128 {
        let away = self.away.unwrap_or_default();
        if self.may_rest { away.max(0) } else { away }
    }
}

/// What leaving its default gains an offer at most, and whether it may stay.
pub(super) fn most_gained(view: &OfferView<'_>, tariff: &NodeTariff) -> Gain {
    let terms = view.parts();
    if let Some(option) = view.option {
        let whole = i128::from(terms.factor_min) == MILLION;
        let at = |factor: u32| option_gain(view, tariff, option, i128::from(factor), whole);
        let gain = at(terms.factor_min).max(at(1_000_000));
        return Gain { away: Some(gain), may_rest: true, reached: whole };
    }
    let total: i64 = view.default.iter().sum();
    let inside = view.default.iter().zip(view.lower).zip(view.upper).all(|((d, l), u)| l <= d && d <= u);
    let may_rest = inside
        && terms.start_first <= terms.start_default
        && terms.start_default <= terms.start_last
        && terms.total_lower <= total
        && total <= terms.total_upper;
    let mut best: Option<i128> = None;
    for start in terms.start_first..=terms.start_last {
        if let Some(gain) = start_gain(view, tariff, usize::from(start)) {
            best = Some(best.map_or(gain, |most| most.max(gain)));
        }
    }
    Gain { away: best, may_rest, reached: view.lower == view.upper }
}

fn option_gain(view: &OfferView<'_>, tariff: &NodeTariff, option: &[i64], factor: i128, whole: bool) -> i128 {
    let terms = view.parts();
    let mut cost = i128::from(terms.activation) * super::MICRO;
    let mut moves = false;
    for (slice, &full) in option.iter().enumerate() {
        let energy = i128::from(full) * factor / MILLION;
        moves |= energy != 0;
        let interval = usize::from(terms.start_default) + slice;
        let asked = i128::from(if energy > 0 { terms.price_up } else { terms.price_down }) * MILLION;
        cost += energy.abs() * asked;
        if whole {
            cost += tariff.charge(interval, energy);
        } else {
            // A factor between the ends is cut to whole mWh: at most one is lost per slice.
            let (less, more) = tariff.sides(interval);
            let slope = if energy < 0 { less } else { more };
            let dearest = i128::from(terms.price_up.max(terms.price_down)) * MILLION;
            cost += slope * energy - slope.abs().max(dearest);
        }
    }
    if !moves {
        cost -= i128::from(terms.activation) * super::MICRO;
    }
    -cost
}

/// What a start gains at most; `None` when it is the default itself and nothing can be chosen.
fn start_gain(view: &OfferView<'_>, tariff: &NodeTariff, start: usize) -> Option<i128> {
    let terms = view.parts();
    let (from, n) = (usize::from(terms.start_default), view.default.len());
    let base = |i: usize| if i >= from && i < from + n { i128::from(view.default[i - from]) } else { 0 };
    let asked =
        |x: i128| x.abs() * i128::from(if x > 0 { terms.price_up } else { terms.price_down }) * MILLION;
    let away = start.abs_diff(from) as i128;
    let mut cost =
        (i128::from(terms.activation) + away * i128::from(terms.per_interval_shifted)) * super::MICRO;
    for i in (from..from + n).filter(|i| *i < start || *i >= start + n) {
        cost += tariff.charge(i, -base(i)) + asked(-base(i));
    }
    if view.lower == view.upper {
        let mut moves = away != 0;
        for k in 0..n {
            let x = i128::from(view.lower[k]) - base(start + k);
            moves |= x != 0;
            cost += tariff.charge(start + k, x) + asked(x);
        }
        return moves.then_some(-cost);
    }
    let mut pieces: Vec<(i128, i128)> = Vec::with_capacity(2 * n);
    let mut least_sum = 0;
    for k in 0..n {
        let (lower, upper) =
            (i128::from(view.lower[k]) - base(start + k), i128::from(view.upper[k]) - base(start + k));
        least_sum += i128::from(view.lower[k]);
        let (less, more) = tariff.sides(start + k);
        let at = |x: i128| asked(x) + if x < 0 { less * x } else { more * x };
        cost += at(lower);
        if lower < 0 && upper > 0 && at(-1) + at(1) >= 0 {
            pieces.push((-at(-1), -lower));
            pieces.push((at(1), upper));
        } else if upper > lower {
            pieces.push(((at(upper) - at(lower)).div_euclid(upper - lower), upper - lower));
        }
    }
    let (floor, ceiling) =
        (i128::from(terms.total_lower) - least_sum, i128::from(terms.total_upper) - least_sum);
    Some(-(cost + cheapest(&pieces, floor.max(0), ceiling)))
}

/// Least cost of taking between `floor` and `ceiling` from pieces (price, length): by duality over a price `q` on what
/// is taken, the largest of `Σ length·min(0, price + q) − q·(ceiling or floor)`; the best `q` is 0 or minus a price.
fn cheapest(pieces: &[(i128, i128)], floor: i128, ceiling: i128) -> i128 {
    let free: i128 = pieces.iter().map(|&(price, length)| if price < 0 { length } else { 0 }).sum();
    let bound = |q: i128| -> i128 {
        let taken: i128 = pieces.iter().map(|&(price, length)| length * (price + q).min(0)).sum();
        taken - q * if q > 0 { ceiling } else { floor }
    };
    if free >= floor && free <= ceiling {
        return bound(0);
    }
    pieces.iter().map(|&(price, _)| bound(-price)).max().unwrap_or(0).max(bound(0))
}
