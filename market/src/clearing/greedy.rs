//! Merit order without prices: the yardstick that a clearing by prices is measured against, and the rule of the first
//! version ([ADR 3](../../../docs/adr/0003-greedy-clearing-first.md)).
//!
//! For every open offer the best schedule is found exactly: over all start slots, the energies that maximise (value of
//! relief − price of deviation), subject to what the grid can still carry. The offer with the largest gain is accepted,
//! needs and head-room move, and so on until nobody gains. Ties: larger gain, lower prices, earlier deadline, smaller id.

use super::best_schedule::{Best, Conditions, best_schedule};
use super::grid_state::GridState;
use super::{Book, admit};
use crate::contract::AggregateId;
use crate::contract::AggregatedFlexOffer;
use crate::flex_offer::Schedule;
use crate::rules::Rules;
use grid::{Money, Timestamp};
use std::cmp::Reverse;

/// What merit order would buy: offer and schedule, in the order of acceptance.
pub fn clear_greedily(book: &Book, rules: &Rules, now: Timestamp) -> Vec<(AggregateId, Schedule)> {
    let open = admit(book, rules, now, &mut Vec::new());
    let Some(need) = book.need.as_ref().filter(|need| need.check().is_ok()) else { return Vec::new() };
    let mut state = GridState::new(need, &book.zones, rules.first_open_slot(now), &open);
    let mut accepted = Vec::new();
    let mut candidates: Vec<(&AggregatedFlexOffer, Option<Best>)> =
        open.into_iter().map(|offer| (offer, best_schedule(offer, &state, Conditions::default()))).collect();
    while let Some(index) = pick(&candidates, rules.gain_min) {
        let (offer, Some(best)) = candidates.swap_remove(index) else { break };
        state.take(offer.zone, &best.deviation);
        for (other, best_of_other) in &mut candidates {
            if state.concerns(other, offer.zone, &best.deviation) {
                *best_of_other = best_schedule(other, &state, Conditions::default());
            }
        }
        accepted.push((offer.id.clone(), best.schedule));
    }
    accepted
}

/// The candidate to accept next.
fn pick(candidates: &[(&AggregatedFlexOffer, Option<Best>)], gain_min: Money) -> Option<usize> {
    let rank = |&(_, offer, best): &(usize, &AggregatedFlexOffer, &Best)| {
        let prices = offer.prices;
        (Reverse(best.gain), prices.decrease, prices.increase, offer.assignment_before, offer.id.clone())
    };
    let gainful = candidates.iter().enumerate().filter_map(|(index, (offer, best))| {
        let worth_it = |best: &&Best| best.gain.is_positive() && best.gain.rounded() >= gain_min;
        best.as_ref().filter(worth_it).map(|best| (index, *offer, best))
    });
    gainful.min_by_key(rank).map(|(index, _, _)| index)
}
