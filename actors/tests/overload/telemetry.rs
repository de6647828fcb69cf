//! Telemetry and reports without end, while one stage on their way pauses because it stumbled.

use super::evening::{DEVICE, USAGE_POINT};
use super::{FEW, Running, check, most, prosumer};
use actors::grid_side::ingress::BATCHES_MAX;
use actors::runtime::Compute;
use connectors::Message;
use grid::defect::stumble_after;
use grid::{Measurement, Quality};
use market::{DeviceReport, DeviceState};
use std::collections::BTreeMap;
use std::time::Duration;

const MESSAGES: u32 = 6_000;
/// A batch that is fetched after so many has the newest value of each point only.
const BETWEEN_BATCHES: u32 = 16;
const ON_THE_WAY: [&str; 5] = ["foa", "ingress", "node", "observer", "region"];
/// A batch causes a message to a node and to an agent, two to the region, and a few to the observer.
const WAITING_MAX: u64 = 6 * BATCHES_MAX as u64 + FEW;

/// Which kind of stage paused, and how many messages waited for it at most.
async fn flood(stumbling: u32) -> Option<(String, u64)> {
    let running = Running::start("2026-01-15T17:45:10Z", Vec::new(), Compute::Inline).await;
    let Running { system, mut writer, now, counters, orders: _orders, _journal } = running;
    stumble_after(Some(stumbling));
    for number in 0..MESSAGES {
        let at = now.plus(Duration::from_millis(u64::from(number)));
        let value = |point: &str| Measurement {
            point: point.parse().unwrap(),
            value: 225.0 + f64::from(number % 10),
            quality: Quality::Measured,
            measured_at: at,
            received_at: at,
        };
        let state = DeviceState::Charger {
            session: 0,
            energy_needed_wh: 0.0,
            departure: now.plus(Duration::from_secs(36_000)),
            p_max_w: 11_000.0,
        };
        let report =
            DeviceReport { device: DEVICE, prosumer: prosumer(DEVICE), usage_point: USAGE_POINT, at, state };
        let values = ["bus.3.u.a", "bus.3.u.b", "bus.2.u.a", "bus.2.u.b"].map(value);
        writer.send(Message::Telemetry(values.to_vec())).await.ok()?;
        writer.send(Message::Device(report)).await.ok()?;
        if number.is_multiple_of(BETWEEN_BATCHES) {
            tokio::task::yield_now().await;
        }
    }
    // Longer than any pause.
    tokio::time::sleep(Duration::from_secs(1)).await;
    stumble_after(None);
    let depths = system.operations().depths.clone();
    check(&depths);
    assert!(counters.snapshot().skipped.overtaken > 0);
    let paused = system.incidents().snapshot().restarts_by_kind.into_keys().next()?;
    let waited = most(&depths, &paused);
    system.stop().await;
    Some((paused, waited))
}

#[tokio::test(start_paused = true)]
async fn no_mailbox_grows_while_its_stage_pauses() {
    let mut stalled: BTreeMap<String, u64> = BTreeMap::new();
    for stumbling in 500..700 {
        if ON_THE_WAY.iter().all(|kind| stalled.contains_key(*kind)) {
            break;
        }
        if let Some((kind, waited)) = flood(stumbling).await {
            assert!(waited <= WAITING_MAX, "{waited} messages waited for a stage of kind {kind}");
            stalled.insert(kind, waited);
        }
    }
    for kind in ON_THE_WAY {
        assert!(stalled.get(kind).is_some_and(|waited| *waited > 1), "{kind}: {stalled:?}");
    }
}
