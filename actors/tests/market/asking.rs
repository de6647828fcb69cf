//! What the DSO asks for when nobody can know what is needed: contracts are not split, or the grid is not seen.

use super::evening::{slot, up_to_the_order};
use super::recording::rejected;
use super::{Market, area, seconds};
use actors::Area;
use actors::grid_side::doms::{Ahead, Doms, DomsMsg};
use actors::runtime::Address;
use estimation::LimitedElement;
use grid::{BranchId, Congestion, Outlook};
use market::Ledger;
use std::sync::Arc;

const LIMITED: LimitedElement = LimitedElement { branch: BranchId(21), phase: None };

async fn doms(market: &Market) -> Address<DomsMsg> {
    let area = Arc::new(Area { limited: vec![LIMITED], ..area() });
    let (matcher, books) = (market.matcher().await, market.books.clone());
    let (journal, observer) = (market.journal.clone(), market.observer.clone());
    let build =
        move || Doms::new(area.clone(), books.clone(), journal.clone(), matcher.clone(), observer.clone());
    market.supervisor.spawn("doms", build).await.unwrap()
}

/// An element that is overloaded two hours from the beginning of the evening, as of so many contracts.
fn ahead(contracts_seen: u64) -> DomsMsg {
    let element = Congestion {
        branch: LIMITED.branch,
        phase: LIMITED.phase,
        slot: slot(8),
        loading: 1.2,
        loading_p90: 1.3,
        probability: 0.99,
        headroom_w: -20_000.0,
    };
    let planned = Outlook { issued_at: slot(0).start(), elements: vec![element] };
    let without_flexibility = planned.clone();
    DomsMsg::OutlookReady(Ok(Arc::new(Ahead { planned, without_flexibility, contracts_seen })))
}

#[tokio::test(start_paused = true)]
async fn three_needs_in_a_row_that_are_out_of_date_raise_an_alarm_that_names_the_contract() {
    let market = Market::start(up_to_the_order()[..5].to_vec(), "2026-01-15T17:30:10Z").await;
    let doms = doms(&market).await;
    let stale = |market: &Market| market.counters.stale.get();
    for refused in 1..=5 {
        doms.deliver(ahead(0));
        seconds(300).await;
        assert_eq!(stale(&market), refused);
        assert_eq!(rejected(&market, "need_out_of_date"), usize::from(refused >= 3), "after {refused}");
    }
    let seen = market.seen.lock().unwrap();
    assert!(seen.iter().any(|seen| format!("{seen:?}").contains("c-1 is not split")), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn needs_that_are_overtaken_now_and_then_raise_no_alarm() {
    let market = Market::start(up_to_the_order(), "2026-01-15T17:30:10Z").await;
    let doms = doms(&market).await;
    for _ in 0..4 {
        for seen in [0, 0, 1] {
            doms.deliver(ahead(seen));
            seconds(300).await;
        }
    }
    let asked = market.books.read(|ledger: &Ledger| ledger.need().map(|need| need.contracts_seen));
    assert_eq!((asked, market.counters.stale.get()), (Some(1), 8));
    assert_eq!(rejected(&market, "need_out_of_date"), 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_see_the_grid_asks_for_nothing_until_it_is_seen_again() {
    let market = Market::start(up_to_the_order()[..3].to_vec(), "2026-01-15T17:21:05Z").await;
    let doms = doms(&market).await;
    let bids = || market.books.read(|ledger: &Ledger| ledger.need().map(|need| need.bids.len()));
    assert_eq!(bids(), Some(1));
    doms.deliver(DomsMsg::Unseen { missed: 2 });
    seconds(1).await;
    assert_eq!(bids(), Some(0));
    // An outlook that was under way.
    doms.deliver(ahead(0));
    seconds(1).await;
    assert_eq!((bids(), rejected(&market, "grid_unseen")), (Some(0), 1));
    doms.deliver(DomsMsg::ForecastIssued(Arc::default()));
    seconds(1).await;
    doms.deliver(ahead(0));
    seconds(1).await;
    assert_eq!(bids(), Some(1));
}
