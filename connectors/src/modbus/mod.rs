//! Modbus TCP: meters and controllers that are asked (`docs/modbus.md`).
//!
//! A [`connect`]ed server is read period by period, along a plan of few requests. What cannot be read now is told to be
//! missing, once; the last value is never repeated as if it were measured. Nothing is ever written.
//!
//! * `config` says what is read, `tag` how a register is written in a point map, `plan` how few requests read them all;
//! * `decode` turns registers into numbers;
//! * `client` connects, asks, waits and starts again.

mod client;
mod config;
mod decode;
mod plan;
mod tag;

pub use client::connect;
pub use config::{ConfigError, ModbusConfig};
pub use decode::{Number, decode};
pub use tag::{Format, Order, Register, Table, TagError};
