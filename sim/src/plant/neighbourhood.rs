//! All homes of the street, living through one minute after the other; the grid is not known here.

use super::fleet::{Device, Home, Kind, settle};
use super::household::day_profile;
use super::orders::Orders;
use super::weather::{Weather, day_of};
use crate::scenario::Scenario;
use grid::{DeviceId, Network, Slot, Timestamp, UsagePointId};
use market::{Activation, ActivationId, ActivationStatus, DeviceReport};
use num_complex::Complex64;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The step of all models.
pub const STEP: Duration = Duration::from_secs(60);
const STEP_H: f64 = 1.0 / 60.0;
/// How much of household demand stays in the building as heat.
const GAIN_SHARE: f64 = 0.8;
/// tan φ of chargers, batteries and solar inverters, and of heat pumps (power factors 0.99 and 0.95).
const TAN_PHI_CHARGER: f64 = 0.142;
const TAN_PHI_HEAT_PUMP: f64 = 0.329;

/// What the meters counted in one finished slot, Wh; positive is taken from the grid.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotEnergies {
    /// Which slot.
    pub slot: Slot,
    /// One value per usage point, in the network's order.
    pub usage_points_wh: Vec<f64>,
    /// One value per device, ascending by device number.
    pub devices_wh: Vec<f64>,
}

/// Mean power of the last minute by what used it, W; positive is taken from the grid.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PowerByUse {
    /// Households without the devices below.
    pub household_w: f64,
    /// Chargers.
    pub charger_w: f64,
    /// Heat pumps.
    pub heat_pump_w: f64,
    /// Batteries; negative when they discharge.
    pub battery_w: f64,
    /// Solar roofs; negative or zero.
    pub photovoltaic_w: f64,
}

impl PowerByUse {
    /// Their sum, W.
    pub fn total_w(&self) -> f64 {
        self.household_w + self.charger_w + self.heat_pump_w + self.battery_w + self.photovoltaic_w
    }
}

/// All homes and their devices. What does not change any more is shared by its clones.
#[derive(Debug, Clone)]
pub(crate) struct Neighbourhood {
    seed: u64,
    tan_phi: f64,
    homes: Vec<Home>,
    devices: Vec<Device>,
    weather: Weather,
    now: Timestamp,
    profiles: (i64, Arc<Vec<Vec<f64>>>),
    answers: BTreeMap<ActivationId, ActivationStatus>,
    loads_va: Vec<Complex64>,
    by_use: PowerByUse,
    present: SlotEnergies,
    finished: Vec<Arc<SlotEnergies>>,
}

impl Neighbourhood {
    /// Starts on the midnight `history_days` days before the scenario, and one day more for everything to settle.
    pub(crate) fn new(scenario: &Scenario, network: &Network) -> Self {
        let (homes, devices) = settle(scenario, network);
        let first_day = day_of(scenario.start) - i64::from(scenario.history_days) - 1;
        let now = Timestamp::from_seconds(first_day * 86_400);
        let present = SlotEnergies {
            slot: now.slot(),
            usage_points_wh: vec![0.0; homes.len()],
            devices_wh: vec![0.0; devices.len()],
        };
        Self {
            seed: scenario.seed,
            tan_phi: scenario.grid.power_factor.acos().tan(),
            weather: Weather::new(&scenario.weather, scenario.seed, now),
            now,
            profiles: (i64::MIN, Arc::default()),
            answers: BTreeMap::new(),
            loads_va: vec![Complex64::default(); homes.len()],
            by_use: PowerByUse::default(),
            present,
            finished: Vec::new(),
            homes,
            devices,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }

    /// Mean apparent power of each usage point in the last minute, VA.
    pub(crate) fn loads_va(&self) -> &[Complex64] {
        &self.loads_va
    }

    pub(crate) fn by_use(&self) -> PowerByUse {
        self.by_use
    }

    /// Peak power of each solar roof, W.
    pub(crate) fn generators(&self) -> BTreeMap<UsagePointId, f64> {
        let roofs = self.homes.iter().filter(|home| home.pv_peak_w > 0.0);
        roofs.map(|home| (home.usage_point, home.pv_peak_w)).collect()
    }

    /// All finished slots, first one first.
    pub(crate) fn finished(&self) -> &[Arc<SlotEnergies>] {
        &self.finished
    }

    pub(crate) fn usage_points(&self) -> impl Iterator<Item = UsagePointId> + '_ {
        self.homes.iter().map(|home| home.usage_point)
    }

    pub(crate) fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Lives through one minute.
    pub(crate) fn step(&mut self) {
        let begin = self.now;
        self.weather.turn_to(begin);
        let day = day_of(begin);
        if self.profiles.0 != day {
            let profile = |home: &Home| day_profile(self.seed, home.owner, day, home.size);
            self.profiles = (day, Arc::new(self.homes.iter().map(profile).collect()));
        }
        self.step_homes(begin);
        self.step_devices(begin);
        for (energy_wh, load) in self.present.usage_points_wh.iter_mut().zip(&self.loads_va) {
            *energy_wh += load.re * STEP_H;
        }
        self.now = begin.plus(STEP);
        if self.now.slot() != self.present.slot {
            self.finish_slot();
        }
    }

    fn step_homes(&mut self, begin: Timestamp) {
        let minute = (begin.seconds().rem_euclid(86_400) / 60) as usize;
        let irradiance_w_m2 = self.weather.irradiance_w_m2(begin);
        self.by_use = PowerByUse::default();
        for ((home, profile), load) in self.homes.iter().zip(self.profiles.1.iter()).zip(&mut self.loads_va) {
            let household_w = profile.get(minute).copied().unwrap_or(0.0);
            // Performance ratio 0.85; the horizontal irradiance stands for the roof's.
            let pv_w = -home.pv_peak_w * 0.85 * irradiance_w_m2 / 1000.0;
            self.by_use.household_w += household_w;
            self.by_use.photovoltaic_w += pv_w;
            *load = Complex64::new(household_w + pv_w, household_w * self.tan_phi);
        }
    }

    fn step_devices(&mut self, begin: Timestamp) {
        let minute = (begin.seconds().rem_euclid(86_400) / 60) as usize;
        for device in &mut self.devices {
            let taken_wh = device.taken_wh;
            let (p_w, tan_phi, sum_w) = match &mut device.kind {
                Kind::Charger(charger) => {
                    let p_w = charger.step(begin, &mut device.orders, taken_wh);
                    (p_w, TAN_PHI_CHARGER, &mut self.by_use.charger_w)
                }
                Kind::Battery(battery) => {
                    let p_w = battery.step(begin, &device.orders, taken_wh);
                    (p_w, 0.0, &mut self.by_use.battery_w)
                }
                Kind::HeatPump(pump) => {
                    let profile = self.profiles.1.get(device.home);
                    let gains_w = GAIN_SHARE * profile.and_then(|p| p.get(minute)).copied().unwrap_or(0.0);
                    let p_w = pump.step(begin, &self.weather, gains_w, &device.orders, taken_wh);
                    (p_w, TAN_PHI_HEAT_PUMP, &mut self.by_use.heat_pump_w)
                }
            };
            *sum_w += p_w;
            device.p_w = p_w;
            device.taken_wh += p_w * STEP_H;
            self.loads_va[device.home] += Complex64::new(p_w, p_w * tan_phi);
        }
    }

    fn finish_slot(&mut self) {
        for (device, energy_wh) in self.devices.iter_mut().zip(&mut self.present.devices_wh) {
            *energy_wh = std::mem::take(&mut device.taken_wh);
            device.orders.forget_before(self.now.slot());
        }
        let next = SlotEnergies {
            slot: self.now.slot(),
            usage_points_wh: vec![0.0; self.homes.len()],
            devices_wh: vec![0.0; self.devices.len()],
        };
        self.finished.push(Arc::new(std::mem::replace(&mut self.present, next)));
    }

    /// Gives a device a schedule. The same name is answered the same way and obeyed once.
    pub(crate) fn activate(&mut self, activation: &Activation, now: Timestamp) -> ActivationStatus {
        if let Some(answer) = self.answers.get(&activation.id) {
            return answer.clone();
        }
        let reason = self.refusal(activation, now);
        if reason.is_none()
            && let Some(device) = self.devices.iter_mut().find(|device| device.id == activation.device)
        {
            device.orders.accept(activation);
        }
        let answer = ActivationStatus {
            activation: activation.id.clone(),
            device: activation.device,
            accepted: reason.is_none(),
            reason,
            at: now,
        };
        self.answers.insert(activation.id.clone(), answer.clone());
        answer
    }

    fn refusal(&self, activation: &Activation, now: Timestamp) -> Option<String> {
        let Some(device) = self.devices.iter().find(|device| device.id == activation.device) else {
            return Some(format!("there is no device {}", activation.device));
        };
        let schedule = &activation.schedule;
        if schedule.energies.is_empty() {
            return Some("the schedule is empty".to_owned());
        }
        let (slots, latest) = (schedule.energies.len() as i64, now.slot().plus(96 * 7));
        if schedule.start > latest || slots > 96 * 7 {
            return Some(format!("the schedule reaches further than {latest}"));
        }
        if schedule.start.plus(slots) <= now.slot() {
            return Some(format!("the schedule ended before {now}"));
        }
        match &device.kind {
            Kind::Charger(charger) => charger.refusal(activation, now),
            Kind::Battery(battery) => battery.refusal(activation),
            Kind::HeatPump(pump) => pump.refusal(activation),
        }
    }

    /// What each device says about itself, ascending by device number.
    pub(crate) fn reports(&self) -> Vec<DeviceReport> {
        let report = |device: &Device| DeviceReport {
            device: device.id,
            prosumer: self.homes[device.home].prosumer,
            usage_point: self.homes[device.home].usage_point,
            at: self.now,
            state: self.state(device, &device.orders),
        };
        self.devices.iter().map(report).collect()
    }

    fn state(&self, device: &Device, orders: &Orders) -> market::DeviceState {
        match &device.kind {
            Kind::Charger(charger) => charger.state(self.now),
            Kind::Battery(battery) => battery.state(),
            Kind::HeatPump(pump) => pump.state(self.now, &self.weather, orders, device.taken_wh),
        }
    }

    /// Mean power of a device in the last minute, W.
    pub(crate) fn device_power_w(&self, id: DeviceId) -> Option<f64> {
        self.devices.iter().find(|device| device.id == id).map(|device| device.p_w)
    }
}
