//! A network with loops as a tree: one element of each loop is opened at its `to` end.
//!
//! The opened end becomes a leaf of its own, the twin of the bus it belongs to: of the same bus, but at another position of the
//! tree. What is left to hold is that voltages at both are the same, and that what flows out of one flows into the other.

use super::Circuit;
use super::tree::{NotATree, Tree, root};
use std::collections::VecDeque;

/// Two positions of one bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tie {
    /// Where the opened element ends.
    pub twin: u32,
    /// Where the bus is.
    pub bus: u32,
}

/// A tree with the ends that belong together. [`Tree::position`] gives each bus its own position; [`Tree::order`] gives the bus of
/// twins, too.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The tree.
    pub tree: Tree,
    /// What closes it; none where there is no loop.
    pub ties: Vec<Tie>,
}

impl Opened {
    /// Opens every loop as far from the source as it reaches, in steps from bus to bus.
    ///
    /// # Errors
    /// [`NotATree`] as for a tree; [`NotATree::Loop`] names the last of more than `most` elements that close a loop.
    pub fn new(circuit: &Circuit, most: usize) -> Result<Self, NotATree> {
        let root = root(circuit)?;
        let opened = closing(circuit, root);
        if let Some(&element) = opened.last().filter(|_| opened.len() > most) {
            return Err(NotATree::Loop(element as usize));
        }
        let mut tree = Tree::grow(circuit, root, &Neighbours::new(circuit, &opened))?;
        let twins = tree.position.split_off(circuit.buses.len());
        let bus = |element: u32| tree.position[circuit.series[element as usize].to as usize];
        let ties =
            twins.iter().zip(&opened).map(|(&twin, &element)| Tie { twin, bus: bus(element) }).collect();
        Ok(Self { tree, ties })
    }
}

/// The elements that a way breadth first does not go along, rising. It enters no transformer from the side where the ratio cannot
/// be turned round.
fn closing(circuit: &Circuit, root: u32) -> Vec<u32> {
    let neighbours = Neighbours::new(circuit, &[]);
    let mut along = vec![false; circuit.series.len()];
    let mut reached = vec![false; circuit.buses.len()];
    reached[root as usize] = true;
    let mut waiting = VecDeque::from([root]);
    while let Some(bus) = waiting.pop_front() {
        for &(next, element) in neighbours.of(bus) {
            if !reached[next as usize] && leads(circuit, element, bus) {
                (reached[next as usize], along[element as usize]) = (true, true);
                waiting.push_back(next);
            }
        }
    }
    let alive = |element: u32| is_alive(circuit, element);
    (0..)
        .zip(along)
        .filter(|&(element, along)| !along && alive(element))
        .map(|(element, _)| element)
        .collect()
}

/// Whether a tree may feed an element from this bus.
fn leads(circuit: &Circuit, element: u32, bus: u32) -> bool {
    let series = &circuit.series[element as usize];
    series.from == bus || series.ratio.as_deref().is_none_or(|ratio| super::tree::turned(ratio).is_some())
}

fn is_alive(circuit: &Circuit, element: u32) -> bool {
    let series = &circuit.series[element as usize];
    [series.from, series.to].iter().all(|&bus| circuit.buses[bus as usize].energized)
}

/// What series elements lead to, in compressed rows. Nodes are the buses, and after them the leaves in which opened elements
/// end instead of at their `to` buses.
pub(super) struct Neighbours {
    start: Vec<u32>,
    ends: Vec<(u32, u32)>,
    /// The opened elements, by leaf.
    opened: Vec<u32>,
}

impl Neighbours {
    /// Opens the elements given (rising).
    pub fn new(circuit: &Circuit, opened: &[u32]) -> Self {
        let nodes = circuit.buses.len() + opened.len();
        let live = || (0..circuit.series.len() as u32).filter(|&element| is_alive(circuit, element));
        let to = |element: u32| match opened.binary_search(&element) {
            Ok(leaf) => (circuit.buses.len() + leaf) as u32,
            Err(_) => circuit.series[element as usize].to,
        };
        let mut start = vec![0_u32; nodes + 1];
        for element in live() {
            start[circuit.series[element as usize].from as usize + 1] += 1;
            start[to(element) as usize + 1] += 1;
        }
        for node in 0..nodes {
            start[node + 1] += start[node];
        }
        let mut fill = start.clone();
        let mut ends = vec![(0_u32, 0_u32); start[nodes] as usize];
        for element in live() {
            let (from, to) = (circuit.series[element as usize].from, to(element));
            for (here, there) in [(from, to), (to, from)] {
                let at = &mut fill[here as usize];
                ends[*at as usize] = (there, element);
                *at += 1;
            }
        }
        Self { start, ends, opened: opened.to_vec() }
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.start.len() - 1
    }

    /// Node and element of each neighbour.
    pub fn of(&self, node: u32) -> &[(u32, u32)] {
        &self.ends[self.start[node as usize] as usize..self.start[node as usize + 1] as usize]
    }

    /// The bus of a node.
    pub fn bus(&self, circuit: &Circuit, node: u32) -> u32 {
        let leaf = (node as usize).checked_sub(circuit.buses.len());
        leaf.map_or(node, |leaf| circuit.series[self.opened[leaf] as usize].to)
    }
}
