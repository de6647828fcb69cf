//! Splitting a schedule of an aggregate among its members, exact to the milliwatt hour.
//!
//! All members move by the same number of slots. Without binding totals each slice is filled at one fraction of its
//! members' ranges; at the default start the ranges are cut at the defaults, so that nobody deviates against the
//! order and the default splits into the defaults. With binding totals the parts are an integer flow
//! ([`crate::transport`]), which finds them whenever they exist; a schedule at the default start inside the published
//! bounds is filled between the members' safe bounds instead, again on one side of the defaults. A schedule that cannot be split is answered with the
//! slices that ask for too much or too little.

use super::Portfolio;
use super::bundle::Bundle;
use super::cells::Cell;
use super::member::{Row, safe_bounds};
use crate::flex_offer::{FlexOfferId, Schedule};
use crate::proportional::Shares;
use crate::transport::{NoFlow, Transport};
use grid::defect::{Defect, planted};
use grid::{EnergyMwh, Slot};
use thiserror::Error;

/// Why a schedule cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SplitError {
    /// No such aggregate.
    #[error("there is no aggregate {aggregate}")]
    Unknown {
        /// Its number.
        aggregate: u64,
    },
    /// Another number of energies than slices.
    #[error(
        "the schedule for aggregate {aggregate} has {energies} energies, the aggregate has {slices} slices"
    )]
    Length {
        /// Which aggregate.
        aggregate: u64,
        /// Energies given.
        energies: usize,
        /// Energies needed.
        slices: usize,
    },
    /// A start outside the window.
    #[error("aggregate {aggregate} starts between {start_after} and {start_before}, not at {start}")]
    Start {
        /// Which aggregate.
        aggregate: u64,
        /// As given.
        start: Slot,
        /// Earliest start.
        start_after: Slot,
        /// Latest start.
        start_before: Slot,
    },
    /// Some slices together ask for more or less than the members can take in them.
    #[error(
        "slices {slices:?} of aggregate {aggregate} ask for {asked} together, its members can take {least} to {most} there"
    )]
    Unattainable {
        /// Which aggregate.
        aggregate: u64,
        /// Slices, counted from 0.
        slices: Vec<usize>,
        /// What they ask for.
        asked: EnergyMwh,
        /// Least the members can take in them.
        least: EnergyMwh,
        /// Most the members can take in them.
        most: EnergyMwh,
    },
}

impl SplitError {
    /// A code that stays the same over versions, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown-aggregate",
            Self::Length { .. } => "schedule-length",
            Self::Start { .. } => "schedule-start",
            Self::Unattainable { .. } => "schedule-unattainable",
        }
    }
}

/// The members' parts of a schedule.
#[derive(Debug, Clone)]
pub struct Split<'a> {
    bundle: &'a Bundle,
    shift: i64,
    /// Energies of the first member, then of the second, …, mWh.
    energies: Vec<i64>,
}

impl Split<'_> {
    /// How many members there are.
    pub fn len(&self) -> usize {
        self.bundle.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bundle.count == 0
    }

    /// Each member's name, start and energies in mWh.
    pub fn parts(&self) -> impl Iterator<Item = (&FlexOfferId, Slot, &[i64])> {
        let mut from = 0;
        self.bundle.rows().filter_map(move |row| {
            let part = &self.energies[from..from + row.cells.len()];
            from += row.cells.len();
            let start = self.bundle.group.base().plus(i64::from(row.kept.offset) + self.shift);
            Some((row.id.as_ref()?, start, part))
        })
    }

    /// Each member's schedule.
    pub fn schedules(&self) -> impl Iterator<Item = (&FlexOfferId, Schedule)> {
        self.parts().map(|(id, start, energies)| {
            (id, Schedule { start, energies: energies.iter().copied().map(EnergyMwh).collect() })
        })
    }
}

impl Portfolio {
    /// Splits a schedule of an aggregate: every part lies inside its offer, and in every slot the parts add up to
    /// the schedule.
    pub fn split(&self, number: u64, schedule: &Schedule) -> Result<Split<'_>, SplitError> {
        let aggregate = number;
        let bundle = self.bundle(number).ok_or(SplitError::Unknown { aggregate })?;
        let first = bundle.first();
        let slices = bundle.sums.len() - first;
        if schedule.energies.len() != slices {
            let energies = schedule.energies.len();
            return Err(SplitError::Length { aggregate, energies, slices });
        }
        let start_after = bundle.group.base().plus(first as i64);
        let shift = schedule.start.0.saturating_sub(start_after.0);
        if !(0..=bundle.flexibility()).contains(&shift) {
            let start_before = start_after.plus(bundle.flexibility());
            return Err(SplitError::Start { aggregate, start: schedule.start, start_after, start_before });
        }
        let at_default = shift == bundle.group.default_shift();
        let energies = match bundle.bound_members {
            0 => fill(bundle, first, &schedule.energies, at_default),
            _ if at_default && is_safe(bundle, first, &schedule.energies) => {
                fill(bundle, first, &schedule.energies, true)
            }
            _ => flow(bundle, first, &schedule.energies, at_default),
        };
        match energies {
            Ok(energies) => Ok(Split { bundle, shift, energies }),
            Err(NoFlow { columns, .. }) => Err(self.unattainable(number, schedule, &columns)),
        }
    }

    fn unattainable(&self, aggregate: u64, schedule: &Schedule, columns: &[u32]) -> SplitError {
        let slices: Vec<usize> = columns.iter().map(|&column| column as usize).collect();
        let sum = |sum: i64, &k: &usize| sum.saturating_add(schedule.energies[k].0);
        let asked = EnergyMwh(slices.iter().fold(0, sum));
        let (least, most) = self.reach(aggregate, |k| slices.contains(&k)).unwrap_or_default();
        SplitError::Unattainable { aggregate, slices, asked, least, most }
    }
}

/// Whether energies lie inside the bounds that are published.
fn is_safe(bundle: &Bundle, first: usize, energies: &[EnergyMwh]) -> bool {
    let safe = bundle.sums[first..].iter().zip(bundle.cuts(first));
    energies
        .iter()
        .zip(safe)
        .all(|(energy, (sum, cut))| (sum.least + cut.below..=sum.most - cut.above).contains(&energy.0))
}

/// Fills every slice at one fraction: of the members' safe bounds, which are all their bounds where no total binds.
fn fill(bundle: &Bundle, first: usize, energies: &[EnergyMwh], at_default: bool) -> Result<Vec<i64>, NoFlow> {
    let mut columns = Vec::with_capacity(energies.len());
    for (k, (energy, (sum, cut))) in
        energies.iter().zip(bundle.sums[first..].iter().zip(bundle.cuts(first))).enumerate()
    {
        let (least, most) = (sum.least + cut.below, sum.most - cut.above);
        if energy.0 < least || energy.0 > most {
            return Err(NoFlow { columns: vec![k as u32], too_much: energy.0 > most });
        }
        let side = match (at_default, energy.0 < sum.default) {
            (false, _) => Side::Both,
            (true, true) => Side::Below,
            (true, false) => Side::Above,
        };
        let (least, most) = match side {
            Side::Both => (least, most),
            Side::Below => (least, sum.default),
            Side::Above => (sum.default, most),
        };
        columns.push((side, Shares::new(energy.0 - least, most - least)));
    }
    let mut parts = Vec::with_capacity(bundle.rows().map(|row| row.cells.len()).sum());
    for row in bundle.rows() {
        let mut columns = columns[usize::from(row.kept.offset) - first..].iter_mut();
        let mut fill = |cell: Cell| {
            let Some((side, shares)) = columns.next() else { return };
            let (least, most) = side.of(&cell);
            let share = if planted(Defect::LosesTheRest) {
                shares.by_itself(most - least)
            } else {
                shares.next(most - least)
            };
            parts.push(least + share);
        };
        let cells = bundle.cells.get(row.cells);
        match bundle.cells.total(row.cells) {
            None => cells.each(fill),
            Some(total) => {
                let safe = cells.iter().zip(safe_bounds(cells, total));
                safe.for_each(|(cell, (least, most))| fill(Cell { least, most, ..cell }));
            }
        }
    }
    Ok(parts)
}

/// Which part of a cell's range is filled.
#[derive(Debug, Clone, Copy)]
enum Side {
    Both,
    Below,
    Above,
}

impl Side {
    fn of(self, cell: &Cell) -> (i64, i64) {
        match self {
            Self::Both => (cell.least, cell.most),
            Self::Below => (cell.least, cell.default),
            Self::Above => (cell.default, cell.most),
        }
    }
}

/// Finds parts that keep the totals.
fn flow(bundle: &Bundle, first: usize, energies: &[EnergyMwh], at_default: bool) -> Result<Vec<i64>, NoFlow> {
    let sums = &bundle.sums[first..];
    if at_default && energies.iter().zip(sums).all(|(energy, sum)| energy.0 == sum.default) {
        return Ok(cells(bundle).map(|cell| cell.default).collect());
    }
    let mut problem = Transport::with_capacity(bundle.count, bundle.rows().map(|row| row.cells.len()).sum());
    for row in bundle.rows() {
        let offset = u32::from(row.kept.offset) - first as u32;
        let cells = bundle.cells.get(row.cells);
        let rooms = cells.iter().zip(offset..).map(|(cell, column)| (column, cell.most - cell.least));
        let total = bundle.total_of(row);
        let least: i64 = cells.iter().map(|cell| cell.least).sum();
        problem.push_row(rooms, total.0 - least, total.1 - least);
    }
    let need: Vec<i64> =
        energies.iter().zip(sums).map(|(energy, sum)| energy.0.saturating_sub(sum.least)).collect();
    let mut parts = problem.solve(&need)?;
    parts.iter_mut().zip(cells(bundle)).for_each(|(part, cell)| *part += cell.least);
    Ok(parts)
}

/// The slices of all members, one member after the other.
fn cells(bundle: &Bundle) -> impl Iterator<Item = Cell> {
    bundle.rows().flat_map(|row: &Row| bundle.cells.get(row.cells).iter())
}
