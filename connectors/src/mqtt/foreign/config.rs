//! Which broker is listened to, how, and what is read there.

use super::tag::{Tag, check_pointer};
use super::tls;
use crate::link::host_and_port;
use crate::point_map::{BadLine, MappedPoint, PointMap};
use grid::Quantity;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Settings of one broker.
#[derive(Debug, Clone, PartialEq)]
pub struct BrokerConfig {
    /// What people call it; also in the client id, `gridflex-<name>`.
    pub name: String,
    /// `host:port`; usually 1883, with TLS 8883.
    pub server: String,
    /// With TLS; without it everybody on the way can read and write.
    pub tls: Option<BrokerTls>,
    /// A name, and the file in whose first line its password stands.
    pub user: Option<(String, PathBuf)>,
    /// Where in a payload its time stands, a JSON pointer; without one a value was measured when it was received.
    pub time: Option<String>,
    /// A point of which nothing came for so long is missing.
    pub silence: Duration,
    /// Whether nothing is sent, not even to ask a node of Sparkplug B what it has.
    pub listen_only: bool,
    /// What is read; no two points alike.
    pub points: Vec<(Tag, MappedPoint)>,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerTls {
    /// PEM file of the authority that signed the broker's certificate.
    pub authority: PathBuf,
    /// The name in its certificate, where that is not the host.
    pub name: Option<String>,
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `host:port` is meant.
    #[error("broker server {0:?} is not host:port; write for example broker.example:8883")]
    Server(String),
    /// A client id that some broker would refuse.
    #[error("broker name: {0}")]
    Name(#[from] grid::IdError),
    /// A password that everybody on the way could read.
    #[error(
        "broker user: {0:?} would send its password unencrypted to another machine; name the authority for TLS"
    )]
    Unencrypted(String),
    /// No JSON pointer.
    #[error("broker time: {0}")]
    Time(String),
    /// Out of range.
    #[error("broker silent_s is {0} s, 1 to 86400 s is possible")]
    Silence(u64),
    /// The files of TLS.
    #[error("broker {name}: {reason}")]
    Tls {
        /// Which key.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl BrokerConfig {
    /// Reads the tags of a point map.
    ///
    /// # Errors
    /// Every line whose tag is none, or which is an energy.
    pub fn points(map: &PointMap) -> Result<Vec<(Tag, MappedPoint)>, Vec<BadLine>> {
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        for row in &map.rows {
            let read = match row.point.quantity {
                Quantity::SlotEnergy => {
                    let reason =
                        "energies are not read from brokers: nobody says which quarter-hour they are of";
                    Err(("quantity", reason.to_owned()))
                }
                _ => row.tag.parse().map_err(|error: super::TagError| ("tag", error.to_string())),
            };
            match read {
                Ok(tag) => points.push((tag, row.clone())),
                Err((column, reason)) => bad.push(BadLine { line: row.line, column: Some(column), reason }),
            }
        }
        if bad.is_empty() { Ok(points) } else { Err(bad) }
    }

    pub(super) fn host(&self) -> &str {
        host_and_port(&self.server).map_or("", |(host, _)| host)
    }

    pub(super) fn client_id(&self) -> String {
        format!("gridflex-{}", self.name)
    }

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if host_and_port(&self.server).is_none() {
            return Err(ConfigError::Server(self.server.clone()));
        }
        grid::id::check_name(&self.client_id())?;
        let is_near = self.host() == "localhost"
            || self.host().trim_matches(['[', ']']).parse().is_ok_and(|host: IpAddr| host.is_loopback());
        if let Some((user, _)) = &self.user
            && self.tls.is_none()
            && !is_near
        {
            return Err(ConfigError::Unencrypted(user.clone()));
        }
        self.time.as_deref().map_or(Ok(()), check_pointer).map_err(ConfigError::Time)?;
        if self.silence < Duration::from_secs(1) || self.silence > Duration::from_secs(86_400) {
            return Err(ConfigError::Silence(self.silence.as_secs()));
        }
        tls::connector(self).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point_map;

    fn config(server: &str) -> BrokerConfig {
        BrokerConfig {
            name: "homes".into(),
            server: server.into(),
            tls: None,
            user: None,
            time: None,
            silence: Duration::from_secs(300),
            listen_only: false,
            points: Vec::new(),
        }
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        assert_eq!(config("broker.example:1883").check(), Ok(()));
        let said = |config: BrokerConfig| config.check().unwrap_err().to_string();
        assert!(said(config("broker.example")).contains("host:port"));
        let user = Some(("meter".to_owned(), PathBuf::from("password")));
        assert!(
            said(BrokerConfig { user: user.clone(), ..config("192.0.2.7:1883") }).contains("unencrypted")
        );
        for near in ["localhost:1883", "127.0.0.1:1883", "[::1]:1883"] {
            assert_eq!(BrokerConfig { user: user.clone(), ..config(near) }.check(), Ok(()), "{near}");
        }
        assert!(said(BrokerConfig { name: "a b".into(), ..config("b:1") }).contains("name"));
        assert!(said(BrokerConfig { time: Some("ts".into()), ..config("b:1") }).contains("JSON pointer"));
        assert!(said(BrokerConfig { silence: Duration::ZERO, ..config("b:1") }).contains("silent_s"));
        let tls = Some(BrokerTls { authority: "none.pem".into(), name: None });
        assert!(said(BrokerConfig { tls, ..config("b:1") }).contains("none.pem"));
    }

    #[test]
    fn every_line_that_is_no_topic_or_an_energy_is_named() {
        let text =
            "tag,element,quantity,unit\nplug/3#/u,bus.1,u,V\nplug/+,bus.2,u,V\nplug/3/e,meter.3,energy,kWh\n";
        let bad = BrokerConfig::points(&point_map::read(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(
            bad.iter().map(|bad| (bad.line, bad.column)).collect::<Vec<_>>(),
            [(3, Some("tag")), (4, Some("quantity"))]
        );
    }
}
