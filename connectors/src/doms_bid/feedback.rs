//! What the market's side answers to a bid: accepted with the schedule that was bought, or rejected.

use super::{DomsBidError, MESSAGE_BYTES_MAX, kilowatt_hours, number, start_slot};
use grid::{EnergyMwh, Slot};
use market::BidId;
use serde::{Deserialize, Serialize};

/// The answer to a bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// To which bid.
    pub bid: BidId,
    /// Deviation bought for it per slot, mWh, positive is taken; `None` when nothing was.
    pub bought: Option<(Slot, Vec<EnergyMwh>)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "OfferId")]
    offer_id: BidId,
    #[serde(rename = "Accepted")]
    accepted: bool,
    #[serde(rename = "StartTime", default, skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(rename = "ScheduleChange", default, skip_serializing_if = "Vec::is_empty")]
    schedule_change: Vec<f64>,
}

/// Writes an answer; its schedule change has the sign of Table 1.
pub fn encode_feedback(feedback: &Feedback) -> String {
    let bought = feedback.bought.as_ref();
    let wire = Wire {
        offer_id: feedback.bid.clone(),
        accepted: bought.is_some(),
        start_time: bought.map(|(start, _)| start.start().to_string()),
        schedule_change: bought
            .map_or(Vec::new(), |(_, energies)| energies.iter().map(|e| kilowatt_hours(-*e)).collect()),
    };
    serde_json::to_string(&wire).unwrap_or_default()
}

/// Reads an answer.
pub fn decode_feedback(text: &[u8]) -> Result<Feedback, DomsBidError> {
    if text.len() > MESSAGE_BYTES_MAX {
        return Err(DomsBidError::TooLarge { bytes: text.len() });
    }
    let json = |reason: String| DomsBidError::Json { reason };
    let wire: Wire = serde_json::from_slice(text).map_err(|error| json(error.to_string()))?;
    let bought = match (wire.accepted, wire.start_time) {
        (true, Some(start)) => {
            let mut energies = Vec::with_capacity(wire.schedule_change.len());
            for (index, &change) in wire.schedule_change.iter().enumerate() {
                let change = number("ScheduleChange", index, change, -1e9..=1e9)?;
                energies.push(EnergyMwh(-((change * 1e6).round() as i64)));
            }
            Some((start_slot(&start)?, energies))
        }
        (false, None) if wire.schedule_change.is_empty() => None,
        _ => return Err(json("an accepted bid has a schedule, a rejected one has none".to_owned())),
    };
    Ok(Feedback { bid: wire.offer_id, bought })
}
