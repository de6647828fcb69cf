//! What the meters of connections said in the last days, from the history: what a forecast goes on from after a start.

use actors::journal::planned_deviation_w;
use grid::telemetry::Element;
use grid::{PointId, Quality, Quantity, Slot, Timestamp, UsagePointId};
use history::{History, Kind, Query, Value, Versions};
use market::Ledger;

/// Slots that are asked for at once: a day.
const SLOTS_AT_ONCE: i64 = 96;
/// Connections that are asked for at once.
const POINTS_AT_ONCE: usize = 5_000;
/// How far back a forecaster remembers.
const DAYS: i64 = 9;

/// Tells the mean powers of connections in the slots before `now`, W, as far back as a forecast looks, and never holds more of them than
/// a day of some. What was ordered is taken off again: the forecast learns what happens without activation. What cannot be read
/// is left out and said.
pub(crate) fn each_energy(
    history: &History,
    ledger: &Ledger,
    mut usage_points: Vec<UsagePointId>,
    now: Timestamp,
    tell: &mut dyn FnMut(UsagePointId, Slot, f64),
) {
    // Neighbours in the history's files are asked for together.
    usage_points.sort_unstable();
    let end = now.slot().plus(1);
    for usage_points in usage_points.chunks(POINTS_AT_ONCE) {
        let points: Vec<PointId> = usage_points.iter().map(meter).collect();
        for day in 1..=DAYS {
            let from = end.plus(-day * SLOTS_AT_ONCE);
            let query = Query {
                kind: Kind::Energy,
                points: points.clone(),
                from: from.start(),
                until: from.plus(SLOTS_AT_ONCE).start(),
                versions: Versions::Newest,
                // A meter tells each slot once; one that tells oftener is believed as far as there is room.
                most: 4 * points.len() * SLOTS_AT_ONCE as usize,
            };
            let values = history.query(&query).unwrap_or_else(|error| {
                tracing::warn!(%error, day = %from, "the forecast does without the energies of a day");
                Vec::new()
            });
            for (point, slot, p_w) in values.iter().filter_map(|value| mean_power(ledger, value)) {
                tell(point, slot, p_w);
            }
        }
    }
}

fn meter(id: &UsagePointId) -> PointId {
    PointId { element: Element::UsagePoint(*id), quantity: Quantity::SlotEnergy, phase: None }
}

/// The mean power of a slot that a reading at its end tells, without what was ordered, W.
fn mean_power(ledger: &Ledger, value: &Value) -> Option<(UsagePointId, Slot, f64)> {
    let Element::UsagePoint(point) = value.point.element else { return None };
    if matches!(value.quality, Quality::Implausible | Quality::Missing) {
        return None;
    }
    let slot = value.measured_at.slot().plus(-1);
    Some((point, slot, value.value / Slot::HOURS - planned_deviation_w(ledger, point, slot)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use grid::Measurement;
    use history::Options;

    const DAY: i64 = 96;

    fn told(history: &History, points: Vec<UsagePointId>, now: Timestamp) -> Vec<(UsagePointId, Slot, f64)> {
        let mut rows = Vec::new();
        each_energy(history, &Ledger::default(), points, now, &mut |point, slot, p_w| {
            rows.push((point, slot, p_w));
        });
        rows
    }

    #[test]
    fn of_many_connections_none_is_left_out_and_one_that_tells_too_much_costs_others_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = History::open(directory.path(), Options::default()).unwrap();
        let now: Timestamp = "2026-01-15T16:37:00Z".parse().unwrap();
        let points: Vec<UsagePointId> = (1..=2 * POINTS_AT_ONCE as u32 + 1).rev().map(UsagePointId).collect();
        let measured_at = now.slot().start();
        let value = |id: &UsagePointId, later_ms: u64| {
            let (point, quality) = (meter(id), Quality::Measured);
            let received_at = measured_at.plus(std::time::Duration::from_millis(later_ms));
            let measured_at = measured_at.plus(std::time::Duration::from_millis(later_ms));
            Value::measured(&Measurement { point, value: 25.0, quality, measured_at, received_at })
        };
        history.append(&points.iter().map(|id| value(id, 1)).collect::<Vec<_>>()).unwrap();
        let heard = told(&history, points.clone(), now);
        let mut ids: Vec<_> = heard.iter().map(|row| row.0).collect();
        ids.reverse();
        assert_eq!(ids, points);
        // The last one, alone among those that are asked for at once with it, says four hundred things of a day.
        let last = points[0];
        history.append(&(2..400).map(|later| value(&last, later)).collect::<Vec<_>>()).unwrap();
        assert_eq!(told(&history, points.clone(), now).len(), points.len() - 1);
    }

    #[test]
    fn a_start_knows_the_energies_of_the_last_nine_days_as_they_are_known_best() {
        let directory = tempfile::tempdir().unwrap();
        let mut history = History::open(directory.path(), Options::default()).unwrap();
        let now: Timestamp = "2026-01-15T16:37:00Z".parse().unwrap();
        let value = |name: &str, ago: i64, watt_hours: f64, quality, later_s: u64| {
            let measured_at = now.slot().plus(-ago).start();
            let received_at = measured_at.plus(std::time::Duration::from_secs(later_s));
            let point = name.parse().unwrap();
            Value::measured(&Measurement { point, value: watt_hours, quality, measured_at, received_at })
        };
        let measured = Quality::Measured;
        let values: Vec<Value> = (0..12 * DAY)
            .flat_map(|ago| {
                [
                    value("meter.1.energy", ago, 100.0, measured, 1),
                    value("meter.2.energy", ago, 50.0, measured, 1),
                ]
            })
            // Corrected, found wrong, of a phase, of a device, of nobody here.
            .chain([
                value("meter.1.energy", 4, 200.0, measured, 900),
                value("meter.2.energy", 4, 1e6, Quality::Implausible, 2),
                value("meter.1.energy.a", 5, 7.0, measured, 1),
                value("device.1.energy", 5, 7.0, measured, 1),
                value("meter.9.energy", 5, 7.0, measured, 1),
            ])
            .collect();
        history.append(&values).unwrap();
        let archive = told(&history, vec![UsagePointId(1), UsagePointId(2)], now);
        let of = |point: u32| archive.iter().filter(move |(id, _, _)| id.0 == point);
        let most = (DAYS * DAY) as usize;
        assert_eq!((of(1).count(), of(2).count(), archive.len()), (most, most - 1, 2 * most - 1));
        let told = |point, ago: i64| {
            of(point).find(|(_, slot, _)| *slot == now.slot().plus(-ago - 1)).map(|row| row.2)
        };
        assert_eq!((told(1, 0), told(1, 4), told(1, 5)), (Some(400.0), Some(800.0), Some(400.0)));
        assert_eq!((told(2, 4), told(2, 5)), (None, Some(200.0)));
    }
}
