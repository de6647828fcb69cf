//! A clearing as JSON.

use super::MarketCase;
use grid::Timestamp;
use market::CLEARING_REVISION;
use market::price_clearing::{Limit, NodePrice, Payee, Plan, PriceClearing, Worth};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What is written beside the clearing.
#[derive(Debug, Clone, Default)]
pub struct ResultExtras {
    /// CPU time of the clearing, s.
    pub cpu_seconds: f64,
    /// The text of the case, so that the result can be verified alone.
    pub case: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Out<'a> {
    schema: &'static str,
    rule_set: String,
    welfare: f64,
    bound: f64,
    gap: f64,
    /// Branch and bound of few offers: not certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<Claimed>,
    /// 10⁻¹⁸ of the currency, exactly.
    welfare_exact: String,
    bound_exact: String,
    cpu_seconds: f64,
    assignments: Vec<Assignment<'a>>,
    refusals: Vec<Refusal<'a>>,
    prices: Prices<'a>,
    rows: Vec<Row<'a>>,
    postings: Vec<Posting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    case: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Claimed {
    bound: f64,
    gap: f64,
    /// Offers in parts of the case where branch and bound ended.
    offers: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Assignment<'a> {
    id: &'a str,
    start_time: String,
    schedule_slices: Vec<Slice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_factor: Option<f64>,
    asked: f64,
    payment: f64,
    profit: f64,
    reason: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    duration: u8,
    energy_amount: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refusal<'a> {
    id: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sentence: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    winning_price: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_row: Option<Binding<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alternative: Option<AlternativeSchedule>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlternativeSchedule {
    start_time: String,
    energy_amounts: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation_factor: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Binding<'a> {
    element: &'a str,
    start_time: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prices<'a> {
    congestion_points: Vec<LimitPrice<'a>>,
    rows: Vec<LimitPrice<'a>>,
    nodes: Vec<NodePriceOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LimitPrice<'a> {
    id: &'a str,
    price: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lumps: Vec<LumpPriceOut<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LumpPriceOut<'a> {
    start_time: String,
    price: f64,
    unit: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    from: Vec<Reference<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    id: &'a str,
    energy_amount: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodePriceOut<'a> {
    node: &'a str,
    price: Vec<f64>,
    of_bids: Vec<f64>,
    of_rows: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    of_lumps: Vec<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    element: &'a str,
    r#use: Vec<f64>,
    slack: Vec<f64>,
}

#[derive(Serialize)]
struct Posting {
    account: String,
    amount: f64,
}

fn decimal(micro: i64) -> f64 {
    micro as f64 / 1e6
}

fn decimals(micro: &[i64]) -> Vec<f64> {
    micro.iter().map(|&value| decimal(value)).collect()
}

/// Writes a clearing of a case.
pub fn write_result(
    case: &MarketCase,
    clearing: &PriceClearing,
    extras: &ResultExtras,
) -> Result<String, serde_json::Error> {
    let postings = clearing
        .postings
        .iter()
        .map(|&(payee, amount)| Posting { account: account(case, payee), amount: decimal(amount) });
    let out = Out {
        schema: "gridflex-market-result/1",
        rule_set: case.rule_set(CLEARING_REVISION),
        welfare: clearing.welfare.as_f64(),
        bound: clearing.bound.as_f64(),
        gap: clearing.gap(),
        claimed: clearing.claimed.zip(clearing.claimed_gap()).map(|(bound, gap)| Claimed {
            bound: bound.as_f64(),
            gap,
            offers: clearing.claimed_offers,
        }),
        welfare_exact: exact(clearing.welfare),
        bound_exact: exact(clearing.bound),
        cpu_seconds: extras.cpu_seconds,
        assignments: clearing.plans.iter().map(|plan| assignment(case, plan)).collect(),
        refusals: refusals(case, clearing),
        prices: prices(case, clearing),
        rows: rows(case, clearing),
        postings: postings.collect(),
        case: extras.case.clone().map(RawValue::from_string).transpose()?,
    };
    serde_json::to_string(&out)
}

fn exact(worth: Worth) -> String {
    worth.0.to_string()
}

/// How an account is called.
pub(super) fn account(case: &MarketCase, payee: Payee) -> String {
    match payee {
        Payee::Dso => "dso".to_owned(),
        Payee::Offer(offer) => format!("offer:{}", case.offers[offer as usize]),
    }
}

/// When an interval begins.
pub(super) fn instant(case: &MarketCase, interval: u16) -> String {
    let seconds = case.start_s + i64::from(interval) * case.interval_s;
    Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000)).to_string()
}

fn assignment<'a>(case: &'a MarketCase, plan: &Plan) -> Assignment<'a> {
    let slice = |&energy: &i64| Slice { duration: 1, energy_amount: decimal(energy) };
    Assignment {
        id: &case.offers[plan.offer as usize],
        start_time: instant(case, plan.start),
        schedule_slices: plan.energies.iter().map(slice).collect(),
        activation_factor: factor(plan.factor),
        asked: decimal(plan.asked),
        payment: decimal(plan.payment),
        profit: decimal(plan.profit),
        reason: plan_reason(plan),
    }
}

fn factor(millionths: u32) -> Option<f64> {
    (millionths > 0).then(|| f64::from(millionths) / 1e6)
}

/// Why an offer was taken.
pub(super) fn plan_reason(plan: &Plan) -> &'static str {
    if plan.profit >= 0 { "accepted" } else { "accepted-as-a-whole" }
}

/// What a limit is called.
pub(super) fn limit_name(case: &MarketCase, limit: Limit) -> &str {
    match limit {
        Limit::Bid(bid) => &case.congestion_points[bid as usize],
        Limit::Row(row) => &case.elements[row as usize],
    }
}

fn refusals<'a>(case: &'a MarketCase, clearing: &PriceClearing) -> Vec<Refusal<'a>> {
    let declined = clearing.declined.iter().map(|declined| {
        let choice = declined.reason != market::price_clearing::DeclineReason::NoChoice;
        Refusal {
            id: &case.offers[declined.offer as usize],
            reason: declined.reason.code(),
            sentence: None,
            asked: choice.then(|| decimal(declined.asked)),
            winning_price: choice.then(|| decimal(declined.winning_ask)),
            binding_row: declined.against.map(|(limit, interval)| Binding {
                element: limit_name(case, limit),
                start_time: instant(case, interval),
            }),
            alternative: declined.alternative.as_ref().map(|schedule| AlternativeSchedule {
                start_time: instant(case, schedule.start),
                energy_amounts: decimals(&schedule.energies),
                activation_factor: factor(schedule.factor),
            }),
        }
    });
    let refused = case.refused.iter().map(|refused| Refusal {
        id: &refused.id,
        reason: refused.code,
        sentence: Some(&refused.sentence),
        asked: None,
        winning_price: None,
        binding_row: None,
        alternative: None,
    });
    declined.chain(refused).collect()
}

fn prices<'a>(case: &'a MarketCase, clearing: &PriceClearing) -> Prices<'a> {
    let t = case.problem.intervals();
    let prices = &clearing.prices;
    let part = |values: &[i64], at: usize| values.get(at * t..(at + 1) * t).map(decimals).unwrap_or_default();
    let mut of_limits: BTreeMap<Limit, Vec<LumpPriceOut<'a>>> = BTreeMap::new();
    for lump in &prices.lumps {
        let reference = |&(offer, energy): &(u32, i64)| Reference {
            id: &case.offers[offer as usize],
            energy_amount: decimal(energy),
        };
        of_limits.entry(lump.limit).or_default().push(LumpPriceOut {
            start_time: instant(case, lump.interval),
            price: decimal(lump.price),
            unit: decimal(lump.unit),
            from: lump.from.iter().map(reference).collect(),
        });
    }
    let mut limit = |ids: &'a [String], price: &[i64], of: fn(u32) -> Limit| -> Vec<LimitPrice<'a>> {
        let one = |(at, id): (usize, &'a String)| LimitPrice {
            id,
            price: part(price, at),
            lumps: of_limits.remove(&of(at as u32)).unwrap_or_default(),
        };
        ids.iter().enumerate().map(one).collect()
    };
    let money = |values: &[NodePrice], of: fn(&NodePrice) -> i128| -> Vec<f64> {
        values.iter().map(|value| of(value) as f64 / 1e12).collect()
    };
    let lumps = !prices.lumps.is_empty();
    let node = |(at, node): (usize, &'a String)| {
        let values = &clearing.node_prices[at * t..(at + 1) * t];
        NodePriceOut {
            node,
            price: money(values, |value| value.of_bids + value.of_rows),
            of_bids: money(values, |value| value.of_bids),
            of_rows: money(values, |value| value.of_rows),
            of_lumps: if lumps { money(values, |value| value.of_lumps) } else { Vec::new() },
        }
    };
    Prices {
        congestion_points: limit(&case.congestion_points, &prices.bid, Limit::Bid),
        rows: limit(&case.elements, &prices.row, Limit::Row),
        nodes: case.nodes.iter().enumerate().map(node).collect(),
    }
}

fn rows<'a>(case: &'a MarketCase, clearing: &PriceClearing) -> Vec<Row<'a>> {
    let t = case.problem.intervals();
    let one = |(number, row): (usize, &market::price_clearing::GridRow)| {
        let used = &clearing.row_use[number * t..(number + 1) * t];
        let slack = (0..t).map(|i| decimal(clearing.overload(row.headroom[i], used[i])));
        Row {
            element: &case.elements[number],
            r#use: used.iter().map(|&value| value as f64 / 1e12).collect(),
            slack: slack.collect(),
        }
    };
    case.problem.rows().iter().enumerate().map(one).collect()
}
