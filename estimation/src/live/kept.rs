//! An estimate that goes on: single values change it, single voltages are read from it, microseconds each.

use super::LiveEstimator;
use super::readings::{LiveReadings, Row};
use crate::circuit::Readings;
use crate::measurement_set::MeasurementSet;
use crate::smoother::{Changed, Smoother};
use crate::solve::Tolerance;
use grid::telemetry::Element;
use grid::{BusId, PerPhase, PointId};
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far a voltage may have moved, p.u., for what single walks tell: what they leave out is the square of it, a tenth of
/// what class 0.1 instruments are off.
const MOVED_MAX_PU: f64 = 0.01;
/// A value that moved by more of its standard deviations is looked after where it was measured.
const FAR: f64 = 3.0;
/// Most whole steps of one change: what takes more waits for the next estimate.
const STEPS_MAX: usize = 12;

/// A value as the estimate holds it.
#[derive(Debug, Clone)]
struct Held {
    value: f64,
    /// What it was when the state was calculated, and its standard deviation.
    at_state: f64,
    sigma: f64,
    /// Readings that it is part of, with the change of theirs (p.u.; active in the first, reactive in the second) that a
    /// change of it by 1 (unit of the point) makes.
    into: Vec<(Changed, (f64, f64))>,
}

/// The state behind an estimate of a region. Values of the points that went into it can change; everything else (other
/// points, other standard deviations, expectations) takes the next estimate.
///
/// What is read after changes is the next estimate but for what they bend: second order in the change. Where they move a
/// voltage by more than [`MOVED_MAX_PU`], whole steps find the new state and the factors there; where these do not settle,
/// nothing can be read until the next estimate.
#[derive(Debug, Clone)]
pub struct KeptEstimate {
    region: Arc<LiveEstimator>,
    pub(super) smoother: Smoother,
    /// What the smoother was made for.
    pub(super) readings: Readings,
    held: BTreeMap<PointId, Held>,
    /// Voltages of the state, p.u. by global wire.
    state: Vec<Complex64>,
    /// Whether whole steps did not settle.
    lost: bool,
}

impl KeptEstimate {
    pub(super) fn new(
        region: Arc<LiveEstimator>,
        set: &MeasurementSet,
        live: LiveReadings,
        smoother: Smoother,
    ) -> Self {
        let mut held = BTreeMap::new();
        for ((item, row), entry) in set.values.iter().zip(&live.rows).zip(&live.entries) {
            let into = region.readings_of(*row, *entry, &live);
            let (value, sigma) = (item.value, live.doubt * item.sigma);
            held.insert(item.point, Held { value, at_state: value, sigma, into });
        }
        let state = smoother.voltages();
        Self { region, smoother, readings: live.readings, held, state, lost: false }
    }

    /// Whether it is an estimate of this region.
    pub(super) fn is_of(&self, region: &LiveEstimator) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.region), region)
    }

    /// Takes a new value of a point, in its unit. `false`: the point is not part of the estimate, or the value is no
    /// number; nothing changed.
    pub fn take(&mut self, point: PointId, value: f64) -> bool {
        let Some(held) = self.held.get_mut(&point).filter(|_| value.is_finite()) else { return false };
        let by = value - held.value;
        if by != 0.0 {
            held.value = value;
            let far = (value - held.at_state).abs() > FAR * held.sigma;
            for &(reading, (p, q)) in &held.into {
                let by = (p * by, q * by);
                change(&mut self.readings, reading, by);
                if !self.lost {
                    self.smoother.change(reading, by);
                }
            }
            if far && let Some(bus) = self.region.bus_of(point) {
                self.u_v(bus);
            }
        }
        true
    }

    /// Voltage magnitudes of a bus, V by phase; `None` for a bus the estimator does not know, and for all of them when
    /// values moved the state to where no steps settle: the next estimate tells then.
    pub fn u_v(&mut self, bus: BusId) -> Option<PerPhase<f64>> {
        let number = *self.region.assembly.buses.get(&bus)?;
        let base = self.region.bus(number).u_base_v;
        if self.lost {
            return None;
        }
        let mut found = self.smoother.read(number);
        let before = &self.state[self.region.assembly.circuit.wires(number)];
        let near = |(now, before): (&Complex64, &Complex64)| (now - before).norm() <= MOVED_MAX_PU;
        if !found.iter().zip(before).all(near) {
            self.go_there()?;
            found = self.smoother.read(number);
        }
        (found.len() == 3).then(|| std::array::from_fn(|phase| found[phase].norm() * base))
    }

    /// Whole steps to the state of the values as they are, and the factors there.
    fn go_there(&mut self) -> Option<()> {
        let tolerance = Tolerance { iterations_max: STEPS_MAX, ..Tolerance::default() };
        self.smoother.set_values(&self.readings);
        let settled = self.smoother.settle_kept(tolerance).and_then(|_| self.smoother.renew_factors());
        self.lost = settled.is_err();
        self.state = self.smoother.voltages();
        for held in self.held.values_mut() {
            held.at_state = held.value;
        }
        settled.ok()
    }
}

/// Enters a change into the readings, as [`Smoother::change`] does into the smoother.
fn change(readings: &mut Readings, reading: Changed, (p, q): (f64, f64)) {
    match reading {
        Changed::Voltage(at) => readings.voltages[at as usize].magnitude += p,
        Changed::Injection(at) => readings.injections[at as usize].s += Complex64::new(p, q),
        Changed::Power(at) => readings.powers[at as usize].s += Complex64::new(p, q),
        Changed::Current(at) => readings.currents[at as usize].magnitude += p,
    }
}

/// Where a value entered: the index among the readings of its kind, or its weight in the belief about a usage point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Entry {
    Reading(u32),
    /// Change of the believed power, W or var, by a change of the value by 1.
    Belief(f64),
}

impl LiveEstimator {
    /// The readings a value is part of.
    fn readings_of(&self, row: Row, entry: Entry, live: &LiveReadings) -> Vec<(Changed, (f64, f64))> {
        let base = self.assembly.circuit.s_base_va;
        match (row, entry) {
            (Row::Voltage { bus, .. }, Entry::Reading(index)) => {
                vec![(Changed::Voltage(index), (1.0 / self.bus(bus).u_base_v, 0.0))]
            }
            (Row::Current { place, .. }, Entry::Reading(index)) => {
                vec![(Changed::Current(index), (1.0 / self.i_base_a(place), 0.0))]
            }
            (Row::Power { reactive, .. }, Entry::Reading(index)) => {
                vec![(Changed::Power(index), part(1.0 / base, reactive))]
            }
            (Row::Injection { usage_point, reactive, .. }, Entry::Belief(weight)) => live
                .injections_of
                .get(usage_point)
                .into_iter()
                .flatten()
                .map(|&(index, share)| (Changed::Injection(index), part(weight * share / base, reactive)))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// The bus at which a point is measured, for those who want to see what its change did.
    pub fn bus_of(&self, point: PointId) -> Option<BusId> {
        let feeder = &self.feeder;
        match point.element {
            Element::Bus(bus) => Some(bus),
            Element::UsagePoint(id) => {
                let found = feeder.network().usage_points().get(feeder.usage_point_position(id)?)?;
                Some(found.bus)
            }
            Element::Device(_) => None,
            Element::Branch(branch) => Some(feeder.branch(feeder.branch_position(branch)?)?.from()),
        }
    }
}

fn part(by: f64, reactive: bool) -> (f64, f64) {
    if reactive { (0.0, by) } else { (by, 0.0) }
}
