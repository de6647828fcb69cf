//! What went from the history because it was kept long enough: counted, logged, and told to whoever writes it down.

use crate::figures::Count;
use history::{Kind, Removed};
use std::fmt;
use std::sync::{Arc, OnceLock};

type Listener = Box<dyn Fn(&Removed) + Send + Sync>;

/// Removals since the process began. Clones are the same.
#[derive(Clone, Default)]
pub struct Removals {
    values: [Count; Kind::ALL.len()],
    /// Times that something could not be removed; each is tried again.
    pub failed: Count,
    listener: Arc<OnceLock<Listener>>,
}

impl fmt::Debug for Removals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Removals").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Removals {
    /// From here on `listener` is told of each file that went, after it went; it may wait for a disk. The first one stays.
    pub fn tell(&self, listener: impl Fn(&Removed) + Send + Sync + 'static) {
        let _ = self.listener.set(Box::new(listener));
    }

    /// Values that went, by kind.
    pub fn values(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(&self.values).map(|(kind, count)| (kind, count.get()))
    }

    pub(super) fn note(&self, removed: &Removed) {
        let Removed { file, kind, values, instants: (first, last) } = removed;
        tracing::info!(file, kind = kind.word(), values, %first, %last, "kept long enough and removed");
        self.values[*kind as usize].add(*values);
        self.listener.get().into_iter().for_each(|listener| listener(removed));
    }
}
