//! Everything a site file names, read and put together without starting anything; or all that is wrong with it.

#[cfg(test)]
mod tests;

use crate::file::transfer::prices;
use crate::file::{self, HttpSection, Located, MqttSection, OpcUaServerSection, SiteFile};
use crate::memory::Memory;
use crate::network_picture;
use crate::problem::Problem;
use crate::sources::{self, Sources};
use crate::station::{AccountFiles, Foundation, Listeners};
use access::Directory;
use actors::grid_side::region::nothing_learnt;
use actors::{Area, AreaError, Device};
use connectors::mqtt::door::{Policy, PolicyError, RIGHTS_BYTES_MAX};
use connectors::mqtt::{DoorConfig, DoorError};
use connectors::network_file;
#[cfg(feature = "opcua")]
use connectors::opcua::server::ServerConfig;
use connectors::point_map::PointMap;
use dashboards_server::{Listen, ServeError};
use estimation::Feeder;
use grid::{Network, UsagePointId};
use market::OfferRules;
use market::transfer_price::TransferPrices;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where in the data directory the MQTT door keeps what is retained.
pub const DOOR_DIRECTORY: &str = "mqtt";
/// Where in the data directory telemetry and estimates are kept.
pub const HISTORY_DIRECTORY: &str = "history";
/// Where in the data directory it is written down who did what.
pub const AUDIT_LOG: &str = "audit.jsonl";

/// A site that can be started.
#[derive(Debug)]
pub struct Site {
    /// What stands still.
    pub foundation: Foundation,
    /// Where it listens.
    pub listeners: Listeners,
    /// What is read and listened to.
    pub sources: Sources,
    /// Where the journal is kept.
    pub data: PathBuf,
    /// How long telemetry, energies and estimates are kept.
    pub history: history::Options,
    /// What it is, for people.
    pub summary: Summary,
    /// Whether somebody says that the machine's clock is right although it is far ahead of what was recorded.
    pub clock_is_right: bool,
}

/// A checked site in figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// The market area.
    pub name: String,
    /// Buses of the network.
    pub buses: usize,
    /// Lines and transformers.
    pub branches: usize,
    /// Connections of customers.
    pub usage_points: usize,
    /// Registered devices.
    pub devices: usize,
    /// Points in point maps.
    pub mapped_points: usize,
    /// Where page and HTTP interface listen.
    pub http: String,
    /// Where the MQTT door listens, and for whom.
    pub mqtt: String,
    /// Where the OPC UA server listens, and for whom; `None` when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opcua: Option<String>,
    /// Where the journal is kept.
    pub data: String,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  network {} buses, {} branches, {} connections",
            self.buses, self.branches, self.usage_points
        )?;
        writeln!(f, "  devices {}", self.devices)?;
        writeln!(f, "  points  {} in point maps", self.mapped_points)?;
        writeln!(f, "  http    {}", self.http)?;
        writeln!(f, "  mqtt    {}", self.mqtt)?;
        if let Some(opcua) = &self.opcua {
            writeln!(f, "  opcua   {opcua}")?;
        }
        write!(f, "  data    {}", self.data)
    }
}

/// Checks the site file at `path` and everything it names.
///
/// # Errors
/// Every problem found, with file and line. A network that cannot be read hides what depends on it.
pub fn check(path: &Path) -> Result<Site, Vec<Problem>> {
    let written = file::read(path)?;
    let mut problems = Vec::new();
    let name = connectors::Area::new(written.name.value.as_str());
    let name = name
        .map_err(|error| problems.push(Problem::at(path, written.name.line, format!("name: {error}"))))
        .ok();
    if !is_zone(&written.zone) {
        let what =
            format!("zone: {:?} is no name of a time zone; write for example Europe/Berlin", written.zone);
        problems.push(Problem::of(path, what));
    }
    let mut listeners = listeners(path, &written, &mut problems);
    let network = network_file::read_path(&written.network.value);
    let network = network.map_err(|error| problems.push(Problem::of(path, format!("network: {error}")))).ok();
    let area = network.as_ref().and_then(|network| area(path, &written, network, &mut problems));
    let maps = sources::point_maps(path, &written, area.as_ref(), &mut problems);
    let mut sources = sources::configs(path, &written, &maps, &mut problems);
    let memory = network.as_ref().and_then(|network| memory(path, &written, network, &mut problems));
    let (Some(name), Some(network), Some(mut area), Some(memory), true) =
        (name, network, area, memory, problems.is_empty())
    else {
        return Err(problems);
    };
    listeners.acquisition = std::mem::take(&mut sources.acquisition);
    area.delegations = written.delegations.iter().map(|delegation| delegation.value.clone()).collect();
    area.ranks = sources::ranks(&written, &maps, &listeners.door.policy);
    if written.all_generators {
        area.know_generators(generators(&written));
    }
    area.accuracies = maps.iter().flatten().flat_map(PointMap::accuracies).collect();
    let devices: Vec<Device> = area.devices.values().copied().collect();
    let summary = summary(&written, &network, &maps);
    let picture = network_picture(&network, (network.name(), &area.name), Vec::new(), &devices);
    let foundation = Foundation {
        learnt: nothing_learnt(&area),
        area: Arc::new(area),
        name,
        network: Arc::new(picture),
        zone: written.zone,
    };
    let (data, mut history) = (written.data, written.history);
    memory.bound(&mut listeners.door.limits, &mut history);
    Ok(Site { foundation, listeners, sources, data, history, summary, clock_is_right: false })
}

/// How the site's memory is divided.
fn memory(path: &Path, written: &SiteFile, network: &Network, problems: &mut Vec<Problem>) -> Option<Memory> {
    let (buses, devices) = (network.buses().len(), written.devices.len());
    let Some(Located { value: memory_mb, line }) = written.memory_mb else {
        return Some(Memory::usual(buses, devices));
    };
    let divided = Memory::divided(memory_mb, buses, devices);
    divided.map_err(|error| problems.push(Problem::at(path, line, format!("limits.memory_mb: {error}")))).ok()
}

/// The most that the generators behind each connection feed in, W.
fn generators(written: &SiteFile) -> BTreeMap<UsagePointId, f64> {
    let mut sums = BTreeMap::new();
    for Located { value: (usage_point, p_max_w), .. } in &written.generators {
        *sums.entry(*usage_point).or_default() += p_max_w;
    }
    sums
}

fn summary(written: &SiteFile, network: &Network, maps: &[Option<PointMap>]) -> Summary {
    let mqtt = &written.mqtt;
    let whom = match (&mqtt.tls, &mqtt.rights) {
        (None, None) => "plain, for everyone on this machine",
        (None, Some(_)) => "plain, clients with rights",
        (Some(_), None) => "TLS, for everyone on this machine",
        (Some(_), Some(_)) => "TLS, clients with rights",
    };
    Summary {
        name: written.name.value.clone(),
        buses: network.buses().len(),
        branches: network.lines().len() + network.transformers().len(),
        usage_points: network.usage_points().len(),
        devices: written.devices.len(),
        mapped_points: maps.iter().flatten().map(|map| map.rows.len()).sum(),
        http: http_summary(written),
        mqtt: format!("{}, {whom}", mqtt.listen.value),
        opcua: written.opcua_server.as_ref().map(opcua_summary),
        data: written.data.display().to_string(),
    }
}

fn opcua_summary(server: &OpcUaServerSection) -> String {
    let how = if server.plain { "encrypted or plain" } else { "encrypted" };
    let whom =
        if server.anonymous { "clients whose certificate is trusted" } else { "those with an account" };
    format!("{}, {how}, for {whom}", server.listen.value)
}

fn http_summary(SiteFile { http, oidc, .. }: &SiteFile) -> String {
    let how = if http.tls.is_some() { "TLS" } else { "plain" };
    let whom = if http.accounts.is_some() { "those with an account" } else { "everyone on this machine" };
    let others = oidc.as_ref().map_or(String::new(), |oidc| format!(" here or at {}", oidc.config.issuer));
    format!("{}, {how}, for {whom}{others}", http.listen.value)
}

/// The form of an IANA name; the page says when it does not know it.
fn is_zone(zone: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    zone.len() <= 64 && zone.split('/').all(part)
}

fn listeners(path: &Path, written: &SiteFile, problems: &mut Vec<Problem>) -> Listeners {
    let http = &written.http;
    let (page, accounts) = page(path, http, &written.data, problems);
    let accounts = oidc(path, written, &page, accounts, problems);
    let mqtt = &written.mqtt;
    let door = DoorConfig {
        listen: mqtt.listen.value,
        tls: mqtt.tls.as_ref().map(|tls| tls.value.clone()),
        policy: rights(mqtt, problems).unwrap_or_else(Policy::open),
        rights: mqtt.rights.as_ref().map(|rights| rights.value.clone()),
        limits: mqtt.limits.clone(),
        state: Some(written.data.join(DOOR_DIRECTORY)),
    };
    match door.check() {
        Ok(()) => {}
        // Rights that could not be read were named already.
        Err(DoorError::Unprotected { .. })
            if mqtt.rights.is_some() && door.policy.is_open() && door.tls.is_some() => {}
        Err(error @ DoorError::Tls { .. }) => {
            let line = mqtt.tls.as_ref().map_or(mqtt.listen.line, |tls| tls.line);
            problems.push(Problem::at(path, line, error.to_string()));
        }
        Err(error) => problems.push(Problem::at(path, mqtt.listen.line, format!("mqtt.listen: {error}"))),
    }
    #[cfg(feature = "opcua")]
    let opcua = written.opcua_server.as_ref().map(|server| opcua_server(path, written, server, problems));
    // A section that asks for one is refused.
    #[cfg(not(feature = "opcua"))]
    let opcua = None;
    let amqp = sources::services(path, written, problems);
    Listeners { page, accounts, door, opcua, acquisition: Vec::new(), amqp }
}

/// Where the picture is shown over OPC UA.
#[cfg(feature = "opcua")]
fn opcua_server(
    path: &Path,
    written: &SiteFile,
    section: &OpcUaServerSection,
    problems: &mut Vec<Problem>,
) -> ServerConfig {
    let config = ServerConfig {
        listen: section.listen.value,
        host: section.host.clone(),
        plain: section.plain,
        anonymous: section.anonymous,
        store: sources::opcua_store(written),
        application: sources::opcua_application(written),
    };
    if let Err(error) = config.check() {
        problems.push(Problem::at(path, section.listen.line, format!("opcua_server: {error}")));
    }
    if !section.anonymous && written.http.accounts.is_none() {
        let what = "opcua_server: nobody could log in: name the accounts in [http], or let everyone in whose certificate is \
                    trusted with anonymous = true";
        problems.push(Problem::at(path, section.listen.line, what));
    }
    config
}

/// Where the page is served, and to whom.
fn page(
    path: &Path,
    http: &HttpSection,
    data: &Path,
    problems: &mut Vec<Problem>,
) -> (Listen, Option<AccountFiles>) {
    let tls = http.tls.as_ref().map(|tls| tls.value.clone());
    let listen = Listen { address: http.listen.value, tls, names: http.names.clone() };
    let files = http.accounts.as_ref().map(|accounts| AccountFiles {
        directory: accounts.value.clone(),
        audit: data.join(AUDIT_LOG),
        may_set_up: true,
        second_factor: http.second_factor,
        oidc: None,
    });
    let directory = match &http.accounts {
        None => None,
        Some(accounts) => match Directory::read(&accounts.value) {
            Ok(Some(directory)) => Some(directory),
            // The first administrator is made with the token that `serve` prints.
            Ok(None) => Some(Directory::default()),
            Err(error) => {
                problems.push(Problem::at(path, accounts.line, format!("http.accounts: {error}")));
                return (listen, files);
            }
        },
    };
    if let Err(error) = listen.check(directory.as_ref(), true) {
        let tls = http.tls.as_ref().filter(|_| matches!(error, ServeError::Tls(_)));
        let line = tls.map_or(http.listen.line, |tls| tls.line);
        problems.push(Problem::at(path, line, format!("http: {error}")));
    }
    (listen, files)
}

/// Whose people may sign in besides those with an account here. The provider is not asked.
fn oidc(
    path: &Path,
    written: &SiteFile,
    page: &Listen,
    accounts: Option<AccountFiles>,
    problems: &mut Vec<Problem>,
) -> Option<AccountFiles> {
    let Some(section) = &written.oidc else { return accounts };
    for (key, reason) in section.config.check(page) {
        problems.push(Problem::at(path, section.line_of(key), format!("oidc.{key}: {reason}")));
    }
    let Some(mut accounts) = accounts else {
        let what = "oidc: name the accounts in [http], too: who signs in is written down beside them, and local accounts go on \
                    when the provider is down";
        problems.push(Problem::at(path, section.line, what));
        return None;
    };
    accounts.oidc = Some(section.config.clone());
    Some(accounts)
}

/// The table of rights, if there is one.
fn rights(mqtt: &MqttSection, problems: &mut Vec<Problem>) -> Option<Policy> {
    let path = &mqtt.rights.as_ref()?.value;
    let text = match std::fs::metadata(path).map(|metadata| metadata.len()) {
        Ok(bytes) if bytes > RIGHTS_BYTES_MAX => {
            problems.push(Problem::of(path, format!("{bytes} bytes, at most {RIGHTS_BYTES_MAX} are read")));
            return None;
        }
        Ok(_) => std::fs::read_to_string(path),
        Err(error) => Err(error),
    };
    let text = text
        .map_err(|error| problems.push(Problem::of(path, format!("rights cannot be read: {error}"))))
        .ok()?;
    let error = match Policy::from_toml(&text) {
        Ok(policy) => return Some(policy),
        Err(error) => error,
    };
    let entries = text.lines().zip(1..).filter(|(line, _)| line.trim_start().starts_with("[[client]]"));
    let line = match &error {
        PolicyError::Toml(_) => None,
        PolicyError::Entry { place, .. } => entries.map(|(_, line)| line).nth(place - 1),
    };
    problems.push(Problem { line, ..Problem::of(path, error.to_string().trim_end()) });
    None
}

fn area(path: &Path, written: &SiteFile, network: &Network, problems: &mut Vec<Problem>) -> Option<Area> {
    let feeder = match Feeder::new(network) {
        Ok(feeder) => Arc::new(feeder),
        Err(error) => {
            problems.push(Problem::of(&written.network.value, error.to_string()));
            return None;
        }
    };
    // All devices that are wrong are named, not only the first one.
    let points: BTreeSet<_> = network.usage_points().iter().map(|point| point.id).collect();
    let (mut seen, mut good) = (BTreeMap::new(), Vec::new());
    for device in &written.devices {
        let (id, usage_point) = (device.value.id, device.value.usage_point);
        if let Some(first) = seen.insert(id, device.line) {
            let what =
                format!("{}; the first one is in line {first}", AreaError::DuplicateDevice { device: id });
            problems.push(Problem::at(path, device.line, what));
        } else if points.contains(&usage_point) {
            good.push(device.value);
        } else {
            let error = AreaError::UnknownUsagePoint { device: id, usage_point };
            problems.push(Problem::at(path, device.line, error.to_string()));
        }
    }
    delegations(path, written, problems);
    let rules = (written.market.clone(), OfferRules::default(), written.dso);
    for generator in &written.generators {
        let (usage_point, _) = generator.value;
        if !points.contains(&usage_point) {
            let what =
                format!("a generator is behind usage point {usage_point}, which the network does not have");
            problems.push(Problem::at(path, generator.line, what));
        }
    }
    let area = Area::new(written.name.value.as_str(), feeder, good, rules);
    let area = area.map_err(|error| problems.push(Problem::of(&written.network.value, error.to_string())));
    let mut area = area.ok()?;
    area.rules.transfer = transfer(path, written, &area, problems);
    Some(area)
}

/// Prices of elements that a zone's energy flows through, each time of each once.
fn transfer(path: &Path, written: &SiteFile, area: &Area, problems: &mut Vec<Problem>) -> TransferPrices {
    let (prices, twice) = prices(&written.transfer);
    for (line, first) in twice {
        let what = format!("a transfer price for a branch and time that line {first} has a price for");
        problems.push(Problem::at(path, line, what));
    }
    let counted: BTreeSet<_> = area.zones.values().flatten().map(|carried| carried.point.branch).collect();
    for Located { value, line } in &written.transfer {
        if !counted.contains(&value.branch) {
            let what = format!(
                "branch {} has no limit that what is registered behind it could exceed: a transfer price there counts for nobody",
                value.branch
            );
            problems.push(Problem::at(path, *line, what));
        }
    }
    prices
}

/// Everyone who delegates has a device to trade with, and one contract: what was agreed before is in the books.
fn delegations(path: &Path, written: &SiteFile, problems: &mut Vec<Problem>) {
    let owners: BTreeSet<_> = written.devices.iter().map(|device| device.value.prosumer).collect();
    let mut seen = BTreeMap::new();
    for Located { value: delegation, line } in &written.delegations {
        let prosumer = delegation.prosumer;
        if !owners.contains(&prosumer) {
            let what = format!(
                "prosumer {prosumer} delegates its trading and has no device; register one with [[device]]"
            );
            problems.push(Problem::at(path, *line, what));
        }
        if let Some(first) = seen.insert(prosumer, *line) {
            let what = format!(
                "prosumer {prosumer} delegates twice; the first contract is in line {first}. An agreed one is changed by writing the new terms and their first month in its place"
            );
            problems.push(Problem::at(path, *line, what));
        }
    }
}
