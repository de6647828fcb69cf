//! Values under keys: public reference values, each of who put it first.

use crate::api::json_answer;
use crate::deposit::{body, limit, name, query_malformed, read, write};
use crate::page::shortened;
use crate::problem::Problem;
use crate::serve::State;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::Timestamp;
use grid::id::check_name;
use register::Refusal;
use register::keyed::{Entry, check_keys};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

/// Entries that are returned when no limit is given, and at most.
const LIMIT: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    values: Vec<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    key: String,
    value: Box<RawValue>,
}

#[derive(Serialize)]
struct Shown<'a> {
    key: &'a str,
    owner: &'a str,
    at: Timestamp,
    value: &'a RawValue,
}

#[derive(Serialize)]
struct Found<'a> {
    values: Vec<Shown<'a>>,
    missing: Vec<&'a str>,
    next: Option<&'a str>,
}

/// `GET /api/v1/key-values`.
pub async fn find(
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (mut keys, mut after, mut most) = (Vec::new(), None, None);
    for (name, text) in asked.iter() {
        match name.as_str() {
            "key" => keys.push(text.clone()),
            "after" => {
                check_name(text).map_err(|error| query_malformed(format!("after: {error}")))?;
                after = Some(text.clone());
            }
            "limit" => most = Some(limit(text, LIMIT)?),
            _ => {
                let detail = format!("{:?} is none of key, after, limit", shortened(name));
                return Err(query_malformed(detail));
            }
        }
    }
    if !keys.is_empty() && (after.is_some() || most.is_some()) {
        return Err(query_malformed("after and limit are for asking without key".to_owned()));
    }
    let found = read(&state, move |register| {
        check_keys(keys.iter().map(String::as_str))?;
        if !keys.is_empty() {
            let there = keys.iter().filter_map(|key| shown(key, register.get(key)?)).collect();
            let missing = keys.iter().map(String::as_str).filter(|key| register.get(key).is_none()).collect();
            return written(&Found { values: there, missing, next: None });
        }
        let most = most.unwrap_or(LIMIT);
        // One more tells whether there are more.
        let mut values: Vec<Shown> = register
            .keys(after.as_deref())
            .filter_map(|(key, entry)| shown(key, entry))
            .take(most + 1)
            .collect();
        let more = values.len() > most;
        values.truncate(most);
        let next = values.last().filter(|_| more).map(|last| last.key);
        written(&Found { values, missing: Vec::new(), next })
    });
    Ok(json_answer(&found.await?))
}

/// On the thread that holds the register, whose values it borrows.
fn written(found: &Found<'_>) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(found).map_err(|error| Refusal::Malformed(error.to_string()))
}

/// It was JSON when it was put.
fn shown<'a>(key: &'a str, entry: &'a Entry) -> Option<Shown<'a>> {
    let value = serde_json::from_str(&entry.value).ok()?;
    Some(Shown { key, owner: &entry.owner, at: entry.at, value })
}

/// `PUT /api/v1/key-values`.
pub async fn put(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let Put { values } = body(&request, payload, &state).await?;
    let owner = name(&request);
    let (stored, at) = write(&state, move |register, now| {
        let values: Vec<(String, String)> =
            values.into_iter().map(|one| (one.key, one.value.get().to_owned())).collect();
        let count = values.len();
        register.put(&owner, values, now)?;
        Ok((count, now))
    })
    .await?;
    Ok(json_answer(&json!({ "stored": stored, "at": at })))
}

/// `DELETE /api/v1/key-values`.
pub async fn delete(
    request: HttpRequest,
    asked: web::Query<Vec<(String, String)>>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    if let Some((name, _)) = asked.iter().find(|(name, _)| name != "key") {
        return Err(query_malformed(format!("{:?} is not key", shortened(name))));
    }
    let keys: Vec<String> = asked.into_inner().into_iter().map(|(_, key)| key).collect();
    let owner = name(&request);
    let deleted = write(&state, move |register, now| register.delete(&owner, &keys, now)).await?;
    Ok(json_answer(&json!({ "deleted": deleted })))
}
