//! TLS 1.3 below the transport, as IEC 62351-3 has it: both sides show certificates, if the station asks for ours.

use super::config::{ConfigError, Iec104Config};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What connects, and whose certificate it wants to see; `None` without TLS.
///
/// # Errors
/// [`ConfigError::Tls`] names the key and the file.
pub(super) fn connector(
    config: &Iec104Config,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, ConfigError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("authority", &files.authority)? {
        roots.add(certificate).map_err(|error| wrong("authority", &files.authority, error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| wrong("authority", &files.authority, error))?
        .with_root_certificates(roots);
    let made = match &files.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates("certificate", certificate)?;
            let private = PrivateKeyDer::from_pem_file(key).map_err(|error| wrong("key", key, error))?;
            let made = builder.with_client_auth_cert(chain, private);
            made.map_err(|error| wrong("certificate", certificate, error))?
        }
    };
    let name = files.name.as_deref().unwrap_or(config.host());
    let name = ServerName::try_from(name.to_owned()).map_err(|error| ConfigError::Tls {
        name: "certificate_name",
        reason: format!("{name:?} is neither a name nor an address: {error}"),
    })?;
    Ok(Some((TlsConnector::from(Arc::new(made)), name)))
}

fn certificates(name: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(name, path, error))?;
    if found.is_empty() {
        return Err(wrong(name, path, "no certificate in it; a PEM file is meant"));
    }
    Ok(found)
}

fn wrong(name: &'static str, path: &Path, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::Tls { name, reason: format!("{}: {reason}", path.display()) }
}
