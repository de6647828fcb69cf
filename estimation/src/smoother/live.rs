//! Single values that change, on kept factors: a change walks to the root, a voltage is read by walking from the root.
//!
//! Everything off the two paths stays as it is: corrections are summed on the way up ([`super::precision::Up`]), and
//! nothing is computed downwards until somebody asks. What is read is the Gauss–Newton step on the factors of the last
//! estimate, so it differs from the next full estimate by what the change bends (second order in it).

use super::Changed;
use super::compile::{Compiled, Target};
use super::core::Core;
use super::cuts::{Cut, Place};
use super::dense::{self, Arithmetic, HALF, LANES, Plain, Vector};
use super::lines::NONE;
use super::precision::{Factors, Lanes, Real, Up};
use super::solver::{Precision, Solver};
use crate::simd::Kernel;
use num_complex::Complex64;
use std::marker::PhantomData;

/// Where a value enters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry {
    /// Power of a wire of the load at a position, changed by (p, q).
    Load { position: u32, wire: u8, by: (f64, f64) },
    /// A meter's value.
    Meter { meter: u32, by: f64 },
    /// A row's value.
    Row { cut: u32, row: u32, by: f64 },
}

impl<const N: usize> Cut<N> {
    /// Takes a shift from inside out, and remembers it for the way down. A value of the row `from` changes `by`.
    fn shift_and_keep<T: Real>(&mut self, from: usize, sum: &mut Up<T>, by: f64) {
        let (mut a, mut e) = (T::widen(Plain, &sum.a), T::widen(Plain, &sum.e));
        for at in from..self.rows.len() {
            let row = &mut self.rows[at];
            let nu = if at == from { by } else { 0.0 } - dense::dot(&row.h_j, &a);
            a = dense::axpy(Plain, nu, &row.k, &a);
            e = dense::axpy(Plain, nu, &row.g, &e);
            row.nu += nu / row.s;
        }
        *sum = Up { a: T::narrow(Plain, &a), e: T::narrow(Plain, &e) };
    }

    /// Takes a shift from inside out, nothing kept; `note` gets each row's change of ν/s.
    pub(super) fn pass_up<T: Real>(&self, sum: &mut Up<T>, mut note: impl FnMut(usize, f64)) {
        let (mut a, mut e) = (T::widen(Plain, &sum.a), T::widen(Plain, &sum.e));
        for (at, row) in self.rows.iter().enumerate() {
            let nu = -dense::dot(&row.h_j, &a);
            a = dense::axpy(Plain, nu, &row.k, &a);
            e = dense::axpy(Plain, nu, &row.g, &e);
            note(at, nu / row.s);
        }
        *sum = Up { a: T::narrow(Plain, &a), e: T::narrow(Plain, &e) };
    }

    /// The change of the gradient on the inner side, nothing kept. `nu` is what the way up left at a row.
    pub(super) fn descend<T: Real>(&self, v: &Lanes<T>, mu: &mut Lanes<T>, nu: impl Fn(usize) -> f64) {
        let (v, mut inner) = (T::widen(Plain, v), T::widen(Plain, mu));
        for (at, row) in self.rows.iter().enumerate().rev() {
            let lambda = nu(at) - dense::dot(&row.g, &v) - dense::dot(&row.k, &inner);
            inner = dense::axpy(Plain, lambda, &row.h_j, &inner);
        }
        *mu = T::narrow(Plain, &inner);
    }
}

/// Enters a change and carries it to the root.
pub(super) struct Change<'a, T, const N: usize> {
    pub core: &'a mut Core<N>,
    pub entry: Entry,
    pub precision: PhantomData<T>,
}

impl<T: Real, const N: usize> Kernel for Change<'_, T, N> {
    type Output = ();

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) {
        let core = self.core;
        let mut sum = Up::<T>::NOTHING;
        let i;
        // Whether the shift still has to pass the bus's own rows, and from which on.
        let (mut here, mut above) = (None, None);
        match self.entry {
            Entry::Load { position, wire, by } => {
                i = position as usize;
                sum = load_shift(core, i, wire, by);
                let own = core.own_cut(i);
                if own != NONE {
                    core.cuts[own as usize].shift_and_keep(0, &mut sum, 0.0);
                }
            }
            Entry::Meter { meter, by } => {
                let meter = core.meters[meter as usize];
                i = meter.position as usize;
                let (k, (_, d)) = (usize::from(meter.wire), meter.residual(&core.v[i]));
                sum.e[k] = T::rounded(by / meter.variance * d[0]);
                sum.e[k + HALF] = T::rounded(by / meter.variance * d[1]);
            }
            Entry::Row { cut, row, by } => {
                let place = core.cuts[cut as usize].place;
                i = core.cuts[cut as usize].position as usize;
                match place {
                    Place::Own => core.cuts[cut as usize].shift_and_keep(row as usize, &mut sum, by),
                    Place::Above => above = Some((row, by)),
                    Place::Local | Place::Below => here = Some((cut, row, by)),
                }
            }
        }
        climb(kit, core, i, sum, here, above);
    }
}

/// What a change of a load's power does at the voltage of the last estimate: to its current, and through the gradient
/// there to the evidence, because the current's derivative by the voltage grows with the power.
#[inline(always)]
fn load_shift<T: Real, const N: usize>(core: &Core<N>, i: usize, wire: u8, by: (f64, f64)) -> Up<T> {
    let (v, k, h) = (&core.v[i], usize::from(wire), HALF);
    let own = core.own_cut(i);
    let mu = if own == NONE { &core.mu[i] } else { &core.cuts[own as usize].mu };
    let (x, y) = (v[k], v[k + h]);
    let w = 1.0 / (x * x + y * y);
    let (kx, ky) = (x * w, y * w);
    let mut shift = Up::NOTHING;
    shift.a[k] = T::rounded(by.0 * kx + by.1 * ky);
    shift.a[k + h] = T::rounded(by.0 * ky - by.1 * kx);
    let (gr, gi) = (kx * kx - ky * ky, 2.0 * kx * ky);
    let (b_re, b_im) = (-(by.0 * gr + by.1 * gi), by.1 * gr - by.0 * gi);
    shift.e[k] = T::rounded(b_re * mu[k] + b_im * mu[k + h]);
    shift.e[k + h] = T::rounded(b_im * mu[k] - b_re * mu[k + h]);
    shift
}

/// Carries a shift to the root and adds it to what is kept there and on the way.
#[inline(always)]
fn climb<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &mut Core<N>,
    from: usize,
    mut sum: Up<T>,
    mut here: Option<(u32, u32, f64)>,
    mut above: Option<(u32, f64)>,
) {
    let mut i = from;
    loop {
        let site = core.place[i].site;
        if site != NONE && above.is_none() {
            let cuts = core.sites[site as usize].here;
            let (first, row, by) = here.unwrap_or((cuts.0, 0, 0.0));
            for cut in first..cuts.1 {
                let (row, by) = if cut == first { (row as usize, by) } else { (0, 0.0) };
                core.cuts[cut as usize].shift_and_keep(row, &mut sum, by);
            }
        }
        here = None;
        if i == 0 {
            add(kit, &mut T::factors_mut(core).up[0], &sum);
            return;
        }
        let line = core.lines.line[i];
        if above.is_none() {
            let factors = T::factors_mut(core);
            sum = factors.climb(kit, &factors.edges[i], &line, &sum);
            add(kit, &mut factors.up[i], &sum);
            sum = Up { a: factors.tt(kit, &line, &sum.a), e: factors.tt(kit, &line, &sum.e) };
        }
        if site != NONE && core.sites[site as usize].above != NONE {
            let cut = core.sites[site as usize].above as usize;
            let (row, by) = above.map_or((0, 0.0), |(row, by)| (row as usize, by));
            core.cuts[cut].shift_and_keep(row, &mut sum, by);
        }
        above = None;
        i = line.parent as usize;
    }
}

#[inline(always)]
fn add<K: Arithmetic, T: Real>(kit: K, to: &mut Up<T>, more: &Up<T>) {
    *to = Up { a: T::add(kit, &to.a, &more.a), e: T::add(kit, &to.e, &more.e) };
}

/// Reads the voltage of a position.
pub(super) struct Read<'a, T, const N: usize> {
    pub core: &'a Core<N>,
    pub position: usize,
    /// Room for the path.
    pub path: &'a mut Vec<u32>,
    pub precision: PhantomData<T>,
}

impl<T: Real, const N: usize> Kernel for Read<'_, T, N> {
    /// There and at the root.
    type Output = (Vector, Vector);

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Self::Output {
        let core = self.core;
        let factors = T::factors(core);
        let root = core.root_after(kit, &T::widen(kit, &factors.up[0].e));
        let step = T::narrow(kit, &dense::sub(kit, &root, &core.v[0]));
        let moved = walk_down(
            kit,
            core,
            self.position,
            self.path,
            step,
            (|i: usize| factors.up[i], |cut: usize, row: usize| core.cuts[cut].rows[row].nu),
        );
        (dense::add(kit, &core.v[self.position], &T::widen(kit, &moved)), root)
    }
}

/// From the change of the root's voltage to that of a position; `(up, nu)` is what a way up left at lines and rows.
#[inline(always)]
fn walk_down<K: Arithmetic, T: Real, const N: usize>(
    kit: K,
    core: &Core<N>,
    to: usize,
    path: &mut Vec<u32>,
    root: Lanes<T>,
    (mut up, nu): (impl FnMut(usize) -> Up<T>, impl Fn(usize, usize) -> f64),
) -> Lanes<T> {
    path.clear();
    let mut at = to;
    while at != 0 {
        path.push(at as u32);
        at = core.lines.line[at].parent as usize;
    }
    let factors = T::factors(core);
    let (mut v, mut mu) = (root, [T::ZERO; LANES]);
    pass_rows(core, 0, &v, &mut mu, &nu);
    for &i in path.iter().rev() {
        let i = i as usize;
        let line = &core.lines.line[i];
        let site = core.place[i].site;
        if site != NONE && core.sites[site as usize].above != NONE {
            let cut = core.sites[site as usize].above as usize;
            core.cuts[cut].descend::<T>(&v, &mut mu, |row| nu(cut, row));
        }
        let (u, omega) = (factors.t(kit, line, &v), factors.t(kit, line, &mu));
        let change = factors.descend(kit, &factors.edges[i], line, &up(i), (&u, &omega));
        v = T::sub(kit, &u, &factors.z(kit, line, &change.a));
        if i == to {
            return v;
        }
        mu = T::sub(kit, &omega, &factors.zt(kit, line, &change.e));
        pass_rows(core, i, &v, &mut mu, &nu);
    }
    v
}

#[inline(always)]
pub(super) fn pass_rows<T: Real, const N: usize>(
    core: &Core<N>,
    i: usize,
    v: &Lanes<T>,
    mu: &mut Lanes<T>,
    nu: &impl Fn(usize, usize) -> f64,
) {
    let site = core.place[i].site;
    if site != NONE {
        let (first, end) = core.sites[site as usize].here;
        for cut in (first..end).rev() {
            core.cuts[cut as usize].descend::<T>(v, mu, |row| nu(cut as usize, row));
        }
    }
}

/// Room for a response: what changed on the way up.
#[derive(Debug, Clone, Default)]
pub(super) struct Trail<T> {
    /// From the change to the root: position and shift there.
    shifts: Vec<(u32, Up<T>)>,
    /// Cut, row and change of ν/s.
    rows: Vec<(u32, u32, f64)>,
    path: Vec<u32>,
}

/// The change of one voltage when one load's power changes, everything else as it is. Nothing is kept.
pub(super) struct Respond<'a, T, const N: usize> {
    pub core: &'a Core<N>,
    pub load: usize,
    pub wire: u8,
    pub by: (f64, f64),
    pub read: usize,
    pub trail: &'a mut Trail<T>,
}

impl<T: Real, const N: usize> Kernel for Respond<'_, T, N> {
    /// There and at the root.
    type Output = (Vector, Vector);

    #[inline(always)]
    fn run<K: Arithmetic>(self, kit: K) -> Self::Output {
        let (core, trail) = (self.core, self.trail);
        let factors: &Factors<T, N> = T::factors(core);
        trail.shifts.clear();
        trail.rows.clear();
        let mut i = self.load;
        let mut sum = load_shift(core, i, self.wire, self.by);
        let own = core.own_cut(i);
        if own != NONE {
            pass_up(core, own, trail, &mut sum);
        }
        while i != 0 {
            rows_here(core, i, trail, &mut sum);
            let line = &core.lines.line[i];
            let next = factors.climb(kit, &factors.edges[i], line, &sum);
            trail.shifts.push((i as u32, next));
            sum = Up { a: factors.tt(kit, line, &next.a), e: factors.tt(kit, line, &next.e) };
            let site = core.place[i].site;
            if site != NONE && core.sites[site as usize].above != NONE {
                pass_up(core, core.sites[site as usize].above, trail, &mut sum);
            }
            i = line.parent as usize;
        }
        rows_here(core, 0, trail, &mut sum);
        let root = dense::times(kit, &core.root, &T::widen(kit, &sum.e));
        let mut path = std::mem::take(&mut trail.path);
        let mut shared = trail.shifts.len();
        // The two paths have their upper part in common.
        let up = |i: usize| {
            let common = shared > 0 && trail.shifts[shared - 1].0 == i as u32;
            shared = if common { shared - 1 } else { 0 };
            if common { trail.shifts[shared].1 } else { Up::NOTHING }
        };
        let nu = |cut: usize, row: usize| {
            let changed = trail.rows.iter().find(|at| at.0 == cut as u32 && at.1 == row as u32);
            changed.map_or(0.0, |changed| changed.2)
        };
        let moved = walk_down(kit, core, self.read, &mut path, T::narrow(kit, &root), (up, nu));
        trail.path = path;
        (T::widen(kit, &moved), root)
    }
}

#[inline(always)]
fn rows_here<T: Real, const N: usize>(core: &Core<N>, i: usize, trail: &mut Trail<T>, sum: &mut Up<T>) {
    let site = core.place[i].site;
    if site != NONE {
        let (first, end) = core.sites[site as usize].here;
        for cut in first..end {
            pass_up(core, cut, trail, sum);
        }
    }
}

#[inline(never)]
fn pass_up<T: Real, const N: usize>(core: &Core<N>, cut: u32, trail: &mut Trail<T>, sum: &mut Up<T>) {
    core.cuts[cut as usize].pass_up(sum, |row, nu| trail.rows.push((cut, row as u32, nu)));
}

impl<const N: usize> Solver<N> {
    /// Changes one reading by (p, q), or by p alone.
    pub fn change(&mut self, reading: Changed, by: (f64, f64)) {
        self.fold();
        (self.optimal, self.deviations) = (false, None);
        let double = self.precision == Precision::Double;
        let Compiled { core, targets, .. } = &mut self.compiled;
        let path = core.path;
        let mut enter = |core: &mut Core<N>, entry| {
            if double {
                path.run(Change::<f64, N> { core, entry, precision: PhantomData });
            } else {
                path.run(Change::<f32, N> { core, entry, precision: PhantomData });
            }
        };
        match reading {
            Changed::Voltage(index) => {
                let (meter, _) = targets.voltages[index as usize];
                if meter != NONE {
                    core.meters[meter as usize].value += by.0;
                    enter(core, Entry::Meter { meter, by: by.0 });
                }
            }
            Changed::Injection(index) => {
                let (load, wire) = (targets.injections[index as usize], self.injection_wires[index as usize]);
                if load != NONE {
                    change_load(core, load, wire, by, &mut enter);
                }
            }
            Changed::Power(index) => {
                let (p, q) = targets.powers[index as usize];
                if let (Target::Load(load, wire), _) = (p, q) {
                    change_load(core, load, wire, by, &mut enter);
                    return;
                }
                for (target, by) in [(p, by.0), (q, by.1)] {
                    if let (Target::Row(cut, row), true) = (target, by != 0.0) {
                        core.cuts[cut as usize].rows[row as usize].value += by;
                        enter(core, Entry::Row { cut, row, by });
                    }
                }
            }
            Changed::Current(index) => {
                if let (Target::Row(cut, row), _) = targets.currents[index as usize] {
                    core.cuts[cut as usize].rows[row as usize].value += by.0;
                    enter(core, Entry::Row { cut, row, by: by.0 });
                }
            }
        }
    }

    /// Reads the voltage of a bus after changes.
    pub fn read(&mut self, bus: u32) -> Vec<Complex64> {
        self.fold();
        let Some(position) = self.position(bus) else { return Vec::new() };
        let (core, path) = (&self.compiled.core, &mut self.path);
        let (v, root) = if self.precision == Precision::Double {
            core.path.run(Read::<f64, N> { core, position, path, precision: PhantomData })
        } else {
            core.path.run(Read::<f32, N> { core, position, path, precision: PhantomData })
        };
        let turn = self.turn(&root);
        (0..N / 2).map(|k| Complex64::new(v[k], v[k + HALF]) * turn).collect()
    }

    /// The response of a bus's voltage to a change of an injection.
    pub fn response(&mut self, injection: u32, by: (f64, f64), bus: u32) -> Option<[Complex64; 4]> {
        self.fold();
        let (load, wire) =
            (self.compiled.targets.injections[injection as usize], self.injection_wires[injection as usize]);
        let read = self.position(bus)?;
        let core = &self.compiled.core;
        let position = core.loads.get(load as usize)?.position as usize;
        let (single, double) = &mut self.trails;
        let (v, root) = if self.precision == Precision::Double {
            core.path.run(Respond { core, load: position, wire, by, read, trail: double })
        } else {
            core.path.run(Respond { core, load: position, wire, by, read, trail: single })
        };
        let core = &self.compiled.core;
        let (v0, at) = (&core.v[0], &core.v[read]);
        // The result is turned with the root.
        let aimed = core.aimed(v0).zip(core.aimed(&root)).filter(|_| self.turned());
        let by_turn = aimed.map_or(0.0, |(at, change)| (change * at.conj()).im / at.norm_sqr());
        let mut out = [Complex64::ZERO; 4];
        for (k, response) in out.iter_mut().enumerate().take(N / 2) {
            let change = Complex64::new(v[k], v[k + HALF]);
            let voltage = Complex64::new(at[k], at[k + HALF]);
            *response = (change - Complex64::I * by_turn * voltage) * self.turn(v0);
        }
        Some(out)
    }
}

/// Changes a load's power on one wire.
fn change_load<const N: usize>(
    core: &mut Core<N>,
    load: u32,
    wire: u8,
    by: (f64, f64),
    enter: &mut impl FnMut(&mut Core<N>, Entry),
) {
    let k = usize::from(wire);
    let at = &mut core.loads[load as usize];
    if at.free & (1 << k) != 0 {
        return;
    }
    at.measured[k] += by.0;
    at.measured[k + HALF] += by.1;
    let position = at.position;
    enter(core, Entry::Load { position, wire, by });
}
