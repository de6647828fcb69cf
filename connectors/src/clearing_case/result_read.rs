//! A clearing back from JSON, so that it can be verified: numbers as they were written, names resolved.

use super::MarketCase;
use super::decode::{seconds, whole};
use market::price_clearing::{Payee, Plan, PriceClearing, Prices, Worth};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Why a result could not be read.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ResultError {
    /// No JSON, or not the fields of a result.
    #[error("no clearing result: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// A part that does not belong to the case.
    #[error("{place}: {reason}")]
    Part {
        /// Which part.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct In {
    welfare_exact: String,
    bound_exact: String,
    assignments: Vec<Assignment>,
    prices: InPrices,
    rows: Vec<InRow>,
    postings: Vec<Posting>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Assignment {
    id: String,
    start_time: String,
    schedule_slices: Vec<Slice>,
    #[serde(default)]
    activation_factor: f64,
    asked: f64,
    payment: f64,
    profit: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    energy_amount: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InPrices {
    congestion_points: Vec<LimitPrice>,
    rows: Vec<LimitPrice>,
}

#[derive(Deserialize)]
struct LimitPrice {
    price: Vec<f64>,
    #[serde(default)]
    lump: Vec<f64>,
}

#[derive(Deserialize)]
struct InRow {
    r#use: Vec<f64>,
}

#[derive(Deserialize)]
struct Posting {
    account: String,
    amount: f64,
}

fn part(place: impl Into<String>, reason: impl Into<String>) -> ResultError {
    ResultError::Part { place: place.into(), reason: reason.into() }
}

/// Reads what a clearing of this case says. Only the shape is judged here; whether it holds is for the certificate.
pub fn read_result(case: &MarketCase, text: &str) -> Result<PriceClearing, ResultError> {
    let read: In =
        serde_json::from_str(text).map_err(|error| ResultError::Json { reason: error.to_string() })?;
    let number_of: BTreeMap<&str, u32> =
        case.offers.iter().enumerate().map(|(n, id)| (id.as_str(), n as u32)).collect();
    let mut plans = Vec::with_capacity(read.assignments.len());
    for assignment in &read.assignments {
        let unknown = || part(&assignment.id, "no such offer in the case");
        let offer = *number_of.get(assignment.id.as_str()).ok_or_else(unknown)?;
        plans.push(plan(case, offer, assignment)?);
    }
    let money = |place: &str, value: f64| whole(place, value).map_err(|reason| part(place, reason.sentence));
    let mut postings = Vec::with_capacity(read.postings.len());
    for posting in &read.postings {
        let payee = match posting.account.strip_prefix("offer:") {
            Some(id) => Payee::Offer(
                *number_of.get(id).ok_or_else(|| part(id, "a posting for no offer of the case"))?,
            ),
            None if posting.account == "dso" => Payee::Dso,
            None => return Err(part(&posting.account, "no account")),
        };
        postings.push((payee, money(&posting.account, posting.amount)?));
    }
    let exact = |place: &str, text: &str| text.parse().map(Worth).map_err(|_| part(place, "no whole number"));
    let row_use =
        read.rows.iter().flat_map(|row| row.r#use.iter().map(|kwh| (kwh * 1e12).round() as i128)).collect();
    Ok(PriceClearing {
        welfare: exact("welfareExact", &read.welfare_exact)?,
        bound: exact("boundExact", &read.bound_exact)?,
        proved: None,
        plans,
        declined: Vec::new(),
        prices: Prices {
            bid: prices(&read.prices.congestion_points, |limit| &limit.price)?,
            row: prices(&read.prices.rows, |limit| &limit.price)?,
            bid_lump: prices(&read.prices.congestion_points, |limit| &limit.lump)?,
            row_lump: prices(&read.prices.rows, |limit| &limit.lump)?,
        },
        row_use,
        postings,
    })
}

fn prices(limits: &[LimitPrice], of: impl Fn(&LimitPrice) -> &Vec<f64>) -> Result<Vec<i64>, ResultError> {
    let all = limits.iter().flat_map(|limit| of(limit).iter());
    all.map(|&value| whole("a price", value).map_err(|reason| part("prices", reason.sentence))).collect()
}

fn plan(case: &MarketCase, offer: u32, assignment: &Assignment) -> Result<Plan, ResultError> {
    let at = seconds(&assignment.start_time).map_err(|reason| part(&assignment.id, reason))? - case.start_s;
    let start = u16::try_from(at / case.interval_s).ok().filter(|_| at % case.interval_s == 0);
    let money = |value: f64| whole("money", value).map_err(|reason| part(&assignment.id, reason.sentence));
    let energies = assignment
        .schedule_slices
        .iter()
        .map(|slice| money(slice.energy_amount))
        .collect::<Result<_, _>>()?;
    Ok(Plan {
        offer,
        start: start.ok_or_else(|| part(&assignment.id, "it starts outside of the horizon"))?,
        energies,
        factor: money(assignment.activation_factor)?.clamp(0, i64::from(u32::MAX)) as u32,
        asked: money(assignment.asked)?,
        payment: money(assignment.payment)?,
        profit: money(assignment.profit)?,
    })
}
