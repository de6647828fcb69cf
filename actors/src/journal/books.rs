//! The books: the ledger as of the newest recorded fact, for reading by stages at their own time.

use grid::{Slot, UsagePointId};
use market::Ledger;
use std::sync::{Arc, Mutex, PoisonError};

/// Mean power by which a connection was ordered to deviate in a slot, W, positive is more consumption.
pub fn planned_deviation_w(ledger: &Ledger, point: UsagePointId, slot: Slot) -> f64 {
    ledger.planned_deviation().get(&(point, slot)).map_or(0.0, |energy| energy.watt_hours() / Slot::HOURS)
}

/// Shared view of the ledger. Only the journal stage changes it. Locked for the length of a closure, never across
/// an await.
#[derive(Debug, Clone, Default)]
pub struct Books(Arc<Mutex<Ledger>>);

impl Books {
    /// Starts from a replayed ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self(Arc::new(Mutex::new(ledger)))
    }

    /// Reads.
    pub fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
