//! A part of the system that takes messages as they are, with the right to acknowledge them, and answers to topics.

use super::link::{Tap, Tapped};
use super::router::{Publication, Router};
use bytes::Bytes;
use rumqttc::mqttbytes::QoS;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// What clients publish on some topics, inside the process. While it is there it is the only one of the system's ends that hears
/// these topics; when it is dropped, whoever publishes on them is cut instead of acknowledged.
#[derive(Debug)]
pub struct Letterbox {
    tapped: mpsc::Receiver<Tapped>,
    router: Arc<Router>,
}

/// One message. Dropping it undone makes its sender send it again.
#[derive(Debug)]
pub struct Letter {
    message: Arc<Publication>,
    /// Whether it was published to be kept.
    pub retained: bool,
    done: oneshot::Sender<bool>,
}

impl Letter {
    /// Where it was published.
    pub fn topic(&self) -> &str {
        &self.message.topic
    }

    /// What.
    pub fn payload(&self) -> &[u8] {
        &self.message.payload
    }

    /// It may be acknowledged: what it causes lasts, or it causes nothing.
    pub fn acknowledge(self) {
        // A sender that has gone does not care any more.
        let _ = self.done.send(true);
    }
}

impl Letterbox {
    pub(super) fn new(router: &Arc<Router>, filter: String) -> Self {
        let (tap, tapped) = Tap::new([filter].into());
        router.set_tap(tap);
        Self { tapped, router: router.clone() }
    }

    /// Waits for at least one message and returns all that wait, at most `most`. Empty when the door has gone.
    pub async fn letters(&mut self, most: usize) -> Vec<Letter> {
        let mut tapped = Vec::new();
        self.tapped.recv_many(&mut tapped, most).await;
        let letter = |Tapped { message, retained, done, .. }| Letter { message, retained, done };
        tapped.into_iter().map(letter).collect()
    }

    /// Publishes with quality 1.
    pub fn publish(&self, topic: String, payload: Vec<u8>) {
        let publication = Arc::new(Publication { topic, payload: Bytes::from(payload) });
        self.router.publish(&publication, QoS::AtLeastOnce, false);
    }
}
