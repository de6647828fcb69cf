//! The bytes that travel: `header.key.body.signature`, each part base64url without padding.
//!
//! * `header`: JSON, readable on the way and bound to the rest: who to whom, what for, which lines of which file, when;
//! * `key`, `body`: HPKE (RFC 9180, base mode: X25519, HKDF-SHA-256, ChaCha20-Poly1305) of the rows, the header as associated data;
//! * `signature`: Ed25519 over `header.key.body` as it stands.
//!
//! One bit changed anywhere, and it is refused. The receipt proves that its writer has opened this very envelope: it carries a
//! secret that both ends derive from HPKE's exporter, so a broker in between can delay lines but not make them disappear.

use super::keys::{Digest128, PlatformKey, PlatformPublic, SigningKey, VerifyKey};
use super::row::{self, Row};
use super::{hex, unhex};
use crate::house::{FUTURE_MAX, PAYLOAD_BYTES_MAX, Refusal, RejectCode};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use grid::Timestamp;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Domain of the encryption.
const INFO: &[u8] = b"gridflex acquisition 1";
/// What the proof of a receipt is derived for.
const RECEIPT: &[u8] = b"gridflex acquisition 1, receipt";
/// The form of what is inside.
pub const SCHEMA: &str = "rows-1";
/// Largest header, bytes.
const HEADER_BYTES_MAX: usize = 2048;
/// How old an envelope may be when it arrives; an older one is somebody's copy.
pub const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// What can be read on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Who signed it.
    pub sender: String,
    /// Id of the platform key it is sealed for.
    pub recipient: String,
    /// What the values may be used for.
    pub purpose: String,
    /// [`SCHEMA`].
    pub schema: String,
    /// The file its lines stand in, by a keyed name.
    pub file: Digest128,
    /// First line it speaks for, counted from 1.
    pub first: u64,
    /// Last line it speaks for; lines without a row could not be read.
    pub last: u64,
    /// When it was sealed.
    pub at: Timestamp,
}

/// An envelope ready to be sent.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// What travels.
    pub bytes: Vec<u8>,
    /// What its receipt calls it.
    pub id: Digest128,
    proof: [u8; 32],
}

/// An envelope that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// What it says of itself.
    pub header: Header,
    /// What was in it.
    pub rows: Vec<Row>,
    /// What its receipt calls it.
    pub id: Digest128,
    proof: [u8; 32],
}

/// What an envelope has to be to be opened.
#[derive(Debug)]
pub struct Expected<'a> {
    /// Ours.
    pub key: &'a PlatformKey,
    /// The sender's.
    pub sender: &'a VerifyKey,
    /// What we may use values for.
    pub purpose: &'a str,
}

/// Why an envelope could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the lines cannot be put into an envelope: {0}")]
pub struct SealError(String);

type Context = hpke::aead::AeadCtxS<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>;

/// Encrypts and signs rows.
///
/// # Errors
/// [`SealError`] when there are too many bytes, or a value is not finite.
pub fn seal(
    header: &Header,
    rows: &[Row],
    key: &SigningKey,
    to: &PlatformPublic,
) -> Result<Sealed, SealError> {
    let failed = |error: &dyn std::fmt::Display| SealError(error.to_string());
    let header = serde_json::to_vec(header).map_err(|error| failed(&error))?;
    let mut text = URL_SAFE_NO_PAD.encode(header);
    let rows = row::write(rows).map_err(|error| failed(&error))?;
    let (key_bytes, mut context): (_, Context) =
        hpke::setup_sender(&OpModeS::Base, &to.key, INFO).map_err(|error| failed(&error))?;
    let body = context.seal(&rows, text.as_bytes()).map_err(|error| failed(&error))?;
    let mut proof = [0; 32];
    context.export(RECEIPT, &mut proof).map_err(|error| failed(&error))?;
    for part in [key_bytes.to_bytes().as_slice(), &body] {
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(part, &mut text);
    }
    let signature = key.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    let bytes = text.into_bytes();
    if bytes.len() > PAYLOAD_BYTES_MAX {
        return Err(SealError(format!("{} bytes, at most {PAYLOAD_BYTES_MAX} travel in one", bytes.len())));
    }
    Ok(Sealed { id: id(&bytes), bytes, proof })
}

/// What a receipt calls an envelope.
pub fn id(bytes: &[u8]) -> Digest128 {
    let mut id = [0; 16];
    id.iter_mut().zip(Sha256::digest(bytes)).for_each(|(to, from)| *to = from);
    Digest128(id)
}

/// Checks and opens an envelope: form, sender, recipient, signature, purpose and age, then what is inside.
///
/// # Errors
/// A code and a sentence. Never panics, whatever the bytes.
pub(crate) fn open(bytes: &[u8], expected: &Expected<'_>, now: Timestamp) -> Result<Opened, Refusal> {
    if bytes.len() > PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are read", bytes.len());
        return Err((RejectCode::TooLarge, reason));
    }
    let malformed =
        |what: &str| (RejectCode::Envelope, format!("{what}; it is header.key.body.signature in base64url"));
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("the envelope is not text"))?;
    let (signed, signature) = text.rsplit_once('.').ok_or_else(|| malformed("there is no signature"))?;
    let parts: Vec<&str> = signed.split('.').collect();
    let &[header_text, key, body] = parts.as_slice() else { return Err(malformed("it has not four parts")) };
    if header_text.len() > HEADER_BYTES_MAX {
        return Err((RejectCode::TooLarge, format!("the header has more than {HEADER_BYTES_MAX} bytes")));
    }
    let part = |name: &str, text: &str| {
        URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed(&format!("its {name} is not base64url")))
    };
    let header = part("header", header_text)?;
    let header: Header = serde_json::from_slice(&header)
        .map_err(|error| (RejectCode::Envelope, format!("the header is not what it should be: {error}")))?;
    check(&header, expected)?;
    let (key, body) = (part("key", key)?, part("body", body)?);
    if !expected.sender.verifies(signed.as_bytes(), &part("signature", signature)?) {
        let reason = format!("the signature is not that of {}", expected.sender.sender);
        return Err((RejectCode::Signature, reason));
    }
    check_signed(&header, expected, now)?;
    let sealed = |_| (RejectCode::Sealed, "it does not open with this platform's key".to_owned());
    let key = <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&key).map_err(sealed)?;
    let mut context = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &expected.key.secret,
        &key,
        INFO,
    )
    .map_err(sealed)?;
    let rows = context.open(&body, header_text.as_bytes()).map_err(sealed)?;
    let mut proof = [0; 32];
    context.export(RECEIPT, &mut proof).map_err(sealed)?;
    let rows = row::read(&rows, header.first, header.last).map_err(|reason| (RejectCode::Json, reason))?;
    Ok(Opened { header, rows, id: id(bytes), proof })
}

/// Whose it is and for whom: worth saying even of what is not signed.
fn check(header: &Header, expected: &Expected<'_>) -> Result<(), Refusal> {
    if header.sender != expected.sender.sender {
        let reason = format!("it is from {:.80?}, on the topic of {}", header.sender, expected.sender.sender);
        return Err((RejectCode::Sender, reason));
    }
    let ours = expected.key.public();
    if header.recipient != ours.id() {
        let reason =
            format!("it is sealed for key {:.80?}, ours is {} of {}", header.recipient, ours.id(), ours.name);
        return Err((RejectCode::Recipient, reason));
    }
    Ok(())
}

/// What its sender really said.
fn check_signed(header: &Header, expected: &Expected<'_>, now: Timestamp) -> Result<(), Refusal> {
    if header.schema != SCHEMA {
        return Err((
            RejectCode::Envelope,
            format!("its schema is {:.80?}, {SCHEMA} is known", header.schema),
        ));
    }
    if header.purpose != expected.purpose {
        let reason = format!("it is for {:.80?}, this platform takes {}", header.purpose, expected.purpose);
        return Err((RejectCode::Purpose, reason));
    }
    if header.first == 0 || header.first > header.last {
        return Err((RejectCode::Envelope, format!("lines {} to {} are none", header.first, header.last)));
    }
    if header.at > now.plus(FUTURE_MAX) || now.since(header.at) > AGE_MAX {
        let reason = format!("it was sealed at {}, more than a day ago or 5 min ahead at {now}", header.at);
        return Err((RejectCode::Time, reason));
    }
    Ok(())
}

/// The platform's answer to an envelope, JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase", deny_unknown_fields)]
pub enum Receipt {
    /// All of its lines are kept and synced, now or before.
    Kept {
        /// Which.
        envelope: Digest128,
        /// Lines whose pseudonym the platform has no point for, or whose value it could not use: not kept.
        unused: u64,
        /// 32 bytes in hexadecimal that only who opened the envelope can know.
        proof: String,
    },
    /// Nothing of it was used, and sending it again would not help.
    Refused {
        /// Which.
        envelope: Digest128,
        /// The class, as in metrics.
        code: String,
        /// What is wrong.
        reason: String,
    },
}

/// The proof says how many lines were left out, too.
fn proof(secret: &[u8; 32], unused: u64) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), format!("kept, {unused} unused").as_bytes())
}

impl Opened {
    /// That its lines are kept.
    pub fn kept(&self, unused: u64) -> Receipt {
        let proof = hex(proof(&self.proof, unused).as_ref());
        Receipt::Kept { envelope: self.id, unused, proof }
    }
}

impl Sealed {
    /// Whether a receipt of ours says truly that all lines are kept.
    pub fn is_kept_by(&self, unused: u64, said: &str) -> bool {
        let Some(said) = unhex::<32>(said) else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.proof);
        hmac::verify(&key, format!("kept, {unused} unused").as_bytes(), &said).is_ok()
    }
}
