//! How many messages wait in each mailbox, and since when a stage works on one.

use super::clock::Stopwatch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Something that should not take long, and since when it is under way. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Underway(Arc<Mutex<Option<Stopwatch>>>);

impl Underway {
    /// It begins now.
    pub fn begin(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Stopwatch::start());
    }

    /// It has ended.
    pub fn end(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it takes already; nothing while nothing is under way.
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }
}

/// Of one mailbox. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Depth {
    waiting: Arc<AtomicU64>,
    /// The handling of a message.
    pub(super) handling: Underway,
}

impl Depth {
    pub(super) fn put(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many wait now.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// Of the stages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OfKind {
    /// Stages of this kind.
    pub stages: u64,
    /// Messages that wait in their mailboxes together.
    pub waiting: u64,
    /// In the fullest one.
    pub fullest: u64,
}

/// Of all stages of a system. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Depths(Arc<Mutex<BTreeMap<String, Vec<Depth>>>>);

impl Depths {
    /// Adds a stage. Its kind is the first word of its name.
    pub(super) fn add(&self, name: &str, depth: Depth) {
        let kind = name.split(' ').next().unwrap_or(name).to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().push(depth);
    }

    /// The stage that has handled one message for longest, and for how long.
    pub fn slowest(&self) -> Option<(String, Duration)> {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let handling = depths.iter().flat_map(|(kind, depths)| {
            depths.iter().filter_map(move |depth| Some((kind, depth.handling.elapsed()?)))
        });
        handling.max_by_key(|(_, elapsed)| *elapsed).map(|(kind, elapsed)| (kind.clone(), elapsed))
    }

    /// What waits, by kind of stage.
    pub fn by_kind(&self) -> BTreeMap<String, OfKind> {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |depths: &Vec<Depth>| {
            depths.iter().map(Depth::waiting).fold(OfKind::default(), |sum, waiting| OfKind {
                stages: sum.stages + 1,
                waiting: sum.waiting + waiting,
                fullest: sum.fullest.max(waiting),
            })
        };
        depths.iter().map(|(kind, depths)| (kind.clone(), of_kind(depths))).collect()
    }
}
