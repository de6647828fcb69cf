//! `gridflex quarantine`: look at the messages that a running gridflex has set aside, put them back, or throw them away.

use crate::Failure;
use crate::answer::say;
use crate::ask::ask;
use clap::{Args, Subcommand};
use serde_json::Value;
use std::net::SocketAddr;

const EXAMPLES: &str = "\
Examples:
  gridflex quarantine list                       what was set aside, and how much
  gridflex quarantine show 17                    one message, as JSON
  gridflex quarantine release 17                 try it again, after what made it fail was mended
  gridflex quarantine discard 17                 throw it away
  gridflex quarantine --server 127.0.0.1:9090 list --json

Where the system asks who you are, a token with the role operator goes into the environment: GRIDFLEX_TOKEN=gridflex_…";

/// Arguments of `gridflex quarantine`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct QuarantineArguments {
    /// Where gridflex serves its page
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", global = true)]
    server: SocketAddr,
    #[command(subcommand)]
    command: QuarantineCommand,
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// What was set aside, oldest first
    #[command(after_help = EXAMPLES)]
    List {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// One message with all that is known of it, as JSON
    #[command(after_help = EXAMPLES)]
    Show {
        /// Its number
        id: u64,
    },
    /// Put a message back into its mailbox; it is tried like a new one
    #[command(after_help = EXAMPLES)]
    Release {
        /// Its number
        id: u64,
    },
    /// Throw a message away
    #[command(after_help = EXAMPLES)]
    Discard {
        /// Its number
        id: u64,
    },
}

/// Runs the command.
pub fn run(arguments: &QuarantineArguments) -> Result<(), Failure> {
    let one = |method: &str, id: u64, end: &str| {
        ask(arguments.server, method, &format!("/api/v1/quarantine/{id}{end}"))
    };
    match arguments.command {
        QuarantineCommand::List { json } => list(&ask(arguments.server, "GET", "/api/v1/quarantine")?, json),
        QuarantineCommand::Show { id } => say(format!("{:#}", one("GET", id, "")?)),
        QuarantineCommand::Release { id } => {
            let message = one("POST", id, "/release")?;
            say(format!("message {id} is back in the mailbox of {}", text(&message, "stage")))
        }
        QuarantineCommand::Discard { id } => {
            let message = one("DELETE", id, "")?;
            say(format!("message {id} of {} is gone", text(&message, "stage")))
        }
    }
}

fn text(message: &Value, field: &str) -> String {
    match &message[field] {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

fn list(document: &Value, json: bool) -> Result<(), Failure> {
    if json {
        return say(format!("{document:#}"));
    }
    let counts = &document["counts"];
    let count = |field| text(counts, field);
    say(format!(
        "{} kept of {} set aside ({} of them unseen); {} released, {} discarded, {} dropped because it was full",
        count("kept"),
        count("total"),
        count("unseen"),
        count("released"),
        count("discarded"),
        count("dropped")
    ))?;
    for message in document["messages"].as_array().into_iter().flatten() {
        let field = |name| text(message, name);
        say(format!(
            "{:>6}  {}  {}  {} deliveries  {}: {}",
            field("id"),
            field("at"),
            field("stage"),
            field("deliveries"),
            field("kin"),
            field("reason")
        ))?;
    }
    Ok(())
}
