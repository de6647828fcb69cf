//! A bundle: an aggregate while members come and go. All sums are integers, so taking a member out leaves exactly
//! what was there before it came.

use super::Coming;
use super::cells::{CellStore, Cells, Run};
use super::member::{Kept, Row, Sums, binding_total, safe_bounds};
use super::multiset::Multiset;
use super::tolerance::Group;
use crate::flex_offer::{ActivationCost, FlexOffer, FlexOfferId};
use grid::Money;

/// Sums over the members in one slot of the bundle, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlotSum {
    pub least: i64,
    pub most: i64,
    pub default: i64,
    /// How many members have a slice here.
    pub members: i64,
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

    /// Adds a member; returns its place in the list and where its slices lie.
    pub(super) fn add(&mut self, offer: &FlexOffer, coming: &Coming) -> (u32, Run) {
        let offset = usize::from(coming.kept.offset);
        let total = binding_total(offer, &coming.sums);
        let run = self.cells.put(offer, total, coming.sums.energy);
        let end = offset + run.len();
        if self.sums.len() < end {
            self.sums.resize(end, SlotSum::default());
        }
        let n = offer.slices.len();
        let (sums, slices) = (&mut self.sums[offset..end], &offer.slices[..n]);
        let defaults = &offer.default_schedule.energies[..n];
        // With one counter: three nested pairs are passed through memory.
        for k in 0..n {
            sums[k].least += slices[k].min.0;
            sums[k].most += slices[k].max.0;
            sums[k].default += defaults[k].0;
            sums[k].members += 1;
        }
        if let Some(total) = total {
            if self.cuts.len() < end {
                self.cuts.resize(end, SlotCut::default());
            }
            for (cut, (below, above)) in self.cuts[offset..].iter_mut().zip(cuts(self.cells.get(run), total))
            {
                cut.below += below;
                cut.above += above;
            }
        }
        self.count_in(&coming.kept, total, &coming.sums);
        let row = Row { id: Some(offer.id.clone()), cells: run, kept: coming.kept };
        let at = match self.holes.pop() {
            Some(at) => {
                self.rows[at as usize] = row;
                at
            }
            None => {
                self.rows.push(row);
                (self.rows.len() - 1) as u32
            }
        };
        (at, run)
    }

    fn count_in(&mut self, kept: &Kept, total: Option<(i64, i64)>, sums: &Sums) {
        let (least, most) = total.unwrap_or((sums.least, sums.most));
        self.total = (self.total.0 + least, self.total.1 + most);
        self.bound_members += usize::from(total.is_some());
        self.flexibilities.insert(kept.flexibility.into());
        self.flexibility_sum += i64::from(kept.flexibility);
        self.assignments.insert(kept.assignment_nanos());
        self.decreases.insert(kept.decrease.into());
        self.increases.insert(kept.increase.into());
        self.cost.activation += Money(kept.activation.into());
        self.cost.per_slot_shifted += Money(kept.per_slot_shifted.into());
        self.energy += sums.energy;
        self.count += 1;
        self.revision += 1;
    }

    /// Takes the member at a place of the list out, exactly; returns its name. `run` is where its slices lie, as its row
    /// says, too: so both are waited for at once.
    pub(super) fn take_out(&mut self, at: u32, run: Run) -> Option<FlexOfferId> {
        let row = self.rows.get_mut(at as usize)?;
        let (id, offset, kept) = (row.id.take()?, usize::from(row.kept.offset), row.kept);
        let cells = self.cells.get(run);
        let mut sums = Sums::default();
        for (sum, cell) in self.sums[offset..].iter_mut().zip(cells.iter()) {
            sum.least -= cell.least;
            sum.most -= cell.most;
            sum.default -= cell.default;
            sum.members -= 1;
            sums.add(cell.least, cell.most);
        }
        let total = self.cells.total(run);
        if let Some(total) = total {
            for (cut, (below, above)) in self.cuts[offset..].iter_mut().zip(cuts(cells, total)) {
                cut.below -= below;
                cut.above -= above;
            }
        }
        self.count_out(&kept, total, &sums);
        self.cells.give_back(run);
        self.holes.push(at);
        while self.sums.last().is_some_and(|sum| sum.members == 0) {
            self.sums.pop();
        }
        Some(id)
    }

    /// The name of the member at a place of the list.
    pub(super) fn name(&self, at: u32) -> Option<&FlexOfferId> {
        self.rows.get(at as usize)?.id.as_ref()
    }

    fn count_out(&mut self, kept: &Kept, total: Option<(i64, i64)>, sums: &Sums) {
        let (least, most) = total.unwrap_or((sums.least, sums.most));
        self.total = (self.total.0 - least, self.total.1 - most);
        self.bound_members -= usize::from(total.is_some());
        self.flexibilities.remove(kept.flexibility.into());
        self.flexibility_sum -= i64::from(kept.flexibility);
        self.assignments.remove(kept.assignment_nanos());
        self.decreases.remove(kept.decrease.into());
        self.increases.remove(kept.increase.into());
        self.cost.activation -= Money(kept.activation.into());
        self.cost.per_slot_shifted -= Money(kept.per_slot_shifted.into());
        self.energy -= sums.energy;
        self.count -= 1;
        self.revision += 1;
    }

    /// Least and most total of a member, never beyond what its slices allow, mWh.
    pub(super) fn total_of(&self, row: &Row) -> (i64, i64) {
        self.cells.total(row.cells).unwrap_or_else(|| {
            let mut sums = Sums::default();
            self.cells.get(row.cells).each(|cell| sums.add(cell.least, cell.most));
            (sums.least, sums.most)
        })
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
        self.rows.iter().filter(|row| row.id.is_some())
    }

    /// How far the safe bounds lie inside the bounds, from a slot on.
    pub(super) fn cuts(&self, first: usize) -> impl Iterator<Item = SlotCut> {
        self.cuts.iter().skip(first).copied().chain(std::iter::repeat(SlotCut::default()))
    }
}

/// How far a bound member's safe bounds lie inside its bounds.
fn cuts(cells: Cells<'_>, total: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    cells.iter().zip(safe_bounds(cells, total)).map(|(cell, safe)| (safe.0 - cell.least, cell.most - safe.1))
}
