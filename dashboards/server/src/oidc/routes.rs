//! The two addresses of a sign-in: from where a browser is sent out, and where it comes back to.

use super::pages::{refused, signed_in};
use super::sign_in::{Oidc, Refusal, Returned};
use crate::guard::{Access, Accounts, COOKIE, cookie, stopped};
use crate::problem::Problem;
use crate::serve::State;
use access::SESSION_LASTS;
use access::oidc::SIGN_IN_WITHIN;
use actix_web::http::header::ACCEPT;
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use std::sync::Arc;

/// Name of the cookie that binds a sign-in to its browser.
const SIGN_IN_COOKIE: &str = "gridflex_sign_in";
/// Where that cookie is sent to.
const SIGN_IN_PATH: &str = "/api/v1/session/oidc";

/// `GET /api/v1/session/oidc`.
pub(crate) async fn begin(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    answered(&request, &state, sent_out(&request, &state).await)
}

/// `GET /api/v1/session/oidc/callback`.
pub(crate) async fn finish(request: HttpRequest, state: web::Data<State>) -> HttpResponse {
    answered(&request, &state, came_back(&request, &state).await)
}

/// An answer; a refusal for people is a page that says the same.
fn answered(request: &HttpRequest, state: &State, outcome: Result<HttpResponse, Problem>) -> HttpResponse {
    let problem = match outcome {
        Ok(answer) => return answer,
        Err(problem) => problem,
    };
    let accepts = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_person = accepts.contains("text/html") && provider(state).is_ok();
    if is_person { refused(&problem) } else { problem.error_response() }
}

fn provider(state: &State) -> Result<(&Arc<Accounts>, &Oidc), Problem> {
    let Access::Accounts(accounts) = &state.served.access else { return Err(none()) };
    accounts.oidc.as_ref().map(|oidc| (accounts, oidc)).ok_or_else(none)
}

fn none() -> Problem {
    Problem::not_found(
        "nobody signs in here with an OpenID provider: none is named in the site's file ([oidc])",
    )
}

async fn sent_out(request: &HttpRequest, state: &State) -> Result<HttpResponse, Problem> {
    let (accounts, oidc) = provider(state)?;
    let sending = sending(request, accounts, oidc).await;
    let (address, browser) = sending.map_err(|refusal| problem(oidc, refusal))?;
    let secure = if oidc.provider.config.is_public_encrypted() { "; Secure" } else { "" };
    // Lax: the browser comes back from another site.
    let cookie = format!(
        "{SIGN_IN_COOKIE}={browser}; Path={SIGN_IN_PATH}; Max-Age={}; HttpOnly; SameSite=Lax{secure}",
        SIGN_IN_WITHIN.as_secs()
    );
    Ok(HttpResponse::SeeOther()
        .insert_header(("location", address))
        .insert_header(("set-cookie", cookie))
        .insert_header(("cache-control", "no-store"))
        .finish())
}

async fn sending(
    request: &HttpRequest,
    accounts: &Arc<Accounts>,
    oidc: &Oidc,
) -> Result<(String, String), Refusal> {
    let from = request.peer_addr().map(|address| address.ip());
    waited(accounts, oidc, move |accounts, oidc| {
        oidc.send_out(from, accounts.clock.as_ref()).map_err(Refusal::Trouble)
    })
    .await
}

async fn came_back(request: &HttpRequest, state: &State) -> Result<HttpResponse, Problem> {
    let (accounts, oidc) = provider(state)?;
    let returned = web::Query::<Returned>::from_query(request.query_string());
    let returned = returned.map(web::Query::into_inner).unwrap_or_default();
    let browser = cookie(request, SIGN_IN_COOKIE);
    let finished = waited(accounts, oidc, move |accounts, oidc| {
        let came = oidc.came_back(returned, browser.as_deref(), accounts.clock.as_ref());
        let (begun, code) = came.map_err(Refusal::Trouble)?;
        accounts.finish_sign_in(oidc, &begun, &code)
    });
    let session = finished.await.map_err(|refusal| problem(oidc, refusal))?.session;
    let secure = if state.encrypted || oidc.provider.config.is_public_encrypted() { "; Secure" } else { "" };
    let seconds = SESSION_LASTS.as_secs();
    let ours = format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    let done = format!("{SIGN_IN_COOKIE}=; Path={SIGN_IN_PATH}; Max-Age=0; HttpOnly; SameSite=Lax{secure}");
    Ok(signed_in([ours, done]))
}

/// Does what waits for the provider on a thread that may; what is refused is counted and written down there.
async fn waited<T: Send + 'static>(
    accounts: &Arc<Accounts>,
    oidc: &Oidc,
    what: impl FnOnce(&Accounts, &Oidc) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let turn = match oidc.turn() {
        Ok(turn) => turn,
        Err(trouble) => {
            // Nothing waits for the disk here: whoever is turned away is counted.
            oidc.counted.sign_in(trouble.code());
            return Err(Refusal::Trouble(trouble));
        }
    };
    let accounts = Arc::clone(accounts);
    let done = web::block(move || {
        let _turn = turn;
        let Some(oidc) = &accounts.oidc else { return Err(Refusal::Problem(none())) };
        what(&accounts, oidc).inspect_err(|refusal| {
            if let Refusal::Trouble(trouble) = refusal {
                accounts.note_trouble(oidc, trouble);
            }
        })
    });
    done.await.unwrap_or_else(|_| Err(Refusal::Problem(stopped())))
}

fn problem(oidc: &Oidc, refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Trouble(trouble) => trouble.problem(oidc.name()),
        Refusal::Problem(problem) => problem,
    }
}
