//! How many messages wait in each mailbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of one mailbox. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Depth(Arc<AtomicU64>);

impl Depth {
    pub(super) fn put(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn taken(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many wait now.
    pub fn waiting(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
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
