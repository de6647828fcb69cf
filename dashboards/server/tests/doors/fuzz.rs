//! Anything at all in the bodies and heads of requests: every endpoint that takes a body answers, and never with an error of
//! its own. `FUZZ_SECONDS` is the time, `FUZZ_SEED` the first number drawn.

use super::Running;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[path = "../../../../connectors/tests/fuzz/mutate.rs"]
mod mutate;

const OFFER: &str = r#"{"id":"a","prosumer":3,"usage_point":3,"device":31,"created_at":"2026-02-02T12:00:00Z","acceptance_before":"2026-02-02T12:10:00Z","assignment_before":"2026-02-02T12:15:00Z","start_after":1966800,"start_before":1966802,"slices":[{"min":0,"max":1850000}],"total_energy":null,"default_schedule":{"start":1966800,"energies":[1850000]},"prices":{"decrease":120000,"increase":150000}}"#;
const MESSAGE: &str = r#"{"type":"FlexOffer","state":"Initial","foaId":"foa-3","flexOffer":{"id":"a","offeredById":"3","locationId":{"userName":"3"},"creationTime":"2026-02-02T12:00:00Z","startAfterTime":"2026-02-02T12:15:00Z","startBeforeTime":"2026-02-02T12:45:00Z","flexOfferProfileConstraints":[{"minDuration":1,"maxDuration":1,"energyConstraintList":[{"lower":0,"upper":1.85}]}]}}"#;
const HEARTBEAT: &str = r#"{"foaId":"foa-3","foaTime":"2026-02-02T12:00:00Z","type":"heartbeat"}"#;

/// A body that each endpoint which takes one would take, or nearly.
const BODIES: &[&str] = &[
    OFFER,
    MESSAGE,
    HEARTBEAT,
    r#"{"values":[{"key":"tariff.base","value":{"eur_per_kwh":0.30}},{"key":"k2","value":2}]}"#,
    r#"{"values":[{"point":"device.31.energy","ts":"2026-02-02T12:00:00Z","cumulative_kwh":100.25},{"point":"device.31.p","ts":"2026-02-02T12:00:00Z","value":-1.5e3},{"point":"device.41.energy","ts":"2026-02-02T12:00:00Z","import_kwh":1,"export_kwh":2}]}"#,
    r#"{"load_type":"household","period":"2026-01","group":["flat","2 persons"],"value":210.5,"prosumer":3}"#,
    r#"{"id":"losses","ts":"2026-02-02T12:00:00Z","value":0.041,"unit":"1"}"#,
    r#"{"target":0.04,"direction":"below"}"#,
    r#"{"threshold":0.05,"hysteresis":0.01,"direction":"below"}"#,
    r#"{"status":"accepted","accepted":[2.5,0]}"#,
    r#"{"prosumer":3,"acknowledged":[{"activation":"act-1","accepted":false,"reason":"the car left"}]}"#,
    r#"{"CommunicationRequest":{"Acknowledgement":[{"activation":"act-1","accepted":true}],"Measurement":[{"point":"device.31.p","ts":"2026-02-02T12:00:00Z","value":1}]}}"#,
    r#"{"name":"anna","password":"a long one"}"#,
    "{}",
];

/// The methods and paths of the table that take something.
fn targets() -> Vec<(&'static str, String)> {
    let with_body = dashboards_server::ENDPOINTS.iter().filter(|endpoint| endpoint.method != "GET");
    with_body.map(|endpoint| (endpoint.method, endpoint.path.replace(['{', '}'], ""))).collect()
}

/// Sends bytes and reads what is answered: the status, or nothing when the connection ended without one.
async fn ask(running: &Running, request: &[u8]) -> Option<u16> {
    let mut socket = TcpStream::connect(running.server.address()).await.unwrap();
    let _ = socket.write_all(request).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let head = async {
        while answer.len() < 12 && socket.read_buf(&mut answer).await.is_ok_and(|count| count > 0) {}
    };
    let read = tokio::time::timeout(Duration::from_secs(20), head).await;
    assert!(read.is_ok(), "no answer and no end: {}", String::from_utf8_lossy(request));
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

async fn mutated(seed: u64, until: impl Fn(u64) -> bool) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bodies: Vec<Vec<u8>> = BODIES.iter().map(|body| body.as_bytes().to_vec()).collect();
    let targets = targets();
    let mut executions = 0;
    while !until(executions) {
        // Any body goes to any endpoint: what one takes another has to refuse.
        let (method, path) = &targets[rng.random_range(0..targets.len())];
        let body = mutate::mutate(&bodies[rng.random_range(0..bodies.len())], &bodies, &mut rng);
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend(&body);
        let is_head_whole = rng.random_bool(0.9);
        if !is_head_whole {
            request = mutate::mutate(&request, &bodies, &mut rng);
        }
        let status = ask(&running, &request).await;
        let own_fault = status.is_some_and(|status| status == 500 || !(200..600).contains(&status));
        let unanswered = is_head_whole && status.is_none();
        assert!(!own_fault && !unanswered, "{status:?} for {}", String::from_utf8_lossy(&request));
        executions += 1;
    }
    assert_eq!(running.get("network").await.status, 200, "it answers nobody after that");
    executions
}

#[tokio::test]
async fn two_hundred_broken_requests_are_answered_each() {
    mutated(1, |executions| executions >= 200).await;
}

#[tokio::test]
#[ignore = "FUZZ_SECONDS; `make soak` runs it with 600"]
#[allow(clippy::disallowed_methods)] // wall time bounds the run
async fn broken_requests_are_answered_for_long() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seconds, since) = (Duration::from_secs(number("FUZZ_SECONDS", 5)), Instant::now());
    let seed = number("FUZZ_SEED", 7);
    let executions = mutated(seed, |_| since.elapsed() >= seconds).await;
    eprintln!("http               {executions:>10} executions, seed {seed}");
}
