//! Against the wall clock: the field publishes over TCP to the MQTT door, which hands it to the system in the same
//! process, the page is served. Where a journal already lies in the data directory, the run goes on from it.

use super::outcome::{Evidence, Outcome};
use super::recovery::{Recovered, recover};
use super::scoring::Scorer;
use super::without::loading_without_flexibility;
use super::{RunError, Setup};
use crate::field::{self, FieldLog};
use actors::System;
use actors::grid_side::region::learnt;
use actors::journal::{Durability, Options};
use actors::picture::Picture;
use actors::runtime::ScaledClock;
use connectors::mqtt::{self, ClientConfig, DoorConfig};
use connectors::{Link, Role};
use dashboards_server::RunningServer;
use grid::{Clock, Timestamp};
use history::History;
use site::check::{AUDIT_LOG, DOOR_DIRECTORY, HISTORY_DIRECTORY};
use site::station::given_up;
use site::{AccountFiles, Foundation, Kept, Listeners, Station};
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
    /// The accounts of those who may ask; `None` lets in whoever reaches the loopback address.
    pub accounts: Option<PathBuf>,
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
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let state = Some(options.data.join(DOOR_DIRECTORY));
        let door = DoorConfig { listen: loopback(options.mqtt_port), state, ..DoorConfig::default() };
        let accounts = options.accounts.clone().map(|directory| AccountFiles {
            directory,
            audit: options.data.join(AUDIT_LOG),
            may_set_up: false,
            second_factor: false,
            oidc: None,
        });
        let page = loopback(options.port).into();
        let listeners =
            Listeners { page, accounts, door, opcua: None, acquisition: Vec::new(), amqp: Vec::new() };
        // The ports first: a port in use should be said before anything is written. Then the journal, whose lock makes the
        // data directory ours.
        listeners.are_free()?;
        let without = loading_without_flexibility(&setup.scenario, setup.plant.clone())?;
        let recovered = recover(&setup, &options.data, Options::new(Durability::Synced))?;
        let clock = ScaledClock::start(recovered.at, options.speed);
        let Recovered { journal, ledger, begun, plant, at, resumed } = recovered;
        let foundation = Foundation {
            area: setup.area.clone(),
            name: super::setup::area_name()?,
            network: setup.network.clone(),
            learnt: learnt(&setup.area, &setup.archive_until(&plant, &ledger)),
            zone: ZONE.to_owned(),
        };
        let history =
            Some(History::open(&options.data.join(HISTORY_DIRECTORY), history::Options::default())?);
        let register = Some(register::Register::open(&options.data)?);
        let kept = Kept { journal, ledger, begun, history, register };
        let Station { door: mqtt, system, server, .. } =
            Station::start(listeners, foundation, kept, clock, Vec::new()).await?;
        let log = FieldLog::default();
        let (ended, until) = watch::channel(false);
        let scorer = tokio::spawn(watch_picture(system.picture(), until, setup.scorer()));
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
        let scorer = self.scorer.await.unwrap_or_else(|_| self.setup.scorer());
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

/// Notes what every new picture says until told to end.
pub(super) async fn watch_picture(
    mut picture: watch::Receiver<Arc<Picture>>,
    mut ended: watch::Receiver<bool>,
    mut scorer: Scorer,
) -> Scorer {
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
