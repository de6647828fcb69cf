//! One way to vector units without unsafe code: kernels are generic over [`Arithmetic`], which calculates on `[f64; 4]`,
//! `[f32; 8]` and `[f64; 8]`, and run whole on the units found at run time (`pulp`).
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

    /// x + y.
    #[inline(always)]
    fn add_wide(self, x: &Wide, y: &Wide) -> Wide {
        let (x, y) = (halves(x), halves(y));
        joined((self.add4(x.0, y.0), self.add4(x.1, y.1)))
    }
    /// x − y.
    #[inline(always)]
    fn sub_wide(self, x: &Wide, y: &Wide) -> Wide {
        let (x, y) = (halves(x), halves(y));
        joined((self.sub4(x.0, y.0), self.sub4(x.1, y.1)))
    }
    /// x · y.
    #[inline(always)]
    fn mul_wide(self, x: &Wide, y: &Wide) -> Wide {
        let (x, y) = (halves(x), halves(y));
        joined((self.mul4(x.0, y.0), self.mul4(x.1, y.1)))
    }
    /// x · y + z.
    #[inline(always)]
    fn fma_wide(self, x: &Wide, y: &Wide, z: &Wide) -> Wide {
        let (x, y, z) = (halves(x), halves(y), halves(z));
        joined((self.fma4(x.0, y.0, z.0), self.fma4(x.1, y.1, z.1)))
    }
    /// z − x · y.
    #[inline(always)]
    fn fnma_wide(self, x: &Wide, y: &Wide, z: &Wide) -> Wide {
        let (x, y, z) = (halves(x), halves(y), halves(z));
        joined((self.fnma4(x.0, y.0, z.0), self.fnma4(x.1, y.1, z.1)))
    }
    /// s · x + y.
    #[inline(always)]
    fn axpy_wide(self, s: f64, x: &Wide, y: &Wide) -> Wide {
        let (x, y, s) = (halves(x), halves(y), self.splat4(s));
        joined((self.fma4(s, x.0, y.0), self.fma4(s, x.1, y.1)))
    }
    /// Rounded.
    #[inline(always)]
    fn narrow_wide(self, x: &Wide) -> [f32; 8] {
        let (low, high) = halves(x);
        self.narrow8(low, high)
    }
    /// As it is.
    #[inline(always)]
    fn widen_wide(self, x: [f32; 8]) -> Wide {
        joined(self.widen8(x))
    }
}

/// Eight numbers: two registers, or one where the processor has some of twice the width.
pub type Wide = [f64; 8];

/// The two registers of four.
#[inline(always)]
pub fn halves(x: &Wide) -> ([f64; 4], [f64; 4]) {
    let [low, high]: [[f64; 4]; 2] = pulp::cast(*x);
    (low, high)
}

/// Eight numbers of two registers.
#[inline(always)]
pub fn joined((low, high): ([f64; 4], [f64; 4])) -> Wide {
    pulp::cast([low, high])
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
    /// Whether these are eight numbers of double precision as a rule, and not vectors that are taken apart into their halves:
    /// then a register of the same processor holds them.
    const WIDE: bool = false;

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
mod x86;
#[cfg(target_arch = "x86_64")]
use x86 as vector;

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

    struct AllWide(Wide, Wide, Wide);

    impl Kernel for AllWide {
        type Output = Vec<Wide>;
        const MANY_NUMBERS: bool = true;
        const WIDE: bool = true;

        #[inline(always)]
        fn run<A: Arithmetic>(self, a: A) -> Self::Output {
            let Self(x, y, z) = self;
            let sums = [a.add_wide(&x, &y), a.sub_wide(&x, &y), a.mul_wide(&x, &y)];
            let products = [a.fma_wide(&x, &y, &z), a.fnma_wide(&x, &y, &z), a.axpy_wide(0.5, &x, &y)];
            let rounded = a.widen_wide(a.narrow_wide(&x));
            sums.into_iter().chain(products).chain([rounded]).collect()
        }
    }

    #[test]
    fn all_units_give_the_same_of_eight_numbers() {
        let x = [1.5, -2.0, 3.25, 4.0, 0.5, 8.0, -1.0, 2.0];
        let y = [1.0, 0.0, -4.0, 0.25, 3.0, -1.5, 2.0, 0.5];
        let plain = Path::Base.run(AllWide(x, y, [1.0; 8]));
        assert_eq!(plain, Path::Vector.run(AllWide(x, y, [1.0; 8])));
        assert_eq!(plain[1], [0.5, -2.0, 7.25, 3.75, -2.5, 9.5, -3.0, 1.5]);
        assert_eq!(plain[3], [2.5, 1.0, -12.0, 2.0, 2.5, -11.0, -1.0, 2.0]);
        assert_eq!(plain[4], [-0.5, 1.0, 14.0, 0.0, -0.5, 13.0, 3.0, 0.0]);
        assert_eq!(plain[5], [1.75, -1.0, -2.375, 2.25, 3.25, 2.5, 1.5, 1.5]);
        assert_eq!(plain[6], x);
    }

    #[test]
    fn what_is_no_number_replaces_the_larger_when_it_comes_last() {
        for path in [Path::Base, Path::Vector] {
            let all = path.run(All([1.0; 4], [f64::NAN; 4], [0.0; 4]));
            assert!(all[7].iter().all(|x| x.is_nan()));
        }
    }
}
