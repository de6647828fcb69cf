//! A live site: recovered from its journal, running by the machine's clock until it is told to stop.

pub mod clock;

use crate::archive::each_energy;
use crate::check::{HISTORY_DIRECTORY, Site};
use crate::station::{Kept, Station, StationError, given_up};
use actors::Area;
use actors::grid_side::region::{Learnt, learnt_by};
use actors::journal::{Durability, Journal, JournalError, Opened, begin};
use actors::picture::Picture;
use actors::runtime::ScaledClock;
use actors::runtime::clock::machine_time;
use actors::stalls::stalled;
use clock::{origin, was_set};
use connectors::iec104;
#[cfg(feature = "modbus")]
use connectors::modbus;
use connectors::mqtt::foreign;
#[cfg(feature = "opcua")]
use connectors::opcua;
use grid::Timestamp;
use history::{History, HistoryError};
use register::{Register, StoreError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// Why a site does not run, or runs no more.
#[derive(Debug, Error)]
pub enum SiteError {
    /// Door, page or an actor did not start.
    #[error(transparent)]
    Station(#[from] StationError),
    /// A Modbus server cannot be read as it is configured.
    #[cfg(feature = "modbus")]
    #[error(transparent)]
    Modbus(#[from] modbus::ConfigError),
    /// An OPC UA server cannot be listened to as it is configured.
    #[cfg(feature = "opcua")]
    #[error(transparent)]
    OpcUa(#[from] opcua::ConfigError),
    /// A station of IEC 60870-5-104 cannot be listened to as it is configured.
    #[error(transparent)]
    Iec104(#[from] iec104::ConfigError),
    /// A broker of others cannot be listened to as it is configured.
    #[error(transparent)]
    Broker(#[from] foreign::ConfigError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The history cannot be kept.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What parties deposited cannot be read.
    #[error(transparent)]
    Register(#[from] StoreError),
    /// The data directory belongs to another site.
    #[error("{}: the journal belongs to {found}, this is {wanted}; give this site its own data directory", directory.display())]
    OtherSite {
        /// The directory.
        directory: PathBuf,
        /// As the journal says.
        found: String,
        /// What was to be started.
        wanted: String,
    },
    /// The machine's clock is behind the journal.
    #[error("{}: the journal was written at {reached}, and this machine's clock says {now}; set the clock", directory.display())]
    ClockBehind {
        /// The directory.
        directory: PathBuf,
        /// The newest record.
        reached: Timestamp,
        /// The machine's clock.
        now: Timestamp,
    },
    /// The machine's clock is far ahead of the journal.
    #[error(
        "{}: nothing was recorded since {reached}, and this machine's clock says {now}; set the clock, or start with \
         --clock-is-right when the site was off, or its disk full, for so long",
        directory.display()
    )]
    ClockAhead {
        /// The directory.
        directory: PathBuf,
        /// The newest record.
        reached: Timestamp,
        /// The machine's clock.
        now: Timestamp,
    },
    /// The machine's clock is far behind the journal, of which nothing but market facts binds.
    #[error(
        "{}: the journal was written at {reached}, and this machine's clock says {now}; set the clock, or start with \
         --clock-is-right when that one was wrong: nothing was traded by it",
        directory.display()
    )]
    ClockWentBack {
        /// The directory.
        directory: PathBuf,
        /// The newest record.
        reached: Timestamp,
        /// The machine's clock.
        now: Timestamp,
    },
    /// The machine's clock was not set yet.
    #[error("this machine's clock says {now}, which cannot be; set the clock")]
    ClockNotSet {
        /// The machine's clock.
        now: Timestamp,
    },
    /// The machine's clock was set while the system ran.
    #[error("the machine's clock was set by {seconds} s; start again")]
    ClockSet {
        /// Forward is positive.
        seconds: i64,
    },
    /// A stage was given up by its supervisor.
    #[error("{0}")]
    GivenUp(String),
}

impl SiteError {
    /// Whether what was asked for makes no sense (as opposed to a run that failed).
    pub fn is_input(&self) -> bool {
        match self {
            SiteError::Station(error) => error.is_input(),
            SiteError::Journal(error) => {
                matches!(
                    error,
                    JournalError::Foreign { .. } | JournalError::Newer { .. } | JournalError::Locked { .. }
                )
            }
            SiteError::History(error) => matches!(error, HistoryError::Locked { .. }),
            #[cfg(feature = "modbus")]
            SiteError::Modbus(_) => true,
            #[cfg(feature = "opcua")]
            SiteError::OpcUa(_) => true,
            SiteError::Iec104(_) | SiteError::Broker(_) | SiteError::OtherSite { .. } => true,
            // A clock comes right by itself: whoever supervises the process may start it again.
            SiteError::Register(_)
            | SiteError::ClockBehind { .. }
            | SiteError::ClockAhead { .. }
            | SiteError::ClockWentBack { .. }
            | SiteError::ClockNotSet { .. }
            | SiteError::ClockSet { .. }
            | SiteError::GivenUp(_) => false,
        }
    }
}

/// A running site.
pub struct Running {
    station: Station,
    clock: ScaledClock,
    /// How far our clock was ahead of the machine's at the start.
    ahead: Duration,
    resumed: bool,
}

impl Running {
    /// Takes the data directory, then starts everything. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`SiteError`] names the file, port or step.
    pub async fn start(site: Site) -> Result<Self, SiteError> {
        site.listeners.are_free()?;
        let directory = site.data.clone();
        let history = (directory.join(HISTORY_DIRECTORY), site.history.clone());
        let open_journal = move || Journal::open(&directory, Durability::Synced);
        let deposits = Some(site.data.clone());
        Self::start_on(site, deposits, open_journal, move || History::open(&history.0, history.1)).await
    }

    /// Starts everything on journal and history as they are opened here, where it may be waited. What parties deposit is kept in
    /// the directory `deposits`; without one it is refused.
    ///
    /// # Errors
    /// [`SiteError`] names the file, port or step.
    pub async fn start_on(
        mut site: Site,
        deposits: Option<PathBuf>,
        open_journal: impl FnOnce() -> Result<Opened, JournalError> + Send + 'static,
        open_history: impl FnOnce() -> Result<History, HistoryError> + Send + 'static,
    ) -> Result<Self, SiteError> {
        let wanted = Wanted {
            configuration: format!("site {}", site.foundation.name),
            directory: site.data.clone(),
            deposits,
            clock_is_right: site.clock_is_right,
            area: site.foundation.area.clone(),
        };
        let taken_up = tokio::task::spawn_blocking(move || {
            take_up(open_journal()?, wanted, machine_time(), open_history)
        });
        let TakenUp { kept, learnt, origin, ahead, resumed } = match taken_up.await {
            Ok(taken_up) => taken_up?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        };
        site.foundation.learnt = learnt;
        let clock = ScaledClock::start(origin, 1);
        let mut sources = Vec::new();
        #[cfg(feature = "modbus")]
        for config in site.sources.modbus {
            sources.push(modbus::connect(config, Arc::new(clock))?);
        }
        #[cfg(feature = "opcua")]
        for config in site.sources.opcua {
            sources.push(opcua::connect(config, Arc::new(clock))?);
        }
        for config in site.sources.iec104 {
            sources.push(iec104::connect(config, Arc::new(clock))?);
        }
        for config in site.sources.broker {
            sources.push(foreign::connect(config, Arc::new(clock))?);
        }
        let station = Station::start(site.listeners, site.foundation, kept, clock, sources).await?;
        Ok(Self { station, clock, ahead, resumed })
    }

    /// Where the page is.
    pub fn page(&self) -> SocketAddr {
        self.station.server.address()
    }

    /// The token with which the first administrator is made over HTTP, where nobody has an account; once.
    pub fn take_set_up_token(&mut self) -> Option<String> {
        self.station.set_up_token.take()
    }

    /// Where the MQTT door listens.
    pub fn door(&self) -> SocketAddr {
        self.station.door.address()
    }

    /// Whether an earlier process's journal is continued.
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// Where the OPC UA server listens.
    pub fn opcua(&self) -> Option<SocketAddr> {
        self.station.opcua.as_ref().map(crate::Published::address)
    }

    /// The newest picture.
    pub fn picture(&self) -> watch::Receiver<Arc<Picture>> {
        self.station.system.picture()
    }

    /// Resolves with the reason why the site cannot run on.
    pub async fn failed(&self) -> SiteError {
        let mut escalation = self.station.system.escalation();
        let operations = self.station.system.operations().clone();
        tokio::select! {
            biased;
            reason = given_up(&mut escalation) => SiteError::GivenUp(reason),
            reason = stalled(operations, self.picture()) => SiteError::GivenUp(reason),
            seconds = was_set(machine_time, self.clock, self.ahead) => SiteError::ClockSet { seconds },
        }
    }

    /// Closes the page and the door first, so that nobody hands anything to a system that is stopping and takes its
    /// silence for an answer; then the system.
    pub async fn stop(self) {
        let Station { door, system, server, opcua, .. } = self.station;
        if let Some(opcua) = opcua {
            opcua.close().await;
        }
        server.stop().await;
        // What the door still takes is not acknowledged, and comes again; its end is no failure of the field.
        system.stop_listening();
        door.close().await;
        system.stop().await;
    }
}

/// What a site has to find in its data directory.
struct Wanted {
    configuration: String,
    directory: PathBuf,
    deposits: Option<PathBuf>,
    clock_is_right: bool,
    area: Arc<Area>,
}

/// What was kept, and by which clock the site goes on.
struct TakenUp {
    kept: Kept,
    learnt: Learnt,
    origin: Timestamp,
    ahead: Duration,
    resumed: bool,
}

/// Finds out whether an open journal is this site's and can be gone on with now, and notes in it that it is.
fn take_up(
    opened: Opened,
    wanted: Wanted,
    machine: Timestamp,
    open_history: impl FnOnce() -> Result<History, HistoryError>,
) -> Result<TakenUp, SiteError> {
    let Opened { mut journal, standing, notes, .. } = opened;
    notes.iter().for_each(|note| tracing::warn!(%note, "found in the journal"));
    if let Some(found) = standing.configuration.as_ref().filter(|found| **found != wanted.configuration) {
        let (directory, found, wanted) = (wanted.directory, shortened(found), wanted.configuration);
        return Err(SiteError::OtherSite { directory, found, wanted });
    }
    let origin = origin(&standing, machine, &wanted.directory, wanted.clock_is_right)?;
    let (ahead, resumed) = (origin.since(machine), standing.records > 0);
    let begun = begin(&mut journal, origin, wanted.configuration)?;
    let history = open_history()?;
    let points = wanted.area.feeder.network().usage_points().iter().map(|point| point.id).collect();
    let learnt =
        learnt_by(&wanted.area, |learn| each_energy(&history, &standing.ledger, points, origin, learn));
    // The journal's lock makes the directory ours.
    let register = wanted.deposits.as_deref().map(Register::open).transpose()?;
    let kept = Kept { journal, ledger: standing.ledger, begun, history: Some(history), register };
    Ok(TakenUp { kept, learnt, origin, ahead, resumed })
}

/// The beginning of what a journal is bound to; a demo's is its whole scenario.
fn shortened(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { "a run of the demo".to_owned() }
}

#[cfg(test)]
mod tests;
