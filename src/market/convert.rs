//! `gridflex market convert`.

use super::clearing::read_up_to;
use crate::Failure;
use crate::answer::say;
use anyhow::{Context, anyhow};
use clap::{Args, ValueEnum};
use connectors::flex_offer::{Converted, Dialect, MESSAGE_BYTES_MAX, convert as written};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gridflex market convert offers.json --to xml -o offers.xml
  gridflex market convert offers.xml --to specification             to standard output
  gridflex market convert wire.json --to manager --json -o agent.json

Whatever spelling it is in, a message is read as it is, signs included, and written canonically. What the form has no \
word for is written in the specification's words or ours and told. Of a case only its offers are written, and none that \
it takes back. Ends with 1 when an entry was refused; the others are written. docs/flexoffer.md has the forms.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ConvertArguments {
    /// A message: one FlexOffer, a list of them, or either in an envelope; JSON or XML
    input: PathBuf,
    /// How it is written
    #[arg(long, value_enum)]
    to: Form,
    /// Where it goes; standard output otherwise
    #[arg(short, long, value_name = "OUT")]
    out: Option<PathBuf>,
    /// Print one JSON document with the figures to stdout (with --out)
    #[arg(long, requires = "out")]
    json: bool,
}

/// A form of FlexOffers.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// FlexOffer specification v1, JSON
    Specification,
    /// The Java objects of GOFLEX's manager and agent, JSON
    Manager,
    /// The wire of GOFLEX's market, JSON; positive is fed in
    Market,
    /// The specification's names in XML
    Xml,
}

impl Form {
    fn dialect(self) -> Dialect {
        match self {
            Self::Specification => Dialect::Specification,
            Self::Manager => Dialect::Manager,
            Self::Market => Dialect::TradingInterface,
            Self::Xml => Dialect::Xml,
        }
    }
}

pub fn convert(arguments: &ConvertArguments) -> Result<(), Failure> {
    let text = read_up_to(&arguments.input, MESSAGE_BYTES_MAX)?;
    let place = || arguments.input.display().to_string();
    let converted = written(text.as_bytes(), arguments.to.dialect())
        .map_err(|error| Failure::Input(anyhow!("{}: {error} ({})", place(), error.code())))?;
    for entry in &converted.refused {
        let id = entry.id.as_deref().unwrap_or_default();
        tracing::warn!(id, position = entry.position, code = entry.code, reason = entry.sentence, "refused");
    }
    for (id, note) in &converted.notes {
        tracing::info!(id = id.as_str(), path = note.path, "{}", note.what);
    }
    match &arguments.out {
        None => say(&converted.text)?,
        Some(path) => {
            fs::write(path, &converted.text)
                .with_context(|| format!("writing {}", path.display()))
                .map_err(Failure::Run)?;
            say(figures(&converted, arguments.json))?;
        }
    }
    // What takes an offer back has done what it says.
    let mut refused = converted.refused.iter().filter(|entry| entry.code != "withdrawn");
    match refused.next() {
        None => Ok(()),
        Some(first) => {
            let count = refused.count() + 1;
            Err(Failure::Run(anyhow!(
                "{}: {count} entries were refused; the first: {}",
                place(),
                first.sentence
            )))
        }
    }
}

fn figures(converted: &Converted, json: bool) -> String {
    let Converted { from, offers, withdrawn, refused, notes, foreign, .. } = converted;
    if json {
        let figures = json!({
            "from": format!("{from:?}"), "offers": offers, "withdrawn": withdrawn, "refused": refused.len(),
            "notes": notes.len(), "foreign": foreign,
        });
        return figures.to_string();
    }
    let told = |what: String, count: usize| if count == 0 { String::new() } else { format!("; {what}") };
    let words: Vec<String> = foreign.iter().map(|(what, count)| format!("{what} ({count})")).collect();
    format!(
        "{offers} offers, {} entries refused{}{}{}",
        refused.len(),
        told(format!("{withdrawn} offers taken back"), *withdrawn),
        told(format!("{} things not read or moved a little (RUST_LOG=info tells)", notes.len()), notes.len()),
        told(format!("no word of this form's own for {}", words.join(", ")), words.len()),
    )
}
