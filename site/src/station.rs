//! Door, system and page of one site, started in order. `gridflex serve` and the demo are both this.

use crate::market::Door as Market;
use crate::published::Published;
use actors::figures::{Family, Values};
use actors::grid_side::Ranks;
use actors::grid_side::region::Learnt;
use actors::journal::{Begun, Journal};
use actors::picture::NetworkPicture;
use actors::runtime::supervisor::SpawnError;
use actors::runtime::{Compute, Environment, Escalation, ScaledClock, WallClock};
use actors::{Area, Parts, System, Weather};
use connectors::Source;
use connectors::acquisition::intake::{self, IntakeConfig, LogError};
use connectors::amqp::{self, AmqpConfig};
use connectors::exchange::{Counters, inbox};
use connectors::mqtt::door::{Change, Count, DoorCounters};
use connectors::mqtt::{self, DoorConfig, DoorError};
#[cfg(feature = "opcua")]
use connectors::opcua::server::{ServerConfig, ServerError};
use dashboards_server::{
    Access, AccessError, Accounts, FieldDoor, Listen, OidcConfig, RunningServer, ServeError, Served,
    SharedRegister, Whose, serve,
};
use grid::{PointId, Topology};
use history::{History, Removed};
use market::Ledger;
use register::Register;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use thiserror::Error;

/// How often the page is told, by the wall.
const PUBLISH_PERIOD: Duration = Duration::from_millis(250);

/// Why a station did not start.
#[derive(Debug, Error)]
pub enum StationError {
    /// The MQTT door did not open.
    #[error(transparent)]
    Mqtt(#[from] DoorError),
    /// The page cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// What an operator sent before cannot be read.
    #[error("acquisition: {0}")]
    Acquisition(#[from] LogError),
    /// A broker's requests cannot be served as it is configured.
    #[error(transparent)]
    Amqp(#[from] amqp::ConfigError),
    /// The OPC UA server did not start.
    #[cfg(feature = "opcua")]
    #[error(transparent)]
    OpcUa(#[from] ServerError),
    /// Nobody can be let in.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// An actor did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
}

impl StationError {
    /// Whether what was asked for makes no sense (as opposed to a start that failed).
    pub fn is_input(&self) -> bool {
        #[cfg(feature = "opcua")]
        if matches!(self, StationError::OpcUa(_)) {
            return true;
        }
        matches!(
            self,
            StationError::Mqtt(_) | StationError::Amqp(_) | StationError::Serve(_) | StationError::Access(_)
        )
    }
}

/// Files about the people and programs that are let in.
#[derive(Debug, Clone)]
pub struct AccountFiles {
    /// Accounts and tokens.
    pub directory: PathBuf,
    /// The log of what they did; made when it is not there.
    pub audit: PathBuf,
    /// Whether the first administrator may be made with a token where nobody is known.
    pub may_set_up: bool,
    /// Whether a second factor is wanted of the people of the directory for commands and settlements.
    pub second_factor: bool,
    /// Whose people may sign in besides those of the directory.
    pub oidc: Option<OidcConfig>,
}

impl AccountFiles {
    fn open(&self, site: &str) -> Result<(Access, Option<String>), AccessError> {
        // A session lasts by the machine's clock, however fast the system's runs.
        let clock = Arc::new(WallClock);
        let (accounts, token) = match self.may_set_up {
            true => Accounts::open_or_set_up(&self.directory, &self.audit, clock)?,
            false => (Accounts::open(&self.directory, &self.audit, clock)?, None),
        };
        let accounts = match self.oidc.clone() {
            Some(config) => accounts.with_oidc(config)?,
            None => accounts,
        };
        Ok((
            Access::Accounts(Arc::new(accounts.of_site(site).wanting_second_factor(self.second_factor))),
            token,
        ))
    }
}

/// There is none in this build.
#[cfg(not(feature = "opcua"))]
pub type ServerConfig = std::convert::Infallible;

/// Where a station listens.
#[derive(Debug, Clone)]
pub struct Listeners {
    /// Page and HTTP interface.
    pub page: Listen,
    /// Who is let in there; `None`: whoever reaches it.
    pub accounts: Option<AccountFiles>,
    /// The MQTT door.
    pub door: DoorConfig,
    /// The OPC UA server, if there is to be one.
    pub opcua: Option<ServerConfig>,
    /// Operators that send values under pseudonyms to the MQTT door.
    pub acquisition: Vec<IntakeConfig>,
    /// Brokers whose request queues are served, and with whose rights.
    pub amqp: Vec<(AmqpConfig, Whose)>,
}

impl Listeners {
    /// Finds out whether the ports can be had: a port in use should be said before anything is written.
    ///
    /// # Errors
    /// The one that cannot.
    pub fn are_free(&self) -> Result<(), StationError> {
        let address = self.door.listen;
        TcpListener::bind(address).map_err(|source| DoorError::Listen { address, source })?;
        self.page.is_free()?;
        #[cfg(feature = "opcua")]
        if let Some(ServerConfig { listen: address, .. }) = self.opcua {
            TcpListener::bind(address).map_err(|source| ServerError::Listen { address, source })?;
        }
        Ok(())
    }
}

/// What stands still while a station runs.
#[derive(Debug, Clone)]
pub struct Foundation {
    /// The market area.
    pub area: Arc<Area>,
    /// Its name in topics.
    pub name: connectors::Area,
    /// The network as the page shows it.
    pub network: Arc<NetworkPicture>,
    /// What the forecast has learnt of the time before. Clones share it.
    pub learnt: Learnt,
    /// Time zone of the page (IANA name).
    pub zone: String,
}

/// An open journal and what it holds.
#[derive(Debug)]
pub struct Kept {
    /// Open for appending.
    pub journal: Journal,
    /// Its facts, folded.
    pub ledger: Ledger,
    /// How this life began in it.
    pub begun: Begun,
    /// Open for appending; `None` when telemetry is not to be kept.
    pub history: Option<History>,
    /// What parties deposited; `None` where nothing is taken, because it would be lost.
    pub register: Option<Register>,
}

/// A running station.
pub struct Station {
    /// The MQTT door.
    pub door: mqtt::Door,
    /// The actors.
    pub system: System,
    /// Page and HTTP interface.
    pub server: RunningServer,
    /// The picture over OPC UA.
    pub opcua: Option<Published>,
    /// With which the first administrator is made over HTTP; for whoever started this, once.
    pub set_up_token: Option<String>,
}

impl Station {
    /// Takes the door's address, starts the system, lets clients in at the door, and starts the page, in that order.
    ///
    /// # Errors
    /// [`StationError`]; what was started before has ended then: a process that serves several sites goes on without this one.
    pub async fn start(
        listeners: Listeners,
        foundation: Foundation,
        kept: Kept,
        clock: ScaledClock,
        mut sources: Vec<Source>,
    ) -> Result<Self, StationError> {
        let site = foundation.name.to_string();
        let opened = listeners.accounts.as_ref().map(|files| files.open(&site)).transpose()?;
        let (access, set_up_token) = opened.unwrap_or((Access::Local, None));
        let mut brokers = Vec::new();
        for (config, whose) in listeners.amqp {
            let (source, waiting) = amqp::open(config)?;
            sources.push(source);
            brokers.push((waiting, whose));
        }
        let waiting = listeners.door.limits.inbox;
        let door = mqtt::Door::bind(listeners.door)?;
        let (writing, removing) = (access.clone(), access.clone());
        door.tell(move |change| write_down(&writing, change));
        let senders = listeners.acquisition.iter();
        let pseudonyms = senders.flat_map(|sender| &sender.points);
        let pseudonyms = pseudonyms.map(|(name, mapped)| (name.to_string(), mapped.point)).collect();
        let mut intakes = Vec::new();
        for config in listeners.acquisition {
            match intake::open(config, &door, foundation.name.clone(), Arc::new(clock)) {
                Ok((source, waiting)) => {
                    sources.push(source);
                    intakes.push(waiting);
                }
                Err(error) => {
                    door.close().await;
                    return Err(error.into());
                }
            }
        }
        // What comes over HTTP is one more source.
        let counters = Arc::new(Counters::default());
        let (writer, inbox) = inbox(waiting, counters.clone());
        sources.push(Source { name: Ranks::HTTP.to_owned(), inbox, counters });
        let field = FieldDoor::new(writer);
        let register = kept.register.map(|register| Arc::new(Mutex::new(register)));
        let shown = Shown {
            network: foundation.network,
            area: foundation.area.clone(),
            pseudonyms: Arc::new(pseudonyms),
            register: register.clone(),
            field,
        };
        let parts = Parts {
            area: foundation.area,
            environment: Environment::new(clock, Compute::Blocking),
            link: door.link(foundation.name, Arc::new(clock)),
            sources,
            learnt: foundation.learnt,
            journal: kept.journal,
            ledger: kept.ledger,
            records: kept.begun.records,
            owed: kept.begun.owed,
            history: kept.history,
            weather: register.map(weather),
            zone: foundation.zone,
            publish_period: PUBLISH_PERIOD * clock.speed(),
        };
        let system = match System::start(parts).await {
            Ok(system) => system,
            Err(error) => {
                door.close().await;
                return Err(error.into());
            }
        };
        if let Some(historian) = &system.operations().historian {
            historian.removals.tell(move |removed| write_removal(&removing, removed));
        }
        let counters = door.counters();
        system.operations().elsewhere.add(move || counted(&counters));
        intakes.into_iter().for_each(intake::Waiting::start);
        // Not before system, history and intakes listen: what nobody hears would be acknowledged all the same.
        door.admit();
        let (page, opcua) = (listeners.page, listeners.opcua);
        match show(page, opcua, shown, &system, access).await {
            Ok((server, opcua)) => {
                for (waiting, whose) in brokers {
                    waiting.start(server.services(whose));
                }
                Ok(Self { door, system, server, opcua, set_up_token })
            }
            Err(error) => {
                door.close().await;
                system.stop().await;
                Err(error)
            }
        }
    }
}

/// The temperatures that parties hand in.
fn weather(register: SharedRegister) -> Weather {
    Weather::of(move |slots| {
        // A poisoned lock is taken over: a record is in the file before it counts.
        let register = register.lock().unwrap_or_else(PoisonError::into_inner);
        register.air(slots).map(|(slot, air)| (slot, air.milli_celsius)).collect()
    })
}

/// Writes down what changed at the MQTT door.
fn write_down(access: &Access, change: &Change) {
    const DOOR: &str = "mqtt-door";
    match change {
        Change::Renewed { files } => access.write_down(DOOR, "renew mqtt rights", files, "allowed"),
        Change::NotRenewed { reason } => access.write_down(DOOR, "renew mqtt rights", reason, "unusable"),
        Change::Withdrawn { identity, why } => {
            access.write_down(DOOR, "cut off mqtt client", identity, why.as_str());
        }
    }
}

/// Writes down what went from the history because it was kept long enough.
fn write_removal(access: &Access, removed: &Removed) {
    let Removed { file, kind, values, instants: (first, last) } = removed;
    let what = format!("remove {} values", kind.word());
    access.write_down(
        "history",
        &what,
        &format!("{file}: {values} of {first} to {last}"),
        "kept long enough",
    );
}

/// What the MQTT door counts.
fn counted(counters: &DoorCounters) -> Family {
    let row = |count: &Count| (vec![("what", count.as_str().to_owned())], counters.get(*count));
    Family {
        name: "mqtt_door_total",
        help: "What happened at the MQTT door, by the words of its documentation.",
        values: Values::Totals(Count::ALL.iter().map(row).collect()),
    }
}

/// What is shown besides what the system says.
struct Shown {
    network: Arc<NetworkPicture>,
    area: Arc<Area>,
    pseudonyms: Arc<BTreeMap<String, PointId>>,
    register: Option<SharedRegister>,
    field: FieldDoor,
}

/// Starts what shows a running system: the OPC UA server, if there is to be one, and the page.
async fn show(
    page: Listen,
    opcua: Option<ServerConfig>,
    shown: Shown,
    system: &System,
    access: Access,
) -> Result<(RunningServer, Option<Published>), StationError> {
    let Shown { network, area, pseudonyms, register, field } = shown;
    let topology = Arc::new(Topology::of(area.feeder.network()));
    let opcua = match opcua {
        None => None,
        #[cfg(not(feature = "opcua"))]
        Some(config) => match config {},
        #[cfg(feature = "opcua")]
        Some(config) => Some(Published::open(config, &network, system.picture(), access.clone()).await?),
    };
    let served = Served {
        network,
        topology,
        pseudonyms,
        picture: system.picture(),
        market: Arc::new(Market::new(
            system.door().clone(),
            system.books().clone(),
            system.operations().refusals.clone(),
            area,
        )),
        operations: system.operations().clone(),
        register,
        field: Some(field),
        access,
    };
    match serve(page, served).await {
        Ok(server) => Ok((server, opcua)),
        Err(error) => {
            if let Some(opcua) = opcua {
                opcua.close().await;
            }
            Err(error.into())
        }
    }
}

/// Resolves when a stage was given up, with the reason.
pub async fn given_up(escalation: &mut Escalation) -> String {
    loop {
        if let Some(reason) = escalation.borrow_and_update().clone() {
            return reason;
        }
        if escalation.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
