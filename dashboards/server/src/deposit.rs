//! The way to the register: what is written waits for the disk on a thread that may wait.

use crate::guard::stopped;
use crate::offers::read_json;
use crate::problem::Problem;
use crate::serve::State;
use access::Principal;
use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, web};
use grid::Timestamp;
use register::{Refusal, Register, RegisterError, StoreError};
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The register of a data directory, for many hands.
pub type SharedRegister = Arc<Mutex<Register>>;

/// A poisoned lock is taken over: a record is in the file before it counts.
pub(crate) fn locked(register: &Mutex<Register>) -> MutexGuard<'_, Register> {
    register.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared(state: &State) -> Result<&SharedRegister, Problem> {
    state.served.register.as_ref().ok_or_else(no_register)
}

/// What is answered where nothing would be kept.
pub(crate) fn no_register() -> Problem {
    let detail = "nothing is deposited here: this site is served by a cluster, and when another machine took it over, deposits would \
                  stay behind; serve it without --cluster, or deposit elsewhere (docs/cluster.md)";
    Problem::new(StatusCode::NOT_FOUND, "no_register", detail)
}

/// The system's time.
pub(crate) fn now(state: &State) -> Result<Timestamp, Problem> {
    let picture = state.served.picture.borrow();
    let early = || {
        let detail = "the system has just started and does not know its time yet; try again in a second";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", detail)
    };
    if picture.seq == 0 { Err(early()) } else { Ok(picture.clock.now) }
}

/// Reads from the register, on a thread that may wait: a writer holds it until the disk has what was written.
pub(crate) async fn read<T: Send + 'static>(
    state: &State,
    read: impl FnOnce(&Register) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Problem> {
    let register = Arc::clone(shared(state)?);
    let found = web::block(move || read(&locked(&register))).await.map_err(|_| stopped())?;
    found.map_err(|refusal| refused(&refusal))
}

/// Writes to the register; what it kept is on the disk when this returns.
pub(crate) async fn write<T: Send + 'static>(
    state: &State,
    write: impl FnOnce(&mut Register, Timestamp) -> Result<T, RegisterError> + Send + 'static,
) -> Result<T, Problem> {
    let (register, now) = (Arc::clone(shared(state)?), now(state)?);
    let done = web::block(move || write(&mut locked(&register), now)).await.map_err(|_| stopped())?;
    done.map_err(|error| match error {
        RegisterError::Refused(refusal) => refused(&refusal),
        RegisterError::Store(error) => unkept(&error),
    })
}

pub(crate) fn refused(refusal: &Refusal) -> Problem {
    let status = match refusal {
        Refusal::NotOwner { .. } => StatusCode::FORBIDDEN,
        Refusal::Limit { .. } | Refusal::Malformed(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Taken(_) | Refusal::Closed(_) => StatusCode::CONFLICT,
        Refusal::Unknown(_) => StatusCode::NOT_FOUND,
    };
    Problem::new(status, refusal.code(), refusal.to_string())
}

pub(crate) fn unkept(error: &StoreError) -> Problem {
    tracing::error!(%error, "the register cannot be written");
    let (code, detail) = if error.is_full() {
        ("register_full", "nothing was kept: there is no room on the disk; try again when there is")
    } else {
        ("register_failed", "it may not have been kept: the register cannot be written; see the log")
    };
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

/// A body of this shape.
pub(crate) async fn body<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    state: &State,
) -> Result<T, Problem> {
    let body = read_json(request, payload, &state.limits).await?;
    serde_json::from_slice(&body).map_err(|error| {
        let (status, code) = match error.is_data() {
            true => (StatusCode::UNPROCESSABLE_ENTITY, "malformed"),
            false => (StatusCode::BAD_REQUEST, "not_json"),
        };
        Problem::new(status, code, format!("the body is not what is wanted: {error}"))
    })
}

/// Name of who asks.
pub(crate) fn name(request: &HttpRequest) -> String {
    request.extensions().get::<Principal>().map_or_else(|| "local".to_owned(), |who| who.name.clone())
}

/// A refusal of what stands behind the question mark.
pub(crate) fn query_malformed(detail: String) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "query_malformed", detail)
}

/// A limit of entries, from 1 to `most`.
pub(crate) fn limit(text: &str, most: usize) -> Result<usize, Problem> {
    let given = text.parse().ok().filter(|limit| (1..=most).contains(limit));
    given.ok_or_else(|| query_malformed(format!("limit: a whole number from 1 to {most}")))
}

/// An instant.
pub(crate) fn instant(name: &str, text: &str) -> Result<Timestamp, Problem> {
    let wrong = |error| query_malformed(format!("{name}: {error}; write for example 2026-01-15T16:30:00Z"));
    text.parse().map_err(wrong)
}
