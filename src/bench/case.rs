//! A case: the network with its sensors, and scenarios of new values.

use super::meter::timed;
use crate::Failure;
use anyhow::Context;
use connectors::power_grid_model::{self, Batch, Input};
use estimation::assembly::Assembly;
use estimation::circuit::{LoadPort, Readings};
use estimation::gathering::gather;
use grid::network::NetworkParts;
use grid::{Network, Sensor};
use std::path::Path;

/// Scenarios that are measured at most.
const SCENARIOS_MAX: usize = 64;

/// A case that was read.
pub struct Case {
    pub name: String,
    pub network: Network,
    pub sensors: Vec<Sensor>,
    pub read_ms: f64,
    input: Input,
    batch: Batch,
}

impl Case {
    /// Reads a folder.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("input.json");
        let (read_ms, input) = timed(|| power_grid_model::read_path(&path));
        let input = input.map_err(|error| Failure::Input(error.into()))?;
        let batch = power_grid_model::read_update_path(&folder.join("update.json"));
        let batch = batch.map_err(|error| Failure::Input(error.into()))?;
        let network = input.network().map_err(|error| Failure::Input(error.into()))?;
        let sensors = input.sensors.clone();
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { name, network, sensors, read_ms, input, batch })
    }

    /// The parts of the network.
    pub fn parts(&self) -> NetworkParts {
        self.input.parts.clone()
    }

    /// The load ports of every scenario.
    pub fn ports(&self, symmetric: bool) -> Result<Vec<Vec<LoadPort>>, Failure> {
        self.each(|network, _| Ok(assemble(network, symmetric)?.circuit.ports))
    }

    /// The readings of every scenario.
    pub fn readings(&self, symmetric: bool) -> Result<Vec<Readings>, Failure> {
        let assembly = assemble(&self.network, symmetric)?;
        self.each(|network, sensors| read_off(&assembly, network, sensors))
    }

    fn each<T>(&self, make: impl Fn(&Network, &[Sensor]) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
        let mut made = Vec::new();
        for (number, changes) in self.batch.scenarios.iter().enumerate().take(SCENARIOS_MAX) {
            let mut input = self.input.clone();
            let applied = input.apply(changes).and_then(|()| input.network());
            let network = applied.with_context(|| format!("update.json, scenario {number}"));
            made.push(make(&network.map_err(Failure::Input)?, &input.sensors)?);
        }
        Ok(made)
    }
}

/// The equations of a network.
pub fn assemble(network: &Network, symmetric: bool) -> Result<Assembly, Failure> {
    Assembly::new(network, symmetric).map_err(|error| Failure::Input(error.into()))
}

/// Sensors as readings.
pub fn read_off(assembly: &Assembly, network: &Network, sensors: &[Sensor]) -> Result<Readings, Failure> {
    Ok(gather(assembly, network, sensors).map_err(|error| Failure::Input(error.into()))?.readings)
}
