//! Elements as admittances between live wires.

use crate::circuit::{Circuit, Coupling, Series};
use nalgebra::DMatrix;
use num_complex::Complex64;

/// Stands for a wire without an unknown: the earth.
pub(super) const EARTH: u32 = u32::MAX;

/// Which wires take part: those of energized buses, numbered without gaps.
#[derive(Debug, Clone)]
pub(super) struct Live {
    /// Global wire → unknown, [`EARTH`] for dead ones.
    pub(super) unknown: Vec<u32>,
    /// Unknown → global wire.
    pub(super) wire: Vec<u32>,
    /// Unknown → bus.
    pub(super) bus: Vec<u32>,
}

impl Live {
    pub(super) fn new(circuit: &Circuit) -> Self {
        let mut live = Self { unknown: vec![EARTH; circuit.wire_count()], wire: Vec::new(), bus: Vec::new() };
        for (number, bus) in circuit.buses.iter().enumerate().filter(|(_, bus)| bus.energized) {
            for wire in bus.first_wire..bus.first_wire + u32::from(bus.wires) {
                live.unknown[wire as usize] = live.wire.len() as u32;
                live.wire.push(wire);
                live.bus.push(number as u32);
            }
        }
        live
    }

    /// How many wires take part.
    pub(super) fn len(&self) -> usize {
        self.wire.len()
    }

    /// The unknown of a local wire, [`EARTH`] for ground and dead wires.
    pub(super) fn at(&self, circuit: &Circuit, bus: u32, local: u8) -> u32 {
        circuit.wire(bus, local).map_or(EARTH, |wire| self.unknown[wire])
    }

    /// The unknowns of a bus.
    pub(super) fn of_bus(&self, circuit: &Circuit, bus: u32) -> Vec<u32> {
        circuit.wires(bus).map(|wire| self.unknown[wire]).collect()
    }

    /// Voltages of all wires from those of live ones.
    pub(super) fn spread(&self, voltages: &[Complex64]) -> Vec<Complex64> {
        let mut all = vec![Complex64::ZERO; self.unknown.len()];
        for (&wire, &voltage) in self.wire.iter().zip(voltages) {
            all[wire as usize] = voltage;
        }
        all
    }
}

/// A linear element: currents entering it are `y` times the voltages of `wires`.
#[derive(Debug, Clone)]
pub(super) struct Stamp {
    pub(super) wires: Vec<u32>,
    pub(super) y: DMatrix<Complex64>,
}

impl Stamp {
    /// Coefficients of the current entering at one row.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (u32, Complex64)> + '_ {
        self.wires
            .iter()
            .enumerate()
            .filter(|&(_, &wire)| wire != EARTH)
            .map(move |(column, &wire)| (wire, self.y[(row, column)]))
            .filter(|&(_, value)| value != Complex64::ZERO)
    }
}

/// The stamp of a series element: `None` when a bus is dead.
///
/// # Errors
/// The bus at its `to` side when its impedance cannot be inverted.
pub(super) fn series(circuit: &Circuit, live: &Live, element: &Series) -> Result<Option<Stamp>, usize> {
    let wires = usize::from(circuit.buses[element.to as usize].wires);
    if !circuit.buses[element.from as usize].energized || !circuit.buses[element.to as usize].energized {
        return Ok(None);
    }
    let inverse = inverse(&element.z, wires).ok_or(element.to as usize)?;
    let mut y = DMatrix::zeros(2 * wires, 2 * wires);
    match element.ratio.as_deref() {
        None => {
            for row in 0..wires {
                for column in 0..wires {
                    let through = inverse.at(row, column);
                    y[(row, column)] = through;
                    y[(row, wires + column)] = -through;
                    y[(wires + row, column)] = -through;
                    y[(wires + row, wires + column)] = through;
                }
            }
        }
        Some(ratio) => {
            let through = inverse.to_matrix(wires);
            let forward = &through * ratio;
            y.view_mut((0, 0), (wires, wires)).copy_from(&(ratio.adjoint() * &forward));
            y.view_mut((0, wires), (wires, wires)).copy_from(&(-(ratio.adjoint() * &through)));
            y.view_mut((wires, 0), (wires, wires)).copy_from(&(-forward));
            y.view_mut((wires, wires), (wires, wires)).copy_from(&through);
        }
    }
    for row in 0..wires {
        for column in 0..wires {
            y[(row, column)] += element.y_from.at(row, column);
            y[(wires + row, wires + column)] += element.y_to.at(row, column);
        }
    }
    let mut unknowns = live.of_bus(circuit, element.from);
    unknowns.extend(live.of_bus(circuit, element.to));
    Ok(Some(Stamp { wires: unknowns, y }))
}

/// The stamp of a general element; dead wires count as earth.
pub(super) fn general(circuit: &Circuit, live: &Live, index: usize) -> Option<Stamp> {
    let element = &circuit.general[index];
    let wires: Vec<u32> = element
        .terminals
        .iter()
        .flat_map(|(bus, locals)| locals.iter().map(|&local| live.at(circuit, *bus, local)))
        .collect();
    wires.iter().any(|&wire| wire != EARTH).then(|| Stamp { wires, y: element.y.clone() })
}

/// The stamp of a coupling at a bus.
pub(super) fn at_bus(circuit: &Circuit, live: &Live, bus: u32, y: &Coupling) -> Option<Stamp> {
    if !circuit.buses[bus as usize].energized || *y == Coupling::Zero {
        return None;
    }
    let wires = live.of_bus(circuit, bus);
    Some(Stamp { y: y.to_matrix(wires.len()), wires })
}

/// The inverse of a coupling, or nothing when there is none.
pub(super) fn inverse(coupling: &Coupling, wires: usize) -> Option<Coupling> {
    match coupling {
        Coupling::Zero => None,
        Coupling::Even { own, .. } if wires == 1 => {
            let inverse = own.inv();
            inverse.is_finite().then_some(Coupling::Even { own: inverse, mutual: Complex64::ZERO })
        }
        Coupling::Even { own, mutual } => {
            // (d I + m 11ᵀ)⁻¹ = (I − m / (d + w m) 11ᵀ) / d
            let difference = (own - mutual).inv();
            let mutual = -mutual * difference / (own + mutual * (wires as f64 - 1.0));
            let own = difference + mutual;
            (own.is_finite() && mutual.is_finite()).then_some(Coupling::Even { own, mutual })
        }
        Coupling::Full(matrix) => {
            let inverse = matrix.as_ref().clone().try_inverse()?;
            inverse.iter().all(|value| value.is_finite()).then(|| Coupling::Full(Box::new(inverse)))
        }
    }
}
