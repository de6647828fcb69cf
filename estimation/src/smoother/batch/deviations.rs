//! Eight sets as deviations from the estimate whose factors they use, see [`super::super::standing`].

use super::super::core::Core;
use super::super::course::{self, Change, Course, Passes};
use super::super::dense::{self, Aligned, Arithmetic, HALF, Vector};
use super::super::precision::Real;
use super::super::standing::Standing;
use super::super::walk::{Part, Walk};
use super::SETS;
use super::block::{Block, Wide};
use super::pass::{Fall, Found, Parts, Rise, Room};
use crate::simd::Kernel;
use num_complex::Complex64;

/// Deviations of eight sets, and what they deviate from.
#[derive(Debug, Clone)]
pub(in crate::smoother) struct Deviations<const N: usize> {
    standing: Standing<N>,
    walk: Walk,
    /// Voltages of the standing, by position.
    base: Vec<Vector>,
    /// By position.
    found: Vec<Found<N>>,
    /// By load: changes of the values.
    values: Vec<Aligned<Block<f32, N>>>,
    single: Room<f32, N>,
    double: Room<f64, N>,
}

impl<const N: usize> Deviations<N> {
    /// None yet, from the state of a core, which is the optimum for its values; see [`Standing::of`].
    pub fn new(core: &Core<N>) -> Option<Self> {
        let none = Aligned([[0.0; SETS]; N]);
        let walk = Walk::of(core);
        Some(Self {
            standing: Standing::of(core)?,
            base: core.v.clone(),
            found: vec![Found::NOTHING; core.count()],
            values: vec![none; core.loads.len()],
            // Passes begin with room that is there.
            single: Room::new(core, &walk),
            double: Room::new(core, &walk),
            walk,
        })
    }

    /// The deviations for values of loads and of voltmeters: passes taken, `None` when they do not settle.
    pub fn settle(
        &mut self,
        core: &Core<N>,
        (measured, meters): (&[Block<f64, N>], &[Wide<f64>]),
        voltage_pu: f64,
    ) -> Option<usize> {
        course::settle(
            Course::new(voltage_pu),
            &mut Run { deviations: self, core, measured, meters, first: true },
        )
    }

    /// The largest square of a voltage by set; infinite when one is no number.
    pub fn largest_squares(&self, core: &Core<N>) -> Wide<f64> {
        core.path.run(LargestSquares { base: &self.base, found: &self.found })
    }

    /// Voltages of all sets, each turned, into their places; `places` has the first one of each position.
    pub fn write_voltages(
        &self,
        core: &Core<N>,
        places: impl Fn(usize) -> usize,
        turns: &[Complex64; SETS],
        voltages: &mut [Vec<Complex64>; SETS],
    ) {
        let (re, im) = (turns.map(|turn| turn.re), turns.map(|turn| turn.im));
        core.path.run(Write { base: &self.base, found: &self.found, places, turns: (re, im), voltages });
    }

    /// The voltage of a position in a set.
    pub fn voltage(&self, position: usize, set: usize) -> Vector {
        let mut v = self.base[position];
        for k in 0..N {
            v[dense::lane::<N>(k)] += f64::from(self.found[position].v[k][set]);
        }
        v
    }
}

/// Passes with the values of a batch.
struct Run<'a, const N: usize> {
    deviations: &'a mut Deviations<N>,
    core: &'a Core<N>,
    measured: &'a [Block<f64, N>],
    meters: &'a [Wide<f64>],
    /// Whether this is the first way up.
    first: bool,
}

impl<const N: usize> Run<'_, N> {
    /// Nothing deviates yet in a part, and values are those of the batch: just before the first way up reads them.
    fn begin(&mut self, part: Part) {
        let Deviations { standing, walk, found, values, .. } = &mut *self.deviations;
        let load = |i: usize| standing.stops[i].load;
        for (positions, loads) in walk.spans(part, load) {
            found[positions].fill(Found::NOTHING);
            let (measured, from) = (&self.measured[loads.clone()], &standing.measured[loads.clone()]);
            self.core.path.run(Changes { measured, from, changes: &mut values[loads] });
        }
        // The upper part is the last one.
        self.first = part != Part::Upper;
    }
}

impl<const N: usize> Passes for Run<'_, N> {
    fn chunks(&self) -> usize {
        self.deviations.walk.chunks.len()
    }

    fn forget_risen(&mut self) {
        self.deviations.single.forget_risen();
        self.deviations.double.forget_risen();
    }

    fn rise_in(&mut self, part: Part, double: bool) {
        if self.first {
            self.begin(part);
        }
        let Self { deviations, core, meters, .. } = self;
        let Deviations { standing, walk, base, found, values, single, double: room } = &mut **deviations;
        let parts = Parts { core, standing, walk, base, values, meters, part };
        if double {
            core.path.run(Rise { parts, found, room });
        } else {
            core.path.run(Rise { parts, found, room: single });
        }
    }

    fn fall_in(&mut self, part: Part, double: bool, change: &mut Change) {
        let Self { deviations, core, meters, .. } = self;
        let Deviations { standing, walk, base, found, values, single, double: room } = &mut **deviations;
        let parts = Parts { core, standing, walk, base, values, meters, part };
        if double {
            core.path.run(Fall { parts, found, room, change });
        } else {
            core.path.run(Fall { parts, found, room: single, change });
        }
    }
}

/// Changes of values by load, from those of the standing.
struct Changes<'a, const N: usize> {
    measured: &'a [Block<f64, N>],
    from: &'a [Vector],
    changes: &'a mut [Aligned<Block<f32, N>>],
}

impl<const N: usize> Kernel for Changes<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        for ((change, all), from) in self.changes.iter_mut().zip(self.measured).zip(self.from) {
            for k in 0..N {
                let from = [from[dense::lane::<N>(k)]; SETS];
                change[k] = f32::narrow(kit, &dense::sub(kit, &all[k], &from));
            }
        }
    }
}

/// The largest square of a voltage by set; infinite when one is no number.
struct LargestSquares<'a, const N: usize> {
    base: &'a [Vector],
    found: &'a [Found<N>],
}

impl<const N: usize> Kernel for LargestSquares<'_, N> {
    type Output = Wide<f64>;

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Wide<f64> {
        let (mut most, mut sum) = ([0.0; SETS], [0.0; SETS]);
        for (base, Found { v: moved, .. }) in self.base.iter().zip(self.found) {
            for k in 0..N / 2 {
                let (x, y) = ([base[k]; SETS], [base[k + HALF]; SETS]);
                let x = dense::add(kit, &x, &f32::widen(kit, &moved[k]));
                let y = dense::add(kit, &y, &f32::widen(kit, &moved[k + N / 2]));
                let square = dense::fma(kit, &x, &x, &dense::mul(kit, &y, &y));
                (most, sum) = (dense::larger(kit, &most, &square), dense::add(kit, &sum, &square));
            }
        }
        for (most, sum) in most.iter_mut().zip(sum) {
            *most = if sum.is_finite() { *most } else { f64::INFINITY };
        }
        most
    }
}

/// Voltages of all sets, turned, into their places.
struct Write<'a, F, const N: usize> {
    base: &'a [Vector],
    found: &'a [Found<N>],
    places: F,
    turns: (Wide<f64>, Wide<f64>),
    voltages: &'a mut [Vec<Complex64>; SETS],
}

impl<F: Fn(usize) -> usize, const N: usize> Kernel for Write<'_, F, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        let (c, s) = &self.turns;
        for (i, (base, Found { v: moved, .. })) in self.base.iter().zip(self.found).enumerate() {
            let first = (self.places)(i);
            for k in 0..N / 2 {
                let (x, y) = ([base[k]; SETS], [base[k + HALF]; SETS]);
                let x = dense::add(kit, &x, &f32::widen(kit, &moved[k]));
                let y = dense::add(kit, &y, &f32::widen(kit, &moved[k + N / 2]));
                let re = dense::fnma(kit, &y, s, &dense::mul(kit, &x, c));
                let im = dense::fma(kit, &y, c, &dense::mul(kit, &x, s));
                for set in 0..SETS {
                    self.voltages[set][first + k] = Complex64::new(re[set], im[set]);
                }
            }
        }
    }
}
