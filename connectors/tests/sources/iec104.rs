//! IEC 60870-5-104: a station of c104 (lib60870), killed and started again; stations made by hand that break the rules.

use super::peer::{Peer, python};
use super::port::free_port;
use super::station::{self, START, Sent, TEST, frame, numbered};
use super::{Heard, Listener, SLOT, Told};
use connectors::iec104::{CounterReading, Iec104Config, Timers, TlsFiles, connect};
use connectors::point_map;
use grid::Quality;
use rand::{Rng, RngExt};
use rand_chacha::rand_core::SeedableRng;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const HEADER: &str = "tag,element,quantity,phase,unit,scale,sign,deadband\n";

fn config(server: String, rows: &str) -> Iec104Config {
    let map = point_map::read(format!("{HEADER}{rows}").as_bytes()).unwrap();
    let period = Duration::from_millis(400);
    let timers = Timers { t1: Duration::from_secs(3), t2: Duration::from_millis(200), ..Timers::default() };
    let counters = CounterReading { period: Duration::from_millis(200), freeze: false };
    Iec104Config {
        period,
        counters,
        timers,
        ..Iec104Config::new("rtu", server, Iec104Config::points(&map).unwrap())
    }
}

fn listen(config: Iec104Config, clock: &Arc<Told>) -> Listener {
    Listener::new(connect(config, clock.clone()).unwrap())
}

/// What the test's clock shows at first.
fn begin() -> String {
    (SLOT.start().seconds() + 300).to_string()
}

/// A station of c104 whose clock stands where the test's clock begins.
fn station_of_c104(python: &Path, port: u16) -> Peer {
    Peer::start_with(python, "iec104_server.py", port, &[&begin()])
}

const ROWS: &str = "ca=7 ioa=4001,bus.2,u,a,V,,,\nca=7 ioa=4002,branch.21,p,,kW,,generation,\n\
    ca=7 ioa=4003,bus.2,u,b,V,0.1,,\nca=7 ioa=4004,branch.22,q,,kvar,,,\nca=7 ioa=4005,branch.21,i,a,A,400,,\n\
    ca=7 ioa=4006,branch.23,p,,kW,100,,\nca=7 ioa=4007,branch.24,p,,kW,2,,\nca=7 ioa=4008,branch.25,p,,kW,2,,\n\
    ca=7 ioa=4009,branch.26,p,,kW,2,,\nca=7 ioa=4010,branch.27,p,,kW,2,,\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_of_c104_is_interrogated_listened_to_lost_and_found_again() {
    let Some(python) = python("c104") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    // Two more that are none: an object that the station does not have, and a station that is not there.
    let rows = format!("{ROWS}ca=7 ioa=4999,bus.3,u,a,V,,,\nca=9 ioa=4001,bus.3,u,b,V,,,\n");
    let mut listener = listen(config(format!("127.0.0.1:{port}"), &rows), &clock);
    let before = listener.until(&["down"]).await;
    assert_eq!(before.len(), 13, "twelve points and the state, once: {before:?}");

    let mut peer = station_of_c104(&python, port);
    listener.until(&["up"]).await;
    for (line, told) in [
        ("value ME_NC 230.5", "bus.2.u.a=230.5"),
        ("value ME_TF 2.75 1", "branch.21.p=-2750"),
        ("value ME_NB 2311", "bus.2.u.b=231.10000000000002"),
        ("value ME_TE -5 1", "branch.22.q=-5000"),
        ("value ME_NA 0.5", "branch.21.i.a=200"),
        ("value ME_TD -0.25 1", "branch.23.p=-25000"),
        ("value SP_NA 1", "branch.24.p=2000"),
        ("value SP_TB 1 1", "branch.25.p=2000"),
        ("value DP_NA 1", "branch.26.p=2000"),
        ("value DP_TB 1 1", "branch.27.p=2000"),
    ] {
        peer.tell(line);
        listener.until(&[told]).await;
    }
    // What does not change is told again by the next interrogation; what is none never was.
    let meanwhile = listener.during(Duration::from_secs(1)).await;
    assert!(!meanwhile.iter().any(|words| words.starts_with("bus.3")), "{meanwhile:?}");
    assert!(meanwhile.contains(&"branch.21.p=-2750".to_owned()), "{meanwhile:?}");
    let counted = listener.source.counters.snapshot();
    assert!(counted.rejected["point"] >= 2, "{counted:?}");
    // The bit string that is not in the map is of a type that is skipped.
    assert!(counted.rejected["value"] >= 1, "{counted:?}");

    peer.kill();
    let told = listener.until(&["down"]).await;
    let missing = told.iter().filter(|words| words.ends_with("missing")).count();
    assert_eq!(missing, 10, "each point that had a value, once: {told:?}");
    assert_eq!(listener.during(Duration::from_secs(1)).await, [""; 0], "the past is not told again");

    let mut peer = station_of_c104(&python, port);
    peer.tell("set ME_NC 229");
    listener.until(&["up", "bus.2.u.a=229"]).await;
    assert_eq!(listener.source.counters.snapshot().connected, 2);
    assert_eq!(peer.ask("clients"), "1");
    listener.leave().await;
    // It said good-bye.
    for _ in 0..100 {
        if peer.ask("clients") == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the station still sends to us");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn qualities_of_a_station_of_c104_are_kept_and_what_is_invalid_is_never_measured() {
    let Some(python) = python("c104") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let mut peer = station_of_c104(&python, port);
    let mut listener = listen(config(format!("127.0.0.1:{port}"), ROWS), &clock);
    listener.until(&["up"]).await;
    for (step, bit, is_substituted) in [
        (1, "Invalid", false),
        (2, "Substituted", true),
        (3, "NonTopical", false),
        (4, "Overflow", true),
        (5, "Blocked", false),
    ] {
        for name in ["ME_NC", "ME_TF"] {
            let (point, watts) = if name == "ME_NC" { ("bus.2.u.a", 1.0) } else { ("branch.21.p", -1000.0) };
            let number = step as f64 * 10.0;
            peer.tell(&format!("value {name} {number} 1"));
            listener.until(&[&format!("{point}={}", number * watts)]).await;
            peer.tell(&format!("value {name} {} 0.5 {bit}", number + 5.0));
            let substitute = format!("{point}~{}", (number + 5.0) * watts);
            let missing = format!("{point} missing");
            let told = listener.until(&[if is_substituted { &substitute } else { &missing }]).await;
            // Neither the change nor the next interrogation calls it measured.
            let after = [told, listener.during(Duration::from_millis(600)).await].concat();
            let measured = format!("{point}={}", (number + 5.0) * watts);
            assert!(!after.contains(&measured), "{bit}: {after:?}");
        }
        clock.set(300 + step);
        peer.tell(&format!("now {}", SLOT.start().seconds() + 300 + step));
    }
    // A time that has not come.
    peer.tell("value ME_TF 50 0.1");
    listener.until(&["branch.21.p=-50000"]).await;
    peer.tell("value ME_TF 99 -301");
    listener.until(&["branch.21.p missing"]).await;
    assert!(listener.source.counters.snapshot().rejected["time"] >= 1);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_killed_in_the_middle_of_a_stream_leaves_a_gap_and_tells_nothing_twice() {
    let Some(python) = python("c104") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let rows = "ca=7 ioa=4002,branch.21,p,,W,,,\n";
    let slow = Iec104Config { period: Duration::from_secs(5), ..config(format!("127.0.0.1:{port}"), rows) };
    let mut listener = listen(slow, &clock);
    listener.until(&["down"]).await;
    let mut told = Vec::new();
    for round in 0..3 {
        let mut peer = station_of_c104(&python, port);
        listener.until(&["up"]).await;
        listener.until(&["branch.21.p=0"]).await;
        for step in 0..20 {
            let second = round * 60 + step;
            clock.set(300 + second);
            peer.tell(&format!("now {}", SLOT.start().seconds() + 300 + second));
            peer.tell(&format!("value ME_TF {} 0", second + 1));
        }
        let last = format!("branch.21.p={}", round * 60 + 10);
        loop {
            let heard = listener.next().await;
            let is_last = heard.words() == last;
            told.push(heard);
            if is_last {
                break;
            }
        }
        peer.kill();
        loop {
            let heard = listener.next().await;
            let is_down = matches!(heard, Heard::Down(_));
            told.push(heard);
            if is_down {
                break;
            }
        }
        assert_eq!(told.iter().filter(|heard| heard.words().ends_with("missing")).count() as i64, round + 1);
    }
    let measured = told.iter().filter_map(|heard| match heard {
        Heard::Value(value) if value.quality == Quality::Measured && value.value != 0.0 => Some(*value),
        _ => None,
    });
    let measured: Vec<_> = measured.collect();
    assert!(measured.len() >= 30, "{}", measured.len());
    for pair in measured.windows(2) {
        let [before, after] = pair else { continue };
        assert!(after.value > before.value && after.measured_at > before.measured_at, "{before:?} {after:?}");
    }
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn integrated_totals_of_c104_become_the_exact_energy_of_a_slot() {
    let Some(python) = python("c104") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let mut peer = station_of_c104(&python, port);
    let rows = "ca=7 ioa=4011,meter.41,energy,,Wh,10,,\nca=7 ioa=4001,bus.2,u,a,V,,,\n";
    clock.set(1);
    peer.tell("set IT_NA 2147483640");
    peer.tell("value ME_NC 201");
    let mut listener = listen(config(format!("127.0.0.1:{port}"), rows), &clock);
    listener.until(&["up"]).await;
    // The voltage shows when a round of questions was made after the counter was set; the first one while the slot begins.
    listener.until(&["bus.2.u.a=201"]).await;
    for (seconds, count, round) in [(450, -2_147_483_646_i64, 202), (890, -2_147_483_636, 203)] {
        tokio::time::sleep(Duration::from_millis(600)).await;
        clock.set(seconds);
        peer.tell(&format!("set IT_NA {count}"));
        peer.tell(&format!("value ME_NC {round}"));
        listener.until(&[&format!("bus.2.u.a={round}")]).await;
    }
    // The station has the last count before the slot is over; the energy comes only after that and is not heard past.
    tokio::time::sleep(Duration::from_millis(600)).await;
    peer.tell("set IT_NA -2147483630");
    peer.tell("value ME_NC 204");
    listener.until(&["bus.2.u.a=204"]).await;
    clock.set(901);
    loop {
        match listener.next().await {
            Heard::Value(value) if value.point.to_string() == "meter.41.energy" => {
                // 26 counts over the end of 31 bits.
                let found = (value.value, value.quality, value.measured_at);
                assert_eq!(found, (260.0, Quality::Measured, SLOT.end()));
                break;
            }
            Heard::Down(reason) => panic!("{reason}"),
            _ => {}
        }
    }
    listener.leave().await;
}

/// Certificates of an authority, the station and us, as PEM files in a directory.
fn certificates(directory: &Path) {
    let key = || rcgen::KeyPair::generate().unwrap();
    let write = |name: &str, text: String| std::fs::write(directory.join(name), text).unwrap();
    let authority = |name: &str, file: &str| {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = key();
        let certificate = params.self_signed(&key).unwrap();
        write(file, certificate.pem());
        rcgen::Issuer::new(params, key)
    };
    let issuer = authority("authority", "ca.pem");
    authority("stranger", "other.pem");
    for name in ["server", "client"] {
        let mut params = rcgen::CertificateParams::new(vec!["rtu.test".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = key();
        write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_of_c104_is_heard_through_tls_with_the_right_certificates_only() {
    let Some(python) = python("c104") else { return };
    let (port, clock) = (free_port(), Arc::new(Told::default()));
    let directory = tempfile::tempdir().unwrap();
    certificates(directory.path());
    let file = |name: &str| directory.path().join(name);
    let text = directory.path().display().to_string();
    let _peer = Peer::start_with(&python, "iec104_server.py", port, &[&begin(), &text]);
    let own = Some((file("client.pem"), file("client.key")));
    let good = TlsFiles { authority: file("ca.pem"), name: Some("rtu.test".into()), own };
    let with = |tls: TlsFiles| {
        let tls = Some(tls);
        let mut listener = listen(Iec104Config { tls, ..config(format!("127.0.0.1:{port}"), ROWS) }, &clock);
        async move {
            loop {
                match listener.next().await {
                    Heard::Value(_) => {}
                    Heard::Up => {
                        listener.until(&["bus.2.u.a=0"]).await;
                        listener.leave().await;
                        return "up".to_owned();
                    }
                    Heard::Down(reason) => return reason,
                }
            }
        }
    };
    assert_eq!(with(good.clone()).await, "up");
    let said = with(TlsFiles { authority: file("other.pem"), ..good.clone() }).await;
    assert!(said.contains("UnknownIssuer"), "{said}");
    let said = with(TlsFiles { name: Some("other.test".into()), ..good.clone() }).await;
    assert!(said.contains("not valid for name"), "{said}");
    let said = with(TlsFiles { own: None, ..good }).await;
    assert_ne!(said, "up");
}

/// A short float, spontaneous, of `ca=7 ioa=4001`.
fn float(number: f32) -> Vec<u8> {
    [&[13, 1, 3, 0, 7, 0, 0xa1, 0x0f, 0][..], &number.to_le_bytes(), &[0]].concat()
}

/// How a good station would answer: it starts, confirms tests, and answers an interrogation with 230 V. `first` is the number
/// of its next frame.
fn answered(sent: &Sent, first: u16) -> Vec<u8> {
    match sent.number() {
        None if sent.control[0] & 3 == 1 => Vec::new(),
        None => sent.confirmed(),
        Some(number) => {
            let with = |cause: u8| [&sent.asdu[..2], &[cause], &sent.asdu[3..]].concat();
            let value = [&[13, 1, 20][..], &float(230.0)[3..]].concat();
            let asdus = [with(7), value, with(10)];
            let frames = (first..).zip(asdus).map(|(send, asdu)| numbered(send, number + 1, &asdu));
            frames.collect::<Vec<_>>().concat()
        }
    }
}

const ROW: &str = "ca=7 ioa=4001,bus.2,u,a,V,,,\n";

/// Listens to a station that answers its first interrogation and sends this to the second; why it was lost, and what was told.
async fn lost_by(bytes: Vec<u8>) -> (String, Vec<String>) {
    let server = station::serve(move |connection, sent| {
        let number = sent.number().unwrap_or_default();
        if connection == 0 && number == 1 { Some(bytes.clone()) } else { Some(answered(&sent, 3 * number)) }
    });
    let mut listener = listen(config(server.await.to_string(), ROW), &Arc::new(Told::default()));
    listener.until(&["up", "bus.2.u.a=230"]).await;
    let mut told = Vec::new();
    let reason = loop {
        match listener.next().await {
            Heard::Down(reason) => break reason,
            heard => told.push(heard.words()),
        }
    };
    // It comes back, and everything is asked for again.
    listener.until(&["up", "bus.2.u.a=230"]).await;
    listener.leave().await;
    (reason, told)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_breaks_the_rules_is_lost_with_the_reason_and_found_again() {
    let missing = ["bus.2.u.a missing"];
    for (bytes, expected, before) in [
        (numbered(4, 1, &float(1.0)), "frame 4 came instead of 3", None),
        (
            [numbered(3, 1, &float(231.0)), numbered(3, 1, &float(1.0))].concat(),
            "frame 3 came instead of 4",
            Some("bus.2.u.a=231"),
        ),
        (numbered(3, 5, &float(1.0)), "frame 5 is acknowledged", None),
        (vec![0x68, 3, 0, 0, 0], "3 bytes long, 4 to 253 is possible", None),
        (vec![0x68, 254, 0, 0, 0], "254 bytes long", None),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "begins with 48h", None),
        (frame([0x0f, 0, 0, 0], &[]), "of no format", None),
        (frame(START, &[]), "does not send StartAct", None),
        (
            numbered(3, 1, &[13, 2, 3, 0, 7, 0, 0xa1, 0x0f, 0, 0, 0, 0, 0, 0]),
            "M_ME_NC_1 with 2 objects has 8 bytes",
            None,
        ),
        (numbered(3, 1, &[13, 1, 3]), "an ASDU of 3 bytes", None),
    ] {
        let (reason, told) = lost_by(bytes).await;
        assert!(reason.contains(expected), "{expected}: {reason}");
        assert_eq!(told, before.into_iter().chain(missing).collect::<Vec<_>>(), "{expected}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_that_stops_answering_is_lost_and_tried_again() {
    for (what, expected) in
        [(0, "STARTDT"), (1, "TESTFR"), (2, "C_IC_NA_1"), (3, "a frame of ours"), (4, "hung up")]
    {
        let tries = Arc::new(AtomicUsize::new(0));
        let seen = tries.clone();
        let server = station::serve(move |connection, sent| {
            seen.fetch_max(connection + 1, Ordering::SeqCst);
            Some(match (what, sent.control, sent.number()) {
                (0, START, _) | (1, TEST, _) | (3, _, Some(_)) => Vec::new(),
                (4, START, _) => return None,
                // It takes the question, and does not confirm it.
                (2, _, Some(number)) => frame([1, 0, ((number + 1) << 1) as u8, 0], &[]),
                _ => answered(&sent, 0),
            })
        });
        let span = Duration::from_millis(300);
        let timers = Timers { t1: span, t2: span / 2, t3: span, ..Timers::default() };
        let slow =
            Iec104Config { period: Duration::from_secs(60), timers, ..config(server.await.to_string(), ROW) };
        let mut listener = listen(slow, &Arc::new(Told::default()));
        let reason = loop {
            if let Heard::Down(reason) = listener.next().await {
                break reason;
            }
        };
        // Two clocks run out at the same time where the station acknowledges nothing.
        let also = if what == 3 { "C_IC_NA_1" } else { expected };
        assert!(reason.contains(expected) || reason.contains(also), "{expected}: {reason}");
        while tries.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        listener.leave().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_taken_is_counted_by_name_and_the_connection_goes_on() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = heard.clone();
    let server = station::serve(move |_, sent: Sent| {
        noted.lock().unwrap().push(sent.clone());
        let mut answer = answered(&sent, 0);
        if sent.number() == Some(0) {
            let asdus = [
                vec![7, 1, 3, 0, 7, 0, 0xa1, 0x0f, 0, 0, 0, 0, 0, 0],
                vec![199, 1, 3, 0, 7, 0, 1],
                // A test, a value that confirms something, an object that is not in the map.
                [&[13, 1, 0x83][..], &float(1.0)[3..]].concat(),
                [&[13, 1, 7][..], &float(2.0)[3..]].concat(),
                [&[13, 1, 3, 0, 7, 0, 9, 0, 0][..], &3_f32.to_le_bytes(), &[0]].concat(),
                float(232.0),
            ];
            answer.extend((3..).zip(asdus).flat_map(|(send, asdu)| numbered(send, 1, &asdu)));
        }
        Some(answer)
    });
    let slow = Iec104Config { period: Duration::from_secs(60), ..config(server.await.to_string(), ROW) };
    let mut listener = listen(slow, &Arc::new(Told::default()));
    let told = listener.until(&["up", "bus.2.u.a=230", "bus.2.u.a=232"]).await;
    assert_eq!(told.len(), 3, "{told:?}");
    let rejected = listener.source.counters.snapshot().rejected;
    assert_eq!((rejected["value"], rejected["quality"], rejected.len()), (2, 2, 2), "{rejected:?}");
    // Nine frames came: eight are acknowledged at once, the last after t2.
    assert_eq!(listener.during(Duration::from_millis(600)).await, [""; 0]);
    let acknowledged = heard
        .lock()
        .unwrap()
        .iter()
        .filter(|sent| sent.control[0] == 1)
        .map(|sent| sent.control[2] >> 1)
        .max();
    assert_eq!(acknowledged, Some(9));
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_station_is_asked_for_what_is_wanted_and_its_clock_is_set_only_where_that_is_written() {
    for set_clock in [true, false] {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = heard.clone();
        let server = station::serve(move |_, sent: Sent| {
            noted.lock().unwrap().push(sent.asdu.clone());
            Some(answered(&sent, 3 * sent.number().unwrap_or_default()))
        });
        let rows = format!("{ROW}ca=7 ioa=5001,meter.41,energy,,Wh,,,\n");
        let server = server.await.to_string();
        let config = Iec104Config {
            set_clock,
            utc_offset_minutes: 60,
            originator: 3,
            counters: CounterReading { period: Duration::from_secs(60), freeze: true },
            period: Duration::from_secs(60),
            ..config(server, &rows)
        };
        let mut listener = listen(config, &Arc::new(Told::default()));
        listener.until(&["up", "bus.2.u.a=230"]).await;
        listener.during(Duration::from_millis(500)).await;
        listener.leave().await;
        let asked: Vec<_> = heard.lock().unwrap().iter().filter(|asdu| !asdu.is_empty()).cloned().collect();
        // By a clock in Berlin it is 13:35:00 on the 17th of January 2026.
        let clock = [&[103, 1, 6, 3, 7, 0, 0, 0, 0][..], &[0, 0, 35, 13, 17, 1, 26]].concat();
        let mut expected =
            vec![vec![101, 1, 6, 3, 7, 0, 0, 0, 0, 0x45], vec![100, 1, 6, 3, 7, 0, 0, 0, 0, 20]];
        if set_clock {
            expected.insert(0, clock);
        }
        assert_eq!(asked, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_never_a_value_and_the_client_goes_on() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = connections.clone();
    let server = station::serve(move |connection, sent| {
        seen.fetch_max(connection, Ordering::SeqCst);
        let mut answer = answered(&sent, 0);
        if sent.number().is_some() {
            answer.extend(spoilt(&mut random));
        }
        Some(answer)
    });
    let quick = Iec104Config { period: Duration::from_secs(60), ..config(server.await.to_string(), ROW) };
    let mut listener = listen(quick, &Arc::new(Told::default()));
    while connections.load(Ordering::SeqCst) < 7 {
        let words = listener.next().await.words();
        assert!(["up", "down", "bus.2.u.a=230", "bus.2.u.a missing"].contains(&words.as_str()), "{words}");
    }
    listener.leave().await;
}

/// What no station sends: noise, a frame with a wrong number, one that is spoilt in its head.
fn spoilt(random: &mut impl Rng) -> Vec<u8> {
    let good = numbered(3, 1, &float(1.0));
    match random.random_range(0..4) {
        0 => numbered(random.random_range(4..1000), 1, &float(1.0)),
        1 => [&[0x68, random.random_range(0..4)][..], &good[2..]].concat(),
        2 => [&good[..2], &[0x03, 0, 0, 0], &good[6..]].concat(),
        _ => [&[random.random_range(0..0x68)][..], &good].concat(),
    }
}
