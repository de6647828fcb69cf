//! People sign in with an account of their own organisation (OpenID Connect, authorization code flow with PKCE).
//!
//! A browser is sent to the provider and comes back with a code; this server redeems it, judges the ID token with `access`, looks
//! up what the person's groups give here, and begins a session of its own. The browser never sees a token of the provider. Local
//! accounts do not depend on any of this: when the provider is down, they go on.

mod address;
mod config;
mod counted;
mod document;
mod pages;
mod provider;
mod renewal;
mod routes;
mod sign_in;
mod trouble;

pub use config::{CALLBACK, OidcConfig};
pub(crate) use pages::login_page;
pub(crate) use routes::{begin, finish};
pub(crate) use sign_in::Oidc;
