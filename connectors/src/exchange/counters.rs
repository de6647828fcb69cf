//! What a connector did, as numbers that only grow.

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
    skipped: AtomicU64,
    skipped_reports: AtomicU64,
    unkept: AtomicU64,
    waited: AtomicU64,
    sent: AtomicU64,
    connected: AtomicU64,
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
    /// Measurements that gave way to newer ones before the system fetched them.
    pub skipped: u64,
    /// Device reports that did.
    pub skipped_reports: u64,
    /// Measurements that the history had no room for.
    pub unkept: u64,
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
        let rejected = RejectCode::ALL.iter().zip(&self.rejected);
        CounterSnapshot {
            received: read(&self.received),
            measurements: read(&self.measurements),
            rejected: rejected
                .map(|(code, count)| (code.as_str(), read(count)))
                .filter(|&(_, count)| count > 0)
                .collect(),
            skipped: read(&self.skipped),
            skipped_reports: read(&self.skipped_reports),
            unkept: read(&self.unkept),
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

    pub(crate) fn add_unkept(&self, count: usize) {
        add(&self.unkept, count as u64);
    }

    pub(crate) fn add_skipped(&self, count: u64) {
        add(&self.skipped, count);
    }

    pub(crate) fn add_skipped_reports(&self, count: u64) {
        add(&self.skipped_reports, count);
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

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
