//! Standard deviations of everything an estimate says, in the units of the network, whichever solver found it.
//!
//! Each is the deviation of what [`crate::results`] and [`crate::gathering::Outcome`] give, to first order at the
//! estimate. NaN where there is none: a branch with an end, or what is taken at a bus, whose voltage nothing
//! determines; appliances of one bus that share evenly what nobody measures.

use super::judge::{Judgement, Observability};
use super::known::Known;
use crate::assembly::{AppliancePlace, Assembly, BranchPlace};
use crate::circuit::flow::TakenVariance;
use crate::circuit::{Circuit, FlowPlace};
use crate::gathering::Gathered;
use crate::results::{BranchResult, EndResult, Results};
use grid::{BranchId, Network};
use num_complex::Complex64;
use std::collections::BTreeMap;

/// Standard deviations of what flows in one conductor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WireDeviation {
    /// Of the active power, W.
    pub p_w: f64,
    /// Of the reactive power, var.
    pub q_var: f64,
    /// Of the current magnitude, A.
    pub i_a: f64,
}

impl WireDeviation {
    const NONE: Self = Self { p_w: f64::NAN, q_var: f64::NAN, i_a: f64::NAN };
}

/// Standard deviations of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct BranchDeviation {
    /// Of the loading (that of the end and conductor which decide it), p.u.
    pub loading: f64,
    /// End by end.
    pub ends: Vec<EndDeviation>,
}

/// Standard deviations at one end of a branch.
#[derive(Debug, Clone, PartialEq)]
pub struct EndDeviation {
    /// Of the loading by this end alone, p.u.
    pub loading: f64,
    /// Conductor by conductor, as in the results.
    pub wires: Vec<WireDeviation>,
}

/// Standard deviations of a bus; wire by wire.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BusDeviation {
    /// Of voltage angles, rad: counted from the first wire of the source, or absolute where phasors are measured.
    pub angle_rad: Vec<f64>,
    /// Of the active power that loads, generators and sources take, W.
    pub p_w: Vec<f64>,
    /// Of the reactive power, var.
    pub q_var: Vec<f64>,
}

/// Standard deviations of everything but voltage magnitudes, which stand in [`Judgement`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deviations {
    /// In the order of the network's buses.
    pub buses: Vec<BusDeviation>,
    /// By branch.
    pub branches: BTreeMap<BranchId, BranchDeviation>,
    /// By appliance (loads, generators, sources, shunts), wire by wire of its bus. Dead ones are left out.
    pub appliances: BTreeMap<u32, Vec<WireDeviation>>,
}

/// What a loading is a part of.
enum Rated {
    Current(Option<f64>),
    Power(Vec<f64>),
    Never,
}

/// An estimate to be told about.
pub(super) struct Teller<'a> {
    pub network: &'a Network,
    pub assembly: &'a Assembly,
    pub gathered: &'a Gathered,
    /// Turned to the reference.
    pub voltages: &'a [Complex64],
    pub judgement: &'a Judgement,
}

impl Teller<'_> {
    /// Everything `known` tells.
    pub fn tell(&self, known: &Known<'_>) -> Deviations {
        let circuit = &self.assembly.circuit;
        let open = self.open();
        let beside = beside(circuit, &open);
        let mut free = vec![false; circuit.wire_count()];
        self.gathered.readings.free.iter().for_each(|wire| free[*wire as usize] = true);
        let mut deviations = Deviations::default();
        for bus in 0..self.network.buses().len() as u32 {
            let from = self.gathered.reference_wire(self.assembly, bus);
            let angle_rad = circuit.wires(bus).map(|wire| self.angle(known, wire, from)).collect();
            deviations.buses.push(BusDeviation { angle_rad, ..BusDeviation::default() });
        }
        let mut bus_of = vec![0_u32; circuit.wire_count()];
        (0..circuit.buses.len() as u32).for_each(|bus| bus_of[circuit.wires(bus)].fill(bus));
        let taken = self.gathered.taken_variances(self.assembly, |wire| {
            let bus = bus_of[wire] as usize;
            if open[bus] || (free[wire] && beside[bus]) || !circuit.buses[bus].energized {
                return TakenVariance::UNKNOWN;
            }
            known.taken(wire)
        });
        let (base, deviation) = (circuit.s_base_va, |variance: f64| variance.max(0.0).sqrt());
        for (id, wires) in &taken.nodes {
            let Some(of) = self.assembly.buses.get(id).and_then(|&at| deviations.buses.get_mut(at as usize))
            else {
                continue;
            };
            of.p_w = wires.iter().map(|wire| nan_or(wire.p, deviation) * base).collect();
            of.q_var = wires.iter().map(|wire| nan_or(wire.q, deviation) * base).collect();
        }
        self.appliances(known, &taken.appliances, &open, &mut deviations);
        self.branches(known, &open, &mut deviations);
        deviations
    }

    /// Buses with a wire that nothing determines.
    fn open(&self) -> Vec<bool> {
        let circuit = &self.assembly.circuit;
        let open = |wire: usize| self.judgement.observability.get(wire) == Some(&Some(Observability::None));
        (0..circuit.buses.len() as u32).map(|bus| circuit.wires(bus).any(open)).collect()
    }

    fn angle(&self, known: &Known<'_>, wire: usize, from: Option<usize>) -> f64 {
        let seen = |wire: usize| {
            matches!(
                self.judgement.observability.get(wire),
                Some(Some(Observability::Measured | Observability::Pseudo))
            )
        };
        if seen(wire) && from.is_none_or(seen) { known.angle(wire, from) } else { f64::NAN }
    }

    fn i_base_a(&self, bus: u32) -> f64 {
        let circuit = &self.assembly.circuit;
        let phases = if self.assembly.symmetric { 3.0 } else { 1.0 };
        circuit.s_base_va / (phases * circuit.buses[bus as usize].u_base_v)
    }

    fn appliances(
        &self,
        known: &Known<'_>,
        taken: &BTreeMap<u32, Vec<TakenVariance>>,
        open: &[bool],
        deviations: &mut Deviations,
    ) {
        let circuit = &self.assembly.circuit;
        let outcome = self.gathered.outcome(self.assembly, self.voltages.to_vec());
        for (&id, (bus, place)) in &self.assembly.appliances {
            let wires = circuit.wires(*bus);
            let rows = match (place, taken.get(&id), outcome.appliances.get(&id)) {
                (AppliancePlace::Shunt(_), ..) if open[*bus as usize] => {
                    vec![WireDeviation::NONE; wires.len()]
                }
                (AppliancePlace::Shunt(k), ..) => {
                    self.flow(known, FlowPlace::Shunt(*k), *bus, (0..wires.len()).map(|k| k as u8))
                }
                (_, Some(variances), Some(powers)) => wires
                    .zip(variances.iter().zip(powers))
                    .map(|(wire, (variance, s))| self.taking(wire, *bus, *s / circuit.s_base_va, variance))
                    .collect(),
                _ => continue,
            };
            deviations.appliances.insert(id, rows);
        }
    }

    /// Deviations of an appliance that takes `s` at a wire, p.u.
    fn taking(&self, wire: usize, bus: u32, s: Complex64, variance: &TakenVariance) -> WireDeviation {
        let (u, u_std) = (self.voltages[wire].norm(), self.judgement.voltage_std[wire]);
        let size = s.norm();
        // I = S / U; next to no power has no direction: the mean over all.
        let i = if size > 1e-12 {
            let (a, b) = (s.re / size, s.im / size);
            let of_s = a * a * variance.p + 2.0 * a * b * variance.pq + b * b * variance.q;
            let with_u = a * variance.pu + b * variance.qu;
            of_s - 2.0 * size / u * with_u + (size / u * u_std).powi(2)
        } else {
            0.5 * (variance.p + variance.q)
        };
        let base = self.assembly.circuit.s_base_va;
        let deviation = |variance: f64| nan_or(variance, |variance| variance.max(0.0).sqrt());
        WireDeviation {
            p_w: deviation(variance.p) * base,
            q_var: deviation(variance.q) * base,
            i_a: deviation(i) / u * self.i_base_a(bus),
        }
    }

    /// Flows at a place, for the given local wires of its bus.
    fn flow(
        &self,
        known: &Known<'_>,
        place: FlowPlace,
        bus: u32,
        locals: impl Iterator<Item = u8>,
    ) -> Vec<WireDeviation> {
        let (found, base, i_base) = (known.flow(place), self.assembly.circuit.s_base_va, self.i_base_a(bus));
        let one = |local: u8| {
            let there = found.iter().find(|(at, _)| *at == local);
            there.map_or(WireDeviation::NONE, |(_, [p, q, i])| WireDeviation {
                p_w: p * base,
                q_var: q * base,
                i_a: i * i_base,
            })
        };
        locals.map(one).collect()
    }

    fn branches(&self, known: &Known<'_>, open: &[bool], deviations: &mut Deviations) {
        let results = Results::new(self.network, self.assembly, self.voltages);
        for (list, rated) in lists(self.network, &results) {
            for (result, rated) in list.iter().zip(rated) {
                let place = self.assembly.branches.get(&result.id).unwrap_or(&BranchPlace::Off);
                deviations.branches.insert(result.id, self.branch(known, open, (result, place), &rated));
            }
        }
    }

    fn branch(
        &self,
        known: &Known<'_>,
        open: &[bool],
        (result, place): (&BranchResult, &BranchPlace),
        rated: &Rated,
    ) -> BranchDeviation {
        let ends: Vec<EndDeviation> = (result.ends.iter().enumerate())
            .map(|(end, flows)| {
                let found =
                    self.place(place, end).filter(|(_, joined, _)| !joined.iter().any(|b| open[*b as usize]));
                let Some((place, joined, locals)) = found else {
                    let wires = vec![WireDeviation::NONE; flows.wires.len()];
                    return EndDeviation { loading: f64::NAN, wires };
                };
                let bus = joined.first().copied().unwrap_or(0);
                let wires = self.flow(known, place, bus, locals.into_iter());
                let loading = self.loading(known, rated, end, place, (flows, &wires));
                EndDeviation { loading, wires }
            })
            .collect();
        let most = result.ends.iter().zip(&ends).max_by(|(a, _), (b, _)| {
            let of = |end: &EndResult| end.loading.unwrap_or(f64::NEG_INFINITY);
            of(a).total_cmp(&of(b))
        });
        BranchDeviation { loading: most.map_or(f64::NAN, |(_, end)| end.loading), ends }
    }

    /// The place of an end, the buses its flow depends on (its own first), and its local wires; `None` where it is open.
    fn place(&self, place: &BranchPlace, end: usize) -> Option<(FlowPlace, Vec<u32>, Vec<u8>)> {
        let circuit = &self.assembly.circuit;
        match place {
            BranchPlace::Series(k) => {
                let element = &circuit.series[*k as usize];
                let (place, joined) = match end {
                    0 => (FlowPlace::SeriesFrom(*k), vec![element.from, element.to]),
                    _ => (FlowPlace::SeriesTo(*k), vec![element.to, element.from]),
                };
                let wires = circuit.buses[joined[0] as usize].wires;
                Some((place, joined, (0..wires).collect()))
            }
            BranchPlace::General(k, ends) => {
                let (element, terminal) = (&circuit.general[*k as usize], (*ends.get(end)?)?);
                let (bus, locals) = element.terminals.get(usize::from(terminal))?;
                let others = element.terminals.iter().map(|terminal| terminal.0);
                let joined = std::iter::once(*bus).chain(others).collect();
                Some((FlowPlace::General { element: *k, terminal }, joined, locals.clone()))
            }
            BranchPlace::Star(arms) => self.place(arms.get(end)?, 0),
            BranchPlace::Off => None,
        }
    }

    fn loading(
        &self,
        known: &Known<'_>,
        rated: &Rated,
        end: usize,
        place: FlowPlace,
        (flows, wires): (&EndResult, &[WireDeviation]),
    ) -> f64 {
        match rated {
            Rated::Current(Some(rated)) => {
                let most = flows
                    .wires
                    .iter()
                    .zip(wires)
                    .max_by(|(a, _), (b, _)| a.i_a.norm().total_cmp(&b.i_a.norm()));
                most.map_or(f64::NAN, |(_, wire)| wire.i_a / rated)
            }
            Rated::Power(rated) => {
                let rated = rated.get(end).copied().unwrap_or(f64::NAN);
                known.apparent(place) * self.assembly.circuit.s_base_va / rated
            }
            Rated::Current(None) | Rated::Never => f64::NAN,
        }
    }
}

/// Branches with what they are loaded against (as [`crate::results`] has it), list by list.
fn lists<'a>(network: &Network, results: &'a Results) -> Vec<(&'a [BranchResult], Vec<Rated>)> {
    let twice = |rated: f64| Rated::Power(vec![rated; 2]);
    let windings = network.winding_transformers().iter();
    vec![
        (&results.lines, network.lines().iter().map(|b| Rated::Current(b.i_rated_a)).collect()),
        (
            &results.coupled_lines,
            network.coupled_lines().iter().map(|b| Rated::Current(b.i_rated_a)).collect(),
        ),
        (&results.links, network.links().iter().map(|_| Rated::Never).collect()),
        (
            &results.generic_branches,
            network.generic_branches().iter().map(|b| b.s_rated_va.map_or(Rated::Never, twice)).collect(),
        ),
        (&results.transformers, network.transformers().iter().map(|b| twice(b.s_rated_va)).collect()),
        (
            &results.three_winding_transformers,
            network
                .three_winding_transformers()
                .iter()
                .map(|b| Rated::Power(b.s_rated_va.to_vec()))
                .collect(),
        ),
        (
            &results.winding_transformers,
            windings.map(|b| Rated::Power(b.windings.iter().map(|w| w.s_rated_va).collect())).collect(),
        ),
    ]
}

/// Buses that an element joins to an open one.
fn beside(circuit: &Circuit, open: &[bool]) -> Vec<bool> {
    let mut beside = open.to_vec();
    for element in &circuit.series {
        let any = open[element.from as usize] || open[element.to as usize];
        beside[element.from as usize] |= any;
        beside[element.to as usize] |= any;
    }
    for element in &circuit.general {
        let any = element.terminals.iter().any(|terminal| open[terminal.0 as usize]);
        element.terminals.iter().for_each(|terminal| beside[terminal.0 as usize] |= any);
    }
    beside
}

/// Keeps NaN, which comparisons lose.
fn nan_or(value: f64, otherwise: impl Fn(f64) -> f64) -> f64 {
    if value.is_nan() { value } else { otherwise(value) }
}
