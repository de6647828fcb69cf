//! Who is expected to be heard of, over HTTP.

use super::Running;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_party_that_sends_heartbeats_is_listed_and_one_that_only_asks_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    assert_eq!(running.post("schedules", json!({ "prosumer": 3 })).await.0, 200);
    let beat = json!({ "heartbeat": { "foaTime": "2026-01-15T17:20:00Z", "offeredById": 1 } });
    assert_eq!(running.post("fmar/flexOffer/v0/", beat).await.0, 200);
    let mut listed = json!(null);
    for _ in 0..200 {
        listed = running.get("heartbeats").await.1;
        if listed["parties"] != json!([]) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let (parties, limits) = (&listed["parties"], (&listed["period_s"], &listed["silence_max_s"]));
    assert_eq!(limits, (&json!(60), &json!(180)));
    assert_eq!(parties.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!((&parties[0]["prosumer"], &parties[0]["state"]), (&json!(1), &json!("trading")));
    assert!(parties[0]["heard_at"].as_str().unwrap().starts_with("2026-01-15T17:20:"), "{listed}");
    running.stop().await;
}
