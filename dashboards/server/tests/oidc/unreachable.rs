//! A provider that is down, stalls, or sends too much: local accounts go on.

use super::provider::{Provider, Reply};
use super::{PASSWORD, Running};
use serde_json::json;
use std::time::{Duration, Instant};

const DOCUMENT: &str = "/.well-known/openid-configuration";

async fn local_log_in(running: &Running) -> u16 {
    let body = json!({ "name": "ada", "password": PASSWORD }).to_string();
    running.ask_with("POST", "/api/v1/session", "", &body).await.status
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // wall time is what is tested
async fn a_provider_that_is_down_keeps_nobody_else_out() {
    let provider = Provider::start().await;
    let issuer = provider.issuer();
    let running = Running::start_with(issuer, None).await;
    let session = running.signed_in(&provider).await;
    provider.stop().await;
    running.wait(3_590);
    assert_eq!(local_log_in(&running).await, 200);
    assert_eq!(running.get("/api/v1/snapshot", &session).await.status, 200, "an outage is survived");
    running.wait(10);
    let since = Instant::now();
    let answer = running.get("/api/v1/session/oidc", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unreachable"), "{}", answer.body);
    assert!(answer.body.contains("Local accounts work as ever"), "{}", answer.body);
    let page = running.get("/api/v1/session/oidc", "accept: text/html\r\n").await;
    assert!(
        page.status == 503 && page.body.contains("Stadtwerke &lt;A&gt; cannot be used now"),
        "{}",
        page.body
    );
    assert!(since.elapsed() < Duration::from_secs(8), "{:?}", since.elapsed());
    assert_eq!(local_log_in(&running).await, 200);
    assert!(running.get("/login", "").await.body.contains("id=\"login\""));
    assert_eq!(running.count("oidc_sign_ins_total", "provider_unreachable").await, 2);
    assert!(running.audit().contains("\"outcome\":\"provider_unreachable\""));
    running.server.stop().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // wall time is what is tested
async fn a_provider_that_sends_ten_megabytes_is_not_heard_out() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    provider.tell(DOCUMENT, Reply::Flood(10 << 20));
    let since = Instant::now();
    let answer = running.get("/api/v1/session/oidc", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_answer"), "{}", answer.body);
    provider.tell(DOCUMENT, Reply::Json(200, provider.document()));
    running.wait(5);
    for path in ["/token", "/keys"] {
        provider.tell(path, Reply::Flood(10 << 20));
        let begun = running.begin().await;
        if path == "/keys" {
            let token = provider.signer.signed(&running.says(&begun));
            provider.tell("/token", Reply::Json(200, json!({ "id_token": token })));
        }
        let answer = running.come_back(&begun).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (503, "provider_answer"),
            "{path}: {}",
            answer.body
        );
    }
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    assert_eq!(running.count("oidc_sign_ins_total", "provider_answer").await, 3);
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
#[allow(clippy::disallowed_methods)] // wall time is what is tested
async fn a_provider_that_stalls_or_drips_is_given_up_after_five_seconds_and_holds_up_nobody() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    for reply in [Reply::Stall, Reply::Drip] {
        provider.tell(DOCUMENT, reply);
        let since = Instant::now();
        let asking = running.get("/api/v1/session/oidc", "");
        let others = async {
            for _ in 0..5 {
                assert_eq!(running.get("/healthz", "").await.status, 200);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert!(since.elapsed() < Duration::from_secs(4), "{:?}", since.elapsed());
        };
        let (answer, ()) = tokio::join!(asking, others);
        assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unreachable"), "{}", answer.body);
        assert!(since.elapsed() < Duration::from_secs(9), "{:?}", since.elapsed());
        running.wait(5);
    }
    // Many who want to sign in wait on few threads; the others are told.
    provider.tell(DOCUMENT, Reply::Stall);
    let asking = (0..40).map(|_| running.get("/api/v1/session/oidc", ""));
    let answers = futures_util::future::join_all(asking).await;
    let busy = answers.iter().filter(|answer| answer.code() == "busy").count();
    assert!(answers.iter().all(|answer| answer.status == 503) && busy >= 20, "{busy}");
    assert_eq!(running.count("oidc_sign_ins_total", "busy").await, busy as u64);
    assert_eq!(local_log_in(&running).await, 200);
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn nobody_follows_a_provider_elsewhere() {
    let provider = Provider::start().await;
    let other = Provider::start().await;
    let running = Running::start(&provider).await;
    provider.tell(DOCUMENT, Reply::Redirect(format!("{}{DOCUMENT}", other.issuer())));
    assert_eq!(running.get("/api/v1/session/oidc", "").await.code(), "provider_answer");
    // A document of somebody else, and one that is none.
    for body in [other.document(), json!({}), json!([])] {
        provider.tell(DOCUMENT, Reply::Json(200, body));
        running.wait(5);
        assert_eq!(running.get("/api/v1/session/oidc", "").await.code(), "provider_answer");
    }
    provider.tell(DOCUMENT, Reply::Json(200, provider.document()));
    assert_eq!(running.get("/api/v1/session/oidc", "").await.status, 503, "it was asked just now");
    running.wait(5);
    provider.tell("/token", Reply::Redirect(format!("{}/token", other.issuer())));
    let begun = running.begin().await;
    assert_eq!(running.come_back(&begun).await.code(), "provider_answer");
    assert_eq!(other.count(DOCUMENT) + other.count("/token"), 0, "a secret was shown to a stranger");
    running.server.stop().await;
    provider.stop().await;
    other.stop().await;
}
