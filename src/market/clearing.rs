//! `gridflex market clear` and `verify`.

use super::picture;
use crate::Failure;
use crate::answer::say;
use crate::bench::meter;
use anyhow::{Context, anyhow};
use clap::Args;
use connectors::clearing_case::{
    CASE_BYTES_MAX, MarketCase, RESULT_BYTES_MAX, ResultExtras, read_case, read_result, write_result,
};
use market::certificate::{overload, verify};
use market::price_clearing::{PriceClearing, Session, Worth};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub const CLEAR_EXAMPLES: &str = "\
Examples:
  gridflex market clear case.json -o result.json              schedules, payments, reasons, bound
  gridflex market clear case.json > result.json               the same to standard output
  gridflex market clear case.json --with-case -o result.json  can be verified alone
  gridflex market clear case.json --json -o result.json       figures as JSON to standard output
  gridflex market clear case.json -o result.json --plot day.svg --plot-point lateral-0
  gridflex market aggregate case.json -o few.json && gridflex market clear few.json -o result.json

An offer that cannot be cleared as it was meant is refused with a code and a sentence, and the others are cleared; \
what is wrong with the case as a whole ends the reading with its code. At most 1,000,000 offers and 1 GiB are read. \
docs/clearing.md has every field and code.";

pub const VERIFY_EXAMPLES: &str = "\
Examples:
  gridflex market verify result.json                          a result that carries its case
  gridflex market verify result.json --case case.json         a result and its case
  gridflex market verify result.json --case case.json --json  the verdict as JSON

Every schedule, payment, price, use and reason is computed again from the files alone, and the bound from the prices. \
The first thing that does not hold is named, and the command fails. What branch and bound claims is not judged.";

#[derive(Debug, Args)]
pub struct ClearArguments {
    /// The case: offers, bids, grid rows, rules
    case: PathBuf,
    /// Where the result goes; standard output otherwise
    #[arg(short, long, value_name = "RESULT.json")]
    out: Option<PathBuf>,
    /// Put the case into the result, so that it can be verified alone
    #[arg(long)]
    with_case: bool,
    /// Draw need, delivered, prices and head-room of a congestion point over the day
    #[arg(long, value_name = "OUT.svg")]
    plot: Option<PathBuf>,
    /// Which one; by default the one that asks for most
    #[arg(long, value_name = "POINT", requires = "plot")]
    plot_point: Option<String>,
    /// Print one JSON document with the figures to stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The result of a clearing
    result: PathBuf,
    /// Its case, unless the result carries it
    #[arg(long)]
    case: Option<PathBuf>,
    /// Print one JSON document to stdout
    #[arg(long)]
    json: bool,
}

/// Reads a file as text, no larger than a result that carries its case.
pub fn read(path: &Path) -> Result<String, Failure> {
    read_up_to(path, RESULT_BYTES_MAX)
}

/// Reads a file as text. A pipe has no size of its own, so reading ends at the limit as well.
pub fn read_up_to(path: &Path, limit: usize) -> Result<String, Failure> {
    let reading = || format!("reading {}", path.display());
    let file = fs::File::open(path).with_context(reading).map_err(Failure::Input)?;
    let too_large = |bytes: u64| {
        let name = path.display();
        Failure::Input(anyhow!(
            "{name} has {bytes} bytes or more; at most {limit} are read: split the case or aggregate its offers (too-large)"
        ))
    };
    let size = file.metadata().with_context(reading).map_err(Failure::Input)?.len();
    if size > limit as u64 {
        return Err(too_large(size));
    }
    let mut text = String::with_capacity(size as usize);
    let read = file.take(limit as u64 + 1).read_to_string(&mut text);
    read.with_context(reading).map_err(Failure::Input)?;
    if text.len() > limit { Err(too_large(text.len() as u64)) } else { Ok(text) }
}

/// Reads a case; what is wrong with it is said with its code.
pub fn case_of(path: &Path, text: &str) -> Result<MarketCase, Failure> {
    read_case(text).map_err(|error| Failure::Input(anyhow!("{}: {error} ({})", path.display(), error.code())))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    offers: usize,
    refused: usize,
    /// Entries that repeat an offer word for word.
    repeated: usize,
    assigned: usize,
    welfare: f64,
    bound: f64,
    gap: f64,
    /// Of branch and bound: not certified.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_gap: Option<f64>,
    /// Offers in parts of the case where it ended.
    claimed_offers: usize,
    overloaded: usize,
    overloaded_beyond: usize,
    overload_kwh: f64,
    overload_cost: f64,
    cpu_seconds: f64,
}

pub fn clear(arguments: &ClearArguments) -> Result<(), Failure> {
    let text = read_up_to(&arguments.case, CASE_BYTES_MAX)?;
    let case = case_of(&arguments.case, &text)?;
    if case.repeated > 0 {
        tracing::info!(repeated = case.repeated, "entries that repeat an offer word for word are ignored");
    }
    for refused in &case.refused {
        tracing::warn!(
            offer = refused.id,
            code = refused.code,
            reason = refused.sentence,
            "an offer is refused"
        );
    }
    // Before the work: a wrong name should not cost a clearing.
    let point = match &arguments.plot {
        Some(_) => Some(
            picture::point(&case, arguments.plot_point.as_deref())
                .map_err(|reason| Failure::Input(anyhow!("{}: {reason}", arguments.case.display())))?,
        ),
        None => None,
    };
    let problem = case.problem.clone();
    let (cpu_ms, clearing) = meter::timed(move || {
        let mut clearing = Session::new(problem.clone()).clearing();
        clearing.first_come_first_taken(&problem, |place| place);
        clearing
    });
    let cpu_seconds = cpu_ms * 1e-3;
    let extras = ResultExtras { cpu_seconds, case: arguments.with_case.then_some(text) };
    let document = write_result(&case, &clearing, &extras).map_err(|error| Failure::Run(error.into()))?;
    let write = |path: &Path, text: String| {
        fs::write(path, text).with_context(|| format!("writing {}", path.display())).map_err(Failure::Run)
    };
    if let (Some(path), Some(point)) = (&arguments.plot, point) {
        write(path, picture::clearing(&case, &clearing, point))?;
    }
    match &arguments.out {
        Some(path) => write(path, document)?,
        None if arguments.json => {}
        None => return say(document),
    }
    let figures = figures(&case, &clearing, cpu_seconds);
    if arguments.json {
        return say(serde_json::to_string(&figures).map_err(|error| Failure::Run(error.into()))?);
    }
    let overload = match figures.overloaded {
        0 => "no overload".to_owned(),
        count => format!(
            "{count} overloads of {:.3} kWh in all, covered by priced slack of {:.4}; {} beyond",
            figures.overload_kwh, figures.overload_cost, figures.overloaded_beyond
        ),
    };
    let claimed = figures.claimed_gap.map_or_else(String::new, |gap| {
        let of = match figures.claimed_offers == case.offers.len() {
            true => String::new(),
            false => format!(" (solved for {} of {} offers)", figures.claimed_offers, case.offers.len()),
        };
        format!(" · branch and bound claims {:.4} %{of}, not certified", gap * 100.0)
    });
    say(format!(
        "{} offers, {} assigned, {} refused · welfare {:.4}, at most {:.4} (certified gap {:.3} %){claimed} · {overload} · {:.3} s",
        figures.offers,
        figures.assigned,
        figures.refused,
        figures.welfare,
        figures.bound,
        figures.gap * 100.0,
        cpu_seconds
    ))
}

fn figures(case: &MarketCase, clearing: &PriceClearing, cpu_seconds: f64) -> Figures {
    let overload = overload(&case.problem, clearing);
    Figures {
        claimed_gap: clearing.claimed_gap(),
        claimed_offers: clearing.claimed_offers,
        overloaded: overload.priced,
        overloaded_beyond: overload.beyond,
        overload_kwh: overload.energy as f64 * 1e-6,
        overload_cost: Worth(overload.cost).as_f64(),
        offers: case.offers.len() + case.refused.len(),
        refused: case.refused.len(),
        repeated: case.repeated,
        assigned: clearing.plans.len(),
        welfare: clearing.welfare.as_f64(),
        bound: clearing.bound.as_f64(),
        gap: clearing.gap(),
        cpu_seconds,
    }
}

#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    case: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Verdict {
    holds: bool,
    objection: Option<String>,
    welfare: f64,
    bound: f64,
    gap: f64,
    cpu_seconds: f64,
}

pub fn check(arguments: &VerifyArguments) -> Result<(), Failure> {
    let text = read(&arguments.result)?;
    let place = || arguments.result.display().to_string();
    let case_text = match &arguments.case {
        Some(path) => read(path)?,
        None => {
            let carried: Carried<'_> =
                serde_json::from_str(&text).with_context(place).map_err(Failure::Input)?;
            let missing = || Failure::Input(anyhow!("{} carries no case; name it with --case", place()));
            carried.case.ok_or_else(missing)?.get().to_owned()
        }
    };
    let case = case_of(arguments.case.as_deref().unwrap_or(&arguments.result), &case_text)?;
    let clearing = read_result(&case, &text).with_context(place).map_err(Failure::Input)?;
    let (cpu_ms, outcome) = meter::timed(|| verify(&case.problem, &clearing));
    let objection = outcome.err().map(|objection| objection.to_string());
    let verdict = Verdict {
        holds: objection.is_none(),
        objection: objection.clone(),
        welfare: clearing.welfare.as_f64(),
        bound: clearing.bound.as_f64(),
        gap: clearing.gap(),
        cpu_seconds: cpu_ms * 1e-3,
    };
    if arguments.json {
        say(serde_json::to_string(&verdict).map_err(|error| Failure::Run(error.into()))?)?;
    } else if verdict.holds {
        say(format!(
            "holds · welfare {:.4}, at most {:.4} (gap {:.3} %) · {:.3} s",
            verdict.welfare,
            verdict.bound,
            verdict.gap * 100.0,
            verdict.cpu_seconds
        ))?;
    }
    match objection {
        None => Ok(()),
        Some(objection) => Err(Failure::Run(anyhow!("{} does not hold: {objection}", place()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_larger_than_is_read_is_refused_before_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.json");
        // Sparse: it takes no room.
        fs::File::create(&path).unwrap().set_len(CASE_BYTES_MAX as u64 + 1).unwrap();
        let Err(Failure::Input(error)) = read_up_to(&path, CASE_BYTES_MAX) else { panic!("it was read") };
        assert!(error.to_string().contains("(too-large)"), "{error}");
        fs::write(&path, "12345").unwrap();
        assert!(read_up_to(&path, 4).is_err());
        assert_eq!(read_up_to(&path, 5).ok().as_deref(), Some("12345"));
    }
}
