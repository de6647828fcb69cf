//! Messages received but not yet acknowledged to the broker: they are acknowledged in the order in which they came,
//! as MQTT has it, so one that waits for the disk makes those behind it wait, too.

use rumqttc::Publish;
use std::collections::VecDeque;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
pub(super) struct Unacknowledged(VecDeque<(Publish, oneshot::Receiver<bool>)>);

impl Unacknowledged {
    pub(super) fn push(&mut self, publish: Publish, done: oneshot::Receiver<bool>) {
        self.0.push_back((publish, done));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until the oldest may be acknowledged; an error when it has to be delivered again. Cancelling loses
    /// nothing.
    pub(super) async fn first(&mut self) -> Result<Publish, Publish> {
        let Some((_, done)) = self.0.front_mut() else { return std::future::pending().await };
        let taken = done.await.unwrap_or(false);
        match self.0.pop_front() {
            Some((publish, _)) if taken => Ok(publish),
            Some((publish, _)) => Err(publish),
            None => std::future::pending().await,
        }
    }

    /// The connection is gone, and the broker will deliver them again.
    pub(super) fn connection_lost(&mut self) {
        self.0.clear();
    }
}
