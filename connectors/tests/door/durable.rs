//! What an acknowledgement means when the system is at the door.

use super::raw::{Raw, publish};
use super::{Still, area, config, open_door};
use connectors::mqtt::door::Count;
use connectors::mqtt::{Door, DoorConfig};
use connectors::{Arrival, Link, LinkState, Message, Receipt};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Packet;
use std::sync::Arc;
use std::time::Duration;

const STATUS: &str = r#"{"activation":"act-1","device":1,"accepted":true,"at":"2026-01-15T17:30:00Z"}"#;
const STATUS_TOPIC: &str = "gridflex/demo/device/1/status";
const POINT: &str = "gridflex/demo/telemetry/bus.34.u.a";

fn status(pkid: u16, dup: bool) -> Packet {
    let mut publish = publish(STATUS_TOPIC, QoS::AtLeastOnce, pkid, STATUS);
    publish.dup = dup;
    Packet::Publish(publish)
}

async fn owing(system: &mut Link) -> (Message, Receipt) {
    loop {
        let batch = tokio::time::timeout(Duration::from_secs(20), system.inbox.recv_batch()).await;
        for arrival in batch.expect("nothing arrived").expect("the inbox ended") {
            if let Arrival::Owing(message, receipt) = arrival {
                return (message, receipt);
            }
        }
    }
}

/// Runs a blocking client beside the test.
async fn aside<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn nothing_comes(raw: &mut Raw) {
    raw.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = std::io::Read::read(&mut raw.stream, &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    raw.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
}

#[tokio::test]
async fn a_status_is_acknowledged_when_the_system_says_so_and_telemetry_at_once() {
    let door = open_door();
    let mut system = door.link(area(), Arc::new(Still));
    assert_eq!(system.inbox.recv_batch().await, Some(vec![Arrival::Link(LinkState::Up)]), "it listens");
    let address = door.address();
    let mut device = aside(move || Raw::connected(address, "device")).await;
    device = aside(move || {
        assert!(device.publish(POINT, r#"{"value":231,"unit":"V"}"#), "telemetry waits for nobody");
        assert!(device.publish(POINT, "not JSON"), "sending it again would not help");
        device.send(&status(1, false));
        nothing_comes(&mut device);
        device
    })
    .await;
    let (message, receipt) = owing(&mut system).await;
    assert!(matches!(message, Message::Status(_)), "{message:?}");
    receipt.confirm();
    let answer = aside(move || device.receive()).await;
    assert!(matches!(&answer, Some(Packet::PubAck(a)) if a.pkid == 1), "{answer:?}");
    assert_eq!(system.counters.snapshot().rejected.get("json"), Some(&1));
}

#[tokio::test]
async fn who_comes_before_the_door_admits_waits_and_is_heard_by_whoever_listens_by_then() {
    let door = Door::bind(config()).unwrap();
    let address = door.address();
    let device = tokio::spawn(aside(move || Raw::connected(address, "device").publish(STATUS_TOPIC, STATUS)));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!device.is_finished() && door.counters().get(Count::Connected) == 0, "served by nobody");
    let mut system = door.link(area(), Arc::new(Still));
    door.admit();
    let (message, receipt) = owing(&mut system).await;
    assert!(matches!(message, Message::Status(_)) && !device.is_finished(), "{message:?}");
    receipt.confirm();
    assert!(device.await.unwrap());
}

#[tokio::test]
async fn a_door_that_never_admits_can_be_closed_and_hangs_up() {
    let door = Door::bind(config()).unwrap();
    let address = door.address();
    let device = tokio::spawn(aside(move || {
        let mut raw = Raw::tcp(address);
        std::io::Read::read(&mut raw.stream, &mut [0; 8]).map_or(true, |bytes| bytes == 0)
    }));
    tokio::time::sleep(Duration::from_millis(100)).await;
    door.close().await;
    assert!(device.await.unwrap(), "nobody said anything");
    let again = Door::bind(DoorConfig { listen: address, ..config() });
    assert!(again.is_ok(), "the address is free: {again:?}");
}

#[tokio::test]
async fn a_batch_waits_for_each_of_its_slot_energies() {
    let door = open_door();
    let mut system = door.link(area(), Arc::new(Still));
    let address = door.address();
    let mut device = aside(move || Raw::connected(address, "device")).await;
    let energy = |device: u32| {
        format!(
            r#"{{"point":"device.{device}.energy","value":1,"unit":"kWh","measured_at":"2026-01-15T17:30:00Z"}}"#
        )
    };
    let batch = format!(r#"{{"measurements":[{},{}]}}"#, energy(1), energy(2));
    let mut device = aside(move || {
        device.send(&Packet::Publish(publish("gridflex/demo/telemetry/batch", QoS::AtLeastOnce, 2, &batch)));
        device
    })
    .await;
    let mut receipts = Vec::new();
    while receipts.len() < 2 {
        for arrival in system.inbox.recv_batch().await.unwrap() {
            if let Arrival::Owing(Message::Telemetry(values), receipt) = arrival {
                assert_eq!(values.len(), 1);
                receipts.push(receipt);
            }
        }
    }
    receipts[1].confirm();
    let mut device = aside(move || {
        nothing_comes(&mut device);
        device
    })
    .await;
    receipts[0].confirm();
    assert!(matches!(aside(move || device.receive()).await, Some(Packet::PubAck(a)) if a.pkid == 2));
}

#[tokio::test]
async fn what_could_not_be_made_durable_comes_again_but_not_for_ever() {
    let door = open_door();
    let mut system = door.link(area(), Arc::new(Still));
    let address = door.address();
    let connect = move || {
        let mut raw = Raw::tcp(address);
        let mut connect = super::raw::hello("device");
        connect.clean_session = false;
        raw.connect(connect);
        raw
    };
    for attempt in 0..2 {
        let mut device = aside(connect).await;
        device = aside(move || {
            device.send(&status(1, attempt > 0));
            device
        })
        .await;
        drop(owing(&mut system).await);
        let answer = aside(move || device.receive()).await;
        match attempt {
            0 => assert!(answer.is_none(), "{answer:?}"),
            _ => assert!(matches!(&answer, Some(Packet::PubAck(_))), "{answer:?}"),
        }
    }
    let counters = door.counters();
    assert_eq!([Count::NotDurable, Count::GivenUp].map(|count| counters.get(count)), [1, 1]);
}

#[tokio::test]
async fn what_cannot_be_taken_now_comes_again_until_it_can() {
    let door = open_door();
    let mut system = door.link(area(), Arc::new(Still));
    let address = door.address();
    for attempt in 0..4 {
        let mut device = aside(move || Raw::connected(address, "device")).await;
        device = aside(move || {
            device.send(&status(1, attempt > 0));
            device
        })
        .await;
        let (_, receipt) = owing(&mut system).await;
        if attempt < 3 {
            receipt.not_now()
        } else {
            receipt.confirm()
        }
        drop(receipt);
        let answer = aside(move || device.receive()).await;
        assert_eq!(matches!(&answer, Some(Packet::PubAck(_))), attempt == 3, "{attempt}: {answer:?}");
    }
    let counters = door.counters();
    assert_eq!([Count::NotDurable, Count::GivenUp].map(|count| counters.get(count)), [3, 0]);
}

#[tokio::test]
async fn a_system_that_stops_has_not_failed_on_what_it_did_not_look_at() {
    let door = open_door();
    let system = door.link(area(), Arc::new(Still));
    let address = door.address();
    let mut device = aside(move || Raw::connected(address, "device")).await;
    device = aside(move || {
        device.send(&status(1, false));
        nothing_comes(&mut device);
        device
    })
    .await;
    drop(system);
    let first = aside(move || device.receive()).await;
    let second = aside(move || Raw::connected(address, "device").publish(STATUS_TOPIC, STATUS)).await;
    let third = aside(move || Raw::connected(address, "device").publish(STATUS_TOPIC, STATUS)).await;
    assert!(first.is_none() && !second && !third, "{first:?} {second} {third}");
    assert_eq!(door.counters().get(Count::GivenUp), 0);
}

#[tokio::test]
async fn what_is_meant_for_the_system_is_not_retained_for_others() {
    let door = open_door();
    let system = door.link(area(), Arc::new(Still));
    let address = door.address();
    aside(move || {
        let mut device = Raw::connected(address, "device");
        let mut retained = publish(POINT, QoS::AtLeastOnce, 7, r#"{"value":231,"unit":"V"}"#);
        retained.retain = true;
        device.send(&Packet::Publish(retained));
        assert!(matches!(device.receive(), Some(Packet::PubAck(_))));
        let mut later = Raw::connected(address, "later");
        later.subscribe("gridflex/#", QoS::AtLeastOnce);
        assert!(device.publish("gridflex/elsewhere/x", "now"));
        let first = later.message().unwrap();
        assert_eq!((first.topic.as_str(), first.retain), ("gridflex/elsewhere/x", false));
    })
    .await;
    assert_eq!(system.counters.snapshot().rejected.get("retained"), Some(&1));
}

#[tokio::test]
async fn with_the_system_gone_nothing_for_it_is_acknowledged() {
    let door = open_door();
    let system = door.link(area(), Arc::new(Still));
    drop(system);
    let address = door.address();
    let (telemetry, other) = aside(move || {
        let mut device = Raw::connected(address, "device");
        let telemetry = device.publish(POINT, r#"{"value":231,"unit":"V"}"#);
        (telemetry, Raw::connected(address, "other").publish("gridflex/elsewhere/x", "1"))
    })
    .await;
    assert!(!telemetry && other);
}
