//! The way of a pass: parts of the tree that stay in the cache, and what joins them.
//!
//! A pass goes up to the root and down again; the next one begins where it ended. Positions are numbered depth first, so a
//! subtree is a row of them. Small subtrees are therefore visited once per pass, down and at once up again for the next one,
//! while what a visit reads is in the cache; the few buses above them wait for all.

use super::core::Core;
use super::lines::NONE;
use std::ops::Range;

/// Positions visited together: some hundred kilobytes with one set of values, half a megabyte with eight.
const TOGETHER: usize = 256;
/// Positions whose numbers a cache may hold, some twenty megabytes: of more, memory is asked for before it is needed.
const IN_CACHE: usize = 32_768;

/// A subtree: its positions.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub positions: Range<usize>,
    /// The bus it hangs on, by its number among the upper ones.
    pub foot: usize,
}

/// Cells visited together, the positions from their first to their last, and the loads there.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    pub cells: Range<usize>,
    pub positions: Range<usize>,
    pub loads: Range<usize>,
}

/// What a visit covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A chunk of cells, by number.
    Chunk(usize),
    /// The buses above.
    Upper,
}

/// The cells of a tree and the buses above them.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub cells: Vec<Cell>,
    pub chunks: Vec<Chunk>,
    /// Positions above all cells, from the root on, and the number of the parent among them.
    pub upper: Vec<(usize, usize)>,
    /// Whether a pass reads more than caches hold.
    pub far: bool,
    /// Most loads of a chunk, or one.
    pub loads_most: usize,
}

impl Walk {
    pub fn of<const N: usize>(core: &Core<N>) -> Self {
        let (count, parent) = (core.count(), |i: usize| core.lines.line[i].parent as usize);
        let mut size = vec![1_usize; count];
        for i in (1..count).rev() {
            size[parent(i)] += size[i];
        }
        let far = count > IN_CACHE;
        let mut walk = Self { cells: Vec::new(), chunks: Vec::new(), upper: Vec::new(), far, loads_most: 1 };
        let mut number = vec![NONE; count];
        let mut i = 0;
        while i < count {
            let foot = number[if i == 0 { 0 } else { parent(i) }] as usize;
            if i > 0 && size[i] <= TOGETHER {
                walk.cells.push(Cell { positions: i..i + size[i], foot });
                i += size[i];
            } else {
                number[i] = walk.upper.len() as u32;
                walk.upper.push((i, if i == 0 { 0 } else { foot }));
                i += 1;
            }
        }
        let mut first = 0;
        while first < walk.cells.len() {
            let (mut end, mut positions) = (first, 0);
            while end < walk.cells.len()
                && (end == first || positions + walk.cells[end].positions.len() <= TOGETHER)
            {
                positions += walk.cells[end].positions.len();
                end += 1;
            }
            let load =
                |position: usize| core.loads.partition_point(|load| (load.position as usize) < position);
            let (from, to) = (walk.cells[first].positions.start, walk.cells[end - 1].positions.end);
            let loads = load(from)..load(to);
            walk.loads_most = walk.loads_most.max(loads.len());
            walk.chunks.push(Chunk { cells: first..end, positions: from..to, loads });
            first = end;
        }
        walk
    }

    /// Positions and loads from the first to the last of a chunk: its own, and of upper buses between its cells. One after
    /// another those of the upper part.
    pub fn spans<'a>(
        &'a self,
        part: Part,
        load: impl Fn(usize) -> u32 + 'a,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + 'a {
        let (chunk, upper) = match part {
            Part::Chunk(chunk) => (Some(&self.chunks[chunk]), &self.upper[..0]),
            Part::Upper => (None, &self.upper[..]),
        };
        let chunk = chunk.map(|chunk| (chunk.positions.clone(), chunk.loads.clone()));
        let upper = upper.iter().map(move |&(i, _)| {
            let load = load(i);
            (i..i + 1, if load == NONE { 0..0 } else { load as usize..load as usize + 1 })
        });
        chunk.into_iter().chain(upper)
    }
}
