//! Power flow on the nodal admittance: `Y V = I(sources) − I(loads)`, with one factor for all iterations and all sets of
//! loads (Chen, Chen, Hwang, Kotas & Chebli 1991, "Distribution system power flow analysis: a rigid approach").
//!
//! Constant-impedance shares are part of Y; everything else is a current that follows the voltage.

use super::factor::Factor;
use super::port::{self, Ends};
use super::stamp::{self, Live, Stamp};
use super::symbolic::Symbolic;
use crate::circuit::{Circuit, LoadPort};
use crate::solve::{NoSolution, Solved, Tolerance};
use num_complex::Complex64;

/// How often a floating part is looked for before giving up.
const TIES_ROUNDS: usize = 4;
/// A step that shrinks less than this, some times in a row, does not contract.
const CONTRACTION: f64 = 0.9;
/// Steps below this share of the largest voltage that do not shrink any more are rounding: with impedances of very
/// different size the solution of the linear equations itself moves by so much.
pub(super) const ROUNDING: f64 = 1e-10;

/// The nodal equations of a circuit, factorized.
#[derive(Debug, Clone)]
pub struct Nodal {
    pub(super) live: Live,
    pub(super) ends: Vec<Option<Ends>>,
    /// Admittance of each port that is part of the matrix.
    pub(super) inside: Vec<Complex64>,
    pub(super) plan: Symbolic,
    pub(super) values: Vec<Complex64>,
    /// Currents of the sources.
    pub(super) feed: Vec<Complex64>,
    /// Buses whose wires' mean voltage is tied to the earth, because nothing else does, and the admittance.
    pub(super) ties: Vec<(u32, f64)>,
    /// First value that belongs to the ties.
    pub(super) ties_from: usize,
    factor: Factor<Complex64>,
}

/// How a fixed-point iteration ended.
pub(super) enum Outcome {
    Settled(Vec<Complex64>, usize),
    /// It does not contract, or asks a floating part to carry a current to earth: after how many iterations, with which
    /// largest step, at which bus.
    Failed(usize, f64, usize),
}

impl Nodal {
    /// Builds and factorizes Y with the constant-impedance shares of the circuit's own ports.
    ///
    /// A part of the circuit that nothing ties to the earth (behind a delta winding, say) gets its natural reference:
    /// the voltages of one of its buses add up to zero. As no current can return from the earth, this changes
    /// nothing else.
    ///
    /// # Errors
    /// [`NoSolution::Singular`] when more than that floats, [`NoSolution::NotFinite`] for absurd impedances.
    pub fn new(circuit: &Circuit) -> Result<Self, NoSolution> {
        Self::for_ports(circuit, &circuit.ports, port::impedance_share)
    }

    /// Whether the impedance shares of ports at the same places are those in the matrix.
    pub(super) fn suits(&self, ports: &[LoadPort]) -> bool {
        ports.iter().map(port::impedance_share).eq(self.inside.iter().copied())
    }

    /// The same with other loads at the same places, as admittances of any choice.
    pub(super) fn for_ports(
        circuit: &Circuit,
        ports: &[LoadPort],
        share: impl Fn(&LoadPort) -> Complex64,
    ) -> Result<Self, NoSolution> {
        let live = Live::new(circuit);
        let ends: Vec<Option<Ends>> = ports.iter().map(|port| Ends::new(circuit, &live, port)).collect();
        let inside: Vec<Complex64> = ports.iter().map(share).collect();
        let mut feed = vec![Complex64::ZERO; live.len()];
        let mut entries = Entries::default();
        for stamp in all_stamps(circuit, &live)? {
            entries.add(&stamp);
        }
        for source in &circuit.sources {
            let Some(stamp) = stamp::at_bus(circuit, &live, source.bus, &source.y) else { continue };
            for (row, &wire) in stamp.wires.iter().enumerate() {
                feed[wire as usize] +=
                    source.emf.iter().enumerate().map(|(k, &emf)| stamp.y[(row, k)] * emf).sum::<Complex64>();
            }
            entries.add(&stamp);
        }
        for (ends, &y) in ends.iter().zip(&inside) {
            let Some(ends) = ends else { continue };
            for (row, a) in ends.signed() {
                for (column, b) in ends.signed() {
                    entries.positions.push((row, column));
                    entries.values.push(y * (a * b));
                }
            }
        }
        let ties_from = entries.values.len();
        let block_of = compact(&live.bus);
        let mut nodal = Self {
            plan: Symbolic::new(&block_of, entries.positions),
            values: entries.values,
            live,
            ends,
            inside,
            feed,
            ties: Vec::new(),
            ties_from,
            factor: Factor::default(),
        };
        nodal.factorize(circuit, &block_of)?;
        Ok(nodal)
    }

    fn factorize(&mut self, circuit: &Circuit, block_of: &[u32]) -> Result<(), NoSolution> {
        for _ in 0..TIES_ROUNDS {
            if self.factor.factorize(&self.plan, &self.values).is_none() {
                return Err(self.suspect());
            }
            let lost = self.factor.lost();
            if lost.is_empty() {
                return Ok(());
            }
            let mut buses: Vec<u32> = lost.iter().map(|&wire| self.live.bus[wire as usize]).collect();
            buses.sort_unstable();
            let twice = buses.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
            let again = buses.iter().copied().find(|&bus| self.ties.iter().any(|tie| tie.0 == bus));
            if let Some(bus) = twice.or(again) {
                return Err(NoSolution::Singular { bus: bus as usize });
            }
            let mut positions = self.plan.positions().to_vec();
            for bus in buses {
                let wires = self.live.of_bus(circuit, bus);
                let strength = self.diagonal(wires[0]).max(1e-6);
                self.ties.push((bus, strength));
                for &row in &wires {
                    for &column in &wires {
                        positions.push((row, column));
                        self.values.push(Complex64::from(strength));
                    }
                }
            }
            self.plan = Symbolic::new(block_of, positions);
        }
        Err(NoSolution::Singular { bus: self.ties.last().map_or(0, |tie| tie.0 as usize) })
    }

    fn diagonal(&self, wire: u32) -> f64 {
        let here = self.plan.positions().iter().zip(&self.values).filter(|(at, _)| **at == (wire, wire));
        here.map(|(_, value)| *value).sum::<Complex64>().norm()
    }

    /// Why the factorization gave up.
    fn suspect(&self) -> NoSolution {
        let bad = self.plan.positions().iter().zip(&self.values).find(|(_, value)| !value.is_finite());
        let bus = |unknown: u32| self.live.bus[unknown as usize] as usize;
        match (bad, self.factor.lost().first()) {
            (Some((at, _)), _) => NoSolution::NotFinite { bus: bus(at.0) },
            (None, first) => NoSolution::Singular { bus: first.map_or(0, |&unknown| bus(unknown)) },
        }
    }

    /// Voltages without load currents (impedance shares are loads all the same): the flat start.
    pub(super) fn no_load(&self) -> Vec<Complex64> {
        let mut voltages = self.feed.clone();
        self.factor.solve(&mut voltages);
        voltages
    }

    /// Solves for a set of loads, which stand at the same places as those of the circuit.
    ///
    /// # Errors
    /// When the iteration does not settle; see [`super::power_flow`] for a way to go on.
    pub fn solve(&self, ports: &[LoadPort], tolerance: &Tolerance) -> Result<Solved, NoSolution> {
        match self.iterate(ports, tolerance) {
            Outcome::Settled(voltages, iterations) => {
                Ok(Solved { voltages: self.live.spread(&voltages), iterations })
            }
            Outcome::Failed(_, step_pu, bus) if !step_pu.is_finite() => Err(NoSolution::NotFinite { bus }),
            Outcome::Failed(iterations, step_pu, bus) => {
                Err(NoSolution::NotSettled { iterations, step_pu, bus })
            }
        }
    }

    pub(super) fn iterate(&self, ports: &[LoadPort], tolerance: &Tolerance) -> Outcome {
        let mut voltages = self.no_load();
        let mut next = voltages.clone();
        let (mut before, mut slow, mut last) = (f64::INFINITY, 0, (f64::INFINITY, 0));
        for iteration in 1..=tolerance.iterations_max {
            next.copy_from_slice(&self.feed);
            for ((port, ends), &inside) in ports.iter().zip(&self.ends).zip(&self.inside) {
                let Some(ends) = ends else { continue };
                let across = ends.across(&voltages);
                ends.add(inside * across - port::current(port, across), &mut next);
            }
            self.factor.solve(&mut next);
            let (step, at) = largest_step(&voltages, &next);
            let bus = self.live.bus.get(at).map_or(0, |&bus| bus as usize);
            std::mem::swap(&mut voltages, &mut next);
            if !step.is_finite() {
                return Outcome::Failed(iteration, step, bus);
            }
            last = (step, bus);
            let largest = || voltages.iter().map(|v| v.norm()).fold(0.0, f64::max);
            let rounding = step > CONTRACTION * before && step <= ROUNDING * largest();
            if step <= tolerance.voltage_pu || rounding {
                return if self.tie_currents(&voltages) > 1e-6 {
                    Outcome::Failed(iteration, step, bus)
                } else {
                    Outcome::Settled(voltages, iteration)
                };
            }
            slow = if step > CONTRACTION * before { slow + 1 } else { 0 };
            if slow >= 3 {
                return Outcome::Failed(iteration, step, bus);
            }
            before = step;
        }
        Outcome::Failed(tolerance.iterations_max, last.0, last.1)
    }

    /// Largest current that a tie would have to carry, p.u.: nothing, when the part really floats.
    pub(super) fn tie_currents(&self, voltages: &[Complex64]) -> f64 {
        let sum = |bus: u32| -> Complex64 {
            self.live.bus.iter().zip(voltages).filter(|(at, _)| **at == bus).map(|(_, v)| *v).sum()
        };
        self.ties.iter().map(|&(bus, strength)| sum(bus).norm() * strength).fold(0.0, f64::max)
    }
}

/// Largest change of a voltage and where; NaN when one is not finite.
fn largest_step(before: &[Complex64], after: &[Complex64]) -> (f64, usize) {
    let mut most = (0.0, 0);
    for (at, (a, b)) in before.iter().zip(after).enumerate() {
        let step = (b - a).norm();
        if !step.is_finite() {
            return (f64::NAN, at);
        }
        if step > most.0 {
            most = (step, at);
        }
    }
    most
}

/// Matrix entries under construction.
#[derive(Default)]
pub(super) struct Entries {
    pub(super) positions: Vec<(u32, u32)>,
    pub(super) values: Vec<Complex64>,
}

impl Entries {
    fn add(&mut self, stamp: &Stamp) {
        for (row, &wire) in stamp.wires.iter().enumerate().filter(|(_, wire)| **wire != stamp::EARTH) {
            for (column, value) in stamp.row(row) {
                self.positions.push((wire, column));
                self.values.push(value);
            }
        }
    }
}

/// Stamps of everything linear except sources.
pub(super) fn all_stamps(circuit: &Circuit, live: &Live) -> Result<Vec<Stamp>, NoSolution> {
    let mut stamps = Vec::with_capacity(circuit.series.len());
    for element in &circuit.series {
        stamps.extend(stamp::series(circuit, live, element).map_err(|bus| NoSolution::Singular { bus })?);
    }
    stamps.extend((0..circuit.general.len()).filter_map(|index| stamp::general(circuit, live, index)));
    let shunt = |shunt: &crate::circuit::CircuitShunt| stamp::at_bus(circuit, live, shunt.bus, &shunt.y);
    stamps.extend(circuit.shunts.iter().filter_map(shunt));
    Ok(stamps)
}

/// Block numbers without gaps from bus numbers that rise.
pub(super) fn compact(buses: &[u32]) -> Vec<u32> {
    let mut block = 0;
    let mut blocks = Vec::with_capacity(buses.len());
    for (at, bus) in buses.iter().enumerate() {
        if at > 0 && buses[at - 1] != *bus {
            block += 1;
        }
        blocks.push(block);
    }
    blocks
}
