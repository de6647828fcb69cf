//! What a portfolio keeps of an offer.

use super::cells::{Cells, Run};
use crate::flex_offer::{FlexOffer, FlexOfferId};
use crate::proportional::Shares;
use grid::Slot;

/// What a bundle has of a member: enough to name it, to split a schedule, and to take the member out exactly.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// Its name; `None` in a hole.
    pub id: Option<FlexOfferId>,
    /// Its slices; its total with them when that excludes something that they allow.
    pub cells: Run,
    pub kept: Kept,
}

/// Those scalars of a checked offer whose extremes and sums a bundle tells; [`crate::flex_offer::HORIZON`] and the largest
/// price bound them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Slots from the first slot of its group to its earliest start.
    pub offset: u16,
    /// Time flexibility, slots.
    pub flexibility: u16,
    /// Prices, micro-units per kWh.
    pub decrease: u32,
    pub increase: u32,
    /// Costs, micro-units.
    pub activation: u32,
    pub per_slot_shifted: u32,
    /// Upper and lower half: as one number they would widen every row by four bytes.
    assignment_nanos: [u32; 2],
}

/// What the slices of an offer come to, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sums {
    pub least: i64,
    pub most: i64,
    /// Of the larger magnitude of the bounds.
    pub energy: i64,
}

impl Sums {
    #[inline]
    pub(super) fn add(&mut self, least: i64, most: i64) {
        self.least += least;
        self.most += most;
        // Of two bounds in order one of these is the larger magnitude.
        self.energy += most.max(-least);
    }
}

/// The total bounds of a checked offer, if they exclude something that its slices allow.
pub(super) fn binding_total(offer: &FlexOffer, sums: &Sums) -> Option<(i64, i64)> {
    let total = offer.total_energy?;
    let total = (total.min.0.max(sums.least), total.max.0.min(sums.most));
    (total != (sums.least, sums.most)).then_some(total)
}

impl Kept {
    /// Of a checked offer, and the first slot of its group.
    pub(super) fn of(offer: &FlexOffer, base: Slot) -> Self {
        let nanos = offer.assignment_before.nanos();
        let (prices, cost) = (offer.prices, offer.terms.cost);
        Self {
            offset: (offer.start_after.0 - base.0) as u16,
            flexibility: (offer.start_before.0 - offer.start_after.0) as u16,
            decrease: prices.decrease.0 as u32,
            increase: prices.increase.0 as u32,
            activation: cost.activation.0 as u32,
            per_slot_shifted: cost.per_slot_shifted.0 as u32,
            assignment_nanos: [(nanos >> 32) as u32, nanos as u32],
        }
    }

    /// Counts its earliest start from another slot, which is not later.
    pub(super) fn set_offset(&mut self, offer: &FlexOffer, base: Slot) {
        self.offset = (offer.start_after.0 - base.0) as u16;
    }

    /// Assignment deadline.
    pub(super) fn assignment_nanos(&self) -> i64 {
        let [high, low] = self.assignment_nanos.map(i64::from);
        high << 32 | low
    }
}

/// The largest bounds around the default, in proportion to the slices' room below and above it, such that every
/// filling of them keeps the total: their sums are exactly the total's bounds where those bind.
pub(super) fn safe_bounds(cells: Cells<'_>, total: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    let (mut default, mut below, mut above) = (0, 0, 0);
    for cell in cells.iter() {
        default += cell.default;
        below += cell.default - cell.least;
        above += cell.most - cell.default;
    }
    let mut down = Shares::new((default - total.0).clamp(0, below), below);
    let mut up = Shares::new((total.1 - default).clamp(0, above), above);
    cells.iter().map(move |cell| {
        (
            cell.default - down.next(cell.default - cell.least),
            cell.default + up.next(cell.most - cell.default),
        )
    })
}
