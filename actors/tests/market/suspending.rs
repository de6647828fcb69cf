//! Parties that fall silent after they began to send heartbeats.

use super::evening::{PROSUMER, up_to_the_order};
use super::{Market, area, seconds};
use actors::OfferDoor;
use actors::beats::Beats;
use actors::market_side::{Aggregator, MatcherMsg, OfferAnswer};
use actors::runtime::Address;
use grid::ProsumerId;
use market::{FlexOffer, MarketEvent, Need};
use std::sync::Arc;

fn offer_and_need() -> (FlexOffer, Need) {
    let facts = up_to_the_order();
    match (&facts[0], &facts[2]) {
        (MarketEvent::OfferAccepted { offer, .. }, MarketEvent::NeedPlaced { need, .. }) => {
            (offer.clone(), need.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// An aggregator and a matcher that go on from these facts, and who is heard of.
async fn market(facts: Vec<MarketEvent>) -> (Market, OfferDoor, Address<MatcherMsg>, Beats) {
    let market = Market::start(facts, "2026-01-15T17:20:05Z").await;
    let (matcher, beats) = (market.matcher().await, Beats::default());
    let (area, books, to) = (Arc::new(area()), market.books.clone(), matcher.clone());
    let (journal, observer, heard) = (market.journal.clone(), market.observer.clone(), beats.clone());
    let build = move || {
        let (journal, matcher, beats) = (journal.clone(), to.clone(), heard.clone());
        Aggregator::new(area.clone(), books.clone(), journal, matcher, observer.clone()).hearing(beats)
    };
    let door = OfferDoor::new(market.supervisor.spawn("aggregator", build).await.unwrap());
    (market, door, matcher, beats)
}

#[tokio::test(start_paused = true)]
async fn what_a_silent_party_offers_is_not_bundled_until_it_is_heard_again() {
    for silent in [false, true] {
        let (offer, need) = offer_and_need();
        let at = "2026-01-15T17:20:00Z".parse().unwrap();
        let (market, door, _, beats) = market(vec![MarketEvent::NeedPlaced { need, at }]).await;
        door.heard(PROSUMER, silent);
        // Of whoever has no device nothing is kept.
        door.heard(ProsumerId(77), true);
        seconds(170).await;
        assert!(!beats.is_suspended(PROSUMER), "three heartbeats are not missing yet");
        seconds(30).await;
        assert_eq!((beats.is_suspended(PROSUMER), beats.parties().len()), (silent, usize::from(silent)));
        assert_eq!(door.submit(offer).await, Some(OfferAnswer::Accepted));
        seconds(120).await;
        let sold = || (market.books.read(|ledger| ledger.aggregate_count()), market.contracts());
        // The null control: who never sent a heartbeat is not missed.
        assert_eq!(sold(), if silent { (0, 0) } else { (1, 1) });
        door.heard(PROSUMER, false);
        seconds(100).await;
        assert_eq!((sold(), beats.suspended().len()), ((1, 1), 0));
        assert_eq!(beats.changes(), (u64::from(silent), u64::from(silent)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_party_offered_before_it_fell_silent_leaves_the_book_and_comes_back() {
    let (_, need) = offer_and_need();
    let (market, door, matcher, beats) = market(up_to_the_order()[..2].to_vec()).await;
    door.heard(PROSUMER, true);
    seconds(200).await;
    assert!(beats.is_suspended(PROSUMER));
    let at = "2026-01-15T17:23:25Z".parse().unwrap();
    market.append(MarketEvent::NeedPlaced { need: need.clone(), at }, Vec::new());
    matcher.deliver(MatcherMsg::PlaceNeed(Arc::new(need)));
    seconds(130).await;
    assert_eq!(market.contracts(), 0, "also after all open bundles were placed anew");
    door.heard(PROSUMER, true);
    seconds(60).await;
    assert_eq!((market.contracts(), beats.suspended().len()), (1, 0));
}
