//! Whether anybody should be sent here.

use super::{assert_problem, read_to_end, start};
use actors::picture::{ClockPicture, EstimatorHealth, Health, Picture};
use grid::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn readiness_waits_for_the_first_estimate_and_health_for_the_publisher() {
    let running = start().await;
    assert!(running.get("/healthz").await.starts_with("HTTP/1.1 200"));
    assert_problem(&running.get("/readyz").await, 503, "not_ready");
    let at = Some("2026-01-15T17:00:00Z".parse().unwrap());
    let health =
        Health { estimator: EstimatorHealth { ok: true, at, ..Default::default() }, ..Default::default() };
    running.picture.send_replace(Arc::new(Picture { seq: 1, health, ..Picture::default() }));
    let ready = running.get("/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 200") && ready.contains("\"status\":\"ready\""), "{ready}");
    assert!(ready.contains("\"estimate_at\":\"2026-01-15T17:00:00Z\""), "{ready}");
    assert_problem(&running.get("/readyz?for=breakfast").await, 422, "query_malformed");
    drop(running.picture);
    let address = running.server.address();
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    assert_problem(&read_to_end(&mut socket).await, 503, "stopped");
}

#[tokio::test]
async fn an_estimate_that_got_old_is_not_ready_any_more() {
    let running = start().await;
    let at: Timestamp = "2026-01-15T17:00:00Z".parse().unwrap();
    let show = |age_s: u64, speed: f64| {
        let message = Some("the measurements contradict each other".to_owned());
        let estimator = EstimatorHealth { ok: false, at: Some(at), message, ..Default::default() };
        let clock = ClockPicture { now: at.plus(Duration::from_secs(age_s)), speed, ..Default::default() };
        let health = Health { estimator, ..Default::default() };
        running.picture.send_replace(Arc::new(Picture { seq: 1, clock, health, ..Picture::default() }));
    };
    for (age_s, speed, fresh) in
        [(300, 1.0, true), (301, 1.0, false), (2_400, 240.0, true), (2_401, 240.0, false)]
    {
        show(age_s, speed);
        for path in ["/readyz", "/readyz?for=offers"] {
            let answer = running.get(path).await;
            if fresh {
                assert!(answer.starts_with("HTTP/1.1 200"), "{age_s} s: {answer}");
            } else {
                assert_problem(&answer, 503, "stale_estimate");
                let age = format!("{age_s} s old");
                let said = ["2026-01-15T17:00:00Z", age.as_str(), "contradict each other"];
                assert!(said.iter().all(|said| answer.contains(said)), "{answer}");
            }
        }
    }
    // And ready again with the next one.
    show(60, 1.0);
    assert!(running.get("/readyz").await.starts_with("HTTP/1.1 200"));
}
