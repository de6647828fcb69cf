//! The units of x86-64 processors.

use super::{Arithmetic, Kernel, Wide, With, plain};
use pulp::x86::{V3, V4};
use pulp::{cast, f64x4};

/// AVX2 and FMA: two million processors' worth of them since 2013; wider units run it as well.
#[inline(never)]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    if K::MANY_NUMBERS
        && let Some(simd) = V4::try_new()
    {
        return match K::WIDE {
            true => simd.vectorize(With(kernel, Avx512(simd))),
            false => simd.vectorize(With(kernel, Avx2(*simd))),
        };
    }
    match V3::try_new() {
        Some(simd) => simd.vectorize(With(kernel, Avx2(simd))),
        None => plain(kernel),
    }
}

#[derive(Clone, Copy)]
struct Avx2(V3);

/// With registers of eight numbers of double precision.
#[derive(Clone, Copy)]
struct Avx512(V4);

#[inline(always)]
fn v(x: [f64; 4]) -> f64x4 {
    cast(x)
}

/// Four and eight at once.
macro_rules! four_and_eight {
    () => {
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
    };
}

impl Arithmetic for Avx2 {
    four_and_eight!();
}

impl Arithmetic for Avx512 {
    four_and_eight!();

    #[inline(always)]
    fn add_wide(self, x: &Wide, y: &Wide) -> Wide {
        cast(self.0.avx512f._mm512_add_pd(cast(*x), cast(*y)))
    }
    #[inline(always)]
    fn sub_wide(self, x: &Wide, y: &Wide) -> Wide {
        cast(self.0.avx512f._mm512_sub_pd(cast(*x), cast(*y)))
    }
    #[inline(always)]
    fn mul_wide(self, x: &Wide, y: &Wide) -> Wide {
        cast(self.0.avx512f._mm512_mul_pd(cast(*x), cast(*y)))
    }
    #[inline(always)]
    fn fma_wide(self, x: &Wide, y: &Wide, z: &Wide) -> Wide {
        cast(self.0.mul_add_f64x8(cast(*x), cast(*y), cast(*z)))
    }
    #[inline(always)]
    fn fnma_wide(self, x: &Wide, y: &Wide, z: &Wide) -> Wide {
        cast(self.0.negate_mul_add_f64x8(cast(*x), cast(*y), cast(*z)))
    }
    #[inline(always)]
    fn axpy_wide(self, s: f64, x: &Wide, y: &Wide) -> Wide {
        cast(self.0.mul_add_f64x8(self.0.splat_f64x8(s), cast(*x), cast(*y)))
    }
    #[inline(always)]
    fn narrow_wide(self, x: &Wide) -> [f32; 8] {
        cast(self.0.convert_f64x8_to_f32x8(cast(*x)))
    }
    #[inline(always)]
    fn widen_wide(self, x: [f32; 8]) -> Wide {
        cast(self.0.convert_f32x8_to_f64x8(cast(x)))
    }
}
