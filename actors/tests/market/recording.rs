//! What a journal cannot take: facts on a full disk from the first moment on, and one that is too large for a record.

use super::evening::{ACTIVATION, DEVICE, slot, up_to_the_order};
use super::{Market, seconds};
use actors::Operations;
use actors::journal::{Fact, Journal, JournalMsg};
use actors::observer::Seen;
use actors::runtime::Delivery;
use market::{ActivationId, ActivationStatus, FlexOfferId, MarketEvent, OfferStatus};
use std::sync::{Arc, Mutex};

/// How often that was refused.
pub fn rejected(market: &Market, wanted: &str) -> usize {
    let said = |seen: &&Seen| matches!(seen, Seen::Rejected { code, .. } if *code == wanted);
    market.seen.lock().unwrap().iter().filter(said).count()
}

#[tokio::test(start_paused = true)]
async fn a_start_on_a_full_disk_serves_what_is_recorded_and_goes_on_when_there_is_room() {
    let mut facts = up_to_the_order();
    let order = facts.pop().unwrap();
    let known = facts.len();
    let market = Market::start_on(facts, "2026-01-15T17:30:05Z", true).await;
    seconds(10).await;
    // What was recorded can be read, and nothing more can be recorded.
    let offer = FlexOfferId::new("fo-7").unwrap();
    assert!(matches!(market.books.durable_offer(&offer), Some((_, OfferStatus::Assigned { .. }))));
    assert!(market.books.read_only().is_some() && market.books.recording_since().is_none());
    let told: Arc<Mutex<Vec<&str>>> = Arc::default();
    let tell = |words: &'static str| {
        let told = told.clone();
        Delivery::outside(move || told.lock().unwrap().push(words))
    };
    let fact = Arc::new(Fact::Market(order.clone()));
    let (then, otherwise) = (vec![tell("recorded")], vec![tell("refused")]);
    market.journal.0.deliver(JournalMsg::Append { fact: fact.clone(), then, otherwise });
    seconds(10).await;
    assert_eq!(*told.lock().unwrap(), ["refused"]);
    market.disk.fill(false);
    seconds(5).await;
    assert_eq!(market.books.read_only(), None);
    market.append(order, vec![tell("recorded")]);
    seconds(5).await;
    assert_eq!(*told.lock().unwrap(), ["refused", "recorded"]);
    assert_eq!(market.counters.durable_and_refused().0, known as u64 + 2);
    market.supervisor.stop().await;
    // The note of the start comes before whatever this life has recorded.
    let report = Journal::verify(market.directory.path()).unwrap();
    let facts: Vec<_> = report.entries.into_iter().skip(known).map(|entry| entry.fact).collect();
    assert!(matches!(&facts[0], Fact::Opened { configuration } if configuration == "a test"), "{facts:?}");
    assert_eq!(facts[1..], [fact.as_ref().clone()]);
}

#[tokio::test(start_paused = true)]
async fn a_sync_is_under_way_while_it_lasts_and_no_longer() {
    let market = Market::start(Vec::new(), "2026-01-15T17:30:05Z").await;
    let operations = Operations { journal: market.counters.clone(), ..Operations::default() };
    market.disk.watch(market.counters.underway.clone());
    // Nothing happens but a beat each minute, now and then on a full disk.
    for second in 0..600 {
        market.disk.fill((150..300).contains(&second));
        seconds(1).await;
        assert_eq!(operations.stalled(), None, "after {second} s");
    }
    let found = market.disk.found();
    assert!(found.len() > 3 && found.iter().all(|is_underway| *is_underway), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fact_that_no_record_can_hold_is_refused_before_anything_believes_it() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:30:05Z").await;
    let activation = ActivationId::new(ACTIVATION).unwrap();
    let reason = Some("x".repeat(17 << 20));
    let status =
        ActivationStatus { activation, device: DEVICE, accepted: false, reason, at: slot(0).start() };
    let event = MarketEvent::ActivationAnswered { status, at: slot(0).start() };
    let told: Arc<Mutex<u32>> = Arc::default();
    let count = told.clone();
    let otherwise = vec![Delivery::outside(move || *count.lock().unwrap() += 1)];
    let fact = Arc::new(Fact::Market(event));
    market.journal.0.deliver(JournalMsg::Append { fact, then: Vec::new(), otherwise });
    seconds(5).await;
    let answered = market.books.read(|ledger| ledger.activations().any(|(_, answer)| answer.is_some()));
    assert!(!answered, "the books know what the journal does not");
    assert_eq!(
        (*told.lock().unwrap(), market.counters.too_large.get(), rejected(&market, "fact_too_large")),
        (1, 1, 1)
    );
    assert_eq!(*market.supervisor.escalation().borrow(), None);
    // The journal goes on.
    let records = market.counters.durable_and_refused().0;
    market.journal.0.deliver(JournalMsg::BeatDue);
    seconds(70).await;
    assert!(market.counters.durable_and_refused().0 > records);
}
