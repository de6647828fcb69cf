//! Far more than the system can handle: every mailbox stays short, orders and answers come through, and what gave way is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

#[allow(dead_code)] // the receipts' tests use all of it
#[path = "receipts/evening.rs"]
mod evening;

use actors::grid_side::ingress::BATCHES_MAX;
use actors::grid_side::region::nothing_learnt;
use actors::journal::{Durability, Journal};
use actors::picture::DeviceKind;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, Device, DsoRules, Parts, System};
use connectors::exchange::{BATCH_ENTRIES_MAX, InboxWriter, Limits, inbox};
use connectors::{Counters, Link, Message};
use estimation::Feeder;
use evening::{DEVICE, PROSUMER, USAGE_POINT, network};
use grid::{Measurement, Quality, Timestamp};
use market::{DeviceReport, DeviceState, OfferRules, Rules};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Every kind of stage there is. Whoever adds one asks here what fills its mailbox.
const KINDS: [&str; 13] = [
    "aggregator",
    "billing",
    "doms",
    "egress",
    "foa",
    "ingress",
    "journal",
    "matcher",
    "metering",
    "node",
    "observer",
    "region",
    "settlement",
];
/// Values of one point under way at a time; a batch has at most so many entries, and each causes a few messages.
const MAILBOX_MAX: u64 = (BATCHES_MAX * BATCH_ENTRIES_MAX * 3) as u64;

fn area() -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let (id, prosumer, usage_point) = (DEVICE, PROSUMER, USAGE_POINT);
    let device = Device { id, prosumer, usage_point, kind: DeviceKind::Charger, p_max_w: 11_000.0 };
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    Area::new("demo", feeder, vec![device], rules).unwrap()
}

fn now() -> Timestamp {
    "2026-01-15T17:45:10Z".parse().unwrap()
}

async fn start(directory: &Path) -> (System, InboxWriter, Arc<Counters>) {
    let opened = Journal::open(directory, Durability::Synced).unwrap();
    let counters = Arc::new(Counters::default());
    let (writer, heard) = inbox(Limits { measurements: 1_000, ..Limits::default() }, counters.clone());
    let (outbound, mut orders) = mpsc::channel(16);
    tokio::spawn(async move { while orders.recv().await.is_some() {} });
    let parts = Parts {
        area: Arc::new(area()),
        environment: Environment::new(ScaledClock::start(now(), 1), Compute::Blocking),
        link: Link { outbound, inbox: heard, counters: counters.clone() },
        sources: Vec::new(),
        learnt: nothing_learnt(&area()),
        journal: opened.journal,
        ledger: opened.standing.ledger,
        records: opened.standing.records,
        owed: Vec::new(),
        history: None,
        weather: None,
        zone: "UTC".to_owned(),
        publish_period: Duration::from_secs(1),
    };
    (System::start(parts).await.unwrap(), writer, counters)
}

/// A message of one point's value, or now and then of a device.
fn message(number: u32) -> Message {
    if number.is_multiple_of(7) {
        let (device, prosumer, usage_point) = (DEVICE, PROSUMER, USAGE_POINT);
        let (session, departure) = (0, now().plus(Duration::from_secs(36_000)));
        let state = DeviceState::Charger { session, energy_needed_wh: 0.0, departure, p_max_w: 11_000.0 };
        return Message::Device(DeviceReport { device, prosumer, usage_point, at: now(), state });
    }
    let points = ["bus.3.u.a", "bus.3.u.b", "bus.3.u.c", "bus.2.u.a", "bus.2.u.b", "bus.2.u.c"];
    let value = |at: u32| Measurement {
        point: points[(number + at) as usize % points.len()].parse().unwrap(),
        value: 225.0 + f64::from((number + at) % 10),
        quality: Quality::Measured,
        measured_at: now().plus(Duration::from_millis(u64::from(number))),
        received_at: now(),
    };
    Message::Telemetry((0..50).map(value).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mailbox_grows_with_what_arrives() {
    let directory = tempfile::tempdir().unwrap();
    let (system, mut writer, counters) = start(directory.path()).await;
    let depths = system.operations().depths.clone();
    let kinds: Vec<String> = depths.by_kind().into_keys().collect();
    assert_eq!(kinds, KINDS);
    let flood = tokio::spawn(async move {
        for number in 0..20_000 {
            writer.send(message(number)).await.unwrap();
            if number.is_multiple_of(64) {
                tokio::task::yield_now().await;
            }
        }
        writer
    });
    let mut fullest: BTreeMap<String, u64> = BTreeMap::new();
    while !flood.is_finished() {
        for (kind, depth) in depths.by_kind() {
            let known = fullest.entry(kind).or_default();
            *known = depth.fullest.max(*known);
        }
        tokio::time::sleep(Duration::from_micros(300)).await;
    }
    for (kind, fullest) in &fullest {
        assert!(*fullest <= MAILBOX_MAX, "{fullest} messages waited for a stage of kind {kind}");
    }
    // It was too much: older values gave way, and were counted.
    let counted = counters.snapshot();
    assert!(counted.skipped.overtaken > 0, "{counted:?}");
    // Back to normal: everything that was taken in is handled.
    let writer = flood.await.unwrap();
    for _ in 0..1000 {
        if writer.is_empty() && depths.by_kind().values().all(|depth| depth.waiting == 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(depths.by_kind().values().all(|depth| depth.waiting == 0), "{:?}", depths.by_kind());
    system.stop().await;
}
