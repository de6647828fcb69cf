//! Where the iteration begins: no-load voltages, improved by sweeps with the measured injections.

use super::core::Core;
use super::dense::{self, Arithmetic, HALF, LANES, Vector};
use super::lines::NONE;
use crate::simd::Kernel;

/// How many sweeps: each wins a digit or more.
const SWEEPS: usize = 2;

/// Sets voltages, currents and forgets all multipliers.
pub(super) struct Start<'a, const N: usize> {
    pub core: &'a mut Core<N>,
    /// Voltage of the root.
    pub root: Vector,
    /// Voltages and currents of another estimate of the same tree to begin with, by position.
    pub state: Option<(&'a [Vector], &'a [Vector])>,
}

impl<const N: usize> Kernel for Start<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        let core = self.core;
        core.mu.fill([0.0; LANES]);
        core.pull.fill([0.0; LANES]);
        for cut in &mut core.cuts {
            (cut.mu, cut.gain, cut.tilt) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
            for row in &mut cut.rows {
                (row.lambda, row.nu) = (0.0, 0.0);
            }
        }
        for load in &mut core.loads {
            for k in (0..HALF).filter(|k| load.free & (1 << k) != 0) {
                (load.measured[k], load.measured[k + HALF]) = (0.0, 0.0);
            }
        }
        (core.v[0], core.root_start) = (self.root, self.root);
        match self.state {
            Some((v, j)) => {
                core.v.copy_from_slice(v);
                core.j.copy_from_slice(j);
            }
            None => from_no_load(kit, core),
        }
        let core = &mut *core;
        // Nothing flows into the root from above.
        core.j[0] = [0.0; LANES];
        for i in 1..core.count() {
            remember(kit, core, i);
        }
        remember(kit, core, 0);
    }
}

#[inline(always)]
fn from_no_load<K: Arithmetic, const N: usize>(kit: K, core: &mut Core<N>) {
    core.j.fill([0.0; LANES]);
    no_load(kit, core);
    for _ in 0..SWEEPS {
        sweep(kit, core);
    }
    if core.v.iter().any(implausible::<N>) {
        core.j.fill([0.0; LANES]);
        no_load(kit, core);
    }
}

#[inline(always)]
fn no_load<K: Arithmetic, const N: usize>(kit: K, core: &mut Core<N>) {
    for i in 1..core.count() {
        let line = &core.lines.line[i];
        core.v[i] = core.lines.t(kit, line, &core.v[line.parent as usize]);
    }
}

/// Currents up, voltages down.
#[inline(always)]
fn sweep<K: Arithmetic, const N: usize>(kit: K, core: &mut Core<N>) {
    core.j.fill([0.0; LANES]);
    for i in (1..core.count()).rev() {
        let v = core.v[i];
        let mut j = dense::add(kit, &core.j[i], &core.lines.shunt_current(kit, i, &v));
        let load = core.place[i].load;
        if load != NONE {
            j = dense::add(kit, &j, &core.loads[load as usize].at(kit, &v, &[0.0; LANES]).current);
        }
        core.j[i] = j;
        let line = &core.lines.line[i];
        let parent = line.parent as usize;
        core.j[parent] = dense::add(kit, &core.j[parent], &core.lines.tt(kit, line, &j));
    }
    for i in 1..core.count() {
        let line = &core.lines.line[i];
        let u = core.lines.t(kit, line, &core.v[line.parent as usize]);
        core.v[i] = dense::sub(kit, &u, &core.lines.z(kit, line, &core.j[i]));
    }
}

fn implausible<const N: usize>(v: &Vector) -> bool {
    (0..N / 2).any(|k| {
        let square = v[k] * v[k] + v[k + HALF] * v[k + HALF];
        !(square > 0.3 && square < 3.0)
    })
}

/// Lets the cuts of a position know the state.
#[inline(always)]
fn remember<K: Arithmetic, const N: usize>(kit: K, core: &mut Core<N>, i: usize) {
    let place = core.place[i];
    if place.site == NONE {
        return;
    }
    let site = core.sites[place.site as usize];
    let (v, j) = (core.v[i], if i == 0 { [0.0; LANES] } else { core.j[i] });
    for cut in site.here.0..site.here.1 {
        let cut = &mut core.cuts[cut as usize];
        (cut.v, cut.j) = (v, j);
    }
    if site.own != NONE {
        let current = core.loads[place.load as usize].at(kit, &v, &[0.0; LANES]).current;
        let cut = &mut core.cuts[site.own as usize];
        (cut.v, cut.j) = (v, current);
    }
    if site.above != NONE {
        let line = &core.lines.line[i];
        let cut = &mut core.cuts[site.above as usize];
        (cut.v, cut.j) = (core.v[line.parent as usize], core.lines.tt(kit, line, &j));
    }
}
