//! Messages received but not yet acknowledged to the broker: they are acknowledged in the order in which they came,
//! as MQTT has it, so one that waits for the disk makes those behind it wait, too.

use rumqttc::Publish;
use std::collections::VecDeque;
use tokio::sync::oneshot;

/// What became of a message.
#[derive(Debug)]
pub(super) enum Taken {
    /// It may be acknowledged.
    Done(Publish),
    /// The system could not digest it.
    Failed(Publish),
    /// The system cannot take it at the moment, whatever it says.
    NotNow(Publish),
}

#[derive(Debug, Default)]
pub(super) struct Unacknowledged(VecDeque<(Publish, oneshot::Receiver<bool>)>);

impl Unacknowledged {
    pub(super) fn push(&mut self, publish: Publish, done: oneshot::Receiver<bool>) {
        self.0.push_back((publish, done));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits for what becomes of the oldest. Cancelling loses nothing.
    pub(super) async fn first(&mut self) -> Taken {
        let Some((_, done)) = self.0.front_mut() else { return std::future::pending().await };
        let taken = done.await;
        let Some((publish, _)) = self.0.pop_front() else { return std::future::pending().await };
        match taken {
            Ok(true) => Taken::Done(publish),
            Ok(false) => Taken::Failed(publish),
            Err(_) => Taken::NotNow(publish),
        }
    }

    /// The connection is gone, and the broker will deliver them again.
    pub(super) fn connection_lost(&mut self) {
        self.0.clear();
    }
}
