//! A stage: state with synchronous methods. What it wants to send is collected in a [`Context`] and leaves only
//! when the handler has returned, so a handler that panics has sent nothing and can be repeated.

use super::cause::{Cause, computing};
use super::credit::{Credit, carried};
use super::depths::Depth;
use super::environment::{Compute, Environment};
use grid::{Slot, Timestamp, beside};
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The state behind an actor.
///
/// Messages are cloned before each delivery so that a delivery that panics can be repeated; keep them small
/// (`Arc` for payloads).
pub trait Stage: Send + 'static {
    /// Everything that can wake it.
    type Msg: Clone + std::fmt::Debug + Send + Sync + 'static;

    /// Called after each (re)start: set timers, take up what the books say is unfinished.
    fn started(&mut self, _cx: &mut Context<Self::Msg>) {}

    /// Handles one message.
    fn handle(&mut self, msg: Self::Msg, cx: &mut Context<Self::Msg>);

    /// What a message from outside has in common with others that would fail like it: its kind and who it is from. After
    /// one was quarantined, those of its kin are set aside unseen for a while. Nothing for the system's own messages, above
    /// all timers: they are always tried, and when they keep failing the stage is broken.
    fn kin(_msg: &Self::Msg) -> Option<String> {
        None
    }

    /// The parts of a message that carries several independent things, so that one that fails does not take the others
    /// with it. Empty when it cannot be divided.
    fn divide(_msg: &Self::Msg) -> Vec<Self::Msg> {
        Vec::new()
    }

    /// The message without what its sender waits for, to be set aside: what lies in quarantine, perhaps for days, must not
    /// hold back acknowledgements. A message that carries a [`Receipt`](connectors::Receipt) gives it up here; its sender
    /// learns that it was not taken.
    fn unowed(msg: Self::Msg) -> Self::Msg {
        msg
    }
}

/// Where a stage receives its messages. It survives restarts of the stage.
#[derive(Debug)]
pub struct Address<M> {
    actor: ActorRef<Envelope<M>>,
    depth: Depth,
}

/// A message with the credit it carries, and why it was sent.
#[derive(Debug)]
pub struct Envelope<M> {
    pub(super) msg: M,
    pub(super) credit: Option<Credit>,
    pub(super) cause: Cause,
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { actor: self.actor.clone(), depth: self.depth.clone() }
    }
}

impl<M: Clone + Send + Sync + 'static> Address<M> {
    pub(super) fn new(actor: ActorRef<Envelope<M>>, depth: Depth) -> Self {
        Self { actor, depth }
    }

    /// Puts a message into the mailbox at once. Stages use [`Context::send`] instead; this is for connectors,
    /// doors and tests. A stage that has stopped is part of a system that is stopping, so nothing is reported.
    pub fn deliver(&self, msg: M) {
        self.put(msg, carried(), Cause::present());
    }

    /// Puts a message into the mailbox at once that carries a credit.
    pub fn deliver_carrying(&self, msg: M, credit: Option<Credit>) {
        self.put(msg, credit, Cause::present());
    }

    fn put(&self, msg: M, credit: Option<Credit>, cause: Cause) {
        self.depth.put();
        if self.actor.cast(Envelope { msg, credit, cause }).is_err() {
            self.depth.taken();
            tracing::debug!("a message for a stopped stage was discarded");
        }
    }

    /// A delivery to be made later, for instance after the journal has synced. Whatever makes it, it is caused by what asks
    /// for it now.
    pub fn sending(&self, msg: M) -> Delivery {
        let (address, cause) = (self.clone(), Cause::present());
        Delivery(Arc::new(move || address.put(msg.clone(), carried(), cause.clone())))
    }
}

/// A message with its address, to be delivered when the time has come.
#[derive(Clone)]
pub struct Delivery(Arc<dyn Fn() + Send + Sync>);

impl Delivery {
    /// Delivers.
    pub fn make(&self) {
        (self.0)();
    }

    /// A delivery to someone outside the actors, for instance a waiting HTTP request.
    pub fn outside(deliver: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(deliver))
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Delivery")
    }
}

/// Work that a stage does not do itself, with what is said when it panics.
struct Job<M> {
    work: Box<dyn FnOnce() -> M + Send>,
    if_it_panics: M,
    kind: Work,
}

/// What work does most of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Calculates.
    Numerics,
    /// Waits for a disk.
    Disk,
    /// Reads and calculates for long, and may be asked for a thousand times at once.
    Search,
}

/// What a handler sees of the world, and what it wants done.
pub struct Context<M> {
    environment: Environment,
    myself: Address<M>,
    deliveries: Vec<Delivery>,
    timers: Vec<(Timestamp, M)>,
    jobs: Vec<Job<M>>,
    beats: BTreeMap<(Duration, Duration), Timestamp>,
    /// Which life of the stage this is; timers of an earlier life ring for nobody.
    life: Arc<AtomicU64>,
    pub(super) given_up: Option<String>,
}

impl<M: Clone + Send + Sync + 'static> Context<M> {
    pub(super) fn new(environment: Environment, myself: Address<M>) -> Self {
        Self {
            environment,
            myself,
            deliveries: Vec::new(),
            timers: Vec::new(),
            jobs: Vec::new(),
            beats: BTreeMap::new(),
            life: Arc::default(),
            given_up: None,
        }
    }

    /// Forgets everything a panicking handler wanted, and the timers of the stage that is gone: the next one sets
    /// its own.
    pub(super) fn end_life(&mut self) {
        self.deliveries.clear();
        self.timers.clear();
        self.jobs.clear();
        self.beats.clear();
        self.given_up = None;
        self.life.fetch_add(1, Ordering::Relaxed);
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        self.environment.now()
    }

    /// The stage's own address.
    pub fn myself(&self) -> &Address<M> {
        &self.myself
    }

    /// Sends a message when the handler has returned.
    pub fn send<T: Clone + Send + Sync + 'static>(&mut self, to: &Address<T>, msg: T) {
        self.deliveries.push(to.sending(msg));
    }

    /// Makes a delivery when the handler has returned.
    pub fn make(&mut self, delivery: Delivery) {
        self.deliveries.push(delivery);
    }

    /// Wakes this stage with `msg` when the clock shows `at`.
    pub fn wake_at(&mut self, at: Timestamp, msg: M) {
        self.timers.push((at, msg));
    }

    /// Wakes this stage with `msg` at the next multiple of `period` (counted from the epoch) plus `offset`. A stage
    /// has one beat per period and offset: asking again for one that is still to come changes nothing, so a beat
    /// whose handler panicked and is repeated does not ring twice from then on.
    pub fn wake_each(&mut self, period: Duration, offset: Duration, msg: M) {
        let now = self.now();
        let armed = self.beats.entry((period, offset)).or_insert(now);
        if *armed > now {
            return;
        }
        let at = next_beat(now, period, offset);
        *armed = at;
        self.wake_at(at, msg);
    }

    /// Runs heavy numerics where the environment says and sends the result to this stage; `if_it_panics` is sent
    /// instead when the work panics.
    pub fn compute(&mut self, if_it_panics: M, work: impl FnOnce() -> M + Send + 'static) {
        self.jobs.push(Job { work: Box::new(work), if_it_panics, kind: Work::Numerics });
    }

    /// The same of work that waits for a disk. In virtual time disks take no time.
    pub fn at_disk(&mut self, if_it_panics: M, work: impl FnOnce() -> M + Send + 'static) {
        self.jobs.push(Job { work: Box::new(work), if_it_panics, kind: Work::Disk });
    }

    /// The same of a long search in what lies on a disk: few of them run at once, the others wait for their turn.
    pub fn search(&mut self, if_it_panics: M, work: impl FnOnce() -> M + Send + 'static) {
        self.jobs.push(Job { work: Box::new(work), if_it_panics, kind: Work::Search });
    }

    /// Ends this actor and with it the system: for what no restart can mend.
    pub fn give_up(&mut self, reason: String) {
        self.given_up = Some(reason);
    }

    /// Lets out everything collected: sends first, then timers, then work.
    pub(super) fn release(&mut self) {
        for delivery in self.deliveries.drain(..) {
            delivery.make();
        }
        for (at, msg) in self.timers.drain(..) {
            let (clock, myself) = (self.environment.clock().clone(), self.myself.clone());
            let (life, born_in) = (self.life.clone(), self.life.load(Ordering::Relaxed));
            tokio::spawn(async move {
                clock.sleep_until(at).await;
                if life.load(Ordering::Relaxed) == born_in {
                    myself.deliver(msg);
                }
            });
        }
        for Job { work, if_it_panics, kind } in self.jobs.drain(..) {
            let (myself, span) = (self.myself.clone(), computing());
            let guarded = std::panic::AssertUnwindSafe(work);
            let finish = move || std::panic::catch_unwind(guarded).unwrap_or(if_it_panics);
            match self.environment.compute() {
                Compute::Blocking if kind == Work::Search => {
                    let turns = self.environment.searches();
                    let finish = move || myself.put(finish(), None, Cause::present());
                    tokio::spawn(async move {
                        // Nobody closes it.
                        let _turn = turns.acquire_owned().await;
                        let _ = tokio::task::spawn_blocking(move || span.in_scope(finish)).await;
                    });
                }
                Compute::Blocking => {
                    let finish = move || myself.put(finish(), carried(), Cause::present());
                    tokio::task::spawn_blocking(move || span.in_scope(finish));
                }
                Compute::Beside { takes } if kind == Work::Numerics => {
                    let (clock, until) =
                        (self.environment.clock().clone(), self.environment.now().plus(takes));
                    let cause = span.in_scope(Cause::present);
                    let found = beside(move || span.in_scope(finish));
                    tokio::spawn(async move {
                        clock.sleep_until(until).await;
                        myself.put(found.found(), None, cause);
                    });
                }
                Compute::Inline | Compute::Beside { .. } => {
                    span.in_scope(|| myself.put(finish(), carried(), Cause::present()));
                }
            }
        }
    }
}

/// The first instant after `now` that is a multiple of `period` from the epoch, plus `offset`.
pub fn next_beat(now: Timestamp, period: Duration, offset: Duration) -> Timestamp {
    let period = i64::try_from(period.as_nanos()).unwrap_or(i64::MAX).max(1);
    let offset = i64::try_from(offset.as_nanos()).unwrap_or(0);
    let beats = (now.nanos() - offset).div_euclid(period) + 1;
    Timestamp::from_nanos(beats * period + offset)
}

/// The start of the first slot that begins at or after `at`.
pub fn slot_from(at: Timestamp) -> Slot {
    let slot = at.slot();
    if slot.start() == at { slot } else { slot.plus(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_are_aligned_and_always_in_the_future() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let minute = Duration::from_secs(60);
        let beat = |now| next_beat(at(now), minute, Duration::from_secs(5)).to_string();
        assert_eq!(beat("2026-01-15T16:30:00Z"), "2026-01-15T16:30:05Z");
        assert_eq!(beat("2026-01-15T16:30:05Z"), "2026-01-15T16:31:05Z");
        assert_eq!(slot_from(at("2026-01-15T16:30:00Z")).to_string(), "2026-01-15T16:30:00Z");
        assert_eq!(slot_from(at("2026-01-15T16:30:01Z")).to_string(), "2026-01-15T16:45:00Z");
    }
}
