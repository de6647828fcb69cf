//! [`Message`] → bytes, under the same checks as the way back.

use super::reject::{RejectCode, Rejected};
use super::{Area, MEASUREMENTS_MAX, Message, check, telemetry, topic};

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Where to.
    pub topic: String,
    /// JSON.
    pub payload: Vec<u8>,
}

/// Writes one message; telemetry of more than [`MEASUREMENTS_MAX`] values becomes several packets, of no value
/// none.
///
/// # Errors
/// [`Rejected`] when the other side would have to refuse it (NaN, a schedule without slots, …).
pub fn encode(area: &Area, message: &Message) -> Result<Vec<Packet>, Rejected> {
    let topic = topic::of(area, message);
    let refused = |(code, reason): (RejectCode, String)| Rejected::new(&topic, code, reason);
    let unwritable = |error: serde_json::Error| Rejected::new(&topic, RejectCode::Json, error.to_string());
    let payload = match message {
        Message::Telemetry(values) => {
            for value in values {
                check::measurement(value).map_err(refused)?;
            }
            let packet = |values| {
                let payload = telemetry::write(values).map_err(unwritable)?;
                Ok(Packet { topic: topic.clone(), payload })
            };
            return values.chunks(MEASUREMENTS_MAX).map(packet).collect();
        }
        Message::Device(report) => {
            check::report(report).map_err(refused)?;
            serde_json::to_vec(report)
        }
        Message::Status(status) => {
            check::status(status).map_err(refused)?;
            serde_json::to_vec(status)
        }
        Message::Activation(activation) => {
            check::activation(activation).map_err(refused)?;
            serde_json::to_vec(activation)
        }
    };
    Ok(vec![Packet { payload: payload.map_err(unwritable)?, topic }])
}
