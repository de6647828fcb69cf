//! One way to vector units without unsafe code: kernels are plain functions over `[f64; N]`, generic over
//! [`Arithmetic`], inlined whole into a closure that is compiled for the units found at run time (`pulp`).
//!
//! ```ignore
//! struct Job<'a> { … }
//! impl Kernel for Job<'_> {
//!     type Output = f64;
//!     #[inline(always)]
//!     fn run<A: Arithmetic>(self) -> f64 { … A::fma(a, b, c) … }
//! }
//! let answer = Path::detect().run(job);
//! ```
//!
//! Everything a kernel calls must be `#[inline(always)]`: a function that is not inlined is compiled for the base
//! instruction set. Lengths must be known to the compiler (arrays, not slices) in the innermost code.

use pulp::{Arch, NullaryFnOnce};

/// How products are added: in one rounding where the processor can, in two where it would have to be imitated.
pub trait Arithmetic: Copy + 'static {
    /// a · b + c.
    fn fma(a: f64, b: f64, c: f64) -> f64;
}

/// Two roundings: for processors without fused multiplication and addition.
#[derive(Debug, Clone, Copy)]
pub struct Plain;

/// One rounding.
#[derive(Debug, Clone, Copy)]
pub struct Fused;

impl Arithmetic for Plain {
    #[inline(always)]
    fn fma(a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

impl Arithmetic for Fused {
    #[inline(always)]
    fn fma(a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

/// A computation that can run on either path.
pub trait Kernel {
    /// What it gives.
    type Output;

    /// Runs it; implementations are `#[inline(always)]`.
    fn run<A: Arithmetic>(self) -> Self::Output;
}

/// Which code runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Path {
    /// What the compiler assumes of every processor of this kind.
    #[default]
    Base,
    /// The vector units of this processor.
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

    /// Runs a kernel. [`Path::Vector`] on a processor without vector units falls back to the base path.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match (self, Arch::new()) {
            (Path::Base, _) | (_, Arch::Scalar) => kernel.run::<Plain>(),
            (Path::Vector, arch) => arch.dispatch(OnVector(kernel)),
        }
    }
}

struct OnVector<K>(K);

impl<K: Kernel> NullaryFnOnce for OnVector<K> {
    type Output = K::Output;

    #[inline(always)]
    fn call(self) -> K::Output {
        self.0.run::<Fused>()
    }
}
