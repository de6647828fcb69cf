//! The keys a provider publishes (RFC 7517). Those that are of no use here are passed over: a provider publishes keys for
//! other purposes, too.

use super::jws::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

/// Keys that are looked at.
pub const KEYS_MAX: usize = 64;

/// Public keys of one provider.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    keys: Vec<Key>,
}

#[derive(Debug, Clone)]
struct Key {
    name: Option<String>,
    /// The only one it is for, if it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

/// What a signature is checked with.
#[derive(Debug, Clone)]
pub(super) enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    /// An uncompressed point.
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Keys {
    /// Reads a key set.
    ///
    /// # Errors
    /// What it says instead of keys, in words.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("it is no set of keys: {error}"))?;
        if document.keys.len() > KEYS_MAX {
            return Err(format!(
                "there are {} keys in it, at most {KEYS_MAX} are looked at",
                document.keys.len()
            ));
        }
        let keys: Vec<Key> = document.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err("there is no key in it for RS256, PS256, ES256, ES384 or EdDSA".to_owned());
        }
        Ok(Self { keys })
    }

    /// The key of this name for this algorithm; without a name the only one there is.
    pub(super) fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<&Material> {
        let fits =
            |key: &&Key| algorithm.fits(&key.material) && key.algorithm.is_none_or(|only| only == algorithm);
        let mut fitting = self.keys.iter().filter(fits);
        match name {
            Some(name) => fitting.find(|key| key.name.as_deref() == Some(name)).map(|key| &key.material),
            None => {
                let only = fitting.next()?;
                fitting.next().is_none().then_some(&only.material)
            }
        }
    }
}

fn usable(written: Value) -> Option<Key> {
    let written: Written = serde_json::from_value(written).ok()?;
    if written.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let algorithm = match &written.alg {
        Some(name) => Some(Algorithm::named(name)?),
        None => None,
    };
    let bytes = |part: &Option<String>| URL_SAFE_NO_PAD.decode(part.as_deref()?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes(&written.x)?, bytes(&written.y)?);
        (x.len() == length && y.len() == length).then(|| [&[4][..], &x, &y].concat())
    };
    let material = match (written.kty.as_str(), written.crv.as_deref()) {
        ("RSA", _) => Material::Rsa { n: without_zeros(bytes(&written.n)?), e: bytes(&written.e)? },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes(&written.x)?),
        _ => return None,
    };
    Some(Key { name: written.kid, algorithm, material })
}

/// Some write a modulus with the zero before it that another form needs.
fn without_zeros(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}
