//! `gridflex bench`: how long the kernels take on a case, in CPU time of one thread, so that other programs can be laid
//! beside it on the same case in the same run (`benches/peers`).

mod actors;
mod aggregate;
mod case;
mod clear;
mod estimate;
mod http;
mod ingest;
mod journal;
pub mod meter;
mod mqtt;
mod overload;
mod powerflow;
mod restart;
mod rounds;
mod service;
mod stand;

use crate::Failure;
use crate::answer::say;
use aggregate::AggregateArguments;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gridflex bench powerflow target/peers/cases/asym-10000 --json
  gridflex bench estimate target/peers/cases/asym-10000 --repeat 21
  gridflex bench service target/peers/cases/asym-10000      the same network behind measurement points
  gridflex bench clear market.json --json           a market case, see docs/clearing.md
  gridflex bench journal --on /var/lib/gridflex     acknowledgement on that disk, replay, start at a million records
  gridflex bench ingest --on /var/lib/gridflex --values 20      telemetry over MQTT, acknowledged when it is on that disk
  gridflex bench ingest --broker 127.0.0.1:1884     the same clients against another broker
  gridflex bench overload --seconds 600 --on /var/lib/gridflex     ten minutes of too much telemetry, while it is traded
  gridflex bench actors --agents 100000             as many agents in one process: memory, messages, offers (without HTTP)
  gridflex bench market                             rounds of 100,000 offers in 1,000 aggregates against 100 bids
  gridflex bench aggregate --offers 100000 --sizes 10000,1000000 --json     synthetic FlexOffers, no case needed

A case of the first three is a folder with input.json and update.json in power-grid-model's form; update.json is a batch of
new values. Times of powerflow, estimate, clear, aggregate and market are CPU time of one thread; ingest, actors, overload and
the syncs of journal are wall time. Of powerflow and estimate, medians of --repeat runs:
  cold          network checked, equations, structure and first solve; the input is read before
  refactor      flat start, new values, everything recomputed but the structure
  warm          new values, from the last solution and, for an estimate, on kept factors
  batch         all scenarios of update.json in SIMD lanes, per scenario
  uncertainty   standard deviation of every voltage, after the estimate
  incremental   one changed value, then one voltage read anywhere (half and 99 % of the changes take less)";

const POWERFLOW: &str = "\
Examples:
  gridflex bench powerflow target/peers/cases/asym-10000 --json
  gridflex bench powerflow target/peers/cases/asym-10000 --symmetric --repeat 21";

const ESTIMATE: &str = "\
Examples:
  gridflex bench estimate target/peers/cases/asym-10000 --json
  gridflex bench estimate target/peers/cases/asym-10000 --symmetric --repeat 21";

const SERVICE: &str = "\
Examples:
  gridflex bench service target/peers/cases/asym-10000";

const JOURNAL: &str = "\
Examples:
  gridflex bench journal --on /var/lib/gridflex --json     the disk matters: name the one that will be used

The last figure is of this program started as `gridflex serve` on a site with 1,000 devices and such a journal, until its first 201 for
an offer over HTTP; it is killed after each start.";

const ACTORS: &str = "\
Examples:
  gridflex bench actors --agents 100000 --on /var/lib/gridflex --json

Offers are handed to the aggregator's door inside the process and answered when they are on the disk; HTTP is not in these
figures. `bench overload` has offers over HTTP.";

const OVERLOAD: &str = "\
Examples:
  gridflex bench overload --seconds 600 --on /var/lib/gridflex --json
  gridflex bench overload --memory-mb 256           with less memory than a site has when its file does not say

All the time 16,000 values/s come over MQTT, offers are handed in and taken back over HTTP at a rate that waits for no answer,
and devices of offers that were bought are ordered over MQTT. The flood comes on top. The system's clock runs ten times as fast as
the wall's, so that rounds of the market come often; all that is told is wall time.";

const INGEST: &str = "\
Examples:
  gridflex bench ingest --on /var/lib/gridflex --values 20 --json
  gridflex bench ingest --broker 127.0.0.1:1884 --values 20     the same clients against another broker";

/// Arguments of `gridflex bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Three-phase or symmetric power flow
    #[command(after_help = POWERFLOW)]
    Powerflow(CaseArguments),
    /// State estimation
    #[command(after_help = ESTIMATE)]
    Estimate(CaseArguments),
    /// One changed value in, one voltage out, through the estimator of a live region
    #[command(after_help = SERVICE)]
    Service(CaseArguments),
    /// A market case: cold, warm after one change, verified, against plain greed
    Clear(clear::ClearArguments),
    /// Aggregation and disaggregation of FlexOffers, in bulk and one at a time
    Aggregate(AggregateArguments),
    /// Rounds of the market: bids and sums of FlexOffers in, schedules of the members out
    Market(rounds::MarketArguments),
    /// The journal: acknowledgement with group commit, replay, start from a snapshot
    #[command(after_help = JOURNAL)]
    Journal(journal::JournalArguments),
    /// Very many FlexOffer Agents in one process: memory, a round of messages, offers (without HTTP)
    #[command(after_help = ACTORS)]
    Actors(actors::ActorsArguments),
    /// Far more telemetry than usual: memory, offers and orders meanwhile, back to normal
    #[command(after_help = OVERLOAD)]
    Overload(overload::OverloadArguments),
    /// Telemetry over MQTT, acknowledged when it is on the disk
    #[command(after_help = INGEST)]
    Ingest(ingest::IngestArguments),
}

#[derive(Debug, Args)]
struct CaseArguments {
    /// Folder with input.json and update.json
    case: PathBuf,
    /// Positive sequence only
    #[arg(long, conflicts_with = "asymmetric")]
    symmetric: bool,
    /// Three phases (the default)
    #[arg(long)]
    asymmetric: bool,
    /// Runs of which the median is taken
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u16).range(1..=1001))]
    repeat: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    json: bool,
}

/// What was measured. A figure that the case cannot give is null.
#[derive(Debug, Default, Serialize)]
struct Figures {
    program: &'static str,
    version: &'static str,
    case: String,
    what: &'static str,
    symmetric: bool,
    method: &'static str,
    nodes: usize,
    cold_ms: f64,
    refactor_ms: f64,
    warm_ms: f64,
    batch_ms_per_scenario: Option<f64>,
    scenarios: usize,
    uncertainty_ms: Option<f64>,
    /// The same after other values on the factors at hand, which may be too far away for it.
    uncertainty_kept_ms: Option<f64>,
    incremental_us_p50: Option<f64>,
    incremental_us_p99: Option<f64>,
    iterations: usize,
    warm_iterations: usize,
    /// Reading and checking the input file, wall-independent CPU time.
    read_ms: f64,
    /// What building the equations and solving once adds to the process that has read the input.
    peak_mb: Option<f64>,
    /// Largest memory of the process up to then, reading the input included.
    process_peak_mb: Option<f64>,
}

/// Runs the command.
pub fn run(arguments: &BenchArguments) -> Result<(), Failure> {
    let (figures, json) = match &arguments.what {
        What::Powerflow(arguments) => (powerflow::measure(arguments)?, arguments.json),
        What::Estimate(arguments) => (estimate::measure(arguments)?, arguments.json),
        What::Service(arguments) => {
            return answer(&service::measure(arguments)?, arguments.json, service::table);
        }
        What::Clear(arguments) => return clear::measure(arguments),
        What::Aggregate(arguments) => {
            let figures = aggregate::measure(arguments)?;
            return answer(&figures, arguments.json, aggregate::table);
        }
        What::Market(arguments) => {
            return answer(&rounds::measure(arguments)?, arguments.json, rounds::table);
        }
        What::Actors(arguments) => {
            return answer(&actors::measure(arguments)?, arguments.json, actors::table);
        }
        What::Overload(arguments) => {
            return answer(&overload::measure(arguments)?, arguments.json, overload::table);
        }
        What::Ingest(arguments) => {
            return answer(&ingest::measure(arguments)?, arguments.json, ingest::table);
        }
        What::Journal(arguments) => {
            return answer(&journal::measure(arguments)?, arguments.json, journal::table);
        }
    };
    answer(&figures, json, table)
}

fn answer<T: Serialize>(figures: &T, json: bool, table: fn(&T) -> String) -> Result<(), Failure> {
    if json {
        let document = serde_json::to_string(figures).map_err(|error| Failure::Run(error.into()))?;
        return say(document);
    }
    say(table(figures))
}

fn table(figures: &Figures) -> String {
    let kind = if figures.symmetric { "symmetric" } else { "three-phase" };
    let mut rows = vec![format!(
        "{} · {kind} {} · {} nodes · {}",
        figures.case, figures.what, figures.nodes, figures.method
    )];
    let mut row = |name: &str, value: Option<f64>, unit: &str| {
        let value = value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
        rows.push(format!("  {name:<28} {value:>12} {unit}"));
    };
    row("read the input", Some(figures.read_ms), "ms");
    row("cold", Some(figures.cold_ms), "ms");
    row("refactor (flat start)", Some(figures.refactor_ms), "ms");
    row("warm", Some(figures.warm_ms), "ms");
    row("batch", figures.batch_ms_per_scenario, "ms per scenario");
    row("uncertainty", figures.uncertainty_ms, "ms");
    row("uncertainty (kept factors)", figures.uncertainty_kept_ms, "ms");
    row("incremental, half", figures.incremental_us_p50, "µs");
    row("incremental, 99 %", figures.incremental_us_p99, "µs");
    row("memory added", figures.peak_mb, "MB");
    rows.push(format!(
        "  {:<28} {:>12}",
        "iterations (flat, warm)",
        format!("{}, {}", figures.iterations, figures.warm_iterations)
    ));
    rows.join("\n")
}
