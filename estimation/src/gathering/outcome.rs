//! From the estimated voltages back to what appliances take and how far each sensor is off.

use super::known::Known;
use super::node;
use super::place::{self, Site};
use super::spread::{Bench, CurrentSaid, PHASES, PowerSaid, Spread};
use super::{Gathered, bench, wires_of};
use crate::assembly::{AppliancePlace, Assembly};
use crate::circuit::{FlowPlace, flow};
use grid::{BusId, PhaseValue, Sensor, SensorValue};
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::f64::consts::{PI, TAU};

/// How far a sensor is off: measured minus estimated, in the unit and sign of the sensor. One value in a symmetric
/// calculation (phase to phase for voltages, totals for powers), one per phase otherwise (phase to neutral, power of
/// the phase; NaN for a phase that is not there).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SensorResidual {
    /// The sensor sits at a part without voltage.
    Dead,
    /// Of a voltage.
    Voltage {
        /// Magnitude, V.
        u_v: PhaseValue,
        /// Angle, rad in (−π, π]; NaN without a measured angle.
        angle_rad: PhaseValue,
    },
    /// Of a power.
    Power {
        /// Active power, W.
        p_w: PhaseValue,
        /// Reactive power, var.
        q_var: PhaseValue,
    },
    /// Of a current.
    Current {
        /// Magnitude, A.
        i_a: PhaseValue,
        /// Angle in the sensor's own count, rad in (−π, π]; NaN without a measured angle.
        angle_rad: PhaseValue,
    },
}

/// An estimate in terms of the network.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Voltage of every wire, p.u., turned to the reference angle.
    pub voltages: Vec<Complex64>,
    /// What each appliance takes at each wire of its bus, VA; shunts too. In a symmetric calculation the total.
    pub appliances: BTreeMap<u32, Vec<Complex64>>,
    /// What all loads, generators and sources of a bus take together (no shunts), VA per wire; buses without any are
    /// left out.
    pub nodes: BTreeMap<BusId, Vec<Complex64>>,
    /// Residuals in the order of the sensors.
    pub residuals: Vec<SensorResidual>,
}

impl Gathered {
    /// Turns voltages as estimated so that angles count from the first source where no sensor says otherwise.
    pub fn turn(&self, assembly: &Assembly, voltages: &mut [Complex64]) {
        self.islands.turn(assembly, &self.turns, voltages);
    }

    /// By bus: the sensors (positions in the slice given to [`super::gather`]) that were gathered into its injections; those
    /// that say nothing are not among them.
    pub fn behind_injections(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut behind: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (sensor, site) in (0_u32..).zip(&self.sites).filter(|(sensor, _)| self.speaks[*sensor as usize]) {
            if let Site::Appliance { node, .. } | Site::Node(node) = site {
                behind.entry(self.nodes[*node as usize].position).or_default().push(sensor);
            }
        }
        behind
    }

    /// What an estimate (voltage of every wire, p.u.) says of appliances and sensors.
    pub fn outcome(&self, assembly: &Assembly, mut voltages: Vec<Complex64>) -> Outcome {
        self.turn(assembly, &mut voltages);
        let circuit = &assembly.circuit;
        let taken = flow::taken(circuit, &voltages);
        let nodes = self.divide(assembly, &taken);
        let base = circuit.s_base_va;
        let mut appliances: BTreeMap<u32, Vec<Complex64>> = BTreeMap::new();
        for (node, shares) in self.nodes.iter().zip(&nodes) {
            for (member, share) in node.members.iter().zip(&shares.members) {
                appliances.insert(member.id, share.iter().map(|s| s * base).collect());
            }
        }
        for (&id, (bus, place)) in &assembly.appliances {
            let wires = circuit.wires(*bus);
            let power = match place {
                AppliancePlace::Shunt(k) => {
                    let currents = flow::currents(circuit, FlowPlace::Shunt(*k), &voltages);
                    let v = &voltages[wires];
                    currents.iter().zip(v).map(|((_, current), v)| v * current.conj() * base).collect()
                }
                _ => vec![Complex64::ZERO; wires.len()],
            };
            appliances.entry(id).or_insert(power);
        }
        let seen = Seen { gathered: self, assembly, voltages: &voltages, nodes: &nodes };
        let residuals =
            self.sensors.iter().zip(&self.sites).map(|(s, site)| seen.residual(s, *site)).collect();
        let nodes = self.nodes.iter().zip(&nodes).filter(|(node, _)| !node.members.is_empty());
        let nodes = nodes.map(|(node, s)| (node.bus, s.total.iter().map(|s| s * base).collect())).collect();
        Outcome { voltages, appliances, nodes, residuals }
    }

    /// What nodes and their appliances take, p.u.
    fn divide(&self, assembly: &Assembly, taken: &[Complex64]) -> Vec<Shares> {
        let mut all = Vec::with_capacity(self.nodes.len());
        for nodes in self.nodes.chunk_by(|a, b| a.position == b.position) {
            let wires = assembly.circuit.wires(nodes[0].position);
            let none = vec![Complex64::ZERO; wires.len()];
            let mut shares: Vec<Shares> = nodes
                .iter()
                .map(|node| Shares { total: none.clone(), members: vec![none.clone(); node.members.len()] })
                .collect();
            for (wire, number) in wires.enumerate() {
                let said = nodes.iter().map(|node| node.said(wire));
                for (at, total) in node::divide(said, taken[number]).into_iter().enumerate() {
                    shares[at].total[wire] = total;
                    for (member, s) in nodes[at].divide(wire, total).into_iter().enumerate() {
                        shares[at].members[member][wire] = s;
                    }
                }
            }
            all.append(&mut shares);
        }
        all
    }
}

/// What a node and its members take, wire by wire, p.u.
struct Shares {
    total: Vec<Complex64>,
    members: Vec<Vec<Complex64>>,
}

/// An estimate to compare sensors with.
struct Seen<'a> {
    gathered: &'a Gathered,
    assembly: &'a Assembly,
    voltages: &'a [Complex64],
    nodes: &'a [Shares],
}

impl Seen<'_> {
    fn residual(&self, sensor: &Sensor, site: Site) -> SensorResidual {
        if site == Site::Dead {
            return SensorResidual::Dead;
        }
        let (bus, wires) = wires_of(self.assembly, &self.gathered.nodes, site);
        let bench = bench(self.assembly, sensor.id, bus, &wires);
        match sensor.value {
            SensorValue::Voltage { u_v, angle_rad, .. } => self.voltage(bus, &bench, u_v, angle_rad),
            SensorValue::Power { p_w, q_var, .. } => {
                let sigma = PhaseValue::Symmetric(bench.s_base_va);
                let said = PowerSaid { p_w, q_var, p_sigma_w: sigma, q_sigma_var: sigma };
                self.power(site, &bench, said)
            }
            SensorValue::Current { i_a, angle_rad, global_angle, .. } => {
                let said = CurrentSaid { i_a, angle_rad, global_angle, sigma_a: 1.0, sigma_rad: 1.0 };
                self.current(bus, site, &bench, said)
            }
        }
    }

    fn voltage(
        &self,
        bus: u32,
        bench: &Bench<'_>,
        u_v: PhaseValue,
        angle: Option<PhaseValue>,
    ) -> SensorResidual {
        let first = self.assembly.circuit.wires(bus).start;
        let base = bench.u_base_v * if bench.symmetric { 3.0_f64.sqrt() } else { 1.0 };
        let mut rows = Rows::new(bench);
        for said in bench.voltage(u_v, angle, bench.u_base_v).unwrap_or_default() {
            let v = self.voltages[first + usize::from(said.wire)];
            let angle = said.angle.map_or(f64::NAN, |angle| wrapped(angle - v.arg()));
            rows.set(said.wire, (said.magnitude - v.norm()) * base, angle);
        }
        SensorResidual::Voltage { u_v: rows.first(), angle_rad: rows.second() }
    }

    fn power(&self, site: Site, bench: &Bench<'_>, said: PowerSaid) -> SensorResidual {
        let spread = bench.power(said, matches!(site, Site::Flow(_))).ok().flatten();
        let estimated = self.flows(site, bench);
        let base = bench.s_base_va;
        let mut rows = Rows::new(bench);
        match spread {
            Some(Spread::Sum(Known { s, .. })) => {
                let off = (s - estimated.iter().map(|(_, s)| s).sum::<Complex64>()) * base;
                return SensorResidual::Power {
                    p_w: PhaseValue::Symmetric(off.re),
                    q_var: PhaseValue::Symmetric(off.im),
                };
            }
            Some(Spread::Wires(wires)) => {
                for (wire, known) in wires {
                    let there = estimated.iter().find(|(at, _)| *at == wire);
                    let off = (known.s - there.map_or(Complex64::ZERO, |(_, s)| *s)) * base;
                    rows.set(wire, off.re, off.im);
                }
            }
            None => {}
        }
        SensorResidual::Power { p_w: rows.first(), q_var: rows.second() }
    }

    /// Estimated powers at a site, p.u. by local wire.
    fn flows(&self, site: Site, bench: &Bench<'_>) -> Vec<(u8, Complex64)> {
        let shares = |s: &[Complex64]| -> Vec<(u8, Complex64)> { (0_u8..).zip(s.iter().copied()).collect() };
        match site {
            Site::Flow(place) => {
                let (bus, _) = place::terminal(self.assembly, place);
                let first = self.assembly.circuit.wires(bus).start;
                let currents = flow::currents(&self.assembly.circuit, place, self.voltages);
                let phases = currents.into_iter().filter(|(wire, _)| bench.wires.contains(&Some(*wire)));
                phases.map(|(w, i)| (w, self.voltages[first + usize::from(w)] * i.conj())).collect()
            }
            Site::Appliance { node, member } => shares(&self.nodes[node as usize].members[member as usize]),
            Site::Node(node) => shares(&self.nodes[node as usize].total),
            Site::Dead | Site::Open { .. } | Site::Voltage(_) => Vec::new(),
        }
    }

    fn current(&self, bus: u32, site: Site, bench: &Bench<'_>, said: CurrentSaid) -> SensorResidual {
        let circuit = &self.assembly.circuit;
        let first = circuit.wires(bus).start;
        let base = bench.s_base_va / bench.u_base_v / if bench.symmetric { PHASES as f64 } else { 1.0 };
        let there = match site {
            Site::Flow(place) => flow::currents(circuit, place, self.voltages),
            _ => Vec::new(),
        };
        let mut rows = Rows::new(bench);
        for phasor in bench.current(said).unwrap_or_default() {
            let i = there.iter().find(|(wire, _)| *wire == phasor.wire).map_or(Complex64::ZERO, |(_, i)| *i);
            let v = self.voltages[first + usize::from(phasor.wire)];
            // A local reading counts how far the current lags; here it is turned to how far it leads.
            let angle = match (phasor.angle, said.global_angle) {
                (None, _) => f64::NAN,
                (Some(angle), true) => wrapped(angle - i.arg()),
                (Some(angle), false) => wrapped(i.arg() - v.arg() - angle),
            };
            rows.set(phasor.wire, (phasor.magnitude - i.norm()) * base, angle);
        }
        SensorResidual::Current { i_a: rows.first(), angle_rad: rows.second() }
    }
}

/// Two values per phase, or one of each.
struct Rows<'a> {
    symmetric: bool,
    wires: &'a [Option<u8>; PHASES],
    values: [[f64; PHASES]; 2],
}

impl<'a> Rows<'a> {
    fn new(bench: &Bench<'a>) -> Self {
        Self { symmetric: bench.symmetric, wires: bench.wires, values: [[f64::NAN; PHASES]; 2] }
    }

    fn set(&mut self, wire: u8, first: f64, second: f64) {
        if let Some(phase) = self.wires.iter().position(|at| *at == Some(wire)) {
            (self.values[0][phase], self.values[1][phase]) = (first, second);
        }
    }

    fn of(&self, which: usize) -> PhaseValue {
        let values = self.values[which];
        if self.symmetric { PhaseValue::Symmetric(values[0]) } else { PhaseValue::PerPhase(values) }
    }

    fn first(&self) -> PhaseValue {
        self.of(0)
    }

    fn second(&self) -> PhaseValue {
        self.of(1)
    }
}

/// Into (−π, π].
fn wrapped(angle: f64) -> f64 {
    let turned = (angle + PI).rem_euclid(TAU) - PI;
    if turned <= -PI { PI } else { turned }
}
