//! Steps of one offer outside of a round: with prices of its own, to rest and back, and in the place of another offer of its
//! exclusive group.

use super::arrays::Arrays;
use super::ascent::{Ramps, Sweep};
use super::respond::Answer;
use super::state::State;

impl Sweep {
    /// An exact step with its node's prices taken anew where the offer can go; none while another offer of its group leaves
    /// its default.
    pub fn step(&mut self, arrays: &Arrays, state: &mut State, index: usize) -> f64 {
        if state.rival(arrays, index).is_some() {
            return 0.0;
        }
        self.step_alone(arrays, None, state, index)
    }

    /// An exact step of an offer of an exclusive group: it takes the place of another one where that gains. Returns the gain.
    /// The node's prices have to be taken anew afterwards.
    pub fn group_step(
        &mut self,
        arrays: &Arrays,
        ramps: Option<&Ramps>,
        state: &mut State,
        index: usize,
    ) -> f64 {
        let Some(rival) = state.rival(arrays, index) else {
            return self.step_alone(arrays, ramps, state, index);
        };
        let terms = &arrays.offers[rival];
        let must = !arrays.offers[index].may_rest;
        if !terms.may_rest && !must {
            return 0.0;
        }
        let (at, answer) = (terms.at as usize, state.answers[rival]);
        let energies = state.energies[at..at + terms.slices as usize].to_vec();
        let mut gain = self.rest_on(arrays, ramps, state, rival);
        gain += self.step_alone(arrays, ramps, state, index);
        if gain > 0.5 || must {
            return gain;
        }
        self.rest_on(arrays, ramps, state, index);
        self.restore(arrays, state, rival, answer, &energies);
        0.0
    }

    fn step_alone(&mut self, arrays: &Arrays, ramps: Option<&Ramps>, state: &mut State, index: usize) -> f64 {
        let offer = &arrays.offers[index];
        let from = offer.start_first.min(offer.start_default) as usize;
        let to = (offer.start_last.max(offer.start_default) + offer.slices) as usize;
        self.exact_prices(arrays, &state.flow, offer.node as usize, from, to);
        self.exact_step(arrays, ramps, state, index)
    }

    /// Lets an offer rest; returns what is gained by that (it may be negative).
    pub fn rest(&mut self, arrays: &Arrays, state: &mut State, index: usize) -> f64 {
        self.rest_on(arrays, None, state, index)
    }

    fn rest_on(&mut self, arrays: &Arrays, ramps: Option<&Ramps>, state: &mut State, index: usize) -> f64 {
        let answer = state.answers[index];
        if !answer.active {
            return 0.0;
        }
        state.deviation(arrays, index, &mut self.old);
        let node = arrays.offers[index].node as usize;
        state.add(arrays, node, &self.old, -1.0);
        state.answers[index] = Answer::REST;
        self.exact_prices(arrays, &state.flow, node, self.old.at, self.old.at + self.old.values.len());
        let mut cost = arrays.asked(&arrays.offers[index], &answer, &self.old);
        for (j, &x) in self.old.values.iter().enumerate() {
            cost += self.exact_cost(arrays, ramps, &state.flow, node, self.old.at + j, x);
        }
        cost
    }

    /// Gives a resting offer back what it had.
    pub fn restore(
        &mut self,
        arrays: &Arrays,
        state: &mut State,
        index: usize,
        answer: Answer,
        energies: &[f64],
    ) {
        state.put(arrays, index, answer, energies);
        state.deviation(arrays, index, &mut self.old);
        if !self.old.values.is_empty() {
            state.add(arrays, arrays.offers[index].node as usize, &self.old, 1.0);
        }
    }
}
