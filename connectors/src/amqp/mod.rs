//! AMQP 0.9.1 as a client of a broker: requests come from one queue, replies go to the queue that each request names.
//!
//! ```text
//!   queue ─► deliver ─► read ─► services ─► reply, confirmed by the broker ─► acknowledge
//! ```
//!
//! * `wire`: the bytes, pure functions; `session`: the protocol without a socket;
//! * `request`: the JSON of requests and replies; `client`: the connection, and that it comes back.
//!
//! A request is acknowledged when its reply is at the broker, which is after what it causes lasts. Whatever breaks before, the
//! request comes again, and answering it again changes nothing.

mod client;
mod config;
mod request;
mod session;
mod wire;

pub use crate::tls_client::TlsFiles;
pub use client::{Answering, Services, Waiting, open};
pub use config::{AmqpConfig, ConfigError};
pub use request::{Answer, Request};

/// Reads any bytes as frames of a broker, and as the body of a request.
pub(crate) fn read_any(bytes: &[u8]) {
    let mut rest = bytes;
    let mut properties = wire::Properties::default();
    while let Ok(Some((frame, length))) = wire::split(rest, 1 << 17) {
        match frame.kind {
            wire::CONTENT => properties = wire::content(frame.payload).map_or(properties, |(_, found)| found),
            wire::BODY => answer(properties.clone(), frame.payload),
            _ => {}
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    answer(properties, bytes);
}

fn answer(properties: wire::Properties, body: &[u8]) {
    let (requestor, request) = request::read(properties, body);
    let refused = request.err().map(|reason| Answer::refused(400, "request", &reason));
    let _ = requestor.reply(&refused.unwrap_or(Answer { status: 200, result: serde_json::Value::Null }));
}
