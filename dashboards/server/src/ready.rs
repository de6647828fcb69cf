//! `GET /readyz`: whether a load balancer should send anybody here.
//!
//! A site is served by one process. Taking it out of the way helps who would be shown a state that is not true; it helps nobody when
//! only recording is impossible: orders and the page are read here or nowhere. So a full disk is said, and is a reason for those only
//! who ask `?for=offers`.

use crate::api::json_answer;
use crate::deposit::query_malformed;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use actors::grid_side::region::SOLVE_PERIOD;
use actors::journal::stage::JOURNAL_FULL;
use actors::picture::Picture;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// An estimate that is older, by the system's clock, is stale: five in a row are missing.
pub const ESTIMATE_AGE_MAX: Duration = Duration::from_secs(SOLVE_PERIOD.as_secs() * 5);
/// Where the system's clock runs faster than the wall's, it has so long at least by the wall's.
const ESTIMATE_AGE_MIN_WALL_S: f64 = 10.0;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default, rename = "for")]
    what_for: WhatFor,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum WhatFor {
    /// To be shown something.
    #[default]
    Reads,
    /// To hand in offers, too.
    Offers,
}

/// There is an estimate of these minutes, so what the page shows is true; and offers can be recorded, where that is asked.
pub(crate) async fn readyz(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let asked = web::Query::<Asked>::from_query(request.query_string());
    let Asked { what_for } = asked.map_err(|error| query_malformed(error.to_string()))?.into_inner();
    let records = state.served.operations.books.read_only().is_none();
    let said = readiness(&state.served.picture.borrow(), records, what_for)?;
    Ok(json_answer(&said))
}

fn readiness(picture: &Picture, records: bool, what_for: WhatFor) -> Result<Value, Problem> {
    let estimate_at = estimated(picture)?;
    if records {
        return Ok(json!({ "status": "ready", "estimate_at": estimate_at }));
    }
    // Anybody may ask: of which file it is the log and the page tell.
    let reason = "the disk is full: nothing can be recorded until there is room, what is known can be read";
    match what_for {
        WhatFor::Offers => Err(not_ready(JOURNAL_FULL, reason)),
        WhatFor::Reads => Ok(json!({
            "status": "read_only", "code": JOURNAL_FULL, "reason": reason, "estimate_at": estimate_at,
        })),
    }
}

/// The instant of the newest estimate, if it is new enough.
fn estimated(picture: &Picture) -> Result<grid::Timestamp, Problem> {
    let Some(at) = picture.health.estimator.at else {
        return Err(not_ready("not_ready", "there is no estimate yet"));
    };
    let age_s = picture.clock.now.since(at).as_secs_f64();
    let most_s = ESTIMATE_AGE_MAX.as_secs_f64().max(ESTIMATE_AGE_MIN_WALL_S * picture.clock.speed);
    if age_s <= most_s {
        return Ok(at);
    }
    let why = picture.health.estimator.message.as_deref();
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    Err(not_ready("stale_estimate", format!("the newest estimate is of {at}, {age_s:.0} s old{why}")))
}

fn not_ready(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said_and_a_problem_for_who_hands_in_offers_only() {
        let mut picture = Picture::default();
        picture.health.estimator.at = Some(picture.clock.now);
        for what_for in [WhatFor::Reads, WhatFor::Offers] {
            assert_eq!(readiness(&picture, true, what_for).unwrap()["status"], "ready");
        }
        let said = readiness(&picture, false, WhatFor::Reads).unwrap();
        assert_eq!((&said["status"], &said["code"]), (&json!("read_only"), &json!("journal_full")));
        let problem = readiness(&picture, false, WhatFor::Offers).unwrap_err();
        assert_eq!(problem.words().0, "journal_full");
        // Without an estimate nobody is sent here.
        picture.health.estimator.at = None;
        assert_eq!(readiness(&picture, false, WhatFor::Reads).unwrap_err().words().0, "not_ready");
    }
}
