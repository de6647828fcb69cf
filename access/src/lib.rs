//! Who may do what: roles after IEC 62351-8, one policy table that denies by default, accounts and tokens, and an
//! audit log whose entries are chained.
//!
//! Every door asks [`decide`] and nothing else; [`POLICY`] is data, so that documents and tests are made from it. Time is
//! handed in. This crate knows no HTTP and no MQTT: a door turns what it is shown (a password, a token, a session) into a
//! [`Principal`] with the [`Directory`], and asks.

mod audit;
mod directory;
mod guesses;
mod known;
pub mod oidc;
mod policy;
mod principal;
mod role;
mod second_factor;
mod secret;
mod session;

pub use audit::{AuditLog, AuditReport, Entry, verify as verify_audit};
pub use directory::{
    Account, Directory, DirectoryError, NewToken, PASSWORD_CHARACTERS_MIN, TOKEN_DAYS_MAX, Token,
};
pub use guesses::{GUESSES_PER_NAME, GUESSES_WITHIN, Guesses, Try};
pub use known::Known;
pub use policy::{
    Action, Decision, Grant, POLICY, Reach, Resource, SECOND_FACTOR, decide, depends_on_owner, reaches_all,
};
pub use principal::{Principal, Scope};
pub use role::Role;
pub use second_factor::{SecondFactor, UsedCodes};
pub use secret::SetupSecret;
pub use session::{SESSION_LASTS, SESSIONS_MAX, Sessions};
