//! The client: connects, subscribes, decodes, holds what is not acknowledged, and starts again.

use super::config::{ClientConfig, ConfigError};
use super::held::{HELD_MAX, Held, WINDOW};
use super::unacknowledged::{Taken, Unacknowledged};
use crate::exchange::{Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{Message, PAYLOAD_BYTES_MAX, RejectCode, Rejected, encode, filters};
use crate::link::{Link, OUTBOUND_MAX, Role};
use grid::Clock;
use rumqttc::{
    AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, Publish, QoS, SubscribeFilter,
    SubscribeReasonCode,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

const KEEP_ALIVE: Duration = Duration::from_secs(10);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// How long what is held is still delivered after both parts of the link were dropped.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// Packet ids rumqttc may have open; far above the window, so that a broker which acknowledges out of order
/// cannot bring it to reuse one.
const PACKET_IDS: u16 = 1024;
/// Acknowledgements on their way to the broker.
const ACKNOWLEDGEMENTS: usize = 1024;

/// Starts a client in a task of its own. Must be called inside a tokio runtime. It keeps trying to connect,
/// and tells each change as [`LinkState`]. The task ends when both parts of the [`Link`] were dropped and the
/// rest was acknowledged, at most some seconds later.
///
/// # Errors
/// [`ConfigError`] when the settings cannot work; an absent broker is no error.
pub fn connect(config: ClientConfig, role: Role, clock: Arc<dyn Clock>) -> Result<Link, ConfigError> {
    config.check()?;
    let counters = Arc::new(Counters::default());
    let (inbox_writer, inbox) = inbox(Limits::default(), counters.clone());
    let (outbound, outbound_receiver) = mpsc::channel(OUTBOUND_MAX);
    let client = Client {
        config,
        role,
        clock,
        outbound: Some(outbound_receiver),
        inbox: inbox_writer,
        heard: true,
        held: Held::default(),
        unacknowledged: Unacknowledged::default(),
        failed: None,
        counters: counters.clone(),
        up: None,
        backoff: BACKOFF_MIN,
        farewell: None,
    };
    tokio::spawn(client.run());
    Ok(Link { outbound, inbox, counters })
}

struct Client {
    config: ClientConfig,
    role: Role,
    clock: Arc<dyn Clock>,
    /// `None` after all senders were dropped.
    outbound: Option<mpsc::Receiver<Message>>,
    inbox: InboxWriter,
    /// Whether somebody still reads the inbox.
    heard: bool,
    held: Held,
    unacknowledged: Unacknowledged,
    /// The topic of the message that could not be made durable last.
    failed: Option<String>,
    counters: Arc<Counters>,
    /// What was last told; `None` before the first attempt.
    up: Option<bool>,
    backoff: Duration,
    /// When both parts of the link were found dropped.
    farewell: Option<Instant>,
}

/// How a connection ended.
enum End {
    /// Nobody uses the link any more.
    Done,
    /// Something went wrong.
    Lost(String),
}

/// What woke the client.
enum Wake {
    Event(Box<Result<Event, rumqttc::ConnectionError>>),
    Outbound(Option<Message>),
    Taken(Taken),
    Unheard,
    FarewellOver,
}

impl Client {
    async fn run(mut self) {
        loop {
            let reason = match self.connection().await {
                End::Done => break,
                End::Lost(reason) => reason,
            };
            self.held.connection_lost();
            self.unacknowledged.connection_lost();
            if self.up != Some(false) {
                self.up = Some(false);
                warn!(%reason, host = %self.config.host, port = self.config.port, "mqtt link is down");
                let _ = self.inbox.link(LinkState::Down { reason });
            }
            if self.unused() && self.held.is_empty() {
                break;
            }
            sleep(self.backoff).await;
            self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
        }
        if !self.held.is_empty() {
            error!(messages = self.held.len(), "mqtt link ended before everything was acknowledged");
        }
    }

    /// One connection, from the first attempt to its end. Everything about it is made anew each time, so that
    /// no packet id or pending message of an old connection can leak into the next.
    async fn connection(&mut self) -> End {
        let (client, mut event_loop) = AsyncClient::new(self.options(), 2 * WINDOW + ACKNOWLEDGEMENTS);
        let mut ready = false;
        loop {
            let Some(event) = self.next_event(&client, &mut event_loop, ready).await else {
                if ready {
                    say_goodbye(&client, &mut event_loop).await;
                }
                return End::Done;
            };
            match event {
                Ok(event) => {
                    if let Err(end) = self.on_event(event, &client, &mut ready).await {
                        return end;
                    }
                }
                Err(error) => {
                    // What was read before the error counts; the broker may think it delivered.
                    for event in std::mem::take(&mut event_loop.state.events) {
                        let _ = self.on_event(event, &client, &mut ready).await;
                    }
                    return End::Lost(error.to_string());
                }
            }
        }
    }

    /// Waits for the connection while taking up outbound messages. The poll is never cancelled halfway: that
    /// would restart connecting, or leave a packet unflushed. `None` when nobody uses the link and nothing is
    /// left to deliver, or the farewell took too long.
    async fn next_event(
        &mut self,
        client: &AsyncClient,
        event_loop: &mut EventLoop,
        ready: bool,
    ) -> Option<Result<Event, rumqttc::ConnectionError>> {
        let mut poll = std::pin::pin!(event_loop.poll());
        loop {
            self.publish(client, ready);
            if ready && self.unused() && self.held.is_empty() {
                return None;
            }
            if self.unused() && self.farewell.is_none() {
                self.farewell = Some(Instant::now());
            }
            let farewell_over = self.farewell.map(|since| since + FAREWELL_MAX);
            let wake = tokio::select! {
                biased;
                event = &mut poll => Wake::Event(Box::new(event)),
                message = next_outbound(&mut self.outbound), if self.outbound.is_some() && self.held.has_room() => {
                    Wake::Outbound(message)
                }
                taken = self.unacknowledged.first(), if !self.unacknowledged.is_empty() => Wake::Taken(taken),
                () = self.inbox.closed(), if self.heard => Wake::Unheard,
                () = sleep_until(farewell_over), if farewell_over.is_some() => Wake::FarewellOver,
            };
            match wake {
                Wake::Event(event) => return Some(*event),
                Wake::Outbound(Some(message)) => self.hold(&message),
                Wake::Outbound(None) => self.outbound = None,
                Wake::Taken(taken) => {
                    if let Err(topic) = self.acknowledge(client, taken) {
                        let reason = format!("what a message on {topic} causes could not be made durable");
                        return Some(Err(rumqttc::ConnectionError::Io(std::io::Error::other(reason))));
                    }
                }
                Wake::Unheard => self.heard = false,
                Wake::FarewellOver => return None,
            }
        }
    }

    async fn on_event(&mut self, event: Event, client: &AsyncClient, ready: &mut bool) -> Result<(), End> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                let filter = |path| SubscribeFilter { path, qos: QoS::AtLeastOnce };
                let wanted = filters(&self.config.area, self.role).into_iter().map(filter);
                client.try_subscribe_many(wanted).map_err(|error| End::Lost(error.to_string()))?;
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                if answer.return_codes.contains(&SubscribeReasonCode::Failure) {
                    return Err(End::Lost("the broker refused a subscription".into()));
                }
                *ready = true;
                self.backoff = BACKOFF_MIN;
                self.up = Some(true);
                info!(host = %self.config.host, port = self.config.port, "mqtt link is up");
                let _ = self.inbox.link(LinkState::Up);
            }
            Event::Incoming(Packet::Publish(publish)) => self.on_publish(publish).await,
            Event::Incoming(Packet::PubAck(answer)) if self.held.acknowledged(answer.pkid) => {
                self.counters.add_sent();
            }
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.held.sent(packet_id),
            _ => {}
        }
        Ok(())
    }

    async fn on_publish(&mut self, publish: Publish) {
        let (done, told) = oneshot::channel();
        let received_at = self.clock.now();
        if publish.retain {
            let reason = "the message is retained, nobody knows how old it is";
            self.inbox.refuse(&Rejected::new(&publish.topic, RejectCode::Retained, reason));
            let _ = done.send(true);
        } else if self.role == Role::System {
            let _ = self.inbox.deliver_owing(&publish.topic, &publish.payload, received_at, done).await;
        } else {
            // The field keeps no journal: what it has in memory is what it has.
            let _ = self.inbox.deliver(&publish.topic, &publish.payload, received_at).await;
            let _ = done.send(true);
        }
        if publish.qos != QoS::AtMostOnce {
            self.unacknowledged.push(publish, told);
        }
    }

    /// Tells the broker that a message was taken. One that failed is not acknowledged the first time: a new
    /// connection makes the broker deliver it again. One that cannot be taken now is never acknowledged. The topic of a
    /// message that is to come again.
    fn acknowledge(&mut self, client: &AsyncClient, taken: Taken) -> Result<(), String> {
        let publish = match taken {
            Taken::Done(publish) => publish,
            Taken::NotNow(publish) => return Err(publish.topic),
            Taken::Failed(publish) if self.failed.as_ref() != Some(&publish.topic) => {
                self.failed = Some(publish.topic.clone());
                return Err(publish.topic);
            }
            Taken::Failed(publish) => {
                error!(topic = %publish.topic, "a message failed twice and is given up");
                self.failed = None;
                publish
            }
        };
        // Its channel has room for all that can be unacknowledged; if not, the broker delivers it again.
        if client.try_ack(&publish).is_err() {
            warn!(topic = %publish.topic, "an acknowledgement was not sent");
        }
        Ok(())
    }

    fn hold(&mut self, message: &Message) {
        match encode(&self.config.area, message) {
            Ok(packets) => packets.into_iter().for_each(|packet| self.held.push(packet)),
            Err(rejected) => {
                self.counters.add_rejected(rejected.code);
                error!(%rejected, "message not sent");
            }
        }
    }

    /// Gives the connection what the window allows. Its channel has twice that room, so it always fits.
    fn publish(&mut self, client: &AsyncClient, ready: bool) {
        while ready && let Some(packet) = self.held.hand_over() {
            if let Err(error) = client.try_publish(packet.topic, QoS::AtLeastOnce, false, packet.payload) {
                // It stays held and is published again by the next connection.
                error!(%error, "mqtt client did not take a message");
                return;
            }
        }
    }

    fn unused(&self) -> bool {
        self.outbound.is_none() && !self.heard
    }

    fn options(&self) -> MqttOptions {
        let config = &self.config;
        let mut options = MqttOptions::new(&config.client_id, &config.host, config.port);
        // Larger than what is accepted: a message that is too large shall be refused by name, not end the
        // connection, because the broker would only deliver it again.
        options.set_max_packet_size(64 * PAYLOAD_BYTES_MAX, PAYLOAD_BYTES_MAX + 1024);
        options.set_keep_alive(KEEP_ALIVE);
        // The broker keeps messages for us while we are away.
        options.set_clean_session(false);
        options.set_inflight(PACKET_IDS);
        options.set_manual_acks(true);
        if let Some(credentials) = &config.credentials {
            options.set_credentials(&credentials.user, &credentials.password);
        }
        options
    }
}

async fn next_outbound(outbound: &mut Option<mpsc::Receiver<Message>>) -> Option<Message> {
    match outbound {
        Some(outbound) => outbound.recv().await,
        None => None,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    if let Some(instant) = instant {
        tokio::time::sleep_until(instant).await;
    }
}

async fn say_goodbye(client: &AsyncClient, event_loop: &mut EventLoop) {
    if client.try_disconnect().is_err() {
        return;
    }
    let disconnected = async {
        while let Ok(event) = event_loop.poll().await {
            if matches!(event, Event::Outgoing(Outgoing::Disconnect)) {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), disconnected).await;
}

const _: () = assert!(HELD_MAX >= WINDOW && (WINDOW as u16) < PACKET_IDS);
