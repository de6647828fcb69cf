//! `gridflex backup`: a copy of a data directory, also of one in use.

use crate::Failure;
use crate::answer::say;
use clap::Args;
use site::backup::{BackedUp, back_up};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gridflex backup data /mnt/other/backup-$(date +%F)      while the site runs or not; says up to which record
  gridflex backup data copy && gridflex journal verify copy

To restore: stop the site, move what is left of its data directory away, copy the backup to its place, start the site.
What is to be kept beside it, and what a restore brings back: docs/operating.md.";

/// Arguments of `gridflex backup`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BackupArguments {
    /// The data directory; a running gridflex may be using it
    directory: PathBuf,
    /// Where to make the copy; nothing may be there
    to: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &BackupArguments) -> Result<(), Failure> {
    let made =
        back_up(&arguments.directory, &arguments.to).map_err(|error| match error.is_of_the_question() {
            true => Failure::Input(error.into()),
            false => Failure::Run(error.into()),
        })?;
    let BackedUp { journal, history, files, bytes } = made;
    if arguments.json {
        let document = serde_json::json!({
            "records": journal.records,
            "state": journal.state,
            "notes": journal.notes,
            "journal": { "files": journal.files, "bytes": journal.bytes },
            "history": { "files": history.files, "bytes": history.bytes },
            "others": { "files": files, "bytes": bytes },
        });
        return say(format!("{document:#}"));
    }
    for note in &journal.notes {
        say(note)?;
    }
    say(format!(
        "{}: {} records of the journal, read once more and whole; state {}",
        arguments.to.display(),
        journal.records,
        journal.state
    ))?;
    say(format!(
        "{} bytes of journal, {} of history in {} files, {bytes} in {files} others",
        journal.bytes, history.bytes, history.files
    ))
}
