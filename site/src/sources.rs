//! Servers of others that are read or listened to, and their point maps, checked against the network and each other.

use crate::file::{Located, SiteFile};
use crate::problem::Problem;
use actors::Area;
use actors::grid_side::Ranks;
use connectors::acquisition::intake::IntakeConfig;
use connectors::acquisition::{PlatformKey, VerifyKey};
use connectors::modbus::ModbusConfig;
use connectors::opcua::OpcUaConfig;
use connectors::point_map::{self, BadLine, PointMap, PointMapError};
use grid::PointId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where in the data directory certificates of OPC UA are kept.
pub const OPCUA_DIRECTORY: &str = "opcua";

/// Where in the data directory it is kept what operators sent.
pub const ACQUISITION_DIRECTORY: &str = "acquisition";

/// Where a site keeps certificates of OPC UA.
pub fn opcua_store(written: &SiteFile) -> PathBuf {
    written.data.join(OPCUA_DIRECTORY)
}

/// Who a site is in its own OPC UA certificate.
pub fn opcua_application(written: &SiteFile) -> String {
    format!("urn:gridflex:{}", written.name.value)
}

/// What all sources have, whatever they speak.
struct Named<'a> {
    kind: &'static str,
    name: &'a Located<String>,
    points: &'a Located<PathBuf>,
    rank: u32,
}

/// All sources, in the order of [`point_maps`].
fn sections(written: &SiteFile) -> impl Iterator<Item = Named<'_>> {
    let modbus = written.modbus.iter().map(|section| Named {
        kind: "modbus",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
    });
    let opcua = written.opcua.iter().map(|section| Named {
        kind: "opcua",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
    });
    let acquisition = written.acquisition.iter().map(|section| Named {
        kind: "acquisition",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
    });
    modbus.chain(opcua).chain(acquisition)
}

/// Which source is believed when several report the same point.
pub fn ranks(written: &SiteFile) -> Ranks {
    let named = sections(written).map(|source| (source.name.value.clone(), source.rank));
    Ranks { field: written.mqtt.rank, named: named.collect() }
}

/// Reads all point maps, of Modbus servers, then of OPC UA servers, then of senders of acquisition, and checks them against the network and each other.
pub fn point_maps(
    path: &Path,
    written: &SiteFile,
    area: Option<&Area>,
    problems: &mut Vec<Problem>,
) -> Vec<Option<PointMap>> {
    let mut maps = Vec::new();
    let mut first_of: BTreeMap<(PointId, u32), (PathBuf, u64)> = BTreeMap::new();
    for Named { points, rank, .. } in sections(written) {
        let file = &points.value;
        let map = match point_map::read_path(file) {
            Ok(map) => map,
            Err(PointMapError::Lines { bad, .. }) => {
                problems.extend(bad.iter().map(|bad| bad_line(file, bad)));
                maps.push(None);
                continue;
            }
            Err(error) => {
                problems.push(Problem::at(path, points.line, error.to_string()));
                maps.push(None);
                continue;
            }
        };
        if let Some(area) = area {
            let unknown = map.unknown(|point| area.plausibility.why_unknown(point));
            problems.extend(unknown.iter().map(|bad| bad_line(file, bad)));
        }
        for row in &map.rows {
            if let Some((other, line)) = first_of.insert((row.point, rank), (file.clone(), row.line)) {
                let what = format!(
                    "{} stands in {}:{line} already; if both shall report it, give one of the two connectors another rank",
                    row.point,
                    other.display()
                );
                problems.push(Problem::at(file, row.line, what));
            }
        }
        maps.push(Some(map));
    }
    maps
}

/// What a site is told by others.
#[derive(Debug, Default)]
pub struct Configs {
    /// Modbus servers.
    pub modbus: Vec<ModbusConfig>,
    /// OPC UA servers.
    pub opcua: Vec<OpcUaConfig>,
    /// Operators that send values under pseudonyms.
    pub acquisition: Vec<IntakeConfig>,
}

/// What is read and listened to, by the point maps of [`point_maps`].
pub fn configs(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Configs {
    let mut seen = BTreeMap::new();
    for Named { kind, name, .. } in sections(written) {
        if seen.insert(&name.value, name.line).is_some() {
            let what = format!("{kind}: {:?} is the name of another connector too", name.value);
            problems.push(Problem::at(path, name.line, what));
        }
    }
    let (of_modbus, others) = maps.split_at(written.modbus.len().min(maps.len()));
    let (of_opcua, of_acquisition) = others.split_at(written.opcua.len().min(others.len()));
    Configs {
        modbus: modbus(path, written, of_modbus, problems),
        opcua: opcua(path, written, of_opcua, problems),
        acquisition: acquisition(path, written, of_acquisition, problems),
    }
}

/// The points of a map as a connector has them; every bad line is named.
fn points<T>(
    file: &Path,
    map: Option<&PointMap>,
    read: impl Fn(&PointMap) -> Result<Vec<T>, Vec<BadLine>>,
    problems: &mut Vec<Problem>,
) -> Vec<T> {
    match map.map(read) {
        None => Vec::new(),
        Some(Ok(points)) => points,
        Some(Err(bad)) => {
            problems.extend(bad.iter().map(|bad| bad_line(file, bad)));
            Vec::new()
        }
    }
}

fn modbus(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<ModbusConfig> {
    let mut configs = Vec::new();
    for (section, map) in written.modbus.iter().zip(maps) {
        let config = ModbusConfig {
            name: section.name.value.clone(),
            server: section.server.value.clone(),
            period: section.period,
            timeout: section.timeout,
            points: points(&section.points.value, map.as_ref(), ModbusConfig::points, problems),
        };
        if let Err(error) = config.check() {
            problems.push(Problem::at(path, section.server.line, error.to_string()));
        }
        configs.push(config);
    }
    configs
}

fn opcua(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<OpcUaConfig> {
    let mut configs = Vec::new();
    for (section, map) in written.opcua.iter().zip(maps) {
        let certificate = section.server_certificate.as_ref();
        let config = OpcUaConfig {
            name: section.name.value.clone(),
            endpoint: section.endpoint.value.clone(),
            security: section.security,
            server_certificate: certificate.map(|path| path.value.clone()),
            user: section.user.clone(),
            store: opcua_store(written),
            application: opcua_application(written),
            period: section.period,
            timeout: section.timeout,
            points: points(&section.points.value, map.as_ref(), OpcUaConfig::points, problems),
        };
        if let Err(error) = config.check() {
            problems.push(Problem::at(path, section.endpoint.line, error.to_string()));
        }
        configs.push(config);
    }
    configs
}

fn acquisition(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<IntakeConfig> {
    let mut configs = Vec::new();
    for (section, map) in written.acquisition.iter().zip(maps) {
        let name = &section.name;
        if let Err(error) = grid::id::check_name(&name.value) {
            problems.push(Problem::at(path, name.line, format!("acquisition: name: {error}")));
            continue;
        }
        let points = points(&section.points.value, map.as_ref(), IntakeConfig::points, problems);
        let sender = VerifyKey::read(&section.sender_key.value);
        let sender = sender
            .map_err(|error| problems.push(Problem::at(path, section.sender_key.line, error.to_string())));
        let key = PlatformKey::read(&section.key.value);
        let key = key.map_err(|error| problems.push(Problem::at(path, section.key.line, error.to_string())));
        let (Ok(sender), Ok(key)) = (sender, key) else { continue };
        if sender.sender != name.value {
            let what = format!(
                "acquisition: the key is that of {:?}, the name here is {:?}",
                sender.sender, name.value
            );
            problems.push(Problem::at(path, section.sender_key.line, what));
        }
        let log = written.data.join(ACQUISITION_DIRECTORY).join(format!("{}.log", name.value));
        let (points, purpose) = (points.into_iter().collect(), section.purpose.clone());
        configs.push(IntakeConfig { sender, key, purpose, points, log });
    }
    configs
}

fn bad_line(file: &Path, bad: &BadLine) -> Problem {
    let column = bad.column.map_or_else(String::new, |column| format!("{column}: "));
    Problem::at(file, bad.line, format!("{column}{}", bad.reason))
}
