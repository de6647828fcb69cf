//! What went wrong with actors: restarts, quarantined messages, escalations. Counted here, shown on the page.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

/// How many incidents are kept in words; the counters never forget.
const KEPT: usize = 64;

/// Shared record of incidents. Cheap to clone; locked only for a moment, never across an await.
#[derive(Debug, Clone, Default)]
pub struct Incidents(Arc<Mutex<Record>>);

/// Counters and the newest incidents in words.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Stages restarted after a panic.
    pub restarts: u64,
    /// The same by kind of stage: the first word of its name.
    pub restarts_by_kind: BTreeMap<String, u64>,
    /// Messages set aside because handling them panicked every time.
    pub quarantined: u64,
    /// Messages set aside without being tried, because their like had failed just before.
    pub unseen: u64,
    /// Stages given up.
    pub escalations: u64,
    /// Newest incidents, oldest first.
    pub newest: VecDeque<String>,
}

impl Incidents {
    /// A stage panicked and is started anew.
    pub fn restarted(&self, stage: &str, reason: &str) {
        let kind = stage.split(' ').next().unwrap_or(stage).to_owned();
        self.record(format!("{stage} restarted: {reason}"), |record| {
            record.restarts += 1;
            *record.restarts_by_kind.entry(kind).or_default() += 1;
        });
    }

    /// A message was set aside after it was tried.
    pub fn quarantined(&self, stage: &str, message: &str) {
        self.record(format!("{stage} quarantined a message: {message}"), |record| record.quarantined += 1);
    }

    /// A message was set aside unseen: its like had just failed. Counted, and not said each time.
    pub fn quarantined_unseen(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).unseen += 1;
    }

    /// A stage was given up.
    pub fn escalated(&self, stage: &str, reason: &str) {
        self.record(format!("{stage} given up: {reason}"), |record| record.escalations += 1);
    }

    /// A copy of the counters and newest incidents.
    pub fn snapshot(&self) -> Record {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn record(&self, words: String, count: impl FnOnce(&mut Record)) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        count(&mut record);
        record.newest.push_back(words);
        if record.newest.len() > KEPT {
            record.newest.pop_front();
        }
    }
}
