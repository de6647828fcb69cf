//! How to reach a broker.

use crate::house::Area;
use std::fmt;
use thiserror::Error;

/// Settings of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientConfig {
    /// Host name or address of the broker. The connection is not encrypted.
    pub host: String,
    /// TCP port of the broker, usually 1883.
    pub port: u16,
    /// Client identifier, unique at the broker and the same after a restart: under this name the broker keeps
    /// messages while we are away. 1 to 64 letters, digits and `. _ : -`.
    pub client_id: String,
    /// The market area whose topics are used.
    pub area: Area,
    /// User and password, when the broker asks.
    pub credentials: Option<Credentials>,
}

/// User and password. The password is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No host.
    #[error("mqtt host is empty")]
    Host,
    /// Port 0.
    #[error("mqtt port is 0, 1 to 65535 is possible")]
    Port,
    /// A client identifier some broker would refuse.
    #[error("mqtt client_id: {0}")]
    ClientId(#[from] grid::IdError),
}

impl ClientConfig {
    /// Settings without credentials.
    pub fn new(host: impl Into<String>, port: u16, client_id: impl Into<String>, area: Area) -> Self {
        Self { host: host.into(), port, client_id: client_id.into(), area, credentials: None }
    }

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.host.is_empty() {
            return Err(ConfigError::Host);
        }
        if self.port == 0 {
            return Err(ConfigError::Port);
        }
        Ok(grid::id::check_name(&self.client_id)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let config =
            |host, port, id: &str| ClientConfig::new(host, port, id, Area::new("demo").unwrap()).check();
        assert_eq!(config("localhost", 1883, "system"), Ok(()));
        assert_eq!(config("", 1883, "system"), Err(ConfigError::Host));
        assert_eq!(config("localhost", 0, "system"), Err(ConfigError::Port));
        assert!(config("localhost", 1883, "a/b").unwrap_err().to_string().contains("client_id"));
    }

    #[test]
    fn a_password_is_not_printed() {
        let credentials = Credentials { user: "meter".into(), password: "secret".into() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }
}
