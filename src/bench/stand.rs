//! A station to measure: MQTT door, page, system, journal and history as `gridflex serve` has them, with the feeder of `gridflex demo`
//! and without its plant, in a directory that goes with it.

use actors::grid_side::region::learnt;
use actors::journal::{Durability, Journal, begin};
use actors::picture::DeviceKind;
use actors::runtime::ScaledClock;
use actors::{Area, Device, System};
use anyhow::Context;
use connectors::mqtt::{DoorConfig, door};
use grid::{Clock, DeviceId, ProsumerId};
use history::{History, Options};
use sim::Scenario;
use sim::run::{Setup, setup::AREA};
use site::memory::Memory;
use site::{Foundation, Kept, Listeners, Station};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest power of a battery, W.
const P_MAX_W: f64 = 3_000.0;
/// Numbers of batteries begin above those of the feeder's own devices.
const FIRST_BATTERY: u32 = 100_001;

/// What to set up.
pub struct Plan<'a> {
    /// Where to write; the directory for temporary files when it is not said.
    pub on: Option<&'a Path>,
    /// How fast the system's clock runs.
    pub speed: u32,
    /// What the system may use, MB, as a site's file says.
    pub memory_mb: u32,
    /// Batteries that are registered besides the feeder's own devices, spread over its connections.
    pub batteries: u32,
}

/// A station that runs.
pub struct Stand {
    /// The feeder and its past.
    pub setup: Setup,
    /// What is registered.
    pub area: Arc<Area>,
    /// The system's clock.
    pub clock: ScaledClock,
    station: Station,
    place: tempfile::TempDir,
}

impl Stand {
    /// Starts it.
    pub async fn start(plan: Plan<'_>) -> anyhow::Result<Self> {
        let mut place = tempfile::Builder::new();
        place.prefix("gridflex-bench-");
        let place = match plan.on {
            Some(directory) => place.tempdir_in(directory),
            None => place.tempdir(),
        };
        let place = place.context("a directory to measure in")?;
        let setup = Setup::new(Scenario::first_light()?)?;
        let area = Arc::new(with_batteries(&setup, plan.batteries)?);
        let mut limits = door::Limits { packets_per_second: u32::MAX, ..door::Limits::default() };
        let mut options = Options::default();
        let buses = setup.feeder.network().buses().len();
        Memory::divided(plan.memory_mb, buses, area.devices.len())?.bound(&mut limits, &mut options);
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let listeners = Listeners {
            page: loopback.into(),
            accounts: None,
            door: DoorConfig { listen: loopback, limits, ..DoorConfig::default() },
            opcua: None,
            acquisition: Vec::new(),
            amqp: Vec::new(),
        };
        let clock = ScaledClock::start(setup.scenario.start, plan.speed);
        let mut opened = Journal::open(&journal_in(place.path()), Durability::Synced)?;
        let begun = begin(&mut opened.journal, clock.now(), "a bench".to_owned())?;
        let foundation = Foundation {
            area: area.clone(),
            name: connectors::Area::new(AREA)?,
            network: setup.network.clone(),
            learnt: learnt(&area, &setup.archive),
            zone: "UTC".to_owned(),
        };
        let history = Some(History::open(&history_in(place.path()), options)?);
        let kept =
            Kept { journal: opened.journal, ledger: opened.standing.ledger, begun, history, register: None };
        let station = Station::start(listeners, foundation, kept, clock, Vec::new()).await?;
        Ok(Self { setup, area, clock, station, place })
    }

    /// Where the page and the HTTP interface are.
    pub fn page(&self) -> SocketAddr {
        self.station.server.address()
    }

    /// Where the MQTT door listens.
    pub fn broker(&self) -> SocketAddr {
        self.station.door.address()
    }

    /// The actors.
    pub fn system(&self) -> &System {
        &self.station.system
    }

    /// The batteries, by number.
    pub fn batteries(&self) -> Vec<Device> {
        self.area.devices.range(DeviceId(FIRST_BATTERY)..).map(|(_, device)| *device).collect()
    }

    /// Stops it; what it has written is there as long as what is returned.
    pub async fn stop(self) -> Written {
        let Station { door, system, server, .. } = self.station;
        server.stop().await;
        system.stop().await;
        door.close().await;
        Written(self.place)
    }
}

/// What a stand has left.
pub struct Written(tempfile::TempDir);

impl Written {
    /// Its journal.
    pub fn journal(&self) -> PathBuf {
        journal_in(self.0.path())
    }

    /// Its history.
    pub fn history(&self) -> PathBuf {
        history_in(self.0.path())
    }
}

fn journal_in(place: &Path) -> PathBuf {
    place.join("journal")
}

fn history_in(place: &Path) -> PathBuf {
    place.join("history")
}

/// The feeder's market area with more to offer.
fn with_batteries(setup: &Setup, count: u32) -> anyhow::Result<Area> {
    let own = &setup.area;
    let mut devices: Vec<Device> = own.devices.values().copied().collect();
    let points = setup.feeder.network().usage_points().iter().map(|point| point.id).cycle();
    devices.extend((FIRST_BATTERY..FIRST_BATTERY + count).zip(points).map(|(number, usage_point)| Device {
        id: DeviceId(number),
        prosumer: ProsumerId(number),
        usage_point,
        kind: DeviceKind::Battery,
        p_max_w: P_MAX_W,
    }));
    let rules = (own.rules.clone(), own.offer_rules.clone(), own.dso);
    let mut area = Area::new(AREA, setup.feeder.clone(), devices, rules)?;
    area.know_generators(setup.plant.generators());
    Ok(area)
}
