//! `gridflex`: see a distribution grid live and buy the flexibility it lacks.
//!
//! The command line is thin: one file per subcommand, and everything it does is in the crates below.
#![allow(clippy::print_stderr)] // the command line is where people are told what happens

mod access;
mod acquire;
mod answer;
mod ask;
mod backup;
mod bench;
mod cluster;
mod demo;
mod deviations;
mod diagnosis;
mod estimate;
mod history;
mod journal;
mod market;
mod options;
mod plot;
mod powerflow;
mod progress;
mod quarantine;
mod sensitivities;
mod simulate;
mod site;
mod stop;
mod study;
mod study_table;
mod traces;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// See a distribution grid live and buy the flexibility it lacks.
#[derive(Debug, Parser)]
#[command(name = "gridflex", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  gridflex demo                                  the evening on a real feeder, with a page at http://127.0.0.1:8080
  gridflex demo --headless --duration 6h --speed 240 --seed 7 --json
  gridflex check site.toml                       is a site's configuration right, as a whole
  gridflex serve site.toml                       the live system of that site
  gridflex simulate --seed 7 --out results       the same evening in virtual time
  gridflex journal verify results
  gridflex backup data backups/monday            a copy of a data directory, also while it is used
  gridflex access add ada --role operator        an account; then gridflex demo --access access.json
  gridflex acquire --config acquire.toml --once  a historian's files to a platform, without private ids
  gridflex quarantine list                       messages that a running gridflex has set aside
  gridflex market aggregate case.json -o out.json  like FlexOffers as one, and their schedules split again
  gridflex market clear case.json -o result.json schedules, prices, payments, and a bound on what was left
  gridflex powerflow network.json --table        the worst voltages and loadings of a network
  gridflex estimate network.json -o state.json   its state from its sensors

Exit codes: 0 done, 1 the run failed, 2 bad usage or input, 70 a part failed more often than it may be restarted.
Logs go to stderr; RUST_LOG=debug shows more.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole loop on a real feeder: telemetry, estimate, forecast, market, devices, settlement
    Demo(demo::DemoArguments),
    /// Run the live system of a site: its network, its MQTT door with rights and TLS, its page, its market
    Serve(site::ServeArguments),
    /// Who lives in a cluster and serves what
    Members(cluster::MembersArguments),
    /// Check a site's file and everything it names without starting anything; every problem with file and line
    Check(site::CheckArguments),
    /// Run a scenario in virtual time: the same actors, one seed, the same bytes every time
    Simulate(simulate::SimulateArguments),
    /// Voltages, flows and loadings of a network: power-grid-model JSON in and out
    Powerflow(powerflow::PowerFlowArguments),
    /// The state of a network from its sensors: power-grid-model JSON in and out
    Estimate(estimate::EstimateArguments),
    /// Measure the kernels on a case (CPU time of one thread), or the running parts: journal, telemetry, agents, overload
    Bench(bench::BenchArguments),
    /// Aggregate FlexOffers, clear a case with a certificate, split schedules, verify a clearing
    Market(market::MarketArguments),
    /// Send what a grid operator's historian holds to a platform: without private ids, sealed, each line once
    Acquire(acquire::AcquireArguments),
    /// Accounts of people and tokens of programs: who may ask the running system for what
    Access(access::AccessArguments),
    /// Look into a journal: is it whole, what does it say, was anything lost
    Journal(journal::JournalArguments),
    /// Copy a data directory, also one that a running gridflex uses, to be started from when the original is gone
    Backup(backup::BackupArguments),
    /// What was measured and estimated, from a data directory that no running gridflex uses
    History(history::HistoryArguments),
    /// Messages that a running gridflex has set aside: look at them, release or discard them
    Quarantine(quarantine::QuarantineArguments),
}

/// Why the program ends with something other than 0.
#[derive(Debug)]
pub enum Failure {
    /// 1: it was asked for something sensible and could not do it.
    Run(anyhow::Error),
    /// 2: what it was asked for, or was given to read, makes no sense.
    Input(anyhow::Error),
    /// 0: nobody reads the answer any more.
    NobodyReads,
    /// 70: a part failed more often than it may be restarted.
    GivenUp(String),
}

impl Failure {
    fn report(&self) -> ExitCode {
        let (code, words) = match self {
            Failure::Run(error) => (1, sentence(error)),
            Failure::Input(error) => (2, sentence(error)),
            Failure::NobodyReads => return ExitCode::SUCCESS,
            Failure::GivenUp(reason) => {
                (70, format!("stopped: {reason}; start again to recover from the journal"))
            }
        };
        eprintln!("gridflex: {words}");
        ExitCode::from(code)
    }
}

/// The error with its causes, each said once: many of ours name their cause already.
fn sentence(error: &anyhow::Error) -> String {
    let mut words = String::new();
    for cause in error.chain().map(|cause| cause.to_string()) {
        if words.is_empty() {
            words = cause;
        } else if !words.contains(cause.trim()) {
            words = format!("{words}: {cause}");
        }
    }
    words.trim_end().to_owned()
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let _traces = match traces::start() {
        Ok(traces) => traces,
        Err(error) => return Failure::Input(error).report(),
    };
    let outcome = match arguments.command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Serve(arguments) => site::serve(&arguments),
        Command::Members(arguments) => cluster::members(&arguments),
        Command::Check(arguments) => site::check(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Powerflow(arguments) => powerflow::run(&arguments),
        Command::Estimate(arguments) => estimate::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Market(arguments) => market::run(&arguments),
        Command::Acquire(arguments) => acquire::run(&arguments),
        Command::Access(arguments) => access::run(&arguments),
        Command::Journal(arguments) => journal::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Quarantine(arguments) => quarantine::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
