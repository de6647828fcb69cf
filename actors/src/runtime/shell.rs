//! The shell around a stage: delivers messages, and when a handler panics starts the stage anew *in place*.
//!
//! The mailbox outlives the restart, so nothing that waits is lost, and addresses stay valid. A message whose
//! handling panics [`DELIVERIES_MAX`] times is set aside and counted. More than [`RESTARTS_MAX`] restarts within
//! [`RESTART_WINDOW`] end the actor, which its supervisor takes as a failure of the whole system. Between
//! restarts the shell waits, doubling from 50 ms to 5 s.

use super::environment::Environment;
use super::incidents::Incidents;
use super::stage::{Address, Context, Stage};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often one message is tried before it is quarantined.
pub const DELIVERIES_MAX: u32 = 3;
/// Restarts allowed within [`RESTART_WINDOW`].
pub const RESTARTS_MAX: usize = 5;
/// The window of the restart budget, in runtime time.
pub const RESTART_WINDOW: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Makes a stage, at the start and after every panic, from what is durable.
pub type Build<S> = Arc<dyn Fn() -> S + Send + Sync>;

/// What a shell needs at birth.
pub struct Birth<S> {
    /// Name for logs.
    pub name: String,
    /// Makes the stage.
    pub build: Build<S>,
    /// Clock and compute policy.
    pub environment: Environment,
    /// Where restarts are recorded.
    pub incidents: Incidents,
    /// Restarts allowed within [`RESTART_WINDOW`]: [`RESTARTS_MAX`], or 0 for a stage whose state cannot be made
    /// anew, such as the journal.
    pub restarts_max: usize,
}

/// The actor around a stage.
pub struct Shell<S>(PhantomData<fn() -> S>);

impl<S> Default for Shell<S> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// The shell's state.
pub struct Running<S: Stage> {
    stage: S,
    context: Context<S::Msg>,
    birth: Birth<S>,
    restarts: VecDeque<Instant>,
}

impl<S: Stage> Actor for Shell<S> {
    type Msg = S::Msg;
    type State = Running<S>;
    type Arguments = Birth<S>;

    async fn pre_start(
        &self,
        myself: ActorRef<S::Msg>,
        birth: Birth<S>,
    ) -> Result<Running<S>, ActorProcessingErr> {
        let mut context = Context::new(birth.environment.clone(), Address::new(myself));
        let mut stage = (birth.build)();
        stage.started(&mut context);
        context.release();
        Ok(Running { stage, context, birth, restarts: VecDeque::new() })
    }

    async fn handle(
        &self,
        _myself: ActorRef<S::Msg>,
        msg: S::Msg,
        running: &mut Running<S>,
    ) -> Result<(), ActorProcessingErr> {
        for _ in 0..DELIVERIES_MAX {
            match running.attempt(|stage, cx| stage.handle(msg.clone(), cx)) {
                Ok(()) => return running.check_given_up(),
                Err(reason) => running.restart(reason).await?,
            }
        }
        let mut words = format!("{msg:?}");
        words.truncate(words.char_indices().nth(200).map_or(words.len(), |(at, _)| at));
        tracing::error!(stage = %running.birth.name, message = %words, "message quarantined");
        running.birth.incidents.quarantined(&running.birth.name, &words);
        Ok(())
    }
}

impl<S: Stage> Running<S> {
    /// Runs a handler; what it wanted to send leaves only when it returns.
    fn attempt(&mut self, run: impl FnOnce(&mut S, &mut Context<S::Msg>)) -> Result<(), String> {
        let (stage, context) = (&mut self.stage, &mut self.context);
        match catch_unwind(AssertUnwindSafe(|| run(stage, context))) {
            Ok(()) => {
                self.context.release();
                Ok(())
            }
            Err(panic) => {
                self.context.end_life();
                Err(panic_words(panic.as_ref()))
            }
        }
    }

    fn check_given_up(&mut self) -> Result<(), ActorProcessingErr> {
        match self.context.given_up.take() {
            None => Ok(()),
            Some(reason) => {
                self.birth.incidents.escalated(&self.birth.name, &reason);
                Err(format!("{}: {reason}", self.birth.name).into())
            }
        }
    }

    /// Makes the stage anew after a pause, or gives up when the budget is spent.
    async fn restart(&mut self, mut reason: String) -> Result<(), ActorProcessingErr> {
        loop {
            let now = Instant::now();
            self.restarts.retain(|at| now.duration_since(*at) < RESTART_WINDOW);
            if self.restarts.len() >= self.birth.restarts_max {
                self.birth.incidents.escalated(&self.birth.name, &reason);
                let (name, budget) = (&self.birth.name, self.birth.restarts_max);
                return Err(format!("{name} used up its {budget} restarts in 10 s, last: {reason}").into());
            }
            let pause = (BACKOFF_MIN * 2_u32.pow(self.restarts.len() as u32)).min(BACKOFF_MAX);
            self.restarts.push_back(now);
            tracing::warn!(stage = %self.birth.name, %reason, ?pause, "stage panicked and is restarted");
            self.birth.incidents.restarted(&self.birth.name, &reason);
            tokio::time::sleep(pause).await;
            let build = self.birth.build.clone();
            match self.attempt(|stage, cx| {
                *stage = build();
                stage.started(cx);
            }) {
                Ok(()) => return Ok(()),
                Err(again) => reason = again,
            }
        }
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without words".to_owned())
}
