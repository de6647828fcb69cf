//! The routes and what they answer.

use crate::guard::{Access, Proof, guard};
use crate::oidc::{self, Oidc};
use crate::places::NoPlace;
use crate::problem::Problem;
use crate::serve::State;
use crate::span::spanned;
use crate::{endpoints, metrics, openapi, page, session, stream};
use access::{Action, Decision, Principal, Resource, decide};
use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, HOST};
use actix_web::middleware::from_fn;
use actix_web::web::Bytes;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use serde_json::json;
use std::sync::{Arc, LazyLock};

/// Registers every route of the table.
pub fn routes(config: &mut web::ServiceConfig) {
    for endpoints in endpoints::by_path() {
        let methods: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.method).collect();
        let allowed = methods.join(", ");
        let path = endpoints[0].path;
        // GOFLEX's clients write a slash at the end.
        let slashed = path.starts_with("/api/v1/fmar/").then(|| format!("{path}/"));
        let patterns: Vec<String> = std::iter::once(path.to_owned()).chain(slashed).collect();
        let resource = endpoints
            .iter()
            .fold(web::resource(patterns), |resource, endpoint| resource.route((endpoint.route)()));
        config.service(
            resource
                .default_service(web::to(move |request| method_not_allowed(request, allowed.clone())))
                .wrap(from_fn(move |request, next| guard(endpoints, request, next)))
                .wrap(from_fn(move |request, next| spanned(path, request, next))),
        );
    }
    config.default_service(web::to(page_or_problem));
}

async fn method_not_allowed(request: HttpRequest, allowed: String) -> HttpResponse {
    let detail = format!("{} does not answer {}", page::shortened(request.path()), request.method());
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
    let mut answer = problem.error_response();
    if let Ok(allowed) = allowed.parse() {
        answer.headers_mut().insert(ALLOW, allowed);
    }
    answer
}

/// The process runs and its picture still has a publisher.
pub(crate) async fn healthz(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match state.served.picture.has_changed() {
        Ok(_) => Ok(json_answer(&json!({ "status": "ok" }))),
        Err(_) => Err(unavailable("stopped", "the system behind this server has stopped")),
    }
}

/// Figures for Prometheus and its like.
pub(crate) async fn figures(state: web::Data<State>) -> HttpResponse {
    let picture = Arc::clone(&state.served.picture.borrow());
    let mut families = state.served.operations.families(&picture);
    families.extend(state.gate.families());
    families.extend(state.answered.families());
    if let Access::Accounts(accounts) = &state.served.access {
        families.extend(accounts.oidc.iter().flat_map(Oidc::families));
    }
    let text = metrics::text(&families);
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).content_type(metrics::TEXT).body(text)
}

pub(crate) async fn network(state: web::Data<State>) -> HttpResponse {
    json_answer(&*state.served.network)
}

pub(crate) async fn snapshot(state: web::Data<State>) -> HttpResponse {
    let picture = Arc::clone(&state.served.picture.borrow());
    json_answer(&*picture)
}

pub(crate) async fn events(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let place = state.page_places.take(request.extensions().get::<Principal>());
    let place = place.map_err(|none| no_place(none, "pages"))?;
    // Rights may end while the stream goes on.
    let (proof, access) = (Proof::of(&request), state.served.access.clone());
    let may = async move || {
        let principal = access.principal(&proof).await;
        decide(principal.as_ref(), Resource::Picture, Action::Read, None) == Decision::Allowed
    };
    let events = stream::events(state.served.picture.clone(), state.stopping.clone(), place, may);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events))
}

pub(crate) async fn description() -> HttpResponse {
    // Anybody may ask, as often as they like: it is made once.
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().to_string().into());
    HttpResponse::Ok()
        .insert_header(("cache-control", "no-store"))
        .content_type("application/json")
        .body(DOCUMENT.clone())
}

async fn page_or_problem(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    if request.method() != "GET" && request.method() != "HEAD" {
        return Ok(method_not_allowed(request, "GET, HEAD".to_owned()).await);
    }
    if let Access::Accounts(accounts) = &state.served.access {
        let ours =
            |media_type, contents: &'static [u8]| Ok(page::file(media_type, "no-cache", contents.into()));
        match request.path() {
            "/login" => {
                let who = session::who(&state.served.access, &Proof::of(&request)).await;
                let page = oidc::login_page(accounts.oidc.as_ref().map(Oidc::name), who.as_deref());
                return Ok(page::file("text/html; charset=utf-8", "no-store", page.into_bytes().into()));
            }
            "/login.js" => return ours("text/javascript; charset=utf-8", session::SCRIPT),
            "/login.css" => return ours("text/css; charset=utf-8", session::STYLE),
            // The page is of no use to somebody who may not see what it shows.
            "/" if state.served.access.principal(&Proof::of(&request)).await.is_none() => {
                return Ok(HttpResponse::SeeOther().insert_header(("location", "/login")).finish());
            }
            _ => {}
        }
    }
    page::answer(state.page, &request)
}

/// JSON that nobody keeps.
pub(crate) fn json_answer(value: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(value)
}

/// What is said when there is no place at a stream.
pub(crate) fn no_place(none: NoPlace, of_what: &str) -> Problem {
    let detail = match none {
        NoPlace::Full(count) => format!("{count} {of_what} are open already"),
        NoPlace::Enough(count) => format!("{count} {of_what} of yours are open already: close one"),
    };
    unavailable("too_many_streams", detail)
}

fn unavailable(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

/// Refuses names other than the server's own.
pub fn check_host(request: &actix_web::dev::ServiceRequest) -> Result<(), Problem> {
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    if request.app_data::<web::Data<State>>().is_some_and(|state| state.listen.is_called(host)) {
        return Ok(());
    }
    let detail =
        format!("host {:?} is no name of this server; use localhost or 127.0.0.1", page::shortened(host));
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail))
}
