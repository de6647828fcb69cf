//! Offers that their owners change.

use super::evening::{slot, up_to_the_order};
use super::{Market, before_the_round, offer, seconds};
use actors::OfferDoor;
use actors::journal::stage::JOURNAL_FULL;
use actors::journal::{Fact, Journal, JournalMsg};
use actors::market_side::{BEING_RECORDED, BUNDLED, NOT_OPEN, OLD_REVISION, OTHER_OWNER, OfferAnswer};
use grid::{DeviceId, Money, ProsumerId};
use market::aggregation::combine;
use market::{AggregateId, FlexOffer, FlexOfferId, Ledger, MarketEvent, OfferStatus, ZoneId};
use std::time::Duration;

/// The evening's offer at other prices.
fn dearer(price: i64) -> FlexOffer {
    let mut offer = offer();
    (offer.prices.decrease, offer.prices.increase) = (Money(price), Money(price));
    offer
}

fn revised(offer: FlexOffer, revision: u32) -> FlexOffer {
    let mut offer = offer;
    offer.terms.revision = revision;
    offer
}

fn code(answer: Option<OfferAnswer>) -> &'static str {
    match answer {
        Some(OfferAnswer::Accepted) => "done",
        Some(OfferAnswer::AlreadyKnown) => "known",
        Some(OfferAnswer::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    }
}

impl Market {
    fn durable(&self) -> Option<(FlexOffer, OfferStatus)> {
        self.books.durable_offer(&offer().id)
    }

    fn records(&self) -> u64 {
        self.books.durable().0
    }

    /// Ends, and starts reading the journal: what it says is what the books said, and an auditor has no objection.
    async fn ends_as_recorded(self) -> Vec<MarketEvent> {
        let books = self.books.clone();
        self.supervisor.stop().await;
        let entries = Journal::verify(self.directory.path()).unwrap().entries;
        let facts: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| match entry.fact {
                Fact::Market(event) => Some((market::RecordNumber(entry.number), event)),
                _ => None,
            })
            .collect();
        let mut read = Ledger::default();
        for (number, event) in &facts {
            read.apply_record(*number, event).unwrap();
        }
        assert!(books.read(|ledger| *ledger == read));
        let report = market::audit::audit_records(facts.iter().map(|(number, event)| (*number, event)));
        assert_eq!(report.violations, [""; 0]);
        facts.into_iter().map(|(_, event)| event).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_bought_is_what_the_offer_said_last() {
    let market = Market::start(vec![up_to_the_order().remove(2)], "2026-01-15T17:21:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.submit(offer()).await), "done");
    for (price, revision) in [(150_000, 1), (200_000, 2)] {
        assert_eq!(code(door.change(dearer(price)).await), "done");
        assert_eq!(
            market.durable(),
            Some((revised(dearer(price), revision), OfferStatus::Open)),
            "it is on the disk"
        );
    }
    let records = market.records();
    // Whoever lost the answer says the same again: as it was sent, as it reads here, and as a new offer.
    for again in [dearer(200_000), revised(dearer(200_000), 2)] {
        assert_eq!(code(door.change(again).await), "known");
    }
    assert_eq!(code(door.submit(revised(dearer(200_000), 2)).await), "known");
    assert_eq!(door.submit(offer()).await, Some(OfferAnswer::Conflict));
    assert_eq!(code(door.change(revised(dearer(120_000), 1)).await), OLD_REVISION);
    assert_eq!(market.records(), records, "nothing was recorded");
    seconds(90).await;
    let contract = market.books.read(|ledger| ledger.contracts().next().unwrap().0.clone());
    assert_eq!((contract.prices.decrease, market.contracts()), (Money(200_000), 1));
    assert_eq!(market.books.read(Ledger::offer_count), 1);
    assert_eq!(code(door.change(dearer(400_000)).await), NOT_OPEN);
    assert_eq!(code(door.change(dearer(200_000)).await), NOT_OPEN, "nor is it changed into what it is");
    let facts = market.ends_as_recorded().await;
    let changes = facts.iter().filter(|fact| matches!(fact, MarketEvent::OfferChanged { .. }));
    assert_eq!(changes.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_that_stands_alone_in_its_bundle_is_bundled_afresh_and_bought_as_it_is_now() {
    let facts = before_the_round();
    let market = Market::start(facts, "2026-01-15T17:20:05.9Z").await;
    let door = market.offer_door().await;
    // The need would buy the first bundle on the next full second.
    assert_eq!(code(door.change(dearer(200_000)).await), "done");
    assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 0);
    seconds(120).await;
    let bought =
        market.books.read(|ledger| ledger.contracts().next().map(|(contract, _)| contract.clone())).unwrap();
    assert_eq!((bought.prices.decrease, market.contracts()), (Money(200_000), 1));
    assert_ne!(bought.aggregate, AggregateId::new("agg-1").unwrap());
    market.ends_as_recorded().await;
}

#[tokio::test(start_paused = true)]
async fn whatever_comes_first_at_the_round_the_offer_is_bought_once_and_as_it_was_agreed() {
    let (mut changed, mut refused) = (0, 0);
    for after in [0, 500, 900, 940, 950, 960, 999, 1_000, 1_001, 1_100] {
        let market = Market::start(before_the_round(), "2026-01-15T17:21:05.05Z").await;
        let door = market.offer_door().await;
        tokio::time::sleep(Duration::from_millis(after)).await;
        let answer = code(door.change(dearer(200_000)).await);
        seconds(400).await;
        let prices: Vec<_> = market
            .books
            .read(|ledger| ledger.contracts().map(|(contract, _)| contract.prices.decrease).collect());
        match answer {
            "done" => changed += 1,
            NOT_OPEN => refused += 1,
            other => panic!("{other}"),
        }
        let agreed = if answer == "done" { dearer(200_000) } else { offer() };
        assert!(
            prices.iter().all(|price| *price == agreed.prices.decrease),
            "{after} ms: {answer}, {prices:?}"
        );
        assert!(prices.len() == 1 || answer == "done", "{after} ms: {answer}, {prices:?}");
        let said = market.durable().unwrap().0;
        assert_eq!(said.prices, agreed.prices);
        market.ends_as_recorded().await;
    }
    assert!(changed > 0 && refused > 0, "{changed} and {refused}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_change_of_an_open_offer_of_ones_own_is_refused() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.change(offer()).await), "unknown-offer");
    assert_eq!(code(door.submit(offer()).await), "done");
    let records = market.records();
    let made = |change: fn(&mut FlexOffer)| {
        let mut offer = dearer(200_000);
        change(&mut offer);
        offer
    };
    for (changed, said) in [
        (made(|offer| offer.prosumer = ProsumerId(2)), OTHER_OWNER),
        (made(|offer| offer.device = DeviceId(99)), "unknown-device"),
        (made(|offer| offer.slices[0].max.0 *= 10), "device-rating"),
        (made(|offer| offer.slices.clear()), "empty-profile"),
        (made(|offer| offer.acceptance_before = "2026-01-15T17:20:00Z".parse().unwrap()), "past-acceptance"),
        (made(|offer| offer.created_at = "2026-01-15T17:29:00Z".parse().unwrap()), "created-in-future"),
    ] {
        assert_eq!(code(door.change(changed.clone()).await), said, "{changed:?}");
    }
    assert_eq!(market.records(), records);
    assert_eq!(market.durable(), Some((offer(), OfferStatus::Open)));
    // It still waits, and is bundled.
    seconds(60).await;
    assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 1);
    assert_eq!(code(door.withdraw(offer().id).await), "done");
    assert_eq!(code(door.change(dearer(200_000)).await), NOT_OPEN);
    market.ends_as_recorded().await;

    // Its time is over, and it has not expired yet.
    let market = Market::start(vec![up_to_the_order().remove(0)], "2026-01-15T17:29:01Z").await;
    let door = market.offer_door().await;
    let mut later = dearer(200_000);
    (later.start_after, later.start_before) = (slot(4), slot(6));
    later.default_schedule.start = slot(4);
    (later.acceptance_before, later.assignment_before) = (slot(3).start(), slot(3).start());
    assert_eq!(code(door.change(later).await), NOT_OPEN);
}

#[tokio::test(start_paused = true)]
async fn a_later_deadline_is_kept_and_the_earlier_one_forgotten() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.submit(offer()).await), "done");
    let mut later = offer();
    (later.start_after, later.start_before) = (slot(2), slot(6));
    later.default_schedule.start = slot(2);
    (later.acceptance_before, later.assignment_before) = (slot(1).start(), slot(1).start());
    assert_eq!(code(door.change(later).await), "done");
    let status = || market.durable().unwrap().1;
    // The first deadline was 17:29, and what is overdue expires two minutes later.
    seconds(15 * 60).await;
    assert_eq!(status(), OfferStatus::Open);
    seconds(15 * 60).await;
    assert_eq!(status(), OfferStatus::Expired);
    market.ends_as_recorded().await;
}

#[tokio::test(start_paused = true)]
async fn a_member_of_a_bundle_stays_what_the_others_are_sold_with() {
    let first = offer();
    let mut second = FlexOffer { id: FlexOfferId::new("second").unwrap(), ..first.clone() };
    (second.device.0, second.prosumer.0) = (second.device.0 + 1, second.prosumer.0 + 1);
    let both = combine(AggregateId::numbered("aggregate-", 1), ZoneId(1), &[&first, &second]).unwrap();
    let at = "2026-01-15T17:20:05Z".parse().unwrap();
    let accepted = |offer: &FlexOffer| MarketEvent::OfferAccepted { offer: offer.clone(), at };
    let facts =
        vec![accepted(&first), accepted(&second), MarketEvent::AggregateFormed { aggregate: both, at }];
    let market = Market::start(facts, "2026-01-15T17:20:06Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.change(dearer(200_000)).await), BUNDLED);
    assert_eq!(code(door.change(offer()).await), "known");
    assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 1);
    assert_eq!(market.durable(), Some((first, OfferStatus::Open)));
}

/// What is said of an offer at once, and what becomes of it.
async fn at_once(door: &OfferDoor) -> [&'static str; 4] {
    let (one, other) = (door.change(dearer(200_000)), door.change(dearer(300_000)));
    let (again, withdrawn) = (door.change(dearer(200_000)), door.withdraw(offer().id));
    let (one, other, again, withdrawn) = tokio::join!(one, other, again, withdrawn);
    [one, other, again, withdrawn].map(code)
}

#[tokio::test(start_paused = true)]
async fn while_a_change_is_being_recorded_nothing_else_is_done_with_the_offer() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    assert_eq!(code(door.submit(offer()).await), "done");
    let said = at_once(&door).await;
    assert_eq!((said[0], said[1], said[3]), ("done", BEING_RECORDED, BEING_RECORDED));
    assert!(["known", BEING_RECORDED].contains(&said[2]), "{said:?}");
    assert_eq!(market.durable(), Some((revised(dearer(200_000), 1), OfferStatus::Open)));
    // In a moment it is as any other.
    assert_eq!(code(door.change(dearer(300_000)).await), "done");
    assert_eq!(code(door.withdraw(offer().id).await), "done");
    seconds(120).await;
    assert_eq!(market.books.read(Ledger::aggregate_count), 0);
    market.ends_as_recorded().await;
}

#[tokio::test(start_paused = true)]
async fn on_a_full_disk_an_offer_stays_what_it_was_and_is_sold_as_that() {
    for bundled in [false, true] {
        let facts = before_the_round();
        let known = if bundled { facts[..2].to_vec() } else { facts[..1].to_vec() };
        let market = Market::start(known, "2026-01-15T17:20:05Z").await;
        let door = market.offer_door().await;
        market.disk.fill(true);
        // Not known yet to be full.
        let answer = door.change(dearer(200_000));
        let first = tokio::time::timeout(Duration::from_secs(9), answer).await;
        assert!(first.is_err(), "nobody is told of what is not on the disk: {first:?}");
        assert_eq!(market.durable(), Some((offer(), OfferStatus::Open)));
        market.journal.0.deliver(JournalMsg::BeatDue);
        seconds(5).await;
        assert_eq!(code(door.change(dearer(300_000)).await), JOURNAL_FULL);
        market.disk.fill(false);
        seconds(90).await;
        // It waited, and came to be.
        assert_eq!(market.durable(), Some((revised(dearer(200_000), 1), OfferStatus::Open)));
        assert_eq!(code(door.change(dearer(200_000)).await), "known");
        assert_eq!(market.books.read(|ledger| ledger.open_aggregates().count()), 1);
        market.ends_as_recorded().await;
    }
}
