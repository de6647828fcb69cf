//! Certificates: our own, made once and kept, and those of others, which a file pins.

use opcua::crypto::{CertificateStore, KeySize, PrivateKey, X509, X509Data};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest certificate or key read, bytes.
const BYTES_MAX: u64 = 64 << 10;
/// Our own certificate is made for about five years.
const VALID_DAYS: u32 = 1827;

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
#[error("certificate or key {path}: {reason}")]
pub struct IdentityError {
    /// Which file.
    pub path: String,
    /// What is wrong and what is possible.
    pub reason: String,
}

/// Our own certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its file, DER or PEM.
    pub certificate: PathBuf,
    /// The file of its private key, PEM.
    pub key: PathBuf,
    /// Who it says we are.
    pub uri: String,
    /// SHA-1 of it, by which people compare certificates; hexadecimal.
    pub thumbprint: String,
}

fn wrong(path: &Path, reason: impl Into<String>) -> IdentityError {
    IdentityError { path: path.display().to_string(), reason: reason.into() }
}

impl Identity {
    /// The one that is kept in a directory (`own/certificate.der`, `own/key.pem`), made when there is none.
    /// `application` is who it says we are, such as `urn:gridflex:riverside`. Making one takes seconds of work.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn open(store: &Path, application: &str) -> Result<Self, IdentityError> {
        let directory = store.join("own");
        let (certificate, key) = (directory.join("certificate.der"), directory.join("key.pem"));
        if !certificate.exists() && !key.exists() {
            private_directory(&directory).map_err(|error| wrong(&directory, error.to_string()))?;
            let name = application.rsplit(':').next().unwrap_or_default();
            let names = ["127.0.0.1", "::1"].map(str::to_owned).to_vec();
            let data = X509Data {
                key_size: 2048,
                common_name: format!("gridflex {}", plain(name)),
                organization: "gridflex".to_owned(),
                organizational_unit: String::new(),
                country: String::new(),
                state: String::new(),
                alt_host_names: X509Data::alt_host_names(application, Some(names), true, true, false),
                certificate_duration_days: VALID_DAYS,
            };
            CertificateStore::create_certificate_and_key(&data, false, &certificate, &key)
                .map_err(|reason| wrong(&certificate, reason))?;
        }
        Self::given(certificate, key)
    }

    /// One that stands in these files.
    ///
    /// # Errors
    /// [`IdentityError`] names the file.
    pub fn given(certificate: PathBuf, key: PathBuf) -> Result<Self, IdentityError> {
        let (found, _) = pair(&certificate, &key)?;
        let uri = application_uri(&found).ok_or_else(|| {
            wrong(&certificate, "it has no URI among its names; OPC UA wants the application's there")
        })?;
        Ok(Self { thumbprint: found.thumbprint().as_hex_string(), certificate, key, uri })
    }
}

/// A certificate somebody chose to trust, by its file: DER, or PEM.
///
/// # Errors
/// [`IdentityError`] names the file.
pub fn pinned(path: &Path) -> Result<X509, IdentityError> {
    let bytes = read(path)?;
    let is_pem = bytes.starts_with(b"-----");
    let parsed = if is_pem { X509::from_pem(&bytes) } else { X509::from_der(&bytes) };
    parsed.map_err(|_| wrong(path, "it is no X.509 certificate in DER or PEM"))
}

/// A certificate and its private key.
pub(super) fn pair(certificate: &Path, key: &Path) -> Result<(X509, PrivateKey), IdentityError> {
    let found = pinned(certificate)?;
    read(key)?;
    let private = CertificateStore::read_pkey(key)
        .map_err(|_| wrong(key, "it is no RSA private key in PEM (PKCS #8)"))?;
    let mut signature = vec![0; private.size()];
    let signed = private.sign_sha256(b"ours", &mut signature).is_ok();
    let public = found.public_key().map_err(|error| wrong(certificate, error.to_string()))?;
    if !signed
        || public.size() != private.size()
        || !public.verify_sha256(b"ours", &signature).unwrap_or(false)
    {
        return Err(wrong(key, format!("it does not belong to {}", certificate.display())));
    }
    Ok((found, private))
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let bytes = std::fs::metadata(path).map_err(|error| wrong(path, error.to_string()))?.len();
    if bytes > BYTES_MAX {
        return Err(wrong(path, format!("{bytes} bytes, at most {BYTES_MAX} are read")));
    }
    std::fs::read(path).map_err(|error| wrong(path, error.to_string()))
}

/// The first URI among a certificate's names.
fn application_uri(certificate: &X509) -> Option<String> {
    let der = rustls::pki_types::CertificateDer::from(certificate.to_der().ok()?);
    let parsed = webpki::EndEntityCert::try_from(&der).ok()?;
    parsed.valid_uri_names().next().map(str::to_owned)
}

/// Letters and digits only: the rest has a meaning in names of certificates.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

#[cfg(unix)]
fn private_directory(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_directory(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_certificate_is_made_once_and_says_who_we_are() {
        let directory = tempfile::tempdir().unwrap();
        let made = Identity::open(directory.path(), "urn:gridflex:riverside").unwrap();
        assert_eq!(made.uri, "urn:gridflex:riverside");
        assert_eq!(Identity::open(directory.path(), "urn:gridflex:riverside").unwrap(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(directory.path().join("own")).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "others can read the key");
        }
        std::fs::remove_file(&made.key).unwrap();
        let error = Identity::open(directory.path(), "urn:gridflex:riverside").unwrap_err();
        assert!(error.path.ends_with("key.pem"), "{error}");
    }

    #[test]
    fn what_is_no_certificate_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.der");
        for bytes in [&b""[..], b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
        {
            std::fs::write(&file, bytes).unwrap();
            assert!(pinned(&file).unwrap_err().to_string().contains("a.der: it is no X.509"));
        }
        assert!(pinned(Path::new("/no/such.der")).unwrap_err().to_string().contains("/no/such.der"));
    }
}
