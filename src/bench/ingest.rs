//! `gridflex bench ingest`: telemetry over MQTT, quality 1, acknowledged when it is in the history on the disk. With `--broker`
//! the same clients send the same packets to another broker, so that both can be laid side by side in one run.

use super::meter;
use super::mqtt::{Client, packets};
use super::stand::{Plan, Stand};
use crate::Failure;
use actors::runtime::ScaledClock;
use clap::Args;
use grid::telemetry::Element;
use grid::{Phase, PointId, Quality, Quantity, Timestamp};
use history::{History, HistoryError, Kind, Options, Query, Versions};
use serde::Serialize;
use sim::Scenario;
use sim::run::Setup;
use site::memory::{MEMORY_MB, MEMORY_MB_MAX};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often is looked whether the history can be opened again, and how many times.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 400;
/// Points that are read back at a time.
const POINTS_AT_ONCE: usize = 60;

/// Arguments of `gridflex bench ingest`.
#[derive(Debug, Args)]
pub struct IngestArguments {
    /// Where to write; it decides which disk is measured. Without it the directory for temporary files
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,
    /// Send to this broker instead of gridflex
    #[arg(long, value_name = "ADDRESS:PORT")]
    broker: Option<SocketAddr>,
    /// Clients at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Messages of each client under way, unacknowledged
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    window: u16,
    /// Messages in all
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    messages: u32,
    /// Values of each message
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    values: u16,
    /// What the system may use, MB, as `[limits] memory_mb` of a site's file says
    #[arg(long, default_value_t = MEMORY_MB, value_parser = clap::value_parser!(u32).range(1..=i64::from(MEMORY_MB_MAX)))]
    memory_mb: u32,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    into: String,
    clients: u16,
    window: u16,
    messages: usize,
    values_per_message: u16,
    messages_per_s: f64,
    values_per_s: f64,
    /// From sending to PUBACK.
    ack_ms_p50: f64,
    ack_ms_p99: f64,
    /// Values that were sent, all of them acknowledged.
    sent: u64,
    /// Values of them that were read back from the history, opened anew after the end; none of another broker.
    kept: Option<u64>,
    /// Largest memory of this process, clients included, MB.
    peak_mb: Option<f64>,
}

/// Measures.
pub fn measure(arguments: &IngestArguments) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(error.into()))?;
    let measured = runtime.block_on(async {
        match arguments.broker {
            Some(address) => {
                let setup = Setup::new(Scenario::first_light()?)?;
                let clock = ScaledClock::start(setup.scenario.start, 1);
                send_all(arguments, address, (&setup, clock), format!("broker {address}")).await
            }
            None => into_gridflex(arguments).await,
        }
    });
    measured.map_err(|error| Failure::Run(error.context("bench ingest")))
}

async fn into_gridflex(arguments: &IngestArguments) -> anyhow::Result<Figures> {
    let (on, memory_mb) = (arguments.on.as_deref(), arguments.memory_mb);
    let stand = Stand::start(Plan { on, speed: 1, memory_mb, batteries: 0 }).await?;
    let into = "gridflex, into the history".to_owned();
    let mut figures = send_all(arguments, stand.broker(), (&stand.setup, stand.clock), into).await?;
    let points = points(&stand.setup);
    let written = stand.stop().await;
    figures.kept = Some(tokio::task::block_in_place(|| read_back(&written.history(), &points))?);
    Ok(figures)
}

/// The points that clients speak of, and others of their kind.
fn points(setup: &Setup) -> Vec<PointId> {
    let quantity = Quantity::ActivePower;
    let of = |element| Phase::ALL.map(|phase| PointId { element, quantity, phase: Some(phase) });
    setup.feeder.network().lines().iter().flat_map(|line| of(Element::Branch(line.id))).collect()
}

/// How many values of some points lie in a history as they came. A value that a rule doubted has a second version, which was not sent.
fn read_back(directory: &Path, points: &[PointId]) -> anyhow::Result<u64> {
    let history = opened_again(directory)?;
    let (from, until) = (Timestamp::from_nanos(i64::MIN), Timestamp::from_nanos(i64::MAX));
    let mut kept = 0;
    for points in points.chunks(POINTS_AT_ONCE) {
        let (kind, points, versions) = (Kind::Telemetry, points.to_vec(), Versions::All);
        let found = history.query(&Query { kind, points, from, until, versions, most: usize::MAX })?;
        kept += found.iter().filter(|value| value.quality == Quality::Measured).count() as u64;
    }
    Ok(kept)
}

/// Whoever wrote it lets go of it a moment after the system has stopped.
fn opened_again(directory: &Path) -> Result<History, HistoryError> {
    let mut looks = 0;
    loop {
        match History::open(directory, Options::default()) {
            Err(HistoryError::Locked { .. }) if looks < LOOKS_MAX => looks += 1,
            opened => return opened,
        }
        std::thread::sleep(LOOK_PERIOD);
    }
}

async fn send_all(
    arguments: &IngestArguments,
    to: SocketAddr,
    (setup, clock): (&Setup, ScaledClock),
    into: String,
) -> anyhow::Result<Figures> {
    let per_client = (arguments.messages / u32::from(arguments.clients)).max(1) as usize;
    let mut clients = Vec::new();
    for number in 0..arguments.clients {
        let packets = packets(setup, number, arguments.values)?;
        clients.push(Client::connect(to, number, packets, clock).await?);
    }
    let began = meter::wall_ms();
    let window = usize::from(arguments.window);
    let running = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let mut waits = Vec::new();
            client.send(per_client, f64::INFINITY, window, |wait_ms| waits.push(wait_ms)).await?;
            std::io::Result::Ok(waits)
        })
    });
    let mut waits = Vec::new();
    for client in running.collect::<Vec<_>>() {
        waits.extend(client.await??);
    }
    let seconds = (meter::wall_ms() - began) / 1e3;
    let messages = waits.len();
    Ok(Figures {
        into,
        clients: arguments.clients,
        window: arguments.window,
        messages,
        values_per_message: arguments.values,
        messages_per_s: messages as f64 / seconds,
        values_per_s: messages as f64 * f64::from(arguments.values) / seconds,
        ack_ms_p50: meter::quantile(&mut waits, 0.5),
        ack_ms_p99: meter::quantile(&mut waits, 0.99),
        sent: messages as u64 * u64::from(arguments.values),
        kept: None,
        peak_mb: meter::memory_mb().map(|(_, peak)| peak),
    })
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let mut rows = vec![format!(
        "{}: {} messages of {} values, {} clients with {} under way each (wall time)",
        figures.into, figures.messages, figures.values_per_message, figures.clients, figures.window
    )];
    rows.push(format!("  {:>12.0} messages/s, {:.0} values/s", figures.messages_per_s, figures.values_per_s));
    rows.push(format!(
        "  acknowledged after {:.2} ms, 99 % {:.2} ms",
        figures.ack_ms_p50, figures.ack_ms_p99
    ));
    if let Some(kept) = figures.kept {
        rows.push(format!(
            "  {} values acknowledged, {kept} of them read back from the history",
            figures.sent
        ));
    }
    if let Some(peak) = figures.peak_mb {
        rows.push(format!("  {peak:.0} MB at most, clients included"));
    }
    rows.join("\n")
}
