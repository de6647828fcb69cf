//! The radial structure of a circuit: one source bus, no loop, every other bus hanging on one series element.

use super::opened::Neighbours;
use super::{Circuit, Coupling};
use nalgebra::DMatrix;
use num_complex::Complex64;
use thiserror::Error;

/// Why a circuit is no tree that sweeps can walk.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotATree {
    /// An element closes a loop.
    #[error("series element {0} closes a loop")]
    Loop(usize),
    /// Something else than series elements joins buses.
    #[error("element {0} is not a series element over all wires")]
    General(usize),
    /// No source, or several at different buses.
    #[error("{0} buses have a source, one is needed")]
    Sources(usize),
    /// Buses differ in their number of wires.
    #[error("buses differ in their number of wires")]
    Wires,
    /// A transformer that is fed from the side where its ratio cannot be inverted.
    #[error("series element {0} cannot be fed from its `to` side")]
    Ratio(usize),
    /// A bus holds its voltage.
    #[error("bus {0} holds its voltage")]
    Held(usize),
}

/// Marks the absence of a parent or element.
pub const NONE: u32 = u32::MAX;

/// Energized buses in depth-first order: a parent stands before its children, a subtree is contiguous.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// Position → bus.
    pub order: Vec<u32>,
    /// Bus → position; [`NONE`] for dead buses.
    pub position: Vec<u32>,
    /// Position → position of the parent; [`NONE`] at the root.
    pub parent: Vec<u32>,
    /// Position → series element above; [`NONE`] at the root.
    pub element: Vec<u32>,
    /// Position → whether the element is fed at its `from` side.
    pub fed_at_from: Vec<bool>,
    /// Position → number of positions in its subtree, itself included.
    pub size: Vec<u32>,
}

impl Tree {
    /// Finds the tree.
    ///
    /// # Errors
    /// [`NotATree`] says what stands against it.
    pub fn new(circuit: &Circuit) -> Result<Self, NotATree> {
        Self::grow(circuit, root(circuit)?, &Neighbours::new(circuit, &[]))
    }

    /// The tree that a way depth first from the root finds. What the neighbours have opened ends in a leaf.
    pub(super) fn grow(circuit: &Circuit, root: u32, neighbours: &Neighbours) -> Result<Self, NotATree> {
        let count = circuit.buses.len();
        let mut tree = Self {
            order: Vec::with_capacity(count),
            position: vec![NONE; neighbours.nodes()],
            parent: Vec::with_capacity(count),
            element: Vec::with_capacity(count),
            fed_at_from: Vec::with_capacity(count),
            size: Vec::new(),
        };
        let mut waiting = vec![(root, NONE, NONE)];
        while let Some((node, parent, element)) = waiting.pop() {
            if tree.position[node as usize] != NONE {
                return Err(NotATree::Loop(element as usize));
            }
            let here = tree.order.len() as u32;
            tree.position[node as usize] = here;
            let bus = neighbours.bus(circuit, node);
            tree.order.push(bus);
            tree.parent.push(parent);
            tree.element.push(element);
            tree.fed_at_from.push(element == NONE || circuit.series[element as usize].to == bus);
            for &(next, by) in neighbours.of(node).iter().rev().filter(|&&(_, by)| by != element) {
                if tree.position[next as usize] != NONE {
                    return Err(NotATree::Loop(by as usize));
                }
                waiting.push((next, here, by));
            }
        }
        tree.size = vec![1; tree.order.len()];
        for at in (1..tree.order.len()).rev() {
            tree.size[tree.parent[at] as usize] += tree.size[at];
        }
        tree.check_ratios(circuit)?;
        Ok(tree)
    }

    /// Series element → the position below it; [`NONE`] for dead ones.
    pub(crate) fn below(&self, circuit: &Circuit) -> Vec<u32> {
        let mut below = vec![NONE; circuit.series.len()];
        for (position, &element) in (0..).zip(&self.element).skip(1) {
            below[element as usize] = position;
        }
        below
    }

    /// Ratio and impedance of the element above a position as seen from the source: `V = T V_parent − Z J`, the parent
    /// gives `Tᴴ J`. `None` as ratio is the unit matrix.
    ///
    /// # Errors
    /// [`NotATree::Ratio`] when the ratio cannot be turned round.
    pub fn downstream(
        &self,
        circuit: &Circuit,
        position: usize,
    ) -> Result<(Option<DMatrix<Complex64>>, Coupling), NotATree> {
        let element = self.element[position];
        let series = &circuit.series[element as usize];
        let ratio = series.ratio.as_deref();
        let Some(ratio) = ratio else { return Ok((None, series.z.clone())) };
        if self.fed_at_from[position] {
            return Ok((Some(ratio.clone()), series.z.clone()));
        }
        let turned = turned(ratio).ok_or(NotATree::Ratio(element as usize))?;
        let z = &turned * series.z.to_matrix(ratio.nrows()) * turned.adjoint();
        Ok((Some(turned), Coupling::Full(Box::new(z))))
    }

    fn check_ratios(&self, circuit: &Circuit) -> Result<(), NotATree> {
        for position in 1..self.order.len() {
            if !self.fed_at_from[position] {
                self.downstream(circuit, position)?;
            }
        }
        Ok(())
    }
}

pub(super) fn root(circuit: &Circuit) -> Result<u32, NotATree> {
    let alive = |bus: u32| circuit.buses[bus as usize].energized;
    if circuit.uniform_wires().is_none() {
        return Err(NotATree::Wires);
    }
    for (index, element) in circuit.general.iter().enumerate() {
        let buses: Vec<u32> =
            element.terminals.iter().map(|terminal| terminal.0).filter(|&b| alive(b)).collect();
        if buses.iter().any(|&bus| bus != buses[0]) {
            return Err(NotATree::General(index));
        }
    }
    if let Some(held) = circuit.held.iter().find(|held| alive(held.bus)) {
        return Err(NotATree::Held(held.bus as usize));
    }
    let mut buses: Vec<u32> =
        circuit.sources.iter().map(|source| source.bus).filter(|&bus| alive(bus)).collect();
    buses.sort_unstable();
    buses.dedup();
    match buses[..] {
        [root] => Ok(root),
        _ => Err(NotATree::Sources(buses.len())),
    }
}

/// A ratio seen from the other side, where it can be.
pub(super) fn turned(ratio: &DMatrix<Complex64>) -> Option<DMatrix<Complex64>> {
    let scale = ratio.norm();
    ratio.clone().try_inverse().filter(|inverse| inverse.norm() * scale < 1e6)
}
