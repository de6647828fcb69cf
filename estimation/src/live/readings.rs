//! What a live region knows, as readings of its circuit: telemetry, an expectation per usage point, and the supply.

use super::LiveEstimator;
use super::kept::Entry;
use crate::EstimationError;
use crate::assembly::BranchPlace;
use crate::circuit::{
    CircuitBus, CurrentReading, FlowPlace, InjectionReading, PowerReading, Readings, VoltageReading,
};
use crate::measurement_set::{InjectionPrior, MeasurementSet, Observed, WeightedValue, observe};
use grid::BranchId;
use num_complex::Complex64;
use std::collections::BTreeMap;

/// Standard deviation of the supply voltage behind the source's reference, p.u.: what a regulated medium voltage keeps.
const SUPPLY_STD_PU: f64 = 0.03;
/// Standard deviation of its angles, rad. A tap changer moves magnitudes only; between phases EN 50160 allows 2 % of negative
/// sequence in 95 % of a week, which is two standard deviations. Nothing else tells of angles where no phasor is measured: much
/// less certain ones would let the estimate turn so far in a step that magnitudes no longer follow their derivatives.
const SUPPLY_ANGLE_STD_RAD: f64 = 0.01;
/// Marks readings that no measurement stands behind.
pub(super) const EXPECTED: u32 = u32::MAX;

/// Which part of which reading a measured value became.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Row {
    /// A voltage magnitude.
    Voltage { bus: u32, wire: u8 },
    /// A current magnitude at an end of a branch.
    Current { place: FlowPlace, wire: u8 },
    /// Active or reactive power at an end of a branch.
    Power { place: FlowPlace, wire: Option<u8>, reactive: bool },
    /// Power of a usage point.
    Injection { usage_point: usize, share: f64, reactive: bool },
}

/// What is believed of a usage point after its own meter has spoken, W and var with standard deviations.
pub(super) type Belief = InjectionPrior;

/// Readings with the way back.
pub(super) struct LiveReadings {
    pub readings: Readings,
    /// One per value of the set.
    pub rows: Vec<Row>,
    /// Where each value entered.
    pub entries: Vec<Entry>,
    /// By usage point: the injections it is part of, with its share of power in each.
    pub injections_of: Vec<Vec<(u32, f64)>>,
    /// One per usage point.
    pub beliefs: Vec<Belief>,
    /// How many of their standard deviations the measurements were taken for.
    pub doubt: f64,
}

/// Collects the readings, measurements with `doubt` times their standard deviation. Errors name the point that cannot be used.
pub(super) fn readings(
    region: &LiveEstimator,
    set: &MeasurementSet,
    doubt: f64,
) -> Result<LiveReadings, EstimationError> {
    let mut readings = Readings { free: region.free.clone(), ..Readings::default() };
    supply(region, &mut readings);
    let mut beliefs: Vec<Belief> = set.priors.clone();
    let mut metered = vec![(false, false); beliefs.len()];
    let mut rows = Vec::with_capacity(set.values.len());
    let mut entries: Vec<Entry> = Vec::with_capacity(set.values.len());
    let mut of_power: BTreeMap<(usize, bool), Vec<usize>> = BTreeMap::new();
    for (number, item) in set.values.iter().enumerate() {
        let row = row(region, item)?;
        let item = &WeightedValue { sigma: doubt * item.sigma, ..*item };
        let mut entry = enter(region, item, number as u32, row, &mut readings);
        if let Row::Injection { usage_point, share, reactive } = row {
            let gain = sharpen(&mut beliefs[usage_point], item, share, reactive);
            // An earlier value of the same power counts for less.
            let same = of_power.entry((usage_point, reactive)).or_default();
            for &earlier in same.iter() {
                if let Entry::Belief(weight) = &mut entries[earlier] {
                    *weight *= 1.0 - gain;
                }
            }
            same.push(number);
            entry = Entry::Belief(gain / share);
            let known = &mut metered[usage_point];
            *(if reactive { &mut known.1 } else { &mut known.0 }) = true;
        }
        rows.push(row);
        entries.push(entry);
    }
    let injections_of = injections(region, &beliefs, &metered, &mut readings);
    Ok(LiveReadings { readings, rows, entries, injections_of, beliefs, doubt })
}

fn supply(region: &LiveEstimator, readings: &mut Readings) {
    let circuit = &region.assembly.circuit;
    for source in &circuit.sources {
        for (wire, emf) in source.emf.iter().enumerate() {
            readings.voltages.push(VoltageReading {
                sensor: EXPECTED,
                bus: source.bus,
                wire: wire as u8,
                magnitude: emf.norm(),
                angle: Some(emf.arg()),
                variance: SUPPLY_STD_PU * SUPPLY_STD_PU,
                variance_across: (SUPPLY_ANGLE_STD_RAD * emf.norm()).powi(2),
            });
        }
    }
}

/// What a point reads, in terms of the circuit.
fn row(region: &LiveEstimator, item: &WeightedValue) -> Result<Row, EstimationError> {
    let feeder = &region.feeder;
    let end = |branch: usize| {
        let unsupported =
            EstimationError::Unsupported { point: item.point, reason: "its branch is not connected" };
        feeder.branch(branch).and_then(|branch| region.entering(branch.id())).ok_or(unsupported)
    };
    Ok(match observe(feeder, item.point)? {
        Observed::Voltage { position, phase } => {
            let bus = feeder.network().buses()[feeder.order[position]].id;
            let bus = region.assembly.buses.get(&bus).copied();
            let unknown = EstimationError::UnknownPoint { point: item.point };
            Row::Voltage { bus: bus.ok_or(unknown)?, wire: phase as u8 }
        }
        Observed::Current { branch, phase } => Row::Current { place: end(branch)?, wire: phase as u8 },
        Observed::BranchPower { branch, phase, reactive } => {
            Row::Power { place: end(branch)?, wire: phase.map(|phase| phase as u8), reactive }
        }
        Observed::Injection { usage_point, share, reactive } => {
            Row::Injection { usage_point, share, reactive }
        }
    })
}

/// Enters a value; returns its index among the readings of its kind.
fn enter(
    region: &LiveEstimator,
    item: &WeightedValue,
    sensor: u32,
    row: Row,
    readings: &mut Readings,
) -> Entry {
    let index = match row {
        Row::Voltage { .. } => readings.voltages.len(),
        Row::Current { .. } => readings.currents.len(),
        Row::Power { .. } => readings.powers.len(),
        Row::Injection { .. } => return Entry::Belief(0.0),
    };
    match row {
        Row::Voltage { bus, wire } => {
            let base = region.bus(bus).u_base_v;
            let (magnitude, sigma) = (item.value / base, item.sigma / base);
            let (angle, variance) = (None, sigma * sigma);
            let variance_across = variance;
            let reading = VoltageReading { sensor, bus, wire, magnitude, angle, variance, variance_across };
            readings.voltages.push(reading);
        }
        Row::Current { place, wire } => {
            let base = region.i_base_a(place);
            let sigma = item.sigma / base;
            readings.currents.push(CurrentReading {
                sensor,
                place,
                wire,
                magnitude: item.value / base,
                angle: None,
                angle_from_voltage: false,
                variance: sigma * sigma,
                variance_across: 0.0,
            });
        }
        Row::Power { place, wire, reactive } => {
            let base = region.assembly.circuit.s_base_va;
            let (value, variance) = (item.value / base, (item.sigma / base).powi(2));
            readings.powers.push(PowerReading {
                sensor,
                place,
                wire,
                s: if reactive { Complex64::new(0.0, value) } else { Complex64::new(value, 0.0) },
                variance_p: (!reactive).then_some(variance),
                variance_q: reactive.then_some(variance),
            });
        }
        Row::Injection { .. } => {}
    }
    Entry::Reading(index as u32)
}

/// Combines a belief with a meter's value by inverse variance; returns the weight of the latter.
fn sharpen(belief: &mut Belief, item: &WeightedValue, share: f64, reactive: bool) -> f64 {
    let (mean, std) = if reactive {
        (&mut belief.q_var, &mut belief.q_std_var)
    } else {
        (&mut belief.p_w, &mut belief.p_std_w)
    };
    let (value, sigma) = (item.value / share, item.sigma / share);
    let gain = *std * *std / (*std * *std + sigma * sigma);
    *mean += gain * (value - *mean);
    *std *= (1.0 - gain).sqrt();
    gain
}

/// One injection per wire that a usage point touches: means and variances of all points there; those that rest on an
/// expectation stand last. A three-phase connection takes a third on each phase, with a third of the variance. Returns by
/// usage point the injections it is part of, with its share.
fn injections(
    region: &LiveEstimator,
    beliefs: &[Belief],
    metered: &[(bool, bool)],
    readings: &mut Readings,
) -> Vec<Vec<(u32, f64)>> {
    let base = region.assembly.circuit.s_base_va;
    let (mut known, mut pseudo) = (Vec::new(), Vec::new());
    let (mut among_known, mut among_pseudo) = (Vec::new(), Vec::new());
    for taken in &region.taken {
        let mut reading = InjectionReading {
            sensor: EXPECTED,
            bus: taken.bus,
            wire: taken.wire,
            s: Complex64::ZERO,
            variance_p: 0.0,
            variance_q: 0.0,
        };
        let mut all_metered = true;
        for &(usage_point, share) in &taken.points {
            let belief = &beliefs[usage_point];
            reading.s += Complex64::new(belief.p_w, belief.q_var) * (share / base);
            reading.variance_p += share * (belief.p_std_w / base).powi(2);
            reading.variance_q += share * (belief.q_std_var / base).powi(2);
            all_metered &= metered[usage_point] == (true, true);
        }
        let (readings, among) =
            if all_metered { (&mut known, &mut among_known) } else { (&mut pseudo, &mut among_pseudo) };
        among.push(&taken.points);
        readings.push(reading);
    }
    readings.first_pseudo = Some(known.len() as u32);
    known.append(&mut pseudo);
    readings.injections = known;
    let mut injections_of = vec![Vec::new(); beliefs.len()];
    for (index, points) in among_known.into_iter().chain(among_pseudo).enumerate() {
        for &(usage_point, share) in points {
            injections_of[usage_point].push((index as u32, share));
        }
    }
    injections_of
}

impl LiveEstimator {
    pub(super) fn bus(&self, bus: u32) -> &CircuitBus {
        &self.assembly.circuit.buses[bus as usize]
    }

    /// The `from` end of a branch; `None` when it is not connected there.
    pub(super) fn entering(&self, branch: BranchId) -> Option<FlowPlace> {
        match self.assembly.branches.get(&branch)? {
            BranchPlace::Series(element) => Some(FlowPlace::SeriesFrom(*element)),
            BranchPlace::General(element, terminals) => {
                let terminal = terminals.first().copied().flatten()?;
                Some(FlowPlace::General { element: *element, terminal })
            }
            _ => None,
        }
    }

    /// Base current at a flow's place, A.
    pub(super) fn i_base_a(&self, place: FlowPlace) -> f64 {
        let circuit = &self.assembly.circuit;
        circuit.s_base_va / self.bus(circuit.bus_at(place)).u_base_v
    }
}
