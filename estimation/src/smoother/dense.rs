//! Small real matrices over `N` unknowns in eight lanes.
//!
//! A group of complex numbers takes the lower half of the lanes for its real parts and the upper half for its imaginary
//! parts, each half padded with zeros: three wires are `[re re re 0 im im im 0]`, so that a half is one register of four.
//! A complex matrix X becomes `[[Re, −Im], [Im, Re]]`, its adjoint the transpose. Everything is inlined into kernels
//! that are compiled once with and once without the processor's vector units; `kit` is what they calculate with.

pub(super) use crate::simd::{Arithmetic, Plain, halves, joined};
use std::ops::{Deref, DerefMut};

/// Lanes of a vector.
pub(super) const LANES: usize = 8;
/// Lanes of its real or imaginary parts.
pub(super) const HALF: usize = LANES / 2;

/// A vector; lanes that stand for no unknown are zero.
pub(super) type Vector = [f64; LANES];
/// A matrix by columns, `N` of them; column c belongs to the lane [`lane`] gives.
pub(super) type Matrix<const N: usize> = [[f64; LANES]; N];
/// What one register holds.
pub(super) type Half = [f64; HALF];

/// Begins where a register may be loaded at once: memory of large arrays begins in the middle of one otherwise.
#[repr(C, align(32))]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Aligned<T>(pub T);

impl<T> Deref for Aligned<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// The lane of an unknown.
#[inline(always)]
pub(super) const fn lane<const N: usize>(unknown: usize) -> usize {
    if unknown < N / 2 { unknown } else { unknown - N / 2 + HALF }
}

/// Nothing but zeros.
#[inline(always)]
pub(super) const fn zero<const N: usize>() -> Matrix<N> {
    [[0.0; LANES]; N]
}

/// The unit matrix.
#[inline(always)]
pub(super) fn unit<const N: usize>() -> Matrix<N> {
    let mut one = zero::<N>();
    for k in 0..N {
        one[k][lane::<N>(k)] = 1.0;
    }
    one
}

#[inline(always)]
pub(super) fn add<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
    kit.add_wide(x, y)
}

#[inline(always)]
pub(super) fn sub<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
    kit.sub_wide(x, y)
}

/// y + s x
#[inline(always)]
pub(super) fn axpy<K: Arithmetic>(kit: K, s: f64, x: &Vector, y: &Vector) -> Vector {
    kit.axpy_wide(s, x, y)
}

/// x · y, element by element.
#[inline(always)]
pub(super) fn mul<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
    kit.mul_wide(x, y)
}

/// x · y + z, element by element.
#[inline(always)]
pub(super) fn fma<K: Arithmetic>(kit: K, x: &Vector, y: &Vector, z: &Vector) -> Vector {
    kit.fma_wide(x, y, z)
}

/// z − x · y, element by element.
#[inline(always)]
pub(super) fn fnma<K: Arithmetic>(kit: K, x: &Vector, y: &Vector, z: &Vector) -> Vector {
    kit.fnma_wide(x, y, z)
}

/// The larger of each; what is no number in `y` replaces, what is none in `x` stays.
#[inline(always)]
pub(super) fn larger<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
    let mut out = *x;
    let larger = halves(y);
    let (low, high) = halves(x);
    let max = joined((kit.max4(low, larger.0), kit.max4(high, larger.1)));
    for k in 0..LANES {
        out[k] = if x[k].is_nan() { x[k] } else { max[k] };
    }
    out
}

/// (x, y)/(x² + y²), element by element.
#[inline(always)]
pub(super) fn reciprocal<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> (Vector, Vector) {
    let square = halves(&fma(kit, x, x, &mul(kit, y, y)));
    let one = kit.splat4(1.0);
    let w = joined((kit.div4(one, square.0), kit.div4(one, square.1)));
    (mul(kit, x, &w), mul(kit, y, &w))
}

#[inline(always)]
pub(super) fn dot(x: &Vector, y: &Vector) -> f64 {
    let mut sum = 0.0;
    for r in 0..LANES {
        sum += x[r] * y[r];
    }
    sum
}

/// The largest magnitude of a complex component. What is no number is larger than anything.
#[inline(always)]
pub(super) fn largest<K: Arithmetic>(kit: K, x: &Vector) -> f64 {
    let (re, im) = halves(x);
    let squares = kit.fma4(re, re, kit.mul4(im, im));
    let mut largest = 0.0;
    for square in squares {
        if !(square <= largest) {
            largest = square;
        }
    }
    largest.sqrt()
}

/// M x
#[inline(always)]
pub(super) fn times<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>, x: &Vector) -> Vector {
    times_plus(kit, m, x, &[0.0; LANES])
}

/// M x + y. Columns go into two sums, so that half as many additions wait for each other.
#[inline(always)]
pub(super) fn times_plus<K: Arithmetic, const N: usize>(
    kit: K,
    m: &Matrix<N>,
    x: &Vector,
    y: &Vector,
) -> Vector {
    let mut even = halves(y);
    let mut odd = ([0.0; HALF], [0.0; HALF]);
    for c in 0..N / 2 {
        let (column, s) = (halves(&m[c]), kit.splat4(x[c]));
        even = (kit.fma4(column.0, s, even.0), kit.fma4(column.1, s, even.1));
        let (column, s) = (halves(&m[c + N / 2]), kit.splat4(x[c + HALF]));
        odd = (kit.fma4(column.0, s, odd.0), kit.fma4(column.1, s, odd.1));
    }
    joined((kit.add4(even.0, odd.0), kit.add4(even.1, odd.1)))
}

/// M' x
#[inline(always)]
pub(super) fn transposed_times<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>, x: &Vector) -> Vector {
    let x = halves(x);
    let (mut re, mut im) = ([[0.0; HALF]; HALF], [[0.0; HALF]; HALF]);
    for k in 0..N / 2 {
        let (left, right) = (halves(&m[k]), halves(&m[k + N / 2]));
        re[k] = kit.fma4(left.0, x.0, kit.mul4(left.1, x.1));
        im[k] = kit.fma4(right.0, x.0, kit.mul4(right.1, x.1));
    }
    joined((kit.sums4(re), kit.sums4(im)))
}

/// A B
#[inline(always)]
pub(super) fn product<K: Arithmetic, const N: usize>(kit: K, a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    let mut c = zero();
    for k in 0..N {
        c[k] = times(kit, a, &b[k]);
    }
    c
}

/// A B + C
#[inline(always)]
pub(super) fn product_plus<K: Arithmetic, const N: usize>(
    kit: K,
    a: &Matrix<N>,
    b: &Matrix<N>,
    c: &Matrix<N>,
) -> Matrix<N> {
    let mut sum = zero();
    for k in 0..N {
        sum[k] = times_plus(kit, a, &b[k], &c[k]);
    }
    sum
}

/// M'
#[inline(always)]
pub(super) fn transpose<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>) -> Matrix<N> {
    let w = N / 2;
    let none = [[0.0; HALF]; HALF];
    let (mut re_re, mut im_re, mut re_im, mut im_im) = (none, none, none, none);
    for k in 0..w {
        (re_re[k], im_re[k]) = halves(&m[k]);
        (re_im[k], im_im[k]) = halves(&m[k + w]);
    }
    let (re_re, im_re) = (kit.transpose4(re_re), kit.transpose4(im_re));
    let (re_im, im_im) = (kit.transpose4(re_im), kit.transpose4(im_im));
    let mut t = zero::<N>();
    for k in 0..w {
        t[k] = joined((re_re[k], re_im[k]));
        t[k + w] = joined((im_re[k], im_im[k]));
    }
    t
}

#[inline(always)]
pub(super) fn plus<K: Arithmetic, const N: usize>(kit: K, a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    let mut sum = *a;
    for c in 0..N {
        sum[c] = add(kit, &a[c], &b[c]);
    }
    sum
}

#[inline(always)]
pub(super) fn minus<K: Arithmetic, const N: usize>(kit: K, a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    let mut difference = *a;
    for c in 0..N {
        difference[c] = sub(kit, &a[c], &b[c]);
    }
    difference
}

/// A + B / 2
#[inline(always)]
pub(super) fn plus_half<K: Arithmetic, const N: usize>(kit: K, a: &Matrix<N>, b: &Matrix<N>) -> Matrix<N> {
    let mut sum = *a;
    for c in 0..N {
        sum[c] = axpy(kit, 0.5, &b[c], &a[c]);
    }
    sum
}

/// The mean of a matrix and its transpose: keeps what is symmetric symmetric.
#[inline(always)]
pub(super) fn symmetric<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>) -> Matrix<N> {
    let mut s = plus(kit, m, &transpose(kit, m));
    for column in &mut s {
        *column = scaled(kit, column, 0.5);
    }
    s
}

#[inline(always)]
fn scaled<K: Arithmetic>(kit: K, x: &Vector, by: f64) -> Vector {
    let (x, by) = (halves(x), kit.splat4(by));
    joined((kit.mul4(x.0, by), kit.mul4(x.1, by)))
}

/// `b (I + e)⁻¹`. Lines are short beside what they feed, so e is small and `(I − e)(I + e²)(I + e⁴)` is the inverse to
/// the last digit; otherwise it is eliminated.
#[inline(always)]
pub(super) fn right_divide_one_plus<K: Arithmetic, const N: usize>(
    kit: K,
    b: &Matrix<N>,
    e: &Matrix<N>,
) -> Option<Matrix<N>> {
    let mut size = 0.0_f64;
    let mut rows = [0.0; LANES];
    for c in 0..N {
        let (re, im) = halves(&e[c]);
        rows = add(kit, &rows, &joined((kit.abs4(re), kit.abs4(im))));
    }
    for r in 0..LANES {
        size = if rows[r] <= size { size } else { rows[r] };
    }
    if !(size < 0.01) {
        return right_divide(kit, b, &plus(kit, &unit(), e));
    }
    let mut y = minus(kit, b, &product(kit, b, e));
    let square = product(kit, e, e);
    y = product_plus(kit, &y, &square, &y);
    if size > 1e-4 {
        let fourth = product(kit, &square, &square);
        y = product_plus(kit, &y, &fourth, &y);
    }
    Some(y)
}

/// `b m⁻¹`, by elimination among the columns of both.
///
/// A pivot below a twentieth of the diagonal's scale sends it to the version with pivoting.
#[inline(always)]
pub(super) fn right_divide<K: Arithmetic, const N: usize>(
    kit: K,
    b: &Matrix<N>,
    m: &Matrix<N>,
) -> Option<Matrix<N>> {
    let (mut left, mut right) = (*m, *b);
    for p in 0..N {
        let at = lane::<N>(p);
        let pivot = left[p][at];
        if !(pivot.abs() > 0.05) {
            return right_divide_pivoted(b, m);
        }
        let inverse = 1.0 / pivot;
        (left[p], right[p]) = (scaled(kit, &left[p], inverse), scaled(kit, &right[p], inverse));
        let (row, solved) = (left[p], right[p]);
        for c in 0..N {
            if c != p {
                let factor = -left[c][at];
                left[c] = axpy(kit, factor, &row, &left[c]);
                right[c] = axpy(kit, factor, &solved, &right[c]);
            }
        }
    }
    Some(right)
}

/// The same with the largest pivot of each row; `None` when a row has none.
#[inline(never)]
pub(super) fn right_divide_pivoted<const N: usize>(b: &Matrix<N>, m: &Matrix<N>) -> Option<Matrix<N>> {
    let (mut left, mut right) = (*m, *b);
    for p in 0..N {
        let at = lane::<N>(p);
        let best = (p..N).max_by(|&i, &k| left[i][at].abs().total_cmp(&left[k][at].abs()))?;
        left.swap(p, best);
        right.swap(p, best);
        let pivot = left[p][at];
        if !(pivot.abs() > 0.0 && pivot.is_finite()) {
            return None;
        }
        for r in 0..LANES {
            left[p][r] /= pivot;
            right[p][r] /= pivot;
        }
        let (row, solved) = (left[p], right[p]);
        for c in (0..N).filter(|&c| c != p) {
            let factor = -left[c][at];
            left[c] = axpy(Plain, factor, &row, &left[c]);
            right[c] = axpy(Plain, factor, &solved, &right[c]);
        }
    }
    Some(right)
}

/// A coupling with one value on the diagonal and one beside it, prepared: `[d_re, d_im, m_re, m_im]` with d the
/// difference of both.
pub(super) type Even<T = f64> = [T; 4];

impl Transposed {
    /// The imaginary parts of an even coupling or its adjoint.
    #[inline(always)]
    fn sign(self) -> f64 {
        if self == Transposed::Yes { -1.0 } else { 1.0 }
    }
}

/// Whether a product is one with the transpose of the real form (the adjoint).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transposed {
    Yes,
    No,
}

/// Z x, or Z' x.
#[inline(always)]
pub(super) fn even_times<K: Arithmetic, const N: usize>(
    kit: K,
    z: &Even,
    x: &Vector,
    transposed: Transposed,
) -> Vector {
    let sign = transposed.sign();
    let (re, im) = halves(x);
    let (dr, di) = (kit.splat4(z[0]), kit.splat4(sign * z[1]));
    let mut y_re = kit.fnma4(di, im, kit.mul4(dr, re));
    let mut y_im = kit.fma4(di, re, kit.mul4(dr, im));
    if N > 2 {
        let (mr, mi) = (kit.splat4(z[2]), kit.splat4(sign * z[3]));
        let (re, im) = (around(kit, re), around(kit, im));
        y_re = kit.fnma4(mi, im, kit.fma4(mr, re, y_re));
        y_im = kit.fma4(mi, re, kit.fma4(mr, im, y_im));
    }
    joined((y_re, y_im))
}

/// The sum of three, three times.
#[inline(always)]
fn around<K: Arithmetic>(kit: K, x: Half) -> Half {
    let turned = kit.turn4(x);
    kit.add4(x, kit.add4(turned, kit.turn4(turned)))
}

/// M Z, or M Z'.
#[inline(always)]
pub(super) fn times_even<K: Arithmetic, const N: usize>(
    kit: K,
    m: &Matrix<N>,
    z: &Even,
    transposed: Transposed,
) -> Matrix<N> {
    let w = N / 2;
    let sign = transposed.sign();
    let (dr, di, mr, mi) = (z[0], sign * z[1], z[2], sign * z[3]);
    let (mut re, mut im) = (m[0], m[w]);
    for k in 1..w {
        re = add(kit, &re, &m[k]);
        im = add(kit, &im, &m[k + w]);
    }
    let common_re = axpy(kit, mr, &re, &scaled(kit, &im, mi));
    let common_im = axpy(kit, mr, &im, &scaled(kit, &re, -mi));
    let mut y = zero::<N>();
    for k in 0..w {
        y[k] = axpy(kit, dr, &m[k], &axpy(kit, di, &m[k + w], &common_re));
        y[k + w] = axpy(kit, dr, &m[k + w], &axpy(kit, -di, &m[k], &common_im));
    }
    y
}
