//! Writing the answer to stdout. Whoever reads it may stop reading (`gridflex journal export DIR | head`): that ends
//! the program quietly.

use crate::Failure;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Writes one line to stdout.
pub fn say(line: impl Display) -> Result<(), Failure> {
    match writeln!(std::io::stdout().lock(), "{line}") {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::NobodyReads),
        Err(error) => Err(Failure::Run(anyhow::Error::from(error).context("writing to standard output"))),
    }
}
