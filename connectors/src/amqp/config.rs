//! What there is to say about a broker, and whether it can work.

use crate::link::host_and_port;
use crate::tls_client::{self, TlsFiles};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Longest password file, bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// One broker whose request queue is served.
#[derive(Debug, Clone, PartialEq)]
pub struct AmqpConfig {
    /// What people call it.
    pub name: String,
    /// `host:port`.
    pub server: String,
    /// Virtual host of the broker.
    pub virtual_host: String,
    /// The broker's user that we are.
    pub user: String,
    /// The file in whose first line its password stands.
    pub password_file: PathBuf,
    /// Where requests come from.
    pub queue: String,
    /// Whether the queue has to be there; otherwise it is made, durable, when it is not.
    pub existing: bool,
    /// What names of queues begin with that may be replied to; everything begins with nothing.
    pub replies: String,
    /// Requests that the broker hands over before earlier ones are acknowledged.
    pub prefetch: u16,
    /// How often each side shows that it is there, s.
    pub heartbeat_s: u16,
    /// How long connecting may take.
    pub timeout: Duration,
    /// Largest request, bytes.
    pub message_bytes_max: usize,
    /// Certificates; `None`: not encrypted.
    pub tls: Option<TlsFiles>,
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `host:port` is meant.
    #[error("amqp server {0:?} is not host:port; write for example broker.example:5671")]
    Server(String),
    /// A password that others could read on the way.
    #[error(
        "amqp server {0} is another machine and the password would be readable on the way; name the file of the authority that \
         signed its certificate as `authority`"
    )]
    Plain(String),
    /// A name that does not fit.
    #[error("amqp {name} is {found:?}; 1 to 255 bytes are possible")]
    Name {
        /// The key in the site's file.
        name: &'static str,
        /// As given.
        found: String,
    },
    /// Out of range.
    #[error("amqp {name} is {found}, {range} is possible")]
    Range {
        /// The key in the site's file.
        name: &'static str,
        /// As given.
        found: String,
        /// What is possible.
        range: &'static str,
    },
    /// A certificate, a key or the password.
    #[error("amqp {name}: {reason}")]
    File {
        /// The key in the site's file.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl AmqpConfig {
    /// Settings of a broker, with everything else as it is when nothing is said.
    pub fn new(
        name: impl Into<String>,
        server: impl Into<String>,
        user: impl Into<String>,
        password_file: impl Into<PathBuf>,
        queue: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            server: server.into(),
            virtual_host: "/".to_owned(),
            user: user.into(),
            password_file: password_file.into(),
            queue: queue.into(),
            existing: false,
            replies: String::new(),
            prefetch: 16,
            heartbeat_s: 30,
            timeout: Duration::from_secs(10),
            message_bytes_max: 256 * 1024,
            tls: None,
        }
    }

    /// Checks what can be checked without connecting; certificates and the password are read.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if host_and_port(&self.server).is_none() {
            return Err(ConfigError::Server(self.server.clone()));
        }
        if self.tls.is_none() && !is_this_machine(tls_client::host(&self.server)) {
            return Err(ConfigError::Plain(self.server.clone()));
        }
        for (name, found) in
            [("virtual_host", &self.virtual_host), ("user", &self.user), ("queue", &self.queue)]
        {
            if found.is_empty() || found.len() > super::request::NAME_BYTES_MAX || found.contains('\0') {
                return Err(ConfigError::Name { name, found: found.chars().take(64).collect() });
            }
        }
        let range = |name, found: String, range| ConfigError::Range { name, found, range };
        if !(1..=1000).contains(&self.prefetch) {
            return Err(range("prefetch", self.prefetch.to_string(), "1 to 1000"));
        }
        if !(1..=600).contains(&self.heartbeat_s) {
            return Err(range("heartbeat_s", self.heartbeat_s.to_string(), "1 to 600"));
        }
        if !(1024..=16 << 20).contains(&self.message_bytes_max) {
            return Err(range("message_bytes_max", self.message_bytes_max.to_string(), "1024 to 16777216"));
        }
        if self.timeout < Duration::from_millis(50) || self.timeout > Duration::from_secs(60) {
            return Err(range("timeout_s", format!("{:?}", self.timeout), "0.05 to 60"));
        }
        self.password()?;
        self.connector().map(drop)
    }

    pub(super) fn connector(
        &self,
    ) -> Result<Option<(tokio_rustls::TlsConnector, rustls::pki_types::ServerName<'static>)>, ConfigError>
    {
        let Some(files) = &self.tls else { return Ok(None) };
        let made = tls_client::connector(files, tls_client::host(&self.server));
        made.map(Some).map_err(|(name, reason)| ConfigError::File { name, reason })
    }

    /// The first line of the password file.
    pub(super) fn password(&self) -> Result<String, ConfigError> {
        let wrong = |path: &Path, reason: String| ConfigError::File {
            name: "password_file",
            reason: format!("{}: {reason}", path.display()),
        };
        let path = &self.password_file;
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| wrong(path, error.to_string()))?;
        let read = file.take(PASSWORD_BYTES_MAX).read_to_string(&mut text);
        read.map_err(|error| wrong(path, error.to_string()))?;
        match text.lines().next() {
            None | Some("") => {
                Err(wrong(path, "its first line is empty; write the password there".to_owned()))
            }
            Some(line) if line.contains('\0') => {
                Err(wrong(path, "its first line has a zero byte".to_owned()))
            }
            Some(line) => Ok(line.to_owned()),
        }
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
