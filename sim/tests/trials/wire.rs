//! The wires between field and system: they lose, double, delay and so reorder packets, and they outlive the system.
//!
//! The field's side is that of an MQTT client with a memory: a packet whose sender must be sure (an answer to an order, the
//! energy of a quarter-hour) is sent again until it is acknowledged. What was acknowledged is written down here; the
//! system may not forget it.

use crate::disk::Random;
use crate::party::Told;
use crate::plan::{Wires, share};
use crate::trace::Trace;
use actors::OfferDoor;
use connectors::exchange::{InboxWriter, Limits, inbox};
use connectors::house::{Packet, decode, encode};
use connectors::{Counters, Link, LinkState, Message};
use grid::Clock;
use grid::telemetry::Element;
use grid::{DeviceId, EnergyMwh, Quantity, Slot, Timestamp};
use market::{Activation, ActivationId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{Mutex as Turn, mpsc, oneshot};

/// How long a sender waits for an acknowledgement before it sends again.
const AGAIN: Duration = Duration::from_secs(20);
/// How long it waits at most until it looks again for a system that is not there: twice as long each time.
const AWAY: Duration = Duration::from_secs(300);
const OUTBOUND: usize = 256;

/// What the outside knows for certain.
#[derive(Debug, Default)]
pub struct Known {
    /// Answers that were acknowledged.
    pub answers: Vec<ActivationId>,
    /// Energies of quarter-hours of devices that were acknowledged, as their meters counted them.
    pub energies: BTreeMap<(DeviceId, Slot), EnergyMwh>,
    /// Every energy that a device's meter told, acknowledged or not, and when it first did.
    pub told: BTreeMap<(DeviceId, Slot), (EnergyMwh, Timestamp)>,
    /// Orders that reached the field.
    pub orders: BTreeMap<ActivationId, Activation>,
    /// The same name with other contents.
    pub changed: Vec<ActivationId>,
    /// Packets whose senders still wait, and since when each.
    pub waiting: BTreeMap<u64, Timestamp>,
    /// What the party at the door was told.
    pub party: Told,
    sent: u64,
}

/// Where the system listens in its present life.
#[derive(Clone)]
struct Ear {
    life: u64,
    writer: Arc<Turn<InboxWriter>>,
}

struct Line {
    random: Random,
    wires: Wires,
    life: u64,
    ear: Option<Ear>,
    /// Where offers are handed in, in which life.
    door: Option<(u64, OfferDoor)>,
    known: Known,
    trace: Trace,
}

/// All wires. Clones share them.
#[derive(Clone)]
pub struct Wire {
    line: Arc<Mutex<Line>>,
    area: connectors::Area,
    clock: Arc<dyn Clock>,
    field: Arc<Turn<InboxWriter>>,
}

/// How one packet fares.
struct Fate {
    lost: bool,
    doubled: bool,
    after: Duration,
}

impl Wire {
    /// Wires with the field's end. `clock` is the true one.
    pub fn new(area: connectors::Area, clock: Arc<dyn Clock>, wires: Wires, seed: u64) -> (Self, Link) {
        let counters = Arc::new(Counters::default());
        let (to_field, heard) = inbox(Limits::default(), counters.clone());
        let (outbound, mut said) = mpsc::channel::<Message>(OUTBOUND);
        let line = Line {
            random: Random(seed ^ 0x7769_7265),
            wires,
            life: 0,
            ear: None,
            door: None,
            known: Known::default(),
            trace: Trace::default(),
        };
        let line = Arc::new(Mutex::new(line));
        let wire = Self { line, area, clock, field: Arc::new(Turn::new(to_field)) };
        let up = wire.clone();
        tokio::spawn(async move {
            while let Some(message) = said.recv().await {
                let insists = insists(&message);
                for packet in
                    encode(&up.area, &message).expect("the field says nothing that cannot be written")
                {
                    let wire = up.clone();
                    match insists {
                        true => tokio::spawn(wire.insist(packet)),
                        false => tokio::spawn(wire.try_once(packet)),
                    };
                }
            }
        });
        (wire, Link { outbound, inbox: heard, counters })
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().expect("no task panics while it holds the line")
    }

    /// The end of a new life of the system.
    pub fn connect(&self) -> Link {
        let counters = Arc::new(Counters::default());
        let (mut writer, heard) = inbox(Limits::default(), counters.clone());
        let (outbound, mut said) = mpsc::channel::<Message>(OUTBOUND);
        let _ = writer.link(LinkState::Up);
        let life = {
            let mut line = self.line();
            line.life += 1;
            line.ear = Some(Ear { life: line.life, writer: Arc::new(Turn::new(writer)) });
            line.life
        };
        let down = self.clone();
        tokio::spawn(async move {
            while let Some(message) = said.recv().await {
                if down.line().life != life {
                    return;
                }
                for packet in encode(&down.area, &message).expect("an order can be written") {
                    tokio::spawn(down.clone().send_down(packet));
                }
            }
        });
        Link { outbound, inbox: heard, counters }
    }

    /// Opens the door for offers of the present life.
    pub fn open(&self, door: OfferDoor) {
        let mut line = self.line();
        line.door = Some((line.life, door));
    }

    /// The door, and whose life it is of.
    pub fn door(&self) -> Option<(u64, OfferDoor)> {
        self.line().door.clone()
    }

    /// Notes what the party asked and was told.
    pub fn note_party(&self, note: impl FnOnce(&mut Told)) {
        note(&mut self.line().known.party);
    }

    /// The system is gone: what it still wants to say or acknowledge counts no more.
    pub fn cut(&self) {
        let mut line = self.line();
        line.life += 1;
        (line.ear, line.door) = (None, None);
    }

    /// From now on nothing is lost, doubled or slow.
    pub fn mend(&self) {
        self.line().wires = Wires::default();
    }

    /// What the outside knows for certain.
    pub fn known<T>(&self, read: impl FnOnce(&Known) -> T) -> T {
        read(&self.line().known)
    }

    /// Everything that went over the wires so far, as one number.
    pub fn trace(&self) -> u64 {
        self.line().trace.value()
    }

    fn fate(&self) -> Fate {
        let mut line = self.line();
        let wires = line.wires;
        let (lost, doubled) = (share(&mut line.random) < wires.lost, share(&mut line.random) < wires.doubled);
        Fate { lost, doubled, after: wires.slow.mul_f64(share(&mut line.random)) }
    }

    fn note(&self, way: &str, packet: &Packet) {
        let now = self.clock.now().nanos();
        self.line().trace.note((way, now, &packet.topic, &packet.payload));
    }

    fn ear(&self) -> Option<Ear> {
        self.line().ear.clone()
    }

    /// A packet that may be lost.
    async fn try_once(self, packet: Packet) {
        let fate = self.fate();
        tokio::time::sleep(fate.after).await;
        for _ in 0..1 + u32::from(fate.doubled) {
            if let Some(ear) = self.ear().filter(|_| !fate.lost) {
                self.note("up", &packet);
                let _ =
                    ear.writer.lock().await.deliver(&packet.topic, &packet.payload, self.clock.now()).await;
            }
        }
    }

    /// A packet that is sent until it is acknowledged.
    async fn insist(self, packet: Packet) {
        let number = {
            let mut line = self.line();
            line.known.sent += 1;
            let number = line.known.sent;
            line.known.waiting.insert(number, self.clock.now());
            self.note_told(&mut line.known, &packet);
            number
        };
        let mut pause = AGAIN;
        loop {
            let fate = self.fate();
            tokio::time::sleep(fate.after).await;
            let mut acknowledged = false;
            for _ in 0..1 + u32::from(fate.doubled) {
                if let Some(ear) = self.ear().filter(|_| !fate.lost) {
                    self.note("up", &packet);
                    acknowledged |= self.delivered(&packet, ear).await;
                }
            }
            if acknowledged {
                let mut line = self.line();
                line.known.waiting.remove(&number);
                self.note_acknowledged(&mut line.known, &packet);
                return;
            }
            pause = if self.ear().is_some() { AGAIN } else { AWAY.min(2 * pause) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whether the system acknowledged a packet in time and in the same life.
    async fn delivered(&self, packet: &Packet, ear: Ear) -> bool {
        let (done, told) = oneshot::channel();
        let handed = async {
            ear.writer
                .lock()
                .await
                .deliver_owing(&packet.topic, &packet.payload, self.clock.now(), done)
                .await
        };
        if handed.await.is_err() {
            return false;
        }
        let answer = tokio::time::timeout(AGAIN, told).await;
        matches!(answer, Ok(Ok(true))) && self.line().life == ear.life
    }

    fn note_told(&self, known: &mut Known, packet: &Packet) {
        for (key, energy) in energies(packet, self.clock.now()) {
            known.told.entry(key).or_insert((energy, self.clock.now()));
        }
    }

    fn note_acknowledged(&self, known: &mut Known, packet: &Packet) {
        known.energies.extend(energies(packet, self.clock.now()));
        if let Ok(Message::Status(status)) = decode(&packet.topic, &packet.payload, self.clock.now()) {
            known.answers.push(status.activation);
        }
    }

    async fn send_down(self, packet: Packet) {
        let fate = self.fate();
        tokio::time::sleep(fate.after).await;
        if fate.lost {
            return;
        }
        for _ in 0..1 + u32::from(fate.doubled) {
            self.note("down", &packet);
            if let Ok(Message::Activation(order)) = decode(&packet.topic, &packet.payload, self.clock.now()) {
                let known = &mut self.line().known;
                match known.orders.get(&order.id) {
                    Some(before) if *before != order => known.changed.push(order.id.clone()),
                    Some(_) => {}
                    None => drop(known.orders.insert(order.id.clone(), order)),
                }
            }
            let _ = self.field.lock().await.deliver(&packet.topic, &packet.payload, self.clock.now()).await;
        }
    }
}

/// Whether the sender of a message must be sure that it was taken.
fn insists(message: &Message) -> bool {
    match message {
        Message::Status(_) => true,
        Message::Telemetry(values) => values.iter().any(|value| value.point.quantity == Quantity::SlotEnergy),
        Message::Device(_) | Message::Activation(_) => false,
    }
}

/// What meters of devices say in a packet.
fn energies(packet: &Packet, now: Timestamp) -> Vec<((DeviceId, Slot), EnergyMwh)> {
    let Ok(Message::Telemetry(values)) = decode(&packet.topic, &packet.payload, now) else {
        return Vec::new();
    };
    let energy = |value: grid::Measurement| match value.point.element {
        Element::Device(device) if value.point.quantity == Quantity::SlotEnergy => {
            // The meter tells at the end of a quarter-hour.
            let slot = Slot(value.measured_at.nanos().div_euclid(900_000_000_000) - 1);
            Some(((device, slot), EnergyMwh((value.value * 1000.0).round() as i64)))
        }
        _ => None,
    };
    values.into_iter().filter_map(energy).collect()
}
