//! Voltage readings as rows on one wire's voltage: the magnitude along the phasor, the angle across it.

use super::dense::{self, Matrix, Vector};

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
    /// Derivative by re and im in the factors.
    pub frozen: [f64; 2],
}

impl Meter {
    /// Reading minus magnitude or angle of `v`, and the derivative of the latter by re and im.
    #[inline(always)]
    pub fn residual<const P: usize>(&self, v: &Vector<P>) -> (f64, [f64; 2]) {
        let (x, y) = (v[usize::from(self.wire)], v[usize::from(self.wire) + P / 2]);
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

    /// Fixes the derivative and adds the row's information to `l`.
    #[inline(always)]
    pub fn freeze<const N: usize, const P: usize>(&mut self, v: &Vector<P>, l: &mut Matrix<N, P>) {
        let (_, d) = self.residual(v);
        self.frozen = d;
        let k = usize::from(self.wire);
        let (re, im) = (dense::lane::<N, P>(k), dense::lane::<N, P>(k + N / 2));
        let weight = 1.0 / self.variance;
        l[k][re] += weight * d[0] * d[0];
        l[k][im] += weight * d[0] * d[1];
        l[k + N / 2][re] += weight * d[0] * d[1];
        l[k + N / 2][im] += weight * d[1] * d[1];
    }

    /// Adds what the row says at `v` to `e`, so that e − L v is its exact gradient at `v`.
    #[inline(always)]
    pub fn pull<const P: usize>(&self, v: &Vector<P>, e: &mut Vector<P>) {
        let (residual, d) = self.residual(v);
        let k = usize::from(self.wire);
        let weight = 1.0 / self.variance;
        let along = self.frozen[0] * v[k] + self.frozen[1] * v[k + P / 2];
        e[k] += weight * (residual * d[0] + along * self.frozen[0]);
        e[k + P / 2] += weight * (residual * d[1] + along * self.frozen[1]);
    }
}
