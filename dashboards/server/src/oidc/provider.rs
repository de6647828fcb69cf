//! The provider, asked over HTTP. Everything here waits, on threads that may.
//!
//! What it sends is bounded: so many bytes, so much time, and no redirect is followed. What it publishes is kept for an hour;
//! while it does not answer it is asked once in [`ASKED_AGAIN_AFTER`] only, and an unknown key makes us look for newer ones once
//! in [`KEYS_AGAIN_AFTER`].

use super::address::{checked, encoded, form, is_encrypted};
use super::config::{OidcConfig, Secret};
use super::document::Document;
use super::trouble::Trouble;
use access::oidc::{Claims, Expected, Keys, Proves, Refused, judge};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use grid::{Clock, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;
/// An answer is there as a whole within this time.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// What it publishes is kept for so long.
const KEPT: Duration = Duration::from_secs(3_600);
/// How soon a provider that did not answer is asked for its document again.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How soon its keys are asked for again because one is unknown.
const KEYS_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// A provider, with what it published of late.
#[derive(Debug)]
pub(super) struct Provider {
    pub config: OidcConfig,
    agent: Agent,
    clock: Arc<dyn Clock>,
    /// Held while it is asked: one asks for all.
    document: Mutex<Option<(Result<Arc<Document>, Trouble>, Timestamp)>>,
    keys: Mutex<HeldKeys>,
}

/// Its keys, and whether they could not be had of late.
#[derive(Debug, Default)]
struct HeldKeys {
    keys: Option<(Arc<Keys>, Timestamp)>,
    failed: Option<(Trouble, Timestamp)>,
}

/// What it gives for a code or a refresh token.
#[derive(Deserialize)]
pub(super) struct Tokens {
    pub id_token: Option<String>,
    pub access_token: Option<String>,
    pub refresh_token: Option<String>,
}

#[derive(Deserialize)]
struct Failure {
    error: String,
}

impl Provider {
    /// One that has not been asked yet.
    ///
    /// # Errors
    /// The key of what cannot be used, with the reason.
    pub fn new(config: OidcConfig, clock: Arc<dyn Clock>) -> Result<Self, (&'static str, String)> {
        config.secret().map_err(|reason| ("client_secret_file", reason))?;
        let certificates = config.certificates().map_err(|reason| ("authority", reason))?;
        let is_encrypted = checked(&config.issuer).is_ok_and(|uri| is_encrypted(&uri));
        let roots = RootCerts::Specific(certificates.unwrap_or_default());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(provider);
        let made = Agent::config_builder()
            .timeout_global(Some(ANSWERED_WITHIN))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent("gridflex")
            .https_only(is_encrypted)
            .tls_config(tls.build());
        let agent = made.build().into();
        Ok(Self { config, agent, clock, document: Mutex::default(), keys: Mutex::default() })
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer, or says something else; said again without asking for a few seconds.
    pub fn document(&self) -> Result<Arc<Document>, Trouble> {
        let mut held = self.document.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((outcome, at)) = held.as_ref() {
            let kept = if outcome.is_ok() { KEPT } else { ASKED_AGAIN_AFTER };
            if self.clock.now().since(*at) < kept {
                return outcome.clone();
            }
        }
        let issuer = &self.config.issuer;
        let asked = self.get(&Document::address(issuer), None);
        let outcome =
            asked.and_then(|bytes| Document::read(&bytes, issuer).map_err(Trouble::Answer).map(Arc::new));
        if let Err(trouble) = &outcome {
            tracing::warn!(provider = %self.config.name, %trouble, "people cannot sign in there; local accounts go on");
        }
        *held = Some((outcome.clone(), self.clock.now()));
        outcome
    }

    /// What it said of itself when it was last asked; nobody is asked.
    pub fn last_document(&self) -> Option<Arc<Document>> {
        let held = self.document.try_lock().ok()?;
        held.as_ref().and_then(|(outcome, _)| outcome.clone().ok())
    }

    /// Redeems a code or a refresh token.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub fn redeem(&self, document: &Document, pairs: &[(&str, &str)]) -> Result<Tokens, Trouble> {
        let secret = self.secret()?;
        let (client, secret) = (self.config.client_id.as_str(), secret.0.as_str());
        let mut pairs = pairs.to_vec();
        let mut request = self
            .agent
            .post(&document.token_endpoint)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded");
        if document.authenticates_by_basic() == Some(true) {
            // RFC 6749, section 2.3.1: both are encoded as in a form first.
            let shown = STANDARD.encode(format!("{}:{}", encoded(client), encoded(secret)));
            request = request.header("authorization", format!("Basic {shown}"));
        } else {
            pairs.extend([("client_id", client), ("client_secret", secret)]);
        }
        let (status, body) = answer(request.send(form(&pairs)))?;
        if status.is_client_error()
            && let Ok(Failure { error }) = serde_json::from_slice(&body)
        {
            return Err(Trouble::Redeemed(error.chars().filter(|c| !c.is_control()).take(60).collect()));
        }
        if !status.is_success() {
            return Err(Trouble::Answer(format!("it answers {status} where tokens are given out")));
        }
        serde_json::from_slice(&body).map_err(|error| Trouble::Answer(format!("it gives no tokens: {error}")))
    }

    /// What we show it, as it stands in the file now: another secret needs no restart.
    fn secret(&self) -> Result<Secret, Trouble> {
        self.config.secret().map_err(|reason| {
            tracing::error!(%reason, "nobody can sign in with the provider");
            Trouble::Unreachable("the secret for it cannot be read here; see the log".to_owned())
        })
    }

    /// Judges an ID token; with a key that is not known, with newer keys, if they were not asked for just now.
    ///
    /// # Errors
    /// It proves nothing, or the keys cannot be had.
    pub fn judge(&self, document: &Document, token: &str, proves: Proves<'_>) -> Result<Claims, Trouble> {
        let OidcConfig { issuer, client_id, skew, .. } = &self.config;
        let expected = Expected { issuer, client: client_id, proves, skew: *skew };
        let keys = self.keys(document, KEPT)?;
        match judge(token, &keys, &expected, self.clock.now()) {
            Err(Refused::UnknownKey(_)) => {
                let newer = self.keys(document, KEYS_AGAIN_AFTER)?;
                judge(token, &newer, &expected, self.clock.now()).map_err(Trouble::Token)
            }
            judged => judged.map_err(Trouble::Token),
        }
    }

    /// Its keys, not older than that. While they cannot be had, that is said again without asking for a few seconds.
    fn keys(&self, document: &Document, age: Duration) -> Result<Arc<Keys>, Trouble> {
        let mut held = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((keys, at)) = &held.keys
            && self.clock.now().since(*at) < age
        {
            return Ok(Arc::clone(keys));
        }
        if let Some((trouble, at)) = &held.failed
            && self.clock.now().since(*at) < ASKED_AGAIN_AFTER
        {
            return Err(trouble.clone());
        }
        let bytes = self.get(&document.jwks_uri, None);
        let outcome = bytes.and_then(|bytes| Keys::read(&bytes).map_err(Trouble::Answer).map(Arc::new));
        let now = self.clock.now();
        match &outcome {
            Ok(keys) => *held = HeldKeys { keys: Some((Arc::clone(keys), now)), failed: None },
            Err(trouble) => held.failed = Some((trouble.clone(), now)),
        }
        outcome
    }

    /// What it says of the person an access token is of.
    ///
    /// # Errors
    /// It does not answer, or speaks of somebody else.
    pub fn userinfo(&self, address: &str, token: &str, subject: &str) -> Result<Map<String, Value>, Trouble> {
        let bytes = self.get(address, Some(token))?;
        let says: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| Trouble::Answer(format!("what it says of a person cannot be read: {error}")))?;
        match says.get("sub").and_then(Value::as_str) == Some(subject) {
            true => Ok(says),
            false => Err(Trouble::Token(Refused::Subject)),
        }
    }

    fn get(&self, address: &str, token: Option<&str>) -> Result<Vec<u8>, Trouble> {
        let request = self.agent.get(address).header("accept", "application/json");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let (status, body) = answer(request.call())?;
        match status.is_success() {
            true => Ok(body),
            false => Err(Trouble::Answer(format!("it answers {status} at {address}"))),
        }
    }
}

/// Status and body, as far as they came in time and in bounds.
fn answer(sent: Result<Response<Body>, ureq::Error>) -> Result<(ureq::http::StatusCode, Vec<u8>), Trouble> {
    let unreachable = |error: ureq::Error| match error {
        ureq::Error::BodyExceedsLimit(most) => Trouble::Answer(format!("it sends more than {most} bytes")),
        other => Trouble::Unreachable(other.to_string()),
    };
    let (head, mut body) = sent.map_err(unreachable)?.into_parts();
    let body = body.with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(unreachable)?;
    Ok((head.status, body))
}
