//! The door for offers from outside: hands them to the aggregator and waits for the durable answer.
//!
//! Whatever protocol a party speaks, what it asks of the market passes here, and takes a place: [`UNDER_WAY_MAX`] requests are under
//! way at a time. A place is given back when the request is answered, also where nobody waits for the answer any more: what counts is
//! what lies in the mailboxes. Beyond that a request is refused at once, and counted.

use crate::figures::{Count, Family, Values};
use crate::market_side::{AggregatorMsg, AnswerTo, OfferAnswer, Submission, Withdrawal};
use crate::runtime::{Address, Credit, Credits};
use grid::ProsumerId;
use market::{FlexOffer, FlexOfferId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an outside submission waits for its answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Offers, changes and withdrawals that wait for their answers, at most: half a second's work where a sync takes 4 ms.
pub const UNDER_WAY_MAX: usize = 1_024;
/// Words that a party was heard which the aggregator has not taken, at most. They have places of their own, so that nobody's offers
/// are suspended because others offer much.
pub const HEARD_MAX: usize = 1_024;
/// Code of a refusal: there is no place. Nothing was looked at; the same will be taken in a moment.
pub const OVERLOADED: &str = "overloaded";

/// Somebody outside the actors who waits for one answer.
#[derive(Debug, Clone)]
pub struct Waiting(Arc<Mutex<Option<(oneshot::Sender<OfferAnswer>, Credit)>>>);

impl Waiting {
    /// A pair of the waiting side's ticket, which takes a place until it is answered, and of where the answer arrives.
    pub fn pair(place: Credit) -> (Self, oneshot::Receiver<OfferAnswer>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some((sender, place))))), receiver)
    }

    /// Gives the answer; a second answer, or one for somebody who has left, is ignored.
    pub fn answer(&self, answer: OfferAnswer) {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if waiting.is_some_and(|(sender, _place)| sender.send(answer).is_err()) {
            tracing::debug!("nobody waits for the answer any more");
        }
    }

    /// Tells that no answer will come, and takes no place any more.
    pub fn give_up(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What found no place, by what it was.
#[derive(Debug, Clone, Default)]
struct TurnedAway {
    offers: Count,
    changes: Count,
    withdrawals: Count,
    heard: Count,
}

/// Where offers from outside are handed in. Clones are the same door.
#[derive(Debug, Clone)]
pub struct OfferDoor {
    aggregator: Address<AggregatorMsg>,
    places: Credits,
    heard_places: Credits,
    turned_away: TurnedAway,
}

impl OfferDoor {
    /// The door to an aggregator.
    pub fn new(aggregator: Address<AggregatorMsg>) -> Self {
        let (places, heard_places) = (Credits::new(UNDER_WAY_MAX), Credits::new(HEARD_MAX));
        Self { aggregator, places, heard_places, turned_away: TurnedAway::default() }
    }

    /// Hands in an offer. `None` means that no answer came in time: the offer may or may not have been accepted,
    /// and handing in the same offer again will tell.
    pub async fn submit(&self, offer: FlexOffer) -> Option<OfferAnswer> {
        let msg = |waiting| {
            AggregatorMsg::Submit(Submission { offer: Arc::new(offer), answer_to: AnswerTo::Door(waiting) })
        };
        self.ask(msg, &self.turned_away.offers).await
    }

    /// Puts other contents into the place of an open offer's of the same name. `None` means that no answer came in time; asking
    /// again will tell.
    pub async fn change(&self, offer: FlexOffer) -> Option<OfferAnswer> {
        let msg = |waiting| {
            AggregatorMsg::Change(Submission { offer: Arc::new(offer), answer_to: AnswerTo::Door(waiting) })
        };
        self.ask(msg, &self.turned_away.changes).await
    }

    /// Takes an offer back. `None` means that no answer came in time; asking again will tell.
    pub async fn withdraw(&self, offer: FlexOfferId) -> Option<OfferAnswer> {
        let msg = |answer_to| AggregatorMsg::Withdraw(Withdrawal { offer, answer_to });
        self.ask(msg, &self.turned_away.withdrawals).await
    }

    async fn ask(
        &self,
        msg: impl FnOnce(Waiting) -> AggregatorMsg,
        turned_away: &Count,
    ) -> Option<OfferAnswer> {
        let Some(place) = self.places.try_take() else {
            turned_away.more();
            let reason =
                format!("{UNDER_WAY_MAX} requests wait for their answers; ask the same again in a moment");
            return Some(OfferAnswer::Refused { code: OVERLOADED, reason });
        };
        let (waiting, answer) = Waiting::pair(place.clone());
        // What the journal and the observer are sent for it takes its place, too.
        self.aggregator.deliver_carrying(msg(waiting), Some(place));
        tokio::time::timeout(ANSWER_WITHIN, answer).await.ok()?.ok()
    }

    /// Something came from a party; with `expected` it is a heartbeat, after which others have to come. False where there was no place
    /// to say so.
    pub fn heard(&self, party: ProsumerId, expected: bool) -> bool {
        let place = self.heard_places.try_take();
        match &place {
            Some(_) => self.aggregator.deliver_carrying(AggregatorMsg::Heard { party, expected }, place),
            None => {
                self.turned_away.heard.more();
                return false;
            }
        }
        true
    }

    /// What found no place.
    pub fn refused(&self) -> Family {
        let turned_away = &self.turned_away;
        let counts = [
            ("offer", &turned_away.offers),
            ("change", &turned_away.changes),
            ("withdrawal", &turned_away.withdrawals),
            ("heartbeat", &turned_away.heard),
        ];
        let labelled = counts.map(|(request, count)| {
            (vec![("reason", OVERLOADED.to_owned()), ("request", request.to_owned())], count.get())
        });
        Family {
            name: "market_refused_requests_total",
            help: "What parties asked of the market and was refused unseen, by why and what.",
            values: Values::Totals(labelled.to_vec()),
        }
    }

    /// How many requests wait for their answers.
    pub fn under_way(&self) -> usize {
        UNDER_WAY_MAX.saturating_sub(self.places.left())
    }

    /// The same as a figure.
    pub fn waiting(&self) -> Family {
        Family {
            name: "market_waiting_requests",
            help: "Offers, changes and withdrawals that wait for their answers.",
            values: Values::Now(vec![(Vec::new(), self.under_way() as f64)]),
        }
    }
}
