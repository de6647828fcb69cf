//! Reference consumption: what prosumers contribute, and what a group is told as.

use crate::api::json_answer;
use crate::deposit::{body, now, write};
use crate::guard::allow;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::ProsumerId;
use grid::id::check_name;
use register::benchmark::Period;
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    prosumer: ProsumerId,
    load_type: String,
    period: Period,
    energy_kwh: f64,
}

/// `POST /api/v1/benchmarks`.
pub async fn contribute(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let given: Contribution = body(&request, payload, &state).await?;
    let principal = request.extensions().get::<Principal>().cloned();
    let (right, object) = ((Resource::Benchmark, Action::Create), given.prosumer.to_string());
    allow(&state.served.access, principal.as_ref(), right, Some(given.prosumer), object).await?;
    let kept = given.clone();
    let kept = register::benchmark::Contribution {
        by: kept.prosumer,
        // Whoever said it knows it, whoever's it is.
        account: principal.map(|principal| principal.name),
        load_type: kept.load_type,
        period: kept.period,
        energy_kwh: kept.energy_kwh,
    };
    write(&state, move |register, now| register.contribute(kept, now)).await?;
    Ok(json_answer(&given))
}

/// `GET /api/v1/benchmarks/{load_type}/{period}`.
pub async fn find(
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (load_type, period) = path.into_inner();
    let malformed = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail);
    check_name(&load_type).map_err(|error| malformed(error.to_string()))?;
    let period: Period =
        period.parse().map_err(|refusal: register::Refusal| malformed(refusal.to_string()))?;
    let now = now(&state)?;
    let kind = load_type.clone();
    // A site where nothing is deposited any more lets go of names, too.
    let told = write(&state, move |register, _| {
        register.tidy(now);
        Ok(register.benchmark(&kind, period, now)?)
    })
    .await?;
    let mut answer = json!(told);
    answer["load_type"] = json!(load_type);
    answer["period"] = json!(period);
    Ok(json_answer(&answer))
}
