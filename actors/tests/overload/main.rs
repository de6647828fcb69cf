//! Far more than the system can handle: every mailbox stays short, orders and answers come through, and what gave way is counted.
//!
//! Each kind of stage is flooded with what it really receives ([`KINDS`]); what counts is the most that ever waited in one mailbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

#[allow(dead_code)] // the receipts' tests use all of it
#[path = "../receipts/evening.rs"]
mod evening;
mod offers;
mod orders;
mod readings;
mod telemetry;
mod time;

use actors::door::{HEARD_MAX, UNDER_WAY_MAX};
use actors::grid_side::ingress::BATCHES_MAX;
use actors::grid_side::region::nothing_learnt;
use actors::journal::{Durability, Fact, Journal};
use actors::picture::DeviceKind;
use actors::runtime::depths::Depths;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, Device, DsoRules, Parts, System};
use connectors::exchange::{BATCH_ENTRIES_MAX, InboxWriter, Limits, inbox};
use connectors::{Counters, Link, Message};
use estimation::Feeder;
use evening::{DEVICE, USAGE_POINT, network};
use grid::{BranchId, DeviceId, Measurement, ProsumerId, Quality, Timestamp};
use market::{CongestionPoint, DeviceReport, DeviceState, MarketEvent, OfferRules, Rules, ZoneId};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Devices that trade, each of a prosumer of its own.
const DEVICES: u32 = 300;
/// Entries of batches of one connector that are under way.
const ENTRIES: u64 = (BATCHES_MAX * BATCH_ENTRIES_MAX) as u64;
/// What one requests causes at the aggregator: itself, and that it is durable.
const REQUESTS: u64 = 2 * UNDER_WAY_MAX as u64;
/// Its own timers, and whatever comes once in minutes.
const FEW: u64 = 16;

/// Every kind of stage there is, what fills its mailbox, and how many messages may wait in it. Whoever adds a kind says so here, and
/// floods it.
const KINDS: [(&str, &str, u64); 13] = [
    (
        "aggregator",
        "offers, changes, withdrawals and heartbeats at the door",
        REQUESTS + HEARD_MAX as u64 + FEW,
    ),
    ("billing", "its timer", FEW),
    ("doms", "a forecast each five minutes", FEW),
    ("egress", "an order to each device, each minute until it is answered", DEVICES as u64 + FEW),
    ("foa", "reports and answers of its devices", ENTRIES + FEW),
    ("ingress", "batches of connectors", BATCHES_MAX as u64 + FEW),
    (
        "journal",
        "a fact for each request at the door, for each entry from the field, for each order",
        REQUESTS + ENTRIES,
    ),
    ("matcher", "aggregates and withdrawals of offers that stand alone", REQUESTS + DEVICES as u64 + FEW),
    ("metering", "slot energies", ENTRIES + FEW),
    ("node", "telemetry", ENTRIES + FEW),
    // A batch is seen when it arrives, when it was judged, and when its facts were recorded.
    ("observer", "all of it", 3 * ENTRIES + REQUESTS),
    ("region", "telemetry", ENTRIES + FEW),
    ("settlement", "readings that are durable", ENTRIES + FEW),
];

/// Whether every mailbox has stayed within its bound.
fn check(depths: &Depths) {
    let most = depths.most_by_kind();
    let over: Vec<_> = KINDS.iter().filter(|(kind, _, bound)| most[*kind] > *bound).collect();
    assert!(over.is_empty(), "over: {over:?}, of {most:?}");
}

/// The most that ever waited for a stage of a kind.
fn most(depths: &Depths, kind: &str) -> u64 {
    depths.most_by_kind()[kind]
}

fn prosumer(device: DeviceId) -> ProsumerId {
    ProsumerId(device.0 - DEVICE.0 + 1)
}

fn devices() -> impl Iterator<Item = DeviceId> {
    (0..DEVICES).map(|nth| DeviceId(DEVICE.0 + nth))
}

fn area() -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let device = |id| {
        let (usage_point, kind) = (USAGE_POINT, DeviceKind::Charger);
        Device { id, prosumer: prosumer(id), usage_point, kind, p_max_w: 11_000.0 }
    };
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    let mut area = Area::new("demo", feeder, devices().map(device).collect(), rules).unwrap();
    area.zones = [(ZoneId(1), vec![CongestionPoint { branch: BranchId(21), phase: None }.into()])].into();
    area.zone_of = [(USAGE_POINT, ZoneId(1))].into();
    area
}

/// A system, its field connection's writing end, and where its orders come out.
struct Running {
    system: System,
    writer: InboxWriter,
    counters: Arc<Counters>,
    orders: mpsc::Receiver<Message>,
    now: Timestamp,
    _journal: tempfile::TempDir,
}

impl Running {
    /// A system whose journal knows these facts. Its way out has room for one order.
    async fn start(now: &str, facts: Vec<MarketEvent>, compute: Compute) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let now: Timestamp = now.parse().unwrap();
        let counters = Arc::new(Counters::default());
        let (writer, heard) = inbox(Limits { measurements: 1_000, ..Limits::default() }, counters.clone());
        let (outbound, orders) = mpsc::channel(1);
        let link = Link { outbound, inbox: heard, counters: counters.clone() };
        let parts = parts(directory.path(), now, facts, compute, link);
        let system = System::start(parts).await.unwrap();
        Self { system, writer, counters, orders, now, _journal: directory }
    }

    fn depths(&self) -> &Depths {
        &self.system.operations().depths
    }

    /// Everything that was taken in is handled.
    async fn settle(&self) {
        for _ in 0..1000 {
            if self.writer.is_empty() && self.depths().by_kind().values().all(|depth| depth.waiting == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still waiting: {:?}", self.depths().by_kind());
    }
}

fn parts(directory: &Path, now: Timestamp, facts: Vec<MarketEvent>, compute: Compute, link: Link) -> Parts {
    let opened = Journal::open(directory, Durability::Synced).unwrap();
    let (mut journal, mut standing) = (opened.journal, opened.standing);
    let facts: Vec<_> = facts.into_iter().map(Fact::Market).collect();
    if !facts.is_empty() {
        standing.records = journal.append(facts.iter().map(|fact| (now, fact))).unwrap();
    }
    for fact in &facts {
        let Fact::Market(event) = fact else { unreachable!() };
        standing.ledger.apply(event).unwrap();
    }
    Parts {
        area: Arc::new(area()),
        environment: Environment::new(ScaledClock::start(now, 1), compute),
        link,
        sources: Vec::new(),
        learnt: nothing_learnt(&area()),
        journal,
        ledger: standing.ledger,
        records: standing.records,
        owed: Vec::new(),
        history: None,
        weather: None,
        zone: "UTC".to_owned(),
        publish_period: Duration::from_secs(1),
    }
}

/// A message of one point's values, or now and then of a device that has nothing to offer.
fn message(number: u32, now: Timestamp) -> Message {
    if number.is_multiple_of(7) {
        let (device, usage_point) = (DeviceId(DEVICE.0 + number % DEVICES), USAGE_POINT);
        let (session, departure) = (0, now.plus(Duration::from_secs(36_000)));
        let state = DeviceState::Charger { session, energy_needed_wh: 0.0, departure, p_max_w: 11_000.0 };
        return Message::Device(DeviceReport {
            device,
            prosumer: prosumer(device),
            usage_point,
            at: now,
            state,
        });
    }
    let points = ["bus.3.u.a", "bus.3.u.b", "bus.3.u.c", "bus.2.u.a", "bus.2.u.b", "bus.2.u.c"];
    let value = |at: u32| Measurement {
        point: points[(number + at) as usize % points.len()].parse().unwrap(),
        value: 225.0 + f64::from((number + at) % 10),
        quality: Quality::Measured,
        measured_at: now.plus(Duration::from_millis(u64::from(number))),
        received_at: now,
    };
    Message::Telemetry((0..50).map(value).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_mailbox_grows_with_the_telemetry_that_arrives() {
    let Running { system, mut writer, counters, mut orders, now, _journal } =
        Running::start("2026-01-15T17:45:10Z", Vec::new(), Compute::Blocking).await;
    tokio::spawn(async move { while orders.recv().await.is_some() {} });
    let depths = system.operations().depths.clone();
    let kinds: Vec<String> = depths.by_kind().into_keys().collect();
    assert_eq!(kinds, KINDS.map(|(kind, _, _)| kind));
    for number in 0..20_000 {
        writer.send(message(number, now)).await.unwrap();
        if number.is_multiple_of(64) {
            tokio::task::yield_now().await;
        }
    }
    check(&depths);
    // It was too much: older values gave way, and were counted.
    let counted = counters.snapshot();
    assert!(counted.skipped.overtaken > 0, "{counted:?}");
    // Back to normal: everything that was taken in is handled.
    for _ in 0..1000 {
        if writer.is_empty() && depths.by_kind().values().all(|depth| depth.waiting == 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(depths.by_kind().values().all(|depth| depth.waiting == 0), "{:?}", depths.by_kind());
    check(&depths);
    system.stop().await;
}
