//! Fewer buses, the same flows: lines in a row become one where nothing is connected between them, and dead ends go.
//!
//! A bus is merged away when it has no appliance, no end of anything but a line, nobody who asks for it, and exactly two closed
//! lines. Series impedances add: at the buses that are left voltages and currents are those of the whole network, exactly where
//! lines have no capacitance. Capacitances add as well, half of the sum at each end of the π-model; what that changes is of the
//! order of ω²LC of the merged line, some 1e-7 of the voltage for a kilometre of low-voltage cable.
//! A dead end is a line without capacitance to a bus with nothing else: no current ever flows there.

use super::{Line, Network, NetworkError, NetworkParts};
use crate::id::{BranchId, BusId};
use crate::topology::Topology;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A network with fewer buses, and what became of the lines that are gone.
#[derive(Debug, Clone, PartialEq)]
pub struct Merged {
    /// The network; what is left keeps its number, its order and its name.
    pub network: Network,
    /// Lines that are part of another now, with that one.
    pub into: BTreeMap<BranchId, BranchId>,
    /// Lines that led nowhere, ascending.
    pub dead_ends: Vec<BranchId>,
}

impl Network {
    /// Merges lines in a row and takes dead ends away. Buses in `keep` stay (a line both of whose buses stay does so too, unless
    /// it is a part of a longer one): those with instruments, for example.
    ///
    /// The line nearest to a source gives its number, and its direction, to the merged one; the smallest rating that is known
    /// governs. Open lines, lines between different rated voltages, coupled lines and loops without a source stay as they are.
    ///
    /// # Errors
    /// [`NetworkError`] when what is left is no network, such as a sum beyond what is accepted of one line.
    pub fn merged(self, keep: &BTreeSet<BusId>) -> Result<Merged, NetworkError> {
        let (stays, hops) = (staying(&self, keep), hops(&self));
        let mut web = Web::new(&self, stays, hops);
        let mut parts = self.into_parts();
        let dead_ends = web.cut_dead_ends();
        let into = web.join_rows();
        parts.lines = web.lines.into_iter().flatten().collect();
        let mut bus_gone = web.gone.into_iter();
        parts.buses.retain(|_| !bus_gone.next().unwrap_or(false));
        Ok(Merged { network: Network::new(parts)?, into, dead_ends })
    }
}

/// For each bus whether it stays whatever its lines are.
fn staying(network: &Network, keep: &BTreeSet<BusId>) -> Vec<bool> {
    let mut kept = keep.clone();
    let parts: &NetworkParts = network.parts();
    let watched: BTreeSet<BranchId> = parts.capacitor_controls.iter().map(|control| control.branch).collect();
    let topology = Topology::of(network);
    for edge in topology.edges() {
        let plain = edge.kind == "line" && edge.closed.iter().all(|end| *end);
        if !plain || watched.contains(&edge.id) {
            kept.extend(edge.buses.iter().copied());
        }
    }
    kept.extend(parts.coupled_lines.iter().flat_map(|line| [line.from.bus, line.to.bus]));
    kept.extend(parts.sources.iter().map(|source| source.bus));
    kept.extend(parts.usage_points.iter().map(|point| point.bus));
    kept.extend(parts.shunts.iter().map(|shunt| shunt.bus));
    kept.extend(parts.capacitors.iter().map(|capacitor| capacitor.terminal.bus));
    kept.extend(parts.loads.iter().map(|load| load.terminal.bus));
    let rated = |bus| network.bus_index(bus).map(|at| network.buses()[at].u_rated_v);
    let uneven = network.lines().iter().filter(|line| rated(line.from) != rated(line.to));
    kept.extend(uneven.flat_map(|line| [line.from, line.to]));
    network.buses().iter().map(|bus| kept.contains(&bus.id)).collect()
}

/// For each bus the number of branches to the nearest source.
fn hops(network: &Network) -> Vec<usize> {
    let at = |bus: &BusId| network.bus_index(*bus);
    let mut beside: Vec<Vec<usize>> = vec![Vec::new(); network.buses().len()];
    for edge in Topology::of(network).edges() {
        let ends: Vec<usize> = edge.buses.iter().filter_map(at).collect();
        for &end in &ends {
            beside[end].extend(ends.iter().copied().filter(|other| *other != end));
        }
    }
    let mut hops = vec![usize::MAX; beside.len()];
    let mut next: VecDeque<usize> = network.sources().iter().filter_map(|source| at(&source.bus)).collect();
    next.iter().for_each(|&bus| hops[bus] = 0);
    while let Some(bus) = next.pop_front() {
        for &other in &beside[bus] {
            if hops[other] == usize::MAX {
                hops[other] = hops[bus] + 1;
                next.push_back(other);
            }
        }
    }
    hops
}

/// Lines by their buses' positions.
struct Web {
    stays: Vec<bool>,
    hops: Vec<usize>,
    lines: Vec<Option<Line>>,
    ends: Vec<(usize, usize)>,
    /// Lines at each bus.
    at: Vec<Vec<usize>>,
    /// Buses that are merged away.
    gone: Vec<bool>,
}

impl Web {
    fn new(network: &Network, stays: Vec<bool>, hops: Vec<usize>) -> Self {
        let place = |bus| network.bus_index(bus).unwrap_or_default();
        let ends: Vec<_> = network.lines().iter().map(|line| (place(line.from), place(line.to))).collect();
        let mut at = vec![Vec::new(); stays.len()];
        for (line, &(from, to)) in ends.iter().enumerate() {
            at[from].push(line);
            at[to].push(line);
        }
        let gone = vec![false; stays.len()];
        Self { stays, hops, lines: network.lines().iter().cloned().map(Some).collect(), ends, at, gone }
    }

    fn other_end(&self, line: usize, bus: usize) -> usize {
        let (from, to) = self.ends[line];
        if from == bus { to } else { from }
    }

    fn cut_dead_ends(&mut self) -> Vec<BranchId> {
        let mut cut = Vec::new();
        let mut waiting: Vec<usize> = (0..self.at.len()).collect();
        while let Some(bus) = waiting.pop() {
            let &[only] = self.at[bus].as_slice() else { continue };
            let without = |line: &mut Line| line.c1_f == 0.0 && line.c0_f == 0.0;
            // What no source reaches stays: nobody asks for its voltages, but nobody said that it is to go.
            if self.stays[bus] || self.hops[bus] == usize::MAX {
                continue;
            }
            if let Some(line) = self.lines[only].take_if(without) {
                let parent = self.other_end(only, bus);
                self.at[parent].retain(|other| *other != only);
                self.at[bus].clear();
                self.gone[bus] = true;
                cut.push(line.id);
                waiting.push(parent);
            }
        }
        cut.sort_unstable();
        cut
    }

    fn join_rows(&mut self) -> BTreeMap<BranchId, BranchId> {
        let mut into = BTreeMap::new();
        for bus in 0..self.at.len() {
            let &[a, b] = self.at[bus].as_slice() else { continue };
            let (x, y) = (self.other_end(a, bus), self.other_end(b, bus));
            // Two lines to one and the same bus would be a line from there to itself.
            if self.stays[bus] || x == y || self.hops[bus] == usize::MAX {
                continue;
            }
            let (kept, lost, far) =
                if (self.hops[x], a) <= (self.hops[y], b) { (a, b, y) } else { (b, a, x) };
            let Some(part) = self.lines[lost].take() else { continue };
            let far_bus = if self.ends[lost].0 == far { part.from } else { part.to };
            let Some(line) = self.lines[kept].as_mut() else { continue };
            add(line, &part);
            if self.ends[kept].0 == bus {
                (line.from, self.ends[kept].0) = (far_bus, far);
            } else {
                (line.to, self.ends[kept].1) = (far_bus, far);
            }
            into.insert(part.id, line.id);
            self.at[far].iter_mut().filter(|at| **at == lost).for_each(|at| *at = kept);
            self.at[bus].clear();
            self.gone[bus] = true;
        }
        // A line that took others in may have been taken in itself.
        let last = |mut line: BranchId| {
            while let Some(&next) = into.get(&line) {
                line = next;
            }
            line
        };
        into.keys().map(|&line| (line, last(line))).collect()
    }
}

/// Puts `part` in series with `line`.
fn add(line: &mut Line, part: &Line) {
    let weighted = |(tan_a, c_a): (f64, f64), (tan_b, c_b): (f64, f64)| match c_a + c_b {
        0.0 => 0.0,
        sum => (tan_a * c_a + tan_b * c_b) / sum,
    };
    line.tan1 = weighted((line.tan1, line.c1_f), (part.tan1, part.c1_f));
    line.tan0 = weighted((line.tan0, line.c0_f), (part.tan0, part.c0_f));
    line.r1_ohm += part.r1_ohm;
    line.x1_ohm += part.x1_ohm;
    line.r0_ohm += part.r0_ohm;
    line.x0_ohm += part.x0_ohm;
    line.c1_f += part.c1_f;
    line.c0_f += part.c0_f;
    line.i_rated_a = match (line.i_rated_a, part.i_rated_a) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UsagePointId;
    use crate::network::{Bus, Source, UsagePoint};

    fn line(id: u32, from: u32, to: u32, ohm: f64, rated: Option<f64>) -> Line {
        let ends = (BusId(from), BusId(to));
        Line {
            id: BranchId(id),
            from: ends.0,
            to: ends.1,
            r1_ohm: ohm,
            x1_ohm: 2.0 * ohm,
            r0_ohm: 3.0 * ohm,
            x0_ohm: 4.0 * ohm,
            i_rated_a: rated,
            ..Line::default()
        }
    }

    /// 1 (source) — 2 — 3 — 4 — 5 (home), 3 — 6 — 7 leads nowhere; 3 — 4 is given the other way round.
    fn street() -> NetworkParts {
        NetworkParts {
            buses: (1..=7).map(|id| Bus { id: BusId(id), u_rated_v: 400.0, position_m: None }).collect(),
            lines: vec![
                line(11, 1, 2, 0.1, Some(300.0)),
                line(12, 2, 3, 0.2, None),
                line(13, 4, 3, 0.4, Some(100.0)),
                line(14, 4, 5, 0.8, Some(200.0)),
                line(15, 3, 6, 1.0, Some(50.0)),
                line(16, 6, 7, 1.0, None),
            ],
            sources: vec![Source { bus: BusId(1), ..Source::default() }],
            usage_points: vec![UsagePoint {
                id: UsagePointId(1),
                bus: BusId(5),
                phase: None,
                p_specified_w: 1.0,
                q_specified_var: 0.0,
            }],
            ..NetworkParts::default()
        }
    }

    fn merged(parts: NetworkParts, keep: &[u32]) -> Merged {
        Network::new(parts).unwrap().merged(&keep.iter().map(|&bus| BusId(bus)).collect()).unwrap()
    }

    fn buses(merged: &Merged) -> Vec<u32> {
        merged.network.buses().iter().map(|bus| bus.id.0).collect()
    }

    #[test]
    fn a_row_becomes_one_line_named_after_its_first_and_dead_ends_go() {
        let found = merged(street(), &[]);
        assert_eq!(buses(&found), [1, 5]);
        let [only] = found.network.lines() else { panic!("{:?}", found.network.lines()) };
        assert_eq!(
            (only.id, only.from, only.to, only.i_rated_a),
            (BranchId(11), BusId(1), BusId(5), Some(100.0))
        );
        assert!((only.r1_ohm - 1.5).abs() < 1e-12 && (only.x0_ohm - 6.0).abs() < 1e-12);
        assert_eq!(found.dead_ends, [BranchId(15), BranchId(16)]);
        assert_eq!(found.into.len(), 3);
        assert!(found.into.values().all(|line| *line == BranchId(11)));
    }

    #[test]
    fn what_somebody_asks_for_stays() {
        assert_eq!(buses(&merged(street(), &[3])), [1, 3, 5]);
        assert_eq!(buses(&merged(street(), &[7])), [1, 3, 5, 7]);
        let found = merged(street(), &[4]);
        let second = found.network.lines().iter().find(|line| line.to == BusId(5)).unwrap();
        assert_eq!((second.id, second.from, second.i_rated_a), (BranchId(14), BusId(4), Some(200.0)));
    }

    #[test]
    fn a_line_against_the_flow_keeps_its_direction() {
        let found = merged(street(), &[3]);
        let second = &found.network.lines()[1];
        assert_eq!((second.id, second.from, second.to), (BranchId(13), BusId(5), BusId(3)));
    }

    #[test]
    fn open_lines_other_voltages_and_what_has_equipment_stay() {
        let mut open = street();
        open.lines.push(Line { to_closed: false, ..line(17, 2, 7, 0.1, None) });
        assert_eq!(buses(&merged(open, &[])), [1, 2, 3, 5, 7]);
        let mut high = street();
        high.buses[1].u_rated_v = 11e3;
        assert_eq!(buses(&merged(high, &[])), [1, 2, 3, 5]);
        let mut charged = street();
        (charged.lines[5].c1_f, charged.lines[5].tan1) = (1e-6, 0.1);
        let charged = merged(charged, &[]);
        assert_eq!(buses(&charged), [1, 3, 5, 7]);
        let stub = charged.network.lines().iter().find(|line| line.to == BusId(7)).unwrap();
        assert_eq!((stub.id, stub.c1_f, stub.tan1), (BranchId(15), 1e-6, 0.1));
    }

    #[test]
    fn a_ring_does_not_become_a_line_from_a_bus_to_itself() {
        let mut ring = street();
        ring.lines.push(line(17, 7, 3, 0.1, None));
        let found = merged(ring, &[]);
        assert_eq!(buses(&found), [1, 3, 5, 7]);
        let touches = |line: &&Line| line.from == BusId(7) || line.to == BusId(7);
        assert_eq!(found.network.lines().iter().filter(touches).count(), 2);
        assert!(found.dead_ends.is_empty());
    }
}
