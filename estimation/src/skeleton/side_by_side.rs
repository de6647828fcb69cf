//! The power flows of a skeleton for several sets of loads at once, one in each lane of the vector units.
//!
//! The sweeps are those of [`crate::power_flow`]; they go on until the last lane has settled.

use super::Skeleton;
use crate::feeder::Feeder;
use crate::power_flow::{COLLAPSE_PU, FlowError, SWEEPS_MAX, TOLERANCE_PU};
use crate::simd::{Arithmetic, Kernel, Path};
use crate::two_port::{FullTwoPort, PhaseMatrix, PhaseVector, TwoPort};
use num_complex::Complex64;

/// Sets of loads at once.
pub(crate) const LANES: usize = 4;

/// A complex number in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Phasors {
    re: [f64; LANES],
    im: [f64; LANES],
}

impl Phasors {
    const ZERO: Self = Self { re: [0.0; LANES], im: [0.0; LANES] };

    #[inline(always)]
    fn plus<A: Arithmetic>(self, a: A, other: Self) -> Self {
        Self { re: a.add4(self.re, other.re), im: a.add4(self.im, other.im) }
    }

    #[inline(always)]
    fn minus<A: Arithmetic>(self, a: A, other: Self) -> Self {
        Self { re: a.sub4(self.re, other.re), im: a.sub4(self.im, other.im) }
    }

    /// self + c · x.
    #[inline(always)]
    fn plus_product<A: Arithmetic>(self, a: A, c: Complex64, x: Self) -> Self {
        let (re, im) = (a.splat4(c.re), a.splat4(c.im));
        Self {
            re: a.fnma4(im, x.im, a.fma4(re, x.re, self.re)),
            im: a.fma4(im, x.re, a.fma4(re, x.im, self.im)),
        }
    }

    #[inline(always)]
    fn norm_sqr<A: Arithmetic>(self, a: A) -> [f64; LANES] {
        a.fma4(self.re, self.re, a.mul4(self.im, self.im))
    }

    fn at(&self, lane: usize) -> Complex64 {
        Complex64::new(self.re[lane], self.im[lane])
    }
}

/// A value of each phase in each lane.
type Phases = [Phasors; 3];

/// What lies between a node and the one above.
#[derive(Debug, Clone)]
pub(super) enum Between {
    /// An impedance, Ω: that of a phase beyond what it shares with the others, and what it shares.
    Series {
        /// Own less mutual.
        own: Complex64,
        /// Mutual.
        mutual: Complex64,
    },
    /// Anything else.
    Full(Box<FullTwoPort>),
}

impl Between {
    pub(super) fn new(port: TwoPort) -> Self {
        match port {
            TwoPort::Full(full) => Self::Full(full),
            TwoPort::Series(z) => {
                let (own, mutual) = (z[(0, 0)], z[(0, 1)]);
                let alike = |at: (usize, usize)| z[at] == if at.0 == at.1 { own } else { mutual };
                if (0..9).all(|k| alike((k / 3, k % 3))) {
                    Self::Series { own: own - mutual, mutual }
                } else {
                    Self::Full(Box::new(TwoPort::Series(z).full()))
                }
            }
        }
    }

    #[inline(always)]
    fn voltage_down<A: Arithmetic>(&self, a: A, up: &Phases, down: &Phases) -> Phases {
        match self {
            Self::Series { own, mutual } => {
                let sum = down[0].plus(a, down[1]).plus(a, down[2]);
                let shared = Phasors::ZERO.plus_product(a, -*mutual, sum);
                let mut next = plus(a, up, &[shared; 3]);
                for (next, down) in next.iter_mut().zip(down) {
                    *next = next.plus_product(a, -*own, *down);
                }
                next
            }
            Self::Full(full) => minus(a, &times(a, &full.t, up), &times(a, &full.z, down)),
        }
    }

    #[inline(always)]
    fn current_up<A: Arithmetic>(&self, a: A, up: &Phases, down: &Phases) -> Phases {
        match self {
            Self::Series { .. } => *down,
            Self::Full(full) => plus(a, &times(a, &full.c, up), &times(a, &full.d, down)),
        }
    }
}

#[inline(always)]
fn plus<A: Arithmetic>(a: A, x: &Phases, y: &Phases) -> Phases {
    [x[0].plus(a, y[0]), x[1].plus(a, y[1]), x[2].plus(a, y[2])]
}

#[inline(always)]
fn minus<A: Arithmetic>(a: A, x: &Phases, y: &Phases) -> Phases {
    [x[0].minus(a, y[0]), x[1].minus(a, y[1]), x[2].minus(a, y[2])]
}

#[inline(always)]
fn times<A: Arithmetic>(a: A, m: &PhaseMatrix, x: &Phases) -> Phases {
    let mut product = [Phasors::ZERO; 3];
    for (row, sum) in product.iter_mut().enumerate() {
        for (column, x) in x.iter().enumerate() {
            *sum = sum.plus_product(a, m[(row, column)], *x);
        }
    }
    product
}

/// Powers of the usage points in the network's order, VA, in each lane.
#[derive(Debug, Clone)]
pub(crate) struct Loads(Vec<Phasors>);

impl Loads {
    /// `load(point, lane)` of so many usage points.
    pub(crate) fn new(points: usize, load: impl Fn(usize, usize) -> Complex64) -> Self {
        let of = |point| {
            let loads: [Complex64; LANES] = std::array::from_fn(|lane| load(point, lane));
            Phasors { re: loads.map(|load| load.re), im: loads.map(|load| load.im) }
        };
        Self((0..points).map(of).collect())
    }

    /// With so much more active power, W, at every usage point.
    pub(crate) fn plus_w(&self, more: f64) -> Self {
        Self(self.0.iter().map(|load| Phasors { re: load.re.map(|p| p + more), ..*load }).collect())
    }

    fn lane(&self, lane: usize) -> Vec<Complex64> {
        self.0.iter().map(|load| load.at(lane)).collect()
    }
}

/// Voltages, V, and the currents that flow down into each node, A.
#[derive(Debug, Clone)]
pub(crate) struct Settled {
    voltages: Vec<Phases>,
    currents: Vec<Phases>,
}

impl Settled {
    /// Voltages between phase and neutral at a node.
    pub(crate) fn voltage(&self, node: usize, lane: usize) -> PhaseVector {
        PhaseVector::from_fn(|phase, _| self.voltages[node][phase].at(lane))
    }

    /// Currents down into a node.
    pub(crate) fn current(&self, node: usize, lane: usize) -> PhaseVector {
        PhaseVector::from_fn(|phase, _| self.currents[node][phase].at(lane))
    }
}

impl Skeleton {
    /// Voltages without load.
    pub(crate) fn without_load(&self, feeder: &Feeder) -> Settled {
        let zero = vec![[Phasors::ZERO; 3]; self.positions.len()];
        let mut settled = Settled { voltages: zero.clone(), currents: zero };
        Path::detect().run(Down { skeleton: self, feeder, settled: &mut settled });
        settled
    }

    /// Settles for constant powers from what `settled` holds; the sweeps it took.
    ///
    /// # Errors
    /// As [`Feeder::solve`], of the first lane that does not settle.
    pub(crate) fn settle(
        &self,
        feeder: &Feeder,
        loads: &Loads,
        settled: &mut Settled,
    ) -> Result<usize, FlowError> {
        for lane in 0..LANES {
            feeder.check_loads(&loads.lane(lane))?;
        }
        let path = Path::detect();
        let mut change_pu = f64::INFINITY;
        for sweep in 1..=SWEEPS_MAX {
            let before = (sweep == SWEEPS_MAX).then(|| settled.voltages.clone());
            if let Err(node) = path.run(Up { skeleton: self, feeder, loads, settled }) {
                return Err(feeder.diverged((self.positions[node], change_pu), sweep));
            }
            let moved = path.run(Down { skeleton: self, feeder, settled });
            change_pu = moved.iter().copied().fold(0.0, f64::max);
            if moved.iter().any(|moved| !moved.is_finite()) {
                return Err(feeder.diverged((self.position_lost(settled), f64::INFINITY), sweep));
            }
            if change_pu < TOLERANCE_PU {
                return Ok(sweep);
            }
            if let Some(before) = before {
                let position = self.position_moved(feeder, &before, settled);
                return Err(feeder.diverged((position, change_pu), sweep));
            }
        }
        Err(feeder.diverged((self.positions[0], change_pu), SWEEPS_MAX))
    }

    /// The first position whose voltage is no number.
    fn position_lost(&self, settled: &Settled) -> usize {
        let lost = |phases: &Phases| phases.iter().any(|v| !v.re.iter().chain(&v.im).all(|x| x.is_finite()));
        self.positions[settled.voltages.iter().position(lost).unwrap_or(0)]
    }

    /// The position that moved most.
    fn position_moved(&self, feeder: &Feeder, before: &[Phases], settled: &Settled) -> usize {
        let moved = before.iter().zip(&settled.voltages).zip(&self.positions);
        let moved = moved.map(|((before, now), &position)| {
            let of = |phase: usize, lane| (now[phase].at(lane) - before[phase].at(lane)).norm_sqr();
            let square = |lane| (0..3).map(|phase| of(phase, lane)).sum::<f64>();
            let largest = (0..LANES).map(square).fold(0.0, f64::max);
            (largest / feeder.u_phase_rated_v[position].powi(2), position)
        });
        moved.fold((0.0, 0), |most, one| if one.0 > most.0 { one } else { most }).1
    }
}

/// What is taken at each node, and up the tree; the node of a collapsed voltage when there is one.
struct Up<'a> {
    skeleton: &'a Skeleton,
    feeder: &'a Feeder,
    loads: &'a Loads,
    settled: &'a mut Settled,
}

impl Kernel for Up<'_> {
    type Output = Result<(), usize>;

    #[inline(always)]
    fn run<A: Arithmetic>(self, a: A) -> Result<(), usize> {
        let Self { skeleton, feeder, loads, settled } = self;
        let Settled { voltages, currents } = settled;
        currents.fill([Phasors::ZERO; 3]);
        for ((load, tap), &node) in loads.0.iter().zip(&feeder.taps).zip(&skeleton.taps) {
            let (phases, share) = tap.shares();
            let least = COLLAPSE_PU * feeder.u_phase_rated_v[tap.position];
            let share = a.splat4(share);
            let (p, q) = (a.mul4(load.re, share), a.mul4(load.im, share));
            for phase in phases {
                let v = voltages[node][phase.index()];
                let square = v.norm_sqr(a);
                if square.iter().any(|square| *square < least * least) {
                    return Err(node);
                }
                let (x, y) = (a.div4(v.re, square), a.div4(v.im, square));
                let taken = &mut currents[node][phase.index()];
                taken.re = a.fma4(q, y, a.fma4(p, x, taken.re));
                taken.im = a.fnma4(q, x, a.fma4(p, y, taken.im));
            }
        }
        for (index, (parent, between)) in skeleton.above.iter().enumerate().rev() {
            let up = between.current_up(a, &voltages[*parent], &currents[index + 1]);
            currents[*parent] = plus(a, &currents[*parent], &up);
        }
        Ok(())
    }
}

/// Sets the voltages that follow from the currents; by how much the one moved that moved most, p.u., in each lane.
struct Down<'a> {
    skeleton: &'a Skeleton,
    feeder: &'a Feeder,
    settled: &'a mut Settled,
}

impl Kernel for Down<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run<A: Arithmetic>(self, a: A) -> [f64; LANES] {
        let Self { skeleton, feeder, settled } = self;
        let Settled { voltages, currents } = settled;
        let mut emf = [Phasors::ZERO; 3];
        for (lanes, emf) in emf.iter_mut().zip(feeder.emf.iter()) {
            (lanes.re, lanes.im) = (a.splat4(emf.re), a.splat4(emf.im));
        }
        let first = minus(a, &emf, &times(a, &feeder.source_z, &currents[0]));
        // The sum is no number when anything in it is none, which a maximum may pass over.
        let (mut largest, mut sum) = ([0.0; LANES], [0.0; LANES]);
        for node in 0..skeleton.positions.len() {
            let next = match node.checked_sub(1) {
                None => first,
                Some(index) => {
                    let (parent, between) = &skeleton.above[index];
                    between.voltage_down(a, &voltages[*parent], &currents[node])
                }
            };
            let away = minus(a, &next, &voltages[node]);
            let two = a.add4(away[0].norm_sqr(a), away[1].norm_sqr(a));
            let square = a.add4(two, away[2].norm_sqr(a));
            let rated = feeder.u_phase_rated_v[skeleton.positions[node]];
            let moved = a.mul4(square, a.splat4(1.0 / (rated * rated)));
            largest = a.max4(largest, moved);
            sum = a.add4(sum, moved);
            voltages[node] = next;
        }
        std::array::from_fn(|lane| if sum[lane].is_finite() { largest[lane].sqrt() } else { f64::NAN })
    }
}
