//! One Gauss–Newton step on the factors at hand: values up, state down.
//!
//! Residuals are exact at the present state. So are the gradients: where a load's or a row's derivatives have moved away
//! from those in the factors, the difference times its multiplier of the last step enters as evidence. Steps on kept
//! factors therefore end in the exact optimum; only their rate depends on how old the factors are.

use super::core::{Core, Up};
use super::dense::{self, Arithmetic, Vector};
use super::lines::NONE;
use crate::simd::Kernel;

/// Makes one step; returns the largest change of a component of a voltage and where.
pub(super) struct Step<'a, const N: usize, const P: usize>(pub &'a mut Core<N, P>);

impl<const N: usize, const P: usize> Kernel for Step<'_, N, P> {
    type Output = (f64, usize);

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) -> (f64, usize) {
        let core = self.0;
        let e = up::<K, N, P>(core);
        down::<K, N, P>(core, &e)
    }
}

/// All the way up; returns e of the root.
#[inline(always)]
fn up<K: Arithmetic, const N: usize, const P: usize>(core: &mut Core<N, P>) -> Vector<P> {
    let nothing = Up { a: [0.0; P], e: [0.0; P] };
    let mut open = vec![nothing; core.levels + 1];
    for i in (1..core.count()).rev() {
        let level = core.place[i].level as usize;
        let mut sum = open[level];
        open[level] = nothing;
        bus_values::<K, N, P>(core, i, &mut sum);
        let mut next = line_up::<K, N, P>(core, i, &sum);
        core.up[i] = next;
        let line = &core.lines.line[i];
        next.a = core.lines.tt::<K>(line, &next.a);
        next.e = core.lines.tt::<K>(line, &next.e);
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            let above = core.sites[site as usize].above as usize;
            core.cuts[above].up(&core.admittances, &mut next.a, &mut next.e);
        }
        let parent = &mut open[level - 1];
        parent.a = dense::add(&parent.a, &next.a);
        parent.e = dense::add(&parent.e, &next.e);
    }
    let mut sum = open[0];
    bus_values::<K, N, P>(core, 0, &mut sum);
    core.up[0] = sum;
    sum.e
}

/// Values across a line, without the ratio.
#[inline(always)]
pub(super) fn line_up<K: Arithmetic, const N: usize, const P: usize>(
    core: &Core<N, P>,
    i: usize,
    bus: &Up<P>,
) -> Up<P> {
    let line = &core.lines.line[i];
    let edge = &core.edges[i];
    let along = core.lines.z::<K>(line, &bus.a);
    let across = core.lines.zt::<K>(line, &bus.e);
    let mut a = dense::sub(&bus.a, &dense::times::<K, N, P>(&edge.a, &along));
    a = dense::sub(&a, &dense::times::<K, N, P>(&edge.s, &across));
    let mut e = dense::sub(&bus.e, &dense::transposed_times::<K, N, P>(&edge.a, &across));
    if line.evidence != NONE {
        let l = &core.evidence[line.evidence as usize];
        e = dense::add(&e, &dense::times::<K, N, P>(l, &along));
    }
    Up { a, e }
}

/// Adds what stands at a bus.
#[inline(always)]
fn bus_values<K: Arithmetic, const N: usize, const P: usize>(
    core: &mut Core<N, P>,
    i: usize,
    sum: &mut Up<P>,
) {
    let place = core.place[i];
    let v = core.v[i];
    if place.load != NONE {
        let at = place.load as usize;
        let own = if place.site != NONE { core.sites[place.site as usize].own } else { NONE };
        let mu = if own == NONE { core.mu[i] } else { core.cuts[own as usize].mu };
        let frozen = &core.frozen[at];
        let now = core.loads[at].at::<K>(&v, &mu);
        let model = dense::add(&frozen.b_times::<K>(&v), &frozen.d_times::<K>(&mu));
        let mut load = Up { a: dense::sub(&now.current, &model), e: [0.0; P] };
        load.e = dense::sub(&now.exact.b_times::<K>(&mu), &frozen.b_times::<K>(&mu));
        if own != NONE {
            let cut = &mut core.cuts[own as usize];
            cut.up(&core.admittances, &mut load.a, &mut load.e);
        }
        sum.a = dense::add(&sum.a, &load.a);
        sum.e = dense::add(&sum.e, &load.e);
    }
    for meter in core.meters_at(i) {
        core.meters[meter].pull::<P>(&v, &mut sum.e);
    }
    if place.site != NONE {
        let (first, end) = core.sites[place.site as usize].here;
        for cut in first..end {
            core.cuts[cut as usize].up(&core.admittances, &mut sum.a, &mut sum.e);
        }
    }
}

/// All the way down.
#[inline(always)]
fn down<K: Arithmetic, const N: usize, const P: usize>(core: &mut Core<N, P>, e: &Vector<P>) -> (f64, usize) {
    let kept = dense::axpy::<K, P>(core.root_weak, &core.root_start, e);
    let v = dense::times::<K, N, P>(&core.root, &kept);
    let mut moved = [0.0; P];
    let mut largest = (largest_change(&core.v[0], &v, &mut moved), 0);
    core.v[0] = v;
    core.mu[0] = arrive(core, 0, &v, [0.0; P], &[0.0; P]);
    for i in 1..core.count() {
        let line = core.lines.line[i];
        let parent = line.parent as usize;
        let (vp, mut mp) = (core.v[parent], core.mu[parent]);
        let site = core.place[i].site;
        let above = if site == NONE { NONE } else { core.sites[site as usize].above };
        if above != NONE {
            core.cuts[above as usize].down(&vp, &mut mp);
        }
        let (u, omega) = (core.lines.t::<K>(&line, &vp), core.lines.t::<K>(&line, &mp));
        let (edge, values) = (&core.edges[i], &core.up[i]);
        let mut j = dense::add(&values.a, &dense::times::<K, N, P>(&edge.a, &u));
        j = dense::add(&j, &dense::times::<K, N, P>(&edge.s, &omega));
        let v = dense::sub(&u, &core.lines.z::<K>(&line, &j));
        let mut pull = dense::add(&values.e, &dense::transposed_times::<K, N, P>(&edge.a, &omega));
        if line.evidence != NONE {
            pull = dense::sub(&pull, &dense::times::<K, N, P>(&core.evidence[line.evidence as usize], &u));
        }
        let mu = dense::sub(&omega, &core.lines.zt::<K>(&line, &pull));
        let change = largest_change(&core.v[i], &v, &mut moved);
        if !(change <= largest.0) {
            largest = (change, i);
        }
        core.v[i] = v;
        core.j[i] = j;
        if above != NONE {
            core.cuts[above as usize].j = core.lines.tt::<K>(&line, &j);
        }
        core.mu[i] = if core.place[i].site == NONE { mu } else { arrive(core, i, &v, mu, &j) };
        let load = core.place[i].load;
        if load != NONE && core.loads[load as usize].free != 0 {
            recentre(core, i);
        }
    }
    if core.place[0].load != NONE {
        recentre(core, 0);
    }
    largest
}

/// Takes μ through the rows at a bus.
#[inline(never)]
fn arrive<const N: usize, const P: usize>(
    core: &mut Core<N, P>,
    i: usize,
    v: &Vector<P>,
    mut mu: Vector<P>,
    j: &Vector<P>,
) -> Vector<P> {
    if core.place[i].site == NONE {
        return mu;
    }
    let site = core.sites[core.place[i].site as usize];
    for cut in (site.here.0..site.here.1).rev() {
        let cut = &mut core.cuts[cut as usize];
        cut.down(v, &mut mu);
        cut.j = *j;
    }
    if site.own != NONE {
        let cut = &mut core.cuts[site.own as usize];
        cut.down(v, &mut mu.clone());
        let load = &core.loads[core.place[i].load as usize];
        cut.j = load.at::<dense::Plain>(v, &cut.mu).current;
    }
    mu
}

/// Free injections stay near where they were: the centre moves along, so that it does not bias the optimum.
#[inline(never)]
fn recentre<const N: usize, const P: usize>(core: &mut Core<N, P>, i: usize) {
    let place = core.place[i];
    let own = if place.site != NONE { core.sites[place.site as usize].own } else { NONE };
    let mu = if own == NONE { core.mu[i] } else { core.cuts[own as usize].mu };
    let load = &mut core.loads[place.load as usize];
    for k in (0..P / 2).filter(|k| load.free & (1 << k) != 0) {
        for lane in [k, k + P / 2] {
            load.measured[lane] += load.variance[lane] * mu[lane];
        }
    }
}

/// The largest change between two voltages, of one component. NaN counts as larger than anything.
#[inline(always)]
fn largest_change<const P: usize>(old: &Vector<P>, new: &Vector<P>, scratch: &mut Vector<P>) -> f64 {
    for r in 0..P {
        scratch[r] = (new[r] - old[r]).abs();
    }
    let mut largest = 0.0;
    for change in *scratch {
        if !(change <= largest) {
            largest = change;
        }
    }
    largest
}
