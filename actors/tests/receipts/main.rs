//! What a PUBACK of the MQTT door is worth: the whole system on a disk whose syncs can be held up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

mod evening;
#[allow(dead_code)] // the door's own tests use all of it
#[path = "../../../connectors/tests/door/raw.rs"]
mod raw;
mod stalling;

use actors::grid_side::region::nothing_learnt;
use actors::journal::{Durability, Fact, Journal, Options};
use actors::picture::DeviceKind;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, Device, DsoRules, Parts, System};
use connectors::mqtt::{Door, DoorConfig};
use estimation::Feeder;
use evening::{ACTIVATION, DEVICE, PROSUMER, USAGE_POINT, network, slot, up_to_the_order};
use grid::Timestamp;
use history::{History, Kind, Query, Value, Versions};
use market::{ActivationId, Ledger, MarketEvent, OfferRules, Rules};
use raw::Raw;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use stalling::StallingDisk;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

const TELEMETRY: (&str, &str) = ("gridflex/demo/telemetry/bus.3.u.b", r#"{"value":231,"unit":"V"}"#);
const STATUS: (&str, &str) = (
    "gridflex/demo/device/7/status",
    r#"{"activation":"act-c-1-7","device":7,"accepted":true,"at":"2026-01-15T17:40:00Z"}"#,
);
const ENERGY: (&str, &str) = (
    "gridflex/demo/telemetry/device.7.energy",
    r#"{"value":0,"unit":"Wh","measured_at":"2026-01-15T17:45:00Z"}"#,
);

/// A system with its door, on a disk of ours.
struct Running {
    disk: Arc<StallingDisk>,
    door: Door,
    system: System,
}

impl Running {
    /// Takes up what the directory holds; in an empty one it is the evening up to an order without an answer.
    async fn start(directory: &Path) -> Self {
        let disk = Arc::new(StallingDisk::new(directory));
        let opened = Journal::open_on(disk.clone(), Options::new(Durability::Synced)).unwrap();
        let (mut journal, mut standing) = (opened.journal, opened.standing);
        if standing.records == 0 {
            let facts: Vec<_> = up_to_the_order().into_iter().map(Fact::Market).collect();
            journal.append(facts.iter().map(|fact| (slot(0).start(), fact))).unwrap();
            facts.iter().for_each(|fact| {
                let Fact::Market(event) = fact else { unreachable!() };
                standing.records += 1;
                standing.ledger.apply(event).unwrap();
            });
        }
        let clock = ScaledClock::start("2026-01-15T17:45:10Z".parse::<Timestamp>().unwrap(), 1);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let door = Door::open(DoorConfig { listen, ..DoorConfig::default() }).unwrap();
        let parts = Parts {
            area: Arc::new(area()),
            environment: Environment::new(clock, Compute::Blocking),
            link: door.link(connectors::Area::new("demo").unwrap(), Arc::new(clock)),
            sources: Vec::new(),
            learnt: nothing_learnt(&area()),
            journal,
            ledger: standing.ledger,
            records: standing.records,
            owed: Vec::new(),
            history: Some(History::open(&directory.join("history"), history::Options::default()).unwrap()),
            weather: None,
            zone: "UTC".to_owned(),
            publish_period: Duration::from_secs(1),
        };
        Self { disk, door, system: System::start(parts).await.unwrap() }
    }

    async fn client(&self, name: &'static str) -> Raw {
        let address = self.door.address();
        spawn_blocking(move || Raw::connected(address, name)).await.unwrap()
    }

    /// Waits until something is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        for _ in 0..2000 {
            if is_so(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within 20 s: {what}");
    }

    fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        self.system.books().read(read)
    }

    /// Ends it. What it still syncs does not matter any more to whoever has made a copy.
    async fn end(self) {
        self.disk.go_on();
        self.system.stop().await;
        self.door.close().await;
    }
}

fn area() -> Area {
    let feeder = Arc::new(Feeder::new(&network()).unwrap());
    let device = Device {
        id: DEVICE,
        prosumer: PROSUMER,
        usage_point: USAGE_POINT,
        kind: DeviceKind::Charger,
        p_max_w: 11_000.0,
    };
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    Area::new("demo", feeder, vec![device], rules).unwrap()
}

/// Sends with quality 1, and waits for nothing.
async fn send(mut client: Raw, (topic, payload): (&'static str, &'static str), pkid: u16) -> Raw {
    spawn_blocking(move || {
        assert!(client.send(&Packet::Publish(raw::publish(topic, QoS::AtLeastOnce, pkid, payload))));
        client
    })
    .await
    .unwrap()
}

/// Not a byte within half a second.
async fn hears_nothing(mut client: Raw) -> Raw {
    spawn_blocking(move || {
        client.stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let error = client.stream.read(&mut [0; 8]).expect_err("acknowledged, and not on the disk");
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        client.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client
    })
    .await
    .unwrap()
}

async fn is_acknowledged(mut client: Raw, pkid: u16) -> Raw {
    let (client, answer) = spawn_blocking(move || {
        let answer = client.receive();
        (client, answer)
    })
    .await
    .unwrap();
    assert!(matches!(&answer, Some(Packet::PubAck(ack)) if ack.pkid == pkid), "{answer:?}");
    client
}

fn is_answered(ledger: &Ledger) -> bool {
    let id = ActivationId::new(ACTIVATION).unwrap();
    ledger.activation(&id).expect("the order is in the books").1.is_some()
}

fn is_read(ledger: &Ledger) -> bool {
    ledger.reading(DEVICE, slot(0)).is_some()
}

/// The ledger that a start after a power cut would find.
fn after_a_power_cut(disk: &StallingDisk) -> Ledger {
    let directory = tempfile::tempdir().unwrap();
    disk.after_a_power_cut(directory.path());
    Journal::open(directory.path(), Durability::Synced).unwrap().standing.ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_and_a_slot_energy_are_acknowledged_after_the_sync_and_never_before() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path()).await;
    let (device, meter) = (running.client("7").await, running.client("meter").await);
    let monitor = running.client("monitor").await;
    // What the start itself records is on the disk before it is stalled.
    running.until("a first telemetry value", |r| r.system.picture().borrow().seq > 0).await;
    running.disk.stall();
    let device = send(device, STATUS, 1).await;
    running.until("a sync that waits", |r| r.disk.is_waited_for()).await;
    let meter = send(meter, ENERGY, 2).await;
    running
        .until("the answer and the reading in the books", |r| r.read(|l| is_answered(l) && is_read(l)))
        .await;
    // The door and the system are awake: what needs no disk is acknowledged.
    let monitor = is_acknowledged(send(monitor, TELEMETRY, 3).await, 3).await;
    let (device, meter) = (hears_nothing(device).await, hears_nothing(meter).await);
    let underway = || running.system.operations().journal.underway.elapsed();
    assert!(underway().is_some_and(|elapsed| elapsed > Duration::from_millis(300)), "{:?}", underway());
    let found = after_a_power_cut(&running.disk);
    assert!(!is_answered(&found) && !is_read(&found), "an acknowledgement would have been a lie");

    running.disk.go_on();
    drop((is_acknowledged(device, 1).await, is_acknowledged(meter, 2).await, monitor));
    let found = after_a_power_cut(&running.disk);
    assert!(is_answered(&found) && is_read(&found), "acknowledged, and lost");
    running
        .until("nothing to be under way", |r| r.system.operations().journal.underway.elapsed().is_none())
        .await;
    running.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_the_disk_stalls_loses_nothing_that_was_acknowledged_and_doubles_nothing() {
    let (before, after) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = Running::start(before.path()).await;
    let device = is_acknowledged(send(running.client("7").await, STATUS, 1).await, 1).await;
    running.disk.stall();
    let meter = send(running.client("meter").await, ENERGY, 2).await;
    running.until("a sync that waits", |r| r.disk.is_waited_for() && r.read(is_read)).await;
    let meter = hears_nothing(meter).await;
    running.disk.after_a_power_cut(after.path());
    drop((device, meter));
    running.end().await;

    // The next process. The meter was not answered and sends again; so does a device that is not sure.
    let running = Running::start(after.path()).await;
    assert!(running.read(is_answered), "the acknowledged answer is lost");
    assert!(!running.read(is_read));
    let meter = is_acknowledged(send(running.client("meter").await, ENERGY, 1).await, 1).await;
    let device = is_acknowledged(send(running.client("7").await, STATUS, 2).await, 2).await;
    let found = after_a_power_cut(&running.disk);
    drop((meter, device));
    running.end().await;
    assert!(is_read(&found) && is_answered(&found));
    let entries = Journal::verify(after.path()).unwrap().entries;
    let count = |fits: fn(&MarketEvent) -> bool| {
        entries.iter().filter(|entry| matches!(&entry.fact, Fact::Market(event) if fits(event))).count()
    };
    assert_eq!(count(|event| matches!(event, MarketEvent::MeterRead { .. })), 1);
    assert_eq!(count(|event| matches!(event, MarketEvent::ActivationAnswered { .. })), 1);
}

/// Everything of a kind.
fn everything(kind: Kind) -> Query {
    let (from, until) = (Timestamp::from_seconds(0), Timestamp::from_seconds(4_000_000_000));
    Query { kind, points: Vec::new(), from, until, versions: Versions::All, most: 1_000_000 }
}

async fn kept(running: &Running, kind: Kind) -> Vec<Value> {
    let historian = running.system.operations().historian.clone().unwrap();
    historian.query(everything(kind)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telemetry_that_was_acknowledged_is_in_the_history_every_value_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path()).await;
    let mut monitor = running.client("monitor").await;
    // Far more of one point than the system looks at: the newest is enough for the estimate, the history has all.
    let monitor = spawn_blocking(move || {
        for number in 0..500_u16 {
            let payload = format!(
                r#"{{"value":{}.5,"unit":"V","measured_at":"2026-01-15T17:45:{:02}Z"}}"#,
                220 + number % 20,
                number % 10
            );
            assert!(monitor.publish("gridflex/demo/telemetry/bus.3.u.b", &payload));
        }
        monitor
    })
    .await
    .unwrap();
    drop(is_acknowledged(send(monitor, ENERGY, 2).await, 2).await);
    assert_eq!(kept(&running, Kind::Telemetry).await.len(), 500);
    assert_eq!(kept(&running, Kind::Energy).await.len(), 1);
    running.until("an estimate", |r| r.system.picture().borrow().voltages.at.is_some()).await;
    running.end().await;

    // All of it lasts, and estimates were kept with their standard deviations.
    let mut history = None;
    for _ in 0..500 {
        // Whoever kept it lets go of the lock when the last task that could ask it has ended.
        history = History::open(&directory.path().join("history"), history::Options::default()).ok();
        if history.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let history = history.expect("the lock is let go of");
    assert_eq!(history.query(&everything(Kind::Telemetry)).unwrap().len(), 500);
    let estimates = history.query(&everything(Kind::Estimate)).unwrap();
    assert!(estimates.iter().any(|value| value.std.is_some_and(|std| std > 0.0)), "{estimates:?}");
}
