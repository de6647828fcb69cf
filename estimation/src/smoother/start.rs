//! Where the iteration begins: no-load voltages, improved by sweeps with the measured injections.

use super::core::Core;
use super::dense::{self, Arithmetic, Vector};
use super::lines::NONE;
use crate::simd::Kernel;

/// How many sweeps: each wins a digit or more.
const SWEEPS: usize = 2;

/// Sets voltages, currents and forgets all multipliers.
pub(super) struct Start<'a, const N: usize, const P: usize> {
    pub core: &'a mut Core<N, P>,
    /// Voltage of the root.
    pub root: Vector<P>,
}

impl<const N: usize, const P: usize> Kernel for Start<'_, N, P> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, _: K) {
        let core = self.core;
        core.mu.fill([0.0; P]);
        for cut in &mut core.cuts {
            cut.mu = [0.0; P];
            for row in &mut cut.rows {
                row.lambda = 0.0;
            }
        }
        for load in &mut core.loads {
            for k in (0..P / 2).filter(|k| load.free & (1 << k) != 0) {
                (load.measured[k], load.measured[k + P / 2]) = (0.0, 0.0);
            }
        }
        (core.v[0], core.root_start) = (self.root, self.root);
        core.j.fill([0.0; P]);
        no_load::<K, N, P>(core);
        for _ in 0..SWEEPS {
            sweep::<K, N, P>(core);
        }
        if core.v.iter().any(implausible::<N, P>) {
            core.j.fill([0.0; P]);
            no_load::<K, N, P>(core);
        }
        let core = &mut *core;
        for i in 1..core.count() {
            remember::<K, N, P>(core, i);
        }
        remember::<K, N, P>(core, 0);
    }
}

#[inline(always)]
fn no_load<K: Arithmetic, const N: usize, const P: usize>(core: &mut Core<N, P>) {
    for i in 1..core.count() {
        let line = &core.lines.line[i];
        core.v[i] = core.lines.t::<K>(line, &core.v[line.parent as usize]);
    }
}

/// Currents up, voltages down.
#[inline(always)]
fn sweep<K: Arithmetic, const N: usize, const P: usize>(core: &mut Core<N, P>) {
    core.j.fill([0.0; P]);
    for i in (1..core.count()).rev() {
        let v = core.v[i];
        let mut j = dense::add(&core.j[i], &core.lines.shunt_current::<K>(i, &v));
        let load = core.place[i].load;
        if load != NONE {
            j = dense::add(&j, &core.loads[load as usize].at::<K>(&v, &[0.0; P]).current);
        }
        core.j[i] = j;
        let line = &core.lines.line[i];
        let parent = line.parent as usize;
        core.j[parent] = dense::add(&core.j[parent], &core.lines.tt::<K>(line, &j));
    }
    for i in 1..core.count() {
        let line = &core.lines.line[i];
        let u = core.lines.t::<K>(line, &core.v[line.parent as usize]);
        core.v[i] = dense::sub(&u, &core.lines.z::<K>(line, &core.j[i]));
    }
}

fn implausible<const N: usize, const P: usize>(v: &Vector<P>) -> bool {
    (0..N / 2).any(|k| {
        let square = v[k] * v[k] + v[k + P / 2] * v[k + P / 2];
        !(square > 0.3 && square < 3.0)
    })
}

/// Lets the cuts of a position know the state.
#[inline(always)]
fn remember<K: Arithmetic, const N: usize, const P: usize>(core: &mut Core<N, P>, i: usize) {
    let place = core.place[i];
    if place.site == NONE {
        return;
    }
    let site = core.sites[place.site as usize];
    let (v, j) = (core.v[i], if i == 0 { [0.0; P] } else { core.j[i] });
    for cut in site.here.0..site.here.1 {
        let cut = &mut core.cuts[cut as usize];
        (cut.v, cut.j) = (v, j);
    }
    if site.own != NONE {
        let current = core.loads[place.load as usize].at::<K>(&v, &[0.0; P]).current;
        let cut = &mut core.cuts[site.own as usize];
        (cut.v, cut.j) = (v, current);
    }
    if site.above != NONE {
        let line = &core.lines.line[i];
        let cut = &mut core.cuts[site.above as usize];
        (cut.v, cut.j) = (core.v[line.parent as usize], core.lines.tt::<K>(line, &j));
    }
}
