//! Taking up a run where its journal ends: the ledger from the facts, the plant from seed and orders.

use super::{RunError, Setup};
use crate::plant::Plant;
use actors::journal::{Begun, Journal, Opened, Options, begin};
use grid::Timestamp;
use market::{Activation, Ledger};
use std::path::Path;

/// A run ready to start or to go on.
pub struct Recovered {
    /// Open for appending.
    pub journal: Journal,
    /// The journal's facts, folded.
    pub ledger: Ledger,
    /// How it goes on in the journal.
    pub begun: Begun,
    /// The plant at the last full minute before `at`.
    pub plant: Plant,
    /// The instant at which the run goes on; the scenario's start for a new run.
    pub at: Timestamp,
    /// Whether this continues an earlier process.
    pub resumed: bool,
}

/// Opens the journal in `directory`, folds it, and rebuilds the plant up to the last recorded minute.
pub fn recover(setup: &Setup, directory: &Path, options: Options) -> Result<Recovered, RunError> {
    let Opened { mut journal, standing, .. } = Journal::open_with(directory, options)?;
    if standing.configuration.as_ref().is_some_and(|known| *known != setup.configuration()) {
        return Err(RunError::OtherRun { directory: directory.to_owned() });
    }
    let start = setup.scenario.start;
    let at = standing.reached.unwrap_or(start).max(start);
    if at >= setup.scenario.end() {
        return Err(RunError::Finished { directory: directory.to_owned(), end: setup.scenario.end() });
    }
    let mut plant = setup.plant.clone();
    plant.replay_activations(&obeyed(&standing.ledger), whole_minute(at))?;
    let begun = begin(&mut journal, at, setup.configuration())?;
    let resumed = standing.records > 0;
    Ok(Recovered { journal, ledger: standing.ledger, begun, plant, at, resumed })
}

/// The orders that devices confirmed, at the time they did: what the physical world has seen for certain. Orders
/// without an answer are repeated by the agents.
fn obeyed(ledger: &Ledger) -> Vec<(Timestamp, Activation)> {
    let answered = ledger.activations().filter_map(|(activation, answer)| Some((activation, answer?)));
    let accepted = answered.filter(|(_, answer)| answer.accepted);
    let mut obeyed: Vec<_> = accepted.map(|(activation, answer)| (answer.at, activation.clone())).collect();
    obeyed.sort_by_key(|(at, _)| *at);
    obeyed
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.seconds().div_euclid(60) * 60)
}
