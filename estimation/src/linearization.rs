//! The nonlinear part of the feeder, reduced to the places where power is taken, and its exact derivative.
//!
//! The state is the active and reactive power of every usage point and the source voltage: a common factor and
//! one deviation per phase, `E_p = E_nominal,p (1 + m + d_p)`. Zero injections are no state, so they are exact.
//! With the voltages `v` and currents `j` at the slots, `v = A_e E + A_j j` is linear, and `j = conj(s / v)`.

use crate::feeder::Feeder;
use crate::linear_response::{Columns, LinearFeeder, Slot};
use crate::measurement_set::{InjectionPrior, Observed};
use grid::PerPhase;
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;

/// Standard deviation of the common source voltage factor before anything is measured, p.u.
pub(crate) const SOURCE_STD_PU: f64 = 0.05;
/// Standard deviation of each phase's own deviation, p.u. (EN 50160 limits unbalance to 2 %).
pub(crate) const SOURCE_UNBALANCE_STD_PU: f64 = 0.005;
/// States of the source: common factor and three phases.
pub(crate) const SOURCE_STATES: usize = 4;
const FIXED_POINT_STEPS_MAX: usize = 200;
const FIXED_POINT_TOLERANCE: f64 = 1e-13;
/// Slot voltages below this share of their no-load value cannot carry a constant power.
const COLLAPSE: f64 = 0.05;

/// What an estimator knows about its feeder before any measurement.
#[derive(Debug)]
pub(crate) struct Reduction {
    pub(crate) linear: LinearFeeder,
    pub(crate) slots: Vec<Slot>,
    /// Per usage point: its slots and its share of power on each.
    pub(crate) slots_of: Vec<Vec<(usize, f64)>>,
    /// Response to one ampere per slot, then to one volt per source phase.
    pub(crate) unit: Columns,
    /// Slot voltages per slot current and per source phase.
    a: DMatrix<Complex64>,
}

/// Phasors at the slots for one state.
#[derive(Debug, Clone)]
pub(crate) struct Operating {
    pub(crate) emf: PerPhase<Complex64>,
    power: Vec<Complex64>,
    voltage: Vec<Complex64>,
    pub(crate) current: Vec<Complex64>,
}

impl Reduction {
    /// Propagates one column per slot: O(buses × slots).
    pub(crate) fn new(feeder: &Feeder) -> Self {
        let linear = LinearFeeder::new(feeder);
        let mut slots: Vec<Slot> = Vec::new();
        let mut slots_of = Vec::with_capacity(feeder.taps.len());
        for tap in &feeder.taps {
            let (phases, share) = tap.shares();
            let mut own = Vec::with_capacity(phases.len());
            for &phase in phases {
                let slot = (tap.position, phase);
                let index = slots.iter().position(|known| *known == slot).unwrap_or_else(|| {
                    slots.push(slot);
                    slots.len() - 1
                });
                own.push((index, share));
            }
            slots_of.push(own);
        }
        let width = slots.len() + 3;
        let identity = |rows: usize, first: usize| -> Vec<Complex64> {
            (0..rows * width)
                .map(|at| if at % width == first + at / width { Complex64::ONE } else { Complex64::ZERO })
                .collect()
        };
        let unit =
            linear.propagate(feeder, width, &identity(3, slots.len()), &slots, &identity(slots.len(), 0));
        let a = DMatrix::from_fn(slots.len(), width, |row, col| {
            unit.voltage(slots[row].0, slots[row].1.index())[col]
        });
        Self { linear, slots, slots_of, unit, a }
    }

    /// Number of states: two per usage point and the source's.
    pub(crate) fn states(&self) -> usize {
        2 * self.slots_of.len() + SOURCE_STATES
    }

    /// Solves the slot voltages of a state given in standard deviations from the prior. `None` when the loads
    /// have no solution.
    pub(crate) fn operate(
        &self,
        feeder: &Feeder,
        priors: &[InjectionPrior],
        state: &DVector<f64>,
        start: Option<&Operating>,
    ) -> Option<Operating> {
        let (slots, points) = (self.slots.len(), self.slots_of.len());
        let mut power = vec![Complex64::ZERO; slots];
        for (point, (prior, own)) in priors.iter().zip(&self.slots_of).enumerate() {
            let p = prior.p_w + prior.p_std_w * state[2 * point];
            let q = prior.q_var + prior.q_std_var * state[2 * point + 1];
            for &(slot, share) in own {
                power[slot] += Complex64::new(p, q) * share;
            }
        }
        let source = &state.as_slice()[2 * points..];
        let emf: PerPhase<Complex64> = std::array::from_fn(|phase| {
            let factor = 1.0 + SOURCE_STD_PU * source[0] + SOURCE_UNBALANCE_STD_PU * source[1 + phase];
            feeder.emf[phase] * factor
        });
        let no_load: Vec<Complex64> =
            (0..slots).map(|row| (0..3).map(|p| self.a[(row, slots + p)] * emf[p]).sum()).collect();
        let mut voltage = start.map_or_else(|| no_load.clone(), |start| start.voltage.clone());
        for _ in 0..FIXED_POINT_STEPS_MAX {
            let current = currents(&power, &voltage, &no_load)?;
            let mut next = no_load.clone();
            for (column, current) in current.iter().enumerate() {
                for (row, next) in next.iter_mut().enumerate() {
                    *next += self.a[(row, column)] * current;
                }
            }
            let moved = next.iter().zip(&voltage).map(|(a, b)| (a - b).norm() / b.norm()).fold(0.0, f64::max);
            voltage = next;
            if moved < FIXED_POINT_TOLERANCE {
                let current = currents(&power, &voltage, &no_load)?;
                return Some(Operating { emf, power, voltage, current });
            }
        }
        None
    }

    /// Derivative of slot currents, then source voltages, by the state: real part, imaginary part, each
    /// (slots + 3) × states; columns per standard deviation of the prior.
    pub(crate) fn derivative(
        &self,
        feeder: &Feeder,
        priors: &[InjectionPrior],
        at: &Operating,
    ) -> Option<(DMatrix<f64>, DMatrix<f64>)> {
        let (slots, points, states) = (self.slots.len(), self.slots_of.len(), self.states());
        // d j = g ds* − c dv*, with g = 1/v* and c = s*/v*²; known part first.
        let g: Vec<Complex64> = at.voltage.iter().map(|v| 1.0 / v.conj()).collect();
        let c: Vec<Complex64> = (0..slots).map(|k| at.power[k].conj() * g[k] * g[k]).collect();
        let mut known = DMatrix::from_element(slots + 3, states, Complex64::ZERO);
        for (point, (prior, own)) in priors.iter().zip(&self.slots_of).enumerate() {
            for &(slot, share) in own {
                known[(slot, 2 * point)] += g[slot] * share * prior.p_std_w;
                known[(slot, 2 * point + 1)] += g[slot] * Complex64::new(0.0, -share * prior.q_std_var);
            }
        }
        for phase in 0..3 {
            known[(slots + phase, 2 * points)] = feeder.emf[phase] * SOURCE_STD_PU;
            known[(slots + phase, 2 * points + 1 + phase)] = feeder.emf[phase] * SOURCE_UNBALANCE_STD_PU;
        }
        // dv + B dv* = A known with B = A_j diag(c), split into real and imaginary parts.
        let mut system = DMatrix::identity(2 * slots, 2 * slots);
        for column in 0..slots {
            for row in 0..slots {
                let b = self.a[(row, column)] * c[column];
                system[(row, column)] += b.re;
                system[(row, slots + column)] += b.im;
                system[(slots + row, column)] += b.im;
                system[(slots + row, slots + column)] -= b.re;
            }
        }
        let (a_re, a_im) = (self.a.map(|x| x.re), self.a.map(|x| x.im));
        let (mut re, mut im) = (known.map(|x| x.re), known.map(|x| x.im));
        let mut dv = DMatrix::zeros(2 * slots, states);
        dv.rows_mut(0, slots).copy_from(&(&a_re * &re - &a_im * &im));
        dv.rows_mut(slots, slots).copy_from(&(&a_re * &im + &a_im * &re));
        if slots > 0 && !system.lu().solve_mut(&mut dv) {
            return None;
        }
        for column in 0..states {
            for slot in 0..slots {
                let change = c[slot] * Complex64::new(dv[(slot, column)], -dv[(slots + slot, column)]);
                re[(slot, column)] -= change.re;
                im[(slot, column)] -= change.im;
            }
        }
        Some((re, im))
    }

    /// The rows of the unit response that an observation needs: its phasors, in pairs (V, I) for powers.
    pub(crate) fn rows(&self, feeder: &Feeder, observed: &Observed) -> Vec<Vec<Complex64>> {
        match *observed {
            Observed::Voltage { position, phase } => vec![self.unit.voltage(position, phase).to_vec()],
            Observed::Current { branch, phase } => {
                vec![self.unit.current_entering(feeder, branch, phase, true)]
            }
            Observed::BranchPower { branch, phase, .. } => {
                let below = feeder.below[branch];
                let section = &feeder.sections[below - 1];
                let position = if section.fed_from_from { section.parent } else { below };
                let phases = phase.map_or(0..3, |phase| phase..phase + 1);
                phases
                    .flat_map(|phase| {
                        [
                            self.unit.voltage(position, phase).to_vec(),
                            self.unit.current_entering(feeder, branch, phase, true),
                        ]
                    })
                    .collect()
            }
            Observed::Injection { .. } => Vec::new(),
        }
    }
}

impl Operating {
    /// Slot currents, then source voltages: what the unit response is multiplied with.
    pub(crate) fn excitation(&self) -> Vec<Complex64> {
        self.current.iter().chain(&self.emf).copied().collect()
    }
}

fn currents(power: &[Complex64], voltage: &[Complex64], no_load: &[Complex64]) -> Option<Vec<Complex64>> {
    let one = |((power, voltage), no_load): ((&Complex64, &Complex64), &Complex64)| {
        let alive = voltage.norm() > COLLAPSE * no_load.norm();
        alive.then(|| (power / voltage).conj())
    };
    power.iter().zip(voltage).zip(no_load).map(one).collect()
}
