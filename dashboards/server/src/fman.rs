//! The words of GOFLEX's manager (FMAN) for handing in an offer: the same door, other status codes.

use crate::OfferAnswer;
use crate::deposit::body;
use crate::offer_message;
use crate::offers::written;
use crate::page::shortened;
use crate::party::Party;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::ProsumerId;
use serde_json::Value;

/// `POST /api/v1/fman/flexoffer/{prosumer}`: 404 for a prosumer that is not known, 422 for whatever is refused.
pub async fn submit(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let prosumer = prosumer(&path)?;
    let message: Value = body(&request, payload, &state).await?;
    let party = Party::new(&request, &state).about(prosumer);
    let right = (Resource::FlexOffer, Action::Create);
    party.may(right, prosumer, format!("offer of {prosumer}")).await?;
    if state.served.market.devices_of(prosumer).is_empty() {
        return Err(Problem::not_found(format!("there is no prosumer {prosumer}")));
    }
    let (answer, id, notes) = party.offer(offer_message::read(&message)?).await?;
    if answer == OfferAnswer::Conflict {
        let detail = format!("another FlexOffer is already called {id}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "id_taken", detail));
    }
    written(answer, &id, &notes)
}

/// The number of a prosumer in a path.
pub(crate) fn prosumer(text: &str) -> Result<ProsumerId, Problem> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain).map(ProsumerId).ok_or_else(|| {
        let detail = format!("{:?} is no number of a prosumer", shortened(text));
        Problem::new(StatusCode::BAD_REQUEST, "id_malformed", detail)
    })
}
