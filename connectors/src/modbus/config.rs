//! What is read from which server, and how often.

use super::address::{Server, ServerError};
use super::tag::{Format, Register};
use crate::point_map::{BadLine, MappedPoint, PointMap};
use grid::Quantity;
use std::time::Duration;
use thiserror::Error;

/// Settings of one server.
#[derive(Debug, Clone, PartialEq)]
pub struct ModbusConfig {
    /// What people call it.
    pub name: String,
    /// `host:port`, where the port of Modbus is 502, `rtu+tcp://host:port` or `serial:device,speed,8E1`.
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
    /// Neither an address nor a line.
    #[error("modbus server: {0}")]
    Server(#[from] ServerError),
    /// On a line 0 is told to all, who do not answer, and 248 to 255 are reserved.
    #[error("modbus: line {line} of the point map asks unit {unit}, on a serial line there are 1 to 247")]
    Unit {
        /// In the point map.
        line: u64,
        /// As given.
        unit: u8,
    },
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

    /// Where and how it is asked.
    ///
    /// # Errors
    /// [`ConfigError::Server`].
    pub fn address(&self) -> Result<Server, ConfigError> {
        Ok(self.server.parse()?)
    }

    /// Checks what can be checked without connecting.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting.
    pub fn check(&self) -> Result<(), ConfigError> {
        let is_line = self.address()?.line().is_some();
        let none = |(register, _): &&(Register, MappedPoint)| !(1..=247).contains(&register.unit);
        if let Some((register, mapped)) = self.points.iter().find(none).filter(|_| is_line) {
            return Err(ConfigError::Unit { line: mapped.line, unit: register.unit });
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
        let text = "tag,element,quantity,unit\n247/input/0/u16,bus.1,u,V\n248/input/0/u16,bus.2,u,V\n";
        let points = ModbusConfig::points(&point_map::read(text.as_bytes()).unwrap()).unwrap();
        let of = |server| ModbusConfig { points: points.clone(), ..config(server, 5) }.check();
        assert_eq!(of("meter:502"), Ok(()), "over TCP it is the server's business");
        assert_eq!(of("rtu+tcp://meter:502"), Err(ConfigError::Unit { line: 3, unit: 248 }));
    }
}
