//! The field: what instruments, meters and devices of the plant say to the system, and how devices take orders.
//!
//! It knows the system only through a [`Link`], like real equipment would:
//!
//! * line monitors report every minute ([`instruments`]);
//! * smart meters and device meters report finished quarter-hours late, some never ([`meters`]);
//! * devices report their state when it changes, some seconds later than that, and answer every activation at once
//!   ([`reports`]).
//!
//! Reading errors, delays and losses come from streams of their own per point and time, so they repeat with the
//! seed whatever else happens.

mod ahead;
pub mod instruments;
pub mod meters;
pub mod record;
pub mod reports;

pub use record::{BusVoltages, FieldLog, Minute};

use crate::plant::{Plant, PlantError, STEP};
use crate::scenario::Scenario;
use ahead::Ahead;
use connectors::{Link, Message};
use grid::{Clock, Timestamp};
use instruments::Instruments;
use market::Activation;
use meters::Meters;
use reports::Reports;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;

/// Why the field stopped.
#[derive(Debug, Error)]
pub enum FieldError {
    /// The plant broke down.
    #[error("the simulated grid: {0}")]
    Plant(#[from] PlantError),
    /// Nobody takes the field's messages any more.
    #[error("the field's connector has ended")]
    LinkClosed,
    /// It was asked to live on after the scenario's end.
    #[error("the scenario is over")]
    Over,
}

/// How long after a full minute devices report how they stood then: when line monitors have spoken, and before what is offered
/// is checked and sealed.
const REPORTS_AFTER: Duration = Duration::from_secs(22);

/// A clock that can be waited for, in scaled wall time or in virtual time.
pub trait Pace: Clock {
    /// Returns when this clock shows `at` or later.
    fn sleep_until(&self, at: Timestamp) -> impl Future<Output = ()> + Send;
}

impl Pace for actors::runtime::ScaledClock {
    async fn sleep_until(&self, at: Timestamp) {
        actors::runtime::ScaledClock::sleep_until(self, at).await;
    }
}

/// Lives through the scenario from where the plant stands: steps the plant minute by minute as `pace` reaches the
/// end of each minute, publishes, obeys. After the scenario's end the plant stands still and devices only answer.
///
/// Returns when the other end hangs up after the scenario's end.
///
/// # Errors
/// When the plant breaks down, or the link ends before the scenario does.
pub async fn run<P: Pace>(
    plant: Plant,
    link: Link,
    pace: Arc<P>,
    log: FieldLog,
    scenario: Scenario,
) -> Result<(), FieldError> {
    let Link { outbound, mut inbox, counters: _ } = link;
    let mut field = Field::new(plant, &scenario);
    send(&outbound, field.first_messages()).await?;
    let mut ahead = Ahead::begin(field, scenario.end(), true);
    loop {
        let (reports_at, next) = (ahead.now().plus(REPORTS_AFTER), ahead.now().plus(STEP));
        let over = next > scenario.end();
        let messages;
        tokio::select! {
            biased;
            () = pace.sleep_until(reports_at), if ahead.owes_reports() => (messages, ahead) = ahead.report(),
            () = pace.sleep_until(next), if !over => {
                let said;
                (said, ahead) = ahead.pass()?;
                log.push(said.minute, said.voltages);
                messages = said.messages;
            }
            batch = inbox.recv_batch() => match batch {
                Some(arrivals) => (messages, ahead) = ahead.obey(arrivals, pace.now()),
                None if over => return Ok(()),
                None => return Err(FieldError::LinkClosed),
            },
        }
        send(&outbound, messages).await?;
    }
}

async fn send(outbound: &mpsc::Sender<Message>, messages: Vec<Message>) -> Result<(), FieldError> {
    for message in messages {
        outbound.send(message).await.map_err(|_| FieldError::LinkClosed)?;
    }
    Ok(())
}

/// What there is to say and to remember of a minute.
struct MinuteSaid {
    minute: Minute,
    voltages: BusVoltages,
    messages: Vec<Message>,
}

/// The plant with everything attached to it.
#[derive(Clone)]
struct Field {
    plant: Plant,
    instruments: Instruments,
    meters: Meters,
    reports: Reports,
}

impl Field {
    fn new(plant: Plant, scenario: &Scenario) -> Self {
        Self {
            instruments: Instruments::place(plant.feeder(), scenario),
            meters: Meters::new(&plant, scenario),
            reports: Reports::default(),
            plant,
        }
    }

    /// What is said before the first minute has passed.
    fn first_messages(&mut self) -> Vec<Message> {
        let mut messages = vec![Message::Telemetry(self.instruments.read(&self.plant))];
        messages.extend(self.reports.due(&self.plant).into_iter().map(Message::Device));
        messages
    }

    /// Lives through the minute that ends at `next`.
    fn minute(&mut self, next: Timestamp) -> Result<MinuteSaid, PlantError> {
        self.plant.step(next)?;
        let mut messages = vec![Message::Telemetry(self.instruments.read(&self.plant))];
        let energies = self.meters.due(&self.plant);
        if !energies.is_empty() {
            messages.push(Message::Telemetry(energies));
        }
        Ok(MinuteSaid {
            minute: Minute::of(&self.plant),
            voltages: record::voltages_v(&self.plant),
            messages,
        })
    }

    /// Gives an order to its device; the answer.
    fn answer(&mut self, activation: &Activation, now: Timestamp) -> Message {
        let status = self.plant.activate(activation, now);
        if let Some(reason) = &status.reason {
            tracing::info!(device = %status.device, activation = %status.activation, reason, "refused");
        }
        Message::Status(status)
    }
}

#[cfg(test)]
mod tests;
