//! Sessions of people whom the provider vouched for, in memory: a restart ends them all.
//!
//! A session lasts for so long after the provider last vouched for the person. Where it gave a refresh token it is asked again
//! long before that; each answer brings the next token and what groups the person is in now, and a refusal ends the session.

use crate::principal::Principal;
use crate::secret;
use crate::session::{SESSION_LASTS, SESSIONS_MAX};
use grid::Timestamp;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How soon the provider is asked once more when it did not answer.
const ASKED_ONCE_MORE: Duration = Duration::from_secs(60);

/// How long sessions last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lasts {
    /// After the provider last vouched for somebody.
    pub vouched: Duration,
    /// The provider is asked again after this time.
    pub asked_again: Duration,
}

/// Who is signed in, by the fingerprint of what the browser keeps.
#[derive(Debug)]
pub struct Vouched {
    lasts: Lasts,
    open: BTreeMap<String, Session>,
}

/// Somebody for whom the provider vouched.
#[derive(Clone, PartialEq, Eq)]
pub struct VouchedFor {
    /// Who, with which roles.
    pub principal: Principal,
    /// What people call it.
    pub label: String,
    /// The provider's name for the person.
    pub subject: String,
    /// With which it is asked again, once; `None`: it cannot be.
    pub refresh_token: Option<String>,
    /// For saying good-bye to the provider.
    pub id_token: String,
}

struct Session {
    of: VouchedFor,
    ends: Timestamp,
    /// However often it is renewed.
    last: Timestamp,
    due: Timestamp,
    is_asking: bool,
}

impl fmt::Debug for VouchedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VouchedFor").field("principal", &self.principal).finish_non_exhaustive()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("of", &self.of).field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// A session of which the provider is to be asked again.
#[derive(Clone, PartialEq, Eq)]
pub struct Due {
    /// Which one.
    session: String,
    /// Who.
    pub subject: String,
    /// What to ask with.
    pub refresh_token: String,
}

impl fmt::Debug for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Due").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// A session that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whose it was.
    pub name: String,
    /// For saying good-bye to the provider.
    pub id_token: String,
}

impl Vouched {
    /// No sessions yet.
    pub fn new(lasts: Lasts) -> Self {
        Self { lasts, open: BTreeMap::new() }
    }

    /// Begins a session; what the browser is to show, `None` when there are no random numbers.
    pub fn begin(&mut self, of: VouchedFor, now: Timestamp) -> Option<String> {
        self.open.retain(|_, session| now < session.ends);
        if self.open.len() >= SESSIONS_MAX {
            let oldest = self.open.iter().min_by_key(|(_, session)| session.ends).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.open.remove(&key));
        }
        let secret = secret::random()?;
        let last = now.plus(SESSION_LASTS);
        let (ends, due) = (now.plus(self.lasts.vouched).min(last), now.plus(self.lasts.asked_again));
        let session = Session { of, ends, last, due, is_asking: false };
        self.open.insert(secret::fingerprint(&secret), session);
        Some(secret)
    }

    /// Whose session this is.
    pub fn whose(&self, secret: &str, now: Timestamp) -> Option<&Principal> {
        let session = self.open.get(&secret::fingerprint(secret))?;
        (now < session.ends).then_some(&session.of.principal)
    }

    /// What people call whoever has this session.
    pub fn label(&self, secret: &str, now: Timestamp) -> Option<&str> {
        let session = self.open.get(&secret::fingerprint(secret))?;
        (now < session.ends).then_some(session.of.label.as_str())
    }

    /// Whether the provider is to be asked again about this session: told to one at a time, who says what came of it with
    /// [`renewed`](Self::renewed), [`put_off`](Self::put_off) or [`refused`](Self::refused).
    pub fn due(&mut self, secret: &str, now: Timestamp) -> Option<Due> {
        let key = secret::fingerprint(secret);
        let session = self.open.get_mut(&key)?;
        if session.is_asking || now < session.due || now >= session.ends {
            return None;
        }
        let refresh_token = session.of.refresh_token.clone()?;
        session.is_asking = true;
        Some(Due { session: key, subject: session.of.subject.clone(), refresh_token })
    }

    /// The provider vouched once more. What it did not give anew stays.
    pub fn renewed(
        &mut self,
        due: &Due,
        principal: Option<Principal>,
        (refresh_token, id_token): (Option<String>, Option<String>),
        now: Timestamp,
    ) {
        let Some(session) = self.open.get_mut(&due.session) else { return };
        session.of.principal = principal.unwrap_or_else(|| session.of.principal.clone());
        session.of.refresh_token = refresh_token.or_else(|| session.of.refresh_token.take());
        if let Some(id_token) = id_token {
            session.of.id_token = id_token;
        }
        session.ends = now.plus(self.lasts.vouched).min(session.last);
        session.due = now.plus(self.lasts.asked_again);
        session.is_asking = false;
    }

    /// The provider did not answer: it is asked once more later; the session lasts as long as it did.
    pub fn put_off(&mut self, due: &Due, now: Timestamp) {
        if let Some(session) = self.open.get_mut(&due.session) {
            (session.due, session.is_asking) = (now.plus(ASKED_ONCE_MORE), false);
        }
    }

    /// The provider does not vouch for the person any more: the session ends. Whose it was.
    pub fn refused(&mut self, due: &Due) -> Option<String> {
        self.open.remove(&due.session).map(|session| session.of.principal.name)
    }

    /// Ends a session.
    pub fn end(&mut self, secret: &str) -> Option<Ended> {
        let VouchedFor { principal, id_token, .. } = self.open.remove(&secret::fingerprint(secret))?.of;
        Some(Ended { name: principal.name, id_token })
    }
}
