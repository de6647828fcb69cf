//! How what a bus takes goes together with its voltage: with that the deviation of a current follows from those of powers.

use super::dense::{HALF, Matrix, Vector};

/// Covariances of a wire's active and reactive power taken (P, Q) and voltage magnitude (U), p.u.².
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Together {
    pub pq: f64,
    pub pu: f64,
    pub qu: f64,
}

impl Together {
    /// Of an injection measured with variances (R_p, R_q). Its errors ε enter as a current K ε, so that
    /// cov(V, ε) = x K R and cov(ε) = R − R K' γ K R, with x and γ of [`super::posterior`].
    pub fn measured<const N: usize>(
        k: usize,
        v: &Vector,
        (by_p, by_q): (f64, f64),
        x: &Matrix<N>,
        g: &Matrix<N>,
    ) -> Self {
        let (w, h) = (N / 2, HALF);
        let (re, im) = (v[k], v[k + h]);
        let square = re * re + im * im;
        let (kx, ky, size) = (re / square, im / square, square.sqrt());
        // U by a current: one row of x per part of the current.
        let u = |column: usize| (re * x[column][k] + im * x[column][k + h]) / size;
        let (u_re, u_im) = (u(k), u(k + w));
        let (rr, ri, ii) = (g[k][k], g[k][k + h], g[k + w][k + h]);
        Self {
            pq: -by_p * by_q * (kx * ky * (rr - ii) + (ky * ky - kx * kx) * ri),
            pu: by_p * (u_re * kx + u_im * ky),
            qu: by_q * (u_re * ky - u_im * kx),
        }
    }

    /// Of V conj(I), from the covariances of V, of (V, I) and of I.
    pub fn of<const N: usize>(
        k: usize,
        (v, i): (&Vector, &Vector),
        (c, v_i, i_i): (&Matrix<N>, &Matrix<N>, &Matrix<N>),
    ) -> Self {
        let (w, h) = (N / 2, HALF);
        let (x, y, a, b) = (v[k], v[k + h], i[k], i[k + h]);
        let size = (x * x + y * y).sqrt();
        // Over (v_re, v_im, i_re, i_im).
        let (p, q, u) = ([a, b, x, y], [-b, a, y, -x], [x / size, y / size, 0.0, 0.0]);
        let (xa, xb, ya, yb) = (v_i[k][k], v_i[k + w][k], v_i[k][k + h], v_i[k + w][k + h]);
        let covariance = [
            [c[k][k], c[k][k + h], xa, xb],
            [c[k][k + h], c[k + w][k + h], ya, yb],
            [xa, ya, i_i[k][k], i_i[k][k + h]],
            [xb, yb, i_i[k][k + h], i_i[k + w][k + h]],
        ];
        let of = |one: &[f64; 4], other: &[f64; 4]| -> f64 {
            let rows = covariance.iter().zip(one);
            rows.map(|(row, one)| one * row.iter().zip(other).map(|(c, other)| c * other).sum::<f64>()).sum()
        };
        Self { pq: of(&p, &q), pu: of(&p, &u), qu: of(&q, &u) }
    }

    /// The same of what is given instead of taken.
    pub fn given(self) -> Self {
        Self { pq: self.pq, pu: -self.pu, qu: -self.qu }
    }
}
