//! Which server is listened to, how the connection is protected, and what of it is wanted.

use super::identity::{IdentityError, pinned};
use super::security::{Policy, Security, User};
use super::tag::Tag;
use crate::link::host_and_port;
use crate::point_map::{BadLine, MappedPoint, PointMap};
use grid::Quantity;
use opcua::crypto::SecurityPolicy;
use opcua::types::MessageSecurityMode;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Longest password read from a file, bytes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct OpcUaConfig {
    /// What people call it.
    pub name: String,
    /// Its address, `opc.tcp://host:port/path`.
    pub endpoint: String,
    /// How messages are protected.
    pub security: Security,
    /// The server's own certificate, DER or PEM: no other is accepted. Needed unless [`Security::None`].
    pub server_certificate: Option<PathBuf>,
    /// Who we say we are.
    pub user: User,
    /// Where our own certificate and what was refused is kept.
    pub store: PathBuf,
    /// Who we are in our own certificate, when it has to be made: `urn:gridflex:<site>`.
    pub application: String,
    /// How often the server looks for changes and sends them.
    pub period: Duration,
    /// How long connecting, and one answer, may take.
    pub timeout: Duration,
    /// What is listened to; no two points alike.
    pub points: Vec<(Tag, MappedPoint)>,
}

/// Settings that cannot work.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `opc.tcp://host:port` is meant.
    #[error("opcua endpoint {0:?} is not opc.tcp://host:port; write for example opc.tcp://192.0.2.7:4840")]
    Endpoint(String),
    /// Out of range.
    #[error("opcua {name} is {seconds} s, {low} to {high} s is possible")]
    Span {
        /// `period` or `timeout`.
        name: &'static str,
        /// As given.
        seconds: f64,
        /// Least.
        low: f64,
        /// Most.
        high: f64,
    },
    /// Nobody said which server it is.
    #[error(
        "opcua server_certificate is missing: name the file of the server's own certificate (DER or PEM), as its \
         vendor's tool exports it, or write security = \"None\" for a connection that everyone can read and change"
    )]
    NotPinned,
    /// A certificate where there is no protection.
    #[error("opcua security is None, so server_certificate would not be looked at; leave one of both out")]
    PinnedForNothing,
    /// A password that everyone can read.
    #[error(
        "opcua security is None, so everyone could read the password; choose Basic256Sha256 or leave out user"
    )]
    PlainPassword,
    /// A certificate or key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The password.
    #[error("opcua password_file {path}: {reason}")]
    Password {
        /// Which file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Security {
    /// As the library has it.
    pub(super) fn parts(self) -> (SecurityPolicy, MessageSecurityMode) {
        let policy = |policy| match policy {
            Policy::Basic256Sha256 => SecurityPolicy::Basic256Sha256,
            Policy::Aes128Sha256RsaOaep => SecurityPolicy::Aes128Sha256RsaOaep,
            Policy::Aes256Sha256RsaPss => SecurityPolicy::Aes256Sha256RsaPss,
        };
        match self {
            Self::None => (SecurityPolicy::None, MessageSecurityMode::None),
            Self::Sign(chosen) => (policy(chosen), MessageSecurityMode::Sign),
            Self::SignAndEncrypt(chosen) => (policy(chosen), MessageSecurityMode::SignAndEncrypt),
        }
    }
}

impl fmt::Display for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (policy, mode) = self.parts();
        match self {
            Self::None => f.write_str("None"),
            _ => write!(f, "{policy} {mode:?}"),
        }
    }
}

impl OpcUaConfig {
    /// Reads the tags of a point map.
    ///
    /// # Errors
    /// Every line whose tag is no node, or whose quantity cannot be listened to.
    pub fn points(map: &PointMap) -> Result<Vec<(Tag, MappedPoint)>, Vec<BadLine>> {
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        for row in &map.rows {
            match point(row) {
                Ok(tag) => points.push((tag, row.clone())),
                Err((column, reason)) => bad.push(BadLine { line: row.line, column: Some(column), reason }),
            }
        }
        if bad.is_empty() { Ok(points) } else { Err(bad) }
    }

    /// Checks what can be checked without connecting. Reads certificates and passwords, writes nothing.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if !is_endpoint(&self.endpoint) {
            return Err(ConfigError::Endpoint(self.endpoint.clone()));
        }
        for (name, span, high) in [("period", self.period, 900.0), ("timeout", self.timeout, 60.0)] {
            let seconds = span.as_secs_f64();
            if !(0.05..=high).contains(&seconds) {
                return Err(ConfigError::Span { name, seconds, low: 0.05, high });
            }
        }
        match (self.security, &self.server_certificate) {
            (Security::None, None) => {}
            (Security::None, Some(_)) => return Err(ConfigError::PinnedForNothing),
            (_, None) => return Err(ConfigError::NotPinned),
            (_, Some(path)) => drop(pinned(path)?),
        }
        if self.security == Security::None && self.user != User::Anonymous {
            return Err(ConfigError::PlainPassword);
        }
        self.user.token().map(drop)
    }
}

impl User {
    /// What is shown to the server.
    pub(super) fn token(&self) -> Result<opcua::client::IdentityToken, ConfigError> {
        use opcua::client::IdentityToken;
        match self {
            Self::Anonymous => Ok(IdentityToken::Anonymous),
            Self::Password { name, file } => {
                Ok(IdentityToken::UserName(name.clone(), password(file)?.into()))
            }
            Self::Certificate { certificate, key } => {
                let (certificate, key) = super::identity::pair(certificate, key)?;
                Ok(IdentityToken::new_x509(certificate, key))
            }
        }
    }
}

/// The first line of a file.
fn password(file: &PathBuf) -> Result<String, ConfigError> {
    let wrong = |reason: String| ConfigError::Password { path: file.display().to_string(), reason };
    let bytes = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if bytes > PASSWORD_BYTES_MAX {
        return Err(wrong(format!("{bytes} bytes, at most {PASSWORD_BYTES_MAX} are read")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    match text.lines().next() {
        None | Some("") => Err(wrong("its first line is empty; write the password there".to_owned())),
        Some(line) => Ok(line.to_owned()),
    }
}

/// `opc.tcp://host:port`, with or without a path.
fn is_endpoint(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("opc.tcp://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let is_text = url.len() <= 512 && !url.chars().any(|c| c.is_control() || c.is_whitespace());
    is_text && host_and_port(authority).is_some()
}

fn point(row: &MappedPoint) -> Result<Tag, (&'static str, String)> {
    let tag: Tag = row.tag.parse().map_err(|error| ("tag", format!("{error}")))?;
    if row.point.quantity == Quantity::SlotEnergy {
        let reason = "energies of quarter-hours are not read over OPC UA, which tells changes only; use MQTT or Modbus";
        return Err(("quantity", reason.to_owned()));
    }
    Ok(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point_map;

    fn config(endpoint: &str) -> OpcUaConfig {
        OpcUaConfig {
            name: "scada".into(),
            endpoint: endpoint.into(),
            security: Security::None,
            server_certificate: None,
            user: User::Anonymous,
            store: "opcua".into(),
            application: "urn:gridflex:riverside".into(),
            period: Duration::from_secs(1),
            timeout: Duration::from_secs(3),
            points: Vec::new(),
        }
    }

    #[test]
    fn every_tag_that_is_no_node_is_named_by_its_line() {
        let text =
            "tag,element,quantity,unit\nns=2;s=U1,bus.1,u,V\nU1,bus.2,u,V\nns=2;s=E,meter.3,energy,kWh\n";
        let bad = OpcUaConfig::points(&point_map::read(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4]);
        assert!(bad[0].reason.contains("ns=2;s=") && bad[1].column == Some("quantity"), "{bad:?}");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        config("opc.tcp://rtu.example:4840/path").check().unwrap();
        for endpoint in
            ["", "rtu:4840", "opc.tcp://rtu", "opc.tcp://:4840", "opc.tcp://rtu:0", "https://rtu:4840"]
        {
            assert!(matches!(config(endpoint).check(), Err(ConfigError::Endpoint(_))), "{endpoint}");
        }
        let good = config("opc.tcp://rtu:4840");
        let encrypted = Security::SignAndEncrypt(Policy::Basic256Sha256);
        for (wrong, what) in [
            (OpcUaConfig { period: Duration::ZERO, ..good.clone() }, "period"),
            (OpcUaConfig { security: encrypted, ..good.clone() }, "server_certificate is missing"),
            (
                OpcUaConfig { server_certificate: Some("a.der".into()), ..good.clone() },
                "would not be looked at",
            ),
            (
                OpcUaConfig { user: User::Password { name: "ada".into(), file: "p".into() }, ..good.clone() },
                "everyone could read",
            ),
            (
                OpcUaConfig {
                    security: encrypted,
                    server_certificate: Some("/no/such.der".into()),
                    ..good.clone()
                },
                "/no/such.der",
            ),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn security_has_the_names_of_the_standard() {
        let named = |policy, mode| Security::named(policy, mode);
        assert_eq!(
            named("Basic256Sha256", "SignAndEncrypt"),
            Ok(Security::SignAndEncrypt(Policy::Basic256Sha256))
        );
        assert_eq!(named("Aes256_Sha256_RsaPss", "Sign"), Ok(Security::Sign(Policy::Aes256Sha256RsaPss)));
        assert_eq!(named("None", "SignAndEncrypt"), Ok(Security::None));
        assert!(named("Basic128Rsa15", "SignAndEncrypt").unwrap_err().contains("none of Basic256Sha256"));
        assert!(named("Basic256Sha256", "None").unwrap_err().contains("neither"));
    }

    #[test]
    fn a_password_is_the_first_line_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "correct horse\nand more\n").unwrap();
        assert_eq!(password(&file).unwrap(), "correct horse");
        std::fs::write(&file, "\n").unwrap();
        assert!(password(&file).unwrap_err().to_string().contains("empty"));
        std::fs::write(&file, vec![b'a'; 2000]).unwrap();
        assert!(password(&file).unwrap_err().to_string().contains("2000 bytes"));
    }
}
