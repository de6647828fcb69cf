//! Other values on kept factors: the estimate as a deviation from the optimum that is there, see [`super::standing`].
//!
//! Passes run in single precision; where the deviation is so large that its rounding matters, the last ones sum in double. As
//! every pass finds the whole deviation anew, the last one decides how exact it is.

use super::core::Core;
use super::course::{self, Change, Course, Passes};
use super::dense::{self, Aligned, LANES, Plain, Vector};
use super::pass::{Changes, Fall, Found, Rise, Room};
use super::precision::{Lanes, Real};
use super::standing::Standing;
use super::voltmeters::Voltmeters;
use super::walk::{Part, Walk};

/// The deviation from an optimum.
#[derive(Debug, Clone)]
pub(super) struct Deviations<const N: usize> {
    standing: Standing<N>,
    walk: Walk,
    /// By position.
    found: Vec<Found>,
    /// By load: changes of the values.
    values: Vec<Aligned<Lanes<f32>>>,
    voltmeters: Vec<Option<Voltmeters>>,
    single: Room<f32>,
    double: Room<f64>,
}

impl<const N: usize> Deviations<N> {
    /// None yet, from the state of a core, which is the optimum for its values; see [`Standing::of`].
    pub fn new(core: &Core<N>) -> Option<Self> {
        let (standing, walk) = (Standing::of(core)?, Walk::of(core));
        Some(Self {
            voltmeters: Voltmeters::all(core, &standing.pulls),
            standing,
            found: vec![Found::NOTHING; core.count()],
            values: vec![Aligned([0.0; LANES]); core.loads.len()],
            single: Room::new(core, &walk),
            double: Room::new(core, &walk),
            walk,
        })
    }

    /// Voltages by position: those of the core, moved.
    pub fn voltages(&self, core: &Core<N>) -> impl Iterator<Item = Vector> + Clone {
        let moved = self.found.iter().map(|found| f32::widen(Plain, &found.v));
        core.v.iter().zip(moved).map(|(v, moved)| dense::add(Plain, v, &moved))
    }

    /// The deviation for the values of the core: passes taken, `None` when they do not settle.
    pub fn settle(&mut self, core: &Core<N>, voltage_pu: f64) -> Option<usize> {
        self.voltmeters.iter_mut().flatten().for_each(|voltmeters| voltmeters.read(core));
        course::settle(Course::new(voltage_pu), &mut Run { deviations: self, core, first: true })
    }

    /// Moves the state of the core by the deviation.
    pub fn fold(&mut self, core: &mut Core<N>) {
        let mut run = Run { deviations: self, core, first: false };
        run.rise(true);
        run.fall(true, None);
        // Voltages and gradients once more, from what flows: those of passes are kept in single precision.
        let (mut v, mut mu) = (vec![[0.0; LANES]; core.count()], vec![[0.0; LANES]; core.count()]);
        v[0] = self.double.root();
        for (i, found) in self.found.iter().enumerate() {
            let (a, e) = (f32::widen(Plain, &found.flow.a), f32::widen(Plain, &found.flow.e));
            if i > 0 {
                let (lines, line) = (&core.lines, &core.lines.line[i]);
                let parent = line.parent as usize;
                let (u, omega) = (lines.t(Plain, line, &v[parent]), lines.t(Plain, line, &mu[parent]));
                v[i] = dense::sub(Plain, &u, &lines.z(Plain, line, &a));
                mu[i] = dense::sub(Plain, &omega, &lines.zt(Plain, line, &e));
            }
            core.v[i] = dense::add(Plain, &core.v[i], &v[i]);
            core.mu[i] = dense::add(Plain, &core.mu[i], &mu[i]);
            core.j[i] = dense::add(Plain, &core.j[i], &a);
            core.pull[i] = dense::add(Plain, &core.pull[i], &e);
        }
    }
}

/// Passes with the values of a core.
struct Run<'a, const N: usize> {
    deviations: &'a mut Deviations<N>,
    core: &'a Core<N>,
    /// Whether this is the first way up.
    first: bool,
}

impl<const N: usize> Run<'_, N> {
    /// Nothing deviates yet in a part, and values are those of the core: just before the first way up reads them.
    fn begin(&mut self, part: Part) {
        let core = self.core;
        let Deviations { standing, walk, found, values, .. } = &mut *self.deviations;
        let load = |i: usize| standing.stops[i].load;
        for (positions, loads) in walk.spans(part, load) {
            found[positions].fill(Found::NOTHING);
            let from = &standing.measured[loads.clone()];
            core.path.run(Changes { loads: &core.loads[loads.clone()], from, changes: &mut values[loads] });
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
        let core = self.core;
        let Deviations { standing, walk, found, values, voltmeters, single, double: room } =
            &mut *self.deviations;
        if double {
            core.path.run(Rise { core, standing, walk, values, voltmeters, found, part, room });
        } else {
            core.path.run(Rise { core, standing, walk, values, voltmeters, found, part, room: single });
        }
    }

    fn fall_in(&mut self, part: Part, double: bool, change: &mut Change) {
        let core = self.core;
        let Deviations { standing, walk, found, values, voltmeters, single, double: room } =
            &mut *self.deviations;
        if double {
            core.path.run(Fall { core, standing, walk, values, voltmeters, found, part, room, change });
        } else {
            core.path.run(Fall {
                core,
                standing,
                walk,
                values,
                voltmeters,
                found,
                part,
                room: single,
                change,
            });
        }
    }
}
