//! A few numbers with how often each occurs; the smallest and the largest are at hand. Buckets keep them few.

#[derive(Debug, Clone, Default)]
pub(super) struct Multiset(Vec<(i64, u32)>);

impl Multiset {
    pub(super) fn insert(&mut self, value: i64) {
        match self.0.binary_search_by_key(&value, |&(known, _)| known) {
            Ok(at) => self.0[at].1 += 1,
            Err(at) => self.0.insert(at, (value, 1)),
        }
    }

    /// Takes one occurrence out.
    pub(super) fn remove(&mut self, value: i64) {
        if let Ok(at) = self.0.binary_search_by_key(&value, |&(known, _)| known) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }

    pub(super) fn min(&self) -> Option<i64> {
        self.0.first().map(|&(value, _)| value)
    }

    pub(super) fn max(&self) -> Option<i64> {
        self.0.last().map(|&(value, _)| value)
    }
}
