//! Rights, passwords and certificates that are withdrawn while their owners are connected.

use super::config;
use super::raw::{Raw, hello};
use super::rights::{Authority, login, pem, tls_client};
use connectors::mqtt::door::{Change, Count, Policy, TlsFiles, Withdrawn};
use connectors::mqtt::{Door, DoorConfig};
use rcgen::{
    CertificateRevocationListParams, ExtendedKeyUsagePurpose, KeyIdMethod, RevokedCertParams, SanType,
    date_time_ymd,
};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{ConnectReturnCode, LastWill, SubscribeReasonCode};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const GRIDFLEX: &str = "$7$101$K5qHx669KwOueakL$K537IRAdgmUfDxe/7CQimTltkC4ZOoB+KVDkq/6T32+zZxlbq+Xc4WYquMtjeFwf6JAlsXPBUpRTw7dUsuE+kQ==";

fn client(identity: &str, subscribe: &[&str]) -> String {
    format!(
        "[[client]]\nidentity = \"{identity}\"\npassword = \"{GRIDFLEX}\"\npublish = [\"out/{identity}\"]\nsubscribe = {subscribe:?}\n"
    )
}

/// As an editor does it: a new file in the place of the old one.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

type Told = Arc<Mutex<Vec<Change>>>;

fn told(door: &Door) -> Told {
    let told = Told::default();
    let writing = told.clone();
    door.tell(move |change| writing.lock().unwrap().push(change.clone()));
    told
}

fn within(what: &str, done: impl Fn() -> bool) {
    for _ in 0..400 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("not within ten seconds: {what}");
}

fn withdrawn(told: &Told) -> Vec<(String, Withdrawn)> {
    let told = told.lock().unwrap();
    let withdrawn = told.iter().filter_map(|change| match change {
        Change::Withdrawn { identity, why } => Some((identity.clone(), *why)),
        _ => None,
    });
    let mut withdrawn: Vec<_> = withdrawn.collect();
    withdrawn.sort();
    withdrawn
}

fn connect(door: &Door, name: &str) -> (Raw, Option<(ConnectReturnCode, bool)>) {
    let mut raw = Raw::tcp(door.address());
    let mut connect = login(name, name, "gridflex");
    connect.clean_session = false;
    connect.last_will = Some(LastWill::new(format!("out/{name}"), "will", QoS::AtMostOnce, false));
    let answer = raw.connect(connect);
    (raw, answer)
}

fn subscribed(door: &Door, name: &str) -> Raw {
    let (mut raw, answer) = connect(door, name);
    assert_eq!(answer, Some((ConnectReturnCode::Success, false)), "{name}");
    let granted = raw.subscribe("in/1", QoS::AtLeastOnce);
    assert_eq!(granted, SubscribeReasonCode::Success(QoS::AtLeastOnce));
    raw
}

#[test]
fn who_loses_name_password_or_subscription_is_cut_off_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let rights = directory.path().join("rights.toml");
    let stays = client("stays", &["in/#", "out/#"]);
    let others = ["away", "gone", "narrowed", "renamed"];
    let text = stays.clone() + &others.map(|name| client(name, &["in/#"])).concat();
    write(&rights, &text);
    let policy = Policy::from_toml(&text).unwrap();
    let door = Door::open(DoorConfig { policy, rights: Some(rights.clone()), ..config() }).unwrap();
    let told = told(&door);
    let mut watching = subscribed(&door, "stays");
    watching.subscribe("out/#", QoS::AtMostOnce);
    drop(subscribed(&door, "away"));
    assert_eq!(watching.message().unwrap().payload, "will");
    let mut cut = others[1..].iter().map(|name| subscribed(&door, name)).collect::<Vec<_>>();
    // A table that is broken, and one that is empty, change nothing.
    for (so_far, broken) in ["[[client]]\nidentity = 7\n", ""].into_iter().enumerate() {
        write(&rights, broken);
        within("refused", || door.counters().get(Count::NotRenewed) == so_far as u64 + 1);
    }
    assert!(cut[0].publish("out/gone", "still here"));
    assert_eq!(watching.message().unwrap().payload, "still here");
    let renamed = client("renamed", &["in/#"]).replace("K5qHx669KwOueakL", "L5qHx669KwOueakL");
    write(&rights, &[stays, renamed, client("narrowed", &["in/2"])].concat());
    let expected = [
        ("away".to_owned(), Withdrawn::Unknown),
        ("gone".to_owned(), Withdrawn::Unknown),
        ("narrowed".to_owned(), Withdrawn::Subscription),
        ("renamed".to_owned(), Withdrawn::Password),
    ];
    within("cut off", || withdrawn(&told) == expected);
    let counts = [Count::Withdrawn, Count::Renewed].map(|count| door.counters().get(count));
    assert_eq!(counts, [4, 1]);
    assert!(cut.iter_mut().all(|raw| raw.receive().is_none()), "they are cut off, not only counted");
    // What is published now reaches whoever stays, no will before it, and waits for nobody else.
    assert!(watching.publish("out/stays", "on"));
    assert_eq!(watching.message().unwrap().payload, "on");
    assert_eq!(connect(&door, "gone").1, Some((ConnectReturnCode::BadUserNamePassword, false)));
    assert_eq!(connect(&door, "renamed").1, Some((ConnectReturnCode::BadUserNamePassword, false)));
    let (mut narrowed, answer) = connect(&door, "narrowed");
    assert_eq!(answer, Some((ConnectReturnCode::Success, true)));
    assert_eq!(narrowed.subscribe("in/1", QoS::AtLeastOnce), SubscribeReasonCode::Failure);
    assert_eq!(narrowed.subscribe("in/2", QoS::AtMostOnce), SubscribeReasonCode::Success(QoS::AtMostOnce));
    let told = told.lock().unwrap();
    let place = |wanted: fn(&Change) -> bool| told.iter().position(wanted);
    assert!(
        place(|change| matches!(change, Change::Renewed { .. }))
            < place(|change| matches!(change, Change::Withdrawn { .. }))
    );
    assert!(told.iter().any(
        |change| matches!(change, Change::NotRenewed { reason } if reason.contains("no client is left"))
    ));
}

#[test]
fn what_somebody_may_say_changes_while_it_is_connected() {
    let directory = tempfile::tempdir().unwrap();
    let rights = directory.path().join("rights.toml");
    let text = client("meter", &[]);
    write(&rights, &text);
    let policy = Policy::from_toml(&text).unwrap();
    let door = Door::open(DoorConfig { policy, rights: Some(rights.clone()), ..config() }).unwrap();
    let (mut meter, _) = connect(&door, "meter");
    assert!(meter.publish("out/meter", "x"));
    write(&rights, &text.replace("out/meter", "out/other"));
    within("renewed", || door.counters().get(Count::Renewed) == 1);
    assert!(meter.publish("out/other", "x"));
    assert!(!meter.publish("out/meter", "x"));
    assert_eq!(door.counters().get(Count::PublishDenied), 1);
}

#[test]
fn a_revoked_certificate_ends_its_open_connection_and_opens_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let authority = Authority::new();
    let host = vec![SanType::DnsName("localhost".try_into().unwrap())];
    let (certificate, key) = authority.sign(host, ExtendedKeyUsagePurpose::ServerAuth);
    pem(&path("door.pem"), "CERTIFICATE", &certificate);
    pem(&path("door.key"), "PRIVATE KEY", &key.serialize_der());
    pem(&path("authority.pem"), "CERTIFICATE", &authority.1);
    let revoked = |number: u64, serials: &[u64]| {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: (*serial).into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&authority.0).unwrap();
        pem(&path("new.crl"), "X509 CRL", list.der());
        std::fs::rename(path("new.crl"), path("revoked.crl")).unwrap();
    };
    revoked(1, &[7]);
    let tls = TlsFiles {
        certificate: path("door.pem"),
        key: path("door.key"),
        client_authority: Some(path("authority.pem")),
        revoked: Some(path("revoked.crl")),
    };
    let text = ["one", "two"].map(|name| client(name, &["in/#"])).concat();
    let policy = Policy::from_toml(&text).unwrap();
    let door = Door::open(DoorConfig { tls: Some(tls), policy, ..config() }).unwrap();
    let told = told(&door);
    let device = |name: &str, serial| {
        let uri = format!("urn:gridflex:{name}");
        let names = vec![SanType::URI(uri.as_str().try_into().unwrap())];
        authority.sign_as(Some(serial), names, ExtendedKeyUsagePurpose::ClientAuth)
    };
    let (one, two, long_gone) = (device("one", 1), device("two", 2), device("one", 7));
    assert_eq!(tls_client(door.address(), &authority, Some(&long_gone)).connect(hello("one")), None);
    let [mut first, mut second] = [("one", &one), ("two", &two)].map(|(name, own)| {
        let mut client = tls_client(door.address(), &authority, Some(own));
        assert_eq!(client.connect(hello(name)), Some((ConnectReturnCode::Success, false)));
        client.subscribe("in/#", QoS::AtLeastOnce);
        client
    });
    revoked(2, &[7, 1]);
    within("cut off", || withdrawn(&told) == [("one".to_owned(), Withdrawn::Certificate)]);
    assert!(first.receive().is_none(), "an open connection ends");
    assert_eq!(tls_client(door.address(), &authority, Some(&one)).connect(hello("one")), None);
    assert!(second.publish("out/two", "x"), "another's goes on");
    let renewed = device("one", 3);
    let mut again = tls_client(door.address(), &authority, Some(&renewed));
    assert_eq!(again.connect(hello("one")), Some((ConnectReturnCode::Success, false)));
    assert_eq!(door.counters().get(Count::Withdrawn), 1);
}
