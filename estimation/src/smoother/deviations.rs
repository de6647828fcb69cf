//! Other values on kept factors: the estimate as a deviation from the optimum that is there, see [`super::standing`].
//!
//! Passes run in single precision; where the deviation is so large that its rounding matters, the last one is in double. As
//! every pass finds the whole deviation anew, the last one decides how exact it is.

use super::core::Core;
use super::course::{self, Change, Course, Passes};
use super::dense::{self, Aligned, LANES, Plain, Vector};
use super::pass::{Changes, Fall, Rise, Room, State};
use super::precision::{Lanes, Real};
use super::standing::Standing;
use super::voltmeters::Voltmeters;
use super::walk::{Part, Walk};

/// The deviation from an optimum.
#[derive(Debug, Clone)]
pub(super) struct Deviations<const N: usize> {
    standing: Standing<N>,
    walk: Walk,
    state: State,
    /// By load: changes of the values.
    values: Vec<Aligned<Lanes<f32>>>,
    voltmeters: Vec<Option<Voltmeters>>,
    single: Room<f32>,
    double: Room<f64>,
    /// Whether flows of single precision have been taken over into double.
    doubled: bool,
}

impl<const N: usize> Deviations<N> {
    /// None yet, from the state of a core, which is the optimum for its values; see [`Standing::of`].
    pub fn new(core: &Core<N>) -> Option<Self> {
        let standing = Standing::of(core)?;
        Some(Self {
            voltmeters: Voltmeters::all(core, &standing.pulls),
            standing,
            walk: Walk::of(core),
            state: State::none(core),
            values: vec![Aligned([0.0; LANES]); core.loads.len()],
            single: Room::default(),
            double: Room::default(),
            doubled: false,
        })
    }

    /// Voltages by position: those of the core, moved.
    pub fn voltages(&self, core: &Core<N>) -> impl Iterator<Item = Vector> + Clone {
        core.v.iter().zip(&self.state.v).map(|(v, moved)| dense::add(Plain, v, &f32::widen(Plain, moved)))
    }

    /// The deviation for the values of the core: passes taken, `None` when they do not settle.
    pub fn settle(&mut self, core: &Core<N>, voltage_pu: f64) -> Option<usize> {
        self.state.clear();
        self.single.clear(core, &self.walk);
        let Self { standing, values, voltmeters, .. } = self;
        core.path.run(Changes { loads: &core.loads, from: &standing.measured, changes: values });
        voltmeters.iter_mut().flatten().for_each(|voltmeters| voltmeters.read(core));
        self.doubled = false;
        course::settle(Course::new(voltage_pu), &mut Run { deviations: self, core })
    }

    /// Moves the state of the core by the deviation.
    pub fn fold(&mut self, core: &mut Core<N>) {
        let mut run = Run { deviations: self, core };
        run.rise(true);
        run.fall(true, None);
        // Voltages and gradients once more, from what flows: those of passes are kept in single precision.
        let (mut v, mut mu) = (vec![[0.0; LANES]; core.count()], vec![[0.0; LANES]; core.count()]);
        v[0] = self.double.root();
        for (i, up) in self.double.up.iter().enumerate() {
            if i > 0 {
                let (lines, line) = (&core.lines, &core.lines.line[i]);
                let parent = line.parent as usize;
                let (u, omega) = (lines.t(Plain, line, &v[parent]), lines.t(Plain, line, &mu[parent]));
                v[i] = dense::sub(Plain, &u, &lines.z(Plain, line, &up.a));
                mu[i] = dense::sub(Plain, &omega, &lines.zt(Plain, line, &up.e));
            }
            core.v[i] = dense::add(Plain, &core.v[i], &v[i]);
            core.mu[i] = dense::add(Plain, &core.mu[i], &mu[i]);
            core.j[i] = dense::add(Plain, &core.j[i], &up.a);
            core.pull[i] = dense::add(Plain, &core.pull[i], &up.e);
        }
    }
}

/// Passes with the values of a core.
struct Run<'a, const N: usize> {
    deviations: &'a mut Deviations<N>,
    core: &'a Core<N>,
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
        let core = self.core;
        let Deviations { standing, walk, state, values, voltmeters, single, double: room, doubled } =
            &mut *self.deviations;
        if !double {
            return core.path.run(Rise {
                core,
                standing,
                walk,
                values,
                voltmeters,
                state,
                part,
                room: single,
            });
        }
        if !*doubled {
            room.go_on(core, walk, part, single);
            // The upper part is the last one.
            *doubled = part == Part::Upper;
        }
        core.path.run(Rise { core, standing, walk, values, voltmeters, state, part, room });
    }

    fn fall_in(&mut self, part: Part, double: bool, change: &mut Change) {
        let core = self.core;
        let Deviations { standing, walk, state, single, double: room, .. } = &mut *self.deviations;
        if double {
            core.path.run(Fall { core, standing, walk, state, part, room, change });
        } else {
            core.path.run(Fall { core, standing, walk, state, part, room: single, change });
        }
    }
}
