//! Vectors and products of eight sets at once.

use super::super::dense::{self, Arithmetic, Even, Transposed, Vector};
use super::super::lines::{Line, NONE};
use super::super::precision::{Factors, Real, Square};
use super::SETS;

/// One number per set.
pub(super) type Wide<T> = [T; SETS];
/// One vector per set: by unknown, then by set.
pub(super) type Block<T, const N: usize> = [Wide<T>; N];

pub(super) fn spread<const N: usize>(x: &Vector) -> Block<f64, N> {
    std::array::from_fn(|k| [x[dense::lane::<N>(k)]; SETS])
}

#[inline(always)]
pub(super) fn pick<const N: usize>(x: &Block<f64, N>, set: usize) -> Vector {
    let mut y = [0.0; dense::LANES];
    for k in 0..N {
        y[dense::lane::<N>(k)] = x[k][set];
    }
    y
}

#[inline(always)]
pub(super) fn put<const N: usize>(x: &mut Block<f64, N>, set: usize, y: &Vector) {
    for k in 0..N {
        x[k][set] = y[dense::lane::<N>(k)];
    }
}

#[inline(always)]
pub(super) fn add<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *x;
    for k in 0..N {
        z[k] = T::add(kit, &x[k], &y[k]);
    }
    z
}

#[inline(always)]
pub(super) fn sub<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *x;
    for k in 0..N {
        z[k] = T::sub(kit, &x[k], &y[k]);
    }
    z
}

#[inline(always)]
pub(super) fn narrow<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<f64, N>) -> Block<T, N> {
    let mut y = [[T::ZERO; SETS]; N];
    for k in 0..N {
        y[k] = T::narrow(kit, &x[k]);
    }
    y
}

#[inline(always)]
pub(super) fn widen<K: Arithmetic, T: Real, const N: usize>(kit: K, x: &Block<T, N>) -> Block<f64, N> {
    let mut y = [[0.0; SETS]; N];
    for k in 0..N {
        y[k] = T::widen(kit, &x[k]);
    }
    y
}

/// M x + y
#[inline(always)]
pub(super) fn times_plus<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    m: &Square<T, N>,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *y;
    for c in 0..N {
        for r in 0..N {
            z[r] = T::axpy(kit, m[c][dense::lane::<N>(r)], &x[c], &z[r]);
        }
    }
    z
}

/// M' x + y
#[inline(always)]
pub(super) fn transposed_plus<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    m: &Square<T, N>,
    x: &Block<T, N>,
    y: &Block<T, N>,
) -> Block<T, N> {
    let mut z = *y;
    for r in 0..N {
        for c in 0..N {
            z[c] = T::axpy(kit, m[c][dense::lane::<N>(r)], &x[r], &z[c]);
        }
    }
    z
}

/// Z x, or Z' x, of an impedance that is even, or else full with an index.
#[inline(always)]
pub(super) fn z_times<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    factors: &Factors<T, N>,
    (z, full): (Even<T>, u32),
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    if full == NONE {
        return even(kit, &z, x, transposed);
    }
    times_plus(kit, factors.full(full, transposed), x, &[[T::ZERO; SETS]; N])
}

#[inline(always)]
pub(super) fn even<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    z: &Even<T>,
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    let w = N / 2;
    let adjoint = transposed == Transposed::Yes;
    let (dr, mr) = (z[0], z[2]);
    let (di, less_di) = if adjoint { (-z[1], z[1]) } else { (z[1], -z[1]) };
    let (mi, less_mi) = if adjoint { (-z[3], z[3]) } else { (z[3], -z[3]) };
    let (mut re, mut im) = (x[0], x[w]);
    for k in 1..w {
        re = T::add(kit, &re, &x[k]);
        im = T::add(kit, &im, &x[k + w]);
    }
    let none = [T::ZERO; SETS];
    let common_re = T::axpy(kit, less_mi, &im, &T::axpy(kit, mr, &re, &none));
    let common_im = T::axpy(kit, mi, &re, &T::axpy(kit, mr, &im, &none));
    let mut y = [none; N];
    for k in 0..w {
        y[k] = T::axpy(kit, dr, &x[k], &T::axpy(kit, less_di, &x[k + w], &common_re));
        y[k + w] = T::axpy(kit, dr, &x[k + w], &T::axpy(kit, di, &x[k], &common_im));
    }
    y
}

/// T x, or T' x.
#[inline(always)]
pub(super) fn ratio<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    factors: &Factors<T, N>,
    line: &Line,
    x: &Block<T, N>,
    transposed: Transposed,
) -> Block<T, N> {
    if line.ratio == NONE {
        return *x;
    }
    let t = if transposed == Transposed::Yes { &factors.ratios_transposed } else { &factors.ratios };
    times_plus(kit, &t[line.ratio as usize], x, &[[T::ZERO; SETS]; N])
}
