//! What may be different from what the network file says, as hypotheses for [`crate::diagnosis::rank`]: a switch that
//! stands the other way, a tap on another position, a meter on other phases than its label says.
//!
//! Only single changes are asked, and only those that leave every bus fed: an open branch between live buses may be closed,
//! a closed one may be open where another way leads to a source.

use crate::assembly::{Assembly, BranchPlace};
use crate::circuit::{Circuit, Readings, Series};
use crate::diagnosis::{Evidence, Hypothesis, edits};
use crate::gathering::Gathered;
use grid::network::{NetworkParts, Tap};
use grid::{BranchId, Network};
use std::collections::{BTreeMap, BTreeSet};

/// What may be different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A branch that is open, wholly or at one end, is closed.
    Closed(BranchId),
    /// A closed branch is open.
    Open(BranchId),
    /// The tap of a transformer stands elsewhere.
    Tap {
        /// The transformer.
        branch: BranchId,
        /// Where it stands.
        position: i8,
    },
    /// Two phases of a sensor are exchanged.
    Phases {
        /// Position of the sensor (the first one at its bus, for what a bus takes).
        sensor: u32,
        /// One wire, by its number at the bus.
        one: u8,
        /// The other.
        other: u8,
    },
}

/// Most hypotheses that are scored; each costs a solve.
pub(super) const DOUBTS_MAX: usize = 200;
/// How far from its place a tap is looked for.
const TAP_STEPS: i8 = 4;
/// Sensors whose phases are doubted: those with the largest residuals beyond this many deviations.
const PHASES_ASKED: usize = 60;
const CONSPICUOUS: f64 = 2.0;

/// A doubt with its edit.
struct Asked {
    doubt: Doubt,
    change: Change,
}

/// What changes in the circuit or the readings.
enum Change {
    /// One more series element; the general element that stands for the half-open branch lets nothing through.
    Joined(Box<Series>, Option<u32>),
    Opened(u32),
    Replaced(u32, Box<Series>),
    Exchanged {
        sensor: u32,
        bus: Option<u32>,
        one: u8,
        other: u8,
    },
}

impl Change {
    fn edit(&self, circuit: &Circuit, readings: &Readings) -> (Circuit, Readings) {
        match self {
            Change::Joined(series, half_open) => {
                let mut edited = edits::with_series(circuit, (**series).clone());
                if let Some(element) = half_open {
                    edited.general[*element as usize].y.fill(num_complex::Complex64::ZERO);
                }
                (edited, readings.clone())
            }
            Change::Opened(element) => (edits::opened(circuit, *element), readings.clone()),
            Change::Replaced(element, series) => {
                let mut edited = circuit.clone();
                edited.series[*element as usize] = (**series).clone();
                (edited, readings.clone())
            }
            Change::Exchanged { bus: Some(bus), one, other, .. } => {
                (circuit.clone(), edits::with_phases_exchanged(readings, *bus, *one, *other))
            }
            Change::Exchanged { sensor, one, other, .. } => {
                (circuit.clone(), edits::with_sensor_phases_exchanged(readings, *sensor, *one, *other))
            }
        }
    }
}

/// All doubts worth asking, at most [`DOUBTS_MAX`], with how many were not asked: too many, or of a sensor that fits.
pub(super) fn doubts(
    network: &Network,
    assembly: &Assembly,
    gathered: &Gathered,
    evidence: &Evidence,
) -> (Vec<(Doubt, Hypothesis<'static>)>, usize) {
    let mut asked = open_branches(network, assembly);
    let (phases, fitting) = phases(assembly, gathered, evidence);
    asked.extend(phases);
    asked.extend(closed_branches(assembly));
    asked.extend(taps(network, assembly));
    let left_out = fitting + asked.len().saturating_sub(DOUBTS_MAX);
    asked.truncate(DOUBTS_MAX);
    let hypothesis = |Asked { doubt, change }: Asked| {
        let edit = move |circuit: &Circuit, readings: &Readings| change.edit(circuit, readings);
        (doubt, Hypothesis { name: format!("{doubt:?}"), edit: Box::new(edit) })
    };
    (asked.into_iter().map(hypothesis).collect(), left_out)
}

/// Branches between live buses that are open somewhere.
fn open_branches(network: &Network, assembly: &Assembly) -> Vec<Asked> {
    let mut parts = network.parts().clone();
    let opened = close_all(&mut parts);
    if opened.is_empty() {
        return Vec::new();
    }
    let Ok(closed) = Network::new(parts)
        .map_err(drop)
        .and_then(|network| Assembly::new(&network, assembly.symmetric).map_err(drop))
    else {
        return Vec::new();
    };
    let live = |bus: u32| assembly.circuit.buses.get(bus as usize).is_some_and(|bus| bus.energized);
    let ask = |id: BranchId| {
        let Some(BranchPlace::Series(at)) = closed.branches.get(&id) else { return None };
        let series = &closed.circuit.series[*at as usize];
        let half_open = match assembly.branches.get(&id)? {
            BranchPlace::Off => None,
            BranchPlace::General(element, _) => Some(*element),
            _ => return None,
        };
        let fits = live(series.from) && live(series.to);
        fits.then(|| Asked {
            doubt: Doubt::Closed(id),
            change: Change::Joined(Box::new(series.clone()), half_open),
        })
    };
    opened.into_iter().filter_map(ask).collect()
}

/// Closes every branch of two ends; those that were not.
fn close_all(parts: &mut NetworkParts) -> Vec<BranchId> {
    let mut opened = Vec::new();
    let mut close = |id: BranchId, from: &mut bool, to: &mut bool| {
        if !(*from && *to) {
            opened.push(id);
            (*from, *to) = (true, true);
        }
    };
    parts.lines.iter_mut().for_each(|one| close(one.id, &mut one.from_closed, &mut one.to_closed));
    parts.coupled_lines.iter_mut().for_each(|one| close(one.id, &mut one.from_closed, &mut one.to_closed));
    parts.links.iter_mut().for_each(|one| close(one.id, &mut one.from_closed, &mut one.to_closed));
    parts.generic_branches.iter_mut().for_each(|one| close(one.id, &mut one.from_closed, &mut one.to_closed));
    parts.transformers.iter_mut().for_each(|one| close(one.id, &mut one.from_closed, &mut one.to_closed));
    opened
}

/// Other positions of the taps of two-winding transformers.
fn taps(network: &Network, assembly: &Assembly) -> Vec<Asked> {
    let mut asked = Vec::new();
    let tapped = network.transformers().iter().filter_map(|unit| Some((unit, unit.tap?)));
    let mut moved: Option<Assembly> = None;
    for (unit, tap) in tapped {
        let Some(BranchPlace::Series(at)) = assembly.branches.get(&unit.id) else { continue };
        let moved = moved.get_or_insert_with(|| assembly.clone());
        for position in positions(&tap) {
            let mut other = unit.clone();
            other.tap = Some(Tap { position, ..tap });
            if moved.replace_transformer(&other).is_err() {
                continue;
            }
            let series = Box::new(moved.circuit.series[*at as usize].clone());
            asked.push(Asked {
                doubt: Doubt::Tap { branch: unit.id, position },
                change: Change::Replaced(*at, series),
            });
        }
    }
    asked
}

/// Positions near that of a tap, its own left out.
fn positions(tap: &Tap) -> impl Iterator<Item = i8> + use<> {
    let (low, high, own) = (tap.min.min(tap.max), tap.min.max(tap.max), tap.position);
    (low.max(own.saturating_sub(TAP_STEPS))..=high.min(own.saturating_add(TAP_STEPS)))
        .filter(move |position| *position != own)
}

/// Exchanged phases of the sensors that fit worst, and how many exchanges there are beside these.
fn phases(assembly: &Assembly, gathered: &Gathered, evidence: &Evidence) -> (Vec<Asked>, usize) {
    if assembly.symmetric {
        return (Vec::new(), 0);
    }
    let readings = &gathered.readings;
    // Wires by sensor: what buses take by the bus.
    let mut wires: BTreeMap<(u32, Option<u32>), BTreeSet<u8>> = BTreeMap::new();
    let mut add = |sensor: u32, bus: Option<u32>, wire: u8| {
        wires.entry((sensor, bus)).or_default().insert(wire);
    };
    readings.voltages.iter().for_each(|one| add(one.sensor, None, one.wire));
    readings.injections.iter().for_each(|one| add(one.sensor, Some(one.bus), one.wire));
    let by_wire = readings.powers.iter().filter_map(|one| Some((one.sensor, one.wire?)));
    by_wire.for_each(|(sensor, wire)| add(sensor, None, wire));
    readings.currents.iter().for_each(|one| add(one.sensor, None, one.wire));
    let mut worst: BTreeMap<u32, f64> = BTreeMap::new();
    for (row, variance) in evidence.rows.iter().zip(&evidence.variances).filter(|(_, v)| **v > 0.0) {
        let size = worst.entry(row.sensor).or_default();
        *size = size.max(row.residual.abs() / variance.sqrt());
    }
    let possible = 3 * wires.values().filter(|wires| wires.len() == 3).count();
    let mut conspicuous: Vec<(f64, (u32, Option<u32>))> = wires
        .iter()
        .filter(|(_, wires)| wires.len() == 3)
        .filter_map(|(&key, _)| Some((*worst.get(&key.0).filter(|size| **size > CONSPICUOUS)?, key)))
        .collect();
    conspicuous.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut asked = Vec::new();
    for (_, (sensor, bus)) in conspicuous.into_iter().take(PHASES_ASKED) {
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            asked.push(Asked {
                doubt: Doubt::Phases { sensor, one, other },
                change: Change::Exchanged { sensor, bus, one, other },
            });
        }
    }
    let beside = possible - asked.len();
    (asked, beside)
}

/// Closed branches that another way stands beside.
fn closed_branches(assembly: &Assembly) -> Vec<Asked> {
    let in_loops = beside_another_way(&assembly.circuit);
    let ask = |(&id, place): (&BranchId, &BranchPlace)| match place {
        BranchPlace::Series(at) if in_loops.contains(at) => {
            Some(Asked { doubt: Doubt::Open(id), change: Change::Opened(*at) })
        }
        _ => None,
    };
    assembly.branches.iter().filter_map(ask).collect()
}

/// Series elements without which every bus is still fed: no bridges, when all sources stand at one node.
fn beside_another_way(circuit: &Circuit) -> BTreeSet<u32> {
    let count = circuit.buses.len() as u32;
    let live = |bus: u32| circuit.buses[bus as usize].energized;
    let none = u32::MAX;
    let mut edges: Vec<(u32, u32, u32)> = Vec::new();
    for (at, one) in (0_u32..).zip(&circuit.series).filter(|(_, one)| live(one.from) && live(one.to)) {
        edges.push((one.from, one.to, at));
    }
    for one in &circuit.general {
        let mut buses = one.terminals.iter().map(|terminal| terminal.0).filter(|bus| live(*bus));
        if let Some(first) = buses.next() {
            edges.extend(buses.map(|bus| (first, bus, none)));
        }
    }
    edges.extend(circuit.sources.iter().filter(|one| live(one.bus)).map(|one| (count, one.bus, none)));
    let mut near: Vec<Vec<(u32, u32)>> = vec![Vec::new(); count as usize + 1];
    for (number, &(a, b, _)) in (0_u32..).zip(&edges) {
        near[a as usize].push((b, number));
        near[b as usize].push((a, number));
    }
    // Depth first; `low` is the earliest bus that a subtree reaches otherwise than by its own edge (Tarjan 1974).
    let (mut order, mut low) = (vec![none; near.len()], vec![none; near.len()]);
    let mut beside = BTreeSet::new();
    let mut next = 0;
    let mut path: Vec<(u32, u32, usize)> = vec![(count, none, 0)];
    (order[count as usize], low[count as usize]) = (next, next);
    while let Some((bus, by, at)) = path.pop() {
        let here = bus as usize;
        if let Some(&(other, edge)) = near[here].get(at) {
            path.push((bus, by, at + 1));
            if edge == by {
                continue;
            }
            if order[other as usize] == none {
                next += 1;
                (order[other as usize], low[other as usize]) = (next, next);
                path.push((other, edge, 0));
            } else {
                low[here] = low[here].min(order[other as usize]);
                beside.insert(edges[edge as usize].2);
            }
        } else if let Some(&(parent, _, _)) = path.last() {
            low[parent as usize] = low[parent as usize].min(low[here]);
            if low[here] <= order[parent as usize] {
                beside.insert(edges[by as usize].2);
            }
        }
    }
    beside.remove(&none);
    beside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::study::Study;

    #[test]
    fn only_what_lies_on_a_loop_may_be_open() {
        for seed in 0..20 {
            for loops in [0, 1, 3] {
                let circuit = Study::new(seed, 14, 1, loops).circuit;
                let found = beside_another_way(&circuit);
                for element in 0..circuit.series.len() as u32 {
                    let mut reached = BTreeSet::from([0_u32]);
                    for _ in 0..circuit.buses.len() {
                        let others = (0_u32..).zip(&circuit.series).filter(|(at, _)| *at != element);
                        for (_, one) in others {
                            if reached.contains(&one.from) || reached.contains(&one.to) {
                                reached.extend([one.from, one.to]);
                            }
                        }
                    }
                    assert_eq!(found.contains(&element), reached.len() == circuit.buses.len());
                }
            }
        }
    }
}
