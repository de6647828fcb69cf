//! The feeder without its loads is linear: voltages and currents follow from the source voltage and the load
//! currents. This module propagates many such columns at once, exactly, in one walk up and one walk down.
//!
//! Shunts below a bus (capacitance, magnetising branches) are gathered into one admittance `Y` per bus, so that
//! the current above a bus is `J = j + Y V` with `j` the part that load currents cause:
//!
//! ```text
//! V_d = T' V_u − Z' j_d      j_u = D' j_d      T' = M T,  Z' = M Z,  D' = D (1 − Y Z'),  M = (1 + Z Y)⁻¹
//! ```

use crate::feeder::Feeder;
use crate::two_port::{PhaseMatrix, TwoPort};
use grid::Phase;
use num_complex::Complex64;

/// Where a load current is taken: position of the bus and phase.
pub(crate) type Slot = (usize, Phase);

/// A feeder prepared for propagation.
#[derive(Debug)]
pub(crate) struct LinearFeeder {
    /// Per position: the reduced matrices of what lies above (at the source: `T' = M`, `Z' = M Z`).
    above: Vec<Reduced>,
    /// Per position: gathered shunt admittance, where there is one.
    shunts: Vec<Option<PhaseMatrix>>,
}

#[derive(Debug)]
enum Reduced {
    /// `T' = D' = 1`.
    Series(PhaseMatrix),
    Full(Box<FullReduced>),
}

#[derive(Debug)]
struct FullReduced {
    t: PhaseMatrix,
    z: PhaseMatrix,
    d: PhaseMatrix,
}

/// Columns of phasors: three rows per position.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    pub(crate) width: usize,
    /// Voltages, V per unit of the column.
    voltages: Vec<Complex64>,
    /// Currents leaving the branch above each position, A per unit of the column.
    currents: Vec<Complex64>,
}

impl Columns {
    /// The voltage of a position and phase in every column.
    pub(crate) fn voltage(&self, position: usize, phase: usize) -> &[Complex64] {
        let start = (3 * position + phase) * self.width;
        &self.voltages[start..start + self.width]
    }

    /// The current leaving the branch above a position in every column.
    pub(crate) fn current_below(&self, position: usize, phase: usize) -> &[Complex64] {
        let start = (3 * position + phase) * self.width;
        &self.currents[start..start + self.width]
    }

    /// The current entering a branch at its `from` (or `to`) side, in every column.
    pub(crate) fn current_entering(
        &self,
        feeder: &Feeder,
        branch: usize,
        phase: usize,
        at_from: bool,
    ) -> Vec<Complex64> {
        let below = feeder.below[branch];
        let section = &feeder.sections[below - 1];
        if section.fed_from_from != at_from {
            return self.current_below(below, phase).iter().map(|current| -current).collect();
        }
        match &section.port {
            TwoPort::Series(_) => self.current_below(below, phase).to_vec(),
            TwoPort::Full(full) => {
                let mut sum = vec![Complex64::ZERO; self.width];
                for other in 0..3 {
                    add_scaled(&mut sum, full.c[(phase, other)], self.voltage(section.parent, other));
                    add_scaled(&mut sum, full.d[(phase, other)], self.current_below(below, other));
                }
                sum
            }
        }
    }
}

impl LinearFeeder {
    /// Gathers the shunts. Cost O(buses).
    pub(crate) fn new(feeder: &Feeder) -> Self {
        let count = feeder.order.len();
        let mut shunts: Vec<Option<PhaseMatrix>> = vec![None; count];
        let mut above = Vec::with_capacity(count);
        for position in (0..count).rev() {
            let y = shunts[position];
            let (t, z, d, c) = match feeder.section(position).map(|section| &section.port) {
                None => (PhaseMatrix::identity(), feeder.source_z, PhaseMatrix::zeros(), None),
                Some(TwoPort::Series(z)) if y.is_none() => {
                    above.push(Reduced::Series(*z));
                    continue;
                }
                Some(TwoPort::Series(z)) => (PhaseMatrix::identity(), *z, PhaseMatrix::identity(), None),
                Some(TwoPort::Full(full)) => (full.t, full.z, full.d, Some(full.c)),
            };
            let y = y.unwrap_or_else(PhaseMatrix::zeros);
            // 1 + Z Y is close to 1 for any physical shunt; a singular one would have no power flow either.
            let m = (PhaseMatrix::identity() + z * y).try_inverse().unwrap_or_else(PhaseMatrix::identity);
            let (t, z) = (m * t, m * z);
            if let Some(section) = feeder.section(position) {
                let gathered = c.unwrap_or_else(PhaseMatrix::zeros) + d * y * t;
                if gathered.iter().any(|value| *value != Complex64::ZERO) {
                    let parent = shunts[section.parent].get_or_insert_with(PhaseMatrix::zeros);
                    *parent += gathered;
                }
            }
            let d = d * (PhaseMatrix::identity() - y * z);
            above.push(Reduced::Full(Box::new(FullReduced { t, z, d })));
        }
        above.reverse();
        Self { above, shunts }
    }

    /// Voltages and currents for `width` columns. `emf` holds three rows (V), `taken` one row per slot (A).
    pub(crate) fn propagate(
        &self,
        feeder: &Feeder,
        width: usize,
        emf: &[Complex64],
        slots: &[Slot],
        taken: &[Complex64],
    ) -> Columns {
        let rows = 3 * width;
        let mut currents = vec![Complex64::ZERO; rows * self.above.len()];
        for (slot, row) in slots.iter().zip(taken.chunks_exact(width)) {
            let start = slot.0 * rows + slot.1.index() * width;
            add_scaled(&mut currents[start..start + width], Complex64::ONE, row);
        }
        for position in (1..self.above.len()).rev() {
            let Some(section) = feeder.section(position) else { continue };
            let (low, high) = currents.split_at_mut(position * rows);
            let up = &mut low[section.parent * rows..section.parent * rows + rows];
            match &self.above[position] {
                Reduced::Series(_) => add_scaled(up, Complex64::ONE, &high[..rows]),
                Reduced::Full(full) => add_product(up, &full.d, &high[..rows], width, 1.0),
            }
        }
        let mut voltages = vec![Complex64::ZERO; rows * self.above.len()];
        for position in 0..self.above.len() {
            let (low, high) = voltages.split_at_mut(position * rows);
            let here = &mut high[..rows];
            let up = feeder
                .section(position)
                .map_or(emf, |section| &low[section.parent * rows..section.parent * rows + rows]);
            let current = &mut currents[position * rows..position * rows + rows];
            match &self.above[position] {
                Reduced::Series(z) => {
                    here.copy_from_slice(up);
                    add_product(here, z, current, width, -1.0);
                }
                Reduced::Full(full) => {
                    add_product(here, &full.t, up, width, 1.0);
                    add_product(here, &full.z, current, width, -1.0);
                }
            }
            if let Some(y) = &self.shunts[position] {
                add_product(current, y, here, width, 1.0);
            }
        }
        Columns { width, voltages, currents }
    }
}

fn add_scaled(target: &mut [Complex64], factor: Complex64, row: &[Complex64]) {
    if factor == Complex64::ONE {
        target.iter_mut().zip(row).for_each(|(target, value)| *target += value);
    } else if factor != Complex64::ZERO {
        target.iter_mut().zip(row).for_each(|(target, value)| *target += factor * value);
    }
}

/// Adds `sign · matrix · rows`, three rows of `width`.
fn add_product(target: &mut [Complex64], matrix: &PhaseMatrix, rows: &[Complex64], width: usize, sign: f64) {
    for (phase, target) in target.chunks_exact_mut(width).enumerate() {
        for (other, row) in rows.chunks_exact(width).enumerate() {
            add_scaled(target, matrix[(phase, other)] * sign, row);
        }
    }
}
