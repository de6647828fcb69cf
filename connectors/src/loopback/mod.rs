//! Both ends of a link in one process, joined through the same bytes a broker would carry.
//!
//! For virtual time: two tasks, no thread, no socket, no clock but the one handed in. On a current-thread
//! runtime the order of everything is the same in every run. What a connector over a network can do and this
//! one does not: go down, and deliver twice.

use crate::exchange::{Counters, InboxWriter, Limits, LinkState, inbox};
use crate::house::{Area, Message, encode};
use crate::link::{Link, OUTBOUND_MAX, Role};
use grid::Clock;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::yield_now;

/// Joins two ends: the system's, and the field's. Must be called inside a tokio runtime. When one end's
/// `outbound` is dropped, the other end's inbox ends after what was sent.
pub fn pair(area: &Area, clock: Arc<dyn Clock>) -> (Link, Link) {
    let (system, to_system, from_system) = end();
    let (field, to_field, from_field) = end();
    let up = Carrier { area: area.clone(), clock, sender: field.counters.clone(), hears: Role::System };
    let down = Carrier {
        area: area.clone(),
        clock: up.clock.clone(),
        sender: system.counters.clone(),
        hears: Role::Field,
    };
    tokio::spawn(up.carry(from_field, to_system));
    tokio::spawn(down.carry(from_system, to_field));
    (system, field)
}

fn end() -> (Link, InboxWriter, mpsc::Receiver<Message>) {
    let counters = Arc::new(Counters::default());
    let (writer, inbox) = inbox(Limits::default(), counters.clone());
    let (outbound, sent) = mpsc::channel(OUTBOUND_MAX);
    (Link { outbound, inbox, counters }, writer, sent)
}

/// One direction.
struct Carrier {
    area: Area,
    clock: Arc<dyn Clock>,
    /// Counters of the end that sends.
    sender: Arc<Counters>,
    /// The end that receives; like a subscription it hears only what is meant for it.
    hears: Role,
}

impl Carrier {
    async fn carry(self, mut from: mpsc::Receiver<Message>, mut to: InboxWriter) {
        // A receiver that has gone is like a topic without subscriber: sending to it is no error.
        let _ = to.link(LinkState::Up);
        while let Some(message) = from.recv().await {
            match encode(&self.area, &message) {
                Ok(packets) => {
                    for packet in packets {
                        self.sender.add_sent();
                        if self.hears.hears(&message) {
                            let _ = to.deliver(&packet.topic, &packet.payload, self.clock.now()).await;
                        }
                    }
                }
                Err(rejected) => {
                    self.sender.add_rejected(rejected.code);
                    tracing::error!(%rejected, "message not sent");
                }
            }
            yield_now().await;
        }
    }
}
