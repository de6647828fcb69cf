//! Modbus on lines: pymodbus on a serial line whose bytes are spoilt on their way, behind a gateway, unplugged and plugged in
//! again; and units made by hand, which are silent, late, or answer for others.

use super::cable::{Cable, End, Then};
use super::modbus::listen;
use super::peer::{Peer, python};
use super::port::free_port;
use super::{Heard, Told};
use connectors::modbus::{ModbusConfig, connect};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn serial(device: &Path) -> String {
    format!("serial:{},9600,8N1", device.display())
}

const ROWS: &str = "7/input/0/f32/cdab,bus.2,u,a,V,,,\n1/holding/190/u16,bus.3,u,b,V,0.1,,\n1/input/200/u16,bus.3,u,c,V,,,\n";
const VALUES: [&str; 2] = ["bus.2.u.a=230.5", "bus.3.u.b=231.10000000000002"];

/// Starts pymodbus on a device, with values.
fn start(python: &Path, how: &[&str], port: u16) -> Peer {
    let mut peer = Peer::start_with(python, "modbus_server.py", port, how);
    peer.tell("input 7 0 32768 17254");
    peer.tell("holding 1 190 2311");
    peer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_of_pymodbus_on_a_serial_line_are_read_whatever_it_spoils_and_found_again_when_plugged_in() {
    let (Some(python), Some(_)) = (python("pymodbus"), super::peer::python("serial")) else { return };
    let (Some(asking), Some(asked)) = (End::new(), End::new()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("line");
    symlink(asking.device(), &device).unwrap();
    let _peer = start(&python, &["serial", asked.device().to_str().unwrap()], 0);
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = answers.clone();
    // Every third answer has one bit wrong, and every fifth lacks its end.
    let cable = Cable::between(asking, asked, move |mut answer| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        if number % 3 == 2 {
            answer[number % 5] ^= 1 << (number % 8);
        } else if number % 5 == 4 {
            answer.truncate(4);
        }
        answer
    });
    let mut listener = listen(serial(&device), ROWS, &Arc::new(Told::default()));
    let told = listener.until(&[&VALUES[..], &["up", "bus.3.u.c missing"]].concat()).await;
    assert!(!told.iter().any(|words| words == "down"), "{told:?}");
    while answers.load(Ordering::SeqCst) < 60 {
        for words in listener.during(Duration::from_millis(300)).await {
            let known = [&VALUES[..], &["bus.2.u.a missing", "bus.3.u.b missing"]].concat();
            assert!(known.contains(&words.as_str()), "{words}");
        }
    }
    let refused = listener.source.counters.snapshot().rejected;
    assert!(refused["encoding"] >= 10, "{refused:?}");

    // Both ends are gone with the cable, as when an adapter is pulled out.
    drop(cable);
    listener.until(&["down"]).await;
    let (Some(asking), Some(asked)) = (End::new(), End::new()) else { return };
    std::fs::remove_file(&device).unwrap();
    symlink(asking.device(), &device).unwrap();
    let _peer = start(&python, &["serial", asked.device().to_str().unwrap()], 0);
    let _cable = Cable::between(asking, asked, |answer| answer);
    listener.until(&[&VALUES[..], &["up"]].concat()).await;
    assert_eq!(listener.source.counters.snapshot().connected, 2);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_of_pymodbus_behind_a_gateway_are_read_lost_and_found_again() {
    let Some(python) = python("pymodbus") else { return };
    let port = free_port();
    let mut listener = listen(format!("rtu+tcp://127.0.0.1:{port}"), ROWS, &Arc::new(Told::default()));
    listener.until(&["down"]).await;
    let peer = start(&python, &["rtu"], port);
    listener.until(&[&VALUES[..], &["up"]].concat()).await;
    let told = listener.during(Duration::from_secs(2)).await;
    assert!(told.iter().filter(|words| *words == VALUES[0]).count() >= 2, "{told:?}");
    peer.kill();
    let told = listener.until(&["down"]).await;
    assert_eq!(told.iter().filter(|words| words.ends_with("missing")).count(), 2, "{told:?}");
    let _peer = start(&python, &["rtu"], port);
    listener.until(&[&VALUES[..], &["up"]].concat()).await;
    listener.leave().await;
}

/// A frame around what a unit says.
fn frame(bytes: &[u8]) -> Vec<u8> {
    let step = |sum: u16, _| if sum & 1 == 1 { sum >> 1 ^ 0xa001 } else { sum >> 1 };
    let sum = bytes.iter().fold(0xffff, |sum, byte| (0..8).fold(sum ^ u16::from(*byte), step));
    [bytes, &sum.to_le_bytes()].concat()
}

/// The right answer to a question for one register.
fn answered([unit, function, ..]: [u8; 8], register: u16) -> Vec<u8> {
    let [high, low] = register.to_be_bytes();
    frame(&[unit, function, 2, high, low])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_take_turns_and_who_is_silent_late_or_speaks_for_another_is_never_a_wrong_value() {
    let Some(end) = End::new() else { return };
    let device = end.device().to_owned();
    let rows = "1/input/0/u16,bus.2,u,a,V,,,\n2/input/0/u16,bus.2,u,b,V,,,\n3/input/0/u16,bus.2,u,c,V,,,\n4/input/0/u16,bus.3,u,a,V,,,\n5/input/0/u16,bus.3,u,b,V,,,\n";
    let _cable = Cable::answering(end, |question| match question[0] {
        1 => vec![Then::Say(answered(question, 231))],
        // Later than the answer may be, when the next unit has long been asked for.
        2 => vec![Then::Wait(600), Then::Say(answered(question, 400))],
        3 => vec![],
        // The address of another unit.
        4 => vec![Then::Say(answered([1, question[1], 0, 0, 0, 0, 0, 0], 400))],
        // Its own question is heard before, and a byte that the driver makes when it turns round.
        5 => vec![
            Then::Say(question.to_vec()),
            Then::Wait(20),
            Then::Say(vec![0xff]),
            Then::Say(answered(question, 235)),
        ],
        other => panic!("unit {other} is asked"),
    });
    let mut listener = listen(serial(&device), rows, &Arc::new(Told::default()));
    let missing = ["bus.2.u.b missing", "bus.2.u.c missing", "bus.3.u.a missing"];
    let mut told = listener.until(&[&missing[..], &["up", "bus.2.u.a=231", "bus.3.u.b=235"]].concat()).await;
    told.extend(listener.during(Duration::from_secs(6)).await);
    let count = |wanted: &str| told.iter().filter(|words| *words == wanted).count();
    assert!(count("bus.2.u.a=231") >= 2 && count("bus.3.u.b=235") >= 2, "{told:?}");
    let once = missing.iter().chain(&["up"]).map(|words| count(words)).collect::<Vec<_>>();
    assert_eq!((once, told.iter().any(|words| words.ends_with("=400"))), (vec![1; 4], false), "{told:?}");
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_that_is_silent_to_one_question_only_is_soon_asked_that_one_last() {
    let Some(end) = End::new() else { return };
    let device = end.device().to_owned();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let _cable = Cable::answering(end, move |question| {
        heard.lock().unwrap().push(question[3]);
        if question[3] == 0 { vec![] } else { vec![Then::Say(answered(question, 230))] }
    });
    let rows =
        "1/input/0/u16,bus.2,u,a,V,,,\n1/input/100/u16,bus.2,u,b,V,,,\n1/input/200/u16,bus.2,u,c,V,,,\n";
    let mut listener = listen(serial(&device), rows, &Arc::new(Told::default()));
    listener.until(&["bus.2.u.b=230", "bus.2.u.c=230"]).await;
    listener.during(Duration::from_secs(3)).await;
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[..2], [0, 0], "once more, in case it did not hear");
    let rounds = asked.windows(3).filter(|three| *three == [100, 200, 0]).count();
    assert!(rounds >= 2, "{asked:?}");
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_cannot_be_used_says_why() {
    let Some(end) = End::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let reason = async |server: String| {
        let mut listener = listen(server, "1/input/0/u16,bus.2,u,a,V,,,\n", &Arc::new(Told::default()));
        let reason = loop {
            match listener.next().await {
                Heard::Down(reason) => break reason,
                Heard::Up => panic!("it is up"),
                Heard::Value(_) => {}
            }
        };
        listener.leave().await;
        reason
    };
    assert!(reason(serial(&folder.path().join("none"))).await.contains("No such file"));
    assert!(reason(serial(&file)).await.contains("no serial line"));
    // A pseudo-terminal has no parity.
    let even = format!("serial:{},9600,8E1", end.device().display());
    assert!(reason(even).await.contains("cannot do"));
    // Nobody answers at all.
    assert!(reason(serial(end.device())).await.contains("no answer within"));
    let device = end.device().to_owned();
    let _cable = Cable::answering(end, |question| vec![Then::Say(answered(question, 230))]);
    let mut first = listen(serial(&device), "1/input/0/u16,bus.2,u,a,V,,,\n", &Arc::new(Told::default()));
    first.until(&["up"]).await;
    assert!(reason(serial(&device)).await.contains("another program uses it"));
    first.leave().await;
    let config = ModbusConfig {
        name: "line".into(),
        server: "serial:ttyUSB0,9600,8E1".into(),
        period: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        points: Vec::new(),
    };
    assert!(connect(config, Arc::new(Told::default())).unwrap_err().to_string().contains("absolute"));
}
