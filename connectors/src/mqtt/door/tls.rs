//! TLS 1.3 at the door, and who a client's certificate says it is.

use super::config::DoorError;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a client's identity is written in the URI names of its certificate: `urn:gridflex:<identity>`.
const IDENTITY_PREFIX: &str = "urn:gridflex:";

/// Files in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The door's certificate, then those that lead to its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authority of the clients' certificates; with it every client needs one.
    pub client_authority: Option<PathBuf>,
    /// What that authority has revoked.
    pub revoked: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the files and sets up the server's side.
    ///
    /// # Errors
    /// [`DoorError::Tls`] names the file.
    pub fn server(&self) -> Result<Arc<ServerConfig>, DoorError> {
        server(self).map(|tls| tls.config)
    }

    /// All of them.
    pub fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_authority).chain(&self.revoked)
    }
}

/// The server's side, and how it tells whose certificates it believes.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    /// For connections that come.
    pub(super) config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    /// Digest of what was in the files.
    digest: [u8; 32],
}

impl Tls {
    /// Whether it is the very same, read once.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config)
    }

    /// Whether it was read from files that said the same.
    pub(super) fn says_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether a client that showed this chain would be let in now.
    pub(super) fn believes(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some(verifier) = &self.verifier else { return true };
        let Some((own, others)) = chain.split_first() else { return false };
        verifier.verify_client_cert(own, others, UnixTime::now()).is_ok()
    }
}

/// Reads the files and sets up the server's side.
pub(super) fn server(files: &TlsFiles) -> Result<Tls, DoorError> {
    let digest = digest(files)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error))?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong(&files.certificate, error))?;
    let verifier: Option<Arc<dyn ClientCertVerifier>> = match &files.client_authority {
        None => None,
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, error))?;
            }
            let revoked = files.revoked.as_deref().map(revocations).transpose()?.unwrap_or_default();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .with_crls(revoked)
                .build()
                .map_err(|error| wrong(path, error))?;
            Some(verifier)
        }
    };
    let builder = match &verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let config = builder.with_single_cert(chain, key).map_err(|error| wrong(&files.certificate, error))?;
    Ok(Tls { config: Arc::new(config), verifier, digest })
}

/// Of all files, with their lengths.
fn digest(files: &TlsFiles) -> Result<[u8; 32], DoorError> {
    let mut digest = Sha256::new();
    for path in files.paths() {
        let bytes = std::fs::read(path).map_err(|error| wrong(path, error))?;
        digest.update(bytes.len().to_le_bytes());
        digest.update(&bytes);
    }
    Ok(digest.finalize().into())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DoorError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(path, error))?;
    if found.is_empty() { Err(wrong(path, "there is no certificate in it")) } else { Ok(found) }
}

fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, DoorError> {
    let found =
        CertificateRevocationListDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    found.map_err(|error| wrong(path, error))
}

fn wrong(path: &Path, reason: impl Display) -> DoorError {
    DoorError::Tls { path: path.display().to_string(), reason: reason.to_string() }
}

/// The identities in a verified certificate: its URI names `urn:gridflex:…`, then its DNS names.
pub(super) fn identities(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else { return Vec::new() };
    let by_uri = certificate.valid_uri_names().filter_map(|name| name.strip_prefix(IDENTITY_PREFIX));
    by_uri.chain(certificate.valid_dns_names()).map(str::to_owned).collect()
}
