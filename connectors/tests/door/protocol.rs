//! MQTT 3.1.1 as the standard has it, where clients differ or a broker is known to fail.

use super::raw::{Raw, bytes, hello, publish};
use super::{config, open_door};
use connectors::mqtt::door::{Count, Limits};
use connectors::mqtt::{Door, DoorConfig};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, Packet, PubRel, SubscribeReasonCode, Unsubscribe};
use std::io::Write;
use std::time::{Duration, Instant};

const TOPIC: &str = "gridflex/x/t";

#[test]
fn a_newer_connection_takes_the_session_over_and_the_will_is_published() {
    let door = open_door();
    let mut witness = Raw::connected(door.address(), "witness");
    witness.subscribe("gridflex/x/will", QoS::AtMostOnce);
    let mut old = Raw::tcp(door.address());
    let mut connect = hello("device");
    connect.clean_session = false;
    connect.last_will = Some(LastWill::new("gridflex/x/will", "gone", QoS::AtLeastOnce, false));
    assert_eq!(old.connect(connect.clone()), Some((ConnectReturnCode::Success, false)));
    old.subscribe(TOPIC, QoS::AtLeastOnce);
    let mut new = Raw::tcp(door.address());
    connect.last_will = None;
    assert_eq!(new.connect(connect), Some((ConnectReturnCode::Success, true)));
    assert!(old.receive().is_none(), "the old connection is closed");
    assert_eq!(witness.message().unwrap().payload, "gone");
    assert!(witness.publish(TOPIC, "1"));
    assert_eq!(new.message().unwrap().payload, "1");
    // A goodbye leaves no will, and the old connection's end does not disturb the new one.
    new.send(&Packet::Disconnect);
    assert!(new.receive().is_none());
    assert_eq!(door.counters().get(Count::TakenOver), 1);
    assert!(witness.publish("gridflex/x/will", "last") && witness.message().unwrap().payload == "last");
}

#[test]
fn a_persistent_session_keeps_messages_and_unacknowledged_ones_come_again() {
    let door = open_door();
    let connect = || {
        let mut connect = hello("device");
        connect.clean_session = false;
        connect
    };
    let mut device = Raw::tcp(door.address());
    device.connect(connect());
    device.subscribe(TOPIC, QoS::AtLeastOnce);
    let mut sender = Raw::connected(door.address(), "sender");
    assert!(sender.publish(TOPIC, "1"));
    let first = device.receive().unwrap();
    assert!(matches!(&first, Packet::Publish(p) if !p.dup && p.payload == "1"), "{first:?}");
    drop(device);
    assert!(sender.publish(TOPIC, "2"));
    sender.send(&Packet::Publish(publish(TOPIC, QoS::AtMostOnce, 0, "lost: quality 0, nobody there")));
    let mut device = Raw::tcp(door.address());
    assert_eq!(device.connect(connect()), Some((ConnectReturnCode::Success, true)));
    let (again, next) = (device.message().unwrap(), device.message().unwrap());
    assert!(again.dup && again.payload == "1" && !next.dup && next.payload == "2");
    device.send(&Packet::Disconnect);
    let mut clean = Raw::tcp(door.address());
    assert_eq!(clean.connect(hello("device")), Some((ConnectReturnCode::Success, false)));
    assert!(sender.publish(TOPIC, "3"));
    clean.subscribe(TOPIC, QoS::AtLeastOnce);
    assert!(sender.publish(TOPIC, "4") && clean.message().unwrap().payload == "4");
}

#[test]
fn quality_2_is_taken_in_once_and_granted_as_1() {
    let door = open_door();
    let mut witness = Raw::connected(door.address(), "witness");
    assert_eq!(witness.subscribe(TOPIC, QoS::ExactlyOnce), SubscribeReasonCode::Success(QoS::AtLeastOnce));
    let connect = || {
        let mut connect = hello("device");
        connect.clean_session = false;
        connect
    };
    let mut device = Raw::tcp(door.address());
    device.connect(connect());
    let mut message = publish(TOPIC, QoS::ExactlyOnce, 5, "once");
    device.send(&Packet::Publish(message.clone()));
    assert!(matches!(device.receive(), Some(Packet::PubRec(p)) if p.pkid == 5));
    // The answer was lost on the way: the client is back and sends again.
    drop(device);
    let mut device = Raw::tcp(door.address());
    assert_eq!(device.connect(connect()), Some((ConnectReturnCode::Success, true)));
    message.dup = true;
    device.send(&Packet::Publish(message));
    assert!(matches!(device.receive(), Some(Packet::PubRec(p)) if p.pkid == 5));
    for _ in 0..2 {
        device.send(&Packet::PubRel(PubRel::new(5)));
        assert!(matches!(device.receive(), Some(Packet::PubComp(p)) if p.pkid == 5));
    }
    assert!(device.publish(TOPIC, "end"));
    let heard: Vec<_> = (0..2).map(|_| witness.message().unwrap().payload).collect();
    assert_eq!(heard, ["once", "end"]);
}

#[test]
fn retained_messages_reach_who_comes_later_and_an_empty_one_removes_them() {
    let door = open_door();
    let mut sender = Raw::connected(door.address(), "sender");
    let retain = |payload: &str| {
        let mut publish = publish(TOPIC, QoS::AtLeastOnce, 9, payload);
        publish.retain = true;
        Packet::Publish(publish)
    };
    sender.send(&retain("kept"));
    sender.receive();
    // What is not retained leaves it alone, an empty payload included.
    assert!(sender.publish(TOPIC, "passing") && sender.publish(TOPIC, ""));
    let mut late = Raw::connected(door.address(), "late");
    late.subscribe("gridflex/+/t", QoS::AtLeastOnce);
    let kept = late.message().unwrap();
    assert!(kept.retain && kept.payload == "kept");
    sender.send(&retain("newer"));
    sender.receive();
    let live = late.message().unwrap();
    assert!(!live.retain && live.payload == "newer");
    sender.send(&retain(""));
    sender.receive();
    let mut later = Raw::connected(door.address(), "later");
    later.subscribe("#", QoS::AtLeastOnce);
    assert!(sender.publish(TOPIC, "end") && later.message().unwrap().payload == "end");
}

#[test]
fn unsubscribing_ends_it_and_a_ping_is_answered() {
    let door = open_door();
    let mut client = Raw::connected(door.address(), "client");
    client.subscribe(TOPIC, QoS::AtMostOnce);
    let mut unsubscribe = Unsubscribe::new(TOPIC);
    unsubscribe.pkid = 3;
    client.send(&Packet::Unsubscribe(unsubscribe));
    assert!(matches!(client.receive(), Some(Packet::UnsubAck(answer)) if answer.pkid == 3));
    assert!(client.publish(TOPIC, "to nobody"));
    client.send(&Packet::PingReq);
    assert!(matches!(client.receive(), Some(Packet::PingResp)));
}

#[test]
fn what_must_not_come_ends_the_connection_and_nothing_else() {
    let door = open_door();
    let mut honest = Raw::connected(door.address(), "honest");
    honest.subscribe("#", QoS::AtMostOnce);
    let cases: [(&str, Vec<u8>); 7] = [
        ("a second CONNECT", bytes(&Packet::Connect(hello("again"))).to_vec()),
        (
            "a topic with a wildcard",
            bytes(&Packet::Publish(publish("gridflex/+", QoS::AtMostOnce, 0, ""))).to_vec(),
        ),
        ("a topic below $", bytes(&Packet::Publish(publish("$SYS/x", QoS::AtMostOnce, 0, ""))).to_vec()),
        (
            "a topic that is not granted",
            bytes(&Packet::Publish(publish("other/x", QoS::AtMostOnce, 0, ""))).to_vec(),
        ),
        ("what only a server sends", vec![0xd0, 0]),
        ("a packet above the limit", vec![0x30, 0xff, 0xff, 0xff, 0x7f]),
        ("no MQTT", vec![0, 0]),
    ];
    for (what, bytes) in cases {
        let mut bad = Raw::connected(door.address(), "bad");
        bad.stream.write_all(&bytes).unwrap();
        assert!(bad.receive().is_none(), "{what}");
        assert!(honest.publish(TOPIC, "still there") || panic!("{what}"));
        honest.message().unwrap();
    }
    let counters = door.counters();
    assert_eq!(counters.get(Count::PublishDenied), 1);
    assert_eq!(counters.get(Count::TooLarge), 1);
    assert_eq!(counters.get(Count::Malformed), 5);
}

#[test]
fn other_versions_and_nameless_persistent_sessions_are_told_no() {
    let door = open_door();
    let version = |level: u8| {
        let mut raw = Raw::tcp(door.address());
        let mut connect = bytes(&Packet::Connect(hello("x")));
        connect[8] = level;
        raw.stream.write_all(&connect).unwrap();
        raw.receive()
    };
    for level in [3, 5, 9] {
        let answer = version(level);
        let refused = matches!(&answer, Some(Packet::ConnAck(a)) if a.code == ConnectReturnCode::RefusedProtocolVersion);
        assert!(refused, "{level}: {answer:?}");
    }
    let mut nameless = hello("");
    nameless.clean_session = false;
    let refused = Raw::tcp(door.address()).connect(nameless);
    assert_eq!(refused, Some((ConnectReturnCode::BadClientId, false)));
    assert_eq!(Raw::tcp(door.address()).connect(hello("")), Some((ConnectReturnCode::Success, false)));
}

#[test]
fn silence_and_half_a_packet_end_in_time() {
    let limits = Limits {
        connect_within: Duration::from_millis(300),
        packet_within: Duration::from_millis(300),
        ..Limits::default()
    };
    let door = Door::open(DoorConfig { limits, ..config() }).unwrap();
    let closed_within = |raw: &mut Raw, what: &str| {
        let since = Instant::now();
        assert!(raw.receive().is_none(), "{what}");
        assert!(since.elapsed() < Duration::from_secs(5), "{what}: {:?}", since.elapsed());
    };
    let mut silent = Raw::tcp(door.address());
    closed_within(&mut silent, "nothing sent");
    let mut half = Raw::tcp(door.address());
    half.stream.write_all(&bytes(&Packet::Connect(hello("x")))[..5]).unwrap();
    closed_within(&mut half, "half a CONNECT");
    let mut stuck = Raw::connected(door.address(), "x");
    stuck.stream.write_all(&[0x30, 20, 0]).unwrap();
    closed_within(&mut stuck, "half a PUBLISH");
    let mut connect = hello("y");
    connect.keep_alive = 1;
    let mut quiet = Raw::tcp(door.address());
    quiet.connect(connect);
    closed_within(&mut quiet, "no ping");
    let counters = door.counters();
    let counts = [Count::Late, Count::Stalled, Count::Silent].map(|count| counters.get(count));
    assert_eq!(counts, [2, 1, 1]);
}

#[test]
fn a_subscriber_that_does_not_read_holds_nobody_up_and_what_gives_way_is_counted() {
    let limits = Limits { queue_messages_max: 100, ..Limits::default() };
    let door = Door::open(DoorConfig { limits, ..config() }).unwrap();
    let mut lazy = Raw::connected(door.address(), "lazy");
    lazy.subscribe("#", QoS::AtMostOnce);
    let mut sender = Raw::connected(door.address(), "sender");
    let large = "x".repeat(100_000);
    for _ in 0..300 {
        assert!(sender.publish(TOPIC, &large));
    }
    assert!(door.counters().get(Count::Dropped) > 50, "{:?}", door.counters().snapshot());
}
