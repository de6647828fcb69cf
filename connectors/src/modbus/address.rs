//! Where registers are asked for: `host:port` over Modbus TCP, `rtu+tcp://host:port` behind a gateway that passes on the bytes
//! of a serial line, `serial:/dev/ttyUSB0,9600,8E1` on such a line itself.

use crate::link::host_and_port;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use thiserror::Error;

/// Speeds of a line, bits per second.
const SPEEDS: &[u32] = &[1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200];

/// Where to ask, and how bytes are packed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Modbus TCP, `host:port`.
    Tcp(String),
    /// Modbus RTU through a TCP connection, `host:port`.
    RtuOverTcp(String),
    /// Modbus RTU on a serial line.
    Serial(SerialLine),
}

/// A serial line. A character is always 8 bits: Modbus RTU has no other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerialLine {
    /// The device, an absolute path.
    pub device: PathBuf,
    /// Bits per second.
    pub speed: u32,
    /// Which bit follows the eight.
    pub parity: Parity,
    /// One stop bit or two.
    pub two_stop_bits: bool,
}

/// The bit that makes the number of ones even or odd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parity {
    /// There is none.
    None,
    /// What the standard asks for.
    Even,
    /// The other one.
    Odd,
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}; write host:port, rtu+tcp://host:port, or serial:device,speed,8E1")]
pub struct ServerError(String);

impl SerialLine {
    /// How long one character is on its way.
    pub fn character(&self) -> Duration {
        let bits = 9 + u32::from(self.parity != Parity::None) + 1 + u32::from(self.two_stop_bits);
        Duration::from_nanos(u64::from(bits) * 1_000_000_000 / u64::from(self.speed.max(1)))
    }
}

impl Server {
    /// What only one may ask at a time: the device, or the gateway. Modbus TCP tells answers apart by their numbers.
    pub fn line(&self) -> Option<String> {
        match self {
            Server::Tcp(_) => None,
            Server::RtuOverTcp(server) => Some(server.clone()),
            Server::Serial(line) => Some(line.device.display().to_string()),
        }
    }
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if let Some(line) = text.strip_prefix("serial:") {
            return serial(line).map(Server::Serial).map_err(ServerError);
        }
        let (rtu, address) = match text.strip_prefix("rtu+tcp://") {
            Some(address) => (true, address),
            None => (false, text),
        };
        if host_and_port(address).is_none() || address.contains('/') {
            return Err(ServerError(format!("{address:.80?} is not host:port")));
        }
        let address = address.to_owned();
        Ok(if rtu { Server::RtuOverTcp(address) } else { Server::Tcp(address) })
    }
}

fn serial(text: &str) -> Result<SerialLine, String> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let [device, speed, frame] = parts[..] else {
        return Err(format!("{text:.80?} is not device,speed,frame, as in /dev/ttyUSB0,9600,8E1"));
    };
    if !device.starts_with('/') || device.contains('\0') {
        return Err(format!("{device:.80?} is no absolute path of a device, as /dev/ttyUSB0 is"));
    }
    let speed = speed.parse().ok().filter(|speed| SPEEDS.contains(speed));
    let speed =
        speed.ok_or_else(|| format!("the speed of a line is one of {SPEEDS:?}, in bits per second"))?;
    let (parity, two_stop_bits) = match frame {
        "8E1" => (Parity::Even, false),
        "8O1" => (Parity::Odd, false),
        "8N1" => (Parity::None, false),
        "8N2" => (Parity::None, true),
        "8E2" => (Parity::Even, true),
        "8O2" => (Parity::Odd, true),
        _ => return Err(format!("{frame:.20?} is none of 8E1, 8O1, 8N1, 8N2, 8E2, 8O2")),
    };
    Ok(SerialLine { device: device.into(), speed, parity, two_stop_bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_ways_of_asking_are_told_apart() {
        assert_eq!("192.0.2.7:502".parse(), Ok(Server::Tcp("192.0.2.7:502".into())));
        assert_eq!("rtu+tcp://gw.example:4001".parse(), Ok(Server::RtuOverTcp("gw.example:4001".into())));
        let line = SerialLine {
            device: "/dev/ttyUSB0".into(),
            speed: 9_600,
            parity: Parity::Even,
            two_stop_bits: false,
        };
        assert_eq!("serial:/dev/ttyUSB0,9600,8E1".parse(), Ok(Server::Serial(line.clone())));
        assert_eq!("serial:/dev/ttyUSB0, 9600, 8E1".parse(), Ok(Server::Serial(line.clone())));
        assert_eq!(line.character(), Duration::from_nanos(1_145_833), "11 bits at 9600");
        assert_eq!(Server::Serial(line).line().as_deref(), Some("/dev/ttyUSB0"));
    }

    #[test]
    fn what_is_no_server_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "not host:port"),
            ("meter", "not host:port"),
            ("tcp://meter:502", "not host:port"),
            ("rtu+tcp://meter", "not host:port"),
            ("serial:/dev/ttyUSB0", "not device,speed,frame"),
            ("serial:COM3,9600,8E1", "absolute path"),
            ("serial:/dev/ttyUSB0,9601,8E1", "one of [1200"),
            ("serial:/dev/ttyUSB0,9600,7E1", "none of 8E1"),
        ] {
            let said = text.parse::<Server>().unwrap_err().to_string();
            assert!(said.contains(reason) && said.contains("write host:port"), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text in "(serial:|rtu\\+tcp://)?[/a-z0-9,:EN]{0,40}") {
            let _ = text.parse::<Server>();
        }
    }
}
