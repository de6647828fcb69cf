//! What both ways of running need before they start: feeder, area, archive and the picture of the network.

use super::RunError;
use super::scoring::Scorer;
use crate::plant::{self, Plant};
use crate::scenario::Scenario;
use actors::grid_side::region::Archive;
use actors::journal::planned_deviation_w;
use actors::picture::{DeviceKind, NetworkPicture};
use actors::{Area, Device, DsoRules};
use estimation::Feeder;
use grid::{Money, Slot};
use market::{DeviceReport, DeviceState, Ledger, OfferRules, Rules};
use site::network_picture;
use std::sync::Arc;

/// Name of the demo's market area, the second level of every topic.
pub const AREA: &str = "demo";

/// The area's name in topics.
pub(super) fn area_name() -> Result<connectors::Area, grid::IdError> {
    connectors::Area::new(AREA)
}

/// Everything that stands still during a run.
pub struct Setup {
    /// What is run.
    pub scenario: Scenario,
    /// The feeder.
    pub feeder: Arc<Feeder>,
    /// The plant at the scenario's start.
    pub plant: Plant,
    /// The market area.
    pub area: Arc<Area>,
    /// What the meters said in the days before.
    pub archive: Archive,
    /// The network as the page shows it.
    pub network: Arc<NetworkPicture>,
}

impl Setup {
    /// Works it out from a scenario.
    pub fn new(scenario: Scenario) -> Result<Self, RunError> {
        let network = plant::network(&scenario)?;
        let feeder = Arc::new(Feeder::new(&network)?);
        let plant = Plant::new(&scenario, feeder.clone())?;
        let devices: Vec<_> = plant.device_reports().iter().map(registered).collect();
        let notes = plant::changes_in_words(&scenario);
        let picture = network_picture(&network, (&scenario.name, AREA), notes, &devices);
        let rules =
            (Rules { gain_min: GAIN_MIN, ..Rules::default() }, OfferRules::default(), DsoRules::default());
        let mut area = Area::new(AREA, feeder.clone(), devices, rules)?;
        area.know_generators(plant.generators());
        let area = Arc::new(area);
        let archive = Arc::new(plant::yesterday(&scenario, &plant));
        Ok(Self { scenario, feeder, plant, area, archive, network: Arc::new(picture) })
    }

    /// The archive, with what the meters of a rebuilt plant have counted since the scenario's start.
    ///
    /// What was ordered is taken off again: the forecast learns what happens without activation.
    pub fn archive_until(&self, plant: &Plant, ledger: &Ledger) -> Archive {
        let start = self.scenario.start.slot();
        let (points, mut archive) = (plant.usage_points(), self.archive.as_ref().clone());
        for finished in plant.finished_slots().iter().filter(|finished| finished.slot >= start) {
            for (&point, &energy_wh) in points.iter().zip(&finished.usage_points_wh) {
                let ordered_w = planned_deviation_w(ledger, point, finished.slot);
                archive.push((point, finished.slot, energy_wh / Slot::HOURS - ordered_w));
            }
        }
        Arc::new(archive)
    }

    /// Compares what the system says with the truth.
    pub(super) fn scorer(&self) -> Scorer {
        Scorer::new(self.feeder.network().lines().len())
    }

    /// What a journal is bound to: a run is continued only by the same scenario.
    pub fn configuration(&self) -> String {
        serde_json::to_string(&self.scenario).unwrap_or_else(|_| self.scenario.name.clone())
    }
}

/// A device as it is registered for the market, from what it says about itself.
fn registered(report: &DeviceReport) -> Device {
    let (kind, p_max_w) = match &report.state {
        DeviceState::Charger { p_max_w, .. } => (DeviceKind::Charger, *p_max_w),
        DeviceState::Battery { p_charge_max_w, p_discharge_max_w, .. } => {
            (DeviceKind::Battery, p_charge_max_w.max(*p_discharge_max_w))
        }
        // A heat pump reports what it expects to take; no residential unit here takes more than this.
        DeviceState::HeatPump { .. } => (DeviceKind::HeatPump, HEAT_PUMP_MAX_W),
    };
    let DeviceReport { device, prosumer, usage_point, .. } = *report;
    Device { id: device, prosumer, usage_point, kind, p_max_w }
}

/// Five cents: about a tenth of a kilowatt hour at the demo's prices.
const GAIN_MIN: Money = Money(50_000);

/// Largest electrical power of a registered heat pump, back-up heater included, W.
const HEAT_PUMP_MAX_W: f64 = 6_000.0;
