//! How a network hangs together, whatever its equipment: buses, edges with two or more ends, sources, islands.
//!
//! Switching is a question, not a change: [`Topology::switched`] says how it would be with some edges open and others closed.
//! *Downstream* of something is what loses its supply when that is taken away; in a radial feeder what hangs behind it, in a
//! mesh nothing while there is another way. *Upstream* of a bus is the shortest way to a source, in edges.

use crate::id::{BranchId, BusId, UsagePointId};
use crate::network::Network;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something that joins buses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Its number.
    pub id: BranchId,
    /// What it is, for example `line`.
    pub kind: &'static str,
    /// The bus at each end.
    pub buses: Vec<BusId>,
    /// Whether each end is connected.
    pub closed: Vec<bool>,
}

/// A network's buses, edges and sources. Immutable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Topology {
    buses: Vec<BusId>,
    edges: Vec<Edge>,
    /// Position of each bus in `buses`, and of each edge in `edges`.
    bus_at: BTreeMap<BusId, usize>,
    edge_at: BTreeMap<BranchId, usize>,
    /// Edges at each bus.
    at_bus: Vec<Vec<usize>>,
    /// Positions of the buses that connected sources feed.
    fed: Vec<usize>,
    usage_points: Vec<Vec<UsagePointId>>,
}

/// An island: buses that hang together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Island {
    /// The bus that comes first in the network.
    pub first: BusId,
    /// How many buses.
    pub buses: usize,
    /// How many usage points.
    pub usage_points: usize,
    /// Whether a source feeds it.
    pub fed: bool,
}

/// What is switched otherwise than it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Switching {
    /// Edges all of whose ends are disconnected.
    pub open: BTreeSet<BranchId>,
    /// Edges all of whose ends are connected.
    pub close: BTreeSet<BranchId>,
}

/// A topology as it would be after some switching.
#[derive(Debug, Clone)]
pub struct Switched<'a> {
    topology: &'a Topology,
    switching: &'a Switching,
    islands: Vec<Island>,
    /// By position of the bus.
    island_of: Vec<usize>,
    /// The first edge of the shortest way to a source, and the bus it leads to, by position of the bus.
    towards: Vec<Option<(usize, usize)>>,
}

impl Topology {
    /// Of a network.
    pub fn of(network: &Network) -> Self {
        let buses: Vec<BusId> = network.buses().iter().map(|bus| bus.id).collect();
        let bus_at: BTreeMap<BusId, usize> = buses.iter().enumerate().map(|(at, &bus)| (bus, at)).collect();
        let edges = edges(network);
        let edge_at = edges.iter().enumerate().map(|(at, edge)| (edge.id, at)).collect();
        let mut at_bus: Vec<Vec<usize>> = vec![Vec::new(); buses.len()];
        for (at, edge) in edges.iter().enumerate() {
            for bus in edge.buses.iter().collect::<BTreeSet<_>>() {
                // A checked network names no bus that it does not have.
                if let Some(&place) = bus_at.get(bus) {
                    at_bus[place].push(at);
                }
            }
        }
        let sources = network.sources().iter().filter(|source| source.closed);
        let mut fed: Vec<usize> = sources.filter_map(|source| bus_at.get(&source.bus).copied()).collect();
        fed.sort_unstable();
        fed.dedup();
        let mut usage_points: Vec<Vec<UsagePointId>> = vec![Vec::new(); buses.len()];
        for point in network.usage_points() {
            if let Some(&place) = bus_at.get(&point.bus) {
                usage_points[place].push(point.id);
            }
        }
        Self { buses, edges, bus_at, edge_at, at_bus, fed, usage_points }
    }

    /// Buses, in the order of the network.
    pub fn buses(&self) -> &[BusId] {
        &self.buses
    }

    /// Edges: lines, transformers, switches and what else joins buses.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// Buses that connected sources feed.
    pub fn sources(&self) -> impl Iterator<Item = BusId> {
        self.fed.iter().filter_map(|&at| self.buses.get(at).copied())
    }

    /// An edge by its number.
    pub fn edge(&self, id: BranchId) -> Option<&Edge> {
        self.edges.get(*self.edge_at.get(&id)?)
    }

    /// Whether there is such a bus.
    pub fn has(&self, bus: BusId) -> bool {
        self.bus_at.contains_key(&bus)
    }

    /// Usage points at a bus.
    pub fn usage_points(&self, bus: BusId) -> &[UsagePointId] {
        self.bus_at.get(&bus).and_then(|&at| self.usage_points.get(at)).map_or(&[], Vec::as_slice)
    }

    /// How it would be after some switching.
    pub fn switched<'a>(&'a self, switching: &'a Switching) -> Switched<'a> {
        let mut switched = Switched {
            topology: self,
            switching,
            islands: Vec::new(),
            island_of: vec![usize::MAX; self.buses.len()],
            towards: vec![None; self.buses.len()],
        };
        switched.walk();
        switched
    }

    /// Positions of the buses at the other connected ends of an edge; none when it is not connected to this bus.
    fn beyond(&self, edge: usize, bus: usize, switching: &Switching) -> Vec<usize> {
        let edge = &self.edges[edge];
        if switching.open.contains(&edge.id) {
            return Vec::new();
        }
        let all = switching.close.contains(&edge.id);
        let ends = edge.buses.iter().zip(&edge.closed).filter(|(_, closed)| all || **closed);
        let mut ends: Vec<usize> = ends.filter_map(|(bus, _)| self.bus_at.get(bus).copied()).collect();
        match ends.contains(&bus) {
            true => ends.retain(|&other| other != bus),
            false => ends.clear(),
        }
        ends
    }

    /// Which buses are reached from these ones, without an edge or a bus.
    fn reached(&self, from: &[usize], switching: &Switching, without: Without) -> Vec<bool> {
        let mut reached = vec![false; self.buses.len()];
        let mut waiting: Vec<usize> = from.to_vec();
        while let Some(bus) = waiting.pop() {
            if without == Without::Bus(bus) || std::mem::replace(&mut reached[bus], true) {
                continue;
            }
            for &edge in &self.at_bus[bus] {
                if without != Without::Edge(edge) {
                    waiting.extend(self.beyond(edge, bus, switching));
                }
            }
        }
        reached
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    Edge(usize),
    Bus(usize),
}

impl Switched<'_> {
    /// Ways to sources, breadth first from all of them at once, and islands.
    fn walk(&mut self) {
        let mut queue: VecDeque<usize> = self.topology.fed.iter().copied().collect();
        let mut seen: Vec<bool> = vec![false; self.topology.buses.len()];
        queue.iter().for_each(|&bus| seen[bus] = true);
        while let Some(bus) = queue.pop_front() {
            for &edge in &self.topology.at_bus[bus] {
                for other in self.topology.beyond(edge, bus, self.switching) {
                    if !std::mem::replace(&mut seen[other], true) {
                        self.towards[other] = Some((edge, bus));
                        queue.push_back(other);
                    }
                }
            }
        }
        for start in 0..self.topology.buses.len() {
            if self.island_of[start] == usize::MAX {
                self.fill(start);
            }
        }
    }

    fn fill(&mut self, start: usize) {
        let number = self.islands.len();
        let mut island = Island { first: self.topology.buses[start], buses: 0, usage_points: 0, fed: false };
        let mut waiting = vec![start];
        while let Some(bus) = waiting.pop() {
            if self.island_of[bus] != usize::MAX {
                continue;
            }
            self.island_of[bus] = number;
            island.buses += 1;
            island.usage_points += self.topology.usage_points[bus].len();
            island.fed |= self.topology.fed.binary_search(&bus).is_ok();
            for &edge in &self.topology.at_bus[bus] {
                waiting.extend(self.topology.beyond(edge, bus, self.switching));
            }
        }
        self.islands.push(island);
    }

    /// Islands, by their first bus.
    pub fn islands(&self) -> &[Island] {
        &self.islands
    }

    /// Number of a bus's island, counted from 0.
    pub fn island_of(&self, bus: BusId) -> Option<usize> {
        self.topology.bus_at.get(&bus).and_then(|&at| self.island_of.get(at).copied())
    }

    /// Edges on the shortest way from a bus to a source, nearest to the bus first; `None` when no source reaches it.
    pub fn upstream(&self, bus: BusId) -> Option<Vec<BranchId>> {
        let mut at = *self.topology.bus_at.get(&bus)?;
        let mut way = Vec::new();
        while let Some((edge, next)) = self.towards[at] {
            way.push(self.topology.edges[edge].id);
            at = next;
        }
        self.topology.fed.binary_search(&at).is_ok().then_some(way)
    }

    /// Buses that lose their supply when an edge is taken away, in the order of the network.
    pub fn downstream_of_edge(&self, edge: BranchId) -> Vec<BusId> {
        self.topology.edge_at.get(&edge).map_or_else(Vec::new, |&edge| self.lost(Without::Edge(edge)))
    }

    /// Buses that lose their supply when a bus is taken away, that bus left out.
    pub fn downstream_of_bus(&self, bus: BusId) -> Vec<BusId> {
        let Some(&at) = self.topology.bus_at.get(&bus) else { return Vec::new() };
        self.lost(Without::Bus(at)).into_iter().filter(|lost| *lost != bus).collect()
    }

    fn lost(&self, without: Without) -> Vec<BusId> {
        let (topology, fed) = (self.topology, &self.topology.fed);
        let before = topology.reached(fed, self.switching, Without::Nothing);
        let after = topology.reached(fed, self.switching, without);
        let lost = before.iter().zip(&after).map(|(before, after)| *before && !after);
        topology.buses.iter().zip(lost).filter_map(|(&bus, lost)| lost.then_some(bus)).collect()
    }
}

/// Everything that joins buses.
fn edges(network: &Network) -> Vec<Edge> {
    let two = |id, kind, (from, to): (BusId, BusId), closed: [bool; 2]| Edge {
        id,
        kind,
        buses: vec![from, to],
        closed: closed.to_vec(),
    };
    let mut edges: Vec<Edge> = Vec::new();
    edges.extend(
        network
            .lines()
            .iter()
            .map(|one| two(one.id, "line", (one.from, one.to), [one.from_closed, one.to_closed])),
    );
    edges.extend(
        network
            .coupled_lines()
            .iter()
            .map(|one| two(one.id, "line", (one.from.bus, one.to.bus), [one.from_closed, one.to_closed])),
    );
    edges.extend(
        network
            .transformers()
            .iter()
            .map(|one| two(one.id, "transformer", (one.from, one.to), [one.from_closed, one.to_closed])),
    );
    edges.extend(network.three_winding_transformers().iter().map(|one| Edge {
        id: one.id,
        kind: "transformer",
        buses: one.buses.to_vec(),
        closed: one.closed.to_vec(),
    }));
    edges.extend(network.winding_transformers().iter().map(|one| {
        let buses: Vec<BusId> = one.windings.iter().map(|winding| winding.terminal.bus).collect();
        let closed = vec![true; buses.len()];
        Edge { id: one.id, kind: "transformer", buses, closed }
    }));
    edges.extend(
        network
            .links()
            .iter()
            .map(|one| two(one.id, "switch", (one.from, one.to), [one.from_closed, one.to_closed])),
    );
    edges.extend(
        network
            .generic_branches()
            .iter()
            .map(|one| two(one.id, "branch", (one.from, one.to), [one.from_closed, one.to_closed])),
    );
    edges
}

#[cfg(test)]
mod tests;
