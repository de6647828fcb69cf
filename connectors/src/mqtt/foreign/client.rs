//! The client: connects, subscribes to what the point map names, says what is missing, and starts again.

use super::config::{BrokerConfig, ConfigError};
use super::decode::{self, Found, PAYLOAD_BYTES_MAX};
use super::sparkplug::{Event, Nodes};
use super::tag::{Row, Tag};
use super::tls;
use crate::exchange::{Closed, Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{self, Message, RejectCode, Rejected};
use crate::link::{End, Source};
use crate::mqtt::door::wire::{Broken, Wire};
use crate::point_map::{MappedPoint, Passed};
use grid::{Clock, Measurement, Quality, Timestamp};
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Connect, ConnectReturnCode, Login, Packet, PubAck, Publish, SubAck, Subscribe, SubscribeFilter,
    SubscribeReasonCode,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep, timeout};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// For connecting, TLS, and every answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How often is looked whether a point fell silent and the connection is alive.
const LOOK: Duration = Duration::from_secs(1);
/// Topics in one packet.
const FILTERS: usize = 50;
/// A topic and what is around it, beyond the payload.
const PACKET_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + 1024;

/// Starts to listen to a broker in a task of its own. Must be called inside a tokio runtime. The task ends soon after the inbox
/// was dropped.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent broker is no error.
pub fn connect(config: BrokerConfig, clock: Arc<dyn Clock>) -> Result<Source, ConfigError> {
    config.check()?;
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(Limits::default(), counters.clone());
    let name = config.name.clone();
    let (mut points, mut by_topic) = (Vec::new(), BTreeMap::<String, Vec<usize>>::new());
    let metrics = config.points.iter().enumerate().filter_map(|(number, (tag, _))| match tag {
        Tag::Metric(tag) => Some((number, tag)),
        Tag::Payload(_) => None,
    });
    let nodes = Nodes::new(metrics);
    for (number, (tag, mapped)) in config.points.iter().cloned().enumerate() {
        let (row, pointer, is_metric) = match tag {
            Tag::Payload(tag) => {
                by_topic.entry(tag.topic).or_default().push(number);
                (tag.row, tag.pointer, false)
            }
            Tag::Metric(_) => (None, String::new(), true),
        };
        points.push(Point {
            row,
            pointer,
            is_metric,
            mapped,
            passed: Passed::default(),
            missing: false,
            heard: Instant::now(),
        });
    }
    let client = Client {
        config,
        points,
        by_topic,
        nodes,
        clock,
        inbox: writer,
        counters: counters.clone(),
        up: None,
        backoff: BACKOFF_MIN,
    };
    tokio::spawn(client.run());
    Ok(Source { name, inbox: reader, counters })
}

/// One point, and what was told of it.
struct Point {
    row: Option<Row>,
    pointer: String,
    /// Whether it is one of Sparkplug B, whose silence is that of its node.
    is_metric: bool,
    mapped: MappedPoint,
    passed: Passed,
    /// Whether the last thing told is that it is missing.
    missing: bool,
    /// When something was last heard of it, at the earliest the beginning of the connection.
    heard: Instant,
}

impl Point {
    fn measurement(
        &self,
        value: f64,
        quality: Quality,
        measured_at: Timestamp,
        received_at: Timestamp,
    ) -> Measurement {
        Measurement { point: self.mapped.point, value, quality, measured_at, received_at }
    }

    /// What is to be told of a number.
    fn take(
        &mut self,
        number: f64,
        measured_at: Timestamp,
        received_at: Timestamp,
    ) -> Result<Option<Measurement>, house::Refusal> {
        // Nothing fed in is nothing, not minus nothing.
        let value = number * self.mapped.factor + 0.0;
        let value = self.measurement(value, Quality::Measured, measured_at, received_at);
        house::check_measurement(&value)?;
        self.heard = Instant::now();
        self.missing = false;
        Ok(self.passed.is_news(&value, self.mapped.deadband).then_some(value))
    }

    /// That it is missing, unless that was told.
    fn lose(&mut self, at: Timestamp) -> Option<Measurement> {
        let is_news = !std::mem::replace(&mut self.missing, true);
        self.passed.forget();
        is_news.then(|| self.measurement(0.0, Quality::Missing, at, at))
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Connection = Wire<Box<dyn Stream>>;

struct Client {
    config: BrokerConfig,
    points: Vec<Point>,
    by_topic: BTreeMap<String, Vec<usize>>,
    nodes: Nodes,
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
            let End::Lost(reason) = self.connection().await else { return };
            if self.lost(reason).await.is_err() {
                return;
            }
            sleep(self.backoff).await;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Says once that nothing comes any more: first of each point, then of the broker.
    async fn lost(&mut self, reason: String) -> Result<(), Closed> {
        let all: Vec<usize> = (0..self.points.len()).collect();
        self.miss(&all).await?;
        if self.up != Some(false) {
            self.up = Some(false);
            tracing::warn!(%reason, source = %self.config.name, server = %self.config.server, "broker lost");
            self.inbox.link(LinkState::Down { reason })?;
        }
        Ok(())
    }

    async fn miss(&mut self, numbers: &[usize]) -> Result<(), Closed> {
        let now = self.clock.now();
        let mut missing = Vec::new();
        for number in numbers {
            missing.extend(self.points.get_mut(*number).and_then(|point| point.lose(now)));
        }
        if missing.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(missing)).await }
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self) -> End {
        let connected = match timeout(ANSWER, self.dial()).await {
            Ok(connected) => connected,
            Err(_) => Err(format!("{}: no connection within {ANSWER:?}", self.config.server)),
        };
        let mut wire = match connected {
            Ok(wire) => wire,
            Err(reason) => return End::Lost(reason),
        };
        let ended = self.listen(&mut wire).await;
        if matches!(ended, Err(End::Unheard)) && wire.put(&Packet::Disconnect).is_ok() {
            let _ = wire.flush(ANSWER).await;
        }
        wire.close().await;
        ended.err().unwrap_or(End::Unheard)
    }

    async fn dial(&self) -> Result<Connection, String> {
        let server = &self.config.server;
        let at = |error: &dyn std::fmt::Display| format!("{server}: {error}");
        let stream = TcpStream::connect(server).await.map_err(|error| at(&error))?;
        stream.set_nodelay(true).map_err(|error| at(&error))?;
        let stream: Box<dyn Stream> = match tls::connector(&self.config).map_err(|error| at(&error))? {
            None => Box::new(stream),
            Some((connector, name)) => {
                let shaken = connector.connect(name, stream).await;
                Box::new(shaken.map_err(|error| format!("{server}: TLS: {error}"))?)
            }
        };
        let mut connect = Connect::new(self.config.client_id());
        connect.keep_alive = u16::try_from(KEEP_ALIVE.as_secs()).unwrap_or(u16::MAX);
        if let Some((user, file)) = &self.config.user {
            let text =
                std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
            connect.login = Some(Login::new(user, text.lines().next().unwrap_or_default()));
        }
        let mut wire: Connection = Wire::new(stream, PACKET_BYTES_MAX);
        wire.put(&Packet::Connect(connect)).map_err(|_| at(&"CONNECT cannot be written"))?;
        wire.flush(ANSWER).await.map_err(|broken| at(&words(broken)))?;
        match next(&mut wire).await.map_err(|broken| at(&words(broken)))? {
            Packet::ConnAck(answer) if answer.code == ConnectReturnCode::Success => Ok(wire),
            Packet::ConnAck(answer) => Err(format!("{server}: the broker refuses: {:?}", answer.code)),
            _ => Err(at(&"the broker answers CONNECT with something else")),
        }
    }

    /// Subscribes and takes what comes, until the connection or the listening ends.
    async fn listen(&mut self, wire: &mut Connection) -> Result<(), End> {
        self.nodes.forget();
        let mut topics: Vec<String> = self.by_topic.keys().cloned().collect();
        topics.extend(self.nodes.filters().into_iter().map(|(filter, _)| filter));
        let mut asked: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for (number, topics) in (1_u16..).zip(topics.chunks(FILTERS)) {
            let filter = |topic: &String| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce);
            let mut subscribe = Subscribe::new_many(topics.iter().map(filter));
            subscribe.pkid = number;
            wire.put(&Packet::Subscribe(subscribe)).map_err(|broken| self.broken(broken))?;
            asked.insert(number, topics.to_vec());
        }
        let (mut looks, asked_at, mut heard, mut pinged) =
            (interval(LOOK), Instant::now(), Instant::now(), Instant::now());
        let mut granted = 0;
        self.points.iter_mut().for_each(|point| point.heard = heard);
        if asked.is_empty() {
            self.reached()?;
        }
        loop {
            while let Some(packet) = wire.next().map_err(|broken| self.broken(broken))? {
                heard = Instant::now();
                match packet {
                    Packet::Publish(publish) => self.on_publish(publish, wire).await?,
                    Packet::SubAck(answer) => {
                        granted += self.on_answer(&answer, &mut asked).await?;
                        if asked.is_empty() && granted == 0 {
                            return Err(
                                self.end("the broker refuses every topic: the user may not read them")
                            );
                        }
                        if asked.is_empty() {
                            self.reached()?;
                        }
                    }
                    Packet::PingResp => {}
                    _ => return Err(self.end("the broker sends what only clients send")),
                }
            }
            wire.flush(ANSWER).await.map_err(|broken| self.broken(broken))?;
            tokio::select! {
                filled = wire.fill() => filled.map_err(|broken| self.broken(broken))?,
                () = self.inbox.closed() => return Err(End::Unheard),
                _ = looks.tick() => {
                    self.look().await?;
                    if asked.is_empty() {
                        self.look_at_nodes(wire).await?;
                    }
                    if !asked.is_empty() && asked_at.elapsed() > ANSWER {
                        return Err(self.end("the broker does not answer a subscription"));
                    }
                    if heard.elapsed() > KEEP_ALIVE + ANSWER {
                        return Err(self.end("the broker fell silent"));
                    }
                    if pinged.elapsed() >= KEEP_ALIVE / 2 {
                        pinged = Instant::now();
                        wire.put(&Packet::PingReq).map_err(|broken| self.broken(broken))?;
                    }
                }
            }
        }
    }

    fn end(&self, reason: &str) -> End {
        End::Lost(format!("{}: {reason}", self.config.server))
    }

    fn broken(&self, broken: Broken) -> End {
        self.end(words(broken))
    }

    /// What the broker says of a subscription: how many topics it grants. Of the others the points are missing.
    async fn on_answer(
        &mut self,
        answer: &SubAck,
        asked: &mut BTreeMap<u16, Vec<String>>,
    ) -> Result<usize, End> {
        let Some(topics) =
            asked.remove(&answer.pkid).filter(|topics| topics.len() == answer.return_codes.len())
        else {
            return Err(self.end("the broker answers a subscription that was not made"));
        };
        let mut granted = 0;
        for (topic, code) in topics.iter().zip(&answer.return_codes) {
            if *code != SubscribeReasonCode::Failure {
                granted += 1;
                continue;
            }
            tracing::warn!(source = %self.config.name, %topic, "the broker refuses a topic");
            let mut numbers = self.by_topic.get(topic).cloned().unwrap_or_default();
            let of_nodes = self.nodes.filters().into_iter().filter(|(filter, _)| filter == topic);
            numbers.extend(of_nodes.flat_map(|(_, numbers)| numbers));
            self.miss(&numbers).await?;
        }
        Ok(granted)
    }

    fn reached(&mut self) -> Result<(), Closed> {
        self.backoff = BACKOFF_MIN;
        if self.up == Some(true) {
            return Ok(());
        }
        self.up = Some(true);
        tracing::info!(source = %self.config.name, server = %self.config.server, "broker reached");
        self.inbox.link(LinkState::Up)
    }

    /// Points of which nothing came for too long are missing.
    async fn look(&mut self) -> Result<(), Closed> {
        let silence = self.config.silence;
        let silent = |point: &Point| !point.is_metric && point.heard.elapsed() > silence;
        let numbers: Vec<usize> = self
            .points
            .iter()
            .enumerate()
            .filter(|(_, point)| silent(point) && !point.missing)
            .map(|(number, _)| number)
            .collect();
        self.miss(&numbers).await
    }

    /// What nodes of Sparkplug B are asked, and what of them fell silent.
    async fn look_at_nodes(&mut self, wire: &mut Connection) -> Result<(), End> {
        let (now, mut events) = (self.clock.now(), Vec::new());
        for (topic, payload) in self.nodes.look(self.config.silence, now, &mut events) {
            if !self.config.listen_only {
                let command = Publish::new(topic, QoS::AtMostOnce, payload);
                wire.put(&Packet::Publish(command)).map_err(|broken| self.broken(broken))?;
            }
        }
        Ok(self.tell(&events, now).await?)
    }

    /// Passes on what messages of Sparkplug B say.
    async fn tell(&mut self, events: &[Event], received_at: Timestamp) -> Result<(), Closed> {
        let mut told = Vec::new();
        for event in events {
            let (Event::Value { point, .. } | Event::Missing { point }) = *event;
            let Some(point) = self.points.get_mut(point) else { continue };
            let taken = match *event {
                Event::Missing { .. } => Ok(point.lose(received_at)),
                Event::Value { number, at, is_historical: false, .. } => point.take(number, at, received_at),
                Event::Value { number, at, is_historical: true, .. } => {
                    let value = number * point.mapped.factor + 0.0;
                    let value = point.measurement(value, Quality::Measured, at, received_at);
                    house::check_measurement(&value).map(|()| Some(value))
                }
            };
            match taken {
                Ok(value) => told.extend(value),
                Err((code, reason)) => {
                    told.extend(point.lose(received_at));
                    self.inbox.refuse(&Rejected::new(&point.mapped.tag, code, reason));
                }
            }
        }
        if told.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(told)).await }
    }

    async fn on_publish(&mut self, publish: Publish, wire: &mut Connection) -> Result<(), End> {
        self.counters.add_received();
        self.take(&publish).await?;
        match publish.qos {
            QoS::AtMostOnce => Ok(()),
            QoS::AtLeastOnce => {
                wire.put(&Packet::PubAck(PubAck::new(publish.pkid))).map_err(|broken| self.broken(broken))
            }
            QoS::ExactlyOnce => Err(self.end("the broker sends with a quality that was not asked for")),
        }
    }

    async fn take(&mut self, publish: &Publish) -> Result<(), Closed> {
        let topic = &publish.topic;
        if self.nodes.is_theirs(topic) {
            let (now, mut events) = (self.clock.now(), Vec::new());
            let taken = self.nodes.take(topic, publish.retain, &publish.payload, now, &mut events);
            if let Err((code, reason)) = taken {
                self.inbox.refuse(&Rejected::new(topic, code, reason));
            }
            return self.tell(&events, now).await;
        }
        let Some(numbers) = self.by_topic.get(topic).cloned() else {
            let reason = "the broker sends a topic that was not asked for";
            self.inbox.refuse(&Rejected::new(topic, RejectCode::Topic, reason));
            return Ok(());
        };
        let received_at = self.clock.now();
        let payload = match (decode::payload(&publish.payload), &self.config.time) {
            (Ok(_), None) if publish.retain => {
                // An old value says nothing of what is now.
                let reason = "the message is retained, nobody knows how old it is";
                self.inbox.refuse(&Rejected::new(topic, RejectCode::Retained, reason));
                return Ok(());
            }
            (Ok(payload), _) => payload,
            (Err((code, reason)), _) => {
                self.inbox.refuse(&Rejected::new(topic, code, reason));
                return self.miss(&numbers).await;
            }
        };
        let mut told = Vec::new();
        let mut whole = Whole {
            payload: &payload,
            time: self.config.time.as_deref(),
            received_at,
            rows: BTreeMap::new(),
        };
        for number in numbers {
            let Some(point) = self.points.get_mut(number) else { continue };
            for found in whole.of(point) {
                match whole.take(found, point) {
                    Ok(value) => told.extend(value),
                    Err((code, reason)) => {
                        told.extend(point.lose(received_at));
                        self.inbox.refuse(&Rejected::new(&point.mapped.tag, code, reason));
                    }
                }
            }
        }
        if told.is_empty() { Ok(()) } else { self.inbox.send(Message::Telemetry(told)).await }
    }
}

/// A payload, and its rows by each key that a point asks for.
struct Whole<'a> {
    payload: &'a Value,
    time: Option<&'a str>,
    received_at: Timestamp,
    rows: BTreeMap<String, BTreeMap<String, Vec<&'a Value>>>,
}

impl<'a> Whole<'a> {
    /// What of it is about a point.
    fn of(&mut self, point: &Point) -> Vec<&'a Value> {
        let Some(Row { key, id }) = &point.row else { return vec![self.payload] };
        let rows = self.rows.entry(key.clone()).or_insert_with(|| decode::rows(self.payload, key));
        rows.get(id).cloned().unwrap_or_default()
    }

    /// What is to be told of a part that is about a point.
    fn take(&self, part: &Value, point: &mut Point) -> Result<Option<Measurement>, house::Refusal> {
        let received_at = self.received_at;
        let at = || self.time.map_or(Ok(received_at), |pointer| decode::time(part, pointer, received_at));
        match decode::value(part, &point.pointer)? {
            Found::Number(value) => point.take(value, at()?, received_at),
            Found::Null => Ok(point.lose(received_at)),
            Found::Absent => Ok(None),
        }
    }
}

/// The next packet, in time.
async fn next(wire: &mut Connection) -> Result<Packet, Broken> {
    let reading = async {
        loop {
            if let Some(packet) = wire.next()? {
                return Ok(packet);
            }
            wire.fill().await?;
        }
    };
    timeout(ANSWER, reading).await.unwrap_or(Err(Broken::Stalled))
}

fn words(broken: Broken) -> &'static str {
    match broken {
        Broken::Closed => "the broker closed the connection",
        Broken::Malformed | Broken::Version => "what the broker sends is no MQTT 3.1.1",
        Broken::TooLarge => "the broker sends a message that is too large",
        Broken::Stalled => "the broker does not answer",
    }
}
