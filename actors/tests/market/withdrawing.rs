//! Offers that their owners take back.

use super::evening::{PROSUMER, up_to_the_order};
use super::{Market, seconds};
use actors::market_side::{BUNDLED, NOT_OPEN, OfferAnswer};
use market::aggregation::combine;
use market::{AggregateId, FlexOffer, FlexOfferId, MarketEvent, OfferStatus, ZoneId};

fn offer() -> FlexOffer {
    let MarketEvent::OfferAccepted { offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    offer
}

fn code(answer: Option<OfferAnswer>) -> &'static str {
    match answer {
        Some(OfferAnswer::Accepted) => "withdrawn",
        Some(OfferAnswer::AlreadyKnown) => "known",
        Some(OfferAnswer::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_offer_that_waits_is_taken_back_and_never_bought() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let (door, offer) = (market.offer_door().await, offer());
    assert_eq!(door.submit(offer.clone()).await, Some(OfferAnswer::Accepted));
    assert_eq!(code(door.withdraw(offer.id.clone()).await), "withdrawn");
    let status = || market.books.durable_offer(&offer.id).map(|(_, status)| status);
    assert_eq!(status(), Some(OfferStatus::Withdrawn), "the answer came when it was on the disk");
    assert_eq!(code(door.withdraw(offer.id.clone()).await), "known");

    assert_eq!(code(door.withdraw(FlexOfferId::new("none").unwrap()).await), "unknown-offer");
    seconds(180).await;
    assert_eq!(market.books.read(|ledger| ledger.aggregate_count()), 0);
    // Its device may offer something else.
    let next = FlexOffer { id: FlexOfferId::new("next").unwrap(), ..offer.clone() };
    assert_eq!(door.submit(next).await, Some(OfferAnswer::Accepted));
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_alone_in_its_bundle_is_taken_back_and_one_that_was_bought_is_not() {
    let facts = up_to_the_order();
    let bundled = facts.iter().position(|fact| matches!(fact, MarketEvent::AggregateFormed { .. })).unwrap();
    let market = Market::start(facts[..=bundled].to_vec(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.withdraw(offer().id).await), "withdrawn");
    assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 0);

    let bought = facts.iter().position(|fact| matches!(fact, MarketEvent::ContractFormed { .. })).unwrap();
    let market = Market::start(facts[..=bought].to_vec(), "2026-01-15T17:30:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.withdraw(offer().id).await), NOT_OPEN);
    assert_eq!(market.contracts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_bundle_stays_because_the_others_are_sold_with_it() {
    let first = offer();
    let mut second = FlexOffer { id: FlexOfferId::new("second").unwrap(), ..first.clone() };
    (second.device.0, second.prosumer.0) = (second.device.0 + 1, PROSUMER.0 + 1);
    let both = combine(AggregateId::numbered("aggregate-", 1), ZoneId(1), &[&first, &second]).unwrap();
    let at = "2026-01-15T17:20:05Z".parse().unwrap();
    let accepted = |offer: &FlexOffer| MarketEvent::OfferAccepted { offer: offer.clone(), at };
    let facts =
        vec![accepted(&first), accepted(&second), MarketEvent::AggregateFormed { aggregate: both, at }];
    let market = Market::start(facts, "2026-01-15T17:20:06Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.withdraw(first.id).await), BUNDLED);
    assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 1);
}
