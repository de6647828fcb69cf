//! What the meters of connections said in the last days, from the history: what a forecast goes on from after a start.

use actors::grid_side::region::Archive;
use actors::journal::planned_deviation_w;
use grid::telemetry::Element;
use grid::{PointId, Quality, Quantity, Slot, Timestamp, UsagePointId};
use history::{History, Kind, Query, Value, Versions};
use market::Ledger;
use std::sync::Arc;

/// Slots that are asked for at once: a day.
const SLOTS_AT_ONCE: i64 = 96;
/// How far back a forecaster remembers.
const DAYS: i64 = 9;

/// Mean powers of connections in the slots before `now`, as far back as a forecast looks. What was ordered is taken off again: the
/// forecast learns what happens without activation. What cannot be read is left out and said.
pub(crate) fn archive(
    history: &History,
    ledger: &Ledger,
    usage_points: &[UsagePointId],
    now: Timestamp,
) -> Archive {
    let point = |id: &UsagePointId| PointId {
        element: Element::UsagePoint(*id),
        quantity: Quantity::SlotEnergy,
        phase: None,
    };
    let points: Vec<PointId> = usage_points.iter().map(point).collect();
    let (mut archive, end) = (Vec::new(), now.slot().plus(1));
    if points.is_empty() {
        return Arc::new(archive);
    }
    let mut from = end.plus(-DAYS * SLOTS_AT_ONCE);
    while from < end {
        let until = from.plus(SLOTS_AT_ONCE).min(end);
        let query = Query {
            kind: Kind::Energy,
            points: points.clone(),
            from: from.start(),
            until: until.start(),
            versions: Versions::Newest,
            // A meter tells each slot once; one that tells oftener is believed as far as there is room.
            most: 4 * points.len() * SLOTS_AT_ONCE as usize,
        };
        match history.query(&query) {
            Ok(values) => archive.extend(values.into_iter().filter_map(|value| mean_power(ledger, &value))),
            Err(error) => {
                tracing::warn!(%error, day = %from, "the forecast does without the energies of a day")
            }
        }
        from = until;
    }
    Arc::new(archive)
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
        let archive = archive(&history, &Ledger::default(), &[UsagePointId(1), UsagePointId(2)], now);
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
