//! Bytes → [`Message`]: total, bounded, and refusing rather than guessing.

use super::reject::{Refusal, RejectCode, Rejected, refuse};
use super::topic::Topic;
use super::{FUTURE_MAX, Message, PAYLOAD_BYTES_MAX, check, telemetry, topic};
use grid::{DeviceId, Timestamp};
use market::{Activation, ActivationStatus, DeviceReport};
use serde::de::DeserializeOwned;

/// Deepest nesting of brackets in any message of ours is 4.
const DEPTH_MAX: usize = 8;

/// Reads one message. A payload is used wholly or not at all.
///
/// # Errors
/// [`Rejected`] with a code, a sentence and the topic. Never panics, whatever the bytes.
pub fn decode(topic: &str, payload: &[u8], received_at: Timestamp) -> Result<Message, Rejected> {
    message(topic, payload, received_at).map_err(|(code, reason)| Rejected::new(topic, code, reason))
}

fn message(topic: &str, payload: &[u8], received_at: Timestamp) -> Result<Message, Refusal> {
    let topic = topic::parse(topic)?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        let reason = format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are accepted", payload.len());
        return refuse(RejectCode::TooLarge, reason);
    }
    if depth(payload) > DEPTH_MAX {
        return refuse(RejectCode::TooDeep, format!("brackets are nested deeper than {DEPTH_MAX}"));
    }
    match topic {
        Topic::Telemetry { last_level } => {
            telemetry::read(last_level, payload, received_at).map(Message::Telemetry)
        }
        Topic::Report(device) => {
            let report: DeviceReport = json(payload)?;
            same_device(device, report.device)?;
            not_ahead("at", report.at, received_at)?;
            check::report(&report)?;
            Ok(Message::Device(report))
        }
        Topic::Status(device) => {
            let status: ActivationStatus = json(payload)?;
            same_device(device, status.device)?;
            not_ahead("at", status.at, received_at)?;
            check::status(&status)?;
            Ok(Message::Status(status))
        }
        Topic::Activation(device) => {
            let activation: Activation = json(payload)?;
            same_device(device, activation.device)?;
            check::activation(&activation)?;
            Ok(Message::Activation(activation))
        }
    }
}

pub(super) fn json<T: DeserializeOwned>(payload: &[u8]) -> Result<T, Refusal> {
    // serde reads structs from arrays too; the convention does not.
    if payload.trim_ascii_start().first() != Some(&b'{') {
        return refuse(RejectCode::Json, "the payload is not a JSON object");
    }
    serde_json::from_slice(payload).map_err(|error| (RejectCode::Json, error.to_string()))
}

pub(super) fn not_ahead(name: &str, time: Timestamp, received_at: Timestamp) -> Result<(), Refusal> {
    if time <= received_at.plus(FUTURE_MAX) {
        return Ok(());
    }
    refuse(
        RejectCode::Time,
        format!("{name} is {time}, more than 5 min after it was received at {received_at}"),
    )
}

fn same_device(topic: DeviceId, payload: DeviceId) -> Result<(), Refusal> {
    if topic == payload {
        return Ok(());
    }
    refuse(RejectCode::Identity, format!("the payload says device {payload}, the topic device {topic}"))
}

/// How deep brackets outside strings are nested.
fn depth(payload: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in payload {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
