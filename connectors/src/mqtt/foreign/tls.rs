//! TLS 1.2 or 1.3 to a broker, whose certificate an authority of the site's choice has signed.

use super::config::{BrokerConfig, ConfigError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// What connects, and whose certificate it wants to see; `None` without TLS.
///
/// # Errors
/// [`ConfigError::Tls`] names the key and the file.
pub(super) fn connector(
    config: &BrokerConfig,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, ConfigError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let wrong = |reason: String| ConfigError::Tls {
        name: "authority",
        reason: format!("{}: {reason}", files.authority.display()),
    };
    let found = CertificateDer::pem_file_iter(&files.authority);
    let found: Vec<_> =
        found.and_then(Iterator::collect::<Result<_, _>>).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("no certificate in it; a PEM file is meant".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    for certificate in found {
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = files.name.as_deref().unwrap_or_else(|| config.host().trim_matches(['[', ']']));
    let name = ServerName::try_from(name.to_owned()).map_err(|error| ConfigError::Tls {
        name: "certificate_name",
        reason: format!("{name:?} is neither a name nor an address: {error}"),
    })?;
    Ok(Some((TlsConnector::from(Arc::new(made)), name)))
}
