//! A few numbers with how often each occurs; the smallest and the largest are at hand. Buckets keep them few.

/// Often the next number is the last one again, so that one is counted in place.
#[derive(Debug, Clone, Default)]
pub(super) struct Multiset {
    last: i64,
    /// How often `last` occurs beyond what `counts` has of it.
    more: u32,
    /// Ascending.
    counts: Vec<(i64, u32)>,
}

impl Multiset {
    #[inline]
    pub(super) fn insert(&mut self, value: i64) {
        if value != self.last {
            self.put_down();
            self.last = value;
        }
        self.more += 1;
    }

    /// Moves what is counted in place to the others.
    fn put_down(&mut self) {
        let (value, more) = (self.last, std::mem::take(&mut self.more));
        if more == 0 {
            return;
        }
        match self.counts.binary_search_by_key(&value, |&(known, _)| known) {
            Ok(at) => self.counts[at].1 += more,
            Err(at) => self.counts.insert(at, (value, more)),
        }
    }

    /// Takes one occurrence out.
    pub(super) fn remove(&mut self, value: i64) {
        if self.last == value && self.more > 0 {
            self.more -= 1;
            return;
        }
        if let Ok(at) = self.counts.binary_search_by_key(&value, |&(known, _)| known) {
            self.counts[at].1 -= 1;
            if self.counts[at].1 == 0 {
                self.counts.remove(at);
            }
        }
    }

    fn in_place(&self) -> Option<i64> {
        (self.more > 0).then_some(self.last)
    }

    pub(super) fn min(&self) -> Option<i64> {
        let first = self.counts.first().map(|&(value, _)| value);
        first.into_iter().chain(self.in_place()).min()
    }

    pub(super) fn max(&self) -> Option<i64> {
        self.counts.last().map(|&(value, _)| value).max(self.in_place())
    }
}
