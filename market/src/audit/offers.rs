//! Offers and aggregates.

use super::sums::is_sum;
use super::{Audit, inside};
use crate::bid::Need;
use crate::contract::AggregatedFlexOffer;
use crate::flex_offer::{FlexOffer, FlexOfferId};
use grid::Timestamp;

impl<'a> Audit<'a> {
    /// How many of some offers had to be assigned before an instant.
    pub(super) fn late<'b>(&self, offers: impl IntoIterator<Item = &'b FlexOfferId>, at: Timestamp) -> u64 {
        let offers = offers.into_iter().filter_map(|id| self.offers.get(id));
        offers.filter(|offer| at >= offer.assignment_before).count() as u64
    }

    pub(super) fn offer_accepted(&mut self, offer: &'a FlexOffer, at: Timestamp) {
        self.report.offers += 1;
        if at >= offer.acceptance_before {
            self.wrong(format!("offer {} was accepted at {at}, after its deadline", offer.id));
        }
        self.default_inside(offer);
        if self.offers.insert(&offer.id, offer).is_some() {
            self.wrong(format!("offer {} was accepted twice", offer.id));
        }
    }

    fn default_inside(&mut self, offer: &FlexOffer) {
        let window = (offer.start_after, offer.start_before);
        if !inside(window, &offer.slices, offer.total_energy, &offer.default_schedule) {
            self.wrong(format!("offer {} has a default schedule outside itself", offer.id));
        }
    }

    /// Only of its owner's, while it is open, and never out of a bundle with others.
    pub(super) fn offer_changed(&mut self, offer: &'a FlexOffer, at: Timestamp) {
        self.report.offers_changed += 1;
        let id = &offer.id;
        self.default_inside(offer);
        match self.offers.insert(id, offer) {
            None => self.wrong(format!("offer {id} was changed but never accepted")),
            Some(before) => {
                if before.prosumer != offer.prosumer {
                    self.wrong(format!("offer {id} came to be another prosumer's by a change"));
                }
                if before.terms.revision >= offer.terms.revision {
                    self.wrong(format!("offer {id} was changed without a higher revision"));
                }
                if at >= before.assignment_before || at >= offer.acceptance_before {
                    self.wrong(format!("offer {id} was changed at {at}, after its deadline"));
                }
            }
        }
        if let Some(before) = self.closed.get(id) {
            self.wrong(format!("offer {id} was changed after it was {before}"));
        }
        let Some(left) = self.aggregate_of.remove(id) else { return };
        if let Some(contract) = self.sold.get(left).copied() {
            self.wrong(format!("offer {id} was changed although contract {contract} bought it"));
        }
        if self.aggregates.get(left).is_some_and(|aggregate| aggregate.members.len() != 1) {
            self.wrong(format!("offer {id} was changed although aggregate {left} has others beside it"));
        }
    }

    pub(super) fn offer_expired(&mut self, id: &'a FlexOfferId, at: Timestamp) {
        if self.offers.get(id).is_some_and(|offer| at < offer.assignment_before) {
            self.wrong(format!("offer {id} expired at {at}, before its deadline"));
        }
        self.offer_closed(id, "expired");
    }

    pub(super) fn offer_closed(&mut self, id: &'a FlexOfferId, how: &'static str) {
        if !self.offers.contains_key(id) {
            self.wrong(format!("offer {id} was {how} but never accepted"));
        }
        let sold = self.aggregate_of.get(id).and_then(|aggregate| self.sold.get(aggregate)).copied();
        if let Some(contract) = sold {
            self.wrong(format!("offer {id} was {how} although contract {contract} bought it"));
        }
        if let Some(before) = self.closed.insert(id, how) {
            self.wrong(format!("offer {id} was {how} after it was {before}"));
        }
    }

    pub(super) fn aggregate_formed(&mut self, aggregate: &'a AggregatedFlexOffer) {
        self.report.aggregates += 1;
        let id = &aggregate.id;
        let mut members = Vec::new();
        for member in &aggregate.members {
            match self.offers.get(member) {
                Some(offer) => members.push(*offer),
                None => self.wrong(format!("aggregate {id} has the unknown member {member}")),
            }
            if self.closed.contains_key(member) {
                self.wrong(format!("aggregate {id} has the closed member {member}"));
            }
            if let Some(other) = self.aggregate_of.insert(member, id) {
                self.wrong(format!("offer {member} is in aggregates {other} and {id}"));
            }
        }
        if let [alone] = members.as_slice() {
            self.made_of.insert(id, alone);
        }
        if members.len() == aggregate.members.len() && !is_sum(aggregate, &members) {
            self.wrong(format!("aggregate {id} is not the sum of its members"));
        }
        if self.aggregates.insert(id, aggregate).is_some() {
            self.wrong(format!("aggregate {id} was formed twice"));
        }
    }

    pub(super) fn need_placed(&mut self, need: &'a Need) {
        let contracts = self.contracts.len() as u64;
        if need.contracts_seen != contracts {
            let seen = need.contracts_seen;
            self.wrong(format!("a need of {} saw {seen} of {contracts} contracts", need.issued_at));
        }
        self.bids.extend(need.bids.iter().map(|bid| (&bid.id, bid)));
    }
}
