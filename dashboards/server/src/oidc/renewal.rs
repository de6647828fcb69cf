//! The provider is asked again about people who are signed in, beside their requests, which do not wait for it.
//!
//! A refusal ends the session at once. While the provider does not answer, a session lasts as long as it would have lasted
//! without asking, so that an outage shorter than that is not noticed.

use super::counted::RENEWED;
use super::provider::Tokens;
use super::sign_in::Oidc;
use super::trouble::Trouble;
use crate::guard::Accounts;
use access::Principal;
use access::oidc::{Due, Proves};
use std::sync::Arc;

/// What the provider said when it was asked again.
struct Renewed {
    principal: Option<Principal>,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

impl Accounts {
    /// Asks the provider again about a session, if it is time for that. Returns at once.
    pub(crate) fn ask_again(self: &Arc<Self>, session: &str) {
        let Some(oidc) = &self.oidc else { return };
        let Some(due) = oidc.vouched().due(session, self.clock.now()) else { return };
        let Ok(turn) = oidc.turn() else {
            oidc.counted.renewal(Trouble::Busy.code());
            oidc.vouched().put_off(&due, self.clock.now());
            return;
        };
        let accounts = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let _turn = turn;
            accounts.renew(&due);
        });
    }

    fn renew(&self, due: &Due) {
        let Some(oidc) = &self.oidc else { return };
        match oidc.renewed(due) {
            Ok(Renewed { principal, refresh_token, id_token }) => {
                oidc.counted.renewal(RENEWED);
                oidc.vouched().renewed(due, principal, (refresh_token, id_token), self.clock.now());
            }
            Err(trouble) => {
                oidc.counted.renewal(trouble.code());
                if !trouble.is_final() {
                    oidc.vouched().put_off(due, self.clock.now());
                    return;
                }
                if let Some(name) = oidc.vouched().refused(due) {
                    let noted =
                        self.note(&name, "end session".to_owned(), &trouble.to_string(), trouble.code());
                    if noted.is_err() {
                        tracing::error!(name, %trouble, "not in the audit log");
                    }
                }
            }
        }
    }
}

impl Oidc {
    fn renewed(&self, due: &Due) -> Result<Renewed, Trouble> {
        let document = self.provider.document()?;
        let asked = [("grant_type", "refresh_token"), ("refresh_token", due.refresh_token.as_str())];
        let Tokens { id_token, access_token, refresh_token } = self.provider.redeem(&document, &asked)?;
        let claims = match &id_token {
            Some(token) => {
                Some(self.provider.judge(&document, token, Proves::Renewal { subject: &due.subject })?)
            }
            None => None,
        };
        let says = claims.map(|claims| claims.all).unwrap_or_default();
        let (subject, label) = (due.subject.as_str(), due.subject.as_str());
        let principal = match self.principal(&document, subject, label, &says, access_token.as_deref()) {
            Ok(principal) => Some(principal),
            // It vouches for the person and says nothing new of groups: those of the sign-in stay.
            Err(Trouble::Groups(_)) => None,
            Err(trouble) => return Err(trouble),
        };
        Ok(Renewed { principal, refresh_token, id_token })
    }
}
