//! The same evening without flexibility: the plant alone, its devices left to themselves.

use super::RunError;
use crate::plant::Plant;
use crate::scenario::Scenario;
use grid::Timestamp;
use std::time::Duration;

/// True transformer loading at the end of each minute from the scenario's start, where `plant` stands, fraction of the rating.
pub fn loading_without_flexibility(
    scenario: &Scenario,
    mut plant: Plant,
) -> Result<Vec<(Timestamp, f64)>, RunError> {
    let mut loading = Vec::with_capacity(scenario.duration_minutes as usize);
    while plant.now() < scenario.end() {
        plant.step(plant.now().plus(Duration::from_secs(60)))?;
        loading.push((plant.now(), plant.extremes().transformer_loading));
    }
    Ok(loading)
}
