//! The archive: what the meters counted before the scenario begins.

use super::Plant;
use crate::scenario::Scenario;
use grid::{Slot, UsagePointId};

/// Mean power of each usage point in each slot of the `history_days` days before the start, W, ascending by slot: the past of
/// a plant of this scenario, into which it continues.
pub fn yesterday(scenario: &Scenario, plant: &Plant) -> Vec<(UsagePointId, Slot, f64)> {
    let start = scenario.start.slot();
    let first = start.plus(-96 * i64::from(scenario.history_days));
    let usage_points = plant.usage_points();
    let mut archive = Vec::new();
    let before = |slot: Slot| (first..start).contains(&slot);
    for energies in plant.finished_slots().iter().filter(|energies| before(energies.slot)) {
        for (point, energy_wh) in usage_points.iter().zip(&energies.usage_points_wh) {
            archive.push((*point, energies.slot, energy_wh / Slot::HOURS));
        }
    }
    archive
}
