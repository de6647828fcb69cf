//! The JSON of a case but for its offers, field by field. A field that is not known ends the reading: what it says might
//! change every schedule.

use crate::raw_list::RawList;
use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Case<'a> {
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
    #[serde(borrow, alias = "flexOffer")]
    pub flex_offers: RawList<'a>,
    #[serde(default)]
    pub rules: Rules,
    /// What is said for people, and what `market aggregate` and its likes put beside the offers.
    #[serde(rename = "currency")]
    _currency: Option<String>,
    #[serde(rename = "aggregates")]
    _aggregates: Option<IgnoredAny>,
    #[serde(rename = "memberOffers")]
    _members: Option<IgnoredAny>,
    #[serde(rename = "tolerances")]
    _tolerances: Option<IgnoredAny>,
    #[serde(rename = "refusals")]
    _refusals: Option<IgnoredAny>,
    #[serde(rename = "assignments")]
    _assignments: Option<IgnoredAny>,
    #[serde(rename = "dissolved")]
    _dissolved: Option<IgnoredAny>,
    #[serde(rename = "notes")]
    _notes: Option<IgnoredAny>,
}

fn quarter_hour() -> i64 {
    900
}

fn kwh() -> String {
    "kWh".to_owned()
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct Grid {
    #[serde(default)]
    pub rows: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub element: String,
    pub headroom: Vec<f64>,
    pub penalty: f64,
    #[serde(default)]
    pub sensitivities: Vec<Sensitivity>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sensitivity {
    pub node: String,
    pub factor: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Rules {
    #[serde(default)]
    pub pricing: Option<String>,
    /// The first interval that is still open, as an instant.
    #[serde(default)]
    pub gate: Option<String>,
    /// When the clearing takes place: deadlines before it have passed.
    #[serde(default)]
    pub cleared_at: Option<String>,
}
