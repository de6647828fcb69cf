//! What is asked every second leaves no trail that fills the disk; what moves a device does.

use super::Running;
use access::Role;
use serde_json::json;
use std::time::Duration;

#[tokio::test]
async fn a_poll_is_not_written_down_but_an_answer_to_an_order_and_a_refusal_are() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("home3", Role::Prosumer, &[3][..]), ("home4", Role::Prosumer, &[4][..])];
    let (running, tokens) = Running::start_for(folder.path(), &names).await;
    let audit = || std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    let heartbeat = json!({ "prosumer": 3 }).to_string();
    for _ in 0..3 {
        let answer = running.send("POST", "schedules", &tokens[0], &heartbeat).await.ok();
        assert_eq!(answer["schedules"]["fo-31"]["id"], json!("act-1"));
    }
    let poll = json!({ "CommunicationRequest": {} }).to_string();
    running.send("POST", "foa/3", &tokens[0], &poll).await.ok();
    assert_eq!(audit(), "");
    assert!(running.send("POST", "schedules", &tokens[1], &heartbeat).await.is(403, "not_own"));
    assert!(
        audit().contains("\"what\":\"act schedule\",\"object\":\"schedules of 3\",\"outcome\":\"not_own\""),
        "{}",
        audit()
    );
    // There is no field behind this server; that it was tried is written down before.
    let acknowledged =
        json!({ "prosumer": 3, "acknowledged": [{ "activation": "act-1", "accepted": true }] });
    let answer = running.send("POST", "schedules", &tokens[0], &acknowledged.to_string()).await;
    assert!(answer.is(404, "no_field"), "{}", answer.text);
    assert!(audit().contains("\"object\":\"act-1\",\"outcome\":\"allowed\""), "{}", audit());
    running.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_systems_that_poll_each_second_are_answered_within_it() {
    let folder = tempfile::tempdir().unwrap();
    let (running, tokens) = Running::start_for(folder.path(), &[("home3", Role::Prosumer, &[3][..])]).await;
    let poll = json!({ "CommunicationRequest": { "DemandCancelation": [] } }).to_string();
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let begin = tokio::time::Instant::now();
        let polls = (0..100).map(|_| running.send("POST", "foa/3", &tokens[0], &poll));
        for answer in futures_util::future::join_all(polls).await {
            assert_eq!(answer.ok()["DemandSchedule"][0]["id"], json!("act-1"));
        }
        slowest = slowest.max(begin.elapsed());
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(begin.elapsed())).await;
    }
    eprintln!("a hundred polls were answered after {slowest:.2?} at the latest");
    assert!(slowest < Duration::from_secs(1), "{slowest:.2?}");
    running.server.stop().await;
}
