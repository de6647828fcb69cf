//! The problem as the solver sees it: whole numbers held in `f64`, offers sorted by node, bids and rows alike.
//!
//! A bid that asks for `a` at price `p` is worth `p·min(a, −use)` = `p·a − p·max(0, use + a)`: a row with head-room `−a`
//! and penalty `p`, and a constant; of a bid for more consumption the use is counted the other way round. So the solver knows only *limits*: what may be used, and the price beyond.
//!
//! Energies are whole mWh and stay below 2⁵³, so sums are exact and do not depend on their order wherever
//! sensitivities are whole; money is in 10⁻⁶ micro-units. What is told to others is evaluated again on integers.

use super::offer::OfferView;
use super::problem::{ClearingProblem, WHOLE};
use std::collections::BTreeMap;

/// What the solver may decide about an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Fixed slices; the start is chosen.
    Shift,
    /// The default's start; energies are chosen.
    Amount,
    /// Another factor of one deviation, or none.
    Option,
    /// Start and energies are chosen, or the default is not possible.
    General,
}

/// One offer's scalars.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub kind: Kind,
    /// Whether it may stay with its default.
    pub may_rest: bool,
    pub node: u32,
    pub at: u32,
    pub slices: u32,
    pub start_default: u32,
    pub start_first: u32,
    pub start_last: u32,
    /// Total bounds of the energies, mWh.
    pub total_lower: f64,
    pub total_upper: f64,
    /// Bounds on every running sum of the energies, mWh.
    pub running: Option<(f64, f64)>,
    /// Sum of the default, mWh.
    pub default_sum: f64,
    pub activation: f64,
    pub shifted: f64,
    pub up: f64,
    pub down: f64,
    /// Least factor of an option.
    pub factor_min: f64,
    /// Least sum of the deviations' magnitudes when it is active, mWh; 0 is none.
    pub least: f64,
    /// Place of its exclusive group in `Arrays::groups`; `NO_GROUP` is none.
    pub group: u32,
}

/// Of an offer that is in no exclusive group.
pub(super) const NO_GROUP: u32 = u32::MAX;

/// The problem in the solver's arrays.
#[derive(Debug, Clone)]
pub(super) struct Arrays {
    /// Intervals.
    pub t: usize,
    pub nodes: usize,
    /// Number of limits: bids first, then rows.
    pub limits: usize,
    pub headroom: Vec<f64>,
    /// Price of a mWh beyond the head-room, per limit and interval.
    pub penalty: Vec<f64>,
    /// Limits of each node with their factor.
    pub node_first: Vec<u32>,
    pub node_limit: Vec<(u32, f64)>,
    pub offers: Vec<Offer>,
    /// Offers of each node.
    pub offer_first: Vec<u32>,
    pub offer_of: Vec<u32>,
    pub default: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    /// An option's deviation, in the place of its slices.
    pub option: Vec<f64>,
    /// Σ price × asked.
    pub constant: f64,
    /// Longest profile.
    pub slices_max: usize,
    /// Members of the exclusive groups that have more than one, each ascending.
    pub groups: Vec<Vec<u32>>,
}

impl Arrays {
    pub fn new(problem: &ClearingProblem) -> Self {
        let (t, nodes) = (problem.intervals(), problem.nodes());
        let limits = problem.bids.len() + problem.rows.len();
        let mut arrays = Self {
            t,
            nodes,
            limits,
            headroom: vec![0.0; limits * t],
            penalty: vec![0.0; limits * t],
            node_first: vec![0],
            node_limit: Vec::new(),
            offers: Vec::with_capacity(problem.offers()),
            offer_first: vec![0],
            offer_of: Vec::with_capacity(problem.offers()),
            default: problem.default.iter().map(|&e| e as f64).collect(),
            lower: problem.lower.iter().map(|&e| e as f64).collect(),
            upper: problem.upper.iter().map(|&e| e as f64).collect(),
            option: vec![0.0; problem.default.len()],
            constant: 0.0,
            slices_max: 0,
            groups: Vec::new(),
        };
        let mut of_node: Vec<Vec<(u32, f64)>> = vec![Vec::new(); nodes];
        for (limit, bid) in problem.bids.iter().enumerate() {
            let factor = if bid.more { -1.0 } else { 1.0 };
            bid.nodes.iter().for_each(|&node| of_node[node as usize].push((limit as u32, factor)));
        }
        for (row, grid_row) in problem.rows.iter().enumerate() {
            for &(node, factor) in grid_row.sensitivities.iter().filter(|&&(_, factor)| factor != 0) {
                let limit = (problem.bids.len() + row) as u32;
                of_node[node as usize].push((limit, factor as f64 / WHOLE as f64));
            }
        }
        for limits in of_node {
            arrays.node_limit.extend(limits);
            arrays.node_first.push(arrays.node_limit.len() as u32);
        }
        arrays.take_limits(problem);
        let mut counts = vec![0_u32; nodes + 1];
        for index in 0..problem.offers() {
            let view = problem.offer(index);
            counts[view.node() as usize + 1] += 1;
            arrays.slices_max = arrays.slices_max.max(view.default.len());
            arrays.offers.push(offer(&view));
            arrays.take_option(index, &view);
        }
        arrays.take_groups(problem);
        for node in 0..nodes {
            counts[node + 1] += counts[node];
        }
        arrays.offer_first = counts.clone();
        arrays.offer_of = vec![0; problem.offers()];
        for (index, offer) in arrays.offers.iter().enumerate() {
            let place = &mut counts[offer.node as usize];
            arrays.offer_of[*place as usize] = index as u32;
            *place += 1;
        }
        arrays
    }

    /// The exclusive groups anew. A group of one excludes nothing.
    pub fn take_groups(&mut self, problem: &ClearingProblem) {
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (index, head) in problem.heads.iter().enumerate().filter(|(_, head)| head.group != 0) {
            members.entry(head.group).or_default().push(index as u32);
        }
        self.offers.iter_mut().for_each(|offer| offer.group = NO_GROUP);
        self.groups = members.into_values().filter(|members| members.len() > 1).collect();
        for (group, members) in self.groups.iter().enumerate() {
            members.iter().for_each(|&member| self.offers[member as usize].group = group as u32);
        }
    }

    /// Head-rooms and penalties anew.
    pub fn take_limits(&mut self, problem: &ClearingProblem) {
        let t = self.t;
        self.constant = 0.0;
        for (limit, bid) in problem.bids.iter().enumerate() {
            for i in (0..t).filter(|&i| bid.asked[i] > 0) {
                self.headroom[limit * t + i] = -(bid.asked[i] as f64);
                self.penalty[limit * t + i] = bid.price[i] as f64;
                self.constant += bid.asked[i] as f64 * bid.price[i] as f64;
            }
        }
        for (row, grid_row) in problem.rows.iter().enumerate() {
            let limit = problem.bids.len() + row;
            for i in 0..t {
                self.headroom[limit * t + i] = grid_row.headroom[i] as f64;
                self.penalty[limit * t + i] = grid_row.penalty as f64;
            }
        }
    }

    /// One offer anew; its node and number of slices are as before.
    pub fn take_offer(&mut self, problem: &ClearingProblem, index: usize) {
        let view = problem.offer(index);
        let group = self.offers[index].group;
        self.offers[index] = Offer { group, ..offer(&view) };
        let at = self.offers[index].at as usize;
        for k in 0..view.default.len() {
            self.default[at + k] = view.default[k] as f64;
            self.lower[at + k] = view.lower[k] as f64;
            self.upper[at + k] = view.upper[k] as f64;
        }
        self.take_option(index, &view);
    }

    fn take_option(&mut self, index: usize, view: &OfferView<'_>) {
        let at = self.offers[index].at as usize;
        for (k, &deviation) in view.option.unwrap_or_default().iter().enumerate() {
            self.option[at + k] = deviation as f64;
        }
    }

    /// The limits that a node's energy uses, with the factor.
    pub fn limits_of(&self, node: usize) -> &[(u32, f64)] {
        &self.node_limit[self.node_first[node] as usize..self.node_first[node + 1] as usize]
    }

    /// The offers at a node.
    pub fn offers_of(&self, node: usize) -> &[u32] {
        &self.offer_of[self.offer_first[node] as usize..self.offer_first[node + 1] as usize]
    }
}

fn offer(view: &OfferView<'_>) -> Offer {
    let head = view.head;
    let default_sum: i64 = view.default.iter().sum();
    let fixed = view.lower == view.upper;
    let may_rest = view.may_rest();
    let at_default = head.start_first == head.start_last && head.start_first == head.start_default;
    let kind = if view.option.is_some() {
        Kind::Option
    } else if !may_rest {
        Kind::General
    } else if fixed && head.least == 0 {
        Kind::Shift
    } else if at_default {
        Kind::Amount
    } else {
        Kind::General
    };
    Offer {
        kind,
        may_rest,
        node: head.node,
        at: head.first_slice,
        slices: u32::from(head.slices),
        start_default: u32::from(head.start_default),
        start_first: u32::from(head.start_first),
        start_last: u32::from(head.start_last),
        total_lower: head.total_lower as f64,
        total_upper: head.total_upper as f64,
        running: head.running.map(|(floor, ceiling)| (floor as f64, ceiling as f64)),
        default_sum: default_sum as f64,
        activation: head.activation as f64 * WHOLE as f64,
        shifted: head.per_interval_shifted as f64 * WHOLE as f64,
        up: head.price_up as f64,
        down: head.price_down as f64,
        factor_min: f64::from(head.factor_min) / WHOLE as f64,
        least: head.least as f64,
        group: NO_GROUP,
    }
}
