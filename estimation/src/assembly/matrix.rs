//! Sequence values as matrices over the phases a, b, c.

use nalgebra::DMatrix;
use num_complex::Complex64;

/// `e^{j 2π/3}`.
const ROTATION: Complex64 = Complex64::new(-0.5, 0.866_025_403_784_438_6);

/// The phase matrix with these eigenvalues: `M[p][q] = (m0 + m1 a^(q−p) + m2 a^(p−q)) / 3` (C. L. Fortescue, AIEE
/// Transactions 37, 1918).
pub(super) fn from_sequence(zero: Complex64, positive: Complex64, negative: Complex64) -> DMatrix<Complex64> {
    let powers = [Complex64::ONE, ROTATION, ROTATION.conj()];
    DMatrix::from_fn(3, 3, |p, q| {
        let forward = powers[(3 + q - p) % 3];
        (zero + positive * forward + negative * forward.conj()) / 3.0
    })
}

/// The ratio matrix whose negative sequence is the conjugate of the positive: real, rounding errors put to zero.
pub(super) fn real_ratio(zero: f64, positive: Complex64) -> DMatrix<Complex64> {
    let matrix = from_sequence(Complex64::from(zero), positive, positive.conj());
    let largest = matrix.iter().fold(0.0_f64, |largest, entry| largest.max(entry.re.abs()));
    matrix.map(|entry| Complex64::from(if entry.re.abs() < 4e-16 * largest { 0.0 } else { entry.re }))
}

/// The inverse, unless the matrix is as good as singular.
pub(super) fn inverse(matrix: &DMatrix<Complex64>) -> Option<DMatrix<Complex64>> {
    let norm = matrix.norm();
    let inverse = matrix.clone().try_inverse()?;
    let condition = norm * inverse.norm();
    (condition.is_finite() && condition < 1e14).then_some(inverse)
}
