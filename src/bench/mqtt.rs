//! A client that publishes telemetry over MQTT with quality 1, by hand: what it costs itself should be little. It says what flows in the
//! feeder as the scenario begins, measured in the moment in which it is sent.

use super::meter;
use actors::runtime::ScaledClock;
use connectors::house::{self, Message};
use grid::telemetry::Element;
use grid::{Clock, Measurement, Phase, PointId, Quality, Quantity, Timestamp};
use sim::run::{Setup, setup::AREA};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// When values were measured, until they are sent; it is as long as each instant that [`written`] writes.
const UNSENT: Timestamp = Timestamp::from_nanos(1_000_000);
/// How often a client that keeps a rate sends.
const TICK: Duration = Duration::from_millis(10);

/// Some packets of a client, each with other points of the feeder, without their packet numbers and instants.
pub fn packets(setup: &Setup, client: u16, values: u16) -> std::io::Result<Vec<Packet>> {
    let (lines, powers_va) = (setup.feeder.network().lines(), &setup.plant.flow().powers_from_va);
    let mut packets = Vec::new();
    for at in 0..50_usize {
        let value = |place: usize| {
            let line = (usize::from(client) * 97 + at * 13 + place / 3) % lines.len();
            let phase = Phase::ALL[place % 3];
            let (element, quantity) = (Element::Branch(lines[line].id), Quantity::ActivePower);
            Measurement {
                point: PointId { element, quantity, phase: Some(phase) },
                value: powers_va[line][phase.index()].re.round(),
                quality: Quality::Measured,
                measured_at: UNSENT,
                received_at: Timestamp::default(),
            }
        };
        let area = connectors::Area::new(AREA).map_err(std::io::Error::other)?;
        let message = Message::Telemetry((0..usize::from(values)).map(value).collect());
        let encoded =
            house::encode(&area, &message).map_err(|error| std::io::Error::other(error.to_string()))?;
        packets.extend(encoded.into_iter().map(|packet| Packet::publish(&packet.topic, &packet.payload)));
    }
    Ok(packets)
}

/// An instant to the millisecond, never a whole second, which would be written shorter.
fn written(at: Timestamp) -> String {
    let ms = at.nanos().div_euclid(1_000_000);
    let ms = if ms.rem_euclid(1_000) == 0 { ms - 1 } else { ms };
    Timestamp::from_nanos(ms * 1_000_000).to_string()
}

/// A PUBLISH of quality 1, where its packet number stands, and where the instants of its values do.
pub struct Packet {
    bytes: Vec<u8>,
    number_at: usize,
    instants_at: Vec<usize>,
}

impl Packet {
    fn publish(topic: &str, payload: &[u8]) -> Self {
        let mut bytes = vec![0x32];
        push_length(&mut bytes, 2 + topic.len() + 2 + payload.len());
        push_text(&mut bytes, topic);
        let number_at = bytes.len();
        bytes.extend_from_slice(&[0, 0]);
        let (start, unsent) = (bytes.len(), UNSENT.to_string());
        bytes.extend_from_slice(payload);
        let stands = |at: &usize| bytes[*at..].starts_with(unsent.as_bytes());
        let instants_at = (start..bytes.len()).filter(stands).collect();
        Self { bytes, number_at, instants_at }
    }
}

/// MQTT 3.1.1, section 2.2.3.
fn push_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u16).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A client. What it sent and what was acknowledged is counted in messages.
pub struct Client {
    stream: TcpStream,
    packets: Vec<Packet>,
    clock: ScaledClock,
    sent: usize,
    acknowledged: usize,
    /// When each was sent that is not acknowledged, ms.
    underway: VecDeque<f64>,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Client {
    /// Says hello. Values will be measured by this clock.
    pub async fn connect(
        to: SocketAddr,
        number: u16,
        packets: Vec<Packet>,
        clock: ScaledClock,
    ) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let name = format!("bench-{number}");
        let mut hello = vec![0x10];
        push_length(&mut hello, 10 + 2 + name.len());
        push_text(&mut hello, "MQTT");
        hello.extend_from_slice(&[4, 2, 0, 60]);
        push_text(&mut hello, &name);
        stream.write_all(&hello).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if answer[0] != 0x20 || answer[3] != 0 {
            return Err(std::io::Error::other(format!("not let in: {answer:?}")));
        }
        let (underway, input, out) = (VecDeque::new(), Vec::new(), Vec::new());
        Ok(Self { stream, packets, clock, sent: 0, acknowledged: 0, underway, input, out })
    }

    /// Sends so many messages, none after some time, with a window of them under way; tells of each how long it waited for its PUBACK,
    /// ms. Returns how many were acknowledged, which is all that were sent.
    pub async fn send(
        mut self,
        mut messages: usize,
        until_ms: f64,
        window: usize,
        mut tell: impl FnMut(f64),
    ) -> std::io::Result<usize> {
        while self.acknowledged < messages {
            if meter::wall_ms() > until_ms {
                messages = messages.min(self.sent);
            }
            let room = window - (self.sent - self.acknowledged);
            self.put(room.min(messages - self.sent)).await?;
            if self.acknowledged < messages {
                self.hear(&mut |_, sent_ms| tell(meter::wall_ms() - sent_ms)).await?;
            }
        }
        Ok(self.acknowledged)
    }

    /// Sends so many messages a second until it is told to stop, fewer while their acknowledgements take longer than a tick; tells of
    /// each when it was due and how long after that it was acknowledged, ms. Returns how many were sent and acknowledged.
    pub async fn send_steadily(
        mut self,
        per_second: f64,
        stop: &AtomicBool,
        mut tell: impl FnMut(f64, f64),
    ) -> std::io::Result<usize> {
        let began = meter::wall_ms();
        while !stop.load(Ordering::Relaxed) {
            let target = ((meter::wall_ms() - began) * per_second / 1e3) as usize;
            self.put(target.saturating_sub(self.sent).min(1000)).await?;
            while self.acknowledged < self.sent {
                let due = |nth: usize| began + nth as f64 * 1e3 / per_second;
                self.hear(&mut |nth, _| tell(due(nth), meter::wall_ms() - due(nth))).await?;
            }
            tokio::time::sleep(TICK).await;
        }
        Ok(self.acknowledged)
    }

    /// Writes the next so many messages.
    async fn put(&mut self, count: usize) -> std::io::Result<()> {
        self.out.clear();
        let now = written(self.clock.now());
        for _ in 0..count {
            let packet = &self.packets[self.sent % self.packets.len()];
            let start = self.out.len();
            self.out.extend_from_slice(&packet.bytes);
            let number_at = start + packet.number_at;
            self.out[number_at..number_at + 2].copy_from_slice(&number(self.sent).to_be_bytes());
            for at in &packet.instants_at {
                self.out[start + at..][..now.len()].copy_from_slice(now.as_bytes());
            }
            self.underway.push_back(meter::wall_ms());
            self.sent += 1;
        }
        self.stream.write_all(&self.out).await
    }

    /// Waits for acknowledgements and tells of each: which message, and when it was sent, ms.
    async fn hear(&mut self, tell: &mut impl FnMut(usize, f64)) -> std::io::Result<()> {
        let filled = self.input.len();
        self.input.resize(filled + 4096, 0);
        let read = self.stream.read(&mut self.input[filled..]).await?;
        self.input.truncate(filled + read);
        if read == 0 {
            return Err(std::io::Error::other("the connection was closed"));
        }
        let whole = self.input.len() / 4 * 4;
        for answer in self.input[..whole].chunks_exact(4) {
            let expected = number(self.acknowledged);
            let is_next = answer[0] == 0x40 && u16::from_be_bytes([answer[2], answer[3]]) == expected;
            let Some(sent_ms) = self.underway.pop_front().filter(|_| is_next) else {
                return Err(std::io::Error::other(format!("{answer:?} instead of PUBACK {expected}")));
            };
            tell(self.acknowledged, sent_ms);
            self.acknowledged += 1;
        }
        self.input.drain(..whole);
        Ok(())
    }
}

/// The packet number of a message: 1 to 65,535, again and again.
fn number(message: usize) -> u16 {
    (message % 65_535) as u16 + 1
}
