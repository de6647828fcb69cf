//! Branches: flows into every end, loading.

use super::{Results, View, WireFlow};
use crate::assembly::BranchPlace;
use grid::{BranchId, Network};

/// What enters a branch at one end.
#[derive(Debug, Clone, PartialEq)]
pub struct EndResult {
    /// Conductor by conductor in the order of the terminal; one in a symmetric calculation.
    pub wires: Box<[WireFlow]>,
    /// Loading by this end alone, p.u.; `None` when the branch has no rating.
    pub loading: Option<f64>,
}

/// One branch.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchResult {
    /// Which.
    pub id: BranchId,
    /// Whether any of its closed ends is alive; otherwise every number is zero.
    pub energized: bool,
    /// Largest loading of any end, p.u.; `None` when the branch has no rating.
    pub loading: Option<f64>,
    /// Its ends: `from` and `to`, or one per winding.
    pub ends: Vec<EndResult>,
}

impl EndResult {
    /// Active power of all conductors, W.
    pub fn p_w(&self) -> f64 {
        self.wires.iter().map(|wire| wire.p_w).sum()
    }

    /// Reactive power of all conductors, var.
    pub fn q_var(&self) -> f64 {
        self.wires.iter().map(|wire| wire.q_var).sum()
    }

    /// Sum of the apparent powers of the conductors, VA.
    pub fn s_va(&self) -> f64 {
        self.wires.iter().map(WireFlow::s_va).sum()
    }

    /// Largest current of a conductor, A.
    pub fn i_max_a(&self) -> f64 {
        self.wires.iter().fold(0.0, |largest, wire| wire.i_a.norm().max(largest))
    }
}

/// What a branch is loaded against.
#[derive(Clone, Copy)]
enum Rating<'a> {
    /// Current, A.
    Current(Option<f64>),
    /// Apparent power of each end, VA.
    Power(&'a [f64]),
    /// Power-grid-model gives these a loading of zero.
    Never,
}

impl Rating<'_> {
    fn loading(self, end: usize, wires: &[WireFlow]) -> Option<f64> {
        match self {
            Rating::Never => Some(0.0),
            Rating::Current(rated) => {
                let largest = wires.iter().fold(0.0_f64, |largest, wire| largest.max(wire.i_a.norm()));
                rated.map(|rated| largest / rated)
            }
            Rating::Power(rated) => Some(wires.iter().map(WireFlow::s_va).sum::<f64>() / rated[end]),
        }
    }
}

pub(super) fn fill(view: &View<'_>, network: &Network, results: &mut Results) {
    let current = |rated| Rating::Current(rated);
    results.lines =
        network.lines().iter().map(|b| result(view, b.id, &[3, 3], current(b.i_rated_a))).collect();
    results.coupled_lines = (network.coupled_lines().iter())
        .map(|b| result(view, b.id, &[b.from.wires.len(); 2], current(b.i_rated_a)))
        .collect();
    results.links = network.links().iter().map(|b| result(view, b.id, &[3, 3], Rating::Never)).collect();
    results.generic_branches = (network.generic_branches().iter())
        .map(|b| match b.s_rated_va {
            Some(rated) => result(view, b.id, &[3, 3], Rating::Power(&[rated; 2])),
            None => result(view, b.id, &[3, 3], Rating::Never),
        })
        .collect();
    results.transformers = (network.transformers().iter())
        .map(|b| result(view, b.id, &[3, 3], Rating::Power(&[b.s_rated_va; 2])))
        .collect();
    results.three_winding_transformers = (network.three_winding_transformers().iter())
        .map(|b| result(view, b.id, &[3; 3], Rating::Power(&b.s_rated_va)))
        .collect();
    results.winding_transformers = (network.winding_transformers().iter())
        .map(|b| {
            let wires: Vec<usize> = b.windings.iter().map(|w| w.terminal.wires.len()).collect();
            let rated: Vec<f64> = b.windings.iter().map(|w| w.s_rated_va).collect();
            result(view, b.id, &wires, Rating::Power(&rated))
        })
        .collect();
}

/// `conductors`: how many each end has.
fn result(view: &View<'_>, id: BranchId, conductors: &[usize], rating: Rating<'_>) -> BranchResult {
    let nothing = |end: usize| view.nothing(conductors[end]);
    let place = view.assembly.branches.get(&id).unwrap_or(&BranchPlace::Off);
    let (energized, flows): (bool, Vec<Box<[WireFlow]>>) = match place {
        BranchPlace::Off => (false, (0..conductors.len()).map(nothing).collect()),
        BranchPlace::Star(arms) => (
            arms.iter().any(|arm| *arm != BranchPlace::Off),
            arms.iter()
                .enumerate()
                .map(|(end, arm)| at(view, arm, 0).unwrap_or_else(|| nothing(end)))
                .collect(),
        ),
        place => (
            true,
            (0..conductors.len()).map(|end| at(view, place, end).unwrap_or_else(|| nothing(end))).collect(),
        ),
    };
    let ends: Vec<EndResult> = (flows.into_iter().enumerate())
        .map(|(end, wires)| EndResult { loading: rating.loading(end, &wires), wires })
        .collect();
    let loading = ends.iter().map(|end| end.loading).reduce(|a, b| Some(a?.max(b?))).flatten();
    BranchResult { id, energized, loading, ends }
}

/// Flows into one end of a branch that has a place; `None` where it is open.
fn at(view: &View<'_>, place: &BranchPlace, end: usize) -> Option<Box<[WireFlow]>> {
    let circuit = &view.assembly.circuit;
    match place {
        BranchPlace::Series(k) => {
            let element = &circuit.series[*k as usize];
            let (from, to) = &view.currents.series[*k as usize];
            Some(if end == 0 { view.flows(element.from, from) } else { view.flows(element.to, to) })
        }
        BranchPlace::General(k, ends) => {
            let element = &circuit.general[*k as usize];
            let terminal = usize::from((*ends.get(end)?)?);
            let before: usize = element.terminals[..terminal].iter().map(|(_, wires)| wires.len()).sum();
            let (bus, wires) = &element.terminals[terminal];
            let currents = &view.currents.general[*k as usize][before..];
            Some(
                wires
                    .iter()
                    .zip(currents)
                    .map(|(&w, &i)| view.flow(*bus, view.voltage(*bus, w), i))
                    .collect(),
            )
        }
        BranchPlace::Star(_) | BranchPlace::Off => None,
    }
}
