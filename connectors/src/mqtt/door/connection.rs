//! One client after it was let in: its packets, its acknowledgements in order, what is sent to it, and all the ways
//! in which it ends.
//!
//! A message is acknowledged when everyone who has to keep it has answered: the system (see
//! [`crate::exchange::Receipt`]) and, when it is retained, the disk. When one of them fails, the connection is
//! closed instead, so that the client sends it again; what fails twice is acknowledged and counted, so that a
//! message nobody can digest does not come for ever. That it cannot be taken now (a full disk, a stopping system) is no
//! failure of the message: it comes again as often as it takes.

use super::counters::Count;
use super::filter::{is_filter, is_topic};
use super::policy::{Action, Identity};
use super::router::{Attached, Publication};
use super::standing::{Shown, Standing, Withdrawn};
use super::tokens::Tokens;
use super::wire::{Broken, Wire};
use super::{Inside, asked_to_close as closed};
use crate::house::Points;
use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{
    Packet, PubAck, PubComp, PubRec, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// So many retained messages are compared with a filter for one packet's worth of the rate.
const RETAINED_PER_TOKEN: usize = 20;
/// Filters in one packet.
const FILTERS_PER_PACKET_MAX: usize = 100;

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The client said goodbye; the only end without a will.
    Goodbye,
    /// The wire.
    Broken(Broken),
    /// A packet that must not come, or not now.
    Protocol,
    /// Publishing without the right to.
    Denied,
    /// Nothing was heard for longer than announced.
    Silent,
    /// A packet that does not go on.
    Stalled,
    /// The same client id connected again.
    TakenOver,
    /// What it published could not be made durable.
    NotDurable,
    /// The door closes.
    Closing,
    /// It is not let in any more, or not with what it subscribed to.
    Withdrawn(Withdrawn),
}

impl From<Broken> for End {
    fn from(broken: Broken) -> Self {
        End::Broken(broken)
    }
}

impl End {
    /// What it is counted under, if it is not counted where it arises.
    pub(super) fn count(self) -> Option<Count> {
        match self {
            End::Goodbye | End::Broken(Broken::Closed) | End::TakenOver | End::Closing => None,
            End::Broken(Broken::Malformed | Broken::Version) | End::Protocol => Some(Count::Malformed),
            End::Broken(Broken::TooLarge) => Some(Count::TooLarge),
            End::Broken(Broken::Stalled) | End::Stalled => Some(Count::Stalled),
            End::Denied => Some(Count::PublishDenied),
            End::Withdrawn(_) => Some(Count::Withdrawn),
            End::Silent => Some(Count::Silent),
            End::NotDurable => Some(Count::NotDurable),
        }
    }
}

/// An acknowledgement that waits for others.
struct Owed {
    packet_id: u16,
    qos: QoS,
    message: Arc<Publication>,
    waits: Vec<oneshot::Receiver<bool>>,
    outcome: Outcome,
}

/// What became of a message; of several, the last counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Done,
    /// Its receiver could not digest it.
    Failed,
    /// Nobody can take it at the moment, whatever it says.
    NotNow,
}

impl Owed {
    /// Waits for everyone. Cancelling loses nothing.
    async fn settled(&mut self) {
        while let Some(wait) = self.waits.last_mut() {
            let outcome = match wait.await {
                Ok(true) => Outcome::Done,
                Ok(false) => Outcome::Failed,
                Err(_) => Outcome::NotNow,
            };
            self.waits.pop();
            self.outcome = self.outcome.max(outcome);
        }
    }
}

/// Who is on the other side.
pub(super) struct Client {
    /// Whom it proved to be.
    pub(super) who: Identity,
    /// Under which name its session is kept.
    pub(super) session: String,
    /// As it calls itself.
    pub(super) client_id: String,
    /// What it may speak of.
    pub(super) points: Points,
    /// How it proved to be that.
    pub(super) shown: Shown,
    /// What it was let in under, or last looked at.
    pub(super) standing: Arc<Standing>,
    /// What holds.
    pub(super) holds: watch::Receiver<Arc<Standing>>,
}

pub(super) struct Connection<'a, S> {
    inside: &'a Inside,
    wire: Wire<S>,
    client: Client,
    attached: &'a Attached,
    owed: VecDeque<Owed>,
    tokens: Tokens,
    silence_max: Duration,
    heard: Instant,
    begun: Option<Instant>,
    /// Whether a subscription was denied.
    denied: bool,
}

/// What woke a connection.
enum Wake {
    Settled,
    Deliver,
    Read(Result<(), Broken>),
    Time,
    TakenOver,
    Closing,
    Renew,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin> Connection<'a, S> {
    pub(super) fn new(
        inside: &'a Inside,
        wire: Wire<S>,
        client: Client,
        attached: &'a Attached,
        keep_alive: u16,
    ) -> Self {
        let now = Instant::now();
        let silence_max = match keep_alive {
            0 => inside.limits.idle_max,
            // One and a half times, as the standard has it.
            seconds => Duration::from_millis(u64::from(seconds) * 1500),
        };
        let tokens = Tokens::new(inside.limits.packets_per_second, now);
        Self {
            inside,
            wire,
            client,
            attached,
            owed: VecDeque::new(),
            tokens,
            silence_max,
            heard: now,
            begun: None,
            denied: false,
        }
    }

    /// Serves the client until one of the two ends it.
    pub(super) async fn run(&mut self, closing: &mut watch::Receiver<bool>) -> End {
        loop {
            if let Err(end) = self.step(closing).await {
                if matches!(end, End::Closing | End::TakenOver | End::Withdrawn(_)) {
                    self.wire.close().await;
                }
                return end;
            }
        }
    }

    /// Who is on the other side.
    pub(super) fn who(&self) -> &str {
        self.client.who.as_str()
    }

    /// Whether something changed that it has not looked at.
    pub(super) fn is_behind(&self) -> bool {
        self.client.holds.has_changed().unwrap_or(false)
    }

    async fn step(&mut self, closing: &mut watch::Receiver<bool>) -> Result<(), End> {
        self.renew_if_changed()?;
        let throttled = self.read_packets(closing).await?;
        let more = self.deliver()?;
        self.wire.flush(self.inside.limits.packet_within).await?;
        if more {
            // Let others have their turn.
            tokio::task::yield_now().await;
        }
        let reading = !throttled && self.owed.len() < self.inside.limits.inflight_max;
        let until = self.deadline(reading, throttled);
        let wake = tokio::select! {
            biased;
            () = closed(closing) => Wake::Closing,
            () = self.attached.ended.notified() => Wake::TakenOver,
            Ok(()) = self.client.holds.changed() => Wake::Renew,
            () = first_settled(&mut self.owed) => Wake::Settled,
            read = self.wire.fill(), if reading => Wake::Read(read),
            () = std::future::ready(()), if more => Wake::Deliver,
            () = self.attached.wake.notified() => Wake::Deliver,
            () = sleep_until(until) => Wake::Time,
        };
        match wake {
            Wake::Settled => self.acknowledge(),
            Wake::Deliver => Ok(()),
            Wake::Read(read) => Ok(read?),
            Wake::Time => self.check_time(reading),
            Wake::TakenOver => Err(End::TakenOver),
            Wake::Closing => Err(End::Closing),
            Wake::Renew => self.renew(),
        }
    }

    fn renew_if_changed(&mut self) -> Result<(), End> {
        if self.is_behind() { self.renew() } else { Ok(()) }
    }

    /// Goes by what holds now, or ends.
    fn renew(&mut self) -> Result<(), End> {
        let holds = Arc::clone(&self.client.holds.borrow_and_update());
        let Client { who, client_id, shown, standing, .. } = &self.client;
        let router = &self.inside.router;
        if let Err(why) = holds.still_admits(standing, who, client_id, shown) {
            router.give_up(self.attached);
            return Err(End::Withdrawn(why));
        }
        let narrowed = router.narrow(self.attached, who, &holds.policy);
        self.client.points = holds.policy.points(who);
        self.client.standing = holds;
        // MQTT 3.1.1 cannot take a subscription back: the client learns it when it comes again.
        if narrowed { Err(End::Withdrawn(Withdrawn::Subscription)) } else { Ok(()) }
    }

    /// Takes up what was read, as far as limits allow. Whether the client has to wait because it is too fast.
    async fn read_packets(&mut self, closing: &mut watch::Receiver<bool>) -> Result<bool, End> {
        while self.owed.len() < self.inside.limits.inflight_max {
            let now = Instant::now();
            if self.wire.has_begun() && !self.tokens.take(now) {
                return Ok(true);
            }
            let Some(packet) = self.wire.next()? else {
                self.begun = self.wire.has_begun().then(|| self.begun.unwrap_or(now));
                return Ok(false);
            };
            (self.heard, self.begun) = (now, None);
            self.renew_if_changed()?;
            tokio::select! {
                biased;
                taken = self.on_packet(packet) => taken?,
                () = closed(closing) => return Err(End::Closing),
            }
        }
        // Nothing is read for the moment; that is not the client's silence.
        (self.heard, self.begun) = (Instant::now(), None);
        Ok(false)
    }

    fn deadline(&self, reading: bool, throttled: bool) -> Instant {
        if throttled {
            return Instant::now() + self.tokens.wait();
        }
        let silent = self.heard + self.silence_max;
        match self.begun {
            Some(begun) if reading => silent.min(begun + self.inside.limits.packet_within),
            _ => silent,
        }
    }

    fn check_time(&mut self, reading: bool) -> Result<(), End> {
        let now = Instant::now();
        if !reading {
            return Ok(());
        }
        if self.begun.is_some_and(|begun| now >= begun + self.inside.limits.packet_within) {
            return Err(End::Stalled);
        }
        if now >= self.heard + self.silence_max { Err(End::Silent) } else { Ok(()) }
    }

    /// Writes what the client may be sent now. Whether there may be more.
    fn deliver(&mut self) -> Result<bool, End> {
        let (messages, more) = self.inside.router.take(self.attached);
        for message in messages {
            self.wire.put(&Packet::Publish(message))?;
            self.inside.counters.add(Count::Delivered);
        }
        Ok(more)
    }

    async fn on_packet(&mut self, packet: Packet) -> Result<(), End> {
        let router = &self.inside.router;
        match packet {
            Packet::Publish(publish) => self.on_publish(publish).await,
            Packet::PubAck(answer) => {
                router.with(self.attached, |session| session.acknowledged(answer.pkid));
                Ok(())
            }
            Packet::PubRel(release) => {
                router.with(self.attached, |session| session.unreleased.remove(&release.pkid));
                Ok(self.wire.put(&Packet::PubComp(PubComp::new(release.pkid)))?)
            }
            Packet::Subscribe(subscribe) => self.on_subscribe(subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &unsubscribe.topics {
                    router.unsubscribe(self.attached.session, filter);
                }
                Ok(self.wire.put(&Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)))?)
            }
            Packet::PingReq => Ok(self.wire.put(&Packet::PingResp)?),
            Packet::Disconnect => Err(End::Goodbye),
            // A second CONNECT, what only a server sends, and answers to the quality 2 that is never sent.
            _ => Err(End::Protocol),
        }
    }

    async fn on_publish(&mut self, publish: Publish) -> Result<(), End> {
        let Publish { qos, retain, topic, pkid, payload, .. } = publish;
        self.inside.counters.add(Count::Received);
        if !is_topic(&topic) {
            return Err(End::Protocol);
        }
        if !self.client.standing.policy.allows(&self.client.who, Action::Publish, &topic) {
            // The client chose the words, and how often it connects.
            if let Some(unsaid) = self.inside.denials.say(Instant::now()) {
                tracing::warn!(who = self.client.who.as_str(), ?topic, unsaid, "publishing denied");
            }
            return Err(End::Denied);
        }
        if qos == QoS::ExactlyOnce {
            let known = self.inside.router.with(self.attached, |session| session.unreleased.contains(&pkid));
            if known.unwrap_or(false) {
                return Ok(self.wire.put(&Packet::PubRec(PubRec::new(pkid)))?);
            }
            if self.owed.iter().any(|owed| owed.packet_id == pkid) {
                return Ok(());
            }
        }
        // A copy, so that a small message does not keep a large read buffer.
        let message = Arc::new(Publication { topic, payload: Bytes::copy_from_slice(&payload) });
        let mut waits = Vec::new();
        let mut kept = retain;
        if let Some(tap) = self.inside.router.tap_for(&message.topic) {
            // What is meant for the system is not retained; an empty message still removes what an older door kept.
            kept &= message.payload.is_empty();
            waits.push(tap.hand_over(message.clone(), retain, self.client.points.clone()).await);
        }
        waits.extend(self.inside.router.publish(&message, qos, kept));
        if qos != QoS::AtMostOnce {
            self.owed.push_back(Owed { packet_id: pkid, qos, message, waits, outcome: Outcome::Done });
            return self.acknowledge_what_waits_for_nobody();
        }
        Ok(())
    }

    fn acknowledge_what_waits_for_nobody(&mut self) -> Result<(), End> {
        match self.owed.front() {
            Some(owed) if owed.waits.is_empty() => self.acknowledge(),
            _ => Ok(()),
        }
    }

    /// Acknowledges the oldest message; they are answered in the order in which they came.
    fn acknowledge(&mut self) -> Result<(), End> {
        let Some(Owed { packet_id, qos, message, outcome, .. }) = self.owed.pop_front() else {
            return Ok(());
        };
        let router = &self.inside.router;
        if outcome == Outcome::NotNow {
            return Err(End::NotDurable);
        }
        if outcome == Outcome::Failed {
            if !router.fails_again(&self.client.session, &message) {
                return Err(End::NotDurable);
            }
            tracing::error!(who = self.client.who.as_str(), "a message failed twice and is given up");
            self.inside.counters.add(Count::GivenUp);
        }
        if qos != QoS::ExactlyOnce {
            return Ok(self.wire.put(&Packet::PubAck(PubAck::new(packet_id)))?);
        }
        let unreleased = router.with(self.attached, |session| {
            session.unreleased.insert(packet_id);
            session.unreleased.len()
        });
        if unreleased.unwrap_or(0) > self.inside.limits.inflight_max {
            return Err(End::Protocol);
        }
        Ok(self.wire.put(&Packet::PubRec(PubRec::new(packet_id)))?)
    }

    fn on_subscribe(&mut self, subscribe: Subscribe) -> Result<(), End> {
        if subscribe.filters.len() > FILTERS_PER_PACKET_MAX {
            return Err(End::Protocol);
        }
        self.tokens.charge(subscribe.filters.len().saturating_sub(1), Instant::now());
        let mut codes = Vec::new();
        for wanted in &subscribe.filters {
            // Quality 2 is granted as 1: our own messages carry ids and are obeyed once.
            let qos = if wanted.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let allowed = is_filter(&wanted.path)
                && self.client.standing.policy.allows(&self.client.who, Action::Subscribe, &wanted.path);
            let granted =
                allowed.then(|| self.inside.router.subscribe(self.attached.session, &wanted.path, qos));
            if let Some(looked_at) = granted.flatten() {
                self.tokens.charge(looked_at / RETAINED_PER_TOKEN, Instant::now());
                codes.push(SubscribeReasonCode::Success(qos));
            } else {
                // The client chose the words, and how often it says them.
                let first = !std::mem::replace(&mut self.denied, true);
                if let Some(unsaid) = first.then(|| self.inside.denials.say(Instant::now())).flatten() {
                    let (who, filter) = (self.client.who.as_str(), &wanted.path);
                    tracing::warn!(
                        who,
                        ?filter,
                        unsaid,
                        "subscription denied; further ones of this connection are counted"
                    );
                }
                self.inside.counters.add(Count::SubscribeDenied);
                codes.push(SubscribeReasonCode::Failure);
            }
        }
        Ok(self.wire.put(&Packet::SubAck(SubAck::new(subscribe.pkid, codes)))?)
    }
}

async fn first_settled(owed: &mut VecDeque<Owed>) {
    match owed.front_mut() {
        Some(first) => first.settled().await,
        None => std::future::pending().await,
    }
}
