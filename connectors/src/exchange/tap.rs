//! Telemetry as it comes, for whoever keeps all of it: before any of it gives way to newer values.

use super::Receipt;
use grid::Measurement;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{self, error::TrySendError};

/// Values of one message.
#[derive(Debug)]
pub struct Tapped {
    /// As they were decoded.
    pub values: Vec<Measurement>,
    /// To be confirmed once they are kept, when their sender waits.
    pub receipt: Option<Receipt>,
}

/// The end that a connector writes to. Clones write to the same one.
#[derive(Debug, Clone)]
pub struct Tap {
    writer: mpsc::Sender<Tapped>,
    untaken: Untaken,
}

/// Values that a tap could not take, by why, as numbers that only grow. Clones are the same numbers; they may outlive the tap.
#[derive(Debug, Clone, Default)]
pub struct Untaken(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    full: AtomicU64,
    ended: AtomicU64,
    postponed: AtomicU64,
}

impl Untaken {
    /// Nobody waits for their acknowledgement, and the tap was full.
    pub fn full(&self) -> u64 {
        self.0.full.load(Ordering::Relaxed)
    }

    /// Nobody waits for their acknowledgement, and nobody keeps anything any more.
    pub fn ended(&self) -> u64 {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Nobody keeps anything any more, and their senders send them again.
    pub fn postponed(&self) -> u64 {
        self.0.postponed.load(Ordering::Relaxed)
    }
}

/// A tap that holds so many messages.
pub fn tap(messages: usize) -> (Tap, mpsc::Receiver<Tapped>) {
    let (writer, reader) = mpsc::channel(messages);
    (Tap { writer, untaken: Untaken::default() }, reader)
}

impl Tap {
    /// What it could not take so far, and will not.
    pub fn untaken(&self) -> Untaken {
        self.untaken.clone()
    }

    /// Passes values on. Waits for room when their sender waits; without, what finds no room is counted and not kept.
    pub(super) async fn pass(&self, values: &[Measurement], receipt: Option<Receipt>) {
        let tapped = Tapped { values: values.to_vec(), receipt };
        let counts = &self.untaken.0;
        let counter = if tapped.receipt.is_some() {
            let Err(refused) = self.writer.send(tapped).await else { return };
            // Nobody keeps anything now; that is not the message's fault.
            refused.0.receipt.iter().for_each(Receipt::not_now);
            &counts.postponed
        } else {
            match self.writer.try_send(tapped) {
                Ok(()) => return,
                Err(TrySendError::Full(_)) => &counts.full,
                Err(TrySendError::Closed(_)) => &counts.ended,
            }
        };
        counter.fetch_add(values.len() as u64, Ordering::Relaxed);
    }
}
