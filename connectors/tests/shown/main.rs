//! The promises of what is shown to others over OPC UA, against asyncua as the client and peers that mean no good.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the whole crate is a test
#![allow(clippy::disallowed_methods)] // the patience of a test with a foreign program is wall time

#[path = "../sources/peer.rs"]
#[allow(dead_code)] // some of it serves the sources
mod peer;

use connectors::opcua::server::{
    Admission, Answer, Catalogue, Entry, Folder, Kind, Server, ServerConfig, ServerError, Standing, Value,
    Variable,
};
use grid::Timestamp;
use peer::{Peer, python};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Knows one person.
struct Ada;

impl Admission for Ada {
    fn admit(&self, name: &str, password: &str) -> Answer {
        let known = (name, password) == ("ada", "lovelace");
        Box::pin(async move { known })
    }
}

fn catalogue() -> Catalogue {
    let folder = |id: &str, parent: Option<&str>| Folder {
        id: id.to_owned(),
        name: id.to_owned(),
        parent: parent.map(str::to_owned),
    };
    let variable = |id: &str, kind| Variable {
        id: id.to_owned(),
        name: id.to_owned(),
        folder: "bus.3".to_owned(),
        kind,
        description: format!("what {id} is"),
    };
    Catalogue {
        folders: vec![folder("gridflex", None), folder("bus.3", Some("gridflex"))],
        variables: vec![
            variable("bus.3.u.a", Kind::Number("V", Some((207.0, 253.0)))),
            variable("bus.3.alarm", Kind::Flag),
            variable("outlook.loading", Kind::Numbers("%")),
            variable("alarms.text", Kind::Text),
        ],
    }
}

fn number(value: f64, standing: Standing, seconds: i64) -> Option<Entry> {
    Some(Entry { value: Some(Value::Number(value)), standing, at: at(seconds) })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_768_500_000 + seconds)
}

fn config(store: &Path) -> ServerConfig {
    ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        host: None,
        plain: false,
        anonymous: false,
        store: store.to_owned(),
        application: "urn:gridflex:test".to_owned(),
    }
}

async fn open(config: ServerConfig) -> Server {
    Server::open(config, catalogue(), Arc::new(Ada)).await.unwrap()
}

/// Runs the client; the first line that it says is `connected` or `refused …`.
fn client(python: &Path, server: &Server, directory: &Path, arguments: &[&str]) -> (Peer, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shown/opcua_client.py");
    let arguments = [&[directory.to_str().unwrap()], arguments].concat();
    Peer::run(python, &script, server.address().port(), &arguments)
}

/// What an operator does with a certificate that was rejected.
fn trust_the_rejected(store: &Path) {
    let files: Vec<PathBuf> = std::fs::read_dir(store.join("server/rejected"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    std::fs::rename(&files[0], store.join("server/trusted").join(files[0].file_name().unwrap())).unwrap();
}

/// A client that is let in.
fn let_in(python: &Path, server: &Server, directory: &Path, store: &Path) -> Peer {
    let (_, said) = client(python, server, directory, &["ada", "lovelace"]);
    assert!(said.starts_with("refused"), "nobody trusted it: {said}");
    trust_the_rejected(store);
    let (peer, said) = client(python, server, directory, &["ada", "lovelace"]);
    assert_eq!(said, "connected");
    peer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn asyncua_reads_browses_and_watches_encrypted_and_changes_nothing() {
    let Some(python) = python("asyncua") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = open(config(&store)).await;
    let mut peer = let_in(&python, &server, directory.path(), &store);

    assert_eq!(peer.ask("browse gridflex"), "bus.3");
    assert_eq!(peer.ask("browse bus.3"), "alarms.text bus.3.alarm bus.3.u.a outlook.loading");
    let said = peer.ask("read bus.3.u.a");
    assert!(said.starts_with("None BadWaitingForInitialData"), "nothing was published yet: {said}");
    server.publish([number(231.5, Standing::Good, 0)]);
    assert_eq!(peer.ask("read bus.3.u.a"), "231.5 Good 1768500000.000");
    let units = peer.ask("property bus.3.u.a EngineeringUnits");
    assert!(units.contains("UnitId=5655636") && units.contains("Text='V'"), "{units}");
    assert_eq!(peer.ask("property bus.3.u.a EURange"), "Range(Low=207.0, High=253.0)");

    assert_eq!(peer.ask("watch bus.3.u.a"), "watching");
    assert_eq!(peer.ask("next"), "bus.3.u.a 231.5 Good 1768500000.000");
    server.publish([number(231.5, Standing::Good, 0)]);
    server.publish([number(232.0, Standing::Expected, 60)]);
    assert_eq!(
        peer.ask("next"),
        "bus.3.u.a 232.0 UncertainSubNormal 1768500060.000",
        "what is the same is not sent again"
    );
    server.publish([number(232.0, Standing::Old, 60)]);
    // The library does not report a new status of the same value to those who watch without a filter (docs/opcua.md).
    assert_eq!(peer.ask("read bus.3.u.a"), "232.0 UncertainLastUsableValue 1768500060.000");
    server.publish([Some(Entry { value: None, standing: Standing::Unknown, at: at(120) })]);
    assert_eq!(peer.ask("next"), "bus.3.u.a None BadNoData 1768500120.000");

    let entry = |value| Some(Entry { value: Some(value), standing: Standing::Good, at: at(0) });
    let list = Value::Numbers(vec![50.0, 125.0]);
    server.publish([None, entry(Value::Flag(true)), entry(list), entry(Value::Text("bus 3".into()))]);
    assert_eq!(peer.ask("read bus.3.alarm"), "True Good 1768500000.000");
    assert_eq!(peer.ask("read outlook.loading"), "[50.0, 125.0] Good 1768500000.000");
    assert_eq!(peer.ask("read alarms.text"), "bus 3 Good 1768500000.000");

    let said = peer.ask("write bus.3.u.a 1");
    assert!(said.starts_with("error"), "{said}");
    assert!(peer.ask("read bus.3.u.a").starts_with("None BadNoData"));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_is_not_trusted_known_or_protected_is_not_let_in() {
    let Some(python) = python("asyncua") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = open(config(&store)).await;
    let mut peer = let_in(&python, &server, directory.path(), &store);
    for arguments in [&["ada", "guess"][..], &["eve", "lovelace"], &[]] {
        let (_, said) = client(&python, &server, directory.path(), arguments);
        assert!(said.starts_with("refused"), "{arguments:?}: {said}");
    }
    let (_, said) = client(&python, &server, directory.path(), &["plain"]);
    assert!(said.starts_with("refused"), "{said}");
    assert!(server.counters().snapshot()["unprotected"] > 0, "{:?}", server.counters().snapshot());
    assert_eq!(peer.ask("browse gridflex"), "bus.3", "the one who is in stays in");
    server.close().await;

    // What is configured is possible, on a loopback address.
    let server = open(ServerConfig { plain: true, anonymous: true, ..config(&store) }).await;
    let (mut peer, said) = client(&python, &server, directory.path(), &["plain"]);
    assert_eq!((said.as_str(), peer.ask("browse gridflex").as_str()), ("connected", "bus.3"));
    let (_, said) = client(&python, &server, directory.path(), &["plain", "ada", "lovelace"]);
    assert!(said.starts_with("refused"), "a password that everyone can read is not taken: {said}");
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whose_certificate_is_taken_away_is_cut_off_and_nobody_else() {
    let Some(python) = python("asyncua") else { return };
    let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = directory.path().join("store");
    let server = open(config(&store)).await;
    let mut stays = let_in(&python, &server, other.path(), &store);
    let kept = std::fs::read_dir(store.join("server/trusted")).unwrap().next().unwrap().unwrap().file_name();
    let mut goes = let_in(&python, &server, directory.path(), &store);
    assert_eq!(
        (stays.ask("browse gridflex").as_str(), goes.ask("browse gridflex").as_str()),
        ("bus.3", "bus.3")
    );
    let files = std::fs::read_dir(store.join("server/trusted")).unwrap().map(|entry| entry.unwrap().path());
    let withdrawn = files.into_iter().find(|path| path.file_name() != Some(kept.as_os_str())).unwrap();
    let aside = directory.path().join("withdrawn.der");
    std::fs::rename(&withdrawn, &aside).unwrap();
    for _ in 0..200 {
        if server.counters().snapshot()["withdrawn"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(server.counters().snapshot()["withdrawn"], 1, "{:?}", server.counters().snapshot());
    let said = goes.ask("browse gridflex");
    assert!(said.is_empty() || said.starts_with("error"), "{said}");
    let (_, said) = client(&python, &server, directory.path(), &["ada", "lovelace"]);
    assert!(said.starts_with("refused"), "{said}");
    assert_eq!(stays.ask("browse gridflex"), "bus.3", "the other one stays in");
    // Trusted again, without a restart either.
    trust_the_rejected(&store);
    let (mut again, said) = client(&python, &server, directory.path(), &["ada", "lovelace"]);
    assert_eq!((said.as_str(), again.ask("browse gridflex").as_str()), ("connected", "bus.3"));
    server.close().await;
}

#[tokio::test]
async fn what_is_unprotected_is_not_shown_to_other_machines() {
    let directory = tempfile::tempdir().unwrap();
    let open_to_others =
        ServerConfig { listen: "0.0.0.0:0".parse().unwrap(), plain: true, ..config(directory.path()) };
    let error = Server::open(open_to_others, catalogue(), Arc::new(Ada)).await.err().unwrap();
    assert!(matches!(error, ServerError::Unprotected(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn silent_peers_rubbish_and_strangers_do_not_stop_the_server_for_others() {
    let Some(python) = python("asyncua") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = open(config(&store)).await;
    let mut peer = let_in(&python, &server, directory.path(), &store);
    assert_eq!(peer.ask("watch bus.3.u.a"), "watching");
    peer.ask("next");

    let dial = || TcpStream::connect(server.address()).unwrap();
    let silent: Vec<_> = (0..400).map(|_| dial()).collect();
    let hello = hello(server.address().port());
    let half: Vec<_> = (0..100)
        .map(|at| {
            let mut stream = dial();
            stream.write_all(&hello[..at % hello.len()]).unwrap();
            stream
        })
        .collect();
    for rubbish in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], b"HELF\xff\xff\xff\xff", b"MSGF\x08\0\0\0", &[0xff; 70_000]]
    {
        let mut stream = dial();
        let _ = stream.write_all(rubbish);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let ended = stream.read(&mut [0; 64]);
        assert!(ended.is_err() || ended.is_ok_and(|count| count == 0), "rubbish was answered");
    }
    for round in 1..=3 {
        server.publish([number(f64::from(round), Standing::Good, i64::from(round))]);
        assert!(peer.ask("next").starts_with(&format!("bus.3.u.a {round}.0 Good")), "round {round}");
    }
    let (mut late, said) = client(&python, &server, directory.path(), &["ada", "lovelace"]);
    assert_eq!(said, "connected", "{:?}", server.counters().snapshot());
    assert!(late.ask("read bus.3.u.a").starts_with("3.0 Good"));
    let counted = server.counters().snapshot();
    assert!(counted["frame"] >= 3 && counted["evicted"] + counted["silent"] >= 200, "{counted:?}");
    drop((silent, half));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_holds_no_trusted_key_takes_no_place_from_those_who_do() {
    let Some(python) = python("asyncua") else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    let server = open(config(&store)).await;
    let mut peer = let_in(&python, &server, directory.path(), &store);
    let trusted = std::fs::read_dir(store.join("server/trusted")).unwrap().next().unwrap().unwrap().path();
    let copy = std::fs::read(trusted).unwrap();
    let before = server.counters().snapshot();

    // More than there are places; half with rubbish, half with a copy of the certificate that is trusted.
    let hello = hello(server.address().port());
    let strangers: Vec<_> = (0..150_usize)
        .map(|at| {
            let certificate = if at % 2 == 0 { &copy } else { &hello };
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(&[hello.clone(), opening(certificate)].concat()).unwrap();
            stream
        })
        .collect();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while server.counters().snapshot()["untrusted"] < before["untrusted"] + 150 {
        assert!(std::time::Instant::now() < deadline, "{:?}", server.counters().snapshot());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.counters().snapshot()["established"], before["established"]);
    let (mut late, said) = client(&python, &server, directory.path(), &["ada", "lovelace"]);
    assert_eq!(said, "connected", "{:?}", server.counters().snapshot());
    assert_eq!(late.ask("browse gridflex"), "bus.3");
    assert_eq!(peer.ask("browse gridflex"), "bus.3", "the one who is in stays in");
    drop(strangers);
    server.close().await;
}

/// The message with which a client asks for a channel; what is encrypted in it is not.
fn opening(certificate: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 4];
    let policy = b"http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256";
    for bytes in [policy.as_slice(), certificate, &[7; 20], &[0; 256]] {
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
    }
    let mut message = b"OPNF".to_vec();
    message.extend((8 + body.len() as u32).to_le_bytes());
    message.extend(body);
    message
}

/// The first message of a client.
fn hello(port: u16) -> Vec<u8> {
    let url = format!("opc.tcp://127.0.0.1:{port}/");
    let mut body = Vec::new();
    for number in [0_u32, 65_535, 65_535, 0, 0, url.len() as u32] {
        body.extend(number.to_le_bytes());
    }
    body.extend(url.as_bytes());
    let mut message = b"HELF".to_vec();
    message.extend((8 + body.len() as u32).to_le_bytes());
    message.extend(body);
    message
}
