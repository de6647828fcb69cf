//! What a factorization needs to know before it sees a number: the tree of fronts.

use super::ordering::{Elimination, minimum_degree};

/// Stands for "no front".
pub(super) const NO_FRONT: u32 = u32::MAX;

/// One step: some unknowns are eliminated, some later ones are touched.
#[derive(Debug, Clone)]
pub(super) struct Front {
    /// Unknowns eliminated here (a range of [`Symbolic::unknowns`]), then those touched (up to `touched_end`).
    pub(super) own: std::ops::Range<usize>,
    pub(super) touched_end: usize,
    /// Range of [`Symbolic::entries`]: the matrix entries that enter here.
    pub(super) entries: std::ops::Range<usize>,
    /// How many of the steps just before, on the stack, hand over to this one.
    pub(super) children: u32,
    /// Whether nothing comes after.
    pub(super) root: bool,
}

/// A value of the matrix and its place among the unknowns of the front that it enters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) index: u32,
    pub(super) row: u32,
    pub(super) column: u32,
}

/// The structure of a square matrix with a block structure, ordered for elimination. Made once per pattern.
#[derive(Debug, Clone)]
pub struct Symbolic {
    pub(super) size: usize,
    pub(super) positions: Vec<(u32, u32)>,
    /// Whether a position stands for its transpose as well.
    pub(super) symmetric: bool,
    pub(super) fronts: Vec<Front>,
    pub(super) unknowns: Vec<u32>,
    /// Along with `unknowns`: of those that are touched, the place in the front that takes over.
    pub(super) places: Vec<u32>,
    pub(super) entries: Vec<Entry>,
}

impl Symbolic {
    /// `block_of` gives the block of every unknown (equation k belongs to unknown k's block); `positions` are the
    /// (row, column) pairs that may hold something, repeated ones are added up.
    pub fn new(block_of: &[u32], positions: Vec<(u32, u32)>) -> Self {
        Self::ordered(block_of, positions, false)
    }

    /// The same of a symmetric matrix: a position off the diagonal stands for its transpose as well.
    pub fn symmetric(block_of: &[u32], positions: Vec<(u32, u32)>) -> Self {
        Self::ordered(block_of, positions, true)
    }

    fn ordered(block_of: &[u32], positions: Vec<(u32, u32)>, symmetric: bool) -> Self {
        let blocks = block_of.iter().map(|&b| b as usize + 1).max().unwrap_or(0);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); blocks];
        for (unknown, &block) in block_of.iter().enumerate() {
            members[block as usize].push(unknown as u32);
        }
        let weight: Vec<u32> = members.iter().map(|list| list.len() as u32).collect();
        let Elimination { order, coupled } = minimum_degree(graph(block_of, blocks, &positions), &weight);
        let mut rank = vec![0_u32; blocks];
        for (at, &block) in order.iter().enumerate() {
            rank[block as usize] = at as u32;
        }
        let parent: Vec<u32> = coupled
            .iter()
            .map(|list| list.iter().copied().min_by_key(|&b| rank[b as usize]).unwrap_or(NO_FRONT))
            .collect();
        let order = post_order(&order, &parent);
        for (at, &block) in order.iter().enumerate() {
            rank[block as usize] = at as u32;
        }
        let (start, entries) = by_front(block_of, &rank, &positions);
        let mut children = vec![0_u32; blocks];
        for &up in parent.iter().filter(|&&up| up != NO_FRONT) {
            children[up as usize] += 1;
        }
        let mut unknowns = Vec::new();
        let mut fronts = Vec::with_capacity(blocks);
        for (at, &block) in order.iter().enumerate() {
            let first = unknowns.len();
            unknowns.extend(&members[block as usize]);
            let own = first..unknowns.len();
            for &other in &coupled[block as usize] {
                unknowns.extend(&members[other as usize]);
            }
            fronts.push(Front {
                own,
                touched_end: unknowns.len(),
                entries: start[at]..start[at + 1],
                children: children[block as usize],
                root: parent[block as usize] == NO_FRONT,
            });
        }
        let size = block_of.len();
        let (places, entries) = places(size, &fronts, &unknowns, (&entries, &positions));
        Self { size, positions, symmetric, fronts, unknowns, places, entries }
    }

    /// Number of unknowns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The (row, column) pairs in the order in which values are expected.
    pub fn positions(&self) -> &[(u32, u32)] {
        &self.positions
    }

    /// `left ← left − K x` with these values of K.
    pub fn subtract(&self, values: &[f64], x: &[f64], left: &mut [f64]) {
        for (&(row, column), value) in self.positions.iter().zip(values) {
            let (row, column) = (row as usize, column as usize);
            left[row] -= value * x[column];
            if self.symmetric && row != column {
                left[column] -= value * x[row];
            }
        }
    }
}

/// Where in their fronts unknowns that are handed over and entries stand.
fn places(
    size: usize,
    fronts: &[Front],
    unknowns: &[u32],
    (entries, positions): (&[u32], &[(u32, u32)]),
) -> (Vec<u32>, Vec<Entry>) {
    let mut place_of = vec![0_u32; size];
    let mut places = vec![0_u32; unknowns.len()];
    let mut found = Vec::with_capacity(entries.len());
    let mut waiting: Vec<usize> = Vec::new();
    for (at, front) in fronts.iter().enumerate() {
        for (place, &unknown) in unknowns[front.own.start..front.touched_end].iter().enumerate() {
            place_of[unknown as usize] = place as u32;
        }
        found.extend(entries[front.entries.clone()].iter().map(|&index| {
            let (row, column) = positions[index as usize];
            Entry { index, row: place_of[row as usize], column: place_of[column as usize] }
        }));
        for child in waiting.split_off(waiting.len() - front.children as usize) {
            let touched = fronts[child].own.end..fronts[child].touched_end;
            for (place, unknown) in places[touched.clone()].iter_mut().zip(&unknowns[touched]) {
                *place = place_of[*unknown as usize];
            }
        }
        if !front.root {
            waiting.push(at);
        }
    }
    (places, found)
}

/// Symmetric adjacency of blocks.
fn graph(block_of: &[u32], blocks: usize, positions: &[(u32, u32)]) -> Vec<Vec<u32>> {
    let mut neighbours: Vec<Vec<u32>> = vec![Vec::new(); blocks];
    for &(row, column) in positions {
        let (a, b) = (block_of[row as usize], block_of[column as usize]);
        if a != b {
            for (a, b) in [(a, b), (b, a)] {
                // Entries of a block come together, so this catches most repetitions.
                if neighbours[a as usize].last() != Some(&b) {
                    neighbours[a as usize].push(b);
                }
            }
        }
    }
    for list in &mut neighbours {
        list.sort_unstable();
        list.dedup();
    }
    neighbours
}

/// Children before parents, subtrees together.
fn post_order(order: &[u32], parent: &[u32]) -> Vec<u32> {
    let mut children: Vec<Vec<u32>> = vec![Vec::new(); parent.len()];
    for &block in order {
        if parent[block as usize] != NO_FRONT {
            children[parent[block as usize] as usize].push(block);
        }
    }
    let mut found = Vec::with_capacity(order.len());
    let mut waiting: Vec<u32> = order.iter().copied().filter(|&b| parent[b as usize] == NO_FRONT).collect();
    while let Some(block) = waiting.pop() {
        found.push(block);
        waiting.extend(&children[block as usize]);
    }
    found.reverse();
    found
}

/// Sorts entries by the front that comes first of their row's and their column's.
fn by_front(block_of: &[u32], rank: &[u32], positions: &[(u32, u32)]) -> (Vec<usize>, Vec<u32>) {
    let front = |&(row, column): &(u32, u32)| {
        rank[block_of[row as usize] as usize].min(rank[block_of[column as usize] as usize]) as usize
    };
    let mut start = vec![0_usize; rank.len() + 1];
    for position in positions {
        start[front(position) + 1] += 1;
    }
    for at in 0..rank.len() {
        start[at + 1] += start[at];
    }
    let mut fill = start.clone();
    let mut entries = vec![0_u32; positions.len()];
    for (index, position) in positions.iter().enumerate() {
        let at = &mut fill[front(position)];
        entries[*at] = index as u32;
        *at += 1;
    }
    (start, entries)
}
