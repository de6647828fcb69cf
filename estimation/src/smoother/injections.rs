//! What buses take, as a linear Gaussian: `I = c + B V + noise(D)` at the present voltage.
//!
//! With S = p + jq measured with errors ε of variances R = diag(v_p, v_q), the current is exactly
//!
//! ```text
//! I = conj((S + ε) / V) = conj(S / V) + K ε      K = [[v_re, v_im], [v_im, −v_re]] / |V|²  per wire
//! ```
//!
//! and ε = R K' μ at the optimum, with μ the gradient of everything else's log-likelihood by this current. So
//! D = K R K', and B, the derivative by V at fixed ε, is `dI = −conj(S + ε) / conj(V)² · conj(dV)`, per wire
//! `[[b_re, b_im], [b_im, −b_re]]`. Zero variance is an exact injection, zero power an exact zero injection.

use super::dense::{Arithmetic, Vector};

/// Everything about one bus's injection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<const P: usize> {
    /// Position of the bus.
    pub position: u32,
    /// Bit k: wire k is free; its `measured` is then a current to stay near, its variance that of a current.
    pub free: u32,
    /// Power taken: p in the lower half, q in the upper half. Of a free wire: re and im of the current.
    pub measured: Vector<P>,
    /// Their variances.
    pub variance: Vector<P>,
}

/// B and D as they stand in the factors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frozen<const P: usize> {
    /// b_re in the lower half, b_im in the upper half.
    pub b: Vector<P>,
    /// Diagonal of D.
    pub d: Vector<P>,
    /// D between re and im of a wire, in the lower half.
    pub cross: Vector<P>,
}

/// A load at a voltage.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<const P: usize> {
    /// The current taken.
    pub current: Vector<P>,
    /// B and D there.
    pub exact: Frozen<P>,
}

impl<const P: usize> Frozen<P> {
    pub const NOTHING: Self = Self { b: [0.0; P], d: [0.0; P], cross: [0.0; P] };

    /// B x. B is symmetric.
    #[inline(always)]
    pub fn b_times<K: Arithmetic>(&self, x: &Vector<P>) -> Vector<P> {
        let h = P / 2;
        let mut y = [0.0; P];
        for k in 0..h {
            y[k] = K::fused(self.b[k], x[k], self.b[k + h] * x[k + h]);
            y[k + h] = K::fused(self.b[k + h], x[k], -self.b[k] * x[k + h]);
        }
        y
    }

    /// D x.
    #[inline(always)]
    pub fn d_times<K: Arithmetic>(&self, x: &Vector<P>) -> Vector<P> {
        let h = P / 2;
        let mut y = [0.0; P];
        for k in 0..h {
            y[k] = K::fused(self.d[k], x[k], self.cross[k] * x[k + h]);
            y[k + h] = K::fused(self.d[k + h], x[k + h], self.cross[k] * x[k]);
        }
        y
    }
}

impl<const P: usize> Load<P> {
    /// Current, B and D at voltage `v` with the gradient `mu`.
    #[inline(always)]
    pub fn at<K: Arithmetic>(&self, v: &Vector<P>, mu: &Vector<P>) -> At<P> {
        let h = P / 2;
        let mut at = At { current: [0.0; P], exact: Frozen::NOTHING };
        for k in 0..h {
            let (x, y) = (v[k], v[k + h]);
            // Pad lanes have no voltage.
            let square = K::fused(x, x, y * y);
            let w = if square > 0.0 { 1.0 / square } else { 0.0 };
            let (kx, ky) = (x * w, y * w);
            let (vp, vq) = (self.variance[k], self.variance[k + h]);
            let p = self.measured[k] + vp * K::fused(kx, mu[k], ky * mu[k + h]);
            let q = self.measured[k + h] + vq * K::fused(ky, mu[k], -kx * mu[k + h]);
            at.current[k] = K::fused(p, kx, q * ky);
            at.current[k + h] = K::fused(p, ky, -q * kx);
            let (gr, gi) = (kx * kx - ky * ky, 2.0 * kx * ky);
            at.exact.b[k] = -K::fused(p, gr, q * gi);
            at.exact.b[k + h] = K::fused(q, gr, -p * gi);
            at.exact.d[k] = K::fused(kx * kx, vp, ky * ky * vq);
            at.exact.d[k + h] = K::fused(ky * ky, vp, kx * kx * vq);
            at.exact.cross[k] = kx * ky * (vp - vq);
        }
        if self.free != 0 {
            self.free_wires(mu, &mut at);
        }
        at
    }

    #[inline(never)]
    fn free_wires(&self, mu: &Vector<P>, at: &mut At<P>) {
        let h = P / 2;
        for k in (0..h).filter(|k| self.free & (1 << k) != 0) {
            for lane in [k, k + h] {
                at.exact.b[lane] = 0.0;
                at.exact.d[lane] = self.variance[lane];
                at.current[lane] = self.measured[lane] + self.variance[lane] * mu[lane];
            }
            at.exact.cross[k] = 0.0;
        }
    }
}
