//! `gridflex check` and `gridflex serve` on the example site, and on sites that must not be started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test

mod harness;

use harness::{Demo, PATIENCE, free_port, get, gridflex, run, text, wait_for, words};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site")
}

/// A copy of the example in a directory of its own, on free ports.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(example()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let site = directory.path().join("site.toml");
    change(&site, "127.0.0.1:8080", "127.0.0.1:0");
    change(&site, "127.0.0.1:1883", "127.0.0.1:0");
    change(&site, "127.0.0.1:1502", &format!("127.0.0.1:{}", free_port()));
    (directory, site)
}

fn change(file: &Path, from: &str, to: &str) {
    let old = std::fs::read_to_string(file).unwrap();
    assert!(old.contains(from), "{} does not contain {from}", file.display());
    std::fs::write(file, old.replace(from, to)).unwrap();
}

/// What `check` says to a file that is wrong; `serve` must say the same and end.
fn refusal(site: &Path) -> String {
    let output = run(["check", text(site)]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(output.stdout.is_empty(), "{}", words(&output));
    let said = String::from_utf8(output.stderr).unwrap();
    let output = run(["serve", text(site)]);
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(2), said.clone()));
    said
}

#[test]
fn the_example_site_is_good() {
    let output = run(["check", text(&example().join("site.toml"))]);
    assert!(output.status.success(), "{}", words(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("4 buses, 3 branches, 4 connections")
            && said.contains("devices 2")
            && said.contains("points  10"),
        "{said}"
    );
    let output = run(["check", "--json", text(&example().join("site.toml"))]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["ok"], &report["site"]["name"]), (&true.into(), &"riverside".into()));
    assert!(!example().join("data").exists(), "a check left something behind");
}

#[test]
fn an_empty_file_is_a_site_on_the_loopback_address() {
    let (directory, site) = copy();
    let empty = directory.path().join("empty.toml");
    std::fs::write(&empty, "").unwrap();
    let output = run(["check", text(&empty)]);
    assert!(output.status.success(), "{}", words(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("http    127.0.0.1:8080") && said.contains("mqtt    127.0.0.1:1883, plain"),
        "{said}"
    );
    drop(site);
}

#[test]
fn a_listener_open_to_others_is_refused_with_the_reason() {
    let (_directory, site) = copy();
    let listening = |what: &str| {
        let (directory, site) = copy();
        change(
            &site,
            &format!("[{what}]\nlisten = \"127.0.0.1:0\""),
            &format!("[{what}]\nlisten = \"0.0.0.0:0\""),
        );
        let said = refusal(&site);
        drop(directory);
        said
    };
    let said = listening("http");
    assert!(
        said.contains("site.toml:10: http: refusing to listen on 0.0.0.0:0")
            && said.contains("needs TLS (certificate and key), accounts, an administrator"),
        "{said}"
    );
    let said = listening("mqtt");
    assert!(said.contains("site.toml:13: mqtt.listen") && said.contains("without TLS"), "{said}");
    change(&site, "rights = \"rights.toml\"\n", "");
    change(&site, "[mqtt]\nlisten = \"127.0.0.1:0\"", "[mqtt]\nlisten = \"0.0.0.0:0\"");
    let said = refusal(&site);
    assert!(said.contains("TLS and rights of clients"), "{said}");
}

#[test]
fn every_problem_is_named_with_its_file_and_line() {
    let (directory, site) = copy();
    change(&site, "usage_point = 31", "usage_point = 99");
    change(&site, "number = 432", "number = 311");
    change(
        &site,
        "rights = \"rights.toml\"",
        "rights = \"rights.toml\"\ncertificate = \"none.pem\"\nkey = \"none.key\"",
    );
    change(
        &directory.path().join("rights.toml"),
        "password = \"$7$101$cml2ZXJzaWRlLTAy",
        "password = \"charger$",
    );
    let map = directory.path().join("substation.csv");
    change(&map, "1/input/0/f32,bus.2,u,a", "1/input/0/f32,bus.7,u,a");
    change(&map, "1/input/2/f32", "1/input/2/f33");
    let said = refusal(&site);
    for part in [
        "site.toml:15: the MQTT door's TLS",
        "site.toml:48: device 311 is behind usage point 99",
        "site.toml:55: device 311 is given twice; the first one is in line 48",
        "substation.csv:3: element: bus.7.u.a is no point of the network",
        "substation.csv:4: tag: format \"f33\"",
        "rights.toml:10: client 2 (\"311\"): the password is not a hash",
        "6 problems",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let output = gridflex(["check", "--json", text(&site)]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report["problems"].as_array().unwrap().len()), (Some(2), 6));
    std::fs::write(&site, "colour = 1\nzone = 2\n").unwrap();
    let said = refusal(&site);
    assert!(
        said.contains("site.toml:1: colour: no such key") && said.contains("site.toml:2: zone"),
        "{said}"
    );
}

#[test]
fn too_little_memory_for_the_network_is_refused_with_what_it_needs() {
    let (_directory, site) = copy();
    let written = std::fs::read_to_string(&site).unwrap();
    let line = written.lines().count() + 2;
    std::fs::write(&site, written.clone() + "[limits]\nmemory_mb = 100\n").unwrap();
    let said = refusal(&site);
    let wanted = format!(
        "site.toml:{line}: limits.memory_mb: 100 MB is too little: the program with 4 buses and 2 devices"
    );
    assert!(said.contains(&wanted) && said.contains("write 129 or more"), "{said}");
    std::fs::write(&site, written + "[limits]\nmemory_mb = 129\n").unwrap();
    assert!(run(["check", text(&site)]).status.success());
}

/// A Modbus server of pymodbus with the registers of the example; `None`, said loudly, where it is not installed.
fn substation(port: u16) -> Option<std::process::Child> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/peers/venv/bin/python");
    let has = std::process::Command::new(&python).args(["-c", "import pymodbus"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: pymodbus is not installed; scripts/setup.sh test installs it");
        return None;
    }
    let mut child = std::process::Command::new(python)
        .args([root.join("connectors/tests/sources/modbus_server.py").as_os_str(), port.to_string().as_ref()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // 230.5 V as three floats, then 12.5 kW, 0 and 0.25 kW fed back.
    let registers = "input 1 0 17254 32768 17254 32768 17254 32768 0 12500 0 0 65535 65286";
    writeln!(child.stdin.as_mut().unwrap(), "{registers}").unwrap();
    Some(child)
}

#[test]
fn the_meters_of_the_example_are_read_over_modbus_and_missed_when_they_go() {
    let (directory, site) = copy();
    let port = free_port();
    let Some(mut server) = substation(port) else { return };
    let written = std::fs::read_to_string(&site).unwrap();
    let line = written.lines().find(|line| line.starts_with("server = ")).unwrap();
    change(&site, line, &format!("server = \"127.0.0.1:{port}\""));
    change(&site, "period_s = 5", "period_s = 0.5");
    let running = Demo::serve(&site);
    let row = |point: &str| {
        let snapshot = running.snapshot();
        snapshot["points"].as_array()?.iter().find(|row| row["point"] == point).cloned()
    };
    let is =
        |point: &'static str, value: f64| move |row: &Value| row["point"] == point && row["value"] == value;
    for (point, value) in [("bus.2.u.b", 230.5), ("branch.11.p.a", 12_500.0), ("branch.11.p.c", -250.0)] {
        let found = wait_for(point, PATIENCE, || row(point).filter(is(point, value)));
        assert_eq!(found["quality"], "measured");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    let missing =
        wait_for("a missing point", PATIENCE, || row("bus.2.u.b").filter(|row| row["quality"] == "missing"));
    assert_eq!(missing["value"], Value::Null);
    let feed = running.snapshot()["feed"].to_string();
    assert!(feed.contains("substation connected") && feed.contains("substation lost"), "{feed}");
    drop(directory);
}

/// Starts a script of the connectors' tests under the peers' Python; `None`, said loudly, where asyncua is not installed.
fn asyncua(
    script: &str,
    arguments: &[&str],
) -> Option<(std::process::Child, BufReader<std::process::ChildStdout>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/peers/venv/bin/python");
    let has = std::process::Command::new(&python).args(["-c", "import asyncua"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: asyncua is not installed; scripts/setup.sh test installs it");
        return None;
    }
    let mut child = std::process::Command::new(python)
        .arg(root.join("connectors/tests").join(script))
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    Some((child, output))
}

fn line(output: &mut impl BufRead) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn a_scada_is_heard_over_opc_ua_and_sees_what_the_site_knows() {
    let (directory, site) = copy();
    let (scada, own) = (free_port(), free_port());
    let folder = text(directory.path());
    let Some((mut server, mut said)) = asyncua("sources/opcua_server.py", &[&scada.to_string(), folder])
    else {
        return;
    };
    assert_eq!(line(&mut said), "listening");
    std::fs::write(
        directory.path().join("scada.csv"),
        "tag,element,quantity,phase,unit\nns=2;s=P1,bus.3,u,a,V\n",
    )
    .unwrap();
    std::fs::write(directory.path().join("scada.password"), "secret\n").unwrap();
    let written = std::fs::read_to_string(&site).unwrap();
    let more = format!(
        "\n[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://127.0.0.1:{scada}/peer\"\npoints = \"scada.csv\"\n\
         server_certificate = \"server.der\"\nuser = \"scada\"\npassword_file = \"scada.password\"\nperiod_s = 0.2\n\
         [opcua_server]\nlisten = \"127.0.0.1:{own}\"\nanonymous = true\n"
    );
    std::fs::write(&site, written + &more).unwrap();
    let running = Demo::serve(&site);
    let row = |quality: &'static str| {
        let snapshot = running.snapshot();
        let row = snapshot["points"].as_array()?.iter().find(|row| row["point"] == "bus.3.u.a").cloned();
        row.filter(|row| row["quality"] == quality)
    };
    let measured = wait_for("a value", PATIENCE, || row("measured"));
    assert_eq!(measured["value"], 230.0);

    // Nobody trusts the client yet; an operator does, then it sees what there is.
    let client = || asyncua("shown/opcua_client.py", &[&own.to_string(), folder]).unwrap();
    let (mut stranger, mut said) = client();
    assert!(line(&mut said).starts_with("refused"));
    stranger.wait().unwrap();
    let store = directory.path().join("data/opcua/server");
    for entry in std::fs::read_dir(store.join("rejected")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::rename(&path, store.join("trusted").join(path.file_name().unwrap())).unwrap();
    }
    let (mut client, mut said) = client();
    assert_eq!(line(&mut said), "connected");
    let mut ask = |question: &str| {
        writeln!(client.stdin.as_mut().unwrap(), "{question}").unwrap();
        line(&mut said)
    };
    assert!(ask("browse objects").contains("gridflex_riverside"), "spaces are shown as underscores");
    assert_eq!(ask("browse gridflex"), "Alarms Branches Buses Health Outlook");
    let now = wait_for("the clock", PATIENCE, || {
        Some(ask("read health.now")).filter(|said| said.contains(" Good "))
    });
    assert!(now.starts_with("20"), "{now}");
    let heard = wait_for("telemetry", PATIENCE, || {
        Some(ask("read alarms.telemetry")).filter(|said| said.starts_with("False Good"))
    });
    drop(heard);

    server.kill().unwrap();
    server.wait().unwrap();
    wait_for("a missing point", PATIENCE, || row("missing"));
    let feed = running.snapshot()["feed"].to_string();
    assert!(feed.contains("scada connected") && feed.contains("scada lost"), "{feed}");
    client.kill().unwrap();
    client.wait().unwrap();
}

#[test]
fn every_problem_of_opc_ua_is_named_with_its_file_and_line() {
    let (directory, site) = copy();
    let map = "tag,element,quantity,unit,phase\nP1,bus.3,u,V,a\nns=2;s=P2,meter.31,energy,Wh,\nns=2;s=P3,bus.9,u,V,a\n";
    std::fs::write(directory.path().join("scada.csv"), map).unwrap();
    let first = std::fs::read_to_string(&site).unwrap().lines().count() as u64;
    let more = "[[opcua]]\nname = \"substation\"\nendpoint = \"rtu:4840\"\npoints = \"scada.csv\"\nsecurity = \"Basic128\"\n\
                [[opcua]]\nname = \"other\"\nendpoint = \"opc.tcp://rtu:4840\"\npoints = \"scada.csv\"\nuser = \"ada\"\n\
                [opcua_server]\nlisten = \"0.0.0.0:4840\"\nsecurity = \"None\"\n";
    let written = std::fs::read_to_string(&site).unwrap();
    std::fs::write(&site, written.clone() + more).unwrap();
    let said = refusal(&site);
    for part in [
        format!("site.toml:{}: opcua 1.security: security \"Basic128\" is none of Basic256Sha256", first + 5),
        format!("site.toml:{}: opcua 2.user: give user and password_file", first + 10),
    ] {
        assert!(said.contains(&part), "{part}\n{said}");
    }
    let more = more.replace("security = \"Basic128\"\n", "").replace("user = \"ada\"\n", "");
    std::fs::write(&site, written + &more).unwrap();
    let said = refusal(&site);
    for part in [
        format!("site.toml:{}: opcua: \"substation\" is the name of another connector too", first + 2),
        format!("site.toml:{}: opcua endpoint \"rtu:4840\" is not opc.tcp://host:port", first + 3),
        format!("site.toml:{}: opcua server_certificate is missing", first + 7),
        format!("site.toml:{}: opcua_server: 0.0.0.0:4840 can be reached from other machines", first + 10),
        format!("site.toml:{}: opcua_server: nobody could log in", first + 10),
        "scada.csv:2: tag: \"P1\" is no node".to_owned(),
        "scada.csv:3: quantity: energies of quarter-hours are not read over OPC UA".to_owned(),
        "scada.csv:4: element: bus.9.u.a is no point of the network".to_owned(),
    ] {
        assert!(said.contains(&part), "{part}\n{said}");
    }
}

#[test]
fn a_point_may_have_two_sources_of_different_ranks() {
    let (_directory, site) = copy();
    let written = std::fs::read_to_string(&site).unwrap();
    let backup =
        "\n[[modbus]]\nname = \"backup\"\nserver = \"127.0.0.1:1502\"\npoints = \"substation.csv\"\n";
    std::fs::write(&site, format!("{written}{backup}")).unwrap();
    let said = refusal(&site);
    assert!(said.contains("give one of the two connectors another rank"), "{said}");
    std::fs::write(&site, format!("{written}{backup}rank = 2\n")).unwrap();
    let output = gridflex(["check", text(&site)]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Publishes with quality 1 under a name; whether it was acknowledged.
fn publishes(site: &Demo, (user, password): (&str, &str), topic: &str, payload: &str) -> bool {
    let mut options = MqttOptions::new(user, site.broker.ip().to_string(), site.broker.port());
    options.set_credentials(user, password).set_keep_alive(Duration::from_secs(10));
    let (client, mut connection) = Client::new(options, 10);
    client.publish(topic, QoS::AtLeastOnce, false, payload).unwrap();
    for event in connection.iter() {
        match event {
            Ok(Event::Incoming(Packet::PubAck(_))) => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
    false
}

#[test]
fn the_example_site_runs_takes_values_under_rights_and_is_taken_up_again() {
    let (directory, site) = copy();
    let running = Demo::serve(&site);
    let substation = ("substation", "substation");
    let voltage = r#"{"value":232.5,"unit":"V"}"#;
    let point = "gridflex/riverside/telemetry/bus.3.u.a";
    assert!(publishes(&running, substation, point, voltage));
    assert!(!publishes(&running, ("substation", "wrong"), point, voltage), "a wrong password");
    assert!(!publishes(&running, ("311", "charger"), point, voltage), "another's topic");
    let shown = || {
        let snapshot = running.snapshot();
        let rows = snapshot["points"].as_array()?.clone();
        rows.into_iter().find(|row| row["point"] == "bus.3.u.a" && row["value"] == 232.5)
    };
    assert_eq!(wait_for("the value in the picture", PATIENCE, shown)["quality"], "measured");
    assert_eq!(get(running.page, "/api/v1/network").unwrap().json()["name"], "Riverside");
    assert_eq!(get(running.page, "/healthz").unwrap().status, 200);
    // Nobody else may take the same data.
    let output = run(["serve", text(&site)]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(words(&output).contains("another gridflex process"), "{}", words(&output));
    running.signal("TERM");
    let (status, out, err) = running.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{out}\n{err}");
    assert!(!err.contains("ERROR"), "an orderly end is no error:\n{err}");

    let running = Demo::serve(&site);
    running.signal("INT");
    let (status, out, _) = running.end(PATIENCE);
    assert!(status.success() && out.contains("(taken up)"), "{out}");

    change(&site, "name = \"riverside\"", "name = \"hillside\"");
    let output = run(["serve", text(&site)]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(
        words(&output).contains("belongs to site riverside, this is site hillside"),
        "{}",
        words(&output)
    );
    drop(directory);
}

/// Status code of a GET with a token.
fn status_with(page: std::net::SocketAddr, path: &str, token: &str) -> u16 {
    let mut socket = std::net::TcpStream::connect(page).unwrap();
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_site_with_accounts_lets_in_those_who_have_one_until_they_are_removed() {
    let (directory, site) = copy();
    let accounts = directory.path().join("access.json");
    change(&site, "[http]\n", "[http]\naccounts = \"access.json\"\n");
    let made = run(["access", "token", "screen", "--role", "operator", "--file", text(&accounts)]);
    assert!(made.status.success(), "{}", words(&made));
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let running = Demo::serve(&site);
    assert_eq!(get(running.page, "/api/v1/network").unwrap().status, 401);
    assert_eq!(status_with(running.page, "/api/v1/network", "gridflex_guessed"), 401);
    assert_eq!(status_with(running.page, "/api/v1/network", &token), 200);
    assert_eq!(status_with(running.page, "/api/v1/flexoffers/offer-1", &token), 404);
    assert!(run(["access", "remove", "screen", "--file", text(&accounts)]).status.success());
    assert_eq!(status_with(running.page, "/api/v1/network", &token), 401);
    running.signal("TERM");
    running.end(PATIENCE);
    let log = directory.path().join("data/audit.jsonl");
    let checked = run(["access", "audit", text(&log)]);
    assert!(checked.status.success(), "{}", words(&checked));
}
