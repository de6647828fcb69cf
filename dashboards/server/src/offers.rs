//! The offer routes: a bounded body, one FlexOffer, one answer after the system made it durable.

use crate::api::json_answer;
use crate::door::{OfferAnswer, OfferFound};
use crate::guard::allow;
use crate::offer_message;
use crate::page::shortened;
use crate::party::Party;
use crate::problem::Problem;
use crate::serve::{Limits, State};
use access::{Action, Principal, Resource};
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use connectors::flex_offer::Note;
use futures_util::StreamExt;
use market::flex_offer::life_cycle::Phase;
use market::{FlexOffer, FlexOfferId};
use serde::Serialize;
use serde_json::{Value, json};

/// When what could not be taken may be sent again, s.
const RETRY_AFTER_S: u32 = 1;

/// `POST /api/v1/flexoffers`.
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &state.limits).await?;
    let party = Party::new(&request, &state);
    let (answer, id, notes) = party.offer(offer_message::read_any(&body)?).await?;
    written(answer, &id, &notes)
}

/// An offer in our own form.
pub(crate) fn our_own(body: &[u8]) -> Result<FlexOffer, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { "offer_malformed" } else { "not_json" };
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Problem::new(status, code, format!("the body is no FlexOffer: {error}"))
    })
}

/// `PUT /api/v1/flexoffers/{id}`.
pub async fn change(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&path)?;
    let body = read_json(&request, payload, &state.limits).await?;
    let notes = Party::new(&request, &state).change(&id, offer_message::read_any(&body)?).await?;
    Ok(json_answer(&named(&id, &notes)))
}

/// The name of an offer in a path.
pub(crate) fn id_of(path: &str) -> Result<FlexOfferId, Problem> {
    FlexOfferId::new(path)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "id_malformed", error.to_string()))
}

/// `GET /api/v1/flexoffers/{id}`.
pub async fn find(
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = id_of(&path)?;
    let found = tokio::time::timeout(state.limits.answer_deadline, state.served.market.find(id.clone()))
        .await
        .map_err(|_| no_answer())?;
    let unknown = || Problem::not_found(format!("there is no FlexOffer {id}"));
    let found = found.ok_or_else(unknown)?;
    // Whose offers there are is nobody else's business.
    let allowed = own(&request, &state, Action::Read, &found.offer).await;
    allowed.map_err(
        |problem| if problem.status_code() == StatusCode::FORBIDDEN { unknown() } else { problem },
    )?;
    let now = crate::deposit::now(&state).ok();
    Ok(json_answer(&Shown { phase: now.map(|now| found.phase(now)), found }))
}

/// An offer with the phase of its life; without one in the first moment, when the system's time is not known.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    found: OfferFound,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
}

/// Whether the offer is the principal's own, where it may only have its own.
async fn own(request: &HttpRequest, state: &State, action: Action, offer: &FlexOffer) -> Result<(), Problem> {
    let principal = request.extensions().get::<Principal>().cloned();
    let right = (Resource::FlexOffer, action);
    allow(&state.served.access, principal.as_ref(), right, Some(offer.prosumer), offer.id.to_string()).await
}

pub(crate) fn no_answer() -> Problem {
    not_now(
        "no_answer",
        "the market did not answer in time; whether the offer was accepted is not known, so send it again with the same id",
    )
}

/// An offer's name, and what of its message was not read.
fn named(id: &FlexOfferId, notes: &[Note]) -> Value {
    let mut named = json!({ "id": id });
    if !notes.is_empty() {
        let noted = |note: &Note| json!({ "path": note.path, "what": note.what });
        named["notes"] = notes.iter().map(noted).collect();
    }
    named
}

/// Whether an offer that is taken is a new one; it may also have come before.
///
/// # Errors
/// Why it is not taken.
pub(crate) fn is_new(answer: OfferAnswer, id: &FlexOfferId) -> Result<bool, Problem> {
    match answer {
        OfferAnswer::Accepted => Ok(true),
        OfferAnswer::Known => Ok(false),
        OfferAnswer::Conflict => {
            let detail = format!("another FlexOffer is already called {id}");
            Err(Problem::new(StatusCode::CONFLICT, "id_taken", detail))
        }
        OfferAnswer::Refused { code, sentence } => {
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, sentence))
        }
        OfferAnswer::Unavailable { code, sentence } => Err(not_now(code, sentence)),
    }
}

/// The market cannot take it now. That there is no room on the disk, that the same is being recorded or that too much is under way
/// is over in seconds.
pub(crate) fn not_now(code: &str, sentence: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, sentence).retry_after_s(RETRY_AFTER_S)
}

pub(crate) fn written(
    answer: OfferAnswer,
    id: &FlexOfferId,
    notes: &[Note],
) -> Result<HttpResponse, Problem> {
    let named = named(id, notes);
    if !is_new(answer, id)? {
        return Ok(HttpResponse::Ok().json(named));
    }
    let location = ("location", format!("/api/v1/flexoffers/{id}"));
    Ok(HttpResponse::Created().insert_header(location).json(named))
}

/// A JSON body within the limits of size and time.
pub(crate) async fn read_json(
    request: &HttpRequest,
    payload: web::Payload,
    limits: &Limits,
) -> Result<Vec<u8>, Problem> {
    require_json(request)?;
    let body = tokio::time::timeout(limits.body_deadline, read_body(payload, limits.body_bytes_max));
    body.await.map_err(|_| {
        let seconds = limits.body_deadline.as_secs_f64();
        let detail = format!("the body did not arrive within {seconds} s");
        Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", detail)
    })?
}

/// Also keeps forms of foreign pages out: a browser sends JSON across origins only after asking first.
fn require_json(request: &HttpRequest) -> Result<(), Problem> {
    let given = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let media_type = given.split(';').next().unwrap_or("").trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = format!("content-type is {:?}, application/json is needed", shortened(given));
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", detail))
}

async fn read_body(mut payload: web::Payload, bytes_max: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "body_broken", format!("the body broke off: {error}"))
        })?;
        if body.len() + chunk.len() > bytes_max {
            let detail = format!("the body has more than {bytes_max} bytes");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
