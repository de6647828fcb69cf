//! Ports for the servers of a test, chosen before the servers are started.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below those that systems give to outgoing connections (Linux: from 32768): none of them takes a port before its server
/// listens on it.
const FIRST: u32 = 16_384;
const COUNT: u32 = 16_384;

/// A port that is free, and that this process was not given before. Processes that run side by side begin at different places.
///
/// # Panics
/// When none is free.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id() % 256 * (COUNT / 256);
    let ports = std::iter::repeat_with(|| FIRST + (begin + GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.take(COUNT as usize).map(|port| port as u16).find(free).expect("a free port")
}
