//! All is well.

use super::provider::{Provider, encoded};
use super::{Running, SECRET};
use access::verify_audit;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::json;

#[tokio::test]
async fn a_person_signs_in_with_a_code_and_pkce_and_gets_a_session_of_ours() {
    let provider = Provider::start().await;
    let running = Running::start(&provider).await;
    let page = running.get("/login", "").await;
    assert!(
        page.body.contains("href=\"/api/v1/session/oidc\">Sign in with Stadtwerke &lt;A&gt;</a>"),
        "{}",
        page.body
    );
    let begun = running.begin().await;
    let asked = |name: &str| begun.asked[name].as_str();
    assert_eq!(
        (asked("response_type"), asked("client_id"), asked("scope"), asked("code_challenge_method")),
        ("code", "gridflex", "openid%20profile", "S256")
    );
    assert_eq!(asked("redirect_uri"), "http%3A%2F%2Flocalhost%3A8080%2Fapi%2Fv1%2Fsession%2Foidc%2Fcallback");
    let secret = running.get("/api/v1/session/oidc", "").await.cookie("gridflex_sign_in").unwrap();
    for said in ["HttpOnly", "SameSite=Lax", "Path=/api/v1/session/oidc", "Max-Age=600"] {
        assert!(secret.contains(said), "{secret}");
    }
    let token = provider.signer.signed(&running.says(&begun));
    provider.tell("/token", super::Reply::Json(200, json!({ "id_token": token })));
    let answer = running.come_back(&begun).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("http-equiv=\"refresh\" content=\"0;url=/\""), "{}", answer.body);
    // What was redeemed with what.
    let redeemed = provider.last("/token");
    let verifier = redeemed.body.split("code_verifier=").nth(1).unwrap();
    assert_eq!(encoded(digest(&SHA256, verifier.as_bytes())), asked("code_challenge"));
    assert!(
        redeemed.body.starts_with("grant_type=authorization_code&code=c0de&redirect_uri=http%3A"),
        "{redeemed:?}"
    );
    let shown = redeemed.head.lines().find_map(|line| line.strip_prefix("authorization: Basic ")).unwrap();
    let shown = String::from_utf8(STANDARD.decode(shown.trim()).unwrap()).unwrap();
    assert_eq!(shown, "gridflex:a%20secret%3A%20with%2Fodd%2Bsigns", "{SECRET}");
    // The session is ours, as with a password.
    let session = answer.cookie("gridflex_session").unwrap();
    assert!(session.contains("HttpOnly; SameSite=Strict") && session.contains("Path=/;"), "{session}");
    assert!(answer.cookie("gridflex_sign_in").unwrap().contains("Max-Age=0"));
    let proof = format!("cookie: {}\r\n", session.split(';').next().unwrap());
    let who = running.get("/api/v1/session", &proof).await.json();
    assert_eq!(who, json!({ "name": "oidc/248289761001", "label": "grace <g>", "roles": ["operator"] }));
    assert_eq!(running.get("/api/v1/snapshot", &proof).await.status, 200);
    assert_eq!(running.get("/api/v1/weather", "").await.status, 401);
    let page = running.get("/login", &proof).await.body;
    assert!(page.contains("Logged in as grace &lt;g&gt;."), "{page}");
    // Good-bye to both.
    let left = running.ask_with("DELETE", "/api/v1/session", &proof, "").await;
    let address = left.json()["log_out_at"].as_str().unwrap().to_owned();
    assert_eq!(left.status, 200);
    let back = "post_logout_redirect_uri=http%3A%2F%2Flocalhost%3A8080%2Flogin";
    let end = format!("{}/end?client_id=gridflex&{back}&id_token_hint={token}", provider.issuer());
    assert_eq!(address, end);
    assert_eq!(running.get("/api/v1/snapshot", &proof).await.status, 401);
    assert_eq!(running.ask_with("DELETE", "/api/v1/session", &proof, "").await.status, 204);
    let audit = running.audit();
    for (what, object) in [("log in over openid connect", "grace <g> (operator)"), ("log out", "")] {
        let line = format!(
            "\"who\":\"oidc/248289761001\",\"what\":\"{what}\",\"object\":\"{object}\",\"outcome\":\"allowed\""
        );
        assert!(audit.contains(&line), "{line} is not in {audit}");
    }
    assert_eq!(verify_audit(&running.audit, None).unwrap().broken, None);
    for secret in [&token, SECRET, "c0de", &begun.asked["state"], verifier] {
        assert!(!audit.contains(secret), "{secret} was written down");
    }
    assert_eq!(running.count("oidc_sign_ins_total", "allowed").await, 1);
    assert_eq!(running.count("oidc_sign_ins_total", "begun").await, 2);
    running.server.stop().await;
    provider.stop().await;
}

#[tokio::test]
async fn groups_that_the_token_does_not_say_are_asked_for() {
    let provider = Provider::start().await;
    let mut document = provider.document();
    document["userinfo_endpoint"] = json!(format!("{}/who", provider.issuer()));
    document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    provider.tell("/.well-known/openid-configuration", super::Reply::Json(200, document));
    provider.tell("/who", super::Reply::Json(200, json!({ "sub": "248289761001", "groups": "watchers" })));
    let running = Running::start(&provider).await;
    let sign_in = async || {
        let begun = running.begin().await;
        let mut says = running.says(&begun);
        says.as_object_mut().unwrap().remove("groups");
        let token = provider.signer.signed(&says);
        provider.tell("/token", super::Reply::Json(200, json!({ "id_token": token, "access_token": "acc" })));
        running.come_back(&begun).await
    };
    let answer = sign_in().await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(provider.last("/who").head.contains("authorization: Bearer acc"));
    let body = provider.last("/token").body;
    assert!(body.ends_with("&client_id=gridflex&client_secret=a%20secret%3A%20with%2Fodd%2Bsigns"), "{body}");
    // Another secret needs no restart.
    std::fs::write(running.folder.path().join("secret"), "another").unwrap();
    assert_eq!(sign_in().await.status, 200);
    assert!(provider.last("/token").body.ends_with("&client_secret=another"));
    // Of somebody else, or without groups.
    provider.tell("/who", super::Reply::Json(200, json!({ "sub": "7", "groups": "watchers" })));
    assert_eq!(sign_in().await.code(), "token_subject");
    provider.tell("/who", super::Reply::Json(200, json!({ "sub": "248289761001" })));
    let answer = sign_in().await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "no_groups"));
    running.server.stop().await;
    provider.stop().await;
}
