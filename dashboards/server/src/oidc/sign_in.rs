//! From a browser that wants to sign in to a session of ours.

use super::address::with_query;
use super::config::{OidcConfig, Wrong};
use super::counted::{ALLOWED, BEGUN, Counted};
use super::document::Document;
use super::provider::{Provider, Tokens};
use super::trouble::Trouble;
use crate::guard::Accounts;
use access::oidc::{Begun, Ended, Handed, NoGrant, Proves, SignIns, Vouched, VouchedFor, words_of};
use access::{Principal, Role, Scope};
use actors::figures::Family;
use grid::Clock;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Threads that wait for the provider at the same time.
const ASKING_MAX: usize = 8;
/// What is done, in the audit log.
pub(super) const LOG_IN: &str = "log in over openid connect";
/// Longest ID token that is sent back in an address.
const HINT_BYTES_MAX: usize = 4 * 1024;

/// Sign-ins at one provider, and the sessions they lead to.
#[derive(Debug)]
pub(crate) struct Oidc {
    pub(super) provider: Provider,
    sign_ins: Mutex<SignIns>,
    vouched: Mutex<Vouched>,
    asking: Arc<Semaphore>,
    pub(super) counted: Counted,
}

/// What the provider sends a browser back with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Returned {
    pub state: Option<String>,
    pub code: Option<String>,
    pub iss: Option<String>,
    pub error: Option<String>,
}

/// Somebody who signed in.
#[derive(Debug)]
pub(super) struct SignedIn {
    pub session: String,
}

impl Oidc {
    /// Nobody is signed in yet, and the provider was not asked.
    ///
    /// # Errors
    /// The key of what cannot be used, with the reason.
    pub fn new(config: OidcConfig, clock: Arc<dyn Clock>) -> Result<Self, Wrong> {
        let lasts = config.lasts;
        Ok(Self {
            provider: Provider::new(config, clock)?,
            sign_ins: Mutex::default(),
            vouched: Mutex::new(Vouched::new(lasts)),
            asking: Arc::new(Semaphore::new(ASKING_MAX)),
            counted: Counted::default(),
        })
    }

    /// What people call the provider.
    pub fn name(&self) -> &str {
        &self.provider.config.name
    }

    /// Figures for those who watch.
    pub fn families(&self) -> Vec<Family> {
        self.counted.families()
    }

    pub(super) fn vouched(&self) -> MutexGuard<'_, Vouched> {
        self.vouched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sign_ins(&self) -> MutexGuard<'_, SignIns> {
        self.sign_ins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A turn to wait for the provider, given back when it is dropped.
    pub(super) fn turn(&self) -> Result<OwnedSemaphorePermit, Trouble> {
        Arc::clone(&self.asking).try_acquire_owned().map_err(|_| Trouble::Busy)
    }

    /// Where a browser is sent, and what it keeps until it comes back.
    pub(super) fn send_out(
        &self,
        from: Option<IpAddr>,
        clock: &dyn Clock,
    ) -> Result<(String, String), Trouble> {
        let document = self.provider.document()?;
        let handed = self.sign_ins().begin(from, clock.now()).ok_or(Trouble::Random)?;
        let Handed { state, nonce, challenge, browser } = handed;
        let config = &self.provider.config;
        let redirect = config.redirect_uri();
        let scopes: Vec<&str> =
            std::iter::once("openid").chain(config.scopes.iter().map(String::as_str)).collect();
        let address = with_query(
            &document.authorization_endpoint,
            &[
                ("response_type", "code"),
                ("client_id", &config.client_id),
                ("redirect_uri", &redirect),
                ("scope", &scopes.join(" ")),
                ("state", &state),
                ("nonce", &nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        self.counted.sign_in(BEGUN);
        Ok((address, browser))
    }

    /// The sign-in that a browser comes back from, which is good for nothing from then on, and its code.
    pub(super) fn came_back(
        &self,
        returned: Returned,
        browser: Option<&str>,
        clock: &dyn Clock,
    ) -> Result<(Begun, String), Trouble> {
        let state = returned.state.as_deref().unwrap_or_default();
        let begun = self.sign_ins().take(state, browser, clock.now()).ok_or(Trouble::State)?;
        if returned.iss.as_deref().is_some_and(|iss| iss != self.provider.config.issuer) {
            return Err(Trouble::OtherIssuer);
        }
        if let Some(error) = returned.error {
            let word = error.chars().filter(|c| c.is_ascii_graphic()).take(60).collect();
            return Err(Trouble::SentBack(word));
        }
        let code = returned.code.filter(|code| !code.is_empty()).ok_or(Trouble::NoCode)?;
        let promised = self
            .provider
            .last_document()
            .is_some_and(|document| document.authorization_response_iss_parameter_supported);
        if promised && returned.iss.is_none() {
            return Err(Trouble::OtherIssuer);
        }
        Ok((begun, code))
    }

    /// Whom a code stands for. Waits for the provider.
    fn who(&self, begun: &Begun, code: &str) -> Result<(VouchedFor, String), Trouble> {
        let document = self.provider.document()?;
        let redirect = self.provider.config.redirect_uri();
        let tokens = self.provider.redeem(
            &document,
            &[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &redirect),
                ("code_verifier", &begun.verifier),
            ],
        )?;
        let Tokens { id_token, access_token, refresh_token } = tokens;
        let id_token = id_token.ok_or_else(|| Trouble::Answer("it gives no ID token".to_owned()))?;
        let claims = self.provider.judge(&document, &id_token, Proves::SignIn { nonce: &begun.nonce })?;
        let label = claims.label.clone().unwrap_or_else(|| claims.subject.clone());
        let principal =
            self.principal(&document, &claims.subject, &label, &claims.all, access_token.as_deref())?;
        let subject = claims.subject;
        Ok((VouchedFor { principal, label: label.clone(), subject, refresh_token, id_token }, label))
    }

    /// Who somebody is here, by the groups its token or, where that does not say them, the provider names.
    pub(super) fn principal(
        &self,
        document: &Document,
        subject: &str,
        label: &str,
        claims: &Map<String, Value>,
        access_token: Option<&str>,
    ) -> Result<Principal, Trouble> {
        let config = &self.provider.config;
        let mut groups = words_of(claims, &config.groups_claim);
        if groups.is_none()
            && let (Some(address), Some(token)) = (&document.userinfo_endpoint, access_token)
        {
            let says = self.provider.userinfo(address, token, subject)?;
            groups = words_of(&says, &config.groups_claim);
        }
        let groups = groups.ok_or_else(|| Trouble::Groups(config.groups_claim.clone()))?;
        let granted: Result<(Vec<Role>, Scope), NoGrant> = config.grants.of(&groups);
        let (roles, scope) = granted.map_err(|why| Trouble::Grant {
            subject: subject.to_owned(),
            label: label.to_owned(),
            why,
        })?;
        // No local account can have such a name.
        // Whether it asks for a second factor is the provider's business.
        Ok(Principal { name: named(subject), roles, scope, lacks_second_factor: false })
    }

    /// Whose session this is.
    pub fn whose(&self, session: &str, clock: &dyn Clock) -> Option<Principal> {
        self.vouched().whose(session, clock.now()).cloned()
    }

    /// What people call whoever has this session.
    pub fn label(&self, session: &str, clock: &dyn Clock) -> Option<String> {
        self.vouched().label(session, clock.now()).map(str::to_owned)
    }

    /// Ends a session.
    pub fn end(&self, session: &str) -> Option<Ended> {
        self.vouched().end(session)
    }

    /// Where a browser says good-bye to the provider, if the provider wants that. Nobody is asked.
    pub fn farewell(&self, ended: &Ended) -> Option<String> {
        let document = self.provider.last_document()?;
        let address = document.end_session_endpoint.as_ref()?;
        let config = &self.provider.config;
        let back = format!("{}/login", config.public_origin());
        let mut pairs = vec![("client_id", config.client_id.as_str()), ("post_logout_redirect_uri", &back)];
        if ended.id_token.len() <= HINT_BYTES_MAX {
            pairs.push(("id_token_hint", &ended.id_token));
        }
        Some(with_query(address, &pairs))
    }
}

/// The name of a person whom the provider vouches for: no local account can have it.
pub(super) fn named(subject: &str) -> String {
    format!("oidc/{subject}")
}

impl Accounts {
    /// Finishes a sign-in: whoever the code stands for gets a session, and that is written down. Waits for the provider.
    pub(super) fn finish_sign_in(&self, oidc: &Oidc, begun: &Begun, code: &str) -> Result<SignedIn, Refusal> {
        let (of, label) = oidc.who(begun, code).map_err(Refusal::Trouble)?;
        let roles: Vec<String> = of.principal.roles.iter().map(Role::to_string).collect();
        let object = format!("{label} ({})", roles.join(", "));
        self.note(&of.principal.name, LOG_IN.to_owned(), &object, "allowed").map_err(Refusal::Problem)?;
        let session = oidc.vouched().begin(of, self.clock.now()).ok_or(Refusal::Trouble(Trouble::Random))?;
        oidc.counted.sign_in(ALLOWED);
        Ok(SignedIn { session })
    }

    /// Counts a refusal and writes it down, the same one once a minute.
    pub(super) fn note_trouble(&self, oidc: &Oidc, trouble: &Trouble) {
        oidc.counted.sign_in(trouble.code());
        let (who, object) = match trouble {
            Trouble::Grant { subject, label, .. } => (named(subject), label.clone()),
            other => (String::new(), other.to_string()),
        };
        if self.note_refusal(&who, LOG_IN.to_owned(), &object, trouble.code()).is_err() {
            tracing::error!(%trouble, "not in the audit log");
        }
    }
}

/// Why nobody was let in.
pub(super) enum Refusal {
    /// For what came from the provider.
    Trouble(super::trouble::Trouble),
    /// For something of our own.
    Problem(crate::problem::Problem),
}
