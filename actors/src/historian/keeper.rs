//! Who writes: takes what waits together, appends it, tells the senders, and has sealed and removed what is due.

use super::losses::Why;
use super::{Historian, Made, locked, values_of};
use crate::figures::Count;
use crate::runtime::{Environment, Escalator, Stopwatch};
use connectors::Receipt;
use connectors::exchange::Tapped;
use grid::defect::{Defect, planted};
use grid::{PointId, Timestamp};
use history::{History, HistoryError, Sealer, Value};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

/// Values that are appended together, at least when there are so many.
const GROUP_VALUES: usize = 20_000;
/// How often is looked whether something is to be sealed although nothing comes.
pub(super) const TEND_PERIOD: Duration = Duration::from_secs(60);
/// How often is looked for values that were kept long enough.
const RETAIN_PERIOD: Duration = Duration::from_secs(3600);
/// How long after a failed sealing it is tried again.
const SEAL_AGAIN: Duration = Duration::from_secs(60);

/// Who writes.
pub(super) struct Keeper {
    /// The history, and what is counted.
    pub(super) said: Historian,
    pub(super) environment: Environment,
    pub(super) escalator: Escalator,
    /// When is looked again, by the system's clock.
    pub(super) tend_at: Timestamp,
    /// When values may go again.
    pub(super) retain_at: Timestamp,
    /// When sealing may begin again, after its next log could not be made.
    pub(super) seal_from: Timestamp,
}

/// What is appended together.
#[derive(Default)]
struct Group {
    values: Vec<Value>,
    receipts: Vec<Receipt>,
    /// How many of the values come again when they are not kept.
    owed: u64,
}

impl Keeper {
    pub(super) async fn keep(
        mut self,
        mut messages: mpsc::Receiver<Tapped>,
        mut made: mpsc::Receiver<Made>,
        knows: impl Fn(PointId) -> bool + Sync,
    ) {
        loop {
            let mut group = Group::default();
            let clock = self.environment.clock().clone();
            tokio::select! {
                () = clock.sleep_until(self.tend_at) => {
                    self.tend().await;
                    continue;
                }
                message = messages.recv() => match message {
                    Some(tapped) => self.take(tapped, &knows, &mut group),
                    None => return,
                },
                Some(made) = made.recv() => match made {
                    Made::Estimate(estimate) => group.values.extend(values_of(&estimate, self.environment.now())),
                    Made::Doubted(doubted) => group.values.extend(doubted),
                },
            }
            while group.values.len() < GROUP_VALUES
                && let Ok(tapped) = messages.try_recv()
            {
                self.take(tapped, &knows, &mut group);
            }
            let receipts = std::mem::take(&mut group.receipts);
            if planted(Defect::ActsBeforeSync) {
                receipts.iter().for_each(Receipt::confirm);
            }
            if self.append(group).await {
                receipts.iter().for_each(Receipt::confirm);
            } else {
                // The disk's fault, not theirs: they come again.
                receipts.iter().for_each(Receipt::not_now);
            }
        }
    }

    /// What is to be done from time to time, whether anything comes or not.
    async fn tend(&mut self) {
        let now = self.environment.now();
        self.tend_at = now.plus(TEND_PERIOD);
        self.seal(move |history| history.seal_aged(now)).await;
        if now >= self.retain_at {
            self.retain_at = now.plus(RETAIN_PERIOD);
            self.retain(now).await;
        }
    }

    /// What of a message is to be kept; the rest is counted.
    fn take(&self, tapped: Tapped, knows: impl Fn(PointId) -> bool, group: &mut Group) {
        let before = group.values.len();
        for value in &tapped.values {
            if !knows(value.point) {
                self.said.unknown.more();
            } else if value.value.is_finite() {
                group.values.push(Value::measured(value));
            } else {
                self.said.unfit.more();
            }
        }
        if let Some(receipt) = tapped.receipt {
            group.owed += (group.values.len() - before) as u64;
            group.receipts.push(receipt);
        }
    }

    /// Whether the values last now.
    async fn append(&mut self, Group { values, owed, .. }: Group) -> bool {
        let (said, count) = (self.said.clone(), values.len() as u64);
        let append = move || {
            let stopwatch = Stopwatch::start();
            let mut history = locked(&said.history);
            history.append(&values)?;
            said.syncs.count(stopwatch.elapsed());
            Ok::<(), HistoryError>(())
        };
        self.said.underway.begin();
        let appended = spawn_blocking(append).await;
        self.said.underway.end();
        let passing = match &appended {
            Ok(Err(HistoryError::Unsealed { .. })) => Some(Why::Unsealed),
            Ok(Err(error)) if error.is_full() => Some(Why::DiskFull),
            _ => None,
        };
        let appended = flat(appended);
        let kept = appended.is_ok();
        if let Err(reason) = appended {
            tracing::error!(%reason, values = count, "not kept in the history");
            let passing = passing.filter(|_| !locked(&self.said.history).has_failed());
            let why = passing.unwrap_or(Why::DiskFailed);
            self.said.lost.add(why, count - owed);
            self.said.postponed.add(why, owed);
            // What is on the disk is not known any more, and nothing more can be appended: start again.
            if passing.is_none() && self.said.failed.get() == 0 {
                self.said.failed.set(1);
                self.escalator.give_up("history", &format!("the history cannot be written: {reason}"));
            }
        } else {
            self.said.kept.add(count);
        }
        self.seal(History::seal_due).await;
        kept
    }

    /// Seals what is due, in a task of its own: what comes meanwhile goes to the next log.
    async fn seal(
        &mut self,
        due: impl FnOnce(&mut History) -> Result<Option<Sealer>, HistoryError> + Send + 'static,
    ) {
        let now = self.environment.now();
        if now < self.seal_from {
            return;
        }
        let history = self.said.history.clone();
        match flat(spawn_blocking(move || due(&mut locked(&history))).await) {
            Ok(None) => {}
            Ok(Some(sealer)) => {
                tokio::spawn(seal(self.said.history.clone(), sealer, self.said.unsealable.clone()));
            }
            Err(reason) => {
                tracing::error!(%reason, "values of the history stay in their log; sealing is tried again");
                self.said.unsealable.more();
                self.seal_from = now.plus(SEAL_AGAIN);
            }
        }
    }

    async fn retain(&self, now: Timestamp) {
        let (history, removals) = (self.said.history.clone(), self.said.removals.clone());
        let retain = move || {
            let (removed, failed) = locked(&history).retain(now);
            removed.iter().for_each(|removed| removals.note(removed));
            failed.map_or(Ok(()), Err)
        };
        if let Err(reason) = flat(spawn_blocking(retain).await) {
            tracing::error!(%reason, "old values of the history could not be removed");
            self.said.removals.failed.more();
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
