//! Delegated trading, from the agreement to the money.

use super::evening::{PROSUMER, slot, up_to_the_order};
use super::{Market, area, seconds};
use actors::Delegation;
use actors::market_side::{Billing, OfferAnswer};
use grid::{Money, Timestamp};
use market::delegated::Reward;
use market::settlement::Account;
use market::{DelegatedContract, FlexOffer, MarketEvent, Month, TradingMode};
use std::sync::Arc;

const CONTRACT: DelegatedContract = DelegatedContract {
    fixed_reward: Money(3_000_000),
    time_flex_reward: Money(10_000),
    energy_flex_reward: Money::ZERO,
    scheduling_fixed_reward: Money::ZERO,
    scheduling_start_time_reward: Money::ZERO,
    scheduling_energy_reward: Money::ZERO,
    imbalance_limit: grid::EnergyMwh(100_000),
};

fn delegated() -> FlexOffer {
    let MarketEvent::OfferAccepted { mut offer, .. } = up_to_the_order().remove(0) else { unreachable!() };
    offer.terms.mode = TradingMode::Delegated;
    offer
}

/// Billing that knows of one contract.
async fn billing(market: &Market, from: &str) {
    let mut area = area();
    let from = from.parse().unwrap();
    area.delegations = vec![Delegation { prosumer: PROSUMER, from, contract: CONTRACT }];
    let (area, books, journal) = (Arc::new(area), market.books.clone(), market.journal.clone());
    let build = move || Billing::new(area.clone(), books.clone(), journal.clone());
    market.supervisor.spawn("billing", build).await.unwrap();
}

fn agreed() -> MarketEvent {
    let at: Timestamp = "2025-12-20T00:00:00Z".parse().unwrap();
    MarketEvent::DelegationAgreed {
        prosumer: PROSUMER,
        from: "2026-01".parse().unwrap(),
        contract: CONTRACT,
        at,
    }
}

#[tokio::test(start_paused = true)]
async fn a_delegated_month_is_paid_once_a_day_after_it_ended() {
    let january: Month = "2026-01".parse().unwrap();
    let offer = delegated();
    let expired = MarketEvent::OfferExpired { offer: offer.id.clone(), at: slot(1).start() };
    let accepted = MarketEvent::OfferAccepted { at: offer.created_at, offer };
    let market = Market::start(vec![agreed(), accepted, expired], "2026-02-01T22:30:05Z").await;
    billing(&market, "2026-01").await;
    let hours = |hours: u64| seconds(hours * 3_600);
    hours(1).await;
    assert_eq!(market.books.read(|ledger| ledger.bills().count()), 0, "the month is not over for a day");
    hours(1).await;
    let (bill, balances) =
        market.books.read(|ledger| (ledger.bills().next().cloned().unwrap(), ledger.balances().clone()));
    assert_eq!((bill.prosumer, bill.month, bill.num_flex_offers), (PROSUMER, january, 1));
    let lines: Vec<_> = bill.lines.iter().map(|line| (line.reward, line.amount)).collect();
    assert_eq!(lines, [(Reward::Fixed, Money(3_000_000)), (Reward::TimeFlex, Money(4 * 10_000))]);
    assert_eq!(balances[&Account::Prosumer(PROSUMER)], Money(3_040_000));
    assert_eq!(balances[&Account::Aggregator], Money(-3_040_000));
    hours(2).await;
    assert_eq!(market.books.read(|ledger| ledger.bills().count()), 1, "once");
}

#[tokio::test(start_paused = true)]
async fn a_month_that_has_begun_is_not_agreed_on_any_more_but_the_next_one_is() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    billing(&market, "2025-11").await;
    let agreed = |month: &str| {
        let month = month.parse().unwrap();
        market.books.read(|ledger| ledger.delegation(PROSUMER, month).copied())
    };
    seconds(290).await;
    assert_eq!(agreed("2026-02"), None);
    seconds(6 * 60).await;
    assert_eq!((agreed("2026-01"), agreed("2026-02")), (None, Some(CONTRACT)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_billed_or_agreed_in_the_first_minutes_after_a_start_for_its_clock_may_be_wrong() {
    // By this clock January has been over for four days.
    let market = Market::start(vec![agreed()], "2026-02-05T12:00:05Z").await;
    billing(&market, "2026-01").await;
    let bills = || market.books.read(|ledger| ledger.bills().count());
    seconds(290).await;
    assert_eq!(bills(), 0, "the clock is set by now, which ends the process");
    seconds(6 * 60).await;
    assert_eq!(bills(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_delegates_without_a_contract() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let door = market.offer_door().await;
    let answer = door.submit(delegated()).await.unwrap();
    assert!(matches!(answer, OfferAnswer::Refused { code: "no-delegation", .. }), "{answer:?}");
    market.append(agreed(), Vec::new());
    seconds(1).await;
    assert_eq!(door.submit(delegated()).await, Some(OfferAnswer::Accepted));
}
