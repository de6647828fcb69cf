//! The same answers on integers: what a set of schedules is worth, and what an offer gains at most at prices. What
//! a clearing reports comes from here and has no rounding in it.

use super::course::{self, Course, Separable};
use super::lump::{Lump, Lumps, References};
use super::offer::OfferView;
use super::outcome::{Limit, NodePrice, Plan, Prices};
use super::problem::{ClearingProblem, WHOLE};
use std::ops::Range;

const MILLION: i128 = WHOLE as i128;

/// Prices at one node in the units of `Worth` per mWh.
#[derive(Debug, Clone, Default)]
pub(super) struct NodePrices {
    pub linear: Vec<i128>,
    /// The lump prices, ascending by interval.
    pub lumps: Vec<Lump>,
    /// Where those of each interval begin, and the end of the last.
    first: Vec<u32>,
}

/// Which limits each node uses.
#[derive(Debug, Clone)]
pub(super) struct Incidence {
    of_node: Vec<Vec<(Limit, i64)>>,
}

impl Incidence {
    pub fn new(problem: &ClearingProblem) -> Self {
        let mut of_node = vec![Vec::new(); problem.nodes()];
        for (number, bid) in problem.bids.iter().enumerate() {
            bid.nodes
                .iter()
                .for_each(|&node| of_node[node as usize].push((Limit::Bid(number as u32), bid.factor())));
        }
        for (number, row) in problem.rows.iter().enumerate() {
            for &(node, factor) in &row.sensitivities {
                of_node[node as usize].push((Limit::Row(number as u32), factor));
            }
        }
        Self { of_node }
    }

    pub fn limits(&self, node: usize) -> &[(Limit, i64)] {
        &self.of_node[node]
    }

    /// Sensitivity of a limit to a node, millionths.
    pub fn factor(&self, node: usize, limit: Limit) -> i128 {
        self.of_node[node].iter().find(|part| part.0 == limit).map_or(0, |part| part.1.into())
    }

    pub fn node_prices(
        &self,
        problem: &ClearingProblem,
        prices: &Prices,
        lumps: &Lumps,
        node: usize,
    ) -> NodePrices {
        let t = problem.intervals();
        let mut out = NodePrices { linear: vec![0; t], lumps: Vec::new(), first: vec![0; t + 1] };
        for &(limit, factor) in &self.of_node[node] {
            let (linear, at) = match limit {
                Limit::Bid(bid) => (&prices.bid, bid as usize * t),
                Limit::Row(row) => (&prices.row, row as usize * t),
            };
            for i in 0..t {
                out.linear[i] += i128::from(linear[at + i]) * i128::from(factor);
            }
        }
        for (number, lump) in prices.lumps.iter().enumerate() {
            let factor = self.factor(node, lump.limit);
            if factor != 0 {
                out.lumps.push(lumps.at(prices, number, factor));
                out.first[usize::from(lump.interval) + 1] += 1;
            }
        }
        for i in 0..t {
            out.first[i + 1] += out.first[i];
        }
        out
    }

    /// What a node's prices are made of, per interval.
    pub fn node_parts(&self, problem: &ClearingProblem, prices: &Prices, node: usize) -> Vec<NodePrice> {
        let t = problem.intervals();
        let mut parts = vec![NodePrice::default(); t];
        for &(limit, factor) in &self.of_node[node] {
            let factor = i128::from(factor);
            for (i, part) in parts.iter_mut().enumerate() {
                let (to, price) = match limit {
                    Limit::Bid(bid) => (&mut part.of_bids, prices.bid[bid as usize * t + i]),
                    Limit::Row(row) => (&mut part.of_rows, prices.row[row as usize * t + i]),
                };
                *to += i128::from(price) * factor;
            }
        }
        for lump in &prices.lumps {
            parts[usize::from(lump.interval)].of_lumps +=
                i128::from(lump.price) * self.factor(node, lump.limit);
        }
        parts
    }
}

/// Head-room of a limit, mWh.
pub(super) fn headroom(problem: &ClearingProblem, limit: Limit, interval: usize) -> i128 {
    match limit {
        Limit::Bid(bid) => -i128::from(problem.bids[bid as usize].asked[interval]),
        Limit::Row(row) => i128::from(problem.rows[row as usize].headroom[interval]),
    }
}

/// Deviation per interval of a schedule: first interval, values in mWh.
pub(super) fn deviation(view: &OfferView<'_>, start: usize, energies: &[i64]) -> (usize, Vec<i64>) {
    let (from, n) = (usize::from(view.start_default()), view.default.len());
    let at = from.min(start);
    let mut values = vec![0; from.max(start) + n - at];
    for k in 0..n {
        values[start + k - at] += energies[k];
        values[from + k - at] -= view.default[k];
    }
    (at, values)
}

/// What an offer asks for a schedule, in the units of `Worth`; nothing for its default.
pub(super) fn asked(view: &OfferView<'_>, start: usize, values: &[i64]) -> i128 {
    let head = view.head;
    let away = start.abs_diff(usize::from(head.start_default)) as i128;
    if away == 0 && values.iter().all(|&x| x == 0) {
        return 0;
    }
    let micro = i128::from(head.activation) + i128::from(head.per_interval_shifted) * away;
    micro * MILLION * MILLION + asked_energy(view, values)
}

fn asked_energy(view: &OfferView<'_>, values: &[i64]) -> i128 {
    let price = |x: i64| if x > 0 { view.head.price_up } else { view.head.price_down };
    values.iter().map(|&x| i128::from(x.abs()) * i128::from(price(x))).sum::<i128>() * MILLION
}

/// An option's deviation at a factor in millionths.
pub(super) fn scaled(deviation: &[i64], factor: u32) -> Vec<i64> {
    let part = |&x: &i64| (i128::from(x) * i128::from(factor) / MILLION) as i64;
    deviation.iter().map(part).collect()
}

/// What plans are worth, and the use of every row.
pub(super) fn welfare(problem: &ClearingProblem, plans: &[Plan]) -> (i128, Vec<i128>) {
    let t = problem.intervals();
    let mut at_node = vec![0_i64; problem.nodes() * t];
    let mut sum = 0;
    for plan in plans {
        let view = problem.offer(plan.offer as usize);
        let (at, values) = deviation(&view, usize::from(plan.start), &plan.energies);
        sum -= asked(&view, usize::from(plan.start), &values);
        let node = &mut at_node[view.node() as usize * t + at..];
        values.iter().zip(node).for_each(|(x, to)| *to += x);
    }
    for bid in &problem.bids {
        for i in (0..t).filter(|&i| bid.asked[i] > 0) {
            let taken: i64 = bid.nodes.iter().map(|&node| at_node[node as usize * t + i]).sum();
            let given = if bid.more { taken } else { -taken };
            sum += i128::from(given.min(bid.asked[i])) * i128::from(bid.price[i]) * MILLION;
        }
    }
    let mut row_use = Vec::with_capacity(problem.rows.len() * t);
    for row in &problem.rows {
        for i in 0..t {
            let part = |&(node, factor): &(u32, i64)| {
                i128::from(at_node[node as usize * t + i]) * i128::from(factor)
            };
            let used: i128 = row.sensitivities.iter().map(part).sum();
            let over = used - i128::from(row.headroom[i]) * MILLION;
            sum -= over.max(0) * i128::from(row.penalty);
            row_use.push(used);
        }
    }
    (sum, row_use)
}

/// What prices are worth before any offer answers, without lump prices.
pub(super) fn price_constant(problem: &ClearingProblem, prices: &Prices) -> i128 {
    let t = problem.intervals();
    let mut sum = 0;
    for (number, bid) in problem.bids.iter().enumerate() {
        for i in 0..t {
            sum += i128::from(bid.asked[i]) * i128::from(bid.price[i] - prices.bid[number * t + i]);
        }
    }
    for (number, row) in problem.rows.iter().enumerate() {
        for i in 0..t {
            sum += i128::from(prices.row[number * t + i]) * i128::from(row.headroom[i]);
        }
    }
    sum * MILLION
}

/// Energies that are filled from their least, cheapest pieces first.
struct Filled<'a> {
    /// Price, length and slice; ascending.
    pieces: &'a [(i128, i64, usize)],
    lower: &'a [i64],
    energies: &'a mut [i64],
}

impl Separable<i64> for Filled<'_> {
    type Worth = i128;

    fn solve(&mut self, slices: Range<usize>, total: (i64, i64)) -> i128 {
        self.energies[slices.clone()].copy_from_slice(&self.lower[slices.clone()]);
        let mut sum: i64 = self.lower[slices.clone()].iter().sum();
        let mut cost = 0;
        for &(slope, length, k) in self.pieces.iter().filter(|piece| slices.contains(&piece.2)) {
            let step = length.min(if slope < 0 { total.1 } else { total.0 } - sum);
            if step > 0 {
                cost += slope * i128::from(step);
                self.energies[k] += step;
                sum += step;
            }
        }
        cost
    }

    fn taken(&self, slice: usize) -> i64 {
        self.energies[slice]
    }
}

impl NodePrices {
    /// What a deviation pays at these prices. `references` are the offer's.
    pub fn charge(&self, at: usize, values: &[i64], references: &References) -> i128 {
        let mut sum = 0;
        for (j, &x) in values.iter().enumerate().filter(|&(_, &x)| x != 0) {
            let x = i128::from(x);
            sum += self.linear[at + j] * x;
            for k in self.lumps_of(at + j) {
                sum += self.lumps[k].charge(x, k, references);
            }
        }
        sum
    }

    /// Places of the lump prices of an interval.
    pub fn lumps_of(&self, i: usize) -> std::ops::Range<usize> {
        self.first[i] as usize..self.first[i + 1] as usize
    }

    /// What a deviation pays without the lump prices: what it is settled at.
    pub fn charge_linear(&self, at: usize, values: &[i64]) -> i128 {
        values.iter().enumerate().map(|(j, &x)| self.linear[at + j] * i128::from(x)).sum()
    }

    /// Slopes of what a divisible amount pays below and above 0, per mWh: never more than it pays.
    fn slopes(&self, i: usize, references: &References) -> (i128, i128) {
        let (mut below, mut above) = (self.linear[i], self.linear[i]);
        for k in self.lumps_of(i) {
            let slopes = self.lumps[k].slopes(k, references);
            (below, above) = (below + slopes.0, above + slopes.1);
        }
        (below, above)
    }

    /// What an offer gains at most by leaving its default (it may be negative), with a schedule that does.
    /// `None` when it has no other schedule.
    pub fn best(
        &self,
        view: &OfferView<'_>,
        references: &References,
    ) -> Option<(i128, usize, Vec<i64>, u32)> {
        let head = view.head;
        let from = usize::from(head.start_default);
        if let Some(option) = view.option {
            return self.best_option(view, option, references);
        }
        let mut best: Option<(i128, usize, Vec<i64>, u32)> = None;
        let fixed = view.lower == view.upper;
        for start in usize::from(head.start_first)..=usize::from(head.start_last) {
            let found = if fixed {
                let (at, values) = deviation(view, start, view.lower);
                if start == from && values.iter().all(|&x| x == 0) {
                    continue;
                }
                Some((
                    -self.charge(at, &values, references) - asked(view, start, &values),
                    view.lower.to_vec(),
                ))
            } else {
                self.best_energies(view, start, references)
            };
            if let Some((gain, energies)) = found
                && best.as_ref().is_none_or(|(most, ..)| gain > *most)
            {
                best = Some((gain, start, energies, 0));
            }
        }
        best
    }

    /// The same with another start than the default's: gain, start, energies.
    pub fn best_elsewhere(
        &self,
        view: &OfferView<'_>,
        references: &References,
    ) -> Option<(i128, usize, Vec<i64>)> {
        let mut best: Option<(i128, usize, Vec<i64>)> = None;
        if view.option.is_some() {
            return best;
        }
        let starts = usize::from(view.head.start_first)..=usize::from(view.head.start_last);
        for start in starts.filter(|&start| start != usize::from(view.head.start_default)) {
            if let Some((gain, energies)) = self.best_energies(view, start, references)
                && best.as_ref().is_none_or(|(most, ..)| gain > *most)
            {
                best = Some((gain, start, energies));
            }
        }
        best
    }

    fn best_option(
        &self,
        view: &OfferView<'_>,
        option: &[i64],
        references: &References,
    ) -> Option<(i128, usize, Vec<i64>, u32)> {
        let from = usize::from(view.head.start_default);
        let mut best: Option<(i128, usize, Vec<i64>, u32)> = None;
        let whole = view.head.factor_min == WHOLE as u32;
        for factor in [view.head.factor_min, WHOLE as u32] {
            let values = scaled(option, factor);
            let charge = if whole {
                self.charge(from, &values, references)
            } else {
                // Linear in the factor up to what whole mWh cut off, here and between the ends.
                let part = |(j, &x): (usize, &i64)| {
                    let (below, above) = self.slopes(from + j, &References::default());
                    let slope = if x < 0 { below } else { above };
                    let dearest = i128::from(view.head.price_up.max(view.head.price_down)) * MILLION;
                    slope * i128::from(x) - 2 * (slope.abs() + dearest)
                };
                values.iter().enumerate().map(part).sum()
            };
            let gain = -charge - asked(view, from, &values);
            if best.as_ref().is_none_or(|(most, ..)| gain > *most) {
                let energies = view.default.iter().zip(&values).map(|(e, x)| e + x).collect();
                best = Some((gain, from, energies, factor));
            }
        }
        best
    }

    /// The best energies of a start. The gain is exact without lump prices, and never too small with them.
    fn best_energies(
        &self,
        view: &OfferView<'_>,
        start: usize,
        references: &References,
    ) -> Option<(i128, Vec<i64>)> {
        let (from, n) = (usize::from(view.head.start_default), view.default.len());
        let base = |i: usize| if i >= from && i < from + n { view.default[i - from] } else { 0 };
        let (up, down) =
            (i128::from(view.head.price_up) * MILLION, i128::from(view.head.price_down) * MILLION);
        let mut cost = 0;
        let mut pieces: Vec<(i128, i64, usize)> = Vec::with_capacity(2 * n);
        let mut energies = view.lower.to_vec();
        for k in 0..n {
            let i = start + k;
            let (lower, upper) = (view.lower[k] - base(i), view.upper[k] - base(i));
            let (mut below, mut above) = self.slopes(i, references);
            (below, above) = (below - down, above + up);
            let at = |x: i64| if x < 0 { below * i128::from(x) } else { above * i128::from(x) };
            cost += at(lower);
            if lower < 0 && upper > 0 && below <= above {
                pieces.push((below, -lower, k));
                pieces.push((above, upper, k));
            } else if upper > lower {
                // One slope; where the true cost bends the wrong way, the chord below it.
                let slope = (at(upper) - at(lower)).div_euclid(i128::from(upper - lower));
                pieces.push((slope, upper - lower, k));
            }
        }
        pieces.sort_unstable();
        let total = (view.head.total_lower, view.head.total_upper);
        let mut filled = Filled { pieces: &pieces, lower: view.lower, energies: &mut energies };
        cost += match view.head.running {
            None => filled.solve(0..n, total),
            Some((floor, ceiling)) => {
                let course = Course { floor: vec![floor; n], ceiling: vec![ceiling; n] };
                course::solve(&mut filled, &course, 0..n, total, (0, 0))
            }
        };
        let (at, values) = deviation(view, start, &energies);
        let outside = |j: &usize| at + j < start || at + j >= start + n;
        for j in (0..values.len()).filter(outside) {
            cost += self.charge(at + j, &values[j..=j], references) + asked_energy(view, &values[j..=j]);
        }
        let away = start.abs_diff(from) as i128;
        cost += (i128::from(view.head.activation) + i128::from(view.head.per_interval_shifted) * away)
            * MILLION
            * MILLION;
        Some((-cost, energies))
    }
}
