//! The client: keeps a connection, tells what is reported and what is missing, and starts again.

use super::config::{ConfigError, OpcUaConfig};
use super::decode::decode;
use super::identity::Identity;
use super::point::{Cause, Point};
use super::session::{Connection, Item};
use crate::exchange::{Closed, Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{Message, RejectCode, Rejected};
use crate::link::{End, Source};
use crate::watched::Watched;
use grid::{Clock, Measurement};
use opcua::types::{DataValue, NodeId};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A connection has to last this long before the next attempt after it comes at once.
const STEADY: Duration = Duration::from_secs(10);
/// A point that was silent for so long is read, which is less than [`crate::point_map::SILENCE_MAX`].
const SILENT: Duration = Duration::from_secs(25);
/// How often silent points are looked after.
const LOOK_AFTER: Duration = Duration::from_secs(5);
/// How often the server is asked again to watch what it refused.
const WATCH_AGAIN: Duration = Duration::from_secs(60);
/// How long the server may take to say good-bye.
const GOOD_BYE: Duration = Duration::from_secs(1);

/// Starts to listen to a server in a task of its own. Must be called inside a tokio runtime. The task ends soon after the
/// inbox was dropped. Makes our own certificate when there is none.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent server is no error.
pub fn connect(config: OpcUaConfig, clock: Arc<dyn Clock>) -> Result<Source, ConfigError> {
    config.check()?;
    let identity = Identity::open(&config.store, &config.application)?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let name = config.name.clone();
    let points = config.points.iter().cloned().map(Point::new).collect();
    let client = Client {
        config,
        identity,
        points,
        clock,
        inbox: writer,
        counters: counters.clone(),
        up: None,
        backoff: BACKOFF_MIN,
    };
    tokio::spawn(client.run());
    Ok(Source { name, inbox: reader, counters })
}

impl From<String> for End {
    fn from(reason: String) -> Self {
        End::Lost(reason)
    }
}

struct Client {
    config: OpcUaConfig,
    identity: Identity,
    points: Vec<Point>,
    clock: Arc<dyn Clock>,
    inbox: InboxWriter,
    counters: Arc<Counters>,
    /// What was last told; `None` before the first attempt.
    up: Option<bool>,
    backoff: Duration,
}

impl Client {
    async fn run(mut self) {
        while !self.inbox.is_closed() {
            let began = tokio::time::Instant::now();
            let End::Lost(reason) = self.connection().await else { return };
            if self.lost(reason).await.is_err() {
                return;
            }
            if began.elapsed() >= STEADY {
                self.backoff = BACKOFF_MIN;
            }
            tokio::select! {
                () = sleep(self.backoff) => {}
                () = self.inbox.closed() => return,
            }
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Says once that nothing comes any more: first of each point, then of the server.
    async fn lost(&mut self, reason: String) -> Result<(), Closed> {
        let now = self.clock.now();
        let missing: Vec<_> = self.points.iter_mut().filter_map(|point| point.lose(now)).collect();
        self.tell(missing).await?;
        if self.up != Some(false) {
            self.up = Some(false);
            tracing::warn!(%reason, source = %self.config.name, "opcua server lost");
            self.inbox.link(LinkState::Down { reason })?;
        }
        Ok(())
    }

    async fn tell(&mut self, values: Vec<Measurement>) -> Result<(), Closed> {
        if values.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(values)).await }
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> End {
        let opened = tokio::select! {
            opened = Connection::open(&self.config, &self.identity) => opened,
            () = self.inbox.closed() => return End::Unheard,
        };
        let connection = match opened {
            Ok(connection) => connection,
            Err(reason) => return End::Lost(reason),
        };
        let Err(end) = self.listen(&connection).await;
        connection.close(GOOD_BYE).await;
        end
    }

    async fn listen(&mut self, connection: &Connection) -> Result<std::convert::Infallible, End> {
        self.points.iter_mut().for_each(|point| point.heard_at = None);
        let nodes = self.nodes(connection).await?;
        let mut unwatched: Vec<usize> = (0..self.points.len()).filter(|&at| nodes[at].is_some()).collect();
        self.watch(connection, &nodes, &mut unwatched).await?;
        self.reached()?;
        let reports = connection.reports();
        let (mut look_after, mut watch_again) = (every(LOOK_AFTER), every(WATCH_AGAIN));
        let mut pinned = Watched::new(self.config.server_certificate.clone());
        self.trusts(connection)?;
        loop {
            tokio::select! {
                reported = reports.take() => {
                    let (reported, skipped) = reported?;
                    self.counters.add_received();
                    self.counters.add_overtaken(skipped);
                    self.take(reported, |point| match point.heard_at {
                        // The first report of a subscription says what holds now.
                        None => Cause::Asked,
                        Some(_) => Cause::Changed,
                    }).await?;
                }
                _ = look_after.tick() => {
                    self.ask_the_silent(connection, &nodes, &unwatched).await?;
                }
                _ = watch_again.tick() => self.watch(connection, &nodes, &mut unwatched).await?,
                _ = pinned.changed() => self.trusts(connection)?,
                () = self.inbox.closed() => return Err(End::Unheard),
            }
        }
    }

    /// Ends a connection whose server is another one than the one pinned now.
    fn trusts(&self, connection: &Connection) -> Result<(), End> {
        match connection.is_trusted_still(&self.config) {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(End::Lost("server_certificate was changed: another server is trusted now".to_owned()))
            }
            Err(reason) => {
                tracing::error!(%reason, source = %self.config.name, "the changed server_certificate is not taken over; the old one goes on");
                Ok(())
            }
        }
    }

    /// The node of each point; what cannot be found is told to be missing.
    async fn nodes(&mut self, connection: &Connection) -> Result<Vec<Option<NodeId>>, End> {
        let namespaces = connection.namespaces().await?;
        let nodes: Vec<_> = self.points.iter().map(|point| point.tag.resolve(&namespaces)).collect();
        let now = self.clock.now();
        let mut missing = Vec::new();
        for (point, node) in self.points.iter_mut().zip(&nodes) {
            if node.is_none() {
                missing.extend(point.lose(now));
                let reason = format!("the server has no such namespace; it has {}", namespaces.join(", "));
                self.inbox.refuse(&Rejected::new(&point.mapped.tag, RejectCode::Point, reason));
            }
        }
        self.tell(missing).await?;
        Ok(nodes)
    }

    /// Asks the server to watch points; those it refuses stay in the list, are told to be missing and asked for again later.
    async fn watch(
        &mut self,
        connection: &Connection,
        nodes: &[Option<NodeId>],
        unwatched: &mut Vec<usize>,
    ) -> Result<(), End> {
        let items: Vec<Item> = (unwatched.iter())
            .filter_map(|&at| {
                let mapped = &self.points[at].mapped;
                let deadband = mapped.deadband / mapped.factor.abs();
                Some(Item { point: at, node: nodes[at].clone()?, deadband })
            })
            .collect();
        if items.is_empty() {
            return Ok(());
        }
        let answers = connection.watch(&items).await?;
        let (now, mut missing) = (self.clock.now(), Vec::new());
        unwatched.clear();
        for (item, status) in items.iter().zip(answers) {
            if !status.is_bad() {
                continue;
            }
            unwatched.push(item.point);
            let point = &mut self.points[item.point];
            if let Some(told) = point.lose(now) {
                missing.push(told);
            }
            let reason = format!("the server refuses to watch it: {status}");
            self.inbox.refuse(&Rejected::new(&point.mapped.tag, RejectCode::Point, reason));
        }
        Ok(self.tell(missing).await?)
    }

    /// Reads what has not been heard of for a while: whether it still holds.
    async fn ask_the_silent(
        &mut self,
        connection: &Connection,
        nodes: &[Option<NodeId>],
        unwatched: &[usize],
    ) -> Result<(), End> {
        let now = self.clock.now();
        let is_silent = |point: &Point| point.heard_at.is_none_or(|heard_at| now.since(heard_at) >= SILENT);
        let silent: Vec<(usize, NodeId)> = (self.points.iter().enumerate())
            .filter(|(at, point)| is_silent(point) && !unwatched.contains(at))
            .filter_map(|(at, _)| Some((at, nodes[at].clone()?)))
            .collect();
        if silent.is_empty() {
            return Ok(());
        }
        let wanted: Vec<NodeId> = silent.iter().map(|(_, node)| node.clone()).collect();
        let read = connection.read(&wanted).await?;
        self.counters.add_received();
        let read = silent.into_iter().map(|(at, _)| at).zip(read);
        Ok(self.take(read, |_| Cause::Asked).await?)
    }

    /// The server answered.
    fn reached(&mut self) -> Result<(), Closed> {
        if self.up == Some(true) {
            return Ok(());
        }
        self.up = Some(true);
        tracing::info!(source = %self.config.name, server = %self.config.endpoint, "opcua server reached");
        self.inbox.link(LinkState::Up)
    }

    /// Passes on what was reported.
    async fn take(
        &mut self,
        reported: impl IntoIterator<Item = (usize, DataValue)>,
        cause: impl Fn(&Point) -> Cause,
    ) -> Result<(), Closed> {
        let (now, mut told) = (self.clock.now(), Vec::new());
        for (at, report) in reported {
            // A handle that we never gave away belongs to no point.
            let Some(point) = self.points.get_mut(at) else { continue };
            let cause = cause(point);
            let taken = decode(&report).and_then(|reading| point.take(&reading, cause, now));
            match taken {
                Ok(value) => told.extend(value),
                Err((code, reason)) => {
                    point.heard_at = Some(now);
                    told.extend(point.lose(now));
                    self.inbox.refuse(&Rejected::new(&point.mapped.tag, code, reason));
                }
            }
        }
        self.tell(told).await
    }
}

/// Ticks for the first time after one period.
fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval.reset();
    interval
}
