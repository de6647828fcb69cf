//! Answers of devices that nobody waits for.

use super::evening::{ACTIVATION, DEVICE, PROSUMER, up_to_the_order};
use super::recording::rejected;
use super::{Ear, Market, area, seconds};
use actors::market_side::foa::Exits;
use actors::market_side::{Foa, FoaMsg};
use actors::runtime::Address;
use connectors::exchange::{Limits, RefusalNote, inbox};
use connectors::{Arrival, Counters, Message};
use grid::DeviceId;
use market::{ActivationId, ActivationStatus};
use std::sync::Arc;
use tokio::sync::oneshot;

async fn agent(market: &Market) -> Address<FoaMsg> {
    let egress = market.supervisor.spawn("egress", || Ear(Arc::default())).await.unwrap();
    let exits = Exits {
        journal: market.journal.clone(),
        aggregator: market.seller.clone(),
        egress,
        observer: market.observer.clone(),
        historian: None,
        weather: None,
    };
    let (area, books) = (Arc::new(area()), market.books.clone());
    let build = move || Foa::new(PROSUMER, area.clone(), books.clone(), exits.clone());
    market.supervisor.spawn("foa", build).await.unwrap()
}

/// Whether a sender that waits was told that its answer was taken, and the word of the refusal if it was refused.
async fn told(foa: &Address<FoaMsg>, status: ActivationStatus) -> (bool, Option<&'static str>) {
    let (mut writer, mut inbox) = inbox(Limits::default(), Arc::new(Counters::default()));
    let ((done, taken), note) = (oneshot::channel(), RefusalNote::default());
    writer.pass_noting(Message::Status(status), done, note.clone()).await.unwrap();
    let Some(Arrival::Owing(Message::Status(status), receipt)) = inbox.recv_batch().await.unwrap().pop()
    else {
        panic!("it was handed over with a receipt")
    };
    foa.deliver(FoaMsg::Answered(status, Some(receipt)));
    (taken.await.unwrap(), note.code())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_changes_nothing_is_refused_in_words_and_counted() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:30:10Z").await;
    let foa = agent(&market).await;
    let status = |activation: &str, device, accepted| ActivationStatus {
        activation: ActivationId::new(activation).unwrap(),
        device,
        accepted,
        reason: None,
        at: "2026-01-15T17:30:11Z".parse().unwrap(),
    };
    let taken = (true, None);
    let refused = |code| (true, Some(code));
    assert_eq!(told(&foa, status("act-none", DEVICE, true)).await, refused("answer_unknown"));
    let foreign = status(ACTIVATION, DeviceId(8), true);
    assert_eq!(told(&foa, foreign).await, refused("answer_unknown"), "an order to another device");
    assert_eq!(told(&foa, status(ACTIVATION, DEVICE, true)).await, taken);
    assert_eq!(told(&foa, status(ACTIVATION, DEVICE, true)).await, taken, "the same again");
    assert_eq!(told(&foa, status(ACTIVATION, DEVICE, false)).await, refused("answer_twice"));
    foa.deliver(FoaMsg::Answered(status(ACTIVATION, DEVICE, false), None));
    foa.deliver(FoaMsg::Answered(status(ACTIVATION, DEVICE, true), None));
    seconds(1).await;
    assert_eq!((rejected(&market, "answer_unknown"), rejected(&market, "answer_twice")), (2, 2));
    let answer = market.books.read(|ledger| ledger.activations().next().unwrap().1.unwrap().accepted);
    assert!(answer, "the first one stands");
    assert_eq!(market.counters.durable_and_refused().1, 0, "no contradiction of our own");
}
