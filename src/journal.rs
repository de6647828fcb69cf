//! `gridflex journal`: look into a journal without starting anything.

use crate::Failure;
use crate::answer::say;
use actors::journal::{Entry, Fact, Journal, JournalError, Standing, VerifyReport};
use clap::{Args, Subcommand};
use market::{AuditReport, MarketEvent, RecordNumber, audit_telling, audit_without_clearings};
use std::io::{IsTerminal, Write, stderr};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gridflex journal verify results                          exits 0 when nothing is damaged, lost or doubled
  gridflex journal verify results --without-clearings      the same without making every clearing again, which takes longest
  gridflex journal replay results --json                   where the market stands, as JSON
  gridflex journal replay results --until 5000 --json      where it stood after that record; `state` is the hash of all of it
  gridflex journal export results | grep contract_formed   the records of all contracts";

/// Arguments of `gridflex journal`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct JournalArguments {
    #[command(subcommand)]
    command: JournalCommand,
}

#[derive(Debug, Subcommand)]
enum JournalCommand {
    /// Check every record's chain and audit what they say: nothing lost, nothing doubled, money and energy conserved, every
    /// clearing the same when it is made again
    #[command(after_help = EXAMPLES)]
    Verify {
        /// The data directory
        directory: PathBuf,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
        /// Do not make the clearings again; the answer says how many were left out
        #[arg(long)]
        without_clearings: bool,
    },
    /// Fold the journal into the ledger and print where the market stands
    #[command(after_help = EXAMPLES)]
    Replay {
        /// The data directory
        directory: PathBuf,
        /// Only up to this record
        #[arg(long, value_name = "RECORD")]
        until: Option<u64>,
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print every record as one line of JSON, as they are read: what is damaged is told after the records before it
    #[command(after_help = EXAMPLES)]
    Export {
        /// The data directory
        directory: PathBuf,
    },
}

/// Runs the command.
pub fn run(arguments: &JournalArguments) -> Result<(), Failure> {
    match &arguments.command {
        JournalCommand::Verify { directory, json, without_clearings } => {
            verify(directory, *json, *without_clearings)
        }
        JournalCommand::Replay { directory, until, json } => replay(directory, *until, *json),
        JournalCommand::Export { directory } => export(directory),
    }
}

/// What is damaged is a finding, not a mistake of whoever asked.
fn failure(error: JournalError) -> Failure {
    match error.is_finding() {
        true => Failure::Run(error.into()),
        false => Failure::Input(error.into()),
    }
}

/// Hands over every entry as it is read, until one is refused. Returns how many there are.
fn each(directory: &Path, mut see: impl FnMut(Entry) -> Result<(), Failure>) -> Result<u64, Failure> {
    let mut seen = Ok(());
    let report = Journal::verify_each(directory, &mut |entry| {
        if seen.is_ok() {
            seen = see(entry);
        }
    });
    let records = report.map_err(failure)?.records;
    seen.map(|()| records)
}

fn market_events(report: &VerifyReport) -> impl Iterator<Item = (RecordNumber, &MarketEvent)> {
    report.entries.iter().filter_map(|entry| match &entry.fact {
        Fact::Market(event) => Some((RecordNumber(entry.number), event)),
        Fact::Opened { .. } | Fact::Reached => None,
    })
}

/// Audits what was read; on a terminal it tells how many clearings are made again.
fn audited(report: &VerifyReport, without_clearings: bool) -> AuditReport {
    if without_clearings {
        return audit_without_clearings(market_events(report));
    }
    let is_round = |event: &MarketEvent| matches!(event, MarketEvent::RoundCleared { .. });
    let rounds = market_events(report).filter(|(_, event)| is_round(event)).count();
    let shown = rounds > 0 && stderr().is_terminal();
    let tell = |line: std::fmt::Arguments<'_>| {
        // Whoever cannot be told misses nothing that is found.
        let _ = write!(stderr(), "\r{line}\x1b[K");
    };
    let audit = audit_telling(market_events(report), &|done| {
        if shown {
            tell(format_args!("{done} of {rounds} clearings are made again"));
        }
    });
    if shown {
        tell(format_args!(""));
    }
    audit
}

fn verify(directory: &Path, json: bool, without_clearings: bool) -> Result<(), Failure> {
    let report = Journal::verify(directory).map_err(failure)?;
    let starts = report.entries.iter().filter(|entry| matches!(entry.fact, Fact::Opened { .. })).count();
    let audit = audited(&report, without_clearings);
    if json {
        let document = serde_json::json!({
            "records": report.entries.len(),
            "bytes": report.bytes,
            "torn_bytes": report.torn_bytes,
            "segments": report.segments,
            "snapshots": report.snapshots,
            "faults": report.faults,
            "notes": report.notes,
            "starts": starts,
            "first_at": report.entries.first().map(|entry| entry.written_at),
            "last_at": report.entries.last().map(|entry| entry.written_at),
            "without_clearings": without_clearings,
            "audit": audit,
        });
        say(format!("{document:#}"))?;
    } else {
        say(format!(
            "{} records in {} bytes, chain whole, started {starts} times",
            report.entries.len(),
            report.bytes
        ))?;
        say(format!("{} segments, good snapshots after records {:?}", report.segments, report.snapshots))?;
        for words in report.faults.iter().chain(&report.notes) {
            say(words)?;
        }
        if report.torn_bytes > 0 {
            say(format!(
                "{} bytes of a torn group at the end: a crash leaves such records before they are acknowledged",
                report.torn_bytes
            ))?;
        }
        let AuditReport { offers, contracts, activations, answered, settlements, .. } = &audit;
        say(format!(
            "{offers} offers, {contracts} contracts, {activations} orders, {answered} answered, {settlements} settled"
        ))?;
        let AuditReport { rounds, rounds_cleared_again, rounds_of_other_revisions, .. } = &audit;
        say(format!(
            "{rounds} clearings, {rounds_cleared_again} cleared again and the same, {rounds_of_other_revisions} by another revision"
        ))?;
        if without_clearings {
            say(format!("left out: {} clearings were not made again", audit.rounds_left_out))?;
        }
        let AuditReport { orders_lost, orders_doubled, energy_mismatch_mwh, money_imbalance, .. } = &audit;
        say(format!("{orders_lost} orders lost, {orders_doubled} orders doubled"))?;
        say(format!("{energy_mismatch_mwh} mWh mismatch, {} micro-EUR imbalance", money_imbalance.0))?;
        for violation in &audit.violations {
            say(format!("violation: {violation}"))?;
        }
    }
    if !report.faults.is_empty() {
        return Err(Failure::Run(anyhow::anyhow!("{}: {}", directory.display(), report.faults.join("; "))));
    }
    if audit.is_clean() {
        Ok(())
    } else {
        Err(Failure::Run(anyhow::anyhow!("{}: the audit found violations", directory.display())))
    }
}

fn replay(directory: &Path, until: Option<u64>, json: bool) -> Result<(), Failure> {
    let mut standing = Standing::default();
    each(directory, |entry| {
        let number = entry.number;
        if until.is_some_and(|until| number > until) {
            return Ok(());
        }
        let folded = standing.fold(entry);
        folded.map_err(|error| Failure::Run(anyhow::Error::from(*error).context(format!("record {number}"))))
    })?;
    if let Some(until) = until.filter(|until| *until > standing.records) {
        let (place, records) = (directory.display(), standing.records);
        return Err(Failure::Input(anyhow::anyhow!(
            "{place}: record {until} is not there; the last one is {records}"
        )));
    }
    let (ledger, totals) = (&standing.ledger, standing.ledger.totals());
    let document = serde_json::json!({
        "records": standing.records,
        "state": standing.digest(),
        "offers": ledger.offers().count(),
        "offers_open": ledger.open_offers().count(),
        "contracts": ledger.contract_count(),
        "activations": ledger.activations().count(),
        "activations_unanswered": ledger.activations_unanswered().count(),
        "settlements": ledger.settlements().count(),
        "deliveries_open": ledger.unsettled_count(),
        "ordered_decrease_kwh": totals.ordered_decrease.kilowatt_hours(),
        "delivered_decrease_kwh": totals.delivered_decrease.kilowatt_hours(),
        "paid_eur": totals.paid.units(),
        "balances_micro": ledger.balances().iter().map(|(account, money)| (format!("{account:?}"), money.0))
            .collect::<std::collections::BTreeMap<_, _>>(),
    });
    if json {
        say(format!("{document:#}"))?;
    } else if let Some(fields) = document.as_object() {
        for (name, value) in fields.iter().filter(|(name, _)| *name != "balances_micro") {
            say(format!("{name:<24} {value}"))?;
        }
    }
    Ok(())
}

fn export(directory: &Path) -> Result<(), Failure> {
    each(directory, |entry| {
        let line = serde_json::to_string(&entry).map_err(|error| Failure::Run(error.into()))?;
        say(line)
    })
    .map(drop)
}
