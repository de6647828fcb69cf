//! The snapshot that the page's tests read must have the shape that the server writes.

#![allow(clippy::unwrap_used)] // helpers outside the test function may fail it too

use actors::picture::*;
use grid::{BranchId, PointId, Quality, Timestamp};
use serde_json::Value;

fn full() -> Picture {
    let at = Timestamp::from_seconds(1);
    Picture {
        transformer: Some(TransformerPicture {
            branch: BranchId(1),
            rated_kva: 250.0,
            loading: None,
            loading_std: None,
            estimated_kva: None,
            measured_kva: None,
            measured_at: None,
            history: vec![HistoryEntry {
                at,
                measured_kva: None,
                estimated_kva: None,
                without_flex_kva: None,
            }],
            outlook: vec![OutlookEntry {
                slot_start: at,
                loading: 0.0,
                loading_p90: 0.0,
                probability: 0.0,
                loading_without_flex: None,
            }],
        }),
        points: vec![PointRow {
            point: "bus.1.u.a".parse::<PointId>().unwrap(),
            value: None,
            unit: "V",
            quality: Quality::Missing,
            rule: None,
            refused: None,
            measured_at: None,
            estimated: None,
            normalized: None,
            detectable: None,
            untestable: None,
        }],
        needs: vec![NeedRow {
            bid: market::BidId::new("b").unwrap(),
            element: String::new(),
            phase: None,
            slot_start: at,
            change_kwh: 0.0,
            price_per_kwh: 0.0,
        }],
        clearing: Some(ClearingPicture {
            at,
            offers: 1,
            bought: 0,
            welfare_eur: 0.0,
            bound_eur: 0.0,
            gap: None,
            objection: None,
            refused: vec![RefusedRow {
                aggregate: market::AggregateId::new("a").unwrap(),
                code: "too-dear",
                asked_eur: None,
                winning_eur: None,
                element: None,
                slot_start: None,
            }],
        }),
        feed: vec![FeedEntry { seq: 1, at, kind: FeedKind::Need, text: String::new() }],
        ..Picture::default()
    }
}

/// Paths of all keys; of a list the first entry stands for all.
fn keys(value: &Value, path: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = format!("{path}.{name}");
                keys(field, &path, into);
                into.push(path);
            }
        }
        Value::Array(entries) => {
            if let Some(first) = entries.first() {
                keys(first, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

#[test]
fn the_recorded_snapshot_has_the_keys_the_server_writes() {
    let recorded: Value = serde_json::from_str(include_str!("../../web/testdata/snapshot.json")).unwrap();
    let (mut expected, mut found) = (Vec::new(), Vec::new());
    keys(&serde_json::to_value(full()).unwrap(), "", &mut expected);
    keys(&recorded, "", &mut found);
    found.retain(|path| !path.starts_with(".health.rejections[]"));
    assert_eq!(found, expected);
}
