use super::jws::verified;
use super::*;
use crate::principal::{Principal, Scope};
use crate::role::Role;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grid::{ProsumerId, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const ISSUER: &str = "https://login.example";

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn keys(keys: &[Value]) -> Keys {
    Keys::read(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

/// A provider's key.
struct Signer {
    pair: EcdsaKeyPair,
    name: &'static str,
}

impl Signer {
    fn new(name: &'static str) -> Self {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &SystemRandom::new());
        Self { pair: pair.unwrap(), name }
    }

    fn published(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (encoded(&point[1..33]), encoded(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.name, "use": "sig", "x": x, "y": y })
    }

    fn signed_with(&self, header: &Value, says: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(says.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", encoded(signature))
    }

    fn signed(&self, says: &Value) -> String {
        self.signed_with(&json!({ "alg": "ES256", "kid": self.name }), says)
    }
}

/// What a good token says.
fn good() -> Value {
    let now = NOW.seconds();
    json!({ "iss": ISSUER, "aud": "gridflex", "sub": "248289761001", "nonce": "n", "iat": now, "exp": now + 300 })
}

fn with(name: &str, value: Value) -> Value {
    let mut says = good();
    says[name] = value;
    says
}

fn expected() -> Expected<'static> {
    let (proves, skew) = (Proves::SignIn { nonce: "n" }, Duration::from_secs(60));
    Expected { issuer: ISSUER, client: "gridflex", proves, skew }
}

#[test]
fn the_examples_of_the_standards_are_verified_and_no_changed_byte_of_them() {
    let rsa = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let curve = json!({ "kty": "EC", "crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" });
    let edwards =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    // RFC 7515, A.2 and A.3; RFC 8037, A.4.
    let tokens = [
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ];
    let all = keys(&[rsa, curve, edwards]);
    for token in tokens {
        assert!(verified(token, &all).is_ok(), "{token}");
        let dots: Vec<usize> = token.match_indices('.').map(|(at, _)| at).collect();
        // The last letter of a part has bits that are no part of it.
        for at in (0..token.len() - 1).filter(|at| !dots.contains(at)).step_by(7) {
            let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert!(verified(&changed, &all).is_err(), "{changed}");
        }
    }
}

#[test]
fn a_token_that_is_not_what_was_expected_is_refused_with_its_reason() {
    let signer = Signer::new("one");
    let all = keys(&[signer.published()]);
    let judged = |token: &str| judge(token, &all, &expected(), NOW);
    let claims = judged(&signer.signed(&good())).unwrap();
    assert_eq!((claims.subject.as_str(), claims.label), ("248289761001", None));
    assert!(judged(&signer.signed(&with("aud", json!(["gridflex"])))).is_ok());
    assert!(judged(&signer.signed(&with("azp", json!("gridflex")))).is_ok());
    assert!(judged(&signer.signed(&with("exp", json!(NOW.seconds() as f64 + 0.5)))).is_ok());
    let now = NOW.seconds();
    let wrong = [
        (with("iss", json!("https://login.example/")), "token_issuer"),
        (with("iss", json!([ISSUER])), "token_claim"),
        (with("aud", json!("other")), "token_audience"),
        (with("aud", json!(["gridflex", "other"])), "token_audience"),
        (with("aud", json!([])), "token_audience"),
        (with("aud", json!(7)), "token_claim"),
        (with("azp", json!("other")), "token_party"),
        (with("exp", json!(now - 60)), "token_expired"),
        (with("exp", json!("tomorrow")), "token_claim"),
        (with("exp", json!(-1)), "token_claim"),
        (with("exp", json!(1e300)), "token_claim"),
        (with("iat", json!(now + 61)), "token_early"),
        (with("nbf", json!(now + 61)), "token_early"),
        (with("iat", json!(now - 661)), "token_old"),
        (with("nonce", json!("m")), "token_nonce"),
        (with("nonce", Value::Null), "token_claim"),
        (with("sub", json!("")), "token_claim"),
        (with("sub", json!("a\nb")), "token_claim"),
        (with("sub", json!("x".repeat(256))), "token_claim"),
        (json!([1]), "token_malformed"),
    ];
    for (says, code) in wrong {
        let refused = judged(&signer.signed(&says)).unwrap_err();
        assert_eq!(refused.code(), code, "{says}: {refused}");
    }
    for missing in ["iss", "aud", "sub", "nonce", "iat", "exp"] {
        let mut says = good();
        says.as_object_mut().unwrap().remove(missing);
        assert_eq!(judged(&signer.signed(&says)), Err(Refused::Claim(missing)));
    }
    let of = |subject| Expected { proves: Proves::Renewal { subject }, ..expected() };
    let renewal = signer.signed(&with("nonce", Value::Null));
    assert!(judge(&renewal, &all, &of("248289761001"), NOW).is_ok());
    assert_eq!(judge(&renewal, &all, &of("248289761002"), NOW), Err(Refused::Subject));
}

#[test]
fn no_algorithm_without_a_signature_of_the_provider_is_taken() {
    let (signer, stranger) = (Signer::new("one"), Signer::new("one"));
    let published = signer.published();
    let all = keys(std::slice::from_ref(&published));
    let judged = |token: &str| judge(token, &all, &expected(), NOW).unwrap_err().code();
    let unsigned = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(good().to_string()));
    assert_eq!(judged(&unsigned), "token_algorithm");
    // The public key taken for a shared secret.
    let header = json!({ "alg": "HS256", "kid": "one" });
    let message = format!("{}.{}", encoded(header.to_string()), encoded(good().to_string()));
    for secret in [published["x"].as_str().unwrap().as_bytes().to_vec(), published.to_string().into_bytes()] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret);
        let tag = ring::hmac::sign(&key, message.as_bytes());
        assert_eq!(judged(&format!("{message}.{}", encoded(tag))), "token_algorithm");
    }
    assert_eq!(judged(&stranger.signed(&good())), "token_signature");
    let unknown = signer.signed_with(&json!({ "alg": "ES256", "kid": "two" }), &good());
    assert_eq!(judged(&unknown), "token_unknown_key");
    // An algorithm for keys of another kind.
    let rsa = signer.signed_with(&json!({ "alg": "RS256", "kid": "one" }), &good());
    assert_eq!(judged(&rsa), "token_unknown_key");
    let critical = json!({ "alg": "ES256", "kid": "one", "crit": ["b64"], "b64": false });
    assert_eq!(judged(&signer.signed_with(&critical, &good())), "token_malformed");
    // Its own key in its head is not asked.
    let own = json!({ "alg": "ES256", "kid": "one", "jwk": stranger.published() });
    assert_eq!(judged(&stranger.signed_with(&own, &good())), "token_signature");
    let token = signer.signed(&good());
    for broken in [
        "",
        ".",
        "..",
        "a.b.c",
        &token[1..],
        &format!("{token}.x"),
        &format!("{token}="),
        &"x.".repeat(9_000),
    ] {
        assert!(judge(broken, &all, &expected(), NOW).is_err(), "{broken}");
    }
}

#[test]
fn keys_of_no_use_are_passed_over_and_a_token_without_a_name_needs_a_single_one() {
    let (one, two) = (Signer::new("one"), Signer::new("two"));
    let other = json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "one" });
    let sealing = {
        let mut key = two.published();
        key["use"] = json!("enc");
        key
    };
    let both = keys(&[other.clone(), json!(7), sealing, one.published()]);
    let nameless = one.signed_with(&json!({ "alg": "ES256" }), &good());
    assert!(judge(&nameless, &both, &expected(), NOW).is_ok());
    let both = keys(&[one.published(), two.published()]);
    assert_eq!(judge(&nameless, &both, &expected(), NOW), Err(Refused::UnknownKey(String::new())));
    let mut only = one.published();
    only["alg"] = json!("ES384");
    assert_eq!(
        judge(&one.signed(&good()), &keys(&[only]), &expected(), NOW),
        Err(Refused::UnknownKey("one".to_owned()))
    );
    for wrong in
        [json!({ "keys": [other] }), json!({ "keys": vec![one.published(); 65] }), json!([]), json!({})]
    {
        assert!(Keys::read(wrong.to_string().as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn groups_give_roles_by_the_table_and_nothing_else_does() {
    let row = |group: &str, role, prosumers: &[u32]| GroupGrant {
        group: group.to_owned(),
        role,
        prosumers: prosumers.iter().copied().map(ProsumerId).collect(),
    };
    let grants = Grants(vec![
        row("grid", Role::Operator, &[]),
        row("homes", Role::Prosumer, &[4, 3]),
        row("admins", Role::SecurityAdmin, &[]),
    ]);
    let of = |groups: &[&str]| grants.of(&groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
    assert_eq!(of(&["grid", "x"]), Ok((vec![Role::Operator], Scope::Nothing)));
    let own = Scope::Prosumers(vec![ProsumerId(3), ProsumerId(4)]);
    assert_eq!(of(&["homes", "grid"]), Ok((vec![Role::Operator, Role::Prosumer], own)));
    for nothing in [&[][..], &["Grid"], &["operator"], &["security-admin"]] {
        assert_eq!(of(nothing), Err(NoGrant::Nothing));
    }
    assert_eq!(of(&["grid", "admins"]).unwrap_err().code(), "role_conflict");
    let says = json!({ "groups": ["a", 7, "b"], "role": "a", "https://x.example/roles": ["c"],
        "realm_access": { "roles": ["d"] }, "count": 1 });
    let says = says.as_object().unwrap();
    let words = |claim: &str| words_of(says, claim).map(|words| words.join(" "));
    let expected = [
        ("groups", Some("a b")),
        ("role", Some("a")),
        ("https://x.example/roles", Some("c")),
        ("realm_access.roles", Some("d")),
        ("realm_access", None),
        ("count", None),
        ("groups.0", None),
        ("", None),
    ];
    for (claim, found) in expected {
        assert_eq!(words(claim).as_deref(), found, "{claim}");
    }
}

#[test]
fn a_sign_in_is_good_once_in_its_browser_and_for_ten_minutes() {
    let mut sign_ins = SignIns::default();
    let handed = sign_ins.begin(None, NOW).unwrap();
    let begun = sign_ins.take(&handed.state, Some(&handed.browser), NOW).unwrap();
    assert_eq!((begun.nonce.as_str(), begun.verifier.len()), (handed.nonce.as_str(), 43));
    assert_eq!(handed.challenge, crate::secret::fingerprint(&begun.verifier));
    assert_eq!(sign_ins.take(&handed.state, Some(&handed.browser), NOW), None, "a second time");
    let handed = sign_ins.begin(None, NOW).unwrap();
    assert_eq!(sign_ins.take(&handed.state, Some("other"), NOW), None, "another browser");
    assert_eq!(sign_ins.take(&handed.state, Some(&handed.browser), NOW), None, "it was shown already");
    let handed = sign_ins.begin(None, NOW).unwrap();
    assert_eq!(sign_ins.take(&handed.state, None, NOW), None);
    let handed = sign_ins.begin(None, NOW).unwrap();
    let late = NOW.plus(SIGN_IN_WITHIN);
    assert_eq!(sign_ins.take(&handed.state, Some(&handed.browser), late), None, "too late");
    assert!(sign_ins.is_empty());
}

#[test]
fn whoever_begins_many_sign_ins_loses_its_own() {
    let mut sign_ins = SignIns::default();
    let (busy, quiet): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
    let honest = sign_ins.begin(Some(quiet), NOW).unwrap();
    let first = sign_ins.begin(Some(busy), NOW).unwrap();
    for second in 0..SIGN_INS_PER_NETWORK as u64 {
        sign_ins.begin(Some(busy), NOW.plus(Duration::from_secs(1 + second))).unwrap();
    }
    assert_eq!(sign_ins.len(), 1 + SIGN_INS_PER_NETWORK);
    assert!(sign_ins.take(&first.state, Some(&first.browser), NOW).is_none());
    assert!(sign_ins.take(&honest.state, Some(&honest.browser), NOW).is_some());
    for number in 0..SIGN_INS_MAX as u32 + 10 {
        let from = IpAddr::from(std::net::Ipv4Addr::from_bits(0x0b00_0000 + number));
        sign_ins.begin(Some(from), NOW).unwrap();
    }
    assert_eq!(sign_ins.len(), SIGN_INS_MAX);
}

fn somebody(refresh: Option<&str>) -> VouchedFor {
    let principal = Principal {
        name: "oidc/7".to_owned(),
        roles: vec![Role::Operator],
        scope: Scope::Nothing,
        lacks_second_factor: false,
    };
    let refresh_token = refresh.map(str::to_owned);
    let (label, subject) = ("ada".to_owned(), "7".to_owned());
    VouchedFor { principal, label, subject, refresh_token, id_token: "a.b.c".to_owned() }
}

const LASTS: Lasts = Lasts { vouched: Duration::from_secs(3_600), asked_again: Duration::from_secs(600) };

#[test]
fn a_session_lasts_as_long_as_the_provider_vouches_and_no_longer() {
    let mut vouched = Vouched::new(LASTS);
    let at = |minutes: u64| NOW.plus(Duration::from_secs(60 * minutes));
    let short = vouched.begin(somebody(None), NOW).unwrap();
    let long = vouched.begin(somebody(Some("r1")), NOW).unwrap();
    assert_eq!(vouched.due(&short, at(30)), None, "it cannot be asked");
    assert_eq!(vouched.due(&long, at(9)), None, "not yet");
    let due = vouched.due(&long, at(10)).unwrap();
    assert_eq!(due.refresh_token, "r1");
    assert_eq!(vouched.due(&long, at(10)), None, "it is being asked");
    vouched.put_off(&due, at(10));
    assert_eq!(vouched.due(&long, at(10)), None, "a minute later");
    let due = vouched.due(&long, at(11)).unwrap();
    let viewer = Principal { roles: vec![Role::Viewer], ..somebody(None).principal };
    vouched.renewed(&due, Some(viewer), (Some("r2".to_owned()), None), at(11));
    assert_eq!(vouched.whose(&long, at(70)).unwrap().roles, [Role::Viewer]);
    assert!(vouched.whose(&short, at(59)).is_some() && vouched.whose(&short, at(60)).is_none());
    assert_eq!(vouched.whose(&long, at(71)), None);
    let due = vouched.due(&long, at(30)).unwrap();
    assert_eq!(due.refresh_token, "r2", "it was rotated");
    assert_eq!(vouched.refused(&due).as_deref(), Some("oidc/7"));
    assert_eq!(vouched.whose(&long, at(30)), None);
    let last = vouched.begin(somebody(Some("r")), NOW).unwrap();
    for hour in 0..12 {
        let now = at(50 * hour + 30);
        let Some(due) = vouched.due(&last, now) else { break };
        vouched.renewed(&due, None, (None, None), now);
    }
    assert!(
        vouched.whose(&last, at(599)).is_some() && vouched.whose(&last, at(600)).is_none(),
        "ten hours at most"
    );
    assert_eq!(vouched.end(&last).unwrap().id_token, "a.b.c");
    assert_eq!(vouched.end(&last), None);
}

#[test]
fn nothing_that_is_printed_holds_a_token() {
    let mut vouched = Vouched::new(LASTS);
    let secret = vouched.begin(somebody(Some("refresh-token")), NOW).unwrap();
    let due = vouched.due(&secret, NOW.plus(LASTS.asked_again)).unwrap();
    let printed = format!("{vouched:?} {due:?} {:?}", somebody(Some("refresh-token")));
    assert!(!printed.contains("refresh-token") && !printed.contains("a.b.c"), "{printed}");
}
