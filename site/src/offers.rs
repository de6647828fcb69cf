//! The page's door for offers, opened to the system.

use actors::journal::Books;
use actors::journal::stage::JOURNAL_FULL;
use actors::market_side::OfferAnswer as Answer;
use dashboards_server::{OfferAnswer, OfferDoor, OfferFound, OfferState};
use futures_util::future::BoxFuture;
use market::{FlexOffer, FlexOfferId, OfferStatus};

/// Offers handed in over HTTP go to the aggregator; offers asked for are looked up in the books.
#[derive(Debug, Clone)]
pub struct Door {
    door: actors::OfferDoor,
    books: Books,
}

impl Door {
    /// Joins both.
    pub fn new(door: actors::OfferDoor, books: Books) -> Self {
        Self { door, books }
    }
}

impl OfferDoor for Door {
    fn submit(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let door = self.door.clone();
        Box::pin(async move {
            match door.submit(offer).await {
                Some(Answer::Accepted) => OfferAnswer::Accepted,
                Some(Answer::AlreadyKnown) => OfferAnswer::Known,
                Some(Answer::Conflict) => OfferAnswer::Conflict,
                Some(Answer::Refused { code: code @ JOURNAL_FULL, reason }) => {
                    OfferAnswer::Unavailable { code, sentence: reason }
                }
                Some(Answer::Refused { code, reason }) => {
                    OfferAnswer::Refused { code: code.to_owned(), sentence: reason }
                }
                None => OfferAnswer::Unavailable {
                    code: "unavailable",
                    sentence:
                        "no durable answer in time; hand in the same offer again to learn what became of it"
                            .to_owned(),
                },
            }
        })
    }

    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        let found = self.books.read(|ledger| {
            ledger.offer(&id).map(|(offer, status)| OfferFound { offer: offer.clone(), state: state(status) })
        });
        Box::pin(std::future::ready(found))
    }
}

fn state(status: OfferStatus) -> OfferState {
    match status {
        OfferStatus::Open => OfferState::Accepted,
        OfferStatus::Contracted | OfferStatus::Assigned { .. } => OfferState::Contracted,
        OfferStatus::Withdrawn => OfferState::Withdrawn,
        OfferStatus::Expired => OfferState::Expired,
    }
}
