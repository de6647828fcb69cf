//! `gridflex bench overload`: several times the telemetry that a system can take, for minutes. What matters then: memory stays
//! where it is, offers are still accepted in time, and afterwards all is soon as before.

use super::ingest::{self, Bench};
use super::meter;
use crate::Failure;
use actors::market_side::aggregator::OfferAnswer;
use clap::Args;
use grid::Clock;
use market::{FlexOfferId, OfferState, offer_for};
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Arguments of `gridflex bench overload`.
#[derive(Debug, Args)]
pub struct OverloadArguments {
    /// Seconds of overload
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(10..=3600))]
    seconds: u32,
    /// Clients that send as fast as they can; each message has 20 values
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
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
    seconds: u32,
    values_per_s: f64,
    /// Memory after a sixth of the time, and the largest and smallest afterwards, MB, clients included.
    memory_mb: Option<[f64; 3]>,
    offers: usize,
    /// From handing in an offer to the durable answer, during the overload.
    offer_ms_p50: f64,
    offer_ms_p99: f64,
    /// Messages in the fullest mailbox of all.
    mailbox_max: u64,
    /// From the end of the overload until nothing waited any more, s.
    normal_again_s: f64,
}

/// Measures.
pub fn measure(arguments: &OverloadArguments) -> Result<Figures, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Run(error.into()))?;
    runtime.block_on(run(arguments)).map_err(Failure::Run)
}

async fn run(arguments: &OverloadArguments) -> anyhow::Result<Figures> {
    let bench = Bench::start(arguments.on.as_deref()).await?;
    let flood =
        ingest::flood(&bench, arguments.clients, 20, Duration::from_secs(u64::from(arguments.seconds)))
            .await?;
    let (began, end_ms) = (meter::wall_ms(), f64::from(arguments.seconds) * 1e3);
    let (mut memory, mut waits, mut mailbox_max, mut number) = (Vec::new(), Vec::new(), 0, 0_usize);
    let reports = bench.reports();
    // Each device offers once; then this goes on with looking.
    while meter::wall_ms() - began < end_ms {
        if let Some(report) = reports.get(number) {
            let (now, rules) = (bench.clock.now(), &bench.setup.area.offer_rules);
            number += 1;
            if let Some(mut offer) = offer_for(report, now, &OfferState::default(), rules) {
                offer.id = FlexOfferId::numbered("bench-", number as u64);
                let sent = meter::wall_ms();
                match bench.system.door().submit(offer).await {
                    Some(OfferAnswer::Accepted) => waits.push(meter::wall_ms() - sent),
                    other => anyhow::bail!("an offer was answered with {other:?}"),
                }
            }
        }
        let depths = bench.system.operations().depths.by_kind();
        mailbox_max = depths.values().map(|depth| depth.fullest).max().unwrap_or(0).max(mailbox_max);
        if meter::wall_ms() - began > end_ms / 6.0 {
            memory.extend(meter::memory_mb().map(|(now, _)| now));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut sent = 0;
    for client in flood {
        sent += client.await??;
    }
    let ended = meter::wall_ms();
    while bench.system.operations().depths.by_kind().values().any(|depth| depth.waiting > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let figures = Figures {
        seconds: arguments.seconds,
        values_per_s: sent as f64 * 20.0 / ((ended - began) / 1e3),
        memory_mb: memory.first().map(|first| {
            let (largest, smallest) =
                (memory.iter().copied().fold(0.0, f64::max), memory.iter().copied().fold(f64::MAX, f64::min));
            [*first, largest, smallest]
        }),
        offers: waits.len(),
        offer_ms_p50: meter::quantile(&mut waits, 0.5),
        offer_ms_p99: meter::quantile(&mut waits, 0.99),
        mailbox_max,
        normal_again_s: (meter::wall_ms() - ended) / 1e3,
    };
    bench.stop().await;
    Ok(figures)
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let memory = figures.memory_mb.map_or("-".to_owned(), |[first, largest, smallest]| {
        format!("{first:.0} MB after a sixth of it, then {smallest:.0} to {largest:.0} MB")
    });
    [
        format!(
            "{} s of as much telemetry as clients could send: {:.0} values/s went in (wall time)",
            figures.seconds, figures.values_per_s
        ),
        format!("  memory {memory}; at most {} messages in a mailbox", figures.mailbox_max),
        format!(
            "  {} offers accepted and on the disk meanwhile: {:.2} ms, 99 % {:.2} ms",
            figures.offers, figures.offer_ms_p50, figures.offer_ms_p99
        ),
        format!("  nothing waited any more {:.2} s after it ended", figures.normal_again_s),
    ]
    .join("\n")
}
