//! Devices that are ordered: a client of the MQTT door that hears every order, says that it will obey, and notes when it came.

use super::latency::Samples;
use actors::journal::{Fact, Journal};
use actors::runtime::ScaledClock;
use connectors::house::Message;
use connectors::mqtt::{self, ClientConfig};
use connectors::{Arrival, Link, Role};
use grid::{Clock, Timestamp};
use market::{Activation, ActivationId, ActivationStatus, MarketEvent};
use sim::run::setup::AREA;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// What is assigned so shortly before the end may be on its way when it comes, in the wall's time.
const LAST_MOMENT: Duration = Duration::from_secs(2);

/// The side of the devices.
pub struct Devices {
    heard: JoinHandle<BTreeMap<ActivationId, Timestamp>>,
    ordered: Arc<AtomicUsize>,
    end: oneshot::Sender<()>,
}

/// When each order came first, by the system's clock.
pub struct Arrivals(BTreeMap<ActivationId, Timestamp>);

impl Devices {
    /// Listens at a door.
    pub fn connect(broker: SocketAddr, clock: ScaledClock) -> anyhow::Result<Self> {
        let area = connectors::Area::new(AREA)?;
        let config = ClientConfig::new(broker.ip().to_string(), broker.port(), "bench-devices", area);
        let link = mqtt::connect(config, Role::Field, Arc::new(clock))?;
        let (end, ended) = oneshot::channel();
        let ordered = Arc::<AtomicUsize>::default();
        Ok(Self { heard: tokio::spawn(listen(link, clock, ordered.clone(), ended)), ordered, end })
    }

    /// Orders so far.
    pub fn ordered(&self) -> usize {
        self.ordered.load(Ordering::Relaxed)
    }

    /// Goes away.
    pub async fn end(self) -> Arrivals {
        // When it has gone already, what it heard is what there is.
        let _ = self.end.send(());
        Arrivals(self.heard.await.unwrap_or_default())
    }
}

async fn listen(
    mut link: Link,
    clock: ScaledClock,
    ordered: Arc<AtomicUsize>,
    mut ended: oneshot::Receiver<()>,
) -> BTreeMap<ActivationId, Timestamp> {
    let mut heard = BTreeMap::new();
    loop {
        let batch = tokio::select! {
            batch = link.inbox.recv_batch() => batch,
            _ = &mut ended => None,
        };
        let Some(batch) = batch else { return heard };
        let now = clock.now();
        for arrival in batch {
            let message = match arrival {
                Arrival::Message(message) => message,
                Arrival::Owing(message, receipt) => {
                    receipt.confirm();
                    message
                }
                Arrival::Link(_) => continue,
            };
            let Message::Activation(order) = message else { continue };
            heard.entry(order.id.clone()).or_insert(now);
            ordered.store(heard.len(), Ordering::Relaxed);
            answer(&link.outbound, &order, now).await;
        }
    }
}

async fn answer(outbound: &mpsc::Sender<Message>, order: &Activation, at: Timestamp) {
    let (activation, device) = (order.id.clone(), order.device);
    let status = ActivationStatus { activation, device, accepted: true, reason: None, at };
    // It fails when the connection has ended for good, which whoever waits for orders notices.
    let _ = outbound.send(Message::Status(status)).await;
}

/// Orders of a run.
pub struct Ordered {
    /// From the assignment that is in the journal to the order's arrival at its device, by when it was assigned.
    pub took: Samples,
    /// Orders that are in the journal and never came.
    pub missing: usize,
}

impl Arrivals {
    /// Lays the orders that came beside those in the journal, in the wall's time. By the system's clock, which runs `speed` times as fast,
    /// it was `now` at `wall_ms`, when nobody listened any more; orders of the last moment before that are left out.
    pub fn beside(
        &self,
        journal: &Path,
        speed: u32,
        (wall_ms, now): (f64, Timestamp),
    ) -> anyhow::Result<Ordered> {
        let (took, mut missing, mut assigned) = (Samples::default(), 0, BTreeMap::new());
        let ms = |span: Duration| span.as_secs_f64() * 1e3 / f64::from(speed);
        let last = now.minus(LAST_MOMENT * speed);
        for entry in Journal::verify(journal)?.entries {
            match entry.fact {
                Fact::Market(MarketEvent::Assigned { contract, at, .. }) if at < last => {
                    assigned.insert(contract, at);
                }
                Fact::Market(MarketEvent::ActivationIssued { activation, .. }) => {
                    let Some(at) = assigned.get(&activation.contract).copied() else { continue };
                    match self.0.get(&activation.id) {
                        Some(came) => took.add(wall_ms - ms(now.since(at)), ms(came.since(at))),
                        None => missing += 1,
                    }
                }
                _ => {}
            }
        }
        Ok(Ordered { took, missing })
    }
}
