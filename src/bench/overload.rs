//! `gridflex bench overload`: many times the telemetry a million customers send, for minutes, into a station as `gridflex serve` has it.
//! What matters then: memory stays within what the site's file says, offers are answered and devices ordered in time, and afterwards
//! all is soon as it was.
//!
//! ```text
//! warming up │ before: a steady client, traders │ during: the same, and the flood │ after: the same, until it is as before
//! ```
//!
//! The steady client sends a tenth of what the flood has to be at least, all the time. Traders hand in offers over HTTP and take them
//! back, at a rate that does not wait for answers; others offer what the DSO buys, and their devices are ordered over MQTT.

mod latency;
mod orders;
mod traders;

pub use traders::unwanted;

use super::meter;
use super::mqtt::{Client, packets};
use super::stand::{Plan, Stand, Written};
use crate::Failure;
use clap::Args;
use grid::Clock;
use latency::{Latency, Phases, Samples};
use orders::Devices;
use serde::Serialize;
use site::memory::{MEMORY_MB, MEMORY_MB_MAX};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use traders::Undone;

/// Values of a message.
const VALUES: u16 = 20;
/// Messages of a client under way.
const WINDOW: usize = 64;
/// The system's clock runs so much faster than the wall's: offers are bundled once a minute, and rounds of the market follow. What is
/// told is told in the wall's time.
const SPEED: u32 = 10;
/// Batteries that trade.
const BATTERIES: u32 = 220;
/// How long it may take until there is an estimate.
const READY_WITHIN_MS: f64 = 120_000.0;
/// How long is waited for a first order after that: the DSO's first outlook comes with the first five minutes of the system's time.
const ORDERED_WITHIN_MS: f64 = 60_000.0;
/// What comes after it before anything counts.
const WARM_UP: Duration = Duration::from_secs(2);
/// How long is waited for everything to be as before.
const AFTER_MAX_MS: f64 = 40_000.0;
/// How often memory and mailboxes are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Arguments of `gridflex bench overload`.
#[derive(Debug, Args)]
pub struct OverloadArguments {
    /// Seconds of overload
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(5..=3600))]
    seconds: u32,
    /// Seconds before it, in which is measured what is usual
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=600))]
    before: u32,
    /// Clients that send as fast as they can; each message has 20 values
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Values a second that come all the time; as usual, a million customers send one a minute
    #[arg(long, default_value_t = 16_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    steady_values: u32,
    /// Offers handed in a second over HTTP, each of which is taken back
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    offers_per_second: u16,
    /// What the system may use, MB, as `[limits] memory_mb` of a site's file says
    #[arg(long, default_value_t = MEMORY_MB, value_parser = clap::value_parser!(u32).range(1..=i64::from(MEMORY_MB_MAX)))]
    memory_mb: u32,
    /// Where journal and history are written; without it the directory for temporary files
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured, in wall time.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// How long each phase was, s.
    before_s: f64,
    seconds: f64,
    after_s: f64,
    /// What went in while it lasted, the steady client's share included.
    values_per_s: f64,
    /// What the system may use, MB.
    memory_mb_allowed: u32,
    /// Memory after a sixth of the overload, and the largest and smallest afterwards, MB, clients included.
    memory_mb: Option<[f64; 3]>,
    /// From when an offer or its withdrawal was due to the durable answer over HTTP.
    offers: Phases<Latency>,
    /// Offers and withdrawals that the market declined as it may: the device is taken, or the offer was bundled a moment ago.
    offers_declined: usize,
    /// Any other answer.
    offers_refused: usize,
    /// From when a message of the steady client was due to its PUBACK.
    telemetry: Phases<Latency>,
    /// From assigning what was bought to the order's arrival at its device, over MQTT.
    orders: Phases<Latency>,
    /// Orders that came, those before the first phase included.
    orders_all: usize,
    /// Orders that are in the journal and never came.
    orders_missing: usize,
    /// Messages in the fullest mailbox of all.
    mailbox_max: u64,
    /// From the end of the overload until the flood's last PUBACK, s.
    flood_acknowledged_s: f64,
    /// From the end of the overload to the first of three seconds in a row in which offers and steady telemetry were as before, s:
    /// 90 % took no longer than 99 % did before. `null` when that was not so in time.
    normal_again_s: Option<f64>,
}

/// Measures.
pub fn measure(arguments: &OverloadArguments) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(error.into()))?;
    runtime.block_on(run(arguments)).map_err(|error| Failure::Run(error.context("bench overload")))
}

/// What goes on all the time.
struct Usual {
    stop: Arc<AtomicBool>,
    offers: Samples,
    telemetry: Samples,
    devices: Devices,
    traders: Vec<JoinHandle<anyhow::Result<Undone>>>,
    steady: JoinHandle<std::io::Result<usize>>,
}

impl Usual {
    async fn start(stand: &Stand, offers_per_second: u16, steady_values: u32) -> anyhow::Result<Self> {
        let (stop, offers, telemetry) =
            (Arc::<AtomicBool>::default(), Samples::default(), Samples::default());
        let devices = Devices::connect(stand.broker(), stand.clock)?;
        let traders = traders::start(stand, offers_per_second, &offers, &stop);
        let packets = packets(&stand.setup, 0, VALUES)?;
        let client = Client::connect(stand.broker(), u16::MAX, packets, stand.clock).await?;
        let (told, until) = (telemetry.clone(), stop.clone());
        let per_second = f64::from(steady_values) / f64::from(VALUES);
        let steady = tokio::spawn(async move {
            client.send_steadily(per_second, &until, |due_ms, wait_ms| told.add(due_ms, wait_ms)).await
        });
        Ok(Self { stop, offers, telemetry, devices, traders, steady })
    }

    /// Whatever ended although nobody asked it to.
    async fn broken(&mut self) -> anyhow::Result<()> {
        if self.steady.is_finished() {
            (&mut self.steady).await??;
            anyhow::bail!("the steady client ended");
        }
        if let Some(ended) = self.traders.iter_mut().find(|trader| trader.is_finished()) {
            ended.await??;
            anyhow::bail!("a trader ended");
        }
        Ok(())
    }

    /// Ends it; what offers and withdrawals were not done, and when orders arrived.
    async fn end(self) -> anyhow::Result<(Undone, orders::Arrivals)> {
        self.stop.store(true, Ordering::Relaxed);
        self.steady.await??;
        let mut all = Undone::default();
        for trader in self.traders {
            let undone = trader.await??;
            all.declined += undone.declined;
            all.refused += undone.refused;
        }
        Ok((all, self.devices.end().await))
    }
}

/// What was seen of the station while the flood lasted.
#[derive(Default)]
struct Watched {
    memory: Vec<f64>,
    mailbox_max: u64,
}

impl Watched {
    fn look(&mut self, stand: &Stand, memory: bool) {
        let depths = stand.system().operations().depths.by_kind();
        let fullest = depths.values().map(|depth| depth.fullest).max().unwrap_or(0);
        self.mailbox_max = self.mailbox_max.max(fullest);
        if memory {
            self.memory.extend(meter::memory_mb().map(|(now, _)| now));
        }
    }

    /// The first, largest and smallest.
    fn memory_mb(&self) -> Option<[f64; 3]> {
        let (largest, smallest) = (|a: f64, b: &f64| a.max(*b), |a: f64, b: &f64| a.min(*b));
        let first = *self.memory.first()?;
        Some([first, self.memory.iter().fold(first, largest), self.memory.iter().fold(first, smallest)])
    }
}

async fn run(arguments: &OverloadArguments) -> anyhow::Result<Figures> {
    let (on, memory_mb) = (arguments.on.as_deref(), arguments.memory_mb);
    let stand = Stand::start(Plan { on, speed: SPEED, memory_mb, batteries: BATTERIES }).await?;
    let mut usual = Usual::start(&stand, arguments.offers_per_second, arguments.steady_values).await?;
    ready(&stand, &mut usual).await?;
    let began = meter::wall_ms();
    tokio::time::sleep(Duration::from_secs(u64::from(arguments.before))).await;
    usual.broken().await?;

    let flooded = meter::wall_ms();
    let until = flooded + f64::from(arguments.seconds) * 1e3;
    let flood = flood(&stand, arguments.clients, until).await?;
    let mut watched = Watched::default();
    while meter::wall_ms() < until {
        let sixth = flooded + (until - flooded) / 6.0;
        watched.look(&stand, meter::wall_ms() > sixth);
        tokio::time::sleep(LOOK).await;
    }
    // From here on no client begins another message.
    let ended = until;
    let mut flooded_messages = 0;
    for client in flood {
        flooded_messages += client.await??;
    }
    let acknowledged = meter::wall_ms();
    let marks = Phases { before: (began, flooded), during: (flooded, ended), after: (ended, f64::INFINITY) };
    let normal_again_s = loop {
        usual.broken().await?;
        let normal = latency::normal_again_s(&[&usual.offers, &usual.telemetry], marks.before, ended);
        if normal.is_some() || meter::wall_ms() > ended + AFTER_MAX_MS {
            break normal;
        }
        tokio::time::sleep(LOOK).await;
    };
    let after_s = (meter::wall_ms() - ended) / 1e3;
    let (offers, telemetry, clock) = (usual.offers.clone(), usual.telemetry.clone(), stand.clock);
    // The same instants by the system's clock, by which orders are told.
    let (wall, now) = (meter::wall_ms(), clock.now());
    let (undone, arrivals) = usual.end().await?;
    let written: Written = stand.stop().await;
    let orders = arrivals.beside(&written.journal(), SPEED, (wall, now))?;
    let steady = telemetry.within(marks.during).len();
    Ok(Figures {
        before_s: (flooded - began) / 1e3,
        seconds: (ended - flooded) / 1e3,
        after_s,
        values_per_s: f64::from(VALUES) * (flooded_messages + steady) as f64
            / ((acknowledged - flooded) / 1e3),
        memory_mb_allowed: memory_mb,
        memory_mb: watched.memory_mb(),
        offers: marks.map(|span| Latency::of(offers.within(span))),
        offers_declined: undone.declined,
        offers_refused: undone.refused,
        telemetry: marks.map(|span| Latency::of(telemetry.within(span))),
        orders: marks.map(|span| Latency::of(orders.took.within(span))),
        orders_all: orders.took.within((f64::NEG_INFINITY, f64::INFINITY)).len(),
        orders_missing: orders.missing,
        mailbox_max: watched.mailbox_max,
        flood_acknowledged_s: (acknowledged - ended) / 1e3,
        normal_again_s,
    })
}

/// Waits until there is an estimate and a device was ordered for the first time, and a little longer.
async fn ready(stand: &Stand, usual: &mut Usual) -> anyhow::Result<()> {
    let (mut client, began) = (super::http::Client::of(stand.page()), meter::wall_ms());
    while client.send("GET", "/readyz", b"").await?.0 != 200 {
        usual.broken().await?;
        let waited_ms = meter::wall_ms() - began;
        anyhow::ensure!(waited_ms < READY_WITHIN_MS, "there was no estimate within {:.0} s", waited_ms / 1e3);
        tokio::time::sleep(LOOK).await;
    }
    let estimated = meter::wall_ms();
    while usual.devices.ordered() == 0 {
        usual.broken().await?;
        let waited_ms = meter::wall_ms() - estimated;
        anyhow::ensure!(
            waited_ms < ORDERED_WITHIN_MS,
            "no device was ordered within {:.0} s of the first estimate",
            waited_ms / 1e3
        );
        tokio::time::sleep(LOOK).await;
    }
    tokio::time::sleep(WARM_UP).await;
    Ok(())
}

/// Clients that send as fast as they can until some time; each tells in the end how many messages it sent.
async fn flood(
    stand: &Stand,
    clients: u16,
    until_ms: f64,
) -> anyhow::Result<Vec<JoinHandle<std::io::Result<usize>>>> {
    let mut running = Vec::new();
    for number in 1..=clients {
        let packets = packets(&stand.setup, number, VALUES)?;
        let client = Client::connect(stand.broker(), number, packets, stand.clock).await?;
        running.push(tokio::spawn(client.send(usize::MAX, until_ms, WINDOW, |_| ())));
    }
    Ok(running)
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let memory = figures.memory_mb.map_or("-".to_owned(), |[first, largest, smallest]| {
        format!("{first:.0} MB after a sixth of it, then {smallest:.0} to {largest:.0} MB")
    });
    let normal =
        figures.normal_again_s.map_or("not in time".to_owned(), |s| format!("{s:.0} s after it ended"));
    let row = |what: &str, phases: &Phases<Latency>| {
        let Phases { before, during, after } = phases;
        format!("  {what:<44} {before} | {during} | {after}")
    };
    [
        format!(
            "{:.0} s before │ {:.0} s of as much telemetry as clients could send: {:.0} values/s went in │ {:.0} s after (wall time)",
            figures.before_s, figures.seconds, figures.values_per_s, figures.after_s
        ),
        row("offers and withdrawals over HTTP, durable", &figures.offers),
        row("telemetry of the steady client, to PUBACK", &figures.telemetry),
        row("orders, from assignment to their devices", &figures.orders),
        format!(
            "  {} offers or withdrawals declined, {} refused; {} orders in all, {} missing",
            figures.offers_declined, figures.offers_refused, figures.orders_all, figures.orders_missing
        ),
        format!(
            "  of {} MB allowed: {memory}; at most {} messages in a mailbox",
            figures.memory_mb_allowed, figures.mailbox_max
        ),
        format!(
            "  last PUBACK of the flood {:.2} s after its end; as before: {normal}",
            figures.flood_acknowledged_s
        ),
    ]
    .join("\n")
}
