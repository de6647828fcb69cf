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

use super::dense::{Arithmetic, HALF, Vector, halves, joined};

/// Everything about one bus's injection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Position of the bus.
    pub position: u32,
    /// Bit k: wire k is free; its `measured` is then a current to stay near, its variance that of a current.
    pub free: u32,
    /// Power taken: p in the lower half, q in the upper half. Of a free wire: re and im of the current.
    pub measured: Vector,
    /// Their variances.
    pub variance: Vector,
}

/// B and D as they stand in the factors.
#[repr(C, align(32))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Frozen {
    /// b_re in the lower half, b_im in the upper half.
    pub b: Vector,
    /// Diagonal of D.
    pub d: Vector,
    /// D between re and im of a wire, in the lower half.
    pub cross: Vector,
}

impl Frozen {
    /// B x. B is symmetric.
    #[inline(always)]
    pub fn b_times<K: Arithmetic>(&self, kit: K, x: &Vector) -> Vector {
        let ((br, bi), (re, im)) = (halves(&self.b), halves(x));
        joined((kit.fma4(br, re, kit.mul4(bi, im)), kit.fnma4(br, im, kit.mul4(bi, re))))
    }
}

/// A load at a voltage.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    /// The current taken.
    pub current: Vector,
    /// B and D there.
    pub exact: Frozen,
}

impl Load {
    /// Current, B and D at voltage `v` with the gradient `mu`.
    #[inline(always)]
    pub fn at<K: Arithmetic>(&self, kit: K, v: &Vector, mu: &Vector) -> At {
        let ((x, y), (m, n)) = (halves(v), halves(mu));
        let ((s_p, s_q), (v_p, v_q)) = (halves(&self.measured), halves(&self.variance));
        // Pad lanes have no voltage: they get a tiny one.
        let square = kit.fma4(x, x, kit.fma4(y, y, kit.splat4(f64::MIN_POSITIVE)));
        let w = kit.div4(kit.splat4(1.0), square);
        let (kx, ky) = (kit.mul4(x, w), kit.mul4(y, w));
        let p = kit.fma4(v_p, kit.fma4(kx, m, kit.mul4(ky, n)), s_p);
        let q = kit.fma4(v_q, kit.fnma4(kx, n, kit.mul4(ky, m)), s_q);
        let current = (kit.fma4(p, kx, kit.mul4(q, ky)), kit.fnma4(q, kx, kit.mul4(p, ky)));
        let (xx, yy, xy) = (kit.mul4(kx, kx), kit.mul4(ky, ky), kit.mul4(kx, ky));
        let (gr, gi) = (kit.sub4(xx, yy), kit.add4(xy, xy));
        let b = (kit.sub4([0.0; HALF], kit.fma4(p, gr, kit.mul4(q, gi))), kit.fnma4(p, gi, kit.mul4(q, gr)));
        let d = (kit.fma4(xx, v_p, kit.mul4(yy, v_q)), kit.fma4(yy, v_p, kit.mul4(xx, v_q)));
        let cross = kit.mul4(xy, kit.sub4(v_p, v_q));
        let exact = Frozen { b: joined(b), d: joined(d), cross: joined((cross, [0.0; HALF])) };
        let mut at = At { current: joined(current), exact };
        if self.free != 0 {
            self.free_wires(mu, &mut at);
        }
        at
    }

    /// Moves the centres of free wires along with the gradient by their current, which is zero at the optimum: what is
    /// below `noise` is set to it.
    pub fn recentre(&mut self, mu: &mut Vector, noise: f64) {
        for k in (0..HALF).filter(|k| self.free & (1 << k) != 0) {
            for lane in [k, k + HALF] {
                if mu[lane].abs() <= noise {
                    mu[lane] = 0.0;
                }
                self.measured[lane] += self.variance[lane] * mu[lane];
            }
        }
    }

    #[inline(never)]
    fn free_wires(&self, mu: &Vector, at: &mut At) {
        let h = HALF;
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
