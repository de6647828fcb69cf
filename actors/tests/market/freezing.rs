//! A baseline by another method than the device's own declaration: found, frozen, then the order.

use super::evening::{DEVICE, PROSUMER, slot, up_to_the_order};
use super::recording::rejected;
use super::{Ear, Market, area, seconds};
use actors::egress::EgressMsg;
use actors::journal::JournalMsg;
use actors::market_side::foa::Exits;
use actors::market_side::{Foa, FoaMsg};
use actors::observer::Seen;
use actors::runtime::Address;
use actors::{Historian, Weather};
use grid::{Measurement, PointId, Quality};
use history::{History, Options};
use market::baseline::BaselineMethod;
use market::{Contract, ContractId, FlexOfferId, Ledger, MarketEvent};
use std::sync::{Arc, Mutex};

const METHOD: BaselineMethod =
    BaselineMethod::XOfY { x: 1, y: 2, adjustment_slots: 0, adjustment_max_per_mille: 0 };

/// Everything up to the assignment, under a contract that names the method.
fn assigned(method: BaselineMethod) -> Vec<MarketEvent> {
    let mut facts = up_to_the_order();
    facts.pop();
    for fact in &mut facts {
        if let MarketEvent::ContractFormed { contract } = fact {
            contract.terms.baseline = method;
        }
    }
    facts
}

/// A history of the last days, in which the device took 300 Wh in each slot of the evening, and on one day 500. Each was told so many
/// times.
fn metered(directory: &std::path::Path, days: i64, slots: std::ops::Range<i64>, times: i64) -> History {
    let mut history = History::open(directory, Options::default()).unwrap();
    let point: PointId = format!("device.{DEVICE}.energy").parse().unwrap();
    let value = |day: i64, of_day: i64, time: i64| {
        let measured_at = slot(of_day + 1 - day * 96).start();
        let received_at = measured_at.plus(std::time::Duration::from_secs(time as u64));
        let value = if day == 2 { 500.0 } else { 300.0 };
        let measured = Measurement { point, value, quality: Quality::Measured, measured_at, received_at };
        history::Value::measured(&measured)
    };
    let values: Vec<_> = (1..=days)
        .flat_map(|day| slots.clone().map(move |of_day| (day, of_day)))
        .flat_map(|(day, of_day)| (0..times).map(move |time| value(day, of_day, time)))
        .collect();
    history.append(&values).unwrap();
    history
}

/// Half a degree colder each day back, as cold as the first day back tonight.
fn weather() -> Weather {
    Weather::of(|slots| {
        let day = |at: i64| (at.div_euclid(96) - slot(0).0.div_euclid(96)).min(-1);
        (slots.start.0..slots.end.0).map(|at| (grid::Slot(at), 5_000 + 500 * (day(at) as i32 + 1))).collect()
    })
}

/// An agent that has just started, with what it sends and what is seen.
async fn agent(days: i64) -> (Market, Arc<Mutex<Vec<EgressMsg>>>, tempfile::TempDir) {
    agent_with(METHOD, |directory| metered(directory, days, -8..12, 1)).await
}

async fn agent_with(
    method: BaselineMethod,
    history: impl FnOnce(&std::path::Path) -> History,
) -> (Market, Arc<Mutex<Vec<EgressMsg>>>, tempfile::TempDir) {
    let market = Market::start(assigned(method), "2026-01-15T17:28:10Z").await;
    let (_, told, directory) = agent_of(&market, history).await;
    (market, told, directory)
}

async fn agent_of(
    market: &Market,
    history: impl FnOnce(&std::path::Path) -> History,
) -> (Address<FoaMsg>, Arc<Mutex<Vec<EgressMsg>>>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let history = history(directory.path());
    let escalator = market.supervisor.escalator();
    let (historian, _tap) = Historian::start(history, |_| true, market.environment.clone(), escalator);
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let egress = market.supervisor.spawn("egress", move || Ear(heard.clone())).await.unwrap();
    let exits = Exits {
        journal: market.journal.clone(),
        aggregator: market.seller.clone(),
        egress,
        observer: market.observer.clone(),
        historian: Some(historian),
        weather: Some(weather()),
    };
    let (area, books) = (Arc::new(area()), market.books.clone());
    let build = move || Foa::new(PROSUMER, area.clone(), books.clone(), exits.clone());
    let foa = market.supervisor.spawn("foa", build).await.unwrap();
    foa.deliver(FoaMsg::CheckDue);
    seconds(5).await;
    (foa, told, directory)
}

fn frozen(market: &Market) -> Option<market::baseline::Baseline> {
    let (contract, offer) = (ContractId::new("c-1").unwrap(), FlexOfferId::new("fo-7").unwrap());
    market.books.read(|ledger| ledger.frozen_baseline(&contract, &offer).cloned())
}

#[tokio::test(start_paused = true)]
async fn a_baseline_is_frozen_from_the_history_before_the_device_is_told() {
    // Thursday; Wednesday and Tuesday are the last two days of its kind, and Tuesday is the higher one.
    let (market, told, _directory) = agent(3).await;
    let baseline = frozen(&market).unwrap();
    assert_eq!(baseline.method, METHOD);
    assert!(baseline.start == slot(0) && baseline.energies.iter().all(|energy| energy.0 == 500_000));
    assert!(told.lock().unwrap().iter().any(|msg| matches!(msg, EgressMsg::Order(_))));
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_tells_everything_twice_does_not_turn_the_baseline_of_its_contract_off() {
    // Every slot of as many days as are looked back at.
    let (market, told, _directory) =
        agent_with(METHOD, |directory| metered(directory, 121, -70..26, 2)).await;
    let baseline = frozen(&market).unwrap();
    assert!(baseline.energies.iter().all(|energy| energy.0 == 500_000), "{baseline:?}");
    assert!(told.lock().unwrap().iter().any(|msg| matches!(msg, EgressMsg::Order(_))));
}

#[tokio::test(start_paused = true)]
async fn where_the_history_has_too_few_days_the_declared_schedule_counts_and_that_is_counted() {
    let (market, told, _directory) = agent(1).await;
    assert_eq!(frozen(&market), None);
    assert!(told.lock().unwrap().iter().any(|msg| matches!(msg, EgressMsg::Order(_))), "the order is given");
    let seen = market.seen.lock().unwrap();
    let said = |seen: &Seen| matches!(seen, Seen::Rejected { code: "baseline_declared", .. });
    assert_eq!(seen.iter().filter(|seen| said(seen)).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_baseline_by_the_weather_follows_the_temperature() {
    let method =
        BaselineMethod::WeatherRegression { days_min: 3, days_max: 60, heating_limit_milli_celsius: 15_000 };
    // 300 Wh on every day but one: two days back, half a degree colder, it was 500.
    let (market, told, _directory) = agent_with(method, |directory| metered(directory, 3, -8..12, 1)).await;
    let baseline = frozen(&market).unwrap();
    assert_eq!(baseline.version, "weather-regression/1");
    // The mean is 366.67 Wh, and over 10.0, 10.5 and 11.0 heating degrees no slope fits three such days.
    assert!(baseline.energies.iter().all(|energy| energy.0.abs_diff(366_667) <= 1), "{baseline:?}");
    assert!(told.lock().unwrap().iter().any(|msg| matches!(msg, EgressMsg::Order(_))));
    // Four days tell a slope: the farther back the colder, and 300, 500, 300, 300 Wh.
    let (market, ..) = agent_with(method, |directory| metered(directory, 4, -8..12, 1)).await;
    let baseline = frozen(&market).unwrap();
    // x = 10, 10.5, 11, 11.5; slope = -50/1.25 = -40 Wh a degree; at 10: 350 + 0.75 x 40.
    assert!(baseline.energies.iter().all(|energy| energy.0.abs_diff(380_000) <= 1), "{baseline:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_postpones_a_baseline_and_does_not_turn_it_off() {
    let market = Market::start(assigned(METHOD), "2026-01-15T17:28:10Z").await;
    market.disk.fill(true);
    market.journal.0.deliver(JournalMsg::BeatDue);
    seconds(5).await;
    assert!(market.books.read_only().is_some());
    let (foa, told, _directory) = agent_of(&market, |directory| metered(directory, 3, -8..12, 1)).await;
    // One that was found before the disk was known to be full.
    let (contract, assignment) = market.books.read(|ledger: &Ledger| {
        let (Contract { id, .. }, parts) = ledger.contracts().next().unwrap();
        (id.clone(), Arc::new(parts.unwrap()[0].clone()))
    });
    let energies = vec![grid::EnergyMwh(500_000); 6];
    let (start, version, frozen_at) = (slot(0), METHOD.id().into(), "2026-01-15T17:28:12Z".parse().unwrap());
    let found = market::baseline::Baseline { method: METHOD, version, start, energies, frozen_at };
    foa.deliver(FoaMsg::BaselineFound { contract, assignment, found: Ok(Arc::new(found)) });
    seconds(5).await;
    let ordered = || market.books.read(|ledger| ledger.activations().count());
    assert_eq!((ordered(), rejected(&market, "baseline_declared")), (0, 0));
    market.disk.fill(false);
    seconds(65).await;
    assert_eq!(frozen(&market).map(|baseline| baseline.method), Some(METHOD));
    assert_eq!((ordered(), rejected(&market, "baseline_declared")), (1, 0));
    assert!(told.lock().unwrap().iter().any(|msg| matches!(msg, EgressMsg::Order(_))));
}
