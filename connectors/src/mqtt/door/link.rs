//! The system's own end at the door, inside the process: what clients publish for it arrives with the right to
//! acknowledge, what it sends goes to the subscribers.

use super::router::{Publication, Router};
use crate::exchange::{Counters, InboxWriter, LinkState, inbox};
use crate::house::{Area, Message, Points, RejectCode, Rejected, encode, filters};
use crate::link::{Link, OUTBOUND_MAX, Role};
use bytes::Bytes;
use grid::Clock;
use rumqttc::mqttbytes::QoS;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Messages between the connections and the system's end; beyond it connections wait.
const TAPPED_MAX: usize = 256;

/// One message on its way to the system.
#[derive(Debug)]
pub(super) struct Tapped {
    pub(super) message: Arc<Publication>,
    pub(super) retained: bool,
    /// What its sender may speak of.
    pub(super) points: Points,
    pub(super) done: oneshot::Sender<bool>,
}

/// Where messages for the system go in.
#[derive(Debug, Clone)]
pub(super) struct Tap {
    pub(super) filters: Arc<[String]>,
    sender: mpsc::Sender<Tapped>,
}

impl Tap {
    /// The end for messages that match the filters, and where they come out.
    pub(super) fn new(filters: Arc<[String]>) -> (Self, mpsc::Receiver<Tapped>) {
        let (sender, tapped) = mpsc::channel(TAPPED_MAX);
        (Self { filters, sender }, tapped)
    }

    /// Hands a message over, waiting for room. The receiver tells when it may be acknowledged, and fails when the
    /// system is not there any more or could not make durable what it causes.
    pub(super) async fn hand_over(
        &self,
        message: Arc<Publication>,
        retained: bool,
        points: Points,
    ) -> oneshot::Receiver<bool> {
        let (done, told) = oneshot::channel();
        // When nobody takes it, `done` is dropped with it, and the receiver fails.
        let _ = self.sender.send(Tapped { message, retained, points, done }).await;
        told
    }

    /// Hands a message over if there is room now, without an answer. Whether there was.
    pub(super) fn offer(&self, message: &Arc<Publication>, retained: bool, points: Points) -> bool {
        let (done, _) = oneshot::channel();
        self.sender.try_send(Tapped { message: message.clone(), retained, points, done }).is_ok()
    }
}

/// Starts the system's end on the door's runtime.
pub(super) fn attach(
    runtime: &tokio::runtime::Handle,
    router: &Arc<Router>,
    area: Area,
    clock: Arc<dyn Clock>,
) -> Link {
    let counters = Arc::new(Counters::default());
    let (writer, reader) = inbox(router.inbox_limits(), counters.clone());
    let (outbound, sent) = mpsc::channel(OUTBOUND_MAX);
    let (tap, tapped) = Tap::new(filters(&area, Role::System).into());
    router.set_tap(tap);
    runtime.spawn(inwards(tapped, writer, clock));
    runtime.spawn(outwards(sent, router.clone(), area, counters.clone()));
    Link { outbound, inbox: reader, counters }
}

async fn inwards(mut tapped: mpsc::Receiver<Tapped>, mut inbox: InboxWriter, clock: Arc<dyn Clock>) {
    let _ = inbox.link(LinkState::Up);
    while let Some(Tapped { message, retained, points, done }) = tapped.recv().await {
        if retained {
            let reason = "the message is retained, nobody knows how old it will be";
            inbox.refuse(&Rejected::new(&message.topic, RejectCode::Retained, reason));
            let _ = done.send(true);
            continue;
        }
        let now = clock.now();
        let delivered = inbox.deliver_granted(&message.topic, &message.payload, now, &points, done).await;
        if delivered.is_err() {
            // Nobody listens any more: whoever publishes for the system now is told by a closed connection.
            return;
        }
    }
}

async fn outwards(
    mut sent: mpsc::Receiver<Message>,
    router: Arc<Router>,
    area: Area,
    counters: Arc<Counters>,
) {
    while let Some(message) = sent.recv().await {
        match encode(&area, &message) {
            Ok(packets) => {
                for packet in packets {
                    let payload = Bytes::from(packet.payload);
                    let publication = Arc::new(Publication { topic: packet.topic, payload });
                    router.publish(&publication, QoS::AtLeastOnce, false);
                    counters.add_sent();
                }
            }
            Err(rejected) => {
                counters.add_rejected(rejected.code);
                tracing::error!(%rejected, "message not sent");
            }
        }
    }
}
