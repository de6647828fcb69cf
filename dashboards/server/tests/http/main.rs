//! The server over real HTTP, spoken by hand so that slow and broken clients can be played.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers outside the test functions may fail a test too

mod crowd;
mod dialects;
mod ready;

use actors::Historian;
use actors::picture::{FeedEntry, FeedKind, NetworkPicture, Picture};
use actors::runtime::{Compute, Environment, ScaledClock, Supervisor};
use dashboards_server::{
    Access, Limits, MarketDoor, OfferAnswer, OfferFound, OfferState, RunningServer, ServeError, Served,
    serve, serve_with,
};
use futures_util::future::BoxFuture;
use grid::{BusEstimate, BusId, DeviceId, Estimate, Observability, ProsumerId, Timestamp, UsagePointId};
use history::History;
use market::{FlexOffer, FlexOfferId};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A market that remembers offers and refuses prosumer 13.
#[derive(Default)]
struct Market(Arc<Mutex<Vec<FlexOffer>>>);

impl MarketDoor for Market {
    fn submit(&self, offer: FlexOffer) -> BoxFuture<'static, OfferAnswer> {
        let offers = Arc::clone(&self.0);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut offers = offers.lock().unwrap();
            match offers.iter().find(|known| known.id == offer.id) {
                Some(known) if *known == offer => OfferAnswer::Known,
                Some(_) => OfferAnswer::Conflict,
                None if offer.prosumer.0 == 13 => {
                    let sentence = "prosumer 13 is not registered".to_owned();
                    OfferAnswer::Refused { code: "prosumer_unknown".to_owned(), sentence }
                }
                None if offer.prosumer.0 == 14 => OfferAnswer::Unavailable {
                    code: "journal_full",
                    sentence: "the journal is full".to_owned(),
                },
                None => {
                    offers.push(offer);
                    OfferAnswer::Accepted
                }
            }
        })
    }

    fn find(&self, id: FlexOfferId) -> BoxFuture<'static, Option<OfferFound>> {
        let found = self.0.lock().unwrap().iter().find(|offer| offer.id == id).cloned();
        let state = OfferState::Accepted;
        let found = found.map(|offer| OfferFound { offer, state, schedule: None, not_bought: None });
        Box::pin(std::future::ready(found))
    }

    /// Prosumer 1 has one device, prosumer 2 two, prosumer 3 the one of the example in `docs/http.md`.
    fn devices_of(&self, prosumer: ProsumerId) -> Vec<(UsagePointId, DeviceId)> {
        let devices: &[(u32, u32)] = match prosumer.0 {
            1 => &[(3001, 11)],
            2 => &[(3002, 21), (3002, 22)],
            3 => &[(3003, 31), (3003, 32)],
            _ => &[],
        };
        devices.iter().map(|(place, device)| (UsagePointId(*place), DeviceId(*device))).collect()
    }
}

struct Running {
    server: RunningServer,
    picture: watch::Sender<Arc<Picture>>,
}

fn no_page(_: &str) -> Option<Cow<'static, [u8]>> {
    None
}

fn some_page(path: &str) -> Option<Cow<'static, [u8]>> {
    match path {
        "index.html" => Some(Cow::Borrowed(b"<!doctype html><p>the page</p>")),
        "assets/app-1.js" => Some(Cow::Borrowed(b"run()")),
        _ => None,
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn served() -> (watch::Sender<Arc<Picture>>, Served) {
    let (sender, picture) = watch::channel(Arc::new(Picture::default()));
    let network = Arc::new(NetworkPicture { name: "test feeder".to_owned(), ..NetworkPicture::default() });
    let market = Arc::new(Market::default());
    (
        sender,
        Served {
            network,
            picture,
            market,
            operations: Default::default(),
            register: None,
            topology: Default::default(),
            pseudonyms: Default::default(),
            field: None,
            access: Access::Local,
        },
    )
}

async fn start_with(limits: Limits, page: fn(&str) -> Option<Cow<'static, [u8]>>) -> Running {
    let (picture, served) = served();
    Running { server: serve_with(loopback(), served, limits, page).await.unwrap(), picture }
}

async fn start() -> Running {
    start_with(Limits::default(), some_page).await
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.address()).await.unwrap()
    }

    /// Sends raw text and returns everything the server says until it closes.
    async fn raw(&self, request: &str) -> String {
        let mut socket = self.connect().await;
        socket.write_all(request.as_bytes()).await.unwrap();
        read_to_end(&mut socket).await
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }

    async fn post(&self, body: &str) -> String {
        self.raw(&format!(
            "POST /api/v1/flexoffers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await
    }
}

async fn read_to_end(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A server that answers before it has read a whole body may reset the connection after its answer.
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Reads until `text` was seen.
async fn read_until(socket: &mut TcpStream, heard: &mut String, text: &str) {
    let mut chunk = [0; 4096];
    while !heard.contains(text) {
        let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut chunk)).await;
        let count = read.unwrap_or_else(|_| panic!("no {text:?} in {heard:?}")).unwrap();
        assert_ne!(count, 0, "closed before {text:?}: {heard}");
        heard.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
    }
}

/// Reads until `text` was seen, or says that the other side ended it before.
async fn read_until_or_end(socket: &mut TcpStream, heard: &mut String, text: &str) -> bool {
    let mut chunk = [0; 4096];
    while !heard.contains(text) {
        match tokio::time::timeout(Duration::from_secs(5), socket.read(&mut chunk)).await.unwrap() {
            Ok(0) | Err(_) => return false,
            Ok(count) => heard.push_str(std::str::from_utf8(&chunk[..count]).unwrap()),
        }
    }
    true
}

fn offer(id: &str, prosumer: u32) -> String {
    serde_json::json!({
        "id": id, "prosumer": prosumer, "usage_point": 1, "device": 121,
        "created_at": "2026-01-15T17:00:00Z", "acceptance_before": "2026-01-15T17:10:00Z",
        "assignment_before": "2026-01-15T17:15:00Z", "start_after": 1964998, "start_before": 1965000,
        "slices": [{ "min": 0, "max": 1850000 }], "total_energy": null,
        "default_schedule": { "start": 1964998, "energies": [1850000] },
        "prices": { "decrease": 120000, "increase": 150000 },
    })
    .to_string()
}

fn assert_problem(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains("content-type: application/problem+json"), "{answer}");
    let body: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (body["status"].as_u64(), body["code"].as_str()),
        (Some(u64::from(status)), Some(code)),
        "{body}"
    );
    assert!(body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
}

#[tokio::test]
async fn a_missing_page_says_how_to_build_it() {
    let running = start_with(Limits::default(), no_page).await;
    let answer = running.get("/").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("make page"), "{answer}");
}

#[tokio::test]
async fn the_page_answers_unknown_paths_but_not_those_of_the_interface() {
    let running = start().await;
    for path in ["/", "/transformer/1", "/index.html"] {
        let answer = running.get(path).await;
        assert!(answer.contains("the page"), "{path}: {answer}");
        assert!(answer.contains("content-security-policy: default-src 'self'"), "{answer}");
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
    let script = running.get("/assets/app-1.js").await;
    assert!(script.contains("text/javascript") && script.contains("immutable"), "{script}");
    assert_problem(&running.get("/assets/app-2.js").await, 404, "not_found");
    assert_problem(&running.get("/api/v1/nothing").await, 404, "not_found");
    assert_problem(&running.get("/api").await, 404, "not_found");
    let deleted =
        running.raw("DELETE /api/v1/network HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_problem(&deleted, 405, "method_not_allowed");
}

#[tokio::test]
async fn where_deposits_would_stay_behind_they_are_refused_with_the_reason() {
    let running = start().await;
    running.picture.send_replace(Arc::new(Picture { seq: 1, ..Picture::default() }));
    for path in ["key-values?limit=5", "kpis", "kpis/losses"] {
        let answer = running.get(&format!("/api/v1/{path}")).await;
        assert_problem(&answer, 404, "no_register");
        assert!(answer.contains("cluster"), "{answer}");
    }
}

#[tokio::test]
async fn snapshot_and_network_are_what_was_published() {
    let running = start().await;
    assert!(running.get("/api/v1/network").await.contains("\"name\":\"test feeder\""));
    running.picture.send_replace(Arc::new(Picture { seq: 41, ..Picture::default() }));
    let answer = running.get("/api/v1/snapshot").await;
    assert!(answer.contains("{\"seq\":41,\"clock\":"), "{answer}");
    assert!(answer.contains("cache-control: no-store"), "{answer}");
}

#[tokio::test]
async fn the_stream_starts_with_a_snapshot_then_sends_changes_and_beats() {
    let running = start().await;
    running.picture.send_replace(Arc::new(Picture { seq: 7, ..Picture::default() }));
    let (mut socket, mut heard) = (running.connect().await, String::new());
    socket.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut socket, &mut heard, "event: beat\ndata: {\"seq\":7}").await;
    assert!(heard.contains("content-type: text/event-stream"), "{heard}");
    assert!(heard.contains("event: snapshot\ndata: {\"seq\":7,\"clock\""), "{heard}");
    let entry = FeedEntry { seq: 1, at: Default::default(), kind: FeedKind::Need, text: "need".to_owned() };
    running.picture.send_replace(Arc::new(Picture { seq: 8, feed: vec![entry], ..Picture::default() }));
    read_until(&mut socket, &mut heard, "event: change\ndata: {\"seq\":8,\"feed\":[{\"seq\":1,").await;
    read_until(&mut socket, &mut heard, "event: beat\ndata: {\"seq\":8}").await;
    running.server.stop().await;
    assert!(read_to_end(&mut socket).await.ends_with("0\r\n\r\n"), "the stream did not end properly");
}

#[tokio::test]
async fn the_stream_ends_when_the_publisher_is_gone() {
    let running = start().await;
    let (mut socket, mut heard) = (running.connect().await, String::new());
    socket.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut socket, &mut heard, "event: beat").await;
    drop(running.picture);
    read_until(&mut socket, &mut heard, "0\r\n\r\n").await;
}

#[tokio::test]
async fn more_pages_than_allowed_are_refused_and_a_closed_one_makes_room() {
    let running = start_with(Limits { streams_max: 1, ..Limits::default() }, no_page).await;
    let (mut first, mut heard) = (running.connect().await, String::new());
    first.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    read_until(&mut first, &mut heard, "event: beat").await;
    assert_problem(&running.get("/api/v1/stream").await, 503, "too_many_streams");
    drop(first);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (mut next, mut heard) = (running.connect().await, String::new());
        next.write_all(b"GET /api/v1/stream HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        read_until(&mut next, &mut heard, "\r\n\r\n").await;
        if heard.starts_with("HTTP/1.1 200") {
            return;
        }
    }
    panic!("the place of the closed stream was never freed");
}

#[tokio::test]
async fn an_offer_is_created_once_and_known_after_that() {
    let running = start().await;
    let first = running.post(&offer("fo-1", 1)).await;
    assert!(first.starts_with("HTTP/1.1 201"), "{first}");
    assert!(
        first.contains("location: /api/v1/flexoffers/fo-1") && first.contains("{\"id\":\"fo-1\"}"),
        "{first}"
    );
    assert!(running.post(&offer("fo-1", 1)).await.starts_with("HTTP/1.1 200"));
    assert_problem(&running.post(&offer("fo-1", 2)).await, 409, "id_taken");
    assert_problem(&running.post(&offer("fo-2", 13)).await, 422, "prosumer_unknown");
    let not_now = running.post(&offer("fo-3", 14)).await;
    assert_problem(&not_now, 503, "journal_full");
    assert!(not_now.contains("retry-after: 1\r\n"), "{not_now}");
    let found = running.get("/api/v1/flexoffers/fo-1").await;
    assert!(found.contains("\"state\":\"accepted\"") && found.contains("\"id\":\"fo-1\""), "{found}");
    assert_problem(&running.get("/api/v1/flexoffers/fo-2").await, 404, "not_found");
    assert_problem(&running.get("/api/v1/flexoffers/a%20b").await, 400, "id_malformed");
}

#[tokio::test]
async fn what_is_no_offer_is_refused_with_the_reason() {
    let running = start().await;
    assert_problem(&running.post("{").await, 400, "not_json");
    assert_problem(&running.post("{}").await, 422, "offer_malformed");
    assert_problem(&running.post(&offer("a/b", 1)).await, 422, "offer_malformed");
    assert_problem(&running.post(&offer("x", 1).replace("1850000", "1e308")).await, 422, "offer_malformed");
    assert_problem(&running.post(&offer("x", 1).replace("1850000", "NaN")).await, 400, "not_json");
    assert_problem(&running.post(&"[".repeat(30_000)).await, 422, "offer_malformed");
    let form = "POST /api/v1/flexoffers HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
        content-length: 2\r\nconnection: close\r\n\r\n{}";
    assert_problem(&running.raw(form).await, 415, "not_json");
}

#[tokio::test]
async fn an_oversized_body_is_cut_off() {
    let running = start().await;
    assert_problem(&running.post(&" ".repeat(64 * 1024 + 1)).await, 413, "body_too_large");
    let padded = format!("{}{}", offer("fo-9", 1), " ".repeat(32 * 1024));
    assert!(running.post(&padded).await.starts_with("HTTP/1.1 201"));
}

#[tokio::test]
async fn a_slow_body_is_cut_off() {
    let limits = Limits { body_deadline: Duration::from_millis(200), ..Limits::default() };
    let running = start_with(limits, no_page).await;
    let mut socket = running.connect().await;
    let head = "POST /api/v1/flexoffers HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 100\r\nconnection: close\r\n\r\n{";
    socket.write_all(head.as_bytes()).await.unwrap();
    assert_problem(&read_to_end(&mut socket).await, 408, "body_too_slow");
}

#[tokio::test]
async fn a_foreign_host_name_is_refused() {
    let running = start().await;
    for own in ["localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "LOCALHOST"] {
        let answer =
            running.raw(&format!("GET /healthz HTTP/1.1\r\nhost: {own}\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{own}: {answer}");
    }
    for foreign in ["evil.example", "localhost.evil.example:8080", "10.0.0.1"] {
        let request = format!("GET /healthz HTTP/1.1\r\nhost: {foreign}\r\nconnection: close\r\n\r\n");
        assert_problem(&running.raw(&request).await, 421, "foreign_host");
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_way_out() {
    let running = start().await;
    let (_picture, served) = served();
    let error = serve(running.server.address(), served).await.unwrap_err();
    assert!(matches!(error, ServeError::PortInUse { .. }));
    let port = running.server.address().port().to_string();
    assert!(error.to_string().contains(&port) && error.to_string().contains("--port"), "{error}");
}

#[tokio::test]
async fn only_loopback_is_served() {
    let (_picture, served) = served();
    let error = serve(SocketAddr::from(([0, 0, 0, 0], 0)), served).await.unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }) && error.to_string().contains("TLS"), "{error}");
}

#[tokio::test]
async fn a_stopped_server_frees_its_port() {
    let running = start().await;
    let address = running.server.address();
    running.server.stop().await;
    let (_picture, served) = served();
    serve(address, served).await.unwrap().stop().await;
}

#[tokio::test]
async fn answers_are_counted_by_status_refused_hosts_among_them() {
    let running = start().await;
    for _ in 0..3 {
        running.get("/api/v1/no-such-thing").await;
    }
    let stranger = "GET /healthz HTTP/1.1\r\nhost: elsewhere.example\r\nconnection: close\r\n\r\n";
    let refused = running.raw(stranger).await;
    let status = refused.split(' ').nth(1).unwrap();
    let figures = running.get("/metrics").await;
    for line in [
        "http_answers_total{status=\"404\"} 3".to_owned(),
        format!("http_answers_total{{status=\"{status}\"}} 1"),
        "http_answer_seconds_count 4".to_owned(),
    ] {
        assert!(figures.contains(&line), "{line} is not in\n{figures}");
    }
}

#[tokio::test]
async fn figures_are_served_as_text_and_the_quarantine_answers_with_facts() {
    let running = start().await;
    let figures = running.get("/metrics").await;
    assert!(
        figures.starts_with("HTTP/1.1 200") && figures.contains("text/plain; version=0.0.4"),
        "{figures}"
    );
    for name in [
        "stage_restarts_total",
        "quarantine_messages 0",
        "journal_sync_seconds_count 0",
        "journal_read_only 0",
    ] {
        assert!(figures.contains(name), "{name} is not in\n{figures}");
    }
    let tree = running.get("/api/v1/supervision").await;
    assert!(tree.starts_with("HTTP/1.1 200") && tree.contains("\"restarts_max\":5"), "{tree}");
    for refused in ["?kind=foa", "?limit=0", "?limit=10001", "?all=1"] {
        let answer = running.get(&format!("/api/v1/supervision{refused}")).await;
        assert!(answer.starts_with("HTTP/1.1 422"), "{refused}: {answer}");
    }
    let list = running.get("/api/v1/quarantine").await;
    assert!(list.starts_with("HTTP/1.1 200") && list.contains("\"messages\":[]"), "{list}");
    assert!(running.get("/api/v1/quarantine/7").await.starts_with("HTTP/1.1 404"));
    assert!(running.get("/api/v1/quarantine/x").await.starts_with("HTTP/1.1 400"));
    let ask = |method: &str, path: &str, kind: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n{kind}\r\n"
        )
    };
    let release = "/api/v1/quarantine/7/release";
    assert!(running.raw(&ask("POST", release, "")).await.starts_with("HTTP/1.1 415"));
    let json = "content-type: application/json\r\n";
    assert!(running.raw(&ask("POST", release, json)).await.starts_with("HTTP/1.1 404"));
    assert!(running.raw(&ask("DELETE", "/api/v1/quarantine/7", "")).await.starts_with("HTTP/1.1 404"));
}

/// An estimate of one voltage.
fn estimate(at: Timestamp) -> Estimate {
    let bus = BusEstimate {
        bus: BusId(34),
        u_v: [231.5, 230.0, 229.0],
        u_angle_rad: [0.0; 3],
        u_std_v: [0.25; 3],
        u_pu: [1.0; 3],
        observability: [Observability::Measured; 3],
    };
    let (branches, usage_points, residuals) = (Vec::new(), Vec::new(), Vec::new());
    let (objective, degrees_of_freedom, iterations) = (0.0, 0, 1);
    Estimate {
        at,
        buses: vec![bus],
        branches,
        usage_points,
        residuals,
        objective,
        degrees_of_freedom,
        iterations,
        consistency: Default::default(),
    }
}

#[tokio::test]
async fn the_history_is_asked_by_point_and_time() {
    let running = start().await;
    let answer = running.get("/api/v1/history").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("no_history"), "{answer}");

    let directory = tempfile::tempdir().unwrap();
    let at: Timestamp = "2026-01-15T16:30:00Z".parse().unwrap();
    let environment = Environment::new(ScaledClock::start(at, 1), Compute::Blocking);
    let history = History::open(directory.path(), history::Options::default()).unwrap();
    let escalator = Supervisor::start(environment.clone()).await.unwrap().escalator();
    let (historian, _tap) = Historian::start(history, |_| true, environment, escalator);
    historian.keep_estimate(&Arc::new(estimate(at)));
    let (picture, mut served) = served();
    served.operations.historian = Some(historian.clone());
    let server = serve_with(loopback(), served, Limits::default(), some_page).await.unwrap();
    let running = Running { server, picture };
    for _ in 0..500 {
        if historian.kept.get() > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let answer = running.get("/api/v1/history").await;
    assert!(answer.contains(r#""estimate":{"unsealed":3,"sealed":0"#), "{answer}");
    let asked =
        "/api/v1/history/estimate?point=bus.34.u.a&from=2026-01-15T16:30:00Z&until=2026-01-15T16:30:01Z";
    let answer = running.get(asked).await;
    assert!(
        answer.contains(r#""point":"bus.34.u.a""#) && answer.contains(r#""value":231.5,"std":0.25"#),
        "{answer}"
    );
    assert!(answer.contains(r#""unit":"V""#) && !answer.contains("bus.34.u.b"), "{answer}");
    let answer = running.get(&asked.replace("bus.34.u.a", "bus.34")).await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("query_malformed"), "{answer}");
    let answer = running
        .get("/api/v1/history/estimate?from=2026-01-15T16:30:00Z&until=2026-01-16T16:30:00Z&limit=2")
        .await;
    assert!(answer.starts_with("HTTP/1.1 422") && answer.contains("too_many_values"), "{answer}");
    assert!(running.get("/api/v1/history/prices").await.starts_with("HTTP/1.1 404"));
    assert!(running.get("/metrics").await.contains("history_unsealed_values{kind=\"estimate\"} 3"));
}
