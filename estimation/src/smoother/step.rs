//! One Gauss–Newton step on the factors at hand: residuals up, corrections down.
//!
//! The state of a line is its voltage V, its current J, the gradient p by its voltage and μ by its current. At the
//! optimum, with I(V, μ) what the bus takes, `B = dI/dV` and the children c of a bus,
//!
//! ```text
//! J = I(V, μ) + Y V + Σ T' J_c            V = T V_parent − Z J
//! p = B' μ + Y' μ + readings + Σ T' p_c    μ = T μ_parent − Z' p
//! ```
//!
//! The right column holds at every state, because the way down makes it hold; the left column's residuals are taken in
//! double precision at the present state and are what a step corrects. A state without residual is the exact optimum,
//! whatever the factors: how old or rough they are decides only how many steps it takes.

use super::core::Core;
use super::dense::{self, Arithmetic, LANES, Plain, Vector};
use super::lines::NONE;
use super::precision::{Factors, Lanes, Real, Up};
use crate::simd::Kernel;
use std::marker::PhantomData;

/// Makes one step; returns the largest change of a component of a voltage and where.
pub(super) struct Step<'a, T, const N: usize>(&'a mut Core<N>, PhantomData<T>);

impl<'a, T, const N: usize> Step<'a, T, N> {
    pub fn new(core: &'a mut Core<N>) -> Self {
        Self(core, PhantomData)
    }
}

impl<T: Real, const N: usize> Kernel for Step<'_, T, N> {
    type Output = (f64, usize);

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> (f64, usize) {
        let core = self.0;
        let mut factors = std::mem::take(T::factors_mut(core));
        let e = up(kit, core, &mut factors);
        let moved = down(kit, core, &mut factors, &e);
        *T::factors_mut(core) = factors;
        moved
    }
}

/// Currents and gradients of the children, and corrections on their way up.
#[derive(Clone, Copy)]
struct Open<T> {
    /// Whether a child has come; before that the rest means nothing.
    filled: bool,
    j: Vector,
    pull: Vector,
    up: Up<T>,
}

impl<T: Real> Open<T> {
    #[inline(always)]
    fn nothing() -> Self {
        Self { filled: false, j: [0.0; LANES], pull: [0.0; LANES], up: Up::NOTHING }
    }

    /// Gives what has come and is empty again.
    #[inline(always)]
    fn take(&mut self) -> Self {
        let sum = if self.filled { *self } else { Self::nothing() };
        self.filled = false;
        sum
    }

    /// Adds what a child brings.
    #[inline(always)]
    fn add<K: Arithmetic>(&mut self, kit: K, j: &Vector, pull: &Vector, up: &Up<T>) {
        if self.filled {
            self.j = dense::add(kit, &self.j, j);
            self.pull = dense::add(kit, &self.pull, pull);
            self.up = Up { a: T::add(kit, &self.up.a, &up.a), e: T::add(kit, &self.up.e, &up.e) };
        } else {
            *self = Self { filled: true, j: *j, pull: *pull, up: *up };
        }
    }
}

/// All the way up; returns the residual of the gradient at the root.
#[inline(always)]
fn up<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &mut Core<N>,
    factors: &mut Factors<T, N>,
) -> Vector {
    let mut open = vec![Open::<T>::nothing(); core.levels + 1];
    for i in (1..core.count()).rev() {
        let level = core.place[i].level as usize;
        let sum = open[level].take();
        let bus = residuals(kit, core, i, &sum);
        let line = core.lines.line[i];
        let climbed = factors.climb(kit, &factors.edges[i], &line, &bus);
        factors.up[i] = climbed;
        let mut at_parent =
            Up { a: factors.tt(kit, &line, &climbed.a), e: factors.tt(kit, &line, &climbed.e) };
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            at_parent = through(core, core.sites[site as usize].above, &at_parent);
        }
        let j = core.lines.tt(kit, &line, &core.j[i]);
        let pull = core.lines.tt(kit, &line, &core.pull[i]);
        open[level - 1].add(kit, &j, &pull, &at_parent);
    }
    let bus = residuals(kit, core, 0, &open[0].take());
    factors.up[0] = Up::NOTHING;
    T::widen(kit, &bus.e)
}

/// Takes corrections through the rows of a cut, which add their own.
#[inline(never)]
fn through<T: Real, const N: usize>(core: &mut Core<N>, cut: u32, up: &Up<T>) -> Up<T> {
    let (mut a, mut e) = (T::widen(Plain, &up.a), T::widen(Plain, &up.e));
    core.cuts[cut as usize].up(&core.admittances, &mut a, &mut e);
    Up { a: T::narrow(Plain, &a), e: T::narrow(Plain, &e) }
}

/// Residuals of a bus, with what the children's lines bring.
#[inline(always)]
fn residuals<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &mut Core<N>,
    i: usize,
    sum: &Open<T>,
) -> Up<T> {
    let place = core.place[i];
    let (v, mu) = (core.v[i], core.mu[i]);
    let mut j = dense::sub(kit, &sum.j, &core.j[i]);
    let mut pull = dense::sub(kit, &sum.pull, &core.pull[i]);
    core.lines.add_shunt_terms(kit, i, (&v, &mut j), (&mu, &mut pull));
    let own = core.own_cut(i);
    let mut load = Up::NOTHING;
    if place.load != NONE {
        let mu = if own == NONE { mu } else { core.cuts[own as usize].mu };
        let now = core.loads[place.load as usize].at(kit, &v, &mu);
        pull = dense::add(kit, &pull, &now.exact.b_times(kit, &mu));
        let mut taken = now.current;
        if own != NONE {
            // Its rows stand at the current of the last step.
            taken = core.cuts[own as usize].j;
            load.a = T::narrow(kit, &dense::sub(kit, &now.current, &taken));
        }
        j = dense::add(kit, &j, &taken);
    }
    for meter in core.meters_at(i) {
        core.meters[meter].pull(&v, &mut pull);
    }
    if let Some(drawn) = core.drawn_at(i) {
        (j, pull) = (dense::add(kit, &j, &drawn.current), dense::add(kit, &pull, &drawn.pull));
    }
    let mut bus = Up {
        a: T::add(kit, &sum.up.a, &T::narrow(kit, &j)),
        e: T::add(kit, &sum.up.e, &T::narrow(kit, &pull)),
    };
    if place.site != NONE {
        if own != NONE {
            load = through(core, own, &load);
            bus = Up { a: T::add(kit, &bus.a, &load.a), e: T::add(kit, &bus.e, &load.e) };
        }
        let (first, end) = core.sites[place.site as usize].here;
        for cut in first..end {
            bus = through(core, cut, &bus);
        }
    }
    bus
}

/// Corrections at a bus: of its voltage and of the gradient by its current.
#[derive(Clone, Copy)]
struct Moved<T> {
    v: Lanes<T>,
    mu: Lanes<T>,
}

/// All the way down.
#[inline(always)]
fn down<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &mut Core<N>,
    factors: &mut Factors<T, N>,
    e: &Vector,
) -> (f64, usize) {
    let nothing = Moved { v: [T::ZERO; LANES], mu: [T::ZERO; LANES] };
    let mut open = vec![nothing; core.levels + 1];
    let v = core.root_after(kit, e);
    let step = dense::sub(kit, &v, &core.v[0]);
    let mut largest = (dense::largest(kit, &step), 0);
    (core.v[0], core.mu[0]) = (v, [0.0; LANES]);
    open[0] = arrive(kit, core, 0, Moved { v: T::narrow(kit, &step), ..nothing }, &[0.0; LANES]);
    for i in 1..core.count() {
        let place = core.place[i];
        let (level, line) = (place.level as usize, core.lines.line[i]);
        let parent = line.parent as usize;
        let mut outer = open[level - 1];
        let above = if place.site == NONE { NONE } else { core.sites[place.site as usize].above };
        if above != NONE {
            outer = descend_rows(core, above, &outer);
        }
        let (u, omega) = (factors.t(kit, &line, &outer.v), factors.t(kit, &line, &outer.mu));
        let change = factors.descend(kit, &factors.edges[i], &line, &factors.up[i], (&u, &omega));
        factors.up[i] = Up::NOTHING;
        let j = dense::add(kit, &core.j[i], &T::widen(kit, &change.a));
        let pull = dense::add(kit, &core.pull[i], &T::widen(kit, &change.e));
        let vp = core.v[parent];
        let mut mp = core.mu[parent];
        if above != NONE {
            let from = core.lines.tt(kit, &line, &j);
            core.cuts[above as usize].stand(&vp, &from, &mut mp);
        }
        let v = dense::sub(kit, &core.lines.t(kit, &line, &vp), &core.lines.z(kit, &line, &j));
        let mu = dense::sub(kit, &core.lines.t(kit, &line, &mp), &core.lines.zt(kit, &line, &pull));
        let step = dense::sub(kit, &v, &core.v[i]);
        let moved = dense::largest(kit, &step);
        if !(moved <= largest.0 || largest.0.is_nan()) {
            largest = (moved, i);
        }
        (core.v[i], core.j[i], core.pull[i], core.mu[i]) = (v, j, pull, mu);
        let mu = T::sub(kit, &omega, &factors.zt(kit, &line, &change.e));
        let here = Moved { v: T::narrow(kit, &step), mu };
        open[level] = if place.site == NONE { here } else { arrive(kit, core, i, here, &j) };
        if place.load != NONE && core.loads[place.load as usize].free != 0 {
            recentre(core, i);
        }
    }
    if core.place[0].load != NONE {
        recentre(core, 0);
    }
    largest
}

/// Takes corrections down through the rows of a cut, whose multipliers follow.
#[inline(never)]
fn descend_rows<T: Real, const N: usize>(core: &mut Core<N>, cut: u32, outer: &Moved<T>) -> Moved<T> {
    let mut mu = T::widen(Plain, &outer.mu);
    core.cuts[cut as usize].down(&T::widen(Plain, &outer.v), &mut mu);
    Moved { v: outer.v, mu: T::narrow(Plain, &mu) }
}

/// Takes μ through the rows at a bus.
#[inline(never)]
fn arrive<K: Arithmetic, T: Real, const N: usize>(
    _: K,
    core: &mut Core<N>,
    i: usize,
    mut moved: Moved<T>,
    j: &Vector,
) -> Moved<T> {
    if core.place[i].site == NONE {
        return moved;
    }
    let site = core.sites[core.place[i].site as usize];
    let (v, mut mu) = (core.v[i], core.mu[i]);
    for cut in (site.here.0..site.here.1).rev() {
        moved = descend_rows(core, cut, &moved);
        core.cuts[cut as usize].stand(&v, j, &mut mu);
    }
    core.mu[i] = mu;
    if site.own != NONE {
        descend_rows(core, site.own, &moved);
        let cut = &mut core.cuts[site.own as usize];
        let taken = cut.j;
        cut.stand(&v, &taken, &mut mu);
        let load = &core.loads[core.place[i].load as usize];
        cut.j = load.at(Plain, &v, &cut.mu).current;
    }
    moved
}

/// Free injections stay near where they were: the centre moves along, so that it does not bias the optimum.
#[inline(never)]
fn recentre<const N: usize>(core: &mut Core<N>, i: usize) {
    let own = core.own_cut(i);
    let noise =
        core.noise(i, &core.mu[i], &core.pull[i], (own != NONE).then(|| core.cuts[own as usize].gain));
    let mu = if own == NONE { &mut core.mu[i] } else { &mut core.cuts[own as usize].mu };
    core.loads[core.place[i].load as usize].recentre(mu, noise);
}
