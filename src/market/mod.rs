//! `gridflex market`: aggregate FlexOffers, clear a case, split schedules again, verify a clearing, spell offers anew.

mod clearing;
mod convert;
mod picture;
mod portfolio;

use crate::Failure;
use clap::{Args, Subcommand};

pub use clearing::{case_of, read};

const EXAMPLES: &str = "\
Examples:
  gridflex market aggregate case.json -o aggregates.json            like offers of one place as one, what it costs told
  gridflex market clear case.json -o result.json                    schedules, prices, payments, and a bound on what was left
  gridflex market clear case.json --with-case -o result.json
  gridflex market clear case.json -o result.json --plot day.svg     and a drawing of the day
  gridflex market verify result.json                                a result that carries its case
  gridflex market verify result.json --case case.json --json
  gridflex market convert offers.json --to xml -o offers.xml        the same offers in another spelling
  gridflex market disaggregate aggregates.json -o schedules.json    the file's own `assignments`, split to the mWh
  gridflex market disaggregate aggregates.json --assignments result.json --json -o schedules.json

The form of cases and results is described in docs/clearing.md, that of offers and aggregates in docs/flexoffer.md.";

/// Arguments of `gridflex market`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MarketArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Sum like FlexOffers of one place, so that few are traded instead of many
    Aggregate(portfolio::AggregateArguments),
    /// Clear bids of the DSO against FlexOffers within what the grid carries
    #[command(after_help = clearing::CLEAR_EXAMPLES)]
    Clear(clearing::ClearArguments),
    /// Write FlexOffers in another form: three spellings of JSON, or XML
    Convert(convert::ConvertArguments),
    /// Split schedules of aggregates among their members, exact to the milliwatt hour
    Disaggregate(portfolio::DisaggregateArguments),
    /// Check a clearing from its files alone: schedules, rows, prices, bound, money
    #[command(after_help = clearing::VERIFY_EXAMPLES)]
    Verify(clearing::VerifyArguments),
}

/// Runs the command.
pub fn run(arguments: &MarketArguments) -> Result<(), Failure> {
    match &arguments.what {
        What::Aggregate(arguments) => portfolio::aggregate(arguments),
        What::Clear(arguments) => clearing::clear(arguments),
        What::Convert(arguments) => convert::convert(arguments),
        What::Disaggregate(arguments) => portfolio::disaggregate(arguments),
        What::Verify(arguments) => clearing::check(arguments),
    }
}
