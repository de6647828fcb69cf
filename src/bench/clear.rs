//! Clearing a market case: cold, warm, verified, and what plain greed would have reached.

use super::meter::{median, quantile, timed};
use crate::Failure;
use crate::answer::say;
use crate::market::{case_of, read};
use anyhow::anyhow;
use clap::Args;
use market::certificate::{overload, verify};
use market::price_clearing::{ClearingProblem, Session, greedy_welfare};
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gridflex bench clear case.json                              median of 3 cold runs, 100 single changes cleared again
  gridflex bench clear case.json --repeat 1 --changes 0 --json      one cold run, nothing changed
  gridflex bench clear case.json --changes 1000 --json        warm times with a 95 % quantile worth reading

CPU time of one thread. Every result is verified, and compared with one pass in merit order.";

/// Arguments of `gridflex bench clear`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ClearArguments {
    /// A market case as JSON (docs/clearing.md)
    case: PathBuf,
    /// Cold runs of which the median is taken
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=101))]
    repeat: u16,
    /// Single changes of an offer or a row that are cleared again
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    changes: u16,
    /// Print one JSON document to stdout
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Figures {
    program: &'static str,
    case: String,
    offers: usize,
    intervals: usize,
    read_ms: f64,
    cold_ms: f64,
    verify_ms: f64,
    warm_ms_p50: f64,
    warm_ms_p95: f64,
    welfare: f64,
    bound: f64,
    gap: f64,
    greedy_welfare: f64,
    over_greedy: f64,
    /// Branch and bound of few offers: not certified.
    claimed_gap: Option<f64>,
    /// Row-intervals beyond their head-room by more than a mWh, and of those what is not worth its price.
    overloaded: usize,
    overloaded_beyond: usize,
}

/// Measures one case.
pub fn measure(arguments: &ClearArguments) -> Result<(), Failure> {
    let text = read(&arguments.case)?;
    let (read_ms, case) = timed(|| case_of(&arguments.case, &text));
    let problem = case?.problem;
    let mut cold = Vec::new();
    let mut last = None;
    for _ in 0..arguments.repeat {
        let copy = problem.clone();
        let (ms, cleared) = timed(move || {
            let session = Session::new(copy);
            let clearing = session.clearing();
            (session, clearing)
        });
        cold.push(ms);
        last = Some(cleared);
    }
    let (mut session, clearing) = last.ok_or_else(|| Failure::Run(anyhow!("nothing was measured")))?;
    let (verify_ms, verdict) = timed(|| verify(&problem, &clearing));
    verdict.map_err(|objection| Failure::Run(anyhow!("the clearing does not hold: {objection}")))?;
    let mut warm = changes(&problem, &mut session, usize::from(arguments.changes))?;
    let greedy = greedy_welfare(&problem);
    let t = problem.intervals();
    let overload = overload(&problem, &clearing);
    let figures = Figures {
        program: "gridflex",
        case: arguments.case.display().to_string(),
        offers: problem.offers(),
        intervals: t,
        read_ms,
        cold_ms: median(cold),
        verify_ms,
        warm_ms_p50: quantile(&mut warm, 0.5),
        warm_ms_p95: quantile(&mut warm, 0.95),
        welfare: clearing.welfare.as_f64(),
        bound: clearing.bound.as_f64(),
        gap: clearing.gap(),
        greedy_welfare: greedy.as_f64(),
        over_greedy: clearing.welfare.as_f64() / greedy.as_f64(),
        claimed_gap: clearing.claimed_gap(),
        overloaded: overload.priced,
        overloaded_beyond: overload.beyond,
    };
    if arguments.json {
        return say(serde_json::to_string(&figures).map_err(|error| Failure::Run(error.into()))?);
    }
    say(format!(
        "{} · {} offers × {} intervals\n  read {:.1} ms · cold {:.1} ms · verify {:.1} ms · warm {:.2} ms (95 %: {:.2})\n  \
         welfare {:.4}, at most {:.4}, gap {:.3} % · {:.3} × greedy · \
         {} overloads covered by priced slack, {} beyond",
        figures.case,
        figures.offers,
        t,
        read_ms,
        figures.cold_ms,
        verify_ms,
        figures.warm_ms_p50,
        figures.warm_ms_p95,
        figures.welfare,
        figures.bound,
        figures.gap * 100.0,
        figures.over_greedy,
        figures.overloaded - figures.overloaded_beyond,
        figures.overloaded_beyond
    ))
}

/// Changes offers and rows in turn; ms of each.
fn changes(problem: &ClearingProblem, session: &mut Session, count: usize) -> Result<Vec<f64>, Failure> {
    let (offers, rows, t) = (problem.offers().max(1), problem.rows().len().max(1), problem.intervals());
    let mut times = Vec::with_capacity(count);
    for turn in 0..count {
        let (ms, outcome) = if turn % 2 == 0 && problem.offers() > 0 {
            let offer = turn * 7919 % offers;
            let mut terms = problem.offer(offer).terms();
            terms.activation += 1_000;
            terms.price_up += 1_000;
            terms.price_down += 1_000;
            timed(|| session.replace_offer(offer, &terms))
        } else if !problem.rows().is_empty() {
            let (row, interval) = (turn % rows, turn * 31 % t);
            let headroom = problem.rows()[row].headroom[interval] / 10 * 9;
            timed(|| session.set_headroom(row, interval, headroom))
        } else {
            continue;
        };
        outcome.map_err(|fault| Failure::Run(fault.into()))?;
        times.push(ms);
    }
    Ok(times)
}
