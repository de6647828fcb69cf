//! Which lines of a file are there: a set of whole numbers as ranges. It is what makes a line count once, in whatever pieces, in
//! whatever order and however often it comes.

use serde::{Deserialize, Serialize};

/// Ranges kept of one file; more gaps than that are not filled.
const RANGES_MAX: usize = 1000;

/// Lines, counted from 1; ranges ascend and do not touch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineSet(Vec<(u64, u64)>);

impl LineSet {
    /// Whether a line is there.
    pub fn contains(&self, line: u64) -> bool {
        let after = self.0.partition_point(|&(first, _)| first <= line);
        after.checked_sub(1).and_then(|place| self.0.get(place)).is_some_and(|&(_, last)| line <= last)
    }

    /// Whether all lines from `first` to `last` are there.
    pub fn covers(&self, first: u64, last: u64) -> bool {
        let after = self.0.partition_point(|&(start, _)| start <= first);
        after.checked_sub(1).and_then(|place| self.0.get(place)).is_some_and(|&(_, end)| last <= end)
    }

    /// Adds the lines from `first` to `last`. Whether there was room; without, nothing is added.
    pub fn add(&mut self, first: u64, last: u64) -> bool {
        if first > last {
            return true;
        }
        let from = self.0.partition_point(|&(_, end)| end.saturating_add(1) < first);
        let until = self.0.partition_point(|&(start, _)| start <= last.saturating_add(1));
        if from == until && self.0.len() >= RANGES_MAX {
            return false;
        }
        let joined = self.0.get(from..until).unwrap_or_default();
        let low = joined.first().map_or(first, |&(start, _)| start.min(first));
        let high = joined.last().map_or(last, |&(_, end)| end.max(last));
        self.0.splice(from..until, [(low, high)]);
        true
    }

    /// Whether lines before `first` are missing.
    pub fn has_gap_before(&self, first: u64) -> bool {
        first > 1 && !self.covers(1, first - 1)
    }

    /// Lines that are there.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|&(first, last)| last - first + 1).sum()
    }

    /// Whether it is as a set of lines can be: read from a file, it may not.
    pub fn is_sound(&self) -> bool {
        self.0.iter().all(|&(first, last)| 1 <= first && first <= last)
            && self
                .0
                .windows(2)
                .all(|two| matches!(two, [(_, end), (start, _)] if end.saturating_add(1) < *start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_all_lines_that_were_added(pieces in prop::collection::vec((1_u64..60, 0_u64..12), 0..40)) {
            let (mut lines, mut oracle) = (LineSet::default(), BTreeSet::new());
            for (first, more) in pieces {
                prop_assert!(lines.add(first, first + more));
                oracle.extend(first..=first + more);
                prop_assert!(lines.is_sound());
                prop_assert_eq!(lines.count(), oracle.len() as u64);
                for line in 0..75 {
                    prop_assert_eq!(lines.contains(line), oracle.contains(&line));
                }
                let covered = (first..=first + more + 1).all(|line| oracle.contains(&line));
                prop_assert_eq!(lines.covers(first, first + more + 1), covered);
                prop_assert_eq!(lines.has_gap_before(first), !(1..first).all(|line| oracle.contains(&line)));
            }
        }
    }

    #[test]
    fn a_file_full_of_holes_is_refused_and_not_forgotten() {
        let mut lines = LineSet::default();
        (0..RANGES_MAX as u64).for_each(|n| assert!(lines.add(1 + 2 * n, 1 + 2 * n)));
        assert!(!lines.add(5_000_000, 5_000_001), "no room for one more");
        assert!(lines.add(2, 2) && lines.covers(1, 3), "a hole that closes makes room");
        assert!(lines.add(u64::MAX, u64::MAX) && lines.is_sound());
    }
}
