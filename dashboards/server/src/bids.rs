//! What the DSO asks for, as GOFLEX writes it (D6.1, Table 1): for whoever sells flexibility and asks every now and then.

use crate::api::json_answer;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use connectors::doms_bid;
use connectors::flex_offer::{Dialect, Directory, OfferMessage, encode_value};
use grid::{DeviceId, ProsumerId, UsagePointId};
use market::flex_offer::life_cycle::{Phase, ScheduleUpdate};
use market::portfolio::OfferIdentity;
use market::{BidId, DomsBid, FlexOfferId, Schedule};
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

/// `GET /api/v1/bids/{id}/flexoffer`: it may be assigned until it begins.
pub async fn as_flex_offer(
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (id, found) = found(&path, &state)?;
    let other_form = |what: String| Problem::not_found(format!("{id} cannot be said as a FlexOffer: {what}"));
    let bid = &found.bid;
    let (dso, element) = (ProsumerId(0), UsagePointId(bid.congestion_point.branch.0));
    let identity = OfferIdentity {
        id: FlexOfferId::new(id.to_string()).map_err(|error| other_form(error.to_string()))?,
        prosumer: dso,
        usage_point: element,
        device: DeviceId(dso.0),
        created_at: bid.start.start(),
    };
    let offer = bid.as_flex_offer(identity, bid.start.start());
    let offer = offer.map_err(|error| other_form(error.to_string()))?;
    let phase = match (&found.bought, found.open) {
        (Some(_), _) => Phase::Assigned,
        (None, true) => Phase::Offered,
        (None, false) => Phase::Rejected,
    };
    let mut message = OfferMessage::new(offer, phase);
    message.schedule = found.bought.as_ref().map(|bought| {
        let energies = bid.bought_as_profile(bought);
        ScheduleUpdate { schedule_id: 1, update_id: 1, schedule: Schedule { start: bid.start, energies } }
    });
    let mut names = Directory::default();
    names.register_prosumer("dso", dso);
    let phase = bid.congestion_point.phase.map(|phase| format!(".{}", phase.letter())).unwrap_or_default();
    names.register_place(&format!("branch.{element}{phase}"), element);
    Ok(json_answer(&json!({ "flexOffer": [encode_value(&message, Dialect::Specification, &names)] })))
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
