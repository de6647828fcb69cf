//! Values that were not kept, each with its reason.

use connectors::exchange::Untaken;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why values were not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    DiskFull,
    DiskFailed,
    /// Too much waits to be sealed.
    Unsealed,
    EstimatesWait,
    DoubtsWait,
}

/// What those are called, in their order.
const WORDS: [&str; 5] = ["disk_full", "disk_failed", "unsealed", "estimates_waiting", "doubts_waiting"];

/// Values that were not kept, by why; numbers that only grow. Clones count together.
#[derive(Debug, Clone)]
pub struct Losses {
    counts: Arc<[AtomicU64; WORDS.len()]>,
    untaken: Untaken,
    /// Whether their senders send them again.
    come_again: bool,
}

impl Losses {
    /// Of those that do not come again; the tap knows what it had no room for.
    pub(super) fn lost(untaken: Untaken) -> Self {
        Self { counts: Arc::default(), untaken, come_again: false }
    }

    /// Of those that come again.
    pub(super) fn postponed(untaken: Untaken) -> Self {
        Self { counts: Arc::default(), untaken, come_again: true }
    }

    pub(super) fn add(&self, why: Why, values: u64) {
        self.counts[why as usize].fetch_add(values, Ordering::Relaxed);
    }

    /// So far, by reason. Reasons that cannot occur here are left out.
    pub fn by_reason(&self) -> Vec<(&'static str, u64)> {
        let count = |why: Why| (WORDS[why as usize], self.counts[why as usize].load(Ordering::Relaxed));
        let mut all = [Why::DiskFull, Why::DiskFailed, Why::Unsealed].map(count).to_vec();
        if self.come_again {
            all.push(("history_ended", self.untaken.postponed()));
        } else {
            all.extend([count(Why::EstimatesWait), count(Why::DoubtsWait)]);
            all.extend([("tap_full", self.untaken.full()), ("history_ended", self.untaken.ended())]);
        }
        all
    }

    /// For whatever reason.
    pub fn total(&self) -> u64 {
        self.by_reason().iter().map(|(_, count)| count).sum()
    }
}
