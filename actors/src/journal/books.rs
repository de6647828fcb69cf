//! The books: the ledger as of the newest recorded fact, for reading by stages at their own time.

use crate::runtime::hold_ups::{GoingOn, HoldUps};
use grid::{Slot, Timestamp, UsagePointId};
use market::{FlexOffer, FlexOfferId, Ledger, OfferStatus, RecordNumber};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long what comes in must have been recorded before time alone may demand anything.
pub const STEADY_AFTER: Duration = Duration::from_secs(300);

/// Mean power by which a connection was ordered to deviate in a slot, W, positive is more consumption.
pub fn planned_deviation_w(ledger: &Ledger, point: UsagePointId, slot: Slot) -> f64 {
    ledger.planned_deviation().get(&(slot, point)).map_or(0.0, |energy| energy.watt_hours() / Slot::HOURS)
}

/// Shared view of the ledger. Only the journal stage changes it. Locked for the length of a closure, never across
/// an await.
#[derive(Debug, Clone, Default)]
pub struct Books {
    ledger: Arc<Mutex<Ledger>>,
    recording: Arc<Mutex<Recording>>,
    hold_ups: HoldUps,
    durable: Arc<AtomicU64>,
}

/// Whether what happens can be recorded.
#[derive(Debug)]
enum Recording {
    /// Without a break since then.
    Since(Timestamp),
    /// Not at present, and why.
    Not(String),
}

impl Default for Recording {
    fn default() -> Self {
        Self::Since(Timestamp::default())
    }
}

impl Books {
    /// Starts at `now` from a replayed ledger, all of which is durable.
    pub fn new(ledger: Ledger, now: Timestamp) -> Self {
        let durable = Arc::new(AtomicU64::new(ledger.newest_record().0));
        let recording = Arc::new(Mutex::new(Recording::Since(now)));
        Self { ledger: Arc::new(Mutex::new(ledger)), recording, hold_ups: HoldUps::default(), durable }
    }

    /// The same, of a system whose stages note here that they waited.
    pub fn held_up_by(self, hold_ups: HoldUps) -> Self {
        Self { hold_ups, ..self }
    }

    /// Reads.
    pub fn read<T>(&self, read: impl FnOnce(&Ledger) -> T) -> T {
        read(&self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest durable record. What the books say beyond it may still be lost, and is told to nobody outside.
    pub fn durable(&self) -> RecordNumber {
        RecordNumber(self.durable.load(Ordering::Acquire))
    }

    pub(super) fn set_durable(&self, number: u64) {
        self.durable.store(number, Ordering::Release);
    }

    /// An offer and where it stands by what is durable.
    pub fn durable_offer(&self, id: &FlexOfferId) -> Option<(FlexOffer, OfferStatus)> {
        let durable = self.durable();
        self.read(|ledger| ledger.offer_as_of(id, durable).map(|(offer, status)| (offer.clone(), status)))
    }

    /// Why nothing can be recorded at present; `None` while all is well.
    pub fn read_only(&self) -> Option<String> {
        match &*self.recording() {
            Recording::Since(_) => None,
            Recording::Not(reason) => Some(reason.clone()),
        }
    }

    /// Since when, without a break, whatever came in could be recorded: since the start, since there was room again, or since a
    /// stage that waited to be made anew goes on. Who did not come through before may have tried. `None` while nothing can be
    /// recorded, or while a stage waits.
    pub fn recording_since(&self) -> Option<Timestamp> {
        match (&*self.recording(), self.hold_ups.going_on()) {
            (Recording::Not(_), _) | (_, GoingOn::Not) => None,
            (Recording::Since(at), GoingOn::Always) => Some(*at),
            (Recording::Since(at), GoingOn::Since(end)) => Some(end.max(*at)),
        }
    }

    /// Whether whatever came in could be recorded, by a clock that nobody set, for some minutes: only then is anything done that
    /// time alone demands and nothing can undo. A clock that was wrong at the start is mostly set within minutes, and that ends the
    /// process.
    pub fn is_steady(&self, now: Timestamp) -> bool {
        self.recording_since().is_some_and(|since| since <= now.minus(STEADY_AFTER))
    }

    pub(super) fn set_read_only(&self, reason: String) {
        *self.recording() = Recording::Not(reason);
    }

    pub(super) fn set_recording(&self, now: Timestamp) {
        *self.recording() = Recording::Since(now);
    }

    fn recording(&self) -> MutexGuard<'_, Recording> {
        self.recording.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
