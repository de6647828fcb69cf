//! People whom an OpenID provider knows: what it sends is read and judged here, without a socket and without a clock.
//!
//! The signatures are `ring`'s; what stands around them (RFC 7515, 7517, OpenID Connect Core 1.0, section 3.1.3.7) is strict
//! and short: five algorithms with public keys, each with keys of its own kind only, one audience, one issuer
//! ([ADR 19](../../../docs/adr/0019-openid-connect-by-our-own-code.md)).

mod begun;
mod grants;
mod id_token;
mod jws;
mod keys;
mod refused;
#[cfg(test)]
mod tests;
mod vouched;

pub use begun::{Begun, Handed, SIGN_IN_WITHIN, SIGN_INS_MAX, SIGN_INS_PER_NETWORK, SignIns};
pub use grants::{Grants, GroupGrant, NoGrant};
pub use id_token::{Claims, Expected, FRESH_WITHIN, Proves, judge, words_of};
pub use keys::{KEYS_MAX, Keys};
pub use refused::Refused;
pub use vouched::{Due, Ended, Lasts, Vouched, VouchedFor};

/// Longest ID token that is read, bytes.
pub const ID_TOKEN_BYTES_MAX: usize = 16 * 1024;
