//! Everything that happens in a trial as one number, so that two runs can be compared to the byte.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// SipHash of what was noted, in order; the same in every process.
#[derive(Default)]
pub struct Trace(DefaultHasher);

impl Trace {
    /// Adds something.
    pub fn note(&mut self, what: impl Hash) {
        what.hash(&mut self.0);
    }

    /// What was noted so far.
    pub fn value(&self) -> u64 {
        self.0.finish()
    }
}
