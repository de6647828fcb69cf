//! What the DSO asks for, as GOFLEX writes it (D6.1, Table 1): for whoever sells flexibility and asks every now and then.

use crate::api::json_answer;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use connectors::doms_bid;
use market::{BidId, DomsBid};
use serde_json::{Value, json};

/// `GET /api/v1/bids`: those of the newest need, one per congested element.
pub async fn list(state: web::Data<State>) -> HttpResponse {
    let bids: Vec<Value> = state.served.market.bids().iter().map(listed).collect();
    json_answer(&json!({ "bids": bids }))
}

/// `GET /api/v1/bids/{id}`: one of them, or an earlier one.
pub async fn find(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (_, found) = found(&path, &state)?;
    Ok(json_answer(&table_1(&found.bid)))
}

/// `GET /api/v1/bids/{id}/feedback`: what was bought for it.
pub async fn feedback(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (id, found) = found(&path, &state)?;
    if found.bought.is_none() && found.open {
        let detail = format!("nothing was bought for {id} yet, and it is still open");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no_feedback_yet", detail));
    }
    let text = doms_bid::encode_feedback(&doms_bid::Feedback { bid: id, bought: found.bought });
    Ok(json_answer(&parsed(&text)))
}

pub(crate) fn found(path: &str, state: &State) -> Result<(BidId, crate::BidFound), Problem> {
    let id = BidId::new(path)
        .map_err(|error| Problem::new(StatusCode::BAD_REQUEST, "id_malformed", error.to_string()))?;
    let found = state.served.market.bid(&id);
    found
        .map(|found| (id, found))
        .ok_or_else(|| Problem::not_found("there is no bid of this name".to_owned()))
}

fn listed(bid: &DomsBid) -> Value {
    json!({ "id": bid.id, "congestion_point": bid.congestion_point, "bid": table_1(bid) })
}

fn table_1(bid: &DomsBid) -> Value {
    parsed(&doms_bid::encode(bid))
}

/// What the codec wrote, as part of a larger document.
pub(crate) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}
