//! Taking an offer back, as the aggregator does it: as long as it waits, or stands in a bundle of its own.
//!
//! A bundle is sold as a whole, so a member of one cannot leave it without taking the others' chance with it.

use super::aggregator::{Aggregator, AggregatorMsg, OfferAnswer, Withdrawal};
use super::changing::{Refusal, UNKNOWN_OFFER, being_recorded};
use super::matcher::MatcherMsg;
use crate::runtime::{Context, Delivery};
use grid::defect::{Defect, planted};
use market::{AggregateId, FlexOffer, MarketEvent, OfferStatus, Removal};
use std::sync::Arc;

/// Code of a refusal: it is bought already, or its time is over.
pub const NOT_OPEN: &str = "not-open";
/// Code of a refusal: others stand in the same bundle.
pub const BUNDLED: &str = "bundled";

impl Aggregator {
    pub(super) fn on_withdrawal(&mut self, withdrawal: &Withdrawal, cx: &mut Context<AggregatorMsg>) {
        let answering = |answer: OfferAnswer| {
            let waiting = withdrawal.answer_to.clone();
            Delivery::outside(move || waiting.answer(answer.clone()))
        };
        let id = &withdrawal.offer;
        let refusing = |code, reason: String| answering(OfferAnswer::Refused { code, reason });
        let known = self.books.read(|ledger| ledger.offer(id).map(|(offer, status)| (offer.clone(), status)));
        let Some((offer, status)) = known else {
            return cx.make(refusing(UNKNOWN_OFFER, format!("there is no FlexOffer {id}")));
        };
        if let Some((code, reason)) = super::aggregator::unrecorded(&self.books, &offer) {
            return cx.make(refusing(code, reason));
        }
        // When it is durable it is admitted, whatever was said of it in between.
        if self.is_underway(id) {
            let (code, reason) = being_recorded(id);
            return cx.make(refusing(code, reason));
        }
        let gone = format!("FlexOffer {id} is not open any more");
        match status {
            // Recorded again, which changes nothing, and answered when the first record is durable.
            OfferStatus::Open | OfferStatus::Withdrawn => {}
            _ => return cx.make(refusing(NOT_OPEN, gone)),
        }
        let (mut then, mut otherwise) = (Vec::new(), Vec::new());
        if status == OfferStatus::Open {
            match self.take_out(offer, cx) {
                Ok(left) => (then, otherwise) = left,
                Err((code, reason)) => return cx.make(refusing(code, reason)),
            }
        }
        otherwise.push(refusing(NOT_OPEN, gone));
        then.push(answering(match status {
            OfferStatus::Withdrawn => OfferAnswer::AlreadyKnown,
            _ => OfferAnswer::Accepted,
        }));
        if planted(Defect::ForgetsWithdrawals) {
            return then.into_iter().for_each(|delivery| cx.make(delivery));
        }
        let event = MarketEvent::OfferWithdrawn { offer: id.clone(), at: cx.now() };
        self.journal.record_or(cx, event, then, otherwise);
    }

    /// Takes an open offer out of where it stands: from among those that wait, or with a bundle of its own. What is to be done
    /// when its leaving is durable, and what when it is not recorded.
    pub(super) fn take_out(
        &mut self,
        offer: FlexOffer,
        cx: &mut Context<AggregatorMsg>,
    ) -> Result<(Vec<Delivery>, Vec<Delivery>), Refusal> {
        match self.stood(&offer) {
            Stood::Waiting => {
                let again = cx.myself().sending(AggregatorMsg::Admit(Arc::new(offer)));
                Ok((Vec::new(), vec![again]))
            }
            Stood::Alone(aggregate) => {
                self.aggregation.forget(&aggregate);
                cx.send(&self.matcher, MatcherMsg::WithdrawOffer(aggregate.clone()));
                // It may have been on its way there, or be placed again before this is in the books.
                Ok((vec![self.matcher.sending(MatcherMsg::WithdrawOffer(aggregate))], Vec::new()))
            }
            Stood::Bundled => {
                let reason =
                    format!("FlexOffer {} is bundled with others, which are sold together", offer.id);
                Err((BUNDLED, reason))
            }
        }
    }

    /// Where an open offer stood; a waiting one is taken out.
    fn stood(&mut self, offer: &FlexOffer) -> Stood {
        self.aside.remove(&offer.id);
        let aggregate = match self.aggregation.remove(&offer.id) {
            Removal::Pending => return Stood::Waiting,
            Removal::Sealed(aggregate) => Some(aggregate),
            // From before the last start.
            Removal::Unknown => self.books.read(|ledger| ledger.aggregate_of(&offer.id).cloned()),
        };
        let Some(aggregate) = aggregate else { return Stood::Waiting };
        let members = self.books.read(|ledger| ledger.aggregate(&aggregate).map(|found| found.members.len()));
        // One that is not in the books yet is being recorded.
        if members == Some(1) { Stood::Alone(aggregate) } else { Stood::Bundled }
    }
}

/// Where an open offer stood.
enum Stood {
    Waiting,
    Alone(AggregateId),
    Bundled,
}
