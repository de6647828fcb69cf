//! Where angles count from. An island without a measured angle gets one: the voltage readings of one bus (that of its
//! first source if it is measured, otherwise the first measured one) are given the angles 0, −120°, 120° with the
//! deviation of their magnitude, and the result is turned until the first wire of the first source stands at zero.
//! power-grid-model does the same (`newton_raphson_se_solver.hpp`, "virtual angle measurement"): it ties the three
//! phases of an island to each other, which nothing else does where no delta winding couples them.

use super::spread::turn;
use crate::assembly::Assembly;
use crate::circuit::{Circuit, CurrentReading, VoltageReading};
use num_complex::Complex64;

/// Buses that are joined by elements.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Islands {
    /// Bus → a bus that stands for its island.
    of: Vec<u32>,
}

/// An island to be turned after the estimate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Turn {
    island: u32,
    slack: u32,
}

impl Islands {
    pub fn new(circuit: &Circuit) -> Self {
        let mut of: Vec<u32> = (0..circuit.buses.len() as u32).collect();
        for series in &circuit.series {
            join(&mut of, series.from, series.to);
        }
        for element in &circuit.general {
            for pair in element.terminals.windows(2) {
                join(&mut of, pair[0].0, pair[1].0);
            }
        }
        for bus in 0..of.len() as u32 {
            let root = find(&mut of, bus);
            of[bus as usize] = root;
        }
        Self { of }
    }

    pub fn of(&self, bus: u32) -> u32 {
        self.of[bus as usize]
    }

    /// Gives angles to islands that have none; tells which must be turned.
    pub fn anchor(&self, assembly: &Assembly, voltages: &mut [VoltageReading]) -> Vec<Turn> {
        let circuit = &assembly.circuit;
        let mut measured = vec![false; self.of.len()];
        for reading in voltages.iter().filter(|reading| reading.angle.is_some()) {
            measured[self.of(reading.bus) as usize] = true;
        }
        // Per island: the bus of the first source, the first measured bus.
        let mut slack = vec![None; self.of.len()];
        let live = |bus: u32| circuit.buses[bus as usize].energized;
        for source in circuit.sources.iter().filter(|source| live(source.bus)) {
            slack[self.of(source.bus) as usize].get_or_insert(source.bus);
        }
        let mut first: Vec<Option<u32>> = vec![None; self.of.len()];
        let mut at_slack = vec![false; self.of.len()];
        for reading in voltages.iter() {
            let island = self.of(reading.bus) as usize;
            first[island] = Some(first[island].map_or(reading.bus, |bus| bus.min(reading.bus)));
            at_slack[island] |= slack[island] == Some(reading.bus);
        }
        for reading in voltages.iter_mut() {
            let island = self.of(reading.bus) as usize;
            let bus = if at_slack[island] { slack[island] } else { first[island] };
            if !measured[island] && bus == Some(reading.bus) {
                reading.angle =
                    Some(nominal(assembly, circuit.wires(reading.bus).start + usize::from(reading.wire)));
            }
        }
        (0..self.of.len())
            .filter(|&island| !measured[island])
            .filter_map(|island| Some(Turn { island: island as u32, slack: slack[island]? }))
            .collect()
    }

    /// The sensor of a current whose angle counts from nowhere.
    pub fn without_reference(&self, turns: &[Turn], places: &[(u32, CurrentReading)]) -> Option<u32> {
        let unanchored = |bus: u32| turns.iter().any(|turn| turn.island == self.of(bus));
        let absolute = |reading: &CurrentReading| reading.angle.is_some() && !reading.angle_from_voltage;
        places.iter().find(|(bus, reading)| absolute(reading) && unanchored(*bus)).map(|(_, r)| r.sensor)
    }

    /// The wire (global number) whose angle those of a bus count from, where they count from one.
    pub fn reference(&self, circuit: &Circuit, turns: &[Turn], bus: u32) -> Option<usize> {
        let turn = turns.iter().find(|turn| turn.island == self.of(bus))?;
        Some(circuit.wires(turn.slack).start)
    }

    /// Turns the voltages of islands whose angles count from their source.
    pub fn turn(&self, assembly: &Assembly, turns: &[Turn], voltages: &mut [Complex64]) {
        let circuit = &assembly.circuit;
        let mut by = vec![Complex64::new(1.0, 0.0); self.of.len()];
        for turn in turns {
            let first = circuit.wires(turn.slack).start;
            let at = voltages[first];
            if at.norm() > 0.0 {
                let angle = nominal(assembly, first) - at.arg();
                by[turn.island as usize] = Complex64::from_polar(1.0, angle);
            }
        }
        for bus in 0..self.of.len() as u32 {
            for wire in circuit.wires(bus) {
                voltages[wire] *= by[self.of(bus) as usize];
            }
        }
    }
}

/// The angle of a wire in a positive sequence, rad.
fn nominal(assembly: &Assembly, wire: usize) -> f64 {
    -turn(usize::from(assembly.wires[wire].0.saturating_sub(1)))
}

fn find(of: &mut [u32], mut bus: u32) -> u32 {
    while of[bus as usize] != bus {
        let up = of[of[bus as usize] as usize];
        of[bus as usize] = up;
        bus = up;
    }
    bus
}

fn join(of: &mut [u32], a: u32, b: u32) {
    let (a, b) = (find(of, a), find(of, b));
    let (low, high) = (a.min(b), a.max(b));
    of[high as usize] = low;
}
