//! `gridflex history`: what was measured and estimated, from a data directory that no running gridflex uses.

use crate::Failure;
use crate::answer::say;
use clap::{Args, Subcommand, ValueEnum};
use grid::{PointId, Timestamp};
use history::{History, HistoryError, Kind, Options, Query, Value, Versions};
use std::path::{Path, PathBuf};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gridflex history list .demo                                        what is kept, by kind
  gridflex history query .demo telemetry --point branch.1001.p.a     its last day, one line a value
  gridflex history query .demo energy --from 2026-01-15T16:30:00Z --until 2026-01-15T18:00:00Z --json
  gridflex history query .demo telemetry --as-of 2026-01-15T17:00:00Z    what could be known then
  gridflex history export .demo estimate estimates.parquet           all of a kind as one Parquet file

A running gridflex answers the same over HTTP: GET /api/v1/history/telemetry?point=branch.1001.p.a";

/// Arguments of `gridflex history`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HistoryArguments {
    #[command(subcommand)]
    command: HistoryCommand,
}

#[derive(Debug, Subcommand)]
enum HistoryCommand {
    /// What is kept, by kind
    #[command(after_help = EXAMPLES)]
    List {
        /// The data directory, or its folder `history`
        directory: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Values by point and instant
    #[command(after_help = EXAMPLES)]
    Query {
        #[command(flatten)]
        what: What,
        /// Values that may be printed; with more nothing is
        #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
        limit: u32,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Values as a Parquet file
    #[command(after_help = EXAMPLES)]
    Export {
        #[command(flatten)]
        what: What,
        /// The file to make; it must not be there
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct What {
    /// The data directory, or its folder `history`
    directory: PathBuf,
    /// Which kind
    kind: KindName,
    /// Only this point, for example bus.34.u.a; may be given more than once
    #[arg(long = "point", value_name = "POINT")]
    points: Vec<PointId>,
    /// First instant; without it the beginning
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// First instant after it; without it the end
    #[arg(long, value_name = "TIME")]
    until: Option<Timestamp>,
    /// What was there at this instant
    #[arg(long, value_name = "TIME", conflicts_with = "all_versions")]
    as_of: Option<Timestamp>,
    /// What was replaced by later values as well
    #[arg(long)]
    all_versions: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KindName {
    /// What instruments said
    Telemetry,
    /// Energies of quarter-hours
    Energy,
    /// What was estimated
    Estimate,
}

impl What {
    fn find(&self, most: usize) -> Result<(Kind, Vec<Value>), Failure> {
        let (history, query) = (open(&self.directory)?, self.query(most));
        Ok((query.kind, history.query(&query).map_err(failure)?))
    }

    fn query(&self, most: usize) -> Query {
        let kind = match self.kind {
            KindName::Telemetry => Kind::Telemetry,
            KindName::Energy => Kind::Energy,
            KindName::Estimate => Kind::Estimate,
        };
        let versions = match (self.as_of, self.all_versions) {
            (Some(at), _) => Versions::AsOf(at),
            (None, true) => Versions::All,
            (None, false) => Versions::Newest,
        };
        let from = self.from.unwrap_or(Timestamp::from_nanos(i64::MIN));
        let until = self.until.unwrap_or(Timestamp::from_nanos(i64::MAX));
        Query { kind, points: self.points.clone(), from, until, versions, most }
    }
}

/// Runs the command.
pub fn run(arguments: &HistoryArguments) -> Result<(), Failure> {
    match &arguments.command {
        HistoryCommand::List { directory, json } => list(directory, *json),
        HistoryCommand::Query { what, limit, json } => {
            let (kind, values) = what.find(*limit as usize)?;
            print(kind, &values, *json)
        }
        HistoryCommand::Export { what, out } => {
            if out.exists() {
                return Err(Failure::Input(anyhow::anyhow!("{} is there already", out.display())));
            }
            let (history, query) = (open(&what.directory)?, what.query(usize::MAX));
            let count = history.export(&query, out).map_err(failure)?;
            say(format!("{count} values in {}", out.display()))
        }
    }
}

fn failure(error: HistoryError) -> Failure {
    match error {
        HistoryError::Locked { .. } => Failure::Input(anyhow::anyhow!(
            "{error}: ask it over HTTP (GET /api/v1/history), or stop it first"
        )),
        HistoryError::TooMany { .. } => Failure::Input(error.into()),
        error => Failure::Run(error.into()),
    }
}

fn open(directory: &Path) -> Result<History, Failure> {
    let inner = directory.join(site::check::HISTORY_DIRECTORY);
    let place = if inner.is_dir() { inner } else { directory.to_owned() };
    // A folder of something else must not become a history.
    if !place.join("history.lock").is_file() {
        return Err(Failure::Input(anyhow::anyhow!("{}: there is no history here", directory.display())));
    }
    History::open(&place, Options { keep: Default::default(), ..Options::default() }).map_err(failure)
}

fn list(directory: &Path, json: bool) -> Result<(), Failure> {
    let figures = open(directory)?.figures();
    if json {
        let document = serde_json::to_value(&figures).map_err(|error| Failure::Run(error.into()))?;
        return say(format!("{document:#}"));
    }
    for (kind, figures) in figures {
        let per_value = figures.bytes as f64 / figures.sealed.max(1) as f64;
        let oldest = figures.oldest.map_or("-".to_owned(), |oldest| oldest.to_string());
        say(format!(
            "{:<10} {:>12} values in {} files ({per_value:.1} bytes a value, from {oldest}), {} in the log",
            kind.word(),
            figures.sealed,
            figures.files,
            figures.unsealed
        ))?;
    }
    Ok(())
}

fn print(kind: Kind, values: &[Value], json: bool) -> Result<(), Failure> {
    if json {
        let document = serde_json::json!({ "kind": kind, "values": values });
        return say(format!("{document:#}"));
    }
    for value in values {
        let std = value.std.map_or(String::new(), |std| format!(" ± {std:.3}"));
        let late = value.received_at.since(value.measured_at);
        let late = if late > Duration::from_secs(60) {
            format!("  received {}", value.received_at)
        } else {
            String::new()
        };
        say(format!(
            "{}  {:<24} {:>12.3}{std} {}  {:?}{late}",
            value.measured_at,
            value.point.to_string(),
            value.value,
            value.point.quantity.unit(),
            value.quality
        ))?;
    }
    Ok(())
}
