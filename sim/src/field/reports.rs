//! When devices report their state: when it changed, and every five minutes anyway.

use crate::plant::Plant;
use grid::DeviceId;
use market::{DeviceReport, DeviceState};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest silence of a device.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// A smaller change of a stored or needed energy is not worth a message, Wh.
const CHANGE_WH: f64 = 100.0;

/// What each device reported last.
#[derive(Debug, Clone, Default)]
pub struct Reports {
    last: BTreeMap<DeviceId, DeviceReport>,
}

impl Reports {
    /// The reports to be sent now, ascending by device.
    pub fn due(&mut self, plant: &Plant) -> Vec<DeviceReport> {
        let mut due = plant.device_reports();
        due.retain(|report| match self.last.get(&report.device) {
            Some(last) => report.at.since(last.at) >= SILENCE_MAX || changed(&last.state, &report.state),
            None => true,
        });
        for report in &due {
            self.last.insert(report.device, report.clone());
        }
        due
    }
}

fn changed(before: &DeviceState, now: &DeviceState) -> bool {
    match (before, now) {
        (
            DeviceState::Charger { session: s0, energy_needed_wh: e0, .. },
            DeviceState::Charger { session: s1, energy_needed_wh: e1, .. },
        ) => s0 != s1 || (e0 - e1).abs() >= CHANGE_WH || (*e0 > 0.0) != (*e1 > 0.0),
        (DeviceState::Battery { energy_wh: e0, .. }, DeviceState::Battery { energy_wh: e1, .. }) => {
            (e0 - e1).abs() >= CHANGE_WH
        }
        (DeviceState::HeatPump { slots_max: n0, .. }, DeviceState::HeatPump { slots_max: n1, .. }) => {
            n0 != n1
        }
        _ => true,
    }
}
