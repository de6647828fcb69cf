//! Sensors in SI units become readings of a circuit per unit, and an estimate of the circuit becomes what appliances take
//! and how far each sensor is off. The rules are power-grid-model's: see [`spread`] for symmetric and per-phase sensors,
//! [`node`] for what appliances of one bus take together, `reference` for where angles count from.
//!
//! Sensors of one voltage magnitude or flow stay readings of their own (the estimate is the same as with their weighted
//! mean), so that each can be judged by its residual; several phasors of one bus become their mean, and sensors of appliances are combined, since the circuit knows one injection
//! per wire.
//!
//! Limits: a neutral wire (a bus's fourth and further) has no readings; where an appliance returns through it anything
//! may be taken there. Delta-connected appliances divide a total evenly over the wires they touch.

mod error;
mod known;
mod node;
mod outcome;
mod place;
mod reference;
mod spread;
mod variances;

pub use error::SensorError;
pub use outcome::{Outcome, SensorResidual};
pub use variances::TakenVariances;

use crate::assembly::{AppliancePlace, Assembly};
use crate::circuit::{CurrentReading, InjectionReading, PowerReading, Readings, VoltageReading};
use grid::{BusId, Network, Sensor, SensorPlace, SensorValue};
use known::Known;
use node::{Member, Node, Share};
use num_complex::Complex64;
use place::Site;
use reference::{Islands, Turn};
use spread::{Bench, CurrentSaid, PowerSaid, Spread};
use std::collections::{BTreeMap, BTreeSet};

/// Readings with the way back to sensors and appliances. A reading's `sensor` is the position in the slice given to
/// [`gather`].
#[derive(Debug, Clone, PartialEq)]
pub struct Gathered {
    /// What the estimator takes.
    pub readings: Readings,
    sensors: Vec<Sensor>,
    sites: Vec<Site>,
    /// Whether a sensor says anything of what appliances take.
    speaks: Vec<bool>,
    nodes: Vec<Node>,
    islands: Islands,
    turns: Vec<Turn>,
}

/// Gathers sensors to readings.
///
/// Sensors at dead buses, open ends and switched-off appliances are left out, and so are those whose deviation is so
/// large that they say nothing; they get a residual all the same where power-grid-model gives one.
///
/// # Errors
/// [`SensorError`] names the first sensor that cannot be used and why.
pub fn gather(assembly: &Assembly, network: &Network, sensors: &[Sensor]) -> Result<Gathered, SensorError> {
    let mut seen = BTreeSet::new();
    if let Some(twice) = sensors.iter().find(|sensor| !seen.insert(sensor.id)) {
        return Err(SensorError::Duplicate(twice.id));
    }
    let mut gathering = Gathering::new(assembly, network, sensors);
    for (index, sensor) in sensors.iter().enumerate() {
        place::fits(sensor)?;
        let site = gathering.site(sensor)?;
        gathering.sites.push(site);
        gathering.read(index as u32, sensor, site)?;
    }
    gathering.finish(sensors)
}

/// Work in progress.
struct Gathering<'a> {
    assembly: &'a Assembly,
    network: &'a Network,
    readings: Readings,
    current_buses: Vec<u32>,
    sites: Vec<Site>,
    speaks: Vec<bool>,
    nodes: Vec<Node>,
    node_of: BTreeMap<BusId, u32>,
    member_of: BTreeMap<u32, (u32, u32)>,
}

impl<'a> Gathering<'a> {
    fn new(assembly: &'a Assembly, network: &'a Network, sensors: &[Sensor]) -> Self {
        let mut gathering = Self {
            assembly,
            network,
            readings: Readings::default(),
            current_buses: Vec::new(),
            sites: Vec::with_capacity(sensors.len()),
            speaks: vec![false; sensors.len()],
            nodes: Vec::new(),
            node_of: BTreeMap::new(),
            member_of: BTreeMap::new(),
        };
        let mut buses: BTreeMap<u32, BusId> =
            network.usage_points().iter().map(|point| (point.id.0, point.bus)).collect();
        buses.extend(network.sources().iter().map(|source| (source.id, source.bus)));
        buses.extend(network.loads().iter().map(|load| (load.id, load.terminal.bus)));
        for (&id, (position, place)) in &assembly.appliances {
            let Some(&bus) = buses.get(&id) else { continue };
            let count = usize::from(assembly.circuit.buses[*position as usize].wires);
            let mut wires = vec![Share::Absent; count];
            match place {
                AppliancePlace::Ports(ports) => {
                    for port in &assembly.circuit.ports[ports.start as usize..ports.end as usize] {
                        for wire in [port.plus, port.minus].into_iter().map(usize::from) {
                            wires.iter_mut().skip(wire).take(1).for_each(|share| *share = Share::Unmeasured);
                        }
                    }
                    // A load of nothing may have no ports; it is there all the same.
                    if wires.iter().all(|share| *share == Share::Absent) {
                        wires.fill(Share::Unmeasured);
                    }
                }
                AppliancePlace::Source(_) => wires.fill(Share::Unmeasured),
                AppliancePlace::Shunt(_) | AppliancePlace::Off => continue,
            }
            let node = gathering.node(bus, *position);
            let members = &mut gathering.nodes[node as usize].members;
            gathering.member_of.insert(id, (node, members.len() as u32));
            members.push(Member { id, wires, metered: false });
        }
        gathering
    }

    /// The node of a bus, made when it is not there.
    fn node(&mut self, bus: BusId, position: u32) -> u32 {
        let count = usize::from(self.assembly.circuit.buses[position as usize].wires);
        let nodes = &mut self.nodes;
        *self.node_of.entry(bus).or_insert_with(|| {
            let (members, direct) = (Vec::new(), vec![None; count]);
            let (sensor, metered, pseudo) = (None, false, false);
            nodes.push(Node { bus, position, members, direct, sensor, metered, pseudo });
            nodes.len() as u32 - 1
        })
    }

    fn site(&mut self, sensor: &Sensor) -> Result<Site, SensorError> {
        Ok(match sensor.place {
            SensorPlace::Bus(bus) => match place::bus(self.assembly, sensor.id, bus)? {
                (position, true) => Site::Voltage(position),
                _ => Site::Dead,
            },
            SensorPlace::BusInjection(bus) => match place::bus(self.assembly, sensor.id, bus)? {
                (position, true) => Site::Node(self.node(bus, position)),
                _ => Site::Dead,
            },
            SensorPlace::Appliance(id) => {
                place::appliance(self.assembly, sensor, id, |id| self.member_of.get(&id).copied())?
            }
            SensorPlace::Branch(id, side) => place::branch(self.assembly, self.network, sensor, id, side)?,
        })
    }

    fn read(&mut self, index: u32, sensor: &Sensor, site: Site) -> Result<(), SensorError> {
        let (bus, wires) = wires_of(self.assembly, &self.nodes, site);
        let bench = bench(self.assembly, sensor.id, bus, &wires);
        match sensor.value {
            SensorValue::Voltage { u_v, angle_rad, sigma_v } => {
                let phasors = bench.voltage(u_v, angle_rad, sigma_v)?;
                let Site::Voltage(bus) = site else { return Ok(()) };
                self.readings.voltages.extend(phasors.into_iter().map(|phasor| VoltageReading {
                    sensor: index,
                    bus,
                    wire: phasor.wire,
                    magnitude: phasor.magnitude,
                    angle: phasor.angle,
                    variance: phasor.variance,
                    variance_across: phasor.variance,
                }));
            }
            SensorValue::Power { p_w, q_var, p_sigma_w, q_sigma_var, pseudo } => {
                let keep_sum = matches!(site, Site::Flow(_));
                let said = PowerSaid { p_w, q_var, p_sigma_w, q_sigma_var };
                if let Some(spread) = bench.power(said, keep_sum)? {
                    known_by_half(sensor.id, site, &spread)?;
                    self.power(index, site, spread, pseudo);
                }
            }
            SensorValue::Current { i_a, angle_rad, global_angle, sigma_a, sigma_rad } => {
                let said = CurrentSaid { i_a, angle_rad, global_angle, sigma_a, sigma_rad };
                let phasors = bench.current(said)?;
                let Site::Flow(place) = site else { return Ok(()) };
                self.current_buses.extend(phasors.iter().map(|_| bus));
                self.readings.currents.extend(phasors.into_iter().map(|phasor| CurrentReading {
                    sensor: index,
                    place,
                    wire: phasor.wire,
                    magnitude: phasor.magnitude,
                    angle: phasor.angle,
                    angle_from_voltage: !global_angle,
                    variance: phasor.variance,
                    variance_across: phasor.variance_across,
                }));
            }
        }
        Ok(())
    }

    fn power(&mut self, index: u32, site: Site, spread: Spread, pseudo: bool) {
        match site {
            Site::Flow(place) => {
                let reading = |(wire, known): (Option<u8>, Known)| PowerReading {
                    sensor: index,
                    place,
                    wire,
                    s: known.s,
                    variance_p: Some(known.variance_p).filter(|variance| variance.is_finite()),
                    variance_q: Some(known.variance_q).filter(|variance| variance.is_finite()),
                };
                match spread {
                    Spread::Sum(known) => self.readings.powers.push(reading((None, known))),
                    Spread::Wires(wires) => self
                        .readings
                        .powers
                        .extend(wires.into_iter().map(|(wire, known)| reading((Some(wire), known)))),
                }
            }
            Site::Appliance { node, .. } | Site::Node(node) => {
                let node = &mut self.nodes[node as usize];
                node.sensor.get_or_insert(index);
                self.speaks[index as usize] = true;
                node.pseudo |= pseudo;
                match site {
                    Site::Appliance { member, .. } => node.members[member as usize].metered |= !pseudo,
                    _ => node.metered |= !pseudo,
                }
                let Spread::Wires(wires) = spread else { return };
                for (wire, known) in wires {
                    match site {
                        Site::Appliance { member, .. } => {
                            node.members[member as usize].wires[usize::from(wire)].join(known);
                        }
                        _ => node::join(&mut node.direct[usize::from(wire)], known),
                    }
                }
            }
            Site::Dead | Site::Open { .. } | Site::Voltage(_) => {}
        }
    }

    fn finish(mut self, sensors: &[Sensor]) -> Result<Gathered, SensorError> {
        let circuit = &self.assembly.circuit;
        drop_single_angles(&mut self.readings.voltages);
        merge_phasors(&mut self.readings.voltages);
        let islands = Islands::new(circuit);
        let turns = islands.anchor(self.assembly, &mut self.readings.voltages);
        let placed: Vec<_> =
            self.current_buses.iter().copied().zip(self.readings.currents.iter().copied()).collect();
        if let Some(sensor) = islands.without_reference(&turns, &placed) {
            return Err(SensorError::NoAngleReference(sensors[sensor as usize].id));
        }
        self.nodes.sort_by_key(|node| (node.position, node.bus));
        let place: BTreeMap<BusId, u32> = (0..).zip(&self.nodes).map(|(at, node)| (node.bus, at)).collect();
        let moved: BTreeMap<u32, u32> =
            self.node_of.iter().filter_map(|(bus, old)| Some((*old, *place.get(bus)?))).collect();
        for site in &mut self.sites {
            if let Site::Appliance { node, .. } | Site::Node(node) = site {
                *node = moved.get(node).copied().unwrap_or(*node);
            }
        }
        self.injections();
        Ok(Gathered {
            readings: self.readings,
            sensors: sensors.to_vec(),
            sites: self.sites,
            speaks: self.speaks,
            nodes: self.nodes,
            islands,
            turns,
        })
    }

    /// What each bus takes: rows, or free wires.
    fn injections(&mut self) {
        let circuit = &self.assembly.circuit;
        let mut pseudo = Vec::new();
        for nodes in self.nodes.chunk_by(|a, b| a.position == b.position) {
            let bus = nodes[0].position;
            if !circuit.buses[bus as usize].energized {
                continue;
            }
            let sensor = nodes.iter().find_map(|node| node.sensor).unwrap_or(0);
            let expected = nodes.iter().any(Node::expected);
            for (wire, number) in circuit.wires(bus).enumerate() {
                match node::sum(nodes.iter().map(|node| node.said(wire))) {
                    Share::Absent => {}
                    Share::Unmeasured => self.readings.free.push(number as u32),
                    Share::Measured(known) => {
                        let rows = if expected { &mut pseudo } else { &mut self.readings.injections };
                        rows.push(InjectionReading {
                            sensor,
                            bus,
                            wire: wire as u8,
                            s: known.s,
                            variance_p: known.variance_p,
                            variance_q: known.variance_q,
                        });
                    }
                }
            }
        }
        self.readings.free.sort_unstable();
        if !pseudo.is_empty() {
            self.readings.first_pseudo = Some(self.readings.injections.len() as u32);
            self.readings.injections.append(&mut pseudo);
        }
    }
}

/// Refuses a sensor of an appliance or a whole bus that says something of one part of its power and nothing of the
/// other: what a wire takes is one reading of both.
fn known_by_half(sensor: u32, site: Site, spread: &Spread) -> Result<(), SensorError> {
    if !matches!(site, Site::Appliance { .. } | Site::Node(_)) {
        return Ok(());
    }
    let half = |known: &Known| known.variance_p.is_finite() != known.variance_q.is_finite();
    let found = match spread {
        Spread::Sum(known) => half(known),
        Spread::Wires(wires) => wires.iter().any(|(_, known)| half(known)),
    };
    if !found {
        return Ok(());
    }
    Err(SensorError::Value {
        sensor,
        quantity: "standard deviation of one part of its power",
        value: f64::INFINITY,
        expected: "the active and the reactive power an appliance or a node takes need one each (or both none)",
    })
}

/// Several phasors of one wire become their weighted mean as complex numbers (power-grid-model, "Aggregating measurements
/// of the same quantity"); a mean of magnitudes and one of angles would differ where phasors contradict each other.
fn merge_phasors(voltages: &mut Vec<VoltageReading>) {
    let mut places: Vec<(u32, u8, usize)> = (voltages.iter().enumerate())
        .filter(|(_, reading)| reading.angle.is_some())
        .map(|(at, reading)| (reading.bus, reading.wire, at))
        .collect();
    places.sort_unstable();
    let mut gone = vec![false; voltages.len()];
    for group in places.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).filter(|group| group.len() > 1) {
        let (mut sum, mut weights) = (Complex64::ZERO, 0.0);
        for &(_, _, at) in group {
            let reading = &voltages[at];
            let weight = 1.0 / reading.variance;
            sum += Complex64::from_polar(reading.magnitude, reading.angle.unwrap_or(0.0)) * weight;
            weights += weight;
            gone[at] = true;
        }
        let first = group[0].2;
        let mean = sum / weights;
        voltages[first].magnitude = mean.norm();
        voltages[first].angle = Some(mean.arg());
        (voltages[first].variance, voltages[first].variance_across) = (1.0 / weights, 1.0 / weights);
        gone[first] = false;
    }
    let mut gone = gone.into_iter();
    voltages.retain(|_| !gone.next().unwrap_or(false));
}

/// A bus with a sensor that gives no angle has none at all: power-grid-model then keeps magnitudes only.
fn drop_single_angles(voltages: &mut [VoltageReading]) {
    let without: BTreeSet<u32> = voltages.iter().filter(|v| v.angle.is_none()).map(|v| v.bus).collect();
    voltages.iter_mut().filter(|v| without.contains(&v.bus)).for_each(|v| v.angle = None);
}

/// Bus and phase wires where a sensor at a site reads.
fn wires_of(assembly: &Assembly, nodes: &[Node], site: Site) -> (u32, [Option<u8>; spread::PHASES]) {
    match site {
        Site::Dead => (0, place::phase_wires(assembly, 0)),
        Site::Open { bus } | Site::Voltage(bus) => (bus, place::phase_wires(assembly, bus)),
        Site::Flow(place) => place::terminal(assembly, place),
        Site::Node(node) => {
            let bus = nodes[node as usize].position;
            (bus, place::phase_wires(assembly, bus))
        }
        Site::Appliance { node, member } => {
            let node = &nodes[node as usize];
            let touched = &node.members[member as usize].wires;
            let there = place::phase_wires(assembly, node.position);
            let there = there.map(|wire| wire.filter(|wire| touched[usize::from(*wire)] != Share::Absent));
            (node.position, there)
        }
    }
}

fn bench<'a>(
    assembly: &Assembly,
    sensor: u32,
    bus: u32,
    wires: &'a [Option<u8>; spread::PHASES],
) -> Bench<'a> {
    Bench {
        sensor,
        symmetric: assembly.symmetric,
        wires,
        s_base_va: assembly.circuit.s_base_va,
        u_base_v: assembly.circuit.buses[bus as usize].u_base_v,
    }
}

#[cfg(test)]
mod pgm_tests;
#[cfg(test)]
mod tests;
