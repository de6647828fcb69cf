//! The supervisor: parent of every actor of one system.
//!
//! Restarting is done in the [`shell`](super::shell), within a budget. An actor that ends nevertheless has spent
//! its budget, and the supervisor escalates: it tells whoever holds the [`Escalation`], and the process ends
//! with an exit code of its own so that whatever started it can start it again from the journal.

use super::depths::{Depth, Depths};
use super::environment::Environment;
use super::hold_ups::HoldUps;
use super::incidents::Incidents;
use super::quarantine::Quarantine;
use super::shell::{Birth, Build, RESTARTS_MAX, Shell};
use super::stage::{Address, Stage};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::watch;

/// How long an actor may take to end.
const STOPPED_WITHIN: Duration = Duration::from_secs(5);

/// The first failure that no restart could mend; `None` while all is well.
pub type Escalation = watch::Receiver<Option<String>>;

/// Gives a system up from outside its stages. Clones give up the same one.
#[derive(Debug, Clone)]
pub struct Escalator {
    failed: watch::Sender<Option<String>>,
    incidents: Incidents,
}

impl Escalator {
    /// The system must end, and start again: only the first reason counts.
    pub fn give_up(&self, what: &str, reason: &str) {
        self.incidents.escalated(what, reason);
        escalate(&self.failed, reason);
    }
}

fn escalate(failed: &watch::Sender<Option<String>>, reason: &str) {
    tracing::error!(%reason, "the system stops");
    failed.send_if_modified(|first| {
        let new = first.is_none();
        first.get_or_insert_with(|| reason.to_owned());
        new
    });
}

/// An actor could not be started.
#[derive(Debug, Error)]
#[error("actor {name} did not start: {reason}")]
pub struct SpawnError {
    /// Which.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A running supervisor.
#[derive(Debug)]
pub struct Supervisor {
    root: ActorRef<()>,
    environment: Environment,
    incidents: Incidents,
    quarantine: Quarantine,
    depths: Depths,
    hold_ups: HoldUps,
    failed: watch::Sender<Option<String>>,
}

impl Supervisor {
    /// Starts it.
    pub async fn start(environment: Environment) -> Result<Self, SpawnError> {
        let failed = watch::Sender::new(None);
        let (root, _) = Actor::spawn(None, Root, failed.clone())
            .await
            .map_err(|error| SpawnError { name: "supervisor".into(), reason: error.to_string() })?;
        let (incidents, quarantine, depths, hold_ups) = Default::default();
        Ok(Self { root, environment, incidents, quarantine, depths, hold_ups, failed })
    }

    /// Starts a stage under this supervisor. `build` is called again after every panic.
    pub async fn spawn<S: Stage>(
        &self,
        name: impl Into<String>,
        build: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Address<S::Msg>, SpawnError> {
        self.spawn_with(name.into(), Arc::new(build), RESTARTS_MAX).await
    }

    /// Starts a stage that is never restarted: its first panic ends the system.
    pub async fn spawn_vital<S: Stage>(
        &self,
        name: impl Into<String>,
        build: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<Address<S::Msg>, SpawnError> {
        self.spawn_with(name.into(), Arc::new(build), 0).await
    }

    async fn spawn_with<S: Stage>(
        &self,
        name: String,
        build: Build<S>,
        restarts_max: usize,
    ) -> Result<Address<S::Msg>, SpawnError> {
        let depth = Depth::new(&name, restarts_max);
        self.depths.add(depth.clone());
        let birth = Birth {
            name: name.clone(),
            build,
            environment: self.environment.clone(),
            incidents: self.incidents.clone(),
            quarantine: self.quarantine.clone(),
            depth: depth.clone(),
            hold_ups: self.hold_ups.clone(),
            restarts_max,
        };
        // No registered name: names are process-wide and two systems may live in one process.
        let (actor, _) = Actor::spawn_linked(None, Shell::<S>::default(), birth, self.cell())
            .await
            .map_err(|error| SpawnError { name, reason: error.to_string() })?;
        Ok(Address::new(actor, depth))
    }

    /// Clock and compute policy of this system.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Restarts and quarantined messages so far.
    pub fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// Messages that were set aside.
    pub fn quarantine(&self) -> &Quarantine {
        &self.quarantine
    }

    /// How many messages wait in the mailboxes.
    pub fn depths(&self) -> &Depths {
        &self.depths
    }

    /// Stages that waited to be made anew.
    pub fn hold_ups(&self) -> &HoldUps {
        &self.hold_ups
    }

    /// Tells when a stage was given up.
    pub fn escalation(&self) -> Escalation {
        self.failed.subscribe()
    }

    /// For what is no stage, and cannot go on.
    pub fn escalator(&self) -> Escalator {
        Escalator { failed: self.failed.clone(), incidents: self.incidents.clone() }
    }

    /// Stops every actor and waits for them; not for long for one that waits itself, until it may start anew.
    pub async fn stop(&self) {
        self.root.stop_children_and_wait(None, Some(STOPPED_WITHIN)).await;
        for left in self.root.get_children() {
            left.kill();
        }
        if self.root.stop_and_wait(None, None).await.is_err() {
            tracing::debug!("the supervisor had stopped already");
        }
    }

    fn cell(&self) -> ActorCell {
        self.root.get_cell()
    }
}

struct Root;

impl Actor for Root {
    type Msg = ();
    type State = watch::Sender<Option<String>>;
    type Arguments = watch::Sender<Option<String>>;

    async fn pre_start(
        &self,
        _myself: ActorRef<()>,
        failed: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(failed)
    }

    /// ractor's default would stop the supervisor at the first death; here a death is reported once.
    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<()>,
        event: SupervisionEvent,
        failed: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(_, reason) = event {
            escalate(failed, &reason.to_string());
        }
        Ok(())
    }
}
