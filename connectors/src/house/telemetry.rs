//! The telemetry payload: one reading, or up to a thousand.

use super::MEASUREMENTS_MAX;
use super::reject::{Refusal, RejectCode, refuse};
use grid::{Measurement, PointId, Quality, Quantity, Timestamp};
use serde::{Deserialize, Serialize};

/// One reading as written; `point` may stand in the topic instead.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    point: Option<String>,
    value: f64,
    unit: String,
    measured_at: Option<String>,
    quality: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Batch {
    measurements: Vec<Reading>,
}

#[derive(Serialize)]
struct ReadingOut {
    point: PointId,
    value: f64,
    unit: &'static str,
    measured_at: Timestamp,
    quality: Quality,
}

#[derive(Serialize)]
struct BatchOut {
    measurements: Vec<ReadingOut>,
}

pub(super) fn read(
    last_level: &str,
    payload: &[u8],
    received_at: Timestamp,
) -> Result<Vec<Measurement>, Refusal> {
    if is_batch(payload) {
        let batch: Batch = super::decode::json(payload)?;
        let count = batch.measurements.len();
        if count == 0 || count > MEASUREMENTS_MAX {
            let reason = format!("measurements has {count} entries, 1 to {MEASUREMENTS_MAX} are accepted");
            return refuse(RejectCode::TooLarge, reason);
        }
        let entry = |(place, reading): (usize, Reading)| {
            measurement(reading, None, received_at)
                .map_err(|(code, reason)| (code, format!("entry {}: {reason}", place + 1)))
        };
        batch.measurements.into_iter().enumerate().map(entry).collect()
    } else {
        let reading: Reading = super::decode::json(payload)?;
        Ok(vec![measurement(reading, last_level.parse().ok(), received_at)?])
    }
}

/// Whether the object's first key is `measurements`; it decides which fields are expected.
fn is_batch(payload: &[u8]) -> bool {
    let rest = payload.trim_ascii_start();
    let Some(rest) = rest.strip_prefix(b"{") else { return false };
    rest.trim_ascii_start().starts_with(b"\"measurements\"")
}

fn measurement(
    reading: Reading,
    topic_point: Option<PointId>,
    received_at: Timestamp,
) -> Result<Measurement, Refusal> {
    let point = match (reading.point, topic_point) {
        (Some(text), topic_point) => {
            let point: PointId = text.parse().map_err(|error| (RejectCode::Point, format!("{error}")))?;
            match topic_point {
                Some(other) if other != point => {
                    let reason = format!("the payload says {point}, the topic {other}");
                    return refuse(RejectCode::Identity, reason);
                }
                _ => point,
            }
        }
        (None, Some(point)) => point,
        (None, None) => {
            return refuse(RejectCode::Point, "neither the payload nor the topic's last level names a point");
        }
    };
    let quality = quality(reading.quality.as_deref())?;
    let measured_at = match reading.measured_at {
        Some(text) => text.parse().map_err(|error| (RejectCode::Time, format!("measured_at: {error}")))?,
        None if point.quantity == Quantity::SlotEnergy => {
            return refuse(RejectCode::Time, format!("{point} needs measured_at, the end of its slot"));
        }
        None => received_at,
    };
    super::decode::not_ahead("measured_at", measured_at, received_at)?;
    let value = reading.value * factor(point.quantity, &reading.unit)?;
    let measurement = Measurement { point, value, quality, measured_at, received_at };
    super::check::measurement(&measurement)?;
    Ok(measurement)
}

fn quality(word: Option<&str>) -> Result<Quality, Refusal> {
    match word {
        None | Some("measured") => Ok(Quality::Measured),
        Some("estimated") => Ok(Quality::Estimated),
        Some("substituted") => Ok(Quality::Substituted),
        Some(other) => refuse(
            RejectCode::Quality,
            format!("quality is {:.40?}, one of measured, estimated, substituted is accepted", other),
        ),
    }
}

/// What one of `unit` is in the base unit of the quantity.
pub(crate) fn factor(quantity: Quantity, unit: &str) -> Result<f64, Refusal> {
    let (small, large, huge) = match quantity {
        Quantity::VoltageMagnitude => ("V", "kV", ""),
        Quantity::CurrentMagnitude => ("A", "kA", ""),
        Quantity::ActivePower => ("W", "kW", "MW"),
        Quantity::ReactivePower => ("var", "kvar", "Mvar"),
        Quantity::SlotEnergy => ("Wh", "kWh", "MWh"),
    };
    match unit {
        _ if unit == small => Ok(1.0),
        _ if unit == large => Ok(1e3),
        _ if unit == huge && !huge.is_empty() => Ok(1e6),
        _ => {
            let known =
                [small, large, huge].into_iter().filter(|u| !u.is_empty()).collect::<Vec<_>>().join(", ");
            refuse(RejectCode::Unit, format!("unit is {unit:.40?}, {known} belong to {}", quantity.word()))
        }
    }
}

/// The payload of at most [`MEASUREMENTS_MAX`] values.
pub(super) fn write(values: &[Measurement]) -> Result<Vec<u8>, serde_json::Error> {
    let out = |value: &Measurement| ReadingOut {
        point: value.point,
        value: value.value,
        unit: value.point.quantity.unit(),
        measured_at: value.measured_at,
        quality: value.quality,
    };
    match values {
        [one] => serde_json::to_vec(&out(one)),
        many => serde_json::to_vec(&BatchOut { measurements: many.iter().map(out).collect() }),
    }
}
