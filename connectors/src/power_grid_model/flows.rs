//! Powers and currents of every component at given voltages.

use super::columns::Component;
use super::write::State;
use estimation::assembly::{AppliancePlace, BranchPlace};
use estimation::circuit::{Circuit, FlowPlace, flow};
use grid::{BranchId, BusId};
use num_complex::Complex64;
use std::collections::BTreeMap;

/// What enters at a terminal, wire by wire: power in VA, current in A.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Terminal {
    pub(super) power: Vec<Complex64>,
    pub(super) current: Vec<f64>,
}

impl Terminal {
    /// Apparent power of all wires, VA.
    pub(super) fn apparent(&self) -> f64 {
        self.power.iter().map(|power| power.norm()).sum()
    }

    fn largest_current(&self) -> f64 {
        self.current.iter().copied().fold(0.0, f64::max)
    }
}

/// A solved state with what follows from it for whole buses.
pub(super) struct Flows<'a> {
    state: &'a State<'a>,
    circuit: &'a Circuit,
    /// What appliances give to each bus, VA per wire, in load-flow results.
    given: BTreeMap<BusId, Vec<Complex64>>,
}

impl<'a> Flows<'a> {
    pub(super) fn new(state: &'a State<'a>) -> Self {
        let circuit = &state.assembly.circuit;
        let mut flows = Self { state, circuit, given: BTreeMap::new() };
        if state.estimate.is_none() {
            flows.given = flows.sum_up();
        }
        flows
    }

    fn wires(&self) -> usize {
        if self.state.assembly.symmetric { 1 } else { 3 }
    }

    fn nothing(&self) -> Terminal {
        Terminal { power: vec![Complex64::ZERO; self.wires()], current: vec![0.0; self.wires()] }
    }

    fn position(&self, bus: u32) -> Option<u32> {
        self.state.assembly.buses.get(&BusId(bus)).copied()
    }

    pub(super) fn energized_bus(&self, bus: u32) -> bool {
        self.position(bus).is_some_and(|bus| self.circuit.buses[bus as usize].energized)
    }

    pub(super) fn bus(&self, bus: u32) -> &[Complex64] {
        self.position(bus).map_or(&[], |bus| &self.state.voltages[self.circuit.wires(bus)])
    }

    pub(super) fn energized_branch(&self, id: u32) -> bool {
        self.state.assembly.branches.get(&BranchId(id)).is_some_and(|place| *place != BranchPlace::Off)
    }

    pub(super) fn energized_appliance(&self, id: u32) -> bool {
        self.state.assembly.appliances.get(&id).is_some_and(|(_, place)| *place != AppliancePlace::Off)
    }

    /// Power and current of per-unit currents that enter at a bus.
    fn terminal(&self, bus: u32, currents: &[(u8, Complex64)]) -> Terminal {
        let mut terminal = self.nothing();
        let base = self.circuit.s_base_va;
        // The base power of a symmetric circuit is that of three phases.
        let phases = if self.state.assembly.symmetric { 3.0 } else { 1.0 };
        let i_base = base / phases / self.circuit.buses[bus as usize].u_base_v;
        for &(wire, current) in currents.iter().filter(|(wire, _)| usize::from(*wire) < self.wires()) {
            let wire = usize::from(wire);
            let v = self.state.voltages[self.circuit.wires(bus).start + wire];
            terminal.power[wire] += v * current.conj() * base;
            terminal.current[wire] += current.norm() * i_base;
        }
        terminal
    }

    /// Both ends of a branch of two.
    pub(super) fn branch(&self, id: u32) -> (Terminal, Terminal) {
        match self.state.assembly.branches.get(&BranchId(id)) {
            Some(place @ (BranchPlace::Series(_) | BranchPlace::General(..))) => {
                (self.end(place, 0), self.end(place, 1))
            }
            _ => (self.nothing(), self.nothing()),
        }
    }

    /// The three windings of a transformer of three.
    pub(super) fn star(&self, id: u32) -> [Terminal; 3] {
        let place = self.state.assembly.branches.get(&BranchId(id));
        [0, 1, 2].map(|winding| match place {
            Some(BranchPlace::Star(places)) => {
                places.get(winding).map_or_else(|| self.nothing(), |place| self.end(place, 0))
            }
            Some(place @ BranchPlace::General(..)) => self.end(place, winding),
            _ => self.nothing(),
        })
    }

    fn end(&self, place: &BranchPlace, end: usize) -> Terminal {
        match place {
            BranchPlace::Series(element) => {
                let series = &self.circuit.series[*element as usize];
                let (bus, place) = if end == 0 {
                    (series.from, FlowPlace::SeriesFrom(*element))
                } else {
                    (series.to, FlowPlace::SeriesTo(*element))
                };
                self.terminal(bus, &flow::currents(self.circuit, place, self.state.voltages))
            }
            BranchPlace::General(element, terminals) => match terminals.get(end).copied().flatten() {
                Some(terminal) => {
                    let bus = self.circuit.general[*element as usize].terminals[usize::from(terminal)].0;
                    let place = FlowPlace::General { element: *element, terminal };
                    self.terminal(bus, &flow::currents(self.circuit, place, self.state.voltages))
                }
                None => self.nothing(),
            },
            BranchPlace::Star(_) | BranchPlace::Off => self.nothing(),
        }
    }

    /// The loading of a branch in parts of its rating, as power-grid-model counts it: the larger current of a line, the
    /// larger apparent power of a transformer; NaN without a rating.
    pub(super) fn loading(&self, component: Component, at: usize, from: &Terminal, to: &Terminal) -> f64 {
        let parts = &self.state.input.parts;
        let current = from.largest_current().max(to.largest_current());
        let power = from.apparent().max(to.apparent());
        match component {
            Component::Line => parts.lines[at].i_rated_a.map_or(f64::NAN, |rated| current / rated),
            Component::AsymLine => {
                parts.coupled_lines[at].i_rated_a.map_or(f64::NAN, |rated| current / rated)
            }
            Component::Transformer => power / parts.transformers[at].s_rated_va,
            Component::GenericBranch => {
                parts.generic_branches[at].s_rated_va.map_or(0.0, |rated| power / rated)
            }
            _ => 0.0,
        }
    }

    /// What an appliance takes.
    pub(super) fn appliance(&self, id: u32) -> Terminal {
        let Some((bus, place)) = self.state.assembly.appliances.get(&id) else { return self.nothing() };
        if *place == AppliancePlace::Off {
            return self.nothing();
        }
        let power = match self.state.estimate {
            Some(outcome) => outcome.appliances.get(&id).cloned().unwrap_or_default(),
            None => self.taken(*bus, place),
        };
        let phases = if self.state.assembly.symmetric { 3.0 } else { 1.0 };
        let bus = &self.circuit.buses[*bus as usize];
        let mut terminal = self.nothing();
        for (wire, power) in power.into_iter().take(self.wires()).enumerate() {
            let v = self.state.voltages[bus.first_wire as usize + wire].norm() * bus.u_base_v * phases;
            terminal.power[wire] = power;
            terminal.current[wire] = if v > 0.0 { power.norm() / v } else { 0.0 };
        }
        terminal
    }

    /// Power taken at each wire in a power flow, VA.
    fn taken(&self, bus: u32, place: &AppliancePlace) -> Vec<Complex64> {
        let first = self.circuit.wires(bus).start;
        let mut power = vec![Complex64::ZERO; self.circuit.wires(bus).len()];
        let base = self.circuit.s_base_va;
        match place {
            AppliancePlace::Ports(ports) => {
                for port in &self.circuit.ports[ports.start as usize..ports.end as usize] {
                    let at = |wire: u8| {
                        self.circuit.wire(bus, wire).map_or(Complex64::ZERO, |wire| self.state.voltages[wire])
                    };
                    let across = at(port.plus) - at(port.minus);
                    let taken = port.taken(across.norm() / port.u_nominal);
                    // The power of a port between two wires belongs to them by their voltages: S = V conj(I).
                    let current = (taken / across).conj();
                    for (wire, sign) in [(port.plus, 1.0), (port.minus, -1.0)] {
                        if let Some(slot) = power.get_mut(usize::from(wire)) {
                            *slot += at(wire) * (current * sign).conj() * base;
                        }
                    }
                }
            }
            AppliancePlace::Source(source) => {
                let source = &self.circuit.sources[*source as usize];
                for (wire, slot) in power.iter_mut().enumerate() {
                    let v = self.state.voltages[first + wire];
                    let current: Complex64 = (0..source.emf.len())
                        .map(|k| source.y.at(wire, k) * (self.state.voltages[first + k] - source.emf[k]))
                        .sum();
                    *slot = v * current.conj() * base;
                }
            }
            AppliancePlace::Shunt(shunt) => {
                let currents = flow::currents(self.circuit, FlowPlace::Shunt(*shunt), self.state.voltages);
                for (wire, current) in currents {
                    power[usize::from(wire)] =
                        self.state.voltages[first + usize::from(wire)] * current.conj() * base;
                }
            }
            AppliancePlace::Off => {}
        }
        power
    }

    fn sum_up(&self) -> BTreeMap<BusId, Vec<Complex64>> {
        let mut given: BTreeMap<BusId, Vec<Complex64>> = BTreeMap::new();
        let parts = &self.state.input.parts;
        let loads = parts.loads.iter().map(|load| (load.id, load.terminal.bus));
        for (id, bus) in loads.chain(parts.sources.iter().map(|source| (source.id, source.bus))) {
            let power = self.appliance(id).power;
            let sum = given.entry(bus).or_insert_with(|| vec![Complex64::ZERO; power.len()]);
            sum.iter_mut().zip(power).for_each(|(sum, power)| *sum -= power);
        }
        given
    }

    /// What loads, generators and sources give to a bus, VA per wire.
    pub(super) fn injection(&self, bus: u32) -> Vec<Complex64> {
        let found = match self.state.estimate {
            Some(outcome) => outcome.nodes.get(&BusId(bus)).map(|taken| taken.iter().map(|s| -s).collect()),
            None => self.given.get(&BusId(bus)).cloned(),
        };
        found.filter(|_| self.energized_bus(bus)).unwrap_or_else(|| vec![Complex64::ZERO; self.wires()])
    }
}
