//! The tree of supervision: the supervisor and its stages, as it sees them. No word of what their messages say.

use crate::api::json_answer;
use crate::deposit::{limit, query_malformed};
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::{HttpResponse, web};
use actors::runtime::shell::{RESTART_WINDOW, RESTARTS_MAX};
use serde_json::json;

/// Stages that are told when no limit is given.
const LIMIT: usize = 1_000;
/// Stages that are told at most.
const LIMIT_MAX: usize = 10_000;

/// `GET /api/v1/supervision`.
pub async fn tree(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (mut kind, mut most) = (None, LIMIT);
    for (name, value) in asked.iter() {
        match name.as_str() {
            "kind" => kind = Some(value.as_str()),
            "limit" => most = limit(value, LIMIT_MAX)?,
            other => {
                let other = shortened(other);
                return Err(query_malformed(format!("{other} is unknown; kind and limit are known")));
            }
        }
    }
    let operations = &state.served.operations;
    let kinds = operations.depths.by_kind();
    if let Some(unknown) = kind.filter(|kind| !kinds.contains_key(*kind)) {
        let known = kinds.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        return Err(query_malformed(format!("kind: there is no {}; there are: {known}", shortened(unknown))));
    }
    let (stages, count) = operations.depths.stages(kind, most);
    let (record, counts) = (operations.incidents.snapshot(), operations.quarantine.counts());
    Ok(json_answer(&json!({
        "supervisor": {
            "stages": kinds.values().map(|kind| kind.stages).sum::<u64>(),
            "restarts_max": RESTARTS_MAX,
            "window_s": RESTART_WINDOW.as_secs(),
            "restarts": record.restarts,
            "quarantined": counts.total,
            "escalations": record.escalations,
        },
        "kinds": kinds,
        "left_out": count - stages.len(),
        "stages": stages,
    })))
}
