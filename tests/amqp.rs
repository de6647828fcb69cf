//! `gridflex serve` behind a broker of somebody else: RabbitMQ, and a client with aio-pika that asks as the service platform's samples do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test
#![allow(clippy::disallowed_methods)] // the client outside reads the wall clock

mod harness;

use harness::{Demo, free_port, gridflex, run, text, words};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";
const PASSWORD: &str = "a password of the broker";

/// RabbitMQ with everything of its own in one folder; ended when it is dropped.
struct Broker {
    folder: PathBuf,
    plain: u16,
    encrypted: u16,
    mapper: u16,
    child: Option<Child>,
}

impl Broker {
    fn new(folder: &Path) -> Self {
        let [plain, encrypted, mapper] = std::array::from_fn(|_| free_port());
        let broker = Self { folder: folder.to_owned(), plain, encrypted, mapper, child: None };
        let place = folder.display();
        let configuration = format!(
            "listeners.tcp.here = 127.0.0.1:{plain}\nlisteners.ssl.here = 127.0.0.1:{encrypted}\n\
             ssl_options.cacertfile = {place}/ca.pem\nssl_options.certfile = {place}/broker.pem\nssl_options.keyfile = {place}/broker.key\n\
             ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n\
             default_user = ems\ndefault_pass = {PASSWORD}\nlog.console = false\n"
        );
        std::fs::write(folder.join("rabbitmq.conf"), configuration).unwrap();
        std::fs::write(folder.join("plugins"), "[].\n").unwrap();
        broker
    }

    fn start(&mut self) {
        let file = |name: &str| self.folder.join(name);
        let child = Command::new(SERVER)
            .env("HOME", &self.folder)
            .env("RABBITMQ_NODENAME", format!("gridflex-{}@localhost", self.plain))
            .env("RABBITMQ_CONF_ENV_FILE", file("absent"))
            .env("RABBITMQ_CONFIG_FILE", file("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", file("absent.config"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", file("plugins"))
            .env("RABBITMQ_MNESIA_BASE", file("store"))
            .env("RABBITMQ_LOG_BASE", file("log"))
            .env("RABBITMQ_PID_FILE", file("pid"))
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-kernel inet_dist_use_interface {127,0,0,1}")
            .env("ERL_EPMD_PORT", self.mapper.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        harness::wait_for("RabbitMQ", Duration::from_secs(120), || {
            TcpStream::connect(("127.0.0.1", self.plain)).ok()?;
            TcpStream::connect(("127.0.0.1", self.encrypted)).ok()
        });
    }

    /// As a power cut.
    fn kill(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let group = format!("-{}", child.id());
        let _ = Command::new("kill").args(["-9", "--", &group]).status();
        let _ = child.wait();
        harness::wait_for("the end of RabbitMQ", Duration::from_secs(30), || {
            TcpStream::connect(("127.0.0.1", self.plain)).is_err().then_some(())
        });
        // Where names of nodes are mapped to ports: started by the broker, on a port of this test.
        let mapper = self.mapper.to_string();
        let _ = Command::new("epmd").args(["-port", &mapper, "-kill"]).output();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An authority and a certificate of `localhost`.
fn certificates(folder: &Path) {
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", words(&output));
    };
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    );
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout broker.key -out broker.csr",
    );
    openssl(
        "x509 -req -in broker.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out broker.pem",
    );
}

/// A program of somebody else that asks.
struct Client {
    child: Child,
    said: BufReader<ChildStdout>,
    number: u64,
}

impl Client {
    fn start(python: &Path, port: u16) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/amqp_client.py");
        let mut child = Command::new(python)
            .args([text(&script), &port.to_string(), "ems", PASSWORD])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut client = Self { child, said, number: 0 };
        assert_eq!(client.line(), "connected");
        client
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn order(&mut self, order: &Value) -> Value {
        writeln!(self.child.stdin.as_mut().unwrap(), "{order}").unwrap();
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Status and result.
    fn ask(&mut self, name: &str, arguments: Value) -> (u64, Value) {
        self.number += 1;
        let order = json!({ "ask": { "name": name, "args": arguments }, "id": self.number });
        let reply = self.order(&order);
        taken_apart(&reply, &self.number.into())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn taken_apart(reply: &Value, number: &Value) -> (u64, Value) {
    let reply = &reply["serviceResponse"];
    assert_eq!(&reply["requestor"]["correlationID"], number, "{reply}");
    (reply["service"]["status"].as_u64().unwrap(), reply["service"]["result"].clone())
}

/// A Python with aio-pika; without one, or without RabbitMQ, the story is skipped, loudly.
fn peers() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/venv/bin/python");
    let python = [own, "python3".into()].into_iter().find(|python| {
        let has = Command::new(python).args(["-c", "import aio_pika"]).output();
        has.is_ok_and(|output| output.status.success())
    });
    if python.is_none() || !Path::new(SERVER).exists() {
        println!(
            "SKIPPED: rabbitmq-server or aio-pika is not installed; scripts/setup.sh test installs them"
        );
        return None;
    }
    python
}

/// The example site with an account `ems` that speaks for prosumer 31, and the broker's queue.
fn site(folder: &Path, server: &str) -> PathBuf {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site");
    for file in ["network.json", "rights.toml", "substation.csv"] {
        std::fs::copy(example.join(file), folder.join(file)).unwrap();
    }
    let mut written = std::fs::read_to_string(example.join("site.toml")).unwrap();
    for (from, to) in [
        ("127.0.0.1:8080\"", "127.0.0.1:0\"\naccounts = \"access.json\""),
        ("127.0.0.1:1883", "127.0.0.1:0"),
        ("127.0.0.1:1502", &format!("127.0.0.1:{}", free_port())),
    ] {
        assert!(written.contains(from), "{from}");
        written = written.replacen(from, to, 1);
    }
    written += &format!(
        "\n[[amqp]]\nname = \"platform\"\nserver = \"{server}\"\nauthority = \"ca.pem\"\nuser = \"ems\"\n\
         password_file = \"broker.password\"\nqueue = \"requests\"\nuser_ids = true\nmessage_bytes_max = 65536\n"
    );
    std::fs::write(folder.join("broker.password"), format!("{PASSWORD}\n")).unwrap();
    let accounts = folder.join("access.json");
    let roles = ["access", "add", "ems", "--role", "prosumer", "--prosumer", "31", "--file", text(&accounts)];
    let mut adding = gridflex(roles).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    adding.stdin.take().unwrap().write_all(b"correct horse battery staple").unwrap();
    assert!(adding.wait().unwrap().success());
    let file = folder.join("site.toml");
    std::fs::write(&file, written).unwrap();
    file
}

/// So many seconds before now, as the sample writes instants.
fn instant(ago: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let at = grid::Timestamp::from_seconds((now - ago) as i64).to_string();
    at.replace('Z', "+00:00")
}

fn stored(values: &[(&str, &str, f64)]) -> Value {
    let values: Vec<Value> = values
        .iter()
        .map(|(point, at, value)| json!({ "ts_id": point, "observed_timestamp": at, "value": value }))
        .collect();
    json!({ "cmd": "ts/store_timeseries_values", "values": values })
}

#[test]
fn the_service_platform_answers_through_rabbitmq_and_loses_or_doubles_nothing_when_the_broker_is_killed() {
    let Some(python) = peers() else { return };
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let mut broker = Broker::new(folder.path());
    broker.start();
    let file = site(folder.path(), &format!("localhost:{}", broker.encrypted));
    let checked = run(["check", text(&file)]);
    assert!(checked.status.success(), "{}", words(&checked));
    let running = Demo::serve(&file);
    let mut client = Client::start(&python, broker.plain);
    what_is_served(&mut client);
    what_is_refused(&mut client);

    // Three hundred values, one request each; the broker is killed while they are worked on.
    let base = 3000;
    let one = |number: u64| {
        let at = instant(base - number);
        json!([number, { "name": "TimeseriesService", "args": stored(&[("meter.31.q", &at, number as f64)]) }])
    };
    let numbers: Vec<u64> = (1000..1300).collect();
    let sent: Vec<Value> = numbers.iter().map(|number| one(number - 1000 + 1)).collect();
    let sent: Vec<Value> = sent
        .into_iter()
        .zip(&numbers)
        .map(|(mut one, number)| {
            one[0] = json!(number);
            one
        })
        .collect();
    let posted = client.order(&json!({ "post": sent }));
    broker.kill();
    assert!(
        posted["posted"] == 300 && posted["left"].as_u64() > Some(0),
        "the broker was killed too late: {posted}"
    );
    println!("requests that were waiting when the broker was killed: {}", posted["left"]);
    drop(client);
    broker.start();
    let mut client = Client::start(&python, broker.plain);
    let collected = client.order(&json!({ "collect": numbers }));
    let replies = collected["replies"].as_object().unwrap();
    assert!(replies.values().all(|status| *status == 200), "{collected}");
    let asked = json!({ "cmd": "ts/get_timeseries_values", "device_id": "meter.31.q", "from": instant(base + 60), "to": instant(0) });
    let (status, result) = client.ask("TimeseriesService", asked);
    assert_eq!((status, &result["count"]), (200, &300.into()));
    let sum: f64 =
        result["values"].as_array().unwrap().iter().map(|value| value["value"].as_f64().unwrap()).sum();
    assert_eq!(sum, 300.0 * 301.0 / 2.0);
    println!("repeated replies after the restart: {}", collected["repeated"]);
    drop(running);
}

fn what_is_served(client: &mut Client) {
    let (early, late) = (instant(100), instant(90));
    let values = stored(&[("meter.31.p", &early, 1500.0), ("meter.31.p", &late, 2500.0)]);
    // The same again: nothing is there twice.
    for _ in 0..2 {
        let (status, result) = client.ask("TimeseriesService", values.clone());
        assert_eq!((status, &result["count"]), (200, &2.into()), "{result}");
    }
    let span = json!({ "device_id": "meter.31.p", "from": instant(200), "to": instant(0) });
    let asked = |cmd: &str| {
        let mut asked = span.clone();
        asked["cmd"] = cmd.into();
        asked
    };
    let (status, result) = client.ask("TimeseriesService", asked("ts/get_timeseries_values"));
    assert_eq!((status, &result["count"], &result["unit"]), (200, &2.into(), &"W".into()), "{result}");
    assert_eq!(
        (&result["values"][0]["value"], &result["values"][1]["value"]),
        (&1500.0.into(), &2500.0.into())
    );
    let (status, result) = client.ask("TimeseriesService", asked("ts/average_timeseries_values"));
    assert_eq!((status, &result["values"][0]["value"]), (200, &2000.0.into()), "{result}");
    let (status, result) = client.ask("TimeseriesService", json!({ "cmd": "ts/get_time_series" }));
    assert_eq!(status, 200, "{result}");
    assert_eq!(result["count"].as_u64(), result["ts_ids"].as_array().map(|ids| ids.len() as u64));

    let put = json!({ "cmd": "put", "keys": [["simpleKeyValueInc", "0"], ["jsonKeyValue", "{\"json\":\"value\"}"]] });
    assert_eq!(client.ask("KeyValueService", put), (200, json!({ "count": 2 })));
    let keys = json!([["simpleKeyValueInc"], ["jsonKeyValue"], ["never"]]);
    let (status, result) = client.ask("KeyValueService", json!({ "cmd": "get", "keys": keys }));
    assert_eq!((status, &result["values"][1]), (200, &json!(["jsonKeyValue", "{\"json\":\"value\"}"])));
    assert_eq!(result["missing"], json!(["never"]));
    assert_eq!(client.ask("KeyValueService", json!({ "cmd": "del", "keys": keys })).1["count"], 2);
}

fn what_is_refused(client: &mut Client) {
    let mut refused = |name: &str, arguments: Value, wanted: u64, part: &str| {
        let (status, result) = client.ask(name, arguments);
        let said = result.to_string();
        assert!(status == wanted && said.contains(part), "{wanted} {part}: {status} {said}");
    };
    let at = instant(100);
    refused("TimeseriesService", stored(&[("meter.43.p", &at, 1.0)]), 403, "not_own");
    refused(
        "TimeseriesService",
        stored(&[("my-time-series-id", &at, 21.1)]),
        422,
        "names no measurement point",
    );
    refused(
        "TimeseriesService",
        stored(&[("meter.31.p", "2018-10-05T11:07:00+00:00", 21.1)]),
        422,
        "last seven days",
    );
    refused(
        "TimeseriesService",
        json!({ "cmd": "ts/get_timeseries_values", "device_id": "meter.31.p" }),
        422,
        "from",
    );
    let foreign =
        json!({ "cmd": "ts/get_timeseries_values", "device_id": "meter.43.p", "from": at, "to": instant(0) });
    refused("TimeseriesService", foreign, 403, "not_own");
    let model = json!({ "cmd": "register_model", "model_name": "m", "entity": "1", "signal": "ENERGY_LOAD" });
    refused("TimeseriesService", model, 501, "register_model is not served here");
    refused("WeatherService-CleanedHistorical-External", json!({}), 501, "is not served here");
    refused("KeyValueService", json!({ "cmd": "put", "keys": [["a"]] }), 422, "no value stands beside");

    // Without a name nobody asks; what is no request is told to whoever can be told.
    let order = json!({ "ask": { "name": "KeyValueService", "args": { "cmd": "get", "keys": [["a"]] } }, "id": 900, "named": false });
    assert_eq!(taken_apart(&client.order(&order), &900.into()).0, 401);
    for (raw, status) in [("no JSON".to_owned(), 422), ("x".repeat(65_537), 413)] {
        let reply = client.order(&json!({ "raw": raw }));
        assert_eq!(taken_apart(&reply, &Value::Null).0, status, "{reply}");
    }
    let lost =
        r#"{"serviceRequest":{"requestor":{"replyTo":"requests"},"service":{"name":"KeyValueService"}}}"#;
    assert_eq!(
        client.order(&json!({ "raw": lost })),
        Value::Null,
        "nothing is replied to the queue of requests"
    );
}

#[test]
fn every_problem_of_a_broker_of_requests_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = site(folder.path(), "localhost:5671");
    let good = std::fs::read_to_string(&file).unwrap();
    let (before, section) = good.split_at(good.find("\n[[amqp]]").unwrap());
    let line = 2 + before.lines().count();
    for (from, to, part) in [
        ("localhost:5671", "localhost", "amqp server \"localhost\" is not host:port"),
        (
            "server = \"localhost:5671\"\nauthority = \"ca.pem\"",
            "server = \"192.0.2.7:5672\"",
            "the password would be readable on the way",
        ),
        ("\"broker.password\"", "\"absent\"", "amqp password_file: "),
        ("\"ca.pem\"", "\"absent.pem\"", "amqp authority: "),
        ("user_ids = true\n", "", "amqp: nobody could ask"),
    ] {
        assert!(section.contains(from), "{from}");
        std::fs::write(&file, format!("{before}{}", section.replace(from, to))).unwrap();
        let output = run(["check", text(&file)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("site.toml:{line}: amqp")) && said.contains(part),
            "{line} {part}: {said}"
        );
    }
}
