//! Servers of others that are read or listened to, and their point maps, checked against the network and each other.

use crate::file::{AmqpSection, Located, SiteFile};
use crate::problem::Problem;
use actors::Area;
use actors::grid_side::{Listed, Ranks};
use connectors::acquisition::intake::IntakeConfig;
use connectors::acquisition::{PlatformKey, VerifyKey};
use connectors::amqp::AmqpConfig;
use connectors::iec104::Iec104Config;
#[cfg(feature = "modbus")]
use connectors::modbus::ModbusConfig;
use connectors::mqtt::door::Policy;
use connectors::mqtt::foreign::BrokerConfig;
#[cfg(feature = "opcua")]
use connectors::opcua::OpcUaConfig;
use connectors::point_map::{self, BadLine, PointMap, PointMapError};
use dashboards_server::Whose;
use grid::PointId;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where in the data directory certificates of OPC UA are kept.
#[cfg(feature = "opcua")]
pub const OPCUA_DIRECTORY: &str = "opcua";

/// Where in the data directory it is kept what operators sent.
pub const ACQUISITION_DIRECTORY: &str = "acquisition";

/// Where a site keeps certificates of OPC UA.
#[cfg(feature = "opcua")]
pub fn opcua_store(written: &SiteFile) -> PathBuf {
    written.data.join(OPCUA_DIRECTORY)
}

/// Who a site is in its own OPC UA certificate.
#[cfg(feature = "opcua")]
pub fn opcua_application(written: &SiteFile) -> String {
    format!("urn:gridflex:{}", written.name.value)
}

/// What all sources have, whatever they speak.
struct Named<'a> {
    kind: &'static str,
    name: &'a Located<String>,
    points: &'a Located<PathBuf>,
    rank: u32,
    uncertified: bool,
}

/// All sources, in the order of [`point_maps`].
fn sections(written: &SiteFile) -> impl Iterator<Item = Named<'_>> {
    let modbus = written.modbus.iter().map(|section| Named {
        kind: "modbus",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
        uncertified: section.uncertified,
    });
    let opcua = written.opcua.iter().map(|section| Named {
        kind: "opcua",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
        uncertified: section.uncertified,
    });
    let acquisition = written.acquisition.iter().map(|section| Named {
        kind: "acquisition",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
        uncertified: section.uncertified,
    });
    let iec104 = written.iec104.iter().map(|section| Named {
        kind: "iec104",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
        uncertified: section.uncertified,
    });
    let broker = written.broker.iter().map(|section| Named {
        kind: "broker",
        name: &section.name,
        points: &section.points,
        rank: section.rank,
        uncertified: section.uncertified,
    });
    modbus.chain(opcua).chain(iec104).chain(broker).chain(acquisition)
}

/// Which source is believed when several report the same point, and which energies money may rest on. `rights` are those of the
/// clients of the MQTT door.
pub fn ranks(written: &SiteFile, maps: &[Option<PointMap>], rights: &Policy) -> Ranks {
    let named = sections(written).map(|source| (source.name.value.clone(), source.rank)).collect();
    let uncertified = sections(written).filter(|source| source.uncertified);
    let mut uncertified: BTreeSet<String> = uncertified.map(|source| source.name.value.clone()).collect();
    uncertified.insert(Ranks::HTTP.to_owned());
    if written.mqtt.uncertified {
        uncertified.insert(Ranks::FIELD.to_owned());
    }
    let field = written.mqtt.rank;
    // HTTP comes right behind the door.
    let better = sections(written).zip(maps).filter(|(source, _)| source.rank <= field);
    let mapped = better.filter_map(|(_, map)| map.as_ref()).flat_map(|map| &map.rows).map(|row| row.point);
    let listed = Arc::new(Listed { mapped: mapped.collect(), granted: rights.granted().collect() });
    Ranks { field, named, uncertified, settles_uncertified: written.uncertified_energy, listed }
}

/// Reads all point maps, of Modbus servers, then of OPC UA servers, IEC 104 stations, brokers and senders of acquisition, and checks them
/// against the network and each other.
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

/// What is read and listened to.
#[derive(Debug, Default)]
pub struct Sources {
    /// Modbus servers to be read.
    #[cfg(feature = "modbus")]
    pub modbus: Vec<ModbusConfig>,
    /// OPC UA servers to be listened to.
    #[cfg(feature = "opcua")]
    pub opcua: Vec<OpcUaConfig>,
    /// Stations of IEC 60870-5-104 to be listened to.
    pub iec104: Vec<Iec104Config>,
    /// Brokers of others to be listened to.
    pub broker: Vec<BrokerConfig>,
    /// Operators that send values under pseudonyms.
    pub acquisition: Vec<IntakeConfig>,
}

/// What is read and listened to, by the point maps of [`point_maps`].
pub fn configs(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Sources {
    let mut seen = BTreeMap::new();
    for Named { kind, name, .. } in sections(written) {
        if seen.insert(&name.value, name.line).is_some() {
            let what = format!("{kind}: {:?} is the name of another connector too", name.value);
            problems.push(Problem::at(path, name.line, what));
        }
    }
    refuse_unbuilt(path, written, BUILT, problems);
    let (of_modbus, others) = maps.split_at(written.modbus.len().min(maps.len()));
    let (of_opcua, others) = others.split_at(written.opcua.len().min(others.len()));
    let (of_iec104, others) = others.split_at(written.iec104.len().min(others.len()));
    #[cfg(not(feature = "modbus"))]
    let _ = of_modbus;
    #[cfg(not(feature = "opcua"))]
    let _ = of_opcua;
    let (of_broker, of_acquisition) = others.split_at(written.broker.len().min(others.len()));
    Sources {
        #[cfg(feature = "modbus")]
        modbus: modbus(path, written, of_modbus, problems),
        #[cfg(feature = "opcua")]
        opcua: opcua(path, written, of_opcua, problems),
        iec104: iec104(path, written, of_iec104, problems),
        broker: broker(path, written, of_broker, problems),
        acquisition: acquisition(path, written, of_acquisition, problems),
    }
}

/// The features that this program was built with.
const BUILT: &[&str] = &[
    #[cfg(feature = "modbus")]
    "modbus",
    #[cfg(feature = "opcua")]
    "opcua",
];

/// Refuses connectors that the file names and the program was built without.
fn refuse_unbuilt(path: &Path, written: &SiteFile, built: &[&str], problems: &mut Vec<Problem>) {
    let modbus = written.modbus.iter().map(|section| (section.name.line, "modbus", "modbus"));
    let opcua = written.opcua.iter().map(|section| (section.name.line, "opcua", "opcua"));
    let server = written.opcua_server.iter().map(|section| (section.listen.line, "opcua_server", "opcua"));
    for (line, kind, feature) in modbus.chain(opcua).chain(server) {
        if !built.contains(&feature) {
            let what = format!(
                "{kind}: this gridflex was built without the feature {feature}; build it with --features {feature}, or leave the section out"
            );
            problems.push(Problem::at(path, line, what));
        }
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

#[cfg(feature = "modbus")]
fn modbus(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<ModbusConfig> {
    let (mut configs, mut lines) = (Vec::new(), BTreeMap::new());
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
        let line = config.address().ok().and_then(|server| server.line());
        if let Some(line) = line
            && let Some(other) = lines.insert(line.clone(), &section.name.value)
        {
            let what = format!(
                "modbus: {line} is the line of {other:?} too, and only one may ask on a line: put all its units into one point map"
            );
            problems.push(Problem::at(path, section.server.line, what));
        }
        configs.push(config);
    }
    configs
}

#[cfg(feature = "opcua")]
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

fn iec104(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<Iec104Config> {
    let mut configs = Vec::new();
    for (section, map) in written.iec104.iter().zip(maps) {
        let config = Iec104Config {
            name: section.name.value.clone(),
            server: section.server.value.clone(),
            originator: section.originator,
            period: section.period,
            counters: section.counters,
            set_clock: section.set_clock,
            utc_offset_minutes: section.utc_offset_minutes,
            timers: section.timers,
            tls: section.tls.clone(),
            points: points(&section.points.value, map.as_ref(), Iec104Config::points, problems),
        };
        if let Err(error) = config.check() {
            problems.push(Problem::at(path, section.server.line, error.to_string()));
        }
        configs.push(config);
    }
    configs
}

fn broker(
    path: &Path,
    written: &SiteFile,
    maps: &[Option<PointMap>],
    problems: &mut Vec<Problem>,
) -> Vec<BrokerConfig> {
    let mut configs = Vec::new();
    for (section, map) in written.broker.iter().zip(maps) {
        let config = BrokerConfig {
            name: section.name.value.clone(),
            server: section.server.value.clone(),
            tls: section.tls.clone(),
            user: section.user.clone(),
            time: section.time.clone(),
            silence: section.silence,
            listen_only: section.listen_only,
            points: points(&section.points.value, map.as_ref(), BrokerConfig::points, problems),
        };
        if let Err(error) = config.check() {
            problems.push(Problem::at(path, section.server.line, error.to_string()));
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

/// Brokers whose request queues are served, and with whose rights.
pub fn services(path: &Path, written: &SiteFile, problems: &mut Vec<Problem>) -> Vec<(AmqpConfig, Whose)> {
    let mut names: BTreeSet<&str> = sections(written).map(|source| source.name.value.as_str()).collect();
    let mut services = Vec::new();
    for AmqpSection { line, name, config, whose } in &written.amqp {
        let mut say = |line, what: String| problems.push(Problem::at(path, line, what));
        if !names.insert(&name.value) {
            say(name.line, format!("amqp: {:?} is the name of another connector too", name.value));
        }
        if let Err(error) = config.check() {
            say(*line, error.to_string());
        }
        if written.http.accounts.is_none() || *whose == Whose::default() {
            let what = "amqp: nobody could ask: name the accounts in [http], and here the `account` whose rights requests have, or \
                        user_ids = true";
            say(*line, what.to_owned());
        }
        services.push((config.clone(), whose.clone()));
    }
    services
}

fn bad_line(file: &Path, bad: &BadLine) -> Problem {
    let column = bad.column.map_or_else(String::new, |column| format!("{column}: "));
    Problem::at(file, bad.line, format!("{column}{}", bad.reason))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    /// The example site in a directory of its own, with this written behind it.
    fn example_and(directory: &Path, more: &str) -> PathBuf {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/example-site");
        for file in ["network.json", "rights.toml", "site.toml", "substation.csv"] {
            std::fs::copy(example.join(file), directory.join(file)).unwrap();
        }
        let site = directory.join("site.toml");
        std::fs::write(&site, std::fs::read_to_string(&site).unwrap() + more).unwrap();
        site
    }

    const STATION: &str = "[[iec104]]\nname = \"rtu\"\nserver = \"192.0.2.8:2404\"\npoints = \"rtu.csv\"\n";
    const HEADER: &str = "tag,element,quantity,unit,phase\n";

    #[test]
    fn a_station_of_telecontrol_is_part_of_a_site() {
        let directory = tempfile::tempdir().unwrap();
        let site = example_and(directory.path(), STATION);
        std::fs::write(directory.path().join("rtu.csv"), format!("{HEADER}ca=1 ioa=4001,bus.3,u,V,b\n"))
            .unwrap();
        let site = crate::check(&site).unwrap();
        let [rtu] = &site.sources.iec104[..] else { panic!("{:?}", site.sources.iec104) };
        assert_eq!((rtu.server.as_str(), rtu.points.len()), ("192.0.2.8:2404", 1));
    }

    #[test]
    fn a_connector_that_was_not_built_in_is_refused_by_the_name_of_its_feature() {
        let directory = tempfile::tempdir().unwrap();
        let more = "[[opcua]]\nname = \"scada\"\nendpoint = \"opc.tcp://192.0.2.7:4840\"\npoints = \"scada.csv\"\n[opcua_server]\nanonymous = true\n";
        let site = example_and(directory.path(), more);
        let written = crate::file::read(&site).unwrap();
        let refused = |built: &[&str]| {
            let mut problems = Vec::new();
            super::refuse_unbuilt(&site, &written, built, &mut problems);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(refused(&["modbus", "opcua"]), Vec::<String>::new());
        let of_opcua = refused(&["modbus"]);
        assert_eq!(of_opcua.len(), 2, "{of_opcua:?}");
        assert!(of_opcua.iter().all(|problem| problem.contains("--features opcua")), "{of_opcua:?}");
        let all = refused(&[]);
        assert!(all.len() == 3 && all[0].contains("modbus: this gridflex was built without"), "{all:?}");
    }

    #[cfg(feature = "modbus")]
    #[test]
    fn a_serial_line_is_part_of_a_site_and_nobody_else_asks_on_it() {
        let directory = tempfile::tempdir().unwrap();
        let section = |name: &str, server: &str| {
            format!("[[modbus]]\nname = {name:?}\nserver = {server:?}\npoints = \"{name}.csv\"\n")
        };
        let map = |name: &str, row: &str| {
            let file = directory.path().join(format!("{name}.csv"));
            std::fs::write(file, format!("{HEADER}{row},u,V,b\n")).unwrap();
        };
        map("one", "7/input/0/f32,bus.3");
        map("two", "8/input/0/f32,bus.4");
        let line = "serial:/dev/ttyUSB0,9600,8E1";
        let site = example_and(directory.path(), &section("one", line));
        let site = crate::check(&site).unwrap();
        assert!(site.sources.modbus.iter().any(|config| config.server == line), "{:?}", site.sources.modbus);
        for (first, second, named) in [
            (line, "serial:/dev/ttyUSB0,19200,8N1", "the line of \"one\""),
            ("rtu+tcp://192.0.2.9:4001", "rtu+tcp://192.0.2.9:4001", "the line of \"one\""),
            (line, "serial:ttyUSB1,9600,8E1", "absolute path"),
        ] {
            let both = section("one", first) + &section("two", second);
            let problems = crate::check(&example_and(directory.path(), &both)).unwrap_err();
            assert!(problems.iter().any(|problem| problem.to_string().contains(named)), "{problems:?}");
        }
    }

    #[test]
    fn a_broker_of_others_is_part_of_a_site_and_what_is_wrong_with_it_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let section = "[[broker]]\nname = \"homes\"\nserver = \"127.0.0.1:1884\"\npoints = \"homes.csv\"\n";
        let more = "user = \"grid\"\npassword_file = \"password\"\ntime = \"/ts\"\nsilent_s = 60\n";
        let site = example_and(directory.path(), &format!("{section}{more}"));
        let map = directory.path().join("homes.csv");
        std::fs::write(&map, format!("{HEADER}home/3/state#/u,bus.3,u,V,b\n")).unwrap();
        let checked = crate::check(&site).unwrap();
        let [homes] = &checked.sources.broker[..] else { panic!("{:?}", checked.sources.broker) };
        assert_eq!(
            (homes.points.len(), homes.time.as_deref(), homes.silence.as_secs()),
            (1, Some("/ts"), 60)
        );
        let site = example_and(directory.path(), &section.replace("127.0.0.1:1884", "127.0.0.1"));
        std::fs::write(&map, format!("{HEADER}home/+/state,bus.3,u,V,b\n")).unwrap();
        let problems = crate::check(&site).unwrap_err();
        let found = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        for part in
            ["broker server \"127.0.0.1\" is not host:port", "homes.csv:2: tag: \"home/+/state\" is no topic"]
        {
            assert!(found.contains(part), "{part}\n{found}");
        }
    }

    #[test]
    fn every_problem_of_a_station_is_named_with_its_file_and_line() {
        let directory = tempfile::tempdir().unwrap();
        let more = STATION.replace("\"rtu\"", "\"substation\"").replace("192.0.2.8:2404", "192.0.2.8");
        let tls = STATION.replace("\"rtu\"", "\"other\"") + "authority = \"ca.pem\"\nrank = 2\n";
        let site = example_and(directory.path(), &(more + &tls));
        let first = std::fs::read_to_string(&site).unwrap().lines().count() as u64 - 10;
        let map = "4001,bus.3,u,V,b\nca=1 ioa=0,bus.3,u,V,c\nca=1 ioa=5001,bus.9,u,V,a\nca=1 ioa=7,bus.3,u,kg,a\n\
             ca=1 ioa=8,device.311,energy,Wh,a\n";
        let map_file = directory.path().join("rtu.csv");
        std::fs::write(&map_file, format!("{HEADER}{map}")).unwrap();
        let said = |site: &Path| {
            let problems = crate::check(site).unwrap_err();
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        // What is no point map hides what its tags are.
        let found = said(&site);
        assert!(found.contains("rtu.csv:5: unit: "), "{found}");
        std::fs::write(&map_file, format!("{HEADER}{}", map.replace("kg", "V"))).unwrap();
        let found = said(&site);
        for part in [
            format!("site.toml:{}: iec104: \"substation\" is the name of another connector too", first + 2),
            format!("site.toml:{}: iec104 server \"192.0.2.8\" is not host:port", first + 3),
            format!("site.toml:{}: iec104 authority: ", first + 7),
            "rtu.csv:2: tag: \"4001\" is not ca=NUMBER or ioa=NUMBER; write for example ca=1 ioa=4001"
                .to_owned(),
            "rtu.csv:3: tag: ioa \"0\" is not 1 to 16777215".to_owned(),
            "rtu.csv:4: element: bus.9.u.a is no point of the network".to_owned(),
            "rtu.csv:6: phase: device.311.energy.a is no point of the network: energy of device 311 has no phase; leave it empty"
                .to_owned(),
        ] {
            assert!(found.contains(&part), "{part}\n{found}");
        }
    }
}
