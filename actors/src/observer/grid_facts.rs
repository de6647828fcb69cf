//! What the observer makes of telemetry, estimates and outlooks.

use super::{Observer, REJECTION_QUIET};
use crate::grid_side::doms::Ahead;
use crate::grid_side::region::slot_seen;
use crate::journal::planned_deviation_w;
use crate::picture::{FeedKind, HISTORY_MINUTES, HistoryEntry, OutlookEntry, PointRow};
use grid::telemetry::Element;
use grid::{
    BranchId, BusId, Estimate, Measurement, Observability, PerPhase, Phase, PointId, Quality, Quantity,
    Timestamp, Untestable,
};
use std::sync::Arc;

/// A normalised residual beyond this is told: about one estimate in a hundred of healthy instruments has one.
const SUSPICIOUS: f64 = 4.0;
/// What such news are counted as, to be told once in a while.
const RESIDUAL: &str = "residual";
/// The rule of a value that the diagnosis of the estimate finds wrong.
const LARGEST_RESIDUAL: &str = "largest-residual";

impl Observer {
    pub(super) fn on_telemetry(&mut self, values: &[Measurement]) {
        let arrived = values.iter().filter(|value| value.quality != Quality::Missing);
        let newest = arrived.map(|value| value.received_at).max();
        let health = &mut self.picture.health;
        health.last_telemetry_at = health.last_telemetry_at.max(newest);
        for value in values {
            self.doubted.remove(&value.point);
            match self.points.get_mut(&value.point) {
                // It was last measured then, and is missing now.
                Some(known) if value.quality == Quality::Missing => known.quality = Quality::Missing,
                _ => {
                    self.points.insert(value.point, *value);
                }
            }
        }
        if let Some((kva, at)) = self.measured_kva()
            && let Some(transformer) = &mut self.picture.transformer
        {
            transformer.measured_kva = Some(kva);
            transformer.measured_at = Some(at);
        }
    }

    /// The transformer's load as measured: apparent power of the monitored branches that leave its lower side,
    /// when every such branch has a monitor with P and Q on all phases of one minute.
    fn measured_kva(&self) -> Option<(f64, Timestamp)> {
        let network = self.area.feeder.network();
        let busbar = network.transformers().first()?.to;
        let (mut p_w, mut q_var, mut oldest, mut any) = (0.0, 0.0, None, false);
        for line in network.lines().iter().filter(|line| line.from == busbar) {
            for phase in Phase::ALL {
                let value = |quantity| {
                    let point = PointId { element: Element::Branch(line.id), quantity, phase: Some(phase) };
                    self.points.get(&point).filter(|value| value.quality != Quality::Missing)
                };
                let (p, q) = (value(Quantity::ActivePower)?, value(Quantity::ReactivePower)?);
                (p_w, q_var, any) = (p_w + p.value, q_var + q.value, true);
                oldest = Some(oldest.map_or(p.measured_at, |at: Timestamp| at.min(p.measured_at)));
            }
        }
        let apparent_kva = f64::hypot(p_w, q_var) / 1e3;
        oldest.filter(|_| any).map(|at| (apparent_kva, at))
    }

    pub(super) fn on_estimate(&mut self, estimate: &Arc<Estimate>, now: Timestamp) {
        self.on_residuals(estimate, now);
        let picture = &mut self.picture;
        picture.estimate = Some(estimate.clone());
        picture.health.estimator.ok = true;
        picture.health.estimator.at = Some(estimate.at);
        picture.health.estimator.iterations = estimate.iterations as u64;
        picture.health.estimator.message = None;
        let freedom = estimate.degrees_of_freedom;
        picture.health.estimator.objective_ratio = (freedom > 0).then(|| estimate.objective / freedom as f64);
        let consistency = &estimate.consistency;
        picture.health.estimator.chance = Some(consistency.chance);
        picture.health.estimator.suspects.clone_from(&consistency.suspects);
        let alarms = &mut picture.health.estimator.alarms;
        alarms.chi_square += u64::from(consistency.chi_square_alarm);
        alarms.largest_residual += u64::from(!consistency.suspects.is_empty());
        alarms.expectation += u64::from(consistency.expectations_off);
        picture.voltages.at = Some(estimate.at);
        let known = |bus: &grid::BusEstimate, phase: usize| {
            (bus.observability[phase] != Observability::Unobservable).then_some(bus.u_pu[phase] as f32)
        };
        let column = |phase| estimate.buses.iter().map(|bus| known(bus, phase)).collect::<Vec<_>>();
        picture.voltages.a = column(0);
        picture.voltages.b = column(1);
        picture.voltages.c = column(2);
        let weakest = |bus: &grid::BusEstimate| bus.observability.iter().copied().max();
        let weakest = |bus| weakest(bus).unwrap_or(Observability::Unobservable);
        picture.voltages.observability = estimate.buses.iter().map(weakest).collect();
        let worst = |bus: &grid::BusEstimate| {
            let relative = |phase: usize| bus.u_std_v[phase] * bus.u_pu[phase] / bus.u_v[phase].max(1e-9);
            let seen = (0..3).filter(|&phase| bus.observability[phase] != Observability::Unobservable);
            seen.map(relative).reduce(f64::max).map(|std| std as f32)
        };
        picture.voltages.std = estimate.buses.iter().map(worst).collect();
        picture.branch_loading =
            estimate.branches.iter().map(|branch| branch.loading.map(|loading| loading as f32)).collect();
        let residuals = estimate.residuals.iter();
        self.residuals = residuals.map(|one| (one.point, (one.estimated, one.tested))).collect();
        self.on_transformer(estimate);
    }

    /// Names the measurement that fits least, when it is far off: what no rule could know before the estimate.
    fn on_residuals(&mut self, estimate: &Estimate, now: Timestamp) {
        let told = estimate.residuals.iter().filter_map(|one| Some((one, one.normalized()?.abs())));
        let farthest = told.max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((one, deviations)) = farthest.filter(|one| one.1 >= SUSPICIOUS) else { return };
        let Some(value) = self.points.get(&one.point).map(|value| value.value) else { return };
        if self.quiet_until.get(RESIDUAL).is_some_and(|until| *until > now) {
            return;
        }
        self.quiet_until.insert(RESIDUAL, now.plus(REJECTION_QUIET));
        let looks = if 4.0 * (value + one.estimated).abs() < (value - one.estimated).abs() {
            "; it would fit with its sign turned"
        } else {
            ""
        };
        let text = format!(
            "{} is measured as {value:.1} {unit} and estimated as {:.1} {unit}, {:.1} standard deviations apart{looks}",
            one.point,
            one.estimated,
            deviations,
            unit = one.point.quantity.unit(),
        );
        self.feed(now, FeedKind::Rejected, text);
    }

    fn on_transformer(&mut self, estimate: &Estimate) {
        let Some(transformer) = &mut self.picture.transformer else { return };
        let mine = estimate.branches.iter().find(|branch| branch.branch == transformer.branch);
        let Some(branch) = mine else { return };
        let kva = branch.loading.map(|loading| loading * transformer.rated_kva);
        transformer.loading = branch.loading;
        transformer.loading_std = branch.loading_std;
        transformer.estimated_kva = kva;
        // What would have been, by what was ordered: the deviations of this slot taken back.
        let ordered_w: f64 = self.books.read(|ledger| {
            let slot = slot_seen(estimate.at);
            self.area.bus_of.keys().map(|&point| planned_deviation_w(ledger, point, slot)).sum()
        });
        transformer.history.push(HistoryEntry {
            at: estimate.at,
            measured_kva: transformer.measured_kva,
            estimated_kva: kva,
            without_flex_kva: kva.map(|kva| kva - ordered_w / 1e3),
        });
        if transformer.history.len() > HISTORY_MINUTES {
            transformer.history.remove(0);
        }
    }

    /// Puts moved voltages in their places, where the estimate gave any.
    pub(super) fn on_voltages_moved(&mut self, moved: &[(BusId, PerPhase<f64>)]) {
        let (network, Some(estimate)) = (self.area.feeder.network(), &self.picture.estimate) else { return };
        let shown = &mut self.picture.voltages;
        for (bus, u_v) in moved {
            let Some(index) = network.bus_index(*bus) else { continue };
            let Some(estimated) = estimate.buses.get(index) else { continue };
            for (phase, column) in [&mut shown.a, &mut shown.b, &mut shown.c].into_iter().enumerate() {
                if let Some(Some(u_pu)) = column.get_mut(index) {
                    *u_pu = (u_v[phase] * estimated.u_pu[phase] / estimated.u_v[phase].max(1e-9)) as f32;
                }
            }
        }
    }

    pub(super) fn on_no_estimate(&mut self, reason: String) {
        self.picture.health.estimator.ok = false;
        self.picture.health.estimator.message = Some(reason);
        self.picture.health.estimator.chance = None;
        self.picture.health.estimator.suspects.clear();
    }

    pub(super) fn on_outlook(&mut self, ahead: &Ahead) {
        let Some(transformer) = &mut self.picture.transformer else { return };
        let mine = |branch: BranchId| branch == transformer.branch;
        let planned = ahead.planned.elements.iter().filter(|element| mine(element.branch));
        let without = ahead.without_flexibility.elements.iter().filter(|element| mine(element.branch));
        transformer.outlook = planned
            .zip(without)
            .map(|(planned, without)| OutlookEntry {
                slot_start: planned.slot.start(),
                loading: planned.loading,
                loading_p90: planned.loading_p90,
                probability: planned.probability,
                loading_without_flex: Some(without.loading),
            })
            .collect();
    }

    /// What an estimate says of a point whose value it did not use, for instance because it is old.
    fn said_of(&self, point: PointId, estimate: &Estimate) -> Option<f64> {
        let network = self.area.feeder.network();
        let of = |values: &PerPhase<f64>| match point.phase {
            Some(phase) => values[phase.index()],
            None => values.iter().sum(),
        };
        match (point.element, point.quantity) {
            (Element::Bus(bus), Quantity::VoltageMagnitude) => {
                let bus = estimate.buses.get(network.bus_index(bus)?)?;
                point.phase.map(|phase| bus.u_v[phase.index()])
            }
            (Element::Branch(branch), quantity) => {
                let branch = estimate.branches.get(self.area.feeder.branch_position(branch)?)?;
                match quantity {
                    Quantity::ActivePower => Some(of(&branch.p_from_w)),
                    Quantity::ReactivePower => Some(of(&branch.q_from_var)),
                    Quantity::CurrentMagnitude => point.phase.map(|phase| branch.i_a[phase.index()]),
                    Quantity::VoltageMagnitude | Quantity::SlotEnergy => None,
                }
            }
            (Element::UsagePoint(id), quantity @ (Quantity::ActivePower | Quantity::ReactivePower)) => {
                let found = estimate.usage_points.iter().find(|found| found.usage_point == id)?;
                Some(if quantity == Quantity::ActivePower { found.p_w } else { found.q_var })
            }
            _ => None,
        }
    }

    /// The table of measured against estimated: what monitors say now, then each meter's newest reading.
    pub(super) fn fill_points(&mut self) {
        let row = |value: &Measurement| {
            let doubt = self.doubted.get(&value.point);
            let known = self.residuals.get(&value.point).copied();
            let told = || self.picture.estimate.as_deref().and_then(|all| self.said_of(value.point, all));
            let estimated = known.map(|known| known.0).or_else(told);
            let tested = known.map(|known| known.1);
            PointRow {
                point: value.point,
                value: (value.quality != Quality::Missing).then_some(value.value),
                unit: value.point.quantity.unit(),
                quality: doubt.map_or(value.quality, |_| Quality::Implausible),
                rule: doubt.map(|doubt| doubt.rule.name()).or_else(|| {
                    let suspects = &self.picture.health.estimator.suspects;
                    suspects.contains(&value.point).then_some(LARGEST_RESIDUAL)
                }),
                refused: doubt.map(|doubt| doubt.measurement.value).filter(|value| value.is_finite()),
                measured_at: Some(value.measured_at),
                estimated,
                normalized: tested.and_then(Result::ok).map(|tested| tested.normalized),
                detectable: tested.and_then(Result::ok).map(|tested| tested.detectable),
                untestable: tested.and_then(Result::err).map(Untestable::words),
            }
        };
        // Points that never said anything else have a row too.
        let only_doubted =
            self.doubted.values().filter(|doubt| !self.points.contains_key(&doubt.measurement.point));
        let only_doubted =
            only_doubted.map(|doubt| row(&Measurement { quality: Quality::Missing, ..doubt.measurement }));
        let mut rows: Vec<PointRow> = self.points.values().map(row).chain(only_doubted).collect();
        rows.sort_by_key(|row| row.point);
        self.picture.points = rows;
    }
}
