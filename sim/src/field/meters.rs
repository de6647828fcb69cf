//! Smart meters at usage points and meters of devices: they count the energy of each quarter-hour, in whole Wh,
//! and their message arrives late or not at all.

use super::instruments::code;
use crate::plant::stream::{Purpose, happens, stream, uniform};
use crate::plant::{Plant, SlotEnergies};
use crate::scenario::{FieldSettings, Scenario};
use grid::telemetry::Element;
use grid::{DeviceId, Measurement, PointId, Quality, Quantity, Timestamp, UsagePointId};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// After a restart the messages of this last span are sent again: the system may not have kept them.
const REPEATED: Duration = Duration::from_secs(120);

/// The meters and their messages under way.
#[derive(Debug, Clone)]
pub struct Meters {
    usage_points: Vec<UsagePointId>,
    devices: Vec<DeviceId>,
    settings: FieldSettings,
    seed: u64,
    /// How many of the plant's finished slots have been dealt with.
    seen: usize,
    under_way: BTreeMap<(Timestamp, PointId), Measurement>,
}

impl Meters {
    /// Meters of a plant; messages that are still under way when it takes over are sent.
    pub fn new(plant: &Plant, scenario: &Scenario) -> Self {
        let longest = scenario.field.meter_delay_max_s.max(scenario.field.device_meter_delay_max_s);
        let oldest = plant.now().minus(Duration::from_secs(u64::from(longest)) + REPEATED);
        let slots = plant.finished_slots();
        let mut meters = Self {
            usage_points: plant.usage_points(),
            devices: plant.devices(),
            settings: scenario.field.clone(),
            seed: scenario.seed,
            seen: slots.iter().take_while(|energies| energies.slot.end() < oldest).count(),
            under_way: BTreeMap::new(),
        };
        meters.read_new(slots);
        let from = plant.now().minus(REPEATED);
        meters.under_way.retain(|(arrives, _), _| *arrives >= from);
        meters
    }

    /// What arrives by now.
    pub fn due(&mut self, plant: &Plant) -> Vec<Measurement> {
        self.read_new(plant.finished_slots());
        let mut due = Vec::new();
        while let Some(entry) = self.under_way.first_entry() {
            if entry.key().0 > plant.now() {
                break;
            }
            due.push(Measurement { received_at: plant.now(), ..entry.remove() });
        }
        due
    }

    fn read_new(&mut self, slots: &[Arc<SlotEnergies>]) {
        for energies in &slots[self.seen.min(slots.len())..] {
            let meters = self.usage_points.iter().map(|&id| Element::UsagePoint(id));
            let devices = self.devices.iter().map(|&id| Element::Device(id));
            let read = (meters.zip(&energies.usage_points_wh)).chain(devices.zip(&energies.devices_wh));
            for (element, energy_wh) in read {
                let point = PointId { element, quantity: Quantity::SlotEnergy, phase: None };
                let mut rng = stream(self.seed, Purpose::Delivery, code(point), energies.slot.0);
                if let Some(delay) = delay(&mut rng, element, &self.settings) {
                    let measured_at = energies.slot.end();
                    let arrives = measured_at.plus(delay);
                    let value = energy_wh.round();
                    let reading = Measurement {
                        point,
                        value,
                        quality: Quality::Measured,
                        measured_at,
                        received_at: arrives,
                    };
                    self.under_way.insert((arrives, point), reading);
                }
            }
        }
        self.seen = slots.len();
    }
}

/// How long a message takes; `None` when it never arrives.
fn delay(rng: &mut ChaCha8Rng, element: Element, settings: &FieldSettings) -> Option<Duration> {
    let (low_s, high_s, missing) = match element {
        Element::Device(_) => (
            settings.device_meter_delay_min_s,
            settings.device_meter_delay_max_s,
            settings.device_meter_missing,
        ),
        _ => (settings.meter_delay_min_s, settings.meter_delay_max_s, settings.meter_missing),
    };
    if happens(rng, missing) {
        return None;
    }
    Some(Duration::from_secs_f64(uniform(rng, f64::from(low_s), f64::from(high_s)).floor()))
}
