//! TLS 1.3 of a client: whose certificate it wants to see, and its own, if it is asked for one.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Certificates of a connection with TLS 1.3, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The authority that has to have signed the other side's certificate.
    pub authority: PathBuf,
    /// The name in that certificate; `None`: the host of `server`.
    pub name: Option<String>,
    /// Our own certificate and its key, if the other side asks for one.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// What is wrong with one of the files: the key in the site's file, and the reason.
pub(crate) type Wrong = (&'static str, String);

/// What connects, and whose certificate it wants to see.
pub(crate) fn connector(files: &TlsFiles, host: &str) -> Result<(TlsConnector, ServerName<'static>), Wrong> {
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
    let name = files.name.as_deref().unwrap_or(host);
    let name = ServerName::try_from(name.to_owned()).map_err(|error| {
        ("certificate_name", format!("{name:?} is neither a name nor an address: {error}"))
    })?;
    Ok((TlsConnector::from(Arc::new(made)), name))
}

/// The host of `host:port`, without the brackets of an address of version 6.
pub(crate) fn host(server: &str) -> &str {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn certificates(name: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(|error| wrong(name, path, error))?;
    if found.is_empty() {
        return Err(wrong(name, path, "no certificate in it; a PEM file is meant"));
    }
    Ok(found)
}

fn wrong(name: &'static str, path: &Path, reason: impl std::fmt::Display) -> Wrong {
    (name, format!("{}: {reason}", path.display()))
}
