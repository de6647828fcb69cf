//! Which measurement points a sender may speak of.

use super::Message;
use super::reject::{Refusal, RejectCode, refuse};
use grid::PointId;
use std::sync::Arc;

const ELEMENTS: [&str; 4] = ["bus", "branch", "meter", "device"];

/// A set of measurement points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points(Option<Arc<[String]>>);

impl Points {
    /// All of them.
    pub fn all() -> Self {
        Self(None)
    }

    /// Reads patterns: a point (`device.121.energy`), an element (`device.121`), all elements of a kind (`bus.*`), or
    /// everything (`*`). Without any it is the empty set.
    ///
    /// # Errors
    /// A sentence that names the pattern and what is possible.
    pub fn read(patterns: &[String]) -> Result<Self, String> {
        for pattern in patterns {
            let kind = pattern.strip_suffix(".*").is_some_and(|word| ELEMENTS.contains(&word));
            let element = format!("{pattern}.p").parse::<PointId>().is_ok();
            if !(pattern == "*" || kind || element || pattern.parse::<PointId>().is_ok()) {
                return Err(format!(
                    "points: {pattern:?} is none of device.121.energy, device.121, device.* and *; elements are bus, branch, meter, device"
                ));
            }
        }
        if patterns.iter().any(|pattern| pattern == "*") {
            return Ok(Self::all());
        }
        Ok(Self(Some(patterns.into())))
    }

    /// Those that topics or filters name with their last level.
    pub(crate) fn only(topics: &[String]) -> Self {
        let last = topics.iter().filter_map(|topic| topic.rsplit('/').next());
        Self(Some(last.filter(|level| level.parse::<PointId>().is_ok()).map(str::to_owned).collect()))
    }

    /// Whether a point is among them.
    pub fn has(&self, point: &PointId) -> bool {
        let Some(patterns) = &self.0 else { return true };
        let text = point.to_string();
        patterns.iter().any(|pattern| {
            let pattern = pattern.strip_suffix(".*").unwrap_or(pattern);
            text.strip_prefix(pattern).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }

    /// Whether all points a message speaks of are among them.
    pub(crate) fn check(&self, message: &Message) -> Result<(), Refusal> {
        let Message::Telemetry(values) = message else { return Ok(()) };
        match values.iter().find(|value| !self.has(&value.point)) {
            None => Ok(()),
            Some(value) => refuse(
                RejectCode::Identity,
                format!(
                    "the sender may not speak of {}; `points` of its rights names what it may",
                    value.point
                ),
            ),
        }
    }
}
