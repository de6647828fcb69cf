//! The MQTT convention of gridflex itself (`docs/mqtt.md`): topics and JSON payloads ⇄ [`Message`].
//!
//! Pure functions: no network, no clock. Both ends of a link use them, so do all transports.

mod check;
mod decode;
mod encode;
mod points;
mod reject;
mod telemetry;
mod topic;

pub use check::measurement as check_measurement;
pub use decode::decode;
pub use encode::{Packet, encode};
pub use points::Points;
pub use reject::{Refusal, RejectCode, Rejected};
pub(crate) use telemetry::factor as unit_factor;
pub use topic::filters;

use grid::Measurement;
use market::{Activation, ActivationStatus, DeviceReport};

grid::named_id!(
    /// Names a market area; the second level of every topic.
    Area
);

/// Largest payload read or written, bytes.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Most measurements in one payload.
pub const MEASUREMENTS_MAX: usize = 1000;
/// Most slots in one schedule or expectation: a week of quarter-hours.
pub const SLOTS_MAX: usize = 672;
/// How far ahead of our clock a time of measurement or report may lie.
pub const FUTURE_MAX: std::time::Duration = std::time::Duration::from_secs(300);

/// What travels over a link, whichever way.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Values of measurement points. Field → system.
    Telemetry(Vec<Measurement>),
    /// The present state of a device. Field → system.
    Device(DeviceReport),
    /// A device's answer to an activation. Field → system.
    Status(ActivationStatus),
    /// An order to a device. System → field; may arrive more than once, the device obeys once per id.
    Activation(Activation),
}
