//! The provider is asked again about people who are signed in.

use super::Running;
use super::provider::{Provider, Reply};
use serde_json::{Value, json};
use std::time::Duration;

/// Waits until something is so.
async fn until(what: &str, mut look: impl AsyncFnMut() -> bool) {
    for _ in 0..200 {
        if look().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

/// What a renewed token says.
fn renewed(running: &Running, groups: &[&str]) -> Value {
    json!({
        "iss": running.issuer, "aud": "gridflex", "sub": "248289761001", "iat": running.now(),
        "exp": running.now() + 300, "groups": groups,
    })
}

#[tokio::test]
async fn groups_follow_the_provider_and_refresh_tokens_are_used_once() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let session = running.signed_in(&provider).await;
    let snapshot = async || running.get("/api/v1/snapshot", &session).await.status;
    running.wait(599);
    assert_eq!((snapshot().await, provider.count("/token")), (200, 1), "not yet");
    running.wait(1);
    let token = provider.signer.signed(&renewed(&running, &["watchers"]));
    provider.tell("/token", Reply::Json(200, json!({ "id_token": token, "refresh_token": "r2" })));
    // The request itself does not wait.
    assert_eq!(snapshot().await, 200);
    until("an operator became a viewer", async || snapshot().await == 403).await;
    assert_eq!(provider.last("/token").body, "grant_type=refresh_token&refresh_token=r1");
    running.wait(600);
    let token = provider.signer.signed(&renewed(&running, &["control-room"]));
    provider.tell("/token", Reply::Json(200, json!({ "id_token": token, "refresh_token": "r3" })));
    until("and an operator again", async || snapshot().await == 200).await;
    assert!(provider.last("/token").body.ends_with("=r2"), "it was rotated");
    // Nothing new of the person: it is vouched for.
    running.wait(600);
    provider.tell("/token", Reply::Json(200, json!({ "access_token": "a" })));
    until("asked", async || snapshot().await == 200 && provider.count("/token") == 4).await;
    until("counted", async || running.count("oidc_renewals_total", "renewed").await == 3).await;
    running.wait(600);
    provider.tell("/token", Reply::Json(400, json!({ "error": "invalid_grant" })));
    until("the end of the session", async || snapshot().await == 401).await;
    assert!(provider.last("/token").body.ends_with("=r3"), "what was not given anew stays");
    let line = "\"what\":\"end session\",\"object\":\"the provider does not redeem what it gave out (invalid_grant); begin again\",\"outcome\":\"code_refused\"";
    until("the log", async || running.audit().contains(line)).await;
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn a_renewal_that_is_of_somebody_else_or_gives_no_role_ends_the_session() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    for (says, code) in
        [(json!({ "sub": "7" }), "token_subject"), (json!({ "groups": ["guests"] }), "no_role")]
    {
        let session = running.signed_in(&provider).await;
        running.wait(600);
        let mut all = renewed(&running, &["control-room"]);
        for (name, value) in says.as_object().unwrap() {
            all[name] = value.clone();
        }
        let token = provider.signer.signed(&all);
        provider.tell("/token", Reply::Json(200, json!({ "id_token": token })));
        until(code, async || running.get("/api/v1/snapshot", &session).await.status == 401).await;
        assert_eq!(running.count("oidc_renewals_total", code).await, 1);
    }
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn while_the_provider_is_down_a_session_lasts_its_hour_and_no_longer() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let session = running.signed_in(&provider).await;
    let snapshot = async || running.get("/api/v1/snapshot", &session).await.status;
    provider.tell("/token", Reply::Json(500, json!({ "error": "server_error" })));
    let mut asked = 1;
    for _ in 0..4 {
        running.wait(600);
        asked += 1;
        until("asked again", async || snapshot().await == 200 && provider.count("/token") == asked).await;
        until("put off", async || {
            running.count("oidc_renewals_total", "provider_answer").await == (asked - 1) as u64
        })
        .await;
        assert_eq!((snapshot().await, provider.count("/token")), (200, asked), "not at once");
    }
    running.wait(1_199);
    assert_eq!(snapshot().await, 200);
    running.wait(1);
    assert_eq!(snapshot().await, 401);
    running.server.stop().await;
    provider.stop().await;
}
