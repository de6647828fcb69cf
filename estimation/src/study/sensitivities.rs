//! What every limited element answers to every connection point: by how much the voltage of a wire, the current and the
//! loading of a branch move when a load or generator takes a little more. Exact to first order at a solved power flow of a
//! radial network, O(depth) for each pair.

use super::flow::FlowStudy;
use crate::assembly::{AppliancePlace, BranchPlace};
use crate::circuit::{Circuit, GROUND, NotATree, Tree};
use crate::results::{BranchResult, EndResult, Results, WireFlow};
use crate::sweep::sensitivities::{Effects, End, Sensitivities, Taking};
use grid::{BranchId, BusId, Network};
use num_complex::Complex64;
use std::collections::BTreeSet;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// The voltage of a wire of a bus, by its number at the bus.
    Voltage(BusId, usize),
    /// The end of a branch that decides its loading; in a line the conductor that does.
    Loading(BranchId),
}

/// What moves with one W, or one var, more taken.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Moves {
    /// The voltage magnitude, V; phase to phase in a symmetric calculation. NaN for a branch.
    pub u_v: f64,
    /// The current magnitude of the conductor with most current at the end, A. NaN for a bus.
    pub i_a: f64,
    /// The loading, p.u.; NaN without a rating and for a bus.
    pub loading: f64,
}

/// The answer to one connection point.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The load, generator or usage point.
    pub appliance: u32,
    /// By active power taken: branch by branch of the appliance, or one entry for all of them evenly.
    pub p: Vec<Moves>,
    /// By reactive power taken.
    pub q: Vec<Moves>,
}

/// A limited element with its answers to all connection points that are alive.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Which.
    pub of: Limited,
    /// The end of a branch, by number.
    pub end: usize,
    /// The wire of a bus, or the conductor with most current.
    pub wire: usize,
    /// One per connection point.
    pub answers: Vec<Answer>,
}

/// Where a limited element is in the circuit.
struct Spot {
    of: Limited,
    end: usize,
    wire: usize,
    place: Spotted,
    /// Volts, or amperes, per p.u.
    base: f64,
    rating: Rating,
}

#[derive(Clone, Copy)]
enum Spotted {
    Bus(u32),
    Element(u32, End),
}

#[derive(Clone, Copy)]
enum Rating {
    None,
    /// A.
    Current(f64),
    /// VA, of the sum of the wires' apparent powers.
    Power(f64),
}

/// A connection point: what it may take more, and how it is counted.
struct Point {
    appliance: u32,
    takings: Vec<Taking>,
}

impl FlowStudy {
    /// The responses of limited elements (those that are dead or open are left out) at the voltages of a solved flow.
    ///
    /// # Errors
    /// [`NotATree`]: only radial networks are told of.
    pub fn responses(
        &self,
        network: &Network,
        voltages: &[Complex64],
        limited: &[Limited],
    ) -> Result<Vec<Response>, NotATree> {
        let assembly = self.assembly();
        let circuit = &assembly.circuit;
        let tree = Tree::new(circuit)?;
        let linear = Sensitivities::new(circuit, &tree, &circuit.ports, voltages)?;
        let results = Results::new(network, assembly, voltages);
        let spots: Vec<Spot> = limited.iter().filter_map(|&of| self.spot(network, &results, of)).collect();
        let mut responses: Vec<Response> = (spots.iter())
            .map(|spot| Response { of: spot.of, end: spot.end, wire: spot.wire, answers: Vec::new() })
            .collect();
        for point in self.points(network) {
            let effects: Vec<_> = point.takings.iter().filter_map(|taking| linear.of(taking)).collect();
            if effects.is_empty() {
                continue;
            }
            for (spot, response) in spots.iter().zip(&mut responses) {
                let moves = |effects: &Effects<'_, '_>| spot.moves(circuit, voltages, effects);
                response.answers.push(Answer {
                    appliance: point.appliance,
                    p: effects.iter().map(|(active, _)| moves(active)).collect(),
                    q: effects.iter().map(|(_, reactive)| moves(reactive)).collect(),
                });
            }
        }
        Ok(responses)
    }

    /// Loads, generators and usage points, in the order of the network.
    fn points(&self, network: &Network) -> Vec<Point> {
        let loads = network.loads().iter().map(|load| (load.id, load.symmetric));
        let numbers: BTreeSet<u32> = network.loads().iter().map(|load| load.id).collect();
        let usage = network.usage_points().iter().filter(|point| !numbers.contains(&point.id.0));
        let all = loads.chain(usage.map(|point| (point.id.0, true)));
        all.filter_map(|(id, evenly)| self.point(id, evenly)).collect()
    }

    fn point(&self, id: u32, evenly: bool) -> Option<Point> {
        let circuit = &self.assembly().circuit;
        let (bus, place) = self.assembly().appliances.get(&id)?;
        let AppliancePlace::Ports(ports) = place else { return None };
        let ports = circuit.ports.get(ports.start as usize..ports.end as usize)?;
        let mut wires: Vec<(u8, u8)> = ports.iter().map(|port| (port.plus, port.minus)).collect();
        // A load of nothing may have no ports; it is there all the same.
        if wires.is_empty() {
            wires = (0..circuit.buses[*bus as usize].wires.min(3)).map(|wire| (wire, GROUND)).collect();
        }
        let share = 1.0 / wires.len() as f64;
        let takings = if evenly {
            let shares = wires.iter().map(|&(plus, minus)| (plus, minus, share)).collect();
            vec![Taking { bus: *bus, shares }]
        } else {
            let each = wires.iter().map(|&(plus, minus)| vec![(plus, minus, 1.0)]);
            each.map(|shares| Taking { bus: *bus, shares }).collect()
        };
        Some(Point { appliance: id, takings })
    }

    fn spot(&self, network: &Network, results: &Results, of: Limited) -> Option<Spot> {
        let assembly = self.assembly();
        let circuit = &assembly.circuit;
        let id = match of {
            Limited::Loading(id) => id,
            Limited::Voltage(id, wire) => {
                let bus = *assembly.buses.get(&id)?;
                let there = circuit.buses[bus as usize];
                let base = there.u_base_v * if assembly.symmetric { 3.0_f64.sqrt() } else { 1.0 };
                let alive = there.energized && wire < usize::from(there.wires);
                let place = Spotted::Bus(bus);
                return alive.then_some(Spot { of, end: 0, wire, place, base, rating: Rating::None });
            }
        };
        let (result, ratings) = rated(network, results, id)?;
        let (end, flows) = result.ends.iter().enumerate().max_by(|(_, a), (_, b)| {
            let of = |end: &EndResult| end.loading.unwrap_or_else(|| end.i_max_a());
            of(a).total_cmp(&of(b))
        })?;
        let (element, side) = series(assembly.branches.get(&id)?, end)?;
        let most =
            |(_, a): &(usize, &WireFlow), (_, b): &(usize, &WireFlow)| a.i_a.norm().total_cmp(&b.i_a.norm());
        let wire = flows.wires.iter().enumerate().max_by(most).map_or(0, |(wire, _)| wire);
        let there = &circuit.series[element as usize];
        let bus = if side == End::From { there.from } else { there.to };
        let phases = if assembly.symmetric { 3.0 } else { 1.0 };
        let base = circuit.s_base_va / (phases * circuit.buses[bus as usize].u_base_v);
        let rating = ratings.get(end).copied().unwrap_or(Rating::None);
        Some(Spot { of, end, wire, place: Spotted::Element(element, side), base, rating })
    }
}

/// The series element and its side at an end of a branch.
fn series(place: &BranchPlace, end: usize) -> Option<(u32, End)> {
    match (place, end) {
        (BranchPlace::Series(element), 0) => Some((*element, End::From)),
        (BranchPlace::Series(element), _) => Some((*element, End::To)),
        (BranchPlace::Star(arms), end) => series(arms.get(end)?, 0),
        _ => None,
    }
}

/// A branch with the ratings of its ends.
fn rated<'a>(
    network: &Network,
    results: &'a Results,
    id: BranchId,
) -> Option<(&'a BranchResult, Vec<Rating>)> {
    let current = |rated: Option<f64>| vec![rated.map_or(Rating::None, Rating::Current); 2];
    let power = |rated: &[f64]| rated.iter().map(|rated| Rating::Power(*rated)).collect();
    let find = |list: &'a [BranchResult]| list.iter().position(|branch| branch.id == id);
    if let Some(at) = find(&results.lines) {
        return Some((&results.lines[at], current(network.lines()[at].i_rated_a)));
    }
    if let Some(at) = find(&results.coupled_lines) {
        return Some((&results.coupled_lines[at], current(network.coupled_lines()[at].i_rated_a)));
    }
    if let Some(at) = find(&results.transformers) {
        return Some((&results.transformers[at], power(&[network.transformers()[at].s_rated_va; 2])));
    }
    if let Some(at) = find(&results.generic_branches) {
        let rated = network.generic_branches()[at].s_rated_va;
        return Some((
            &results.generic_branches[at],
            rated.map_or_else(Vec::new, |rated| power(&[rated; 2])),
        ));
    }
    if let Some(at) = find(&results.three_winding_transformers) {
        let rated = &network.three_winding_transformers()[at].s_rated_va;
        return Some((&results.three_winding_transformers[at], power(rated)));
    }
    let at = find(&results.links)?;
    Some((&results.links[at], Vec::new()))
}

impl Spot {
    /// What moves with one W (or var), from the effects of one p.u.
    fn moves(&self, circuit: &Circuit, voltages: &[Complex64], effects: &Effects<'_, '_>) -> Moves {
        let none = Moves { u_v: f64::NAN, i_a: f64::NAN, loading: f64::NAN };
        let s_base = circuit.s_base_va;
        let (element, end) = match self.place {
            Spotted::Bus(bus) => {
                let u_v = effects.magnitude(bus, self.wire as u8) * self.base / s_base;
                return Moves { u_v, ..none };
            }
            Spotted::Element(element, end) => (element, end),
        };
        let Some((now, moved)) = effects.currents(element, end) else { return none };
        let along = |now: Complex64, moved: Complex64| {
            if now.norm() > 0.0 { (now.conj() * moved).re / now.norm() } else { moved.norm() }
        };
        let i_a = along(now[self.wire], moved[self.wire]) * self.base / s_base;
        let loading = match self.rating {
            Rating::None => f64::NAN,
            Rating::Current(rated) => i_a / rated,
            Rating::Power(rated) => {
                let series = &circuit.series[element as usize];
                let bus = if end == End::From { series.from } else { series.to };
                let v = &voltages[circuit.wires(bus)];
                let wires = effects.voltage(bus).into_iter().enumerate();
                let apparent = wires.map(|(wire, dv)| {
                    let (s, ds) =
                        (v[wire] * now[wire].conj(), dv * now[wire].conj() + v[wire] * moved[wire].conj());
                    along(s, ds)
                });
                // p.u. per p.u. is VA per VA.
                apparent.sum::<f64>() / rated
            }
        };
        Moves { i_a, loading, ..none }
    }
}
