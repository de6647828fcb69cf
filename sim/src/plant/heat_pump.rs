//! A modulating (inverter) air-source heat pump that heats a building of one thermal resistance and one capacity.
//!
//! * Building: C dT/dt = H (T_out − T) + Q + gains. H is such that the rated heat just holds the setpoint at the
//!   design temperature of −4 °C (design practice in the English midlands); the time constant C/H of 35 to 60 h is
//!   that of masonry houses.
//! * Efficiency: COP = 0.85 (6.08 − 0.09 ΔT + 0.0005 ΔT²), air source, ΔT from outdoor air to a 40 °C flow
//!   (Ruhnau, Hirth, Praktiknjo: "Time series of heat demand and heat pump efficiency", Scientific Data 6 (2019) 189).
//! * Control: holding power plus a proportional part that reaches the rated power at the edge of a thermostat band
//!   of 1 K. A building that was throttled is colder, so the pump catches up afterwards.

use super::orders::{Orders, power_for_target_w};
use super::stream::{Purpose, stream, uniform};
use super::weather::{Air, Weather};
use crate::scenario::HeatPumps;
use grid::{Slot, Timestamp};
use market::{Activation, DeviceState};
use std::time::Duration;

const MINUTE_H: f64 = 1.0 / 60.0;
const DESIGN_C: f64 = -4.0;
const FLOW_C: f64 = 40.0;
const BAND_K: f64 = 1.0;
/// How far below the day's setpoint comfort ends, K.
const COMFORT_K: f64 = 1.5;
/// The gains the controller reckons with, W.
const GAINS_EXPECTED_W: f64 = 350.0;
/// How many slots it looks ahead.
const EXPECTED_SLOTS: usize = 16;
/// The least fraction of the expected power it offers to run at.
const FRACTION_MIN: f64 = 0.4;
/// The longest throttling it offers, slots.
const SLOTS_MAX: u32 = 8;

/// A heat pump and its building.
#[derive(Debug, Clone)]
pub(crate) struct HeatPump {
    p_rated_w: f64,
    loss_w_per_k: f64,
    capacity_wh_per_k: f64,
    day_c: f64,
    evening_from_h: f64,
    evening_to_h: f64,
    indoor_c: f64,
}

/// Heat out over electricity in.
pub(super) fn cop(outdoor_c: f64) -> f64 {
    let lift = (FLOW_C - outdoor_c).clamp(15.0, 60.0);
    0.85 * (6.08 - 0.09 * lift + 0.0005 * lift * lift)
}

impl HeatPump {
    pub(crate) fn new(settings: &HeatPumps, seed: u64, owner: u64) -> Self {
        let mut rng = stream(seed, Purpose::HeatPump, owner, 0);
        let p_rated_w = uniform(&mut rng, settings.p_min_w, settings.p_max_w);
        let day_c = uniform(&mut rng, 19.0, 20.5);
        let loss_w_per_k = p_rated_w * cop(DESIGN_C) / (day_c - DESIGN_C);
        Self {
            p_rated_w,
            loss_w_per_k,
            capacity_wh_per_k: loss_w_per_k * uniform(&mut rng, 35.0, 60.0),
            day_c,
            evening_from_h: uniform(&mut rng, 16.0, 18.5),
            evening_to_h: uniform(&mut rng, 21.5, 23.0),
            indoor_c: day_c,
        }
    }

    /// Lives through one minute and answers its mean power, W.
    pub(crate) fn step(
        &mut self,
        begin: Timestamp,
        weather: &Weather,
        gains_w: f64,
        orders: &Orders,
        taken_wh: f64,
    ) -> f64 {
        self.live(begin, weather.air(begin), gains_w, orders.target_wh(begin.slot()), taken_wh)
    }

    /// A minute in this air, with the energy that is ordered for its slot, Wh.
    #[inline]
    fn live(
        &mut self,
        begin: Timestamp,
        air: Air,
        gains_w: f64,
        target_wh: Option<f64>,
        taken_wh: f64,
    ) -> f64 {
        let p_w = match target_wh {
            Some(target_wh) if self.indoor_c > self.day_c - COMFORT_K => {
                power_for_target_w(target_wh, taken_wh, begin).clamp(0.0, self.p_rated_w)
            }
            _ => self.default_w(air),
        };
        let heat_w = self.loss_w_per_k * (air.outdoor_c - self.indoor_c) + p_w * air.cop + gains_w;
        self.indoor_c += heat_w * MINUTE_H / self.capacity_wh_per_k;
        p_w
    }

    /// Setpoint, °C: half a kelvin more in the evening, 1.5 K less at night.
    fn setpoint_c(&self, hour: f64) -> f64 {
        if (self.evening_from_h..self.evening_to_h).contains(&hour) {
            self.day_c + 0.5
        } else if hour < 5.0 || hour >= self.evening_to_h {
            self.day_c - 1.5
        } else {
            self.day_c
        }
    }

    fn default_w(&self, air: Air) -> f64 {
        let setpoint_c = self.setpoint_c(air.hour);
        let hold_w = (self.loss_w_per_k * (setpoint_c - air.outdoor_c) - GAINS_EXPECTED_W) / air.cop;
        let correct_w = self.p_rated_w * (setpoint_c - self.indoor_c) / BAND_K;
        (hold_w + correct_w).clamp(0.0, self.p_rated_w)
    }

    /// Mean power of each of the next slots without a further activation, W.
    fn expected_w(&self, now: Timestamp, weather: &Weather, orders: &Orders, taken_wh: f64) -> Vec<f64> {
        let mut ahead = self.clone();
        let (mut at, first) = (now, now.slot().plus(1));
        let mut taken_wh = taken_wh;
        while at < first.start() {
            taken_wh += ahead.step(at, weather, GAINS_EXPECTED_W, orders, taken_wh) * MINUTE_H;
            at = at.plus(Duration::from_secs(60));
        }
        let mut slot_mean_w = |slot: Slot| {
            let (mut taken_wh, target_wh) = (0.0, orders.target_wh(slot));
            for minute in 0..15 {
                let begin = slot.start().plus(Duration::from_secs(60 * minute));
                let air = weather.air(begin);
                taken_wh += ahead.live(begin, air, GAINS_EXPECTED_W, target_wh, taken_wh) * MINUTE_H;
            }
            taken_wh / Slot::HOURS
        };
        (0..EXPECTED_SLOTS as i64).map(|count| slot_mean_w(first.plus(count))).collect()
    }

    pub(crate) fn state(
        &self,
        now: Timestamp,
        weather: &Weather,
        orders: &Orders,
        taken_wh: f64,
    ) -> DeviceState {
        let p_expected_w = self.expected_w(now, weather, orders, taken_wh);
        let mean_w = p_expected_w.iter().sum::<f64>() / p_expected_w.len().max(1) as f64;
        let missing_heat_wh = (1.0 - FRACTION_MIN) * mean_w * weather.air(now).cop * Slot::HOURS;
        let slots = self.reserve_k() * self.capacity_wh_per_k / missing_heat_wh.max(1.0);
        DeviceState::HeatPump {
            p_expected_w,
            fraction_min: FRACTION_MIN,
            slots_max: slots.floor().clamp(0.0, f64::from(SLOTS_MAX)) as u32,
        }
    }

    /// How much colder the building may become, K.
    fn reserve_k(&self) -> f64 {
        self.indoor_c - (self.day_c - COMFORT_K)
    }

    /// Why a schedule is impossible, if it is.
    pub(crate) fn refusal(&self, activation: &Activation) -> Option<String> {
        if activation.schedule.energies.iter().any(|energy| energy.0 < 0) {
            return Some("a heat pump cannot give energy back".to_owned());
        }
        (self.reserve_k() <= 0.0)
            .then(|| format!("the building is at {:.1} °C, too cold to wait", self.indoor_c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use grid::{DeviceId, EnergyMwh};
    use market::{ActivationId, ContractId, FlexOfferId, Schedule};

    /// Runs from midnight; answers the mean power per slot of the day, W, and the indoor temperatures.
    fn day(orders: &Orders) -> (Vec<f64>, Vec<f64>) {
        let scenario = Scenario::first_light().unwrap();
        let midnight: Timestamp = "2026-01-15T00:00:00Z".parse().unwrap();
        let weather = Weather::new(&scenario.weather, 7, midnight);
        let mut pump = HeatPump::new(&scenario.heat_pumps, 7, 1);
        let (mut powers, mut temperatures) = (Vec::new(), Vec::new());
        for slot in 0..96 {
            let mut taken_wh = 0.0;
            for minute in 0..15 {
                let begin = midnight.plus(Duration::from_secs(900 * slot + 60 * minute));
                taken_wh += pump.step(begin, &weather, 350.0, orders, taken_wh) * MINUTE_H;
            }
            powers.push(taken_wh / Slot::HOURS);
            temperatures.push(pump.indoor_c);
        }
        (powers, temperatures)
    }

    #[test]
    fn a_throttled_building_is_colder_and_catches_up() {
        let (default_w, default_c) = day(&Orders::default());
        assert!(default_c.iter().all(|c| (17.0..22.0).contains(c)), "{default_c:.1?}");
        let start: Timestamp = "2026-01-15T17:00:00Z".parse().unwrap();
        let (first, count) = (68, 6);
        let half_wh = |p_w: &f64| EnergyMwh::from_watt_hours(0.4 * p_w * Slot::HOURS).unwrap();
        let activation = Activation {
            id: ActivationId::new("a").unwrap(),
            device: DeviceId(1),
            offer: FlexOfferId::new("o").unwrap(),
            contract: ContractId::new("c").unwrap(),
            schedule: Schedule {
                start: start.slot(),
                energies: default_w[first..first + count].iter().map(half_wh).collect(),
            },
            replaces_from: start.slot(),
        };
        let mut orders = Orders::default();
        orders.accept(&activation);
        let (throttled_w, throttled_c) = day(&orders);
        assert!((throttled_w[first] - 0.4 * default_w[first]).abs() < 1.0);
        assert!(throttled_c[first + count] < default_c[first + count] - 0.1);
        let energy = |powers: &[f64]| powers[first + count..].iter().sum::<f64>();
        assert!(energy(&throttled_w) > energy(&default_w) + 100.0, "no rebound");
    }

    #[test]
    fn what_it_expects_is_what_it_does() {
        let (default_w, _) = day(&Orders::default());
        let scenario = Scenario::first_light().unwrap();
        let midnight: Timestamp = "2026-01-15T00:00:00Z".parse().unwrap();
        let weather = Weather::new(&scenario.weather, 7, midnight);
        let mut pump = HeatPump::new(&scenario.heat_pumps, 7, 1);
        for minute in 0..15 {
            let begin = midnight.plus(Duration::from_secs(60 * minute));
            pump.step(begin, &weather, 350.0, &Orders::default(), 0.0);
        }
        let expected =
            pump.expected_w(midnight.plus(Duration::from_secs(900)), &weather, &Orders::default(), 0.0);
        for (expected_w, did_w) in expected.iter().zip(&default_w[2..]) {
            assert!((expected_w - did_w).abs() < 1e-6);
        }
    }

    #[test]
    fn it_gets_less_out_of_cold_air() {
        assert!(cop(-5.0) < cop(7.0));
        assert!((2.0..3.2).contains(&cop(-2.0)), "{}", cop(-2.0));
    }
}
