//! A few numbers with how often each occurs; the smallest and the largest are at hand.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default)]
pub(super) struct Multiset(BTreeMap<i64, u32>);

impl Multiset {
    pub(super) fn insert(&mut self, value: i64) {
        *self.0.entry(value).or_default() += 1;
    }

    /// Takes one occurrence out.
    pub(super) fn remove(&mut self, value: i64) {
        if let Some(count) = self.0.get_mut(&value) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&value);
            }
        }
    }

    pub(super) fn min(&self) -> Option<i64> {
        self.0.first_key_value().map(|(&value, _)| value)
    }

    pub(super) fn max(&self) -> Option<i64> {
        self.0.last_key_value().map(|(&value, _)| value)
    }
}
