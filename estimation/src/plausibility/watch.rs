//! The values of one place, judged in the order in which they come.

use super::limits::{Bounds, Plausibility};
use super::rule::{Implausible, Rule};
use super::trail::Trail;
use super::triangle::{Side, Triangle};
use grid::telemetry::Element;
use grid::{BranchId, Measurement, Phase, PointId, Quality, Quantity, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What is older than this when it comes is not used for the moment. Energies of slots are facts whenever they come.
pub const LATE_AFTER: Duration = Duration::from_secs(180);
/// Values that are no further apart were measured together.
const TOGETHER: Duration = Duration::from_secs(5);

/// What was found of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// What may be used, in the order in which it came. What its source says is missing is among it.
    pub good: Vec<Measurement>,
    /// What may not, each with its rule.
    pub unused: Vec<Implausible>,
    /// Points whose last value was good when it came and is not any more, since what was measured together with it
    /// contradicts it. It stands in `unused` too.
    pub withdrawn: Vec<PointId>,
}

/// Judges what comes from one place: a bus with its branches, connections and devices. A branch is measured at one place
/// only, so power, current and voltage of a phase meet here. It is as clever as what it has heard since it was made:
/// without a past it knows limits and triangles, not steps.
#[derive(Debug, Clone)]
pub struct Watch {
    rules: Arc<Plausibility>,
    trails: BTreeMap<PointId, Trail>,
}

/// A verdict that is not final yet.
type Verdict = Result<Option<Bounds>, (Rule, Option<f64>)>;

impl Watch {
    /// One that has heard nothing.
    pub fn new(rules: Arc<Plausibility>) -> Self {
        Self { rules, trails: BTreeMap::new() }
    }

    /// Judges values that came together, oldest first.
    pub fn judge(&mut self, batch: &[Measurement]) -> Judged {
        let mut verdicts: Vec<Verdict> = batch.iter().map(|value| self.on_its_own(value)).collect();
        let mut judged = Judged::default();
        self.judge_triangles(batch, &mut verdicts, &mut judged);
        for (value, verdict) in batch.iter().zip(&mut verdicts) {
            if let Ok(Some(bounds)) = *verdict
                && value.quality == Quality::Measured
                // What a device takes may end, begin and stay as it likes.
                && !matches!(value.point.element, Element::Device(_))
                && let Some(rule) = self.trails.entry(value.point).or_default().judge(value, &bounds)
            {
                *verdict = Err((rule, None));
            }
            match *verdict {
                Ok(_) => judged.good.push(*value),
                Err((rule, limit)) => judged.unused.push(unused(value, rule, limit)),
            }
        }
        judged
    }

    /// What can be said of a value alone, and of its time.
    fn on_its_own(&mut self, value: &Measurement) -> Verdict {
        if value.quality == Quality::Missing {
            return Ok(None);
        }
        let bounds = self.rules.judge(value).map_err(|refused| (refused.rule, refused.limit))?;
        let trail = self.trails.entry(value.point).or_default();
        // Energies are facts about different slots: a late one is as good as a timely one, and one that came before may be
        // asked about again.
        if value.point.quantity != Quantity::SlotEnergy {
            if let Some((said, at)) = trail.said {
                if value.measured_at < at {
                    return Err((Rule::Overtaken, None));
                }
                if value.measured_at == at && value.value == said {
                    return Err((Rule::Duplicate, None));
                }
            }
            trail.said = Some((value.value, value.measured_at));
            if value.received_at.since(value.measured_at) > LATE_AFTER {
                return Err((Rule::Late, None));
            }
        }
        Ok(Some(bounds))
    }

    /// Compares what was measured together on each phase that the batch speaks of.
    fn judge_triangles(&mut self, batch: &[Measurement], verdicts: &mut [Verdict], judged: &mut Judged) {
        let pending = |verdicts: &[Verdict], place: usize| matches!(verdicts[place], Ok(Some(_)));
        let phases = batch.iter().enumerate().filter_map(|(place, value)| match value.point.element {
            Element::Branch(branch) if pending(verdicts, place) => Some((branch, value.point.phase?)),
            _ => None,
        });
        let touched: BTreeSet<(BranchId, Phase)> = phases.collect();
        if touched.is_empty() {
            return;
        }
        let places = (0..batch.len()).filter(|place| pending(verdicts, *place));
        let newest: BTreeMap<PointId, usize> = places.map(|place| (batch[place].point, place)).collect();
        for (branch, phase) in touched {
            let Some((bus, u_rated_v)) = self.rules.measured_at(branch) else { continue };
            let point = |element, quantity| PointId { element, quantity, phase: Some(phase) };
            let of = |side| point(Element::Branch(branch), quantity(side));
            let newest_of = |point: PointId| match newest.get(&point) {
                Some(&place) => {
                    let value = &batch[place];
                    (value.quality == Quality::Measured).then_some((value.value, value.measured_at))
                }
                None => self.trails.get(&point).and_then(|trail| trail.last),
            };
            let sides = Side::ALL.map(|side| newest_of(of(side)));
            let [Some((p_w, at)), Some((q_var, q_at)), Some((i_a, i_at))] = sides else { continue };
            if !together(at, q_at) || !together(at, i_at) {
                continue;
            }
            let measured = newest_of(point(Element::Bus(bus), Quantity::VoltageMagnitude));
            let u_v = measured.filter(|(_, u_at)| together(at, *u_at)).map_or(u_rated_v, |(u_v, _)| u_v);
            let triangle = Triangle { p_w, q_var, i_a, u_v };
            let small_va = self.rules.bounds(of(Side::P)).map_or(0.0, |bounds| bounds.small);
            if triangle.is_consistent(small_va) {
                continue;
            }
            for side in self.to_blame(&triangle, sides.map(|side| side.unwrap_or_default()), of) {
                let rule =
                    if triangle.is_slip_of(side, small_va) { Rule::UnitSlip } else { Rule::PowerTriangle };
                match newest.get(&of(side)) {
                    Some(&place) => verdicts[place] = Err((rule, None)),
                    None => self.withdraw(of(side), rule, judged),
                }
            }
        }
    }

    /// Who may have told a triangle wrong: whoever does not go on from what it said before; where all do, whoever has no past
    /// that still means something; else whoever is large enough for it.
    fn to_blame(
        &self,
        triangle: &Triangle,
        values: [(f64, Timestamp); 3],
        of: impl Fn(Side) -> PointId,
    ) -> Vec<Side> {
        let could_be: Vec<Side> = Side::ALL.into_iter().filter(|side| triangle.could_be(*side)).collect();
        let goes_on = |side: &Side| {
            let (value, at) = values[*side as usize];
            let (point, quality) = (of(*side), Quality::Measured);
            let value = Measurement { point, value, quality, measured_at: at, received_at: at };
            let trail = self.trails.get(&point)?;
            // What came before the others of its triangle is its own past.
            let is_its_past = trail.last == Some((value.value, at));
            if is_its_past { None } else { trail.fits(&value, &self.rules.bounds(point)?) }
        };
        for answer in [Some(false), None] {
            let strange: Vec<Side> =
                could_be.iter().copied().filter(|side| goes_on(side) == answer).collect();
            if !strange.is_empty() {
                return strange;
            }
        }
        could_be
    }

    /// A value that was found good before.
    fn withdraw(&mut self, point: PointId, rule: Rule, judged: &mut Judged) {
        let Some((value, at)) = self.trails.get_mut(&point).and_then(|trail| trail.last.take()) else {
            return;
        };
        let quality = Quality::Implausible;
        let value = Measurement { point, value, quality, measured_at: at, received_at: at };
        judged.withdrawn.push(point);
        judged.unused.push(unused(&value, rule, None));
    }
}

fn quantity(side: Side) -> Quantity {
    match side {
        Side::P => Quantity::ActivePower,
        Side::Q => Quantity::ReactivePower,
        Side::I => Quantity::CurrentMagnitude,
    }
}

fn together(one: Timestamp, other: Timestamp) -> bool {
    one.since(other).max(other.since(one)) <= TOGETHER
}

fn unused(value: &Measurement, rule: Rule, limit: Option<f64>) -> Implausible {
    let quality = if rule.doubts() { Quality::Implausible } else { value.quality };
    Implausible { measurement: Measurement { quality, ..*value }, rule, limit }
}
