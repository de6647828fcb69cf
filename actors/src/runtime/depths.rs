//! The stages as their supervisor sees them: how many messages wait in each mailbox, since when a stage works on one, how often it
//! was made anew.

use super::clock::Stopwatch;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// A stage as its supervisor sees it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Depth(Arc<OfStage>);

#[derive(Debug)]
struct OfStage {
    name: String,
    restarts_max: usize,
    waiting: AtomicU64,
    most: AtomicU64,
    restarts: AtomicU64,
    held_up: AtomicBool,
    handling: Underway,
}

/// What a supervisor says of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageSeen {
    /// Its name; the first word is its kind.
    pub name: String,
    /// Restarts that it may have within ten seconds; with none its first panic ends the system.
    pub restarts_max: usize,
    /// Restarts so far.
    pub restarts: u64,
    /// Whether it waits until it may start anew.
    pub held_up: bool,
    /// Messages in its mailbox.
    pub waiting: u64,
    /// How long it works on the present message, s; nothing while it works on none.
    pub handling_s: Option<f64>,
}

impl Depth {
    pub(super) fn new(name: &str, restarts_max: usize) -> Self {
        let (waiting, most, restarts, held_up, handling) = Default::default();
        let name = name.to_owned();
        Self(Arc::new(OfStage { name, restarts_max, waiting, most, restarts, held_up, handling }))
    }

    pub(super) fn put(&self) {
        let waiting = self.0.waiting.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.most.fetch_max(waiting, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// It is made anew.
    pub(super) fn restarted(&self) {
        self.0.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was made anew.
    pub(super) fn restarts(&self) -> u64 {
        self.0.restarts.load(Ordering::Relaxed)
    }

    /// Whether it waits until it may be.
    pub(super) fn hold_up(&self, held_up: bool) {
        self.0.held_up.store(held_up, Ordering::Relaxed);
    }

    /// The handling of a message.
    pub(super) fn handling(&self) -> &Underway {
        &self.0.handling
    }

    /// How many wait now.
    pub fn waiting(&self) -> u64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    fn seen(&self) -> StageSeen {
        StageSeen {
            name: self.0.name.clone(),
            restarts_max: self.0.restarts_max,
            restarts: self.0.restarts.load(Ordering::Relaxed),
            held_up: self.0.held_up.load(Ordering::Relaxed),
            waiting: self.waiting(),
            handling_s: self.0.handling.elapsed().map(|elapsed| elapsed.as_secs_f64()),
        }
    }

    /// What has most to tell comes first: who waits, who was made anew, who has much to do.
    fn rank(&self) -> impl Ord {
        let restarts = self.0.restarts.load(Ordering::Relaxed);
        std::cmp::Reverse((self.0.held_up.load(Ordering::Relaxed), restarts, self.waiting()))
    }
}

/// Of the stages of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct OfKind {
    /// Stages of this kind.
    pub stages: u64,
    /// Messages that wait in their mailboxes together.
    pub waiting: u64,
    /// In the fullest one.
    pub fullest: u64,
    /// Their restarts so far.
    pub restarts: u64,
}

/// Of all stages of a system. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Depths(Arc<Mutex<BTreeMap<String, Vec<Depth>>>>);

impl Depths {
    /// Adds a stage. Its kind is the first word of its name.
    pub(super) fn add(&self, depth: Depth) {
        let kind = depth.0.name.split(' ').next().unwrap_or_default().to_owned();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default().push(depth);
    }

    /// So many stages at most, of one kind or of all, those that have most to tell first; and how many there are.
    pub fn stages(&self, kind: Option<&str>, most: usize) -> (Vec<StageSeen>, usize) {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = depths.iter().filter(|(known, _)| kind.is_none_or(|kind| *known == kind));
        let mut ranked: Vec<_> =
            of_kind.flat_map(|(_, depths)| depths).map(|depth| (depth.rank(), depth)).collect();
        ranked.sort_by(|(one, _), (other, _)| one.cmp(other));
        (ranked.iter().take(most).map(|(_, depth)| depth.seen()).collect(), ranked.len())
    }

    /// The stage that has handled one message for longest, and for how long.
    pub fn slowest(&self) -> Option<(String, Duration)> {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let handling = depths.iter().flat_map(|(kind, depths)| {
            depths.iter().filter_map(move |depth| Some((kind, depth.handling().elapsed()?)))
        });
        handling.max_by_key(|(_, elapsed)| *elapsed).map(|(kind, elapsed)| (kind.clone(), elapsed))
    }

    /// How many messages have ever waited in one mailbox, by kind of stage.
    pub fn most_by_kind(&self) -> BTreeMap<String, u64> {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let most = |depths: &Vec<Depth>| {
            let each = depths.iter().map(|depth| depth.0.most.load(Ordering::Relaxed));
            each.max().unwrap_or_default()
        };
        depths.iter().map(|(kind, depths)| (kind.clone(), most(depths))).collect()
    }

    /// What waits, by kind of stage.
    pub fn by_kind(&self) -> BTreeMap<String, OfKind> {
        let depths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_kind = |depths: &Vec<Depth>| {
            depths.iter().fold(OfKind::default(), |sum, depth| OfKind {
                stages: sum.stages + 1,
                waiting: sum.waiting + depth.waiting(),
                fullest: sum.fullest.max(depth.waiting()),
                restarts: sum.restarts + depth.0.restarts.load(Ordering::Relaxed),
            })
        };
        depths.iter().map(|(kind, depths)| (kind.clone(), of_kind(depths))).collect()
    }
}
