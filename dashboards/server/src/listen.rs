//! Where the server listens, and whether it may.

use access::Directory;
use connectors::mqtt::door::TlsFiles;
use rustls::ServerConfig;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use thiserror::Error;
use tokio::net::TcpSocket;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Of an answer, what the kernel keeps until it is fetched; it may double this.
const SEND_BUFFER_BYTES: u32 = 256 << 10;

/// Where to listen, and how.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// Certificate and key. Without them there is no TLS, and loopback addresses only.
    pub tls: Option<TlsFiles>,
    /// Names that browsers may call this server by, beside those of the loopback address.
    pub names: Vec<String>,
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None, names: Vec::new() }
    }
}

/// Why nothing is served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// Others than this machine could reach it, and something is missing for that.
    #[error(
        "refusing to listen on {address}: an address that others can reach needs {missing}; without them only loopback \
         addresses such as 127.0.0.1 are served"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
        /// What is missing.
        missing: String,
    },
    /// Something else listens there.
    #[error("port {port} is in use; choose another one with --port, or --port 0 for any free one")]
    PortInUse {
        /// The port asked for.
        port: u16,
    },
    /// The operating system refused.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Its reason.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
}

impl Listen {
    /// Checks what can be checked without listening: whether others may reach it, given who is known (`None`: everybody is
    /// let in; with `is_new` nobody yet, and the first administrator is made with a token), and the files of its TLS.
    ///
    /// # Errors
    /// [`ServeError::NotLoopback`] or [`ServeError::Tls`].
    pub fn check(&self, known: Option<&Directory>, is_new: bool) -> Result<Option<ServerConfig>, ServeError> {
        if !self.address.ip().is_loopback() {
            let needs = [
                (self.tls.is_none(), "TLS (certificate and key)"),
                (known.is_none(), "accounts"),
                (
                    !known.is_some_and(|known| known.has_administrator() || (is_new && known.is_empty())),
                    "an administrator among them (role security-admin)",
                ),
                (self.names.is_empty(), "the names it is called by"),
            ];
            let missing: Vec<&str> = needs.into_iter().filter(|need| need.0).map(|need| need.1).collect();
            if !missing.is_empty() {
                return Err(ServeError::NotLoopback { address: self.address, missing: missing.join(", ") });
            }
        }
        let config = self.tls.as_ref().map(TlsFiles::server).transpose();
        config
            .map(|config| config.map(|config| (*config).clone()))
            .map_err(|error| ServeError::Tls(error.to_string()))
    }

    /// Whether the address can be had now.
    ///
    /// # Errors
    /// [`ServeError::PortInUse`] or [`ServeError::Listen`].
    pub fn is_free(&self) -> Result<(), ServeError> {
        TcpListener::bind(self.address).map(drop).map_err(|source| self.refused(source))
    }

    fn refused(&self, source: io::Error) -> ServeError {
        match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortInUse { port: self.address.port() },
            _ => ServeError::Listen { address: self.address, source },
        }
    }

    /// Takes the address. Must be called inside a tokio runtime with I/O.
    ///
    /// # Errors
    /// [`ServeError::PortInUse`] or [`ServeError::Listen`].
    pub fn bind(&self) -> Result<TcpListener, ServeError> {
        let listening = || -> io::Result<TcpListener> {
            let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            // Of each connection: what its peer does not fetch takes memory of the kernel.
            socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
            socket.bind(self.address)?;
            socket.listen(BACKLOG)?.into_std()
        };
        listening().map_err(|source| self.refused(source))
    }

    /// Whether a browser may call this server by this name: a foreign page whose name was made to point here (DNS
    /// rebinding) sends its own.
    pub(crate) fn is_called(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or(""),
            None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
        };
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_public_address_says_all_that_is_missing() {
        let listen = Listen::from(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let refused = listen.check(None, true).unwrap_err().to_string();
        for missing in ["TLS (certificate and key)", "accounts", "an administrator", "the names"] {
            assert!(refused.contains(missing), "{refused}");
        }
        assert!(Listen::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).check(None, false).is_ok());
    }

    #[test]
    fn it_answers_to_its_own_names_only() {
        let mut listen = Listen::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        listen.names = vec!["grid.example".to_owned()];
        for own in ["localhost:8080", "127.0.0.1", "[::1]:80", "GRID.example:8443", "127.9.9.9:1"] {
            assert!(listen.is_called(own), "{own}");
        }
        for foreign in ["evil.example", "grid.example.evil", "", "10.0.0.1", "[::2]"] {
            assert!(!listen.is_called(foreign), "{foreign}");
        }
    }
}
