//! Indicators of the site: values, goals, alarms.

use crate::api::json_answer;
use crate::deposit::{body, instant, limit, query_malformed, read, write};
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::Timestamp;
use register::indicator::{Direction, Goal, Indicator, Watch};
use register::{Refusal, Register};
use serde::Deserialize;
use serde_json::{Value, json};

/// Values that are returned when no limit is given.
const LIMIT: usize = 1_000;
/// Values that are returned at most.
const LIMIT_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    site: String,
    name: String,
    ts: Timestamp,
    value: f64,
    unit: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Alarm {
    threshold: f64,
    #[serde(default)]
    hysteresis: f64,
    /// That of the goal when absent.
    direction: Option<Direction>,
}

/// `GET /api/v1/kpis`.
pub async fn list(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let shown = |register: &Register| -> Result<Vec<Value>, Refusal> {
        Ok(register.indicators().iter().map(|(name, indicator)| summary(name, indicator)).collect())
    };
    let indicators = read(&state, shown).await?;
    Ok(json_answer(&json!({ "site": state.served.network.area, "kpis": indicators })))
}

/// `POST /api/v1/kpis`.
pub async fn post(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let Post { site, name, ts, value, unit } = body(&request, payload, &state).await?;
    let own = &state.served.network.area;
    if site != *own {
        let detail = format!("site {:?} is not served here, this is {own:?}", shortened(&site));
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "other_site", detail));
    }
    let (new, answer) = write(&state, move |register, now| {
        let stood = register.indicator(&name).is_ok_and(|known| known.alarm().is_some());
        let new = register.post(&name, ts, value, &unit, now)?;
        let indicator = register.indicator(&name)?;
        match indicator.alarm() {
            Some(alarm) if !stood => tracing::warn!(kpi = name, value = alarm.value, "alarm raised"),
            None if stood => tracing::info!(kpi = name, value, "alarm cleared"),
            _ => {}
        }
        Ok((new, summary(&name, indicator)))
    })
    .await?;
    let mut answered = json_answer(&answer);
    if new {
        *answered.status_mut() = StatusCode::CREATED;
    }
    Ok(answered)
}

/// `GET /api/v1/kpis/{id}`.
pub async fn find(
    path: web::Path<String>,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (mut from, mut until, mut most) = (None, None, LIMIT);
    for (name, text) in asked.iter() {
        match name.as_str() {
            "from" => from = Some(instant("from", text)?),
            "until" => until = Some(instant("until", text)?),
            "limit" => most = limit(text, LIMIT_MAX)?,
            _ => {
                let detail = format!("{:?} is none of from, until, limit", shortened(name));
                return Err(query_malformed(detail));
            }
        }
    }
    let answer = read(&state, move |register| {
        let indicator = register.indicator(&path)?;
        let within = indicator
            .values
            .iter()
            .filter(|(at, _)| from.is_none_or(|from| from <= **at) && until.is_none_or(|until| **at < until));
        // One more tells where to go on.
        let mut values: Vec<(Timestamp, f64)> =
            within.take(most + 1).map(|(&at, &value)| (at, value)).collect();
        let next = if values.len() > most { values.pop().map(|(at, _)| at) } else { None };
        let values: Vec<Value> =
            values.into_iter().map(|(ts, value)| json!({ "ts": ts, "value": value })).collect();
        let mut answer = summary(&path, indicator);
        answer["values"] = values.into();
        answer["next"] = json!(next);
        answer["forgotten"] = indicator.forgotten.into();
        answer["alarms"] = json!(indicator.alarms);
        answer["alarms_forgotten"] = indicator.alarms_forgotten.into();
        Ok(answer)
    })
    .await?;
    Ok(json_answer(&answer))
}

/// `PUT /api/v1/kpis/{id}/goal`.
pub async fn aim(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let goal: Goal = body(&request, payload, &state).await?;
    let answer = write(&state, move |register, now| {
        register.aim(&path, goal, now)?;
        Ok(summary(&path, register.indicator(&path)?))
    });
    Ok(json_answer(&answer.await?))
}

/// `PUT /api/v1/kpis/{id}/alarm`.
pub async fn watch(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let Alarm { threshold, hysteresis, direction } = body(&request, payload, &state).await?;
    let answer = write(&state, move |register, now| {
        let aimed = register.indicator(&path)?.goal.map(|goal| goal.direction);
        let direction = direction.or(aimed).ok_or_else(|| {
            Refusal::Malformed("direction: up or down is wanted while there is no goal".to_owned())
        })?;
        register.watch(&path, Watch { threshold, hysteresis, direction }, now)?;
        Ok(summary(&path, register.indicator(&path)?))
    });
    Ok(json_answer(&answer.await?))
}

fn summary(name: &str, indicator: &Indicator) -> Value {
    let newest = indicator.values.last_key_value();
    json!({
        "name": name,
        "unit": indicator.unit,
        "newest": newest.map(|(ts, value)| json!({ "ts": ts, "value": value })),
        "goal": indicator.goal,
        "watch": indicator.watch,
        "alarm": indicator.alarm(),
    })
}
