//! The bounded hand-over from a connector to the system.
//!
//! A connector writes through an [`InboxWriter`], the system reads batches from the [`Inbox`]. What the system
//! does not fetch in time is treated by what it is worth:
//!
//! * telemetry: when the queue is full, older values give way, so that the newest value of each point stays;
//! * device reports: only the newest per device waits;
//! * activations, statuses and metered slot energies: never dropped, the connector waits for room;
//! * the state of the link: only the latest waits.
//!
//! A connector that can make its sender wait hands a message over with the right to acknowledge it
//! ([`InboxWriter::deliver_owing`]). What matters to orders and money (statuses, slot energies) then arrives as
//! [`Arrival::Owing`], and is acknowledged when the system confirms the [`Receipt`]; everything else is acknowledged
//! when it is in the queue.
//!
//! Whatever gives way is counted as `skipped` with its reason, reports apart from values. *Newest* means latest to arrive.
//!
//! Where a history is kept, a [`Tap`] takes all telemetry before any of it gives way ([`Inbox::tap_into`]); then telemetry, too,
//! is acknowledged only when it is kept. What the tap could not take is counted, too ([`Untaken`]). Until the reader has begun, with a
//! tap or by reading, telemetry waits: nobody could say whether it has to be kept.

mod counters;
mod queue;
mod receipt;
mod reject_log;
mod tap;

pub use counters::{CounterSnapshot, Counters, Skips};
pub use queue::Limits;
pub use receipt::{Receipt, RefusalNote};
pub use tap::{Tap, Tapped, Untaken, tap};

use crate::house::{self, Message, Points, Rejected};
use grid::{Measurement, Quantity, Timestamp};
use queue::{Entry, Queue};
use reject_log::RejectLog;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use thiserror::Error;
use tokio::sync::{Notify, oneshot};

/// Most queue entries handed over in one batch.
pub const BATCH_ENTRIES_MAX: usize = 1000;

/// Whether a connector can talk to the other side at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Connected and subscribed.
    Up,
    /// Not connected; the connector keeps trying.
    Down {
        /// What happened, in words.
        reason: String,
    },
}

/// One thing the system is told, in order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// A message; neighbouring telemetry is joined.
    Message(Message),
    /// A message whose sender waits for the receipt: a status, or one slot energy.
    Owing(Message, Receipt),
    /// The link went up or down.
    Link(LinkState),
}

/// The reading end has been dropped; nobody is interested any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the inbox is closed")]
pub struct Closed;

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something arrived, or the writer has gone. One reader waits on it.
    arrived: Notify,
    /// There is room again, or the reader has gone. One writer waits on it.
    room: Notify,
    counters: Arc<Counters>,
    /// Who keeps all telemetry.
    tap: OnceLock<Tap>,
    /// Whether the reader has begun; from then on `tap` stays as it is.
    begun: AtomicBool,
}

impl Shared {
    /// A panic between lock and unlock cannot leave half an entry behind, so a poisoned lock is taken over.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        if !self.begun.swap(true, Ordering::AcqRel) {
            self.room.notify_one();
        }
    }

    /// Waits until the reader has begun, or has gone.
    async fn until_begun(&self) {
        while !self.begun.load(Ordering::Acquire) && !self.queue().reader_gone {
            self.room.notified().await;
        }
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
}

/// The writing end; a connector owns the only one.
#[derive(Debug)]
pub struct InboxWriter {
    shared: Arc<Shared>,
    log: RejectLog,
}

/// Makes both ends of an empty inbox.
pub fn inbox(limits: Limits, counters: Arc<Counters>) -> (InboxWriter, Inbox) {
    let queue = Mutex::new(Queue::new(limits));
    let shared = Arc::new(Shared {
        queue,
        arrived: Notify::new(),
        room: Notify::new(),
        counters,
        tap: OnceLock::new(),
        begun: AtomicBool::new(false),
    });
    (InboxWriter { shared: shared.clone(), log: RejectLog::default() }, Inbox { shared })
}

impl Inbox {
    /// All telemetry goes into a tap as well. It is for whoever has not begun to read; the first one stays.
    pub fn tap_into(&self, tap: Tap) {
        if !self.shared.begun.load(Ordering::Acquire) {
            let _ = self.shared.tap.set(tap);
        }
        self.shared.begin();
    }

    /// Waits for something to arrive and returns all that waits, at most [`BATCH_ENTRIES_MAX`] entries.
    /// `None` when the connector has ended and everything was fetched. Cancelling loses nothing.
    pub async fn recv_batch(&mut self) -> Option<Vec<Arrival>> {
        self.shared.begin();
        loop {
            {
                let mut queue = self.shared.queue();
                let batch = queue.take(BATCH_ENTRIES_MAX);
                if !batch.is_empty() {
                    self.shared.room.notify_one();
                    return Some(batch);
                }
                if queue.writer_gone {
                    return None;
                }
            }
            self.shared.arrived.notified().await;
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.queue().abandon();
        self.shared.room.notify_one();
    }
}

impl InboxWriter {
    /// Decodes one publication and passes it on; what is refused is counted and logged (at most once a
    /// second). Waits for room when the message must not be dropped.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn deliver(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_at: Timestamp,
    ) -> Result<(), Closed> {
        self.shared.counters.add_received();
        match house::decode(topic, payload, received_at) {
            Ok(message) => self.send(message).await,
            Err(rejected) => {
                self.refuse(&rejected);
                Ok(())
            }
        }
    }

    /// Like [`deliver`](Self::deliver) for a sender that waits: `done` hears `true` when the message may be
    /// acknowledged, `false` when it failed, and nothing when it cannot be taken now. What is refused may be acknowledged:
    /// sending it again would not make it better.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn deliver_owing(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_at: Timestamp,
        done: oneshot::Sender<bool>,
    ) -> Result<(), Closed> {
        self.deliver_granted(topic, payload, received_at, &Points::all(), done).await
    }

    /// Like [`deliver_owing`](Self::deliver_owing) for a sender that may speak of some points only; telemetry of others is
    /// refused.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn deliver_granted(
        &mut self,
        topic: &str,
        payload: &[u8],
        received_at: Timestamp,
        points: &Points,
        done: oneshot::Sender<bool>,
    ) -> Result<(), Closed> {
        self.shared.counters.add_received();
        let decoded = house::decode(topic, payload, received_at).and_then(|message| {
            let granted = points.check(&message);
            granted.map(|()| message).map_err(|(code, reason)| Rejected::new(topic, code, reason))
        });
        match decoded {
            Ok(message) => self.pass_owing(message, done).await,
            Err(rejected) => {
                self.refuse(&rejected);
                let _ = done.send(true);
                Ok(())
            }
        }
    }

    /// The same for a message that is decoded.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn pass_owing(&mut self, message: Message, done: oneshot::Sender<bool>) -> Result<(), Closed> {
        self.pass_noting(message, done, RefusalNote::default()).await
    }

    /// The same for a sender that wants to know why a message was acknowledged although it changed nothing.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn pass_noting(
        &mut self,
        message: Message,
        done: oneshot::Sender<bool>,
        note: RefusalNote,
    ) -> Result<(), Closed> {
        let parts = match &message {
            Message::Telemetry(values) => {
                self.shared.until_begun().await;
                let tapped = usize::from(self.shared.tap.get().is_some());
                values.iter().filter(|value| is_kept(value)).count() + tapped
            }
            Message::Status(_) | Message::Activation(_) => 1,
            Message::Device(_) => 0,
        };
        if parts == 0 {
            self.send(message).await?;
            let _ = done.send(true);
            return Ok(());
        }
        self.send_owing(message, receipt::receipts(parts, done, note)).await
    }

    /// Counts a message that was received, whatever becomes of it.
    pub(crate) fn note_received(&self) {
        self.shared.counters.add_received();
    }

    /// Makes the reader look at the counters although nothing has come for it.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub(crate) fn show_counters(&mut self) -> Result<(), Closed> {
        self.put(Entry::Link(LinkState::Up))
    }

    /// Counts and logs a refused message.
    pub fn refuse(&mut self, rejected: &Rejected) {
        self.shared.counters.add_rejected(rejected.code);
        self.log.note(rejected);
    }

    /// Passes on a decoded message.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        self.send_owing(message, Vec::new()).await
    }

    /// Passes on a message with one receipt for each part that is kept, or none. Where there is a tap, the last one is its.
    async fn send_owing(&mut self, message: Message, mut receipts: Vec<Receipt>) -> Result<(), Closed> {
        if matches!(message, Message::Telemetry(_)) {
            self.shared.until_begun().await;
        }
        if let (Message::Telemetry(values), Some(tap)) = (&message, self.shared.tap.get()) {
            tap.pass(values, receipts.pop()).await;
        }
        let mut receipts = receipts.into_iter();
        match message {
            Message::Telemetry(values) => {
                self.shared.counters.add_measurements(values.len());
                for value in values {
                    if is_kept(&value) {
                        self.keep(Entry::SlotEnergy(value, receipts.next())).await?;
                    } else {
                        self.put(Entry::Measurement(value))?;
                    }
                }
                Ok(())
            }
            Message::Device(report) => self.put(Entry::Report(report)),
            kept @ (Message::Status(_) | Message::Activation(_)) => {
                self.keep(Entry::Kept(kept, receipts.next())).await
            }
        }
    }

    /// Tells that the link went up or down.
    ///
    /// # Errors
    /// [`Closed`] when nobody reads any more.
    pub fn link(&mut self, state: LinkState) -> Result<(), Closed> {
        if state == LinkState::Up {
            self.shared.counters.add_connected();
        }
        self.put(Entry::Link(state))
    }

    /// Whether everything was fetched.
    pub fn is_empty(&self) -> bool {
        self.shared.queue().is_empty()
    }

    /// Whether the reading end has been dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.queue().reader_gone
    }

    /// Returns when the reading end has been dropped.
    pub async fn closed(&self) {
        while !self.shared.queue().reader_gone {
            self.shared.room.notified().await;
        }
    }

    fn put(&mut self, entry: Entry) -> Result<(), Closed> {
        let mut queue = self.shared.queue();
        if queue.reader_gone {
            entry.not_now();
            return Err(Closed);
        }
        // Nothing but a report gives way to a report.
        let is_report = matches!(entry, Entry::Report(_));
        let gave_way = queue.put(entry);
        drop(queue);
        match gave_way {
            Some(way) if is_report => self.shared.counters.add_skipped_report(way),
            Some(way) => self.shared.counters.add_skipped(way),
            None => {}
        }
        self.shared.arrived.notify_one();
        Ok(())
    }

    async fn keep(&mut self, entry: Entry) -> Result<(), Closed> {
        let mut waited = false;
        loop {
            {
                let queue = self.shared.queue();
                if queue.reader_gone {
                    entry.not_now();
                    return Err(Closed);
                }
                if queue.has_room_to_keep() {
                    break;
                }
            }
            if !std::mem::replace(&mut waited, true) {
                self.shared.counters.add_waited();
            }
            self.shared.room.notified().await;
        }
        self.put(entry)
    }
}

impl Drop for InboxWriter {
    fn drop(&mut self) {
        self.shared.queue().writer_gone = true;
        self.shared.arrived.notify_one();
    }
}

/// Slot energies decide about money and never give way.
fn is_kept(value: &Measurement) -> bool {
    value.point.quantity == Quantity::SlotEnergy
}

#[cfg(test)]
mod tests;
