//! The journal as a stage: group commit, then delivery.
//!
//! A stage that wants something to happen hands over the fact together with the deliveries that make it happen.
//! The fact is folded into the books (and refused if it cannot follow), written, synced, and only then are the
//! deliveries made, in order. While a sync runs, further facts gather and go out together with the next one.

use super::books::Books;
use super::file::Journal;
use super::record::Fact;
use crate::observer::Seen;
use crate::runtime::{Address, Context, Delivery, Stage};
use grid::Timestamp;
use market::{Applied, LedgerError, MarketEvent, RecordNumber};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a quiet journal notes that the system is alive.
const BEAT_PERIOD: Duration = Duration::from_secs(60);

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
    },
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
}

/// The stage that owns the journal.
#[derive(Debug)]
pub struct JournalStage {
    journal: Arc<Mutex<Journal>>,
    books: Books,
    waiting: Vec<(Timestamp, Arc<Fact>, Vec<Delivery>)>,
    /// Number of the next record.
    next: u64,
    syncing: Vec<Delivery>,
    busy: bool,
    quiet: bool,
    observer: Address<Seen>,
    counters: JournalCounters,
}

/// What the journal has done so far.
#[derive(Debug, Clone, Default)]
pub struct JournalCounters(Arc<Mutex<(u64, u64)>>);

impl JournalCounters {
    /// Starts from the records of earlier runs.
    pub fn starting_at(records: u64) -> Self {
        Self(Arc::new(Mutex::new((records, 0))))
    }

    /// Records durable so far (records of earlier runs included), and facts refused because they cannot follow.
    pub fn durable_and_refused(&self) -> (u64, u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut (u64, u64))) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
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
        let (waiting, syncing) = (Vec::new(), Vec::new());
        let next = counters.durable_and_refused().0 + 1;
        Self { journal, books, waiting, next, syncing, busy: false, quiet: true, observer, counters }
    }

    fn accept(&mut self, fact: Arc<Fact>, mut then: Vec<Delivery>, otherwise: &[Delivery], now: Timestamp) {
        if let Fact::Market(event) = fact.as_ref() {
            match self.books.change(|ledger| ledger.apply_record(RecordNumber(self.next), event)) {
                Ok(Applied::Known) => return self.repeat(then),
                Ok(Applied::New) => then.push(self.observer.sending(Seen::Recorded(Arc::new(event.clone())))),
                // An outlook that was overtaken by a contract; the next one is minutes away.
                Err(error @ LedgerError::StaleNeed { .. }) => {
                    tracing::debug!(%error, "need refused");
                    return otherwise.iter().for_each(Delivery::make);
                }
                Err(error) => {
                    tracing::error!(%error, "a fact cannot follow what is recorded and was refused");
                    self.counters.change(|(_, refused)| *refused += 1);
                    return otherwise.iter().for_each(Delivery::make);
                }
            }
        }
        self.quiet = false;
        self.wait(now, fact, then);
    }

    fn wait(&mut self, now: Timestamp, fact: Arc<Fact>, then: Vec<Delivery>) {
        self.next += 1;
        self.waiting.push((now, fact, then));
    }

    /// A fact that is recorded already: what it causes may have been lost on the way and is made again, once
    /// everything that was taken in before is durable.
    fn repeat(&mut self, then: Vec<Delivery>) {
        match self.waiting.last_mut() {
            Some((_, _, last)) => last.extend(then),
            None if self.busy => self.syncing.extend(then),
            None => then.iter().for_each(Delivery::make),
        }
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
        let journal = self.journal.clone();
        let panicked = JournalMsg::Failed { reason: "writing panicked".into() };
        cx.compute(panicked, move || {
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            match journal.append(facts.iter().map(|(at, fact)| (*at, fact.as_ref()))) {
                Ok(number) => JournalMsg::Committed { number },
                Err(error) => JournalMsg::Failed { reason: error.to_string() },
            }
        });
    }
}

impl Stage for JournalStage {
    type Msg = JournalMsg;

    fn started(&mut self, cx: &mut Context<JournalMsg>) {
        cx.wake_each(BEAT_PERIOD, Duration::ZERO, JournalMsg::BeatDue);
    }

    fn handle(&mut self, msg: JournalMsg, cx: &mut Context<JournalMsg>) {
        match msg {
            JournalMsg::Append { fact, then, otherwise } => {
                self.accept(fact, then, &otherwise, cx.now());
                self.commit(cx);
            }
            JournalMsg::BeatDue => {
                cx.wake_each(BEAT_PERIOD, Duration::ZERO, JournalMsg::BeatDue);
                if std::mem::replace(&mut self.quiet, true) {
                    self.wait(cx.now(), Arc::new(Fact::Reached), Vec::new());
                    self.commit(cx);
                }
            }
            JournalMsg::Committed { number } => {
                self.busy = false;
                self.counters.change(|(durable, _)| *durable = number);
                for delivery in self.syncing.drain(..) {
                    cx.make(delivery);
                }
                self.commit(cx);
            }
            // No restart can mend a failed sync: what is on the disk is not known any more. Stop and recover.
            JournalMsg::Failed { reason } => cx.give_up(format!("the journal cannot be written: {reason}")),
        }
    }
}
