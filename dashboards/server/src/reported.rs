//! What parties answered to bids: accepted with a schedule, or rejected. It moves no money and no device and is kept in
//! the register: what is bought stands in contracts.

use crate::api::json_answer;
use crate::bids::{found, parsed};
use crate::deposit::{name, read, write};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use connectors::doms_bid::{Feedback, decode_feedback, encode_feedback};
use market::DomsBid;
use serde_json::{Value, json};

/// `POST /api/v1/bids/{id}/feedback`.
pub async fn report(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &state.limits).await?;
    let (id, bid) = found(&path, &state)?;
    if let Err(error) = serde_json::from_slice::<Value>(&body) {
        let detail = format!("the body is no feedback: {error}");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "not_json", detail));
    }
    let refuse = |code: &str, detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail);
    let feedback = decode_feedback(&body).map_err(|error| refuse(error.code(), error.to_string()))?;
    if feedback.bid != id {
        return Err(refuse("other-bid", format!("the feedback is to {}, handed in for {id}", feedback.bid)));
    }
    if let Some(detail) = outside(&bid.bid, &feedback) {
        return Err(refuse("outside-bid", detail));
    }
    let (by, text) = (name(&request), encode_feedback(&feedback));
    tracing::info!(bid = %id, by, accepted = feedback.bought.is_some(), "feedback to a bid");
    let answer = one(&by, &text);
    write(&state, move |register, now| register.answer(&id.to_string(), &by, text, now)).await?;
    Ok(json_answer(&answer))
}

/// `GET /api/v1/bids/{id}/feedback/reported`.
pub async fn list(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (id, _) = found(&path, &state)?;
    let id = id.to_string();
    let (answers, forgotten) = read(&state, move |register| Ok(register.answers(&id))).await?;
    let reported: Vec<Value> = answers.iter().map(|(by, text)| one(by, text)).collect();
    Ok(json_answer(&json!({ "reported": reported, "forgotten": forgotten })))
}

fn one(by: &str, feedback: &str) -> Value {
    json!({ "by": by, "feedback": parsed(feedback) })
}

/// In words, how an accepted schedule lies outside of the bid's intervals.
fn outside(bid: &DomsBid, feedback: &Feedback) -> Option<String> {
    let (start, energies) = feedback.bought.as_ref()?;
    let (end, bid_end) = (start.plus(energies.len() as i64), bid.start.plus(bid.intervals.len() as i64));
    let lies_outside = energies.is_empty() || *start < bid.start || end > bid_end;
    lies_outside.then(|| {
        format!(
            "a schedule of {} intervals from {} does not lie in the bid, from {} until {}",
            energies.len(),
            start.start(),
            bid.start.start(),
            bid_end.start()
        )
    })
}
