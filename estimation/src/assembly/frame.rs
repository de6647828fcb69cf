//! What every element has to know of its buses: position, conductors, bases, whether they are alive.

use super::Assembly;
use crate::circuit::{CircuitBus, GROUND};
use grid::network::{Terminal, Wire};
use grid::{BusId, Network};
use num_complex::Complex64;
use std::collections::BTreeMap;

/// Three-phase base power, VA: power-grid-model's.
pub(super) const BASE_POWER_VA: f64 = 1e6;

/// Buses and bases.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) symmetric: bool,
    pub(super) buses: Vec<CircuitBus>,
    pub(super) wires: Vec<Wire>,
    /// Position of the first star point.
    pub(super) first_star: u32,
    positions: Positions,
}

/// Bus number → position; a table where numbers are dense.
#[derive(Debug, Clone)]
enum Positions {
    Table(Vec<u32>),
    Map(BTreeMap<BusId, u32>),
    Sorted(Vec<(u32, u32)>),
}

impl Positions {
    fn new(network: &Network) -> Self {
        let buses = network.buses();
        let largest = buses.iter().map(|bus| bus.id.0).max().unwrap_or(0) as usize;
        if largest < 4 * buses.len() + 1024 {
            let mut table = vec![0; largest + 1];
            for (position, bus) in buses.iter().enumerate() {
                table[bus.id.0 as usize] = position as u32;
            }
            return Self::Table(table);
        }
        let mut sorted: Vec<(u32, u32)> =
            buses.iter().enumerate().map(|(position, bus)| (bus.id.0, position as u32)).collect();
        sorted.sort_unstable();
        Self::Sorted(sorted)
    }

    /// Networks are checked: the bus is there.
    fn of(&self, bus: BusId) -> u32 {
        match self {
            Self::Table(table) => table[bus.0 as usize],
            Self::Map(map) => map.get(&bus).copied().unwrap_or(0),
            Self::Sorted(sorted) => match sorted.binary_search_by_key(&bus.0, |entry| entry.0) {
                Ok(found) => sorted[found].1,
                Err(_) => 0,
            },
        }
    }
}

impl Frame {
    pub(super) fn new(network: &Network, symmetric: bool, energized: &[bool]) -> Self {
        let positions = Positions::new(network);
        let masks = if symmetric { Vec::new() } else { conductor_masks(network, &positions) };
        let stars = network.three_winding_transformers();
        let mut buses = Vec::with_capacity(energized.len());
        let mut wires = Vec::with_capacity(3 * energized.len());
        let rated = (network.buses().iter().map(|bus| bus.u_rated_v))
            .chain(stars.iter().map(|unit| network.buses()[positions.of(unit.buses[0]) as usize].u_rated_v));
        for (position, (u_rated_v, &energized)) in rated.zip(energized).enumerate() {
            let first_wire = wires.len() as u32;
            match masks.get(position) {
                _ if symmetric => wires.push(Wire(1)),
                None | Some(0) => wires.extend(Wire::PHASES),
                Some(mask) => wires.extend((1..64).filter(|wire| mask >> wire & 1 == 1).map(Wire)),
            }
            let count = (wires.len() - first_wire as usize) as u8;
            let u_base_v = u_rated_v / 3.0_f64.sqrt();
            buses.push(CircuitBus { first_wire, wires: count, energized, u_base_v });
        }
        Self { symmetric, buses, wires, first_star: network.buses().len() as u32, positions }
    }

    /// The frame of a finished assembly, taken out of it; [`Frame::give_back`] returns it.
    pub(super) fn take(assembly: &mut Assembly) -> Self {
        Self {
            symmetric: assembly.symmetric,
            buses: std::mem::take(&mut assembly.circuit.buses),
            wires: std::mem::take(&mut assembly.wires),
            first_star: assembly.buses.len() as u32,
            positions: Positions::Map(std::mem::take(&mut assembly.buses)),
        }
    }

    pub(super) fn give_back(self, assembly: &mut Assembly) {
        assembly.circuit.buses = self.buses;
        assembly.wires = self.wires;
        if let Positions::Map(buses) = self.positions {
            assembly.buses = buses;
        }
    }

    pub(super) fn position(&self, bus: BusId) -> u32 {
        self.positions.of(bus)
    }

    pub(super) fn alive(&self, position: u32) -> bool {
        self.buses[position as usize].energized
    }

    /// Base power of one wire, VA.
    pub(super) fn s_base_va(&self) -> f64 {
        if self.symmetric { BASE_POWER_VA } else { BASE_POWER_VA / 3.0 }
    }

    /// Base impedance of a bus, Ω.
    pub(super) fn z_base_ohm(&self, position: u32) -> f64 {
        let u = self.buses[position as usize].u_base_v;
        3.0 * u * u / BASE_POWER_VA
    }

    /// Rated phase-to-phase voltage, V.
    pub(super) fn u_rated_v(&self, position: u32) -> f64 {
        self.buses[position as usize].u_base_v * 3.0_f64.sqrt()
    }

    /// The conductors of a bus.
    pub(super) fn conductors(&self, position: u32) -> &[Wire] {
        let bus = &self.buses[position as usize];
        &self.wires[bus.first_wire as usize..][..usize::from(bus.wires)]
    }

    /// Whether a bus has the three phases and nothing else.
    pub(super) fn three_phase(&self, position: u32) -> bool {
        self.conductors(position) == Wire::PHASES
    }

    /// Local number of a conductor; [`GROUND`] for the earth.
    pub(super) fn local(&self, position: u32, wire: Wire) -> u8 {
        let found = self.conductors(position).iter().position(|&other| other == wire);
        found.map_or(GROUND, |local| local as u8)
    }

    /// Local numbers of a terminal's conductors.
    pub(super) fn locals(&self, terminal: &Terminal) -> (u32, Vec<u8>) {
        let position = self.position(terminal.bus);
        (position, terminal.wires.iter().map(|&wire| self.local(position, wire)).collect())
    }

    /// Local numbers of the three phases.
    pub(super) fn phases(&self, position: u32) -> Vec<u8> {
        Wire::PHASES.iter().map(|&wire| self.local(position, wire)).collect()
    }

    /// A symmetric voltage over the conductors of a bus: conductor 2 lags by 120°, 3 leads; others have none.
    pub(super) fn rotated(&self, position: u32, value: Complex64) -> Vec<Complex64> {
        let turn = Complex64::from_polar(1.0, 2.0 * std::f64::consts::FRAC_PI_3);
        let of = |wire: &Wire| match wire.0 {
            1 => value,
            2 => value * turn.conj(),
            3 => value * turn,
            _ => Complex64::ZERO,
        };
        self.conductors(position).iter().map(of).collect()
    }
}

/// Per bus a bit per conductor that something uses.
fn conductor_masks(network: &Network, positions: &Positions) -> Vec<u64> {
    const PHASES: u64 = 0b1110;
    let mut masks = vec![0_u64; network.buses().len() + network.three_winding_transformers().len()];
    let two_ended = (network.lines().iter().map(|b| (b.from, b.to)))
        .chain(network.transformers().iter().map(|b| (b.from, b.to)))
        .chain(network.links().iter().map(|b| (b.from, b.to)))
        .chain(network.generic_branches().iter().map(|b| (b.from, b.to)));
    for (from, to) in two_ended {
        masks[positions.of(from) as usize] |= PHASES;
        masks[positions.of(to) as usize] |= PHASES;
    }
    let three_phase = (network.three_winding_transformers().iter().flat_map(|unit| unit.buses))
        .chain(network.sources().iter().map(|one| one.bus))
        .chain(network.shunts().iter().map(|one| one.bus))
        .chain(network.usage_points().iter().map(|one| one.bus));
    for bus in three_phase {
        masks[positions.of(bus) as usize] |= PHASES;
    }
    let terminals = (network.coupled_lines().iter().flat_map(|line| [&line.from, &line.to]))
        .chain(network.winding_transformers().iter().flat_map(|t| t.windings.iter().map(|w| &w.terminal)))
        .chain(network.loads().iter().map(|one| &one.terminal))
        .chain(network.capacitors().iter().map(|one| &one.terminal));
    for terminal in terminals {
        let mask = &mut masks[positions.of(terminal.bus) as usize];
        *mask = terminal.wires.iter().fold(*mask, |mask, wire| mask | 1 << wire.0);
    }
    // The earth is no conductor.
    masks.iter().map(|mask| mask & !1).collect()
}
