//! Readings of a counter → counts of slots, exact whole numbers.
//!
//! ```text
//! slot          |        s        |       s+1       |
//! readings   .  .  .  .  .  .  .  .  .  .  .  .  .  .
//!               ^ opens           ^ closes s and opens s+1
//! ```
//!
//! The first reading at or after a slot's start opens it and closes the one before; each has to come within the tolerance, or
//! the counts on both sides of it belong to nobody knows which slot, and neither is told. Counts of whole slots add up to
//! the difference of the counter.

use grid::{Slot, Timestamp};
use std::time::Duration;

/// What was counted in a whole slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotCount {
    /// Which slot.
    pub slot: Slot,
    /// How much.
    pub count: u64,
}

/// A counter that starts anew at 2^`bits`.
#[derive(Debug, Clone)]
pub struct Counter {
    bits: u32,
    tolerance: Duration,
    last: Option<Reading>,
    /// Counted since the present slot began; `None` when its beginning was not seen.
    counted: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    count: u64,
    at: Timestamp,
}

impl Counter {
    /// A counter of which nothing was read. `tolerance` is how late the reading at a slot's boundary may be.
    pub fn new(bits: u32, tolerance: Duration) -> Self {
        Self { bits, tolerance, last: None, counted: None }
    }

    /// Takes a reading; what was counted in the slot that it closes, if all of that was seen. Readings come in order.
    ///
    /// A step of more than half the counter's range is no wrap-around: the counter was set or exchanged, and the slot is
    /// not told.
    pub fn read(&mut self, count: u64, at: Timestamp) -> Option<SlotCount> {
        let step = self.last.map(|last| self.step(last.count, count));
        let before = self.last.map_or(at, |last| last.at).slot();
        let is_first = self.last.is_none();
        self.last = Some(Reading { count, at });
        // Where nothing was counted before, or the counter was set, nothing is known of the slot so far.
        self.counted = match step {
            Some(Some(step)) => self.counted.and_then(|counted| counted.checked_add(step)),
            Some(None) | None => None,
        };
        let slot = at.slot();
        if slot == before && !is_first {
            return None;
        }
        let punctual = at.since(slot.start()) <= self.tolerance;
        let whole = self.counted.take().filter(|_| punctual && slot == before.plus(1));
        self.counted = punctual.then_some(0);
        whole.map(|count| SlotCount { slot: before, count })
    }

    /// How far the counter went on; `None` when it was set.
    fn step(&self, from: u64, to: u64) -> Option<u64> {
        let range = if self.bits >= 64 { u64::MAX } else { (1 << self.bits) - 1 };
        let step = to.wrapping_sub(from) & range;
        (step <= range / 2).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOLERANCE: Duration = Duration::from_secs(10);

    fn at(slot: i64, seconds: u64) -> Timestamp {
        Slot(1_965_170 + slot).start().plus(Duration::from_secs(seconds))
    }

    /// What comes of these readings: (slot, count).
    fn counts(bits: u32, readings: &[(i64, u64, u64)]) -> Vec<(i64, u64)> {
        let mut counter = Counter::new(bits, TOLERANCE);
        let told =
            readings.iter().filter_map(|&(slot, seconds, count)| counter.read(count, at(slot, seconds)));
        told.map(|told| (told.slot.0 - 1_965_170, told.count)).collect()
    }

    #[test]
    fn a_slot_is_the_difference_of_the_readings_at_its_ends() {
        let readings = [(0, 2, 100), (0, 450, 130), (0, 899, 150), (1, 1, 151), (2, 0, 151)];
        assert_eq!(counts(32, &readings), [(0, 51), (1, 0)]);
    }

    #[test]
    fn the_first_slot_is_told_only_when_it_was_seen_from_its_beginning() {
        assert_eq!(counts(32, &[(0, 11, 100), (1, 0, 120), (2, 0, 130)]), [(1, 10)]);
    }

    #[test]
    fn a_counter_that_starts_anew_goes_on() {
        assert_eq!(counts(16, &[(0, 0, 65_530), (0, 500, 5), (1, 0, 20)]), [(0, 26)]);
        assert_eq!(counts(64, &[(0, 0, u64::MAX - 1), (1, 0, 3)]), [(0, 5)]);
        assert_eq!(counts(32, &[(0, 0, (1 << 32) - 1), (1, 0, 0)]), [(0, 1)]);
    }

    #[test]
    fn a_counter_that_was_set_back_tells_nothing_of_that_slot() {
        assert_eq!(counts(32, &[(0, 0, 5_000), (0, 300, 0), (1, 0, 40), (2, 0, 90)]), [(1, 50)]);
    }

    #[test]
    fn a_late_reading_at_a_boundary_spoils_the_slots_on_both_sides() {
        let readings = [(0, 0, 0), (1, 11, 10), (2, 0, 20), (3, 0, 30)];
        assert_eq!(counts(32, &readings), [(2, 10)]);
    }

    #[test]
    fn a_gap_over_slots_is_told_by_nobody() {
        assert_eq!(counts(32, &[(0, 0, 0), (3, 0, 90), (4, 0, 120)]), [(3, 30)]);
    }

    proptest! {
        #[test]
        fn whole_slots_add_up_to_the_counter(start in any::<u64>(), steps in proptest::collection::vec(0..30_000_u64, 1..60), bits in prop_oneof![Just(16_u32), Just(32), Just(64)]) {
            // A reading every five minutes, three to a slot.
            let mask = if bits == 64 { u64::MAX } else { (1 << bits) - 1 };
            let mut counter = Counter::new(bits, TOLERANCE);
            let (mut count, mut told) = (start & mask, 0);
            counter.read(count, at(0, 0));
            for (number, step) in (1..).zip(&steps) {
                count = count.wrapping_add(*step) & mask;
                told += counter.read(count, at(0, number * 300)).map_or(0, |slot| slot.count);
            }
            let whole: u64 = steps[..steps.len() / 3 * 3].iter().sum();
            prop_assert_eq!(told, whole);
        }
    }
}
