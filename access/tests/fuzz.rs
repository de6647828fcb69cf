//! Anything at all as an ID token or a provider's keys: each is judged, or refused with its reason, and nothing else.
//! `FUZZ_SECONDS` is the time, `FUZZ_SEED` the first number drawn.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // the whole crate is a test

#[path = "../../connectors/tests/fuzz/mutate.rs"]
mod mutate;

use access::oidc::{Expected, Keys, Proves, Refused, judge, words_of};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grid::Timestamp;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
/// What tokens say, and their heads.
const SAYS: &[&str] = &[
    r#"{"iss":"https://login.example","aud":"gridflex","sub":"7","nonce":"n","iat":1800000000,"exp":1800000300,"groups":["a","b"]}"#,
    r#"{"iss":"https://login.example","aud":["gridflex"],"azp":"gridflex","sub":"7","nonce":"n","iat":1.8e9,"nbf":1,"exp":1800000300.5,"realm_access":{"roles":["c"]}}"#,
];
const HEADS: &[&str] = &[
    r#"{"alg":"EdDSA","kid":"one"}"#,
    r#"{"alg":"RS256","kid":"two","typ":"JWT"}"#,
    r#"{"alg":"none"}"#,
    r#"{"alg":"ES256","kid":"three","crit":["b64"],"jwk":{"kty":"oct"}}"#,
];

fn key_set(own: &str) -> String {
    format!(
        r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"one","use":"sig","x":"{own}"}},{{"kty":"RSA","kid":"two","alg":"RS256","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}},{{"kty":"EC","crv":"P-256","kid":"three","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}}]}}"#
    )
}

/// How many were tried, and how many of those whose signature was right were judged good.
fn mutated(seed: u64, until: impl Fn(u64) -> bool) -> (u64, u64) {
    let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap();
    let keys = key_set(&URL_SAFE_NO_PAD.encode(pair.public_key()));
    let good = Keys::read(keys.as_bytes()).unwrap();
    let says: Vec<Vec<u8>> = SAYS.iter().chain(HEADS).map(|text| text.as_bytes().to_vec()).collect();
    let sets = vec![keys.into_bytes()];
    let expected = Expected {
        issuer: "https://login.example",
        client: "gridflex",
        proves: Proves::SignIn { nonce: "n" },
        skew: Duration::from_secs(30),
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut executions, mut passed) = (0, 0);
    while !until(executions) {
        executions += 1;
        // Behind a right signature anything is read: what a provider signs, it may have been told by anybody.
        let payload = mutate::mutate(&says[rng.random_range(0..SAYS.len())], &says, &mut rng);
        let mut head = HEADS[0].as_bytes().to_vec();
        if rng.random_bool(0.3) {
            head = mutate::mutate(HEADS[rng.random_range(0..HEADS.len())].as_bytes(), &says, &mut rng);
        }
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(payload));
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())));
        match judge(&token, &good, &expected, NOW) {
            Ok(claims) => {
                passed += 1;
                for claim in ["groups", "realm_access.roles", "a.b.c"] {
                    let _ = words_of(&claims.all, claim);
                }
            }
            Err(refused) => {
                assert!(Refused::CODES.contains(&refused.code()) && !refused.to_string().is_empty())
            }
        }
        let broken = mutate::mutate(token.as_bytes(), &says, &mut rng);
        let broken = String::from_utf8_lossy(&broken);
        if broken != token {
            let judged = judge(&broken, &good, &expected, NOW);
            assert!(judged.is_err(), "a changed token passed: {broken}");
        }
        if let Ok(keys) = Keys::read(&mutate::mutate(&sets[0], &sets, &mut rng)) {
            let _ = judge(&token, &keys, &expected, NOW);
        }
    }
    (executions, passed)
}

#[test]
fn a_thousand_broken_tokens_and_key_sets_are_judged_or_refused_with_reasons() {
    let (_, passed) = mutated(1, |executions| executions >= 1_000);
    assert!(passed > 0, "nothing passed");
}

#[test]
#[ignore = "FUZZ_SECONDS; `make soak` runs it with 600"]
fn broken_tokens_and_key_sets_are_judged_for_long() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (seconds, since) = (Duration::from_secs(number("FUZZ_SECONDS", 5)), Instant::now());
    let seed = number("FUZZ_SEED", 7);
    let (executions, _) = mutated(seed, |_| since.elapsed() >= seconds);
    eprintln!("id token           {executions:>10} executions, seed {seed}");
}
