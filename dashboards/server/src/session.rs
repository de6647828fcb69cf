//! Logging in and out, and the page for it.

use crate::api::json_answer;
use crate::guard::{Access, Accounts, COOKIE, Proof, stopped};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use access::{Action, Decision, Principal, Resource, SESSION_LASTS, decide};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// The page to log in with; these are the only files that are not part of the built page.
pub const PAGE: &[u8] = include_bytes!("login.html");
/// Its script.
pub const SCRIPT: &[u8] = include_bytes!("login.js");
/// Its looks.
pub const STYLE: &[u8] = include_bytes!("login.css");

/// Wrong passwords for a name from one address within [`FAILURES_WITHIN`] before it has to wait there.
const FAILURES_MAX: usize = 10;
/// The same for all names that nobody has, together.
const UNKNOWN_MAX: usize = 100;
/// How long a wrong password counts.
const FAILURES_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Names and addresses whose failures are counted one by one; more share one count by name.
const COUNTED_MAX: usize = 4096;

/// Wrong passwords of late. A known name is counted by address, so that a stranger's guesses keep nobody out elsewhere.
#[derive(Debug, Default)]
pub struct Failures(BTreeMap<(String, Option<IpAddr>), Vec<Timestamp>>);

impl Failures {
    /// Whether one may try once more; the try counts as wrong until [`Failures::right`] is told. `name` is empty for one that
    /// nobody has.
    fn try_once(&mut self, name: &str, from: Option<IpAddr>, now: Timestamp) -> bool {
        self.0.retain(|_, times| {
            times.retain(|at| now.since(*at) < FAILURES_WITHIN);
            !times.is_empty()
        });
        let most = if name.is_empty() { UNKNOWN_MAX } else { FAILURES_MAX };
        let times = self.0.entry(self.key(name, from)).or_default();
        let free = times.len() < most;
        if free {
            times.push(now);
        }
        free
    }

    fn key(&self, name: &str, from: Option<IpAddr>) -> (String, Option<IpAddr>) {
        let key = (name.to_owned(), from.filter(|_| !name.is_empty()));
        let one_by_one = self.0.contains_key(&key) || self.0.len() < COUNTED_MAX;
        if one_by_one { key } else { (key.0, None) }
    }

    fn right(&mut self, name: &str, from: Option<IpAddr>) {
        let key = self.key(name, from);
        self.0.remove(&key);
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
    let Access::Accounts(accounts) = &state.served.access else {
        return Err(Problem::not_found("there are no accounts: everybody on this machine is let in"));
    };
    let from = request.peer_addr().map(|address| address.ip());
    let known = accounts.with(|directory| directory.by_name(&credentials.name).is_some());
    // The name of somebody who is not known may be a password: it is not kept.
    let name = if known { credentials.name.clone() } else { String::new() };
    if !accounts.failures().try_once(&name, from, accounts.clock.now()) {
        let minutes = FAILURES_WITHIN.as_secs() / 60;
        let detail = format!("too many wrong passwords; try again in {minutes} minutes");
        return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail));
    }
    // Argon2 takes memory: one at a time. The turn goes with the work, which goes on when the client has left.
    let turn = tokio::time::timeout(state.limits.answer_deadline, Arc::clone(&state.login_turn).lock_owned());
    let turn = turn.await.map_err(|_| {
        let detail = "too many people are logging in; try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    })?;
    let accounts = Arc::clone(accounts);
    let logged_in = web::block(move || {
        let _turn = turn;
        log_in(&accounts, &credentials, &name, from)
    });
    let (principal, session) = logged_in.await.map_err(|_| stopped())??;
    let seconds = SESSION_LASTS.as_secs();
    let secure = if state.encrypted { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut answer = described(&principal);
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().insert(actix_web::http::header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

fn log_in(
    accounts: &Accounts,
    shown: &Credentials,
    name: &str,
    from: Option<IpAddr>,
) -> Result<(Principal, String), Problem> {
    let now = accounts.clock.now();
    let directory = accounts.with(Clone::clone);
    let Some(principal) = directory.by_password(&shown.name, &shown.password) else {
        let what = "log in".to_owned();
        match name.is_empty() {
            true => accounts.note_refusal("", what, "", "wrong_password")?,
            false => accounts.note("", what, name, "wrong_password")?,
        }
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_password", "name or password is wrong"));
    };
    accounts.failures().right(name, from);
    accounts.note(&principal.name, "log in".to_owned(), "", "allowed")?;
    let mark = directory.mark(&principal.name).unwrap_or_default();
    let mut sessions = accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let session = sessions.begin(&principal.name, &mark, now).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_random", "the machine has no random numbers")
    })?;
    Ok((principal, session))
}

impl Accounts {
    /// Whether a name and password that are shown at a door other than HTTP (`door`, in words) have a right. Guesses are
    /// limited and everything is written down, as it is here; what is returned is for [`Accounts::still_admits`]. Argon2id
    /// takes its time and memory: not for many at once.
    pub fn admits(
        &self,
        door: &str,
        name: &str,
        password: &str,
        right: (Resource, Action),
    ) -> Option<Admitted> {
        let is_known = self.with(|directory| directory.by_name(name).is_some());
        // The name of somebody who is not known may be a password: it is not kept.
        let counted = if is_known { name } else { "" };
        if !self.failures().try_once(counted, None, self.clock.now()) {
            return None;
        }
        let what = format!("log in over {door}");
        let directory = self.with(Clone::clone);
        let Some(principal) = directory.by_password(name, password) else {
            let noted = match is_known {
                true => self.note("", what, name, "wrong_password"),
                false => self.note_refusal("", what, "", "wrong_password"),
            };
            drop(noted);
            return None;
        };
        self.failures().right(counted, None);
        let mark = directory.mark(&principal.name).unwrap_or_default();
        let admitted = Admitted { name: principal.name, mark, right };
        let allowed = self.still_admits(&admitted);
        let outcome = if allowed { "allowed" } else { "forbidden" };
        let noted = self.note(&admitted.name, what, "", outcome);
        (noted.is_ok() && allowed).then_some(admitted)
    }

    /// Whether somebody who was let in has the right still, and the same password.
    pub fn still_admits(&self, admitted: &Admitted) -> bool {
        let (resource, action) = admitted.right;
        self.with(|directory| {
            let same = directory.mark(&admitted.name).is_some_and(|mark| mark == admitted.mark);
            let principal = directory.by_name(&admitted.name).filter(|_| same);
            decide(principal.as_ref(), resource, action, None) == Decision::Allowed
        })
    }
}

/// Somebody who was let in at a door other than HTTP.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Admitted {
    name: String,
    mark: String,
    right: (Resource, Action),
}

/// `DELETE /api/v1/session`.
pub async fn end(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    if let (Access::Accounts(accounts), Some(session)) = (&state.served.access, Proof::of(&request).session) {
        accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner).end(&session);
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    HttpResponse::NoContent().insert_header(("set-cookie", gone)).finish()
}

fn described(principal: &Principal) -> HttpResponse {
    json_answer(&json!({ "name": principal.name, "roles": principal.roles }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn from(last: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(10, 0, 0, last).into())
    }

    #[test]
    fn ten_wrong_passwords_make_a_name_wait_at_that_address_and_nobody_elsewhere() {
        let mut failures = Failures::default();
        let start = Timestamp::from_seconds(0);
        for _ in 0..FAILURES_MAX {
            assert!(failures.try_once("ada", from(1), start));
        }
        assert!(!failures.try_once("ada", from(1), start));
        assert!(failures.try_once("ada", from(2), start), "a stranger kept her out");
        assert!(failures.try_once("eve", from(1), start));
        assert!(failures.try_once("ada", from(1), start.plus(FAILURES_WITHIN)));
        failures.right("ada", from(1));
        assert!(failures.try_once("ada", from(1), start));
    }

    #[test]
    fn names_that_nobody_has_keep_nobody_out_who_has_one() {
        let mut failures = Failures::default();
        let start = Timestamp::from_seconds(0);
        let tried = (0..1000).filter(|_| failures.try_once("", from(1), start)).count();
        assert_eq!((tried, failures.0.len()), (UNKNOWN_MAX, 1));
        assert!(failures.try_once("ada", from(1), start));
    }

    #[test]
    fn failures_are_counted_in_bounded_memory() {
        let mut failures = Failures::default();
        for number in 0..2 * COUNTED_MAX as u32 {
            failures.try_once("ada", Some(Ipv4Addr::from(number).into()), Timestamp::from_seconds(0));
        }
        assert!(failures.0.len() <= COUNTED_MAX + 1);
    }
}
