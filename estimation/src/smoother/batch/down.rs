//! Corrections of eight sets on their way down.

use super::super::core::Core;
use super::super::dense::{self, Arithmetic, Plain, Transposed};
use super::super::lines::{Line, NONE};
use super::super::precision::{Edge, Factors, Real};
use super::block::{
    Block, Wide, add, narrow, pick, put, ratio, sub, times_plus, transposed_plus, widen, z_times,
};
use super::{Room, SETS, Sets, Up};

/// Corrections at a bus: of its voltage and of the gradient by its current.
#[derive(Clone, Copy)]
struct Moved<T, const N: usize> {
    v: Block<T, N>,
    mu: Block<T, N>,
}

/// The largest change of a voltage by set.
#[inline(always)]
pub(super) fn down<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &mut Sets<N>,
    room: &mut Room<T, N>,
    e: &Block<f64, N>,
) -> Wide<f64> {
    let (factors, wide) = (T::factors(core), &core.double);
    let none = [[T::ZERO; SETS]; N];
    let mut open = vec![Moved { v: none, mu: none }; core.levels + 1];
    let mut largest = [0.0; SETS];
    let step = root_step(kit, core, sets, e);
    widest(kit, &step, &mut largest);
    sets.v[0] = add(kit, &sets.v[0], &step);
    sets.mu[0] = [[0.0; SETS]; N];
    open[0].v = narrow(kit, &step);
    arrive(core, sets, 0, &mut open[0], &[[0.0; SETS]; N]);
    for i in 1..core.count() {
        let (line, place) = (&core.lines.line[i], core.place[i]);
        let (parent, level) = (line.parent as usize, place.level as usize);
        let mut outer = open[level - 1];
        let above = if place.site == NONE { NONE } else { core.sites[place.site as usize].above };
        if above != NONE {
            descend_rows(sets, above, &mut outer);
        }
        let u = ratio(kit, factors, line, &outer.v, Transposed::No);
        let omega = ratio(kit, factors, line, &outer.mu, Transposed::No);
        let change = descend(kit, (factors, line), &factors.edges[i], &room.0[i], (&u, &omega));
        let j = add(kit, &sets.j[i], &widen(kit, &change.a));
        let pull = add(kit, &sets.pull[i], &widen(kit, &change.e));
        let mut mp = sets.mu[parent];
        if above != NONE {
            let from = ratio(kit, wide, line, &j, Transposed::Yes);
            let vp = sets.v[parent];
            stand(sets, above, (&vp, &from), &mut mp);
        }
        let v = ratio(kit, wide, line, &sets.v[parent], Transposed::No);
        let v = sub(kit, &v, &z_times(kit, wide, line.impedance(), &j, Transposed::No));
        let mu = ratio(kit, wide, line, &mp, Transposed::No);
        let mu = sub(kit, &mu, &z_times(kit, wide, line.impedance(), &pull, Transposed::Yes));
        let step = sub(kit, &v, &sets.v[i]);
        widest(kit, &step, &mut largest);
        (sets.v[i], sets.mu[i], sets.j[i], sets.pull[i]) = (v, mu, j, pull);
        let lower = sub(kit, &omega, &z_times(kit, factors, line.impedance(), &change.e, Transposed::Yes));
        open[level] = Moved { v: narrow(kit, &step), mu: lower };
        if place.site != NONE {
            arrive(core, sets, i, &mut open[level], &j);
        }
        if place.load != NONE && core.loads[place.load as usize].free != 0 {
            recentre(core, sets, i);
        }
    }
    if core.place[0].load != NONE {
        recentre(core, sets, 0);
    }
    largest.map(f64::sqrt)
}

/// See [`Factors::descend`].
#[inline(always)]
pub(super) fn descend<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    (factors, line): (&Factors<T, N>, &Line),
    edge: &Edge<T, N>,
    up: &Up<T, N>,
    (u, omega): (&Block<T, N>, &Block<T, N>),
) -> Up<T, N> {
    let none = [[T::ZERO; SETS]; N];
    let a = times_plus(kit, &edge.s, omega, &times_plus(kit, &edge.a, u, &up.a));
    let mut e = transposed_plus(kit, &edge.a, omega, &up.e);
    if line.evidence != NONE {
        e = sub(kit, &e, &times_plus(kit, &factors.evidence[line.evidence as usize], u, &none));
    }
    Up { a, e }
}

/// See [`Core::root_after`].
#[inline(always)]
fn root_step<K: Arithmetic, const N: usize>(
    kit: K,
    core: &Core<N>,
    sets: &Sets<N>,
    e: &Block<f64, N>,
) -> Block<f64, N> {
    let away = sub(kit, &sets.root_start, &sets.v[0]);
    let kept = times_plus(kit, &core.root_weak, &away, e);
    times_plus(kit, &core.root, &kept, &[[0.0; SETS]; N])
}

/// Keeps the largest square of a change of a wire's voltage, by set. What is no number stays.
#[inline(always)]
fn widest<K: Arithmetic, const N: usize>(kit: K, step: &Block<f64, N>, largest: &mut Wide<f64>) {
    for k in 0..N / 2 {
        let (re, im) = (&step[k], &step[k + N / 2]);
        let square = dense::fma(kit, re, re, &dense::mul(kit, im, im));
        *largest = dense::larger(kit, largest, &square);
    }
}

#[inline(never)]
fn descend_rows<T: Real, const N: usize>(sets: &mut Sets<N>, cut: u32, moved: &mut Moved<T, N>) {
    let (v, mut mu) = (widen(Plain, &moved.v), widen(Plain, &moved.mu));
    for set in 0..SETS {
        let mut one = pick(&mu, set);
        sets.cuts[set][cut as usize].down(&pick(&v, set), &mut one);
        put(&mut mu, set, &one);
    }
    moved.mu = narrow(Plain, &mu);
}

#[inline(never)]
fn stand<const N: usize>(
    sets: &mut Sets<N>,
    cut: u32,
    (v, j): (&Block<f64, N>, &Block<f64, N>),
    mu: &mut Block<f64, N>,
) {
    for set in 0..SETS {
        let mut one = pick(mu, set);
        sets.cuts[set][cut as usize].stand(&pick(v, set), &pick(j, set), &mut one);
        put(mu, set, &one);
    }
}

/// Takes μ through the rows at a bus.
#[inline(never)]
fn arrive<T: Real, const N: usize>(
    core: &Core<N>,
    sets: &mut Sets<N>,
    i: usize,
    moved: &mut Moved<T, N>,
    j: &Block<f64, N>,
) {
    let place = core.place[i];
    if place.site == NONE {
        return;
    }
    let site = core.sites[place.site as usize];
    let (v, mut mu) = (sets.v[i], sets.mu[i]);
    for cut in (site.here.0..site.here.1).rev() {
        descend_rows(sets, cut, moved);
        stand(sets, cut, (&v, j), &mut mu);
    }
    sets.mu[i] = mu;
    if site.own == NONE {
        return;
    }
    descend_rows(sets, site.own, &mut moved.clone());
    for set in 0..SETS {
        let (v, mut mu) = (pick(&v, set), pick(&mu, set));
        let mut load = core.loads[place.load as usize];
        load.measured = pick(&sets.measured[place.load as usize], set);
        let cut = &mut sets.cuts[set][site.own as usize];
        let taken = cut.j;
        cut.stand(&v, &taken, &mut mu);
        cut.j = load.at(Plain, &v, &cut.mu).current;
    }
}

/// See `step::recentre`.
#[inline(never)]
fn recentre<const N: usize>(core: &Core<N>, sets: &mut Sets<N>, i: usize) {
    let (at, own) = (core.place[i].load as usize, core.own_cut(i));
    for set in 0..SETS {
        let cut = (own != NONE).then(|| &mut sets.cuts[set][own as usize]);
        let (outer, pull) = (pick(&sets.mu[i], set), pick(&sets.pull[i], set));
        let noise = core.noise(i, &outer, &pull, cut.as_ref().map(|cut| cut.gain));
        let mut load = core.loads[at];
        load.measured = pick(&sets.measured[at], set);
        let mut mu = cut.as_ref().map_or(outer, |cut| cut.mu);
        load.recentre(&mut mu, noise);
        put(&mut sets.measured[at], set, &load.measured);
        match cut {
            Some(cut) => cut.mu = mu,
            None => put(&mut sets.mu[i], set, &mu),
        }
    }
}
