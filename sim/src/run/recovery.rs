//! Taking up a run where its journal ends: the ledger from the facts, the plant from seed and orders.

use super::{RunError, Setup};
use crate::plant::Plant;
use actors::journal::{Durability, Fact, Journal};
use grid::Timestamp;
use market::{Activation, Ledger, MarketEvent, RecordNumber};
use std::collections::BTreeMap;
use std::path::Path;

/// A run ready to start or to go on.
pub struct Recovered {
    /// Open for appending.
    pub journal: Journal,
    /// The journal's facts, folded.
    pub ledger: Ledger,
    /// Records in the journal.
    pub records: u64,
    /// The plant at the last full minute before `at`.
    pub plant: Plant,
    /// The instant at which the run goes on; the scenario's start for a new run.
    pub at: Timestamp,
    /// Whether this continues an earlier process.
    pub resumed: bool,
}

/// Opens the journal in `directory`, folds it, and rebuilds the plant up to the last recorded minute.
pub fn recover(setup: &Setup, directory: &Path, durability: Durability) -> Result<Recovered, RunError> {
    let opened = Journal::open(directory, durability)?;
    let mut journal = opened.journal;
    let mut ledger = Ledger::default();
    for entry in &opened.entries {
        match &entry.fact {
            Fact::Market(event) => {
                let refused = |source| RunError::Replay { record: entry.number, source };
                ledger.apply_record(RecordNumber(entry.number), event).map_err(refused)?;
            }
            Fact::Opened { configuration } if *configuration != setup.configuration() => {
                return Err(RunError::OtherRun { directory: directory.to_owned() });
            }
            Fact::Opened { .. } | Fact::Reached => {}
        }
    }
    let start = setup.scenario.start;
    let newest = opened.entries.iter().map(|entry| entry.written_at).max().unwrap_or(start);
    let at = newest.max(start);
    if at >= setup.scenario.end() {
        return Err(RunError::Finished { directory: directory.to_owned(), end: setup.scenario.end() });
    }
    let mut plant = Plant::new(&setup.scenario, setup.feeder.clone())?;
    plant.replay_activations(&obeyed(opened.entries.iter().map(|entry| &entry.fact)), whole_minute(at))?;
    let opening = Fact::Opened { configuration: setup.configuration() };
    let records = journal.append([(at, &opening)])?;
    Ok(Recovered { journal, ledger, records, plant, at, resumed: !opened.entries.is_empty() })
}

/// The orders that devices confirmed, at the time they did: what the physical world has seen for certain. Orders
/// without an answer are repeated by the agents.
fn obeyed<'a>(facts: impl Iterator<Item = &'a Fact>) -> Vec<(Timestamp, Activation)> {
    let (mut issued, mut obeyed) = (BTreeMap::new(), Vec::new());
    for fact in facts {
        match fact {
            Fact::Market(MarketEvent::ActivationIssued { activation, .. }) => {
                issued.insert(&activation.id, activation);
            }
            Fact::Market(MarketEvent::ActivationAnswered { status, .. }) if status.accepted => {
                if let Some(activation) = issued.get(&status.activation) {
                    obeyed.push((status.at, (*activation).clone()));
                }
            }
            _ => {}
        }
    }
    obeyed.sort_by_key(|(at, _)| *at);
    obeyed
}

fn whole_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_seconds(at.seconds().div_euclid(60) * 60)
}
