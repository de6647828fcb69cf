//! `gridflex acquire`: what an operator's historian holds comes to a platform without private ids.

use crate::Failure;
use crate::answer::say;
use crate::stop::asked_to_stop;
use actors::runtime::WallClock;
use clap::{Args, Subcommand};
use connectors::acquisition::client::{AcquireConfig, AcquireError, Acquisition, Origin, Summary};
use connectors::acquisition::pseudonym::Pseudonym;
use connectors::acquisition::{KeyError, Made, make_client_keys, make_platform_key};
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  gridflex acquire platform-key --name riverside --out keys        at the platform, once; platform.pub goes to the operator
  gridflex acquire keys --sender dso-west --recipient riverside --epoch 2026 --out keys
                                                                    at the operator; signing.pub goes to the platform
  gridflex acquire points --config acquire.toml --out points.csv    the platform's point map, without private ids
  gridflex check acquire.toml                                       read settings, keys and mapping only
  gridflex acquire --config acquire.toml --check                    read every file, or the database, and send nothing
  gridflex acquire --config acquire.toml --once                     send what is there, and end
  gridflex acquire --config acquire.toml                            send what is there and what comes, until Ctrl-C
  gridflex acquire lookup p0123abcd-0123456789abcdef0123456789abcdef --config acquire.toml
                                                                    whose it is; only where key and mapping are

What can stand in acquire.toml ([files] or [database], PostgreSQL), and who knows what: docs/acquire.md.";

/// Lines of bad input that `--check` names.
const FAULTS_MAX: usize = 20;

/// Arguments of `gridflex acquire`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct AcquireArguments {
    #[command(subcommand)]
    command: Option<AcquireCommand>,
    /// The settings
    #[arg(long, value_name = "ACQUIRE.toml", required = true)]
    config: Option<PathBuf>,
    /// Read settings, keys, mapping and every line or row, and send nothing; exit code 2 when something cannot be used
    #[arg(long, conflicts_with = "once")]
    check: bool,
    /// End when the platform has all that was there
    #[arg(long)]
    once: bool,
    /// Print one JSON document to stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum AcquireCommand {
    /// Make the operator's keys: site.key, signing.key, signing.pub
    #[command(after_help = EXAMPLES)]
    Keys {
        /// Who sends; the name in topics
        #[arg(long)]
        sender: String,
        /// Whose ids are replaced; by default the sender
        #[arg(long)]
        site: Option<String>,
        /// Name of the platform
        #[arg(long)]
        recipient: String,
        /// What the values may be used for
        #[arg(long, default_value = "settlement")]
        purpose: String,
        /// How long the pseudonyms last, for example 2026: a new epoch needs a new site key
        #[arg(long)]
        epoch: String,
        /// Folder to make them in
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Make the platform's keys: platform.key, platform.pub
    #[command(after_help = EXAMPLES)]
    PlatformKey {
        /// Name of the platform
        #[arg(long)]
        name: String,
        /// Folder to make them in
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
    /// Write the platform's point map: the mapping's columns about the network, with pseudonyms in place of ids
    #[command(after_help = EXAMPLES)]
    Points {
        /// The settings
        #[arg(long, value_name = "ACQUIRE.toml")]
        config: PathBuf,
        /// The file to make; it must not be there
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Say whose a pseudonym is
    #[command(after_help = EXAMPLES)]
    Lookup {
        /// As the platform calls it
        pseudonym: Pseudonym,
        /// The settings
        #[arg(long, value_name = "ACQUIRE.toml")]
        config: PathBuf,
    },
}

/// Runs the command.
pub fn run(arguments: &AcquireArguments) -> Result<(), Failure> {
    match (&arguments.command, &arguments.config) {
        (Some(AcquireCommand::Keys { sender, site, recipient, purpose, epoch, out }), _) => {
            let site = site.as_ref().unwrap_or(sender);
            made(make_client_keys(&folder(out)?, sender, (site, purpose, recipient, epoch)))
        }
        (Some(AcquireCommand::PlatformKey { name, out }), _) => made(make_platform_key(&folder(out)?, name)),
        (Some(AcquireCommand::Points { config, out }), _) => points(&prepare(config)?, out),
        (Some(AcquireCommand::Lookup { pseudonym, config }), _) => lookup(&prepare(config)?, *pseudonym),
        (None, Some(config)) if arguments.check => check(prepare(config)?, config, arguments.json),
        (None, Some(config)) => acquire(prepare(config)?, arguments),
        (None, None) => Err(Failure::Input(anyhow::anyhow!(
            "--config ACQUIRE.toml is needed; see gridflex acquire --help"
        ))),
    }
}

fn prepare(config: &Path) -> Result<Acquisition, Failure> {
    let config = AcquireConfig::read(config).map_err(|error| Failure::Input(error.into()))?;
    Acquisition::prepare(config, Arc::new(WallClock)).map_err(failure)
}

fn failure(error: AcquireError) -> Failure {
    match error {
        AcquireError::Input(_) | AcquireError::Locked { .. } => Failure::Input(error.into()),
        AcquireError::File { .. }
        | AcquireError::Refused { .. }
        | AcquireError::Database { .. }
        | AcquireError::Envelope { .. }
        | AcquireError::Away { .. } => Failure::Run(error.into()),
    }
}

fn folder(out: &Path) -> Result<PathBuf, Failure> {
    let made = std::fs::create_dir_all(out);
    made.map_err(|error| Failure::Run(anyhow::anyhow!("{}: {error}", out.display())))?;
    Ok(out.to_owned())
}

fn made(made: Result<Vec<Made>, KeyError>) -> Result<(), Failure> {
    for Made { path, secret } in made.map_err(|error| Failure::Input(error.into()))? {
        let words = if secret { "secret, stays here" } else { "goes to the other side" };
        say(format!("{}  ({words})", path.display()))?;
    }
    Ok(())
}

fn points(acquisition: &Acquisition, out: &Path) -> Result<(), Failure> {
    let map = acquisition.mapping().point_map().map_err(|open| {
        let first = open.first().copied().unwrap_or_default();
        Failure::Input(anyhow::anyhow!(
            "{} entries of the mapping do not say what they are in the network (element, quantity); the first is entry {first}",
            open.len()
        ))
    })?;
    let failed = |error: std::io::Error| Failure::Input(anyhow::anyhow!("{}: {error}", out.display()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(out).map_err(failed)?;
    file.write_all(map.as_bytes()).map_err(failed)?;
    say(format!("{} points in {}", acquisition.mapping().entries().len(), out.display()))
}

fn lookup(acquisition: &Acquisition, pseudonym: Pseudonym) -> Result<(), Failure> {
    match acquisition.mapping().entry(pseudonym) {
        Some(entry) => say(format!("{}  {}  {}", entry.private_id, entry.classification_id, entry.channel)
            .trim_end()
            .to_owned()),
        None => Err(Failure::Input(anyhow::anyhow!(
            "{pseudonym} is of no id in the mapping under this site key; other keys make other pseudonyms"
        ))),
    }
}

fn check(mut acquisition: Acquisition, config: &Path, json: bool) -> Result<(), Failure> {
    let faults = runtime()?.block_on(acquisition.look(FAULTS_MAX)).map_err(failure)?;
    let summary = acquisition.summary.clone();
    for fault in &faults {
        eprintln!("{fault}");
    }
    if json {
        let ok = summary.rejected == 0 && summary.without_key == 0;
        let document = serde_json::json!({ "ok": ok, "found": summary, "faults": faults });
        say(format!("{document:#}"))?;
    }
    if summary.rejected > 0 {
        let words = "lines cannot be used, the first are named above; the others would be sent";
        return Err(Failure::Input(anyhow::anyhow!(
            "{}: {} of {} {words}",
            config.display(),
            summary.rejected,
            summary.lines
        )));
    }
    if summary.without_key > 0 {
        let words = "rows cannot be read: their key is NULL";
        return Err(Failure::Input(anyhow::anyhow!("{}: {} {words}", config.display(), summary.without_key)));
    }
    if json {
        return Ok(());
    }
    let lines = match acquisition.origin() {
        Origin::Files(_) => format!("lines of {} files", summary.files),
        Origin::Database(database) => format!("rows of {}", database.rows_name()),
    };
    say(format!(
        "{}\n  {} values in {} {lines} not sent yet",
        good(&acquisition, config),
        summary.values,
        summary.lines
    ))
}

fn good(acquisition: &Acquisition, config: &Path) -> String {
    let ids = acquisition.mapping().entries().len();
    format!("{}: good\n  {ids} ids in the mapping", config.display())
}

/// Whether a file says what [`AcquireConfig`] says, and not what a site is.
pub fn is_of_acquisition(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| line.trim() == "[platform]")
}

/// `gridflex check` of such a file: everything that can be said without the historian and the platform.
pub fn check_settings(path: &Path, json: bool) -> Result<(), Failure> {
    let prepared = prepare(path);
    if json {
        let problem = match &prepared {
            Err(Failure::Run(error) | Failure::Input(error)) => Some(format!("{error:#}")),
            _ => None,
        };
        let problems: Vec<String> = problem.into_iter().collect();
        let document = serde_json::json!({ "ok": problems.is_empty(), "problems": problems });
        say(format!("{document:#}"))?;
    }
    let acquisition = prepared?;
    if json {
        return Ok(());
    }
    let origin = match acquisition.origin() {
        Origin::Files(files) => format!("files of {}", files.folder.display()),
        Origin::Database(database) => format!("{} of database {}", database.rows_name(), database.address()),
    };
    say(format!(
        "{}\n  {origin}; not looked at: `gridflex acquire --config {} --check` does",
        good(&acquisition, path),
        path.display()
    ))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Run(error.into()))
}

fn acquire(mut acquisition: Acquisition, arguments: &AcquireArguments) -> Result<(), Failure> {
    let runtime = runtime()?;
    let bar = bar(arguments);
    let mut bytes = None;
    let outcome = runtime.block_on(async {
        let running = acquisition.run(arguments.once, |summary| {
            // What there was at the first look, and what came since.
            let total = bytes.map_or(summary.bytes_left, |total: u64| total.max(summary.bytes_left));
            bytes = Some(total);
            bar.set_length(total);
            bar.set_position(total - summary.bytes_left);
            bar.set_message(line(summary));
        });
        tokio::select! {
            done = running => done.map_err(failure),
            stopped = asked_to_stop() => stopped.map_err(|error| Failure::Run(error.into())),
        }
    });
    bar.finish_and_clear();
    let summary = &acquisition.summary;
    if arguments.json {
        let document = serde_json::to_value(summary).map_err(|error| Failure::Run(error.into()))?;
        say(format!("{document:#}"))?;
    } else {
        say(line(summary))?;
    }
    if summary.unused > 0 {
        eprintln!(
            "gridflex: the platform could not use {} values: no point in its point map, or out of range",
            summary.unused
        );
    }
    outcome
}

fn line(summary: &Summary) -> String {
    let mut line = format!(
        "{} lines, {} values with the platform; {} lines rejected, {} values unused",
        summary.lines, summary.values, summary.rejected, summary.unused
    );
    if summary.late > 0 {
        line.push_str(&format!("; {} rows came late", summary.late));
    }
    if summary.without_key > 0 {
        line.push_str(&format!("; {} rows have no key and are not read", summary.without_key));
    }
    if summary.bytes_left > 0 {
        line.push_str(&format!("; {} to read", HumanBytes(summary.bytes_left)));
    }
    line
}

fn bar(arguments: &AcquireArguments) -> ProgressBar {
    let shown = std::io::stderr().is_terminal() && !arguments.json;
    let bar = ProgressBar::new(0);
    bar.set_draw_target(if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
    let style = ProgressStyle::with_template("  {bar:30} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
