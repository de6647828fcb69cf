//! The promises of connectors that only bring measurements, against real peers and against hostile ones of our own.
//!
//! * It says when the other side is reached and lost, each time once.
//! * What is read comes as measured, in base units and load convention.
//! * What cannot be read is told to be missing, once; nothing old is ever told as measured.
//! * It ends when nobody listens any more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)] // the whole crate is a test

mod broker;
mod cable;
mod hand_made;
mod iec104;
mod modbus;
mod modbus_line;
mod opcua;
mod peer;
#[path = "../../../tests/harness/port.rs"]
mod port;
mod sparkplug;
mod station;

use connectors::{Arrival, LinkState, Message, Source};
use grid::{Clock, Measurement, Quality, Slot, Timestamp};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that shows what the test says.
#[derive(Debug)]
pub struct Told(AtomicI64);

/// The slot in which every test begins.
pub const SLOT: Slot = Slot(1_965_170);

impl Default for Told {
    fn default() -> Self {
        Self(AtomicI64::new(SLOT.start().seconds() + 300))
    }
}

impl Told {
    /// From now on it is so many seconds after the beginning of [`SLOT`].
    pub fn set(&self, seconds: i64) {
        self.0.store(SLOT.start().seconds() + seconds, Ordering::SeqCst);
    }
}

impl Clock for Told {
    fn now(&self) -> Timestamp {
        Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
    }
}

/// What a source told: its values one by one, and its states.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// One value.
    Value(Measurement),
    /// The other side is reached.
    Up,
    /// It is not, and why.
    Down(String),
}

impl Heard {
    /// `point=value`, `point~value` of a substitute, `point missing`, `up` or `down`.
    pub fn words(&self) -> String {
        match self {
            Heard::Up => "up".to_owned(),
            Heard::Down(_) => "down".to_owned(),
            Heard::Value(value) => match value.quality {
                Quality::Measured => format!("{}={}", value.point, value.value),
                Quality::Substituted => format!("{}~{}", value.point, value.value),
                Quality::Missing => format!("{} missing", value.point),
                other => panic!("{other:?} of {}", value.point),
            },
        }
    }
}

/// A source and what was heard of it and not looked at yet.
pub struct Listener {
    /// The source.
    pub source: Source,
    waiting: std::collections::VecDeque<Heard>,
}

impl Listener {
    /// Listens to a source.
    pub fn new(source: Source) -> Self {
        Self { source, waiting: Default::default() }
    }

    /// The next thing it tells, within 20 s.
    pub async fn next(&mut self) -> Heard {
        loop {
            if let Some(heard) = self.waiting.pop_front() {
                return heard;
            }
            let patience = Duration::from_secs(20);
            let batch = tokio::time::timeout(patience, self.source.inbox.recv_batch()).await;
            for arrival in batch.expect("nothing is told").expect("the source ended") {
                match arrival {
                    Arrival::Link(LinkState::Up) => self.waiting.push_back(Heard::Up),
                    Arrival::Link(LinkState::Down { reason }) => self.waiting.push_back(Heard::Down(reason)),
                    Arrival::Message(Message::Telemetry(values)) => {
                        self.waiting.extend(values.into_iter().map(Heard::Value));
                    }
                    other => panic!("a source tells values and its state only: {other:?}"),
                }
            }
        }
    }

    /// Listens until it has told all of this, in any order; everything it told meanwhile.
    pub async fn until(&mut self, expected: &[&str]) -> Vec<String> {
        let (mut told, mut left) = (Vec::new(), expected.to_vec());
        while !left.is_empty() {
            let words = self.next().await.words();
            left.retain(|expected| *expected != words);
            told.push(words);
            assert!(told.len() < 10_000, "{left:?} is never told; last {:?}", told.last());
        }
        told
    }

    /// Everything it tells for a while.
    pub async fn during(&mut self, span: Duration) -> Vec<String> {
        let mut told: Vec<String> = self.waiting.drain(..).map(|heard| heard.words()).collect();
        let end = tokio::time::Instant::now() + span;
        while let Ok(heard) = tokio::time::timeout_at(end, self.next()).await {
            told.push(heard.words());
        }
        told
    }

    /// Stops listening; the source ends by itself.
    pub async fn leave(self) {
        let Source { inbox, counters, .. } = self.source;
        drop(inbox);
        for _ in 0..2_000 {
            if std::sync::Arc::strong_count(&counters) == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the source goes on although nobody listens");
    }
}
