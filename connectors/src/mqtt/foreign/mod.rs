//! Brokers of others that are listened to: topics and payloads as they are there ([docs/broker.md](../../../docs/broker.md)).
//!
//! A point map says which topic is which point, and where in a JSON payload its value stands, or which metric of Sparkplug B. It subscribes to
//! those topics and publishes nothing, but that it asks nodes of Sparkplug B to be born again. Values come with quality of service 1; what was published while the connection was away is not asked for.

mod client;
mod config;
mod decode;
mod sparkplug;
mod tag;
mod tls;

pub use client::connect;
pub use config::{BrokerConfig, BrokerTls, ConfigError};
pub use sparkplug::{EdgeNode, MetricTag};
pub use tag::{PayloadTag, Row, Tag, TagError};

use grid::{Slot, Timestamp};

/// Reads any bytes as a tag in the first line, and what follows as a payload that it looks into.
pub(crate) fn read_any(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (tag, rest) = bytes.split_at_checked(line).unwrap_or_default();
    let Ok(tag) = String::from_utf8_lossy(tag).parse::<Tag>() else { return };
    let tag = match tag {
        Tag::Payload(tag) => tag,
        Tag::Metric(tag) => {
            return sparkplug::read_any(&tag, rest.get(1..).unwrap_or_default(), Slot(1_965_170).start());
        }
    };
    let Ok(payload) = decode::payload(rest.get(1..).unwrap_or_default()) else { return };
    let now: Timestamp = Slot(1_965_170).start();
    let _ = decode::value(&payload, &tag.pointer);
    let _ = decode::time(&payload, &tag.pointer, now);
    if let Some(row) = &tag.row {
        for found in decode::rows(&payload, &row.key).remove(&row.id).unwrap_or_default() {
            let _ = (decode::value(found, &tag.pointer), decode::time(found, "/observed_timestamp", now));
        }
    }
}
