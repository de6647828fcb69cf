//! Both sides of acquisition joined by a real door over TLS: the operator's client and the platform's intake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test

use connectors::acquisition::client::{AcquireConfig, AcquireError, Acquisition, Summary};
use connectors::acquisition::intake::{self, IntakeConfig};
use connectors::acquisition::{PlatformKey, VerifyKey, make_client_keys, make_platform_key};
use connectors::house::Area;
use connectors::mqtt::door::{Policy, TlsFiles};
use connectors::mqtt::{Door, DoorConfig};
use connectors::{Arrival, Counters, Message, point_map};
use grid::{Clock, Measurement, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

const SAMPLE: &str = include_str!("../testdata/acquisition/sample.csv");
/// `mosquitto_passwd` of "substation".
const HASH: &str = "$7$101$cml2ZXJzaWRlLTAx$bfZc5sPzW+OakDiI8H7kRqC7sXsfWEMdc8RCLUnFOmB6qdBh4dleH9efArs1yXs4yUBE6vPxRG+p7pg6Oib0oA==";

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }
}

/// A platform that keeps nothing but what it was told.
struct Platform {
    door: Door,
    counters: Arc<Counters>,
    told: Arc<Mutex<Vec<Measurement>>>,
}

impl Platform {
    fn open(folder: &Path) -> Self {
        let rights = format!(
            "[[client]]\nidentity = \"dso-west\"\npassword = \"{HASH}\"\n\
             publish = [\"gridflex/riverside/acquisition/dso-west/envelope\"]\n\
             subscribe = [\"gridflex/riverside/acquisition/dso-west/receipt\"]\n"
        );
        let at = |name: &str| folder.join(name);
        let tls = TlsFiles {
            certificate: at("door.pem"),
            key: at("door.key"),
            client_authority: None,
            revoked: None,
        };
        let listen = ([127, 0, 0, 1], 0).into();
        let policy = Policy::from_toml(&rights).unwrap();
        let door =
            Door::open(DoorConfig { listen, policy, tls: Some(tls), ..DoorConfig::default() }).unwrap();
        let points = point_map::read_path(&at("points.csv")).unwrap();
        let config = IntakeConfig {
            sender: VerifyKey::read(&at("signing.pub")).unwrap(),
            key: PlatformKey::read(&at("platform.key")).unwrap(),
            purpose: "settlement".into(),
            points: IntakeConfig::points(&points).unwrap().into_iter().collect(),
            log: at("intake/dso-west.log"),
        };
        let (source, waiting) =
            intake::open(config, &door, Area::new("riverside").unwrap(), Arc::new(Noon)).unwrap();
        waiting.start();
        let (told, counters, mut inbox) = (Arc::<Mutex<Vec<_>>>::default(), source.counters, source.inbox);
        let kept = told.clone();
        tokio::spawn(async move {
            while let Some(batch) = inbox.recv_batch().await {
                for arrival in batch {
                    if let Arrival::Message(Message::Telemetry(values)) = arrival {
                        kept.lock().unwrap().extend(values);
                    }
                }
            }
        });
        Self { door, counters, told }
    }

    fn told(&self) -> Vec<Measurement> {
        let mut told = self.told.lock().unwrap().clone();
        told.sort_by_key(|value| (value.point, value.measured_at));
        told
    }
}

/// Keys, certificates, mapping and point map of both sides in one folder, and the sample.
fn prepare(folder: &Path) {
    make_client_keys(folder, "dso-west", ("west", "settlement", "riverside", "2026")).unwrap();
    make_platform_key(folder, "riverside").unwrap();
    certificates(folder, "");
    let mut mapping = "private_id,classification_id,element,quantity,phase,unit\n".to_owned();
    for (id, point) in [
        (1, "bus.1,u,a"),
        (2, "bus.1,u,b"),
        (3, "bus.1,u,c"),
        (4, "bus.2,u,a"),
        (5, "bus.2,u,b"),
        (6, "bus.2,u,c"),
        (100, "bus.3,u,a"),
    ] {
        writeln!(mapping, "{id},7-PRE-{id:03},{point},kV").unwrap();
    }
    secret(&folder.join("mapping.csv"), &mapping);
    secret(&folder.join("password"), "substation\n");
    std::fs::create_dir(folder.join("export")).unwrap();
    std::fs::write(folder.join("export/sample.csv"), SAMPLE).unwrap();
}

fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(folder: &Path, prefix: &str) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(format!("{prefix}ca.pem")), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let door =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join(format!("{prefix}door.pem")), door.pem()).unwrap();
    std::fs::write(folder.join(format!("{prefix}door.key")), key.serialize_pem()).unwrap();
}

fn client(folder: &Path, port: u16, change: impl Fn(String) -> String) -> Acquisition {
    let text = format!(
        "batch = 5\n[platform]\naddress = \"127.0.0.1:{port}\"\narea = \"riverside\"\nca = \"ca.pem\"\n\
         client_id = \"dso-west:historian\"\nusername = \"dso-west\"\npassword_file = \"password\"\n\
         [files]\nfolder = \"export\"\n"
    );
    let path = folder.join("acquire.toml");
    std::fs::write(&path, change(text)).unwrap();
    Acquisition::prepare(AcquireConfig::read(&path).unwrap(), Arc::new(Noon)).unwrap()
}

fn points(folder: &Path) {
    let client = client(folder, 1, |text| text);
    std::fs::write(folder.join("points.csv"), client.mapping().point_map().unwrap()).unwrap();
}

async fn send(folder: &Path, port: u16) -> Result<Summary, AcquireError> {
    let mut client = client(folder, port, |text| text);
    client.run(true, |_| {}).await.map(|()| client.summary)
}

#[tokio::test]
async fn all_rows_of_the_projects_sample_arrive_once_however_often_they_are_sent() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let platform = Platform::open(folder);
    let port = platform.door.address().port();
    let summary = send(folder, port).await.unwrap();
    assert_eq!(
        (summary.lines, summary.values, summary.rejected, summary.unused, summary.envelopes),
        (12, 12, 0, 0, 3)
    );
    let told = platform.told();
    assert_eq!(told.len(), 12);
    let mut written: Vec<(String, String)> = Vec::new();
    for line in SAMPLE.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        written.push((
            fields[1].replace(' ', "T") + "Z",
            format!("{:.1}", fields[2].parse::<f64>().unwrap() * 1e3),
        ));
    }
    let mut arrived: Vec<_> =
        told.iter().map(|value| (value.measured_at.to_string(), format!("{:.1}", value.value))).collect();
    written.sort();
    arrived.sort();
    assert_eq!(arrived, written);

    // Nothing new; then without any memory at the client; then with a platform that was closed and opened.
    assert_eq!(send(folder, port).await.unwrap().envelopes, 0);
    std::fs::remove_file(folder.join("progress.json")).unwrap();
    assert_eq!(send(folder, port).await.unwrap().lines, 12);
    let Platform { door, counters, told: before } = platform;
    door.close().await;
    let again = Platform::open(folder);
    std::fs::remove_file(folder.join("progress.json")).unwrap();
    let summary = send(folder, again.door.address().port()).await.unwrap();
    assert_eq!((summary.lines, summary.unused), (12, 0));
    assert_eq!((before.lock().unwrap().len(), again.told().len()), (12, 0));
    assert_eq!(counters.snapshot().rejected, BTreeMap::new());
}

#[tokio::test]
async fn a_platform_with_another_certificate_or_a_client_with_another_password_is_refused_and_nothing_is_sent()
 {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let platform = Platform::open(folder);
    let port = platform.door.address().port();
    certificates(folder, "other-");
    let mut stranger = client(folder, port, |text| text.replace("ca.pem", "other-ca.pem"));
    let error = stranger.run(true, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("TLS") && error.contains("127.0.0.1"), "{error}");
    secret(&folder.join("password"), "guessed");
    let error = send(folder, port).await.unwrap_err().to_string();
    assert!(error.contains("BadUserNamePassword"), "{error}");
    secret(&folder.join("password"), "substation");
    let mut other = client(folder, port, |text| text.replace("dso-west:historian", "dso-east"));
    let error = other.run(true, |_| {}).await.unwrap_err().to_string();
    assert!(error.contains("BadClientId"), "{error}");
    assert_eq!((platform.told().len(), platform.counters.snapshot().received), (0, 0));
    // Without TLS only to this machine.
    let text =
        "[platform]\naddress = \"grid.example:1883\"\narea = \"riverside\"\n[files]\nfolder = \"export\"\n";
    std::fs::write(folder.join("acquire.toml"), text).unwrap();
    let error = AcquireConfig::read(&folder.join("acquire.toml")).unwrap_err().to_string();
    assert!(error.contains("TLS only"), "{error}");
}

/// The operator has the key of another platform: the platform refuses by name, and no line counts as sent.
#[tokio::test]
async fn a_message_for_another_sites_key_is_refused_counted_and_not_noted_as_sent() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let platform = Platform::open(folder);
    let port = platform.door.address().port();
    std::fs::rename(folder.join("platform.pub"), folder.join("riverside.pub")).unwrap();
    let other = tempfile::tempdir().unwrap();
    make_platform_key(other.path(), "riverside").unwrap();
    std::fs::copy(other.path().join("platform.pub"), folder.join("platform.pub")).unwrap();
    let error = send(folder, port).await.unwrap_err();
    assert!(matches!(&error, AcquireError::Envelope { code, .. } if code == "recipient"), "{error}");
    assert!(platform.counters.snapshot().rejected["recipient"] >= 1);
    assert!(!folder.join("progress.json").exists() && platform.told().is_empty());
    // With the right key all of it is sent.
    std::fs::rename(folder.join("riverside.pub"), folder.join("platform.pub")).unwrap();
    assert_eq!(send(folder, port).await.unwrap().lines, 12);
    assert_eq!(platform.told().len(), 12);
}

#[tokio::test]
async fn a_value_without_a_point_is_counted_and_told_and_a_bad_line_stays_with_the_operator() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path();
    prepare(folder);
    points(folder);
    let map = std::fs::read_to_string(folder.join("points.csv")).unwrap();
    let without: Vec<&str> = map.lines().filter(|line| !line.contains("bus.3")).collect();
    std::fs::write(folder.join("points.csv"), without.join("\n") + "\n").unwrap();
    let bad =
        format!("{SAMPLE}\"7777\",2015-01-01 00:11:00,1.0\n\"1\",never,1.0\n\"1\",2015-02-01 00:00:00,2\n");
    std::fs::write(folder.join("export/sample.csv"), bad).unwrap();
    let platform = Platform::open(folder);
    let summary = send(folder, platform.door.address().port()).await.unwrap();
    assert_eq!((summary.lines, summary.values, summary.rejected, summary.unused), (15, 13, 2, 6));
    assert_eq!((platform.told().len(), platform.counters.snapshot().rejected["pseudonym"]), (7, 6));
    let rejects = std::fs::read_to_string(folder.join("rejects.csv")).unwrap();
    assert!(
        rejects.contains("sample.csv,13,its device_id is not in the mapping")
            && rejects.contains("sample.csv,14,"),
        "{rejects}"
    );
    assert_eq!(rejects.lines().count(), 3);
}
