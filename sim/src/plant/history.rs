//! The archive: what the meters counted before the scenario begins.

use super::neighbourhood::Neighbourhood;
use super::network::{ScenarioNetworkError, network};
use crate::scenario::Scenario;
use grid::{Slot, UsagePointId};

/// Mean power of each usage point in each slot of the `history_days` days before the start, W, ascending by slot.
/// It is the past of the very plant that [`super::Plant::new`] makes, so it continues into the scenario.
pub fn yesterday(scenario: &Scenario) -> Result<Vec<(UsagePointId, Slot, f64)>, ScenarioNetworkError> {
    let network = network(scenario)?;
    let mut street = Neighbourhood::new(scenario, &network);
    while street.now() < scenario.start {
        street.step();
    }
    let first = scenario.start.slot().plus(-96 * i64::from(scenario.history_days));
    let usage_points: Vec<UsagePointId> = street.usage_points().collect();
    let mut archive = Vec::new();
    for energies in street.finished().iter().filter(|energies| energies.slot >= first) {
        for (point, energy_wh) in usage_points.iter().zip(&energies.usage_points_wh) {
            archive.push((*point, energies.slot, energy_wh / Slot::HOURS));
        }
    }
    Ok(archive)
}
