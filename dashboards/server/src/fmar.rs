//! The words of GOFLEX's market (FMAR): offers with whole numbers for names, answered with a number each, and heartbeats answered
//! with schedules. Positive energy is fed in there; [`connectors::flex_offer`] turns it.
//!
//! | number | |
//! |---|---|
//! | 0 and more | accepted, the offer's name |
//! | −1 | there is no offer of that name |
//! | −2 | the party is not known here, or may not |
//! | −3 | it is bought already, or over |
//! | −4 | refused for another reason |

use crate::api::json_answer;
use crate::deposit::{body, now};
use crate::offer_message;
use crate::offers::not_now;
use crate::page::shortened;
use crate::parties::at_most;
use crate::party::{Acknowledgement, Party};
use crate::problem::Problem;
use crate::serve::State;
use crate::{OfferFound, OfferState};
use access::{Action, Resource};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::door::OVERLOADED;
use connectors::flex_offer::{Dialect, Directory, OfferMessage, encode_value};
use grid::{ProsumerId, Timestamp};
use market::flex_offer::life_cycle::ScheduleUpdate;
use market::{Activation, FlexOfferId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Names of fields that were not read, in an answer.
const UNREAD_MAX: usize = 20;

const UNKNOWN: i64 = -1;
const NO_RIGHT: i64 = -2;
const IN_EXECUTION: i64 = -3;
const OTHER: i64 = -4;

/// What clients of the market send besides is not read, and the answer says so.
#[derive(Deserialize)]
struct Message {
    #[serde(default, rename = "flexOffer")]
    offers: Option<Vec<Value>>,
    #[serde(default)]
    heartbeat: Option<Heartbeat>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Heartbeat {
    foa_time: Timestamp,
    offered_by_id: ProsumerId,
    #[serde(default)]
    operation_info: Value,
    /// Beyond the protocol: what ends the repetition of a schedule.
    #[serde(default)]
    acknowledged: Vec<Acknowledgement>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

impl Message {
    /// Names of fields that are not read.
    fn unread(&self) -> Vec<String> {
        let of_beat = self.heartbeat.iter().flat_map(|beat| beat.more.keys());
        let of_beat = of_beat.map(|name| format!("heartbeat.{}", shortened(name)));
        self.more.keys().map(|name| shortened(name)).chain(of_beat).take(UNREAD_MAX).collect()
    }
}

/// `POST /api/v1/fmar/flexOffer/v0`.
pub async fn trade(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let message: Message = body(&request, payload, &state).await?;
    let unread = message.unread();
    let Message { offers, heartbeat, .. } = message;
    if offers.is_none() && heartbeat.is_none() && !unread.is_empty() {
        let detail = format!("there is {}, and neither flexOffer nor heartbeat", unread.join(", "));
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail));
    }
    let offers = offers.unwrap_or_default();
    let acknowledged = heartbeat.as_ref().map_or(0, |beat| beat.acknowledged.len());
    at_most(offers.len() + acknowledged)?;
    let party = Party::new(&request, &state);
    if let Some(beat) = &heartbeat {
        let (owner, object) = (beat.offered_by_id, format!("schedules of {}", beat.offered_by_id));
        party.may((Resource::Schedule, Action::Act), owner, object).await?;
    }
    let mut replies = Vec::new();
    for offer in offers {
        replies.push(match one(&party, &state, offer).await {
            Ok(id) => json!({ "id": id }),
            Err((id, problem)) => {
                let (code, detail) = problem.words();
                json!({ "id": id, "code": code, "detail": detail })
            }
        });
    }
    let mut answer = json!({ "flexOffer": replies });
    if !unread.is_empty() {
        answer["unread"] = json!(unread);
    }
    if let Some(beat) = heartbeat {
        answer["heartbeat"] = answered(&party, &state, beat).await?;
    }
    Ok(json_answer(&answer))
}

type Refused = (i64, Problem);

/// The number that an offer is accepted under.
async fn one(party: &Party<'_>, state: &State, mut offer: Value) -> Result<i64, Refused> {
    let other = |problem| (OTHER, problem);
    let Some(fields) = offer.as_object_mut() else {
        let detail = "an offer is an object".to_owned();
        return Err((OTHER, crate::deposit::query_malformed(detail)));
    };
    let given = fields.get("id").and_then(Value::as_i64).filter(|id| *id >= 0);
    let profile = fields.get("flexOfferProfileConstraints").or_else(|| fields.get("slices"));
    let taken_back = profile.and_then(Value::as_array).is_some_and(Vec::is_empty);
    let number = given.unwrap_or_else(|| number_of(fields));
    fields.insert("id".to_owned(), json!(number));
    let id = FlexOfferId::new(number.to_string()).map_err(|error| {
        let detail = error.to_string();
        other(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-name", detail))
    })?;
    // Of somebody else's offer nothing is said, not even that it is there.
    let found = state.served.market.find(id.clone()).await;
    if given.is_some() && !found.is_some_and(|found| party.owns(found.offer.prosumer)) {
        return Err((UNKNOWN, Problem::not_found(format!("there is no FlexOffer {id}"))));
    }
    if taken_back {
        return match party.withdraw(&id).await {
            Ok(()) => Ok(number),
            Err(problem) => Err((reply(&problem), problem)),
        };
    }
    if !offer_message::is_message(&offer) {
        let detail = "it has neither offeredById nor flexOfferProfileConstraints".to_owned();
        return Err(other(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "offer_malformed", detail)));
    }
    let (id, new) = party.hand_in(&offer).await.map_err(|problem| (reply(&problem), problem))?;
    if !new {
        still_stands(state, &id).await?;
    }
    Ok(number)
}

/// Whether an offer that came before can still be sold, or is.
async fn still_stands(state: &State, id: &FlexOfferId) -> Result<(), Refused> {
    let found = state.served.market.find(id.clone()).await.map(|found| found.state);
    let over = match found {
        Some(OfferState::Withdrawn) => "taken back",
        Some(OfferState::Expired) => "over",
        Some(OfferState::Accepted | OfferState::Contracted) | None => return Ok(()),
    };
    let detail = format!("FlexOffer {id} is known and {over}; hand in one that differs, with id -1");
    Err((IN_EXECUTION, Problem::new(StatusCode::CONFLICT, "over", detail)))
}

/// A name for an offer that has none: the same offer gets the same, so that repeating it is safe. 52 bits (FNV-1a), which
/// every JSON reader keeps.
fn number_of(fields: &Map<String, Value>) -> i64 {
    let mut content = fields.clone();
    content.remove("id");
    let text = Value::Object(content).to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash >> 12) as i64
}

/// The number of a refusal.
fn reply(problem: &Problem) -> i64 {
    match problem.words().0 {
        "not_found" => UNKNOWN,
        "forbidden" | "not_own" | "not_logged_in" | "bad-name" | "unknown-location" | "unknown-device" => {
            NO_RIGHT
        }
        "not-open" => IN_EXECUTION,
        _ => OTHER,
    }
}

async fn answered(party: &Party<'_>, state: &State, beat: Heartbeat) -> Result<Value, Problem> {
    let Heartbeat { foa_time, offered_by_id, operation_info, acknowledged, .. } = beat;
    tracing::debug!(prosumer = %offered_by_id, %foa_time, %operation_info, "heartbeat");
    if !state.served.market.heard(offered_by_id, true) {
        return Err(not_now(OVERLOADED, "too much is under way: the heartbeat was not heard, send it again"));
    }
    for answer in acknowledged {
        party.acknowledge(offered_by_id, answer).await?;
    }
    let mut schedules = Vec::new();
    for order in party.orders(offered_by_id)? {
        schedules.extend(scheduled(state, order, now(state)?).await);
    }
    Ok(json!({ "time": now(state)?, "schedules": schedules }))
}

/// An order in the market's words.
async fn scheduled(state: &State, order: Activation, now: Timestamp) -> Option<Value> {
    let found = state.served.market.find(order.offer.clone()).await?;
    // The order is what was assigned, also where the books say less.
    let held = OfferFound { schedule: Some(order.schedule.clone()), state: OfferState::Contracted, ..found };
    let phase = held.phase(now);
    let mut message = OfferMessage::new(held.offer, phase);
    message.schedule = Some(ScheduleUpdate { schedule_id: 1, update_id: 1, schedule: order.schedule });
    let written = encode_value(&message, Dialect::TradingInterface, &Directory::default());
    Some(json!({
        "id": written["id"], "offerId": order.offer, "activation": order.id,
        "state": written["state"], "flexOfferSchedule": written["flexOfferSchedule"],
    }))
}
