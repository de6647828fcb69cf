//! A bundle: an aggregate while members come and go. All sums are integers, so taking a member out leaves exactly
//! what was there before it came.

use super::member::{Cell, CellStore, Kept, Row, safe_bounds};
use super::multiset::Multiset;
use super::tolerance::Group;
use crate::flex_offer::{ActivationCost, FlexOffer};

/// A hole in a bundle's lists of members.
pub(super) const HOLE: u32 = u32::MAX;

/// Sums over the members in one slot of the bundle, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlotSum {
    pub least: i64,
    pub most: i64,
    pub default: i64,
    /// How many members have a slice here.
    pub members: u32,
}

/// How far the members' safe bounds lie inside their bounds in one slot, summed, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlotCut {
    pub below: i64,
    pub above: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub number: u64,
    pub revision: u64,
    pub group_at: u32,
    pub group: Group,
    /// How roomy it is filed in its group; `None` when it is not open.
    pub open: Option<u32>,
    /// The members, with holes.
    rows: Vec<Row>,
    kept: Vec<Kept>,
    pub cells: CellStore,
    holes: Vec<u32>,
    pub count: usize,
    /// From the group's base on.
    pub sums: Vec<SlotSum>,
    /// Likewise, as far as bound members ever reached.
    cuts: Vec<SlotCut>,
    pub total: (i64, i64),
    /// Members with total bounds that exclude something.
    pub bound_members: usize,
    pub flexibilities: Multiset,
    pub flexibility_sum: i64,
    pub assignments: Multiset,
    pub decreases: Multiset,
    pub increases: Multiset,
    pub cost: ActivationCost,
    /// Sum of the members' energies, mWh.
    pub energy: i64,
}

impl Bundle {
    pub(super) fn new(number: u64, group_at: u32, group: Group) -> Self {
        Self {
            number,
            revision: 0,
            group_at,
            group,
            open: None,
            rows: Vec::new(),
            kept: Vec::new(),
            cells: CellStore::default(),
            holes: Vec::new(),
            count: 0,
            sums: Vec::new(),
            cuts: Vec::new(),
            total: (0, 0),
            bound_members: 0,
            flexibilities: Multiset::default(),
            flexibility_sum: 0,
            assignments: Multiset::default(),
            decreases: Multiset::default(),
            increases: Multiset::default(),
            cost: ActivationCost::default(),
            energy: 0,
        }
    }

    /// Adds a member; returns its place in the lists.
    pub(super) fn add(&mut self, place: u32, offer: &FlexOffer, total: (i64, i64), kept: Kept) -> u32 {
        let offset = usize::try_from(offer.start_after.0 - self.group.base.0).unwrap_or_default();
        let run = self.cells.put(offer);
        let end = offset + run.len();
        if self.sums.len() < end {
            self.sums.resize(end, SlotSum::default());
        }
        let cells = self.cells.get(run);
        for (sum, cell) in self.sums[offset..].iter_mut().zip(cells) {
            sum.least += cell.least;
            sum.most += cell.most;
            sum.default += cell.default;
            sum.members += 1;
        }
        if kept.bound {
            if self.cuts.len() < end {
                self.cuts.resize(end, SlotCut::default());
            }
            for (cut, (below, above)) in self.cuts[offset..].iter_mut().zip(cuts(cells, total)) {
                cut.below += below;
                cut.above += above;
            }
        }
        self.total = (self.total.0 + total.0, self.total.1 + total.1);
        self.bound_members += usize::from(kept.bound);
        self.flexibilities.insert(kept.flexibility.into());
        self.flexibility_sum += i64::from(kept.flexibility);
        self.assignments.insert(kept.assignment_nanos);
        self.decreases.insert(kept.prices.decrease.0);
        self.increases.insert(kept.prices.increase.0);
        self.cost.activation += kept.cost.activation;
        self.cost.per_slot_shifted += kept.cost.per_slot_shifted;
        self.energy += kept.energy;
        self.count += 1;
        self.revision += 1;
        let row = Row { place, offset: offset as u32, cells: run, total };
        match self.holes.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                self.kept[at as usize] = kept;
                at
            }
            None => {
                self.rows.push(row);
                self.kept.push(kept);
                (self.rows.len() - 1) as u32
            }
        }
    }

    /// Takes the member at a place of the lists out, exactly.
    pub(super) fn take_out(&mut self, at: u32) {
        let (row, kept) = (self.rows[at as usize], self.kept[at as usize]);
        let offset = row.offset as usize;
        let cells = self.cells.get(row.cells);
        for (sum, cell) in self.sums[offset..].iter_mut().zip(cells) {
            sum.least -= cell.least;
            sum.most -= cell.most;
            sum.default -= cell.default;
            sum.members -= 1;
        }
        if kept.bound {
            for (cut, (below, above)) in self.cuts[offset..].iter_mut().zip(cuts(cells, row.total)) {
                cut.below -= below;
                cut.above -= above;
            }
        }
        self.total = (self.total.0 - row.total.0, self.total.1 - row.total.1);
        self.bound_members -= usize::from(kept.bound);
        self.flexibilities.remove(kept.flexibility.into());
        self.flexibility_sum -= i64::from(kept.flexibility);
        self.assignments.remove(kept.assignment_nanos);
        self.decreases.remove(kept.prices.decrease.0);
        self.increases.remove(kept.prices.increase.0);
        self.cost.activation -= kept.cost.activation;
        self.cost.per_slot_shifted -= kept.cost.per_slot_shifted;
        self.energy -= kept.energy;
        self.count -= 1;
        self.revision += 1;
        self.cells.give_back(row.cells);
        self.rows[at as usize].place = HOLE;
        self.holes.push(at);
        while self.sums.last().is_some_and(|sum| sum.members == 0) {
            self.sums.pop();
        }
    }

    /// First slot with a slice, counted from the base.
    pub(super) fn first(&self) -> usize {
        self.sums.iter().position(|sum| sum.members > 0).unwrap_or_default()
    }

    /// Slots the whole bundle can move.
    pub(super) fn flexibility(&self) -> i64 {
        self.flexibilities.min().unwrap_or_default()
    }

    /// The members, in the order of the list.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> + Clone {
        self.rows.iter().filter(|row| row.place != HOLE)
    }

    /// How far the safe bounds lie inside the bounds, from a slot on.
    pub(super) fn cuts(&self, first: usize) -> impl Iterator<Item = SlotCut> {
        self.cuts.iter().skip(first).copied().chain(std::iter::repeat(SlotCut::default()))
    }
}

/// How far a bound member's safe bounds lie inside its bounds.
fn cuts(cells: &[Cell], total: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    cells.iter().zip(safe_bounds(cells, total)).map(|(cell, safe)| (safe.0 - cell.least, cell.most - safe.1))
}
