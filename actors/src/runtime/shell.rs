//! The shell around a stage: delivers messages, and when a handler panics starts the stage anew *in place*.
//!
//! The mailbox outlives the restart, so nothing that waits is lost, and addresses stay valid. A message whose
//! handling panics [`DELIVERIES_MAX`] times is set aside into the [`Quarantine`] and counted. There are never more than
//! [`RESTARTS_MAX`] restarts within [`RESTART_WINDOW`]. Where the system's own messages were the cause of so many, that ends the
//! actor, which its supervisor takes as a failure of the whole system. Between restarts the shell waits ([`pause`]).
//!
//! A storm of poison must not end the system, nor eat it up: after a message from outside was set aside, its *kin*
//! ([`Stage::kin`]) are set aside unseen for [`SUSPECT_FOR`]. Then one of them is tried, once; it clears the others or renews the
//! suspicion, each time for twice as long, up to [`SUSPECT_FOR_MAX`]. Kin that failed are known as such until one of them is handled,
//! for [`KNOWN_FOR`] at most. While little is left of the budget they are set aside unseen, and every other message after its first
//! panic. So one source of poison costs three restarts and then one now and then. Many new sources at once spend the budget; then the
//! stage waits until there is some again, and what is on its way to it waits, too, and holds the connectors back: once, for then
//! they are known. That it waited is noted in [`HoldUps`]. A process that started again would get the same messages from the same
//! senders.

use super::backoff::pause;
use super::cause::handling;
use super::credit::{Credit, carrying};
use super::depths::Depth;
use super::environment::Environment;
use super::hold_ups::HoldUps;
use super::incidents::Incidents;
use super::quarantine::{Quarantine, SetAside};
use super::stage::{Address, Context, Delivery, Envelope, Stage};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Instrument;

/// How often one message is tried before it is quarantined.
pub const DELIVERIES_MAX: u32 = 3;
/// Restarts allowed within [`RESTART_WINDOW`].
pub const RESTARTS_MAX: usize = 5;
/// The window of the restart budget, in runtime time.
pub const RESTART_WINDOW: Duration = Duration::from_secs(10);
/// How long the kin of a message that was set aside are set aside unseen, in runtime time.
pub const SUSPECT_FOR: Duration = Duration::from_secs(10);
/// The same at most, of kin that fail time and again.
pub const SUSPECT_FOR_MAX: Duration = Duration::from_secs(320);
/// How long after that the kin are known to have failed, when none of them was handled since.
pub const KNOWN_FOR: Duration = Duration::from_secs(86_400);
/// Kin that are known to have failed, at most; beyond that those whose suspicion ended first are forgotten.
const KNOWN_MAX: usize = 100_000;
/// Letters of a message or a reason that are kept.
const WORDS_MAX: usize = 2_000;

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
    /// Where poison goes.
    pub quarantine: Quarantine,
    /// Counts what waits in the mailbox.
    pub depth: Depth,
    /// Where it is noted that the stage waited for its budget.
    pub hold_ups: HoldUps,
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
    restarts: VecDeque<Restart>,
    suspects: Suspects,
    /// What the message that is being handled carries.
    credit: Option<Credit>,
}

/// When a stage was made anew, and whether a message from outside was the cause.
struct Restart {
    at: Instant,
    from_outside: bool,
}

/// Until when a kind of messages is not tried, and for how long that was said.
#[derive(Debug, Clone, Copy)]
struct Suspicion {
    until: Instant,
    span: Duration,
}

/// Kin of messages that were set aside. Shared with whoever releases one.
#[derive(Debug, Clone, Default)]
struct Suspects(Arc<Mutex<BTreeMap<String, Suspicion>>>);

impl Suspects {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Suspicion>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether there may be any.
    fn any(&self) -> bool {
        self.with(|suspects| !suspects.is_empty())
    }

    /// Until when messages of this kin are suspected, which may be over; nothing when none is known to have failed.
    fn until(&self, kin: &str) -> Option<Instant> {
        let until = self.with(|suspects| suspects.get(kin).map(|suspicion| suspicion.until));
        until.filter(|until| Instant::now() < *until + KNOWN_FOR)
    }

    /// Forgets, too, what is not to be known any more: this happens no oftener than restarts do.
    fn suspect(&self, kin: &str) {
        let now = Instant::now();
        self.with(|suspects| {
            suspects.retain(|_, suspicion| now < suspicion.until + KNOWN_FOR);
            let before = suspects.get(kin).map(|suspicion| suspicion.span * 2);
            let span = before.unwrap_or(SUSPECT_FOR).min(SUSPECT_FOR_MAX);
            suspects.insert(kin.to_owned(), Suspicion { until: now + span, span });
            if suspects.len() > KNOWN_MAX {
                let first = suspects.iter().min_by_key(|(_, suspicion)| suspicion.until);
                if let Some(first) = first.map(|(kin, _)| kin.clone()) {
                    suspects.remove(&first);
                }
            }
        });
    }

    fn clear(&self, kin: &str) {
        self.with(|suspects| suspects.remove(kin));
    }
}

impl<S: Stage> Actor for Shell<S> {
    type Msg = Envelope<S::Msg>;
    type State = Running<S>;
    type Arguments = Birth<S>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        birth: Birth<S>,
    ) -> Result<Running<S>, ActorProcessingErr> {
        let mut context = Context::new(birth.environment.clone(), Address::new(myself, birth.depth.clone()));
        let mut stage = (birth.build)();
        stage.started(&mut context);
        context.release();
        let suspects = Suspects::default();
        Ok(Running { stage, context, birth, restarts: VecDeque::new(), suspects, credit: None })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        Envelope { msg, credit, cause }: Envelope<S::Msg>,
        running: &mut Running<S>,
    ) -> Result<(), ActorProcessingErr> {
        running.birth.depth.taken();
        // Returned when this message is done with, if nothing that it caused carries it any more.
        running.credit = credit;
        let span = handling(&running.birth.name, &msg, running.context.now(), &cause);
        let done = running.receive(msg).instrument(span).await;
        running.credit = None;
        done
    }
}

impl<S: Stage> Running<S> {
    async fn receive(&mut self, msg: S::Msg) -> Result<(), ActorProcessingErr> {
        if !self.suspects.any() {
            return self.take(msg).await;
        }
        let parts = S::divide(&msg);
        if parts.is_empty() {
            return self.take_part(msg, 0).await;
        }
        let has_failed = |part| S::kin(part).is_some_and(|kin| self.suspects.until(&kin).is_some());
        if !parts.iter().any(has_failed) {
            return self.take(msg).await;
        }
        for part in parts {
            self.take_part(part, 0).await?;
        }
        Ok(())
    }
}

fn shortened(mut words: String, most: usize) -> String {
    words.truncate(words.char_indices().nth(most).map_or(words.len(), |(at, _)| at));
    words
}

impl<S: Stage> Running<S> {
    /// Handles a message of which nothing is suspected; one that can be divided is, after its first panic.
    async fn take(&mut self, msg: S::Msg) -> Result<(), ActorProcessingErr> {
        let Err(reason) = self.deliver(&msg) else {
            return self.check_given_up();
        };
        let parts = S::divide(&msg);
        self.restart(reason.clone(), !parts.is_empty() || S::kin(&msg).is_some()).await?;
        if parts.is_empty() {
            return self.take_again(msg, 1, reason).await;
        }
        for part in parts {
            self.take_part(part, 1).await?;
        }
        Ok(())
    }

    /// Handles a message that may be of suspected kin and was delivered `before` times as part of a larger one.
    async fn take_part(&mut self, msg: S::Msg, before: u32) -> Result<(), ActorProcessingErr> {
        let kin = S::kin(&msg);
        let until = kin.as_ref().and_then(|kin| self.suspects.until(kin));
        if let Some(until) = until {
            let reason = match Instant::now() < until {
                true => Some("its like failed just before"),
                false => {
                    self.is_short().then_some("its like failed before, and too much else fails at present")
                }
            };
            if let Some(reason) = reason {
                self.birth.incidents.quarantined_unseen();
                self.set_aside(msg, kin, reason.to_owned(), 0);
                return Ok(());
            }
        }
        let Err(reason) = self.deliver(&msg) else {
            kin.iter().for_each(|kin| self.suspects.clear(kin));
            return self.check_given_up();
        };
        self.restart(reason.clone(), kin.is_some()).await?;
        if until.is_none() {
            return self.take_again(msg, before + 1, reason).await;
        }
        // Its like had their tries.
        self.quarantine(msg, before + 1, reason);
        Ok(())
    }

    /// Delivers a message that panicked `tried` times until it is handled or set aside; at once when the budget is nearly
    /// spent.
    async fn take_again(
        &mut self,
        msg: S::Msg,
        mut tried: u32,
        mut reason: String,
    ) -> Result<(), ActorProcessingErr> {
        while tried < DELIVERIES_MAX && !self.is_short() {
            match self.deliver(&msg) {
                Ok(()) => return self.check_given_up(),
                Err(again) => {
                    self.restart(again.clone(), S::kin(&msg).is_some()).await?;
                    (tried, reason) = (tried + 1, again);
                }
            }
        }
        self.quarantine(msg, tried, reason);
        Ok(())
    }

    fn quarantine(&self, msg: S::Msg, tried: u32, reason: String) {
        let (kin, words) = (S::kin(&msg), shortened(format!("{msg:?}"), 200));
        tracing::error!(stage = %self.birth.name, ?kin, message = %words, "message quarantined");
        self.birth.incidents.quarantined(&self.birth.name, &words);
        kin.iter().for_each(|kin| self.suspects.suspect(kin));
        self.set_aside(msg, kin, reason, tried);
    }

    fn set_aside(&self, msg: S::Msg, kin: Option<String>, reason: String, deliveries: u32) {
        let msg = S::unowed(msg);
        let message = SetAside {
            id: 0,
            stage: self.birth.name.clone(),
            kin: kin.clone(),
            message: shortened(format!("{msg:?}"), WORDS_MAX),
            reason: shortened(reason, WORDS_MAX),
            deliveries,
            at: self.context.now(),
        };
        let (suspects, myself) = (self.suspects.clone(), self.context.myself().clone());
        let release = Delivery::outside(move || {
            kin.iter().for_each(|kin| suspects.clear(kin));
            myself.deliver(msg.clone());
        });
        self.birth.quarantine.set_aside(message, release);
    }

    /// Lets the stage handle a message.
    fn deliver(&mut self, msg: &S::Msg) -> Result<(), String> {
        let stumbles = grid::defect::stumbles_on(&self.birth.name, msg);
        self.attempt(|stage, cx| {
            assert!(!stumbles, "stumbled on purpose");
            stage.handle(msg.clone(), cx);
        })
    }

    /// Runs a handler; what it wanted to send leaves only when it returns.
    fn attempt(&mut self, run: impl FnOnce(&mut S, &mut Context<S::Msg>)) -> Result<(), String> {
        let (stage, context) = (&mut self.stage, &mut self.context);
        let stumbling = |stage: &mut S, context: &mut Context<S::Msg>| {
            run(stage, context);
            assert!(!grid::defect::stumbles(), "stumbled on purpose");
        };
        self.birth.depth.handling().begin();
        // What it delivers itself carries the credit, too.
        let credit = &self.credit;
        let ran = catch_unwind(AssertUnwindSafe(|| carrying(credit, || stumbling(stage, context))));
        self.birth.depth.handling().end();
        match ran {
            Ok(()) => {
                carrying(&self.credit, || self.context.release());
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

    /// Makes the stage anew after a pause. When the budget is spent it waits until there is some again, or gives up when the system's
    /// own messages have spent all of it.
    async fn restart(
        &mut self,
        mut reason: String,
        mut from_outside: bool,
    ) -> Result<(), ActorProcessingErr> {
        let budget = self.birth.restarts_max;
        loop {
            self.forget_old_restarts();
            let own = self.restarts.iter().filter(|restart| !restart.from_outside).count();
            if budget == 0 || (own >= budget && !from_outside) {
                let name = &self.birth.name;
                self.birth.incidents.escalated(name, &reason);
                return Err(format!("{name} used up its {budget} restarts in 10 s, last: {reason}").into());
            }
            while let Some(oldest) = self.restarts.front().filter(|_| self.restarts.len() >= budget) {
                let until = oldest.at + RESTART_WINDOW;
                tracing::error!(stage = %self.birth.name, wait = ?until - Instant::now(), "many messages from outside make it panic: it waits");
                self.birth.hold_ups.begin(&self.birth.name);
                self.birth.depth.hold_up(true);
                tokio::time::sleep_until(until).await;
                self.birth.depth.hold_up(false);
                self.birth.hold_ups.end(self.context.now());
                self.forget_old_restarts();
            }
            let now = Instant::now();
            let pause = pause(&self.birth.name, self.restarts.len(), self.birth.depth.restarts());
            self.restarts.push_back(Restart { at: now, from_outside });
            tracing::warn!(stage = %self.birth.name, %reason, ?pause, "stage panicked and is restarted");
            self.birth.incidents.restarted(&self.birth.name, &reason);
            self.birth.depth.restarted();
            tokio::time::sleep(pause).await;
            let build = self.birth.build.clone();
            match self.attempt(|stage, cx| {
                *stage = build();
                stage.started(cx);
            }) {
                Ok(()) => return Ok(()),
                // It cannot even begin: no message is to blame for that.
                Err(again) => (reason, from_outside) = (again, false),
            }
        }
    }

    /// Whether little is left of the budget.
    fn is_short(&mut self) -> bool {
        self.forget_old_restarts();
        self.restarts.len() >= DELIVERIES_MAX as usize
    }

    fn forget_old_restarts(&mut self) {
        let now = Instant::now();
        self.restarts.retain(|restart| now.duration_since(restart.at) < RESTART_WINDOW);
    }
}

fn panic_words(panic: &(dyn std::any::Any + Send)) -> String {
    (panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic without words".to_owned())
}
