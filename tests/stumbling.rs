//! What operators see when a stage panics: on a message from outside, which is set aside and released when what made it fail is
//! mended; and on its own messages time and again, which ends the process, to be started again.
//!
//! The faults are planted by `GRIDFLEX_STUMBLES_ON` (`grid::defect`), which only builds for tests know.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::mqtt::{Witness, publish};
use harness::{Demo, PATIENCE, customer, evening, free_port, get, gridflex, run, text, wait_for, words};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const STUMBLES_ON: &str = "GRIDFLEX_STUMBLES_ON";
const SPEED: u32 = 60;

fn value_of(picture: &Value, point: &str) -> Option<f64> {
    picture["points"].as_array()?.iter().find(|row| row["point"] == point)?["value"].as_f64()
}

/// The stage of this name in the tree of supervision.
fn stage(page: SocketAddr, kind: &str, name: &str) -> Value {
    let tree = get(page, &format!("/api/v1/supervision?kind={kind}")).unwrap().json();
    let stages = tree["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).cloned().unwrap_or_else(|| panic!("{tree}"))
}

#[test]
fn a_message_that_makes_a_stage_panic_is_seen_set_aside_and_released_by_the_command_line() {
    const POINT: &str = "bus.34.u.a";
    let mut command =
        gridflex(["demo", "--headless", "--speed", "2", "--seed", "7", "--port", "0", "--mqtt-port", "0"]);
    // Three deliveries fail; the fourth is after the mending.
    command.env(STUMBLES_ON, "0..3 node 231.777");
    let mut demo = Demo::start_by(command);
    let server = demo.page.to_string();
    assert_eq!(stage(demo.page, "node", "node 34")["restarts"], 0);
    publish(demo.broker, &[("gridflex/demo/telemetry/bus.34.u.a", r#"{"value":231.777,"unit":"V"}"#)])
        .unwrap();
    let shown = |command: &[&str]| {
        let output = run(["quarantine", "--server", &server].into_iter().chain(command.iter().copied()));
        assert!(output.status.success(), "{}", words(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let list = || serde_json::from_str::<Value>(&shown(&["list", "--json"])).unwrap();
    let listed = wait_for("the message to be set aside", PATIENCE, || {
        Some(list()).filter(|listed| listed["counts"]["kept"] == 1)
    });
    let message = &listed["messages"][0];
    assert_eq!((&message["stage"], &message["kin"]), (&json!("node 34"), &json!(POINT)), "{listed}");
    assert_eq!((&message["deliveries"], &message["reason"]), (&json!(3), &json!("stumbled on purpose")));
    assert!(message["message"].as_str().unwrap().contains("231.777"), "{listed}");

    // The tree tells who was made anew, and that the others were not.
    let node = stage(demo.page, "node", "node 34");
    assert_eq!((&node["restarts"], &node["held_up"]), (&json!(3), &json!(false)), "{node}");
    let tree = get(demo.page, "/api/v1/supervision").unwrap().json();
    let counted =
        ["restarts", "quarantined", "escalations"].map(|count| tree["supervisor"][count].as_u64().unwrap());
    assert_eq!(counted, [3, 1, 0], "{tree}");
    assert_eq!(value_of(&demo.snapshot(), POINT), None, "a message that was set aside was used");

    let id = message["id"].to_string();
    assert!(shown(&["show", &id]).contains("231.777"));
    assert!(shown(&["release", &id]).contains(&format!("message {id} is back in the mailbox of node 34")));
    let value = wait_for("the value on the page", PATIENCE, || value_of(&demo.snapshot(), POINT));
    assert!((value - 231.777).abs() < 1e-9, "{value}");
    let listed = list();
    let counts = &listed["counts"];
    assert_eq!((&counts["kept"], &counts["released"]), (&json!(0), &json!(1)), "{counts}");
    assert_eq!(stage(demo.page, "node", "node 34")["restarts"], 3);
    assert!(demo.is_running());
}

#[test]
fn a_stage_that_fails_for_good_ends_the_process_with_70_and_a_restart_serves_all_that_was_acknowledged() {
    let (data, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let places = (free_port(), free_port());
    let heard = SocketAddr::from(([127, 0, 0, 1], places.1));
    let reports = Arc::new(Witness::start(heard, &["gridflex/demo/device/+/report"]));
    let mut command = evening(SPEED, data.path(), places);
    // Ten estimates are made; then the region fails at each.
    command.env(STUMBLES_ON, "10.. region SolveDue");
    let demo = Demo::start_by(command).ready();
    let customer = customer::start(demo.page, SPEED, reports, kept.path());
    wait_for("an offer to be accepted", PATIENCE, || {
        Some(()).filter(|()| customer.diary.acknowledged.load(Ordering::Relaxed) > 0)
    });
    let (status, _, err) = demo.end(PATIENCE * 2);
    let diary = customer.stop();
    assert_eq!(status.code(), Some(70), "{err}");
    let last = err.lines().last().unwrap();
    assert_eq!(
        last,
        "gridflex: stopped: region used up its 5 restarts in 10 s, last: stumbled on purpose; start again to recover from the journal"
    );
    assert_eq!(*diary.complaints.lock().unwrap(), Vec::<String>::new());

    // The fault is mended; whoever supervises the process starts it again.
    let mut again = Demo::start_by(evening(SPEED, data.path(), places)).ready();
    let names: Vec<String> = std::fs::read_dir(kept.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!names.is_empty());
    for name in &names {
        let found = get(again.page, &format!("/api/v1/flexoffers/{name}")).unwrap();
        assert_eq!(found.status, 200, "{name} was acknowledged and is lost");
    }
    assert!(again.is_running());
    again.signal("TERM");
    let (status, _, err) = again.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{err}");
    let verified = run(["journal", "verify", text(data.path())]);
    assert!(verified.status.success(), "{}", words(&verified));
    eprintln!("{} offers were acknowledged before the end and are there after it", names.len());
}
