//! Which buses have a closed way to a closed source.

use grid::{BusId, Network};

/// Per position in `Network::buses`, and after them per three-winding transformer its star point.
pub(super) fn energized(network: &Network) -> Vec<bool> {
    let count = network.buses().len();
    let mut sets = Sets::new(count + network.three_winding_transformers().len());
    let at = |bus: BusId| network.bus_index(bus).unwrap_or(0);
    let two_ended = (network.lines().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed)))
        .chain(network.transformers().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed)))
        .chain(network.links().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed)))
        .chain(network.generic_branches().iter().map(|b| (b.from, b.to, b.from_closed && b.to_closed)))
        .chain(network.coupled_lines().iter().map(|b| (b.from.bus, b.to.bus, b.from_closed && b.to_closed)));
    for (from, to, closed) in two_ended {
        if closed {
            sets.join(at(from), at(to));
        }
    }
    for (number, unit) in network.three_winding_transformers().iter().enumerate() {
        for winding in 0..3 {
            if unit.closed[winding] {
                sets.join(at(unit.buses[winding]), count + number);
            }
        }
    }
    for unit in network.winding_transformers() {
        for pair in unit.windings.windows(2) {
            sets.join(at(pair[0].terminal.bus), at(pair[1].terminal.bus));
        }
    }
    let mut fed = vec![false; sets.parent.len()];
    for source in network.sources().iter().filter(|source| source.closed) {
        let root = sets.root(at(source.bus));
        fed[root] = true;
    }
    (0..fed.len()).map(|bus| fed[sets.root(bus)]).collect()
}

/// Disjoint sets with path halving (R. E. Tarjan, J. van Leeuwen, JACM 31(2), 1984).
struct Sets {
    parent: Vec<u32>,
}

impl Sets {
    fn new(count: usize) -> Self {
        Self { parent: (0..count as u32).collect() }
    }

    fn root(&mut self, of: usize) -> usize {
        let mut at = of;
        while self.parent[at] as usize != at {
            let above = self.parent[self.parent[at] as usize];
            self.parent[at] = above;
            at = above as usize;
        }
        at
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        // The smaller number wins: neighbours in the file make short ways.
        let (low, high) = if one < other { (one, other) } else { (other, one) };
        self.parent[high] = low as u32;
    }
}
