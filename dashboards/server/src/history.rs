//! What was measured and estimated, by point and time.

use crate::api::json_answer;
use crate::deposit::{instant, limit, query_malformed};
use crate::follow::RIGHT;
use crate::owned::Asking;
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
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
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (kind, Asked { points, rest }) = asked(&path, &query, &state)?;
    required(&request, &points, &state).await?;
    let historian = historian(&state)?;
    let now = state.served.picture.borrow().clock.now;
    let query = spanned(kind, points, &rest, now)?;
    let values = historian.query(query).await.map_err(|error| unreadable(&error))?;
    let values: Vec<_> = values.iter().map(shown).collect();
    Ok(json_answer(&json!({ "kind": kind, "values": values })))
}

pub(crate) fn unreadable(error: &HistoryError) -> Problem {
    if let HistoryError::TooMany { .. } = error {
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too_many_values", error.to_string());
    }
    tracing::error!(%error, "the history cannot be read");
    let detail = "the history cannot be read; see the log";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "history_unreadable", detail)
}

/// Points that were asked for, and what else stands behind the question mark.
pub(crate) struct Asked<'a> {
    pub points: Vec<PointId>,
    pub rest: Vec<(&'a str, &'a str)>,
}

/// Which kind, and which points, by name or pseudonym.
pub(crate) fn asked<'a>(
    kind: &str,
    query: &'a [(String, String)],
    state: &State,
) -> Result<(Kind, Asked<'a>), Problem> {
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind);
    let kind =
        kind.ok_or_else(|| Problem::not_found("the kinds of history are telemetry, energy and estimate"))?;
    let (mut points, mut rest) = (Vec::new(), Vec::new());
    for (name, text) in query {
        let point = match name.as_str() {
            "point" => text.parse::<PointId>().map_err(|error| query_malformed(error.to_string()))?,
            "pseudonym" => {
                let known = state.served.pseudonyms.get(text).copied();
                known.ok_or_else(|| {
                    let detail = format!("pseudonym {:?} is not known here", shortened(text));
                    Problem::not_found(detail)
                })?
            }
            _ => {
                rest.push((name.as_str(), text.as_str()));
                continue;
            }
        };
        if points.len() == POINTS_MAX {
            return Err(query_malformed(format!("at most {POINTS_MAX} points at once")));
        }
        points.push(point);
    }
    Ok((kind, Asked { points, rest }))
}

/// Whoever may see one's own only has to name the points.
pub(crate) async fn required(
    request: &HttpRequest,
    points: &[PointId],
    state: &State,
) -> Result<(), Problem> {
    let asking = Asking::new(request, RIGHT);
    if asking.sees_all() {
        return Ok(());
    }
    if points.is_empty() {
        return Err(query_malformed("point: name the points that are your own".to_owned()));
    }
    for point in points {
        asking.require(state, point.element, point.to_string()).await?;
    }
    Ok(())
}

pub(crate) fn historian(state: &State) -> Result<&Historian, Problem> {
    let none = || Problem::new(StatusCode::NOT_FOUND, "no_history", "this system keeps no history");
    state.served.operations.historian.as_ref().ok_or_else(none)
}

/// A value with its unit.
pub(crate) fn shown(value: &Value) -> serde_json::Value {
    let mut shown = json!(value);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("kind");
        fields.insert("unit".to_owned(), value.point.quantity.unit().into());
    }
    shown
}

/// What was asked; `now` is the newest instant of the picture.
fn spanned(
    kind: Kind,
    points: Vec<PointId>,
    asked: &[(&str, &str)],
    now: Timestamp,
) -> Result<Query, Problem> {
    let (mut from, mut until, mut versions, mut most) = (None, None, Versions::Newest, LIMIT);
    for &(name, text) in asked {
        match name {
            "from" => from = Some(instant("from", text)?),
            "until" => until = Some(instant("until", text)?),
            "as_of" => versions = Versions::AsOf(instant("as_of", text)?),
            "versions" => {
                versions = match text {
                    "all" => Versions::All,
                    "newest" => Versions::Newest,
                    _ => return Err(query_malformed("versions: all or newest".to_owned())),
                }
            }
            "limit" => most = limit(text, LIMIT_MAX)?,
            _ => {
                let known = "point, pseudonym, from, until, as_of, versions, limit";
                return Err(query_malformed(format!("{:?} is none of {known}", shortened(name))));
            }
        }
    }
    // The second of now is not over yet.
    let until = until.unwrap_or(now.plus(Duration::from_secs(1)));
    let from = from.unwrap_or(until.minus(SPAN));
    if from >= until {
        return Err(query_malformed(format!("from ({from}) is not before until ({until})")));
    }
    Ok(Query { kind, points, from, until, versions, most })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(pairs: &[(&str, &str)]) -> Result<Query, Problem> {
        spanned(Kind::Energy, Vec::new(), pairs, "2026-01-15T16:30:00Z".parse().unwrap())
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
        let cases: [(&[(&str, &str)], &str); 5] = [
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
