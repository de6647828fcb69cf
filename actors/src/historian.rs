//! Keeps telemetry, what was found of it, and estimates: everything that came is appended to the history in groups, one sync each; then whoever sent
//! it is told.
//!
//! It is no stage: it changes nothing that another stage sees, and its queue is bounded. When it cannot keep up, connectors
//! wait with what they have to acknowledge, and the rest is counted and not kept. On a full disk it tries again with what
//! comes next; after any other failure the system is given up, and starts again from what is on the disk.

use crate::figures::{Count, Durations};
use crate::runtime::{Environment, Escalator, Stopwatch};
use connectors::exchange::{Tap, Tapped, tap};
use estimation::{Implausible, Rule};
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, Estimate, Measurement, Phase, PointId, Quality, Quantity, Slot, Timestamp};
use history::{Figures, Followed, Gone, History, HistoryError, Kind, Offset, Query, Sealer, Value, Versions};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Messages that wait to be kept.
const WAITING_MAX: usize = 4096;
/// Estimates, and batches of doubted values, that wait to be kept.
const MADE_MAX: usize = 64;
/// Values that are appended together, at least when there are so many.
const GROUP_VALUES: usize = 20_000;
/// Most readings of one device that are asked for at once: half a year.
const METERED_MAX: usize = 20_000;
/// How often is looked for values that were kept long enough.
const RETAIN_PERIOD: Duration = Duration::from_secs(3600);

/// How long after a failed sealing it is tried again.
const SEAL_AGAIN: Duration = Duration::from_secs(60);

/// What is kept and how: for questions and figures. Clones speak of the same history.
#[derive(Debug, Clone)]
pub struct Historian {
    history: Arc<Mutex<History>>,
    made: mpsc::Sender<Made>,
    /// Values that were kept.
    pub kept: Count,
    /// Values that could not be kept: the disk was full or failed, or an estimate found no room.
    pub lost: Count,
    /// Values of points that the network does not have, not kept.
    pub unknown: Count,
    /// How long writing and syncing a group took.
    pub syncs: Durations,
    /// Sealings that failed; each is tried again.
    pub unsealable: Count,
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
        let (tap, messages) = tap(WAITING_MAX);
        let (make, made) = mpsc::channel(MADE_MAX);
        let (kept, lost, unknown, syncs, unsealable, failed) = Default::default();
        let history = Arc::new(Mutex::new(history));
        let this = Self { history, made: make, kept, lost, unknown, syncs, unsealable, failed };
        let now = environment.now();
        let keeper = Keeper {
            history: this.history.clone(),
            kept: this.kept.clone(),
            lost: this.lost.clone(),
            unknown: this.unknown.clone(),
            syncs: this.syncs.clone(),
            unsealable: this.unsealable.clone(),
            retained_at: now,
            seal_from: now,
            failed: this.failed.clone(),
            environment,
            escalator,
        };
        tokio::spawn(keeper.keep(messages, made, knows));
        (this, tap)
    }

    /// Keeps an estimate, when there is room.
    pub fn keep_estimate(&self, estimate: &Arc<Estimate>) {
        if self.made.try_send(Made::Estimate(estimate.clone())).is_err() {
            self.lost.add(values_of(estimate, estimate.at).len() as u64);
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
            self.lost.add(count);
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

/// Who writes.
struct Keeper {
    history: Arc<Mutex<History>>,
    kept: Count,
    lost: Count,
    unknown: Count,
    syncs: Durations,
    unsealable: Count,
    environment: Environment,
    escalator: Escalator,
    retained_at: Timestamp,
    /// Whether nothing more can be appended.
    failed: Count,
    /// When sealing may begin again, after its next log could not be made.
    seal_from: Timestamp,
}

impl Keeper {
    async fn keep(
        mut self,
        mut messages: mpsc::Receiver<Tapped>,
        mut made: mpsc::Receiver<Made>,
        knows: impl Fn(PointId) -> bool + Sync,
    ) {
        let unknown = self.unknown.clone();
        loop {
            let (mut values, mut receipts) = (Vec::new(), Vec::new());
            let mut take = |tapped: Tapped, values: &mut Vec<Value>| {
                for value in &tapped.values {
                    if !knows(value.point) {
                        unknown.more();
                    } else if value.value.is_finite() {
                        values.push(Value::measured(value));
                    }
                }
                receipts.extend(tapped.receipt);
            };
            tokio::select! {
                message = messages.recv() => match message {
                    Some(tapped) => take(tapped, &mut values),
                    None => return,
                },
                Some(made) = made.recv() => match made {
                    Made::Estimate(estimate) => values.extend(values_of(&estimate, self.environment.now())),
                    Made::Doubted(doubted) => values.extend(doubted),
                },
            }
            while values.len() < GROUP_VALUES
                && let Ok(tapped) = messages.try_recv()
            {
                take(tapped, &mut values);
            }
            if self.append(values).await {
                receipts.iter().for_each(connectors::Receipt::confirm);
            } else {
                // The disk's fault, not theirs: they come again.
                receipts.iter().for_each(connectors::Receipt::not_now);
            }
            self.retain().await;
        }
    }

    /// Whether the values last now.
    async fn append(&mut self, values: Vec<Value>) -> bool {
        let (history, count, syncs) = (self.history.clone(), values.len() as u64, self.syncs.clone());
        let append = move || {
            let stopwatch = Stopwatch::start();
            let mut history = locked(&history);
            history.append(&values)?;
            syncs.count(stopwatch.elapsed());
            Ok::<(), HistoryError>(())
        };
        let appended = spawn_blocking(append).await;
        let full = matches!(&appended, Ok(Err(error)) if error.is_full());
        if let Err(reason) = flat(appended) {
            tracing::error!(%reason, values = count, "not kept in the history");
            self.lost.add(count);
            // What is on the disk is not known any more, and nothing more can be appended: start again.
            if (!full || locked(&self.history).has_failed()) && self.failed.get() == 0 {
                self.failed.set(1);
                self.escalator.give_up("history", &format!("the history cannot be written: {reason}"));
            }
            return false;
        }
        self.kept.add(count);
        self.seal().await;
        true
    }

    /// Seals what is due, in a task of its own: what comes meanwhile goes to the next log.
    async fn seal(&mut self) {
        let now = self.environment.now();
        if now < self.seal_from {
            return;
        }
        let history = self.history.clone();
        match flat(spawn_blocking(move || locked(&history).seal_due()).await) {
            Ok(None) => {}
            Ok(Some(sealer)) => {
                tokio::spawn(seal(self.history.clone(), sealer, self.unsealable.clone()));
            }
            Err(reason) => {
                tracing::error!(%reason, "values of the history stay in their log; sealing is tried again");
                self.unsealable.more();
                self.seal_from = now.plus(SEAL_AGAIN);
            }
        }
    }

    async fn retain(&mut self) {
        let now = self.environment.now();
        if now.since(self.retained_at) < RETAIN_PERIOD {
            return;
        }
        self.retained_at = now;
        let history = self.history.clone();
        if let Err(reason) = flat(spawn_blocking(move || locked(&history).retain(now)).await) {
            tracing::error!(%reason, "old values of the history could not be removed");
        }
    }
}

/// Seals; what fails is due again after a pause, in which nothing keeps the history open.
async fn seal(history: Arc<Mutex<History>>, sealer: Sealer, unsealable: Count) {
    let waiting = Arc::downgrade(&history);
    let made = spawn_blocking(move || {
        let made = sealer.make();
        locked(&history).adopt(made)
    });
    let Err(reason) = flat(made.await) else { return };
    tracing::error!(%reason, "values of the history stay in their log; sealing is tried again");
    unsealable.more();
    tokio::time::sleep(SEAL_AGAIN).await;
    if let Some(history) = waiting.upgrade() {
        locked(&history).seal_again();
    }
}

fn flat<T>(outcome: Result<Result<T, HistoryError>, tokio::task::JoinError>) -> Result<T, String> {
    match outcome {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
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
