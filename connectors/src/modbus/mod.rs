//! Modbus, over TCP and on serial lines: meters and controllers that are asked (`docs/modbus.md`).
//!
//! A [`connect`]ed server is read period by period, along a plan of few requests. What cannot be read now is told to be
//! missing, once; the last value is never repeated as if it were measured. Nothing is ever written.
//!
//! * `config` says what is read, `tag` how a register is written in a point map, `plan` how few requests read them all;
//! * `decode` turns registers into numbers;
//! * `address` says where is asked, `connection` asks there: over Modbus TCP, or as `rtu` frames on a `line` with its turns and pauses, which
//!   is a `serial` one or stands behind a gateway;
//! * `client` connects, asks, waits and starts again.

mod address;
mod client;
mod config;
mod connection;
mod decode;
mod line;
mod plan;
mod rtu;
mod serial;
mod tag;

pub use address::{Parity, SerialLine, Server, ServerError};
pub use client::connect;
pub use config::{ConfigError, ModbusConfig};
pub use decode::{Number, decode};
pub(crate) use rtu::read_any;
pub use tag::{Format, Order, Register, Table, TagError};
