//! `gridflex market aggregate` and `disaggregate`.

use super::clearing::read;
use crate::Failure;
use crate::answer::say;
use anyhow::{Context, anyhow};
use clap::Args;
use connectors::flex_offer::ReadError;
use connectors::portfolio_file::{self, AggregateOwner, Answer};
use grid::{DeviceId, EnergyMwh, Money};
use market::FlexOfferId;
use market::portfolio::{Bounds, Tolerances};
use serde::Serialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const AGGREGATE_EXAMPLES: &str = "\
Examples:
  gridflex market aggregate case.json -o aggregates.json
  gridflex market aggregate case.json --start 4 --flexibility 4 --price 0.05 --members-max 50 -o aggregates.json
  gridflex market aggregate home.json --as 12 --device 40 --place 7 -o for-the-street.json   for the market a level above

With --as, --device and --place everything is written in the name of one prosumer, as its device at its place, so that \
another market takes it; all members must lie behind that place. What comes back is split with `disaggregate`. An offer \
that the file takes back (an empty profile with its id) is left out. At most 1,000,000 entries of a list and 2 GiB are \
read. Wider tolerances make fewer aggregates and lose more flexibility; the answer says how much.";

const DISAGGREGATE_EXAMPLES: &str = "\
Examples:
  gridflex market disaggregate aggregates.json -o schedules.json
  gridflex market disaggregate aggregates.json --assignments result.json -o schedules.json

Ends with 1 when a schedule could not be split; the answer has the others, and the reason.";

#[derive(Debug, Args)]
#[command(after_help = AGGREGATE_EXAMPLES)]
pub struct AggregateArguments {
    /// A file with flexOffers
    input: PathBuf,
    /// Where the aggregates go; standard output otherwise
    #[arg(short, long, value_name = "OUT.json")]
    out: Option<PathBuf>,
    /// How far apart members may start, quarter-hours; they keep that distance
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=192))]
    start: u32,
    /// Width of the classes of time flexibility, quarter-hours; 1 loses nothing
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=672))]
    flexibility: u32,
    /// Width of the classes of assignment deadlines, quarter-hours
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=672))]
    assignment: u32,
    /// Width of the classes of prices, currency units per kWh
    #[arg(long, default_value_t = 0.01, value_parser = price)]
    price: f64,
    /// Fewest members of an aggregate; smaller ones pass as single offers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    members_min: u32,
    /// Most members of an aggregate
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    members_max: u32,
    /// In whose name the aggregates are written, by the name that the level above has for the prosumer
    #[arg(long = "as", value_name = "PROSUMER", requires_all = ["device", "place"], value_parser = prosumer)]
    prosumer: Option<FlexOfferId>,
    /// The number of the device there that stands for all members
    #[arg(long, value_name = "D", requires = "prosumer")]
    device: Option<u32>,
    /// Where it is connected, by the name that the level above has for the place
    #[arg(long, value_name = "P", requires = "prosumer")]
    place: Option<String>,
    /// Print one JSON document with the figures to stdout (with --out)
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = DISAGGREGATE_EXAMPLES)]
pub struct DisaggregateArguments {
    /// A file that `gridflex market aggregate` wrote
    input: PathBuf,
    /// The schedules of its aggregates: the result of a clearing, or any file with `assignments`
    #[arg(long, value_name = "RESULT.json")]
    assignments: Option<PathBuf>,
    /// Where the schedules go; standard output otherwise
    #[arg(short, long, value_name = "OUT.json")]
    out: Option<PathBuf>,
    /// Print one JSON document with the figures to stdout (with --out)
    #[arg(long)]
    json: bool,
}

fn prosumer(text: &str) -> Result<FlexOfferId, String> {
    let short = (1..=32).contains(&text.len()).then(|| FlexOfferId::new(text).ok()).flatten();
    short.ok_or_else(|| format!("{text:?} is no name of 1 to 32 letters, digits and . _ : -"))
}

fn price(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(price) if (1e-6..=1000.0).contains(&price) => Ok(price),
        _ => Err(format!("{text:?} is no price between 0.000001 and 1000")),
    }
}

pub fn aggregate(arguments: &AggregateArguments) -> Result<(), Failure> {
    let tolerances = Tolerances {
        start_slots: arguments.start,
        flexibility_slots: arguments.flexibility,
        assignment_slots: arguments.assignment,
        price: Money((arguments.price * 1e6).round() as i64),
    };
    let bounds = Bounds {
        members_min: arguments.members_min as usize,
        members_max: arguments.members_max as usize,
        ..Bounds::default()
    };
    let owner = arguments.prosumer.clone().zip(arguments.device).zip(arguments.place.clone());
    let owner =
        owner.map(|((prosumer, device), place)| AggregateOwner { prosumer, device: DeviceId(device), place });
    let text = read(&arguments.input)?;
    let answer = portfolio_file::aggregate(text.as_bytes(), tolerances, bounds, owner.as_ref())
        .map_err(|error| unreadable(&arguments.input.display().to_string(), &error))?;
    warn_of_refusals(&answer.document);
    let figures = answer.figures;
    let sentence = format!(
        "{} entries: {} in {} aggregates, {} as they are, {} refused; lost {} and {} quarter-hours of shifting{}{}{}",
        figures.offers + figures.withdrawn + figures.refused,
        figures.members,
        figures.aggregates,
        figures.passed,
        figures.refused,
        EnergyMwh(figures.energy_lost_mwh),
        figures.time_slots_lost,
        told(figures.withdrawn, "offers taken back"),
        told(figures.dissolved, "aggregates dissolved, see `dissolved`"),
        told(figures.notes, "things not read or moved a little, see `notes`"),
    );
    hand_over(&answer, arguments.out.as_deref(), arguments.json, &sentence)
}

/// What is wrong with a file as a whole, with its code.
fn unreadable(place: &str, error: &ReadError) -> Failure {
    Failure::Input(anyhow!("{place}: {error} ({})", error.code()))
}

/// What is said only when there is some of it.
fn told(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!("; {count} {what}") }
}

pub fn disaggregate(arguments: &DisaggregateArguments) -> Result<(), Failure> {
    let text = read(&arguments.input)?;
    let result = arguments.assignments.as_deref().map(read).transpose()?;
    let answer = portfolio_file::disaggregate(text.as_bytes(), result.as_deref().map(str::as_bytes))
        .map_err(|error| match &arguments.assignments {
            Some(path) => {
                unreadable(&format!("{} with {}", arguments.input.display(), path.display()), &error)
            }
            None => unreadable(&arguments.input.display().to_string(), &error),
        })?;
    warn_of_refusals(&answer.document);
    let figures = answer.figures;
    let sentence = format!(
        "{} schedules split among {} members, {} mWh assigned, {} mWh distributed; {} passed, {} refused",
        figures.split,
        figures.members,
        figures.assigned_mwh,
        figures.distributed_mwh,
        figures.passed,
        figures.refused,
    );
    hand_over(&answer, arguments.out.as_deref(), arguments.json, &sentence)?;
    match answer.document.get("refusals").and_then(Value::as_array).and_then(|refusals| refusals.first()) {
        None => Ok(()),
        Some(first) => {
            let words = first.get("sentence").and_then(Value::as_str).unwrap_or_default();
            Err(Failure::Run(anyhow!("{} schedules were not split; the first: {words}", figures.refused)))
        }
    }
}

/// The document to its file and a line about it to stdout, or the document to stdout.
fn hand_over<F: Serialize>(
    answer: &Answer<F>,
    out: Option<&Path>,
    json: bool,
    sentence: &str,
) -> Result<(), Failure> {
    let Some(path) = out else { return say(&answer.document) };
    fs::write(path, answer.document.to_string())
        .with_context(|| format!("writing {}", path.display()))
        .map_err(Failure::Run)?;
    match json {
        true => say(serde_json::to_string(&answer.figures).map_err(|error| Failure::Run(error.into()))?),
        false => say(sentence),
    }
}

fn warn_of_refusals(document: &Value) {
    for refusal in document.get("refusals").and_then(Value::as_array).into_iter().flatten() {
        let field = |name: &str| refusal.get(name).map(Value::to_string).unwrap_or_default();
        tracing::warn!(id = field("id"), code = field("code"), reason = field("sentence"), "refused");
    }
}
