//! The door for offers from outside: hands them to the aggregator and waits for the durable answer.

use crate::market_side::{AggregatorMsg, AnswerTo, OfferAnswer, Submission, Withdrawal};
use crate::runtime::Address;
use grid::ProsumerId;
use market::{FlexOffer, FlexOfferId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an outside submission waits for its answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Somebody outside the actors who waits for one answer.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Mutex<Option<oneshot::Sender<OfferAnswer>>>>);

impl Waiting {
    /// A pair of the waiting side's ticket and the place where the answer arrives.
    pub fn pair() -> (Self, oneshot::Receiver<OfferAnswer>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }

    /// Gives the answer; a second answer, or one for somebody who has left, is ignored.
    pub fn answer(&self, answer: OfferAnswer) {
        let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if sender.is_some_and(|sender| sender.send(answer).is_err()) {
            tracing::debug!("nobody waits for the answer any more");
        }
    }
}

/// Where offers from outside are handed in.
#[derive(Debug, Clone)]
pub struct OfferDoor {
    aggregator: Address<AggregatorMsg>,
}

impl OfferDoor {
    /// The door to an aggregator.
    pub fn new(aggregator: Address<AggregatorMsg>) -> Self {
        Self { aggregator }
    }

    /// Hands in an offer. `None` means that no answer came in time: the offer may or may not have been accepted,
    /// and handing in the same offer again will tell.
    pub async fn submit(&self, offer: FlexOffer) -> Option<OfferAnswer> {
        let (waiting, answer) = Waiting::pair();
        let submission = Submission { offer: Arc::new(offer), answer_to: AnswerTo::Door(waiting) };
        self.aggregator.deliver(AggregatorMsg::Submit(submission));
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
    }

    /// Puts other contents into the place of an open offer's of the same name. `None` means that no answer came in time; asking
    /// again will tell.
    pub async fn change(&self, offer: FlexOffer) -> Option<OfferAnswer> {
        let (waiting, answer) = Waiting::pair();
        let change = Submission { offer: Arc::new(offer), answer_to: AnswerTo::Door(waiting) };
        self.aggregator.deliver(AggregatorMsg::Change(change));
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
    }

    /// Something came from a party; with `expected` it is a heartbeat, after which others have to come.
    pub fn heard(&self, party: ProsumerId, expected: bool) {
        self.aggregator.deliver(AggregatorMsg::Heard { party, expected });
    }

    /// Takes an offer back. `None` means that no answer came in time; asking again will tell.
    pub async fn withdraw(&self, offer: FlexOfferId) -> Option<OfferAnswer> {
        let (answer_to, answer) = Waiting::pair();
        self.aggregator.deliver(AggregatorMsg::Withdraw(Withdrawal { offer, answer_to }));
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
    }
}
