//! How a connection is protected and who we say we are: words of a site's file, known even to a build without OPC UA.

use std::path::PathBuf;

/// How messages are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Not at all.
    None,
    /// Signed, readable by everyone.
    Sign(Policy),
    /// Signed and encrypted.
    SignAndEncrypt(Policy),
}

/// Which algorithms. The older ones of the standard are broken and not spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// `Basic256Sha256`, which every server of the last ten years speaks.
    Basic256Sha256,
    /// `Aes128_Sha256_RsaOaep`.
    Aes128Sha256RsaOaep,
    /// `Aes256_Sha256_RsaPss`.
    Aes256Sha256RsaPss,
}

/// Who we say we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// Nobody in particular.
    Anonymous,
    /// A name and the file in whose first line its password stands.
    Password {
        /// The name.
        name: String,
        /// The file.
        file: PathBuf,
    },
    /// A certificate and its key, DER or PEM, and PEM.
    Certificate {
        /// The certificate.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

impl Security {
    /// By the names of the standard: `None`, `Basic256Sha256`, `Aes128_Sha256_RsaOaep`, `Aes256_Sha256_RsaPss`, and
    /// `SignAndEncrypt` or `Sign`.
    ///
    /// # Errors
    /// What is possible.
    pub fn named(policy: &str, mode: &str) -> Result<Self, String> {
        let policy = match policy {
            "None" if mode == "SignAndEncrypt" => return Ok(Self::None),
            "None" => return Err("mode means nothing where security is None".to_owned()),
            "Basic256Sha256" => Policy::Basic256Sha256,
            "Aes128_Sha256_RsaOaep" => Policy::Aes128Sha256RsaOaep,
            "Aes256_Sha256_RsaPss" => Policy::Aes256Sha256RsaPss,
            other => {
                let known = "Basic256Sha256, Aes128_Sha256_RsaOaep, Aes256_Sha256_RsaPss, None";
                return Err(format!("security {other:.40?} is none of {known}"));
            }
        };
        match mode {
            "SignAndEncrypt" => Ok(Self::SignAndEncrypt(policy)),
            "Sign" => Ok(Self::Sign(policy)),
            other => Err(format!("mode {other:.40?} is neither SignAndEncrypt nor Sign")),
        }
    }
}
