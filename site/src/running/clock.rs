//! By which clock a site goes on, and how it notices that the machine's was set.
//!
//! Inside, time is the monotonic clock from an origin: no deadline moves when somebody sets the machine's clock. The process ends
//! then, and starts anew by the clock as it is; if that is before what was traded, or cannot be right, it does not start.

use super::SiteError;
use actors::journal::Standing;
use actors::runtime::ScaledClock;
use grid::defect::{Defect, planted};
use grid::{Clock, Timestamp};
use std::path::Path;
use std::time::Duration;

/// The newest market fact may be this much ahead of the machine's clock at a start: a clock that was set back a little.
const AHEAD_MAX: Duration = Duration::from_secs(60);
/// The machine's clock may be this much ahead of the journal at a start: a site may have been off for a week. A clock that is further
/// ahead is more often wrong than a site was off for so long; and what is recorded by a wrong one cannot be taken back.
const OFF_MAX: Duration = Duration::from_secs(8 * 86_400);
/// It may be this much behind what is recorded, unless that is a market fact.
const BACK_MAX: Duration = Duration::from_secs(86_400);
/// No clock is believed before 2026 (UTC): this program was not there. A machine without a battery begins in 1970, or on its image's day.
const BELIEVED_FROM: Timestamp = Timestamp::from_seconds(1_767_225_600);
/// The machine's clock may move this far against ours before the system starts anew with it.
const DRIFT_MAX: Duration = Duration::from_secs(5);
const DRIFT_CHECK_PERIOD: Duration = Duration::from_secs(10);

/// The instant at which a site goes on: the machine's, or that of the newest market fact when the clock was set back a little. Nothing
/// is recorded before a market fact, nor by a clock that cannot be right.
///
/// # Errors
/// [`SiteError`] says what is wrong with the clock. `directory` is that of the journal.
pub fn origin(
    standing: &Standing,
    machine: Timestamp,
    directory: &Path,
    clock_is_right: bool,
) -> Result<Timestamp, SiteError> {
    if machine < BELIEVED_FROM {
        return Err(SiteError::ClockNotSet { now: machine });
    }
    let traded = standing.traded.filter(|_| !planted(Defect::GoesBackInTime));
    let origin = machine.max(traded.unwrap_or(machine));
    if origin.since(machine) > AHEAD_MAX {
        let directory = directory.to_owned();
        return Err(SiteError::ClockBehind { directory, reached: origin, now: machine });
    }
    // What an earlier start recorded by a clock that was not set says nothing.
    let Some(reached) = standing.reached.filter(|reached| *reached >= BELIEVED_FROM) else {
        return Ok(origin);
    };
    let (ahead, behind, directory) = (machine.since(reached), reached.since(machine), directory.to_owned());
    if ahead > OFF_MAX && !clock_is_right {
        return Err(SiteError::ClockAhead { directory, reached, now: machine });
    }
    if behind > BACK_MAX && !clock_is_right {
        return Err(SiteError::ClockWentBack { directory, reached, now: machine });
    }
    if behind > AHEAD_MAX {
        tracing::warn!(%reached, now = %machine, ?behind, "the site goes on at a time before its newest record, by this machine's clock: one of both is wrong");
    }
    Ok(origin)
}

/// Resolves when the machine's clock was set, with by how much, s; forward is positive. `ahead` is how far ours was ahead of it at
/// the start.
pub async fn was_set(machine: impl Fn() -> Timestamp, ours: ScaledClock, ahead: Duration) -> i64 {
    loop {
        tokio::time::sleep(DRIFT_CHECK_PERIOD).await;
        let (machine, ours) = (machine().plus(ahead), ours.now());
        let drift = machine.since(ours).max(ours.since(machine));
        if drift > DRIFT_MAX && !planted(Defect::TrustsTheMachine) {
            return machine.seconds() - ours.seconds();
        }
    }
}
