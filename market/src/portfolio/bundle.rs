//! A bundle: an aggregate while members come and go. All sums are integers, so taking a member out leaves exactly
//! what was there before it came.

use super::member::{Cell, Member, safe_bounds};
use super::multiset::Multiset;
use super::tolerance::Group;
use crate::flex_offer::ActivationCost;

/// A hole in a bundle's list of members.
pub(super) const HOLE: u32 = u32::MAX;

/// Sums over the members in one slot of the bundle, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlotSum {
    pub least: i64,
    pub most: i64,
    pub safe_least: i64,
    pub safe_most: i64,
    pub default: i64,
    /// How many members have a slice here.
    pub members: u32,
}

impl SlotSum {
    fn add(&mut self, cell: &Cell, safe: (i64, i64)) {
        self.least += cell.least;
        self.most += cell.most;
        self.safe_least += safe.0;
        self.safe_most += safe.1;
        self.default += cell.default;
        self.members += 1;
    }

    fn take_out(&mut self, cell: &Cell, safe: (i64, i64)) {
        self.least -= cell.least;
        self.most -= cell.most;
        self.safe_least -= safe.0;
        self.safe_most -= safe.1;
        self.default -= cell.default;
        self.members -= 1;
    }
}

#[derive(Debug, Clone)]
pub(super) struct Bundle {
    pub number: u64,
    pub revision: u64,
    pub group_at: u32,
    pub group: Group,
    /// How roomy it is filed in its group; `None` when it is not open.
    pub open: Option<u32>,
    /// Places in the portfolio's list of members, or holes.
    pub members: Vec<u32>,
    holes: Vec<u32>,
    pub count: usize,
    /// From the group's base on.
    pub sums: Vec<SlotSum>,
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
            members: Vec::new(),
            holes: Vec::new(),
            count: 0,
            sums: Vec::new(),
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

    /// Slots from the base to the member's earliest start.
    pub(super) fn offset(&self, member: &Member) -> usize {
        usize::try_from(member.start_after.0 - self.group.base.0).unwrap_or_default()
    }

    /// Adds a member; returns its place in the list.
    pub(super) fn add(&mut self, place: u32, member: &Member, cells: &[Cell]) -> u32 {
        let offset = self.offset(member);
        if self.sums.len() < offset + cells.len() {
            self.sums.resize(offset + cells.len(), SlotSum::default());
        }
        let sums = self.sums[offset..].iter_mut().zip(cells);
        match member.bound {
            false => sums.for_each(|(sum, cell)| sum.add(cell, (cell.least, cell.most))),
            true => {
                sums.zip(safe_bounds(cells, member.total)).for_each(|((sum, cell), safe)| sum.add(cell, safe))
            }
        }
        self.total = (self.total.0 + member.total.0, self.total.1 + member.total.1);
        self.bound_members += usize::from(member.bound);
        self.flexibilities.insert(member.flexibility.into());
        self.flexibility_sum += i64::from(member.flexibility);
        self.assignments.insert(member.assignment_nanos);
        self.decreases.insert(member.prices.decrease.0);
        self.increases.insert(member.prices.increase.0);
        self.cost.activation += member.cost.activation;
        self.cost.per_slot_shifted += member.cost.per_slot_shifted;
        self.energy += member.energy;
        self.count += 1;
        self.revision += 1;
        match self.holes.pop() {
            Some(at) => {
                self.members[at as usize] = place;
                at
            }
            None => {
                self.members.push(place);
                (self.members.len() - 1) as u32
            }
        }
    }

    /// Takes a member out, exactly.
    pub(super) fn take_out(&mut self, member: &Member, cells: &[Cell]) {
        let offset = self.offset(member);
        let sums = self.sums[offset..].iter_mut().zip(cells);
        match member.bound {
            false => sums.for_each(|(sum, cell)| sum.take_out(cell, (cell.least, cell.most))),
            true => sums
                .zip(safe_bounds(cells, member.total))
                .for_each(|((sum, cell), safe)| sum.take_out(cell, safe)),
        }
        self.total = (self.total.0 - member.total.0, self.total.1 - member.total.1);
        self.bound_members -= usize::from(member.bound);
        self.flexibilities.remove(member.flexibility.into());
        self.flexibility_sum -= i64::from(member.flexibility);
        self.assignments.remove(member.assignment_nanos);
        self.decreases.remove(member.prices.decrease.0);
        self.increases.remove(member.prices.increase.0);
        self.cost.activation -= member.cost.activation;
        self.cost.per_slot_shifted -= member.cost.per_slot_shifted;
        self.energy -= member.energy;
        self.count -= 1;
        self.revision += 1;
        self.members[member.at as usize] = HOLE;
        self.holes.push(member.at);
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

    /// Places of the members, in the order of the list.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        self.members.iter().copied().filter(|&place| place != HOLE)
    }
}
