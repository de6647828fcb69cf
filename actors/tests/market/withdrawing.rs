//! Offers that their owners take back.

use super::evening::{DEVICE, PROSUMER, USAGE_POINT, up_to_the_order};
use super::{Ear, Market, area, offer, seconds};
use actors::egress::EgressMsg;
use actors::market_side::foa::Exits;
use actors::market_side::{Aggregator, BUNDLED, Foa, FoaMsg, NOT_OPEN, OfferAnswer};
use actors::observer::Seen;
use grid::{DeviceId, ProsumerId, Timestamp};
use market::aggregation::combine;
use market::{
    AggregateId, DeviceReport, DeviceState, FlexOffer, FlexOfferId, MarketEvent, OfferStatus, ZoneId,
};
use std::sync::Arc;

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

#[tokio::test(start_paused = true)]
async fn a_name_that_an_agent_will_use_is_refused_to_everybody_else() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    for name in ["fo-7-1-1", "fo-7-s3-2", "fo-121-1965162-40"] {
        let offer = FlexOffer { id: FlexOfferId::new(name).unwrap(), ..offer() };
        assert_eq!(code(door.submit(offer.clone()).await), "reserved-name", "{name}");
        assert!(market.books.durable_offer(&offer.id).is_none());
    }
    assert_eq!(door.submit(offer()).await, Some(OfferAnswer::Accepted));
}

#[tokio::test(start_paused = true)]
async fn an_agent_whose_name_for_an_offer_is_taken_says_so_and_it_is_counted() {
    let MarketEvent::OfferAccepted { offer, at } = up_to_the_order().remove(0) else { unreachable!() };
    let (id, device) = (FlexOfferId::new("fo-7-s3-1").unwrap(), DeviceId(9));
    let squatting = FlexOffer { id, device, prosumer: ProsumerId(2), ..offer };
    let now: Timestamp = "2026-01-15T17:20:00Z".parse().unwrap();
    let facts = vec![MarketEvent::OfferAccepted { offer: squatting, at }];
    let market = Market::start(facts, "2026-01-15T17:20:05Z").await;
    let (area, books, matcher) = (Arc::new(area()), market.books.clone(), market.matcher().await);
    let (journal, observer) = (market.journal.clone(), market.observer.clone());
    let (to, places) = ((area.clone(), books.clone()), (journal.clone(), matcher, observer.clone()));
    let build = move || {
        let ((area, books), (journal, matcher, observer)) = (to.clone(), places.clone());
        Aggregator::new(area, books, journal, matcher, observer)
    };
    let aggregator = market.supervisor.spawn("aggregator", build).await.unwrap();
    let egress = market.supervisor.spawn("egress", || Ear::<EgressMsg>(Arc::default())).await.unwrap();
    let exits = Exits { journal, aggregator, egress, observer, historian: None, weather: None };
    let build = move || Foa::new(PROSUMER, area.clone(), books.clone(), exits.clone());
    let agent = market.supervisor.spawn("foa", build).await.unwrap();
    let state = DeviceState::Charger {
        session: 3,
        energy_needed_wh: 9_000.0,
        departure: now.plus(std::time::Duration::from_secs(6 * 3600)),
        p_max_w: 8_000.0,
    };
    let report =
        DeviceReport { device: DEVICE, prosumer: PROSUMER, usage_point: USAGE_POINT, at: now, state };
    agent.deliver(FoaMsg::Reported(Arc::new(report)));
    seconds(5).await;
    let seen = market.seen.lock().unwrap();
    let told = seen.iter().filter(|seen| matches!(seen, Seen::Rejected { code: "agent_name_taken", .. }));
    assert_eq!(told.count(), 1, "{seen:?}");
}
