//! What was found from histories is kept until a value arrives that would change it: most of a day's slots are believed the same
//! from one forecast to the next.

use super::{Belief, DAYS_USED, SLOTS_PER_DAY, SPREAD_SLOTS};
use grid::{Slot, side_by_side};
use std::collections::BTreeMap;
use std::ops::Range;

/// Found with everything that ever counts for its slot: good until a value changes.
const WHOLE: i64 = i64::MAX;
const NOTHING: i64 = i64::MIN;

#[derive(Debug, Clone, Copy)]
struct Kept {
    belief: Belief,
    /// The slot before which values were known, [`WHOLE`] or [`NOTHING`].
    before: i64,
}

impl Kept {
    const EMPTY: Self = Self { belief: Belief { mean_w: 0.0, variance: 0.0 }, before: NOTHING };
}

/// Works out what is not kept of a slot.
fn renew(row: &mut [Kept], slot: Slot, before: Slot, find: impl Fn(usize) -> (Belief, bool)) {
    // Whether yesterday's values around this time are all in the past.
    let over = before >= slot.plus(SPREAD_SLOTS + 1 - SLOTS_PER_DAY);
    for (point, kept) in row.iter_mut().enumerate() {
        if kept.before != before.0 && !(over && kept.before == WHOLE) {
            let (belief, of_its_time) = find(point);
            *kept = Kept { belief, before: if over && of_its_time { WHOLE } else { before.0 } };
        }
    }
}

/// Beliefs by slot and usage point.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptBeliefs {
    by_slot: BTreeMap<Slot, Vec<Kept>>,
}

impl KeptBeliefs {
    /// The beliefs of all usage points about a slot from what was known before `before`; `find` works out what is not kept and
    /// says whether the slot itself was known on any day.
    pub(super) fn get(
        &mut self,
        slot: Slot,
        before: Slot,
        points: usize,
        find: impl Fn(usize) -> (Belief, bool),
    ) -> Vec<Belief> {
        let row = self.by_slot.entry(slot).or_insert_with(|| vec![Kept::EMPTY; points]);
        renew(row, slot, before, find);
        row.iter().map(|kept| kept.belief).collect()
    }

    /// Works out what is not kept of slots that follow each other, on all processors.
    pub(super) fn renew(
        &mut self,
        slots: Range<Slot>,
        before: Slot,
        points: usize,
        find: impl Fn(Slot, usize) -> (Belief, bool) + Sync,
    ) {
        for slot in slots.start.0..slots.end.0 {
            self.by_slot.entry(Slot(slot)).or_insert_with(|| vec![Kept::EMPTY; points]);
        }
        let rows: Vec<(&Slot, &Vec<Kept>)> = self.by_slot.range(slots.clone()).collect();
        let renewed = side_by_side(&rows, |&(&slot, row)| {
            let mut row = row.clone();
            renew(&mut row, slot, before, |point| find(slot, point));
            row
        });
        for ((_, row), renewed) in self.by_slot.range_mut(slots).zip(renewed) {
            *row = renewed;
        }
    }

    /// The value of a usage point in a slot is another one, or gone.
    pub(super) fn changed(&mut self, point: usize, at: Slot) {
        for row in self.by_slot.values_mut() {
            // What rests on little may rest on any value.
            if let Some(kept) = row.get_mut(point).filter(|kept| kept.before != WHOLE) {
                kept.before = NOTHING;
            }
        }
        for day in 1..=DAYS_USED {
            let same = at.plus(SLOTS_PER_DAY * day);
            let near = same.plus(-SPREAD_SLOTS)..=same.plus(SPREAD_SLOTS);
            for (_, row) in self.by_slot.range_mut(near) {
                if let Some(kept) = row.get_mut(point) {
                    kept.before = NOTHING;
                }
            }
        }
    }

    /// How many are good until a value changes.
    #[cfg(test)]
    pub(super) fn whole(&self) -> usize {
        self.by_slot.values().flatten().filter(|kept| kept.before == WHOLE).count()
    }

    /// Forgets slots before `slot`.
    pub(super) fn forget_before(&mut self, slot: Slot) {
        self.by_slot = self.by_slot.split_off(&slot);
    }
}
