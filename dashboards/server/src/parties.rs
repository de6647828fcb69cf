//! The house's own words for what parties do: offers listed and taken back, orders picked up and answered, measurements sent.

use crate::api::json_answer;
use crate::deposit::{body, limit, query_malformed};
use crate::guard::{note_list, stopped};
use crate::measured::told;
use crate::offers::id_of;
use crate::owned::Asking;
use crate::page::shortened;
use crate::party::{Acknowledgement, Party};
use crate::problem::Problem;
use crate::serve::State;
use crate::{OffersAsked, OffersPage};
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::ProsumerId;
use market::FlexOfferId;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Offers that are returned when no limit is given.
const LIMIT: usize = 100;
/// Offers that are returned at most.
const LIMIT_MAX: usize = 1_000;
/// Answers and measurements of one message.
const ENTRIES_MAX: usize = 100;

/// `GET /api/v1/flexoffers`.
pub async fn offers(
    request: HttpRequest,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (mut after, mut most, mut active) = (None, LIMIT, None);
    for (name, text) in asked.iter() {
        match name.as_str() {
            "after" => {
                let wrong = |error| query_malformed(format!("after: {error}"));
                after = Some(FlexOfferId::new(text.as_str()).map_err(wrong)?);
            }
            "limit" => most = limit(text, LIMIT_MAX)?,
            "state" => {
                active = Some(match text.as_str() {
                    "active" => true,
                    "history" => false,
                    _ => return Err(query_malformed("state: active or history".to_owned())),
                });
            }
            _ => {
                let detail = format!("{:?} is none of after, limit, state", shortened(name));
                return Err(query_malformed(detail));
            }
        }
    }
    let right = (Resource::FlexOffer, Action::Read);
    let principal = request.extensions().get::<Principal>().cloned();
    if let Some(principal) = principal {
        note_list(&state.served.access, &principal, right.0).await?;
    }
    let asking = Asking::new(&request, right);
    let place = asking.place(&state)?;
    let (market, asked) =
        (Arc::clone(&state.served.market), OffersAsked { after, owners: asking.owners(), active, most });
    let found = web::block(move || {
        let _place = place;
        market.offers(&asked)
    });
    let OffersPage { offers, next } = found.await.map_err(|_| stopped())?;
    Ok(json_answer(&json!({ "offers": offers, "next": next })))
}

/// `DELETE /api/v1/flexoffers/{id}`.
pub async fn withdraw(
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&path)?;
    Party::new(&request, &state).withdraw(&id).await?;
    Ok(json_answer(&json!({ "id": id, "state": "withdrawn" })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Heartbeat {
    prosumer: ProsumerId,
    #[serde(default)]
    acknowledged: Vec<Acknowledgement>,
}

/// `POST /api/v1/schedules`.
pub async fn schedules(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let Heartbeat { prosumer, acknowledged } = body(&request, payload, &state).await?;
    at_most(acknowledged.len())?;
    let party = Party::new(&request, &state);
    party.may((Resource::Schedule, Action::Act), prosumer, format!("schedules of {prosumer}")).await?;
    // It asks again in a moment, and its orders it gets in any case.
    let _ = state.served.market.heard(prosumer, false);
    let mut not_open = Vec::new();
    for answer in acknowledged {
        let id = answer.activation.clone();
        if !party.acknowledge(prosumer, answer).await? {
            not_open.push(id);
        }
    }
    let orders = party.orders(prosumer)?;
    let schedules: Map<String, Value> =
        orders.iter().map(|order| (order.offer.to_string(), json!(order))).collect();
    Ok(json_answer(&json!({ "schedules": schedules, "not_open": not_open })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Readings {
    values: Vec<Value>,
}

/// `POST /api/v1/measurements`.
pub async fn measurements(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let Readings { values } = body(&request, payload, &state).await?;
    at_most(values.len())?;
    let party = Party::new(&request, &state);
    let mut outcomes = party.measured_all(&values).await;
    // Nothing is wrong with it, and what was sent beside it changes nothing when it comes again.
    let ours = outcomes.iter().position(|outcome| outcome.as_ref().is_err_and(Problem::is_ours));
    if let Some(Err(problem)) = ours.map(|place| outcomes.swap_remove(place)) {
        return Err(problem);
    }
    if values.len() == 1
        && let Some(Err(problem)) = outcomes.pop_if(|outcome| outcome.is_err())
    {
        return Err(problem);
    }
    let became: Vec<Value> =
        values.iter().zip(&outcomes).map(|(value, outcome)| told(value, outcome.as_ref().copied())).collect();
    Ok(json_answer(&json!({ "values": became })))
}

pub(crate) fn at_most(count: usize) -> Result<(), Problem> {
    if count <= ENTRIES_MAX {
        return Ok(());
    }
    let detail = format!("at most {ENTRIES_MAX} entries at once, these are {count}");
    Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "limit", detail))
}
