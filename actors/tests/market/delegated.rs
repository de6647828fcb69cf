//! Delegated trading, from the agreement to the money.

use super::evening::{PROSUMER, slot, up_to_the_order};
use super::{Market, area, seconds};
use actors::Delegation;
use actors::market_side::{Aggregator, Billing, OfferAnswer};
use grid::{Money, Timestamp};
use market::settlement::Account;
use market::delegated::Reward;
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
    seconds(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_delegated_month_is_agreed_before_it_begins_and_paid_once_a_day_after_it_ended() {
    let market = Market::start(Vec::new(), "2025-12-31T23:00:05Z").await;
    billing(&market, "2026-01").await;
    let january: Month = "2026-01".parse().unwrap();
    assert_eq!(market.books.read(|ledger| ledger.delegation(PROSUMER, january).copied()), Some(CONTRACT));

    let offer = delegated();
    let expired = MarketEvent::OfferExpired { offer: offer.id.clone(), at: slot(1).start() };
    let accepted = MarketEvent::OfferAccepted { at: offer.created_at, offer };
    [accepted, expired].into_iter().for_each(|fact| market.append(fact, Vec::new()));
    let days = |days: u64| seconds(days * 86_400);
    days(31).await;
    assert_eq!(
        market.books.read(|ledger| ledger.bills().count()),
        0,
        "the month is not over for long enough"
    );
    days(3).await;
    let (bill, balances) =
        market.books.read(|ledger| (ledger.bills().next().cloned().unwrap(), ledger.balances().clone()));
    assert_eq!((bill.prosumer, bill.month, bill.num_flex_offers), (PROSUMER, january, 1));
    let lines: Vec<_> = bill.lines.iter().map(|line| (line.reward, line.amount)).collect();
    assert_eq!(lines, [(Reward::Fixed, Money(3_000_000)), (Reward::TimeFlex, Money(4 * 10_000))]);
    assert_eq!(balances[&Account::Prosumer(PROSUMER)], Money(3_040_000));
    assert_eq!(balances[&Account::Aggregator], Money(-3_040_000));
    days(2).await;
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
    assert_eq!((agreed("2026-01"), agreed("2026-02")), (None, Some(CONTRACT)));
}

#[tokio::test(start_paused = true)]
async fn nobody_delegates_without_a_contract() {
    let market = Market::start(Vec::new(), "2026-01-15T17:20:05Z").await;
    let matcher = market.matcher().await;
    let (area, books) = (Arc::new(area()), market.books.clone());
    let (journal, observer) = (market.journal.clone(), market.observer.clone());
    let build = move || {
        let (journal, matcher) = (journal.clone(), matcher.clone());
        Aggregator::new(area.clone(), books.clone(), journal, matcher, observer.clone())
    };
    let door = actors::OfferDoor::new(market.supervisor.spawn("aggregator", build).await.unwrap());
    let answer = door.submit(delegated()).await.unwrap();
    assert!(matches!(answer, OfferAnswer::Refused { code: "no-delegation", .. }), "{answer:?}");
    let at: Timestamp = "2025-12-20T00:00:00Z".parse().unwrap();
    let from = "2026-01".parse().unwrap();
    market.append(
        MarketEvent::DelegationAgreed { prosumer: PROSUMER, from, contract: CONTRACT, at },
        Vec::new(),
    );
    seconds(1).await;
    assert_eq!(door.submit(delegated()).await, Some(OfferAnswer::Accepted));
}
