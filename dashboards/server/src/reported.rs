//! What parties answered to bids: accepted with a schedule, or rejected. It moves no money and no device and is kept in
//! memory: what is bought stands in contracts.

use crate::api::json_answer;
use crate::bids::{found, parsed};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use access::Principal;
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use connectors::doms_bid::{Feedback, decode_feedback, encode_feedback};
use market::{BidId, DomsBid};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Most bids whose answers are kept; of more, those of the bid that was first answered longest ago go.
const BIDS_MAX: usize = 1_000;
/// Most answers to one bid, one of each party; more are refused.
const PARTIES_MAX: usize = 100;

/// The answers, by bid and party; a later one of the same party replaces the earlier.
#[derive(Debug, Default)]
pub struct Reported(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_bid: BTreeMap<BidId, (u64, BTreeMap<String, Feedback>)>,
    /// Answers ever kept: its value at the first one to a bid tells which bid was answered first.
    count: u64,
    /// Answers that had to go.
    forgotten: u64,
}

impl Reported {
    fn keep(&self, by: &str, feedback: Feedback) -> Result<(), Problem> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.by_bid.contains_key(&feedback.bid) && kept.by_bid.len() >= BIDS_MAX {
            let oldest = kept.by_bid.iter().min_by_key(|(_, (number, _))| *number).map(|(id, _)| id.clone());
            let gone = oldest.and_then(|id| kept.by_bid.remove(&id)).map_or(0, |(_, answers)| answers.len());
            kept.forgotten += gone as u64;
        }
        kept.count += 1;
        let count = kept.count;
        let (_, answers) = kept.by_bid.entry(feedback.bid.clone()).or_insert((count, BTreeMap::new()));
        if !answers.contains_key(by) && answers.len() >= PARTIES_MAX {
            let detail = format!("{PARTIES_MAX} parties have answered {} already", feedback.bid);
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "feedback_full", detail));
        }
        answers.insert(by.to_owned(), feedback);
        Ok(())
    }

    /// The answers to a bid by party, and how many to any bid had to go.
    fn of(&self, bid: &BidId) -> (Vec<(String, Feedback)>, u64) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = kept.by_bid.get(bid).map(|(_, answers)| answers.clone()).unwrap_or_default();
        (answers.into_iter().collect(), kept.forgotten)
    }
}

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
    let by =
        request.extensions().get::<Principal>().map_or_else(|| "local".to_owned(), |who| who.name.clone());
    tracing::info!(bid = %id, by, accepted = feedback.bought.is_some(), "feedback to a bid");
    let answer = one(&by, &feedback);
    state.reported.keep(&by, feedback)?;
    Ok(json_answer(&answer))
}

/// `GET /api/v1/bids/{id}/feedback/reported`.
pub async fn list(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let (id, _) = found(&path, &state)?;
    let (answers, forgotten) = state.reported.of(&id);
    let reported: Vec<Value> = answers.iter().map(|(by, feedback)| one(by, feedback)).collect();
    Ok(json_answer(&json!({ "reported": reported, "forgotten": forgotten })))
}

fn one(by: &str, feedback: &Feedback) -> Value {
    json!({ "by": by, "feedback": parsed(&encode_feedback(feedback)) })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn rejected(bid: &str) -> Feedback {
        Feedback { bid: BidId::new(bid).unwrap(), bought: None }
    }

    #[test]
    fn answers_are_kept_by_party_and_within_limits() {
        let reported = Reported::default();
        for number in 0..=BIDS_MAX {
            reported.keep("a", rejected(&format!("bid-{number}"))).unwrap();
        }
        assert_eq!(reported.of(&BidId::new("bid-0").unwrap()), (vec![], 1), "the first had to go");
        let last = format!("bid-{BIDS_MAX}");
        for party in 0..PARTIES_MAX - 1 {
            reported.keep(&format!("party-{party}"), rejected(&last)).unwrap();
        }
        assert!(reported.keep("one more", rejected(&last)).is_err());
        reported.keep("a", rejected(&last)).unwrap();
        assert_eq!(reported.of(&BidId::new(&last).unwrap()).0.len(), PARTIES_MAX);
    }
}
