//! Logging in and out, and the page for it.

use crate::api::json_answer;
use crate::guard::{Access, Accounts, COOKIE, Proof, stopped};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use access::{
    Action, Decision, GUESSES_WITHIN, Known, Principal, Resource, SESSION_LASTS, SecondFactor, Try, decide,
};
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use grid::Timestamp;
use serde::Deserialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// The page to log in with; these are the only files that are not part of the built page.
pub const PAGE: &[u8] = include_bytes!("login.html");
/// Its script.
pub const SCRIPT: &[u8] = include_bytes!("login.js");
/// Its looks.
pub const STYLE: &[u8] = include_bytes!("login.css");

/// Wrong passwords for all names from one network before it has to wait.
pub const GUESSES_PER_NETWORK: usize = 100;

/// What somebody shows to log in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
    /// Of who has a second factor.
    #[serde(default)]
    code: Option<String>,
}

/// `GET /api/v1/session`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match request.extensions().get::<Principal>() {
        Some(principal) => {
            let label = label(&state.served.access, &Proof::of(&request));
            Ok(described(principal, label.as_deref()))
        }
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
        Problem::new(
            status,
            "credentials_malformed",
            format!("name and password are needed, and a code where there is one: {error}"),
        )
    })?;
    let Access::Accounts(accounts) = &state.served.access else {
        return Err(Problem::not_found("there are no accounts: everybody on this machine is let in"));
    };
    let from = request.peer_addr().map(|address| address.ip());
    if accounts.guesses().try_once(&credentials.name, from, accounts.clock.now()) != Try::Free {
        return Err(too_many("passwords"));
    }
    let turn = login_turn(&state).await;
    let turn = turn.inspect_err(|_| accounts.guesses().give_back(&credentials.name, from))?;
    let accounts = Arc::clone(accounts);
    let logged_in = web::block(move || {
        let _turn = turn;
        log_in(&accounts, &credentials, from)
    });
    let (principal, session) = logged_in.await.map_err(|_| stopped())??;
    let seconds = SESSION_LASTS.as_secs();
    let secure = if state.encrypted { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let mut answer = described(&principal, None);
    if let Ok(cookie) = cookie.parse() {
        answer.headers_mut().insert(actix_web::http::header::SET_COOKIE, cookie);
    }
    Ok(answer)
}

/// Waits for the turn to work on a password: Argon2 takes memory, so one does at a time. The turn goes with the work, which goes
/// on when the client has left.
pub(crate) async fn login_turn(state: &State) -> Result<OwnedMutexGuard<()>, Problem> {
    let turn = tokio::time::timeout(state.limits.answer_deadline, Arc::clone(&state.login_turn).lock_owned());
    turn.await.map_err(|_| {
        let detail = "too many people are logging in; try again in a moment";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail)
    })
}

fn log_in(
    accounts: &Accounts,
    shown: &Credentials,
    from: Option<IpAddr>,
) -> Result<(Principal, String), Problem> {
    let now = accounts.clock.now();
    let known = accounts.newest();
    let Some(principal) = known.by_password(&shown.name, &shown.password) else {
        accounts.note_wrong_password(&known, "log in".to_owned(), &shown.name)?;
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "wrong_password", "name or password is wrong"));
    };
    if let Some(factor) = known.second_factor(&principal.name) {
        let proved = accounts.prove(&principal.name, factor, shown.code.as_deref(), now);
        // Not a wrong password, and not a whole log-in either.
        proved.inspect_err(|_| accounts.guesses().give_back(&shown.name, from))?;
    }
    accounts.guesses().right(&shown.name, from);
    accounts.note(&principal.name, "log in".to_owned(), "", "allowed")?;
    let mark = known.mark(&principal.name).unwrap_or_default();
    let mut sessions = accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    let session = sessions.begin(&principal.name, &mark, now).ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_random", "the machine has no random numbers")
    })?;
    Ok((principal, session))
}

fn too_many(what: &str) -> Problem {
    let minutes = GUESSES_WITHIN.as_secs() / 60;
    let detail = format!("too many wrong {what}; try again in {minutes} minutes");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_failures", detail)
}

impl Accounts {
    /// Whether somebody whose password was right shows a code of its second factor that was not used before. Wrong codes are
    /// counted by name wherever they come from: who shows them has the password.
    fn prove(
        &self,
        name: &str,
        factor: &SecondFactor,
        code: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let refused = |outcome: &str, detail: &str| {
            self.note(name, "log in".to_owned(), "", outcome)?;
            Err(Problem::new(StatusCode::UNAUTHORIZED, outcome, detail))
        };
        let Some(code) = code else {
            self.note_refusal(name, "log in".to_owned(), "", "code_needed")?;
            let detail = "the code that your app shows now is needed, too";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "code_needed", detail));
        };
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let (guesses, used) = &mut *codes;
        if guesses.try_once(name, None, now) != Try::Free {
            drop(codes);
            self.note_refusal(name, "log in".to_owned(), "", "too_many_codes")?;
            return Err(too_many("codes"));
        }
        let Some(step) = factor.step(code, now) else {
            drop(codes);
            return refused("wrong_code", "the code is wrong; mind the clock of the telephone");
        };
        if !used.take(name, step) {
            drop(codes);
            return refused("used_code", "this code was used already; wait for the next one");
        }
        guesses.right(name, None);
        Ok(())
    }

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
        if self.guesses().try_once(name, None, self.clock.now()) != Try::Free {
            return None;
        }
        let what = format!("log in over {door}");
        let known = self.newest();
        let Some(principal) = known.by_password(name, password) else {
            drop(self.note_wrong_password(&known, what, name));
            return None;
        };
        self.guesses().right(name, None);
        if known.second_factor(&principal.name).is_some() {
            // Such a door asks for no code, and a password alone is not enough for who has a second factor.
            drop(self.note_refusal(&principal.name, what, "", "code_needed"));
            return None;
        }
        let mark = known.mark(&principal.name).unwrap_or_default();
        let admitted = Admitted { name: principal.name, mark, right };
        let allowed = self.still_admits(&admitted);
        let outcome = if allowed { "allowed" } else { "forbidden" };
        let noted = self.note(&admitted.name, what, "", outcome);
        (noted.is_ok() && allowed).then_some(admitted)
    }

    /// The name of somebody who is not known may be a password: it is not written down.
    fn note_wrong_password(&self, known: &Known, what: String, name: &str) -> Result<(), Problem> {
        match known.by_name(name) {
            Some(_) => self.note("", what, name, "wrong_password"),
            None => self.note_refusal("", what, "", "wrong_password"),
        }
    }

    /// Whether somebody who was let in has the right still, and the same password.
    pub fn still_admits(&self, admitted: &Admitted) -> bool {
        let (resource, action) = admitted.right;
        let known = self.newest();
        let same = known.mark(&admitted.name).is_some_and(|mark| mark == admitted.mark);
        let principal = known.by_name(&admitted.name).filter(|_| same);
        decide(principal.as_ref(), resource, action, None) == Decision::Allowed
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
    let mut farewell = None;
    if let (Access::Accounts(accounts), Some(session)) = (&state.served.access, Proof::of(&request).session) {
        let own = accounts.sessions.lock().unwrap_or_else(PoisonError::into_inner).end(&session);
        let vouched = accounts.oidc.as_ref().and_then(|oidc| Some((oidc.end(&session)?, oidc)));
        farewell = vouched.as_ref().and_then(|(ended, oidc)| oidc.farewell(ended));
        if let Some(name) = own.or(vouched.map(|(ended, _)| ended.name)) {
            let accounts = Arc::clone(accounts);
            // Whoever wants to leave leaves, whether or not that can be written down; why not is in the program's log.
            let _ = web::block(move || drop(accounts.note(&name, "log out".to_owned(), "", "allowed"))).await;
        }
    }
    let gone = format!("{COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict");
    let mut answer = match farewell {
        Some(address) => json_answer(&json!({ "log_out_at": address })),
        None => HttpResponse::NoContent().finish(),
    };
    if let Ok(gone) = gone.parse() {
        answer.headers_mut().insert(actix_web::http::header::SET_COOKIE, gone);
    }
    answer
}

/// What people call whoever asks, for a page: `None` for somebody who is not logged in.
pub(crate) async fn who(access: &Access, proof: &Proof) -> Option<String> {
    let principal = access.principal(proof).await?;
    Some(label(access, proof).unwrap_or(principal.name))
}

/// What the provider calls somebody who signed in there.
fn label(access: &Access, proof: &Proof) -> Option<String> {
    let Access::Accounts(accounts) = access else { return None };
    accounts.oidc.as_ref()?.label(proof.session.as_deref()?, accounts.clock.as_ref())
}

fn described(principal: &Principal, label: Option<&str>) -> HttpResponse {
    let mut described = json!({ "name": principal.name, "roles": principal.roles });
    if principal.lacks_second_factor {
        described["lacks_second_factor"] = true.into();
    }
    if let Some(label) = label {
        described["label"] = label.into();
    }
    json_answer(&described)
}
