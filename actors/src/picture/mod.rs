//! What a person at the dashboard sees: the read model that the observer fills and the web page shows.
//!
//! Types only. Every value carries its unit in its name or its comment; a value that is not known is `None`
//! (JSON `null`), never zero. Times are simulated or real UTC, whichever clock the system runs on; a loading is
//! a fraction of the rating (1 is 100 %). Powers and energies are positive when taken from the grid.
//!
//! A picture is published with a new [`Picture::seq`] at least once a second, also when nothing else changed:
//! the page takes a sequence number that stands still for a sign that the system behind it has stopped.

mod market;
mod network;

pub use market::{
    ClearingPicture, FEED_ENTRIES_MAX, FeedEntry, FeedKind, NeedRow, REFUSED_ROWS_MAX, RefusedRow, Totals,
};
pub use network::{BranchKind, BranchPicture, BusPicture, DeviceKind, NetworkPicture, UsagePointPicture};

use grid::{BranchId, Estimate, Observability, PointId, Quality, Timestamp};
use serde::Serialize;
use std::sync::Arc;

/// Minutes of history kept for the transformer.
pub const HISTORY_MINUTES: usize = 360;

/// Everything that changes, at one instant.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Picture {
    /// Counts published pictures from 1; 0 is "nothing published yet".
    pub seq: u64,
    /// The clock the system runs on.
    pub clock: ClockPicture,
    /// Whether the system's own parts work.
    pub health: Health,
    /// The transformer that feeds the area; `None` when there is none or nothing is known yet.
    pub transformer: Option<TransformerPicture>,
    /// Voltage of every bus.
    pub voltages: Voltages,
    /// Estimated loading of every branch in the order of [`NetworkPicture::branches`], fraction of the rating.
    pub branch_loading: Vec<Option<f32>>,
    /// The newest estimate as a whole, for doors that tell more than the page; `None` before the first.
    #[serde(skip)]
    pub estimate: Option<Arc<Estimate>>,
    /// Measured against estimated.
    pub points: Vec<PointRow>,
    /// What the DSO asks for now.
    pub needs: Vec<NeedRow>,
    /// How the newest clearing went; `None` before the first.
    pub clearing: Option<ClearingPicture>,
    /// What was traded since the start of the journal.
    pub totals: Totals,
    /// What happened, newest last, at most [`FEED_ENTRIES_MAX`].
    pub feed: Vec<FeedEntry>,
}

/// The clock.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClockPicture {
    /// The present instant of the system.
    pub now: Timestamp,
    /// Seconds of the system's time per second of real time; 1 is live.
    pub speed: f64,
    /// IANA name of the zone in which people read the time, for example `Europe/Berlin`.
    pub zone: String,
}

impl Default for ClockPicture {
    fn default() -> Self {
        Self { now: Timestamp::default(), speed: 1.0, zone: "UTC".to_owned() }
    }
}

/// State of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Connected.
    Up,
    /// Not connected.
    #[default]
    Down,
}

/// Whether the system's own parts work.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Health {
    /// The connection that telemetry comes over.
    pub link: Link,
    /// When telemetry was last received.
    pub last_telemetry_at: Option<Timestamp>,
    /// Telemetry values received.
    pub received: u64,
    /// Telemetry values refused, see `rejections`.
    pub rejected: u64,
    /// Telemetry values that were not used although nothing is wrong with them, see `skips`.
    pub skipped: u64,
    /// Restarts of actors.
    pub restarts: u64,
    /// Messages set aside because they made an actor fail repeatedly.
    pub quarantined: u64,
    /// Records in the journal.
    pub journal_records: u64,
    /// The state estimator.
    pub estimator: EstimatorHealth,
    /// FlexOffers that may still be assigned.
    pub offers_open: u64,
    /// How often each reason for refusal occurred, ordered by code.
    pub rejections: Vec<RejectionCount>,
    /// How often each reason for leaving a value occurred (`overtaken`, `no-room`, `late`, `duplicate`, `less-preferred`, `better-listed`), ordered by code.
    pub skips: Vec<RejectionCount>,
}

/// The state estimator.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct EstimatorHealth {
    /// Whether the latest solve converged.
    pub ok: bool,
    /// The instant the latest estimate describes; `None` before the first.
    pub at: Option<Timestamp>,
    /// Gauss–Newton steps of the latest solve.
    pub iterations: u64,
    /// Objective over degrees of freedom of the latest estimate; about 1 when measurements and model agree.
    pub objective_ratio: Option<f64>,
    /// Probability of residuals this large (chi-square) when all instruments are as good as stated.
    pub chance: Option<f64>,
    /// Measurements of the latest estimate that are probably wrong, the most conspicuous first.
    pub suspects: Vec<PointId>,
    /// How many estimates did not fit their measurements, by the test that said so.
    pub alarms: EstimatorAlarms,
    /// What went wrong, or nothing.
    pub message: Option<String>,
}

/// How many estimates did not fit their measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct EstimatorAlarms {
    /// All residuals together are too large.
    pub chi_square: u64,
    /// The residual of a measurement is too large for its deviation.
    pub largest_residual: u64,
    /// That of an expectation (forecast, last meter reading) is.
    pub expectation: u64,
}

/// How often one reason for refusal occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectionCount {
    /// Stable code of the reason.
    pub code: String,
    /// How often.
    pub count: u64,
}

/// The transformer that feeds the area.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransformerPicture {
    /// Which branch.
    pub branch: BranchId,
    /// Rated apparent power, kVA.
    pub rated_kva: f64,
    /// Estimated loading, fraction of the rating.
    pub loading: Option<f64>,
    /// Standard deviation of `loading`.
    pub loading_std: Option<f64>,
    /// Estimated apparent power, kVA.
    pub estimated_kva: Option<f64>,
    /// Apparent power from the monitor behind the transformer, kVA.
    pub measured_kva: Option<f64>,
    /// When the oldest part of `measured_kva` was measured.
    pub measured_at: Option<Timestamp>,
    /// The last hours, one entry a minute, oldest first, at most [`HISTORY_MINUTES`].
    pub history: Vec<HistoryEntry>,
    /// What is expected, one entry a slot, nearest first.
    pub outlook: Vec<OutlookEntry>,
}

/// One minute of the transformer's past.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Measured apparent power, kVA.
    pub measured_kva: Option<f64>,
    /// Estimated apparent power, kVA.
    pub estimated_kva: Option<f64>,
    /// `estimated_kva` with the deviations that were ordered for its slot taken back, kVA: a reckoning, no
    /// measurement, and only as right as devices are obedient. `None` without an estimate.
    pub without_flex_kva: Option<f64>,
}

/// One slot of the transformer's expected future.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutlookEntry {
    /// First instant of the slot.
    pub slot_start: Timestamp,
    /// Expected loading with everything already contracted, fraction of the rating.
    pub loading: f64,
    /// Loading that is exceeded with 10 % probability.
    pub loading_p90: f64,
    /// Probability that the loading exceeds 1.
    pub probability: f64,
    /// Expected loading if nothing had been contracted; `None` when not calculated.
    pub loading_without_flex: Option<f64>,
}

/// Estimated voltage of every bus in the order of [`NetworkPicture::buses`]. Empty before the first estimate.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Voltages {
    /// The instant they describe.
    pub at: Option<Timestamp>,
    /// Phase a to neutral, p.u. of the rated voltage; `None` where it is not observable.
    pub a: Vec<Option<f32>>,
    /// Phase b to neutral.
    pub b: Vec<Option<f32>>,
    /// Phase c to neutral.
    pub c: Vec<Option<f32>>,
    /// Largest standard deviation of the three, p.u.
    pub std: Vec<Option<f32>>,
    /// What the voltages of the bus rest on: the weakest of its phases.
    pub observability: Vec<Observability>,
}

/// One measurement point, measured against estimated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointRow {
    /// Which point.
    pub point: PointId,
    /// Newest value that was used, in `unit`.
    pub value: Option<f64>,
    /// Unit of `value` and `estimated`.
    pub unit: &'static str,
    /// Quality of `value`; `implausible` when a newer one was stopped by `rule`.
    pub quality: Quality,
    /// Name of the rule that stopped a newer value; `largest-residual` when the estimate finds the value wrong, which is
    /// used all the same.
    pub rule: Option<&'static str>,
    /// The value that it stopped, in `unit`.
    pub refused: Option<f64>,
    /// When the instrument took it; `None` when it never reported.
    pub measured_at: Option<Timestamp>,
    /// What the estimate says, in `unit`; `None` when the estimator did not use the point.
    pub estimated: Option<f64>,
    /// (measured − estimated) over the standard deviation of that difference; beyond ±3 is suspicious.
    pub normalized: Option<f64>,
    /// The smallest error of the instrument that raises the alarm in 95 of 100 cases, in `unit`.
    pub detectable: Option<f64>,
    /// Why the estimate used the point and there is no `normalized` all the same.
    pub untestable: Option<&'static str>,
}
