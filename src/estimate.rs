//! `gridflex estimate`: the state of a network from its sensors.

use crate::Failure;
use crate::deviations;
use crate::diagnosis::{self, Report};
use crate::study::{Destination, StudyArguments};
use crate::study_table::{self, Doubt};
use clap::{Args, ValueEnum};
use connectors::power_grid_model::{Component, Extra, ExtraValues, Input, State, Writer};
use estimation::assembly::Assembly;
use estimation::diagnosis::Rules;
use estimation::solve::NoSolution;
use estimation::study::{
    Deviations, Diagnosis, EstimateError, EstimateStudy, Estimation, EstimationMethod, Judgement,
    Observability,
};
use grid::Network;

const EXAMPLES: &str = "\
Examples:
  gridflex estimate network.json --table                worst voltages, loadings, sensors that are off
  gridflex estimate network.json -o state.json          every phase, as power-grid-model writes it
  gridflex estimate network.json --update minutes.json -o states.json
  gridflex estimate network.json --plot voltages.svg --table
  gridflex estimate network.json --diagnose --table      do the readings fit, whose fault is it, what could be seen
  gridflex estimate network.json --leave-out-suspects -o state.json";

/// Arguments of `gridflex estimate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct EstimateArguments {
    #[command(flatten)]
    study: StudyArguments,
    /// How to solve; all of them find the same optimum
    #[arg(long, value_enum, default_value_t = Method::Auto, alias = "calculation-method")]
    method: Method,
    /// Standard deviations and observability also where they take long: those of flows, powers and angles in meshed networks
    /// of more than 1,000 wires, all in those of more than 20,000
    #[arg(long)]
    uncertainty: bool,
    /// Say whether the readings fit the network, which sensors are suspicious, which errors could be seen, and what may be
    /// different (switches, taps, phases). Costs a few estimates more; on a large mesh one solve per reading
    #[arg(long)]
    diagnose: bool,
    /// Estimate again without the sensors that the diagnosis suspects, until the others fit; implies --diagnose
    #[arg(long)]
    leave_out_suspects: bool,
    /// Probability of an alarm of the diagnosis when nothing is wrong
    #[arg(long, value_name = "P", default_value_t = 0.01, value_parser = crate::study::positive)]
    false_alarm: f64,
}

/// Wires above which the sparse solver is not asked for standard deviations unless it is wished: each costs a solve.
const SPARSE_WIRES_MAX: usize = 20_000;
/// The same for those of flows, powers and angles: some ten solves for each wire.
const SPARSE_FLOWS_MAX: usize = 1_000;
/// Estimates without suspects, at most.
const ROUNDS_MAX: usize = 5;

impl EstimateArguments {
    fn judges(&self, study: &EstimateStudy) -> bool {
        self.uncertainty || study.is_smoothed() || study.assembly().circuit.wire_count() <= SPARSE_WIRES_MAX
    }

    fn judges_flows(&self, study: &EstimateStudy) -> bool {
        self.uncertainty || study.is_smoothed() || study.assembly().circuit.wire_count() <= SPARSE_FLOWS_MAX
    }

    fn method(&self) -> EstimationMethod {
        match self.method {
            Method::Auto => EstimationMethod::Auto,
            Method::Sparse => EstimationMethod::Sparse,
        }
    }

    fn rules(&self) -> Rules {
        Rules { false_alarm: self.false_alarm, ..Rules::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Method {
    /// What is fastest for this network
    #[value(alias = "iterative_linear", alias = "iterative-linear")]
    #[value(alias = "newton_raphson", alias = "newton-raphson")]
    Auto,
    /// Sparse least squares, also on trees
    Sparse,
}

/// A network with its estimator.
struct Prepared {
    network: Network,
    study: EstimateStudy,
}

/// An estimated scenario.
struct Found {
    estimation: Estimation,
    diagnosis: Option<Diagnosis>,
    /// Positions of sensors that were left out as suspects.
    left_out: Vec<u32>,
}

/// Runs the command.
pub fn run(arguments: &EstimateArguments) -> Result<(), Failure> {
    let (input, batch) = arguments.study.read()?;
    let mut writer = arguments.study.writer()?;
    let base = batch.as_ref().map(|_| input.clone());
    let mut present = input;
    // The network of the file, for all scenarios that change nothing but sensors.
    let mut of_file: Option<Prepared> = None;
    let mut reports = Vec::new();
    for scenario in 0..batch.as_ref().map_or(1, |batch| batch.scenarios.len()) {
        let place = batch.as_ref().map(|_| scenario);
        let changes = batch.as_ref().map_or(&[][..], |batch| &batch.scenarios[scenario]);
        present.apply(changes).map_err(|error| arguments.study.refused(place, error))?;
        let same_network = changes.iter().all(|change| change.component.is_sensor());
        let kept = of_file.take_if(|_| same_network);
        let mut now = prepare(arguments, &present, kept, place)?;
        let found = estimate(arguments, &present, &mut now, place)?;
        let report = tell(arguments, &present, &mut now, &found, &mut writer, scenario == 0)?;
        reports.extend(report);
        if same_network && found.left_out.is_empty() {
            of_file = Some(now);
        }
        if let Some(base) = &base {
            present.take_back(changes, base);
        }
    }
    writer.finish_with("diagnosis", &reports).map_err(|error| arguments.study.unwritten(error))?;
    Ok(())
}

/// What the command says of an error, naming file and scenario.
fn failed(arguments: &EstimateArguments, place: Option<usize>, error: EstimateError) -> Failure {
    match error {
        EstimateError::NoSolution(error) => arguments.study.failed(place, error),
        error => arguments.study.refused(place, error),
    }
}

/// The network and its sensors, ready to be estimated; `kept` is the same network with the sensors of another scenario.
fn prepare(
    arguments: &EstimateArguments,
    present: &Input,
    kept: Option<Prepared>,
    place: Option<usize>,
) -> Result<Prepared, Failure> {
    let wrong = |error| failed(arguments, place, error);
    if let Some(mut kept) = kept {
        kept.study.set_values(&kept.network, &present.sensors).map_err(wrong)?;
        return Ok(kept);
    }
    let network = present.network_to_estimate().map_err(|error| arguments.study.refused(place, error))?;
    let symmetric = arguments.study.symmetric;
    let study =
        EstimateStudy::new(&network, &present.sensors, symmetric, arguments.method()).map_err(wrong)?;
    Ok(Prepared { network, study })
}

/// Estimates, diagnoses, and estimates again without suspects, as far as that is wished.
fn estimate(
    arguments: &EstimateArguments,
    present: &Input,
    now: &mut Prepared,
    place: Option<usize>,
) -> Result<Found, Failure> {
    let wrong = |error: NoSolution| failed(arguments, place, error.into());
    let mut left_out: Vec<u32> = Vec::new();
    let mut round = 0;
    loop {
        let estimation = now.study.estimate(&arguments.study.stop()).map_err(wrong)?;
        if !(arguments.diagnose || arguments.leave_out_suspects) {
            return Ok(Found { estimation, diagnosis: None, left_out });
        }
        let diagnosis = now.study.diagnose(&now.network, &arguments.rules()).map_err(wrong)?;
        let suspects = diagnosis::suspects(&now.study, &diagnosis);
        let more = suspects.iter().any(|sensor| !left_out.contains(sensor));
        if !arguments.leave_out_suspects || !more || round == ROUNDS_MAX {
            return Ok(Found { estimation, diagnosis: Some(diagnosis), left_out });
        }
        left_out.extend(suspects);
        left_out.sort_unstable();
        left_out.dedup();
        let sensors = present.without(&left_out);
        now.study.set_values(&now.network, &sensors).map_err(|error| failed(arguments, place, error))?;
        round += 1;
    }
}

/// How well the last estimate is known. An estimate whose deviations cannot be told is still an estimate.
fn known(
    arguments: &EstimateArguments,
    now: &mut Prepared,
    first: bool,
) -> (Option<Judgement>, Option<Deviations>) {
    let told = |what: &'static str| move |error: &NoSolution| tracing::warn!(%error, "no standard deviations of {what}");
    let judgement = arguments.judges(&now.study).then(|| now.study.judge());
    let judgement = judgement.and_then(|judged| judged.inspect_err(told("voltages")).ok());
    let asked = arguments.judges_flows(&now.study);
    if first && !asked {
        tracing::warn!(
            "no standard deviations of flows: they take long in a mesh of this size, --uncertainty gives them"
        );
    }
    let flows = judgement.as_ref().filter(|_| asked);
    let flows = flows.map(|judgement| now.study.deviations(&now.network, judgement));
    let flows = flows.and_then(|told_of| told_of.inspect_err(told("flows")).ok());
    (judgement, flows)
}

/// Writes a scenario, and for the first one the table and the drawing. Returns what the diagnosis says.
fn tell(
    arguments: &EstimateArguments,
    present: &Input,
    now: &mut Prepared,
    found: &Found,
    writer: &mut Writer<Destination>,
    first: bool,
) -> Result<Option<Report>, Failure> {
    let (judgement, flows) = known(arguments, now, first);
    let study = &now.study;
    let mut extras = Vec::new();
    if let Some(judgement) = &judgement {
        extras = self::extras(present, study.assembly(), judgement);
        extras.extend(deviations::extras(present, study.assembly(), flows.as_ref()));
    }
    let report = found.diagnosis.as_ref().map(|diagnosis| {
        extras.extend(diagnosis::extras(present, study, diagnosis));
        Report::new(present, study, diagnosis, &found.left_out)
    });
    let estimation = &found.estimation;
    let state = State {
        input: present,
        network: &now.network,
        assembly: study.assembly(),
        voltages: &estimation.outcome.voltages,
        estimate: Some(&estimation.outcome),
        taps: &[],
        extras: &extras,
    };
    writer.scenario(&state).map_err(|error| arguments.study.unwritten(error))?;
    if first {
        let title = format!(
            "{} iterations ({}), {} sensors, weighted residuals {:.6e}",
            estimation.iterations,
            estimation.solver.name(),
            present.sensors.len(),
            estimation.objective
        );
        let doubt = judgement.as_ref().map(|judgement| Doubt { judgement, flows: flows.as_ref() });
        let mut table = study_table::table(&state, &title, doubt.as_ref());
        if let Some(judgement) = &judgement {
            study_table::sensors(&mut table, present, study.assembly(), judgement);
        }
        if let Some(report) = &report {
            table.push_str(&report.table(present.sensors.len()));
        }
        arguments.study.print(&table)?;
        arguments
            .study
            .draw(|| crate::plot::profile(&state, judgement.as_ref().map(|j| j.voltage_std.as_slice())))?;
    }
    Ok(report)
}

/// Our own attributes beside power-grid-model's.
fn extras(input: &Input, assembly: &Assembly, judgement: &Judgement) -> Vec<Extra> {
    let mut extras = Vec::new();
    for list in &input.lists {
        let component = list.component;
        if component == Component::Node {
            let (mut deviations, mut words) = (Vec::new(), Vec::new());
            for bus in &input.parts.buses {
                let position = assembly.buses.get(&bus.id).copied().unwrap_or(0);
                let wires = assembly.circuit.wires(position);
                let base = bus.u_rated_v / if assembly.symmetric { 1.0 } else { 3.0_f64.sqrt() };
                let of =
                    |at: usize| judgement.voltage_std.get(wires.start + at).map_or(f64::NAN, |u| u * base);
                deviations.push([of(0), of(1), of(2)]);
                words.push(observability(&judgement.observability[wires]));
            }
            let values = if assembly.symmetric {
                ExtraValues::Numbers(deviations.iter().map(|row| row[0]).collect())
            } else {
                ExtraValues::Phases(deviations)
            };
            extras.push(Extra { component, attribute: "u_std", values });
            extras.push(Extra { component, attribute: "observability", values: ExtraValues::Words(words) });
        } else if component.is_sensor() {
            let values = judgement.normalized.get(list.first..list.first + list.ids.len());
            let values = ExtraValues::Numbers(values.unwrap_or_default().to_vec());
            extras.push(Extra { component, attribute: "normalized_residual", values });
        }
    }
    extras
}

/// One word for a bus: its least known wire.
fn observability(wires: &[Option<Observability>]) -> &'static str {
    let has = |wanted| wires.contains(&Some(wanted));
    if has(Observability::None) {
        "unobservable"
    } else if has(Observability::Pseudo) {
        "pseudo"
    } else if has(Observability::Measured) {
        "measured"
    } else {
        "dead"
    }
}
