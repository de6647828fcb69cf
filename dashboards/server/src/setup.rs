//! The first administrator: made over HTTP with a token that the program says once, where nobody has an account yet.

use crate::api::json_answer;
use crate::guard::{Access, AccessError, Accounts, stopped};
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use crate::session::login_turn;
use access::{Directory, DirectoryError, Role, Scope, SetupSecret};
use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use grid::Clock;
use serde::Deserialize;
use serde_json::json;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the token is good for.
pub const SET_UP_WITHIN: Duration = Duration::from_secs(15 * 60);

/// What is waited for while nobody has an account. It is in the memory only: a restart makes another one, or none.
pub(crate) struct Pending {
    secret: SetupSecret,
    until: Instant,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    token: String,
    name: String,
    password: String,
}

impl Accounts {
    /// Like [`Accounts::open`]; where the directory is not there, or nobody is in it, the token with which the first administrator
    /// is made, to be shown to whoever started the program, and never again.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn open_or_set_up(
        directory: &Path,
        audit: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Option<String>), AccessError> {
        let known = Directory::read(directory)?.unwrap_or_default();
        if !known.is_empty() {
            return Ok((Self::open(directory, audit, clock)?, None));
        }
        let (secret, shown) = SetupSecret::new().ok_or(DirectoryError::Random)?;
        if !directory.exists() {
            // What is there can be read again when it changes.
            known.write(directory)?;
        }
        let accounts = Self::open(directory, audit, clock)?;
        *accounts.pending() = Some(Pending { secret, until: Instant::now() + SET_UP_WITHIN });
        Ok((accounts, Some(shown)))
    }

    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the first administrator may still be made.
    pub(crate) fn awaits_set_up(&self) -> bool {
        self.pending().as_ref().is_some_and(|pending| Instant::now() < pending.until)
    }

    /// Makes the first administrator. Of several that come at once, one is.
    fn set_up(&self, first: &First) -> Result<(), Problem> {
        let mut pending = self.pending();
        let waiting = pending.as_ref().filter(|pending| Instant::now() < pending.until);
        let Some(waiting) = waiting else {
            *pending = None;
            return Err(nothing());
        };
        if !waiting.secret.is(&first.token) {
            self.note_refusal("", "set up".to_owned(), "", "wrong_token")?;
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "wrong_token",
                "the set-up token is another one",
            ));
        }
        let made = Directory::change(&self.path, |directory| {
            if !directory.is_empty() {
                return Ok(false);
            }
            directory.add_account(&first.name, &first.password, vec![Role::SecurityAdmin], Scope::Nothing)?;
            // What is not written down is not done.
            let noted = self.note("set-up token", "set up".to_owned(), &first.name, "allowed");
            noted.map_err(|_| DirectoryError::Unknown("the audit log".to_owned()))?;
            Ok(true)
        });
        match made {
            Ok(true) => *pending = None,
            // Somebody made accounts with the command meanwhile.
            Ok(false) => {
                *pending = None;
                return Err(nothing());
            }
            Err(DirectoryError::Unknown(_)) => {
                let detail = "what is not written down is not done: the audit log cannot be written";
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "audit_failed", detail));
            }
            Err(error @ (DirectoryError::Short | DirectoryError::Name { .. })) => {
                let detail = error.to_string();
                return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "account_refused", detail));
            }
            Err(error) => {
                tracing::error!(%error, "the first account cannot be written");
                let detail = "the file of accounts cannot be written; see the log";
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_written", detail));
            }
        }
        tracing::warn!(name = %first.name, "the first administrator was made; the set-up token is worth nothing any more");
        Ok(())
    }
}

fn nothing() -> Problem {
    Problem::not_found(
        "there is nothing to set up, or its time is over: restart for a new token, or use `gridflex access add`",
    )
}

/// `POST /api/v1/setup`.
pub async fn begin(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = read_json(&request, payload, &state.limits).await?;
    let first: First = serde_json::from_slice(&body).map_err(|error| {
        let status = if error.is_data() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::BAD_REQUEST };
        Problem::new(status, "set_up_malformed", format!("token, name and password are needed: {error}"))
    })?;
    let accounts = match &state.served.access {
        Access::Accounts(accounts) if accounts.awaits_set_up() => Arc::clone(accounts),
        _ => return Err(nothing()),
    };
    let turn = login_turn(&state).await?;
    let name = first.name.clone();
    let made = web::block(move || {
        let _turn = turn;
        accounts.set_up(&first)
    });
    made.await.map_err(|_| stopped())??;
    let mut answer = json_answer(&json!({ "name": name, "roles": [Role::SecurityAdmin] }));
    *answer.status_mut() = StatusCode::CREATED;
    Ok(answer)
}
