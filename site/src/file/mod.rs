//! `SITE.toml` as written ([docs/site.md](../../../docs/site.md)). Every key has a safe default; unknown ones are refused.

mod acquisition;
mod amqp;
mod broker;
mod delegation;
mod iec104;
mod market_rules;
mod oidc;
mod opcua;
mod section;
#[cfg(test)]
mod tests;
pub(crate) mod transfer;

pub use oidc::OidcSection;
pub use section::Located;

use crate::memory::MEMORY_MB_MAX;
use crate::problem::Problem;
use actors::DsoRules;
use actors::grid_side::Ranks;
use actors::picture::DeviceKind;
use connectors::amqp::AmqpConfig;
use connectors::iec104::{CounterReading, Timers, TlsFiles as Iec104TlsFiles};
use connectors::mqtt::door::{Limits, TlsFiles};
use connectors::mqtt::foreign::BrokerTls;
use connectors::opcua::{Security, User};
use dashboards_server::Whose;
use grid::{DeviceId, Money, ProsumerId, UsagePointId};
use history::Kind;
use market::Rules;
use section::{Reading, Section};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Largest site file read, bytes.
const BYTES_MAX: u64 = 4 << 20;

/// What a site file says.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteFile {
    /// The market area, second level of every topic; by default the file's name without its ending.
    pub name: Located<String>,
    /// The network, power-grid-model JSON.
    pub network: Located<PathBuf>,
    /// Where the journal and the retained messages are kept.
    pub data: PathBuf,
    /// Time zone of the page (IANA name).
    pub zone: String,
    /// Page and HTTP interface.
    pub http: HttpSection,
    /// The MQTT door.
    pub mqtt: MqttSection,
    /// How the DSO plans and pays.
    pub dso: DsoRules,
    /// Which offers are sold together, and what every contract says about its settlement.
    pub market: Rules,
    /// Whether it is settled with energies that nobody certified.
    pub uncertified_energy: bool,
    /// How long telemetry, energies and estimates are kept.
    pub history: history::Options,
    /// Memory that it may use, MB.
    pub memory_mb: Option<Located<u32>>,
    /// Registered devices.
    pub devices: Vec<Located<actors::Device>>,
    /// What was agreed with prosumers who delegate their trading.
    pub delegations: Vec<Located<actors::Delegation>>,
    /// What the use of the grid costs.
    pub transfer: Vec<Located<transfer::TransferPrice>>,
    /// Registered generators: connection and largest feed-in, W.
    pub generators: Vec<Located<(UsagePointId, f64)>>,
    /// Whether `generators` are all there are.
    pub all_generators: bool,
    /// Modbus servers that are polled.
    pub modbus: Vec<ModbusSection>,
    /// OPC UA servers that are listened to.
    pub opcua: Vec<OpcUaSection>,
    /// Brokers whose request queues are served.
    pub amqp: Vec<AmqpSection>,
    /// Brokers of others that are listened to.
    pub broker: Vec<BrokerSection>,
    /// Operators whose historians send values under pseudonyms.
    pub acquisition: Vec<AcquisitionSection>,
    /// Stations of IEC 60870-5-104 that are listened to.
    pub iec104: Vec<Iec104Section>,
    /// Our own OPC UA server, if there is one.
    pub opcua_server: Option<OpcUaServerSection>,
    /// Whose people may sign in besides those with an account here.
    pub oidc: Option<OidcSection>,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq)]
pub struct HttpSection {
    /// Where page and HTTP interface listen.
    pub listen: Located<SocketAddr>,
    /// Who is let in; without it whoever reaches the address, which is a loopback address then.
    pub accounts: Option<Located<PathBuf>>,
    /// Certificate and key.
    pub tls: Option<Located<TlsFiles>>,
    /// Names it is called by, beside those of the loopback address.
    pub names: Vec<String>,
    /// Whether a second factor is wanted of people for commands and settlements.
    pub second_factor: bool,
}

/// `[mqtt]`.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttSection {
    /// Where the door listens.
    pub listen: Located<SocketAddr>,
    /// The table of rights; without it everyone may do everything, on a loopback address.
    pub rights: Option<Located<PathBuf>>,
    /// Certificate and key.
    pub tls: Option<Located<TlsFiles>>,
    /// How much what comes through it is preferred.
    pub rank: u32,
    /// Whether nobody certified the meters that report through it: no money rests on their energies.
    pub uncertified: bool,
    /// What its clients may use.
    pub limits: Limits,
}

/// One `[[amqp]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AmqpSection {
    /// Where it begins.
    pub line: u64,
    /// What people call it.
    pub name: Located<String>,
    /// The broker and its queue.
    pub config: AmqpConfig,
    /// With whose rights requests are answered.
    pub whose: Whose,
}

/// One `[[broker]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerSection {
    /// What people call it.
    pub name: Located<String>,
    /// `host:port`.
    pub server: Located<String>,
    /// Its point map.
    pub points: Located<PathBuf>,
    /// How much it is preferred.
    pub rank: u32,
    /// Whether nobody certified its meters: no money rests on its energies.
    pub uncertified: bool,
    /// Whom to trust, with TLS.
    pub tls: Option<BrokerTls>,
    /// A name, and the file with its password.
    pub user: Option<(String, PathBuf)>,
    /// Where in a payload its time stands.
    pub time: Option<String>,
    /// A point of which nothing came for so long is missing.
    pub silence: Duration,
    /// Whether nothing is sent there.
    pub listen_only: bool,
}

/// One `[[modbus]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct ModbusSection {
    /// What people call it.
    pub name: Located<String>,
    /// `host:port`, `rtu+tcp://host:port` or `serial:device,speed,8E1`.
    pub server: Located<String>,
    /// Its point map.
    pub points: Located<PathBuf>,
    /// How much it is preferred.
    pub rank: u32,
    /// Whether nobody certified its meters: no money rests on its energies.
    pub uncertified: bool,
    /// How often all of it is read.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// One `[[opcua]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct OpcUaSection {
    /// What people call it.
    pub name: Located<String>,
    /// `opc.tcp://host:port`.
    pub endpoint: Located<String>,
    /// Its point map.
    pub points: Located<PathBuf>,
    /// How much it is preferred.
    pub rank: u32,
    /// Whether nobody certified its meters: no money rests on its energies.
    pub uncertified: bool,
    /// How messages are protected.
    pub security: Security,
    /// The server's own certificate.
    pub server_certificate: Option<Located<PathBuf>>,
    /// Who we say we are.
    pub user: User,
    /// How often it looks for changes.
    pub period: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// One `[[acquisition]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct AcquisitionSection {
    /// Who sends.
    pub name: Located<String>,
    /// Public half of its signing key.
    pub sender_key: Located<PathBuf>,
    /// The platform's key.
    pub key: Located<PathBuf>,
    /// What its pseudonyms are here, a point map.
    pub points: Located<PathBuf>,
    /// What its values may be used for.
    pub purpose: String,
    /// How much it is preferred.
    pub rank: u32,
    /// Whether nobody certified its meters: no money rests on its energies.
    pub uncertified: bool,
}

/// One `[[iec104]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Iec104Section {
    /// What people call it.
    pub name: Located<String>,
    /// `host:port`.
    pub server: Located<String>,
    /// Its point map.
    pub points: Located<PathBuf>,
    /// How much it is preferred.
    pub rank: u32,
    /// Whether nobody certified its meters: no money rests on its energies.
    pub uncertified: bool,
    /// Our originator address.
    pub originator: u8,
    /// How often everything is interrogated.
    pub period: Duration,
    /// How counters are read.
    pub counters: CounterReading,
    /// Whether its clock is set.
    pub set_clock: bool,
    /// How far its clock is ahead of UTC in winter, minutes.
    pub utc_offset_minutes: i32,
    /// Windows and timers of the transport.
    pub timers: Timers,
    /// Certificates, with TLS.
    pub tls: Option<Iec104TlsFiles>,
}

/// `[opcua_server]`.
#[derive(Debug, Clone, PartialEq)]
pub struct OpcUaServerSection {
    /// Where it listens.
    pub listen: Located<SocketAddr>,
    /// The name by which it is reached.
    pub host: Option<String>,
    /// Whether there is an endpoint without protection too.
    pub plain: bool,
    /// Whether clients need no name.
    pub anonymous: bool,
}

/// Reads a site file.
///
/// # Errors
/// Every fault with its line: what is no TOML, no known key, of the wrong kind or out of range.
pub fn read(path: &Path) -> Result<SiteFile, Vec<Problem>> {
    let size = std::fs::metadata(path).map(|metadata| metadata.len());
    let text = match size {
        Ok(bytes) if bytes > BYTES_MAX => {
            return Err(vec![Problem::of(path, format!("{bytes} bytes, at most {BYTES_MAX} are read"))]);
        }
        Ok(_) => std::fs::read_to_string(path),
        Err(error) => Err(error),
    };
    match text {
        Ok(text) => parse(path, &text),
        Err(error) => Err(vec![Problem::of(path, format!("it cannot be read: {error}"))]),
    }
}

/// Reads the text of a site file that stands at `path`.
///
/// # Errors
/// As [`read`].
pub fn parse(path: &Path, text: &str) -> Result<SiteFile, Vec<Problem>> {
    let reading = Reading::new(path, text);
    let site = site(path, reading.root());
    let problems = reading.problems();
    if problems.is_empty() { Ok(site) } else { Err(problems) }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn site(path: &Path, mut root: Section<'_>) -> SiteFile {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let name = root.text("name").unwrap_or(Located { value: stem, line: 1 });
    let network = root.path_or("network", "network.json");
    let data = root.path_or("data", "data").value;
    let zone = root.text("zone").map_or("UTC".to_owned(), |zone| zone.value);
    let http = http(root.section("http"));
    let mqtt = mqtt(root.section("mqtt"));
    let (dso, all_generators) = dso(root.section("dso"));
    let (market, uncertified_energy) = market_rules::rules(root.section("market"));
    let history = history(root.section("history"));
    let memory_mb = memory_mb(root.section("limits"));
    let devices = root.sections("device").into_iter().filter_map(device).collect();
    let delegations = root.sections("delegation").into_iter().filter_map(delegation::delegation).collect();
    let transfer = root.sections("transfer_price").into_iter().filter_map(transfer::price).collect();
    let generators = root.sections("generator").into_iter().filter_map(generator).collect();
    let modbus = root.sections("modbus").into_iter().filter_map(modbus).collect();
    let opcua = root.sections("opcua").into_iter().filter_map(opcua::source).collect();
    let amqp = root.sections("amqp").into_iter().filter_map(amqp::broker).collect();
    let broker = root.sections("broker").into_iter().filter_map(broker::source).collect();
    let acquisition = root.sections("acquisition").into_iter().filter_map(acquisition::sender).collect();
    let iec104 = root.sections("iec104").into_iter().filter_map(iec104::source).collect();
    let opcua_server = root.section_if("opcua_server").map(opcua::server);
    let oidc = root.section_if("oidc").and_then(oidc::provider);
    root.finish();
    SiteFile {
        name,
        network,
        data,
        zone,
        http,
        mqtt,
        dso,
        market,
        uncertified_energy,
        history,
        memory_mb,
        devices,
        delegations,
        transfer,
        generators,
        all_generators,
        modbus,
        opcua,
        amqp,
        broker,
        acquisition,
        iec104,
        opcua_server,
        oidc,
    }
}

fn http(mut section: Section<'_>) -> HttpSection {
    let listen = section.address_or("listen", loopback(8080));
    let accounts = section.path("accounts");
    let tls = tls(&mut section, (None, None));
    let names = section.text("names").map_or(String::new(), |names| names.value);
    let names = names.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    // Where others can reach it a password alone commands nothing.
    let second_factor = section.flag_or("second_factor", !listen.value.ip().is_loopback());
    section.finish();
    HttpSection { listen, accounts, tls, names, second_factor }
}

fn mqtt(mut section: Section<'_>) -> MqttSection {
    let listen = section.address_or("listen", loopback(1883));
    let rights = section.path("rights");
    let clients = (section.path("client_authority"), section.path("revoked"));
    let tls = tls(&mut section, clients);
    let (rank, uncertified) = trust(&mut section, Ranks::default().field);
    let usual = Limits::default();
    let mut at_most = |key, usual: usize| {
        let given = section.whole(key, 1_000_000);
        let given = given.filter(|given| {
            if given.value == 0 {
                section.note(given.line, key, "0 would let nobody in");
            }
            given.value > 0
        });
        given.map_or(usual, |given| given.value as usize)
    };
    let limits = Limits {
        connections_max: at_most("connections_max", usual.connections_max),
        connections_per_peer_max: at_most("connections_per_address_max", usual.connections_per_peer_max),
        connects_per_second: at_most("connects_per_second", usual.connects_per_second as usize) as u32,
        packets_per_second: at_most("packets_per_second", usual.packets_per_second as usize) as u32,
        sessions_per_identity_max: at_most("sessions_per_identity_max", usual.sessions_per_identity_max),
        ..usual
    };
    section.finish();
    MqttSection { listen, rights, tls, rank, uncertified, limits }
}

/// How much a source is preferred, 1 before 2, and whether it is uncertified.
fn trust(section: &mut Section<'_>, default: u32) -> (u32, bool) {
    let rank = section.number("rank", 1.0..=99.0).filter(|rank| {
        let is_whole = rank.value.fract() == 0.0;
        if !is_whole {
            section.note(rank.line, "rank", format!("{} is no whole number", rank.value));
        }
        is_whole
    });
    (rank.map_or(default, |rank| rank.value as u32), section.flag("uncertified"))
}

/// Certificate and key, and what is known of the clients' certificates.
fn tls(
    section: &mut Section<'_>,
    (authority, revoked): (Option<Located<PathBuf>>, Option<Located<PathBuf>>),
) -> Option<Located<TlsFiles>> {
    let (certificate, key) = (section.path("certificate"), section.path("key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Located {
            line: certificate.line,
            value: TlsFiles {
                certificate: certificate.value,
                key: key.value,
                client_authority: authority.map(|authority| authority.value),
                revoked: revoked.map(|revoked| revoked.value),
            },
        }),
        (None, None) => {
            for (key, path) in [("client_authority", authority), ("revoked", revoked)] {
                if let Some(path) = path {
                    section.note(path.line, key, "needs certificate and key beside it");
                }
            }
            None
        }
        (one, other) => {
            let line = one.or(other).map_or(section.line(), |path| path.line);
            section.note(line, "certificate", "certificate and key belong together; one is missing");
            None
        }
    }
}

/// How the DSO plans and pays, and whether it knows all generators.
fn dso(mut section: Section<'_>) -> (DsoRules, bool) {
    let mut rules = DsoRules::default();
    if let Some(value) = section.number("value_eur_per_kwh", 0.0..=1_000.0) {
        rules.value_per_kwh = Money((value.value * 1e6).round() as i64);
    }
    if let Some(limit) = section.number("planning_limit", 0.1..=2.0) {
        rules.outlook.planning_limit = limit.value;
    }
    if let Some(power) = section.number("household_max_kw", 0.1..=1_000.0) {
        rules.p_household_max_w = power.value * 1e3;
    }
    let all_generators = section.flag("all_generators_registered");
    section.finish();
    (rules, all_generators)
}

fn generator(mut section: Section<'_>) -> Option<Located<(UsagePointId, f64)>> {
    let usage_point = section.needed("usage_point", |section, key| section.whole(key, u32::MAX));
    let power = section.needed("p_max_kw", |section, key| section.number(key, 0.001..=100_000.0));
    let line = section.line();
    section.finish();
    Some(Located { value: (UsagePointId(usage_point?.value), power?.value * 1e3), line })
}

/// Days each kind is kept.
fn history(mut section: Section<'_>) -> history::Options {
    let mut options = history::Options::default();
    let keys = [
        (Kind::Telemetry, "telemetry_days"),
        (Kind::Energy, "energy_days"),
        (Kind::Estimate, "estimate_days"),
    ];
    for (kind, key) in keys {
        if let Some(days) = section.number(key, 1.0..=36_500.0) {
            options.keep.insert(kind, Duration::from_secs_f64(days.value * 86_400.0));
        }
    }
    section.finish();
    options
}

/// Memory that the site may use, MB.
fn memory_mb(mut section: Section<'_>) -> Option<Located<u32>> {
    let given = section.whole("memory_mb", MEMORY_MB_MAX);
    section.finish();
    given
}

fn device(mut section: Section<'_>) -> Option<Located<actors::Device>> {
    let mut number = |key| section.needed(key, |section, key| section.whole(key, u32::MAX));
    let (id, prosumer, usage_point) = (number("number"), number("prosumer"), number("usage_point"));
    let kind = section.needed("kind", Section::text).and_then(|kind| {
        let known = match kind.value.as_str() {
            "charger" => Some(DeviceKind::Charger),
            "battery" => Some(DeviceKind::Battery),
            "heat_pump" => Some(DeviceKind::HeatPump),
            "portfolio" => Some(DeviceKind::Portfolio),
            _ => None,
        };
        if known.is_none() {
            let what = format!("{:?} is none of charger, battery, heat_pump, portfolio", kind.value);
            section.note(kind.line, "kind", what);
        }
        known
    });
    let power = section.needed("p_max_kw", |section, key| section.number(key, 0.001..=100_000.0));
    let line = section.line();
    section.finish();
    let value = actors::Device {
        id: DeviceId(id?.value),
        prosumer: ProsumerId(prosumer?.value),
        usage_point: UsagePointId(usage_point?.value),
        kind: kind?,
        p_max_w: power?.value * 1e3,
    };
    Some(Located { value, line })
}

fn modbus(mut section: Section<'_>) -> Option<ModbusSection> {
    let name = section.needed("name", Section::text);
    let server = section.needed("server", Section::text);
    let points = section.needed("points", Section::path);
    let period = section.number("period_s", 0.1..=900.0).map_or(5.0, |seconds| seconds.value);
    let timeout = section.number("timeout_s", 0.1..=60.0).map_or(3.0, |seconds| seconds.value);
    let (rank, uncertified) = trust(&mut section, Ranks::NAMED);
    section.finish();
    Some(ModbusSection {
        rank,
        uncertified,
        name: name?,
        server: server?,
        points: points?,
        period: Duration::from_secs_f64(period),
        timeout: Duration::from_secs_f64(timeout),
    })
}
