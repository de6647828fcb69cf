//! In virtual time: the same system on one thread, with the clock of a paused runtime and the in-process connector.
//! One seed gives the same bytes in every process.

use super::live::{ZONE, watch_picture};
use super::outcome::{Evidence, Outcome};
use super::recovery::{Recovered, recover};
use super::without::loading_without_flexibility;
use super::{RunError, Setup};
use crate::field::{self, FieldLog, Minute};
use actors::grid_side::region::learnt;
use actors::journal::{Durability, Options};
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Parts, System};
use connectors::loopback;
use grid::{Beside, Timestamp, beside};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Nobody looks but who compares each minute's estimate with the truth.
const PUBLISH_PERIOD: Duration = Duration::from_secs(60);
/// Numerics may take until the next forecast is due, for then they run beside everything that happens meanwhile: an estimate, which is begun
/// 20 s after the full minute, beside what devices offer.
const NUMERICS_TAKE: Duration = Duration::from_secs(18);
const WORK_OFF: Duration = Duration::from_secs(60);

/// What a simulated run leaves.
pub struct Simulated {
    /// The figures.
    pub outcome: Outcome,
    /// What happened in each minute.
    pub minutes: Vec<Minute>,
    /// True loading of the same evening without flexibility.
    pub without: Vec<(Timestamp, f64)>,
}

/// Runs the scenario from its start to its end with a journal in `directory`, which must not hold one yet.
/// `each_minute` is told the present instant now and then, for a progress bar.
pub fn simulate(
    setup: Setup,
    directory: &Path,
    each_minute: impl Fn(Timestamp) + Send + 'static,
) -> Result<Simulated, RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .map_err(|source| RunError::Io { doing: "starting the runtime".to_owned(), source })?;
    runtime.block_on(run(Arc::new(setup), directory, each_minute))
}

type Loading = Vec<(Timestamp, f64)>;

/// The same day without flexibility, on a thread beside the run.
fn live_without_flexibility(setup: &Setup) -> Beside<Result<Loading, RunError>> {
    let (scenario, plant) = (setup.scenario.clone(), setup.plant.clone());
    beside(move || loading_without_flexibility(&scenario, plant))
}

async fn run(
    setup: Arc<Setup>,
    directory: &Path,
    each_minute: impl Fn(Timestamp) + Send + 'static,
) -> Result<Simulated, RunError> {
    let without = live_without_flexibility(&setup);
    let recovered = recover(&setup, directory, Options::new(Durability::Simulated))?;
    let Recovered { journal, ledger, begun, plant, at, resumed } = recovered;
    let clock = ScaledClock::start(at, 1);
    let (system_end, field_end) = loopback::pair(&super::setup::area_name()?, Arc::new(clock));
    let parts = Parts {
        area: setup.area.clone(),
        environment: Environment::new(clock, Compute::Beside { takes: NUMERICS_TAKE }),
        link: system_end,
        sources: Vec::new(),
        learnt: learnt(&setup.area, &setup.archive_until(&plant, &ledger)),
        journal,
        ledger,
        records: begun.records,
        owed: begun.owed,
        history: None,
        weather: None,
        zone: ZONE.to_owned(),
        publish_period: PUBLISH_PERIOD,
    };
    let system = System::start(parts).await?;
    let (ended, until) = watch::channel(false);
    let scorer = tokio::spawn(watch_picture(system.picture(), until, setup.scorer()));
    let log = FieldLog::default();
    let field =
        tokio::spawn(field::run(plant, field_end, Arc::new(clock), log.clone(), setup.scenario.clone()));
    let end = setup.scenario.end().plus(WORK_OFF);
    let mut beat = at;
    while beat < end && system.escalation().borrow().is_none() && !field.is_finished() {
        beat = beat.plus(Duration::from_secs(60));
        clock.sleep_until(beat).await;
        each_minute(beat);
    }
    if let Some(reason) = system.escalation().borrow().clone() {
        return Err(RunError::GivenUp(reason));
    }
    if field.is_finished() {
        return Err(super::field_ended(field.await));
    }
    system.stop_listening();
    field.abort();
    ended.send_replace(true);
    let scorer = scorer.await.unwrap_or_else(|_| setup.scorer());
    let picture = system.picture().borrow().clone();
    let ledger = system.books().read(Clone::clone);
    system.stop().await;
    let minutes = log.minutes();
    let without = without.found()?;
    let outcome = Outcome::new(&Evidence {
        setup: &setup,
        without: &without,
        minutes: &minutes,
        ledger: &ledger,
        picture: &picture,
        score: scorer.score(&minutes),
        directory,
        resumed,
    })?;
    Ok(Simulated { outcome, minutes, without })
}
