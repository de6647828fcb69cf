//! Key files: made once, in TOML, the secret ones readable by their owner only.
//!
//! | file | who has it | what for |
//! |---|---|---|
//! | site key | operator | private id → pseudonym, for one purpose, recipient and epoch; destroying it unlinks them |
//! | signing key, and its public half | operator; platform | who an envelope is from |
//! | platform key, and its public half | platform; operator | who can open it |

use super::{hex, unhex};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hpke::kem::{Kem, X25519HkdfSha256};
use hpke::{Deserializable, Serializable};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Largest key file read, bytes.
const BYTES_MAX: u64 = 16 * 1024;

/// Why a key cannot be had.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Reading or writing.
    #[error("key file {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// A secret that others can read.
    #[error("key file {}: its mode is {mode:o}, others can read or change it; `chmod 600` it", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Permission bits.
        mode: u32,
    },
    /// No key, or one of another kind.
    #[error("key file {}: {reason}", path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// Makes pseudonyms for one purpose, recipient and epoch at one site.
#[derive(Clone)]
pub struct SiteKey {
    /// Whose ids they are.
    pub site: String,
    /// What the values may be used for.
    pub purpose: String,
    /// Who gets them.
    pub recipient: String,
    /// For how long, for example `2026`.
    pub epoch: String,
    secret: Zeroizing<[u8; 32]>,
}

impl SiteKey {
    /// What pseudonyms and names of files are made with.
    pub(super) fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Reads a site key.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file: SiteKeyFile = read(path, true)?;
        let SiteKeyFile { kind: SiteKind::Kind, site, purpose, recipient, epoch, secret } = file;
        for (name, text) in
            [("site", &site), ("purpose", &purpose), ("recipient", &recipient), ("epoch", &epoch)]
        {
            grid::id::check_name(text).map_err(|error| content(path, format!("{name}: {error}")))?;
        }
        Ok(Self { site, purpose, recipient, epoch, secret: Zeroizing::new(bytes(path, &secret)?) })
    }

    /// A new one, not kept anywhere.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(site: &str, purpose: &str, recipient: &str, epoch: &str) -> Result<Self, KeyError> {
        let owned = str::to_owned;
        Ok(Self {
            site: owned(site),
            purpose: owned(purpose),
            recipient: owned(recipient),
            epoch: owned(epoch),
            secret: random()?,
        })
    }
}

/// Signs envelopes.
pub struct SigningKey {
    /// Whose it is.
    pub sender: String,
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// Reads a signing key.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let SigningKeyFile { kind: SigningKind::Kind, sender, secret } = read(path, true)?;
        grid::id::check_name(&sender).map_err(|error| content(path, format!("sender: {error}")))?;
        let seed: Zeroizing<[u8; 32]> = Zeroizing::new(bytes(path, &secret)?);
        Self::from_seed(&sender, &seed).ok_or_else(|| content(path, "no Ed25519 key".into()))
    }

    /// A new one, not kept anywhere.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(sender: &str) -> Result<Self, KeyError> {
        Self::from_seed(sender, &*random()?).ok_or(KeyError::Random)
    }

    fn from_seed(sender: &str, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        Some(Self { sender: sender.to_owned(), pair })
    }

    /// The half that may be known.
    pub fn public(&self) -> VerifyKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        VerifyKey { sender: self.sender.clone(), public }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// Says whether an envelope is from a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyKey {
    /// Whose it is.
    pub sender: String,
    public: [u8; 32],
}

impl VerifyKey {
    /// Reads the public half of a signing key.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let VerifyKeyFile { kind: VerifyKind::Kind, sender, public } = read(path, false)?;
        Ok(Self { sender, public: bytes(path, &public)? })
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public).verify(message, signature).is_ok()
    }
}

type Secret = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;

/// Opens envelopes.
#[derive(Clone)]
pub struct PlatformKey {
    /// What the platform is called.
    pub name: String,
    pub(super) secret: Secret,
    public: PlatformPublic,
}

impl PlatformKey {
    /// Reads a platform key.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let PlatformKeyFile { kind: PlatformKind::Kind, name, secret } = read(path, true)?;
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(bytes(path, &secret)?);
        let secret = Secret::from_bytes(&*secret).map_err(|error| content(path, error.to_string()))?;
        Ok(Self::from_secret(name, secret))
    }

    /// A new one, not kept anywhere.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let (secret, _) = X25519HkdfSha256::derive_keypair(&*random()?);
        Ok(Self::from_secret(name.to_owned(), secret))
    }

    fn from_secret(name: String, secret: Secret) -> Self {
        let key = X25519HkdfSha256::sk_to_pk(&secret);
        let public = PlatformPublic { name: name.clone(), key };
        Self { name, secret, public }
    }

    /// The half that may be known.
    pub fn public(&self) -> &PlatformPublic {
        &self.public
    }
}

/// Seals envelopes for a platform.
#[derive(Clone)]
pub struct PlatformPublic {
    /// What the platform is called.
    pub name: String,
    pub(super) key: Public,
}

impl PlatformPublic {
    /// Reads the public half of a platform key.
    ///
    /// # Errors
    /// [`KeyError`] names the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let PlatformPublicFile { kind: PlatformPublicKind::Kind, name, public } = read(path, false)?;
        grid::id::check_name(&name).map_err(|error| content(path, format!("name: {error}")))?;
        let public: [u8; 32] = bytes(path, &public)?;
        let key = Public::from_bytes(&public).map_err(|error| content(path, error.to_string()))?;
        Ok(Self { name, key })
    }

    /// Which key it is: the first 8 bytes of its SHA-256, in hexadecimal.
    pub fn id(&self) -> String {
        let digest = Sha256::digest(self.key.to_bytes());
        hex(digest.get(..8).unwrap_or_default())
    }
}

/// Never shown, not even by mistake.
macro_rules! hidden {
    ($($name:ident $field:ident),*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field(stringify!($field), &self.$field).finish_non_exhaustive()
            }
        }
    )*};
}
hidden!(SiteKey site, SigningKey sender, PlatformKey name, PlatformPublic name);

/// The word in the file that tells kinds apart.
macro_rules! key_file {
    ($file:ident, $kind:ident, $word:literal, $($field:ident),*) => {
        #[derive(Deserialize)]
        enum $kind {
            #[serde(rename = $word)]
            Kind,
        }

        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct $file {
            kind: $kind,
            $($field: String,)*
        }

        impl $file {
            /// As TOML. What stands in quotes is a checked name or base64.
            fn text(&self) -> Zeroizing<String> {
                let mut text = Zeroizing::new(format!("kind = {:?}\n", $word));
                $(text.push_str(&format!("{} = {:?}\n", stringify!($field), self.$field));)*
                text
            }
        }
    };
}
key_file!(SiteKeyFile, SiteKind, "gridflex site key", site, purpose, recipient, epoch, secret);
key_file!(SigningKeyFile, SigningKind, "gridflex signing key", sender, secret);
key_file!(VerifyKeyFile, VerifyKind, "gridflex signing key, public half", sender, public);
key_file!(PlatformKeyFile, PlatformKind, "gridflex platform key", name, secret);
key_file!(PlatformPublicFile, PlatformPublicKind, "gridflex platform key, public half", name, public);

/// A file that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Where.
    pub path: PathBuf,
    /// Whether it must stay where it is.
    pub secret: bool,
}

/// Makes `site.key`, `signing.key` and `signing.pub` in a folder; nothing that is there is overwritten.
///
/// # Errors
/// [`KeyError`] names the file.
pub fn make_client_keys(
    folder: &Path,
    sender: &str,
    (site, purpose, recipient, epoch): (&str, &str, &str, &str),
) -> Result<Vec<Made>, KeyError> {
    for (name, text) in
        [("sender", sender), ("site", site), ("purpose", purpose), ("recipient", recipient), ("epoch", epoch)]
    {
        grid::id::check_name(text).map_err(|error| content(folder, format!("{name}: {error}")))?;
    }
    let owned = str::to_owned;
    let signing = random()?;
    let public = SigningKey::from_seed(sender, &signing).ok_or(KeyError::Random)?.public();
    let site = SiteKeyFile {
        kind: SiteKind::Kind,
        site: owned(site),
        purpose: owned(purpose),
        recipient: owned(recipient),
        epoch: owned(epoch),
        secret: STANDARD.encode(random()?.as_slice()),
    };
    let secret = STANDARD.encode(signing.as_slice());
    let signing = SigningKeyFile { kind: SigningKind::Kind, sender: owned(sender), secret };
    let public = VerifyKeyFile {
        kind: VerifyKind::Kind,
        sender: owned(sender),
        public: STANDARD.encode(public.public),
    };
    let names = ["site.key", "signing.key", "signing.pub"].map(|name| folder.join(name));
    are_new(&names)?;
    let [site_path, signing_path, public_path] = names;
    Ok(vec![
        write(site_path, &site.text(), true)?,
        write(signing_path, &signing.text(), true)?,
        write(public_path, &public.text(), false)?,
    ])
}

/// Makes `platform.key` and `platform.pub` in a folder; nothing that is there is overwritten.
///
/// # Errors
/// [`KeyError`] names the file.
pub fn make_platform_key(folder: &Path, name: &str) -> Result<Vec<Made>, KeyError> {
    grid::id::check_name(name).map_err(|error| content(folder, format!("name: {error}")))?;
    let key = PlatformKey::generate(name)?;
    let secret = Zeroizing::new(key.secret.to_bytes().to_vec());
    let names = ["platform.key", "platform.pub"].map(|name| folder.join(name));
    are_new(&names)?;
    let [secret_path, public_path] = names;
    let secret = STANDARD.encode(&*secret);
    let public = STANDARD.encode(key.public.key.to_bytes());
    let name = name.to_owned();
    let secret = PlatformKeyFile { kind: PlatformKind::Kind, name: name.clone(), secret };
    let public = PlatformPublicFile { kind: PlatformPublicKind::Kind, name, public };
    Ok(vec![write(secret_path, &secret.text(), true)?, write(public_path, &public.text(), false)?])
}

fn are_new(paths: &[PathBuf]) -> Result<(), KeyError> {
    match paths.iter().find(|path| path.exists()) {
        None => Ok(()),
        Some(path) => Err(content(path, "it is there already; a key is not overwritten".into())),
    }
}

fn write(path: PathBuf, text: &str, secret: bool) -> Result<Made, KeyError> {
    let failed = |source| KeyError::File { path: path.clone(), source };
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    files::sync_name(&path).map_err(failed)?;
    Ok(Made { path, secret })
}

/// Refuses a file that others can read, where it has to be secret.
pub(super) fn is_private(path: &Path) -> Result<(), KeyError> {
    let metadata =
        std::fs::metadata(path).map_err(|source| KeyError::File { path: path.to_owned(), source })?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 != 0 => Err(KeyError::Open { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

fn read<T: DeserializeOwned>(path: &Path, secret: bool) -> Result<T, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > BYTES_MAX {
        return Err(content(path, format!("more than {BYTES_MAX} bytes, this is no key")));
    }
    if secret {
        is_private(path)?;
    }
    let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
    // The parser's own words could quote the secret.
    toml::from_str(&text).map_err(|error| content(path, format!("it is no such key: {}", error.message())))
}

fn bytes<const N: usize>(path: &Path, text: &str) -> Result<[u8; N], KeyError> {
    let decoded = STANDARD.decode(text).map(Zeroizing::new);
    let decoded = decoded.map_err(|_| content(path, "the key is not base64".into()))?;
    <[u8; N]>::try_from(decoded.as_slice()).map_err(|_| content(path, format!("the key has not {N} bytes")))
}

fn content(path: &Path, reason: String) -> KeyError {
    KeyError::Content { path: path.to_owned(), reason }
}

fn random() -> Result<Zeroizing<[u8; 32]>, KeyError> {
    let mut secret = Zeroizing::new([0; 32]);
    SystemRandom::new().fill(&mut *secret).map_err(|_| KeyError::Random)?;
    Ok(secret)
}

/// A digest of 16 bytes that names something by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest128(pub(super) [u8; 16]);

impl std::fmt::Display for Digest128 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl Serialize for Digest128 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest128 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("32 hexadecimal digits are meant"))
    }
}
