//! Numbers of several scenarios side by side.

use crate::simd::Arithmetic;

/// One number, or one per lane.
pub(super) trait Row: Copy {
    /// How many.
    const LANES: usize;
    /// Zero.
    const ZERO: Self;
    fn lane(&self, lane: usize) -> f64;
    fn put(&mut self, lane: usize, value: f64);
    fn splat<A: Arithmetic>(a: A, x: f64) -> Self;
    fn add<A: Arithmetic>(a: A, x: Self, y: Self) -> Self;
    fn sub<A: Arithmetic>(a: A, x: Self, y: Self) -> Self;
    fn mul<A: Arithmetic>(a: A, x: Self, y: Self) -> Self;
    fn div<A: Arithmetic>(a: A, x: Self, y: Self) -> Self;
    fn fma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self;
    fn fnma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self;
    fn max<A: Arithmetic>(a: A, x: Self, y: Self) -> Self;
}

impl Row for f64 {
    const LANES: usize = 1;
    const ZERO: Self = 0.0;

    #[inline(always)]
    fn lane(&self, _: usize) -> f64 {
        *self
    }
    #[inline(always)]
    fn put(&mut self, _: usize, value: f64) {
        *self = value;
    }
    #[inline(always)]
    fn splat<A: Arithmetic>(_: A, x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn add<A: Arithmetic>(_: A, x: Self, y: Self) -> Self {
        x + y
    }
    #[inline(always)]
    fn sub<A: Arithmetic>(_: A, x: Self, y: Self) -> Self {
        x - y
    }
    #[inline(always)]
    fn mul<A: Arithmetic>(_: A, x: Self, y: Self) -> Self {
        x * y
    }
    #[inline(always)]
    fn div<A: Arithmetic>(_: A, x: Self, y: Self) -> Self {
        x / y
    }
    #[inline(always)]
    fn fma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fma(x, y, z)
    }
    #[inline(always)]
    fn fnma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fma(-x, y, z)
    }
    #[inline(always)]
    fn max<A: Arithmetic>(_: A, x: Self, y: Self) -> Self {
        larger(x, y)
    }
}

impl Row for [f64; 4] {
    const LANES: usize = 4;
    const ZERO: Self = [0.0; 4];

    #[inline(always)]
    fn lane(&self, lane: usize) -> f64 {
        self[lane]
    }
    #[inline(always)]
    fn put(&mut self, lane: usize, value: f64) {
        self[lane] = value;
    }
    #[inline(always)]
    fn splat<A: Arithmetic>(a: A, x: f64) -> Self {
        a.splat4(x)
    }
    #[inline(always)]
    fn add<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.add4(x, y)
    }
    #[inline(always)]
    fn sub<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.sub4(x, y)
    }
    #[inline(always)]
    fn mul<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.mul4(x, y)
    }
    #[inline(always)]
    fn div<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.div4(x, y)
    }
    #[inline(always)]
    fn fma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fma4(x, y, z)
    }
    #[inline(always)]
    fn fnma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fnma4(x, y, z)
    }
    #[inline(always)]
    fn max<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.max4(x, y)
    }
}

impl Row for [f32; 8] {
    const LANES: usize = 8;
    const ZERO: Self = [0.0; 8];

    #[inline(always)]
    fn lane(&self, lane: usize) -> f64 {
        f64::from(self[lane])
    }
    #[inline(always)]
    fn put(&mut self, lane: usize, value: f64) {
        self[lane] = value as f32;
    }
    #[inline(always)]
    fn splat<A: Arithmetic>(a: A, x: f64) -> Self {
        a.splat8(x as f32)
    }
    #[inline(always)]
    fn add<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.add8(x, y)
    }
    #[inline(always)]
    fn sub<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.sub8(x, y)
    }
    #[inline(always)]
    fn mul<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.mul8(x, y)
    }
    #[inline(always)]
    fn div<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.div8(x, y)
    }
    #[inline(always)]
    fn fma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fma8(x, y, z)
    }
    #[inline(always)]
    fn fnma<A: Arithmetic>(a: A, x: Self, y: Self, z: Self) -> Self {
        a.fnma8(x, y, z)
    }
    #[inline(always)]
    fn max<A: Arithmetic>(a: A, x: Self, y: Self) -> Self {
        a.max8(x, y)
    }
}

/// A row whose factors are stored in its own precision.
pub(super) trait Lanewise: Row {
    /// f32 or f64.
    type Number: Number;
    /// One value in every lane.
    fn all<A: Arithmetic>(a: A, x: Self::Number) -> Self;
}

impl Lanewise for [f32; 8] {
    type Number = f32;
    #[inline(always)]
    fn all<A: Arithmetic>(a: A, x: f32) -> Self {
        a.splat8(x)
    }
}

impl Lanewise for [f64; 4] {
    type Number = f64;
    #[inline(always)]
    fn all<A: Arithmetic>(a: A, x: f64) -> Self {
        a.splat4(x)
    }
}

/// f32 or f64.
pub(super) trait Number: Copy + Default {
    /// Rounded.
    fn of(x: f64) -> Self;
}

impl Number for f32 {
    fn of(x: f64) -> Self {
        x as f32
    }
}

impl Number for f64 {
    fn of(x: f64) -> Self {
        x
    }
}

/// The larger; b where one of them is no number.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}
