//! Parts of a problem that have nothing to do with each other: nodes are together when they share a bid or a row that their
//! offers can exceed, or an exclusive group. Each part is cleared by itself, so that small feeders are solved exactly
//! however many there are; prices and schedules of the parts are those of the whole.

use super::outcome::{Limit, Prices, Worth};
use super::problem::{ClearingProblem, WHOLE};
use super::solve::{FEW_OFFERS, PROVED_OFFERS, Proved, Session};
use grid::side_by_side;
use std::collections::BTreeMap;

/// Parts of a larger problem that have no more offers than `PROVED_OFFERS` are cleared by themselves up to so many offers in
/// all; the others are cleared together: where offers are many, prices alone come near enough, and far sooner.
const SPLIT_OFFERS: usize = FEW_OFFERS;
/// Of the work of branch and bound that all parts may do together.
const SHARE: f64 = 0.5;

/// A part, with the numbers its nodes, offers, bids and rows have in the whole.
pub(super) struct Part {
    pub problem: ClearingProblem,
    offers: Vec<u32>,
    bids: Vec<u32>,
    rows: Vec<u32>,
}

/// Sets of nodes that grow together.
struct Sets {
    above: Vec<u32>,
}

impl Sets {
    fn of(&mut self, node: u32) -> u32 {
        let mut root = node;
        while self.above[root as usize] != root {
            root = self.above[root as usize];
        }
        let mut node = node;
        while self.above[node as usize] != root {
            node = std::mem::replace(&mut self.above[node as usize], root);
        }
        root
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.of(one), self.of(other));
        self.above[one.max(other) as usize] = one.min(other);
    }
}

/// The parts of a problem that have offers; none when it is one part.
pub(super) fn split(problem: &ClearingProblem) -> Vec<Part> {
    if problem.nodes() < 2 {
        return Vec::new();
    }
    let reach = Reach::new(problem);
    let mut sets = Sets { above: (0..problem.nodes() as u32).collect() };
    let mut bound = vec![false; problem.nodes()];
    let limits = limits(problem);
    let binding: Vec<bool> =
        limits.iter().map(|(limit, uses)| reach.exceeds(problem, *limit, uses)).collect();
    for ((_, uses), _) in limits.iter().zip(&binding).filter(|(_, binds)| **binds) {
        uses.iter().for_each(|&(node, _)| bound[node as usize] = true);
        uses.windows(2).for_each(|pair| sets.join(pair[0].0, pair[1].0));
    }
    let mut of_groups: BTreeMap<u32, u32> = BTreeMap::new();
    for head in problem.heads.iter().filter(|head| head.group != 0) {
        sets.join(head.node, *of_groups.entry(head.group).or_insert(head.node));
    }
    // Nodes without a limit that binds have no prices: they are one part.
    let free: Vec<u32> = (0..problem.nodes() as u32).filter(|&node| !bound[node as usize]).collect();
    free.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
    let mut members = members_of(problem, &mut sets);
    if problem.offers() > SPLIT_OFFERS {
        let mut alone = 0;
        let mut together: Option<u32> = None;
        for (&root, offers) in &members {
            if offers.len() <= PROVED_OFFERS && alone + offers.len() <= SPLIT_OFFERS {
                alone += offers.len();
            } else {
                sets.join(root, *together.get_or_insert(root));
            }
        }
        members = members_of(problem, &mut sets);
    }
    if members.len() < 2 {
        return Vec::new();
    }
    let mut nodes_of: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for node in 0..problem.nodes() as u32 {
        nodes_of.entry(sets.of(node)).or_default().push(node);
    }
    let mut limits_of: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (number, (_, uses)) in limits.iter().enumerate().filter(|(number, _)| binding[*number]) {
        if let Some(&(node, _)) = uses.first() {
            limits_of.entry(sets.of(node)).or_default().push(number);
        }
    }
    let parts = members.into_iter().map(|(root, offers)| {
        let nodes = nodes_of.remove(&root).unwrap_or_default();
        let mut part = problem.part(&nodes, &offers);
        for number in limits_of.remove(&root).unwrap_or_default() {
            part.take_limit(problem, limits[number].0, &nodes);
        }
        part
    });
    parts.collect()
}

/// The offers of each set of nodes that has some.
fn members_of(problem: &ClearingProblem, sets: &mut Sets) -> BTreeMap<u32, Vec<u32>> {
    let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (offer, head) in (0_u32..).zip(&problem.heads) {
        members.entry(sets.of(head.node)).or_default().push(offer);
    }
    members
}

/// Every bid and row with the nodes that use it, sensitivities in millionths.
fn limits(problem: &ClearingProblem) -> Vec<(Limit, Vec<(u32, i64)>)> {
    let bids = problem.bids.iter().zip((0..).map(Limit::Bid));
    let bids = bids
        .map(|(bid, limit)| (limit, bid.nodes.iter().map(|&node| (node, bid.factor())).collect::<Vec<_>>()));
    let rows = problem.rows.iter().zip((0..).map(Limit::Row));
    let rows = rows.map(|(row, limit)| {
        let used = row.sensitivities.iter().filter(|part| part.1 != 0);
        (limit, used.copied().collect::<Vec<_>>())
    });
    bids.chain(rows).collect()
}

/// Most and least that the offers of each node can deviate, mWh per interval.
struct Reach {
    most: Vec<i64>,
    least: Vec<i64>,
}

impl Reach {
    fn new(problem: &ClearingProblem) -> Self {
        let t = problem.intervals();
        let mut reach = Self { most: vec![0; problem.nodes() * t], least: vec![0; problem.nodes() * t] };
        let (mut most, mut least) = (vec![0; t], vec![0; t]);
        for offer in 0..problem.offers() {
            let view = problem.offer(offer);
            let (from, n) = (usize::from(view.head.start_default), view.default.len());
            let starts = usize::from(view.head.start_first)..=usize::from(view.head.start_last);
            let first = from.min(*starts.start());
            let end = from.max(*starts.end()) + n;
            let mut take = |i: usize, x: i64| {
                most[i] = x.max(most[i]);
                least[i] = x.min(least[i]);
            };
            if let Some(option) = view.option {
                option.iter().enumerate().for_each(|(k, &x)| take(from + k, x));
            } else {
                // An interval that a start leaves out gives back the default.
                view.default.iter().enumerate().for_each(|(k, &e)| take(from + k, -e));
                for start in starts {
                    for k in 0..n {
                        let i = start + k;
                        let base = if i >= from && i < from + n { view.default[i - from] } else { 0 };
                        take(i, view.upper[k] - base);
                        take(i, view.lower[k] - base);
                    }
                }
            }
            let at = view.node() as usize * t;
            for i in first..end {
                reach.most[at + i] += std::mem::take(&mut most[i]);
                reach.least[at + i] += std::mem::take(&mut least[i]);
            }
        }
        reach
    }

    /// Whether a limit can be exceeded in an interval in which that costs something.
    fn exceeds(&self, problem: &ClearingProblem, limit: Limit, uses: &[(u32, i64)]) -> bool {
        let t = problem.intervals();
        (0..t).any(|i| {
            let (headroom, penalty) = match limit {
                Limit::Bid(bid) => {
                    let bid = &problem.bids[bid as usize];
                    (-bid.asked[i], if bid.asked[i] > 0 { bid.price[i] } else { 0 })
                }
                Limit::Row(row) => {
                    let row = &problem.rows[row as usize];
                    (row.headroom[i], row.penalty)
                }
            };
            let most = |&(node, factor): &(u32, i64)| {
                let at = node as usize * t + i;
                i128::from(factor) * i128::from(if factor > 0 { self.most[at] } else { self.least[at] })
            };
            penalty > 0 && uses.iter().map(most).sum::<i128>() > i128::from(headroom) * i128::from(WHOLE)
        })
    }
}

impl ClearingProblem {
    /// Some nodes with some of their offers, without bids and rows.
    fn part(&self, nodes: &[u32], offers: &[u32]) -> Part {
        let mut problem = Self {
            intervals: self.intervals(),
            nodes: nodes.len(),
            pricing: self.pricing,
            ..Self::default()
        };
        for &offer in offers {
            let view = self.offer(offer as usize);
            let mut head = *view.head;
            head.node = nodes.partition_point(|&node| node < head.node) as u32;
            head.first_slice = problem.default.len() as u32;
            problem.default.extend_from_slice(view.default);
            problem.lower.extend_from_slice(view.lower);
            problem.upper.extend_from_slice(view.upper);
            if let Some(option) = view.option {
                head.first_option = problem.option.len() as u32;
                problem.option.extend_from_slice(option);
            }
            problem.heads.push(head);
        }
        Part { problem, offers: offers.to_vec(), bids: Vec::new(), rows: Vec::new() }
    }
}

impl Part {
    fn take_limit(&mut self, whole: &ClearingProblem, limit: Limit, nodes: &[u32]) {
        let place = |node: u32| nodes.partition_point(|&own| own < node) as u32;
        match limit {
            Limit::Bid(number) => {
                let mut bid = whole.bids[number as usize].clone();
                bid.nodes.iter_mut().for_each(|node| *node = place(*node));
                self.problem.bids.push(bid);
                self.bids.push(number);
            }
            Limit::Row(number) => {
                let mut row = whole.rows[number as usize].clone();
                row.sensitivities.retain(|part| part.1 != 0);
                row.sensitivities.iter_mut().for_each(|part| part.0 = place(part.0));
                self.problem.rows.push(row);
                self.rows.push(number);
            }
        }
    }
}

impl Session {
    /// Clears the parts of a problem, side by side, and puts them together.
    pub(super) fn of_parts(problem: ClearingProblem, parts: &[Part]) -> Self {
        let share = SHARE / parts.len() as f64;
        let mut whole = Self::at_rest(problem);
        let (t, arrays) = (whole.arrays.t, &whole.arrays);
        whole.prices = idle_prices(&whole.problem);
        let (mut proved, mut beyond) = (0, 0);
        let sessions = side_by_side(parts, |part| Self::whole(part.problem.clone(), share));
        for (part, cleared) in parts.iter().zip(sessions) {
            let Part { offers, bids, rows, .. } = part;
            if let Some(found) = cleared.proved {
                proved += offers.len();
                beyond += (cleared.bound() - found.bound.0).max(0);
            }
            for (own, &offer) in offers.iter().enumerate() {
                let (from, to) = (cleared.arrays.offers[own], arrays.offers[offer as usize]);
                whole.state.answers[offer as usize] = cleared.state.answers[own];
                let energies = &cleared.state.energies[from.at as usize..(from.at + from.slices) as usize];
                whole.state.energies[to.at as usize..(to.at + to.slices) as usize].copy_from_slice(energies);
            }
            for (of, own, numbers) in [
                (&mut whole.prices.bid, &cleared.prices.bid, bids),
                (&mut whole.prices.row, &cleared.prices.row, rows),
            ] {
                for (place, &number) in numbers.iter().enumerate() {
                    of[number as usize * t..][..t].copy_from_slice(&own[place * t..][..t]);
                }
            }
            for mut lump in cleared.prices.lumps {
                lump.limit = match lump.limit {
                    Limit::Bid(bid) => Limit::Bid(bids[bid as usize]),
                    Limit::Row(row) => Limit::Row(rows[row as usize]),
                };
                lump.from.iter_mut().for_each(|from| from.0 = offers[from.0 as usize]);
                whole.prices.lumps.push(lump);
            }
        }
        whole.prices.lumps.sort_by_key(|lump| (lump.interval, lump.limit));
        whole.state.recount(&whole.arrays);
        whole.take_prices();
        if proved > 0 {
            whole.proved = Some(Proved { bound: Worth(whole.bound() - beyond), offers: proved });
        }
        whole
    }
}

/// Prices of limits that no part has: nobody exceeds them, or nobody uses them and they are exceeded as they are.
fn idle_prices(problem: &ClearingProblem) -> Prices {
    let mut busy = vec![false; problem.nodes()];
    problem.heads.iter().for_each(|head| busy[head.node as usize] = true);
    let mut prices = Prices::default();
    for bid in &problem.bids {
        let idle = !bid.nodes.iter().any(|&node| busy[node as usize]);
        let asked = bid.asked.iter().zip(&bid.price);
        prices.bid.extend(asked.map(|(&asked, &price)| if idle && asked > 0 { price } else { 0 }));
    }
    for row in &problem.rows {
        let idle = !row.sensitivities.iter().any(|&(node, factor)| factor != 0 && busy[node as usize]);
        let headroom = row.headroom.iter();
        prices.row.extend(headroom.map(|&headroom| if idle && headroom < 0 { row.penalty } else { 0 }));
    }
    prices
}
