//! A clearing back from JSON, so that it can be verified: numbers as they were written, names resolved.
//!
//! The certificate judges the integers. What a result says a second time for people, `twins` compares with them; a
//! field that neither knows is refused, so nothing in a result stands unjudged but `cpuSeconds` and `claimed`.

use super::MarketCase;
use super::decode::{nearest, seconds};
use super::fault::RESULT_BYTES_MAX;
use super::result_wire::{Assignment, Binding, In, LimitPrice, Reference, Refusal};
use super::twins;
use market::price_clearing::{
    Alternative, DeclineReason, Declined, Limit, LumpPrice, NodePrice, Payee, Plan, PriceClearing, Prices,
    Worth,
};
use std::collections::BTreeMap;
use thiserror::Error;

/// Largest figure of a result that is no decimal of the case: kWh, or currency per kWh.
const FINE_MAX: f64 = 1e24;

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
    /// A figure for people that is not what the exact ones make it.
    #[error("{field} is {said}, it should be {found}")]
    Twin {
        /// Which field.
        field: String,
        /// As written.
        said: String,
        /// What the rest of the result says.
        found: String,
    },
}

pub(super) fn part(place: impl Into<String>, reason: impl Into<String>) -> ResultError {
    ResultError::Part { place: place.into(), reason: reason.into() }
}

/// Reads what a clearing of this case says, and compares what it says twice. Whether it holds is for the certificate.
pub fn read_result(case: &MarketCase, text: &str) -> Result<PriceClearing, ResultError> {
    if text.len() > RESULT_BYTES_MAX {
        let reason = format!("{} bytes; at most {RESULT_BYTES_MAX} are read", text.len());
        return Err(ResultError::Json { reason });
    }
    let read: In =
        serde_json::from_str(text).map_err(|error| ResultError::Json { reason: error.to_string() })?;
    let names = Names::new(case);
    let plans =
        read.assignments.iter().map(|assignment| names.plan(assignment)).collect::<Result<Vec<_>, _>>()?;
    let own = read.refusals.len().checked_sub(case.refused.len());
    let own = own.ok_or_else(|| part("refusals", "offers that the case refuses are missing"))?;
    let declined =
        read.refusals[..own].iter().map(|refusal| names.declined(refusal)).collect::<Result<Vec<_>, _>>()?;
    let mut postings = Vec::with_capacity(read.postings.len());
    for posting in &read.postings {
        let payee = match posting.account.strip_prefix("offer:") {
            Some(id) => Payee::Offer(names.offer(id)?),
            None if posting.account == "dso" => Payee::Dso,
            None => return Err(part(&posting.account, "no account")),
        };
        postings.push((payee, decimal(&posting.account, posting.amount)?));
    }
    let exact = |place: &str, text: &str| {
        // Written in one way only: no sign or zeros in front.
        let value: i128 = text.parse().map_err(|_| part(place, "no whole number"))?;
        if value.to_string() == text { Ok(Worth(value)) } else { Err(part(place, "no plain whole number")) }
    };
    let clearing = PriceClearing {
        welfare: exact("welfareExact", &read.welfare_exact)?,
        bound: exact("boundExact", &read.bound_exact)?,
        claimed: None,
        claimed_offers: 0,
        plans,
        declined,
        prices: Prices {
            bid: prices(&read.prices.congestion_points)?,
            row: prices(&read.prices.rows)?,
            lumps: names.lumps(&read)?,
        },
        node_prices: node_prices(case, &read)?,
        row_use: uses(&read)?,
        postings,
    };
    twins::compare(case, &read, &clearing)?;
    Ok(clearing)
}

/// A number that was written from 10⁻¹² parts.
fn fine(place: &str, value: f64) -> Result<i128, ResultError> {
    if !(value.abs() <= FINE_MAX) {
        return Err(part(place, format!("{value:e} is more than can be")));
    }
    Ok((value * 1e12).round() as i128)
}

/// A number that was written from whole millionths: exactly one of those.
fn decimal(place: &str, value: f64) -> Result<i64, ResultError> {
    let whole = nearest(place, value).map_err(|reason| part(place, reason.sentence))?;
    if whole as f64 / 1e6 == value {
        Ok(whole)
    } else {
        Err(part(place, format!("{value} is not in millionths")))
    }
}

fn decimals(place: &str, values: &[f64]) -> Result<Vec<i64>, ResultError> {
    values.iter().map(|&value| decimal(place, value)).collect()
}

fn prices(limits: &[LimitPrice]) -> Result<Vec<i64>, ResultError> {
    let mut all = Vec::new();
    for limit in limits {
        all.extend(decimals(&limit.id, &limit.price)?);
    }
    Ok(all)
}

fn uses(read: &In) -> Result<Vec<i128>, ResultError> {
    let mut all = Vec::new();
    for row in &read.rows {
        for &kwh in &row.r#use {
            all.push(fine(&row.element, kwh)?);
        }
    }
    Ok(all)
}

fn node_prices(case: &MarketCase, read: &In) -> Result<Vec<NodePrice>, ResultError> {
    let t = case.problem.intervals();
    let mut all = Vec::with_capacity(case.nodes.len() * t);
    for node in &read.prices.nodes {
        let lumps = node.of_lumps.len();
        if [node.price.len(), node.of_bids.len(), node.of_rows.len()] != [t; 3] || (lumps != 0 && lumps != t)
        {
            return Err(part(&node.node, format!("{t} prices are needed of each kind")));
        }
        for i in 0..t {
            all.push(NodePrice {
                of_bids: fine(&node.node, node.of_bids[i])?,
                of_rows: fine(&node.node, node.of_rows[i])?,
                of_lumps: fine(&node.node, node.of_lumps.get(i).copied().unwrap_or_default())?,
            });
        }
    }
    Ok(all)
}

/// Numbers of names.
struct Names<'a> {
    case: &'a MarketCase,
    offers: BTreeMap<&'a str, u32>,
}

impl<'a> Names<'a> {
    fn new(case: &'a MarketCase) -> Self {
        let offers = case.offers.iter().enumerate().map(|(n, id)| (id.as_str(), n as u32)).collect();
        Self { case, offers }
    }

    fn offer(&self, id: &str) -> Result<u32, ResultError> {
        self.offers.get(id).copied().ok_or_else(|| part(id, "no such offer in the case"))
    }

    fn interval(&self, place: &str, text: &str) -> Result<u16, ResultError> {
        let at = seconds(text).map_err(|reason| part(place, reason))? - self.case.start_s;
        let interval = u16::try_from(at.div_euclid(self.case.interval_s)).ok();
        interval
            .filter(|_| at % self.case.interval_s == 0)
            .ok_or_else(|| part(place, format!("{text} is no interval of the horizon")))
    }

    /// Lump prices, ascending by interval and limit.
    fn lumps(&self, read: &In) -> Result<Vec<LumpPrice>, ResultError> {
        let bids = read.prices.congestion_points.iter().zip((0..).map(Limit::Bid));
        let rows = read.prices.rows.iter().zip((0..).map(Limit::Row));
        let mut all = Vec::new();
        for (prices, limit) in bids.chain(rows) {
            for lump in &prices.lumps {
                let reference =
                    |part: &Reference| Ok((self.offer(&part.id)?, decimal(&part.id, part.energy_amount)?));
                all.push(LumpPrice {
                    limit,
                    interval: self.interval(&prices.id, &lump.start_time)?,
                    price: decimal(&prices.id, lump.price)?,
                    unit: decimal(&prices.id, lump.unit)?,
                    from: lump.from.iter().map(reference).collect::<Result<_, ResultError>>()?,
                });
            }
        }
        all.sort_by_key(|lump| (lump.interval, lump.limit));
        Ok(all)
    }

    fn plan(&self, assignment: &Assignment) -> Result<Plan, ResultError> {
        let id = &assignment.id;
        let energies: Vec<f64> = assignment.schedule_slices.iter().map(|slice| slice.energy_amount).collect();
        Ok(Plan {
            offer: self.offer(id)?,
            start: self.interval(id, &assignment.start_time)?,
            energies: decimals(id, &energies)?,
            factor: factor(id, assignment.activation_factor)?,
            asked: decimal(id, assignment.asked)?,
            payment: decimal(id, assignment.payment)?,
            profit: decimal(id, assignment.profit)?,
        })
    }

    fn declined(&self, refusal: &Refusal) -> Result<Declined, ResultError> {
        let id = &refusal.id;
        let reason = DeclineReason::ALL.into_iter().find(|reason| reason.code() == refusal.reason);
        let alternative = match &refusal.alternative {
            Some(schedule) => Some(Alternative {
                start: self.interval(id, &schedule.start_time)?,
                energies: decimals(id, &schedule.energy_amounts)?,
                factor: factor(id, schedule.activation_factor)?,
            }),
            None => None,
        };
        Ok(Declined {
            offer: self.offer(id)?,
            reason: reason.ok_or_else(|| part(id, format!("{:?} is no reason", refusal.reason)))?,
            winning_ask: decimal(id, refusal.winning_price.unwrap_or_default())?,
            asked: decimal(id, refusal.asked.unwrap_or_default())?,
            against: refusal.binding_row.as_ref().map(|binding| self.against(id, binding)).transpose()?,
            alternative,
        })
    }

    /// The first limit of a name: congestion points come before rows, as they do in a clearing.
    fn against(&self, id: &str, binding: &Binding) -> Result<(Limit, u16), ResultError> {
        let of =
            |names: &[String]| names.iter().position(|name| *name == binding.element).map(|at| at as u32);
        let limit = of(&self.case.congestion_points)
            .map(Limit::Bid)
            .or_else(|| of(&self.case.elements).map(Limit::Row));
        let unknown = || part(id, format!("{:?} is neither congestion point nor element", binding.element));
        Ok((limit.ok_or_else(unknown)?, self.interval(id, &binding.start_time)?))
    }
}

fn factor(place: &str, value: Option<f64>) -> Result<u32, ResultError> {
    match value {
        None => Ok(0),
        Some(value) => match u32::try_from(decimal(place, value)?) {
            Ok(factor) if factor > 0 => Ok(factor),
            _ => Err(part(place, "an activation factor of nothing")),
        },
    }
}
