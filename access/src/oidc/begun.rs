//! Sign-ins that are under way: what a browser was sent to the provider with, until it comes back. In memory, each good once.

use crate::guesses::network;
use crate::secret;
use grid::Timestamp;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

/// How long somebody may take at the provider.
pub const SIGN_IN_WITHIN: Duration = Duration::from_secs(600);
/// Sign-ins under way at the same time; with more the oldest is forgotten.
pub const SIGN_INS_MAX: usize = 4_096;
/// Of these, from one network: with more its own oldest is forgotten, and nobody else's.
pub const SIGN_INS_PER_NETWORK: usize = 64;

/// Sign-ins under way, by the fingerprint of their state.
#[derive(Debug, Default)]
pub struct SignIns {
    open: BTreeMap<String, Begun>,
}

/// What a sign-in is finished with.
#[derive(Clone, PartialEq, Eq)]
pub struct Begun {
    /// What the ID token has to say.
    pub nonce: String,
    /// What the code is redeemed with (RFC 7636).
    pub verifier: String,
    /// Fingerprint of what the browser keeps.
    browser: String,
    from: Option<IpAddr>,
    ends: Timestamp,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("ends", &self.ends).finish_non_exhaustive()
    }
}

/// What goes out with a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handed {
    /// What the provider sends back.
    pub state: String,
    /// What the ID token repeats.
    pub nonce: String,
    /// S256 challenge of the verifier (RFC 7636).
    pub challenge: String,
    /// For a cookie: only the browser that began can finish.
    pub browser: String,
}

impl SignIns {
    /// Begins one; `None` when the operating system has no random numbers.
    pub fn begin(&mut self, from: Option<IpAddr>, now: Timestamp) -> Option<Handed> {
        let from = from.map(network);
        self.open.retain(|_, begun| now < begun.ends);
        let own = self.open.values().filter(|begun| begun.from == from).count();
        if own >= SIGN_INS_PER_NETWORK {
            self.forget_oldest(|begun| begun.from == from);
        } else if self.open.len() >= SIGN_INS_MAX {
            self.forget_oldest(|_| true);
        }
        let (state, nonce, verifier, browser) =
            (secret::random()?, secret::random()?, secret::random()?, secret::random()?);
        // The fingerprint is the unpadded base64url of the SHA-256, which is what S256 is.
        let challenge = secret::fingerprint(&verifier);
        let ends = now.plus(SIGN_IN_WITHIN);
        let begun =
            Begun { nonce: nonce.clone(), verifier, browser: secret::fingerprint(&browser), from, ends };
        self.open.insert(secret::fingerprint(&state), begun);
        Some(Handed { state, nonce, challenge, browser })
    }

    fn forget_oldest(&mut self, of: impl Fn(&Begun) -> bool) {
        let oldest = self.open.iter().filter(|(_, begun)| of(begun)).min_by_key(|(_, begun)| begun.ends);
        let oldest = oldest.map(|(state, _)| state.clone());
        oldest.and_then(|state| self.open.remove(&state));
    }

    /// Takes out the sign-in of a state, which is good for nothing from then on, whoever shows it. `None` when there is none, its
    /// time is over, or another browser began it.
    pub fn take(&mut self, state: &str, browser: Option<&str>, now: Timestamp) -> Option<Begun> {
        let begun = self.open.remove(&secret::fingerprint(state))?;
        let same = browser.is_some_and(|browser| secret::fingerprint(browser) == begun.browser);
        (same && now < begun.ends).then_some(begun)
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }
}
