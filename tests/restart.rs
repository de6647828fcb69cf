//! Meters that are at the door before the program is: after a crash they come back at once, and send again what was not acknowledged.
//!
//! Every value that was acknowledged to them, at whatever moment of whichever life, is in the history at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test
#![allow(clippy::disallowed_methods, clippy::print_stderr)] // outside the program there is only the wall clock

mod harness;

use harness::{Demo, PATIENCE, free_port, gridflex, run, text, wait_for, words};
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const METERS: [&str; 3] = ["bus.2.u.a", "bus.3.u.a", "bus.3.u.b"];
/// How long the program is kept from what it has to read; a meter says a hundred things meanwhile.
const SLOW: Duration = Duration::from_secs(2);

/// A meter that says one thing after the other, each until it is acknowledged.
struct Meter {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<u32>>>,
    point: &'static str,
    thread: JoinHandle<()>,
}

impl Meter {
    fn start(broker: SocketAddr, point: &'static str) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<u32>>>::default());
        let (told, kept) = (stop.clone(), acknowledged.clone());
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !told.load(Ordering::Relaxed) {
                say(broker, point, &mut number, &told, &kept);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, acknowledged, point, thread }
    }

    fn heard(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// What was acknowledged to it: its point, and what it said.
    fn end(self) -> Vec<(String, u32)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        let acknowledged = self.acknowledged.lock().unwrap();
        acknowledged.iter().map(|number| (self.point.to_owned(), *number)).collect()
    }
}

/// One connection, until it breaks. A value tells its number: 230 V and so many microvolts, at a time of its own.
fn say(broker: SocketAddr, point: &str, number: &mut u32, stop: &AtomicBool, kept: &Mutex<Vec<u32>>) {
    let mut options = MqttOptions::new(point, broker.ip().to_string(), broker.port());
    options.set_keep_alive(Duration::from_secs(10));
    let (client, mut connection) = Client::new(options, 4);
    let publish = |number: u32| {
        let measured_at = format!("2026-06-01T00:{:02}:{:02}.{:06}Z", number / 60 % 60, number % 60, number);
        let value = 230.0 + f64::from(number) * 1e-6;
        let payload = format!("{{\"value\":{value},\"unit\":\"V\",\"measured_at\":\"{measured_at}\"}}");
        client
            .publish(format!("gridflex/riverside/telemetry/{point}"), QoS::AtLeastOnce, false, payload)
            .unwrap();
    };
    publish(*number);
    while !stop.load(Ordering::Relaxed) {
        match connection.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Event::Incoming(Packet::PubAck(_)))) => {
                kept.lock().unwrap().push(*number);
                *number += 1;
                publish(*number);
            }
            Ok(Ok(_)) | Err(rumqttc::RecvTimeoutError::Timeout) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}

/// A life that is kept from coming so far that it says where it listens.
struct Stuck(Child);

impl Drop for Stuck {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// A site with an operator that sends values under pseudonyms, all in one folder.
struct Place {
    directory: tempfile::TempDir,
    broker: SocketAddr,
}

impl Place {
    fn new() -> Self {
        let place =
            Self { directory: tempfile::tempdir().unwrap(), broker: ([127, 0, 0, 1], free_port()).into() };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/example-site");
        std::fs::copy(example.join("network.json"), place.at("network.json")).unwrap();
        for arguments in [
            vec!["acquire", "platform-key", "--name", "riverside"],
            vec!["acquire", "keys", "--sender", "dso-west", "--recipient", "riverside", "--epoch", "2026"],
        ] {
            let output = run(arguments.into_iter().chain(["--out", text(place.directory.path())]));
            assert!(output.status.success(), "{}", words(&output));
        }
        let points = format!("tag,element,quantity,phase,unit\np{:08}-{:032},bus.2,u,b,V\n", 0, 0);
        std::fs::write(place.at("points.csv"), points).unwrap();
        let site = format!(
            "name = \"riverside\"\n[http]\nlisten = \"127.0.0.1:0\"\n[mqtt]\nlisten = \"{}\"\n[[acquisition]]\n\
             name = \"dso-west\"\nsender_key = \"signing.pub\"\nkey = \"platform.key\"\npoints = \"points.csv\"\n",
            place.broker
        );
        std::fs::write(place.at("site.toml"), site).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A life whose disk does not answer when it reads what the operator sent.
    fn stuck(&self) -> Stuck {
        let log = self.at("data/acquisition/dso-west.log");
        std::fs::rename(&log, self.at("whole.log")).unwrap();
        assert!(Command::new("mkfifo").arg(&log).status().unwrap().success());
        let mut command = gridflex(["serve", text(&self.at("site.toml"))]);
        Stuck(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn mend(&self) {
        std::fs::rename(self.at("whole.log"), self.at("data/acquisition/dso-west.log")).unwrap();
    }

    /// Point and number of every value that is kept.
    fn history(&self) -> BTreeSet<(String, u32)> {
        let data = self.at("data");
        let output = run(["history", "query", text(&data), "telemetry", "--all-versions", "--json"]);
        assert!(output.status.success(), "{}", words(&output));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let number = |value: &Value| ((value["value"].as_f64().unwrap() - 230.0) * 1e6).round() as u32;
        let values = document["values"].as_array().unwrap().iter();
        values.map(|value| (value["point"].as_str().unwrap().to_owned(), number(value))).collect()
    }
}

#[test]
fn whatever_is_acknowledged_to_a_meter_that_was_there_before_the_program_is_kept() {
    let place = Place::new();
    let meters = METERS.map(|point| Meter::start(place.broker, point));
    let heard = || meters.iter().map(Meter::heard).collect::<Vec<_>>();
    for life in 0..3 {
        let mut program = Demo::serve(&place.at("site.toml"));
        let before = heard();
        wait_for("twenty acknowledgements of each meter", PATIENCE, || {
            let answered = heard().iter().zip(&before).all(|(now, before)| now - before >= 20);
            answered.then_some(())
        });
        program.kill();
        let stuck = place.stuck();
        std::thread::sleep(SLOW);
        drop(stuck);
        place.mend();
        eprintln!("life {life}: {:?} acknowledged", heard());
    }
    let mut program = Demo::serve(&place.at("site.toml"));
    let acknowledged: BTreeSet<_> = meters.into_iter().flat_map(Meter::end).collect();
    program.kill();
    let kept = place.history();
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged values are lost: {:?}",
        lost.len(),
        acknowledged.len(),
        &lost[..lost.len().min(5)]
    );
}
