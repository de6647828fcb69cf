//! The way out to the devices. Orders are never dropped: what the connector cannot take yet waits here.

use crate::runtime::{Context, Stage};
use connectors::Message;
use market::Activation;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{self, error::TrySendError};

/// Orders that may wait for a connector that is away. The number of activations a whole area can have open is far
/// below it, and each order is repeated by its agent until answered.
const WAITING_MAX: usize = 100_000;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What can wake the way out.
#[derive(Debug, Clone)]
pub enum EgressMsg {
    /// An order whose fact is durable.
    Order(Arc<Activation>),
    /// Time to try again.
    RetryDue,
}

/// The state of the way out.
pub struct Egress {
    outbound: mpsc::Sender<Message>,
    waiting: VecDeque<Arc<Activation>>,
    retrying: bool,
}

impl Egress {
    /// Sends into a connector.
    pub fn new(outbound: mpsc::Sender<Message>) -> Self {
        Self { outbound, waiting: VecDeque::new(), retrying: false }
    }

    fn on_order(&mut self, order: Arc<Activation>, cx: &mut Context<EgressMsg>) {
        // A repetition of an order that still waits adds nothing.
        if self.waiting.iter().any(|waiting| waiting.id == order.id) {
            return;
        }
        if self.waiting.len() >= WAITING_MAX {
            return cx.give_up(format!("{WAITING_MAX} orders wait for the field connection"));
        }
        self.waiting.push_back(order);
        self.drain(cx);
    }

    fn drain(&mut self, cx: &mut Context<EgressMsg>) {
        while let Some(order) = self.waiting.front() {
            match self.outbound.try_send(Message::Activation(order.as_ref().clone())) {
                Ok(()) => {
                    self.waiting.pop_front();
                }
                Err(TrySendError::Full(_)) => {
                    if !self.retrying {
                        self.retrying = true;
                        cx.wake_at(cx.now().plus(RETRY_AFTER), EgressMsg::RetryDue);
                    }
                    return;
                }
                Err(TrySendError::Closed(_)) => return cx.give_up("the field connector has ended".into()),
            }
        }
    }
}

impl Stage for Egress {
    type Msg = EgressMsg;

    fn handle(&mut self, msg: EgressMsg, cx: &mut Context<EgressMsg>) {
        match msg {
            EgressMsg::Order(order) => self.on_order(order, cx),
            EgressMsg::RetryDue => {
                self.retrying = false;
                self.drain(cx);
            }
        }
    }
}
