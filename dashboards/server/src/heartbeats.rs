//! `GET /api/v1/heartbeats`: which parties are expected to be heard of, and whether they trade.

use crate::api::json_answer;
use crate::owned::Asking;
use crate::serve::State;
use access::{Action, Resource};
use actix_web::{HttpRequest, HttpResponse, web};
use actors::beats::{BEAT_PERIOD, SILENCE_MAX};
use serde_json::{Value, json};

/// One's own, where one may not see everybody's.
pub async fn list(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    let asking = Asking::new(&request, (Resource::FlexOffer, Action::Read));
    let parties = state.served.operations.beats.parties();
    let seen = parties.into_iter().filter(|(party, _)| asking.sees_all() || asking.owns(*party));
    let rows: Vec<Value> = seen
        .map(|(party, beat)| {
            let trading = if beat.suspended_since.is_some() { "suspended" } else { "trading" };
            json!({
                "prosumer": party, "state": trading,
                "heard_at": beat.heard_at, "suspended_since": beat.suspended_since,
            })
        })
        .collect();
    json_answer(&json!({
        "period_s": BEAT_PERIOD.as_secs(), "silence_max_s": SILENCE_MAX.as_secs(), "parties": rows,
    }))
}
