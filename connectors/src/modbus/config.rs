//! What is read from which server, and how often.

use super::tag::{Format, Register};
use crate::link::host_and_port;
use crate::point_map::{BadLine, MappedPoint, PointMap};
use grid::Quantity;
use std::time::Duration;
use thiserror::Error;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct ModbusConfig {
    /// What people call it.
    pub name: String,
    /// `host:port`; the port of Modbus is 502.
    pub server: String,
    /// Between two readings of the same point. Readings are made at whole multiples of it since the epoch, so that a period
    /// which divides a quarter-hour reads at its boundaries.
    pub period: Duration,
    /// How long connecting, and one answer, may take.
    pub timeout: Duration,
    /// What is read; no two points alike.
    pub points: Vec<(Register, MappedPoint)>,
}

/// Settings that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// `host:port` is meant.
    #[error("modbus server {0:?} is not host:port; write for example 192.0.2.7:502")]
    Server(String),
    /// Out of range.
    #[error("modbus {name} is {seconds} s, {low} to {high} s is possible")]
    Span {
        /// `period` or `timeout`.
        name: &'static str,
        /// As given.
        seconds: u64,
        /// Least.
        low: u64,
        /// Most.
        high: u64,
    },
}

impl ModbusConfig {
    /// Reads the tags of a point map.
    ///
    /// # Errors
    /// Every line whose tag is no register, or whose energy is no counter.
    pub fn points(map: &PointMap) -> Result<Vec<(Register, MappedPoint)>, Vec<BadLine>> {
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        for row in &map.rows {
            match point(row) {
                Ok(register) => points.push((register, row.clone())),
                Err((column, reason)) => bad.push(BadLine { line: row.line, column: Some(column), reason }),
            }
        }
        if bad.is_empty() { Ok(points) } else { Err(bad) }
    }

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        if host_and_port(&self.server).is_none() {
            return Err(ConfigError::Server(self.server.clone()));
        }
        for (name, span, high) in [("period", self.period, 900), ("timeout", self.timeout, 60)] {
            if span < Duration::from_millis(50) || span > Duration::from_secs(high) {
                return Err(ConfigError::Span { name, seconds: span.as_secs(), low: 1, high });
            }
        }
        Ok(())
    }
}

fn point(row: &MappedPoint) -> Result<Register, (&'static str, String)> {
    let register: Register = row.tag.parse().map_err(|error| ("tag", format!("{error}")))?;
    if row.point.quantity == Quantity::SlotEnergy && !matches!(register.format, Format::Unsigned(_)) {
        let reason = "energy is read from a counter, a whole number without sign: u16, u32 or u64";
        return Err(("tag", reason.to_owned()));
    }
    Ok(register)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point_map;

    #[test]
    fn every_tag_that_is_no_register_is_named_by_its_line() {
        let text = "tag,element,quantity,unit\n1/holding/0/u16,bus.1,u,V\nMeter.U,bus.2,u,V\n1/input/7/f32,meter.3,energy,kWh\n";
        let bad = ModbusConfig::points(&point_map::read(text.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(bad.iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 4]);
        assert!(bad[1].reason.contains("counter"), "{}", bad[1]);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let config = |server: &str, period| ModbusConfig {
            name: "meters".into(),
            server: server.into(),
            period: Duration::from_secs(period),
            timeout: Duration::from_secs(3),
            points: Vec::new(),
        };
        assert_eq!(config("meter.example:502", 5).check(), Ok(()));
        for server in ["", "meter", ":502", "meter:0", "meter:x"] {
            assert!(matches!(config(server, 5).check(), Err(ConfigError::Server(_))), "{server}");
        }
        assert!(config("meter:502", 0).check().unwrap_err().to_string().contains("period"));
    }
}
