//! Which station is listened to, what is asked of it, and what of it is wanted.

use super::tag::Address;
use crate::link::host_and_port;
use crate::point_map::{BadLine, MappedPoint, PointMap};
use crate::tls_client::TlsFiles;
use std::time::Duration;
use thiserror::Error;

/// Settings of one station, or of one gateway to several.
#[derive(Debug, Clone, PartialEq)]
pub struct Iec104Config {
    /// What people call it.
    pub name: String,
    /// `host:port`; the port of IEC 60870-5-104 is 2404, with TLS 19998.
    pub server: String,
    /// Who we are in its eyes: our originator address, 0 for nobody in particular.
    pub originator: u8,
    /// Between two general interrogations. What does not change is known to hold only since the last one.
    pub period: Duration,
    /// How counters are read, if any is wanted.
    pub counters: CounterReading,
    /// Whether the station's clock is set by ours, after each connection and every hour.
    pub set_clock: bool,
    /// How far the station's clock is ahead of UTC in winter, minutes; 0 for a clock that shows UTC.
    pub utc_offset_minutes: i32,
    /// Windows and timers of the transport.
    pub timers: Timers,
    /// TLS, when it is wanted.
    pub tls: Option<TlsFiles>,
    /// What is listened to; no two points alike.
    pub points: Vec<(Address, MappedPoint)>,
}

/// How counters are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CounterReading {
    /// Between two counter interrogations; they are made at whole multiples of it since the epoch, so that a period which
    /// divides a quarter-hour reads at its boundaries.
    pub period: Duration,
    /// Whether the station is asked to freeze them for it (without reset). For stations that send frozen counts only.
    pub freeze: bool,
}

/// Windows and timers, by their names in the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Connecting may take this long.
    pub t0: Duration,
    /// An answer may take this long.
    pub t1: Duration,
    /// An acknowledgement waits at most this long for data to go with.
    pub t2: Duration,
    /// After so much silence the other side is asked whether it is there.
    pub t3: Duration,
    /// Frames of ours that may be unacknowledged.
    pub k: u16,
    /// Frames after which we acknowledge.
    pub w: u16,
}

impl Default for Timers {
    /// As the standard proposes; connecting waits 10 s instead of 30 s.
    fn default() -> Self {
        let [t0, t1, t2, t3] = [10, 15, 10, 20].map(Duration::from_secs);
        Self { t0, t1, t2, t3, k: 12, w: 8 }
    }
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `host:port` is meant.
    #[error("iec104 server {0:?} is not host:port; write for example 192.0.2.7:2404")]
    Server(String),
    /// Out of range.
    #[error("iec104 {name} is {found}, {low} to {high} is possible")]
    Range {
        /// The key in the site's file.
        name: &'static str,
        /// As given.
        found: String,
        /// Least.
        low: &'static str,
        /// Most.
        high: &'static str,
    },
    /// We would acknowledge too late.
    #[error("iec104 t2_s is not shorter than t1_s, so the station would hang up before we acknowledge")]
    LateAcknowledgement,
    /// A certificate or key.
    #[error("iec104 {name}: {reason}")]
    Tls {
        /// The key in the site's file.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
}

impl Iec104Config {
    /// Settings of a station, with everything else as it is when nothing is said.
    pub fn new(
        name: impl Into<String>,
        server: impl Into<String>,
        points: Vec<(Address, MappedPoint)>,
    ) -> Self {
        Self {
            name: name.into(),
            server: server.into(),
            originator: 0,
            period: Duration::from_secs(25),
            counters: CounterReading { period: Duration::from_secs(60), freeze: false },
            set_clock: false,
            utc_offset_minutes: 0,
            timers: Timers::default(),
            tls: None,
            points,
        }
    }

    /// Reads the tags of a point map.
    ///
    /// # Errors
    /// Every line whose tag is no object.
    pub fn points(map: &PointMap) -> Result<Vec<(Address, MappedPoint)>, Vec<BadLine>> {
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        let mut lines = std::collections::BTreeMap::new();
        for row in &map.rows {
            let mut note = |reason| bad.push(BadLine { line: row.line, column: Some("tag"), reason });
            match row.tag.parse::<Address>() {
                // Two ways to write one address are two tags to the point map.
                Ok(address) => match lines.insert(address, row.line) {
                    None => points.push((address, row.clone())),
                    Some(first) => note(format!("{address} stands in line {first} already")),
                },
                Err(error) => note(error.to_string()),
            }
        }
        if bad.is_empty() { Ok(points) } else { Err(bad) }
    }

    /// Checks what can be checked without connecting; certificates are read.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if host_and_port(&self.server).is_none() {
            return Err(ConfigError::Server(self.server.clone()));
        }
        let Timers { t0, t1, t2, t3, k, w } = self.timers;
        for (name, span, high, most) in [
            ("period_s", self.period, "900", 900),
            ("counter_period_s", self.counters.period, "900", 900),
            ("timeout_s", t0, "60", 60),
            ("t1_s", t1, "255", 255),
            ("t2_s", t2, "255", 255),
            ("t3_s", t3, "172800", 172_800),
        ] {
            if span < Duration::from_millis(50) || span > Duration::from_secs(most) {
                return Err(ConfigError::Range { name, found: format!("{span:?}"), low: "0.05", high });
            }
        }
        for (name, window) in [("k", k), ("w", w)] {
            if window == 0 || window > 32_767 {
                return Err(ConfigError::Range { name, found: window.to_string(), low: "1", high: "32767" });
            }
        }
        if self.utc_offset_minutes.abs() > 14 * 60 {
            let found = self.utc_offset_minutes.to_string();
            return Err(ConfigError::Range { name: "utc_offset_min", found, low: "-840", high: "840" });
        }
        if t2 >= t1 {
            return Err(ConfigError::LateAcknowledgement);
        }
        super::tls::connector(self).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point_map;

    #[test]
    fn every_tag_that_is_no_object_is_named_by_its_line() {
        let text = "tag,element,quantity,unit\nca=1 ioa=7,bus.1,u,V\n4001,bus.2,u,V\nca=1 ioa=9,meter.3,energy,kWh\nioa=7 ca=1,bus.4,u,V\n";
        let bad = Iec104Config::points(&point_map::read(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 5]);
        assert!(bad[0].to_string().contains("for example ca=1 ioa=4001"), "{}", bad[0]);
        assert!(bad[1].to_string().contains("line 2 already"), "{}", bad[1]);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let good = Iec104Config::new("rtu", "rtu.example:2404", Vec::new());
        assert_eq!(good.check(), Ok(()));
        for server in ["", "rtu", ":2404", "rtu:0", "rtu:x"] {
            let config = Iec104Config { server: server.into(), ..good.clone() };
            assert!(matches!(config.check(), Err(ConfigError::Server(_))), "{server}");
        }
        let said = |config: Iec104Config| config.check().unwrap_err().to_string();
        assert!(said(Iec104Config { period: Duration::ZERO, ..good.clone() }).contains("period_s"));
        assert!(said(Iec104Config { utc_offset_minutes: 900, ..good.clone() }).contains("utc_offset_min"));
        let timers = Timers { t2: Duration::from_secs(15), ..Timers::default() };
        assert!(said(Iec104Config { timers, ..good.clone() }).contains("t2_s"));
        let timers = Timers { w: 0, ..Timers::default() };
        assert!(said(Iec104Config { timers, ..good.clone() }).contains("iec104 w is 0"));
        let tls = Some(TlsFiles { authority: "absent.pem".into(), name: None, own: None });
        assert!(said(Iec104Config { tls, ..good }).contains("authority: absent.pem"));
    }
}
