//! What a connector did, as numbers that only grow.

use super::queue::GaveWay;
use crate::house::RejectCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one link; shared, read with [`Counters::snapshot`].
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    measurements: AtomicU64,
    rejected: [AtomicU64; RejectCode::ALL.len()],
    skipped: SkipCounts,
    skipped_reports: SkipCounts,
    waited: AtomicU64,
    sent: AtomicU64,
    connected: AtomicU64,
}

#[derive(Debug, Default)]
struct SkipCounts {
    overtaken: AtomicU64,
    no_room: AtomicU64,
}

/// What gave way before the system fetched it, by why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Skips {
    /// Something newer of the same point or device waited, too.
    pub overtaken: u64,
    /// The newest of its point or device: more of them waited than there is room for.
    pub no_room: u64,
}

/// [`Counters`] at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct CounterSnapshot {
    /// Messages received, refused ones included.
    pub received: u64,
    /// Measurements in accepted messages.
    pub measurements: u64,
    /// Messages refused (received or to be sent), by code; codes never met are left out.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Measurements that gave way to others before the system fetched them.
    pub skipped: Skips,
    /// Device reports that did.
    pub skipped_reports: Skips,
    /// How often the connector had to wait for the system before it could pass on what must not be dropped.
    pub waited: u64,
    /// Messages handed to the other side (over MQTT: acknowledged by the broker).
    pub sent: u64,
    /// How often the link came up.
    pub connected: u64,
}

impl CounterSnapshot {
    /// Messages refused for any reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }
}

impl Counters {
    /// The numbers now. They are read one after the other, so they may differ by messages in between.
    pub fn snapshot(&self) -> CounterSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let skips = |counts: &SkipCounts| Skips {
            overtaken: read(&counts.overtaken),
            no_room: read(&counts.no_room),
        };
        let rejected = RejectCode::ALL.iter().zip(&self.rejected);
        CounterSnapshot {
            received: read(&self.received),
            measurements: read(&self.measurements),
            rejected: rejected
                .map(|(code, count)| (code.as_str(), read(count)))
                .filter(|&(_, count)| count > 0)
                .collect(),
            skipped: skips(&self.skipped),
            skipped_reports: skips(&self.skipped_reports),
            waited: read(&self.waited),
            sent: read(&self.sent),
            connected: read(&self.connected),
        }
    }

    pub(crate) fn add_received(&self) {
        add(&self.received, 1);
    }

    pub(crate) fn add_measurements(&self, count: usize) {
        add(&self.measurements, count as u64);
    }

    pub(crate) fn add_rejected(&self, code: RejectCode) {
        add(&self.rejected[code as usize], 1);
    }

    pub(crate) fn add_skipped(&self, way: GaveWay) {
        self.skipped.add(way, 1);
    }

    /// Measurements for which newer ones of their points waited before they came here.
    pub(crate) fn add_overtaken(&self, count: u64) {
        self.skipped.add(GaveWay::Overtaken, count);
    }

    pub(crate) fn add_skipped_report(&self, way: GaveWay) {
        self.skipped_reports.add(way, 1);
    }

    pub(crate) fn add_waited(&self) {
        add(&self.waited, 1);
    }

    pub(crate) fn add_sent(&self) {
        add(&self.sent, 1);
    }

    pub(crate) fn add_connected(&self) {
        add(&self.connected, 1);
    }
}

impl SkipCounts {
    fn add(&self, way: GaveWay, count: u64) {
        match way {
            GaveWay::Overtaken => add(&self.overtaken, count),
            GaveWay::NoRoom => add(&self.no_room, count),
        }
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
