//! Where the server listens, and who is let in.

use crate::opcua::identity::IdentityError;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Settings of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// Where it listens; the port of OPC UA is 4840.
    pub listen: SocketAddr,
    /// The name by which clients reach it, when it is not the address.
    pub host: Option<String>,
    /// Whether there is an endpoint without any protection as well; on a loopback address only.
    pub plain: bool,
    /// Whether clients need no name; their certificate has to be trusted all the same.
    pub anonymous: bool,
    /// Where certificates are kept: our own in `own`, clients' in `server/trusted`, strangers' in `server/rejected`.
    pub store: PathBuf,
    /// Who we are in our own certificate, when it has to be made: `urn:gridflex:<site>`.
    pub application: String,
}

/// Why there is no server.
#[derive(Debug, Error)]
pub enum ServerError {
    /// Unprotected and open to others.
    #[error(
        "{0} can be reached from other machines: security = \"None\" is possible on a loopback address only; leave it out"
    )]
    Unprotected(SocketAddr),
    /// The address is not to be had.
    #[error("opcua server cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// No socket inside this machine.
    #[error("opcua server has no socket on the loopback address: {0}")]
    Inside(std::io::Error),
    /// Our own certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The library does not like the settings.
    #[error("opcua server cannot be set up: {0}")]
    Library(String),
}

impl ServerConfig {
    /// Checks what can be checked without listening.
    ///
    /// # Errors
    /// [`ServerError::Unprotected`].
    pub fn check(&self) -> Result<(), ServerError> {
        if self.plain && !self.listen.ip().is_loopback() {
            return Err(ServerError::Unprotected(self.listen));
        }
        Ok(())
    }

    /// Whether anything but finding the endpoints is possible without protection.
    pub(super) fn allows_plain(&self) -> bool {
        self.plain && self.listen.ip().is_loopback()
    }
}
