//! Spans at a collector that is not ours: one trace follows what a meter or a customer caused through the actors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::mqtt::Witness;
use harness::{Demo, PATIENCE, customer, get, get_with, gridflex, text, wait_for, words};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

const EVENING: [&str; 11] =
    ["demo", "--headless", "--speed", "120", "--seed", "7", "--port", "0", "--mqtt-port", "0", "--json"];
/// A trace somebody else has begun.
const THEIRS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

struct Collector {
    child: Child,
    port: u16,
    file: PathBuf,
}

impl Collector {
    /// `None`, said loudly, where OpenTelemetry's messages for Python are not installed.
    fn start(directory: &Path) -> Option<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = root.join("target/peers/venv/bin/python");
        let has =
            Command::new(&python).args(["-c", "import opentelemetry.proto.collector.trace.v1"]).output();
        if !has.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: opentelemetry-proto is not installed; scripts/setup.sh test installs it");
            return None;
        }
        let file = directory.join("spans");
        let mut child = Command::new(python)
            .args([root.join("tests/peers/trace_collector.py"), file.clone()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { child, port: line.trim().parse().expect("the collector says its port"), file })
    }

    fn spans(&self) -> Vec<Value> {
        let lines = std::fs::read_to_string(&self.file).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn traced(endpoint: &str) -> Command {
    let mut command = gridflex(EVENING);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    command
}

fn word<'a>(span: &'a Value, key: &str) -> &'a str {
    span[key].as_str().unwrap_or_default()
}

/// The names of a span and of all it came from, the last cause first.
fn lineage<'a>(mut span: &'a Value, by_id: &BTreeMap<&str, &'a Value>) -> Vec<&'a str> {
    let mut names = vec![word(span, "name")];
    while let Some(parent) = by_id.get(word(span, "parent")) {
        assert_eq!(span["trace"], parent["trace"], "a trace has one id");
        assert!(span["from"].as_u64() >= parent["from"].as_u64(), "{span} begins before {parent}");
        names.push(word(parent, "name"));
        span = parent;
    }
    names
}

#[test]
fn a_trace_follows_a_reading_to_the_estimator_and_an_offer_past_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let Some(collector) = Collector::start(directory.path()) else { return };
    let demo = Demo::start_by(traced(&format!("http://127.0.0.1:{}", collector.port))).ready();
    let reports = Witness::start(demo.broker, &["gridflex/#"]);
    let customer = customer::start(demo.page, 120, reports.into(), directory.path());
    wait_for("an offer", PATIENCE, || {
        (customer.diary.acknowledged.load(Ordering::Relaxed) > 0).then_some(())
    });
    customer.stop();
    let asked = ["traceparent: ", "00-", THEIRS, "-00f067aa0ba902b7-01"].concat();
    assert_eq!(get_with(demo.page, "/api/v1/snapshot", &[&asked]).unwrap().status, 200);
    let metrics = wait_for("spans that were sent", PATIENCE, || {
        let metrics = String::from_utf8(get(demo.page, "/metrics").ok()?.body).ok()?;
        (!metrics.contains("trace_spans_total{outcome=\"sent\"} 0")).then_some(metrics)
    });
    assert!(metrics.contains("trace_spans_total{outcome=\"failed\"} 0"), "{metrics}");
    demo.signal("INT");
    let (status, _, err) = demo.end(PATIENCE);
    assert!(status.success(), "{err}");

    let spans = collector.spans();
    let by_id: BTreeMap<&str, &Value> = spans.iter().map(|span| (word(span, "span"), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "each span has an id of its own");
    let mut lineages = BTreeSet::new();
    for span in &spans {
        assert_eq!(span["service"], "gridflex");
        assert!(span["from"].as_u64() <= span["to"].as_u64(), "{span}");
        let parent = word(span, "parent");
        assert!(
            parent.is_empty() || by_id.contains_key(parent) || word(span, "trace") == THEIRS,
            "{span} is an orphan"
        );
        lineages.insert(lineage(span, &by_id));
    }
    for expected in [
        vec!["region NodeReported", "node Reported", "ingress Arrived"],
        vec!["region SolveFinished", "compute", "region SolveDue"],
        // Answered by the device's agent only after the journal had synced, which another message had asked for.
        vec!["aggregator Admit", "aggregator Submit", "foa Reported", "ingress Arrived"],
        vec!["journal Append", "aggregator Submit", "POST /api/v1/flexoffers"],
        vec!["aggregator Admit", "aggregator Submit", "POST /api/v1/flexoffers"],
    ] {
        assert!(lineages.contains(&expected), "{expected:?} is not in {lineages:#?}");
    }
    let theirs: Vec<&Value> = spans.iter().filter(|span| span["trace"] == THEIRS).collect();
    assert_eq!(theirs.len(), 1, "{theirs:?}");
    assert_eq!(word(theirs[0], "parent"), "00f067aa0ba902b7");
    assert_eq!(theirs[0]["attributes"]["http.response.status_code"], 200);
}

#[test]
fn without_a_collector_nothing_is_made_and_one_that_is_away_costs_one_warning() {
    let demo = Demo::start_by(gridflex(EVENING)).ready();
    let metrics = String::from_utf8(get(demo.page, "/metrics").unwrap().body).unwrap();
    assert!(metrics.contains("trace_spans_total{outcome=\"made\"} 0"), "{metrics}");
    drop(demo);

    // Nobody listens on port 1.
    let demo = Demo::start_by(traced("http://127.0.0.1:1")).ready();
    wait_for("spans that were lost, twice", PATIENCE, || {
        let metrics = String::from_utf8(get(demo.page, "/metrics").ok()?.body).ok()?;
        let lost =
            metrics.lines().find_map(|line| line.strip_prefix("trace_spans_total{outcome=\"failed\"} "))?;
        (lost.parse::<u64>().ok()? > 2_048).then_some(())
    });
    demo.signal("INT");
    let (status, _, err) = demo.end(PATIENCE);
    assert!(status.success(), "{err}");
    assert_eq!(err.matches("the trace collector takes no spans").count(), 1, "{err}");
}

#[test]
fn a_variable_that_makes_no_sense_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let none = directory.path().join("none.pem");
    for (variables, said) in [
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "collector")], "OTEL_EXPORTER_OTLP_ENDPOINT is collector"),
        (
            vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector"),
                ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ],
            "http/protobuf only",
        ),
        (
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s")],
            "OTEL_EXPORTER_OTLP_TIMEOUT is 1s",
        ),
        (
            vec![
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector"),
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", text(&none)),
            ],
            "none.pem",
        ),
    ] {
        let output = gridflex(["members", "nats://127.0.0.1:1"]).envs(variables).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).contains(said), "{}", words(&output));
    }
}
