//! What one offer could gain at most at given prices, found another way than the solver does: for energies with a
//! total, the least cost is the largest of a family of bounds, one for each price on the total.

use super::MILLION;
use crate::price_clearing::{Limit, OfferView};

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
    /// Place among the lump prices.
    pub number: usize,
    pub limit: Limit,
    /// Sensitivity, millionths.
    pub factor: i128,
    /// Micro-units per kWh.
    pub price: i64,
    /// What is left of the head-room from where offers count, millionths of a mWh.
    pub left: i128,
    /// In which uses are counted, mWh; 0 for none.
    pub unit: i128,
}

/// From where an offer counts.
#[derive(Debug, Clone)]
pub(super) struct References {
    /// Whether its uses are rounded, because it has no part of a schedule.
    pub whole: bool,
    /// Place of the lump price and mWh, ascending.
    pub at: Vec<(usize, i128)>,
}

impl Lump {
    /// What an energy of one offer pays for the lump part, more than none.
    pub fn charge(&self, energy: i128, from: &References) -> i128 {
        let reference = self.reference(from);
        let (used, rest) = (self.factor * (energy - reference), -self.factor * reference);
        let counts = match (reference == 0, from.whole) {
            (true, _) => self.counted(used),
            (false, true) => self.counted(used) - self.counted(rest),
            // A divisible amount is charged what it relieves.
            (false, false) => used.min(0) - rest.min(0),
        };
        i128::from(self.price) * counts
    }

    fn reference(&self, from: &References) -> i128 {
        from.at.binary_search_by(|part| part.0.cmp(&self.number)).map_or(0, |at| from.at[at].1)
    }

    /// What counts of a use (millionths of a mWh). In units: of every whole one what the head-room leaves of a unit, and
    /// what the rest exceeds that by.
    pub fn counted(&self, used: i128) -> i128 {
        if self.unit > 0 {
            let unit = self.unit * MILLION;
            let remainder = self.left.rem_euclid(unit);
            let rest = used.rem_euclid(unit);
            return (used - rest) / unit * (unit - remainder)
                + if rest > remainder { rest - remainder } else { 0 };
        }
        match (self.left >= 0, used > 0) {
            (true, true) => (used - self.left).max(0),
            (true, false) => used,
            (false, true) => 0,
            (false, false) => used.max(self.left),
        }
    }

    /// What all uses together may count without overload, millionths of a mWh.
    pub fn free(&self) -> i128 {
        if self.unit == 0 && self.left > 0 { 0 } else { self.counted(self.left) }
    }
}

impl NodeTariff {
    pub fn new(intervals: usize) -> Self {
        Self { price: vec![0; intervals], of_bids: vec![0; intervals], lumps: vec![Vec::new(); intervals] }
    }

    pub fn add(&mut self, interval: usize, price: i64, factor: i128) {
        self.price[interval] += i128::from(price) * factor;
    }

    pub fn add_lump(&mut self, interval: usize, lump: Lump) {
        self.lumps[interval].push(lump);
    }

    /// What an energy pays for the lump prices of one limit.
    pub fn lump_charge(&self, limit: Limit, interval: usize, energy: i128, from: &References) -> i128 {
        let of_it = self.lumps[interval].iter().filter(|lump| lump.limit == limit);
        of_it.map(|lump| lump.charge(energy, from)).sum()
    }

    /// Σ sensitivity × lump price.
    pub fn lump_price(&self, interval: usize) -> i128 {
        self.lumps[interval].iter().map(|lump| i128::from(lump.price) * lump.factor).sum()
    }

    /// What an energy pays at the node in an interval.
    pub fn charge(&self, interval: usize, energy: i128, from: &References) -> i128 {
        if energy == 0 {
            return 0;
        }
        let lumps: i128 = self.lumps[interval].iter().map(|lump| lump.charge(energy, from)).sum();
        self.price[interval] * energy + lumps
    }

    /// Price of a divisible kWh less and of one more: relief counts in full, additions do not count as lumps. Counted from
    /// its most, all it does is relief; from its least, nothing is (the other way round where it is sensed negatively).
    fn sides(&self, interval: usize, from: &References) -> (i128, i128) {
        let (mut less, mut more) = (self.price[interval], self.price[interval]);
        for lump in &self.lumps[interval] {
            let all = i128::from(lump.price) * lump.factor;
            let end = lump.reference(from) * lump.factor.signum();
            if end > 0 || (end == 0 && lump.factor > 0) {
                less += all;
            }
            if end > 0 || (end == 0 && lump.factor < 0) {
                more += all;
            }
        }
        (less, more)
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
pub(super) fn most_gained(view: &OfferView<'_>, tariff: &NodeTariff, from: &References) -> Gain {
    let terms = view.parts();
    if let Some(option) = view.option {
        let whole = i128::from(terms.factor_min) == MILLION;
        let at = |factor: u32| option_gain(view, tariff, from, (option, i128::from(factor), whole));
        let gain = at(terms.factor_min).max(at(1_000_000));
        return Gain { away: Some(gain), may_rest: true, reached: whole };
    }
    let total: i64 = view.default.iter().sum();
    let inside = view.default.iter().zip(view.lower).zip(view.upper).all(|((d, l), u)| l <= d && d <= u);
    let may_rest = inside
        && terms.start_first <= terms.start_default
        && terms.start_default <= terms.start_last
        && terms.total_lower <= total
        && total <= terms.total_upper
        && keeps(terms.running, view.default);
    let mut best: Option<i128> = None;
    for start in terms.start_first..=terms.start_last {
        if let Some(gain) = start_gain(view, tariff, from, usize::from(start)) {
            best = Some(best.map_or(gain, |most| most.max(gain)));
        }
    }
    Gain { away: best, may_rest, reached: view.lower == view.upper && terms.least == 0 }
}

/// Whether energies keep to bounds on their running sums.
fn keeps(running: Option<(i64, i64)>, energies: &[i64]) -> bool {
    let Some((floor, ceiling)) = running else { return true };
    let sums = energies.iter().scan(0_i128, |sum, &energy| {
        *sum += i128::from(energy);
        Some(*sum)
    });
    sums.into_iter().all(|sum| (i128::from(floor)..=i128::from(ceiling)).contains(&sum))
}

fn option_gain(
    view: &OfferView<'_>,
    tariff: &NodeTariff,
    from: &References,
    (option, factor, whole): (&[i64], i128, bool),
) -> i128 {
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
            cost += tariff.charge(interval, energy, from);
        } else {
            // Energies are cut to whole mWh, here and at the factors between the ends: up to one mWh each, with what it is
            // worth and what is asked for it.
            let (less, more) = tariff.sides(interval, from);
            let slope = if energy < 0 { less } else { more };
            let dearest = i128::from(terms.price_up.max(terms.price_down)) * MILLION;
            cost += slope * energy - 2 * (slope.abs() + dearest);
        }
    }
    if !moves {
        cost -= i128::from(terms.activation) * super::MICRO;
    }
    -cost
}

/// What a start gains at most; `None` when it is the default itself and nothing can be chosen.
fn start_gain(
    view: &OfferView<'_>,
    tariff: &NodeTariff,
    references: &References,
    start: usize,
) -> Option<i128> {
    let terms = view.parts();
    let (from, n) = (usize::from(terms.start_default), view.default.len());
    let base = |i: usize| if i >= from && i < from + n { i128::from(view.default[i - from]) } else { 0 };
    let asked =
        |x: i128| x.abs() * i128::from(if x > 0 { terms.price_up } else { terms.price_down }) * MILLION;
    let away = start.abs_diff(from) as i128;
    let mut cost =
        (i128::from(terms.activation) + away * i128::from(terms.per_interval_shifted)) * super::MICRO;
    for i in (from..from + n).filter(|i| *i < start || *i >= start + n) {
        cost += tariff.charge(i, -base(i), references) + asked(-base(i));
    }
    if view.lower == view.upper {
        let mut moves = away != 0;
        for k in 0..n {
            let x = i128::from(view.lower[k]) - base(start + k);
            moves |= x != 0;
            cost += tariff.charge(start + k, x, references) + asked(x);
        }
        return moves.then_some(-cost);
    }
    let mut pieces: Vec<(i128, i128)> = Vec::with_capacity(2 * n);
    let mut course = Course::default();
    let mut least_sum = 0;
    for k in 0..n {
        let before = pieces.len();
        let (lower, upper) =
            (i128::from(view.lower[k]) - base(start + k), i128::from(view.upper[k]) - base(start + k));
        least_sum += i128::from(view.lower[k]);
        let (less, more) = tariff.sides(start + k, references);
        let at = |x: i128| asked(x) + if x < 0 { less * x } else { more * x };
        cost += at(lower);
        if lower < 0 && upper > 0 && at(-1) + at(1) >= 0 {
            pieces.push((-at(-1), -lower));
            pieces.push((at(1), upper));
        } else if upper > lower {
            pieces.push(((at(upper) - at(lower)).div_euclid(upper - lower), upper - lower));
        }
        if let Some((floor, ceiling)) = terms.running {
            course.join(&pieces[before..]);
            course.keep(i128::from(floor) - least_sum, i128::from(ceiling) - least_sum);
        }
    }
    let (floor, ceiling) =
        (i128::from(terms.total_lower) - least_sum, i128::from(terms.total_upper) - least_sum);
    if terms.running.is_some() {
        course.keep(floor, ceiling);
        return Some(-(cost + course.least()));
    }
    Some(-(cost + cheapest(&pieces, floor.max(0), ceiling)))
}

/// What running sums cost at least, as a function of the sum so far: convex, in straight pieces, slice after slice. Sums are
/// counted from the least energies.
#[derive(Debug, Default)]
struct Course {
    /// The least sum that is left, and what it costs.
    from: i128,
    cost: i128,
    /// Price and length of the pieces from there on, ascending.
    pieces: Vec<(i128, i128)>,
}

impl Course {
    /// Takes in what a slice may take: the best split of a sum between it and those before takes the cheapest pieces first.
    fn join(&mut self, slice: &[(i128, i128)]) {
        self.pieces.extend_from_slice(slice);
        self.pieces.sort_unstable();
    }

    /// Leaves the sums between two bounds.
    fn keep(&mut self, floor: i128, ceiling: i128) {
        let mut to = self.from + self.pieces.iter().map(|piece| piece.1).sum::<i128>();
        while to > ceiling {
            let Some((price, length)) = self.pieces.pop() else { break };
            let left = length - (to - ceiling).min(length);
            to -= length - left;
            if left > 0 {
                self.pieces.push((price, left));
            }
        }
        let mut gone = 0;
        for (price, length) in &mut self.pieces {
            let step = (floor - self.from).clamp(0, *length);
            (self.from, self.cost, *length) = (self.from + step, self.cost + *price * step, *length - step);
            gone += usize::from(*length == 0);
        }
        self.pieces.drain(..gone);
    }

    /// The least cost of all sums that are left.
    fn least(&self) -> i128 {
        self.cost + self.pieces.iter().map(|&(price, length)| length * price.min(0)).sum::<i128>()
    }
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
