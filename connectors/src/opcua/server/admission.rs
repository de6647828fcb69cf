//! Who is let in: asked for each session.

use opcua::crypto::SecurityPolicy;
use opcua::server::ServerEndpoint;
use opcua::server::authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id};
use opcua::types::{Error, StatusCode, UAString, UserTokenPolicy, UserTokenType};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// The answer to a name and a password.
pub type Answer = Pin<Box<dyn Future<Output = bool> + Send>>;

/// Knows who may look.
pub trait Admission: Send + Sync + 'static {
    /// Whether somebody with this name and password may. Waits as long as it has to; refuses guesses without end by itself.
    fn admit(&self, name: &str, password: &str) -> Answer;
}

/// How the library is told about people without a name.
const ANONYMOUS: &str = "anonymous";

/// Stands between the library and whoever knows.
pub(super) struct Guard {
    admission: Arc<dyn Admission>,
    anonymous: bool,
}

impl Guard {
    pub fn new(admission: Arc<dyn Admission>, anonymous: bool) -> Self {
        Self { admission, anonymous }
    }
}

#[async_trait::async_trait]
impl AuthManager for Guard {
    async fn authenticate_anonymous_token(&self, _: &ServerEndpoint) -> Result<(), Error> {
        if self.anonymous {
            return Ok(());
        }
        Err(Error::new(StatusCode::BadIdentityTokenRejected, "a name and a password are needed"))
    }

    async fn authenticate_username_identity_token(
        &self,
        endpoint: &ServerEndpoint,
        name: &str,
        password: &Password,
    ) -> Result<UserToken, Error> {
        let is_plain = endpoint.security_policy() == SecurityPolicy::None;
        if !is_plain && self.admission.admit(name, password.get()).await {
            return Ok(UserToken(format!("name {name}")));
        }
        Err(Error::new(StatusCode::BadUserAccessDenied, "name or password is wrong, or the role is"))
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        let policy = |id: UAString, kind| UserTokenPolicy {
            policy_id: id,
            token_type: kind,
            issued_token_type: UAString::null(),
            issuer_endpoint_url: UAString::null(),
            security_policy_uri: UAString::null(),
        };
        let mut policies = Vec::new();
        if self.anonymous {
            policies.push(policy(ANONYMOUS.into(), UserTokenType::Anonymous));
        }
        // Nobody shall be tempted to send a password that everyone can read.
        if endpoint.security_policy() != SecurityPolicy::None {
            policies.push(policy(user_pass_security_policy_id(endpoint), UserTokenType::UserName));
        }
        policies
    }
}
