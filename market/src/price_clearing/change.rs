//! Clearing again after one thing changed: the prices stay, and only what is touched answers again.
//!
//! The bound stays exact: it is the sum of what the prices are worth and of what every offer gains at them, and only
//! the changed term of it is taken anew. Schedules are improved by exact steps of the offers that share a limit and
//! an interval with the change, so nothing gets worse for it. When many changes have moved the market away from the
//! prices, the gap that every clearing reports grows; then a new session is due.

use super::arrays::{Arrays, NO_GROUP};
use super::fault::ProblemFault;
use super::lump::Lumps;
use super::offer::OfferTerms;
use super::outcome::{Limit, PriceClearing};
use super::respond::Answer;
use super::solve::Session;

/// A limit that more than this share of the nodes use does not make neighbours.
const SHARED_BY_ALL: f64 = 0.5;

impl Session {
    /// Exchanges an offer for one at the same node with as many slices and clears again.
    pub fn replace_offer(&mut self, offer: usize, terms: &OfferTerms) -> Result<PriceClearing, ProblemFault> {
        let known = self
            .arrays
            .offers
            .get(offer)
            .ok_or(ProblemFault::Unknown { what: "offer", number: offer as u64 })?;
        if known.node != terms.node {
            return Err(ProblemFault::OtherShape { offer });
        }
        let before = self.span(offer);
        let earlier = self.problem.offer(offer).terms();
        self.problem.replace_offer(offer, terms)?;
        self.proved = None;
        let node = terms.node as usize;
        self.let_go(offer);
        self.arrays.take_offer(&self.problem, offer);
        self.lose_references(offer, &earlier, terms);
        if earlier.group != terms.group {
            self.arrays.take_groups(&self.problem);
        }
        self.replies[offer] = self.reply(offer);
        let after = self.span(offer);
        self.settle(node, &[offer as u32], (before.0.min(after.0), before.1.max(after.1)));
        Ok(self.clearing())
    }

    /// Adds an offer and clears again; returns its number beside the clearing. All others keep theirs.
    pub fn insert_offer(&mut self, terms: &OfferTerms) -> Result<(usize, PriceClearing), ProblemFault> {
        let offer = self.problem.add_offer(terms)?;
        self.proved = None;
        self.arrays = Arrays::new(&self.problem);
        self.state.answers.push(Answer::REST);
        self.state.energies.resize(self.arrays.default.len(), 0.0);
        self.lumps = Lumps::new(&self.problem, &self.incidence, &self.prices);
        let reply = self.reply(offer);
        self.replies.push(reply);
        self.settle(terms.node as usize, &[offer as u32], self.span(offer));
        Ok((offer, self.clearing()))
    }

    /// Takes an offer out and clears again. Offers after it have the number before theirs from then on.
    pub fn remove_offer(&mut self, offer: usize) -> Result<PriceClearing, ProblemFault> {
        let known = self.arrays.offers.get(offer);
        let gone = *known.ok_or(ProblemFault::Unknown { what: "offer", number: offer as u64 })?;
        let (span, group) = (self.span(offer), self.arrays.groups.get(gone.group as usize).cloned());
        self.proved = None;
        self.let_go(offer);
        self.problem.remove_offer(offer);
        self.state.answers.remove(offer);
        self.state.energies.drain(gone.at as usize..(gone.at + gone.slices) as usize);
        self.replies.remove(offer);
        self.arrays = Arrays::new(&self.problem);
        let mut referred = false;
        for lump in &mut self.prices.lumps {
            let before = lump.from.len();
            lump.from.retain(|part| part.0 as usize != offer);
            referred |= lump.from.len() < before;
            lump.from.iter_mut().filter(|part| part.0 as usize > offer).for_each(|part| part.0 -= 1);
        }
        self.lumps = Lumps::new(&self.problem, &self.incidence, &self.prices);
        if referred {
            self.answer_all();
        }
        // Those of its exclusive group may take its place.
        for member in group.into_iter().flatten().filter(|&member| member as usize != offer) {
            let member = member - u32::from(member as usize > offer);
            let node = self.arrays.offers[member as usize].node;
            self.improve(node as usize, &[member]);
        }
        self.settle(gone.node as usize, &[], span);
        Ok(self.clearing())
    }

    /// Takes what an offer does out of the flows.
    fn let_go(&mut self, offer: usize) {
        let node = self.arrays.offers[offer].node as usize;
        let mut old = std::mem::take(&mut self.sweep.scratch.deviation);
        self.state.deviation(&self.arrays, offer, &mut old);
        self.state.add(&self.arrays, node, &old, -1.0);
        self.sweep.scratch.deviation = old;
        self.state.answers[offer] = Answer::REST;
    }

    /// Exact steps of some offers of a node, and of those that share a limit with it and some intervals.
    fn settle(&mut self, node: usize, offers: &[u32], (from, to): (usize, usize)) {
        let limits: Vec<u32> = self.arrays.limits_of(node).iter().map(|&(limit, _)| limit).collect();
        self.improve(node, offers);
        for node in self.neighbours(&limits) {
            let offers = self.touching(node, from, to);
            self.improve(node, &offers);
        }
    }

    /// Changes what an element carries in one interval and clears again.
    pub fn set_headroom(
        &mut self,
        row: usize,
        interval: usize,
        headroom: i64,
    ) -> Result<PriceClearing, ProblemFault> {
        self.problem.set_headroom(row, interval, headroom)?;
        self.proved = None;
        let limit = self.problem.bids().len() + row;
        self.arrays.headroom[limit * self.arrays.t + interval] = headroom as f64;
        let here = (interval as u16, Limit::Row(row as u32));
        let lumped =
            self.prices.lumps.binary_search_by_key(&here, |lump| (lump.interval, lump.limit)).is_ok();
        if lumped {
            self.lumps = Lumps::new(&self.problem, &self.incidence, &self.prices);
        }
        for node in 0..self.problem.nodes() {
            let uses = self.incidence.limits(node).iter().any(|&(limit, _)| limit == Limit::Row(row as u32));
            if !uses {
                continue;
            }
            if lumped {
                self.node_prices[node] = self.prices_at(node);
                for offer in self.arrays.offers_of(node).to_vec() {
                    self.replies[offer as usize] = self.reply(offer as usize);
                }
            }
            let offers = self.touching(node, interval, interval + 1);
            self.improve(node, &offers);
        }
        Ok(self.clearing())
    }

    /// Lets an offer count from no deviation again where its references may not be its own any more.
    fn lose_references(&mut self, offer: usize, old: &OfferTerms, new: &OfferTerms) {
        let (old, new) = (old.clone().unpriced(), new.clone().unpriced());
        let of_it = |part: &(u32, i64)| part.0 == offer as u32;
        if old == new || !self.prices.lumps.iter().any(|lump| lump.from.iter().any(of_it)) {
            return;
        }
        self.prices.lumps.iter_mut().for_each(|lump| lump.from.retain(|part| !of_it(part)));
        self.lumps = Lumps::new(&self.problem, &self.incidence, &self.prices);
        self.answer_all();
    }

    /// Intervals an offer could touch.
    fn span(&self, offer: usize) -> (usize, usize) {
        let offer = &self.arrays.offers[offer];
        let first = offer.start_first.min(offer.start_default) as usize;
        let last = offer.start_last.max(offer.start_default) as usize;
        (first, last + offer.slices as usize)
    }

    /// Offers of a node that could touch some intervals.
    fn touching(&self, node: usize, from: usize, to: usize) -> Vec<u32> {
        let touches = |&&offer: &&u32| {
            let (first, end) = self.span(offer as usize);
            first < to && end > from
        };
        self.arrays.offers_of(node).iter().filter(touches).copied().collect()
    }

    /// Nodes that share a limit with a change, not counting limits that nearly all share.
    fn neighbours(&self, limits: &[u32]) -> Vec<usize> {
        let mut users = vec![0_usize; self.arrays.limits];
        for node in 0..self.arrays.nodes {
            self.arrays.limits_of(node).iter().for_each(|&(limit, _)| users[limit as usize] += 1);
        }
        let few = |limit: u32| (users[limit as usize] as f64) <= SHARED_BY_ALL * self.arrays.nodes as f64;
        let shares = |node: &usize| {
            self.arrays.limits_of(*node).iter().any(|&(limit, _)| limits.contains(&limit) && few(limit))
        };
        (0..self.arrays.nodes).filter(shares).collect()
    }

    /// One exact step of each of some offers of a node.
    fn improve(&mut self, node: usize, offers: &[u32]) {
        if offers.is_empty() {
            return;
        }
        self.sweep.exact_prices(&self.arrays, &self.state.flow, node, 0, self.arrays.t);
        for &offer in offers {
            if self.arrays.offers[offer as usize].group == NO_GROUP {
                self.sweep.exact_step(&self.arrays, None, &mut self.state, offer as usize);
            } else {
                self.sweep.group_step(&self.arrays, None, &mut self.state, offer as usize);
                self.sweep.exact_prices(&self.arrays, &self.state.flow, node, 0, self.arrays.t);
            }
        }
    }
}
