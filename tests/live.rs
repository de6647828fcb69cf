//! The demo as people and instruments around it see it: telemetry on the broker, a hand-made value on the page,
//! lies that are counted and stopped, and an orderly end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use grid::Timestamp;
use harness::mqtt::{Witness, publish};
use harness::{Demo, get, post, run, wait_for, words};
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

const EVENING: [&str; 9] = ["--headless", "--speed", "60", "--seed", "7", "--port", "0", "--mqtt-port", "0"];

/// Runs one of mosquitto's programs; `None` (said loudly) when it is not installed.
fn mosquitto(program: &str, demo: &Demo, arguments: &[&str]) -> Option<String> {
    let port = demo.broker.port().to_string();
    let place = ["-h", "127.0.0.1", "-p", &port];
    match Command::new(program).args(place).args(arguments).output() {
        Ok(output) => {
            assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            eprintln!("SKIPPED: {program} ({error}); install mosquitto-clients to have it tried as well");
            None
        }
    }
}

/// Value and unit of a point on the page.
fn point(picture: &Value, name: &str) -> Option<(f64, String)> {
    let row = picture["points"].as_array()?.iter().find(|row| row["point"] == name)?;
    Some((row["value"].as_f64()?, row["unit"].as_str()?.to_owned()))
}

/// How often something was refused for a reason.
fn refused(picture: &Value, code: &str) -> u64 {
    let reasons = picture["health"]["rejections"].as_array().unwrap();
    reasons.iter().find(|reason| reason["code"] == code).map_or(0, |reason| reason["count"].as_u64().unwrap())
}

/// What an operator sees of a demo in good order.
fn the_figures_and_an_empty_quarantine(demo: &Demo) {
    let figures = String::from_utf8(get(demo.page, "/metrics").unwrap().body).unwrap();
    let figure = |name: &str| -> f64 {
        let found = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{name} is not in\n{figures}"))
    };
    for (name, least) in [
        ("field_received_messages_total", 1.0),
        ("estimate_solve_seconds_count", 1.0),
        ("journal_sync_seconds_count", 1.0),
        ("journal_records_total", 1.0),
        ("stage_waiting_messages{stage=\"node\"}", 0.0),
    ] {
        assert!(figure(name) >= least, "{name}:\n{figures}");
    }
    let server = demo.page.to_string();
    let listed = run(["quarantine", "--server", &server, "list", "--json"]);
    assert!(listed.status.success(), "{}", words(&listed));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&listed["counts"]["kept"], &listed["messages"]), (&0.into(), &Value::Array(Vec::new())));
    let released = run(["quarantine", "--server", &server, "release", "7"]);
    assert_eq!(released.status.code(), Some(1));
    assert!(words(&released).contains("there is no message 7 in quarantine"), "{}", words(&released));
}

#[test]
fn telemetry_is_on_the_broker_and_a_hand_made_value_on_the_page_within_two_seconds() {
    let demo = Demo::start(EVENING);
    let witness = Witness::start(demo.broker, &["gridflex/#"]);
    let telemetry = |heard: &[harness::mqtt::Heard]| {
        let (_, payload) = heard.iter().find(|(topic, _)| topic.starts_with("gridflex/demo/telemetry/"))?;
        Some(serde_json::from_slice::<Value>(payload).expect("telemetry is JSON"))
    };
    let first = wait_for("telemetry", Duration::from_secs(10), || witness.read(telemetry));
    assert!(first["measurements"].as_array().is_some_and(|values| !values.is_empty()), "{first}");
    if let Some(lines) = mosquitto("mosquitto_sub", &demo, &["-t", "#", "-v", "-C", "5", "-W", "10"]) {
        assert!(lines.contains("gridflex/demo/"), "{lines}");
    }
    let demo = demo.ready();
    assert_eq!(get(demo.page, "/healthz").unwrap().status, 200);
    the_figures_and_an_empty_quarantine(&demo);

    // A point without an instrument, so that nothing but the hand can give it a value.
    assert_eq!(point(&demo.snapshot(), "bus.34.u.a"), None);
    let (topic, payload) = ("gridflex/demo/telemetry/bus.34.u.a", r#"{"value":231.2,"unit":"V"}"#);
    let sent = Instant::now();
    if mosquitto("mosquitto_pub", &demo, &["-t", topic, "-m", payload]).is_none() {
        publish(demo.broker, &[(topic, payload)]).unwrap();
    }
    let seen = wait_for("the value", Duration::from_secs(2), || point(&demo.snapshot(), "bus.34.u.a"));
    assert_eq!(seen, (231.2, "V".to_owned()));
    eprintln!("a hand-made value was on the page after {:.2?}", sent.elapsed());

    demo.signal("INT");
    let (status, out, err) = demo.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{err}");
    for line in ["peak loading without flexibility", "orders to devices", "journal"] {
        assert!(out.contains(line), "{line:?} is not in the table:\n{out}");
    }
}

/// An offer of a home in the words of GOFLEX's market, where positive energy is fed in: it could take 50 Wh in a
/// quarter-hour of the next hour, and usually takes nothing.
fn foreign_offer(home: u64, now: Timestamp) -> Value {
    let start = now.slot().plus(4).start();
    serde_json::json!({ "flexOffer": [{
        "id": -1, "state": "initial", "offeredById": home, "numSecondsPerInterval": 900,
        "creationTime": now.to_string(), "assignmentBeforeTime": now.slot().plus(3).start().to_string(),
        "startAfterTime": start.to_string(), "startBeforeTime": start.to_string(), "assignment": "obligatory",
        "flexOfferProfileConstraints": [{ "energyConstraintList": [{ "lowerBound": -0.05, "upperBound": 0 }],
            "tariffConstraint": { "minTariff": 0.05, "maxTariff": 0.15 } }],
        "defaultSchedule": { "startTime": start.to_string(), "scheduleSlices": [{ "energyAmount": 0 }] },
    }] })
}

#[test]
fn an_offer_in_the_words_of_another_market_finds_its_device_in_the_running_system() {
    let demo = Demo::start(EVENING).ready();
    let now: Timestamp = demo.snapshot()["clock"]["now"].as_str().unwrap().parse().unwrap();
    let (mut reached, mut asked_which) = (0, 0);
    for home in 1..=55 {
        let answer = post(demo.page, "/api/v1/flexoffers", &foreign_offer(home, now)).unwrap();
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        let detail = said["detail"].as_str().unwrap_or_default();
        match (answer.status, said["code"].as_str()) {
            (201, None) => {
                reached += 1;
                let path = format!("/api/v1/flexoffers/{}", said["id"].as_str().unwrap());
                let found: Value = serde_json::from_slice(&get(demo.page, &path).unwrap().body).unwrap();
                assert_eq!(found["offer"]["usage_point"], 3_000 + home, "{found}");
                assert_eq!(found["offer"]["device"].as_u64().unwrap() / 10, home, "{found}");
                assert_eq!(
                    found["offer"]["slices"][0],
                    serde_json::json!({ "min": 0, "max": 50_000 }),
                    "{found}"
                );
            }
            // Its own agent was quicker.
            (422, Some("device-busy")) => reached += 1,
            (422, Some("missing-field")) => {
                assert!(
                    detail.contains(&format!("{home}1")) || detail.contains(&format!("{home}2")),
                    "{detail}"
                );
                asked_which += 1;
            }
            (422, Some("unknown-device")) => {}
            other => panic!("home {home}: {other:?} {said}"),
        }
    }
    assert!(
        reached > 0 && asked_which > 0,
        "{reached} offers reached a device, {asked_which} were asked for which"
    );
}

#[test]
fn lies_and_rubbish_are_counted_by_reason_and_nothing_stops() {
    let mut demo = Demo::start(EVENING).ready();
    let before = demo.snapshot();
    let now: Timestamp = before["clock"]["now"].as_str().unwrap().parse().unwrap();
    let slot_end = now.slot().start().to_string();
    // An honest quarter-hour is 250 Wh; this meter says a thousand times as much.
    let thousandfold = format!(r#"{{"value":250000,"unit":"Wh","measured_at":"{slot_end}"}}"#);
    let honest = format!(r#"{{"value":250,"unit":"Wh","measured_at":"{slot_end}"}}"#);
    let deep = "[".repeat(2000);
    let large = format!(r#"{{"value":1,"unit":"{}"}}"#, "V".repeat(connectors::house::PAYLOAD_BYTES_MAX));
    // The broker hangs up on a client that sends more than anything of ours could be.
    let huge = "[".repeat(2 << 20);
    publish(demo.broker, &[("gridflex/demo/telemetry/bus.34.u.a", &huge)]).unwrap_err();
    let cases: [(&str, &str, &str); 14] = [
        ("json", "telemetry/bus.34.u.a", r#"{"value":231.2,"#),
        ("json", "telemetry/bus.34.u.a", r#"{"value":NaN,"unit":"V"}"#),
        ("json", "telemetry/bus.34.u.a", r#"{"value":1e999,"unit":"V"}"#),
        ("json", "telemetry/bus.34.u.a", ""),
        ("value", "telemetry/bus.34.u.a", r#"{"value":1e308,"unit":"kV"}"#),
        ("unit", "telemetry/bus.34.u.a", r#"{"value":231.2,"unit":"furlong"}"#),
        (
            "time",
            "telemetry/bus.34.u.a",
            r#"{"value":231.2,"unit":"V","measured_at":"2199-01-01T00:00:00Z"}"#,
        ),
        ("point", "telemetry/bus.34.colour", r#"{"value":231.2,"unit":"V"}"#),
        ("too_deep", "telemetry/bus.34.u.a", &deep),
        ("too_large", "telemetry/bus.34.u.a", &large),
        ("unknown_point", "telemetry/bus.999999.u.a", r#"{"value":231.2,"unit":"V"}"#),
        ("voltage-range", "telemetry/bus.34.u.a", r#"{"value":231.2,"unit":"kV"}"#),
        ("service-fuse", "telemetry/meter.3001.energy", &thousandfold),
        (
            "identity",
            "device/11/status",
            r#"{"activation":"x","device":12,"accepted":true,"at":"2026-01-15T16:30:00Z"}"#,
        ),
    ];
    let messages: Vec<(String, &str)> =
        cases.iter().map(|(_, level, payload)| (format!("gridflex/demo/{level}"), *payload)).collect();
    let messages: Vec<(&str, &str)> =
        messages.iter().map(|(topic, payload)| (topic.as_str(), *payload)).collect();
    publish(demo.broker, &messages).unwrap();
    for (code, _, _) in &cases {
        let expected = cases.iter().filter(|(other, _, _)| other == code).count() as u64;
        let picture = wait_for(&format!("{expected} refusals as {code}"), Duration::from_secs(5), || {
            Some(demo.snapshot())
                .filter(|picture| refused(picture, code) - refused(&before, code) >= expected)
        });
        assert_eq!(refused(&picture, code) - refused(&before, code), expected, "{code}");
    }
    assert_eq!(point(&demo.snapshot(), "bus.34.u.a"), None, "a refused value was used");

    // An honest value of the same points still arrives, and the loop is as alive as before.
    publish(demo.broker, &[("gridflex/demo/telemetry/meter.3001.energy", &honest)]).unwrap();
    publish(demo.broker, &[("gridflex/demo/telemetry/bus.34.u.a", r#"{"value":0.2312,"unit":"kV"}"#)])
        .unwrap();
    wait_for("the good value", Duration::from_secs(2), || {
        point(&demo.snapshot(), "bus.34.u.a").filter(|(value, _)| (value - 231.2).abs() < 1e-9)
    });
    let estimate_at = |demo: &Demo| demo.snapshot()["health"]["estimator"]["at"].clone();
    let estimate = estimate_at(&demo);
    wait_for("the next estimate", Duration::from_secs(5), || {
        Some(()).filter(|()| estimate_at(&demo) != estimate)
    });
    let health = demo.snapshot()["health"].clone();
    assert_eq!((&health["restarts"], &health["quarantined"]), (&0.into(), &0.into()), "{health}");
    assert_eq!(health["link"], "up");
    assert!(demo.is_running());
    demo.signal("TERM");
    let (status, _, err) = demo.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{err}");
}
