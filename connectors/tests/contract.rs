//! One list of promises, run against every kind of connector: MQTT clients at the door, the system's own end of the
//! door, and loopback.
//! Beside it what only a network can do: break.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the whole file is a test

use connectors::exchange::{Arrival, Inbox, LinkState};
use connectors::mqtt::{ClientConfig, Door, DoorConfig, connect};
use connectors::{Area, Link, Message, Role, loopback};
use grid::{Clock, DeviceId, Measurement, Quality, Slot, Timestamp};
use market::{Activation, ActivationStatus, DeviceReport, DeviceState, Schedule};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Slot(1_965_170).start()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Mqtt,
    Door,
    Loopback,
}

/// Both ends, up.
async fn ends(kind: Kind) -> (Link, Link) {
    match kind {
        Kind::Loopback => {
            let (mut system, mut field) = loopback::pair(&area(), Arc::new(Still));
            up(&mut system.inbox).await;
            up(&mut field.inbox).await;
            (system, field)
        }
        Kind::Door => {
            let door = door();
            let mut system = door.link(area(), Arc::new(Still));
            up(&mut system.inbox).await;
            (system, client(door.address(), Role::Field).await)
        }
        Kind::Mqtt => {
            let broker = broker();
            (client(broker, Role::System).await, client(broker, Role::Field).await)
        }
    }
}

fn area() -> Area {
    Area::new("demo").unwrap()
}

fn door() -> Door {
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Door::open(DoorConfig { listen, ..DoorConfig::default() }).unwrap()
}

/// A door of its own for each test, used as a broker; it ends with the test process.
fn broker() -> SocketAddr {
    door().address()
}

async fn client(address: SocketAddr, role: Role) -> Link {
    let mut link = unconnected(address, role);
    up(&mut link.inbox).await;
    link
}

fn unconnected(address: SocketAddr, role: Role) -> Link {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let id = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    connect(ClientConfig::new(address.ip().to_string(), address.port(), id, area()), role, Arc::new(Still))
        .unwrap()
}

async fn batch(inbox: &mut Inbox) -> Vec<Arrival> {
    let patience = Duration::from_secs(15);
    tokio::time::timeout(patience, inbox.recv_batch())
        .await
        .expect("nothing arrived")
        .expect("the inbox ended")
}

/// Waits until the link is up; nothing else may arrive before.
async fn up(inbox: &mut Inbox) {
    loop {
        for arrival in batch(inbox).await {
            match arrival {
                Arrival::Link(LinkState::Up) => return,
                Arrival::Link(LinkState::Down { .. }) => {}
                Arrival::Message(message) | Arrival::Owing(message, _) => {
                    panic!("{message:?} before the link is up")
                }
            }
        }
    }
}

/// The next messages, link changes left out; telemetry split into single values.
async fn messages(inbox: &mut Inbox, count: usize) -> Vec<Message> {
    let mut messages = Vec::new();
    while messages.len() < count {
        for arrival in batch(inbox).await {
            match arrival {
                Arrival::Message(Message::Telemetry(values)) => {
                    messages.extend(values.into_iter().map(|value| Message::Telemetry(vec![value])));
                }
                Arrival::Message(message) => messages.push(message),
                Arrival::Owing(message, receipt) => {
                    receipt.confirm();
                    messages.push(message);
                }
                Arrival::Link(_) => {}
            }
        }
    }
    messages
}

fn value(point: &str, value: f64) -> Measurement {
    let (measured_at, received_at) = (Still.now(), Still.now());
    Measurement { point: point.parse().unwrap(), value, quality: Quality::Measured, measured_at, received_at }
}

fn activation(number: u32) -> Activation {
    let slot = Still.now().slot();
    Activation {
        id: market::ActivationId::new(format!("act-{number}")).unwrap(),
        device: DeviceId(121),
        offer: market::FlexOfferId::new("fo-1").unwrap(),
        contract: market::ContractId::new("c-1").unwrap(),
        schedule: Schedule { start: slot.plus(1), energies: vec![grid::EnergyMwh(2_750_000)] },
        replaces_from: slot.plus(1),
    }
}

fn status(number: u32) -> ActivationStatus {
    let (device, at) = (DeviceId(121), Still.now());
    ActivationStatus { activation: activation(number).id, device, accepted: true, reason: None, at }
}

fn report() -> DeviceReport {
    DeviceReport {
        device: DeviceId(122),
        prosumer: grid::ProsumerId(1),
        usage_point: grid::UsagePointId(3001),
        at: Still.now(),
        state: DeviceState::Battery {
            energy_wh: 4200.1,
            capacity_wh: 9800.0,
            p_charge_max_w: 5e3,
            p_discharge_max_w: 5e3,
        },
    }
}

/// Everything all kinds promise.
async fn promises(kind: Kind) {
    each_message_arrives_as_it_was_sent(kind).await;
    values_of_a_point_keep_their_order(kind).await;
    what_cannot_be_valid_is_refused_and_the_next_one_arrives(kind).await;
    an_activation_arrives_once_or_more(kind).await;
    nobody_hears_what_is_not_meant_for_them(kind).await;
}

#[tokio::test(start_paused = true)]
async fn loopback_keeps_the_promises() {
    promises(Kind::Loopback).await;
}

#[tokio::test]
async fn the_door_keeps_the_promises() {
    promises(Kind::Door).await;
}

#[tokio::test]
async fn mqtt_keeps_the_promises() {
    promises(Kind::Mqtt).await;
}

async fn each_message_arrives_as_it_was_sent(kind: Kind) {
    let (mut system, field) = ends(kind).await;
    let sent = [
        Message::Telemetry(vec![value("bus.34.u.a", 231.17)]),
        Message::Device(report()),
        Message::Status(status(1)),
        Message::Telemetry(vec![value("device.121.energy", 1250.0)]),
    ];
    for message in &sent {
        field.outbound.send(message.clone()).await.unwrap();
    }
    let mut got = messages(&mut system.inbox, sent.len()).await;
    for message in sent {
        let place = got
            .iter()
            .position(|other| *other == message)
            .unwrap_or_else(|| panic!("{message:?} in {got:?}"));
        got.remove(place);
    }
    assert_eq!(got, []);
    assert_eq!(system.counters.snapshot().received, 4);
    assert_eq!(system.counters.snapshot().rejected_total(), 0);
}

async fn values_of_a_point_keep_their_order(kind: Kind) {
    let (mut system, field) = ends(kind).await;
    let points = ["bus.1.p", "bus.2.p"];
    for n in 0..300_u32 {
        let values = points.map(|point| value(point, f64::from(n))).to_vec();
        field.outbound.send(Message::Telemetry(values)).await.unwrap();
    }
    let got = messages(&mut system.inbox, 600).await;
    for point in points {
        let values: Vec<f64> = got
            .iter()
            .filter_map(|message| match message {
                Message::Telemetry(values) if values[0].point.to_string() == point => Some(values[0].value),
                _ => None,
            })
            .collect();
        assert_eq!(values, (0..300).map(f64::from).collect::<Vec<_>>());
    }
}

async fn what_cannot_be_valid_is_refused_and_the_next_one_arrives(kind: Kind) {
    let (mut system, field) = ends(kind).await;
    for bad in [f64::NAN, f64::INFINITY, 1e308, -1.0] {
        field.outbound.send(Message::Telemetry(vec![value("bus.1.u.a", bad)])).await.unwrap();
    }
    let good = Message::Telemetry(vec![value("bus.1.u.a", 230.0)]);
    field.outbound.send(good.clone()).await.unwrap();
    assert_eq!(messages(&mut system.inbox, 1).await, [good]);
    assert_eq!(field.counters.snapshot().rejected.get("value"), Some(&4));
}

async fn an_activation_arrives_once_or_more(kind: Kind) {
    let (system, mut field) = ends(kind).await;
    for number in 0..100 {
        system.outbound.send(Message::Activation(activation(number))).await.unwrap();
    }
    let got = messages(&mut field.inbox, 100).await;
    for number in 0..100 {
        assert!(got.contains(&Message::Activation(activation(number))), "activation {number} is missing");
    }
}

async fn nobody_hears_what_is_not_meant_for_them(kind: Kind) {
    let (system, mut field) = ends(kind).await;
    system.outbound.send(Message::Telemetry(vec![value("bus.1.p", 1.0)])).await.unwrap();
    system.outbound.send(Message::Activation(activation(1))).await.unwrap();
    assert_eq!(messages(&mut field.inbox, 1).await, [Message::Activation(activation(1))]);
}

/// A foreign client, as `mosquitto_pub` would be.
async fn publish_raw(address: SocketAddr, messages: &[(&str, bool, &str)]) {
    let mut options = rumqttc::MqttOptions::new("by-hand", address.ip().to_string(), address.port());
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut events) = rumqttc::AsyncClient::new(options, 100);
    for (topic, retain, payload) in messages {
        client.publish(*topic, rumqttc::QoS::AtLeastOnce, *retain, *payload).await.unwrap();
    }
    let mut acknowledged = 0;
    while acknowledged < messages.len() {
        let Ok(event) = events.poll().await else {
            // The broker does not listen yet.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        acknowledged += usize::from(matches!(event, rumqttc::Event::Incoming(rumqttc::Packet::PubAck(_))));
    }
}

#[tokio::test]
async fn over_mqtt_malformed_messages_are_counted_by_reason_and_a_hand_made_one_arrives() {
    let address = broker();
    let mut system = client(address, Role::System).await;
    let point = "gridflex/demo/telemetry/bus.34.u.a";
    let large = " ".repeat(250_000);
    publish_raw(
        address,
        &[
            (point, false, "231.2"),
            (point, false, r#"{"value":NaN,"unit":"V"}"#),
            (point, false, r#"{"value":231.2,"unit":"W"}"#),
            (point, false, &large),
            ("gridflex/demo/device/1/report", false, "{}"),
            ("gridflex/demo/telemetry/\u{7f}x", false, "{}"),
            (point, false, r#"{"value":231.2,"unit":"V"}"#),
        ],
    )
    .await;
    let got = messages(&mut system.inbox, 1).await;
    assert_eq!(got, [Message::Telemetry(vec![value("bus.34.u.a", 231.2)])]);
    // The order between different topics is the broker's, so the refused ones may come later.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(15);
    while system.counters.snapshot().received < 7 {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", system.counters.snapshot());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let snapshot = system.counters.snapshot();
    assert_eq!(snapshot.rejected.get("json"), Some(&5), "{snapshot:?}");
    assert_eq!(snapshot.rejected.get("unit"), Some(&1), "{snapshot:?}");
}

#[tokio::test]
async fn a_retained_message_of_unknown_age_is_refused() {
    let address = broker();
    publish_raw(address, &[("gridflex/demo/telemetry/bus.1.p", true, r#"{"value":1,"unit":"W"}"#)]).await;
    let mut system = client(address, Role::System).await;
    publish_raw(address, &[("gridflex/demo/telemetry/bus.1.p", false, r#"{"value":2,"unit":"W"}"#)]).await;
    let got = messages(&mut system.inbox, 1).await;
    assert_eq!(got, [Message::Telemetry(vec![value("bus.1.p", 2.0)])]);
    assert_eq!(system.counters.snapshot().rejected.get("retained"), Some(&1));
}

/// A way to a broker that a test can cut (`None`) or lead to another broker.
async fn cuttable(broker: SocketAddr) -> (SocketAddr, watch::Sender<Option<SocketAddr>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (target, targets) = watch::channel(Some(broker));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut targets = targets.clone();
            tokio::spawn(async move {
                let Some(target) = *targets.borrow_and_update() else { return };
                let Ok(mut far) = TcpStream::connect(target).await else { return };
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    _ = targets.wait_for(|now| *now != Some(target)) => {}
                }
            });
        }
    });
    (address, target)
}

#[tokio::test]
async fn nothing_is_lost_and_order_is_kept_when_the_connection_breaks_again_and_again() {
    let broker = broker();
    let mut field = client(broker, Role::Field).await;
    let (address, way) = cuttable(broker).await;
    let system = client(address, Role::System).await;
    let cutting = tokio::spawn(async move {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(40)).await;
            way.send_replace(None);
            tokio::time::sleep(Duration::from_millis(150)).await;
            way.send_replace(Some(broker));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        way
    });
    let outbound = system.outbound.clone();
    let sending = tokio::spawn(async move {
        for number in 0..1000 {
            outbound.send(Message::Activation(activation(number))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut first_seen = Vec::new();
    while first_seen.len() < 1000 {
        for message in messages(&mut field.inbox, 1).await {
            let Message::Activation(activation) = message else { panic!("{message:?}") };
            if !first_seen.contains(&activation.id) {
                first_seen.push(activation.id);
            }
        }
    }
    let expected: Vec<_> = (0..1000).map(|number| activation(number).id).collect();
    assert_eq!(first_seen, expected);
    sending.await.unwrap();
    let _way = cutting.await.unwrap();
    assert!(system.counters.snapshot().connected >= 3, "{:?}", system.counters.snapshot());
}

#[tokio::test]
async fn a_device_that_was_away_gets_its_activation_when_it_is_back() {
    let broker = broker();
    let (address, way) = cuttable(broker).await;
    let mut field = client(address, Role::Field).await;
    let system = client(broker, Role::System).await;
    way.send_replace(None);
    loop {
        if batch(&mut field.inbox).await.iter().any(|a| matches!(a, Arrival::Link(LinkState::Down { .. }))) {
            break;
        }
    }
    system.outbound.send(Message::Activation(activation(1))).await.unwrap();
    while system.counters.snapshot().sent < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    way.send_replace(Some(broker));
    assert_eq!(messages(&mut field.inbox, 1).await, [Message::Activation(activation(1))]);
}

#[tokio::test]
async fn messages_wait_for_a_broker_that_starts_later() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = port.local_addr().unwrap();
    drop(port);
    let mut system = unconnected(listen, Role::System);
    let field = unconnected(listen, Role::Field);
    let first = batch(&mut system.inbox).await;
    assert!(matches!(first[..], [Arrival::Link(LinkState::Down { .. })]), "{first:?}");
    field.outbound.send(Message::Status(status(1))).await.unwrap();
    Door::open(DoorConfig { listen, ..DoorConfig::default() }).unwrap();
    up(&mut system.inbox).await;
    let again = Message::Status(status(2));
    field.outbound.send(again.clone()).await.unwrap();
    // Whether the first one was published before the system subscribed is a race; the second one was not.
    assert!(messages(&mut system.inbox, 1).await.iter().all(|m| matches!(m, Message::Status(_))));
    while field.counters.snapshot().sent < 2 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn dropping_a_link_delivers_what_was_sent_before() {
    let address = broker();
    let mut system = client(address, Role::System).await;
    let field = client(address, Role::Field).await;
    for number in 0..200 {
        field.outbound.send(Message::Status(status(number))).await.unwrap();
    }
    drop(field);
    assert_eq!(messages(&mut system.inbox, 200).await.len(), 200);
}

#[tokio::test(start_paused = true)]
async fn loopback_ends_when_the_other_side_has_gone() {
    let (mut system, field) = ends(Kind::Loopback).await;
    field.outbound.send(Message::Status(status(1))).await.unwrap();
    drop(field);
    assert_eq!(messages(&mut system.inbox, 1).await.len(), 1);
    assert_eq!(system.inbox.recv_batch().await, None);
    system.outbound.send(Message::Activation(activation(1))).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_comes_back_without_our_session_gets_what_it_never_acknowledged() {
    // A second, empty broker behind the same address is what a restarted one looks like.
    let (first, second) = (broker(), broker());
    let (address, way) = cuttable(first).await;
    let mut system = client(address, Role::System).await;
    let field = client(address, Role::Field).await;
    way.send_replace(None);
    loop {
        if batch(&mut system.inbox).await.iter().any(|a| matches!(a, Arrival::Link(LinkState::Down { .. }))) {
            break;
        }
    }
    let mut listening = client(second, Role::System).await;
    for number in 0..400 {
        if number == 200 {
            way.send_replace(Some(second));
        }
        field.outbound.send(Message::Status(status(number))).await.unwrap();
    }
    let got = messages(&mut listening.inbox, 400).await;
    let expected: Vec<_> = (0..400).map(|number| Message::Status(status(number))).collect();
    assert_eq!(got, expected);
    // The system's client subscribed again at the new broker.
    up(&mut system.inbox).await;
    field.outbound.send(Message::Status(status(400))).await.unwrap();
    let last = messages(&mut system.inbox, 1).await.pop();
    assert!(matches!(last, Some(Message::Status(_))), "{last:?}");
}

#[tokio::test]
#[ignore = "needs the mosquitto broker: MOSQUITTO=/usr/sbin/mosquitto cargo test -p connectors -- --ignored"]
async fn a_restarted_mosquitto_is_found_again() {
    let program = std::env::var("MOSQUITTO").expect("MOSQUITTO names the broker's program");
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    let start =
        || std::process::Command::new(&program).args(["-p", &address.port().to_string()]).spawn().unwrap();
    let mut mosquitto = start();
    let mut system = client(address, Role::System).await;
    let field = client(address, Role::Field).await;
    let sent = field.outbound.clone();
    let sending = tokio::spawn(async move {
        for number in 0..500 {
            sent.send(Message::Status(status(number))).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    mosquitto.kill().unwrap();
    mosquitto.wait().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    mosquitto = start();
    sending.await.unwrap();
    // What the killed broker had acknowledged but not passed on died with it; what it had not, must arrive.
    let last = Message::Status(status(499));
    while messages(&mut system.inbox, 1).await.last() != Some(&last) {}
    while field.counters.snapshot().sent < 500 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let connected = system.counters.snapshot().connected;
    mosquitto.kill().unwrap();
    mosquitto.wait().unwrap();
    assert_eq!(connected, 2);
}
