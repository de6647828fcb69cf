//! Small real matrices over `N` unknowns in `P ≥ N` lanes.
//!
//! A group of complex numbers takes the lower half of the lanes for its real parts and the upper half for its imaginary
//! parts, each half padded with zeros: three wires are `[re re re 0 im im im 0]`, so that a half is one register of four.
//! A complex matrix X becomes `[[Re, −Im], [Im, Re]]`, its adjoint the transpose. Everything is inlined into kernels
//! that are compiled once with and once without fused multiply–add.

/// A vector; lanes that stand for no unknown are zero.
pub(super) type Vector<const P: usize> = [f64; P];
/// A matrix by columns, `N` of them; column c belongs to the lane [`lane`] gives.
pub(super) type Matrix<const N: usize, const P: usize> = [[f64; P]; N];

/// The lane of an unknown.
#[inline(always)]
pub(super) const fn lane<const N: usize, const P: usize>(unknown: usize) -> usize {
    if unknown < N / 2 { unknown } else { unknown - N / 2 + P / 2 }
}

pub(super) use crate::simd::{Arithmetic, Plain};

/// Nothing but zeros.
pub(super) const fn zero<const N: usize, const P: usize>() -> Matrix<N, P> {
    [[0.0; P]; N]
}

/// The unit matrix.
pub(super) fn unit<const N: usize, const P: usize>() -> Matrix<N, P> {
    let mut one = zero::<N, P>();
    for (k, column) in one.iter_mut().enumerate() {
        column[lane::<N, P>(k)] = 1.0;
    }
    one
}

#[inline(always)]
pub(super) fn add<const P: usize>(x: &Vector<P>, y: &Vector<P>) -> Vector<P> {
    let mut sum = *x;
    for r in 0..P {
        sum[r] += y[r];
    }
    sum
}

#[inline(always)]
pub(super) fn sub<const P: usize>(x: &Vector<P>, y: &Vector<P>) -> Vector<P> {
    let mut difference = *x;
    for r in 0..P {
        difference[r] -= y[r];
    }
    difference
}

/// y + s x
#[inline(always)]
pub(super) fn axpy<K: Arithmetic, const P: usize>(s: f64, x: &Vector<P>, y: &Vector<P>) -> Vector<P> {
    let mut sum = *y;
    for r in 0..P {
        sum[r] = K::fused(s, x[r], sum[r]);
    }
    sum
}

#[inline(always)]
pub(super) fn dot<const P: usize>(x: &Vector<P>, y: &Vector<P>) -> f64 {
    let mut sum = 0.0;
    for r in 0..P {
        sum += x[r] * y[r];
    }
    sum
}

/// M x
#[inline(always)]
pub(super) fn times<K: Arithmetic, const N: usize, const P: usize>(
    m: &Matrix<N, P>,
    x: &Vector<P>,
) -> Vector<P> {
    let mut y = [0.0; P];
    for c in 0..N {
        for r in 0..P {
            y[r] = K::fused(m[c][r], x[lane::<N, P>(c)], y[r]);
        }
    }
    y
}

/// M' x. Turning the matrix first and adding columns is three times as fast as summing across registers.
#[inline(always)]
pub(super) fn transposed_times<K: Arithmetic, const N: usize, const P: usize>(
    m: &Matrix<N, P>,
    x: &Vector<P>,
) -> Vector<P> {
    times::<K, N, P>(&transpose(m), x)
}

/// A B
#[inline(always)]
pub(super) fn product<K: Arithmetic, const N: usize, const P: usize>(
    a: &Matrix<N, P>,
    b: &Matrix<N, P>,
) -> Matrix<N, P> {
    let mut c = zero();
    for k in 0..N {
        c[k] = times::<K, N, P>(a, &b[k]);
    }
    c
}

/// M'
#[inline(always)]
pub(super) fn transpose<const N: usize, const P: usize>(m: &Matrix<N, P>) -> Matrix<N, P> {
    let mut t = zero::<N, P>();
    for c in 0..N {
        for r in 0..N {
            t[c][lane::<N, P>(r)] = m[r][lane::<N, P>(c)];
        }
    }
    t
}

#[inline(always)]
pub(super) fn plus<const N: usize, const P: usize>(a: &Matrix<N, P>, b: &Matrix<N, P>) -> Matrix<N, P> {
    let mut sum = *a;
    for c in 0..N {
        sum[c] = add(&a[c], &b[c]);
    }
    sum
}

#[inline(always)]
pub(super) fn minus<const N: usize, const P: usize>(a: &Matrix<N, P>, b: &Matrix<N, P>) -> Matrix<N, P> {
    let mut difference = *a;
    for c in 0..N {
        difference[c] = sub(&a[c], &b[c]);
    }
    difference
}

/// The mean of a matrix and its transpose: keeps what is symmetric symmetric.
#[inline(always)]
pub(super) fn symmetric<const N: usize, const P: usize>(m: &Matrix<N, P>) -> Matrix<N, P> {
    let mut s = plus(m, &transpose(m));
    for column in &mut s {
        for x in column {
            *x *= 0.5;
        }
    }
    s
}

/// `b (I + e)⁻¹`. Lines are short beside what they feed, so e is small and `(I − e)(I + e²)(I + e⁴)` is the inverse to
/// the last digit; otherwise it is eliminated.
#[inline(always)]
pub(super) fn right_divide_one_plus<K: Arithmetic, const N: usize, const P: usize>(
    b: &Matrix<N, P>,
    e: &Matrix<N, P>,
) -> Option<Matrix<N, P>> {
    let mut size = 0.0_f64;
    let mut rows = [0.0; P];
    for column in e {
        for r in 0..P {
            rows[r] += column[r].abs();
        }
    }
    for row in rows {
        size = if row <= size { size } else { row };
    }
    if !(size < 0.01) {
        return right_divide::<K, N, P>(b, &plus(&unit(), e));
    }
    let mut y = minus(b, &product::<K, N, P>(b, e));
    let square = product::<K, N, P>(e, e);
    y = plus(&y, &product::<K, N, P>(&y, &square));
    if size > 1e-4 {
        let fourth = product::<K, N, P>(&square, &square);
        y = plus(&y, &product::<K, N, P>(&y, &fourth));
    }
    Some(y)
}

/// `b m⁻¹`, by elimination among the columns of both.
///
/// A pivot below a twentieth of the diagonal's scale sends it to the version with pivoting.
#[inline(always)]
pub(super) fn right_divide<K: Arithmetic, const N: usize, const P: usize>(
    b: &Matrix<N, P>,
    m: &Matrix<N, P>,
) -> Option<Matrix<N, P>> {
    let (mut left, mut right) = (*m, *b);
    for p in 0..N {
        let at = lane::<N, P>(p);
        let pivot = left[p][at];
        if !(pivot.abs() > 0.05) {
            return right_divide_pivoted(b, m);
        }
        let inverse = 1.0 / pivot;
        for r in 0..P {
            left[p][r] *= inverse;
            right[p][r] *= inverse;
        }
        let (row, solved) = (left[p], right[p]);
        for c in 0..N {
            if c != p {
                let factor = -left[c][at];
                left[c] = axpy::<K, P>(factor, &row, &left[c]);
                right[c] = axpy::<K, P>(factor, &solved, &right[c]);
            }
        }
    }
    Some(right)
}

/// The same with the largest pivot of each row; `None` when a row has none.
#[inline(never)]
pub(super) fn right_divide_pivoted<const N: usize, const P: usize>(
    b: &Matrix<N, P>,
    m: &Matrix<N, P>,
) -> Option<Matrix<N, P>> {
    let (mut left, mut right) = (*m, *b);
    for p in 0..N {
        let at = lane::<N, P>(p);
        let best = (p..N).max_by(|&i, &k| left[i][at].abs().total_cmp(&left[k][at].abs()))?;
        left.swap(p, best);
        right.swap(p, best);
        let pivot = left[p][at];
        if !(pivot.abs() > 0.0 && pivot.is_finite()) {
            return None;
        }
        for r in 0..P {
            left[p][r] /= pivot;
            right[p][r] /= pivot;
        }
        let (row, solved) = (left[p], right[p]);
        for c in (0..N).filter(|&c| c != p) {
            let factor = -left[c][at];
            left[c] = axpy::<Plain, P>(factor, &row, &left[c]);
            right[c] = axpy::<Plain, P>(factor, &solved, &right[c]);
        }
    }
    Some(right)
}

/// A coupling with one value on the diagonal and one beside it, prepared: `[d_re, d_im, m_re, m_im]` with d the
/// difference of both.
pub(super) type Even = [f64; 4];

/// Z x, or with `transposed` the product with the transpose of the real form (the adjoint).
#[inline(always)]
pub(super) fn even_times<K: Arithmetic, const N: usize, const P: usize>(
    z: &Even,
    x: &Vector<P>,
    transposed: bool,
) -> Vector<P> {
    let (w, h) = (N / 2, P / 2);
    let sign = if transposed { -1.0 } else { 1.0 };
    let (dr, di, mr, mi) = (z[0], sign * z[1], z[2], sign * z[3]);
    let (mut re, mut im) = (0.0, 0.0);
    for k in 0..w {
        re += x[k];
        im += x[k + h];
    }
    let (common_re, common_im) = (mr * re - mi * im, mr * im + mi * re);
    let mut y = [0.0; P];
    for k in 0..h {
        let inside = if k < w { 1.0 } else { 0.0 };
        y[k] = K::fused(dr, x[k], K::fused(-di, x[k + h], inside * common_re));
        y[k + h] = K::fused(dr, x[k + h], K::fused(di, x[k], inside * common_im));
    }
    y
}

/// M Z, or M Z' with `transposed`.
#[inline(always)]
pub(super) fn times_even<K: Arithmetic, const N: usize, const P: usize>(
    m: &Matrix<N, P>,
    z: &Even,
    transposed: bool,
) -> Matrix<N, P> {
    let w = N / 2;
    let sign = if transposed { -1.0 } else { 1.0 };
    let (dr, di, mr, mi) = (z[0], sign * z[1], z[2], sign * z[3]);
    let (mut re, mut im) = ([0.0; P], [0.0; P]);
    for k in 0..w {
        re = add(&re, &m[k]);
        im = add(&im, &m[k + w]);
    }
    let (mut common_re, mut common_im) = ([0.0; P], [0.0; P]);
    for r in 0..P {
        common_re[r] = K::fused(mr, re[r], mi * im[r]);
        common_im[r] = K::fused(mr, im[r], -mi * re[r]);
    }
    let mut y = zero::<N, P>();
    for k in 0..w {
        for r in 0..P {
            y[k][r] = K::fused(dr, m[k][r], K::fused(di, m[k + w][r], common_re[r]));
            y[k + w][r] = K::fused(dr, m[k + w][r], K::fused(-di, m[k][r], common_im[r]));
        }
    }
    y
}
