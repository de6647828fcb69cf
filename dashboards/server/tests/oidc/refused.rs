//! What is not what it should be: nobody is let in, and the reason is said, counted and written down.

use super::provider::{Provider, Reply, Signer, encoded};
use super::{OIDC_CALLBACK, Running};
use serde_json::{Value, json};

/// Head and payload with a signature of the public key, taken for a shared secret.
fn with_public_key(provider: &Provider, says: &Value) -> String {
    let message = format!("{}.{}", encoded(r#"{"alg":"HS256","kid":"one"}"#), encoded(says.to_string()));
    let key =
        ring::hmac::Key::new(ring::hmac::HMAC_SHA256, provider.signer.published().to_string().as_bytes());
    format!("{message}.{}", encoded(ring::hmac::sign(&key, message.as_bytes())))
}

#[tokio::test]
async fn a_token_that_proves_nothing_lets_nobody_in() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let stranger = Signer::new("one");
    let now = running.now();
    type Made<'a> = Box<dyn FnOnce(&mut Value) -> Option<String> + 'a>;
    let with = |name: &'static str, value: Value| -> Made<'_> {
        Box::new(move |says| {
            says[name] = value;
            None
        })
    };
    let cases: Vec<(&str, Made<'_>)> = vec![
        ("token_signature", Box::new(|says| Some(stranger.signed(says)))),
        ("token_audience", with("aud", json!("another"))),
        ("token_audience", with("aud", json!(["gridflex", "another"]))),
        ("token_party", with("azp", json!("another"))),
        ("token_issuer", with("iss", json!("https://evil.example"))),
        ("token_expired", with("exp", json!(now - 31))),
        ("token_early", with("iat", json!(now + 31))),
        ("token_old", with("iat", json!(now - 631))),
        ("token_nonce", with("nonce", json!("another"))),
        ("token_claim", with("sub", json!(7))),
        (
            "token_algorithm",
            Box::new(|says| Some(format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(says.to_string())))),
        ),
        ("token_algorithm", Box::new(|says| Some(with_public_key(&provider, says)))),
        ("token_unknown_key", Box::new(|says| Some(Signer::new("two").signed(says)))),
        ("token_malformed", Box::new(|_| Some("no.token".to_owned()))),
        ("token_malformed", Box::new(|_| Some("a".repeat(20_000)))),
    ];
    let tried = cases.len() as u64;
    for (code, made) in cases {
        let answer = running.sign_in(&provider, made).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, code), "{}", answer.body);
        assert_eq!(answer.cookie("gridflex_session"), None);
        assert!(running.count("oidc_sign_ins_total", code).await >= 1);
        assert!(running.audit().contains(&format!("\"outcome\":\"{code}\"")), "{code}");
    }
    assert_eq!(running.count("oidc_sign_ins_total", "allowed").await, 0);
    assert_eq!(running.count("oidc_sign_ins_total", "begun").await, tried);
    assert_eq!(provider.count("/keys"), 1, "keys that were just fetched are not fetched again");
    // A good one still works.
    running.signed_in(&provider).await;
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn a_sign_in_is_good_once_in_its_own_browser_and_for_ten_minutes() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let begun = running.begin().await;
    let token = provider.signer.signed(&running.says(&begun));
    provider.tell("/token", Reply::Json(200, json!({ "id_token": token })));
    assert_eq!(running.come_back(&begun).await.status, 200);
    let replayed = running.come_back(&begun).await;
    assert_eq!((replayed.status, replayed.code().as_str()), (400, "state_unknown"));
    assert_eq!(provider.count("/token"), 1, "a code is not redeemed twice");
    // Somebody is lured to the end of a stranger's sign-in.
    let (theirs, own) = (running.begin().await, running.begin().await);
    let path = format!("{OIDC_CALLBACK}?code=c0de&state={}", theirs.asked["state"]);
    for headers in [String::new(), format!("cookie: {}\r\n", own.cookie)] {
        let answer = running.get(&path, &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "state_unknown"));
    }
    assert_eq!(running.come_back(&theirs).await.status, 400, "its state was shown already");
    let late = running.begin().await;
    running.wait(600);
    assert_eq!(running.come_back(&late).await.code(), "state_unknown");
    for query in ["", "?code=a", "?state=%ff", "?state=a&state=b", "?error=x"] {
        let answer = running.get(&format!("{OIDC_CALLBACK}{query}"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "state_unknown"), "{query}");
    }
    assert_eq!(provider.count("/token"), 1);
    // What a browser shows.
    let accepts = format!("accept: text/html,*/*\r\ncookie: {}\r\n", late.cookie);
    let page = running.get(&format!("{OIDC_CALLBACK}?code=a&state=b"), &accepts).await;
    assert!(
        page.status == 400 && page.header("content-type").unwrap().starts_with("text/html"),
        "{}",
        page.head
    );
    assert!(page.body.contains("role=\"alert\"") && page.body.contains("href=\"/login\""), "{}", page.body);
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn what_the_provider_sends_back_instead_of_a_code_is_said() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let cases = [
        ("error=access_denied&error_description=%3Cb%3E", "sent_back", 401),
        ("code=", "no_code", 400),
        ("code=c&iss=https%3A%2F%2Fevil.example", "other_issuer", 400),
    ];
    for (query, code, status) in cases {
        let begun = running.begin().await;
        let path = format!("{OIDC_CALLBACK}?state={}&{query}", begun.asked["state"]);
        let answer = running.get(&path, &format!("cookie: {}\r\n", begun.cookie)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
    }
    assert_eq!(provider.count("/token"), 0);
    let begun = running.begin().await;
    provider.tell("/token", Reply::Json(400, json!({ "error": "invalid_grant" })));
    let answer = running.come_back(&begun).await;
    assert!(answer.code() == "code_refused" && answer.body.contains("invalid_grant"), "{}", answer.body);
    // A provider that promises to name itself has to.
    let mut document = provider.document();
    document["authorization_response_iss_parameter_supported"] = json!(true);
    provider.tell("/.well-known/openid-configuration", Reply::Json(200, document));
    running.wait(3_600);
    let begun = running.begin().await;
    assert_eq!(running.come_back(&begun).await.code(), "other_issuer");
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn groups_without_a_role_give_no_session_and_the_person_is_told() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let groups = |groups: Value| {
        move |says: &mut Value| {
            says["groups"] = groups;
            None
        }
    };
    for (given, code) in [
        (json!(["guests"]), "no_role"),
        (json!([]), "no_role"),
        (json!(["Control-Room", "operator"]), "no_role"),
        (json!({ "control-room": true }), "no_groups"),
        (Value::Null, "no_groups"),
        (json!(["control-room", "admins"]), "role_conflict"),
    ] {
        let answer = running.sign_in(&provider, groups(given)).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, code), "{}", answer.body);
        assert_eq!(answer.cookie("gridflex_session"), None);
    }
    let answer = running.sign_in(&provider, groups(json!(["guests"]))).await;
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert_eq!(
        detail,
        "Stadtwerke <A> knows you as grace <g>, but none of your groups has a role here; ask whoever runs this system"
    );
    let line = "\"who\":\"oidc/248289761001\",\"what\":\"log in over openid connect\",\"object\":\"grace <g>\",\"outcome\":\"no_role\"";
    assert_eq!(running.audit().matches(line).count(), 1, "once a minute: {}", running.audit());
    assert_eq!(running.count("oidc_sign_ins_total", "no_role").await, 4);
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn keys_are_looked_for_when_one_is_unknown_and_not_more_than_once_a_minute() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    running.signed_in(&provider).await;
    assert_eq!(provider.count("/keys"), 1);
    let next = Signer::new("two");
    provider.publish(&[provider.signer.published(), next.published()]);
    let unknown = async || running.sign_in(&provider, |says| Some(next.signed(says))).await;
    assert_eq!(unknown().await.code(), "token_unknown_key");
    assert_eq!(provider.count("/keys"), 1, "they were fetched just now");
    running.wait(60);
    assert_eq!(unknown().await.status, 200);
    assert_eq!(provider.count("/keys"), 2);
    let never = Signer::new("three");
    for _ in 0..5 {
        let answer = running.sign_in(&provider, |says| Some(never.signed(says))).await;
        assert_eq!(answer.code(), "token_unknown_key");
    }
    assert_eq!(provider.count("/keys"), 2);
    // A key that was withdrawn is worth nothing after an hour.
    provider.publish(&[next.published()]);
    running.wait(3_600);
    assert_eq!(running.sign_in(&provider, |_| None).await.code(), "token_unknown_key");
    running.server.stop().await;
    provider.stop().await;
}
