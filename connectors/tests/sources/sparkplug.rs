//! Sparkplug B: a node of paho-mqtt and google.protobuf at mosquitto, which is born, tells what changes, loses messages and dies.

use super::broker::{broker, is_there, listen};
use super::peer::{Peer, python};
use super::port::free_port;
use super::{Heard, Listener};
use connectors::mqtt::foreign::BrokerConfig;
use connectors::point_map;
use grid::{Measurement, Quality, Timestamp};
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROWS: &str = "tag,element,quantity,phase,unit,sign\n\
    spBv1.0/north/cellar#Voltage/A,bus.3,u,a,V,\n\
    spBv1.0/north/cellar/meter 7#P total,branch.21,p,,kW,generation\n\
    spBv1.0/north/cellar/meter 7#U,bus.3,u,b,V,\n";

struct Story {
    _folder: tempfile::TempDir,
    _broker: super::broker::Broker,
    node: Peer,
    listener: Listener,
}

fn config(port: u16) -> BrokerConfig {
    let map = point_map::read(ROWS.as_bytes()).unwrap();
    let points = BrokerConfig::points(&map).unwrap();
    BrokerConfig { points, silence: Duration::from_secs(20), ..super::broker::config(port) }
}

fn node(python: &Path, port: u16) -> Peer {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sources/sparkplug_node.py");
    let (peer, said) = Peer::run(python, &script, port, &["north", "cellar"]);
    assert_eq!(said, "listening");
    peer
}

fn peer() -> Option<PathBuf> {
    let both = python("paho.mqtt").is_some() && is_there();
    python("google.protobuf").filter(|_| both)
}

impl Story {
    /// A broker, a node that waits to be asked, and us.
    async fn begin() -> Option<Self> {
        let python = peer()?;
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let broker = broker(folder.path(), port, "allow_anonymous true");
        let mut node = node(&python, port);
        let mut listener = listen(config(port));
        listener.until(&["up"]).await;
        assert_eq!(node.ask(r#"{"command":1}"#), r#"[["Node Control/Rebirth", true]]"#);
        Some(Self { _folder: folder, _broker: broker, node, listener })
    }

    fn send(&mut self, kind: &str, device: &str, more: &str, metrics: &str) {
        let device = if device.is_empty() { String::new() } else { format!(r#""device":"{device}","#) };
        // The clock of the listener stands still; so does that of the node.
        let time = now().seconds() * 1_000;
        self.node.tell(&format!(r#"{{"send":"{kind}",{device}"time":{time},{more}"metrics":[{metrics}]}}"#));
    }

    /// The node and its device are born.
    fn birth(&mut self) {
        self.send(
            "NBIRTH",
            "",
            "",
            r#"{"name":"bdSeq","type":"UInt64","value":0},{"name":"Voltage/A","alias":1,"type":"Float","value":230.5},
               {"name":"Node Control/Rebirth","type":"Boolean","value":false},{"name":"other","alias":9,"type":"String","value":"x"}"#
                .replace('\n', "")
                .as_str(),
        );
        self.send(
            "DBIRTH",
            "meter 7",
            "",
            r#"{"name":"P total","alias":2,"type":"Int16","value":-3},{"name":"U","alias":3,"type":"Double","value":231.25}"#,
        );
    }

    fn rejected(&self, code: &str) -> u64 {
        self.listener.source.counters.snapshot().rejected.get(code).copied().unwrap_or(0)
    }
}

fn now() -> Timestamp {
    super::SLOT.start().plus(Duration::from_secs(300))
}

const BORN: [&str; 3] = ["bus.3.u.a=230.5", "branch.21.p=3000", "bus.3.u.b=231.25"];
const LOST: [&str; 3] = ["bus.3.u.a missing", "branch.21.p missing", "bus.3.u.b missing"];

async fn value(listener: &mut Listener) -> Measurement {
    loop {
        match listener.next().await {
            Heard::Value(value) => return value,
            Heard::Up => {}
            Heard::Down(reason) => panic!("{reason}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_asked_tells_its_values_and_their_changes_by_alias_and_what_is_not_good_is_missing() {
    let Some(mut story) = Story::begin().await else { return };
    story.birth();
    assert_eq!(story.listener.until(&BORN).await.len(), 3);
    story.send("NDATA", "", "", r#"{"alias":1,"type":"Float","value":229.5}"#);
    // A whole number is of the type that its birth said.
    story.send(
        "DDATA",
        "meter 7",
        "",
        r#"{"alias":2,"type":"Int16","untyped":true,"value":5},{"alias":9,"type":"String","value":"y"}"#,
    );
    story.listener.until(&["bus.3.u.a=229.5", "branch.21.p=-5000"]).await;
    story.send("DDATA", "meter 7", "", r#"{"alias":3,"type":"Double","value":231.0,"quality":500}"#);
    story.send("DDATA", "meter 7", "", r#"{"alias":2,"type":"Int16","null":true}"#);
    story.send("NDATA", "", "", r#"{"alias":1,"type":"String","value":"on"}"#);
    assert_eq!(story.listener.until(&LOST).await.len(), 3);
    assert_eq!(story.rejected("value"), 1);
    // What was kept while a connection was away has its own time, and does not make a value that is missing be there again.
    let before = now().minus(Duration::from_secs(60));
    let kept = format!(
        r#"{{"alias":2,"type":"Int16","value":7,"historical":true,"time":{}}}"#,
        before.seconds() * 1_000
    );
    story.send("DDATA", "meter 7", "", &kept);
    let told = value(&mut story.listener).await;
    assert_eq!((told.value, told.measured_at, told.quality), (-7_000.0, before, Quality::Measured));
    story.send(
        "DDATA",
        "meter 7",
        "",
        r#"{"alias":2,"type":"Int16","null":true},{"alias":3,"type":"Double","value":231.0,"quality":192}"#,
    );
    assert_eq!(
        story.listener.until(&["bus.3.u.b=231"]).await,
        ["bus.3.u.b=231"],
        "it was told to be missing"
    );
    // Ten minutes ahead of our clock.
    let ahead = now().plus(Duration::from_secs(600)).seconds() * 1_000;
    story.send(
        "DDATA",
        "meter 7",
        "",
        &format!(r#"{{"alias":3,"type":"Double","value":232.0,"time":{ahead}}}"#),
    );
    story.listener.until(&["bus.3.u.b missing"]).await;
    assert_eq!(story.rejected("time"), 1);
    story.listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gap_or_an_unknown_alias_ends_trust_until_the_node_is_born_again() {
    let Some(mut story) = Story::begin().await else { return };
    story.birth();
    story.listener.until(&BORN).await;
    // Message 2 never came, and the values of the next ones are not taken: their aliases may mean something else by now.
    story.send("NDATA", "", r#""seq":3,"#, r#"{"alias":1,"type":"Float","value":100.0}"#);
    story.send("NDATA", "", r#""seq":4,"#, r#"{"alias":1,"type":"Float","value":101.0}"#);
    assert_eq!(story.node.ask(r#"{"command":1}"#), r#"[["Node Control/Rebirth", true]]"#);
    assert_eq!(story.rejected("order"), 2);
    // It does not answer: after a while nothing is known of it.
    assert_eq!(story.listener.until(&LOST).await.len(), 3);
    story.birth();
    assert_eq!(story.listener.until(&BORN).await.len(), 3);
    story.send("DDATA", "meter 7", "", r#"{"alias":77,"type":"Double","value":1.0}"#);
    assert_eq!(story.node.ask(r#"{"command":1}"#), r#"[["Node Control/Rebirth", true]]"#);
    story.birth();
    // What was the same all the time is no news; nothing was missing meanwhile.
    story.send("NDATA", "", "", r#"{"name":"Voltage/A","type":"Float","value":228.0}"#);
    assert_eq!(story.listener.until(&["bus.3.u.a=228"]).await.last().unwrap(), "bus.3.u.a=228");
    // No payload at all.
    story.send("NDATA", "", r#""raw":"1207","#, "");
    assert_eq!(story.node.ask(r#"{"command":1}"#), r#"[["Node Control/Rebirth", true]]"#);
    assert_eq!((story.rejected("order"), story.rejected("encoding")), (3, 1));
    story.listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_a_device_or_of_its_node_is_told_at_once_and_an_old_death_is_not_believed() {
    let Some(mut story) = Story::begin().await else { return };
    story.birth();
    story.listener.until(&BORN).await;
    story.send("DDEATH", "meter 7", "", "");
    assert_eq!(story.listener.until(&LOST[1..]).await.len(), 2, "the node lives");
    story.send("DDATA", "meter 7", "", r#"{"alias":3,"type":"Double","value":231.0}"#);
    assert_eq!(story.node.ask(r#"{"command":1}"#), r#"[["Node Control/Rebirth", true]]"#);
    story.birth();
    story.listener.until(&BORN[1..]).await;
    story.send("NDEATH", "", "", r#"{"name":"bdSeq","type":"UInt64","value":255}"#);
    story.send("NDATA", "", "", r#"{"alias":1,"type":"Float","value":229.0}"#);
    assert_eq!(story.listener.until(&["bus.3.u.a=229"]).await, ["bus.3.u.a=229"]);
    // The broker tells it when the connection breaks.
    story.node.tell(r#"{"break":1}"#);
    assert_eq!(story.listener.until(&LOST).await.len(), 3);
    story.node.tell(r#"{"connect":1}"#);
    story.birth();
    story.listener.until(&BORN).await;
    story.listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_silent_too_long_is_missing_and_who_only_listens_asks_nothing() {
    let Some(python) = peer() else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let broker = broker(folder.path(), port, "allow_anonymous true");
    let node = node(&python, port);
    let commands = std::process::Command::new("mosquitto_sub")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-t", "spBv1.0/+/NCMD/#", "-C", "1", "-W", "5"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It tells nobody when it has subscribed.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let config = BrokerConfig { silence: Duration::from_secs(2), listen_only: true, ..config(port) };
    let mut listener = listen(config);
    listener.until(&["up"]).await;
    let mut story = Story { _folder: folder, _broker: broker, node, listener };
    story.birth();
    story.listener.until(&BORN).await;
    assert_eq!(story.listener.until(&LOST).await.len(), 3);
    let commands = commands.wait_with_output().unwrap();
    assert!(commands.stdout.is_empty(), "{commands:?}");
    story.listener.leave().await;
}
