//! What was measured and estimated, by point and time.

use crate::api::json_answer;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use actors::Historian;
use grid::{PointId, Timestamp};
use history::{HistoryError, Kind, Query, Value, Versions};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Values that are returned when no limit is given.
const LIMIT: usize = 10_000;
/// Values that are returned at most.
const LIMIT_MAX: usize = 100_000;
/// Points that may be asked for at once.
const POINTS_MAX: usize = 1_000;
/// The span when no start is given.
const SPAN: Duration = Duration::from_secs(86_400);

/// `GET /api/v1/history`.
pub async fn figures(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let figures: BTreeMap<Kind, history::Figures> = historian(&state)?.figures();
    Ok(json_answer(&figures))
}

/// `GET /api/v1/history/{kind}`.
pub async fn values(
    path: web::Path<String>,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == path.as_str());
    let kind =
        kind.ok_or_else(|| Problem::not_found("the kinds of history are telemetry, energy and estimate"))?;
    let historian = historian(&state)?;
    let now = state.served.picture.borrow().clock.now;
    let query = query(kind, &asked, now)?;
    let values = historian.query(query).await.map_err(|error| match error {
        HistoryError::TooMany { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_values", error.to_string())
        }
        _ => {
            tracing::error!(%error, "the history cannot be read");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "history_unreadable",
                "the history cannot be read; see the log",
            )
        }
    })?;
    let values: Vec<_> = values.iter().map(shown).collect();
    Ok(json_answer(&json!({ "kind": kind, "values": values })))
}

fn historian(state: &State) -> Result<&Historian, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "no_history", "this system keeps no history");
    state.served.operations.historian.as_ref().ok_or_else(none)
}

/// A value with its unit.
fn shown(value: &Value) -> serde_json::Value {
    let mut shown = json!(value);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("kind");
        fields.insert("unit".to_owned(), value.point.quantity.unit().into());
    }
    shown
}

/// What was asked; `now` is the newest instant of the picture.
fn query(kind: Kind, asked: &[(String, String)], now: Timestamp) -> Result<Query, Problem> {
    let refuse = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "query_malformed", detail);
    let instant = |name: &str, text: &str| {
        text.parse::<Timestamp>()
            .map_err(|error| refuse(format!("{name}: {error}; write for example 2026-01-15T16:30:00Z")))
    };
    let (mut points, mut from, mut until, mut versions, mut most) =
        (Vec::new(), None, None, Versions::Newest, LIMIT);
    for (name, text) in asked {
        match name.as_str() {
            "point" if points.len() < POINTS_MAX => {
                points.push(text.parse::<PointId>().map_err(|error| refuse(error.to_string()))?);
            }
            "point" => return Err(refuse(format!("at most {POINTS_MAX} points at once"))),
            "from" => from = Some(instant("from", text)?),
            "until" => until = Some(instant("until", text)?),
            "as_of" => versions = Versions::AsOf(instant("as_of", text)?),
            "versions" => {
                versions = match text.as_str() {
                    "all" => Versions::All,
                    "newest" => Versions::Newest,
                    _ => return Err(refuse("versions: all or newest".to_owned())),
                }
            }
            "limit" => {
                let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                most = limit.ok_or_else(|| refuse(format!("limit: a whole number from 1 to {LIMIT_MAX}")))?;
            }
            _ => {
                return Err(refuse(format!(
                    "{name:?} is none of point, from, until, as_of, versions, limit"
                )));
            }
        }
    }
    // The second of now is not over yet.
    let until = until.unwrap_or(now.plus(Duration::from_secs(1)));
    let from = from.unwrap_or(until.minus(SPAN));
    if from >= until {
        return Err(refuse(format!("from ({from}) is not before until ({until})")));
    }
    Ok(Query { kind, points, from, until, versions, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Query, Problem> {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        query(Kind::Energy, &pairs, "2026-01-15T16:30:00Z".parse().unwrap())
    }

    #[test]
    fn a_day_until_now_is_asked_for_when_nothing_is_said() {
        let query = asked(&[]).unwrap();
        assert_eq!(
            (query.from.to_string(), query.until.to_string()),
            ("2026-01-14T16:30:01Z".into(), "2026-01-15T16:30:01Z".into())
        );
        assert_eq!((query.points.len(), query.versions, query.most), (0, Versions::Newest, LIMIT));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("point", "bus.x")], "bus.x"),
            (&[("from", "yesterday")], "from:"),
            (&[("from", "2026-01-15T17:30:00Z")], "is not before"),
            (&[("limit", "0")], "from 1 to 100000"),
            (&[("versions", "some")], "all or newest"),
            (&[("pont", "bus.1.u.a")], "\"pont\" is none of"),
        ];
        for (pairs, words) in cases {
            let problem = asked(pairs).unwrap_err().to_string();
            assert!(problem.contains(words), "{problem}");
        }
    }
}
