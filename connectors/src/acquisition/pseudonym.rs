//! What stands in place of a private id: HMAC-SHA-256 of its classification id under the site key, cut to 128 bits, with the id
//! of the key in front. Without the key it cannot be found out even by who knows all ids; with the operator's table it can.

use super::keys::{Digest128, SiteKey};
use super::{hex, unhex};
use ring::hmac;
use std::fmt;
use std::str::FromStr;

/// `p<8 digits: key>-<32 digits>`, hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym {
    key: [u8; 4],
    digest: [u8; 16],
}

/// Not written like a pseudonym.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:.60?} is no pseudonym; one looks like p0123abcd-0123456789abcdef0123456789abcdef")]
pub struct NoPseudonym(String);

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}-{}", hex(&self.key), hex(&self.digest))
    }
}

impl FromStr for Pseudonym {
    type Err = NoPseudonym;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.strip_prefix('p').and_then(|rest| rest.split_once('-'));
        let read = parts.and_then(|(key, digest)| Some(Self { key: unhex(key)?, digest: unhex(digest)? }));
        read.ok_or_else(|| NoPseudonym(text.to_owned()))
    }
}

/// Makes pseudonyms and names of files under one site key.
#[derive(Debug, Clone)]
pub struct Pseudonymiser {
    key: hmac::Key,
    key_id: [u8; 4],
    scope: Vec<u8>,
}

impl Pseudonymiser {
    /// Purpose, recipient and epoch go into every pseudonym, so that a key used for two of them by mistake still links nothing.
    pub fn new(site: &SiteKey) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, site.secret());
        let mut scope = Vec::new();
        for part in [&site.site, &site.purpose, &site.recipient, &site.epoch] {
            add(&mut scope, part.as_bytes());
        }
        let mut key_id = [0; 4];
        copy(&mut key_id, &tag(&key, "gridflex key id 1", &scope, &[]));
        Self { key, key_id, scope }
    }

    /// Of a value of a prosumer: `channel` tells several values of one apart and may be empty.
    pub fn pseudonym(&self, classification: &str, channel: &str) -> Pseudonym {
        let parts = [classification.as_bytes(), channel.as_bytes()];
        let mut digest = [0; 16];
        copy(&mut digest, &tag(&self.key, "gridflex pseudonym 1", &self.scope, &parts));
        Pseudonym { key: self.key_id, digest }
    }

    /// Of a file: its name may hold a private id. The first line of its data tells apart files that follow each other
    /// under one name.
    pub fn file(&self, name: &[u8], first_line: &[u8]) -> Digest128 {
        let mut digest = [0; 16];
        copy(&mut digest, &tag(&self.key, "gridflex file 1", &self.scope, &[name, first_line]));
        Digest128(digest)
    }
}

/// Every part with its length in front: what one part ends with cannot be taken for the beginning of the next.
fn tag(key: &hmac::Key, what: &str, scope: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::new();
    add(&mut message, what.as_bytes());
    add(&mut message, scope);
    parts.iter().for_each(|part| add(&mut message, part));
    hmac::sign(key, &message).as_ref().to_vec()
}

fn add(message: &mut Vec<u8>, part: &[u8]) {
    message.extend((part.len() as u64).to_be_bytes());
    message.extend(part);
}

fn copy<const N: usize>(to: &mut [u8; N], from: &[u8]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
}
