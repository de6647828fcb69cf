//! A stationary battery: rests unless it is told otherwise. Losses are split evenly between charging and
//! discharging (√η each); converter idle losses are left out.

use super::orders::{Orders, power_for_target_w};
use super::stream::{Purpose, stream, uniform};
use crate::scenario::Batteries;
use grid::Timestamp;
use market::{Activation, DeviceState};

const MINUTE_H: f64 = 1.0 / 60.0;
/// Below this there is nothing worth discharging, Wh.
const EMPTY_WH: f64 = 10.0;

/// A battery with its converter.
#[derive(Debug, Clone)]
pub(crate) struct Battery {
    settings: Batteries,
    /// √η: what is left after one way.
    one_way: f64,
    stored_wh: f64,
}

impl Battery {
    /// It starts between 60 and 100 % full.
    pub(crate) fn new(settings: &Batteries, seed: u64, owner: u64) -> Self {
        let mut rng = stream(seed, Purpose::Battery, owner, 0);
        Self {
            settings: settings.clone(),
            one_way: settings.round_trip_efficiency.sqrt(),
            stored_wh: settings.capacity_wh * uniform(&mut rng, 0.6, 1.0),
        }
    }

    /// Lives through one minute and answers its mean power at the connection, W; negative discharges.
    pub(crate) fn step(&mut self, begin: Timestamp, orders: &Orders, taken_wh: f64) -> f64 {
        let Some(target_wh) = orders.target_wh(begin.slot()) else { return 0.0 };
        let out_max_w = self.settings.p_max_w.min(self.stored_wh * self.one_way / MINUTE_H);
        let room_wh = (self.settings.capacity_wh - self.stored_wh).max(0.0);
        let in_max_w = self.settings.p_max_w.min(room_wh / self.one_way / MINUTE_H);
        let p_w = power_for_target_w(target_wh, taken_wh, begin).clamp(-out_max_w, in_max_w);
        let change_wh = if p_w < 0.0 { p_w / self.one_way } else { p_w * self.one_way } * MINUTE_H;
        self.stored_wh = (self.stored_wh + change_wh).clamp(0.0, self.settings.capacity_wh);
        p_w
    }

    /// Energies as seen at the connection: what could be given back.
    pub(crate) fn state(&self) -> DeviceState {
        DeviceState::Battery {
            energy_wh: self.stored_wh * self.one_way,
            capacity_wh: self.settings.capacity_wh * self.one_way,
            p_charge_max_w: self.settings.p_max_w,
            p_discharge_max_w: self.settings.p_max_w,
        }
    }

    /// Why a schedule is impossible, if it is.
    pub(crate) fn refusal(&self, activation: &Activation) -> Option<String> {
        let first = activation.schedule.energies.iter().find(|energy| energy.0 != 0)?;
        if first.0 < 0 && self.stored_wh < EMPTY_WH {
            return Some("the battery is empty".to_owned());
        }
        (first.0 > 0 && self.settings.capacity_wh - self.stored_wh < EMPTY_WH)
            .then(|| "the battery is full".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use grid::{DeviceId, EnergyMwh, Slot};
    use market::{ActivationId, ContractId, FlexOfferId, Schedule};

    fn order(energies_wh: &[f64]) -> Activation {
        Activation {
            id: ActivationId::new("a").unwrap(),
            device: DeviceId(1),
            offer: FlexOfferId::new("o").unwrap(),
            contract: ContractId::new("c").unwrap(),
            schedule: Schedule {
                start: Slot(100),
                energies: energies_wh.iter().map(|&e| EnergyMwh::from_watt_hours(e).unwrap()).collect(),
            },
            replaces_from: Slot(100),
        }
    }

    fn run(battery: &mut Battery, energies_wh: &[f64]) -> Vec<f64> {
        let mut orders = Orders::default();
        orders.accept(&order(energies_wh));
        let slots = energies_wh.len() as i64;
        (0..slots)
            .map(|slot| {
                let mut taken_wh = 0.0;
                for minute in 0..15 {
                    let begin = Timestamp::from_seconds((100 + slot) * 900 + minute * 60);
                    taken_wh += battery.step(begin, &orders, taken_wh) * MINUTE_H;
                }
                taken_wh
            })
            .collect()
    }

    #[test]
    fn it_obeys_within_its_limits_and_loses_energy_on_the_way() {
        let settings = Scenario::first_light().unwrap().batteries;
        let mut battery = Battery::new(&settings, 7, 1);
        battery.stored_wh = 2000.0;
        let taken = run(&mut battery, &[-1000.0, -1000.0, 500.0, 9000.0]);
        assert!((taken[0] + 1000.0).abs() < 1e-6);
        assert!((taken[1] + 2000.0 * 0.9_f64.sqrt() - 1000.0).abs() < 1e-6, "only what is left: {taken:?}");
        assert!((taken[2] - 500.0).abs() < 1e-6);
        assert!((taken[3] - 1250.0).abs() < 1e-6, "at most 5 kW: {taken:?}");
        assert!((battery.stored_wh - 1750.0 * 0.9_f64.sqrt()).abs() < 1e-6);
    }

    #[test]
    fn an_empty_battery_says_so() {
        let settings = Scenario::first_light().unwrap().batteries;
        let mut battery = Battery::new(&settings, 7, 1);
        assert_eq!(battery.refusal(&order(&[-1000.0])), None);
        battery.stored_wh = 0.0;
        assert_eq!(battery.refusal(&order(&[-1000.0])).unwrap(), "the battery is empty");
        assert_eq!(battery.refusal(&order(&[1000.0])), None);
    }
}
