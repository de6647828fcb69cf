//! Both sides of acquisition joined by a real door over TLS: the operator's client and the platform's intake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // a test

#[cfg(feature = "postgres")]
mod database;
mod files;
mod platform;
#[path = "../../../tests/harness/port.rs"]
mod port;
#[cfg(feature = "postgres")]
mod server;

use port::free_port;
