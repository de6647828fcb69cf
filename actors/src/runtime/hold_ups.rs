//! Stages that wait to be made anew because messages from outside have spent their budget. What is on its way to one waits, too:
//! while it does, and for what was late because of it, nobody may be held to have been silent.

use grid::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of all stages of a system. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct HoldUps(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    /// Stages that wait now.
    waiting: usize,
    newest_end: Option<Timestamp>,
    begun: BTreeMap<String, u64>,
}

/// Whether all stages go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoingOn {
    /// None has ever waited.
    Always,
    /// None has waited since then.
    Since(Timestamp),
    /// One waits now.
    Not,
}

impl HoldUps {
    /// A stage waits from now on. Its kind is the first word of its name.
    pub(super) fn begin(&self, name: &str) {
        let kind = name.split(' ').next().unwrap_or(name).to_owned();
        let mut record = self.record();
        record.waiting += 1;
        *record.begun.entry(kind).or_default() += 1;
    }

    /// It goes on.
    pub(super) fn end(&self, now: Timestamp) {
        let mut record = self.record();
        record.waiting = record.waiting.saturating_sub(1);
        record.newest_end = record.newest_end.max(Some(now));
    }

    /// Whether all go on at present, and since when.
    pub fn going_on(&self) -> GoingOn {
        let record = self.record();
        match record.newest_end {
            _ if record.waiting > 0 => GoingOn::Not,
            Some(end) => GoingOn::Since(end),
            None => GoingOn::Always,
        }
    }

    /// How often stages of a kind have begun to wait.
    pub fn begun(&self, kind: &str) -> u64 {
        self.record().begun.get(kind).copied().unwrap_or_default()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
