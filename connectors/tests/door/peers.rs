//! Programs that we did not write: mosquitto's clients, and paho in Python. Where one cannot be found its story is
//! skipped, loudly.

use super::open_door;
use connectors::mqtt::Door;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

fn skip(what: &str) {
    println!("SKIPPED: {what} is not installed; scripts/setup.sh test installs it");
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--help").output().is_ok()
}

fn at<'a>(command: &'a mut Command, door: &Door) -> &'a mut Command {
    command.args(["-h", "127.0.0.1", "-p", &door.address().port().to_string()])
}

fn mosquitto_pub(door: &Door, args: &[&str]) -> Output {
    at(&mut Command::new("mosquitto_pub"), door).args(args).output().unwrap()
}

/// Listens until `count` messages came, at most 20 s.
fn mosquitto_sub(door: &Door, count: usize, args: &[&str]) -> Child {
    let child = at(&mut Command::new("mosquitto_sub"), door)
        .args(["-C", &count.to_string(), "-W", "20", "-F", "%t %r %q %p"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It tells nobody when it has subscribed.
    std::thread::sleep(Duration::from_millis(700));
    child
}

fn heard(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn mosquitto_clients_publish_subscribe_retain_and_leave_a_will() {
    if !has("mosquitto_pub") {
        return skip("mosquitto_pub");
    }
    let door = open_door();
    let sub = mosquitto_sub(&door, 4, &["-t", "gridflex/#", "-q", "2"]);
    for (qos, expected) in [("0", "zero"), ("1", "one"), ("2", "two")] {
        let output = mosquitto_pub(&door, &["-t", "gridflex/x/t", "-q", qos, "-m", expected]);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(mosquitto_pub(&door, &["-t", "gridflex/x/kept", "-q", "1", "-r", "-m", "kept"]).status.success());
    let expected =
        ["gridflex/x/t 0 0 zero", "gridflex/x/t 0 1 one", "gridflex/x/t 0 1 two", "gridflex/x/kept 0 1 kept"];
    assert_eq!(heard(sub), expected);
    assert_eq!(heard(mosquitto_sub(&door, 1, &["-t", "gridflex/+/kept"])), ["gridflex/x/kept 1 0 kept"]);
    let witness = mosquitto_sub(&door, 1, &["-t", "gridflex/x/will"]);
    let mut dying = mosquitto_sub(
        &door,
        9,
        &["-t", "gridflex/none", "--will-topic", "gridflex/x/will", "--will-payload", "gone"],
    );
    dying.kill().unwrap();
    dying.wait().unwrap();
    assert_eq!(heard(witness), ["gridflex/x/will 0 0 gone"]);
    assert!(!mosquitto_pub(&door, &["-t", "elsewhere/x", "-q", "1", "-m", "x"]).status.success());
}

#[test]
fn a_persistent_session_of_mosquitto_sub_gets_what_came_while_it_was_away() {
    if !has("mosquitto_sub") {
        return skip("mosquitto_sub");
    }
    let door = open_door();
    let away = ["-i", "device", "-c", "-q", "1", "-t", "gridflex/x/order"];
    let first = mosquitto_sub(&door, 1, &away);
    mosquitto_pub(&door, &["-t", "gridflex/x/order", "-q", "1", "-m", "1"]);
    assert_eq!(heard(first), ["gridflex/x/order 0 1 1"]);
    mosquitto_pub(&door, &["-t", "gridflex/x/order", "-q", "1", "-m", "2"]);
    assert_eq!(heard(mosquitto_sub(&door, 1, &away)), ["gridflex/x/order 0 1 2"]);
}

/// The Python of the tests' own environment, or of the machine, if it has paho.
fn python() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers/venv/bin/python");
    [own, "python3".into()].into_iter().find(|python| {
        let has_paho = Command::new(python).args(["-c", "import paho.mqtt"]).output();
        has_paho.is_ok_and(|output| output.status.success())
    })
}

#[test]
fn paho_tells_its_story() {
    let Some(python) = python() else { return skip("paho-mqtt") };
    let door = open_door();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/door/paho_story.py");
    let port = door.address().port().to_string();
    let output = Command::new(python).arg(script).arg(port).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    assert_eq!(out.lines().last(), Some("7 of 7 passed"), "{out}{err}");
}
