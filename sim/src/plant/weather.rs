//! Outdoor temperature and sunshine, the same for the whole street.

use super::heat_pump::cop;
use super::stream::{Purpose, normal, stream, uniform};
use crate::scenario::WeatherSettings;
use grid::Timestamp;
use std::f64::consts::PI;

const MINUTES: usize = 1440;

/// The weather of one day, per minute.
#[derive(Debug, Clone)]
pub(crate) struct Weather {
    settings: WeatherSettings,
    seed: u64,
    day: i64,
    clearness: Vec<f64>,
    offsets_c: [f64; 3],
    /// The air at each whole minute from the beginning of the day to noon of the next.
    air: Vec<Air>,
}

/// The air of an instant, and what follows from it alone for every heat pump.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Air {
    /// Hour of the day, UTC.
    pub(crate) hour: f64,
    /// Outdoor temperature, °C.
    pub(crate) outdoor_c: f64,
    /// Heat out over electricity in.
    pub(crate) cop: f64,
}

/// The day of an instant, counted from the epoch (UTC).
pub(crate) fn day_of(at: Timestamp) -> i64 {
    at.seconds().div_euclid(86_400)
}

/// The hour of the day, UTC.
pub(crate) fn hour_of(at: Timestamp) -> f64 {
    at.seconds().rem_euclid(86_400) as f64 / 3600.0
}

impl Weather {
    pub(crate) fn new(settings: &WeatherSettings, seed: u64, at: Timestamp) -> Self {
        let mut weather = Self {
            settings: settings.clone(),
            seed,
            day: day_of(at),
            clearness: Vec::new(),
            offsets_c: [0.0; 3],
            air: Vec::new(),
        };
        weather.begin_day(day_of(at));
        weather
    }

    /// Makes the weather of the day that contains `at` the present one.
    pub(crate) fn turn_to(&mut self, at: Timestamp) {
        if day_of(at) != self.day {
            self.begin_day(day_of(at));
        }
    }

    fn begin_day(&mut self, day: i64) {
        self.day = day;
        self.clearness = clearness(self.seed, day);
        self.offsets_c = [-1, 0, 1].map(|ahead| {
            let mut rng = stream(self.seed, Purpose::Temperature, 0, day + ahead);
            normal(&mut rng).clamp(-2.0, 2.0)
        });
        let minute = |minute: usize| Timestamp::from_seconds(day * 86_400 + minute as i64 * 60);
        self.air = (0..MINUTES * 3 / 2).map(|at| self.reckoned_air(minute(at))).collect();
    }

    /// The air of an instant of the present day or up to noon of the next. Its temperature is a sine with its maximum at 15:00
    /// around the mean, and an offset of about 1 K per day that moves from noon to noon.
    pub(crate) fn air(&self, at: Timestamp) -> Air {
        let begin = Timestamp::from_seconds(self.day * 86_400);
        let minute = usize::try_from((at.seconds() - begin.seconds()).div_euclid(60)).ok();
        let whole = at.nanos().rem_euclid(60_000_000_000) == 0;
        let known = minute.filter(|_| whole).and_then(|minute| self.air.get(minute));
        known.copied().unwrap_or_else(|| self.reckoned_air(at))
    }

    fn reckoned_air(&self, at: Timestamp) -> Air {
        let outdoor_c = self.reckoned_outdoor_c(at);
        Air { hour: hour_of(at), outdoor_c, cop: cop(outdoor_c) }
    }

    fn reckoned_outdoor_c(&self, at: Timestamp) -> f64 {
        let hour = hour_of(at);
        let noons = (day_of(at) - self.day) as f64 + hour / 24.0 - 0.5;
        let at_noon = |k: i64| self.offsets_c[(k + 1).clamp(0, 2) as usize];
        let before = noons.floor();
        let (low, high) = (at_noon(before as i64), at_noon(before as i64 + 1));
        let offset = low + (high - low) * (noons - before);
        self.settings.outdoor_mean_c
            + offset
            + self.settings.outdoor_swing_c * ((hour - 15.0) * PI / 12.0).cos()
    }

    /// Global horizontal irradiance, W/m²: the clear sky of Haurwitz (1945), 1098 sin h · exp(−0.057 / sin h),
    /// with the declination of Cooper (1969), times a cloud factor. `at` must lie in the present day.
    pub(crate) fn irradiance_w_m2(&self, at: Timestamp) -> f64 {
        let day_of_year = (day_of(at) as f64 + 0.5).rem_euclid(365.2425);
        let declination = 23.45_f64.to_radians() * (2.0 * PI * (284.0 + day_of_year) / 365.0).sin();
        let latitude = self.settings.latitude_deg.to_radians();
        let hour_angle = ((hour_of(at) - 12.0) * 15.0 + self.settings.longitude_deg).to_radians();
        let sine = latitude.sin() * declination.sin() + latitude.cos() * declination.cos() * hour_angle.cos();
        if sine <= 0.01 {
            return 0.0;
        }
        let minute = (at.seconds().rem_euclid(86_400) / 60) as usize;
        1098.0 * sine * (-0.057 / sine).exp() * self.clearness[minute.min(MINUTES - 1)]
    }
}

/// The share of clear-sky irradiance that passes the clouds, per minute: a day's level and a first-order
/// autoregressive deviation with a time constant of 20 min.
fn clearness(seed: u64, day: i64) -> Vec<f64> {
    let mut rng = stream(seed, Purpose::Clouds, 0, day);
    let level = uniform(&mut rng, 0.25, 0.85);
    let keep = (-1.0_f64 / 20.0).exp();
    let mut deviation = 0.0;
    (0..MINUTES)
        .map(|_| {
            deviation = keep * deviation + 0.2 * (1.0 - keep * keep).sqrt() * normal(&mut rng);
            (level + deviation).clamp(0.08, 1.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn january_is_cold_and_its_evenings_are_dark() {
        let settings = Scenario::first_light().unwrap().weather;
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let weather = Weather::new(&settings, 7, at("2026-01-15T00:00:00Z"));
        assert_eq!(weather.irradiance_w_m2(at("2026-01-15T17:00:00Z")), 0.0);
        assert_eq!(weather.irradiance_w_m2(at("2026-01-15T03:00:00Z")), 0.0);
        let noon = weather.irradiance_w_m2(at("2026-01-15T12:10:00Z"));
        assert!(noon > 10.0 && noon < 300.0, "{noon}");
        assert!((-8.0..5.0).contains(&weather.air(at("2026-01-15T20:00:00Z")).outdoor_c));
    }

    #[test]
    fn the_temperature_does_not_jump_at_midnight() {
        let settings = Scenario::first_light().unwrap().weather;
        let late: Timestamp = "2026-01-15T23:59:00Z".parse().unwrap();
        let mut weather = Weather::new(&settings, 3, late);
        let (before, midnight) = (weather.air(late).outdoor_c, late.plus(std::time::Duration::from_secs(60)));
        let seen_ahead = weather.air(midnight).outdoor_c;
        weather.turn_to(midnight);
        assert!((weather.air(midnight).outdoor_c - before).abs() < 0.02);
        assert!((weather.air(midnight).outdoor_c - seen_ahead).abs() < 1e-9);
    }
}
