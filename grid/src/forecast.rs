//! What is expected: power at each usage point, and the congestion it would cause.

use crate::id::{BranchId, UsagePointId};
use crate::phase::Phase;
use crate::time::{Slot, Timestamp};
use serde::{Deserialize, Serialize};

/// Expected mean power of one slot, W, positive is taken from the grid.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SlotForecast {
    /// Which quarter-hour.
    pub slot: Slot,
    /// Expected value, W.
    pub p_w: f64,
    /// Standard deviation, W.
    pub p_std_w: f64,
}

/// Forecast of one usage point: a belief held at `issued_at`, about what happens *without* further activation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsagePointForecast {
    /// Which usage point.
    pub usage_point: UsagePointId,
    /// When it was believed.
    pub issued_at: Timestamp,
    /// Consecutive slots, first one first.
    pub slots: Vec<SlotForecast>,
}

/// Expected loading of one limited element in one slot.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Congestion {
    /// The line or transformer.
    pub branch: BranchId,
    /// The phase that counts; `None` for a transformer, whose phases are summed.
    pub phase: Option<Phase>,
    /// Which quarter-hour.
    pub slot: Slot,
    /// Expected loading, fraction of the rating.
    pub loading: f64,
    /// Loading that is exceeded with 10 % probability.
    pub loading_p90: f64,
    /// Probability that the loading exceeds 1.
    pub probability: f64,
    /// Power that may be added (negative: must be removed) behind this element so that the planning loading
    /// limit holds, W.
    pub headroom_w: f64,
}

/// The day ahead of one region, as believed at `issued_at`, activations already contracted included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outlook {
    /// When it was believed.
    pub issued_at: Timestamp,
    /// One entry per limited element and slot, ordered by element, phase, slot.
    pub elements: Vec<Congestion>,
}
