//! Whatever the moment. A crash inside a round, or at the closing of the gate, leaves what a run leaves that nobody interrupted;
//! and of those who want an offer in the same moment, its owner and the market, one wins.

#[allow(dead_code)] // the journal's own tests use all of it
#[path = "../../../journal/tests/power/disk.rs"]
mod disk;

use super::evening::PROSUMER;
use super::{Ear, area, before_the_round, offer};
use actors::egress::EgressMsg;
use actors::figures::Durations;
use actors::journal::stage::JournalCounters;
use actors::journal::{Books, Durability, Fact, Journal, JournalStage, JournalWriter, Opened, Options};
use actors::market_side::foa::Exits;
use actors::market_side::matcher::Matcher;
use actors::market_side::{Aggregator, BEING_RECORDED, Foa, NOT_OPEN, OLD_REVISION, OfferAnswer};
use actors::observer::Seen;
use actors::runtime::{Compute, Environment, ScaledClock, Supervisor};
use actors::{Area, OfferDoor};
use disk::{Random, State, Survives, TestDisk};
use grid::{Money, Timestamp};
use market::{Contract, Ledger, MarketEvent, OfferStatus, RecordNumber, Schedule, audit};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::yield_now;

/// A market from the door to the orders, on a disk in memory.
struct Desk {
    disk: Arc<TestDisk>,
    supervisor: Supervisor,
    books: Books,
    door: OfferDoor,
}

impl Desk {
    async fn open(area: &Arc<Area>, disk: State, now: Timestamp) -> Self {
        let disk = Arc::new(TestDisk::new(disk));
        let opened = Journal::open_on(disk.clone(), Options::new(Durability::Synced)).unwrap();
        let Opened { mut journal, standing, .. } = opened;
        let configuration = "moments".to_owned();
        let records = journal.append([(now, &Fact::Opened { configuration })]).unwrap();
        let environment = Environment::new(ScaledClock::start(now, 1), Compute::Inline);
        let supervisor = Supervisor::start(environment).await.unwrap();
        let books = Books::new(standing.ledger, now).held_up_by(supervisor.hold_ups().clone());
        let observer = supervisor.spawn("observer", || Ear::<Seen>(Arc::default())).await.unwrap();
        let egress = supervisor.spawn("egress", || Ear::<EgressMsg>(Arc::default())).await.unwrap();
        let (file, counters) = (Arc::new(Mutex::new(journal)), JournalCounters::starting_at(records));
        let (to, kept) = (observer.clone(), books.clone());
        let build = move || JournalStage::new(file.clone(), kept.clone(), counters.clone(), to.clone());
        let journal = JournalWriter(supervisor.spawn_vital("journal", build).await.unwrap());
        let places = (area.clone(), books.clone(), journal.clone(), observer.clone());
        let build = move || {
            let (area, books, journal, observer) = places.clone();
            Matcher::new(area, &books, journal, observer, Durations::default())
        };
        let matcher = supervisor.spawn("matcher", build).await.unwrap();
        let places = (area.clone(), books.clone(), journal.clone(), observer.clone());
        let build = move || {
            let (area, books, journal, observer) = places.clone();
            Aggregator::new(area, books, journal, matcher.clone(), observer)
        };
        let aggregator = supervisor.spawn("aggregator", build).await.unwrap();
        let door = OfferDoor::new(aggregator.clone());
        let exits = Exits { journal, aggregator, egress, observer, historian: None, weather: None };
        let (area, known) = (area.clone(), books.clone());
        let build = move || Foa::new(PROSUMER, area.clone(), known.clone(), exits.clone());
        supervisor.spawn("foa", build).await.unwrap();
        Self { disk, supervisor, books, door }
    }

    /// The process is gone; what it wrote is as `found` says.
    async fn gone(self, found: impl FnOnce(&State) -> State) -> State {
        let state = found(&self.disk.state());
        self.supervisor.stop().await;
        state
    }

    /// What is on the disk is what the books say, and an auditor has no objection.
    fn is_in_order(&self) {
        let entries = Journal::verify_on(self.disk.as_ref()).unwrap().entries;
        let facts: Vec<_> = entries
            .into_iter()
            .filter_map(|entry| match entry.fact {
                Fact::Market(event) => Some((RecordNumber(entry.number), event)),
                _ => None,
            })
            .collect();
        let mut read = Ledger::default();
        for (number, event) in &facts {
            read.apply_record(*number, event).unwrap();
        }
        assert!(self.books.read(|ledger| *ledger == read));
        let report = audit::audit_records(facts.iter().map(|(number, event)| (*number, event)));
        let broken = report.violations.iter().filter(|words| !words.contains(" began, but "));
        assert_eq!(broken.collect::<Vec<_>>(), [""; 0]);
    }

    fn outcome(&self) -> Outcome {
        self.books.read(|ledger| {
            let at = Timestamp::default();
            let agreed = ledger.contracts().map(|(contract, parts)| {
                let parts = parts.unwrap_or_default().iter().map(|part| part.schedule.clone()).collect();
                (Contract { formed_at: at, ..contract.clone() }, parts)
            });
            let ordered = ledger.activations().map(|(order, _)| format!("{order:?}")).collect();
            Outcome { agreed: agreed.collect(), ordered, status: ledger.offer(&offer().id).unwrap().1 }
        })
    }
}

/// What a market came to, but for the second in which it was agreed.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    agreed: Vec<(Contract, Vec<Schedule>)>,
    ordered: Vec<String>,
    status: OfferStatus,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A disk that holds these facts.
fn holding(facts: &[MarketEvent], now: Timestamp) -> State {
    let disk = Arc::new(TestDisk::default());
    let opened = Journal::open_on(disk.clone(), Options::new(Durability::Synced)).unwrap();
    let (mut journal, facts) = (opened.journal, facts.iter().cloned().map(Fact::Market));
    journal.append(facts.collect::<Vec<_>>().iter().map(|fact| (now, fact))).unwrap();
    drop(journal);
    disk.state().after_kill()
}

fn count(variable: &str, without: u64) -> u64 {
    std::env::var(variable).map_or(without, |text| text.parse().unwrap())
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

/// A run that ends at some moment around the round of the next full second, and goes on a second later.
async fn cut(area: &Arc<Area>, before: &State, from: Timestamp, random: &mut Random) -> Desk {
    let desk = Desk::open(area, before.clone(), from).await;
    let wait = Duration::from_millis([0, 900, 949, 950, 951, 1_900, 1_950][random.below(7)]);
    let operation = desk.disk.state().operations + random.below(14);
    let killed = random.below(2) == 0;
    if !killed {
        desk.disk.state().power_until = Some(operation);
    }
    tokio::time::sleep(wait).await;
    turns(random.below(60)).await;
    if !killed {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    let survives = [Survives::Nothing, Survives::Some, Survives::Everything][random.below(3)];
    let found = match killed {
        true => desk.gone(State::after_kill).await,
        false => desk.gone(|state| state.after_power_cut(survives, random)).await,
    };
    Desk::open(area, found, from.plus(Duration::from_secs(4))).await
}

#[tokio::test(start_paused = true)]
async fn a_round_that_is_cut_off_comes_out_as_one_that_nobody_interrupted() {
    let (area, from) = (Arc::new(area()), at("2026-01-15T17:21:05.05Z"));
    let before = holding(&before_the_round(), from);
    let whole = Desk::open(&area, before.clone(), from).await;
    tokio::time::sleep(Duration::from_secs(90)).await;
    let wanted = whole.outcome();
    assert!(wanted.agreed.len() == 1 && wanted.ordered.len() == 1, "{wanted:?}");
    whole.gone(State::after_kill).await;
    let mut none = 0;
    for seed in 0..count("SOAK_CUTS", 1_000) {
        let again = cut(&area, &before, from, &mut Random(seed)).await;
        none += u64::from(again.books.read(Ledger::contract_count) == 0);
        tokio::time::sleep(Duration::from_secs(90)).await;
        assert_eq!(again.outcome(), wanted, "seed {seed}");
        again.is_in_order();
        again.gone(State::after_kill).await;
    }
    // Cuts fall before the round and after it.
    assert!(none > 100, "{none}");
}

#[tokio::test(start_paused = true)]
async fn at_the_closing_of_the_gate_it_is_bought_as_agreed_or_not_at_all_whenever_it_is_cut_off() {
    // The gate closes at 17:29:00.
    let (area, from) = (Arc::new(area()), at("2026-01-15T17:28:57.05Z"));
    let mut facts = before_the_round();
    let MarketEvent::NeedPlaced { need, at: placed } = &mut facts[2] else { unreachable!() };
    (need.issued_at, *placed) = (at("2026-01-15T17:28:30Z"), at("2026-01-15T17:28:30Z"));
    let before = holding(&facts, from);
    let whole = Desk::open(&area, before.clone(), from).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let bought = whole.outcome();
    assert_eq!((bought.agreed.len(), bought.ordered.len()), (1, 1));
    whole.gone(State::after_kill).await;
    let (mut as_agreed, mut not_at_all) = (0, 0);
    for seed in 0..count("SOAK_CUTS", 1_000) {
        let mut random = Random(seed ^ 0x6761_7465);
        let again = cut(&area, &before, from, &mut random).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        let outcome = again.outcome();
        if outcome == bought {
            as_agreed += 1;
        } else {
            not_at_all += 1;
            assert!(outcome.agreed.is_empty() && outcome.ordered.is_empty(), "seed {seed}: {outcome:?}");
            assert_eq!(outcome.status, OfferStatus::Expired, "seed {seed}");
        }
        again.is_in_order();
        again.gone(State::after_kill).await;
    }
    assert!(as_agreed > 100 && not_at_all > 100, "{as_agreed} as agreed, {not_at_all} not at all");
}

/// What an owner wants in the moment of a round.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Change(i64),
    Withdraw,
    SameAgain,
}

async fn wish(door: OfferDoor, wish: Wish, after: Duration, after_turns: usize) -> (Wish, &'static str) {
    tokio::time::sleep(after).await;
    turns(after_turns).await;
    let mut said = offer();
    let answer = match wish {
        Wish::Change(price) => {
            (said.prices.decrease, said.prices.increase) = (Money(price), Money(price));
            door.change(said).await
        }
        Wish::Withdraw => door.withdraw(said.id).await,
        Wish::SameAgain => door.submit(said).await,
    };
    let word = match answer {
        Some(OfferAnswer::Accepted | OfferAnswer::AlreadyKnown) => "yes",
        Some(OfferAnswer::Conflict) => "conflict",
        Some(OfferAnswer::Refused { code, .. }) => code,
        None => "nothing",
    };
    (wish, word)
}

#[tokio::test(start_paused = true)]
async fn of_an_owner_and_the_market_that_want_an_offer_in_the_same_moment_one_wins() {
    let (area, from) = (Arc::new(area()), at("2026-01-15T17:21:05.05Z"));
    let before = holding(&before_the_round(), from);
    let (mut bought, mut taken_back, mut changed) = (0, 0, 0);
    let most = count("SOAK_INTERLEAVINGS", 10_000);
    for seed in 0..most {
        let mut random = Random(seed ^ 0x7769_7368);
        let desk = Desk::open(&area, before.clone(), from).await;
        let wishes: Vec<_> = (0..1 + random.below(3))
            .map(|_| {
                let wanted = match random.below(5) {
                    0 | 1 => Wish::Change(100_000 + 10_000 * (1 + random.below(9)) as i64),
                    2 | 3 => Wish::Withdraw,
                    _ => Wish::SameAgain,
                };
                let after = Duration::from_millis([0, 949, 950, 950, 950, 951][random.below(6)]);
                tokio::spawn(wish(desk.door.clone(), wanted, after, random.below(40)))
            })
            .collect();
        let mut answers = Vec::new();
        for wish in wishes {
            answers.push(wish.await.unwrap());
        }
        tokio::time::sleep(Duration::from_secs(130)).await;
        let (said, status) = desk.books.durable_offer(&offer().id).unwrap();
        let contracts: Vec<Contract> =
            desk.books.read(|ledger| ledger.contracts().map(|(contract, _)| contract.clone()).collect());
        let yes = |wanted: fn(&Wish) -> bool| {
            answers.iter().filter(|(wish, word)| wanted(wish) && *word == "yes").count()
        };
        let withdrawn = yes(|wish| matches!(wish, Wish::Withdraw)) > 0;
        let context = format!("seed {seed}: {answers:?}, {status:?}, {} contracts", contracts.len());
        // The owner took it back, or the market bought it: one of them, and nothing third.
        assert_eq!(contracts.len(), usize::from(!withdrawn), "{context}");
        assert_eq!(status == OfferStatus::Withdrawn, withdrawn, "{context}");
        // It was bought as it was agreed last; and what was refused did not happen.
        assert!(contracts.iter().all(|contract| contract.prices == said.prices), "{context}");
        let agreed: Vec<Money> = answers
            .iter()
            .filter_map(|(wish, word)| match wish {
                Wish::Change(price) if *word == "yes" => Some(Money(*price)),
                _ => None,
            })
            .collect();
        let original = agreed.is_empty() && said.prices == offer().prices;
        assert!(original || agreed.contains(&said.prices.decrease), "{context}");
        let known = ["yes", "conflict", NOT_OPEN, BEING_RECORDED, OLD_REVISION, "device-busy"];
        assert!(answers.iter().all(|(_, word)| known.contains(word)), "{context}");
        desk.is_in_order();
        bought += u64::from(!contracts.is_empty());
        taken_back += u64::from(withdrawn);
        changed += u64::from(!agreed.is_empty());
        desk.gone(State::after_kill).await;
    }
    println!("{most} interleavings: {bought} bought, {taken_back} taken back, {changed} changed");
    assert!(bought > most / 10 && taken_back > most / 10 && changed > most / 10);
}
