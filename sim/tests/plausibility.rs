//! Wrong units and signs, put into what the instruments of a street say on a winter and on a summer day: each must be stopped and
//! named, and what is right must pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test says what is wrong by panicking

use actors::{Area, Device, DsoRules, picture::DeviceKind};
use estimation::{Feeder, Rule, Watch};
use grid::telemetry::Element;
use grid::{Measurement, PointId, Quantity};
use market::{DeviceState, OfferRules, Rules};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sim::field::{instruments::Instruments, meters::Meters};
use sim::plant::{STEP, network};
use sim::{Plant, Scenario};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An error lasts so many values of its point.
const LASTS: usize = 5;
/// Injections of each kind in a minute.
const PER_MINUTE: usize = 6;
/// Injections begin when the rules have heard so many minutes.
const LEARNING: usize = 120;

/// A street on one day.
struct Day {
    area: Area,
    /// What arrived in each minute.
    minutes: Vec<Vec<Measurement>>,
}

fn winter() -> Scenario {
    let mut scenario = Scenario::first_light().unwrap();
    scenario.start = "2026-01-15T00:00:00Z".parse().unwrap();
    scenario.duration_minutes = 1440;
    scenario.history_days = 1;
    scenario
}

/// More than every second home has a roof, and clouds pass.
fn summer() -> Scenario {
    let mut scenario = winter();
    scenario.start = "2026-06-15T00:00:00Z".parse().unwrap();
    scenario.seed = 11;
    scenario.photovoltaics.count = 30;
    scenario.weather.outdoor_mean_c = 18.0;
    scenario.heat_pumps.count = 0;
    scenario
}

impl Day {
    fn of(scenario: &Scenario) -> Self {
        let feeder = Arc::new(Feeder::new(&network(scenario).unwrap()).unwrap());
        let mut plant = Plant::new(scenario, feeder.clone()).unwrap();
        let reports = plant.device_reports();
        let devices = reports.iter().map(|report| {
            let (kind, p_max_w) = match report.state {
                DeviceState::Charger { p_max_w, .. } => (DeviceKind::Charger, p_max_w),
                DeviceState::Battery { p_charge_max_w, .. } => (DeviceKind::Battery, p_charge_max_w),
                DeviceState::HeatPump { .. } => (DeviceKind::HeatPump, scenario.heat_pumps.p_max_w),
            };
            let (id, prosumer, usage_point) = (report.device, report.prosumer, report.usage_point);
            Device { id, prosumer, usage_point, kind, p_max_w }
        });
        let rules = (Rules::default(), OfferRules::default(), DsoRules::default());
        let mut area = Area::new("street", feeder.clone(), devices.collect(), rules).unwrap();
        area.know_generators(plant.generators());
        let instruments = Instruments::place(&feeder, scenario);
        let mut meters = Meters::new(&plant, scenario);
        let mut minutes = Vec::new();
        while plant.now() < scenario.end() {
            plant.step(plant.now().plus(STEP)).unwrap();
            let mut values = instruments.read(&plant);
            values.extend(meters.due(&plant));
            minutes.push(values);
        }
        Self { area, minutes }
    }

    fn watch(&self) -> Watch {
        Watch::new(Arc::new(self.area.plausibility.clone()))
    }

    /// What is judged together with a point: all of its branch and of the bus it leaves, or the point alone.
    fn neighbourhood(&self, point: PointId) -> Vec<Element> {
        let lines = self.area.feeder.network().lines();
        let with_bus = |line: &grid::network::Line| vec![Element::Branch(line.id), Element::Bus(line.from)];
        match point.element {
            Element::Branch(id) => lines.iter().find(|line| line.id == id).map(with_bus).unwrap(),
            other => vec![other],
        }
    }
}

/// What is done to a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    Thousandfold,
    Thousandth,
    Turned,
}

impl Wrong {
    const ALL: [Wrong; 3] = [Wrong::Thousandfold, Wrong::Thousandth, Wrong::Turned];

    fn of(self, value: f64) -> f64 {
        match self {
            Wrong::Thousandfold => value * 1e3,
            Wrong::Thousandth => value / 1e3,
            Wrong::Turned => -value,
        }
    }
}

/// Injections of a kind.
#[derive(Debug, Default)]
struct Tally {
    injected: usize,
    /// No wrong value passed as long as the error lasted, and each was told with a rule that doubts it.
    stopped: usize,
    by_rule: BTreeMap<&'static str, usize>,
}

impl Tally {
    fn share(&self) -> f64 {
        self.stopped as f64 / self.injected as f64
    }
}

/// Whether an error of a point that begins in a minute is stopped for as long as it lasts, and the rule of its first value.
fn stops(day: &Day, watch: &Watch, start: usize, point: PointId, wrong: Wrong) -> (bool, Option<Rule>) {
    let (mut watch, near) = (watch.clone(), day.neighbourhood(point));
    let (mut seen, mut first) = (0, None);
    for minute in &day.minutes[start..] {
        let mut batch: Vec<_> =
            minute.iter().copied().filter(|value| near.contains(&value.point.element)).collect();
        let Some(value) = batch.iter_mut().find(|value| value.point == point) else { continue };
        value.value = wrong.of(value.value);
        let judged = watch.judge(&batch);
        let named = judged.unused.iter().find(|one| one.measurement.point == point && one.rule.doubts());
        let passed = judged.good.iter().any(|value| value.point == point);
        first = first.or(named.map(|one| one.rule));
        if passed || named.is_none() {
            return (false, first);
        }
        seen += 1;
        if seen == LASTS {
            break;
        }
    }
    (true, first)
}

/// Whether a sign is known by anything before the estimate: nobody there can feed in so much, or it is so much that turning it is
/// a jump twice as large as what switches there and as what the day brings.
fn is_known(day: &Day, value: &Measurement, largest_step: f64) -> bool {
    let turned = Measurement { value: -value.value, ..*value };
    let switched = day.area.devices.values().map(|device| device.p_max_w).fold(4_000.0, f64::max);
    let switched = match value.point.quantity {
        Quantity::SlotEnergy => switched / 4.0,
        Quantity::ReactivePower => switched * 0.4,
        _ => switched,
    };
    let by_direction = day.area.plausibility.check(&turned).is_err();
    by_direction || 2.0 * value.value.abs() > 2.0 * switched.max(largest_step)
}

/// The largest change of each point from one value to the next in a day.
fn largest_steps(day: &Day) -> BTreeMap<PointId, f64> {
    let (mut last, mut steps) = (BTreeMap::new(), BTreeMap::new());
    for value in day.minutes.iter().flatten() {
        if let Some(before) = last.insert(value.point, value.value) {
            let step = steps.entry(value.point).or_insert(0.0_f64);
            *step = step.max((value.value - before).abs());
        }
    }
    steps
}

/// Wrong and right values of a day, added to what was found on others.
#[derive(Debug, Default)]
struct Found {
    /// By what is done to a value, its quantity, and whether that can be known before the estimate.
    injections: BTreeMap<(Wrong, &'static str, bool), Tally>,
    values: usize,
    alarms: BTreeMap<&'static str, usize>,
}

impl Found {
    fn add(&mut self, day: &Day, rng: &mut ChaCha8Rng) {
        let (steps, mut watch) = (largest_steps(day), day.watch());
        for (start, minute) in day.minutes.iter().enumerate() {
            // What enters the estimate: the energy of a device does not.
            let enters = |value: &&Measurement| !matches!(value.point.element, Element::Device(_));
            let candidates: Vec<_> = minute.iter().filter(enters).collect();
            let is_learned = start >= LEARNING && start < day.minutes.len() - 20 * LASTS;
            for _ in 0..if is_learned { PER_MINUTE } else { 0 } {
                let value = candidates[rng.random_range(0..candidates.len())];
                for wrong in Wrong::ALL {
                    let known = wrong != Wrong::Turned || is_known(day, value, steps[&value.point]);
                    let is_magnitude = matches!(
                        value.point.quantity,
                        Quantity::VoltageMagnitude | Quantity::CurrentMagnitude
                    );
                    if wrong == Wrong::Turned && is_magnitude {
                        continue;
                    }
                    let (stopped, rule) = stops(day, &watch, start, value.point, wrong);
                    let key = (wrong, value.point.quantity.word(), known);
                    let tally = self.injections.entry(key).or_default();
                    tally.injected += 1;
                    tally.stopped += usize::from(stopped);
                    *tally.by_rule.entry(rule.map_or("passed", Rule::name)).or_default() += 1;
                }
            }
            self.values += minute.len();
            for one in watch.judge(minute).unused.iter().filter(|one| one.rule.doubts()) {
                *self.alarms.entry(one.rule.name()).or_default() += 1;
            }
        }
    }

    fn sum(&self, wrong: Wrong, known: bool) -> Tally {
        let mut sum = Tally::default();
        for ((_, _, _), tally) in self.injections.iter().filter(|(key, _)| (key.0, key.2) == (wrong, known)) {
            sum.injected += tally.injected;
            sum.stopped += tally.stopped;
        }
        sum
    }
}

#[test]
fn wrong_units_and_signs_are_stopped_and_named_and_what_is_right_passes() {
    let mut found = Found::default();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for scenario in [winter(), summer()] {
        found.add(&Day::of(&scenario), &mut rng);
    }
    for (key, tally) in &found.injections {
        eprintln!("{key:?}: {} of {} {:?}", tally.stopped, tally.injected, tally.by_rule);
    }
    let (thousandfold, turned) = (found.sum(Wrong::Thousandfold, true), found.sum(Wrong::Turned, true));
    let both = thousandfold.injected + turned.injected;
    let (unknown, alarms) = (found.sum(Wrong::Turned, false), found.alarms.values().sum::<usize>());
    eprintln!("{both} injections: {thousandfold:?} {turned:?}; not to be known: {unknown:?}");
    eprintln!("{alarms} of {} right values stopped: {:?}", found.values, found.alarms);
    assert!(both >= 10_000, "{both}");
    assert!(thousandfold.share() >= 0.995, "{thousandfold:?}");
    assert!(turned.share() >= 0.995, "{turned:?}");
    assert!(alarms * 1000 <= found.values, "{:?} of {}", found.alarms, found.values);
}
