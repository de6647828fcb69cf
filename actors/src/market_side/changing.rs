//! Changing an offer, as the aggregator does it: as long as it could be taken back, and with what a new one could say.
//!
//! One fact says that it says something else from now on; until that is durable nothing of the new contents takes effect.

use super::aggregator::{Aggregator, AggregatorMsg, OfferAnswer, Submission, unrecorded};
use super::withdrawing::NOT_OPEN;
use crate::observer::Seen;
use crate::runtime::{Context, Delivery};
use grid::Timestamp;
use market::{FlexOffer, MarketEvent, OfferStatus, is_agents_name};
use std::sync::Arc;

/// Code of a refusal: there is no such offer.
pub const UNKNOWN_OFFER: &str = "unknown-offer";
/// Code of a refusal: the offer is another prosumer's.
pub const OTHER_OWNER: &str = "other-owner";
/// Code of a refusal: it rests on a revision that was overtaken.
pub const OLD_REVISION: &str = "old-revision";
/// Code of a refusal: what was said of the offer before is not durable yet. The same will be taken in a moment.
pub const BEING_RECORDED: &str = "being-recorded";

pub(super) type Refusal = (&'static str, String);

/// What a change comes to.
enum Change {
    /// It says this already.
    Known(FlexOffer),
    /// It said the first and says the second.
    From(FlexOffer, Arc<FlexOffer>),
}

/// Whether an offer says what a known one does. The revision is counted here, and whoever repeats a change may not know it.
fn says_the_same(given: &FlexOffer, known: &FlexOffer) -> bool {
    let mut given = given.clone();
    if given.terms.revision < known.terms.revision {
        given.terms.revision = known.terms.revision;
    }
    given == *known
}

/// The revision of a change: the one given, where it is a higher one; the next one, where the change rests on the newest or
/// says nothing of it.
fn next_revision(given: u32, known: u32) -> Option<u32> {
    match given {
        given if given > known => Some(given),
        given if given == known || given == 0 => known.checked_add(1),
        _ => None,
    }
}

impl Aggregator {
    pub(super) fn on_change(&mut self, change: &Submission, cx: &mut Context<AggregatorMsg>) {
        let now = cx.now();
        let done = match self.change(&change.offer, now) {
            Ok(Change::Known(offer)) => {
                // Recorded again, which changes nothing, and answered when the first record is durable.
                let answer = change.answer_to.delivery(&change.offer, OfferAnswer::AlreadyKnown);
                let event = MarketEvent::OfferChanged { offer, at: now };
                self.journal.record_or(cx, event, vec![answer], vec![self.not_changed(change)]);
                Ok(())
            }
            Ok(Change::From(known, offer)) => self.record_change(change, known, offer, cx),
            Err(refusal) => Err(refusal),
        };
        if let Err((code, reason)) = done {
            cx.send(&self.observer, Seen::Rejected { code, reason: reason.clone() });
            cx.make(change.answer_to.delivery(&change.offer, OfferAnswer::Refused { code, reason }));
        }
    }

    fn change(&self, given: &FlexOffer, now: Timestamp) -> Result<Change, Refusal> {
        let id = &given.id;
        let known = self.books.read(|ledger| ledger.offer(id).map(|(offer, status)| (offer.clone(), status)));
        let Some((known, status)) = known else {
            return Err((UNKNOWN_OFFER, format!("there is no FlexOffer {id}")));
        };
        if known.prosumer != given.prosumer {
            let reason = format!("FlexOffer {id} is not prosumer {}'s", given.prosumer);
            return Err((OTHER_OWNER, reason));
        }
        if let Some(refusal) = unrecorded(&self.books, given) {
            return Err(refusal);
        }
        // What was open at its deadline expires in a moment.
        if status != OfferStatus::Open || now >= known.assignment_before {
            return Err((NOT_OPEN, format!("FlexOffer {id} is not open any more")));
        }
        if says_the_same(given, &known) {
            return Ok(Change::Known(known));
        }
        if !self.is_durable(&known) || self.is_underway(id) {
            return Err(being_recorded(id));
        }
        let (given_revision, newest) = (given.terms.revision, known.terms.revision);
        let Some(revision) = next_revision(given_revision, newest) else {
            let reason = format!(
                "FlexOffer {id} was changed since: it has revision {newest}, the change rests on {given_revision}"
            );
            return Err((OLD_REVISION, reason));
        };
        if is_agents_name(id) {
            let reason = format!("FlexOffer {id} is an agent's, which alone says what it offers");
            return Err(("reserved-name", reason));
        }
        let mut offer = given.clone();
        offer.terms.revision = revision;
        match self.refusal(&offer, now) {
            Some(refusal) => Err(refusal),
            None => Ok(Change::From(known, Arc::new(offer))),
        }
    }

    fn record_change(
        &mut self,
        change: &Submission,
        known: FlexOffer,
        offer: Arc<FlexOffer>,
        cx: &mut Context<AggregatorMsg>,
    ) -> Result<(), Refusal> {
        let (id, myself) = (offer.id.clone(), cx.myself().clone());
        let (mut then, left_otherwise) = self.take_out(known, cx)?;
        let mut otherwise = vec![myself.sending(AggregatorMsg::Disown(id))];
        otherwise.extend(left_otherwise);
        then.push(myself.sending(AggregatorMsg::Admit(offer.clone())));
        then.push(change.answer_to.delivery(&offer, OfferAnswer::Accepted));
        otherwise.push(self.not_changed(change));
        self.now_underway(offer.clone());
        let event = MarketEvent::OfferChanged { offer: offer.as_ref().clone(), at: cx.now() };
        self.journal.record_or(cx, event, then, otherwise);
        Ok(())
    }

    /// Tells that a change was not recorded: there was no room, or the offer was bought at that moment.
    fn not_changed(&self, change: &Submission) -> Delivery {
        let (books, Submission { offer, answer_to }) = (self.books.clone(), change.clone());
        Delivery::outside(move || {
            let gone = || (NOT_OPEN, format!("FlexOffer {} is not open any more", offer.id));
            let (code, reason) = unrecorded(&books, &offer).unwrap_or_else(gone);
            answer_to.delivery(&offer, OfferAnswer::Refused { code, reason }).make();
        })
    }
}

/// Why nothing more is done with an offer at this moment.
pub(super) fn being_recorded(id: &market::FlexOfferId) -> Refusal {
    (BEING_RECORDED, format!("FlexOffer {id} is being recorded; ask the same again"))
}

#[cfg(test)]
mod tests {
    use super::next_revision;

    #[test]
    fn a_change_rests_on_the_newest_revision_or_says_nothing_of_it() {
        for (given, known, next) in [
            (0, 0, Some(1)),
            (0, 7, Some(8)),
            (7, 7, Some(8)),
            (9, 7, Some(9)),
            (6, 7, None),
            (0, u32::MAX, None),
            (u32::MAX, u32::MAX, None),
        ] {
            assert_eq!(next_revision(given, known), next, "{given} on {known}");
        }
    }
}
