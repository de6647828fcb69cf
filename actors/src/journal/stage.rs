//! The journal as a stage: group commit, then delivery.
//!
//! A stage that wants something to happen hands over the fact together with the deliveries that make it happen.
//! The fact is folded into the books (and refused if it cannot follow), written, synced, and only then are the
//! deliveries made, in order. While a sync runs, further facts gather and go out together with the next one.
//!
//! On a full disk the journal is *read-only*: what is underway waits and is tried again each [`RETRY_PERIOD`], a fact that
//! can be taken back is refused, one that cannot waits with the others. Nobody is told of anything that is not on the disk.

use super::books::Books;
use crate::figures::{Count, Durations};
use crate::observer::Seen;
use crate::runtime::depths::Underway;
use crate::runtime::{Address, Context, Delivery, Stage, Stopwatch};
use grid::Timestamp;
use grid::defect::{Defect, planted};
use journal::{Fact, Journal, JournalError, Snapshotter};
use market::{ActivationId, Applied, LedgerError, MarketEvent, RecordNumber};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a quiet journal notes that the system is alive.
const BEAT_PERIOD: Duration = Duration::from_secs(60);
/// How often a full disk is tried again, by the system's clock.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// Facts that wait for room, at most; with more the system stops and recovers from what is on the disk.
const WAITING_MAX: usize = 100_000;
/// Why a fact is refused while the disk is full.
pub const JOURNAL_FULL: &str = "journal_full";

/// Why a fact is refused that no record can hold.
pub const TOO_LARGE: &str = "fact_too_large";

/// Facts that are written together, with when they were handed in.
type Group = Arc<Vec<(Timestamp, Arc<Fact>)>>;

/// What can wake the journal.
#[derive(Debug, Clone)]
pub enum JournalMsg {
    /// Record a fact, then make the deliveries.
    Append {
        /// What happened.
        fact: Arc<Fact>,
        /// What it causes, made after the sync.
        then: Vec<Delivery>,
        /// What is said instead when the fact cannot follow what is recorded.
        otherwise: Vec<Delivery>,
    },
    /// Time to note that all is well, when nothing else was recorded.
    BeatDue,
    /// A group was written and synced up to this record.
    Committed {
        /// Number of the newest durable record.
        number: u64,
        /// Makes a snapshot when one is due.
        snapshot: Option<Snapshotter>,
    },
    /// There was no room for a group; nothing of it was written.
    NoRoom {
        /// It, to be tried again.
        group: Group,
        /// What the operating system said of which file.
        reason: String,
    },
    /// Time to try the group again that had no room.
    RetryDue(Group),
    /// A snapshot was made or not.
    SnapshotEnded(Result<Option<u64>, String>),
    /// Writing or syncing failed; nothing more may be acknowledged.
    Failed {
        /// Why.
        reason: String,
    },
}

/// How stages reach the journal.
#[derive(Debug, Clone)]
pub struct JournalWriter(pub Address<JournalMsg>);

impl JournalWriter {
    /// Records a market fact and makes `then` once it is durable.
    pub fn record<M: Clone + Send + Sync + 'static>(
        &self,
        cx: &mut Context<M>,
        event: MarketEvent,
        then: Vec<Delivery>,
    ) {
        self.record_or(cx, event, then, Vec::new());
    }

    /// Like [`record`](Self::record); makes `otherwise` when the fact is refused, so that whoever counted on it
    /// can take it back.
    pub fn record_or<M: Clone + Send + Sync + 'static>(
        &self,
        cx: &mut Context<M>,
        event: MarketEvent,
        then: Vec<Delivery>,
        otherwise: Vec<Delivery>,
    ) {
        cx.send(&self.0, JournalMsg::Append { fact: Arc::new(Fact::Market(event)), then, otherwise });
    }

    /// Records a fact that whoever asks works out again from the books, at its next beat: while nothing can be recorded it is
    /// refused, for what it rests on may be overtaken by what waits outside.
    pub fn record_for_now<M: Clone + Send + Sync + 'static>(
        &self,
        cx: &mut Context<M>,
        event: MarketEvent,
        then: Vec<Delivery>,
    ) {
        self.record_or(cx, event, then, vec![Delivery::outside(|| ())]);
    }
}

/// The stage that owns the journal.
#[derive(Debug)]
pub struct JournalStage {
    journal: Arc<Mutex<Journal>>,
    books: Books,
    waiting: Vec<(Timestamp, Arc<Fact>, Vec<Delivery>)>,
    /// Number of the next record.
    next: u64,
    /// The facts that are being written.
    group: Group,
    /// What is made when they are durable.
    syncing: Vec<Delivery>,
    busy: bool,
    quiet: bool,
    /// For finding out how large a fact is.
    scratch: Vec<u8>,
    observer: Address<Seen>,
    counters: JournalCounters,
}

/// What the journal has done so far.
#[derive(Debug, Clone, Default)]
pub struct JournalCounters {
    durable: Count,
    refused: Count,
    /// Facts taken in and not durable yet.
    pub waiting: Count,
    /// Needs refused because a contract overtook them.
    pub stale: Count,
    /// Facts refused because the disk is full.
    pub full: Count,
    /// Facts refused because no record can hold them.
    pub too_large: Count,
    /// How long writing and syncing a group took.
    pub syncs: Durations,
    /// Since when a group is being written.
    pub underway: Underway,
    /// Snapshots that were made.
    pub snapshots: Count,
    /// Snapshots that could not be made.
    pub snapshots_failed: Count,
}

impl JournalCounters {
    /// Starts from the records of earlier runs.
    pub fn starting_at(records: u64) -> Self {
        let counters = Self::default();
        counters.durable.set(records);
        counters
    }

    /// Records durable so far (records of earlier runs included), and facts refused because they cannot follow.
    pub fn durable_and_refused(&self) -> (u64, u64) {
        (self.durable.get(), self.refused.get())
    }
}

impl JournalStage {
    /// Takes over an open journal whose entries were folded into `books`.
    pub fn new(
        journal: Arc<Mutex<Journal>>,
        books: Books,
        counters: JournalCounters,
        observer: Address<Seen>,
    ) -> Self {
        let (waiting, group, syncing, scratch) = Default::default();
        let next = counters.durable_and_refused().0 + 1;
        Self {
            journal,
            books,
            waiting,
            next,
            group,
            syncing,
            busy: false,
            quiet: true,
            scratch,
            observer,
            counters,
        }
    }

    /// Records these before anything else.
    pub fn owing(mut self, facts: Vec<(Timestamp, Arc<Fact>)>) -> Self {
        facts.into_iter().for_each(|(at, fact)| self.wait(at, fact, Vec::new()));
        self
    }

    fn accept(
        &mut self,
        fact: Arc<Fact>,
        mut then: Vec<Delivery>,
        otherwise: &[Delivery],
        cx: &mut Context<JournalMsg>,
    ) {
        if let Some(reason) = self.books.read_only() {
            if !otherwise.is_empty() {
                self.counters.full.more();
                cx.send(&self.observer, Seen::Rejected { code: JOURNAL_FULL, reason });
                return otherwise.iter().for_each(Delivery::make);
            }
            if self.waiting.len() >= WAITING_MAX {
                return cx.give_up(format!("{WAITING_MAX} facts wait for room: {reason}"));
            }
        }
        if let Err(reason) = journal::check_size(&fact, &mut self.scratch) {
            tracing::error!(%reason, "a fact is too large to be recorded and was refused");
            self.counters.too_large.more();
            cx.send(&self.observer, Seen::Rejected { code: TOO_LARGE, reason });
            return otherwise.iter().for_each(Delivery::make);
        }
        if let Fact::Market(event) = fact.as_ref() {
            match self.books.change(|ledger| ledger.apply_record(RecordNumber(self.next), event)) {
                Ok(Applied::Known) => return self.repeat(event, then),
                Ok(Applied::New) => then.push(self.observer.sending(Seen::Recorded(Arc::new(event.clone())))),
                // An outlook that was overtaken by a contract; the next one is minutes away.
                Err(error @ LedgerError::StaleNeed { .. }) => {
                    tracing::debug!(%error, "need refused");
                    self.counters.stale.more();
                    return otherwise.iter().for_each(Delivery::make);
                }
                Err(error) => {
                    tracing::error!(%error, "a fact cannot follow what is recorded and was refused");
                    self.counters.refused.more();
                    return otherwise.iter().for_each(Delivery::make);
                }
            }
        }
        if planted(Defect::ActsBeforeSync) {
            then.drain(..).for_each(|delivery| delivery.make());
        }
        self.quiet = false;
        self.wait(cx.now(), fact, then);
    }

    fn wait(&mut self, now: Timestamp, fact: Arc<Fact>, then: Vec<Delivery>) {
        self.next += 1;
        self.count_waiting();
        self.waiting.push((now, fact, then));
    }

    /// Facts that were taken in and are not durable: all up to the next number but those that are.
    fn count_waiting(&self) {
        self.counters.waiting.set((self.next - 1).saturating_sub(self.counters.durable.get()));
    }

    /// A fact that is recorded already: what it causes may have been lost on the way and is made again, once
    /// everything that was taken in before is durable. Orders come again each minute: while there is no room, one that is
    /// durable is made at once, and one that is not goes out once, with its first record.
    fn repeat(&mut self, event: &MarketEvent, then: Vec<Delivery>) {
        if let MarketEvent::ActivationIssued { activation, .. } = event
            && self.books.read_only().is_some()
        {
            if !self.is_underway(&activation.id) {
                then.iter().for_each(Delivery::make);
            }
            return;
        }
        match self.waiting.last_mut() {
            Some((_, _, last)) => last.extend(then),
            None if self.busy => self.syncing.extend(then),
            None => then.iter().for_each(Delivery::make),
        }
    }

    /// Whether an order was taken in and is not durable.
    fn is_underway(&self, order: &ActivationId) -> bool {
        let written = self.group.iter().map(|(_, fact)| fact);
        let mut facts = written.chain(self.waiting.iter().map(|(_, fact, _)| fact));
        facts.any(|fact| {
            matches!(fact.as_ref(), Fact::Market(MarketEvent::ActivationIssued { activation, .. }) if activation.id == *order)
        })
    }

    fn commit(&mut self, cx: &mut Context<JournalMsg>) {
        if self.busy || self.waiting.is_empty() {
            return;
        }
        self.busy = true;
        let mut facts = Vec::with_capacity(self.waiting.len());
        for (written_at, fact, then) in self.waiting.drain(..) {
            facts.push((written_at, fact));
            self.syncing.extend(then);
        }
        self.group = Arc::new(facts);
        self.write(self.group.clone(), cx);
    }

    fn write(&self, group: Group, cx: &mut Context<JournalMsg>) {
        self.counters.underway.begin();
        let (journal, syncs) = (self.journal.clone(), self.counters.syncs.clone());
        let panicked = JournalMsg::Failed { reason: "writing panicked".into() };
        cx.at_disk(panicked, move || {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            let stopwatch = Stopwatch::start();
            let appended = journal.append(group.iter().map(|(at, fact)| (*at, fact.as_ref())));
            syncs.count(stopwatch.elapsed());
            match appended {
                Ok(number) => JournalMsg::Committed { number, snapshot: journal.snapshot_due() },
                Err(error @ JournalError::Full { .. }) => {
                    JournalMsg::NoRoom { group, reason: error.to_string() }
                }
                Err(error) => JournalMsg::Failed { reason: error.to_string() },
            }
        });
    }

    fn on_committed(&mut self, number: u64, cx: &mut Context<JournalMsg>) {
        self.counters.underway.end();
        (self.busy, self.group) = (false, Group::default());
        if self.books.read_only().is_some() {
            tracing::warn!("there is room on the disk again, recording goes on");
            self.books.set_recording(cx.now());
        }
        self.counters.durable.set(number);
        self.books.set_durable(number);
        self.count_waiting();
        for delivery in self.syncing.drain(..) {
            cx.make(delivery);
        }
        self.commit(cx);
    }

    /// The group stays underway, so that nothing overtakes it.
    fn on_no_room(&mut self, group: Group, reason: String, cx: &mut Context<JournalMsg>) {
        self.counters.underway.end();
        if self.books.read_only().is_none() {
            tracing::error!(%reason, "nothing can be recorded");
            cx.send(&self.observer, Seen::Rejected { code: JOURNAL_FULL, reason: reason.clone() });
            self.books.set_read_only(reason);
        }
        cx.wake_at(cx.now().plus(RETRY_PERIOD), JournalMsg::RetryDue(group));
    }
}

impl Stage for JournalStage {
    type Msg = JournalMsg;

    fn started(&mut self, cx: &mut Context<JournalMsg>) {
        cx.wake_each(BEAT_PERIOD, Duration::ZERO, JournalMsg::BeatDue);
        self.commit(cx);
    }

    fn handle(&mut self, msg: JournalMsg, cx: &mut Context<JournalMsg>) {
        match msg {
            JournalMsg::Append { fact, then, otherwise } => {
                self.accept(fact, then, &otherwise, cx);
                self.commit(cx);
            }
            JournalMsg::BeatDue => {
                cx.wake_each(BEAT_PERIOD, Duration::ZERO, JournalMsg::BeatDue);
                if std::mem::replace(&mut self.quiet, true) {
                    self.wait(cx.now(), Arc::new(Fact::Reached), Vec::new());
                    self.commit(cx);
                }
            }
            JournalMsg::Committed { number, snapshot } => {
                if let Some(snapshotter) = snapshot {
                    let panicked = JournalMsg::SnapshotEnded(Err("it panicked".into()));
                    let make = move || snapshotter.make().map_err(|error| error.to_string());
                    cx.at_disk(panicked, move || JournalMsg::SnapshotEnded(make()));
                }
                self.on_committed(number, cx);
            }
            JournalMsg::NoRoom { group, reason } => self.on_no_room(group, reason, cx),
            JournalMsg::RetryDue(group) => self.write(group, cx),
            JournalMsg::SnapshotEnded(Ok(number)) => {
                if number.is_some() {
                    self.counters.snapshots.more();
                }
                tracing::debug!(?number, "snapshot made");
            }
            JournalMsg::SnapshotEnded(Err(reason)) => {
                self.counters.snapshots_failed.more();
                tracing::warn!(%reason, "no snapshot; the next start takes longer");
            }
            // No restart can mend a failed sync: what is on the disk is not known any more. Stop and recover.
            JournalMsg::Failed { reason } => cx.give_up(format!("the journal cannot be written: {reason}")),
        }
    }
}
