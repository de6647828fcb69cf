//! Far more requests at the door than can be recorded: so many wait, the others are refused at once.

use super::evening::PROSUMER;
use super::{Ear, Market, area, offer, seconds};
use actors::OfferDoor;
use actors::door::{ANSWER_WITHIN, HEARD_MAX, OVERLOADED, UNDER_WAY_MAX, Waiting};
use actors::figures::Values;
use actors::journal::{JournalMsg, JournalWriter};
use actors::market_side::{Aggregator, AggregatorMsg, AnswerTo, OfferAnswer, Submission};
use actors::runtime::{Credits, Delivery, Stage};
use std::sync::{Arc, Mutex};

type Held = Arc<Mutex<Vec<JournalMsg>>>;

/// A door before a journal whose disk does not answer, and what it was handed.
async fn door(market: &Market) -> (OfferDoor, Held) {
    let held = Held::default();
    let ear = held.clone();
    let journal = market.supervisor.spawn("slow journal", move || Ear(ear.clone())).await.unwrap();
    let (area, books, matcher) = (Arc::new(area()), market.books.clone(), market.matcher().await);
    let observer = market.observer.clone();
    let build = move || {
        let (journal, matcher) = (JournalWriter(journal.clone()), matcher.clone());
        Aggregator::new(area.clone(), books.clone(), journal, matcher, observer.clone())
    };
    (OfferDoor::new(market.supervisor.spawn("aggregator", build).await.unwrap()), held)
}

/// What the metrics say was refused.
fn refused(door: &OfferDoor, request: &str) -> u64 {
    let Values::Totals(counts) = door.refused().values else { panic!("no counters") };
    let labels = vec![("reason", OVERLOADED.to_owned()), ("request", request.to_owned())];
    counts.iter().find(|(of, _)| *of == labels).unwrap().1
}

/// The disk answers: what was handed to the journal is synced.
fn sync(held: &Held) {
    for msg in held.lock().unwrap().drain(..) {
        let JournalMsg::Append { then, .. } = msg else { panic!("{msg:?}") };
        then.iter().for_each(Delivery::make);
    }
}

#[tokio::test(start_paused = true)]
async fn beyond_so_many_under_way_a_request_is_refused_at_once_until_others_are_answered() {
    let market = Market::start(Vec::new(), "2026-01-15T16:40:05Z").await;
    let (door, held) = door(&market).await;
    let impatient: Vec<_> = (0..UNDER_WAY_MAX)
        .map(|_| {
            let door = door.clone();
            tokio::spawn(async move { door.submit(offer()).await })
        })
        .collect();
    seconds(1).await;
    assert_eq!((door.under_way(), held.lock().unwrap().len()), (UNDER_WAY_MAX, UNDER_WAY_MAX));
    let asked = tokio::time::Instant::now();
    let is_refused =
        |answer: Option<OfferAnswer>| matches!(answer, Some(OfferAnswer::Refused { code: OVERLOADED, .. }));
    assert!(is_refused(door.submit(offer()).await));
    assert!(is_refused(door.change(offer()).await));
    assert!(is_refused(door.withdraw(offer().id).await));
    assert_eq!(asked.elapsed().as_nanos(), 0, "they waited");
    // Who asked went away without an answer; what they sent is there, and still counts.
    seconds(ANSWER_WITHIN.as_secs()).await;
    for asking in impatient {
        assert_eq!(asking.await.unwrap(), None);
    }
    assert!(is_refused(door.submit(offer()).await));
    assert_eq!(
        ["offer", "change", "withdrawal", "heartbeat"].map(|request| refused(&door, request)),
        [2, 1, 1, 0]
    );
    // Others' heartbeats have places of their own.
    assert!(door.heard(PROSUMER, true));
    sync(&held);
    seconds(1).await;
    assert_eq!(door.under_way(), 0);
    let taken = tokio::spawn(async move { door.submit(offer()).await });
    seconds(1).await;
    sync(&held);
    assert!(matches!(taken.await.unwrap(), Some(OfferAnswer::AlreadyKnown | OfferAnswer::Accepted)));
}

#[tokio::test(start_paused = true)]
async fn so_many_heartbeats_wait_and_the_next_is_not_heard() {
    let market = Market::start(Vec::new(), "2026-01-15T16:40:05Z").await;
    let (door, _) = door(&market).await;
    // The aggregator does not come to them before this waits.
    let heard = (0..HEARD_MAX + 3).filter(|_| door.heard(PROSUMER, true)).count();
    assert_eq!((heard, refused(&door, "heartbeat")), (HEARD_MAX, 3));
    seconds(1).await;
    assert!(door.heard(PROSUMER, true));
}

#[tokio::test]
async fn who_sent_what_was_set_aside_learns_it_and_takes_no_place() {
    let places = Credits::new(1);
    let (waiting, answer) = Waiting::pair(places.try_take().unwrap());
    assert_eq!((places.left(), places.try_take().is_none()), (0, true));
    let submission = Submission { offer: Arc::new(offer()), answer_to: AnswerTo::Door(waiting) };
    let _in_quarantine = Aggregator::unowed(AggregatorMsg::Submit(submission));
    assert!(answer.await.is_err());
    assert_eq!(places.left(), 1);
}
