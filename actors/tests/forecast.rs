//! What a forecast goes on from.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what is wrong by panicking

use actors::grid_side::doms::DomsMsg;
use actors::grid_side::region::{Archive, Made, Region, RegionMsg, learnt};
use actors::journal::Books;
use actors::observer::Seen;
use actors::runtime::{Compute, Context, Environment, ScaledClock, Stage, Supervisor};
use actors::{Area, DsoRules};
use connectors::network_file;
use estimation::Feeder;
use grid::{Measurement, PointId, Quality, Slot, Timestamp, UsagePointId};
use market::{Ledger, OfferRules, Rules};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const NETWORK: &[u8] = include_bytes!("../../connectors/testdata/network_file/objects.json");
const POINT: UsagePointId = UsagePointId(41);
const WEEK: i64 = 7 * 96;

/// Keeps what it is sent.
struct Ear<M>(Arc<Mutex<Vec<M>>>);

impl<M: std::fmt::Debug + Clone + Send + Sync + 'static> Stage for Ear<M> {
    type Msg = M;

    fn handle(&mut self, msg: M, _: &mut Context<M>) {
        self.0.lock().unwrap().push(msg);
    }
}

/// The mean of what is forecast for the connection next, W: of a region that heard of the last week, and of another one that goes
/// on from what that had learnt.
async fn forecasts(archive: Archive, heard: Vec<Measurement>) -> [f64; 2] {
    let now: Timestamp = "2026-01-15T17:00:10Z".parse().unwrap();
    let environment = Environment::new(ScaledClock::start(now, 1), Compute::Inline);
    let supervisor = Supervisor::start(environment).await.unwrap();
    let feeder = Arc::new(Feeder::new(&network_file::read(NETWORK).unwrap()).unwrap());
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    let area = Arc::new(Area::new("demo", feeder, Vec::new(), rules).unwrap());
    let (books, learnt) = (Books::new(Ledger::default(), now), learnt(&area, &archive));
    let observer = supervisor.spawn("observer", || Ear::<Seen>(Arc::default())).await.unwrap();
    let mut means = [0.0; 2];
    for (mean, values) in means.iter_mut().zip([heard, Vec::new()]) {
        let told: Arc<Mutex<Vec<DomsMsg>>> = Arc::default();
        let kept = told.clone();
        let doms = supervisor.spawn("doms", move || Ear(kept.clone())).await.unwrap();
        let (area, learnt, books, observer) = (area.clone(), learnt.clone(), books.clone(), observer.clone());
        let build = move || {
            let (area, learnt, books) = (area.clone(), learnt.clone(), books.clone());
            Region::new(area, learnt, books, doms.clone(), observer.clone(), Made::default())
        };
        let region = supervisor.spawn("region", build).await.unwrap();
        region.deliver(RegionMsg::NodeReported(Arc::new(values)));
        region.deliver(RegionMsg::ForecastDue);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = told.lock().unwrap();
        let Some(DomsMsg::ForecastIssued(forecasts)) = told.first() else { panic!("{told:?}") };
        let own = forecasts.iter().find(|forecast| forecast.usage_point == POINT).unwrap();
        *mean = own.slots.iter().map(|slot| slot.p_w).sum::<f64>() / own.slots.len() as f64;
    }
    supervisor.stop().await;
    means
}

#[tokio::test(start_paused = true)]
async fn what_a_region_has_learnt_outlives_it() {
    let end: Slot = "2026-01-15T17:00:00Z".parse::<Timestamp>().unwrap().slot();
    let point: PointId = format!("meter.{POINT}.energy").parse().unwrap();
    // 3 kW in each quarter-hour of a week.
    let reading = |ago: i64| {
        let at = end.plus(-ago).start();
        Measurement { point, value: 750.0, quality: Quality::Measured, measured_at: at, received_at: at }
    };
    let heard = forecasts(Arc::default(), (0..WEEK).map(reading).collect()).await;
    assert!(heard.iter().all(|mean| (mean - 3_000.0).abs() < 1.0), "{heard:?}");
    let archive: Vec<_> = (1..=WEEK).map(|ago| (POINT, end.plus(-ago), 3_000.0)).collect();
    let known = forecasts(Arc::new(archive), Vec::new()).await;
    assert!(known.iter().all(|mean| (mean - 3_000.0).abs() < 1.0), "{known:?}");
    let nothing = forecasts(Arc::default(), Vec::new()).await;
    assert!(
        nothing.iter().all(|mean| (mean - 500.0).abs() < 1.0),
        "what a start without an archive says: {nothing:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_region_that_missed_two_estimates_says_so_instead_of_a_forecast_until_it_has_one_again() {
    let now: Timestamp = "2026-01-15T17:00:10Z".parse().unwrap();
    let environment = Environment::new(ScaledClock::start(now, 1), Compute::Inline);
    let supervisor = Supervisor::start(environment.clone()).await.unwrap();
    let feeder = Arc::new(Feeder::new(&network_file::read(NETWORK).unwrap()).unwrap());
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    let area = Arc::new(Area::new("demo", feeder, Vec::new(), rules).unwrap());
    let (books, learnt) = (Books::new(Ledger::default(), now), learnt(&area, &Archive::default()));
    let observer = supervisor.spawn("observer", || Ear::<Seen>(Arc::default())).await.unwrap();
    let told: Arc<Mutex<Vec<DomsMsg>>> = Arc::default();
    let kept = told.clone();
    let doms = supervisor.spawn("doms", move || Ear(kept.clone())).await.unwrap();
    let build = move || {
        let (area, learnt, books) = (area.clone(), learnt.clone(), books.clone());
        Region::new(area, learnt, books, doms.clone(), observer.clone(), Made::default())
    };
    let region = supervisor.spawn("region", build).await.unwrap();
    let told = || {
        let said = |msg: &DomsMsg| match msg {
            DomsMsg::ForecastIssued(_) => 0,
            DomsMsg::Unseen { missed } => *missed,
            other => panic!("{other:?}"),
        };
        told.lock().unwrap().drain(..).map(|msg| said(&msg)).collect::<Vec<_>>()
    };
    // Estimates are due 20 s after each minute, forecasts 40 s after every fifth; nothing is measured.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(), [0], "one is missing");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told(), [2], "two are missing, and that is said at once");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(told(), [6], "and again instead of a forecast");
    let measured_at = environment.now();
    let (point, quality) = ("bus.2.u.a".parse().unwrap(), Quality::Measured);
    let value = Measurement { point, value: 231.0, quality, measured_at, received_at: measured_at };
    region.deliver(RegionMsg::NodeReported(Arc::new(vec![value])));
    region.deliver(RegionMsg::SolveDue);
    tokio::time::sleep(Duration::from_secs(1)).await;
    region.deliver(RegionMsg::ForecastDue);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(told(), [0]);
    supervisor.stop().await;
}
