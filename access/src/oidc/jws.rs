//! A signed token (RFC 7515, compact form): taken apart, and its signature checked.
//!
//! The algorithm is chosen by what the token says only among those that are right for a *public* key of the kind that was
//! found: `none` and HS256, with which a public key would be taken for a shared secret, are no algorithms here.

use super::keys::{Keys, Material};
use super::refused::{Refused, quoted};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::Deserialize;
use serde_json::Value;

/// What a token may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "PS256" => Some(Self::Ps256),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            // RFC 9864 gives the same a name of its own.
            "EdDSA" | "Ed25519" => Some(Self::EdDsa),
            _ => None,
        }
    }

    fn holds(self, material: &Material, message: &[u8], signature: &[u8]) -> bool {
        let point = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok()
        };
        match (self, material) {
            (Self::Rs256, Material::Rsa { n, e }) => RsaPublicKeyComponents { n, e }
                .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                .is_ok(),
            (Self::Ps256, Material::Rsa { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
            }
            (Self::Es256, Material::P256(key)) => point(&ECDSA_P256_SHA256_FIXED, key),
            (Self::Es384, Material::P384(key)) => point(&ECDSA_P384_SHA384_FIXED, key),
            (Self::EdDsa, Material::Ed25519(key)) => point(&ED25519, key),
            _ => false,
        }
    }

    /// Whether a key is of the kind that this algorithm needs.
    pub(super) fn fits(self, material: &Material) -> bool {
        matches!(
            (self, material),
            (Self::Rs256 | Self::Ps256, Material::Rsa { .. })
                | (Self::Es256, Material::P256(_))
                | (Self::Es384, Material::P384(_))
                | (Self::EdDsa, Material::Ed25519(_))
        )
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// What must be understood: nothing is.
    crit: Option<Value>,
}

/// What a token says, after its signature was found right.
///
/// # Errors
/// [`Refused`]. [`Refused::UnknownKey`] when newer keys might help.
pub(super) fn verified(token: &str, keys: &Keys) -> Result<Vec<u8>, Refused> {
    if token.len() > super::ID_TOKEN_BYTES_MAX {
        return Err(Refused::Malformed("it is too long"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Malformed("it has no three parts"))?;
    let (header, payload) = signed.split_once('.').ok_or(Refused::Malformed("it has no three parts"))?;
    let decode = |part: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Malformed("a part of it is no base64url"))
    };
    let header: Header = serde_json::from_slice(&decode(header)?)
        .map_err(|_| Refused::Malformed("its head is no JSON of a head"))?;
    let algorithm = Algorithm::named(&header.alg).ok_or_else(|| Refused::Algorithm(quoted(&header.alg)))?;
    if header.crit.is_some() {
        return Err(Refused::Malformed("its head asks for an extension (`crit`)"));
    }
    let (signature, payload) = (decode(signature)?, decode(payload)?);
    let key = keys.find(header.kid.as_deref(), algorithm);
    let key = key.ok_or_else(|| Refused::UnknownKey(quoted(header.kid.as_deref().unwrap_or(""))))?;
    if algorithm.holds(key, signed.as_bytes(), &signature) { Ok(payload) } else { Err(Refused::Signature) }
}
