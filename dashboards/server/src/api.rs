//! The routes and what they answer.

use crate::page;
use crate::problem::Problem;
use crate::serve::State;
use crate::{metrics, offers, quarantine, stream};
use actix_web::http::StatusCode;
use actix_web::http::header::HOST;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use std::sync::Arc;

/// Registers every route.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(figures))
        .service(
            web::scope("/api/v1")
                .service(resource("/network").route(web::get().to(network)))
                .service(resource("/snapshot").route(web::get().to(snapshot)))
                .service(resource("/stream").route(web::get().to(events)))
                .service(resource("/flexoffers").route(web::post().to(offers::submit)))
                .service(resource("/flexoffers/{id}").route(web::get().to(offers::find)))
                .service(resource("/quarantine").route(web::get().to(quarantine::list)))
                .service(
                    resource("/quarantine/{id}")
                        .route(web::get().to(quarantine::find))
                        .route(web::delete().to(quarantine::discard)),
                )
                .service(resource("/quarantine/{id}/release").route(web::post().to(quarantine::release))),
        )
        .default_service(web::to(page_or_problem));
}

fn resource(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(method_not_allowed))
}

async fn method_not_allowed(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let detail = format!("{} does not answer {}", page::shortened(request.path()), request.method());
    Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail))
}

/// The process runs and its picture still has a publisher.
async fn healthz(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    match state.served.picture.has_changed() {
        Ok(_) => Ok(json_answer(&json!({ "status": "ok" }))),
        Err(_) => Err(unavailable("stopped", "the system behind this server has stopped")),
    }
}

/// There is a first estimate, so the page has something to show.
async fn readyz(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let at = state.served.picture.borrow().health.estimator.at;
    match at {
        Some(at) => Ok(json_answer(&json!({ "status": "ready", "estimate_at": at }))),
        None => Err(unavailable("not_ready", "there is no estimate yet")),
    }
}

/// Figures for Prometheus and its like.
async fn figures(state: web::Data<State>) -> HttpResponse {
    let picture = Arc::clone(&state.served.picture.borrow());
    let text = metrics::text(&state.served.operations.families(&picture));
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).content_type(metrics::TEXT).body(text)
}

async fn network(state: web::Data<State>) -> HttpResponse {
    json_answer(&*state.served.network)
}

async fn snapshot(state: web::Data<State>) -> HttpResponse {
    let picture = Arc::clone(&state.served.picture.borrow());
    json_answer(&*picture)
}

async fn events(state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let place = Arc::clone(&state.stream_places).try_acquire_owned().map_err(|_| {
        unavailable("too_many_streams", format!("{} pages are open already", state.limits.streams_max))
    })?;
    let events = stream::events(state.served.picture.clone(), state.stopping.clone(), place);
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .streaming(events))
}

async fn page_or_problem(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    if request.method() != "GET" && request.method() != "HEAD" {
        return method_not_allowed(request).await;
    }
    page::answer(state.page, &request)
}

fn json_answer(value: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(value)
}

fn unavailable(code: &str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
}

/// Refuses names other than this machine's own: a foreign page whose name was made to point at 127.0.0.1
/// (DNS rebinding) sends its own name.
pub fn check_host(request: &actix_web::dev::ServiceRequest) -> Result<(), Problem> {
    let host = request.headers().get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(""),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    let own = name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if own {
        return Ok(());
    }
    let detail = format!("host {:?} is not this machine; use localhost or 127.0.0.1", page::shortened(host));
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "foreign_host", detail))
}
