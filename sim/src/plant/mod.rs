//! The plant: what the real street would do. Homes, vehicles, heat pumps, batteries and roofs live minute by
//! minute; a three-phase power flow turns their loads into voltages and currents.
//!
//! It obeys the same schedules as real devices would, within physical limits, and it is the truth that estimates
//! are compared with. It is deterministic: a scenario and its seed give the same evening on every machine.

mod battery;
mod charger;
mod fleet;
mod heat_pump;
mod history;
mod household;
mod neighbourhood;
mod network;
mod orders;
pub(crate) mod stream;
mod substations;
pub(crate) mod topology;
mod weather;

pub use history::yesterday;
pub use neighbourhood::{PowerByUse, STEP, SlotEnergies};
pub use network::{EUROPEAN_LV, ScenarioNetworkError, changes_in_words, network};

use crate::scenario::Scenario;
use estimation::{Feeder, FlowError, FlowSolution};
use grid::{DeviceId, Timestamp, UsagePointId};
use market::{Activation, ActivationStatus, DeviceReport};
use neighbourhood::Neighbourhood;
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// Why the plant could not go on.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum PlantError {
    /// Minutes must follow each other.
    #[error("the plant stands at {now} and was asked to step to {asked}, one minute later is needed")]
    Order {
        /// Where it stands.
        now: Timestamp,
        /// What was asked for.
        asked: Timestamp,
    },
    /// The grid cannot carry the load.
    #[error("at {at}: {source}")]
    Flow {
        /// When.
        at: Timestamp,
        /// What the solver said.
        source: FlowError,
    },
}

/// Extremes of the present state.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extremes {
    /// Apparent power of the most loaded transformer over its rating.
    pub transformer_loading: f64,
    /// Largest phase current over rating of all lines.
    pub line_loading_max: f64,
    /// Lowest phase-to-neutral voltage of all low-voltage buses, p.u. of the rated value.
    pub u_min_pu: f64,
    /// Highest such voltage, p.u.
    pub u_max_pu: f64,
}

/// The street with its grid, at an instant.
#[derive(Debug, Clone)]
pub struct Plant {
    feeder: Arc<Feeder>,
    street: Neighbourhood,
    flow: FlowSolution,
}

impl Plant {
    /// A plant that stands at the scenario's start and has lived through the days before. `feeder` must be made
    /// from [`network`] of the same scenario.
    pub fn new(scenario: &Scenario, feeder: Arc<Feeder>) -> Result<Self, PlantError> {
        let mut street = Neighbourhood::new(scenario, feeder.network());
        while street.now() < scenario.start {
            street.step();
        }
        let solved = feeder.solve(street.loads_va());
        let flow = solved.map_err(|source| PlantError::Flow { at: street.now(), source })?;
        Ok(Self { feeder, street, flow })
    }

    /// Where it stands: the end of the last minute it lived through.
    pub fn now(&self) -> Timestamp {
        self.street.now()
    }

    /// The feeder.
    pub fn feeder(&self) -> &Arc<Feeder> {
        &self.feeder
    }

    /// Lives through the minute that ends at `minute` and solves the power flow for its mean loads.
    pub fn step(&mut self, minute: Timestamp) -> Result<(), PlantError> {
        self.live(minute)?;
        self.solve()
    }

    fn live(&mut self, minute: Timestamp) -> Result<(), PlantError> {
        if minute != self.now().plus(STEP) {
            return Err(PlantError::Order { now: self.now(), asked: minute });
        }
        self.street.step();
        Ok(())
    }

    fn solve(&mut self) -> Result<(), PlantError> {
        let solved = self.feeder.solve_from(&self.flow, self.street.loads_va());
        self.flow = solved.map_err(|source| PlantError::Flow { at: self.now(), source })?;
        Ok(())
    }

    /// Gives a device a schedule. It obeys slot by slot within its physical limits, or says why it cannot. The
    /// same activation (by name) is answered the same way again and obeyed once.
    pub fn activate(&mut self, activation: &Activation, now: Timestamp) -> ActivationStatus {
        self.street.activate(activation, now)
    }

    /// Lives through the minutes up to `until` with the activations given at their times (those of the minute that
    /// begins at `until` included): how a plant is rebuilt
    /// after a restart. Only the last minute's power flow is solved; the loads do not depend on it. `activations`
    /// must be ascending by time.
    pub fn replay_activations(
        &mut self,
        activations: &[(Timestamp, Activation)],
        until: Timestamp,
    ) -> Result<Vec<ActivationStatus>, PlantError> {
        let mut answers = Vec::new();
        let mut waiting = activations.iter().peekable();
        loop {
            let next = self.now().plus(STEP);
            while let Some((at, activation)) = waiting.next_if(|(at, _)| *at < next) {
                answers.push(self.activate(activation, *at));
            }
            if next > until {
                break;
            }
            self.live(next)?;
        }
        self.solve()?;
        Ok(answers)
    }

    /// What each device says about itself, ascending by device number.
    pub fn device_reports(&self) -> Vec<DeviceReport> {
        self.street.reports()
    }

    /// The devices, ascending by number: the order of [`SlotEnergies::devices_wh`].
    pub fn devices(&self) -> Vec<DeviceId> {
        self.street.devices().iter().map(|device| device.id).collect()
    }

    /// The usage points in the network's order: the order of [`SlotEnergies::usage_points_wh`].
    pub fn usage_points(&self) -> Vec<UsagePointId> {
        self.street.usage_points().collect()
    }

    /// The largest feed-in of the solar roofs behind each connection that has one, W: as an operator's register has it.
    pub fn generators(&self) -> BTreeMap<UsagePointId, f64> {
        self.street.generators()
    }

    /// Truth: voltages, currents and powers of the last minute.
    pub fn flow(&self) -> &FlowSolution {
        &self.flow
    }

    /// Truth: mean apparent power of each usage point in the last minute, VA, in the network's order.
    pub fn loads_va(&self) -> &[Complex64] {
        self.street.loads_va()
    }

    /// Truth: mean power of the last minute by use.
    pub fn power_by_use(&self) -> PowerByUse {
        self.street.by_use()
    }

    /// Truth: mean power of a device in the last minute, W; `None` when there is no such device.
    pub fn device_power_w(&self, device: DeviceId) -> Option<f64> {
        self.street.device_power_w(device)
    }

    /// Truth: the slots finished since the beginning of the history, first one first.
    pub fn finished_slots(&self) -> &[Arc<SlotEnergies>] {
        self.street.finished()
    }

    /// Truth: loading and voltage extremes of the last minute.
    pub fn extremes(&self) -> Extremes {
        let network = self.feeder.network();
        let lines = network.lines().len();
        let largest = |loadings: &mut dyn Iterator<Item = usize>| {
            loadings.filter_map(|branch| self.flow.loading(branch)).fold(0.0, f64::max)
        };
        let mut extremes = Extremes {
            transformer_loading: largest(&mut (lines..self.feeder.branch_count())),
            line_loading_max: largest(&mut (0..lines)),
            u_min_pu: f64::INFINITY,
            u_max_pu: 0.0,
        };
        for (bus, voltages) in network.buses().iter().zip(&self.flow.voltages_v) {
            if bus.u_rated_v < 1000.0 {
                for voltage in voltages {
                    let u_pu = voltage.norm() / (bus.u_rated_v / 3.0_f64.sqrt());
                    extremes.u_min_pu = extremes.u_min_pu.min(u_pu);
                    extremes.u_max_pu = extremes.u_max_pu.max(u_pu);
                }
            }
        }
        extremes
    }
}

#[cfg(test)]
mod tests;
