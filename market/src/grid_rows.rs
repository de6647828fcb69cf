//! How head-room rows are written: one run per element instead of one object per quarter-hour, which makes a
//! recorded need ten times smaller.

use crate::bid::{CongestionPoint, GridRow};
use grid::packed::{Malformed, Packed};
use grid::{EnergyMwh, Slot};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    congestion_point: CongestionPoint,
    start: Slot,
    headroom: Vec<EnergyMwh>,
}

grid::packed!(struct Run { congestion_point, start, headroom });

fn runs(rows: &[GridRow]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for row in rows {
        let follows = |run: &&mut Run| {
            run.congestion_point == row.congestion_point
                && run.start.plus(run.headroom.len() as i64) == row.slot
        };
        match runs.last_mut().filter(follows) {
            Some(run) => run.headroom.push(row.headroom),
            None => runs.push(Run {
                congestion_point: row.congestion_point,
                start: row.slot,
                headroom: vec![row.headroom],
            }),
        }
    }
    runs
}

fn rows(runs: &[Run]) -> Vec<GridRow> {
    let rows = runs.iter().flat_map(|run| {
        run.headroom.iter().enumerate().map(|(at, &headroom)| GridRow {
            congestion_point: run.congestion_point,
            slot: run.start.plus(at as i64),
            headroom,
        })
    });
    rows.collect()
}

pub(crate) fn serialize<S: Serializer>(rows: &[GridRow], serializer: S) -> Result<S::Ok, S::Error> {
    runs(rows).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<GridRow>, D::Error> {
    Vec::deserialize(deserializer).map(|runs: Vec<Run>| rows(&runs))
}

pub(crate) fn pack(rows: &[GridRow], bytes: &mut Vec<u8>) {
    runs(rows).pack(bytes);
}

pub(crate) fn unpack(bytes: &mut &[u8]) -> Result<Vec<GridRow>, Malformed> {
    Vec::unpack(bytes).map(|runs: Vec<Run>| rows(&runs))
}

#[cfg(test)]
mod tests {
    use crate::Need;
    use crate::bid::{CongestionPoint, GridRow};
    use grid::{BranchId, EnergyMwh, Slot, Timestamp};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_in_any_order_are_read_back_as_they_were(
            rows in prop::collection::vec((0_u32..3, 0_i64..6, -9_i64..9), 0..40),
        ) {
            let row = |(branch, slot, headroom)| GridRow {
                congestion_point: CongestionPoint { branch: BranchId(branch), phase: None },
                slot: Slot(slot),
                headroom: EnergyMwh(headroom),
            };
            let rows = rows.into_iter().map(row).collect();
            let need = Need { issued_at: Timestamp::default(), contracts_seen: 0, bids: Vec::new(), rows };
            let text = serde_json::to_string(&need).unwrap();
            prop_assert_eq!(serde_json::from_str::<Need>(&text).unwrap(), need);
        }
    }
}
