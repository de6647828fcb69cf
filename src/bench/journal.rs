//! `gridflex bench journal`: how fast facts are acknowledged, replayed and taken up again, and how fast a process serves that starts on
//! many of them.

use super::meter;
use super::restart::{self, Restarts};
use crate::Failure;
use actors::journal::measure::{Bench, Figures as OfJournal};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `gridflex bench journal`.
#[derive(Debug, Args)]
pub struct JournalArguments {
    /// Where to write; it decides which disk is measured. Without it the directory for temporary files
    #[arg(long, value_name = "DIR")]
    on: Option<PathBuf>,
    /// Records of the journal that is replayed and started from
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    records: u32,
    /// Starts that are timed: so often the journal is opened, and so often `gridflex serve` is started on one of its own and killed
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    starts: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Figures {
    #[serde(flatten)]
    journal: OfJournal,
    /// Starts of the whole program.
    process: Restarts,
}

/// Measures in a fresh directory, which is removed afterwards.
pub fn measure(arguments: &JournalArguments) -> Result<Figures, Failure> {
    let mut place = tempfile::Builder::new();
    place.prefix("gridflex-bench-journal-");
    let place = match &arguments.on {
        Some(directory) => place.tempdir_in(directory),
        None => place.tempdir(),
    };
    let place =
        place.map_err(|error| Failure::Input(anyhow::anyhow!("a directory to measure in: {error}")))?;
    let bench = Bench {
        directory: place.path(),
        records: arguments.records as usize,
        starts: usize::from(arguments.starts),
        now_ms: &meter::wall_ms,
        cpu_ms: &meter::cpu_ms,
    };
    let journal = bench.run().map_err(|error| Failure::Run(anyhow::anyhow!("{error}")))?;
    let site = place.path().join("site");
    let process = restart::measure(&site, bench.records, bench.starts)
        .map_err(|error| Failure::Run(error.context("starting the program")))?;
    Ok(Figures { journal, process })
}

/// The figures for people.
pub fn table(figures: &Figures) -> String {
    let mut rows = vec!["append with group commit (wall time)".to_owned()];
    let Figures { journal: figures, process } = figures;
    for row in &figures.append {
        rows.push(format!(
            "  {:>4} per sync {:>12.0} records/s   acknowledged after {:.2} ms, 99 % {:.2} ms",
            row.group, row.records_per_s, row.ack_ms_p50, row.ack_ms_p99
        ));
    }
    rows.push(format!(
        "{} records of {:.0} bytes (CPU time, one thread)",
        figures.records, figures.bytes_per_record
    ));
    rows.push(format!("  replay {:>20.0} events/s, from files to ledger", figures.replay_per_s));
    rows.push(format!("  read {:>22.0} events/s, checked, without a ledger", figures.read_per_s));
    rows.push(format!("  fold {:>22.0} events/s, into a ledger from memory", figures.fold_per_s));
    rows.push(format!(
        "opening it (wall time): {:.0} ms, 99 % {:.0} ms, with {} records after the snapshot; {:.0} ms of CPU time",
        figures.start_ms_p50, figures.start_ms_p99, figures.replayed_at_start, figures.start_cpu_ms_p50
    ));
    rows.push(format!(
        "  a snapshot has {:.1} MB and takes {:.0} ms",
        figures.snapshot_bytes as f64 / 1e6,
        figures.snapshot_ms
    ));
    rows.push(format!(
        "from starting `gridflex serve` to its first acknowledged offer: {:.0} ms, 99 % {:.0} ms",
        process.serving_ms_p50, process.serving_ms_p99
    ));
    rows.join("\n")
}
