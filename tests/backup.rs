//! Copies of the data directory of a running system, made at random moments while offers are handed in and telemetry comes in.
//!
//! Each copy has every offer and every value that was acknowledged before it was begun, adds up to what the original added up to at
//! the same record, and a system is started from it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::mqtt::Witness;
use harness::{
    Demo, PATIENCE, customer, evening, free_port, get, run, sized, soak_row, text, wait_for, words,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

const SPEED: u32 = 240;
/// At most so many copies are looked into record by record; of all others state and counts are compared.
const STARTED_FROM: usize = 2;

fn demo(data: &Path, page: u16, broker: u16) -> Demo {
    Demo::start_by(evening(SPEED, data, (page, broker))).ready()
}

/// What the customer was promised.
fn promised(kept: &Path) -> BTreeSet<String> {
    std::fs::read_dir(kept).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

/// Values of the history, by what it says of itself.
fn values(figures: &Value) -> u64 {
    let of = |kind: &Value| kind["unsealed"].as_u64().unwrap() + kind["sealed"].as_u64().unwrap();
    figures.as_object().unwrap().values().map(of).sum()
}

/// A copy, and what was acknowledged before it was begun.
struct Copied {
    place: PathBuf,
    offers: BTreeSet<String>,
    values: u64,
    said: Value,
    took: Duration,
}

fn copies(demo: &Demo, data: &Path, to: &Path, kept: &Path, count: usize) -> Vec<Copied> {
    let mut made = Vec::new();
    let mut moment = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    while made.len() < count {
        moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((moment >> 33) % 900));
        let place = to.join(format!("copy-{}", made.len()));
        let figures = get(demo.page, "/api/v1/history").unwrap().json();
        let (offers, begun) = (promised(kept), Instant::now());
        let output = run(["backup", text(data), text(&place), "--json"]);
        assert!(output.status.success(), "{}", words(&output));
        let said = serde_json::from_slice(&output.stdout).unwrap();
        made.push(Copied { place, offers, values: values(&figures), said, took: begun.elapsed() });
    }
    made
}

/// What is wrong with a copy, given the original after everything.
fn objections(copied: &Copied, original: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = copied.place.file_name().unwrap().to_str().unwrap().to_owned();
    let json = |arguments: &[&str]| -> Value {
        let output = run(arguments.iter().copied());
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let records = copied.said["records"].to_string();
    let then = json(&["journal", "replay", text(original), "--until", &records, "--json"]);
    let here = json(&["journal", "replay", text(&copied.place), "--json"]);
    for (what, state) in [("the original", &then), ("the copy", &here)] {
        if state["state"] != copied.said["state"] || state["records"] != copied.said["records"] {
            wrong.push(format!("{name}: {what} adds up to {state}, and it was said {}", copied.said));
        }
    }
    let verified = json(&["journal", "verify", text(&copied.place), "--without-clearings", "--json"]);
    if verified["torn_bytes"] != 0 || verified["notes"] != serde_json::json!([]) {
        wrong.push(format!("{name}: {verified}"));
    }
    let exported = String::from_utf8(run(["journal", "export", text(&copied.place)]).stdout).unwrap();
    let missing = copied.offers.iter().filter(|id| !exported.contains(&format!("\"id\":\"{id}\"")));
    wrong.extend(missing.map(|id| format!("{name}: {id} was acknowledged before and is not in it")));
    let kept = values(&json(&["history", "list", text(&copied.place), "--json"]));
    if kept < copied.values {
        wrong.push(format!("{name}: of {} values {kept} are in it", copied.values));
    }
    wrong
}

fn story(count: usize) {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let (data, kept, to) = (place("data"), place("acknowledged"), place("copies"));
    std::fs::create_dir(&kept).unwrap();
    let (page, broker) = (free_port(), free_port());
    let heard = SocketAddr::from(([127, 0, 0, 1], broker));
    let reports = Arc::new(Witness::start(heard, &["gridflex/demo/device/+/report"]));
    let mut running = demo(&data, page, broker);
    let customer = customer::start(running.page, SPEED, reports, &kept);
    wait_for("a first offer", PATIENCE, || (!promised(&kept).is_empty()).then_some(()));
    let made = copies(&running, &data, &to, &kept, count);
    let before = promised(&kept).len();
    wait_for("an offer after the last copy", PATIENCE, || (promised(&kept).len() > before).then_some(()));
    let diary = customer.stop();
    assert_eq!(*diary.complaints.lock().unwrap(), Vec::<String>::new());
    running.kill();
    let wrong: Vec<String> = made.iter().flat_map(|copied| objections(copied, &data)).collect();
    assert_eq!(wrong, Vec::<String>::new());
    // A restore: the copy in an empty place, the same command. Everything promised before it was begun is known.
    let step = made.len().div_ceil(STARTED_FROM);
    for copied in made.iter().rev().step_by(step) {
        let mut restored = demo(&copied.place, free_port(), free_port());
        let known = |id: &&String| {
            get(restored.page, &format!("/api/v1/flexoffers/{id}")).is_ok_and(|answer| answer.status == 200)
        };
        let forgotten: Vec<_> = copied.offers.iter().filter(|id| !known(id)).collect();
        assert!(forgotten.is_empty(), "{}: {forgotten:?}", copied.place.display());
        restored.kill();
    }
    let (first, last) = (&made[0], &made[made.len() - 1]);
    let slowest = made.iter().map(|copied| copied.took).max().unwrap();
    let reached = format!(
        "{} copies within {slowest:.1?} each, of {} to {} records and {} values; {} offers before the last, 0 lost",
        made.len(),
        first.said["records"],
        last.said["records"],
        last.values,
        last.offers.len()
    );
    assert!(last.offers.len() > first.offers.len(), "too little happened: {reached}");
    soak_row(
        "a backup under load",
        &format!("{count} copies, 0 lost, nothing half, the same state"),
        &reached,
        true,
    );
}

#[test]
fn every_copy_of_a_running_system_is_whole_and_has_all_that_was_acknowledged_before() {
    story(12);
}

#[test]
#[ignore = "minutes; `make soak` runs it"]
fn two_hundred_copies_of_a_running_system() {
    story(sized("SOAK_COPIES", 200));
}

#[test]
fn a_copy_is_made_where_nothing_is_and_of_a_data_directory_only() {
    let directory = tempfile::tempdir().unwrap();
    let (empty, to) = (directory.path().join("empty"), directory.path().join("to"));
    std::fs::create_dir(&empty).unwrap();
    let refused = |from: &Path, to: &Path, said: &str| {
        let output = run(["backup", text(from), text(to)]);
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).contains(said), "{said}: {}", words(&output));
    };
    refused(&empty, &to, "there is no data directory of gridflex here");
    assert!(!to.exists());
    std::fs::write(empty.join("market.journal"), b"").unwrap();
    refused(&empty, &empty, "it is there already");
    refused(&empty, &empty.join("inside"), "cannot lie in the data directory");
    std::fs::create_dir(directory.path().join("to.unfinished")).unwrap();
    refused(&empty, &to, "left of a copy that did not end");
}
