//! A scenario: everything that decides how the plant behaves, in one TOML file. Unknown keys are refused.

use grid::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

const FIRST_LIGHT: &str = include_str!("../scenarios/first_light.toml");
/// Longest scenario file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a scenario was refused.
#[derive(Debug, Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("scenario {path} cannot be read: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// More than a scenario can need.
    #[error("scenario {path} has {bytes} bytes, at most {FILE_BYTES_MAX} are read")]
    TooLarge {
        /// Which file.
        path: String,
        /// How many.
        bytes: u64,
    },
    /// Not TOML, a missing or an unknown key, or a value of the wrong kind.
    #[error("scenario: {0}")]
    Form(#[from] toml::de::Error),
    /// A number outside its range.
    #[error("scenario: {key} is {value}, {low} to {high} is accepted")]
    Range {
        /// Which key.
        key: &'static str,
        /// As given.
        value: f64,
        /// Least accepted value.
        low: f64,
        /// Largest accepted value.
        high: f64,
    },
}

/// Everything that decides how the plant behaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What people call it.
    pub name: String,
    /// First instant, UTC; a whole minute.
    pub start: Timestamp,
    /// Length, min.
    pub duration_minutes: u32,
    /// The seed of all randomness.
    pub seed: u64,
    /// How many days before `start` the plant has lived through (its meters' archive), d.
    pub history_days: u32,
    /// The network and what is changed in it.
    pub grid: GridSettings,
    /// Charging points.
    pub chargers: Chargers,
    /// Heat pumps.
    pub heat_pumps: HeatPumps,
    /// Batteries.
    pub batteries: Batteries,
    /// Solar roofs.
    pub photovoltaics: Photovoltaics,
    /// The weather.
    pub weather: WeatherSettings,
    /// Meters and monitors.
    pub field: FieldSettings,
}

/// The network and what is changed in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GridSettings {
    /// `ieee_european_lv` or the path of a network file.
    pub network: String,
    /// How often the network stands below one medium-voltage busbar, each time with a transformer of its own.
    #[serde(default = "one")]
    pub substations: u32,
    /// Whether sections in a row without a home between them become one, and sections that lead nowhere go: the same flows with
    /// fewer buses ([`grid::network::Merged`]).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub merge_unloaded: bool,
    /// Rated power of the transformer that replaces the network's, kVA.
    pub transformer_kva: f64,
    /// Its relative short-circuit voltage, p.u.
    pub transformer_uk: f64,
    /// Sections carrying more usage points than this are reinforced.
    pub reinforce_above_homes: usize,
    /// Sections carrying more usage points than this get two cables.
    pub double_above_homes: usize,
    /// Active power assumed for a usage point when nothing else is known, W.
    pub assumed_p_w: f64,
    /// Power factor of household demand (inductive).
    pub power_factor: f64,
}

fn one() -> u32 {
    1
}

/// Charging points for electric vehicles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chargers {
    /// How many homes have one; at most one per service cable, so fewer when there are not so many.
    pub count: usize,
    /// Charging power, W.
    pub p_max_w: f64,
    /// Share of days on which the vehicle comes home and needs energy.
    pub plug_in_probability: f64,
    /// Mean arrival, hour of day.
    pub arrival_mean_h: f64,
    /// Standard deviation of the arrival, h.
    pub arrival_std_h: f64,
    /// Least energy needed, Wh.
    pub energy_min_wh: f64,
    /// Most energy needed, Wh.
    pub energy_max_wh: f64,
    /// Mean departure next morning, hour of day.
    pub departure_mean_h: f64,
    /// Standard deviation of the departure, h.
    pub departure_std_h: f64,
}

/// Heat pumps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeatPumps {
    /// How many homes have one; at most one per service cable.
    pub count: usize,
    /// Least rated electric power, W.
    pub p_min_w: f64,
    /// Largest rated electric power, W.
    pub p_max_w: f64,
}

/// Stationary batteries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batteries {
    /// How many homes have one.
    pub count: usize,
    /// Largest charging and discharging power, W.
    pub p_max_w: f64,
    /// Usable capacity, Wh.
    pub capacity_wh: f64,
    /// Energy out over energy in.
    pub round_trip_efficiency: f64,
}

/// Solar roofs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Photovoltaics {
    /// How many homes have one.
    pub count: usize,
    /// Least peak power, W.
    pub p_peak_min_w: f64,
    /// Largest peak power, W.
    pub p_peak_max_w: f64,
}

/// The weather.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeatherSettings {
    /// Latitude, degrees north.
    pub latitude_deg: f64,
    /// Longitude, degrees east.
    pub longitude_deg: f64,
    /// Mean outdoor temperature of the days, °C.
    pub outdoor_mean_c: f64,
    /// Half the difference between the warmest and the coldest hour, K.
    pub outdoor_swing_c: f64,
}

/// Meters and monitors: noise as fraction of the value, delay and loss of messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldSettings {
    /// Line monitors beside those behind the transformers.
    pub line_monitors: usize,
    /// Standard deviation of a voltage reading, fraction of the value.
    pub noise_voltage: f64,
    /// Standard deviation of a current reading, fraction of the value.
    pub noise_current: f64,
    /// Standard deviation of a power reading, fraction of the apparent power.
    pub noise_power: f64,
    /// Least delay of a smart meter's slot value, s.
    pub meter_delay_min_s: u32,
    /// Largest delay of a smart meter's slot value, s.
    pub meter_delay_max_s: u32,
    /// Share of smart-meter values that never arrive.
    pub meter_missing: f64,
    /// Least delay of a device meter's slot value, s.
    pub device_meter_delay_min_s: u32,
    /// Largest delay of a device meter's slot value, s.
    pub device_meter_delay_max_s: u32,
    /// Share of device-meter values that never arrive.
    pub device_meter_missing: f64,
}

impl Scenario {
    /// The built-in evening.
    pub fn first_light() -> Result<Self, ScenarioError> {
        Self::from_toml(FIRST_LIGHT)
    }

    /// Reads and checks a scenario.
    pub fn from_toml(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Reads and checks a scenario file.
    pub fn read_path(path: &Path) -> Result<Self, ScenarioError> {
        let file = |source| ScenarioError::File { path: path.display().to_string(), source };
        let bytes = std::fs::metadata(path).map_err(file)?.len();
        if bytes > FILE_BYTES_MAX {
            return Err(ScenarioError::TooLarge { path: path.display().to_string(), bytes });
        }
        Self::from_toml(&std::fs::read_to_string(path).map_err(file)?)
    }

    /// Length.
    pub fn duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.duration_minutes) * 60)
    }

    /// First instant after it.
    pub fn end(&self) -> Timestamp {
        self.start.plus(self.duration())
    }

    /// Every number lies in a range in which the models mean something.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let s = self;
        let second = s.start.nanos().rem_euclid(60_000_000_000) as f64 / 1e9;
        for (key, value, low, high) in [
            ("seconds of start", second, 0.0, 0.0),
            ("duration_minutes", f64::from(s.duration_minutes), 1.0, 20_160.0),
            ("history_days", f64::from(s.history_days), 1.0, 60.0),
            ("grid.substations", f64::from(s.grid.substations), 1.0, 100.0),
            ("grid.transformer_kva", s.grid.transformer_kva, 10.0, 10_000.0),
            ("grid.transformer_uk", s.grid.transformer_uk, 0.02, 0.2),
            ("grid.assumed_p_w", s.grid.assumed_p_w, 0.0, 30_000.0),
            ("grid.power_factor", s.grid.power_factor, 0.5, 1.0),
            ("chargers.p_max_w", s.chargers.p_max_w, 1.0, 22_000.0),
            ("chargers.plug_in_probability", s.chargers.plug_in_probability, 0.0, 1.0),
            ("chargers.arrival_mean_h", s.chargers.arrival_mean_h, 12.0, 23.0),
            ("chargers.arrival_std_h", s.chargers.arrival_std_h, 0.0, 6.0),
            ("chargers.energy_min_wh", s.chargers.energy_min_wh, 1.0, 150_000.0),
            ("chargers.energy_max_wh", s.chargers.energy_max_wh, s.chargers.energy_min_wh, 150_000.0),
            ("chargers.departure_mean_h", s.chargers.departure_mean_h, 5.0, 10.0),
            ("chargers.departure_std_h", s.chargers.departure_std_h, 0.0, 6.0),
            ("heat_pumps.p_min_w", s.heat_pumps.p_min_w, 100.0, 20_000.0),
            ("heat_pumps.p_max_w", s.heat_pumps.p_max_w, s.heat_pumps.p_min_w, 20_000.0),
            ("batteries.p_max_w", s.batteries.p_max_w, 1.0, 30_000.0),
            ("batteries.capacity_wh", s.batteries.capacity_wh, 1.0, 100_000.0),
            ("batteries.round_trip_efficiency", s.batteries.round_trip_efficiency, 0.1, 1.0),
            ("photovoltaics.p_peak_min_w", s.photovoltaics.p_peak_min_w, 0.0, 30_000.0),
            (
                "photovoltaics.p_peak_max_w",
                s.photovoltaics.p_peak_max_w,
                s.photovoltaics.p_peak_min_w,
                30_000.0,
            ),
            ("weather.latitude_deg", s.weather.latitude_deg, -66.0, 66.0),
            ("weather.longitude_deg", s.weather.longitude_deg, -180.0, 180.0),
            ("weather.outdoor_mean_c", s.weather.outdoor_mean_c, -25.0, 35.0),
            ("weather.outdoor_swing_c", s.weather.outdoor_swing_c, 0.0, 15.0),
            ("field.line_monitors", s.field.line_monitors as f64, 0.0, 10_000.0),
            ("field.noise_voltage", s.field.noise_voltage, 0.0, 0.2),
            ("field.noise_current", s.field.noise_current, 0.0, 0.2),
            ("field.noise_power", s.field.noise_power, 0.0, 0.2),
            ("field.meter_delay_min_s", f64::from(s.field.meter_delay_min_s), 0.0, 86_400.0),
            at_least("field.meter_delay_max_s", s.field.meter_delay_max_s, s.field.meter_delay_min_s),
            ("field.meter_missing", s.field.meter_missing, 0.0, 1.0),
            ("field.device_meter_delay_min_s", f64::from(s.field.device_meter_delay_min_s), 0.0, 86_400.0),
            at_least(
                "field.device_meter_delay_max_s",
                s.field.device_meter_delay_max_s,
                s.field.device_meter_delay_min_s,
            ),
            ("field.device_meter_missing", s.field.device_meter_missing, 0.0, 1.0),
        ] {
            if !(low..=high).contains(&value) {
                return Err(ScenarioError::Range { key, value, low, high });
            }
        }
        Ok(())
    }
}

fn at_least(key: &'static str, value: u32, low: u32) -> (&'static str, f64, f64, f64) {
    (key, f64::from(value), f64::from(low), 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_evening_is_valid() {
        let scenario = Scenario::first_light().unwrap();
        assert_eq!(scenario.start.to_string(), "2026-01-15T16:30:00Z");
        assert_eq!(scenario.end().to_string(), "2026-01-15T22:30:00Z");
    }

    #[test]
    fn a_wrong_scenario_is_refused_with_the_key() {
        let refusal = |from: &str, to: &str| {
            assert!(FIRST_LIGHT.contains(from), "{from}");
            Scenario::from_toml(&FIRST_LIGHT.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert!(refusal("seed = 7", "sead = 7").contains("sead"));
        assert!(refusal("p_max_w = 7400.0", "p_max_w = nan").contains("chargers.p_max_w is NaN"));
        assert!(refusal("meter_missing = 0.03", "meter_missing = 3.0").contains("field.meter_missing is 3"));
        assert!(refusal("16:30:00Z", "16:30:10Z").contains("seconds of start is 10"));
        assert!(
            refusal("meter_delay_max_s = 720", "meter_delay_max_s = 10").contains("meter_delay_max_s is 10")
        );
        assert!(refusal("power_factor = 0.95", "").contains("power_factor"));
    }
}
