//! What reaches the estimate and what does not: from connectors to the picture, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

#[allow(dead_code)] // the receipts' tests use all of it
#[path = "receipts/evening.rs"]
mod evening;

use actors::grid_side::Ranks;
use actors::grid_side::region::nothing_learnt;
use actors::journal::{Durability, Journal};
use actors::picture::{FeedKind, Picture, PointRow};
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, DsoRules, Parts, System};
use connectors::exchange::{InboxWriter, Limits, inbox};
use connectors::{Counters, Link, Message, Source};
use estimation::Feeder;
use evening::network;
use grid::{Clock, Measurement, PointId, Quality};
use market::{OfferRules, Rules};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A system with a door and a preferred connector.
struct Running {
    system: System,
    clock: ScaledClock,
    field: InboxWriter,
    scada: InboxWriter,
    _directory: tempfile::TempDir,
}

impl Running {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opened = Journal::open(directory.path(), Durability::Synced).unwrap();
        let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
        let feeder = Arc::new(Feeder::new(&network()).unwrap());
        let mut area = Area::new("demo", feeder, Vec::new(), rules).unwrap();
        area.ranks = Ranks { named: [("scada".to_owned(), 1)].into(), ..Ranks::default() };
        area.know_generators([].into());
        let clock = ScaledClock::start("2026-01-15T17:45:00Z".parse().unwrap(), 1);
        let (counters, other) = (Arc::new(Counters::default()), Arc::new(Counters::default()));
        let (field, heard) = inbox(Limits::default(), counters.clone());
        let (scada, listened) = inbox(Limits::default(), other.clone());
        let (outbound, mut orders) = mpsc::channel(16);
        tokio::spawn(async move { while orders.recv().await.is_some() {} });
        let parts = Parts {
            learnt: nothing_learnt(&area),
            area: Arc::new(area),
            environment: Environment::new(clock, Compute::Inline),
            link: Link { outbound, inbox: heard, counters },
            sources: vec![Source { name: "scada".to_owned(), inbox: listened, counters: other }],
            journal: opened.journal,
            ledger: opened.standing.ledger,
            records: opened.standing.records,
            owed: Vec::new(),
            history: None,
            weather: None,
            zone: "UTC".to_owned(),
            publish_period: Duration::from_secs(1),
        };
        let system = System::start(parts).await.unwrap();
        Self { system, clock, field, scada, _directory: directory }
    }

    fn value(&self, point: &str, value: f64) -> Measurement {
        let now = self.clock.now();
        let (point, quality) = (point.parse().unwrap(), Quality::Measured);
        Measurement { point, value, quality, measured_at: now, received_at: now }
    }

    async fn field(&mut self, values: Vec<Measurement>) {
        self.field.send(Message::Telemetry(values)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    async fn scada(&mut self, values: Vec<Measurement>) {
        self.scada.send(Message::Telemetry(values)).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    fn picture(&self) -> Arc<Picture> {
        self.system.picture().borrow().clone()
    }

    fn row(&self, point: &str) -> Option<PointRow> {
        let point: PointId = point.parse().unwrap();
        self.picture().points.iter().find(|row| row.point == point).cloned()
    }

    /// The points that the newest estimate rests on.
    fn estimated_from(&self) -> Vec<String> {
        let estimate = self.picture().estimate.clone().expect("an estimate");
        estimate.residuals.iter().map(|residual| residual.point.to_string()).collect()
    }

    fn left(&self, reason: &str) -> u64 {
        let picture = self.picture();
        picture.health.skips.iter().find(|row| row.code == reason).map_or(0, |row| row.count)
    }

    fn refused(&self, rule: &str) -> u64 {
        let picture = self.picture();
        picture.health.rejections.iter().find(|row| row.code == rule).map_or(0, |row| row.count)
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_stops_is_shown_with_the_rule_and_counted_and_never_estimated_from() {
    let mut running = Running::start().await;
    let good = [running.value("bus.2.u.a", 231.0), running.value("bus.2.u.c", 230.0)];
    let wrong = running.value("bus.2.u.b", 231_000.0);
    running.field([&good[..], &[wrong]].concat()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let row = running.row("bus.2.u.b").unwrap();
    assert_eq!(
        (row.quality, row.rule, row.refused),
        (Quality::Implausible, Some("voltage-range"), Some(231_000.0))
    );
    assert_eq!((row.value, running.refused("voltage-range")), (None, 1));
    assert_eq!(running.estimated_from(), ["bus.2.u.a", "bus.2.u.c"]);
    // It comes right.
    let right = running.value("bus.2.u.b", 231.0);
    running.field(vec![right]).await;
    let row = running.row("bus.2.u.b").unwrap();
    assert_eq!((row.quality, row.rule, row.value), (Quality::Measured, None, Some(231.0)));
    running.system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_estimate_finds_wrong_is_used_named_and_counted_until_it_comes_right() {
    let mut running = Running::start().await;
    let said = |running: &Running, wrong: f64| {
        let points =
            [2, 3, 4].into_iter().flat_map(|bus| ["a", "b", "c"].map(|phase| format!("bus.{bus}.u.{phase}")));
        let value = |point: String| {
            let value = if point == "bus.3.u.b" { wrong } else { 231.0 };
            running.value(&point, value)
        };
        points.map(value).collect::<Vec<_>>()
    };
    running.field(said(&running, 222.0)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let row = running.row("bus.3.u.b").unwrap();
    assert_eq!((row.quality, row.value), (Quality::Measured, Some(222.0)), "no rule stops it");
    assert_eq!(row.rule, Some("largest-residual"));
    assert_eq!(running.row("bus.3.u.a").unwrap().rule, None);
    let health = running.picture().health.estimator.clone();
    assert_eq!(health.suspects, ["bus.3.u.b".parse::<PointId>().unwrap()]);
    assert!(health.chance.unwrap() < 1e-4 && health.alarms.largest_residual >= 1, "{health:?}");
    running.field(said(&running, 231.2)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.row("bus.3.u.b").unwrap().rule, None);
    let now = running.picture().health.estimator.clone();
    assert!(now.suspects.is_empty() && now.alarms.largest_residual >= health.alarms.largest_residual);
    running.system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_its_source_calls_bad_is_not_estimated_from_again() {
    let mut running = Running::start().await;
    let values = ["a", "b", "c"].map(|phase| running.value(&format!("bus.2.u.{phase}"), 231.0));
    running.scada(values.to_vec()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.estimated_from().len(), 3);
    // What OPC UA calls Bad, and what Modbus cannot read, arrives as missing.
    let bad = Measurement { quality: Quality::Missing, value: 0.0, ..running.value("bus.2.u.b", 0.0) };
    running.scada(vec![bad, running.value("bus.2.u.a", 231.5)]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(running.estimated_from(), ["bus.2.u.a", "bus.2.u.c"]);
    assert_eq!(running.row("bus.2.u.b").unwrap().quality, Quality::Missing);
    running.system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_preferred_source_of_a_point_is_used_while_it_is_fresh() {
    let mut running = Running::start().await;
    let (point, shown) = ("bus.2.u.a", |running: &Running| running.row("bus.2.u.a").unwrap().value.unwrap());
    running.field(vec![running.value(point, 235.0)]).await;
    assert_eq!(shown(&running), 235.0, "nobody else says it");
    running.scada(vec![running.value(point, 231.0)]).await;
    running.field(vec![running.value(point, 236.0)]).await;
    assert_eq!((shown(&running), running.left("less-preferred")), (231.0, 1));
    tokio::time::sleep(Duration::from_secs(200)).await;
    running.field(vec![running.value(point, 237.0)]).await;
    assert_eq!(shown(&running), 237.0, "the preferred one is silent");
    running.scada(vec![running.value(point, 232.0)]).await;
    assert_eq!(shown(&running), 232.0, "it is back");
    let bad = Measurement { quality: Quality::Missing, ..running.value(point, 0.0) };
    running.scada(vec![bad]).await;
    running.field(vec![running.value(point, 238.0)]).await;
    assert_eq!(shown(&running), 238.0, "it says that it does not know");
    let told = running.picture().feed.iter().any(|entry| {
        entry.kind == FeedKind::Link
            && entry.text == "points of the field connection are taken from scada now"
    });
    assert!(told, "{:?}", running.picture().feed);
    running.system.stop().await;
}

#[tokio::test(start_paused = true)]
async fn late_and_repeated_values_are_counted_and_change_nothing() {
    let mut running = Running::start().await;
    let first = running.value("bus.2.u.a", 231.0);
    running.field(vec![first]).await;
    running.field(vec![first]).await;
    let old =
        Measurement { measured_at: first.measured_at.minus(Duration::from_secs(10)), value: 220.0, ..first };
    running.field(vec![old]).await;
    tokio::time::sleep(Duration::from_secs(400)).await;
    let late = Measurement {
        measured_at: first.measured_at.plus(Duration::from_secs(60)),
        ..running.value("bus.2.u.a", 225.0)
    };
    running.field(vec![late]).await;
    assert_eq!(running.row("bus.2.u.a").unwrap().value, Some(231.0));
    let counted = ["duplicate", "overtaken", "late"].map(|reason| running.left(reason));
    assert_eq!((counted, running.picture().health.skipped), ([1, 1, 1], 3));
    running.system.stop().await;
}
