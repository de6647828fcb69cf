//! One estimation region: the latest values of its nodes become an estimate every minute and a forecast every five.
//!
//! Between two estimates the last one goes on: a new value of a point that went into it moves it at once
//! ([`estimation::KeptEstimate`]), and the voltages of the buses that reported are told.
//!
//! One solve is in flight at a time; the newest values win. What is not metered now gets a pseudo-measurement:
//! the connection's last meter reading when it is fresh, else its forecast.

use super::doms::DomsMsg;
use crate::area::Area;
use crate::figures::Durations;
use crate::forecasts::Forecasts;
use crate::historian::Historian;
use crate::journal::{Books, planned_deviation_w};
use crate::observer::Seen;
use crate::runtime::{Address, Context, Stage, Stopwatch};
use estimation::{
    ForecastError, Forecaster, InjectionPrior, KeptEstimate, LiveEstimator, MeasurementSet, WeightedValue,
};
use grid::defect::{Defect, planted};
use grid::telemetry::Element;
use grid::{BusId, Estimate, Measurement, PointId, Quality, Quantity, Slot, Timestamp, UsagePointId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the state is estimated.
pub const SOLVE_PERIOD: Duration = Duration::from_secs(60);
/// How long after the full minute, so that the minute's telemetry has arrived.
const SOLVE_OFFSET: Duration = Duration::from_secs(20);
/// The slot that an estimate made at `at` describes: that of the minute which its measurements are means of.
pub fn slot_seen(at: Timestamp) -> Slot {
    at.minus(SOLVE_OFFSET + Duration::from_secs(1)).slot()
}

/// After so many missing estimates in a row nothing is asked for any more: the forecast would rest on itself.
const MISSED_MAX: u32 = 2;

/// How often a forecast is issued.
pub const FORECAST_PERIOD: Duration = Duration::from_secs(300);
const FORECAST_OFFSET: Duration = Duration::from_secs(40);
/// The horizon of forecast and outlook: 24 h.
pub const HORIZON_SLOTS: usize = 96;
/// A value older than this is not used for estimation.
const STALE_AFTER: Duration = Duration::from_secs(180);
/// A meter reading older than this says less than the forecast.
const READING_FRESH: Duration = Duration::from_secs(45 * 60);

/// What can wake a region.
#[derive(Debug, Clone)]
pub enum RegionMsg {
    /// Plausible values of one node.
    NodeReported(Arc<Vec<Measurement>>),
    /// Time to estimate.
    SolveDue,
    /// An estimate is ready, or the reason why there is none.
    SolveFinished(Result<Arc<Solved>, String>),
    /// Time to forecast.
    ForecastDue,
}

/// An estimate with what is needed to go on from it.
#[derive(Debug)]
pub struct Solved {
    estimate: Arc<Estimate>,
    /// Whoever comes first takes it, for it is large: a message that is handled again goes without.
    kept: Mutex<Option<KeptEstimate>>,
}

/// Mean power of each connection in past slots, W, known before the start: what the forecast learns from.
pub type Archive = Arc<Vec<(UsagePointId, Slot, f64)>>;

/// What the forecast has learnt. It outlives a restart of the region: what was learnt since the start is nowhere else in this form.
pub type Learnt = Arc<Mutex<Forecaster>>;

/// A forecaster of an area's connections that has learnt the archive.
pub fn learnt(area: &Area, archive: &Archive) -> Learnt {
    learnt_by(area, |learn| archive.iter().for_each(|&(point, slot, p_w)| learn(point, slot, p_w)))
}

/// A forecaster of an area's connections that has learnt nothing.
pub fn nothing_learnt(area: &Area) -> Learnt {
    learnt_by(area, |_| ())
}

/// A forecaster of an area's connections that has learnt what it is told, value by value: the mean power of a connection in a slot, W.
pub fn learnt_by(area: &Area, tell: impl FnOnce(&mut dyn FnMut(UsagePointId, Slot, f64))) -> Learnt {
    let points = area.feeder.network().usage_points().iter().map(|point| point.id).collect();
    let mut forecaster = Forecaster::new(points);
    tell(&mut |point, slot, p_w| remember(forecaster.record(point, slot, p_w)));
    Arc::new(Mutex::new(forecaster))
}

/// The state of a region.
pub struct Region {
    area: Arc<Area>,
    estimator: Arc<LiveEstimator>,
    learnt: Learnt,
    books: Books,
    latest: BTreeMap<PointId, Measurement>,
    kept: Option<KeptEstimate>,
    /// The one before: the next estimate begins with it.
    spare: Option<KeptEstimate>,
    /// Deviations as last used; they follow what the value says only when it says something else by a tenth.
    sigmas: BTreeMap<PointId, f64>,
    /// The bus at which a point is measured; found once.
    bus_of: BTreeMap<PointId, Option<BusId>>,
    readings: BTreeMap<UsagePointId, (Slot, f64)>,
    slot_totals: BTreeMap<Slot, (f64, u32)>,
    solving: bool,
    /// Estimates in a row that are missing.
    missed: u32,
    /// Whether the solve in flight rests on a measured flow.
    flow_measured: bool,
    doms: Address<DomsMsg>,
    observer: Address<Seen>,
    made: Made,
}

/// What is told of estimates and forecasts outside the actors.
#[derive(Debug, Clone, Default)]
pub struct Made {
    /// How long each took.
    pub durations: Durations,
    /// Who keeps them.
    pub historian: Option<Historian>,
    /// Where forecasts are seen.
    pub forecasts: Forecasts,
}

impl Region {
    /// A region that knows what was learnt before and nothing of the moment.
    pub fn new(
        area: Arc<Area>,
        learnt: Learnt,
        books: Books,
        doms: Address<DomsMsg>,
        observer: Address<Seen>,
        made: Made,
    ) -> Self {
        Self {
            estimator: area.estimator.clone(),
            area,
            learnt,
            books,
            latest: BTreeMap::new(),
            kept: None,
            spare: None,
            sigmas: BTreeMap::new(),
            bus_of: BTreeMap::new(),
            readings: BTreeMap::new(),
            slot_totals: BTreeMap::new(),
            solving: false,
            missed: 0,
            flow_measured: false,
            doms,
            observer,
            made,
        }
    }

    /// Locked for one step at a time, by this region only.
    fn forecaster(&self) -> MutexGuard<'_, Forecaster> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_report(&mut self, values: &[Measurement], cx: &mut Context<RegionMsg>) {
        let mut moved = BTreeSet::new();
        for value in values {
            match (value.point.element, value.point.quantity) {
                // The next estimate does without it.
                _ if value.quality == Quality::Missing => {
                    self.latest.remove(&value.point);
                }
                // One phase of a three-phase meter is not the connection's energy.
                (Element::UsagePoint(_), Quantity::SlotEnergy) if value.point.phase.is_some() => {}
                (Element::UsagePoint(point), Quantity::SlotEnergy) => {
                    let slot = value.measured_at.slot().plus(-1);
                    let p_w = value.value / Slot::HOURS;
                    // The forecast is of what happens without activation.
                    let planned = self.books.read(|ledger| planned_deviation_w(ledger, point, slot));
                    remember(self.forecaster().record(point, slot, p_w - planned));
                    let newest = self.readings.entry(point).or_insert((slot, p_w));
                    if slot >= newest.0 {
                        *newest = (slot, p_w);
                    }
                }
                _ => {
                    self.latest.insert(value.point, *value);
                    moved.extend(self.take(value));
                }
            }
        }
        let Some(kept) = self.kept.as_mut().filter(|_| !moved.is_empty()) else { return };
        let voltages = moved.into_iter().filter_map(|bus| Some((bus, kept.u_v(bus)?))).collect();
        cx.send(&self.observer, Seen::VoltagesMoved(Arc::new(voltages)));
    }

    /// Moves the last estimate to a new value; the bus where it was measured, if it is part of the estimate.
    fn take(&mut self, value: &Measurement) -> Option<BusId> {
        if !self.kept.as_mut()?.take(value.point, value.value) {
            return None;
        }
        *self.bus_of.entry(value.point).or_insert_with(|| self.estimator.bus_of(value.point))
    }

    /// The measurements that are fresh enough, and one prior per connection.
    fn measurement_set(&mut self, now: Timestamp) -> MeasurementSet {
        let fresh = self.latest.values().filter(|value| now.since(value.measured_at) <= STALE_AFTER);
        let values: Vec<WeightedValue> = fresh
            .map(|value| WeightedValue {
                point: value.point,
                value: value.value,
                sigma: steady(self.sigma(value), self.sigmas.get(&value.point).copied()),
                quality: value.quality,
            })
            .collect();
        self.sigmas = values.iter().map(|value| (value.point, value.sigma)).collect();
        MeasurementSet { values, priors: self.priors(now) }
    }

    /// Standard deviation of a value by the accuracy its point map gives, else by the usual class of its instrument (class
    /// 0.5 voltage, class 1 power and current); a power reading errs with the apparent power. With a floor for small
    /// values; four times that for a substitute.
    fn sigma(&self, value: &Measurement) -> f64 {
        let other = |quantity| {
            let partner = self.latest.get(&PointId { quantity, ..value.point });
            partner.map_or(0.0, |partner| partner.value)
        };
        let (usual, magnitude, floor) = match value.point.quantity {
            Quantity::VoltageMagnitude => (0.005, value.value.abs(), 0.0),
            Quantity::CurrentMagnitude => (0.01, value.value.abs(), 0.5),
            Quantity::ActivePower => (0.01, value.value.hypot(other(Quantity::ReactivePower)), 100.0),
            Quantity::ReactivePower => (0.01, value.value.hypot(other(Quantity::ActivePower)), 100.0),
            Quantity::SlotEnergy => (0.01, value.value.abs(), 100.0),
        };
        let accuracy = self.area.accuracies.get(&value.point).copied().unwrap_or(usual);
        let own = f64::max(accuracy * magnitude, floor * accuracy / usual);
        let factor = if value.quality == Quality::Measured { 1.0 } else { 4.0 };
        factor * own.max(1e-3)
    }

    fn priors(&self, now: Timestamp) -> Vec<InjectionPrior> {
        let slot = slot_seen(now);
        let forecasts = self.forecaster().issue(now, slot, 1);
        let points = self.area.feeder.network().usage_points().iter();
        self.books.read(|ledger| {
            points
                .zip(forecasts)
                .map(|(point, forecast)| {
                    let planned = planned_deviation_w(ledger, point.id, slot);
                    let expected = forecast.slots.first();
                    let fresh = self.readings.get(&point.id);
                    let fresh = fresh.filter(|(at, _)| now.since(at.end()) <= READING_FRESH);
                    let (p_w, p_std_w) = match (fresh, expected) {
                        (Some(&(at, p_w)), _) => {
                            let p_w: f64 = p_w - planned_deviation_w(ledger, point.id, at) + planned;
                            let forecast_std_w = expected.map_or(0.0, |expected| expected.p_std_w);
                            (p_w, (0.4 * p_w.abs()).max(300.0).max(forecast_std_w))
                        }
                        (None, Some(expected)) => (expected.p_w + planned, expected.p_std_w.max(300.0)),
                        (None, None) => (planned, 1_000.0),
                    };
                    let tangent = reactive_share(point.p_specified_w, point.q_specified_var);
                    let q_std_var = (p_std_w * tangent.abs()).max(100.0);
                    InjectionPrior { p_w, p_std_w, q_var: p_w * tangent, q_std_var }
                })
                .collect()
        })
    }

    fn on_solve_due(&mut self, cx: &mut Context<RegionMsg>) {
        cx.wake_each(SOLVE_PERIOD, SOLVE_OFFSET, RegionMsg::SolveDue);
        if planted(Defect::StopsEstimating) && self.slot_totals.len() > 2 {
            return;
        }
        if self.solving {
            // The last one takes longer than the time to this one.
            return self.miss(cx);
        }
        let (set, at, estimator) = (self.measurement_set(cx.now()), cx.now(), self.estimator.clone());
        if set.values.is_empty() {
            // Expectations alone are a forecast, not an estimate.
            let reason = format!("no measurement in the last {} s", STALE_AFTER.as_secs());
            cx.send(&self.observer, Seen::Estimated(Err(reason)));
            return self.miss(cx);
        }
        self.solving = true;
        let flow = |value: &WeightedValue| {
            matches!(value.point.element, Element::Branch(_)) && value.point.quantity == Quantity::ActivePower
        };
        self.flow_measured = set.values.iter().any(flow);
        let panicked = RegionMsg::SolveFinished(Err("the solver panicked".into()));
        let (durations, spare) = (self.made.durations.clone(), self.spare.take());
        cx.compute(panicked, move || {
            let stopwatch = Stopwatch::start();
            let solved = estimator.estimate_and_keep(at, &set, spare);
            durations.count(stopwatch.elapsed());
            let solved = solved.map(|(estimate, kept)| {
                Arc::new(Solved { estimate: Arc::new(estimate), kept: Mutex::new(Some(kept)) })
            });
            RegionMsg::SolveFinished(solved.map_err(|error| error.to_string()))
        });
    }

    fn on_solved(&mut self, outcome: Result<Arc<Solved>, String>, cx: &mut Context<RegionMsg>) {
        self.solving = false;
        self.spare = self.kept.take();
        let outcome = outcome.map(|solved| {
            self.kept = solved.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
            // What came while it was being made.
            if let Some(kept) = &mut self.kept {
                for value in self.latest.values() {
                    kept.take(value.point, value.value);
                }
            }
            solved.estimate.clone()
        });
        // Without a measured flow the total is little but the forecast itself, and the drift would feed on its own.
        if let (Ok(estimate), Some(historian)) = (&outcome, &self.made.historian) {
            historian.keep_estimate(estimate);
        }
        if let Ok(estimate) = &outcome
            && self.flow_measured
        {
            let total: f64 = estimate.usage_points.iter().map(|point| point.p_w).sum();
            let (sum, count) = self.slot_totals.entry(slot_seen(estimate.at)).or_default();
            (*sum, *count) = (*sum + total, *count + 1);
            while self.slot_totals.len() > HORIZON_SLOTS {
                self.slot_totals.pop_first();
            }
        }
        match outcome {
            Ok(_) => self.missed = 0,
            Err(_) => self.miss(cx),
        }
        cx.send(&self.observer, Seen::Estimated(outcome));
    }

    fn miss(&mut self, cx: &mut Context<RegionMsg>) {
        self.missed = self.missed.saturating_add(1);
        if self.missed == MISSED_MAX {
            cx.send(&self.doms, DomsMsg::Unseen { missed: self.missed });
        }
    }

    /// Corrects the forecast by what the region as a whole really takes, without what was ordered, and issues it.
    fn on_forecast_due(&mut self, cx: &mut Context<RegionMsg>) {
        cx.wake_each(FORECAST_PERIOD, FORECAST_OFFSET, RegionMsg::ForecastDue);
        let now = cx.now();
        let mut ordered_w: BTreeMap<Slot, f64> = self.slot_totals.keys().map(|&slot| (slot, 0.0)).collect();
        self.books.read(|ledger| {
            let first = ordered_w.keys().next().copied().unwrap_or(Slot(i64::MAX));
            for (&(slot, point), energy) in ledger.planned_deviation().range((first, UsagePointId(0))..) {
                if let Some(sum_w) = ordered_w.get_mut(&slot)
                    && self.area.bus_of.contains_key(&point)
                {
                    *sum_w += energy.watt_hours() / Slot::HOURS;
                }
            }
        });
        for ((&slot, &(sum, count)), ordered_w) in self.slot_totals.iter().zip(ordered_w.values()) {
            remember(self.forecaster().record_total(slot, sum / f64::from(count.max(1)) - ordered_w));
        }
        let forecasts = Arc::new(self.forecaster().issue(now, now.slot(), HORIZON_SLOTS));
        self.made.forecasts.issue(forecasts.clone());
        // Said again: DOMS may have been made anew, or what it took back refused.
        let said = match self.missed {
            missed if missed >= MISSED_MAX => DomsMsg::Unseen { missed },
            _ => DomsMsg::ForecastIssued(forecasts),
        };
        cx.send(&self.doms, said);
    }
}

impl Stage for Region {
    type Msg = RegionMsg;

    fn kin(msg: &RegionMsg) -> Option<String> {
        let RegionMsg::NodeReported(values) = msg else { return None };
        values.first().map(|value| value.point.to_string())
    }

    fn divide(msg: &RegionMsg) -> Vec<RegionMsg> {
        let RegionMsg::NodeReported(values) = msg else { return Vec::new() };
        values.iter().map(|value| RegionMsg::NodeReported(Arc::new(vec![*value]))).collect()
    }

    fn started(&mut self, cx: &mut Context<RegionMsg>) {
        cx.wake_each(SOLVE_PERIOD, SOLVE_OFFSET, RegionMsg::SolveDue);
        cx.wake_each(FORECAST_PERIOD, FORECAST_OFFSET, RegionMsg::ForecastDue);
    }

    fn handle(&mut self, msg: RegionMsg, cx: &mut Context<RegionMsg>) {
        match msg {
            RegionMsg::NodeReported(values) => self.on_report(&values, cx),
            RegionMsg::SolveDue => self.on_solve_due(cx),
            RegionMsg::SolveFinished(outcome) => self.on_solved(outcome, cx),
            RegionMsg::ForecastDue => self.on_forecast_due(cx),
        }
    }
}

/// The deviation to use: the last one while it is within a tenth of what the value says now, so that the estimator's
/// factors stay good for the next minute.
fn steady(says: f64, last: Option<f64>) -> f64 {
    last.filter(|last| (last / says - 1.0).abs() <= 0.1).unwrap_or(says)
}

/// Values were found plausible and of this network before they came here.
fn remember(outcome: Result<(), ForecastError>) {
    if let Err(error) = outcome {
        tracing::warn!(%error, "a value was not used for the forecast");
    }
}

/// tan φ of a connection from its specified powers; that of power factor 0.95 when it has none.
fn reactive_share(p_w: f64, q_var: f64) -> f64 {
    if p_w.abs() > 1.0 { q_var / p_w } else { 0.3287 }
}
