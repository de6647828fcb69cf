//! The way out to the devices when nobody takes anything from it: hundreds of orders wait, and are repeated each minute.

use super::evening::up_to_the_order;
use super::offers::offer;
use super::{DEVICES, Running, check, devices, most};
use actors::market_side::OfferAnswer;
use actors::runtime::Compute;
use connectors::Message;
use market::{Ledger, MarketEvent, Need};
use std::collections::BTreeSet;
use std::time::Duration;

/// The evening's need, so large that all devices are asked.
fn need() -> Need {
    let MarketEvent::NeedPlaced { mut need, .. } = up_to_the_order().remove(2) else { unreachable!() };
    let times = i64::from(DEVICES);
    need.bids
        .iter_mut()
        .flat_map(|bid| &mut bid.intervals)
        .for_each(|interval| interval.schedule_change.0 *= times);
    need.rows.iter_mut().for_each(|row| row.headroom.0 *= times);
    need
}

#[tokio::test(start_paused = true)]
async fn orders_that_nobody_takes_wait_and_are_not_doubled_by_being_repeated() {
    let at = "2026-01-15T17:20:00Z".parse().unwrap();
    let facts = vec![MarketEvent::NeedPlaced { need: need(), at }];
    let mut running = Running::start("2026-01-15T17:20:05Z", facts, Compute::Inline).await;
    for device in devices() {
        assert_eq!(running.system.door().submit(offer(device)).await, Some(OfferAnswer::Accepted));
    }
    // Bundled, bought, assigned, ordered; and ordered again each minute.
    tokio::time::sleep(Duration::from_secs(420)).await;
    let ids = |ledger: &Ledger| ledger.activations_unanswered().map(|order| order.id.clone()).collect();
    let ordered: BTreeSet<_> = running.system.books().read(ids);
    assert!(ordered.len() as u32 > DEVICES / 2, "{} orders", ordered.len());
    let waited = most(running.depths(), "egress");
    assert!(waited > 0);
    check(running.depths());
    // All of them come out when somebody takes them, each once but for those that were repeated meanwhile.
    let (mut came, mut messages) = (BTreeSet::new(), 0);
    while came.len() < ordered.len() {
        let order = tokio::time::timeout(Duration::from_secs(1_000), running.orders.recv()).await;
        let Some(Message::Activation(order)) = order.expect("an order is lost") else { panic!("no order") };
        messages += 1;
        came.insert(order.id);
    }
    assert_eq!(came, ordered);
    assert!(messages <= ordered.len() * 20, "{messages} messages of {} orders", ordered.len());
    check(running.depths());
    running.system.stop().await;
}
