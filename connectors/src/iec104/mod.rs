//! IEC 60870-5-104: stations of telecontrol that are listened to, as a controlling station (`docs/iec104.md`).
//!
//! After each connection everything is interrogated, and again period by period, so that what does not change is known to
//! hold. Nothing is ever commanded; only the clock is set where the site's file asks for it. What cannot be known now is told
//! to be missing, once; the last value is never repeated as if it were measured.
//!
//! * `config` says which station and what of it, `tag` how an object is written in a point map;
//! * [`apci`] is the transport's frames and [`session`](self) its numbers and timers, without a socket;
//! * [`asdu`] turns the bytes of a frame into objects, [`cp`](self) time tags into instants, `kind` knows the type ids;
//! * `interrogation` is what is asked for and not answered yet, `point` what of an object is told;
//! * `client` connects, listens, asks and starts again. Why none of it is a library: `docs/adr/0017`.

mod apci;
mod asdu;
mod client;
mod config;
mod cp;
mod interrogation;
mod kind;
mod point;
mod session;
mod tag;
#[cfg(test)]
mod tests;
mod tls;

pub use crate::tls_client::TlsFiles;
pub use apci::{Frame, FrameError, Split, split};
pub use asdu::{Asdu, AsduError, Cause, Flags, Object, Value};
pub use client::connect;
pub use config::{ConfigError, CounterReading, Iec104Config, Timers};
pub use cp::{Tag as TimeTag, resolve};
pub use kind::Kind;
pub use tag::{Address, TagError};
