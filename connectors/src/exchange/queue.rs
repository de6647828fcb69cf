//! The queue behind an inbox: one order of arrival, three ways to stay bounded.
//!
//! Every operation costs O(log n); nothing here waits.

use super::{Arrival, LinkState, Receipt};
use crate::house::Message;
use grid::{DeviceId, Measurement, PointId};
use market::DeviceReport;
use std::collections::{BTreeMap, BTreeSet};

/// How much may wait in an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Measurements. When more points than this are waiting, even the newest value of the longest waiting one gives way.
    pub measurements: usize,
    /// Devices with a waiting report; likewise.
    pub reports: usize,
    /// Activations, statuses and slot energies; beyond this the connector waits.
    pub kept: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { measurements: 65_536, reports: 16_384, kept: 16_384 }
    }
}

/// Why an entry gave way to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GaveWay {
    /// A newer one of the same point or device waits.
    Overtaken,
    /// It was the newest: too many points or devices wait.
    NoRoom,
}

#[derive(Debug)]
pub(super) enum Entry {
    Measurement(Measurement),
    SlotEnergy(Measurement, Option<Receipt>),
    Report(DeviceReport),
    Kept(Message, Option<Receipt>),
    Link(LinkState),
}

impl Entry {
    /// Nobody reads any more: whoever waits for this sends it again.
    pub(super) fn not_now(&self) {
        if let Entry::SlotEnergy(_, Some(receipt)) | Entry::Kept(_, Some(receipt)) = self {
            receipt.not_now();
        }
    }
}

/// The place in the queue of the latest entry of each key.
#[derive(Debug)]
struct Latest<K> {
    places: BTreeMap<K, u64>,
    keys: BTreeMap<u64, K>,
}

impl<K> Default for Latest<K> {
    fn default() -> Self {
        Self { places: BTreeMap::new(), keys: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Latest<K> {
    fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the place it had before.
    fn insert(&mut self, key: K, place: u64) -> Option<u64> {
        let older = self.places.insert(key, place);
        if let Some(older) = older {
            self.keys.remove(&older);
        }
        self.keys.insert(place, key);
        older
    }

    fn remove(&mut self, key: K) {
        if let Some(place) = self.places.remove(&key) {
            self.keys.remove(&place);
        }
    }

    /// Removes the key that waited longest and returns its place.
    fn remove_first(&mut self) -> Option<u64> {
        let (place, key) = self.keys.pop_first()?;
        self.places.remove(&key);
        Some(place)
    }
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: Limits,
    next: u64,
    /// By order of arrival.
    entries: BTreeMap<u64, Entry>,
    /// The latest waiting value of each point.
    newest: Latest<PointId>,
    /// Waiting values for which a later one of the same point waits too.
    superseded: BTreeSet<u64>,
    reports: Latest<DeviceId>,
    link: Option<u64>,
    kept: usize,
    pub(super) writer_gone: bool,
    pub(super) reader_gone: bool,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Self {
        let limits = Limits {
            measurements: limits.measurements.max(1),
            reports: limits.reports.max(1),
            kept: limits.kept.max(1),
        };
        Self {
            limits,
            next: 0,
            entries: BTreeMap::new(),
            newest: Latest::default(),
            superseded: BTreeSet::new(),
            reports: Latest::default(),
            link: None,
            kept: 0,
            writer_gone: false,
            reader_gone: false,
        }
    }

    pub(super) fn has_room_to_keep(&self) -> bool {
        self.kept < self.limits.kept
    }

    /// Appends an entry; says when another gave way to it, and why.
    pub(super) fn put(&mut self, entry: Entry) -> Option<GaveWay> {
        let place = self.next;
        self.next += 1;
        let skipped = match &entry {
            Entry::Measurement(value) => self.make_room_for(value.point, place),
            Entry::Report(report) => self.replace_report(report.device, place),
            Entry::SlotEnergy(..) | Entry::Kept(..) => {
                self.kept += 1;
                None
            }
            Entry::Link(_) => {
                if let Some(older) = self.link.replace(place) {
                    self.entries.remove(&older);
                }
                None
            }
        };
        self.entries.insert(place, entry);
        skipped
    }

    fn make_room_for(&mut self, point: PointId, place: u64) -> Option<GaveWay> {
        let older = self.newest.insert(point, place);
        // Every waiting value is either its point's newest or superseded, so these two sizes count them all.
        let waiting = self.newest.len() - usize::from(older.is_none()) + self.superseded.len();
        if let Some(older) = older {
            self.superseded.insert(older);
        }
        if waiting < self.limits.measurements {
            return None;
        }
        if let Some(gives_way) = self.superseded.pop_first() {
            self.entries.remove(&gives_way);
            return Some(GaveWay::Overtaken);
        }
        // More points than room: the value that waited longest goes.
        if let Some(longest) = self.newest.remove_first() {
            self.entries.remove(&longest);
        }
        Some(GaveWay::NoRoom)
    }

    fn replace_report(&mut self, device: DeviceId, place: u64) -> Option<GaveWay> {
        if let Some(older) = self.reports.insert(device, place) {
            self.entries.remove(&older);
            return Some(GaveWay::Overtaken);
        }
        if self.reports.len() <= self.limits.reports {
            return None;
        }
        if let Some(longest) = self.reports.remove_first() {
            self.entries.remove(&longest);
        }
        Some(GaveWay::NoRoom)
    }

    /// The reader has gone: what waits is for another time.
    pub(super) fn abandon(&mut self) {
        self.reader_gone = true;
        std::mem::take(&mut self.entries).values().for_each(Entry::not_now);
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes the first entries, at most `count`; neighbouring measurements become one message.
    pub(super) fn take(&mut self, count: usize) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for _ in 0..count {
            let Some((place, entry)) = self.entries.pop_first() else { break };
            match entry {
                Entry::Measurement(value) => {
                    if !self.superseded.remove(&place) {
                        self.newest.remove(value.point);
                    }
                    append(&mut arrivals, value);
                }
                Entry::SlotEnergy(value, receipt) => {
                    self.kept -= 1;
                    match receipt {
                        None => append(&mut arrivals, value),
                        Some(receipt) => {
                            arrivals.push(Arrival::Owing(Message::Telemetry(vec![value]), receipt));
                        }
                    }
                }
                Entry::Report(report) => {
                    self.reports.remove(report.device);
                    arrivals.push(Arrival::Message(Message::Device(report)));
                }
                Entry::Kept(message, receipt) => {
                    self.kept -= 1;
                    arrivals.push(match receipt {
                        None => Arrival::Message(message),
                        Some(receipt) => Arrival::Owing(message, receipt),
                    });
                }
                Entry::Link(state) => {
                    self.link = None;
                    arrivals.push(Arrival::Link(state));
                }
            }
        }
        arrivals
    }
}

fn append(arrivals: &mut Vec<Arrival>, value: Measurement) {
    match arrivals.last_mut() {
        Some(Arrival::Message(Message::Telemetry(values))) => values.push(value),
        _ => arrivals.push(Arrival::Message(Message::Telemetry(vec![value]))),
    }
}
