//! What is known of an edge node, without a connection: born, dead, or to be asked again; which alias is which metric; and what
//! each message says of the points that hang on it.

use super::payload::{Metric, Payload, Said};
use super::topic::Kind;
use crate::house::{FUTURE_MAX, Refusal, RejectCode};
use grid::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How long a birth is waited for before what hangs on the node is missing, and before it is asked for again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// A node that never answers is asked ever more seldom.
const PATIENCE_MAX: Duration = Duration::from_secs(300);
/// A node that says nothing is asked what holds: it tells changes only.
pub(super) const QUIET: Duration = Duration::from_secs(60);
/// Aliases of one node that are remembered.
const ALIASES_MAX: usize = 100_000;

/// What a message says of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::mqtt::foreign) enum Event {
    /// A number, and when it held.
    Value {
        /// Position in the list of points.
        point: usize,
        /// As it is there.
        number: f64,
        /// By what the message says.
        at: Timestamp,
        /// It says nothing of now.
        is_historical: bool,
    },
    /// Nothing is known of it now.
    Missing {
        /// Position in the list of points.
        point: usize,
    },
}

/// A metric that points hang on.
#[derive(Debug)]
struct Watched {
    device: Option<String>,
    name: String,
    points: Vec<usize>,
    /// By its birth.
    kind: Option<u64>,
    /// What it is now, and since when it was so at the latest.
    holds: Option<(f64, Timestamp)>,
}

/// A birth and what was counted since.
#[derive(Debug)]
struct Life {
    birth: Option<u64>,
    /// The number of the next message.
    next: u8,
    devices: BTreeSet<String>,
    /// Which watched metric an alias stands for, or that it is one that nobody watches.
    aliases: BTreeMap<u64, Option<usize>>,
}

#[derive(Debug)]
enum State {
    /// It has to be asked: since when it is not known, and when it was asked last.
    Unknown {
        since: Instant,
        asked: Option<Instant>,
        patience: Duration,
    },
    Born(Life),
    /// It said so, or the broker did.
    Dead,
}

/// An edge node and what hangs on it.
#[derive(Debug)]
pub(super) struct Node {
    watched: Vec<Watched>,
    state: State,
    /// When anything in order was heard of it.
    heard: Instant,
    asked: Instant,
    /// Whether what a birth has not named by then is missing, and when.
    settle_by: Option<Instant>,
}

fn refused<T>(code: RejectCode, reason: impl Into<String>) -> Result<T, Refusal> {
    Err((code, reason.into()))
}

fn unknown(now: Instant) -> State {
    State::Unknown { since: now, asked: None, patience: PATIENCE }
}

impl Node {
    /// One with these metrics: device, name and positions of the points.
    pub fn new(metrics: impl IntoIterator<Item = ((Option<String>, String), Vec<usize>)>) -> Self {
        let watched = metrics.into_iter().map(|((device, name), points)| Watched {
            device,
            name,
            points,
            kind: None,
            holds: None,
        });
        let now = Instant::now();
        Self { watched: watched.collect(), state: unknown(now), heard: now, asked: now, settle_by: None }
    }

    /// Positions of all its points.
    pub fn points(&self) -> Vec<usize> {
        self.watched.iter().flat_map(|watched| watched.points.iter().copied()).collect()
    }

    /// Nothing is known any more: the connection began anew, and what was said meanwhile was not heard.
    pub fn forget(&mut self) {
        let now = Instant::now();
        (self.state, self.heard, self.asked, self.settle_by) = (unknown(now), now, now, None);
        self.watched.iter_mut().for_each(|watched| watched.holds = None);
    }

    /// Takes a message.
    ///
    /// # Errors
    /// It is none, or not in its place; what it says is not used, and the node is asked to be born again.
    pub fn take(
        &mut self,
        kind: Kind,
        device: Option<&str>,
        bytes: &[u8],
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let Ok(payload) = Payload::read(bytes) else {
            self.doubt();
            return refused(RejectCode::Encoding, "no payload of Sparkplug B");
        };
        match (kind, device) {
            (Kind::Death, None) => return self.die(&payload, events),
            (Kind::Birth, None) => self.be_born(&payload, now)?,
            _ => self.count(&payload)?,
        }
        let State::Born(life) = &mut self.state else { return Ok(()) };
        match (kind, device) {
            (Kind::Birth, Some(device)) => drop(life.devices.insert(device.to_owned())),
            (Kind::Death, Some(device)) => {
                life.devices.remove(device);
                self.miss(|watched| watched.device.as_deref() == Some(device), events);
                return Ok(());
            }
            (Kind::Data, Some(device)) if !life.devices.contains(device) => {
                self.doubt();
                return refused(
                    RejectCode::Order,
                    format!("data of device {device:.60?}, which is not born"),
                );
            }
            _ => {}
        }
        if kind == Kind::Birth {
            self.learn(device, &payload, events)?;
        }
        self.heard = Instant::now();
        let told = self.tell(kind, device, &payload, now, events);
        self.hold(&payload, now, events);
        told
    }

    /// Which of its metrics are born; what is not among them is missing.
    fn learn(
        &mut self,
        device: Option<&str>,
        payload: &Payload<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let mut named = BTreeSet::new();
        let mut aliases = Vec::new();
        for metric in &payload.metrics {
            let Some(name) = metric.name else { continue };
            let place = self
                .watched
                .binary_search_by(|watched| {
                    (watched.device.as_deref(), watched.name.as_str()).cmp(&(device, name))
                })
                .ok();
            if let Some(place) = place {
                named.insert(place);
                self.watched[place].kind = metric.kind;
            }
            aliases.extend(metric.alias.map(|alias| (alias, place)));
        }
        if let State::Born(life) = &mut self.state {
            life.aliases.extend(aliases);
            if life.aliases.len() > ALIASES_MAX {
                self.doubt();
                return refused(RejectCode::TooLarge, format!("more than {ALIASES_MAX} aliases"));
            }
        }
        for (place, watched) in self.watched.iter_mut().enumerate() {
            if watched.device.as_deref() == device && !named.contains(&place) {
                watched.holds = None;
                events.extend(watched.points.iter().map(|point| Event::Missing { point: *point }));
            }
        }
        Ok(())
    }

    fn be_born(&mut self, payload: &Payload<'_>, now: Timestamp) -> Result<(), Refusal> {
        let Ok(number) = u8::try_from(payload.number) else {
            self.doubt();
            return refused(RejectCode::Order, format!("number {}, 0 to 255 are counted", payload.number));
        };
        if let Err(refusal) = at_the_latest(payload.time, now) {
            self.doubt();
            return Err(refusal);
        }
        self.state = State::Born(Life {
            birth: payload.birth_number(),
            next: number.wrapping_add(1),
            devices: BTreeSet::new(),
            aliases: BTreeMap::new(),
        });
        self.settle_by = Some(Instant::now() + PATIENCE);
        Ok(())
    }

    /// A death that belongs to an earlier birth says nothing: a broker may tell it late.
    fn die(&mut self, payload: &Payload<'_>, events: &mut Vec<Event>) -> Result<(), Refusal> {
        if let State::Born(Life { birth: Some(birth), .. }) = self.state
            && payload.birth_number().is_some_and(|number| number != birth)
        {
            return refused(RejectCode::Order, "the death of an earlier birth");
        }
        self.state = State::Dead;
        self.settle_by = None;
        self.miss(|_| true, events);
        Ok(())
    }

    /// Whether a message is the next one.
    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        let State::Born(life) = &mut self.state else {
            self.doubt();
            if let State::Unknown { patience, .. } = &mut self.state {
                // It is there, and will answer.
                *patience = PATIENCE;
            }
            return refused(RejectCode::Order, "a message of a node of which no birth was heard");
        };
        if payload.number != u64::from(life.next) {
            let reason = format!("message {} came where {} was due", payload.number, life.next);
            self.doubt();
            return refused(RejectCode::Order, reason);
        }
        life.next = life.next.wrapping_add(1);
        Ok(())
    }

    /// Something was missed: what an alias stands for is not known any more.
    fn doubt(&mut self) {
        if !matches!(self.state, State::Unknown { .. }) {
            self.state = unknown(Instant::now());
            self.settle_by = None;
        }
    }

    fn miss(&mut self, which: impl Fn(&Watched) -> bool, events: &mut Vec<Event>) {
        for watched in self.watched.iter_mut().filter(|watched| which(watched)) {
            watched.holds = None;
            events.extend(watched.points.iter().map(|point| Event::Missing { point: *point }));
        }
    }

    /// What the metrics of a message say.
    fn tell(
        &mut self,
        kind: Kind,
        device: Option<&str>,
        payload: &Payload<'_>,
        now: Timestamp,
        events: &mut Vec<Event>,
    ) -> Result<(), Refusal> {
        let mut fault = None;
        for metric in &payload.metrics {
            let Some(place) = self.place(device, metric)? else { continue };
            let watched = &mut self.watched[place];
            let own = if kind == Kind::Birth && !metric.is_historical {
                // What is born holds now, however long ago it changed.
                metric.time.max(payload.time)
            } else {
                metric.time.or(payload.time)
            };
            let said = at_the_latest(own, now).map(|at| (at, metric.said(watched.kind)));
            let said = match said {
                Ok((at, Said::Number(number))) => Some((number, at)),
                Ok((_, Said::Nothing)) => None,
                Ok((_, Said::NoNumber)) => {
                    fault = Some((RejectCode::Value, format!("{:.60} is no number", watched.name)));
                    None
                }
                Err(refusal) => {
                    fault = Some(refusal);
                    None
                }
            };
            match said {
                Some((number, at)) if metric.is_historical => {
                    let value =
                        |point: &usize| Event::Value { point: *point, number, at, is_historical: true };
                    events.extend(watched.points.iter().map(value));
                }
                _ if metric.is_historical => {}
                Some((number, at)) => {
                    let at = watched.holds.map_or(at, |(_, before)| before.max(at));
                    watched.holds = Some((number, at));
                    let value =
                        |point: &usize| Event::Value { point: *point, number, at, is_historical: false };
                    events.extend(watched.points.iter().map(value));
                }
                None => {
                    watched.holds = None;
                    events.extend(watched.points.iter().map(|point| Event::Missing { point: *point }));
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// Which watched metric is meant.
    fn place(&mut self, device: Option<&str>, metric: &Metric<'_>) -> Result<Option<usize>, Refusal> {
        if let Some(name) = metric.name {
            let key = (device, name);
            return Ok(self
                .watched
                .binary_search_by(|watched| (watched.device.as_deref(), watched.name.as_str()).cmp(&key))
                .ok());
        }
        let State::Born(life) = &self.state else { return Ok(None) };
        let known = metric.alias.and_then(|alias| life.aliases.get(&alias).copied());
        known.map_or_else(
            || {
                let reason = format!("alias {:?} was not named in the birth", metric.alias);
                self.doubt();
                refused(RejectCode::Order, reason)
            },
            Ok,
        )
    }

    /// A node tells changes only: what it did not name still holds, at the time of its message.
    fn hold(&mut self, payload: &Payload<'_>, now: Timestamp, events: &mut Vec<Event>) {
        let State::Born(life) = &self.state else { return };
        let Ok(at) = at_the_latest(payload.time, now) else { return };
        for watched in &mut self.watched {
            let is_alive = watched.device.as_ref().is_none_or(|device| life.devices.contains(device));
            let Some((number, held)) = watched.holds.filter(|_| is_alive) else { continue };
            if at.since(held) >= QUIET {
                watched.holds = Some((number, at));
                let value = |point: &usize| Event::Value { point: *point, number, at, is_historical: false };
                events.extend(watched.points.iter().map(value));
            }
        }
    }

    /// What is so because time has passed; whether the node is to be asked now to be born again.
    pub fn look(&mut self, silence: Duration, events: &mut Vec<Event>) -> bool {
        let now = Instant::now();
        if self.settle_by.is_some_and(|by| now >= by) {
            self.settle_by = None;
            if let State::Born(Life { devices, .. }) = &self.state {
                let devices = devices.clone();
                let is_unborn = |watched: &Watched| {
                    watched.device.as_ref().is_some_and(|device| !devices.contains(device))
                };
                self.miss(is_unborn, events);
            }
        }
        if now.duration_since(self.heard) > silence {
            self.miss(|watched| watched.holds.is_some(), events);
        }
        match &mut self.state {
            State::Dead => false,
            State::Born(_) => {
                let is_due = now.duration_since(self.heard.max(self.asked)) >= QUIET;
                if is_due {
                    self.asked = now;
                }
                is_due
            }
            State::Unknown { since, asked, patience } => {
                let is_due = asked.is_none_or(|asked| now.duration_since(asked) >= *patience);
                if is_due {
                    *patience = asked.map_or(PATIENCE, |_| (*patience * 2).min(PATIENCE_MAX));
                    *asked = Some(now);
                }
                let is_over = now.duration_since(*since) >= PATIENCE;
                if is_over {
                    self.miss(|watched| watched.holds.is_some(), events);
                }
                is_due
            }
        }
    }
}

/// The time of a message, or now where it has none.
fn at_the_latest(time: Option<u64>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let Some(millis) = time else { return Ok(now) };
    // Timestamps end in 2200.
    let at = (millis < 7_200_000_000_000)
        .then(|| Timestamp::from_seconds(0).plus(Duration::from_millis(millis)))
        .filter(|at| *at <= now.plus(FUTURE_MAX));
    at.ok_or_else(|| (RejectCode::Time, format!("its time, {millis} ms since 1970, is ahead of ours, {now}")))
}
