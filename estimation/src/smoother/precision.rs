//! The numbers corrections are calculated in.
//!
//! Residuals are always taken in double precision; what a step adds to the state may be rough, because the next step
//! mends it. In single precision a vector of three wires is one register and the factors are half as large. Where the
//! readings are too unequal for that (an exact meter beside a free injection), the same code runs in double.

use super::core::Core;
use super::dense::{self, Aligned, Arithmetic, Even, HALF, LANES, Matrix, Transposed, Vector};
use super::lines::{Line, NONE};
use std::ops::Neg;

/// A vector in either precision.
pub(super) type Lanes<T> = [T; LANES];
/// A matrix by columns in either precision.
pub(super) type Square<T, const N: usize> = [[T; LANES]; N];

/// Single or double precision.
pub(super) trait Real: Copy + std::fmt::Debug + Neg<Output = Self> + 'static {
    const ZERO: Self;
    fn narrow<K: Arithmetic>(kit: K, x: &Vector) -> Lanes<Self>;
    fn widen<K: Arithmetic>(kit: K, x: &Lanes<Self>) -> Vector;
    fn from_single<K: Arithmetic>(kit: K, x: &Lanes<f32>) -> Lanes<Self>;
    fn to_single<K: Arithmetic>(kit: K, x: &Lanes<Self>) -> Lanes<f32>;
    fn add<K: Arithmetic>(kit: K, x: &Lanes<Self>, y: &Lanes<Self>) -> Lanes<Self>;
    fn sub<K: Arithmetic>(kit: K, x: &Lanes<Self>, y: &Lanes<Self>) -> Lanes<Self>;
    /// y + s x
    fn axpy<K: Arithmetic>(kit: K, s: Self, x: &Lanes<Self>, y: &Lanes<Self>) -> Lanes<Self>;
    /// M x + y
    fn times_plus<K: Arithmetic, const N: usize>(
        kit: K,
        m: &Square<Self, N>,
        x: &Lanes<Self>,
        y: &Lanes<Self>,
    ) -> Lanes<Self>;
    /// M' x
    fn transposed_times<K: Arithmetic, const N: usize>(
        kit: K,
        m: &Square<Self, N>,
        x: &Lanes<Self>,
    ) -> Lanes<Self>;
    /// Z x or Z' x of an even coupling.
    fn even_times<K: Arithmetic, const N: usize>(
        kit: K,
        z: &Even<Self>,
        x: &Lanes<Self>,
        transposed: Transposed,
    ) -> Lanes<Self>;
    /// One number, rounded.
    fn rounded(x: f64) -> Self;
    /// One number of single precision.
    fn widened(x: f32) -> Self;
    /// The factors in this precision.
    fn factors<const N: usize>(core: &Core<N>) -> &Factors<Self, N>;
    /// The same to write.
    fn factors_mut<const N: usize>(core: &mut Core<N>) -> &mut Factors<Self, N>;
}

/// The scattering form of one line with all below it, see [`super::core`].
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge<T, const N: usize> {
    pub a: Square<T, N>,
    pub s: Square<T, N>,
}

/// Corrections on their way up a line: of its current and of the gradient by its voltage.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
pub(super) struct Up<T> {
    pub a: Lanes<T>,
    pub e: Lanes<T>,
}

impl<T: Real> Up<T> {
    pub const NOTHING: Self = Self { a: [T::ZERO; LANES], e: [T::ZERO; LANES] };
}

/// What carries corrections up and down.
#[derive(Debug, Clone)]
pub(super) struct Factors<T, const N: usize> {
    pub edges: Vec<Edge<T, N>>,
    /// L of each line with evidence below.
    pub evidence: Vec<Aligned<Square<T, N>>>,
    /// By position: what changed below and has not been taken down yet.
    pub up: Vec<Up<T>>,
    /// The ratios, impedances that are not even, and their transposes, numbered as in [`super::lines::Lines`].
    pub ratios: Vec<Square<T, N>>,
    pub ratios_transposed: Vec<Square<T, N>>,
    pub full: Vec<Square<T, N>>,
    pub full_transposed: Vec<Square<T, N>>,
}

impl<T, const N: usize> Default for Factors<T, N> {
    fn default() -> Self {
        Self {
            edges: Vec::new(),
            evidence: Vec::new(),
            up: Vec::new(),
            ratios: Vec::new(),
            ratios_transposed: Vec::new(),
            full: Vec::new(),
            full_transposed: Vec::new(),
        }
    }
}

impl<T: Real, const N: usize> Factors<T, N> {
    pub fn new(core: &Core<N>) -> Self {
        let lines = &core.lines;
        let all = |m: &[Matrix<N>]| m.iter().map(|m| rounded(dense::Plain, m)).collect();
        let nothing = [[T::ZERO; LANES]; N];
        Self {
            edges: vec![Edge { a: nothing, s: nothing }; core.count()],
            evidence: vec![Aligned(nothing); core.evident],
            up: vec![Up::NOTHING; core.count()],
            ratios: all(&lines.ratios),
            ratios_transposed: all(&lines.ratios_transposed),
            full: all(&lines.full),
            full_transposed: all(&lines.full_transposed),
        }
    }

    /// Z x
    #[inline(always)]
    pub fn z<K: Arithmetic>(&self, kit: K, line: &Line, x: &Lanes<T>) -> Lanes<T> {
        self.impedance_times(kit, line.impedance(), x, Transposed::No)
    }

    /// Z' x
    #[inline(always)]
    pub fn zt<K: Arithmetic>(&self, kit: K, line: &Line, x: &Lanes<T>) -> Lanes<T> {
        self.impedance_times(kit, line.impedance(), x, Transposed::Yes)
    }

    /// Z x or Z' x of an impedance that is even, or else full with an index.
    #[inline(always)]
    pub fn impedance_times<K: Arithmetic>(
        &self,
        kit: K,
        (even, full): (Even<T>, u32),
        x: &Lanes<T>,
        transposed: Transposed,
    ) -> Lanes<T> {
        if full == NONE {
            return T::even_times::<K, N>(kit, &even, x, transposed);
        }
        T::times_plus(kit, self.full(full, transposed), x, &[T::ZERO; LANES])
    }

    /// An impedance that is not even, or its transpose.
    #[inline(always)]
    pub fn full(&self, at: u32, transposed: Transposed) -> &Square<T, N> {
        let all = if transposed == Transposed::Yes { &self.full_transposed } else { &self.full };
        &all[at as usize]
    }

    /// T x
    #[inline(always)]
    pub fn t<K: Arithmetic>(&self, kit: K, line: &Line, x: &Lanes<T>) -> Lanes<T> {
        if line.ratio == NONE {
            *x
        } else {
            T::times_plus(kit, &self.ratios[line.ratio as usize], x, &[T::ZERO; LANES])
        }
    }

    /// T' x
    #[inline(always)]
    pub fn tt<K: Arithmetic>(&self, kit: K, line: &Line, x: &Lanes<T>) -> Lanes<T> {
        if line.ratio == NONE {
            *x
        } else {
            T::times_plus(kit, &self.ratios_transposed[line.ratio as usize], x, &[T::ZERO; LANES])
        }
    }

    /// What arrives at a bus, across the line above it, without the ratio.
    #[inline(always)]
    pub fn climb<K: Arithmetic>(&self, kit: K, edge: &Edge<T, N>, line: &Line, bus: &Up<T>) -> Up<T> {
        let (along, across) = (self.z(kit, line, &bus.a), self.zt(kit, line, &bus.e));
        let mut less = T::times_plus(kit, &edge.a, &along, &[T::ZERO; LANES]);
        less = T::times_plus(kit, &edge.s, &across, &less);
        let mut e = T::sub(kit, &bus.e, &T::transposed_times(kit, &edge.a, &across));
        if line.evidence != NONE {
            e = T::times_plus(kit, &self.evidence[line.evidence as usize], &along, &e);
        }
        Up { a: T::sub(kit, &bus.a, &less), e }
    }

    /// The change of a line's current and of the gradient by its voltage, when the voltage above (behind the ratio)
    /// changes by `u` and the gradient by the current there by `omega`.
    #[inline(always)]
    pub fn descend<K: Arithmetic>(
        &self,
        kit: K,
        edge: &Edge<T, N>,
        line: &Line,
        up: &Up<T>,
        (u, omega): (&Lanes<T>, &Lanes<T>),
    ) -> Up<T> {
        let a = T::times_plus(kit, &edge.s, omega, &T::times_plus(kit, &edge.a, u, &up.a));
        let mut e = T::add(kit, &up.e, &T::transposed_times(kit, &edge.a, omega));
        if line.evidence != NONE {
            let l = &self.evidence[line.evidence as usize];
            e = T::sub(kit, &e, &T::times_plus(kit, l, u, &[T::ZERO; LANES]));
        }
        Up { a, e }
    }
}

/// A matrix, rounded.
#[inline(always)]
pub(super) fn rounded<K: Arithmetic, T: Real, const N: usize>(kit: K, m: &Matrix<N>) -> Square<T, N> {
    let mut out = [[T::ZERO; LANES]; N];
    for c in 0..N {
        out[c] = T::narrow(kit, &m[c]);
    }
    out
}

/// An even coupling, rounded.
#[inline(always)]
pub(super) fn rounded_even<T: Real>(z: &Even) -> Even<T> {
    [T::rounded(z[0]), T::rounded(z[1]), T::rounded(z[2]), T::rounded(z[3])]
}

/// An even coupling of single precision.
#[inline(always)]
pub(super) fn widened_even<T: Real>(z: &Even<f32>) -> Even<T> {
    [T::widened(z[0]), T::widened(z[1]), T::widened(z[2]), T::widened(z[3])]
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn narrow<K: Arithmetic>(_: K, x: &Vector) -> Vector {
        *x
    }
    #[inline(always)]
    fn widen<K: Arithmetic>(_: K, x: &Vector) -> Vector {
        *x
    }
    #[inline(always)]
    fn from_single<K: Arithmetic>(kit: K, x: &Lanes<f32>) -> Vector {
        f32::widen(kit, x)
    }
    #[inline(always)]
    fn to_single<K: Arithmetic>(kit: K, x: &Vector) -> Lanes<f32> {
        f32::narrow(kit, x)
    }
    #[inline(always)]
    fn add<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
        dense::add(kit, x, y)
    }
    #[inline(always)]
    fn sub<K: Arithmetic>(kit: K, x: &Vector, y: &Vector) -> Vector {
        dense::sub(kit, x, y)
    }
    #[inline(always)]
    fn axpy<K: Arithmetic>(kit: K, s: f64, x: &Vector, y: &Vector) -> Vector {
        dense::axpy(kit, s, x, y)
    }
    #[inline(always)]
    fn times_plus<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>, x: &Vector, y: &Vector) -> Vector {
        dense::times_plus(kit, m, x, y)
    }
    #[inline(always)]
    fn transposed_times<K: Arithmetic, const N: usize>(kit: K, m: &Matrix<N>, x: &Vector) -> Vector {
        dense::transposed_times(kit, m, x)
    }
    #[inline(always)]
    fn even_times<K: Arithmetic, const N: usize>(
        kit: K,
        z: &Even,
        x: &Vector,
        transposed: Transposed,
    ) -> Vector {
        dense::even_times::<K, N>(kit, z, x, transposed)
    }
    #[inline(always)]
    fn rounded(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn widened(x: f32) -> f64 {
        f64::from(x)
    }
    #[inline(always)]
    fn factors<const N: usize>(core: &Core<N>) -> &Factors<f64, N> {
        &core.double
    }
    #[inline(always)]
    fn factors_mut<const N: usize>(core: &mut Core<N>) -> &mut Factors<f64, N> {
        &mut core.double
    }
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    #[inline(always)]
    fn narrow<K: Arithmetic>(kit: K, x: &Vector) -> Lanes<f32> {
        kit.narrow_wide(x)
    }
    #[inline(always)]
    fn widen<K: Arithmetic>(kit: K, x: &Lanes<f32>) -> Vector {
        kit.widen_wide(*x)
    }
    #[inline(always)]
    fn from_single<K: Arithmetic>(_: K, x: &Lanes<f32>) -> Lanes<f32> {
        *x
    }
    #[inline(always)]
    fn to_single<K: Arithmetic>(_: K, x: &Lanes<f32>) -> Lanes<f32> {
        *x
    }
    #[inline(always)]
    fn add<K: Arithmetic>(kit: K, x: &Lanes<f32>, y: &Lanes<f32>) -> Lanes<f32> {
        kit.add8(*x, *y)
    }
    #[inline(always)]
    fn sub<K: Arithmetic>(kit: K, x: &Lanes<f32>, y: &Lanes<f32>) -> Lanes<f32> {
        kit.sub8(*x, *y)
    }
    #[inline(always)]
    fn axpy<K: Arithmetic>(kit: K, s: f32, x: &Lanes<f32>, y: &Lanes<f32>) -> Lanes<f32> {
        kit.fma8(kit.splat8(s), *x, *y)
    }
    #[inline(always)]
    fn times_plus<K: Arithmetic, const N: usize>(
        kit: K,
        m: &Square<f32, N>,
        x: &Lanes<f32>,
        y: &Lanes<f32>,
    ) -> Lanes<f32> {
        let (mut even, mut odd) = (*y, [0.0; LANES]);
        for c in 0..N / 2 {
            even = kit.fma8(m[c], kit.splat8(x[c]), even);
            odd = kit.fma8(m[c + N / 2], kit.splat8(x[c + HALF]), odd);
        }
        kit.add8(even, odd)
    }
    #[inline(always)]
    fn transposed_times<K: Arithmetic, const N: usize>(
        kit: K,
        m: &Square<f32, N>,
        x: &Lanes<f32>,
    ) -> Lanes<f32> {
        let mut parts = [[0.0; LANES]; LANES];
        for c in 0..N / 2 {
            parts[c] = kit.mul8(m[c], *x);
            parts[c + HALF] = kit.mul8(m[c + N / 2], *x);
        }
        kit.sums8(parts)
    }
    #[inline(always)]
    fn even_times<K: Arithmetic, const N: usize>(
        kit: K,
        z: &Even<f32>,
        x: &Lanes<f32>,
        transposed: Transposed,
    ) -> Lanes<f32> {
        let sign = if transposed == Transposed::Yes { -1.0 } else { 1.0 };
        let (dr, di) = (z[0], sign * z[1]);
        let di = [-di, -di, -di, -di, di, di, di, di];
        let mut y = kit.fma8(di, kit.swap8(*x), kit.mul8(kit.splat8(dr), *x));
        if N > 2 {
            let (mr, mi) = (z[2], sign * z[3]);
            let mi = [-mi, -mi, -mi, -mi, mi, mi, mi, mi];
            let turned = kit.turn8(*x);
            let around = kit.add8(*x, kit.add8(turned, kit.turn8(turned)));
            y = kit.fma8(mi, kit.swap8(around), kit.fma8(kit.splat8(mr), around, y));
        }
        y
    }
    #[inline(always)]
    fn rounded(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn widened(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn factors<const N: usize>(core: &Core<N>) -> &Factors<f32, N> {
        &core.single
    }
    #[inline(always)]
    fn factors_mut<const N: usize>(core: &mut Core<N>) -> &mut Factors<f32, N> {
        &mut core.single
    }
}
