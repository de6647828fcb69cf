//! Whether an ID token proves who signed in (OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2).

use super::jws;
use super::keys::Keys;
use super::refused::{Refused, quoted};
use grid::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// A token that answers a sign-in or a renewal was issued within this time.
pub const FRESH_WITHIN: Duration = Duration::from_secs(600);
/// Longest subject, bytes (OpenID Connect Core 1.0, section 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// Longest name that is shown, characters.
const LABEL_CHARACTERS_MAX: usize = 64;
/// Groups that are looked at.
const WORDS_MAX: usize = 1_000;

/// What the token has to prove.
#[derive(Debug, Clone, Copy)]
pub enum Proves<'a> {
    /// That somebody signed in just now: it says this nonce.
    SignIn {
        /// What was sent along.
        nonce: &'a str,
    },
    /// That this person is still known.
    Renewal {
        /// Who signed in.
        subject: &'a str,
    },
}

/// What is expected of a token.
#[derive(Debug, Clone, Copy)]
pub struct Expected<'a> {
    /// Who has to have issued it.
    pub issuer: &'a str,
    /// For whom, and for nobody else.
    pub client: &'a str,
    /// What it has to prove.
    pub proves: Proves<'a>,
    /// How far the provider's clock may be off.
    pub skew: Duration,
}

/// What a token says that proves what was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// Who it is, for ever: no name, and never given to somebody else.
    pub subject: String,
    /// What people call it, if the token says so.
    pub label: Option<String>,
    /// Everything it says.
    pub all: Map<String, Value>,
}

/// Judges a token.
///
/// # Errors
/// [`Refused`]; with [`Refused::UnknownKey`] newer keys might help.
pub fn judge(token: &str, keys: &Keys, expected: &Expected<'_>, now: Timestamp) -> Result<Claims, Refused> {
    let payload = jws::verified(token, keys)?;
    let all: Map<String, Value> =
        serde_json::from_slice(&payload).map_err(|_| Refused::Malformed("what it says is no JSON object"))?;
    let text = |name: &'static str| all.get(name).and_then(Value::as_str).ok_or(Refused::Claim(name));
    let issuer = text("iss")?;
    if issuer != expected.issuer {
        return Err(Refused::Issuer(quoted(issuer)));
    }
    audience(&all, expected.client)?;
    times(&all, expected.skew, now)?;
    let subject = text("sub")?;
    if subject.is_empty() || subject.len() > SUBJECT_BYTES_MAX || subject.chars().any(char::is_control) {
        return Err(Refused::Claim("sub"));
    }
    match expected.proves {
        Proves::SignIn { nonce } if text("nonce")? != nonce => return Err(Refused::Nonce),
        Proves::Renewal { subject: known } if subject != known => return Err(Refused::Subject),
        _ => {}
    }
    Ok(Claims { subject: subject.to_owned(), label: label(&all), all })
}

/// One audience, us, and nobody else to whom it was given.
fn audience(all: &Map<String, Value>, client: &str) -> Result<(), Refused> {
    let is_ours = match all.get("aud") {
        Some(Value::String(one)) => one == client,
        Some(Value::Array(several)) => {
            !several.is_empty() && several.iter().all(|one| one.as_str() == Some(client))
        }
        _ => return Err(Refused::Claim("aud")),
    };
    if !is_ours {
        return Err(Refused::Audience(quoted(&all["aud"].to_string())));
    }
    match all.get("azp") {
        None => Ok(()),
        Some(Value::String(party)) if party == client => Ok(()),
        Some(party) => Err(Refused::Party(quoted(&party.to_string()))),
    }
}

fn times(all: &Map<String, Value>, skew: Duration, now: Timestamp) -> Result<(), Refused> {
    let time = |name: &'static str| match all.get(name) {
        None => Ok(None),
        Some(value) => instant(value).map(Some).ok_or(Refused::Claim(name)),
    };
    let expires = time("exp")?.ok_or(Refused::Claim("exp"))?;
    let issued = time("iat")?.ok_or(Refused::Claim("iat"))?;
    if now >= expires.plus(skew) {
        return Err(Refused::Expired);
    }
    if issued > now.plus(skew) || time("nbf")?.is_some_and(|begins| begins > now.plus(skew)) {
        return Err(Refused::Early);
    }
    // Whoever was asked just now answers with a new token: an older one was kept by somebody.
    if now.since(issued) > FRESH_WITHIN + skew {
        return Err(Refused::Old);
    }
    Ok(())
}

/// Seconds since 1970, whole or not, within what our times can be.
fn instant(value: &Value) -> Option<Timestamp> {
    let seconds = value.as_f64()?;
    (0.0..4e9).contains(&seconds).then(|| Timestamp::from_seconds(seconds as i64))
}

fn label(all: &Map<String, Value>) -> Option<String> {
    let names = ["preferred_username", "email", "name"];
    let found = names.iter().find_map(|name| all.get(*name).and_then(Value::as_str))?;
    let label: String = found.chars().filter(|c| !c.is_control()).take(LABEL_CHARACTERS_MAX).collect();
    (!label.is_empty()).then_some(label)
}

/// The words of a claim, one or a list of them; `None` when there is no such claim. A name with dots also leads into objects
/// (`realm_access.roles`).
pub fn words_of(all: &Map<String, Value>, claim: &str) -> Option<Vec<String>> {
    let deep = || {
        let mut parts = claim.split('.');
        let first = all.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))
    };
    match all.get(claim).or_else(deep)? {
        Value::String(word) => Some(vec![word.clone()]),
        Value::Array(words) => {
            Some(words.iter().filter_map(Value::as_str).take(WORDS_MAX).map(str::to_owned).collect())
        }
        _ => None,
    }
}
