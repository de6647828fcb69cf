//! OPC UA: asyncua as the server, killed and started again; statuses; certificates and passwords; peers that are none.

use super::peer::{Peer, python};
use super::port::free_port;
use super::{Heard, Listener};
use connectors::opcua::{OpcUaConfig, Security, User, connect};
use connectors::point_map;
use grid::{Clock, Quality, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const HEADER: &str = "tag,element,quantity,phase,unit,scale,sign,deadband\n";
const ROWS: &str = "ns=2;s=P1,bus.2,u,a,V,,,\nnsu=urn:peer;s=P2,branch.21,p,,kW,,generation,\n";

/// The peer stamps its values with the machine's clock.
#[derive(Debug)]
struct Machine;

impl Clock for Machine {
    #[allow(clippy::disallowed_methods)] // the one clock that a foreign program has, too
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_nanos(since.as_nanos() as i64)
    }
}

fn config(port: u16, directory: &Path, rows: &str) -> OpcUaConfig {
    let map = point_map::read(format!("{HEADER}{rows}").as_bytes()).unwrap();
    let password = directory.join("password");
    std::fs::write(&password, "secret\n").unwrap();
    OpcUaConfig {
        name: "scada".into(),
        endpoint: format!("opc.tcp://127.0.0.1:{port}/peer"),
        security: Security::named("Basic256Sha256", "SignAndEncrypt").unwrap(),
        server_certificate: Some(directory.join("server.der")),
        user: User::Password { name: "scada".into(), file: password },
        store: directory.join("store"),
        application: "urn:gridflex:test".into(),
        period: Duration::from_millis(100),
        timeout: Duration::from_secs(4),
        points: OpcUaConfig::points(&map).unwrap(),
    }
}

fn listen(config: OpcUaConfig) -> Listener {
    Listener::new(connect(config, Arc::new(Machine)).unwrap())
}

fn start(python: &Path, port: u16, directory: &TempDir, options: &[&str]) -> Peer {
    let arguments = [&[directory.path().to_str().unwrap()], options].concat();
    Peer::start_with(python, "opcua_server.py", port, &arguments)
}

/// Waits for the source to say that it lost the server, and why.
async fn reason(listener: &mut Listener) -> String {
    loop {
        if let Heard::Down(reason) = listener.next().await {
            return reason;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_asyncua_is_heard_encrypted_lost_and_found_again() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let mut peer = start(&python, port, &directory, &[]);
    let mut listener = listen(config(port, directory.path(), ROWS));
    let told = listener.until(&["up", "bus.2.u.a=230", "branch.21.p=-2500"]).await;
    assert!(!told.contains(&"down".to_owned()), "{told:?}");

    // A change keeps the time of its source.
    peer.tell("aged P1 231.5 2");
    let value = loop {
        match listener.next().await {
            Heard::Value(value) if value.value == 231.5 => break value,
            Heard::Value(_) => {}
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(value.quality, Quality::Measured);
    assert!(value.received_at.since(value.measured_at) < Duration::from_secs(30), "{value:?}");
    assert_eq!(listener.during(Duration::from_secs(1)).await, Vec::<String>::new(), "nothing changed");

    peer.kill();
    let told = listener.until(&["down"]).await;
    let mut missing = told.clone();
    missing.sort();
    assert_eq!(missing, ["branch.21.p missing", "bus.2.u.a missing", "down"], "each point, once");
    assert_eq!(listener.during(Duration::from_secs(1)).await, Vec::<String>::new(), "told once");

    let _peer = start(&python, port, &directory, &[]);
    let told = listener.until(&["up", "bus.2.u.a=230", "branch.21.p=-2500"]).await;
    assert_eq!(told.len(), 3, "each value once, and none from before: {told:?}");
    assert_eq!(listener.during(Duration::from_secs(2)).await, Vec::<String>::new(), "subscribed once");
    assert_eq!(listener.source.counters.snapshot().connected, 2);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statuses_decide_what_is_measured() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let mut peer = start(&python, port, &directory, &[]);
    let rows = format!(
        "{ROWS}ns=2;s=P3,bus.3,u,a,V,,,\nns=2;s=None,bus.3,u,b,V,,,\nns=2;s=T,bus.3,u,c,V,,,\nnsu=urn:nobody;s=P1,bus.2,u,b,V,,,\n"
    );
    let mut listener = listen(config(port, directory.path(), &rows));
    // A node that is not there, a text, and a namespace that is not there.
    listener
        .until(&["up", "bus.2.u.a=230", "bus.3.u.b missing", "bus.3.u.c missing", "bus.2.u.b missing"])
        .await;
    let rejected = listener.source.counters.snapshot().rejected;
    assert_eq!((rejected.get("point"), rejected.get("value")), (Some(&2), Some(&1)), "{rejected:?}");
    listener.during(Duration::from_millis(500)).await;

    peer.tell("status P1 BadSensorFailure 999");
    assert_eq!(listener.until(&["bus.2.u.a missing"]).await.len(), 1);
    peer.tell("status P1 BadOutOfService 998");
    peer.tell("status P1 UncertainLastUsableValue 997");
    assert_eq!(listener.during(Duration::from_secs(1)).await, Vec::<String>::new(), "it is missing already");
    peer.tell("status P1 UncertainSubNormal 232");
    assert_eq!(listener.until(&["bus.2.u.a~232"]).await.len(), 1);
    peer.tell("value P1 232");
    assert_eq!(
        listener.until(&["bus.2.u.a=232"]).await.len(),
        1,
        "good is news, though the value is the same"
    );
    peer.tell("value P1 nan");
    assert_eq!(listener.until(&["bus.2.u.a missing"]).await.len(), 1);
    // A voltage below zero is no voltage.
    peer.tell("value P1 -5");
    listener.during(Duration::from_secs(1)).await;
    assert_eq!(listener.source.counters.snapshot().rejected.get("value"), Some(&2));
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_change_waits_within_the_deadband() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let mut peer = start(&python, port, &directory, &[]);
    let mut listener = listen(config(port, directory.path(), "ns=2;s=P1,bus.2,u,a,V,,,2\n"));
    listener.until(&["up", "bus.2.u.a=230"]).await;
    for value in ["231", "229", "231.5"] {
        peer.tell(&format!("value P1 {value}"));
    }
    assert_eq!(listener.during(Duration::from_secs(1)).await, Vec::<String>::new());
    // asyncua compares with the value before, not with the one it told last: a creeping value is found by reading only.
    peer.tell("value P1 234");
    assert_eq!(listener.until(&["bus.2.u.a=234"]).await.len(), 1);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_is_refused_with_what_to_do() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let _peer = start(&python, port, &directory, &[]);
    // The server's certificate is another one than the file says: ours, for example.
    let mut config = config(port, directory.path(), ROWS);
    let ours = connectors::opcua::Identity::open(&config.store, &config.application).unwrap();
    config.server_certificate = Some(ours.certificate);
    let mut listener = listen(config);
    let said = reason(&mut listener).await;
    assert!(said.contains("another certificate") && said.contains(&ours.thumbprint), "{said}");
    let kept = said.split("put ").nth(1).unwrap().split(" in its place").next().unwrap();
    let shown = std::fs::read(kept).unwrap();
    assert_eq!(
        shown,
        std::fs::read(directory.path().join("server.der")).unwrap(),
        "it is kept to be compared"
    );
    assert_eq!(listener.source.counters.snapshot().connected, 0);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_that_is_trusted_may_change_while_it_listens() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let mut peer = start(&python, port, &directory, &[]);
    let pinned = directory.path().join("pinned.der");
    std::fs::copy(directory.path().join("server.der"), &pinned).unwrap();
    let config =
        OpcUaConfig { server_certificate: Some(pinned.clone()), ..config(port, directory.path(), ROWS) };
    let ours = connectors::opcua::Identity::open(&config.store, &config.application).unwrap();
    let mut listener = listen(config);
    listener.until(&["up", "bus.2.u.a=230", "branch.21.p=-2500"]).await;
    // What is no certificate is not taken over: the connection goes on.
    std::fs::write(&pinned, "no certificate").unwrap();
    assert_eq!(listener.during(Duration::from_secs(3)).await, Vec::<String>::new());
    peer.tell("value P1 231");
    listener.until(&["bus.2.u.a=231"]).await;
    // Another server is trusted now: this one is left at once, and not found again while it shows the old certificate.
    std::fs::copy(&ours.certificate, &pinned).unwrap();
    let said = reason(&mut listener).await;
    assert!(said.contains("another server is trusted now"), "{said}");
    assert_eq!(listener.during(Duration::from_secs(2)).await, Vec::<String>::new());
    // It is trusted again.
    std::fs::copy(directory.path().join("server.der"), &pinned).unwrap();
    listener.until(&["up", "bus.2.u.a=231", "branch.21.p=-2500"]).await;
    assert_eq!(listener.source.counters.snapshot().connected, 2);
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_a_server_that_distrusts_us_and_missing_protection_are_told_apart() {
    let Some(python) = python("asyncua") else { return };
    let (port, directory) = (free_port(), tempfile::tempdir().unwrap());
    let peer = start(&python, port, &directory, &[]);
    let good = config(port, directory.path(), ROWS);
    let said = |config: OpcUaConfig| async {
        let mut listener = listen(config);
        let said = reason(&mut listener).await;
        listener.leave().await;
        said
    };
    let wrong = directory.path().join("wrong");
    std::fs::write(&wrong, "guess").unwrap();
    let user = User::Password { name: "scada".into(), file: wrong };
    let heard = said(OpcUaConfig { user, ..good.clone() }).await;
    assert!(heard.contains("refuses user \"scada\" or the password"), "{heard}");
    let plain = OpcUaConfig {
        security: Security::None,
        server_certificate: None,
        user: User::Anonymous,
        ..good.clone()
    };
    let heard = said(plain.clone()).await;
    assert!(heard.contains("does not offer None; it offers Basic256Sha256 SignAndEncrypt"), "{heard}");
    peer.kill();

    let peer = start(&python, port, &directory, &["distrust"]);
    let heard = said(good.clone()).await;
    assert!(heard.contains("does not trust us") && heard.contains("certificate.der"), "{heard}");
    peer.kill();

    let _peer = start(&python, port, &directory, &["none"]);
    let mut listener = listen(plain);
    listener.until(&["up", "bus.2.u.a=230"]).await;
    listener.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_or_talks_rubbish_is_lost_and_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    for rubbish in [&b""[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"ACKF\xff\xff\xff\xff", &[0; 4096]] {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let (heard, mut tried) = tokio::sync::mpsc::channel(16);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = server.accept().await {
                let _ = heard.try_send(());
                tokio::spawn(async move {
                    let _ = stream.write_all(rubbish).await;
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                });
            }
        });
        let plain = OpcUaConfig {
            security: Security::None,
            server_certificate: None,
            user: User::Anonymous,
            timeout: Duration::from_millis(300),
            ..config(port, directory.path(), ROWS)
        };
        let mut listener = listen(plain);
        let told = listener.until(&["down"]).await;
        assert_eq!(told.len(), 3, "both points and the state: {told:?}");
        for _ in 0..2 {
            tokio::time::timeout(Duration::from_secs(20), tried.recv()).await.expect("it gave up").unwrap();
        }
        listener.leave().await;
        serving.abort();
    }
}
