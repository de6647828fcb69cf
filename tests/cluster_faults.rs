//! What is asked of a cluster beside its journal: telemetry that was acknowledged is in the history of whoever serves next, and a member
//! whose wire to NATS is cut, one way or both, records nothing after its lease, is followed by another one, and follows it once healed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use grid::Timestamp;
use harness::area::{AREA, Customer, PATIENCE, judge, members, now, owners, said, taken_over};
use harness::cluster::{Member, NatsServers, site};
use harness::mqtt::publish;
use harness::wire::{Stopped, Wire};
use harness::{get, sized, soak_row, wait_for};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A member's right to record ends so long after the servers last heard of it.
const LEASE: Duration = Duration::from_secs(3);

/// When instant `number` of a story was; none is more than five minutes ahead, which would be refused.
fn instant(begun: Timestamp, number: u64) -> Timestamp {
    begun.plus(Duration::from_millis(number))
}

fn volts(number: u64) -> f64 {
    230.0 + (number % 1_000) as f64 / 1_000.0
}

/// Publishes readings with QoS 1, ten at a time, until told to stop or until the member is gone. What was acknowledged.
fn measure(door: SocketAddr, begun: Timestamp, first: u64, stop: &AtomicBool) -> Vec<u64> {
    let topic = format!("gridflex/{AREA}/telemetry/bus.3.u.a");
    let mut acknowledged = Vec::new();
    let mut number = first;
    while !stop.load(Ordering::Relaxed) {
        let numbers: Vec<u64> = (number..number + 10).collect();
        let payload = |n: &u64| {
            let (value, at) = (volts(*n), instant(begun, *n));
            format!("{{\"value\":{value},\"unit\":\"V\",\"measured_at\":\"{at}\"}}")
        };
        let payloads: Vec<String> = numbers.iter().map(payload).collect();
        let messages: Vec<(&str, &str)> =
            payloads.iter().map(|payload| (topic.as_str(), payload.as_str())).collect();
        match publish(door, &messages) {
            Ok(()) => acknowledged.extend(&numbers),
            // Some of them may be there.
            Err(_) => return acknowledged,
        }
        number += 10;
    }
    acknowledged
}

/// How often each instant of the story is in the history as measured, with what value.
fn kept(page: SocketAddr, begun: Timestamp) -> BTreeMap<Timestamp, Vec<f64>> {
    let until = instant(begun, 290_000);
    let path = format!(
        "/api/v1/history/telemetry?point=bus.3.u.a&from={begun}&until={until}&versions=all&limit=100000"
    );
    let answer = get(page, &path).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let mut kept: BTreeMap<Timestamp, Vec<f64>> = BTreeMap::new();
    for value in answer.json()["values"].as_array().unwrap() {
        if value["quality"] == "measured" {
            let at = value["measured_at"].as_str().unwrap().parse().unwrap();
            kept.entry(at).or_default().push(value["value"].as_f64().unwrap());
        }
    }
    kept
}

/// What is wrong with a history, given what was acknowledged.
fn lost_or_doubled(
    kept: &BTreeMap<Timestamp, Vec<f64>>,
    begun: Timestamp,
    acknowledged: &[u64],
) -> Vec<String> {
    let lost = acknowledged
        .iter()
        .filter(|n| kept.get(&instant(begun, **n)).is_none_or(|found| found[0] != volts(**n)));
    let doubled = kept.iter().filter(|(_, values)| values.len() > 1);
    let lost = lost.map(|n| format!("value {n} was acknowledged and is not there"));
    lost.chain(doubled.map(|(at, values)| format!("{at} is there {} times", values.len()))).collect()
}

fn histories(trials: usize) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let Some(nats) = NatsServers::start(directory.path()) else { return 0 };
    let mut members = members(directory.path(), &nats, &[AREA], 400);
    let (mut customer, begun) = (Customer::default(), now());
    let (mut owner, _) = taken_over(&members, &mut customer);
    let mut acknowledged = Vec::new();
    for trial in 0..trials as u64 {
        let door = members[owner].door(AREA).unwrap();
        let (stop, first) = (AtomicBool::new(false), trial * 5_000);
        let fresh = std::thread::scope(|scope| {
            let measuring = scope.spawn(|| measure(door, begun, first, &stop));
            // It dies while readings are on their way.
            std::thread::sleep(Duration::from_millis(600 + trial * 617 % 900));
            members[owner].kill();
            let fresh = measuring.join().unwrap();
            stop.store(true, Ordering::Relaxed);
            fresh
        });
        assert!(fresh.len() >= 20, "a story in which little happened shows little: {}", fresh.len());
        acknowledged.extend(fresh);
        let dead = owner;
        let page;
        (owner, page) = taken_over(&members, &mut customer);
        let wrong = lost_or_doubled(&kept(page, begun), begun, &acknowledged);
        assert_eq!(wrong, Vec::<String>::new(), "trial {trial}\n{}", said(&members));
        members[dead].start();
        let follows = || members[dead].words().contains("copied from the cluster").then_some(());
        wait_for("the killed member to come back", PATIENCE, follows);
    }
    judge(directory.path(), &nats, &mut members, &customer);
    eprintln!(
        "{trials} kills, {} values acknowledged, each in the next one's history once",
        acknowledged.len()
    );
    acknowledged.len()
}

#[test]
fn telemetry_that_was_acknowledged_is_once_in_the_history_of_the_member_that_takes_over() {
    histories(2);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn twenty_kills_lose_no_telemetry() {
    let trials = sized("SOAK_TRIALS", 20);
    let values = histories(trials);
    let asked = format!("{trials} kills, acknowledged values in the next history, 0 lost, 0 doubled");
    soak_row(
        "telemetry, a member killed",
        &asked,
        &format!("{values} values, 0 lost, 0 doubled"),
        values > 0,
    );
}

/// Members each of which reaches the NATS servers by wires of its own.
fn wired(directory: &std::path::Path, nats: &NatsServers) -> (Vec<Member>, Vec<Vec<Wire>>) {
    let servers: Vec<SocketAddr> =
        nats.urls.split(',').map(|url| url.strip_prefix("nats://").unwrap().parse().unwrap()).collect();
    let wires = || -> Vec<Wire> { servers.iter().map(|server| Wire::to(*server)).collect() };
    let member = |name: &str| {
        let wires = wires();
        let urls: Vec<String> = wires.iter().map(|wire| format!("nats://{}", wire.address)).collect();
        let mut member = Member::new(name, vec![site(&directory.join(name), AREA, 800)], &urls.join(","));
        member.start();
        (member, wires)
    };
    ["a", "b", "c"].map(member).into_iter().unzip()
}

fn partition(what: Stopped) {
    let directory = tempfile::tempdir().unwrap();
    let Some(nats) = NatsServers::start(directory.path()) else { return };
    let (mut members, wires) = wired(directory.path(), &nats);
    let mut customer = Customer::default();
    let (cut_off, old_page) = taken_over(&members, &mut customer);
    while customer.acknowledged.len() < 20 {
        customer.hand_in(old_page);
    }
    // Somebody goes on asking the member that is cut off; their numbers are others.
    let mut stays = Customer::beginning_at(400);
    let over = AtomicBool::new(false);
    let begun = Instant::now();
    wires[cut_off].iter().for_each(|wire| wire.stop(what));
    let (page, last) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut last = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                if stays.hand_in(old_page) {
                    last = begun.elapsed();
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            last
        });
        let other = || owners(&members).into_iter().find(|(nth, _)| *nth != cut_off);
        let (_, page) = wait_for("another member", PATIENCE, other);
        wait_for("it to take offers", PATIENCE, || {
            customer.look(&owners(&members));
            customer.hand_in(page).then_some(())
        });
        let took = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        let last = asking.join().unwrap();
        eprintln!(
            "{what:?}: the member that was cut off acknowledged until {last:.1?}, another one after {took:.1?}"
        );
        (page, last)
    });
    assert!(last <= LEASE, "it recorded {last:?} after it was cut off:\n{}", said(&members));
    let given_up = || members[cut_off].said_at("not served here").filter(|at| *at > begun);
    let given_up = wait_for("it to give the area up", PATIENCE, given_up).duration_since(begun);
    eprintln!("it gave the area up after {given_up:.1?}");
    let healed = Instant::now();
    wires[cut_off].iter().for_each(Wire::heal);
    let follows = || members[cut_off].said_at("copied from the cluster").filter(|at| *at > healed);
    wait_for("it to follow again", PATIENCE, follows);
    while !customer.hand_in(page) {}
    customer.acknowledged.extend(&stays.acknowledged);
    assert_eq!(customer.missing(page), Vec::<usize>::new(), "{}", said(&members));
    // What it follows it has.
    let ends = |members: &[Member]| -> Vec<Value> {
        let told = harness::run(["members", &nats.urls, "--json"]);
        let told: Value = serde_json::from_slice(&told.stdout).unwrap_or_default();
        members.iter().map(|member| told["members"][&member.name]["may"].clone()).collect()
    };
    wait_for("it to say that it could serve", PATIENCE, || {
        (ends(&members)[cut_off] == serde_json::json!([AREA])).then_some(())
    });
    judge(directory.path(), &nats, &mut members, &customer);
}

#[test]
fn a_member_cut_off_from_nats_stops_recording_and_another_serves() {
    partition(Stopped::Both);
}

#[test]
fn a_member_whose_words_do_not_arrive_stops_recording_and_another_serves() {
    partition(Stopped::There);
}

#[test]
fn a_member_that_hears_no_answers_stops_recording_and_another_serves() {
    partition(Stopped::Back);
}
