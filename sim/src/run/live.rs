//! Against the wall clock: the field publishes over TCP to the MQTT door, which hands it to the system in the same
//! process, the page is served. Where a journal already lies in the data directory, the run goes on from it.

use super::outcome::{Evidence, Outcome};
use super::recovery::{Recovered, recover};
use super::scoring::Scorer;
use super::without::loading_without_flexibility;
use super::{RunError, Setup};
use crate::field::{self, FieldLog};
use crate::run::page::Door;
use actors::journal::{Durability, Options};
use actors::picture::Picture;
use actors::runtime::{Compute, Environment, Escalation, ScaledClock};
use actors::{Parts, System};
use connectors::mqtt::{self, ClientConfig, DoorConfig};
use connectors::{Link, Role};
use dashboards_server::{RunningServer, ServeError, Served, serve};
use grid::{Clock, Timestamp};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Time zone in which the page shows local time.
pub const ZONE: &str = "Europe/London";
/// How long the system may still work off what arrived last, by its clock.
const WORK_OFF: Duration = Duration::from_secs(60);

/// Where in the data directory the MQTT door keeps what is retained.
const DOOR_DIRECTORY: &str = "mqtt";

/// How to run.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Where the journal is kept.
    pub data: PathBuf,
    /// TCP port of the page on the loopback address; 0 takes any free one.
    pub port: u16,
    /// TCP port of the MQTT door on the loopback address.
    pub mqtt_port: u16,
    /// Seconds of the scenario per second of wall time.
    pub speed: u32,
}

/// A live run.
pub struct Live {
    setup: Arc<Setup>,
    options: LiveOptions,
    clock: ScaledClock,
    system: System,
    server: RunningServer,
    mqtt: mqtt::Door,
    field: JoinHandle<Result<(), field::FieldError>>,
    log: FieldLog,
    scorer: JoinHandle<Scorer>,
    ended: watch::Sender<bool>,
    without: Vec<(Timestamp, f64)>,
    resumed: bool,
    started_at: Timestamp,
}

impl Live {
    /// Takes the data directory, and starts the door, system, page and field, in that order.
    pub async fn start(setup: Setup, options: LiveOptions) -> Result<Self, RunError> {
        let setup = Arc::new(setup);
        // The ports first: a port in use should be said before anything is written. Then the journal, whose lock makes the
        // data directory ours.
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (listen, page) = (loopback(options.mqtt_port), loopback(options.port));
        std::net::TcpListener::bind(listen)
            .map_err(|source| mqtt::DoorError::Listen { address: listen, source })?;
        std::net::TcpListener::bind(page).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => ServeError::PortInUse { port: options.port },
            _ => ServeError::Listen { address: page, source },
        })?;
        let without = loading_without_flexibility(&setup.scenario, &setup.feeder)?;
        let recovered = recover(&setup, &options.data, Options::new(Durability::Synced))?;
        let state = Some(options.data.join(DOOR_DIRECTORY));
        let mqtt = mqtt::Door::open(DoorConfig { listen, state, ..DoorConfig::default() })?;
        let clock = ScaledClock::start(recovered.at, options.speed);
        let environment = Environment::new(clock, Compute::Blocking);
        let Recovered { journal, ledger, records, plant, at, resumed } = recovered;
        let parts = Parts {
            area: setup.area.clone(),
            environment,
            link: mqtt.link(super::setup::area_name()?, Arc::new(clock)),
            archive: setup.archive_until(&plant, &ledger),
            journal,
            ledger,
            records,
            zone: ZONE.to_owned(),
            publish_period: Duration::from_millis(250) * options.speed,
        };
        let system = System::start(parts).await?;
        let served = Served {
            network: setup.network.clone(),
            picture: system.picture(),
            offers: Arc::new(Door::new(system.door().clone(), system.books().clone())),
            operations: system.operations().clone(),
        };
        let server = serve(page, served).await?;
        let log = FieldLog::default();
        let (ended, until) = watch::channel(false);
        let scorer = tokio::spawn(watch_picture(system.picture(), until));
        let link = connect(mqtt.address(), Role::Field, "gridflex-field", clock)?;
        let field =
            tokio::spawn(field::run(plant, link, Arc::new(clock), log.clone(), setup.scenario.clone()));
        Ok(Self {
            setup,
            options,
            clock,
            system,
            server,
            mqtt,
            field,
            log,
            scorer,
            ended,
            without,
            resumed,
            started_at: at,
        })
    }

    /// Where the page is.
    pub fn page(&self) -> SocketAddr {
        self.server.address()
    }

    /// Where the MQTT door listens.
    pub fn broker(&self) -> SocketAddr {
        self.mqtt.address()
    }

    /// The instant from which this process runs.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }

    /// Whether an earlier process's run is continued.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The newest picture.
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.system.picture()
    }

    /// Resolves when the scenario's end is reached, or with the reason when a stage was given up or the field ended.
    pub async fn finished(&mut self) -> Result<(), RunError> {
        let mut escalation = self.system.escalation();
        tokio::select! {
            biased;
            reason = given_up(&mut escalation) => Err(RunError::GivenUp(reason)),
            ended = &mut self.field => Err(super::field_ended(ended)),
            () = self.clock.sleep_until(self.setup.scenario.end().plus(WORK_OFF)) => Ok(()),
        }
    }

    /// Stops field and system and adds up. With `keep_page` the page goes on serving the last picture, and says that it
    /// is old, until the server that is returned is stopped; else it is closed first, so that nobody hands in offers
    /// to a system that is stopping.
    pub async fn end(self, keep_page: bool) -> Result<(Outcome, Option<RunningServer>), RunError> {
        let page = if keep_page {
            Some(self.server)
        } else {
            self.server.stop().await;
            None
        };
        self.system.stop_listening();
        self.field.abort();
        self.ended.send_replace(true);
        let scorer = self.scorer.await.unwrap_or_default();
        let picture = self.system.picture().borrow().clone();
        let ledger = self.system.books().read(Clone::clone);
        self.system.stop().await;
        let minutes = self.log.minutes();
        let now = self.clock.now();
        tracing::info!(%now, "stopped");
        let outcome = Outcome::new(&Evidence {
            setup: &self.setup,
            without: &self.without,
            minutes: &minutes,
            ledger: &ledger,
            picture: &picture,
            score: scorer.score(&minutes),
            directory: &self.options.data,
            resumed: self.resumed,
        })?;
        Ok((outcome, page))
    }
}

fn connect(broker: SocketAddr, role: Role, name: &str, clock: ScaledClock) -> Result<Link, RunError> {
    let area = super::setup::area_name()?;
    let config = ClientConfig::new(broker.ip().to_string(), broker.port(), name, area);
    Ok(mqtt::connect(config, role, Arc::new(clock))?)
}

async fn given_up(escalation: &mut Escalation) -> String {
    loop {
        if let Some(reason) = escalation.borrow_and_update().clone() {
            return reason;
        }
        if escalation.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Notes what every new picture says until told to end.
pub(super) async fn watch_picture(
    mut picture: watch::Receiver<Arc<Picture>>,
    mut ended: watch::Receiver<bool>,
) -> Scorer {
    let mut scorer = Scorer::default();
    loop {
        tokio::select! {
            biased;
            changed = picture.changed() => {
                if changed.is_err() {
                    return scorer;
                }
                let newest = picture.borrow_and_update().clone();
                scorer.see(&newest);
            }
            _ = ended.changed() => return scorer,
        }
    }
}
