//! What a portfolio keeps of an offer.

use crate::flex_offer::{ActivationCost, DeviationPrices, FlexOffer, FlexOfferId, Schedule};
use crate::proportional::Shares;
use grid::Slot;

/// One slice, mWh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub least: i64,
    pub most: i64,
    pub default: i64,
}

/// An offer inside a bundle.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub id: FlexOfferId,
    /// Which bundle, and where in its list.
    pub bundle: u32,
    pub at: u32,
    pub start_after: Slot,
    /// Time flexibility, slots.
    pub flexibility: i64,
    pub cells: Box<[Cell]>,
    /// Safe bounds of each slice, when the total bounds exclude something.
    pub safe: Option<Box<[(i64, i64)]>>,
    /// Least and most total energy, never beyond what the slices allow, mWh.
    pub total: (i64, i64),
    pub assignment_nanos: i64,
    pub prices: DeviationPrices,
    pub cost: ActivationCost,
    /// Sum over slices of the larger magnitude of the bounds, mWh.
    pub energy: i64,
}

impl Member {
    pub(super) fn of(offer: &FlexOffer) -> Self {
        let Schedule { energies, .. } = &offer.default_schedule;
        let cell = |(slice, default): (&crate::flex_offer::Slice, &grid::EnergyMwh)| Cell {
            least: slice.min.0,
            most: slice.max.0,
            default: default.0,
        };
        let cells: Box<[Cell]> = offer.slices.iter().zip(energies).map(cell).collect();
        let (mut least, mut most, mut energy) = (0, 0, 0);
        for cell in &cells {
            least += cell.least;
            most += cell.most;
            energy += cell.least.abs().max(cell.most.abs());
        }
        let total = offer.total_energy.map_or((least, most), |t| (t.min.0.max(least), t.max.0.min(most)));
        let safe = (total != (least, most)).then(|| safe_bounds(&cells, total));
        Self {
            id: offer.id.clone(),
            bundle: 0,
            at: 0,
            start_after: offer.start_after,
            flexibility: offer.start_before.0 - offer.start_after.0,
            cells,
            safe,
            total,
            assignment_nanos: offer.assignment_before.nanos(),
            prices: offer.prices,
            cost: offer.terms.cost,
            energy,
        }
    }

    /// Safe bounds of slice `k`, mWh.
    pub(super) fn safe(&self, k: usize) -> (i64, i64) {
        match &self.safe {
            Some(safe) => safe[k],
            None => (self.cells[k].least, self.cells[k].most),
        }
    }
}

/// The largest bounds around the default, in proportion to the slices' room below and above it, such that every
/// filling of them keeps the total: their sums are exactly the total's bounds where those bind.
fn safe_bounds(cells: &[Cell], total: (i64, i64)) -> Box<[(i64, i64)]> {
    let default: i64 = cells.iter().map(|cell| cell.default).sum();
    let below: i64 = cells.iter().map(|cell| cell.default - cell.least).sum();
    let above: i64 = cells.iter().map(|cell| cell.most - cell.default).sum();
    let mut down = Shares::new((default - total.0).clamp(0, below), below);
    let mut up = Shares::new((total.1 - default).clamp(0, above), above);
    let bounds = |cell: &Cell| {
        (
            cell.default - down.next(cell.default - cell.least),
            cell.default + up.next(cell.most - cell.default),
        )
    };
    cells.iter().map(bounds).collect()
}
