//! `kill -9` at ten random moments of the demo, while witnesses outside write down what they were promised.
//!
//! * A customer hands in FlexOffers over HTTP and syncs every acknowledgement to a file of its own before the next
//!   request ([`harness::customer`]).
//! * An MQTT client hears every order that devices receive and every answer they give ([`harness::mqtt`]).
//!
//! At the end [`harness::checker`] compares their notes with the exported journal. It shares no code with the
//! product, and the second story shows that it can say no.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::checker::{Witnessed, facts, objections, records};
use harness::mqtt::{Witness, publish};
use harness::{Demo, PATIENCE, customer, free_port, run, text, wait_for, words};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

const KILLS: usize = 10;
const SPEED: u32 = 600;
const ORDERS: &[&str] = &["gridflex/demo/device/+/activation", "gridflex/demo/device/+/status"];
const REPORTS: &[&str] = &["gridflex/demo/device/+/report"];

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        low + (high - low) * ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Where everything is, the same in every life.
struct Place {
    data: String,
    page: u16,
    broker: u16,
}

impl Place {
    fn demo(&self) -> Demo {
        let (page, broker, speed) = (self.page.to_string(), self.broker.to_string(), SPEED.to_string());
        let place = ["--data", &self.data, "--port", &page, "--mqtt-port", &broker];
        let evening = ["--headless", "--json", "--duration", "6h", "--seed", "7", "--speed", &speed];
        Demo::start(place.into_iter().chain(evening))
    }
}

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_ten_kills() {
    let given = std::env::var("GRIDFLEX_KILL_SEED").ok().and_then(|seed| seed.parse().ok());
    evening_with_kills(given.unwrap_or_else(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64));
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn nothing_acknowledged_is_lost_or_doubled_by_a_hundred_kills() {
    let first = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    (0..10).for_each(|evening| evening_with_kills(first + evening));
}

fn evening_with_kills(seed: u64) {
    eprintln!("moments from GRIDFLEX_KILL_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let (data, kept) = (directory.path().join("data"), directory.path().join("acknowledged"));
    std::fs::create_dir(&kept).unwrap();
    let place = Place { data: text(&data).to_owned(), page: free_port(), broker: free_port() };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let orders = Arc::new(Witness::start(loopback(place.broker), ORDERS));
    let reports = Arc::new(Witness::start(loopback(place.broker), REPORTS));
    let customer = customer::start(loopback(place.page), SPEED, reports, &kept);

    let mut random = Random(seed);
    let moments: Vec<f64> = (0..KILLS).map(|_| random.between(1.5, 4.0)).collect();
    // Together they leave something of the evening for the last life.
    let shrink = (23.0 / moments.iter().sum::<f64>()).min(1.0);
    let mut ready_after = Vec::new();
    for (kill, moment) in moments.iter().enumerate() {
        let begin = Instant::now();
        let mut demo = place.demo().ready();
        ready_after.push(begin.elapsed().as_secs_f64());
        std::thread::sleep(Duration::from_secs_f64(moment * shrink));
        // Every other time at the worst moment: right after somebody outside was promised something.
        let promises = || {
            let acknowledged = customer.diary.acknowledged.load(Ordering::Relaxed);
            if kill % 4 == 1 { acknowledged } else { orders.read(<[_]>::len) as u64 }
        };
        let (before, until) = (promises(), Instant::now() + Duration::from_millis(700));
        while kill % 2 == 1 && promises() == before && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
        assert!(demo.is_running(), "the demo ended before kill {}", kill + 1);
        demo.kill();
    }
    let begin = Instant::now();
    let demo = place.demo().ready();
    ready_after.push(begin.elapsed().as_secs_f64());
    let (status, out, err) = demo.end(Duration::from_secs(60));
    let diary = customer.stop();
    assert!(status.success(), "{status}: {err}");
    let outcome: Value = serde_json::from_str(&out).expect("one JSON document");

    let export = run(["journal", "export", text(&data)]);
    let records = records(&String::from_utf8(export.stdout).unwrap());
    let seen = witnessed(&kept, &orders);
    let outside = seen.orders.iter().filter(|o| o["offer"].as_str().unwrap().starts_with("outside-")).count();
    eprintln!(
        "{KILLS} kills, {} offers acknowledged ({} handed in again after a death; refused {:?}), \
         {} orders and {} confirmations heard ({outside} for those offers), {} records, ready after {ready_after:.2?} s",
        seen.acknowledged.len(),
        diary.repeated.load(Ordering::Relaxed),
        diary.refused.lock().unwrap(),
        seen.orders.len(),
        seen.confirmed.len(),
        records.len(),
    );
    assert_eq!(objections(&records, &seen), Vec::<String>::new());
    assert_eq!(*diary.complaints.lock().unwrap(), Vec::<String>::new());
    let verified = run(["journal", "verify", text(&data), "--json"]);
    assert!(verified.status.success(), "{}", words(&verified));
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["starts"], KILLS as u64 + 1);
    assert_eq!((&report["audit"]["orders_lost"], &report["audit"]["orders_doubled"]), (&0.into(), &0.into()));
    assert_eq!((&outcome["orders_lost"], &outcome["orders_doubled"]), (&0.into(), &0.into()));
    assert_eq!((&outcome["money_imbalance"], &outcome["resumed"]), (&0.into(), &true.into()));
    // A story in which little happened shows little.
    assert!(seen.acknowledged.len() >= 30, "only {} offers were acknowledged", seen.acknowledged.len());
    assert!(seen.orders.len() >= 20, "only {} orders were heard", seen.orders.len());
    assert!(seen.confirmed.len() >= 10, "only {} confirmations were heard", seen.confirmed.len());
    assert!(diary.repeated.load(Ordering::Relaxed) >= KILLS as u64, "hardly anything was handed in again");
}

fn witnessed(acknowledged: &Path, orders: &Witness) -> Witnessed {
    let files = std::fs::read_dir(acknowledged).unwrap();
    let mut seen = Witnessed {
        acknowledged: files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect(),
        ..Witnessed::default()
    };
    orders.read(|heard| {
        for (topic, payload) in heard {
            let message: Value = serde_json::from_slice(payload).expect("the product sends JSON");
            if topic.ends_with("/activation") {
                seen.orders.push(message);
            } else if message["accepted"] == true {
                seen.confirmed.insert(message["activation"].as_str().unwrap().to_owned());
            }
        }
    });
    seen
}

/// What witnesses of a journal's whole life would have seen.
fn everything(records: &[Value]) -> Witnessed {
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    Witnessed {
        acknowledged: facts(records, "offer_accepted").map(|fact| name(&fact["offer"]["id"])).collect(),
        orders: facts(records, "activation_issued").map(|fact| fact["activation"].clone()).collect(),
        confirmed: facts(records, "activation_answered")
            .filter(|fact| fact["status"]["accepted"] == true)
            .map(|fact| name(&fact["status"]["activation"]))
            .collect(),
    }
}

/// A journal without, or with two of, one record; numbered as if nothing had happened.
fn forged(records: &[Value], event: &str, change: impl Fn(&mut Value) -> bool) -> Vec<Value> {
    let place = records.iter().rposition(|record| record["fact"]["market"]["event"] == event).unwrap();
    let (mut forged, mut other) = (records.to_vec(), records[place].clone());
    if change(&mut other) {
        forged.insert(place + 1, other);
    } else {
        forged.remove(place);
    }
    for (place, record) in forged.iter_mut().enumerate() {
        record["number"] = (place as u64 + 1).into();
    }
    forged
}

#[test]
fn the_checker_notices_what_is_missing_and_what_is_there_twice() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let simulated = run(["simulate", "--seed", "7", "--duration", "30m", "--out", text(&out)]);
    assert!(simulated.status.success(), "{}", words(&simulated));
    let export = run(["journal", "export", text(&out)]);
    let records = records(&String::from_utf8(export.stdout).unwrap());
    let seen = everything(&records);
    assert!(!seen.acknowledged.is_empty() && !seen.orders.is_empty() && !seen.confirmed.is_empty());
    assert_eq!(objections(&records, &seen), Vec::<String>::new());

    let objects = |records: &[Value], words: &str| {
        let said = objections(records, &seen);
        assert!(said.iter().any(|one| one.contains(words)), "{words:?} is not among {said:?}");
    };
    let (gone, twice) = (|_: &mut Value| false, |_: &mut Value| true);
    objects(&forged(&records, "offer_accepted", gone), "acknowledged and is not in the journal");
    objects(&forged(&records, "offer_accepted", twice), "accepted 2 times");
    objects(&forged(&records, "activation_issued", gone), "reached a device and is not in the journal");
    objects(&forged(&records, "activation_issued", twice), "issued twice");
    objects(&forged(&records, "activation_answered", gone), "was confirmed, answers in the journal: None");
    objects(
        &forged(&records, "activation_answered", twice),
        "was confirmed, answers in the journal: Some(2)",
    );
    let renamed = |record: &mut Value| {
        record["fact"]["market"]["activation"]["id"] = "another-name".into();
        true
    };
    objects(&forged(&records, "activation_issued", renamed), "and as another-name");
    objects(&records[1..], "the record at place 1 has number 2");
}

#[test]
fn a_kill_while_starting_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place { data: text(directory.path()).to_owned(), page: free_port(), broker: free_port() };
    let mut demo = place.demo().ready();
    let offers = |demo: &Demo| demo.snapshot()["health"]["journal_records"].as_u64().unwrap();
    let records =
        wait_for("a journal with something in it", PATIENCE, || Some(offers(&demo)).filter(|n| *n > 50));
    demo.kill();
    for moment_ms in [20, 60, 120, 200, 300] {
        let (page, broker) = (place.page.to_string(), place.broker.to_string());
        let arguments =
            ["demo", "--headless", "--data", &place.data, "--port", &page, "--mqtt-port", &broker];
        let mut child = harness::gridflex(arguments).stdout(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment_ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let verified = run(["journal", "verify", &place.data, "--json"]);
        assert!(verified.status.success(), "after {moment_ms} ms: {}", words(&verified));
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert!(report["records"].as_u64().unwrap() >= records, "after {moment_ms} ms: {report}");
    }
    assert!(place.demo().ready().is_running());
}

/// The witness answers an order as its device would, and the moment that is acknowledged the process dies.
#[test]
fn an_answer_is_in_the_journal_when_it_is_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let place = Place { data: text(directory.path()).to_owned(), page: free_port(), broker: free_port() };
    let mut demo = place.demo();
    let orders = Witness::start(demo.broker, ORDERS);
    let newest = |heard: &[harness::mqtt::Heard]| {
        heard.iter().rfind(|(topic, _)| topic.ends_with("/activation")).cloned()
    };
    let (topic, payload) = wait_for("an order", 2 * PATIENCE, || orders.read(newest));
    let order: Value = serde_json::from_slice(&payload).unwrap();
    let now = demo.snapshot()["clock"]["now"].clone();
    let answer = json!({"activation": order["id"], "device": order["device"], "accepted": true, "at": now});
    let status = topic.replace("/activation", "/status");
    publish(demo.broker, &[(&status, &answer.to_string())]).unwrap();
    demo.kill();
    let export = run(["journal", "export", &place.data]);
    let records = records(&String::from_utf8(export.stdout).unwrap());
    let answered = facts(&records, "activation_answered")
        .filter(|fact| fact["status"]["activation"] == order["id"])
        .count();
    assert_eq!(answered, 1, "{answer} was acknowledged");
}
