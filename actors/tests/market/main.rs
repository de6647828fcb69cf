//! The stages of the market around a journal whose disk fills up, or that refuses: on real actors in virtual time.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

mod admitting;
mod answers;
mod asking;
mod bundling;
mod changing;
mod delegated;
#[allow(dead_code)] // other tests use all of it
#[path = "../receipts/evening.rs"]
mod evening;
mod filling;
mod freezing;
mod lone;
mod metering;
mod moments;
mod nested;
mod recording;
mod retaining;
mod splitting;
mod suspending;
mod withdrawing;

use actors::figures::Durations;
use actors::journal::stage::JournalCounters;
use actors::journal::{
    Begun, Books, Durability, Fact, Journal, JournalMsg, JournalStage, JournalWriter, Options, Standing,
    begin,
};
use actors::market_side::matcher::Matcher;
use actors::market_side::{Aggregator, AggregatorMsg, MatcherMsg, OfferAnswer, SettlementStage};
use actors::observer::Seen;
use actors::picture::DeviceKind;
use actors::runtime::{Address, Compute, Context, Delivery, Environment, ScaledClock, Stage, Supervisor};
use actors::{Area, Device, DsoRules, OfferDoor};
use estimation::Feeder;
use evening::{DEVICE, PROSUMER, USAGE_POINT, network, slot, up_to_the_order};
use filling::FillingDisk;
use grid::{BranchId, EnergyMwh, Quality, Timestamp};
use market::{
    Book, CongestionPoint, FlexOffer, MarketEvent, MeterReading, OfferRules, OfferStatus, RoundRecord, Rules,
    ZoneId, clear,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Keeps what it is sent.
struct Ear<M>(Arc<Mutex<Vec<M>>>);

impl<M: std::fmt::Debug + Clone + Send + Sync + 'static> Stage for Ear<M> {
    type Msg = M;

    fn handle(&mut self, msg: M, _: &mut Context<M>) {
        self.0.lock().unwrap().push(msg);
    }
}

struct Market {
    disk: Arc<FillingDisk>,
    books: Books,
    journal: JournalWriter,
    observer: Address<Seen>,
    seller: Address<AggregatorMsg>,
    sold: Arc<Mutex<Vec<AggregatorMsg>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    environment: Environment,
    supervisor: Supervisor,
    counters: JournalCounters,
    directory: tempfile::TempDir,
}

impl Market {
    /// A journal that knows these facts, at an instant.
    async fn start(facts: Vec<MarketEvent>, now: &str) -> Self {
        Self::start_on(facts, now, false).await
    }

    /// The same, on a disk that is full by now or not.
    async fn start_on(facts: Vec<MarketEvent>, now: &str, full: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(FillingDisk::new(directory.path()));
        let opened = Journal::open_on(disk.clone(), Options::new(Durability::Synced)).unwrap();
        let (mut journal, Standing { mut ledger, .. }) = (opened.journal, opened.standing);
        let now: Timestamp = now.parse().unwrap();
        let facts: Vec<_> = facts.into_iter().map(Fact::Market).collect();
        if !facts.is_empty() {
            journal.append(facts.iter().map(|fact| (now, fact))).unwrap();
        }
        facts.iter().for_each(|fact| {
            let Fact::Market(event) = fact else { return };
            ledger.apply(event).unwrap();
        });
        disk.fill(full);
        let Begun { records, owed } = begin(&mut journal, now, "a test".to_owned()).unwrap();
        let owed: Vec<_> = owed.into_iter().map(|(at, fact)| (at, Arc::new(fact))).collect();
        let environment = Environment::new(ScaledClock::start(now, 1), Compute::Inline);
        let supervisor = Supervisor::start(environment.clone()).await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let watched = seen.clone();
        let observer = supervisor.spawn("observer", move || Ear(watched.clone())).await.unwrap();
        let sold = Arc::new(Mutex::new(Vec::new()));
        let heard = sold.clone();
        let seller = supervisor.spawn("seller", move || Ear(heard.clone())).await.unwrap();
        let books = Books::new(ledger, now).held_up_by(supervisor.hold_ups().clone());
        let file = Arc::new(Mutex::new(journal));
        let (counters, kept) = (JournalCounters::starting_at(records), books.clone());
        let (to, shown) = (observer.clone(), counters.clone());
        let build = move || {
            JournalStage::new(file.clone(), kept.clone(), counters.clone(), to.clone()).owing(owed.clone())
        };
        let journal = JournalWriter(supervisor.spawn_vital("journal", build).await.unwrap());
        Self {
            disk,
            books,
            journal,
            observer,
            seller,
            sold,
            seen,
            environment,
            supervisor,
            counters: shown,
            directory,
        }
    }

    fn append(&self, event: MarketEvent, then: Vec<Delivery>) {
        let fact = Arc::new(Fact::Market(event));
        self.journal.0.deliver(JournalMsg::Append { fact, then, otherwise: Vec::new() });
    }

    /// A matcher that knows the books' need.
    async fn matcher(&self) -> Address<MatcherMsg> {
        let (area, books) = (Arc::new(area()), self.books.clone());
        let (journal, observer) = (self.journal.clone(), self.observer.clone());
        let build = move || {
            Matcher::new(area.clone(), &books, journal.clone(), observer.clone(), Durations::default())
        };
        self.supervisor.spawn("matcher", build).await.unwrap()
    }

    /// An aggregator in front of a matcher, and the way to it from outside.
    async fn offer_door(&self) -> OfferDoor {
        self.offer_door_of(area()).await
    }

    /// The same in another area.
    async fn offer_door_of(&self, area: Area) -> OfferDoor {
        let matcher = self.matcher().await;
        let (area, books) = (Arc::new(area), self.books.clone());
        let (journal, observer) = (self.journal.clone(), self.observer.clone());
        let build = move || {
            let (journal, matcher) = (journal.clone(), matcher.clone());
            Aggregator::new(area.clone(), books.clone(), journal, matcher, observer.clone())
        };
        OfferDoor::new(self.supervisor.spawn("aggregator", build).await.unwrap())
    }

    /// What the aggregator does each minute, and the DSO less often.
    fn place(&self, matcher: &Address<MatcherMsg>) {
        let (need, offers) = self.books.read(|ledger| {
            let offers: Vec<_> = ledger.open_aggregates().cloned().collect();
            (ledger.need().cloned().unwrap(), offers)
        });
        matcher.deliver(MatcherMsg::PlaceNeed(Arc::new(need)));
        for aggregate in offers {
            let from = self.seller.clone();
            matcher.deliver(MatcherMsg::PlaceOffer { aggregate: Arc::new(aggregate), lone: None, from });
        }
    }

    fn contracts(&self) -> u64 {
        self.books.read(market::Ledger::contract_count)
    }
}

fn area() -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let (id, kind) = (DEVICE, DeviceKind::Charger);
    let device = Device { id, prosumer: PROSUMER, usage_point: USAGE_POINT, kind, p_max_w: 11_000.0 };
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    let mut area = Area::new("demo", feeder, vec![device], rules).unwrap();
    area.zones = zones();
    area.zone_of = [(USAGE_POINT, ZoneId(1))].into();
    area
}

fn zones() -> market::Zones {
    [(ZoneId(1), vec![CongestionPoint { branch: BranchId(21), phase: None }.into()])].into()
}

/// The evening's offer.
fn offer() -> FlexOffer {
    let MarketEvent::OfferAccepted { offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    offer
}

fn before_the_round() -> Vec<MarketEvent> {
    up_to_the_order().into_iter().take(3).collect()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_matcher_buys_nothing_while_nothing_can_be_recorded_and_buys_it_when_it_can() {
    let market = Market::start(before_the_round(), "2026-01-15T17:21:05Z").await;
    market.disk.fill(true);
    // The first note that all is well finds no room.
    market.journal.0.deliver(JournalMsg::BeatDue);
    seconds(5).await;
    assert!(market.books.read_only().is_some());
    let matcher = market.matcher().await;
    for _ in 0..2 {
        market.place(&matcher);
        seconds(60).await;
    }
    assert!(
        market.books.read(|ledger| ledger.newest_round().is_none()),
        "a round that bought what never was"
    );
    market.disk.fill(false);
    seconds(5).await;
    market.place(&matcher);
    seconds(60).await;
    assert_eq!((market.contracts(), market.sold.lock().unwrap().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_whose_contract_was_refused_is_bought_in_a_later_round() {
    let market = Market::start(before_the_round(), "2026-01-15T17:21:05Z").await;
    // A clearing of another time than the matcher's first: that one and its contract are refused.
    let offers = market.books.read(|ledger| ledger.open_aggregates().cloned().collect::<Vec<_>>());
    let need = market.books.read(|ledger| ledger.need().cloned());
    let offers = offers.into_iter().map(|offer| (offer.id.clone(), offer)).collect();
    let book = Book { need, zones: zones(), offers, ..Book::default() };
    let at: Timestamp = "2026-01-15T17:21:30Z".parse().unwrap();
    let round = RoundRecord::new(&book, &clear(&book, &Rules::default(), at), at).unwrap();
    market.append(MarketEvent::Cleared { round }, Vec::new());
    let matcher = market.matcher().await;
    market.place(&matcher);
    seconds(60).await;
    assert_eq!(market.contracts(), 0);
    market.place(&matcher);
    seconds(60).await;
    assert_eq!((market.contracts(), market.sold.lock().unwrap().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_settled_within_a_minute_whoever_forgot_to_say_so() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:45:10Z").await;
    let (books, journal) = (market.books.clone(), market.journal.clone());
    let build = move || SettlementStage::new(books.clone(), journal.clone());
    market.supervisor.spawn("settlement", build).await.unwrap();
    seconds(1).await;
    let (energy, quality, received_at) = (EnergyMwh(0), Quality::Measured, slot(1).start());
    let reading = MeterReading { device: DEVICE, slot: slot(0), energy, quality, received_at, source: None };
    market.append(MarketEvent::MeterRead { reading }, Vec::new());
    seconds(120).await;
    let (settled, due) = market.books.read(|ledger| (ledger.totals().settled, ledger.unsettled_due().len()));
    assert!(settled > EnergyMwh(0) && due == 0, "{settled} settled, {due} due");
}

#[tokio::test(start_paused = true)]
async fn outsiders_are_told_of_an_offer_and_a_contract_only_when_they_are_on_the_disk() {
    let facts = up_to_the_order();
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let (id, contract) = (market::FlexOfferId::new("fo-7").unwrap(), 4);
    let status = || market.books.durable_offer(&id).map(|(_, status)| status);
    let bid = market::BidId::new("bid-1").unwrap();
    let contracts = || market.books.read(|ledger| ledger.bought_as_of(&bid, market.books.durable()).count());
    seconds(1).await;
    market.disk.fill(true);
    market.append(facts[0].clone(), Vec::new());
    seconds(1).await;
    assert!(market.books.read(|ledger| ledger.offer(&id).is_some()));
    assert_eq!(status(), None);
    market.disk.fill(false);
    seconds(5).await;
    assert_eq!(status(), Some(OfferStatus::Open));
    facts[1..contract].iter().for_each(|fact| market.append(fact.clone(), Vec::new()));
    seconds(1).await;
    market.disk.fill(true);
    market.append(facts[contract].clone(), Vec::new());
    market.append(facts[contract + 1].clone(), Vec::new());
    seconds(1).await;
    let known = market.books.read(|ledger| ledger.offer(&id).map(|(_, status)| status));
    assert!(matches!(known, Some(OfferStatus::Assigned { .. })), "{known:?}");
    assert_eq!((status(), contracts()), (Some(OfferStatus::Open), 0));
    market.disk.fill(false);
    seconds(5).await;
    assert_eq!((status(), contracts()), (known, 1));
}

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_full_what_is_durable_is_said_at_once_and_nothing_gathers() {
    let mut facts = up_to_the_order();
    let order = facts.pop().unwrap();
    let market = Market::start(facts.clone(), "2026-01-15T17:30:05Z").await;
    let door = market.offer_door().await;
    let told = || market.sold.lock().unwrap().len();
    let repeat = |order: &MarketEvent| {
        market.append(order.clone(), vec![market.seller.sending(AggregatorMsg::SealDue)]);
    };
    let MarketEvent::OfferAccepted { offer, .. } = facts.remove(0) else { unreachable!() };
    market.disk.fill(true);
    // The first order finds no room; nobody is told.
    for _ in 0..3 {
        repeat(&order);
        seconds(5).await;
    }
    assert!(market.books.read_only().is_some());
    assert_eq!(told(), 0);
    assert_eq!(door.submit(offer).await, Some(OfferAnswer::AlreadyKnown));
    market.disk.fill(false);
    seconds(5).await;
    assert_eq!(told(), 1, "once, and not for each repetition");
    // Full again: it is durable by now, and repeated at once.
    market.disk.fill(true);
    seconds(130).await;
    assert!(market.books.read_only().is_some());
    repeat(&order);
    seconds(1).await;
    assert_eq!(told(), 2);
}

/// A matcher that is built while a contract is on its way to the books.
#[tokio::test(start_paused = true)]
async fn a_matcher_that_has_not_counted_the_newest_contract_clears_the_need_that_has() {
    let market = Market::start(before_the_round(), "2026-01-15T17:28:05Z").await;
    let matcher = market.matcher().await;
    seconds(1).await;
    up_to_the_order().into_iter().skip(3).take(2).for_each(|fact| market.append(fact, Vec::new()));
    seconds(1).await;
    assert_eq!(market.contracts(), 1);
    let (mut need, mut aggregate) = market.books.read(|ledger| {
        let bought = ledger.contracts().next().unwrap().0.aggregate.clone();
        (ledger.need().cloned().unwrap(), ledger.aggregate(&bought).cloned().unwrap())
    });
    (need.contracts_seen, aggregate.id) = (1, market::AggregateId::new("agg-2").unwrap());
    matcher.deliver(MatcherMsg::PlaceNeed(Arc::new(need)));
    let (aggregate, from) = (Arc::new(aggregate), market.seller.clone());
    matcher.deliver(MatcherMsg::PlaceOffer { aggregate, lone: None, from });
    seconds(3).await;
    assert!(market.seen.lock().unwrap().iter().any(|seen| matches!(seen, Seen::Cleared(_))));
}
