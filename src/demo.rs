//! `gridflex demo`: the evening against the wall clock, with MQTT and page.

use crate::answer::say;
use crate::progress::Progress;
use crate::stop::asked_to_stop;
use crate::{Failure, options};
use ::site::StationError;
use clap::Args;
use connectors::mqtt::DoorError;
use sim::Scenario;
use sim::run::{Live, LiveOptions, RunError, Setup};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  gridflex demo                                     the evening with a page at http://127.0.0.1:8080, until Ctrl-C
  gridflex demo --headless --speed 240 --json       one JSON document at the end, for scripts
  gridflex demo --port 0 --mqtt-port 0              any free ports; the addresses are printed
  gridflex demo --data evening                      keep the journal; the same command goes on after a crash
  mosquitto_sub -p 1883 -t 'gridflex/#' -v          see the telemetry of a running demo";

/// Arguments of `gridflex demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArguments {
    /// How much of the evening to run, for example 6h or 1h30m
    #[arg(long, value_parser = options::duration, default_value = "6h")]
    duration: Duration,
    /// Seconds of the evening per second of wall time, 1 to 600
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=600))]
    speed: u32,
    /// End after the evening; without it the page stays up until Ctrl-C
    #[arg(long)]
    headless: bool,
    /// Seed of households, vehicles, weather and meters
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// TCP port of the page on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// TCP port of the MQTT door on 127.0.0.1; 0 takes any free one
    #[arg(long, default_value_t = 1883)]
    mqtt_port: u16,
    /// Let in only those with an account or a token in this file, see `gridflex access`; without it, whoever reaches 127.0.0.1
    #[arg(long, value_name = "FILE")]
    access: Option<PathBuf>,
    /// Where the journal is kept; a run that ended early goes on from there. Without it a fresh temporary directory
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON document to stdout at the end, and nothing else; progress goes to stderr
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &DemoArguments) -> Result<(), Failure> {
    let mut scenario = Scenario::first_light().map_err(|error| Failure::Input(error.into()))?;
    scenario.seed = arguments.seed;
    scenario.duration_minutes = u32::try_from(arguments.duration.as_secs() / 60).unwrap_or(u32::MAX);
    scenario.check().map_err(|error| Failure::Input(error.into()))?;
    let setup = Setup::new(scenario).map_err(failure)?;
    let temporary;
    let data = match &arguments.data {
        Some(directory) => directory.clone(),
        None => {
            temporary = tempfile::Builder::new().prefix("gridflex-demo-").tempdir();
            temporary
                .as_ref()
                .map_err(|error| Failure::Run(anyhow::anyhow!("temporary directory: {error}")))?
                .path()
                .to_owned()
        }
    };
    let options = LiveOptions {
        data,
        port: arguments.port,
        mqtt_port: arguments.mqtt_port,
        speed: arguments.speed,
        accounts: arguments.access.clone(),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::Run(error.into()))?;
    runtime.block_on(evening(setup, options, arguments))
}

async fn evening(setup: Setup, options: LiveOptions, arguments: &DemoArguments) -> Result<(), Failure> {
    let notes = setup.network.notes.clone();
    let (speed, start, end) = (options.speed, setup.scenario.start, setup.scenario.end());
    let data = options.data.clone();
    let mut live = Live::start(setup, options).await.map_err(failure)?;
    // With --json stdout is kept for the document.
    let tell = |line: String| {
        if arguments.json {
            eprintln!("{line}");
            return Ok(());
        }
        say(line)
    };
    tell(format!("gridflex demo: {start} to {end} at {speed} times real time, seed {}", arguments.seed))?;
    for note in &notes {
        tell(format!("  {note}"))?;
    }
    tell(format!("  page    http://{}", live.page()))?;
    tell(format!("  broker  mqtt://{}", live.broker()))?;
    tell(format!("  journal {}{}", data.display(), if live.resumed() { " (taken up)" } else { "" }))?;
    let bar = !arguments.json && std::io::stdout().is_terminal();
    let progress = Progress::start(live.picture(), live.started_at(), end, bar, arguments.json);
    let stopped_early = tokio::select! {
        finished = live.finished() => finished.map(|()| false),
        stopped = asked_to_stop() => stopped.map(|()| true).map_err(no_signals),
    };
    progress.end();
    let stopped_early = stopped_early.map_err(failure)?;
    // The market ends with the evening: nobody would meter or deliver what it trades afterwards.
    let (outcome, page) = live.end(!arguments.headless && !stopped_early).await.map_err(failure)?;
    if arguments.json {
        say(serde_json::to_string_pretty(&outcome).map_err(|error| Failure::Run(error.into()))?)?;
    } else {
        say(format!("\n{outcome}"))?;
    }
    if let Some(page) = page {
        tell(format!(
            "The evening is over; its last picture stays at http://{} until Ctrl-C.",
            page.address()
        ))?;
        asked_to_stop().await.map_err(|error| failure(no_signals(error)))?;
        page.stop().await;
    }
    Ok(())
}

fn no_signals(source: std::io::Error) -> RunError {
    RunError::Io { doing: "listening for signals".to_owned(), source }
}

/// Sorts an error of a run by exit code.
pub fn failure(error: RunError) -> Failure {
    match error {
        RunError::GivenUp(reason) => Failure::GivenUp(reason),
        error @ RunError::Station(StationError::Mqtt(DoorError::Listen { .. })) => Failure::Input(
            anyhow::anyhow!("{error}; choose another port with --mqtt-port, 0 for any free one"),
        ),
        error if error.is_input() => Failure::Input(error.into()),
        error => Failure::Run(error.into()),
    }
}
