//! What the estimator of a region adds to the kernel: a value by its measurement point in, a voltage in volts out.

use super::CaseArguments;
use super::case::Case;
use super::meter::{clock_ms, median, quantile, timed, wall_ms};
use crate::Failure;
use estimation::solve::Tolerance;
use estimation::study::{FlowMethod, FlowStudy};
use estimation::{Feeder, InjectionPrior, LiveEstimator, MeasurementSet, WeightedValue};
use grid::network::UsagePoint;
use grid::telemetry::Element;
use grid::{BusId, Network, Phase, PointId, Quality, Quantity, Timestamp, UsagePointId};
use serde::Serialize;
use std::hint::black_box;
use std::sync::Arc;

/// Whole estimates that are timed.
const WHOLE: usize = 3;
/// Changes that are timed.
const CHANGES: usize = 20_000;
/// One usage point in so many has a meter that reports now.
const METERED_EACH: usize = 5;
/// One bus in so many has a voltmeter.
const VOLTMETER_EACH: usize = 20;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct ServiceFigures {
    program: &'static str,
    version: &'static str,
    case: String,
    what: &'static str,
    nodes: usize,
    points: usize,
    /// A whole estimate with deviations and residuals, ms, and its iterations.
    estimate_ms: f64,
    iterations: usize,
    change_and_read_us_p50: f64,
    change_and_read_us_p99: f64,
    change_and_read_us_most: f64,
}

/// Measures.
pub fn measure(arguments: &CaseArguments) -> Result<ServiceFigures, Failure> {
    let case = Case::read(&arguments.case)?;
    let network = connections(&case)?;
    let feeder = Feeder::new(&network).map_err(|error| Failure::Input(error.into()))?;
    let estimator = LiveEstimator::new(Arc::new(feeder)).map_err(|error| Failure::Input(error.into()))?;
    let (estimator, set) = (Arc::new(estimator), measurements(&network)?);
    let (mut whole, mut last) = (Vec::new(), None);
    for _ in 0..WHOLE {
        let (ms, kept) = timed(|| estimator.estimate_and_keep(Timestamp::default(), &set, None));
        whole.push(ms);
        last = Some(kept.map_err(|error| Failure::Run(error.into()))?);
    }
    let Some((estimate, mut kept)) = last else {
        return Err(Failure::Run(anyhow::anyhow!("nothing was run")));
    };
    let clock = clock_ms();
    let mut dice = 1_u64;
    let mut next = |below: usize| {
        // Knuth's MMIX generator: places that do not repeat.
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) as usize % below
    };
    let mut times: Vec<f64> = (0..CHANGES)
        .map(|_| {
            let item = &set.values[next(set.values.len())];
            let bus: BusId = network.buses()[next(network.buses().len())].id;
            let value = item.value * (1.0 + 1e-4 * next(100) as f64);
            let start = wall_ms();
            black_box(kept.take(item.point, value));
            black_box(kept.u_v(bus));
            (wall_ms() - start - clock).max(0.0) * 1e3
        })
        .collect();
    Ok(ServiceFigures {
        program: "gridflex",
        version: env!("CARGO_PKG_VERSION"),
        case: case.name.clone(),
        what: "service",
        nodes: network.buses().len(),
        points: set.values.len(),
        estimate_ms: median(whole),
        iterations: estimate.iterations,
        change_and_read_us_p50: quantile(&mut times, 0.5),
        change_and_read_us_p99: quantile(&mut times, 0.99),
        change_and_read_us_most: quantile(&mut times, 1.0),
    })
}

/// The case's network with a single-phase connection for every phase of a load.
fn connections(case: &Case) -> Result<Network, Failure> {
    let mut parts = case.parts();
    let mut number = 0;
    for load in std::mem::take(&mut parts.loads) {
        for (phase, (p_w, q_var)) in Phase::ALL.into_iter().zip(load.p_w.iter().zip(&load.q_var)) {
            if p_w.is_nan() || (*p_w == 0.0 && *q_var == 0.0) {
                continue;
            }
            parts.usage_points.push(UsagePoint {
                id: UsagePointId(number),
                bus: load.terminal.bus,
                phase: Some(phase),
                p_specified_w: *p_w,
                q_specified_var: *q_var,
            });
            number += 1;
        }
    }
    Network::new(parts).map_err(|error| Failure::Input(error.into()))
}

/// Voltmeters and meters of power that read the state of the connections' specified powers, off by their accuracy, and
/// an expectation ± 30 % of every connection.
fn measurements(network: &Network) -> Result<MeasurementSet, Failure> {
    let mut study =
        FlowStudy::new(network, false, FlowMethod::Auto).map_err(|error| Failure::Input(error.into()))?;
    let flow = study.solve(&Tolerance::default()).map_err(|error| Failure::Run(error.into()))?;
    let assembly = study.assembly();
    let mut turn = 0_u32;
    // Golden-ratio steps: spread evenly in ±√3, with standard deviation 1.
    let mut off = move |sigma: f64| {
        turn += 1;
        ((f64::from(turn) * 0.618_033_988_749_895).fract() - 0.5) * 12.0_f64.sqrt() * sigma
    };
    let value = |element, quantity, phase, value: f64, sigma| WeightedValue {
        point: PointId { element, quantity, phase },
        value,
        sigma,
        quality: Quality::Measured,
    };
    let mut set = MeasurementSet::default();
    for bus in network.buses().iter().step_by(VOLTMETER_EACH) {
        let (element, quantity, sigma) =
            (Element::Bus(bus.id), Quantity::VoltageMagnitude, 0.005 * bus.u_rated_v / 3.0_f64.sqrt());
        let position = assembly.buses[&bus.id];
        let base = assembly.circuit.buses[position as usize].u_base_v;
        for (phase, wire) in Phase::ALL.into_iter().zip(assembly.circuit.wires(position)) {
            let u_v = flow.solved.voltages[wire].norm() * base + off(sigma);
            set.values.push(value(element, quantity, Some(phase), u_v, sigma));
        }
    }
    for (number, point) in network.usage_points().iter().enumerate() {
        let (p_w, q_var) = (point.p_specified_w, point.q_specified_var);
        let apparent = p_w.hypot(q_var).max(1.0);
        let (p_std_w, q_std_var) = (0.3 * apparent, 0.3 * apparent);
        set.priors.push(InjectionPrior { p_w, p_std_w, q_var, q_std_var });
        if number % METERED_EACH == 0 {
            let element = Element::UsagePoint(point.id);
            let sigma = 0.01 * apparent;
            set.values.push(value(element, Quantity::ActivePower, None, p_w + off(sigma), sigma));
            set.values.push(value(element, Quantity::ReactivePower, None, q_var + off(sigma), sigma));
        }
    }
    Ok(set)
}

/// For people.
pub fn table(figures: &ServiceFigures) -> String {
    let row = |name: &str, value: f64, unit: &str| format!("  {name:<34} {value:>10.3} {unit}");
    [
        format!(
            "{} · estimator of a region · {} nodes, {} points",
            figures.case, figures.nodes, figures.points
        ),
        row(
            "whole estimate, with deviations",
            figures.estimate_ms,
            &format!("ms ({} iterations)", figures.iterations),
        ),
        row("one value in, one voltage out, half", figures.change_and_read_us_p50, "µs"),
        row("  99 %", figures.change_and_read_us_p99, "µs"),
        row("  all", figures.change_and_read_us_most, "µs"),
    ]
    .join("\n")
}
