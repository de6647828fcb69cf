//! Slot energies and answers of devices whose senders wait, from a door that lets clients have more under way than may be in the
//! system. A stage that stumbles pauses, and meanwhile everything else goes on: that is when its mailbox grows.

use super::evening::{ACTIVATION, DEVICE, slot, up_to_the_order};
use super::{ENTRIES, Running, check, most};
use actors::runtime::Compute;
use connectors::Message;
use grid::defect::stumble_after;
use grid::{Measurement, Quality};
use market::{ActivationId, ActivationStatus};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::oneshot;

/// Messages that clients have under way together.
const UNDER_WAY: usize = 9_000;
/// Stages on the way of a reading or an answer.
const ON_THE_WAY: [&str; 4] = ["foa", "metering", "node", "settlement"];

/// Sends so many at once, while the stage pauses that handles this message. Which kind it was, and how many messages waited for it at
/// most; nothing when it was the journal, which ends everything.
async fn flood(stumbling: u32) -> Option<(String, u64)> {
    let running = Running::start("2026-01-15T17:45:10Z", up_to_the_order(), Compute::Inline).await;
    let Running { system, mut writer, now, counters: _, orders: _orders, _journal } = running;
    let energy = Measurement {
        point: "device.7.energy".parse().unwrap(),
        value: 0.0,
        quality: Quality::Measured,
        measured_at: slot(1).start(),
        received_at: now,
    };
    let activation = ActivationId::new(ACTIVATION).unwrap();
    let status = ActivationStatus { activation, device: DEVICE, accepted: true, reason: None, at: now };
    stumble_after(Some(stumbling));
    let mut waiting = Vec::with_capacity(UNDER_WAY);
    for nth in 0..UNDER_WAY {
        let (done, outcome) = oneshot::channel();
        let message = match nth % 3 {
            0 => Message::Status(status.clone()),
            _ => Message::Telemetry(vec![energy]),
        };
        writer.pass_owing(message, done).await.unwrap();
        waiting.push(outcome);
    }
    for outcome in waiting {
        if outcome.await != Ok(true) {
            // The supervisor hears of it in a moment.
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(system.escalation().borrow().is_some(), "a message was refused");
            system.stop().await;
            return None;
        }
    }
    assert!(system.books().read(|ledger| ledger.reading(DEVICE, slot(0)).is_some()));
    let depths = system.operations().depths.clone();
    check(&depths);
    let paused = system.incidents().snapshot().restarts_by_kind.into_keys().next()?;
    let waited = most(&depths, &paused);
    system.stop().await;
    Some((paused, waited))
}

#[tokio::test(start_paused = true)]
async fn no_mailbox_grows_with_readings_and_answers_whose_senders_wait() {
    let mut stalled: BTreeMap<String, u64> = BTreeMap::new();
    for stumbling in (200..30_000).step_by(211) {
        if ON_THE_WAY.iter().all(|kind| stalled.contains_key(*kind)) {
            break;
        }
        if let Some((paused, waited)) = flood(stumbling).await {
            stalled.insert(paused, waited);
        }
    }
    for kind in ON_THE_WAY {
        // So many wanted to come that only the credits held them back.
        assert!(stalled.get(kind).is_some_and(|most| *most > ENTRIES / 8), "{kind}: {stalled:?}");
    }
}
