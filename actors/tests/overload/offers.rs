//! Aggregator, journal and matcher under far more offers, changes, withdrawals and heartbeats than there is room for.

use super::evening::up_to_the_order;
use super::{DEVICES, FEW, Running, check, devices, most, prosumer};
use actors::door::{HEARD_MAX, OVERLOADED, UNDER_WAY_MAX};
use actors::market_side::OfferAnswer;
use actors::runtime::Compute;
use grid::{DeviceId, EnergyMwh};
use market::flex_offer::Acceptance;
use market::{FlexOffer, FlexOfferId, MarketEvent};
use std::time::Duration;
use tokio::task::JoinSet;

/// The evening's offer, of another device.
pub fn offer(device: DeviceId) -> FlexOffer {
    let MarketEvent::OfferAccepted { offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    let id = FlexOfferId::numbered("flood-", u64::from(device.0));
    FlexOffer { id, device, prosumer: prosumer(device), ..offer }
}

/// One that is sold alone: it wants all of its energy moved or nothing.
fn lone(device: DeviceId) -> FlexOffer {
    let mut offer = offer(device);
    offer.terms.acceptance = Acceptance::AtLeast { energy: EnergyMwh(1_000_000) };
    offer
}

#[tokio::test(start_paused = true)]
async fn no_mailbox_grows_with_what_is_asked_at_the_door() {
    let running = Running::start("2026-01-15T16:40:05Z", Vec::new(), Compute::Inline).await;
    let mut asking = JoinSet::new();
    for nth in 0..20_u32 {
        for device in devices() {
            let (door, mut offer) = (running.system.door().clone(), offer(device));
            asking.spawn(async move {
                match nth % 4 {
                    0 | 1 => door.submit(offer).await,
                    2 => {
                        offer.prices.decrease.0 += i64::from(nth);
                        door.change(offer).await
                    }
                    _ => door.withdraw(offer.id).await,
                }
            });
        }
    }
    let (mut done, mut overloaded) = (0, 0);
    while let Some(answer) = asking.join_next().await {
        match answer.unwrap() {
            Some(OfferAnswer::Refused { code: OVERLOADED, .. }) => overloaded += 1,
            Some(_) => done += 1,
            None => panic!("a request was forgotten"),
        }
    }
    assert_eq!(done + overloaded, 20 * DEVICES);
    assert!(done >= UNDER_WAY_MAX as u32 && overloaded > 0, "{done} done, {overloaded} refused");
    running.settle().await;
    check(running.depths());
    assert_eq!(running.system.door().under_way(), 0);
    // Now there is room for everybody.
    for device in devices() {
        let answer = running.system.door().submit(lone(device)).await;
        assert!(!matches!(answer, None | Some(OfferAnswer::Refused { code: OVERLOADED, .. })), "{answer:?}");
    }
    // Nobody waits for what is said in passing; nothing comes to it before this waits.
    let heard = (0..4 * HEARD_MAX)
        .filter(|nth| running.system.door().heard(prosumer(DeviceId(7 + *nth as u32 % DEVICES)), true));
    assert_eq!(heard.count(), HEARD_MAX);
    running.settle().await;
    check(running.depths());
    running.system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn parties_that_are_all_heard_again_at_once_place_their_offers_once() {
    let running = Running::start("2026-01-15T16:40:05Z", Vec::new(), Compute::Inline).await;
    let door = running.system.door().clone();
    for device in devices() {
        assert_eq!(door.submit(lone(device)).await, Some(OfferAnswer::Accepted));
        assert!(door.heard(prosumer(device), true));
    }
    tokio::time::sleep(Duration::from_secs(240)).await;
    let beats = &running.system.operations().beats;
    assert_eq!(beats.suspended().len(), DEVICES as usize);
    assert_eq!(running.system.books().read(|ledger| ledger.open_aggregates().count()), DEVICES as usize);
    let before = most(running.depths(), "matcher");
    for device in devices() {
        assert!(door.heard(prosumer(device), true));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(beats.suspended().len(), 0);
    let after = most(running.depths(), "matcher");
    assert!(after <= before.max(u64::from(DEVICES)) + FEW, "{before} before, {after} after");
    check(running.depths());
    running.system.stop().await;
}
