//! The JSON of a result as it is read. Unknown fields are refused: what is not judged must not stand there.

use serde::Deserialize;
use serde::de::IgnoredAny;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct In {
    pub schema: String,
    /// Results written before rule sets had names do not say it.
    pub rule_set: Option<String>,
    pub welfare: f64,
    pub bound: f64,
    pub gap: f64,
    pub claimed: Option<Claimed>,
    pub welfare_exact: String,
    pub bound_exact: String,
    /// What it took: nothing tells whether it did.
    #[serde(rename = "cpuSeconds")]
    _cpu_seconds: f64,
    pub assignments: Vec<Assignment>,
    pub refusals: Vec<Refusal>,
    pub prices: Prices,
    pub rows: Vec<Row>,
    pub postings: Vec<Posting>,
    /// Read apart from the rest.
    #[serde(rename = "case")]
    _case: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claimed {
    pub bound: f64,
    pub gap: f64,
    /// Results written before parts were told apart do not say it.
    #[serde(default)]
    pub offers: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Assignment {
    pub id: String,
    pub start_time: String,
    pub schedule_slices: Vec<Slice>,
    pub activation_factor: Option<f64>,
    pub asked: f64,
    pub payment: f64,
    pub profit: f64,
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Slice {
    pub duration: u8,
    pub energy_amount: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Refusal {
    pub id: String,
    pub reason: String,
    pub sentence: Option<String>,
    pub asked: Option<f64>,
    pub winning_price: Option<f64>,
    pub binding_row: Option<Binding>,
    pub alternative: Option<Schedule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Binding {
    pub element: String,
    pub start_time: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Schedule {
    pub start_time: String,
    pub energy_amounts: Vec<f64>,
    pub activation_factor: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Prices {
    pub congestion_points: Vec<LimitPrice>,
    pub rows: Vec<LimitPrice>,
    pub nodes: Vec<NodePrices>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LimitPrice {
    pub id: String,
    pub price: Vec<f64>,
    #[serde(default)]
    pub lumps: Vec<LumpPrice>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LumpPrice {
    pub start_time: String,
    pub price: f64,
    pub unit: f64,
    #[serde(default)]
    pub from: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Reference {
    pub id: String,
    pub energy_amount: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct NodePrices {
    pub node: String,
    pub price: Vec<f64>,
    pub of_bids: Vec<f64>,
    pub of_rows: Vec<f64>,
    #[serde(default)]
    pub of_lumps: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    pub element: String,
    pub r#use: Vec<f64>,
    pub slack: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Posting {
    pub account: String,
    pub amount: f64,
}
