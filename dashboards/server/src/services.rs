//! The services of the service platform, as its clients ask for them over AMQP: series of values, and values under keys. Whoever asks
//! is an account of this site, with the rights it has over HTTP.

use crate::RunningServer;
use crate::deposit::{read, write};
use crate::follow::RIGHT;
use crate::guard::{Access, allow};
use crate::history::{historian, unreadable};
use crate::owned::Asking;
use crate::page::shortened;
use crate::party::Party;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Principal, Resource};
use actix_web::ResponseError;
use actix_web::http::StatusCode;
use actix_web::web;
use connectors::amqp::{Answer, Answering, Request, Services};
use grid::{PointId, Quality, Quantity, Timestamp};
use history::{Kind, Query, Versions};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Values that are returned at most.
const VALUES_MAX: usize = 10_000;
/// Values that are stored at once.
const STORED_MAX: usize = 1_000;

/// With whose rights requests are answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Whose {
    /// The account of requests that do not say whose they are, and of all where `user_ids` is false; without one they are refused.
    pub account: Option<String>,
    /// Whether a message's `user_id` is the name of an account. RabbitMQ lets nobody write another's.
    pub user_ids: bool,
}

impl RunningServer {
    /// Answers requests of the service platform from what this server serves.
    pub fn services(&self, whose: Whose) -> Arc<dyn Services> {
        Arc::new(Platform { state: self.state(), whose })
    }
}

struct Platform {
    state: web::Data<State>,
    whose: Whose,
}

impl Services for Platform {
    fn answer(&self, request: Request) -> Answering<'_> {
        Box::pin(async move {
            match self.result(request).await {
                Ok(result) => Answer { status: 200, result },
                Err((problem, result)) => {
                    let (code, detail) = problem.words();
                    let mut answer = Answer::refused(problem.status_code().as_u16(), code, detail);
                    if let (Some(said), Value::Object(more)) = (answer.result.as_object_mut(), result) {
                        said.extend(more);
                    }
                    answer
                }
            }
        })
    }
}

/// A refusal, and what was done nevertheless.
type Refused = (Problem, Value);
type Answered = Result<Value, Refused>;
type Arguments = Map<String, Value>;

fn plainly(problem: Problem) -> Refused {
    (problem, Value::Null)
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "malformed", detail)
}

fn not_served(what: &str) -> Refused {
    let detail = format!(
        "{} is not served here; served are TimeseriesService with ts/get_time_series, ts/get_timeseries_values, \
         ts/average_timeseries_values and ts/store_timeseries_values, and KeyValueService with put, get and del",
        shortened(what)
    );
    plainly(Problem::new(StatusCode::NOT_IMPLEMENTED, "not_served", detail))
}

fn text<'a>(arguments: &'a Arguments, name: &str) -> Result<&'a str, Problem> {
    let text = arguments.get(name).and_then(Value::as_str);
    text.ok_or_else(|| malformed(format!("{name} is missing or no text")))
}

/// An instant of RFC 3339, also with an offset from UTC.
fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let wrong = || {
        malformed(format!(
            "{name}: {:?} is no instant; write for example 2026-01-15T16:30:00Z",
            shortened(text)
        ))
    };
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let (local, offset) =
        text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)).ok_or_else(wrong)?;
    let at: Timestamp = format!("{local}Z").parse().map_err(|_| wrong())?;
    let (hours, minutes) = offset.get(1..).and_then(|clock| clock.split_once(':')).ok_or_else(wrong)?;
    let (hours, minutes): (u64, u64) =
        (hours.parse().map_err(|_| wrong())?, minutes.parse().map_err(|_| wrong())?);
    if hours > 23 || minutes > 59 {
        return Err(wrong());
    }
    let offset_by = Duration::from_secs(hours * 3600 + minutes * 60);
    match offset.as_bytes().first() {
        Some(b'+') => Ok(at.minus(offset_by)),
        Some(b'-') => Ok(at.plus(offset_by)),
        _ => Err(wrong()),
    }
}

impl Platform {
    /// Who asks; nobody where there are no accounts: whoever reaches the broker is not at this machine.
    async fn principal(&self, user: Option<&str>) -> Option<Principal> {
        let Access::Accounts(accounts) = &self.state.served.access else { return None };
        let name = user.filter(|_| self.whose.user_ids).or(self.whose.account.as_deref())?;
        accounts.fresh().await.by_name(name)
    }

    async fn result(&self, request: Request) -> Answered {
        let Request { service, arguments, user } = request;
        let principal = self.principal(user.as_deref()).await;
        if principal.is_none() {
            let detail = "requests of this client have no account here: see user_ids and account of the [[amqp]] section";
            return Err(plainly(Problem::new(StatusCode::UNAUTHORIZED, "not_known", detail)));
        }
        let command = arguments.get("cmd").and_then(Value::as_str).unwrap_or_default();
        match (service.as_str(), command) {
            ("TimeseriesService", "ts/get_time_series") => self.series(principal).await.map_err(plainly),
            ("TimeseriesService", "ts/get_timeseries_values") => {
                self.values(principal, &arguments).await.map_err(plainly)
            }
            ("TimeseriesService", "ts/average_timeseries_values") => {
                self.average(principal, &arguments).await.map_err(plainly)
            }
            ("TimeseriesService", "ts/store_timeseries_values") => self.store(principal, &arguments).await,
            ("KeyValueService", "put" | "get" | "del") => {
                self.keyed(principal, command, &arguments).await.map_err(plainly)
            }
            ("TimeseriesService" | "KeyValueService", command) => {
                Err(not_served(&format!("{service} {command}")))
            }
            _ => Err(not_served(&service)),
        }
    }

    async fn may(&self, principal: Option<&Principal>, right: (Resource, Action)) -> Result<(), Problem> {
        allow(&self.state.served.access, principal, right, None, "amqp".to_owned()).await
    }

    /// Points of which something is shown, and that may be seen.
    async fn series(&self, principal: Option<Principal>) -> Result<Value, Problem> {
        self.may(principal.as_ref(), RIGHT).await?;
        let asking = Asking::of(principal, RIGHT);
        let picture = Arc::clone(&self.state.served.picture.borrow());
        let points = picture.points.iter().map(|row| row.point);
        let seen: Vec<String> = points
            .filter(|point| asking.sees(&self.state, point.element))
            .map(|point| point.to_string())
            .collect();
        Ok(json!({ "count": seen.len(), "ts_ids": seen }))
    }

    fn point(&self, text: &str) -> Result<PointId, Problem> {
        if let Some(point) = self.state.served.pseudonyms.get(text) {
            return Ok(*point);
        }
        text.parse().map_err(|error: grid::telemetry::PointError| malformed(error.to_string()))
    }

    /// What is kept of one point from `from` to before `to`.
    async fn found(
        &self,
        principal: Option<Principal>,
        arguments: &Arguments,
    ) -> Result<(PointId, Vec<history::Value>), Problem> {
        self.may(principal.as_ref(), RIGHT).await?;
        let point = self.point(text(arguments, "device_id")?)?;
        let from = instant("from", text(arguments, "from")?)?;
        let until = instant("to", text(arguments, "to")?)?;
        if from >= until {
            return Err(malformed(format!("from ({from}) is not before to ({until})")));
        }
        let kind = match arguments.get("kind").map(Value::as_str) {
            None if point.quantity == Quantity::SlotEnergy => Kind::Energy,
            None | Some(Some("measured")) => Kind::Telemetry,
            Some(Some("estimate")) => Kind::Estimate,
            Some(_) => return Err(malformed("kind: measured or estimate")),
        };
        let asking = Asking::of(principal, RIGHT);
        asking.require(&self.state, point.element, point.to_string()).await?;
        let query =
            Query { kind, points: vec![point], from, until, versions: Versions::Newest, most: VALUES_MAX };
        let found = historian(&self.state)?.query(query).await.map_err(|error| unreadable(&error))?;
        Ok((point, found))
    }

    async fn values(&self, principal: Option<Principal>, arguments: &Arguments) -> Result<Value, Problem> {
        let (point, found) = self.found(principal, arguments).await?;
        let shown = |value: &history::Value| {
            let quality = json!(value.quality);
            json!({
                "ts_id": point, "observed_timestamp": value.measured_at, "value": value.value, "quality": quality,
            })
        };
        let values: Vec<Value> = found.iter().map(shown).collect();
        Ok(json!({
            "count": values.len(), "ts_ids": [point], "unit": point.quantity.unit(), "values": values,
        }))
    }

    /// The mean of the values, each counted once, whatever the time between them.
    async fn average(&self, principal: Option<Principal>, arguments: &Arguments) -> Result<Value, Problem> {
        let (point, found) = self.found(principal, arguments).await?;
        let trusted =
            |value: &&history::Value| !matches!(value.quality, Quality::Implausible | Quality::Missing);
        let values: Vec<f64> = found.iter().filter(trusted).map(|value| value.value).collect();
        if values.is_empty() {
            return Err(Problem::not_found(format!(
                "no value of {point} that can be averaged is kept of that time"
            )));
        }
        let average = values.iter().sum::<f64>() / values.len() as f64;
        Ok(json!({
            "count": values.len(), "ts_ids": [point], "unit": point.quantity.unit(),
            "values": [{ "ts_id": point, "value": average }], "not_averaged": found.len() - values.len(),
        }))
    }

    /// Takes values of points of one's own; those that are taken last when this returns.
    async fn store(&self, principal: Option<Principal>, arguments: &Arguments) -> Answered {
        let values = arguments.get("values").and_then(Value::as_array);
        let values = values.ok_or_else(|| plainly(malformed("values is missing or no list")))?;
        if values.is_empty() || values.len() > STORED_MAX {
            let detail = format!("values: 1 to {STORED_MAX} at once, not {}", values.len());
            return Err(plainly(malformed(detail)));
        }
        let right = (Resource::Measurement, Action::Create);
        self.may(principal.as_ref(), right).await.map_err(plainly)?;
        // What cannot be read is refused with all others untouched.
        let mut readings = Vec::with_capacity(values.len());
        for value in values {
            readings.push(self.reading(value).map_err(plainly)?);
        }
        let party = Party::of(principal, &self.state);
        let outcomes = party.measured_all(&readings).await;
        let mut refused = Vec::new();
        let mut first: Option<Problem> = None;
        for (value, outcome) in values.iter().zip(outcomes) {
            let Err(problem) = outcome else { continue };
            let (code, detail) = problem.words();
            refused.push(json!({
                "ts_id": value["ts_id"], "observed_timestamp": value["observed_timestamp"],
                "error": code, "message": detail,
            }));
            // Our own fault comes first: then it is worth sending again.
            if first.as_ref().is_none_or(|first| problem.is_ours() && !first.is_ours()) {
                first = Some(problem);
            }
        }
        let done = json!({ "count": values.len() - refused.len(), "refused": refused });
        match first {
            None => Ok(done),
            Some(problem) => Err((problem, done)),
        }
    }

    /// As measurements over HTTP are written.
    fn reading(&self, value: &Value) -> Result<Value, Problem> {
        let fields = value.as_object().ok_or_else(|| malformed("a value is an object"))?;
        let point = self.point(text(fields, "ts_id")?)?;
        let at = instant("observed_timestamp", text(fields, "observed_timestamp")?)?;
        let number = fields.get("value").filter(|value| value.is_number());
        let number = number.ok_or_else(|| malformed(format!("{point}: value is missing or no number")))?;
        Ok(json!({ "point": point, "ts": at, "value": number }))
    }

    async fn keyed(
        &self,
        principal: Option<Principal>,
        command: &str,
        arguments: &Arguments,
    ) -> Result<Value, Problem> {
        let entries = entries(arguments)?;
        let action = match command {
            "put" => Action::Create,
            "get" => Action::Read,
            _ => Action::Act,
        };
        self.may(principal.as_ref(), (Resource::KeyValue, action)).await?;
        let owner = principal.map_or_else(String::new, |principal| principal.name);
        let keys: Vec<String> = entries.iter().map(|(key, _)| key.clone()).collect();
        match action {
            Action::Create => {
                let value = |(key, value): (String, Option<Value>)| match value {
                    Some(value) => Ok((key, value.to_string())),
                    None => Err(malformed(format!("{}: no value stands beside the key", shortened(&key)))),
                };
                let values = entries.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
                write(&self.state, move |register, now| register.put(&owner, values, now)).await?;
                Ok(json!({ "count": keys.len() }))
            }
            Action::Read => {
                read(&self.state, move |register| {
                    register::keyed::check_keys(keys.iter().map(String::as_str))?;
                    let value = |key: &String| {
                        let value: Option<Value> = serde_json::from_str(&register.get(key)?.value).ok();
                        Some(json!([key, value?]))
                    };
                    let values: Vec<Value> = keys.iter().filter_map(value).collect();
                    let missing: Vec<&String> =
                        keys.iter().filter(|key| register.get(key).is_none()).collect();
                    Ok(json!({ "count": values.len(), "values": values, "missing": missing }))
                })
                .await
            }
            Action::Act => {
                let deleted =
                    write(&self.state, move |register, now| register.delete(&owner, &keys, now)).await?;
                Ok(json!({ "count": deleted.len() }))
            }
        }
    }
}

/// `[[key, value], …]` or `[[key], …]`.
fn entries(arguments: &Arguments) -> Result<Vec<(String, Option<Value>)>, Problem> {
    let wrong = || malformed("keys is a list of [key] or [key, value]");
    let keys = arguments.get("keys").and_then(Value::as_array).ok_or_else(wrong)?;
    let entry = |entry: &Value| match entry.as_array().map(Vec::as_slice) {
        Some([Value::String(key)]) => Ok((key.clone(), None)),
        Some([Value::String(key), value]) => Ok((key.clone(), Some(value.clone()))),
        _ => Err(wrong()),
    };
    keys.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_read_with_any_offset_and_nothing_else() {
        let read = |text: &str| instant("from", text).map(|at| at.to_string());
        for (text, wanted) in [
            ("2026-01-15T16:30:00Z", "2026-01-15T16:30:00Z"),
            ("2026-01-15T16:30:00+00:00", "2026-01-15T16:30:00Z"),
            ("2026-01-15T18:30:00+02:00", "2026-01-15T16:30:00Z"),
            ("2026-01-15T11:00:00-05:30", "2026-01-15T16:30:00Z"),
        ] {
            assert_eq!(read(text).unwrap(), wanted, "{text}");
        }
        for text in
            ["", "x", "2026-01-15", "2026-01-15T16:30:00", "2026-01-15T16:30:00+25:00", "ää:äää", "0+00:00"]
        {
            assert!(read(text).unwrap_err().to_string().contains("no instant"), "{text}");
        }
    }
}
