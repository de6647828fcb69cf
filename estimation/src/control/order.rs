//! In which order regulated transformers are adjusted: from the sources outwards, those as many regulated transformers
//! away from a source as each other together (power-grid-model, "Automatic tap changing", ranking).

use super::taps::TapError;
use grid::network::{TapRegulator, TransformerSide};
use grid::{BusId, Network};
use std::collections::{BTreeMap, VecDeque};

/// A step between buses: free, or across a regulated transformer towards what it controls.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: usize,
    to: usize,
    /// Which regulator, by position; the step then counts one.
    regulator: Option<usize>,
}

/// Groups of active regulators (positions in the network's list), nearest to a source first. Those that no source
/// reaches are left out.
pub(super) fn ranked(network: &Network) -> Result<Vec<Vec<usize>>, TapError> {
    let edges = edges(network);
    let distance = distances(network, &edges);
    let mut ranks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for edge in &edges {
        let Some(regulator) = edge.regulator else { continue };
        let rank = match (distance[edge.from], distance[edge.to]) {
            (None, None) => continue,
            (Some(from), Some(to)) if from + 1 == to => to,
            // What it controls is also controlled by a nearer one: last of all.
            (Some(_), Some(_)) => usize::MAX,
            _ => return Err(TapError::TowardsSource { regulator: network.tap_regulators()[regulator].id }),
        };
        let group = ranks.entry(rank).or_default();
        if !group.contains(&regulator) {
            group.push(regulator);
        }
    }
    Ok(ranks.into_values().collect())
}

fn edges(network: &Network) -> Vec<Edge> {
    let at = |bus: BusId| network.bus_index(bus).unwrap_or(0);
    let mut edges = Vec::new();
    let mut both = |from: BusId, to: BusId| {
        for (from, to) in [(from, to), (to, from)] {
            edges.push(Edge { from: at(from), to: at(to), regulator: None });
        }
    };
    let lines = network.lines().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed));
    let links = network.links().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed));
    let generic = network.generic_branches().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed));
    let coupled =
        network.coupled_lines().iter().map(|b| (b.from.bus, b.to.bus, b.from_closed && b.to_closed));
    for (from, to, closed) in lines.chain(links).chain(generic).chain(coupled) {
        if closed {
            both(from, to);
        }
    }
    let regulator_of = |id| {
        let mut all = network.tap_regulators().iter();
        all.position(|regulator: &TapRegulator| regulator.active && regulator.transformer == id)
    };
    for unit in network.transformers().iter().filter(|unit| unit.from_closed && unit.to_closed) {
        let (from, to) = (at(unit.from), at(unit.to));
        match regulator_of(unit.id) {
            Some(regulator) => {
                let towards_from = network.tap_regulators()[regulator].controlled == 0;
                let (from, to) = if towards_from { (to, from) } else { (from, to) };
                edges.push(Edge { from, to, regulator: Some(regulator) });
            }
            None => {
                edges.push(Edge { from, to, regulator: None });
                edges.push(Edge { from: to, to: from, regulator: None });
            }
        }
    }
    for unit in network.three_winding_transformers() {
        let tapped = match unit.tap.map(|tap| tap.side) {
            Some(TransformerSide::To) => 1,
            Some(TransformerSide::Third) => 2,
            _ => 0,
        };
        let regulator = regulator_of(unit.id);
        for (first, second) in [(0, 1), (0, 2), (1, 2)] {
            if !unit.closed[first] || !unit.closed[second] {
                continue;
            }
            let regulator = regulator.filter(|_| first == tapped || second == tapped);
            let (a, b) = (at(unit.buses[first]), at(unit.buses[second]));
            let Some(regulator) = regulator else {
                edges.push(Edge { from: a, to: b, regulator: None });
                edges.push(Edge { from: b, to: a, regulator: None });
                continue;
            };
            let (tap_bus, other) = if first == tapped { (a, b) } else { (b, a) };
            let at_tap = network.tap_regulators()[regulator].controlled == tapped;
            let (from, to) = if at_tap { (other, tap_bus) } else { (tap_bus, other) };
            edges.push(Edge { from, to, regulator: Some(regulator) });
        }
    }
    edges
}

/// How many regulated transformers lie between each bus and its nearest source.
fn distances(network: &Network, edges: &[Edge]) -> Vec<Option<usize>> {
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); network.buses().len()];
    for (number, edge) in edges.iter().enumerate() {
        leaving[edge.from].push(number);
    }
    let mut distance: Vec<Option<usize>> = vec![None; leaving.len()];
    let mut waiting = VecDeque::new();
    for source in network.sources().iter().filter(|source| source.closed) {
        if let Some(bus) = network.bus_index(source.bus) {
            distance[bus] = Some(0);
            waiting.push_back((0, bus));
        }
    }
    // Steps of length 0 go to the front of the queue, steps of length 1 to its end.
    while let Some((here, bus)) = waiting.pop_front() {
        if distance[bus] != Some(here) {
            continue;
        }
        for &number in &leaving[bus] {
            let edge = edges[number];
            let there = here + usize::from(edge.regulator.is_some());
            if distance[edge.to].is_none_or(|known| there < known) {
                distance[edge.to] = Some(there);
                if edge.regulator.is_some() {
                    waiting.push_back((there, edge.to));
                } else {
                    waiting.push_front((there, edge.to));
                }
            }
        }
    }
    distance
}
