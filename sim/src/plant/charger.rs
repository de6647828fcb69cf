//! A charging point and the vehicle that comes to it in the evening.
//!
//! Arrival, need and departure are drawn per day: home from work around 18 o'clock, away in the morning; the need
//! is that of a daily drive of some 30 to 100 km at 0.2 kWh/km (order of magnitude: UK National Travel Survey, and
//! the charging-at-home arrivals of the Electric Nation trial, 2019).

use super::orders::{Orders, power_for_target_w};
use super::stream::{Purpose, happens, normal, stream, uniform};
use super::weather::day_of;
use crate::scenario::Chargers;
use grid::Timestamp;
use market::{Activation, DeviceState};

const MINUTE_H: f64 = 1.0 / 60.0;

/// One visit of the vehicle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Visit {
    /// Its number: the day on which it began, counted from the epoch.
    session: u64,
    arrival: Timestamp,
    departure: Timestamp,
    energy_wh: f64,
}

/// The visit that begins on a day, if there is one. It arrives between 12:00 and 23:30 and leaves between 04:30
/// and 11:00, so visits never overlap.
fn visit(settings: &Chargers, seed: u64, owner: u64, day: i64) -> Option<Visit> {
    let mut rng = stream(seed, Purpose::ChargerDay, owner, day);
    if !happens(&mut rng, settings.plug_in_probability) {
        return None;
    }
    let arrival_h = (settings.arrival_mean_h + settings.arrival_std_h * normal(&mut rng)).clamp(12.0, 23.5);
    let departure_h =
        (settings.departure_mean_h + settings.departure_std_h * normal(&mut rng)).clamp(4.5, 11.0);
    let minute =
        |days: i64, hour: f64| Timestamp::from_seconds(days * 86_400 + (hour * 60.0).round() as i64 * 60);
    Some(Visit {
        session: day.unsigned_abs(),
        arrival: minute(day, arrival_h),
        departure: minute(day + 1, departure_h),
        energy_wh: uniform(&mut rng, settings.energy_min_wh, settings.energy_max_wh),
    })
}

/// A charging point.
#[derive(Debug, Clone)]
pub(crate) struct Charger {
    settings: Chargers,
    seed: u64,
    owner: u64,
    expected: (i64, Option<Visit>),
    plugged: Option<Visit>,
    needed_wh: f64,
}

impl Charger {
    pub(crate) fn new(settings: &Chargers, seed: u64, owner: u64) -> Self {
        Self {
            settings: settings.clone(),
            seed,
            owner,
            expected: (i64::MIN, None),
            plugged: None,
            needed_wh: 0.0,
        }
    }

    /// Lives through one minute and answers its mean power, W.
    pub(crate) fn step(&mut self, begin: Timestamp, orders: &mut Orders, taken_wh: f64) -> f64 {
        self.come_and_go(begin, orders);
        if self.plugged.is_none() || self.needed_wh <= 0.0 {
            return 0.0;
        }
        let wanted_w = match orders.target_wh(begin.slot()) {
            Some(target_wh) => power_for_target_w(target_wh, taken_wh, begin),
            None => self.settings.p_max_w,
        };
        let p_w = wanted_w.clamp(0.0, self.settings.p_max_w).min(self.needed_wh / MINUTE_H);
        self.needed_wh = (self.needed_wh - p_w * MINUTE_H).max(0.0);
        p_w
    }

    fn come_and_go(&mut self, begin: Timestamp, orders: &mut Orders) {
        if self.plugged.is_some_and(|visit| begin >= visit.departure) {
            self.plugged = None;
            self.needed_wh = 0.0;
            orders.clear();
        }
        let day = day_of(begin);
        if self.expected.0 != day {
            self.expected = (day, visit(&self.settings, self.seed, self.owner, day));
        }
        if let Some(visit) = self.expected.1
            && begin == visit.arrival
        {
            self.plugged = Some(visit);
            self.needed_wh = visit.energy_wh;
        }
    }

    pub(crate) fn state(&self, now: Timestamp) -> DeviceState {
        let visit = self.plugged.filter(|visit| visit.departure > now);
        DeviceState::Charger {
            session: visit.map_or(0, |visit| visit.session),
            energy_needed_wh: visit.map_or(0.0, |_| self.needed_wh),
            departure: visit.map_or(now, |visit| visit.departure),
            p_max_w: self.settings.p_max_w,
        }
    }

    /// Why a schedule is impossible, if it is.
    pub(crate) fn refusal(&self, activation: &Activation, now: Timestamp) -> Option<String> {
        let Some(visit) = self.plugged.filter(|visit| visit.departure > now) else {
            return Some("nothing is plugged in".to_owned());
        };
        if self.needed_wh <= 0.0 {
            return Some("the vehicle is full".to_owned());
        }
        let start = activation.schedule.start.start();
        if start >= visit.departure {
            return Some(format!("the vehicle leaves at {}, before {start}", visit.departure));
        }
        activation
            .schedule
            .energies
            .iter()
            .any(|energy| energy.0 < 0)
            .then(|| "it cannot discharge".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn visits_do_not_overlap_and_come_on_most_days() {
        let settings = Scenario::first_light().unwrap().chargers;
        let visits: Vec<_> = (20_000..20_400).filter_map(|day| visit(&settings, 7, 1, day)).collect();
        let share = visits.len() as f64 / 400.0;
        assert!((share - settings.plug_in_probability).abs() < 0.08, "{share}");
        assert!(visits.windows(2).all(|pair| pair[0].departure < pair[1].arrival));
        assert!(visits.iter().all(|v| v.energy_wh >= settings.energy_min_wh && v.arrival < v.departure));
    }

    #[test]
    fn by_default_it_charges_at_once_until_full() {
        let settings = Scenario::first_light().unwrap().chargers;
        let coming = (20_000..).find_map(|day| visit(&settings, 7, 1, day)).unwrap();
        let (mut charger, mut orders) = (Charger::new(&settings, 7, 1), Orders::default());
        let mut now = coming.arrival.minus(MINUTE);
        assert_eq!(charger.step(now, &mut orders, 0.0), 0.0);
        let (mut energy_wh, mut minutes) = (0.0, 0);
        while now < coming.departure {
            now = now.plus(MINUTE);
            let p_w = charger.step(now, &mut orders, 0.0);
            energy_wh += p_w * MINUTE_H;
            minutes += usize::from(p_w > 0.0);
        }
        assert!((energy_wh - coming.energy_wh).abs() < 1e-6);
        assert_eq!(minutes, (coming.energy_wh / settings.p_max_w * 60.0).ceil() as usize);
        assert!(matches!(charger.state(now), DeviceState::Charger { session: 0, .. }));
    }
}
