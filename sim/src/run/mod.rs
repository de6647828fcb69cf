//! Running the whole: the plant, its field and the system that observes and trades with it.
//!
//! The same system runs in two ways: [`live`] against the wall clock and over a real MQTT broker, and
//! [`virtual_time`] over the in-process connector with the clock of a paused runtime.

pub mod live;
pub mod outcome;
pub mod recovery;
pub mod scoring;
pub mod setup;
pub mod virtual_time;
pub mod without;

use grid::Timestamp;
use std::path::PathBuf;
use thiserror::Error;

pub use live::{Live, LiveOptions};
pub use outcome::Outcome;
pub use setup::Setup;

/// Why a run could not be started or finished.
#[derive(Debug, Error)]
pub enum RunError {
    /// The scenario's network cannot be used.
    #[error(transparent)]
    Network(#[from] crate::plant::ScenarioNetworkError),
    /// The network is not radial or has no single source.
    #[error("the scenario's network: {0}")]
    Topology(#[from] estimation::TopologyError),
    /// The plant broke down.
    #[error("the simulated grid: {0}")]
    Plant(#[from] crate::plant::PlantError),
    /// Devices and network do not match.
    #[error(transparent)]
    Area(#[from] actors::AreaError),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] actors::journal::JournalError),
    /// The history cannot be kept.
    #[error(transparent)]
    History(#[from] history::HistoryError),
    /// What parties deposited cannot be read.
    #[error(transparent)]
    Register(#[from] register::StoreError),
    /// The data directory holds another run.
    #[error("{}: the journal belongs to a run with another scenario, seed or duration; give the same ones or another --data directory", directory.display())]
    OtherRun {
        /// The directory.
        directory: PathBuf,
    },
    /// The data directory holds this run, finished.
    #[error("{}: this run ended at {end} already; give another --data directory", directory.display())]
    Finished {
        /// The directory.
        directory: PathBuf,
        /// The end.
        end: Timestamp,
    },
    /// Door, page or an actor did not start.
    #[error(transparent)]
    Station(#[from] site::StationError),
    /// An actor did not start.
    #[error(transparent)]
    Spawn(#[from] actors::runtime::supervisor::SpawnError),
    /// The connection to the broker is set up wrongly.
    #[error(transparent)]
    Client(#[from] connectors::mqtt::ConfigError),
    /// The area's name is no name.
    #[error("area name: {0}")]
    AreaName(#[from] grid::IdError),
    /// Something outside refused.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The reason.
        source: std::io::Error,
    },
    /// Meters and devices fell silent before the scenario's end.
    #[error("the field: {0}")]
    Field(String),
    /// A stage was given up by its supervisor.
    #[error("{0}")]
    GivenUp(String),
}

impl RunError {
    /// Whether what was asked for makes no sense (as opposed to a run that failed).
    pub fn is_input(&self) -> bool {
        use actors::journal::JournalError;
        match self {
            RunError::Journal(error) => {
                matches!(
                    error,
                    JournalError::Foreign { .. } | JournalError::Newer { .. } | JournalError::Locked { .. }
                )
            }
            RunError::History(error) => matches!(error, history::HistoryError::Locked { .. }),
            RunError::Network(_) | RunError::Topology(_) | RunError::Area(_) => true,
            RunError::OtherRun { .. } | RunError::Finished { .. } => true,
            RunError::Station(error) => error.is_input(),
            _ => false,
        }
    }
}

/// The field runs until it is told to stop; whatever else ends it is a failure.
fn field_ended(outcome: Result<Result<(), crate::field::FieldError>, tokio::task::JoinError>) -> RunError {
    RunError::Field(match outcome {
        Ok(Ok(())) => "it ended early".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    })
}
