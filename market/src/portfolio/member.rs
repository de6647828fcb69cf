//! What a portfolio keeps of an offer.

use crate::flex_offer::{ActivationCost, DeviationPrices, FlexOffer, FlexOfferId, Slice};
use crate::proportional::Shares;
use grid::EnergyMwh;

/// One slice, mWh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub least: i64,
    pub most: i64,
    pub default: i64,
}

/// An offer by name, and where the rest of it lies.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub id: FlexOfferId,
    /// Which bundle, and where in its lists.
    pub bundle: u32,
    pub at: u32,
}

/// What splitting looks at, one member after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Place in the portfolio's list of members, or [`super::bundle::HOLE`].
    pub place: u32,
    /// Slots from the bundle's base to its earliest start.
    pub offset: u32,
    /// Its slices.
    pub cells: Run,
    /// Least and most total energy, never beyond what the slices allow, mWh.
    pub total: (i64, i64),
}

/// What else a bundle has of a member, to take it out again exactly.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// Time flexibility, slots.
    pub flexibility: u32,
    /// Whether the total bounds exclude something that the slices allow.
    pub bound: bool,
    pub assignment_nanos: i64,
    pub prices: DeviationPrices,
    pub cost: ActivationCost,
    /// Sum over slices of the larger magnitude of the bounds, mWh.
    pub energy: i64,
}

/// The total bounds of an offer, and what is kept of it beside its slices.
pub(super) fn measure(offer: &FlexOffer) -> ((i64, i64), Kept) {
    let (mut least, mut most, mut energy) = (0, 0, 0);
    for slice in &offer.slices {
        least += slice.min.0;
        most += slice.max.0;
        energy += slice.min.0.abs().max(slice.max.0.abs());
    }
    let total = offer.total_energy.map_or((least, most), |t| (t.min.0.max(least), t.max.0.min(most)));
    let kept = Kept {
        flexibility: u32::try_from(offer.start_before.0 - offer.start_after.0).unwrap_or_default(),
        bound: total != (least, most),
        assignment_nanos: offer.assignment_before.nanos(),
        prices: offer.prices,
        cost: offer.terms.cost,
        energy,
    };
    (total, kept)
}

/// The largest bounds around the default, in proportion to the slices' room below and above it, such that every
/// filling of them keeps the total: their sums are exactly the total's bounds where those bind.
pub(super) fn safe_bounds(cells: &[Cell], total: (i64, i64)) -> impl Iterator<Item = (i64, i64)> {
    let (mut default, mut below, mut above) = (0, 0, 0);
    for cell in cells {
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

/// Consecutive cells in a [`CellStore`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    start: u32,
    len: u32,
}

impl Run {
    pub(super) fn len(self) -> usize {
        self.len as usize
    }
}

/// The slices of a bundle's members in one piece of memory, in the order in which they came, so that splitting reads
/// them in a row. A run that is left is used again by one of its length.
#[derive(Debug, Clone, Default)]
pub(super) struct CellStore {
    cells: Vec<Cell>,
    /// Starts of free runs, by length.
    free: Vec<Vec<u32>>,
}

impl CellStore {
    pub(super) fn get(&self, run: Run) -> &[Cell] {
        self.cells.get(run.start as usize..(run.start + run.len) as usize).unwrap_or_default()
    }

    /// Stores the slices of an offer.
    pub(super) fn put(&mut self, offer: &FlexOffer) -> Run {
        let len = offer.slices.len();
        let cell = |(slice, default): (&Slice, &EnergyMwh)| Cell {
            least: slice.min.0,
            most: slice.max.0,
            default: default.0,
        };
        let cells = offer.slices.iter().zip(&offer.default_schedule.energies).map(cell);
        let start = match self.free.get_mut(len).and_then(Vec::pop) {
            Some(start) => {
                let run = self.cells[start as usize..].iter_mut();
                run.zip(cells).for_each(|(place, cell)| *place = cell);
                start
            }
            None => {
                let start = self.cells.len() as u32;
                self.cells.extend(cells);
                start
            }
        };
        Run { start, len: len as u32 }
    }

    pub(super) fn give_back(&mut self, run: Run) {
        if self.free.len() <= run.len() {
            self.free.resize_with(run.len() + 1, Vec::new);
        }
        self.free[run.len()].push(run.start);
    }
}
