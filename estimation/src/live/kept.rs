//! An estimate that goes on: single values change it, single voltages are read from it, microseconds each.

use super::LiveEstimator;
use super::readings::{LiveReadings, Row};
use crate::circuit::Readings;
use crate::measurement_set::MeasurementSet;
use crate::smoother::{Changed, Smoother};
use grid::telemetry::Element;
use grid::{BusId, PerPhase, PointId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A value as the estimate holds it.
#[derive(Debug, Clone)]
struct Held {
    value: f64,
    /// Readings that it is part of, with the change of theirs (p.u.; active in the first, reactive in the second) that a
    /// change of it by 1 (unit of the point) makes.
    into: Vec<(Changed, (f64, f64))>,
}

/// The state behind an estimate of a region. Values of the points that went into it can change; everything else (other
/// points, other standard deviations, expectations) takes the next estimate.
///
/// What is read after changes is the next estimate but for what they bend: second order in the change.
#[derive(Debug, Clone)]
pub struct KeptEstimate {
    region: Arc<LiveEstimator>,
    pub(super) smoother: Smoother,
    /// What the smoother was made for.
    pub(super) readings: Readings,
    held: BTreeMap<PointId, Held>,
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
            held.insert(item.point, Held { value: item.value, into });
        }
        Self { region, smoother, readings: live.readings, held }
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
            for &(reading, (p, q)) in &held.into {
                self.smoother.change(reading, (p * by, q * by));
            }
        }
        true
    }

    /// Voltage magnitudes of a bus, V by phase; `None` for a bus the estimator does not know.
    pub fn u_v(&mut self, bus: BusId) -> Option<PerPhase<f64>> {
        let number = *self.region.assembly.buses.get(&bus)?;
        let base = self.region.bus(number).u_base_v;
        let found = self.smoother.read(number);
        (found.len() == 3).then(|| std::array::from_fn(|phase| found[phase].norm() * base))
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
