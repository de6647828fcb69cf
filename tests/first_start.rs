//! A site nobody has an account of yet, and rights that end while it runs: through the command line, HTTP and MQTT.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

mod harness;

use harness::{Demo, PATIENCE, get, get_with, gridflex, post, run, text, wait_for, words};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A site with the example's network, on free ports.
fn site(directory: &Path, http: &str, mqtt: &str) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site");
    for entry in std::fs::read_dir(example).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, directory.join(path.file_name().unwrap())).unwrap();
        }
    }
    let example = std::fs::read_to_string(directory.join("site.toml")).unwrap();
    let network = example.lines().skip_while(|line| *line != "[network]").take_while(|line| !line.is_empty());
    let network: Vec<&str> = network.collect();
    let path = directory.join("site.toml");
    let written = format!("name = \"riverside\"\n[http]\n{http}\n[mqtt]\n{mqtt}\n{}\n", network.join("\n"));
    std::fs::write(&path, written).unwrap();
    path
}

const HTTP: &str = "listen = \"127.0.0.1:0\"\naccounts = \"access.json\"";
const MQTT: &str = "listen = \"127.0.0.1:0\"";

/// The token that a site says when it starts, and the site.
fn started(site: &Path) -> (Demo, Option<String>) {
    let running = Demo::serve(site);
    std::thread::sleep(Duration::from_millis(300));
    let said = running.said();
    let token = said.split("\"token\":\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.map(str::to_owned);
    (running, token)
}

#[test]
fn the_first_administrator_is_made_with_a_token_that_is_good_once_and_not_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let site = site(directory.path(), HTTP, MQTT);
    assert!(run(["check", text(&site)]).status.success());
    let (running, first) = started(&site);
    let first = first.expect("a token is said");
    drop(running);
    let (running, token) = started(&site);
    let token = token.expect("another one after a restart");
    let set_up = |token: &str, password: &str| {
        let body = json!({ "token": token, "name": "ada", "password": password });
        post(running.page, "/api/v1/setup", &body).unwrap().status
    };
    // Until then nobody is let in.
    assert_eq!(get(running.page, "/api/v1/snapshot").unwrap().status, 401);
    assert_eq!(set_up(&first, "a long enough secret"), 401);
    assert_eq!(set_up(&token, "short"), 422);
    assert_eq!(set_up(&token, "a long enough secret"), 201);
    assert_eq!(set_up(&token, "a long enough secret"), 404);
    let log_in = json!({ "name": "ada", "password": "a long enough secret" });
    let logged_in = post(running.page, "/api/v1/session", &log_in).unwrap();
    assert_eq!((logged_in.status, logged_in.json()["roles"].clone()), (200, json!(["security-admin"])));
    running.signal("TERM");
    running.end(PATIENCE);
    let (running, none) = started(&site);
    assert_eq!(none, None, "there is an administrator");
    drop(running);
    let log = directory.path().join("data/audit.jsonl");
    let written = std::fs::read_to_string(&log).unwrap();
    assert!(written.contains("\"set up\"") && !written.contains(&token), "{written}");
    assert!(run(["access", "audit", text(&log)]).status.success());
}

#[test]
fn a_token_opens_no_listener_that_others_reach_without_tls_nor_one_with_accounts_and_no_administrator() {
    let directory = tempfile::tempdir().unwrap();
    let public = HTTP.replace("127.0.0.1", "0.0.0.0") + "\nnames = \"grid.example\"";
    let file = site(directory.path(), &public, MQTT);
    let output = run(["check", text(&file)]);
    assert_eq!(output.status.code(), Some(2));
    let said = words(&output);
    assert!(said.contains("needs TLS (certificate and key); without"), "{said}");
    let accounts = directory.path().join("access.json");
    let made = run(["access", "token", "screen", "--role", "viewer", "--file", text(&accounts)]);
    assert!(made.status.success(), "{}", words(&made));
    let said = words(&run(["check", text(&file)]));
    assert!(said.contains("TLS (certificate and key), an administrator among them"), "{said}");
    assert_eq!(gridflex(["serve", text(&file)]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_device_that_the_rights_lose_is_cut_off_from_a_running_site_and_that_is_counted_and_written_down() {
    let directory = tempfile::tempdir().unwrap();
    let mqtt = format!("{MQTT}\nrights = \"rights.toml\"");
    let site = site(directory.path(), HTTP, &mqtt);
    let accounts = directory.path().join("access.json");
    let made = run(["access", "token", "figures", "--role", "viewer", "--file", text(&accounts)]);
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let running = Demo::serve(&site);
    let mut options = MqttOptions::new("311", running.broker.ip().to_string(), running.broker.port());
    options.set_credentials("311", "charger");
    let (client, mut events) = Client::new(options, 10);
    client.subscribe("gridflex/riverside/device/311/activation", QoS::AtLeastOnce).unwrap();
    let mut next = || events.recv_timeout(PATIENCE).unwrap().map_err(|error| error.to_string());
    while !matches!(next(), Ok(Event::Incoming(Packet::SubAck(_)))) {}
    let rights = directory.path().join("rights.toml");
    let written = std::fs::read_to_string(&rights).unwrap();
    let without = written.replace("identity = \"311\"", "identity = \"312\"");
    std::fs::write(directory.path().join("new"), without).unwrap();
    std::fs::rename(directory.path().join("new"), &rights).unwrap();
    // Cut off, and refused when it comes again.
    let refused = std::iter::from_fn(|| Some(next())).filter_map(Result::err).take(2);
    let refused = refused.collect::<Vec<_>>();
    assert!(refused[1].contains("BadUserNamePassword"), "{refused:?}");
    let bearer = format!("Authorization: Bearer {token}");
    wait_for("the count", PATIENCE, || {
        let figures = get_with(running.page, "/metrics", &[&bearer]).ok()?;
        let figures = String::from_utf8(figures.body).unwrap();
        figures.contains("mqtt_door_total{what=\"withdrawn\"} 1\n").then_some(())
    });
    let log = directory.path().join("data/audit.jsonl");
    let noted = wait_for("the audit log", PATIENCE, || {
        let noted = std::fs::read_to_string(&log).ok()?;
        noted.contains("cut off mqtt client").then_some(noted)
    });
    let lines: Vec<&str> = noted.lines().collect();
    let place = |words: &str| lines.iter().position(|line| line.contains(words));
    assert!(place("renew mqtt rights") < place("cut off mqtt client"), "{noted}");
    assert!(noted.contains("\"311\"") && noted.contains("unknown_now"), "{noted}");
}
