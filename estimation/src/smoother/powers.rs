//! How the powers of the wires at one end of a branch vary, and together: with G the gradients of all P and Q over voltage and
//! current, one per column, `G' cov G`, a column at a time and the rows of one column side by side.

use super::dense::{self, Arithmetic, HALF, Half, Matrix, Vector};
use super::posterior::TotalVariance;

/// By wire of the column, rows in the lanes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Powers {
    /// cov(P, P).
    pub pp: [Half; 3],
    /// cov(Q, P): columns are those of P.
    pub qp: [Half; 3],
    /// cov(Q, Q).
    pub qq: [Half; 3],
}

/// Real and imaginary parts.
type Parts = (Half, Half);

impl Powers {
    /// From voltage and current into the branch, and the covariances of V, of (V, I) and of I.
    #[inline(always)]
    pub fn of<K: Arithmetic, const N: usize>(
        kit: K,
        (v, i): (&Vector, &Vector),
        (c, v_i, i_i): (&Matrix<N>, &Matrix<N>, &Matrix<N>),
    ) -> Self {
        let (w, none) = (N / 2, [[0.0; HALF]; 3]);
        let mut powers = Self { pp: none, qp: none, qq: none };
        let i_v = dense::transpose(kit, v_i);
        let ((x, y), (a, b)) = (dense::halves(v), dense::halves(i));
        for l in 0..w {
            let (x_l, y_l) = (kit.splat4(v[l]), kit.splat4(v[l + HALF]));
            let (a_l, b_l) = (kit.splat4(i[l]), kit.splat4(i[l + HALF]));
            let point = [x_l, y_l, a_l, b_l];
            let (v_p, v_q) = along::<_, N>(kit, l, point, (c, v_i));
            let (i_p, i_q) = along::<_, N>(kit, l, point, (&i_v, i_i));
            let mut p = kit.fma4(a, v_p.0, kit.mul4(b, v_p.1));
            p = kit.fma4(x, i_p.0, kit.fma4(y, i_p.1, p));
            powers.pp[l] = p;
            powers.qp[l] = reactive(kit, (x, y), (a, b), v_p, i_p);
            powers.qq[l] = reactive(kit, (x, y), (a, b), v_q, i_q);
        }
        powers
    }

    /// Of the sums over the wires: `g' cov g` with g the gradient of ΣP, ΣQ, |ΣS| and Σ|S|.
    #[inline(always)]
    pub fn total<K: Arithmetic>(&self, kit: K, v: &Vector, i: &Vector) -> TotalVariance {
        let ((x, y), (a, b)) = (dense::halves(v), dense::halves(i));
        let own_p = kit.fma4(x, a, kit.mul4(y, b));
        let own_q = kit.sub4(kit.mul4(y, a), kit.mul4(x, b));
        let mut size = kit.fma4(own_p, own_p, kit.mul4(own_q, own_q));
        for size in &mut size {
            *size = size.sqrt().max(1e-24);
        }
        let (by_p, by_q) = (kit.div4(own_p, size), kit.div4(own_q, size));
        let none = [0.0; HALF];
        let (mut pp, mut qp, mut qq, mut apparent) = (none, none, none, none);
        for l in 0..3 {
            pp = kit.add4(pp, self.pp[l]);
            qp = kit.add4(qp, self.qp[l]);
            qq = kit.add4(qq, self.qq[l]);
            let twice = kit.splat4(2.0 * by_p[l]);
            let of_p = kit.fma4(kit.splat4(by_p[l]), kit.mul4(by_p, self.pp[l]), apparent);
            let of_both = kit.fma4(twice, kit.mul4(by_q, self.qp[l]), of_p);
            apparent = kit.fma4(kit.splat4(by_q[l]), kit.mul4(by_q, self.qq[l]), of_both);
        }
        let [pp, qp, qq, apparent] = kit.sums4([pp, qp, qq, apparent]);
        let (p, q) = (own_p[0] + own_p[1] + own_p[2], own_q[0] + own_q[1] + own_q[2]);
        let square = (p * p + q * q).max(1e-24);
        let s = (p * p * pp + 2.0 * p * q * qp + q * q * qq) / square;
        TotalVariance { p: pp.max(0.0), q: qq.max(0.0), s: s.max(0.0), apparent: apparent.max(0.0) }
    }
}

/// What goes with voltage and current of wire l, along the gradients of its P = x a + y b and its Q = y a − x b, over
/// (v_re, v_im, i_re, i_im): [a b x y] and [−b a y −x].
#[inline(always)]
fn along<K: Arithmetic, const N: usize>(
    kit: K,
    l: usize,
    [x, y, a, b]: [Half; 4],
    (v, i): (&Matrix<N>, &Matrix<N>),
) -> (Parts, Parts) {
    let (v_re, v_im) = (dense::halves(&v[l]), dense::halves(&v[l + N / 2]));
    let (i_re, i_im) = (dense::halves(&i[l]), dense::halves(&i[l + N / 2]));
    let (p, and) = (two(kit, (v_re, a), (v_im, b)), two(kit, (i_re, x), (i_im, y)));
    let (plus, minus) = (two(kit, (v_im, a), (i_re, y)), two(kit, (v_re, b), (i_im, x)));
    let p = (kit.add4(p.0, and.0), kit.add4(p.1, and.1));
    (p, (kit.sub4(plus.0, minus.0), kit.sub4(plus.1, minus.1)))
}

/// m s + n t
#[inline(always)]
fn two<K: Arithmetic>(kit: K, (m, s): (Parts, Half), (n, t): (Parts, Half)) -> Parts {
    (kit.fma4(m.0, s, kit.mul4(n.0, t)), kit.fma4(m.1, s, kit.mul4(n.1, t)))
}

/// The part of Q of all wires.
#[inline(always)]
fn reactive<K: Arithmetic>(kit: K, (x, y): Parts, (a, b): Parts, of_v: Parts, of_i: Parts) -> Half {
    let plus = kit.fma4(a, of_v.1, kit.mul4(y, of_i.0));
    kit.sub4(plus, kit.fma4(b, of_v.0, kit.mul4(x, of_i.1)))
}
