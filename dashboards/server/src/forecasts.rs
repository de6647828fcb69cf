//! What usage points are expected to take, without further activation.

use crate::api::json_answer;
use crate::deposit::{limit, query_malformed};
use crate::owned::Asking;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::telemetry::Element;
use grid::{ProsumerId, UsagePointForecast, UsagePointId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Usage points that are returned at most.
const LIMIT: usize = 100;
/// The 90 % quantile of the standard normal distribution.
const Z90: f64 = 1.281_551_565_544_600_5;
const RIGHT: (Resource, Action) = (Resource::Forecast, Action::Read);

/// `GET /api/v1/forecasts`.
pub async fn list(
    request: HttpRequest,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (mut points, mut prosumer, mut after, mut most) = (BTreeSet::new(), None, None, LIMIT);
    for (name, text) in asked.iter() {
        match name.as_str() {
            "usage_point" if points.len() < LIMIT => {
                points.insert(UsagePointId(number(name, text)?));
            }
            "usage_point" => return Err(query_malformed(format!("at most {LIMIT} usage points at once"))),
            "prosumer" => prosumer = Some(ProsumerId(number(name, text)?)),
            "after" => after = Some(UsagePointId(number(name, text)?)),
            "limit" => most = limit(text, LIMIT)?,
            _ => {
                let detail = format!("{:?} is none of usage_point, prosumer, after, limit", shortened(name));
                return Err(query_malformed(detail));
            }
        }
    }
    let asking = Asking::new(&request, RIGHT);
    for point in &points {
        let element = Element::UsagePoint(*point);
        asking.require(&state, element, format!("usage point {point}")).await?;
    }
    let behind = prosumer.map(|prosumer| {
        let devices = state.served.market.devices_of(prosumer);
        devices.into_iter().map(|(point, _)| point).collect::<BTreeSet<_>>()
    });
    let forecasts = state.served.operations.forecasts.newest().ok_or_else(|| {
        let detail = "no forecast was made yet; the first comes within five minutes of the start";
        Problem::new(StatusCode::NOT_FOUND, "no_forecast", detail)
    })?;
    let mut wanted: Vec<&UsagePointForecast> = forecasts
        .iter()
        .filter(|one| points.is_empty() || points.contains(&one.usage_point))
        .filter(|one| behind.as_ref().is_none_or(|behind| behind.contains(&one.usage_point)))
        .filter(|one| after.is_none_or(|after| after < one.usage_point))
        .filter(|one| asking.sees(&state, Element::UsagePoint(one.usage_point)))
        .collect();
    wanted.sort_by_key(|one| one.usage_point);
    let more = wanted.len() > most;
    wanted.truncate(most);
    let next = wanted.last().filter(|_| more).map(|last| last.usage_point);
    let shown: Vec<Value> = wanted.into_iter().map(shown).collect();
    Ok(json_answer(&json!({ "unit": "W", "forecasts": shown, "next": next })))
}

/// A number in a query.
pub(crate) fn number(name: &str, text: &str) -> Result<u32, Problem> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let read = text.parse().ok().filter(|_| plain);
    read.ok_or_else(|| query_malformed(format!("{name}: {:?} is no number", shortened(text))))
}

/// Quantiles are those of a normal distribution with the forecast's mean and standard deviation.
fn shown(forecast: &UsagePointForecast) -> Value {
    let slot = |one: &grid::SlotForecast| {
        json!({
            "start": one.slot.start(),
            "value": one.p_w,
            "p10": one.p_w - Z90 * one.p_std_w,
            "p50": one.p_w,
            "p90": one.p_w + Z90 * one.p_std_w,
        })
    };
    json!({
        "usage_point": forecast.usage_point,
        "issued_at": forecast.issued_at,
        "slots": forecast.slots.iter().map(slot).collect::<Vec<_>>(),
    })
}
