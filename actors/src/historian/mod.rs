//! Keeps telemetry, what was found of it, and estimates: everything that came is appended to the history in groups, one sync each; then whoever sent
//! it is told.
//!
//! It is no stage: it changes nothing that another stage sees, and its queue is bounded. When it cannot keep up, connectors
//! wait with what they have to acknowledge, and the rest is counted and not kept. On a full disk, and while too much waits to be
//! sealed, it tries again with what comes next; after any other failure the system is given up, and starts again from what is on
//! the disk.
//!
//! Once an hour, whether anything comes or not, what was kept long enough goes.

mod keeper;
mod losses;
mod removals;

pub use losses::Losses;
pub use removals::Removals;

use crate::figures::{Count, Durations};
use crate::runtime::depths::Underway;
use crate::runtime::{Environment, Escalator};
use connectors::exchange::{Tap, tap};
use estimation::{Implausible, Rule};
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, Estimate, Measurement, Phase, PointId, Quality, Quantity, Slot, Timestamp};
use history::{Figures, Followed, Gone, History, HistoryError, Kind, Offset, Query, Value, Versions};
use keeper::Keeper;
use losses::Why;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Estimates, and batches of doubted values, that wait to be kept.
const MADE_MAX: usize = 64;
/// Most readings of one device that are asked for at once: half a year.
const METERED_MAX: usize = 20_000;

/// What is kept and how: for questions and figures. Clones speak of the same history.
#[derive(Debug, Clone)]
pub struct Historian {
    history: Arc<Mutex<History>>,
    made: mpsc::Sender<Made>,
    /// Values that were kept.
    pub kept: Count,
    /// Values that could not be kept and do not come again.
    pub lost: Losses,
    /// Values that could not be kept and whose senders keep them, and send them again.
    pub postponed: Losses,
    /// Values of points that the network does not have, not kept.
    pub unknown: Count,
    /// Values that are no finite number, not kept.
    pub unfit: Count,
    /// Bytes of torn, never acknowledged groups that were cut off at the start.
    pub torn_bytes: Count,
    /// How long writing and syncing a group took.
    pub syncs: Durations,
    /// Since when a group is being written.
    pub underway: Underway,
    /// Sealings that failed; each is tried again.
    pub unsealable: Count,
    /// What went because it was kept long enough.
    pub removals: Removals,
    /// 1 when nothing more can be appended and the system starts again.
    pub failed: Count,
}

/// What is kept besides what comes through the tap.
#[derive(Debug)]
enum Made {
    Estimate(Arc<Estimate>),
    Doubted(Vec<Value>),
}

/// A poisoned lock is taken over: every change of a history is complete or marked as failed.
fn locked(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Historian {
    /// Begins to keep what comes through the tap, and estimates. Must be called inside a tokio runtime; ends when the tap and
    /// all clones are gone.
    ///
    /// Values of points that `knows` does not know are counted and not kept: whoever may send could fill the disk with names.
    pub fn start(
        history: History,
        knows: impl Fn(PointId) -> bool + Send + Sync + 'static,
        environment: Environment,
        escalator: Escalator,
    ) -> (Self, Tap) {
        let (tap, messages) = tap(history.options().waiting_messages);
        let (make, made) = mpsc::channel(MADE_MAX);
        let this = Self {
            torn_bytes: Count::default(),
            history: Arc::new(Mutex::new(history)),
            made: make,
            kept: Count::default(),
            lost: Losses::lost(tap.untaken()),
            postponed: Losses::postponed(tap.untaken()),
            unknown: Count::default(),
            unfit: Count::default(),
            syncs: Durations::default(),
            underway: Underway::default(),
            unsealable: Count::default(),
            removals: Removals::default(),
            failed: Count::default(),
        };
        this.torn_bytes.set(locked(&this.history).torn_bytes());
        let now = environment.now();
        // Not at once: whoever writes down what went is told of it only after the start.
        let (said, retain_at, tend_at, seal_from) = (this.clone(), now, now.plus(keeper::TEND_PERIOD), now);
        let keeper = Keeper { said, environment, escalator, tend_at, retain_at, seal_from };
        tokio::spawn(keeper.keep(messages, made, knows));
        (this, tap)
    }

    /// Keeps an estimate, when there is room.
    pub fn keep_estimate(&self, estimate: &Arc<Estimate>) {
        if self.made.try_send(Made::Estimate(estimate.clone())).is_err() {
            self.lost.add(Why::EstimatesWait, values_of(estimate, estimate.at).len() as u64);
        }
    }

    /// Keeps that values were found implausible, when there is room: as a newer version of each.
    pub fn keep_doubted(&self, values: &[Implausible], now: Timestamp) {
        let doubted = values.iter().filter(|one| one.measurement.quality == Quality::Implausible);
        let version = now.plus(Duration::from_micros(1));
        let values: Vec<Value> = doubted
            .filter(|one| one.measurement.value.is_finite() && one.rule != Rule::KnownPoint)
            .map(|one| Value::measured(&Measurement { received_at: version, ..one.measurement }))
            .collect();
        let count = values.len() as u64;
        if count > 0 && self.made.try_send(Made::Doubted(values)).is_err() {
            self.lost.add(Why::DoubtsWait, count);
        }
    }

    /// Asks.
    ///
    /// # Errors
    /// [`HistoryError`], above all when more is asked for than may be returned.
    pub async fn query(&self, query: Query) -> Result<Vec<Value>, HistoryError> {
        let history = self.history.clone();
        let search = move || {
            let search = locked(&history).search(&query);
            search.finish()
        };
        match spawn_blocking(search).await {
            Ok(found) => found,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// What a device's sub-meter said since `from`, by slot. Waits for the disk: for heavy work only.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn metered(
        &self,
        device: DeviceId,
        from: Timestamp,
        until: Timestamp,
    ) -> Result<BTreeMap<Slot, EnergyMwh>, HistoryError> {
        let point = PointId { element: Element::Device(device), quantity: Quantity::SlotEnergy, phase: None };
        let (kind, points, versions) = (Kind::Energy, vec![point], Versions::Newest);
        let search =
            locked(&self.history).search(&Query { kind, points, from, until, versions, most: METERED_MAX });
        let measured = search.finish()?.into_iter().filter(|value| value.quality == Quality::Measured);
        let energy = |value: Value| {
            // It was read at the end of its slot.
            Some((value.measured_at.slot().plus(-1), EnergyMwh::from_watt_hours(value.value).ok()?))
        };
        Ok(measured.filter_map(energy).collect())
    }

    /// The place after everything that was kept; `None` while somebody writes, then ask again.
    pub fn newest(&self) -> Option<Offset> {
        Some(self.free()?.newest())
    }

    /// What was kept after a place, and is `wanted`, at most `most` values; `None` while somebody writes, then ask again.
    pub fn after(
        &self,
        offset: Offset,
        wanted: impl Fn(&Value) -> bool,
        most: usize,
    ) -> Option<Result<Followed, Gone>> {
        Some(self.free()?.after(offset, wanted, most))
    }

    /// Without waiting for the disk.
    fn free(&self) -> Option<MutexGuard<'_, History>> {
        match self.history.try_lock() {
            Ok(history) => Some(history),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// What is there, by kind.
    pub fn figures(&self) -> BTreeMap<Kind, Figures> {
        locked(&self.history).figures()
    }
}

/// What is kept of an estimate: voltages of buses, powers into branches at their `from` side, powers of usage points.
fn values_of(estimate: &Estimate, made_at: Timestamp) -> Vec<Value> {
    let value = |element, quantity, phase, value: f64, std| {
        let point = PointId { element, quantity, phase };
        let (measured_at, received_at) = (estimate.at, made_at);
        let measurement = Measurement { point, value, quality: Quality::Estimated, measured_at, received_at };
        Value::new(Kind::Estimate, &measurement, std)
    };
    let mut values = Vec::new();
    for bus in &estimate.buses {
        for phase in Phase::ALL {
            let (u_v, std_v) = (bus.u_v[phase.index()], bus.u_std_v[phase.index()]);
            // What nothing determines is a number that means nothing.
            if bus.observability[phase.index()] != grid::Observability::Unobservable {
                values.push(value(
                    Element::Bus(bus.bus),
                    Quantity::VoltageMagnitude,
                    Some(phase),
                    u_v,
                    Some(std_v),
                ));
            }
        }
    }
    for branch in &estimate.branches {
        let powers = Phase::ALL.map(|phase| (phase, branch.p_from_w[phase.index()]));
        let element = Element::Branch(branch.branch);
        values
            .extend(powers.map(|(phase, p_w)| value(element, Quantity::ActivePower, Some(phase), p_w, None)));
    }
    for point in &estimate.usage_points {
        let element = Element::UsagePoint(point.usage_point);
        values.push(value(element, Quantity::ActivePower, None, point.p_w, Some(point.p_std_w)));
    }
    values.retain(|value| value.value.is_finite());
    values
}
