//! Logging in and out, and the page for it.

use crate::guard::{Access, Accounts, COOKIE, session_shown, stopped};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use access::{Principal, SESSION_LASTS};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The page to log in with; these are the only files that are not part of the built page.
pub const PAGE: &[u8] = include_bytes!("login.html");
/// Its script.
pub const SCRIPT: &[u8] = include_bytes!("login.js");
/// Its looks.
pub const STYLE: &[u8] = include_bytes!("login.css");

/// Wrong passwords for one name within [`FAILURES_WITHIN`] before it has to wait.
const FAILURES_MAX: usize = 10;
/// How long a wrong password counts.
const FAILURES_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Names whose failures are counted; more share one count.
const NAMES_MAX: usize = 1024;

/// Wrong passwords of late, by name.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<String, Vec<Timestamp>>);

impl Failures {
    fn key(&self, name: &str) -> String {
        let known = self.0.contains_key(name) || self.0.len() < NAMES_MAX;
        if known { name.to_owned() } else { String::new() }
    }

    /// Whether this name may try once more; the try counts as wrong until [`Failures::right`] is told.
    fn try_once(&mut self, name: &str, now: Timestamp) -> bool {
        self.0.retain(|_, times| {
            times.retain(|at| now.since(*at) < FAILURES_WITHIN);
            !times.is_empty()
        });
        let times = self.0.entry(self.key(name)).or_default();
        let free = times.len() < FAILURES_MAX;
        if free {
            times.push(now);
        }
        free
    }

    fn right(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// What somebody shows to log in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
}

/// `GET /api/v1/session`.
pub async fn show(request: HttpRequest) -> Result<HttpResponse, Problem> {
    match request.extensions().get::<Principal>() {
        Some(principal) => Ok(described(principal)),
        None => Err(Problem::new(StatusCode::UNAUTHORIZED, "not_logged_in", "nobody is logged in")),
    }
}

/// `POST /api/v1/session`.
pub async fn begin(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &state.limits).await?;
    let credentials: Credentials = serde_json::from_slice(&body).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Problem::new(status, "credentials_malformed", format!("name and password are needed: {error}"))
    })?;
    let Access::Accounts(accounts) = &state.access else {
        return Err(Problem::not_found("there are no accounts: everybody on this machine is let in"));
    };
    // Argon2 takes memory: one at a time, so that a thousand wrong passwords cost the server one core.
    let _turn = state.login_turn.lock().await;
    let accounts = Arc::clone(accounts);
    let (principal, session) =
        web::block(move || log_in(&accounts, &credentials)).await.map_err(|_| stopped())??;
    let seconds = SESSION_LASTS.as_secs();
    let secure = if state.encrypted { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut answer = described(&principal);
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().insert(actix_web::http::header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

fn log_in(accounts: &Accounts, shown: &Credentials) -> Result<(Principal, String), Problem> {
    let now = accounts.clock.now();
    let failures = || accounts.failures.lock().unwrap_or_else(PoisonError::into_inner);
    if !failures().try_once(&shown.name, now) {
        let minutes = FAILURES_WITHIN.as_secs() / 60;
        let detail = format!("too many wrong passwords for this name; try again in {minutes} minutes");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail));
    }
    let directory = accounts.with(Clone::clone);
    let Some(principal) = directory.by_password(&shown.name, &shown.password) else {
        // The name of somebody who is not known may be a password: it is not written down.
        let known = directory.by_name(&shown.name).map_or_else(String::new, |principal| principal.name);
        accounts.note("", "log in".to_owned(), &known, "wrong_password")?;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_password", "name or password is wrong"));
    };
    failures().right(&shown.name);
    accounts.note(&principal.name, "log in".to_owned(), "", "allowed")?;
    let begun = accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner).begin(&principal.name, now);
    let session = begun.ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_random", "the machine has no random numbers")
    })?;
    Ok((principal, session))
}

/// `DELETE /api/v1/session`.
pub async fn end(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if let (Access::Accounts(accounts), Some(session)) = (&state.access, session_shown(&request)) {
        accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner).end(&session);
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    HttpResponse::NoContent().insert_header(("set-cookie", gone)).finish()
}

fn described(principal: &Principal) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .json(json!({ "name": principal.name, "roles": principal.roles }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_wrong_passwords_make_a_name_wait_and_no_other() {
        let mut failures = Failures::default();
        let start = Timestamp::from_seconds(0);
        for _ in 0..FAILURES_MAX {
            assert!(failures.try_once("ada", start));
        }
        assert!(!failures.try_once("ada", start));
        assert!(failures.try_once("eve", start));
        assert!(failures.try_once("ada", start.plus(FAILURES_WITHIN)));
        failures.right("ada");
        assert!(failures.try_once("ada", start));
    }

    #[test]
    fn names_that_nobody_has_are_counted_in_bounded_memory() {
        let mut failures = Failures::default();
        for number in 0..5 * NAMES_MAX {
            failures.try_once(&number.to_string(), Timestamp::from_seconds(0));
        }
        assert!(failures.0.len() <= NAMES_MAX + 1);
        assert!(!failures.try_once("one more", Timestamp::from_seconds(0)));
    }
}
