//! Messages that were set aside: to look at, to release, to discard.

use crate::api::json_answer;
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::runtime::SetAside;
use serde_json::json;

/// `GET /api/v1/quarantine`.
pub async fn list(state: web::Data<State>) -> HttpResponse {
    let quarantine = &state.served.operations.quarantine;
    json_answer(&json!({ "counts": quarantine.counts(), "messages": quarantine.kept() }))
}

/// `GET /api/v1/quarantine/{number}`.
pub async fn find(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let id = number(&path)?;
    let kept = state.served.operations.quarantine.kept();
    kept.into_iter()
        .find(|message| message.id == id)
        .map(|message| json_answer(&message))
        .ok_or_else(|| missing(id))
}

/// `POST /api/v1/quarantine/{number}/release`: back into its mailbox. JSON is asked for although there is nothing to say (no body, or
/// `{}`), so that a form of a foreign page cannot do it.
pub async fn release(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &state.limits).await?;
    if !body.is_empty() && serde_json::from_slice(&body).ok() != Some(json!({})) {
        let detail = "there is nothing to say beyond the number: no body, or {}";
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_not_empty", detail));
    }
    gone(number(&path)?, |id| state.served.operations.quarantine.release(id))
}

/// `DELETE /api/v1/quarantine/{number}`: thrown away.
pub async fn discard(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    gone(number(&path)?, |id| state.served.operations.quarantine.discard(id))
}

fn gone(id: u64, take: impl FnOnce(u64) -> Option<SetAside>) -> Result<HttpResponse, Problem> {
    take(id).map(|message| json_answer(&message)).ok_or_else(|| missing(id))
}

fn number(path: &str) -> Result<u64, Problem> {
    path.parse().map_err(|_| {
        let detail = "a message in quarantine is called by its number; GET /api/v1/quarantine lists them";
        Problem::new(StatusCode::BAD_REQUEST, "id_malformed", detail)
    })
}

fn missing(id: u64) -> Problem {
    Problem::not_found(format!(
        "there is no message {id} in quarantine; it was released or discarded, or never kept"
    ))
}
