//! One way to vector units without unsafe code: kernels are generic over [`Arithmetic`], which calculates on `[f64; 4]`
//! (or `[f32; 8]`), and run whole on the units found at run time (`pulp`).
//!
//! ```text
//! struct Job<'a> { … }
//! impl Kernel for Job<'_> {
//!     type Output = f64;
//!     #[inline(always)]
//!     fn run<A: Arithmetic>(self, a: A) -> f64 { … a.fma4(x, y, z) … }
//! }
//! let answer = Path::detect().run(job);
//! ```
//!
//! Everything a kernel calls must be `#[inline(always)]` (closures too): what is not inlined is compiled for the base
//! instruction set, where a fused multiplication is a library call. Plain loops over `[f64; 4]` are left to the
//! compiler's luck, which ends at the first branch; the functions here are single instructions.

use pulp::{Arch, NullaryFnOnce};

/// Calculates on numbers and on four at once.
pub trait Arithmetic: Copy {
    /// x · y + z.
    fn fma(self, x: f64, y: f64, z: f64) -> f64;
    /// x · y + z, where the token is not at hand: inside loops over arrays that the compiler turns into vectors.
    fn fused(x: f64, y: f64, z: f64) -> f64;
    /// x + y.
    fn add4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// x − y.
    fn sub4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// x · y.
    fn mul4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// x / y.
    fn div4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// x · y + z.
    fn fma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4];
    /// z − x · y.
    fn fnma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4];
    /// The larger of each; y where one of them is no number.
    fn max4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// One value four times.
    fn splat4(self, x: f64) -> [f64; 4];
    /// The first three in a circle: x1, x2, x0, x3.
    fn turn4(self, x: [f64; 4]) -> [f64; 4];
    /// x + y, eight at once in single precision; so are the following.
    fn add8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x − y.
    fn sub8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x · y.
    fn mul8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x / y.
    fn div8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x · y + z.
    fn fma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8];
    /// z − x · y.
    fn fnma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8];
    /// The larger of each; y where one of them is no number.
    fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// One value eight times.
    fn splat8(self, x: f32) -> [f32; 8];
    /// Eight numbers rounded to single precision.
    fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8];
}

/// Two roundings per product and sum, nothing beyond the base instruction set.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

#[inline(always)]
fn each(f: impl Fn(usize) -> f64) -> [f64; 4] {
    [f(0), f(1), f(2), f(3)]
}

#[inline(always)]
fn each8(f: impl Fn(usize) -> f32) -> [f32; 8] {
    [f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7)]
}

/// Four at once, element by element.
macro_rules! element_by_element {
    () => {
        #[inline(always)]
        fn add4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            each(|k| x[k] + y[k])
        }
        #[inline(always)]
        fn sub4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            each(|k| x[k] - y[k])
        }
        #[inline(always)]
        fn mul4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            each(|k| x[k] * y[k])
        }
        #[inline(always)]
        fn div4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            each(|k| x[k] / y[k])
        }
        #[inline(always)]
        fn fma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4] {
            each(|k| self.fma(x[k], y[k], z[k]))
        }
        #[inline(always)]
        fn fnma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4] {
            each(|k| self.fma(-x[k], y[k], z[k]))
        }
        #[inline(always)]
        fn max4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            each(|k| if x[k] > y[k] { x[k] } else { y[k] })
        }
        #[inline(always)]
        fn splat4(self, x: f64) -> [f64; 4] {
            [x; 4]
        }
        #[inline(always)]
        fn turn4(self, x: [f64; 4]) -> [f64; 4] {
            [x[1], x[2], x[0], x[3]]
        }
        #[inline(always)]
        fn add8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| x[k] + y[k])
        }
        #[inline(always)]
        fn sub8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| x[k] - y[k])
        }
        #[inline(always)]
        fn mul8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| x[k] * y[k])
        }
        #[inline(always)]
        fn div8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| x[k] / y[k])
        }
        #[inline(always)]
        fn fma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            each8(|k| x[k] * y[k] + z[k])
        }
        #[inline(always)]
        fn fnma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            each8(|k| z[k] - x[k] * y[k])
        }
        #[inline(always)]
        fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| if x[k] > y[k] { x[k] } else { y[k] })
        }
        #[inline(always)]
        fn splat8(self, x: f32) -> [f32; 8] {
            [x; 8]
        }
        #[inline(always)]
        fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8] {
            each8(|k| (if k < 4 { low[k] } else { high[k - 4] }) as f32)
        }
    };
}

impl Arithmetic for Plain {
    #[inline(always)]
    fn fma(self, x: f64, y: f64, z: f64) -> f64 {
        x * y + z
    }
    #[inline(always)]
    fn fused(x: f64, y: f64, z: f64) -> f64 {
        x * y + z
    }
    element_by_element!();
}

/// A computation that can run on either path.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Runs it; implementations are `#[inline(always)]`.
    fn run<A: Arithmetic>(self, a: A) -> Self::Output;
}

/// Which code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// What the compiler assumes of every processor of this kind.
    #[default]
    Base,
    /// The vector units of this processor, if it has some.
    Vector,
}

impl Path {
    /// The best path of this processor.
    pub fn detect() -> Self {
        match Arch::new() {
            Arch::Scalar => Path::Base,
            _ => Path::Vector,
        }
    }

    /// Runs a kernel.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Path::Base => kernel.run(Plain),
            Path::Vector => vector::run(kernel),
        }
    }
}

struct With<K, A>(K, A);

impl<K: Kernel, A: Arithmetic> NullaryFnOnce for With<K, A> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.0.run(self.1)
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use super::{Arithmetic, Kernel, Plain, With};
    use pulp::x86::V3;
    use pulp::{cast, f64x4};

    /// AVX2 and FMA: two million processors' worth of them since 2013; wider units run it as well.
    pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
        match V3::try_new() {
            Some(simd) => simd.vectorize(With(kernel, Avx2(simd))),
            None => kernel.run(Plain),
        }
    }

    #[derive(Clone, Copy)]
    struct Avx2(V3);

    #[inline(always)]
    fn v(x: [f64; 4]) -> f64x4 {
        cast(x)
    }

    impl Arithmetic for Avx2 {
        #[inline(always)]
        fn fma(self, x: f64, y: f64, z: f64) -> f64 {
            x.mul_add(y, z)
        }
        #[inline(always)]
        fn fused(x: f64, y: f64, z: f64) -> f64 {
            x.mul_add(y, z)
        }
        #[inline(always)]
        fn add4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_add_pd(cast(x), cast(y)))
        }
        #[inline(always)]
        fn sub4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_sub_pd(cast(x), cast(y)))
        }
        #[inline(always)]
        fn mul4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_mul_pd(cast(x), cast(y)))
        }
        #[inline(always)]
        fn div4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_div_pd(cast(x), cast(y)))
        }
        #[inline(always)]
        fn fma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4] {
            cast(self.0.mul_add_f64x4(v(x), v(y), v(z)))
        }
        #[inline(always)]
        fn fnma4(self, x: [f64; 4], y: [f64; 4], z: [f64; 4]) -> [f64; 4] {
            cast(self.0.negate_mul_add_f64x4(v(x), v(y), v(z)))
        }
        #[inline(always)]
        fn max4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_max_pd(cast(x), cast(y)))
        }
        #[inline(always)]
        fn splat4(self, x: f64) -> [f64; 4] {
            cast(self.0.splat_f64x4(x))
        }
        #[inline(always)]
        fn turn4(self, x: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx2._mm256_permute4x64_pd::<0b11_00_10_01>(cast(x)))
        }
        #[inline(always)]
        fn add8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_add_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn sub8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_sub_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn mul8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_mul_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn div8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_div_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn fma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            cast(self.0.mul_add_f32x8(cast(x), cast(y), cast(z)))
        }
        #[inline(always)]
        fn fnma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            cast(self.0.negate_mul_add_f32x8(cast(x), cast(y), cast(z)))
        }
        #[inline(always)]
        fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_max_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn splat8(self, x: f32) -> [f32; 8] {
            cast(self.0.splat_f32x8(x))
        }
        #[inline(always)]
        fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8] {
            cast([self.0.avx._mm256_cvtpd_ps(cast(low)), self.0.avx._mm256_cvtpd_ps(cast(high))])
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod vector {
    use super::{Arithmetic, Kernel, With, each, each8};
    use pulp::Arch;

    pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
        Arch::new().dispatch(With(kernel, Fused))
    }

    #[derive(Clone, Copy)]
    struct Fused;

    impl Arithmetic for Fused {
        #[inline(always)]
        fn fma(self, x: f64, y: f64, z: f64) -> f64 {
            Self::fused(x, y, z)
        }
        #[inline(always)]
        fn fused(x: f64, y: f64, z: f64) -> f64 {
            if cfg!(target_arch = "aarch64") { x.mul_add(y, z) } else { x * y + z }
        }
        element_by_element!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All([f64; 4], [f64; 4], [f64; 4]);

    impl Kernel for All {
        type Output = Vec<[f64; 4]>;

        #[inline(always)]
        fn run<A: Arithmetic>(self, a: A) -> Self::Output {
            let Self(x, y, z) = self;
            let (one, two) = (a.splat4(a.fma(x[0], y[0], z[0])), a.turn4(x));
            let products = [a.fma4(x, y, z), a.fnma4(x, y, z), one];
            let sums = [a.add4(x, y), a.sub4(x, y), a.mul4(x, y), a.div4(x, y), a.max4(x, y), two];
            products.into_iter().chain(sums).collect()
        }
    }

    #[test]
    fn both_paths_give_the_same() {
        let (x, y, z) = ([1.5, -2.0, 3.25, 4.0], [0.5, 8.0, -1.0, 2.0], [1.0, 0.0, -4.0, 0.25]);
        let plain = Path::Base.run(All(x, y, z));
        assert_eq!(plain, Path::Vector.run(All(x, y, z)));
        assert_eq!(plain[0], [1.75, -16.0, -7.25, 8.25]);
        assert_eq!(plain[1], [0.25, 16.0, -0.75, -7.75]);
        assert_eq!(plain[8], [-2.0, 3.25, 1.5, 4.0]);
    }

    struct Single([f32; 8], [f32; 8], [f32; 8]);

    impl Kernel for Single {
        type Output = Vec<[f32; 8]>;

        #[inline(always)]
        fn run<A: Arithmetic>(self, a: A) -> Self::Output {
            let Self(x, y, z) = self;
            let (low, high) = ([1.5, 2.0, 0.1, 4.0], [5.0, 6.0, 7.0, 1e-9]);
            let others = [a.max8(x, y), a.splat8(x[1]), a.narrow8(low, high)];
            let products = [a.fma8(x, y, z), a.fnma8(x, y, z), a.mul8(x, y), a.div8(x, y)];
            products.into_iter().chain([a.add8(x, y), a.sub8(x, y)]).chain(others).collect()
        }
    }

    #[test]
    fn both_paths_give_the_same_in_single_precision() {
        let (x, y, z) = ([1.5, -2.0, 3.25, 4.0, 1.0, 2.0, 3.0, -4.0], [0.5; 8], [1.0; 8]);
        let plain = Path::Base.run(Single(x, y, z));
        assert_eq!(plain, Path::Vector.run(Single(x, y, z)));
        assert_eq!(plain[0], [1.75, 0.0, 2.625, 3.0, 1.5, 2.0, 2.5, -1.0]);
        assert_eq!(plain[1], [0.25, 2.0, -0.625, -1.0, 0.5, 0.0, -0.5, 3.0]);
        assert_eq!(plain[8], [1.5, 2.0, 0.1, 4.0, 5.0, 6.0, 7.0, 1e-9]);
    }

    #[test]
    fn what_is_no_number_replaces_the_larger_when_it_comes_last() {
        for path in [Path::Base, Path::Vector] {
            let all = path.run(All([1.0; 4], [f64::NAN; 4], [0.0; 4]));
            assert!(all[7].iter().all(|x| x.is_nan()));
        }
    }
}
