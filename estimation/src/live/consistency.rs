//! Whether the measurements of a region fit its network: chi-square and the point whose normalised residual stands out most.
//!
//! Expectations and the supply's reference are rows as well, but no instruments: when one stands out most, no point is named.

use super::LiveEstimator;
use super::readings::{EXPECTED, LiveReadings, Row};
use crate::diagnosis::{
    CHI_SQUARE_SHARE, Evidence, MISSED, Part, Reading, Row as Number, Rules, expected_residual, judge, rows,
};
use crate::measurement_set::MeasurementSet;
use crate::on_tree::OnTree;
use crate::smoother::{Estimated, Uncertainty};
use grid::{Consistency, PointId};

/// Whether they fit, and the normalised residual that an error of a measurement must make on average to be noticed.
pub(super) fn consistency(
    region: &LiveEstimator,
    set: &MeasurementSet,
    live: &LiveReadings,
    solved: &Estimated,
    known: &Uncertainty,
) -> (Consistency, f64) {
    let circuit = &region.assembly.circuit;
    // Each minute, so by what the smoother tells: the most conspicuous reading is named, not what stands out without it.
    let rows = rows(circuit, &live.readings, &solved.voltages);
    let fitted = OnTree::by_smoother(circuit, &live.readings, (&solved.voltages, &rows), known);
    let evidence = Evidence::of(rows, &fitted);
    let rules = Rules::default();
    let verdict = judge(&evidence, &fitted, &rules);
    let mut consistency = Consistency {
        chance: verdict.chance,
        // An estimate that was only found with its measurements believed less does not fit them.
        chi_square_alarm: verdict.chance < rules.false_alarm * CHI_SQUARE_SHARE || live.doubt > 1.0,
        ..Consistency::default()
    };
    for suspect in &verdict.suspects {
        let points = points(region, set, live, &evidence.rows[suspect.row]);
        consistency.expectations_off |= points.is_empty();
        for point in points {
            if !consistency.suspects.contains(&point) {
                consistency.suspects.push(point);
            }
        }
    }
    (consistency, expected_residual(rules.false_alarm, evidence.testable(), MISSED))
}

/// The points that were measured where a number stands; none for an expectation.
fn points(
    region: &LiveEstimator,
    set: &MeasurementSet,
    live: &LiveReadings,
    number: &Number,
) -> Vec<PointId> {
    let Reading::Injection(at) = number.reading else {
        let value = (number.sensor != EXPECTED).then(|| set.values.get(number.sensor as usize)).flatten();
        return value.map(|value| value.point).into_iter().collect();
    };
    let reading = &live.readings.injections[at as usize];
    let here = |taken: &&super::Taken| (taken.bus, taken.wire) == (reading.bus, reading.wire);
    let behind = region.taken.iter().find(here).map_or(&[][..], |taken| &taken.points);
    let wanted = number.part == Part::Reactive;
    let measured = live.rows.iter().zip(&set.values).filter(|(row, _)| match row {
        Row::Injection { usage_point, reactive, .. } => {
            *reactive == wanted && behind.iter().any(|(point, _)| point == usage_point)
        }
        _ => false,
    });
    measured.map(|(_, value)| value.point).collect()
}
