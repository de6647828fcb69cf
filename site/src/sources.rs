//! Servers of others that are read or listened to, and their point maps, checked against the network and each other.

use crate::file::{Located, SiteFile};
use crate::problem::Problem;
use actors::Area;
use actors::grid_side::Ranks;
use connectors::modbus::ModbusConfig;
use connectors::opcua::OpcUaConfig;
use connectors::point_map::{self, BadLine, PointMap, PointMapError};
use grid::PointId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where in the data directory certificates of OPC UA are kept.
pub const OPCUA_DIRECTORY: &str = "opcua";

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
    modbus.chain(written.opcua.iter().map(|section| Named {
        kind: "opcua",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
    }))
}

/// Which source is believed when several report the same point.
pub fn ranks(written: &SiteFile) -> Ranks {
    let named = sections(written).map(|source| (source.name.value.clone(), source.rank));
    Ranks { field: written.mqtt.rank, named: named.collect() }
}

/// Reads all point maps, of Modbus servers and then of OPC UA servers, and checks them against the network and each other.
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

/// What is read and listened to, by the point maps of [`point_maps`].
pub fn configs(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> (Vec<ModbusConfig>, Vec<OpcUaConfig>) {
    let mut seen = BTreeMap::new();
    for Named { kind, name, .. } in sections(written) {
        if seen.insert(&name.value, name.line).is_some() {
            let what = format!("{kind}: {:?} is the name of another connector too", name.value);
            problems.push(Problem::at(path, name.line, what));
        }
    }
    let (of_modbus, of_opcua) = maps.split_at(written.modbus.len().min(maps.len()));
    (modbus(path, written, of_modbus, problems), opcua(path, written, of_opcua, problems))
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

fn bad_line(file: &Path, bad: &BadLine) -> Problem {
    let column = bad.column.map_or_else(String::new, |column| format!("{column}: "));
    Problem::at(file, bad.line, format!("{column}{}", bad.reason))
}
