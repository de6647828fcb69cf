//! Rights and TLS, over real connections.

use super::config;
use super::raw::{Raw, hello};
use connectors::mqtt::door::{Count, Limits, Policy, TlsFiles};
use connectors::mqtt::{Door, DoorConfig, DoorError};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, Login, SubscribeReasonCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const RIGHTS: &str = r##"
[[client]]
identity = "121"
password = "$7$101$K5qHx669KwOueakL$K537IRAdgmUfDxe/7CQimTltkC4ZOoB+KVDkq/6T32+zZxlbq+Xc4WYquMtjeFwf6JAlsXPBUpRTw7dUsuE+kQ=="
publish = ["gridflex/demo/device/121/report", "gridflex/demo/device/121/status"]
subscribe = ["gridflex/demo/device/121/#"]
[[client]]
identity = "meter"
publish = ["gridflex/demo/telemetry/#"]
"##;

fn policy() -> Policy {
    Policy::from_toml(RIGHTS).unwrap()
}

pub fn login(id: &str, user: &str, password: &str) -> rumqttc::mqttbytes::v4::Connect {
    let mut connect = hello(id);
    connect.login = Some(Login::new(user, password));
    connect
}

#[test]
fn with_rights_given_only_who_is_known_comes_in_and_does_only_what_is_granted() {
    let door = Door::open(DoorConfig { policy: policy(), ..config() }).unwrap();
    let connect = |connect| Raw::tcp(door.address()).connect(connect).map(|(code, _)| code);
    assert_eq!(connect(hello("121")), Some(ConnectReturnCode::BadUserNamePassword));
    assert_eq!(connect(login("121", "121", "wrong")), Some(ConnectReturnCode::BadUserNamePassword));
    assert_eq!(connect(login("121", "122", "gridflex")), Some(ConnectReturnCode::BadUserNamePassword));
    assert_eq!(connect(login("122", "121", "gridflex")), Some(ConnectReturnCode::BadClientId));
    let mut foreign = login("121", "121", "gridflex");
    foreign.last_will = Some(LastWill::new("gridflex/demo/device/122/status", "x", QoS::AtMostOnce, false));
    assert_eq!(connect(foreign), Some(ConnectReturnCode::NotAuthorized));
    let device = || {
        let mut raw = Raw::tcp(door.address());
        assert_eq!(raw.connect(login("121", "121", "gridflex")), Some((ConnectReturnCode::Success, false)));
        raw
    };
    let mut own = device();
    assert!(own.publish("gridflex/demo/device/121/status", "x"));
    let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
    assert_eq!(own.subscribe("gridflex/demo/device/121/activation", QoS::AtLeastOnce), granted);
    for denied in [
        "#",
        "gridflex/demo/device/+/activation",
        "gridflex/demo/device/122/activation",
        "$SYS/#",
        "$share/g/gridflex/demo/device/121/activation",
        "gridflex/demo/device/121/#/x",
    ] {
        assert_eq!(own.subscribe(denied, QoS::AtLeastOnce), SubscribeReasonCode::Failure, "{denied}");
    }
    for denied in ["gridflex/demo/device/122/status", "gridflex/demo/device/121/activation", "$SYS/x"] {
        assert!(!device().publish(denied, "x"), "{denied}");
    }
    assert_eq!(door.counters().get(Count::NotAuthorized), 4);
}

#[test]
fn passwords_are_not_guessed_for_long_and_a_guesser_keeps_nobody_else_out() {
    let door = Door::open(DoorConfig { policy: policy(), ..config() }).unwrap();
    let address = door.address();
    let from = |ip: &str, password: &'static str| {
        let mut raw = Raw::tcp_from(ip.parse().unwrap(), address);
        raw.connect(login("121", "121", password)).map(|(code, _)| code)
    };
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..10).map(|_| scope.spawn(|| from("127.0.0.7", "guess"))).collect();
        for guess in guesses {
            assert_eq!(guess.join().unwrap(), Some(ConnectReturnCode::BadUserNamePassword));
        }
    });
    assert_eq!((door.counters().get(Count::NotAuthorized), door.counters().get(Count::Guessing)), (10, 0));
    // Not even the right one is looked at there any more; elsewhere it is.
    assert_eq!(from("127.0.0.7", "gridflex"), Some(ConnectReturnCode::BadUserNamePassword));
    assert_eq!((door.counters().get(Count::NotAuthorized), door.counters().get(Count::Guessing)), (10, 1));
    assert_eq!(from("127.0.0.8", "gridflex"), Some(ConnectReturnCode::Success));
}

#[test]
fn an_identity_has_so_many_sessions_and_takes_none_from_others() {
    let limits = Limits { sessions_per_identity_max: 3, ..Limits::default() };
    let longer =
        RIGHTS.replace("identity = \"121\"", "identity = \"1211\"").replace("\"meter\"", "\"other\"");
    let policy = Policy::from_toml(&format!("{RIGHTS}\n{longer}")).unwrap();
    let door = Door::open(DoorConfig { policy, limits, ..config() }).unwrap();
    let connect = |identity: &str, id: &str| {
        let mut connect = login(id, identity, "gridflex");
        connect.clean_session = false;
        let answer = Raw::tcp(door.address()).connect(connect);
        answer.map(|(code, _)| code)
    };
    for id in ["121", "121:a", "121:b", "121:a"] {
        assert_eq!(connect("121", id), Some(ConnectReturnCode::Success), "{id}");
    }
    assert_eq!(connect("121", "121:c"), Some(ConnectReturnCode::ServiceUnavailable));
    assert_eq!(connect("1211", "1211"), Some(ConnectReturnCode::Success));
    assert_eq!(door.counters().get(Count::TurnedAway), 1);
}

#[test]
fn an_identity_that_begins_like_another_does_not_get_its_session() {
    let longer = RIGHTS.replace("identity = \"121\"", "identity = \"121:5\"");
    let both = format!("{RIGHTS}\n{}", longer.split("[[client]]\nidentity = \"meter\"").next().unwrap());
    let policy = Policy::from_toml(&both).unwrap();
    let door = Door::open(DoorConfig { policy, ..config() }).unwrap();
    let connect = |identity: &str| {
        let mut raw = Raw::tcp(door.address());
        let mut connect = login("121:5", identity, "gridflex");
        connect.clean_session = false;
        let answer = raw.connect(connect);
        (raw, answer)
    };
    let (mut longer, answer) = connect("121:5");
    assert_eq!(answer, Some((ConnectReturnCode::Success, false)));
    let (_shorter, answer) = connect("121");
    assert_eq!(answer, Some((ConnectReturnCode::Success, false)), "the other's session is not there");
    assert!(longer.publish("gridflex/demo/device/121/status", "x"), "and it is not ended");
    assert_eq!(door.counters().get(Count::TakenOver), 0);
}

#[tokio::test]
async fn nobody_tells_the_energy_of_another_household_not_even_in_a_will() {
    let rights = RIGHTS.replace(
        "\"gridflex/demo/device/121/status\"]",
        "\"gridflex/demo/telemetry/121/#\"]\npoints = [\"device.121\"]",
    );
    let policy = Policy::from_toml(&rights).unwrap();
    let door = Door::open(DoorConfig { policy, ..config() }).unwrap();
    let mut system = door.link(super::area(), Arc::new(super::Still));
    assert!(system.inbox.recv_batch().await.is_some(), "it listens");
    let address = door.address();
    let energy = |device: u32| {
        format!(
            r#"{{"point":"device.{device}.energy","value":1,"unit":"kWh","measured_at":"2026-01-15T17:30:00Z"}}"#
        )
    };
    let (foreign, own) = (energy(122), energy(121).replace("energy", "p").replace("kWh", "kW"));
    tokio::task::spawn_blocking(move || {
        let mut raw = Raw::tcp(address);
        let mut connect = login("121", "121", "gridflex");
        connect.last_will =
            Some(LastWill::new("gridflex/demo/telemetry/121/x", foreign.clone(), QoS::AtLeastOnce, false));
        raw.connect(connect);
        assert!(raw.publish("gridflex/demo/telemetry/121/x", &own));
        assert!(raw.publish("gridflex/demo/telemetry/121/x", &foreign), "refused: not to be sent again");
        assert!(raw.publish("gridflex/demo/telemetry/121/device.122.energy", &foreign));
    })
    .await
    .unwrap();
    for _ in 0..200 {
        if system.counters.snapshot().rejected.get("identity") == Some(&3) {
            return assert_eq!(system.counters.snapshot().measurements, 1);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", system.counters.snapshot());
}

#[test]
fn an_address_open_to_others_needs_tls_and_rights() {
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let refused = |config: DoorConfig| match Door::open(config) {
        Err(error @ DoorError::Unprotected { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let error = refused(DoorConfig { listen, ..config() });
    assert!(error.contains("0.0.0.0:0") && error.contains("TLS and rights"), "{error}");
    let error = refused(DoorConfig { listen, policy: policy(), ..config() });
    assert!(error.contains("without TLS;"), "{error}");
}

#[test]
fn a_port_in_use_and_a_missing_certificate_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let error = Door::open(DoorConfig { listen, ..config() }).unwrap_err().to_string();
    assert!(error.contains(&listen.to_string()), "{error}");
    let missing = PathBuf::from("/nowhere/door.pem");
    let tls = TlsFiles { certificate: missing.clone(), key: missing, client_authority: None, revoked: None };
    let error = Door::open(DoorConfig { tls: Some(tls), ..config() }).unwrap_err().to_string();
    assert!(error.contains("/nowhere/door.pem"), "{error}");
}

/// An authority, and what it signed.
pub struct Authority(pub Issuer<'static, KeyPair>, pub CertificateDer<'static>);

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Self(Issuer::new(params, key), certificate)
    }

    pub fn sign(
        &self,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
    ) -> (CertificateDer<'static>, KeyPair) {
        self.sign_as(None, names, usage)
    }

    pub fn sign_as(
        &self,
        serial: Option<u64>,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
    ) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.serial_number = serial.map(Into::into);
        params.subject_alt_names = names;
        params.extended_key_usages = vec![usage];
        (params.signed_by(&key, &self.0).unwrap().der().clone(), key)
    }

    pub fn client(&self, uri: &str) -> (CertificateDer<'static>, KeyPair) {
        self.sign(vec![SanType::URI(uri.try_into().unwrap())], ExtendedKeyUsagePurpose::ClientAuth)
    }
}

pub fn pem(path: &Path, label: &str, der: &[u8]) {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    std::fs::write(path, format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
        .unwrap();
}

pub type Tls = Raw<StreamOwned<ClientConnection, TcpStream>>;

pub fn tls_client(
    address: SocketAddr,
    authority: &Authority,
    own: Option<&(CertificateDer<'static>, KeyPair)>,
) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(authority.1.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Raw::over(StreamOwned::new(connection, stream))
}

#[test]
fn a_certificate_says_who_somebody_is_and_without_one_nobody_comes_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let host = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let (certificate, key) = authority.sign(host, ExtendedKeyUsagePurpose::ServerAuth);
    pem(&path("door.pem"), "CERTIFICATE", &certificate);
    pem(&path("door.key"), "PRIVATE KEY", &key.serialize_der());
    pem(&path("authority.pem"), "CERTIFICATE", &authority.1);
    let files = TlsFiles {
        certificate: path("door.pem"),
        key: path("door.key"),
        client_authority: Some(path("authority.pem")),
        revoked: None,
    };
    // With TLS and rights an address open to others is possible.
    let listen = SocketAddr::from(([0, 0, 0, 0], 0));
    let door = Door::open(DoorConfig { listen, tls: Some(files), policy: policy(), ..config() }).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], door.address().port()));
    // One silent connection must not hold up the handshakes of others.
    let silent: Vec<_> = (0..50).map(|_| TcpStream::connect(address).unwrap()).collect();
    let meter = authority.client("urn:gridflex:meter");
    let mut client = tls_client(address, &authority, Some(&meter));
    assert_eq!(client.connect(hello("meter:1")), Some((ConnectReturnCode::Success, false)));
    assert!(client.publish("gridflex/demo/telemetry/bus.1.p", "1"));
    assert!(!client.publish("gridflex/demo/device/121/status", "x"));
    for (what, own, expected) in [
        ("no certificate", None, None),
        ("another authority's", Some(stranger.client("urn:gridflex:meter")), None),
        ("a server's", Some((certificate, key)), None),
        (
            "an unknown name",
            Some(authority.client("urn:gridflex:121x")),
            Some(ConnectReturnCode::BadUserNamePassword),
        ),
        (
            "not ours to name",
            Some(authority.client("urn:other:meter")),
            Some(ConnectReturnCode::BadUserNamePassword),
        ),
    ] {
        let mut client = tls_client(address, &authority, own.as_ref());
        assert_eq!(client.connect(hello("meter")).map(|(code, _)| code), expected, "{what}");
    }
    // Plain MQTT is not understood there: what comes back, if anything, is an alert of TLS.
    let mut plain = Raw::tcp(address);
    plain.send(&rumqttc::mqttbytes::v4::Packet::Connect(hello("meter")));
    let mut first = [0];
    let answered = std::io::Read::read(&mut plain.stream, &mut first).unwrap_or(0);
    assert!(answered == 0 || first[0] == 21, "{first:?}");
    drop(silent);
    assert!(door.counters().get(Count::TlsFailed) >= 3, "{:?}", door.counters().snapshot());
}
