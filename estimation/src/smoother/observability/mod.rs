//! What the readings determine, exactly: which directions of the state no row sees.
//!
//! Of every subtree one keeps the *reach*: all pairs (voltage of the parent, current of the line above) that its rows
//! and equations allow when every row is to stay as it is. That is a linear space of at most 2N dimensions. Where all
//! that is taken is known, it is the graph of a matrix, J = A V; where nothing is known, it is everything. The way up
//! joins reaches; the way down takes back from each what the rest of the network forbids. A voltage is undetermined when
//! some pair that is left moves it. No weight and no window is in this, so nothing has to be told apart by its size but
//! zero from what is not.

mod down;
mod reach;
mod span;

use super::core::Core;
use super::dense::{self, LANES, Plain, Vector};
use super::injections::Load;
use super::lines::NONE;
use reach::Reach;

/// The reaches of a tree.
struct Tree<'a, const N: usize> {
    core: &'a Core<N>,
    loads: &'a [Load],
    /// By position: of the line above it, with all below.
    reaches: Vec<Reach<N>>,
    /// By position: the first child and the next of the same parent, or [`NONE`].
    first: Vec<u32>,
    next: Vec<u32>,
    /// By position: the unit of currents there, in which they count as much as voltages: the impedance of the shortest
    /// line at the bus.
    unit: Vec<f64>,
}

impl<'a, const N: usize> Tree<'a, N> {
    fn new(core: &'a Core<N>, loads: &'a [Load]) -> Self {
        let count = core.count();
        let (mut first, mut next) = (vec![NONE; count], vec![NONE; count]);
        for i in (1..count).rev() {
            let parent = core.lines.line[i].parent as usize;
            (next[i], first[parent]) = (first[parent], i as u32);
        }
        let unit = units(core);
        let mut tree = Self { core, loads, reaches: vec![Reach::NOTHING; count], first, next, unit };
        for i in (1..count).rev() {
            tree.reaches[i] = Reach::of_bus(&tree, i).through_line(&tree, i);
        }
        tree
    }

    /// The current that a bus takes at the state, whatever is known of it.
    fn taken(&self, i: usize) -> Vector {
        let core = self.core;
        let lines = &core.lines;
        let arrives = if i == 0 { [0.0; LANES] } else { core.j[i] };
        let taken = dense::sub(Plain, &arrives, &lines.shunt_current(Plain, i, &core.v[i]));
        self.children(i).fold(taken, |left, child| {
            dense::sub(Plain, &left, &lines.tt(Plain, &lines.line[child], &core.j[child]))
        })
    }

    fn children(&self, of: usize) -> impl Iterator<Item = usize> {
        let some = |child: u32| (child != NONE).then_some(child as usize);
        std::iter::successors(some(self.first[of]), move |&child| some(self.next[child]))
    }
}

/// The smallest impedance at each bus, p.u.; 1 where there is none.
fn units<const N: usize>(core: &Core<N>) -> Vec<f64> {
    let lines = &core.lines;
    let mut unit = vec![f64::INFINITY; core.count()];
    for (i, line) in lines.line.iter().enumerate().skip(1) {
        let own = (0..N).map(|k| {
            let mut j = [0.0; LANES];
            j[dense::lane::<N>(k)] = 1.0;
            dense::largest(Plain, &lines.z(Plain, line, &j))
        });
        let impedance = own.fold(0.0, f64::max);
        for at in [i, line.parent as usize] {
            unit[at] = if impedance > 0.0 { unit[at].min(impedance) } else { unit[at] };
        }
    }
    unit.into_iter().map(|unit| if unit.is_finite() { unit } else { 1.0 }).collect()
}

/// By position and wire: whether the voltage is undetermined, at the state of the core, when these are its loads.
pub(super) fn undetermined<const N: usize>(core: &Core<N>, loads: &[Load]) -> Vec<bool> {
    down::undetermined(&Tree::new(core, loads))
}

/// Makes the wires of pseudo-measurements free.
pub(super) fn forget(loads: &mut [Load], pseudo: &[u32], wires: &[u8]) {
    for (&load, &wire) in pseudo.iter().zip(wires).filter(|pair| *pair.0 != NONE) {
        loads[load as usize].free |= 1 << wire;
    }
}
