//! Offers of parties that fell silent: they are kept out of the book until the party is heard again.
//!
//! A bundle is sold as a whole, so one of whose members nobody knows whether it still obeys is not sold. A party that is silent
//! already comes into no bundle. What was bought before stays bought.

use super::aggregator::{Aggregator, AggregatorMsg, bundle};
use super::matcher::MatcherMsg;
use crate::runtime::Context;
use grid::ProsumerId;
use market::{AggregatedFlexOffer, FlexOfferId, OfferStatus, Removal};
use std::time::Duration;

/// How often silence is looked for.
const LOOK_PERIOD: Duration = Duration::from_secs(15);
const LOOK_OFFSET: Duration = Duration::from_secs(7);
/// What may be sold again is placed on the next full second: once, also when a thousand parties are heard again at once.
const PLACE_PERIOD: Duration = Duration::from_secs(1);

impl Aggregator {
    pub(super) fn look_for_silence_later(cx: &mut Context<AggregatorMsg>) {
        cx.wake_each(LOOK_PERIOD, LOOK_OFFSET, AggregatorMsg::SilenceDue);
    }

    /// Something came from a party.
    pub(super) fn on_heard(&mut self, party: ProsumerId, expected: bool, cx: &mut Context<AggregatorMsg>) {
        // Only of those who can trade: others would fill the memory.
        let trades = self.area.devices.values().any(|device| device.prosumer == party);
        if !trades || !self.beats.heard(party, cx.now(), expected) {
            return;
        }
        tracing::info!(prosumer = %party, "heard again: its offers are traded again");
        let own = |offer: &FlexOfferId| self.prosumer_of(offer) == Some(party);
        let back: Vec<FlexOfferId> = self.aside.iter().filter(|offer| own(offer)).cloned().collect();
        for id in back {
            self.aside.remove(&id);
            let open = self.books.read(|ledger| match ledger.offer(&id) {
                Some((offer, OfferStatus::Open)) if ledger.aggregate_of(&id).is_none() => Some(offer.clone()),
                _ => None,
            });
            if let Some(offer) = open {
                bundle(&mut self.aggregation, &self.area, offer);
            }
        }
        cx.wake_each(PLACE_PERIOD, Duration::ZERO, AggregatorMsg::PlaceDue);
    }

    /// Suspends whoever is silent for too long, and takes what it offers out of the book.
    pub(super) fn on_silence_due(&mut self, cx: &mut Context<AggregatorMsg>) {
        Self::look_for_silence_later(cx);
        let now = cx.now();
        for party in self.beats.suspend_silent(now) {
            tracing::warn!(prosumer = %party, "no heartbeat for three periods: its offers are suspended");
        }
        let silent = self.beats.suspended();
        if silent.is_empty() {
            return;
        }
        let waiting = self.books.read(|ledger| {
            let theirs = ledger.unaggregated_offers().filter(|offer| silent.contains(&offer.prosumer));
            theirs.map(|offer| offer.id.clone()).collect::<Vec<_>>()
        });
        for id in waiting.into_iter().filter(|id| !self.aside.contains(id)).collect::<Vec<_>>() {
            // What is being sealed at the moment is held as an aggregate the next time.
            if matches!(self.aggregation.remove(&id), Removal::Pending) {
                self.aside.insert(id);
            }
        }
        // Again and again: an aggregate may have been on its way to the matcher.
        let (held, _) = self.held_and_free();
        for aggregate in held {
            cx.send(&self.matcher, MatcherMsg::WithdrawOffer(aggregate.id));
        }
    }

    /// Open aggregates that are not sold now, because somebody in them is silent, and those that are.
    pub(super) fn held_and_free(&self) -> (Vec<AggregatedFlexOffer>, Vec<AggregatedFlexOffer>) {
        let silent = self.beats.suspended();
        self.books.read(|ledger| {
            let is_silent = |offer: &FlexOfferId| {
                ledger.offer(offer).is_some_and(|(offer, _)| silent.contains(&offer.prosumer))
            };
            let is_held = |sum: &AggregatedFlexOffer| !silent.is_empty() && sum.members.iter().any(is_silent);
            ledger.open_aggregates().cloned().partition(is_held)
        })
    }

    fn prosumer_of(&self, offer: &FlexOfferId) -> Option<ProsumerId> {
        self.books.read(|ledger| ledger.offer(offer).map(|(offer, _)| offer.prosumer))
    }
}
