//! What a pass finds at a position, in one line of the cache.

use super::core::Core;
use super::dense::{Arithmetic, Even, Transposed};
use super::lines::NONE;
use super::precision::{Factors, Lanes, Real, rounded_even, widened_even};
use super::trunk::{self, Above};

/// The line above a position, and what stands there. Impedance and admittance are in single precision: as exact as deviations
/// are kept.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// The impedance of the line when it is even.
    z: Even<f32>,
    /// The even part of the admittance.
    y: Even<f32>,
    pub above: Above,
    /// As in [`super::core::Place`].
    pub level: u32,
    pub load: u32,
    pub meter: u32,
    /// Index of the impedance among the full matrices, [`NONE`] when it is even.
    full: u32,
    /// [`NONE`] where there is no admittance; else the index of a full matrix to add, plus one, and zero when there is none.
    admittance: u32,
}

/// Of every position.
pub(super) fn stops<const N: usize>(core: &Core<N>) -> Vec<Stop> {
    let all = trunk::trunk(core).into_iter().zip(&core.place).zip(&core.lines.line).zip(&core.lines.shunt);
    all.map(|(((above, place), line), shunt)| Stop {
        z: rounded_even(&line.z),
        y: rounded_even(&shunt.even),
        above,
        level: place.level,
        load: place.load,
        meter: place.meter,
        full: line.full,
        admittance: if shunt.is_none() { NONE } else { shunt.full },
    })
    .collect()
}

impl Stop {
    /// The impedance: when it is even, and its index among the full ones.
    #[inline(always)]
    pub fn impedance<T: Real>(&self) -> (Even<T>, u32) {
        (widened_even(&self.z), self.full)
    }

    /// The admittance, and the index of a full matrix to add, plus one; `None` where there is none.
    #[inline(always)]
    pub fn admittance<T: Real>(&self) -> Option<(Even<T>, u32)> {
        if self.admittance == NONE { None } else { Some((widened_even(&self.y), self.admittance)) }
    }

    /// Z x or Z' x
    #[inline(always)]
    pub fn z<K: Arithmetic, T: Real, const N: usize>(
        &self,
        kit: K,
        factors: &Factors<T, N>,
        x: &Lanes<T>,
        transposed: Transposed,
    ) -> Lanes<T> {
        factors.impedance_times(kit, self.impedance(), x, transposed)
    }
}
