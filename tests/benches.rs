//! `gridflex bench` for journal, telemetry, agents and overload, in small: what has to hold however slow the machine is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{run, words};
use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let output = run(["bench"].iter().chain(arguments).chain(&["--json"]).copied());
    assert!(output.status.success(), "{arguments:?}: {}", words(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

/// A figure that has to be there; of what is timed nothing else is known.
fn positive(figures: &Value, path: &str) -> f64 {
    let found = figures.pointer(path).and_then(Value::as_f64);
    found.filter(|value| *value > 0.0).unwrap_or_else(|| panic!("{path} of {figures}"))
}

#[test]
fn every_value_of_the_ingest_bench_that_was_acknowledged_is_in_the_history() {
    let figures = bench(&["ingest", "--messages", "3000", "--values", "7", "--clients", "3"]);
    assert_eq!((&figures["messages"], &figures["sent"]), (&3000.into(), &21_000.into()), "{figures}");
    assert_eq!(figures["kept"], figures["sent"], "what was read back is not what was sent: {figures}");
    for path in ["/messages_per_s", "/values_per_s", "/ack_ms_p50", "/ack_ms_p99", "/peak_mb"] {
        positive(&figures, path);
    }
}

#[test]
fn the_journal_bench_starts_the_program_on_a_journal_of_its_own() {
    let figures = bench(&["journal", "--records", "3000", "--starts", "3"]);
    assert!(figures["records"].as_u64().unwrap() >= 3000, "{figures}");
    let process = &figures["process"];
    assert_eq!(process["starts"], 3, "{figures}");
    // The one that opens it, those of the market, and the one that says that time went on.
    assert!(process["records"].as_u64().unwrap() >= 3002, "{figures}");
    assert!(positive(process, "/serving_ms_p50") <= positive(process, "/serving_ms_p99"), "{figures}");
    for path in ["/replay_per_s", "/read_per_s", "/fold_per_s", "/start_ms_p99", "/bytes_per_record"] {
        positive(&figures, path);
    }
    let groups = figures["append"].as_array().unwrap().iter().map(|row| row["group"].as_u64().unwrap());
    assert_eq!(groups.collect::<Vec<_>>(), [1, 8, 64, 512]);
}

#[test]
fn every_offer_of_the_agents_bench_is_accepted() {
    let figures = bench(&["actors", "--agents", "300", "--offers", "200", "--at-once", "8"]);
    assert_eq!((&figures["agents"], &figures["offers"]), (&300.into(), &200.into()), "{figures}");
    for path in ["/message_us", "/round_s", "/offers_per_s", "/offer_ms_p50", "/offer_ms_p99", "/memory_mb"] {
        positive(&figures, path);
    }
}

#[test]
fn the_overload_bench_trades_in_every_phase_and_loses_no_order() {
    let times = ["--seconds", "6", "--before", "6"];
    let load =
        ["--clients", "2", "--offers-per-second", "10", "--steady-values", "400", "--memory-mb", "256"];
    let figures = bench(&[&["overload"], &times[..], &load[..]].concat());
    assert_eq!(figures["memory_mb_allowed"], 256);
    assert!(positive(&figures, "/before_s") >= 6.0 && positive(&figures, "/seconds") >= 6.0, "{figures}");
    positive(&figures, "/after_s");
    positive(&figures, "/values_per_s");
    let count = |kind: &str, phase: &str| figures[kind][phase]["count"].as_u64().unwrap();
    for phase in ["before", "during", "after"] {
        assert!(count("offers", phase) > 0 && count("telemetry", phase) > 0, "{phase} of {figures}");
    }
    // Twenty offers and withdrawals a second are due; on a slow machine some are not answered in time to count.
    assert!(count("offers", "during") >= 30, "{figures}");
    assert_eq!((&figures["offers_refused"], &figures["orders_missing"]), (&0.into(), &0.into()), "{figures}");
    // It waits for a first order before it begins.
    assert!(figures["orders_all"].as_u64().unwrap() > 0, "nothing was ordered: {figures}");
    assert_eq!(figures["memory_mb"].as_array().map(Vec::len), Some(3), "{figures}");
    assert!(figures.as_object().unwrap().contains_key("normal_again_s"), "{figures}");
}

#[test]
fn a_bench_with_too_little_memory_says_how_much_it_needs() {
    let output = run(["bench", "overload", "--memory-mb", "100", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("100 MB is too little") && said.contains("907 buses"), "{said}");
}
