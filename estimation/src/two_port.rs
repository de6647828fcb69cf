//! What a branch of a radial feeder does to voltages and currents, as seen from the source.
//!
//! With the voltage `V_u` at the upstream terminal and the current `J_d` that leaves the branch at its
//! downstream terminal, every line and transformer here obeys
//!
//! ```text
//! V_d = T V_u − Z J_d          J_u = C V_u + D J_d
//! ```
//!
//! (W. H. Kersting, *Distribution System Modeling and Analysis*, generalised line and transformer matrices).
//! All elements treated are cyclic in the phases, so the 3×3 matrices follow from their three sequence values.

use nalgebra::{Matrix3, Vector3};
use num_complex::Complex64;

/// A 3×3 matrix over the phases a, b, c.
pub(crate) type PhaseMatrix = Matrix3<Complex64>;
/// One complex value per phase.
pub(crate) type PhaseVector = Vector3<Complex64>;

/// `e^{j 2π/3}`, the rotation between phases.
pub(crate) const ROTATION: Complex64 = Complex64::new(-0.5, 0.866_025_403_784_438_6);

/// One value per symmetrical component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sequence {
    pub(crate) zero: Complex64,
    pub(crate) positive: Complex64,
    pub(crate) negative: Complex64,
}

impl Sequence {
    /// A static element: what holds for the positive sequence holds for the negative.
    pub(crate) fn balanced(positive: Complex64, zero: Complex64) -> Self {
        Self { zero, positive, negative: positive }
    }

    /// Combines two elements component by component.
    pub(crate) fn zip(self, other: Self, f: impl Fn(Complex64, Complex64) -> Complex64) -> Self {
        Self {
            zero: f(self.zero, other.zero),
            positive: f(self.positive, other.positive),
            negative: f(self.negative, other.negative),
        }
    }

    /// The phase matrix with these eigenvalues: `M[p][q] = (m0 + m1 a^(q−p) + m2 a^(p−q)) / 3`.
    pub(crate) fn to_phases(self) -> PhaseMatrix {
        let one = Complex64::new(1.0, 0.0);
        let powers = [one, ROTATION, ROTATION.conj()];
        PhaseMatrix::from_fn(|p, q| {
            let forward = powers[(3 + q - p) % 3];
            (self.zero + self.positive * forward + self.negative * forward.conj()) / 3.0
        })
    }
}

/// The matrices `T`, `Z`, `C`, `D` of the module head; V, A, Ω, S.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TwoPort {
    /// A series impedance and nothing else: `T = D = 1`, `C = 0`.
    Series(PhaseMatrix),
    /// Anything cyclic.
    Full(Box<FullTwoPort>),
}

/// All four matrices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FullTwoPort {
    pub(crate) t: PhaseMatrix,
    pub(crate) z: PhaseMatrix,
    pub(crate) c: PhaseMatrix,
    pub(crate) d: PhaseMatrix,
}

impl TwoPort {
    /// The voltage at the downstream terminal.
    #[inline]
    pub(crate) fn voltage_down(&self, up: &PhaseVector, current_down: &PhaseVector) -> PhaseVector {
        match self {
            TwoPort::Series(z) => up - z * current_down,
            TwoPort::Full(full) => full.t * up - full.z * current_down,
        }
    }

    /// The current that enters at the upstream terminal.
    #[inline]
    pub(crate) fn current_up(&self, up: &PhaseVector, current_down: &PhaseVector) -> PhaseVector {
        match self {
            TwoPort::Series(_) => *current_down,
            TwoPort::Full(full) => full.c * up + full.d * current_down,
        }
    }

    /// This one with another below it, as one. None where the charging between them resonates with the impedance above: no
    /// line does at power frequency.
    pub(crate) fn then(&self, below: &TwoPort) -> Option<TwoPort> {
        if let (TwoPort::Series(above), TwoPort::Series(below)) = (self, below) {
            return Some(TwoPort::Series(above + below));
        }
        // The current between them: J = C₂ V + D₂ J_d with V = T₁ V_u − Z₁ J.
        let (one, two) = (self.full(), below.full());
        let between = PhaseMatrix::identity() + two.c * one.z;
        let inverse = between.try_inverse()?;
        let (from_voltage, from_current) = (inverse * two.c * one.t, inverse * two.d);
        Some(TwoPort::Full(Box::new(FullTwoPort {
            t: two.t * (one.t - one.z * from_voltage),
            z: two.z + two.t * one.z * from_current,
            c: one.c + one.d * from_voltage,
            d: one.d * from_current,
        })))
    }

    /// All four matrices.
    pub(crate) fn full(&self) -> FullTwoPort {
        match self {
            TwoPort::Full(full) => full.as_ref().clone(),
            TwoPort::Series(z) => {
                let (t, d) = (PhaseMatrix::identity(), PhaseMatrix::identity());
                FullTwoPort { t, z: *z, c: PhaseMatrix::zeros(), d }
            }
        }
    }

    /// The share of one watt taken on each downstream phase that shows on each upstream phase (columns sum to
    /// one): a single-phase load behind a delta winding shows on two phases. `None`: the same phases.
    pub(crate) fn phase_shares(&self) -> Option<[[f64; 3]; 3]> {
        let TwoPort::Full(full) = self else { return None };
        let magnitude = full.d.map(|x| x.norm());
        let largest = magnitude.max();
        let clean = magnitude.map(|x| if x > 0.2 * largest { x } else { 0.0 });
        let mut shares = [[0.0; 3]; 3];
        for (up, row) in shares.iter_mut().enumerate() {
            for (down, share) in row.iter_mut().enumerate() {
                *share = clean[(up, down)] / clean.column(down).sum();
            }
        }
        Some(shares)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_values_are_the_eigenvalues() {
        let z = Sequence::balanced(Complex64::new(0.3, 0.1), Complex64::new(0.9, 0.4)).to_phases();
        assert!((z[(0, 0)] - Complex64::new(0.5, 0.2)).norm() < 1e-15);
        assert!((z[(0, 1)] - Complex64::new(0.2, 0.1)).norm() < 1e-15);
        let one = Complex64::new(1.0, 0.0);
        let positive = PhaseVector::new(one, ROTATION.conj(), ROTATION);
        assert!((z * positive - positive * Complex64::new(0.3, 0.1)).norm() < 1e-15);
    }

    #[test]
    fn a_shift_turns_the_positive_sequence_one_way_and_the_negative_the_other() {
        let turn = Complex64::from_polar(1.0, 0.5);
        let m = Sequence { zero: turn * 0.0, positive: turn, negative: turn.conj() }.to_phases();
        let one = Complex64::new(1.0, 0.0);
        let positive = PhaseVector::new(one, ROTATION.conj(), ROTATION);
        let negative = PhaseVector::new(one, ROTATION, ROTATION.conj());
        assert!((m * positive - positive * turn).norm() < 1e-14);
        assert!((m * negative - negative * turn.conj()).norm() < 1e-14);
    }
}
