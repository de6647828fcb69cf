//! Brokers of others: mosquitto, with passwords and TLS, killed and started again, and its own client as the one who publishes.

use super::port::free_port;
use super::{Heard, Listener, Told};
use connectors::mqtt::foreign::{BrokerConfig, BrokerTls, connect};
use connectors::point_map;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const HEADER: &str = "tag,element,quantity,phase,unit,scale,sign,deadband\n";
const ROWS: &str = "home/3/u,bus.3,u,a,V,,,\nhome/4/state#/grid/u/1,bus.3,u,b,V,0.1,,\nhome/4/state#/p,branch.21,p,,kW,,generation,\n";

/// mosquitto on a port, ended when it is dropped.
pub struct Broker(Child);

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn is_there() -> bool {
    let there = |program: &str| Command::new(program).arg("-h").output().is_ok();
    let both = there("mosquitto") && there("mosquitto_pub");
    if !both {
        println!(
            "SKIPPED: mosquitto and mosquitto_pub are not installed; scripts/setup.sh test installs them"
        );
    }
    both
}

pub fn broker(folder: &Path, port: u16, more: &str) -> Broker {
    let file = folder.join("mosquitto.conf");
    std::fs::write(&file, format!("listener {port} 127.0.0.1\n{more}\n")).unwrap();
    let child = Command::new("mosquitto").arg("-c").arg(&file).stderr(Stdio::null()).spawn().unwrap();
    let broker = Broker(child);
    for _ in 0..200 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return broker;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("mosquitto does not listen");
}

fn publish(port: u16, more: &[&str], topic: &str, payload: &str) {
    let port = port.to_string();
    let mut command = Command::new("mosquitto_pub");
    command.args(["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", topic, "-m", payload]).args(more);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

pub fn config(port: u16) -> BrokerConfig {
    let map = point_map::read(format!("{HEADER}{ROWS}").as_bytes()).unwrap();
    BrokerConfig {
        name: "homes".into(),
        server: format!("127.0.0.1:{port}"),
        tls: None,
        user: None,
        time: None,
        silence: Duration::from_secs(300),
        listen_only: false,
        points: BrokerConfig::points(&map).unwrap(),
    }
}

pub fn listen(config: BrokerConfig) -> Listener {
    Listener::new(connect(config, Arc::new(Told::default())).unwrap())
}

const MISSING: [&str; 3] = ["bus.3.u.a missing", "bus.3.u.b missing", "branch.21.p missing"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_of_mosquitto_are_read_lost_and_found_again() {
    if !is_there() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let mut listener = listen(config(port));
    listener.until(&[&MISSING[..], &["down"]].concat()).await;
    let mosquitto = broker(folder.path(), port, "allow_anonymous true");
    listener.until(&["up"]).await;
    publish(port, &[], "home/3/u", "230.5");
    publish(port, &[], "home/4/state", r#"{"grid":{"u":[0,2311]},"p":2.75,"other":"x"}"#);
    publish(port, &[], "home/5/u", "1");
    let told =
        listener.until(&["bus.3.u.a=230.5", "bus.3.u.b=231.10000000000002", "branch.21.p=-2750"]).await;
    assert_eq!(told.len(), 3, "{told:?}");
    // What is about something else changes nothing; null, noise and no number are missing, once.
    publish(port, &[], "home/4/state", r#"{"other":1}"#);
    publish(port, &[], "home/4/state", r#"{"p":null}"#);
    publish(port, &[], "home/3/u", "on");
    publish(port, &[], "home/3/u", "{}");
    publish(port, &[], "home/4/state", r#"{"grid":{"u":[0,1e300]}}"#);
    publish(port, &[], "home/3/u", "231");
    let told = listener.until(&["bus.3.u.a=231"]).await;
    assert_eq!(told, ["branch.21.p missing", "bus.3.u.a missing", "bus.3.u.b missing", "bus.3.u.a=231"]);
    let counted = listener.source.counters.snapshot();
    assert_eq!(counted.rejected_total(), 3, "{counted:?}");

    drop(mosquitto);
    let told = listener.until(&["down"]).await;
    assert_eq!(told, ["bus.3.u.a missing", "down"], "the others were told");
    let _mosquitto = broker(folder.path(), port, "allow_anonymous true");
    listener.until(&["up"]).await;
    publish(port, &[], "home/3/u", "232");
    listener.until(&["bus.3.u.a=232"]).await;
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_counts_when_it_says_how_old_it_is_and_silence_is_told() {
    if !is_there() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let _mosquitto = broker(folder.path(), port, "allow_anonymous true");
    let at = super::SLOT.start();
    let state = |u: f64| format!(r#"{{"ts":"{at}","grid":{{"u":[0,{u}]}},"p":1}}"#);
    publish(port, &["-r"], "home/4/state", &state(2_300.0));
    let mut listener = listen(config(port));
    assert!(listener.during(Duration::from_secs(1)).await.iter().all(|words| words == "up"));
    assert_eq!(listener.source.counters.snapshot().rejected_total(), 1);
    listener.leave().await;
    let timed = BrokerConfig { time: Some("/ts".into()), silence: Duration::from_secs(2), ..config(port) };
    let mut listener = listen(timed);
    let value = loop {
        if let Heard::Value(value) = listener.next().await {
            break value;
        }
    };
    assert_eq!((value.measured_at, value.point.to_string().as_str()), (at, "bus.3.u.b"));
    listener.until(&MISSING).await;
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lists_of_a_service_platform_and_the_topics_of_a_house_are_read_by_their_own_times() {
    if !is_there() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let _mosquitto = broker(folder.path(), port, "allow_anonymous true");
    let at = |seconds| super::SLOT.start().minus(Duration::from_secs(seconds));
    let listen_to = |rows: &str, time: &str| {
        let map = point_map::read(format!("{HEADER}{rows}").as_bytes()).unwrap();
        let points = BrokerConfig::points(&map).unwrap();
        listen(BrokerConfig { time: Some(time.into()), points, ..config(port) })
    };
    let rows =
        "dms/out#[device_id=17]/value,bus.3,u,a,V,,,\ndms/out#[device_id=18]/value,branch.21,p,,kW,,,\n";
    let mut listener = listen_to(rows, "/observed_timestamp");
    listener.until(&["up"]).await;
    let row = |device: &str, seconds, value: &str| {
        format!(r#"{{"observed_timestamp":"{}","device_id":{device},"value":{value}}}"#, at(seconds))
    };
    let list = [
        row("\"17\"", 60, "230.5"),
        row("99", 60, "1"),
        row("18", 60, "2.5"),
        row("\"17\"", 0, "231"),
        r#"{"device_id":"18","value":7}"#.to_owned(),
    ];
    publish(port, &["-r"], "dms/out", &format!("[{}]", list.join(",")));
    let mut values = Vec::new();
    while values.len() < 4 {
        if let Heard::Value(value) = listener.next().await {
            values.push((value.point.to_string(), value.value, value.quality, value.measured_at));
        }
    }
    let measured = |point: &str, value, at| (point.to_owned(), value, grid::Quality::Measured, at);
    assert_eq!(values[..2], [measured("bus.3.u.a", 230.5, at(60)), measured("bus.3.u.a", 231.0, at(0))]);
    assert_eq!(values[2], measured("branch.21.p", 2_500.0, at(60)));
    assert_eq!(
        (values[3].0.as_str(), values[3].2),
        ("branch.21.p", grid::Quality::Missing),
        "it has no time"
    );
    assert_eq!(listener.source.counters.snapshot().rejected_total(), 1);
    listener.leave().await;

    let topic = "@update/h3/nodes/meter/objects/main/attributes/voltage";
    let mut listener = listen_to(&format!("{topic}#/value,bus.3,u,a,V,,,\n"), "/timestamp");
    listener.until(&["up"]).await;
    publish(port, &[], topic, &format!(r#"{{"timestamp":{},"value":229.5}}"#, at(5).seconds()));
    let value = loop {
        if let Heard::Value(value) = listener.next().await {
            break value;
        }
    };
    assert_eq!((value.value, value.measured_at), (229.5, at(5)));
    listener.leave().await;
}

fn files(folder: &Path) -> (PathBuf, String) {
    let made = rcgen::generate_simple_self_signed(vec!["broker.example".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let passwords = folder.join("passwords");
    std::fs::write(&passwords, "grid:a long secret\n").unwrap();
    let hashed = Command::new("mosquitto_passwd").arg("-U").arg(&passwords).output().unwrap();
    assert!(hashed.status.success(), "{hashed:?}");
    let more = format!(
        "certfile {}\nkeyfile {}\nallow_anonymous false\npassword_file {}\nuser root",
        certificate.display(),
        key.display(),
        passwords.display()
    );
    (certificate, more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_with_tls_and_passwords_is_heard_by_who_has_both_and_by_nobody_else() {
    if !is_there() {
        return;
    }
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (certificate, more) = files(folder.path());
    let _mosquitto = broker(folder.path(), port, &more);
    let password = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Some(("grid".to_owned(), file))
    };
    let tls = |name: &str| Some(BrokerTls { authority: certificate.clone(), name: Some(name.to_owned()) });
    let right = BrokerConfig {
        tls: tls("broker.example"),
        user: password("right", "a long secret\nanything\n"),
        ..config(port)
    };
    let mut listener = listen(right.clone());
    listener.until(&["up"]).await;
    let authority = certificate.display().to_string();
    let with = ["--cafile", &authority, "--insecure", "-u", "grid", "-P", "a long secret"];
    publish(port, &with, "home/3/u", "230.5");
    listener.until(&["bus.3.u.a=230.5"]).await;
    listener.leave().await;
    for (wrong, reason) in [
        (BrokerConfig { user: password("wrong", "another secret"), ..right.clone() }, "refuses"),
        (BrokerConfig { user: None, ..right.clone() }, "refuses"),
        (BrokerConfig { tls: tls("other.example"), ..right.clone() }, "TLS"),
        (BrokerConfig { tls: None, ..right.clone() }, "closed"),
        (BrokerConfig { user: Some(("grid".into(), folder.path().join("none"))), ..right }, "none"),
    ] {
        let mut listener = listen(wrong);
        let said = loop {
            match listener.next().await {
                Heard::Down(said) => break said,
                Heard::Up => panic!("it got in"),
                Heard::Value(_) => {}
            }
        };
        assert!(said.contains(reason), "{reason}: {said}");
        listener.leave().await;
    }
}
