//! `gridflex bench actors`: the whole system with very many FlexOffer Agents in one process: what one costs in memory, a round of
//! messages to all of them, and how fast offers are accepted durably. Offers go to the aggregator's door inside the process: without HTTP.

use super::meter;
use crate::Failure;
use actors::grid_side::region::learnt;
use actors::journal::{Durability, Journal};
use actors::market_side::aggregator::OfferAnswer;
use actors::picture::DeviceKind;
use actors::runtime::{Compute, Environment, ScaledClock};
use actors::{Area, Device, DsoRules, Parts, System};
use clap::Args;
use connectors::exchange::{InboxWriter, Limits, inbox};
use connectors::{Counters, Link, Message};
use grid::{Clock, DeviceId, ProsumerId, Timestamp, UsagePointId};
use market::{DeviceReport, DeviceState, FlexOfferId, OfferRules, OfferState, Rules, offer_for};
use serde::Serialize;
use sim::Scenario;
use sim::run::{Setup, setup::AREA};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Power of a charger, W.
const P_MAX_W: f64 = 7_400.0;

/// Arguments of `gridflex bench actors`.
#[derive(Debug, Args)]
pub struct ActorsArguments {
    /// FlexOffer Agents, each with a charger
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    agents: u32,
    /// Offers handed in, as many at a time as `--at-once`
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    offers: u32,
    /// Offers under way at a time
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    at_once: u16,
    /// Where the journal is written; without it the directory for temporary files
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured. Wall time; the two worker threads share what the machine has.
#[derive(Debug, Serialize)]
pub struct Figures {
    agents: u32,
    start_s: f64,
    /// Memory that the agents added, bytes each.
    bytes_per_agent: Option<f64>,
    /// Processor time of a report to an agent, from the connector's queue on, µs.
    message_us: f64,
    /// A report to every agent, until the last one was handled, s.
    round_s: f64,
    offers: usize,
    offers_per_s: f64,
    offer_ms_p50: f64,
    offer_ms_p99: f64,
    /// Memory at the end, MB.
    memory_mb: Option<f64>,
}

/// Measures.
pub fn measure(arguments: &ActorsArguments) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(error.into()))?;
    runtime.block_on(run(arguments)).map_err(Failure::Run)
}

async fn run(arguments: &ActorsArguments) -> anyhow::Result<Figures> {
    let mut place = tempfile::Builder::new();
    place.prefix("gridflex-bench-actors-");
    let place = match &arguments.on {
        Some(directory) => place.tempdir_in(directory)?,
        None => place.tempdir()?,
    };
    let setup = Setup::new(Scenario::first_light()?)?;
    let points: Vec<UsagePointId> =
        setup.feeder.network().usage_points().iter().map(|point| point.id).collect();
    let devices = (1..=arguments.agents).map(|number| device(number, &points)).collect();
    let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
    let area = Arc::new(Area::new(AREA, setup.feeder.clone(), devices, rules)?);
    let opened = Journal::open(place.path(), Durability::Synced)?;
    let clock = ScaledClock::start(setup.scenario.start, 1);
    let counters = Arc::new(Counters::default());
    let (writer, heard) = inbox(Limits { reports: 1 << 20, ..Limits::default() }, counters.clone());
    let (outbound, mut orders) = mpsc::channel(1024);
    tokio::spawn(async move { while orders.recv().await.is_some() {} });
    let before = meter::memory_mb();
    let began = meter::wall_ms();
    let parts = Parts {
        area: area.clone(),
        environment: Environment::new(clock, Compute::Blocking),
        link: Link { outbound, inbox: heard, counters },
        sources: Vec::new(),
        learnt: learnt(&setup.area, &setup.archive),
        journal: opened.journal,
        ledger: opened.standing.ledger,
        records: opened.standing.records,
        owed: Vec::new(),
        history: None,
        weather: None,
        zone: "UTC".to_owned(),
        publish_period: Duration::from_secs(1),
    };
    let system = System::start(parts).await?;
    let start_s = (meter::wall_ms() - began) / 1e3;
    let after = meter::memory_mb();
    let bytes_per_agent = before
        .zip(after)
        .map(|((before, _), (after, _))| (after - before) * 1_048_576.0 / f64::from(arguments.agents));
    let (message_us, round_s) = round(&system, writer, arguments.agents, &points, clock.now()).await?;
    let mut waits = offer(&system, arguments, &area, &points, clock).await?;
    let (offers, seconds) = (waits.len(), waits.pop().unwrap_or_default());
    let figures = Figures {
        agents: arguments.agents,
        start_s,
        bytes_per_agent,
        message_us,
        round_s,
        offers: offers - 1,
        offers_per_s: (offers - 1) as f64 / seconds,
        offer_ms_p50: meter::quantile(&mut waits, 0.5),
        offer_ms_p99: meter::quantile(&mut waits, 0.99),
        memory_mb: meter::memory_mb().map(|(now, _)| now),
    };
    system.stop().await;
    Ok(figures)
}

fn device(number: u32, points: &[UsagePointId]) -> Device {
    let usage_point = points[number as usize % points.len()];
    Device {
        id: DeviceId(number),
        prosumer: ProsumerId(number),
        usage_point,
        kind: DeviceKind::Charger,
        p_max_w: P_MAX_W,
    }
}

fn report(number: u32, session: u64, points: &[UsagePointId], at: Timestamp) -> DeviceReport {
    let Device { id: device, prosumer, usage_point, .. } = device(number, points);
    let departure = at.plus(Duration::from_secs(10 * 3600));
    let state = DeviceState::Charger { session, energy_needed_wh: 9_000.0, departure, p_max_w: P_MAX_W };
    DeviceReport { device, prosumer, usage_point, at, state }
}

/// A report to every agent through the connector's queue, of a charger without a vehicle.
async fn round(
    system: &System,
    mut writer: InboxWriter,
    agents: u32,
    points: &[UsagePointId],
    at: Timestamp,
) -> anyhow::Result<(f64, f64)> {
    let waiting = || system.operations().depths.by_kind().get("foa").map_or(0, |depth| depth.waiting);
    let (began, cpu) = (meter::wall_ms(), meter::process_cpu_ms());
    for number in 1..=agents {
        writer.send(Message::Device(report(number, 0, points, at))).await?;
    }
    // The queue is taken in batches; when it is empty and no agent has anything waiting, all were handled.
    let mut quiet = 0;
    while quiet < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        quiet = if waiting() == 0 && writer.is_empty() { quiet + 1 } else { 0 };
    }
    let wall = (meter::wall_ms() - began) / 1e3;
    let each = (meter::process_cpu_ms() - cpu) * 1e3 / f64::from(agents);
    // The writer stays: without it the system would end.
    std::mem::forget(writer);
    Ok((each, wall))
}

/// Hands in offers at the door; how long each took, ms, and last of all the whole, s.
async fn offer(
    system: &System,
    arguments: &ActorsArguments,
    area: &Arc<Area>,
    points: &[UsagePointId],
    clock: ScaledClock,
) -> anyhow::Result<Vec<f64>> {
    let count = arguments.offers.min(arguments.agents);
    let began = meter::wall_ms();
    let lanes = u32::from(arguments.at_once);
    let tasks: Vec<_> = (0..lanes)
        .map(|lane| {
            let (door, area, points) = (system.door().clone(), area.clone(), points.to_vec());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                for number in (1 + lane..=count).step_by(lanes as usize) {
                    let now = clock.now();
                    let report = report(number, 1, &points, now);
                    let offer = offer_for(&report, now, &OfferState::default(), &area.offer_rules);
                    let mut offer =
                        offer.ok_or_else(|| anyhow::anyhow!("a vehicle that could wait is not offered"))?;
                    // The names of agents are theirs alone.
                    offer.id = FlexOfferId::numbered("bench-", u64::from(number));
                    let sent = meter::wall_ms();
                    match door.submit(offer).await {
                        Some(OfferAnswer::Accepted) => waits.push(meter::wall_ms() - sent),
                        other => anyhow::bail!("an offer was answered with {other:?}"),
                    }
                }
                anyhow::Ok(waits)
            })
        })
        .collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    waits.push((meter::wall_ms() - began) / 1e3);
    Ok(waits)
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let memory = figures.bytes_per_agent.map_or("-".to_owned(), |bytes| format!("{:.1} kB", bytes / 1024.0));
    let all = figures.memory_mb.map_or("-".to_owned(), |mb| format!("{mb:.0} MB"));
    [
        format!("{} FlexOffer Agents in one process (wall time)", figures.agents),
        format!("  started in {:.2} s, {memory} each, {all} in all", figures.start_s),
        format!(
            "  a report to every one of them: {:.2} s, {:.1} µs of processor time each",
            figures.round_s, figures.message_us
        ),
        format!(
            "  {} offers accepted and on the disk: {:.0}/s, {:.2} ms, 99 % {:.2} ms",
            figures.offers, figures.offers_per_s, figures.offer_ms_p50, figures.offer_ms_p99
        ),
    ]
    .join("\n")
}
