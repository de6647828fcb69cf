//! Voltage readings as rows on one wire's voltage: the magnitude along the phasor, the angle across it.

use super::dense::{self, HALF, Matrix, Vector};

/// What a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// The magnitude, p.u.
    Magnitude,
    /// The angle, rad.
    Angle,
    /// The angle that fixes the reference: a row of the equations, but no reading.
    Reference,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meter {
    /// Where.
    pub position: u32,
    /// Local wire.
    pub wire: u8,
    /// What.
    pub says: Says,
    /// Magnitude or angle.
    pub value: f64,
    /// Its variance.
    pub variance: f64,
}

impl Meter {
    /// Reading minus magnitude or angle of `v`, and the derivative of the latter by re and im.
    #[inline(always)]
    pub fn residual(&self, v: &Vector) -> (f64, [f64; 2]) {
        let (x, y) = (v[usize::from(self.wire)], v[usize::from(self.wire) + HALF]);
        let magnitude = (x * x + y * y).sqrt();
        let (c, s) = (x / magnitude, y / magnitude);
        match self.says {
            Says::Magnitude => (self.value - magnitude, [c, s]),
            Says::Angle | Says::Reference => {
                let turn = std::f64::consts::TAU;
                let away = self.value - y.atan2(x);
                (away - (away / turn).round() * turn, [-s / magnitude, c / magnitude])
            }
        }
    }

    /// Adds the row's information at `v` to `l`.
    #[inline(always)]
    pub fn inform<const N: usize>(&self, v: &Vector, l: &mut Matrix<N>) {
        let (_, d) = self.residual(v);
        let k = usize::from(self.wire);
        let (re, im) = (dense::lane::<N>(k), dense::lane::<N>(k + N / 2));
        let weight = 1.0 / self.variance;
        l[k][re] += weight * d[0] * d[0];
        l[k][im] += weight * d[0] * d[1];
        l[k + N / 2][re] += weight * d[0] * d[1];
        l[k + N / 2][im] += weight * d[1] * d[1];
    }

    /// Adds the gradient by the voltage at `v`.
    #[inline(always)]
    pub fn pull(&self, v: &Vector, pull: &mut Vector) {
        let (residual, d) = self.residual(v);
        let k = usize::from(self.wire);
        let weighted = residual / self.variance;
        pull[k] += weighted * d[0];
        pull[k + HALF] += weighted * d[1];
    }
}
