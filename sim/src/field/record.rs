//! What was true, minute by minute: for the figures at the end of a run, and to judge estimates by. Nothing of it
//! is ever sent to the system.

use crate::plant::{Plant, PowerByUse};
use grid::{PerPhase, Timestamp};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// For how many minutes all bus voltages are kept.
const VOLTAGES_KEPT: usize = 120;

/// One minute of truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Minute {
    /// End of the minute.
    pub at: Timestamp,
    /// Apparent power of the transformer over its rating.
    pub transformer_loading: f64,
    /// Largest loading of all lines, phase current over rating.
    pub line_loading_max: f64,
    /// Lowest low-voltage phase voltage, p.u. of the rated value.
    pub u_min_pu: f64,
    /// Highest low-voltage phase voltage, p.u.
    pub u_max_pu: f64,
    /// Active power by what used it, W.
    pub power: PowerByUse,
    /// Active power of each usage point in the network's order, W.
    pub usage_points_w: Vec<f64>,
}

impl Minute {
    /// The last minute of a plant.
    pub fn of(plant: &Plant) -> Self {
        let extremes = plant.extremes();
        Self {
            at: plant.now(),
            transformer_loading: extremes.transformer_loading,
            line_loading_max: extremes.line_loading_max,
            u_min_pu: extremes.u_min_pu,
            u_max_pu: extremes.u_max_pu,
            power: plant.power_by_use(),
            usage_points_w: plant.loads_va().iter().map(|load| load.re).collect(),
        }
    }
}

/// Phase-to-neutral voltage magnitudes of all buses in the network's order, V.
pub type BusVoltages = Arc<[PerPhase<f64>]>;

/// Those of the last minute of a plant.
pub(super) fn voltages_v(plant: &Plant) -> BusVoltages {
    plant.flow().voltages_v.iter().map(|bus| bus.map(|u| u.norm())).collect()
}

#[derive(Debug, Default)]
struct Shared {
    minutes: Vec<Minute>,
    voltages: VecDeque<(Timestamp, BusVoltages)>,
}

/// The record of a run; clones share it. Locked for the length of a copy only, never across a wait.
#[derive(Debug, Clone, Default)]
pub struct FieldLog {
    shared: Arc<Mutex<Shared>>,
}

impl FieldLog {
    /// A poisoned lock is taken over: a push is complete or has not happened.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, minute: Minute, voltages: BusVoltages) {
        let mut shared = self.shared();
        if shared.voltages.len() == VOLTAGES_KEPT {
            shared.voltages.pop_front();
        }
        shared.voltages.push_back((minute.at, voltages));
        shared.minutes.push(minute);
    }

    /// All minutes so far, ascending.
    pub fn minutes(&self) -> Vec<Minute> {
        self.shared().minutes.clone()
    }

    /// The last minute.
    pub fn last(&self) -> Option<Minute> {
        self.shared().minutes.last().cloned()
    }

    /// True voltages of a minute, by its end; the last two hours are kept.
    pub fn voltages_v(&self, at: Timestamp) -> Option<BusVoltages> {
        let shared = self.shared();
        let place = shared.voltages.binary_search_by_key(&at, |(at, _)| *at).ok()?;
        shared.voltages.get(place).map(|(_, voltages)| voltages.clone())
    }
}
