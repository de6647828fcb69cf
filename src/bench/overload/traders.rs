//! Who trades: prosumers that hand in offers over HTTP and take them back, and others that offer what the DSO buys.

use super::super::http::Client;
use super::super::meter;
use super::super::stand::Stand;
use super::latency::Samples;
use actors::Device;
use actors::runtime::ScaledClock;
use grid::{Clock, EnergyMwh, Money, Slot, Timestamp};
use market::flex_offer::Terms;
use market::{DeviationPrices, EnergyBounds, FlexOffer, FlexOfferId, Schedule};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where offers are handed in.
const PATH: &str = "/api/v1/flexoffers";
/// The status of an answer that an offer is not to be had as it is: its device is taken, by one that was bought or bundled.
const TAKEN: u16 = 422;
/// The status of an answer that an offer cannot be taken back any more: it was bundled with others a moment ago.
const BUNDLED: u16 = 409;
/// Connections by which offers come and go.
const LANES: u16 = 4;
/// How often those who sell look for a device that is free.
const SALE_MS: f64 = 250.0;
/// How long a device that is taken is left alone, by the system's clock.
const AGAIN_AFTER: Duration = Duration::from_secs(240);
/// What a battery can leave out of a quarter-hour, mWh.
const SOLD: EnergyMwh = EnergyMwh(200_000);

/// Messages that did not do what they asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Undone {
    /// The market said no, as it may: the device is taken, or the offer was bundled a moment ago.
    pub declined: usize,
    /// Any other answer.
    pub refused: usize,
}

/// Starts them all; half of the batteries come and go, half sell. Each tells in the end what was not done.
pub fn start(
    stand: &Stand,
    offers_per_second: u16,
    samples: &Samples,
    stop: &Arc<AtomicBool>,
) -> Vec<JoinHandle<anyhow::Result<Undone>>> {
    let batteries = stand.batteries();
    let (fickle, sellers) = batteries.split_at(batteries.len() / 2);
    let lane_ms = 1e3 * f64::from(LANES) / f64::from(offers_per_second) / 2.0;
    let trader = |name: String, devices: Vec<Device>, every_ms: f64| Trader {
        client: Client::of(stand.page()),
        clock: stand.clock,
        samples: samples.clone(),
        stop: stop.clone(),
        name,
        devices,
        every_ms,
        due_ms: meter::wall_ms(),
        offers: 0,
        undone: Undone::default(),
    };
    let mut running = Vec::new();
    for lane in 0..LANES {
        let devices = fickle.iter().copied().skip(usize::from(lane)).step_by(usize::from(LANES)).collect();
        let mut trader = trader(format!("fickle-{lane}"), devices, lane_ms);
        // Not all at the same instant.
        trader.due_ms += lane_ms * f64::from(lane) / f64::from(LANES);
        running.push(tokio::spawn(trader.come_and_go()));
    }
    running.push(tokio::spawn(trader("seller".to_owned(), sellers.to_vec(), SALE_MS).sell()));
    running
}

struct Trader {
    client: Client,
    clock: ScaledClock,
    samples: Samples,
    stop: Arc<AtomicBool>,
    name: String,
    devices: Vec<Device>,
    /// From one message to the next.
    every_ms: f64,
    /// When the next message is due, whether or not the one before was answered in time.
    due_ms: f64,
    offers: usize,
    undone: Undone,
}

impl Trader {
    /// Offers what nobody wants, and takes it back with the next message.
    async fn come_and_go(mut self) -> anyhow::Result<Undone> {
        while self.goes_on().await {
            let device = self.devices[self.offers % self.devices.len()];
            let offer = unwanted(self.next_name()?, device, self.clock.now());
            if !self.tell("POST", PATH, &serde_json::to_vec(&offer)?).await? {
                continue;
            }
            self.goes_on().await;
            self.tell("DELETE", &format!("{PATH}/{}", offer.id), b"").await?;
        }
        Ok(self.undone)
    }

    /// Offers what the DSO wants, with each device again when it may be free again.
    async fn sell(mut self) -> anyhow::Result<Undone> {
        let mut free_from = BTreeMap::new();
        while self.goes_on().await {
            let now = self.clock.now();
            let free = |device: &&Device| free_from.get(&device.id).is_none_or(|from| *from <= now);
            let Some(device) = self.devices.iter().find(free).copied() else { continue };
            let offer = wanted(self.next_name()?, device, now);
            free_from.insert(device.id, offer.assignment_before.plus(AGAIN_AFTER));
            if !self.tell("POST", PATH, &serde_json::to_vec(&offer)?).await? {
                free_from.insert(device.id, now.plus(AGAIN_AFTER));
            }
        }
        Ok(self.undone)
    }

    /// Waits until the next message is due. Whether it is to be sent.
    async fn goes_on(&mut self) -> bool {
        let wait_ms = self.due_ms - meter::wall_ms();
        if wait_ms > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(wait_ms / 1e3)).await;
        }
        self.due_ms += self.every_ms;
        !self.stop.load(Ordering::Relaxed)
    }

    /// Sends a message, and says how long after it was due it was answered that it was done and lasts. Whether that was the answer.
    async fn tell(&mut self, method: &str, path: &str, body: &[u8]) -> anyhow::Result<bool> {
        let due_ms = self.due_ms - self.every_ms;
        let (status, answer) = self.client.send(method, path, body).await?;
        match (method, status) {
            (_, 200 | 201) => {
                self.samples.add(due_ms, meter::wall_ms() - due_ms);
                return Ok(true);
            }
            ("POST", TAKEN) | ("DELETE", BUNDLED) => self.undone.declined += 1,
            _ => {
                let words = String::from_utf8_lossy(answer);
                tracing::warn!(method, path, status, %words, "refused");
                self.undone.refused += 1;
            }
        }
        Ok(false)
    }

    fn next_name(&mut self) -> anyhow::Result<FlexOfferId> {
        self.offers += 1;
        Ok(FlexOfferId::new(format!("{}-{}", self.name, self.offers))?)
    }
}

/// An offer to take more, for which nobody wants to pay.
pub fn unwanted(id: FlexOfferId, device: Device, now: Timestamp) -> FlexOffer {
    let start = now.plus(Duration::from_secs(360)).slot().plus(1);
    let slice = EnergyBounds { min: EnergyMwh(0), max: SOLD };
    offer(id, device, now, (start, start), slice, now.plus(Duration::from_secs(240)))
}

/// An offer to feed in for little money, in one of the next quarter-hours.
fn wanted(id: FlexOfferId, device: Device, now: Timestamp) -> FlexOffer {
    let start = now.plus(Duration::from_secs(360)).slot().plus(1);
    let slice = EnergyBounds { min: EnergyMwh(-SOLD.0), max: EnergyMwh(0) };
    offer(id, device, now, (start, start.plus(8)), slice, start.start().minus(Duration::from_secs(60)))
}

fn offer(
    id: FlexOfferId,
    device: Device,
    created_at: Timestamp,
    (start_after, start_before): (Slot, Slot),
    slice: EnergyBounds,
    deadline: Timestamp,
) -> FlexOffer {
    FlexOffer {
        id,
        prosumer: device.prosumer,
        usage_point: device.usage_point,
        device: device.id,
        created_at,
        acceptance_before: deadline,
        assignment_before: deadline,
        start_after,
        start_before,
        slices: vec![slice],
        total_energy: None,
        default_schedule: Schedule { start: start_after, energies: vec![EnergyMwh(0)] },
        prices: DeviationPrices { decrease: Money(1_000), increase: Money(900_000_000) },
        terms: Terms::default(),
    }
}
