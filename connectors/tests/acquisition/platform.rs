//! Both sides in one folder: keys, certificates, mapping and settings, and a platform that keeps nothing but what it was told.

use connectors::acquisition::client::{AcquireConfig, AcquireError, Acquisition, Summary};
use connectors::acquisition::intake::{self, IntakeConfig};
use connectors::acquisition::{PlatformKey, VerifyKey, make_client_keys, make_platform_key};
use connectors::exchange::Tap;
use connectors::house::Area;
use connectors::mqtt::door::{Policy, TlsFiles};
use connectors::mqtt::{Door, DoorConfig};
use connectors::{Arrival, Counters, Message, point_map};
use grid::{Clock, Measurement, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

pub const SAMPLE: &str = include_str!("../../testdata/acquisition/sample.csv");
/// `mosquitto_passwd` of "substation".
pub const HASH: &str = "$7$101$cml2ZXJzaWRlLTAx$bfZc5sPzW+OakDiI8H7kRqC7sXsfWEMdc8RCLUnFOmB6qdBh4dleH9efArs1yXs4yUBE6vPxRG+p7pg6Oib0oA==";

#[derive(Debug)]
pub struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }
}

/// A platform that keeps nothing but what it was told.
pub struct Platform {
    pub door: Door,
    pub counters: Arc<Counters>,
    pub told: Arc<Mutex<Vec<Measurement>>>,
}

impl Platform {
    pub fn open(folder: &Path) -> Self {
        Self::open_tapped(folder, None)
    }

    /// The same, where somebody keeps all telemetry.
    pub fn open_tapped(folder: &Path, tap: Option<Tap>) -> Self {
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
        tap.into_iter().for_each(|tap| inbox.tap_into(tap));
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

    pub fn told(&self) -> Vec<Measurement> {
        let mut told = self.told.lock().unwrap().clone();
        told.sort_by_key(|value| (value.point, value.measured_at));
        told
    }
}

/// Keys, certificates, mapping and point map of both sides in one folder, and the sample.
pub fn prepare(folder: &Path) {
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

pub fn secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// An authority, and a certificate of it for 127.0.0.1.
pub fn certificates(folder: &Path, prefix: &str) {
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

pub fn client(folder: &Path, port: u16, change: impl Fn(String) -> String) -> Acquisition {
    let text = format!(
        "batch = 5\n[platform]\naddress = \"127.0.0.1:{port}\"\narea = \"riverside\"\nca = \"ca.pem\"\n\
         client_id = \"dso-west:historian\"\nusername = \"dso-west\"\npassword_file = \"password\"\n\
         [files]\nfolder = \"export\"\n"
    );
    let path = folder.join("acquire.toml");
    std::fs::write(&path, change(text)).unwrap();
    Acquisition::prepare(AcquireConfig::read(&path).unwrap(), Arc::new(Noon)).unwrap()
}

pub fn points(folder: &Path) {
    let client = client(folder, 1, |text| text);
    std::fs::write(folder.join("points.csv"), client.mapping().point_map().unwrap()).unwrap();
}

pub async fn send(folder: &Path, port: u16) -> Result<Summary, AcquireError> {
    let mut client = client(folder, port, |text| text);
    client.run(true, |_| {}).await.map(|()| client.summary)
}
