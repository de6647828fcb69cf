//! The slices of a bundle's members.
//!
//! New memory is most of what a new member costs, so a slice takes twelve bytes where its numbers allow it, and what
//! is stored never moves: blocks are added, none is copied. The order is that in which the members came, so splitting reads
//! in a row. A run that is left is used again by one of its length.

use crate::flex_offer::{FlexOffer, Slice};
use grid::EnergyMwh;

/// One slice, mWh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cell {
    pub least: i64,
    pub most: i64,
    pub default: i64,
}

/// A slice of small numbers: least, most and default, mWh. A slice of large ones is two of these.
type Small = [i32; 3];
/// Units of the first and of the largest block.
const BLOCK: (usize, usize) = (64, 8192);

/// Where the slices of an offer lie, and its total behind them if that is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    block: u32,
    at: u16,
    /// At most [`crate::flex_offer::SLICES_MAX`].
    slices: u8,
    form: Form,
}

/// How the slices of an offer are stored.
#[derive(Debug, Clone, Copy)]
enum Form {
    Small,
    SmallWithTotal,
    Large,
    LargeWithTotal,
}

impl Form {
    fn of(large: bool, with_total: bool) -> Self {
        match (large, with_total) {
            (false, false) => Self::Small,
            (false, true) => Self::SmallWithTotal,
            (true, false) => Self::Large,
            (true, true) => Self::LargeWithTotal,
        }
    }

    fn large(self) -> bool {
        matches!(self, Self::Large | Self::LargeWithTotal)
    }

    fn with_total(self) -> bool {
        matches!(self, Self::SmallWithTotal | Self::LargeWithTotal)
    }
}

impl Run {
    /// How many slices there are.
    pub(super) fn len(self) -> usize {
        usize::from(self.slices)
    }

    /// Units of memory.
    fn units(self) -> usize {
        (self.len() + usize::from(self.form.with_total())) << usize::from(self.form.large())
    }
}

/// The slices of all members of a bundle.
#[derive(Debug, Clone, Default)]
pub(super) struct CellStore {
    blocks: Vec<Vec<Small>>,
    /// Block and place of free runs, by their units.
    free: Vec<Vec<(u32, u16)>>,
}

impl CellStore {
    /// The slices of an offer.
    pub(super) fn get(&self, run: Run) -> Cells<'_> {
        let units = self.units(run);
        match run.form.large() {
            false => Cells::Small(units.get(..run.len()).unwrap_or_default()),
            true => Cells::Large(units.as_chunks().0.get(..run.len()).unwrap_or_default()),
        }
    }

    /// Least and most total of an offer, mWh, if they are stored.
    pub(super) fn total(&self, run: Run) -> Option<(i64, i64)> {
        let cell = match (run.form.with_total(), run.form.large()) {
            (false, _) => return None,
            (true, false) => small(self.units(run).last()?),
            (true, true) => large(self.units(run).last_chunk()?),
        };
        Some((cell.least, cell.most))
    }

    fn units(&self, run: Run) -> &[Small] {
        let block = self.blocks.get(run.block as usize).map(Vec::as_slice).unwrap_or_default();
        let at = usize::from(run.at);
        block.get(at..at + run.units()).unwrap_or_default()
    }

    /// Stores the slices of a checked offer, and a total behind them. `energy` is the sum over the slices of the bounds'
    /// larger magnitudes: nothing that is stored is beyond it.
    pub(super) fn put(&mut self, offer: &FlexOffer, total: Option<(i64, i64)>, energy: i64) -> Run {
        let mut run = Run {
            block: 0,
            at: 0,
            slices: offer.slices.len() as u8,
            form: Form::of(energy > i64::from(i32::MAX), total.is_some()),
        };
        let units = run.units();
        let free = self.free.get_mut(units).and_then(Vec::pop);
        let defaults = &offer.default_schedule.energies[..offer.slices.len()];
        let cells = offer.slices.iter().enumerate().map(|(k, slice)| cell(slice, defaults[k]));
        let behind = total.map(|(least, most)| Cell { least, most, default: 0 });
        if let Some((block, at)) = free {
            (run.block, run.at) = (block, at);
            let place = self.blocks[block as usize][usize::from(at)..].iter_mut();
            let write = |(place, unit): (&mut Small, Small)| *place = unit;
            match run.form.large() {
                false => place.zip(cells.chain(behind).map(narrowed)).for_each(write),
                true => place.zip(cells.chain(behind).flat_map(halves)).for_each(write),
            }
            return run;
        }
        let block = self.block(units);
        run.at = block.len() as u16;
        match run.form.large() {
            false => {
                block.extend(cells.map(narrowed));
                block.extend(behind.map(narrowed));
            }
            true => block.extend(cells.chain(behind).flat_map(halves)),
        }
        run.block = (self.blocks.len() - 1) as u32;
        run
    }

    /// The last block, with room for some units.
    fn block(&mut self, units: usize) -> &mut Vec<Small> {
        let room = |block: &Vec<Small>| block.capacity() - block.len();
        if self.blocks.last().is_none_or(|block| room(block) < units) {
            let size = self.blocks.last().map_or(BLOCK.0, |block| (2 * block.capacity()).min(BLOCK.1));
            self.blocks.push(Vec::with_capacity(size.max(units)));
        }
        let last = self.blocks.len() - 1;
        &mut self.blocks[last]
    }

    /// Lets another offer have the memory of one.
    pub(super) fn give_back(&mut self, run: Run) {
        let units = run.units();
        if self.free.len() <= units {
            self.free.resize_with(units + 1, Vec::new);
        }
        self.free[units].push((run.block, run.at));
    }
}

fn cell(slice: &Slice, default: EnergyMwh) -> Cell {
    Cell { least: slice.min.0, most: slice.max.0, default: default.0 }
}

/// Of numbers that fit.
fn narrowed(cell: Cell) -> Small {
    [cell.least as i32, cell.most as i32, cell.default as i32]
}

fn small(&[least, most, default]: &Small) -> Cell {
    Cell { least: least.into(), most: most.into(), default: default.into() }
}

fn halves(cell: Cell) -> [Small; 2] {
    let [low, high] = [|x: i64| x as i32, |x: i64| (x >> 32) as i32];
    [
        [low(cell.least), low(cell.most), low(cell.default)],
        [high(cell.least), high(cell.most), high(cell.default)],
    ]
}

fn large([low, high]: &[Small; 2]) -> Cell {
    let whole = |k: usize| i64::from(high[k]) << 32 | i64::from(low[k] as u32);
    Cell { least: whole(0), most: whole(1), default: whole(2) }
}

/// The slices of one offer.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cells<'a> {
    /// Of small numbers.
    Small(&'a [Small]),
    /// Of large ones.
    Large(&'a [[Small; 2]]),
}

impl<'a> Cells<'a> {
    /// Looks at one slice after the other, which is quicker than [`Cells::iter`].
    #[inline]
    pub(super) fn each(self, mut look: impl FnMut(Cell)) {
        match self {
            Self::Small(cells) => cells.iter().for_each(|cell| look(small(cell))),
            Self::Large(cells) => cells.iter().for_each(|cell| look(large(cell))),
        }
    }

    /// One slice after the other.
    pub(super) fn iter(self) -> impl Iterator<Item = Cell> + Clone + use<'a> {
        let (few, many): (&[Small], &[[Small; 2]]) = match self {
            Self::Small(cells) => (cells, &[]),
            Self::Large(cells) => (&[], cells),
        };
        few.iter().map(small).chain(many.iter().map(large))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flex_offer::Schedule;
    use crate::sample;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_stored_is_read_again_and_its_memory_is_used_again(
            offers in proptest::collection::vec(
                (proptest::collection::vec((0_u32..41, any::<[i64; 3]>()), 1..40), any::<bool>(), any::<bool>()),
                1..60,
            ),
        ) {
            let mut store = CellStore::default();
            let mut kept: Vec<(Run, Vec<Cell>, Option<(i64, i64)>)> = Vec::new();
            for (numbers, with_total, leaves) in offers {
                // Numbers of every size, from bits to more than a TWh.
                let size = |&(bits, numbers): &(u32, [i64; 3])| numbers.map(|x| x >> (23 + bits));
                let numbers: Vec<[i64; 3]> = numbers.iter().map(size).collect();
                let energy = numbers.iter().map(|[a, b, c]| a.abs().max(b.abs()).max(c.abs())).sum();
                let bounds: Vec<(i64, i64)> = numbers.iter().map(|&[a, b, _]| (a, b)).collect();
                let defaults: Vec<i64> = numbers.iter().map(|&[_, _, c]| c).collect();
                let offer = FlexOffer {
                    slices: sample::slices(&bounds),
                    default_schedule: Schedule { start: sample::slot(0), energies: sample::energies(&defaults) },
                    ..sample::offer("fo")
                };
                let total = with_total.then(|| numbers.iter().fold((0, 0), |sum, n| (sum.0 + n[0], sum.1 + n[1])));
                let run = store.put(&offer, total, energy);
                let cells = numbers.iter().map(|&[least, most, default]| Cell { least, most, default });
                kept.push((run, cells.collect(), total));
                if leaves {
                    store.give_back(kept.swap_remove(kept.len() / 2).0);
                }
                for (run, cells, total) in &kept {
                    let mut seen = Vec::new();
                    store.get(*run).each(|cell| seen.push(cell));
                    prop_assert_eq!(&seen, cells);
                    prop_assert!(store.get(*run).iter().eq(cells.iter().copied()));
                    prop_assert_eq!((store.total(*run), run.len()), (*total, cells.len()));
                }
            }
        }
    }
}
