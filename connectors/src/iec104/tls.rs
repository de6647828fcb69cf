//! TLS 1.3 below the transport, as IEC 62351-3 has it: both sides show certificates, if the station asks for ours.

use super::config::{ConfigError, Iec104Config};
use crate::tls_client;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// What connects, and whose certificate it wants to see; `None` without TLS.
///
/// # Errors
/// [`ConfigError::Tls`] names the key and the file.
pub(super) fn connector(
    config: &Iec104Config,
) -> Result<Option<(TlsConnector, ServerName<'static>)>, ConfigError> {
    let Some(files) = &config.tls else { return Ok(None) };
    let made = tls_client::connector(files, tls_client::host(&config.server));
    made.map(Some).map_err(|(name, reason)| ConfigError::Tls { name, reason })
}
