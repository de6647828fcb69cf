//! Contracts that were bought and not split between their members.

use super::evening::up_to_the_order;
use super::recording::rejected;
use super::{Market, area, seconds};
use actors::market_side::{Aggregator, AggregatorMsg};
use actors::runtime::Address;
use market::{AggregateId, Contract, MarketEvent};
use std::sync::Arc;

async fn aggregator(market: &Market) -> Address<AggregatorMsg> {
    let (matcher, area, books) = (market.matcher().await, Arc::new(area()), market.books.clone());
    let (journal, observer) = (market.journal.clone(), market.observer.clone());
    let build = move || {
        let (journal, matcher) = (journal.clone(), matcher.clone());
        Aggregator::new(area.clone(), books.clone(), journal, matcher, observer.clone())
    };
    market.supervisor.spawn("aggregator", build).await.unwrap()
}

fn unsplit(market: &Market) -> usize {
    market.books.read(|ledger| ledger.contracts_without_assignment().count())
}

#[tokio::test(start_paused = true)]
async fn a_contract_that_nobody_told_of_is_split_within_two_minutes() {
    let facts = up_to_the_order();
    let market = Market::start(facts[..2].to_vec(), "2026-01-15T17:27:55Z").await;
    let _aggregator = aggregator(&market).await;
    seconds(5).await;
    // As when the message to the aggregator lies in quarantine; the matcher does not hear of the need either.
    facts[2..5].iter().for_each(|fact| market.append(fact.clone(), Vec::new()));
    seconds(1).await;
    assert_eq!((market.contracts(), unsplit(&market)), (1, 1));
    seconds(120).await;
    assert_eq!(unsplit(&market), 0);
    assert_eq!(rejected(&market, "contract_not_split"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_contract_that_cannot_be_split_is_told_and_counted() {
    let market = Market::start(up_to_the_order()[..3].to_vec(), "2026-01-15T17:21:05Z").await;
    let aggregator = aggregator(&market).await;
    let MarketEvent::ContractFormed { contract } = up_to_the_order().remove(4) else { unreachable!() };
    let stray = Contract { aggregate: AggregateId::new("agg-9").unwrap(), ..contract };
    aggregator.deliver(AggregatorMsg::ContractFormed(Arc::new(stray)));
    seconds(1).await;
    assert_eq!(rejected(&market, "contract_not_split"), 1);
}
