//! The JSON of a case, field by field.

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Case<O> {
    pub schema: String,
    #[serde(default = "quarter_hour")]
    pub num_seconds_per_interval: i64,
    pub start_time: String,
    pub intervals: usize,
    #[serde(default = "kwh")]
    pub energy_unit: String,
    pub nodes: Vec<String>,
    #[serde(default)]
    pub grid: Grid,
    #[serde(default)]
    pub bids: Vec<Bid>,
    pub flex_offers: Vec<O>,
    #[serde(default)]
    pub rules: Rules,
}

fn quarter_hour() -> i64 {
    900
}

fn kwh() -> String {
    "kWh".to_owned()
}

fn one() -> i64 {
    1
}

#[derive(Deserialize, Default)]
pub(super) struct Grid {
    #[serde(default)]
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
pub(super) struct Row {
    pub element: String,
    pub headroom: Vec<f64>,
    pub penalty: f64,
    #[serde(default)]
    pub sensitivities: Vec<Sensitivity>,
}

#[derive(Deserialize)]
pub(super) struct Sensitivity {
    pub node: String,
    pub factor: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bid {
    pub id: String,
    #[serde(default)]
    pub congestion_point: Option<String>,
    pub nodes: Vec<String>,
    pub start_time: String,
    #[serde(default = "quarter_hour")]
    pub interval_length: i64,
    pub schedule_change: Vec<f64>,
    pub energy_price: Vec<f64>,
}

#[derive(Deserialize, Default)]
pub(super) struct Rules {
    #[serde(default)]
    pub pricing: Option<String>,
    /// The first interval that is still open, as an instant.
    #[serde(default)]
    pub gate: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    pub id: String,
    #[serde(rename = "locationID")]
    pub location: String,
    #[serde(default)]
    pub num_seconds_per_interval: Option<i64>,
    #[serde(default)]
    pub start_after_time: Option<String>,
    pub start_before_time: String,
    pub flex_offer_profile_constraints: Vec<Slice>,
    #[serde(default)]
    pub total_energy_constraint: Option<Bounds>,
    pub default_schedule: Schedule,
    #[serde(default)]
    pub cost: Cost,
    #[serde(default)]
    pub activation_option: Option<ActivationOption>,
    /// What an earlier clearing decided.
    #[serde(default)]
    pub flex_offer_schedule: Option<Schedule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Slice {
    #[serde(default = "one")]
    pub min_duration: i64,
    #[serde(default = "one")]
    pub max_duration: i64,
    pub energy_constraint_list: Vec<Bounds>,
}

#[derive(Deserialize)]
pub(super) struct Bounds {
    #[serde(alias = "lowerBound")]
    pub lower: f64,
    #[serde(alias = "upperBound")]
    pub upper: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schedule {
    pub start_time: String,
    pub schedule_slices: Vec<ScheduleSlice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScheduleSlice {
    #[serde(default = "one")]
    pub duration: i64,
    pub energy_amount: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cost {
    #[serde(default)]
    pub activation: f64,
    #[serde(default)]
    pub per_interval_shifted: f64,
    #[serde(default)]
    pub per_energy_deviation: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ActivationOption {
    pub deviation: Vec<f64>,
    #[serde(default = "whole")]
    pub min_activation_factor: f64,
}

fn whole() -> f64 {
    1.0
}
