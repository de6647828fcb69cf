//! `gridflex simulate`: a scenario in virtual time.

use crate::answer::say;
use crate::demo::failure;
use crate::progress::minutes_bar;
use crate::{Failure, options};
use anyhow::Context;
use clap::Args;
use sim::Scenario;
use sim::run::{Setup, virtual_time::simulate};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gridflex simulate --seed 7 --out results                 the evening of `gridflex demo`
  gridflex simulate --duration 3h --out half --json        half of it, figures as JSON
  gridflex simulate evening.toml --out mine                a scenario of your own";

/// Arguments of `gridflex simulate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SimulateArguments {
    /// Scenario file; without it the evening of `gridflex demo`
    scenario: Option<PathBuf>,
    /// Seed of households, vehicles, weather and meters; without it the scenario's own
    #[arg(long)]
    seed: Option<u64>,
    /// Length, for example 6h; without it the scenario's own
    #[arg(long, value_parser = options::duration)]
    duration: Option<Duration>,
    /// Directory for the results; it must be new or empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print the figures as one JSON document to stdout
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &SimulateArguments) -> Result<(), Failure> {
    let mut scenario = match &arguments.scenario {
        Some(path) => Scenario::read_path(path).with_context(|| path.display().to_string()),
        None => Scenario::first_light().map_err(anyhow::Error::from),
    }
    .map_err(Failure::Input)?;
    if let Some(seed) = arguments.seed {
        scenario.seed = seed;
    }
    if let Some(duration) = arguments.duration {
        scenario.duration_minutes = u32::try_from(duration.as_secs() / 60).unwrap_or(u32::MAX);
    }
    scenario.check().map_err(|error| Failure::Input(error.into()))?;
    let out = &arguments.out;
    if std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
        let out = out.display();
        return Err(Failure::Input(anyhow::anyhow!(
            "{out}: the directory is not empty; give a new one to --out"
        )));
    }
    let (start, end) = (scenario.start, scenario.end());
    let bar = minutes_bar(start, end, std::io::stderr().is_terminal());
    let drawn = bar.clone();
    let setup = Setup::new(scenario).map_err(failure)?;
    let changes = setup.network.notes.clone();
    let simulated = simulate(setup, out, move |now| drawn.set_position(now.since(start).as_secs() / 60));
    bar.finish_and_clear();
    let simulated = simulated.map_err(failure)?;
    let document = sim::report::write_with_changes(out, &simulated, &changes)
        .with_context(|| format!("writing the results to {}", out.display()))
        .map_err(Failure::Run)?;
    if arguments.json {
        say(document)?;
    } else {
        say(&simulated.outcome)?;
        say(format!("  results in {}", out.display()))?;
    }
    Ok(())
}
