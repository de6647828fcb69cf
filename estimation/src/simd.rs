//! One way to vector units without unsafe code: kernels are generic over [`Arithmetic`], which calculates on `[f64; 4]`
//! and `[f32; 8]`, and run whole on the units found at run time (`pulp`).
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
    /// |x|; no number where there is none.
    #[inline(always)]
    fn abs4(self, x: [f64; 4]) -> [f64; 4] {
        self.max4(self.sub4([0.0; 4], x), x)
    }
    /// √x.
    fn sqrt4(self, x: [f64; 4]) -> [f64; 4];
    /// The larger of each; y where one of them is no number.
    fn max4(self, x: [f64; 4], y: [f64; 4]) -> [f64; 4];
    /// One value four times.
    fn splat4(self, x: f64) -> [f64; 4];
    /// The first three in a circle: x1, x2, x0, x3.
    fn turn4(self, x: [f64; 4]) -> [f64; 4];
    /// The sum of each of the four.
    fn sums4(self, x: [[f64; 4]; 4]) -> [f64; 4];
    /// Rows for columns.
    fn transpose4(self, x: [[f64; 4]; 4]) -> [[f64; 4]; 4];
    /// Asks the memory for what will be needed soon.
    fn fetch<T>(self, soon: &T);

    /// x + y.
    fn add8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x − y.
    fn sub8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x · y.
    fn mul8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x / y.
    fn div8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// The larger of each; y where one of them is no number.
    fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8];
    /// x · y + z.
    fn fma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8];
    /// z − x · y.
    fn fnma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8];
    /// One value eight times.
    fn splat8(self, x: f32) -> [f32; 8];
    /// The first three of each half in a circle, as [`Arithmetic::turn4`].
    fn turn8(self, x: [f32; 8]) -> [f32; 8];
    /// The halves exchanged.
    fn swap8(self, x: [f32; 8]) -> [f32; 8];
    /// The lower halves of both, and the upper halves of both.
    fn pair8(self, x: [f32; 8], y: [f32; 8]) -> ([f32; 8], [f32; 8]);
    /// The sum of each of the eight.
    fn sums8(self, x: [[f32; 8]; 8]) -> [f32; 8];
    /// Rounded.
    fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8];
    /// As it is.
    fn widen8(self, x: [f32; 8]) -> ([f64; 4], [f64; 4]);
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

/// Four and eight at once, element by element.
macro_rules! element_by_element {
    () => {
        #[inline(always)]
        fn fetch<T>(self, _: &T) {}
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
        fn sqrt4(self, x: [f64; 4]) -> [f64; 4] {
            each(|k| x[k].sqrt())
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
        fn sums4(self, x: [[f64; 4]; 4]) -> [f64; 4] {
            each(|k| (x[k][0] + x[k][1]) + (x[k][2] + x[k][3]))
        }
        #[inline(always)]
        fn transpose4(self, x: [[f64; 4]; 4]) -> [[f64; 4]; 4] {
            [0, 1, 2, 3].map(|r: usize| each(|c| x[c][r]))
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
        fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            each8(|k| if x[k] > y[k] { x[k] } else { y[k] })
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
        fn splat8(self, x: f32) -> [f32; 8] {
            [x; 8]
        }
        #[inline(always)]
        fn turn8(self, x: [f32; 8]) -> [f32; 8] {
            [x[1], x[2], x[0], x[3], x[5], x[6], x[4], x[7]]
        }
        #[inline(always)]
        fn swap8(self, x: [f32; 8]) -> [f32; 8] {
            [x[4], x[5], x[6], x[7], x[0], x[1], x[2], x[3]]
        }
        #[inline(always)]
        fn pair8(self, x: [f32; 8], y: [f32; 8]) -> ([f32; 8], [f32; 8]) {
            let ([a, b], [c, d]): ([[f32; 4]; 2], [[f32; 4]; 2]) = (pulp::cast(x), pulp::cast(y));
            (pulp::cast([a, c]), pulp::cast([b, d]))
        }
        #[inline(always)]
        fn sums8(self, x: [[f32; 8]; 8]) -> [f32; 8] {
            each8(|k| {
                ((x[k][0] + x[k][1]) + (x[k][2] + x[k][3])) + ((x[k][4] + x[k][5]) + (x[k][6] + x[k][7]))
            })
        }
        #[inline(always)]
        fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8] {
            each8(|k| if k < 4 { low[k] as f32 } else { high[k - 4] as f32 })
        }
        #[inline(always)]
        fn widen8(self, x: [f32; 8]) -> ([f64; 4], [f64; 4]) {
            (each(|k| f64::from(x[k])), each(|k| f64::from(x[k + 4])))
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
    /// Whether it holds more numbers at a time than sixteen registers do: where the processor has twice as many of the
    /// same width (AVX-512VL) it is compiled once more for them.
    const MANY_NUMBERS: bool = false;

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
            Path::Base => plain(kernel),
            Path::Vector => vector::run(kernel),
        }
    }
}

/// One copy of each kernel and no more: a kernel is large, and compiling them is most of a build.
#[inline(never)]
fn plain<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Plain)
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
    use super::{Arithmetic, Kernel, With, plain};
    use pulp::x86::{V3, V4};
    use pulp::{cast, f64x4};

    /// AVX2 and FMA: two million processors' worth of them since 2013; wider units run it as well.
    #[inline(never)]
    pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
        if K::MANY_NUMBERS
            && let Some(simd) = V4::try_new()
        {
            return simd.vectorize(With(kernel, Avx2(*simd)));
        }
        match V3::try_new() {
            Some(simd) => simd.vectorize(With(kernel, Avx2(simd))),
            None => plain(kernel),
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
        fn fetch<T>(self, soon: &T) {
            // Into all levels of the cache.
            self.0.sse._mm_prefetch::<3>(std::ptr::from_ref(soon).cast());
        }
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
        fn sqrt4(self, x: [f64; 4]) -> [f64; 4] {
            cast(self.0.avx._mm256_sqrt_pd(cast(x)))
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
        fn sums4(self, x: [[f64; 4]; 4]) -> [f64; 4] {
            let avx = self.0.avx;
            let low = avx._mm256_hadd_pd(cast(x[0]), cast(x[1]));
            let high = avx._mm256_hadd_pd(cast(x[2]), cast(x[3]));
            let first = avx._mm256_permute2f128_pd::<0x20>(low, high);
            cast(avx._mm256_add_pd(first, avx._mm256_permute2f128_pd::<0x31>(low, high)))
        }
        #[inline(always)]
        fn transpose4(self, x: [[f64; 4]; 4]) -> [[f64; 4]; 4] {
            let avx = self.0.avx;
            let (a, b, c, d) = (cast(x[0]), cast(x[1]), cast(x[2]), cast(x[3]));
            let (ab0, ab1) = (avx._mm256_unpacklo_pd(a, b), avx._mm256_unpackhi_pd(a, b));
            let (cd0, cd1) = (avx._mm256_unpacklo_pd(c, d), avx._mm256_unpackhi_pd(c, d));
            [
                cast(avx._mm256_permute2f128_pd::<0x20>(ab0, cd0)),
                cast(avx._mm256_permute2f128_pd::<0x20>(ab1, cd1)),
                cast(avx._mm256_permute2f128_pd::<0x31>(ab0, cd0)),
                cast(avx._mm256_permute2f128_pd::<0x31>(ab1, cd1)),
            ]
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
        fn max8(self, x: [f32; 8], y: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_max_ps(cast(x), cast(y)))
        }
        #[inline(always)]
        fn fma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            cast(self.0.fma._mm256_fmadd_ps(cast(x), cast(y), cast(z)))
        }
        #[inline(always)]
        fn fnma8(self, x: [f32; 8], y: [f32; 8], z: [f32; 8]) -> [f32; 8] {
            cast(self.0.fma._mm256_fnmadd_ps(cast(x), cast(y), cast(z)))
        }
        #[inline(always)]
        fn splat8(self, x: f32) -> [f32; 8] {
            cast(self.0.avx._mm256_set1_ps(x))
        }
        #[inline(always)]
        fn turn8(self, x: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_permute_ps::<0b11_00_10_01>(cast(x)))
        }
        #[inline(always)]
        fn swap8(self, x: [f32; 8]) -> [f32; 8] {
            cast(self.0.avx._mm256_permute2f128_ps::<0x01>(cast(x), cast(x)))
        }
        #[inline(always)]
        fn pair8(self, x: [f32; 8], y: [f32; 8]) -> ([f32; 8], [f32; 8]) {
            let (avx, x, y) = (self.0.avx, cast(x), cast(y));
            (cast(avx._mm256_permute2f128_ps::<0x20>(x, y)), cast(avx._mm256_permute2f128_ps::<0x31>(x, y)))
        }
        #[inline(always)]
        fn sums8(self, x: [[f32; 8]; 8]) -> [f32; 8] {
            let avx = self.0.avx;
            // Each half holds the sums of its own four lanes, for four of the eight.
            let low = avx._mm256_hadd_ps(
                avx._mm256_hadd_ps(cast(x[0]), cast(x[1])),
                avx._mm256_hadd_ps(cast(x[2]), cast(x[3])),
            );
            let high = avx._mm256_hadd_ps(
                avx._mm256_hadd_ps(cast(x[4]), cast(x[5])),
                avx._mm256_hadd_ps(cast(x[6]), cast(x[7])),
            );
            let first = avx._mm256_permute2f128_ps::<0x20>(low, high);
            cast(avx._mm256_add_ps(first, avx._mm256_permute2f128_ps::<0x31>(low, high)))
        }
        #[inline(always)]
        fn narrow8(self, low: [f64; 4], high: [f64; 4]) -> [f32; 8] {
            let avx = self.0.avx;
            cast(avx._mm256_set_m128(avx._mm256_cvtpd_ps(cast(high)), avx._mm256_cvtpd_ps(cast(low))))
        }
        #[inline(always)]
        fn widen8(self, x: [f32; 8]) -> ([f64; 4], [f64; 4]) {
            let avx = self.0.avx;
            let (low, high) = (avx._mm256_castps256_ps128(cast(x)), avx._mm256_extractf128_ps::<1>(cast(x)));
            (cast(avx._mm256_cvtps_pd(low)), cast(avx._mm256_cvtps_pd(high)))
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
            let turned = a.transpose4([x, y, z, x]);
            let roots = [a.sqrt4(a.mul4(x, x)), a.abs4(x)];
            products
                .into_iter()
                .chain(sums)
                .chain([a.sums4([x, y, z, y])])
                .chain(turned)
                .chain(roots)
                .collect()
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
        assert_eq!(plain[9], [6.75, 9.5, -2.75, 9.5]);
        assert_eq!(plain[11], [-2.0, 8.0, 0.0, -2.0]);
        assert_eq!(plain[14..], [[1.5, 2.0, 3.25, 4.0]; 2]);
    }

    struct AllSingle([f32; 8], [f32; 8]);

    impl Kernel for AllSingle {
        type Output = Vec<[f32; 8]>;

        #[inline(always)]
        fn run<A: Arithmetic>(self, a: A) -> Self::Output {
            let Self(x, y) = self;
            let (low, high) = a.widen8(x);
            let products = [a.fma8(x, y, x), a.fnma8(x, y, y), a.mul8(x, y), a.add8(x, y), a.sub8(x, y)];
            let moves = [a.splat8(x[2]), a.turn8(x), a.swap8(x), a.narrow8(high, low)];
            let (lower, upper) = a.pair8(x, y);
            let others = [a.div8(y, x), a.max8(x, y), lower, upper];
            let sums = a.sums8([x, y, x, x, y, y, x, y]);
            products.into_iter().chain(moves).chain([sums]).chain(others).collect()
        }
    }

    #[test]
    fn both_paths_give_the_same_in_single_precision() {
        let (x, y) =
            ([1.5, -2.0, 3.25, 4.0, 0.5, 8.0, -1.0, 2.0], [1.0, 0.0, -4.0, 0.25, 3.0, -1.5, 2.0, 0.5]);
        let plain = Path::Base.run(AllSingle(x, y));
        assert_eq!(plain, Path::Vector.run(AllSingle(x, y)));
        assert_eq!(plain[6], [-2.0, 3.25, 1.5, 4.0, 8.0, -1.0, 0.5, 2.0]);
        assert_eq!(plain[8], plain[7]);
        assert_eq!(plain[11], [1.5, 0.0, 3.25, 4.0, 3.0, 8.0, 2.0, 2.0]);
        assert_eq!(plain[12], [1.5, -2.0, 3.25, 4.0, 1.0, 0.0, -4.0, 0.25]);
        assert_eq!(plain[13], [0.5, 8.0, -1.0, 2.0, 3.0, -1.5, 2.0, 0.5]);
        assert_eq!(plain[9], [16.25, 1.25, 16.25, 16.25, 1.25, 1.25, 16.25, 1.25]);
    }

    #[test]
    fn what_is_no_number_replaces_the_larger_when_it_comes_last() {
        for path in [Path::Base, Path::Vector] {
            let all = path.run(All([1.0; 4], [f64::NAN; 4], [0.0; 4]));
            assert!(all[7].iter().all(|x| x.is_nan()));
        }
    }
}
