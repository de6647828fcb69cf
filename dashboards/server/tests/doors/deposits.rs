//! Values under keys, reference consumption, indicators.

use super::Running;
use access::Role;
use serde_json::json;

#[tokio::test]
async fn three_keys_are_put_two_asked_for_and_one_deleted_and_values_come_back_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let odd = r#"{ "b":1.50,"a" : [1e3,"\u00e9é"],   "a":null }"#;
    let body = format!(
        r#"{{"values":[{{"key":"tariff.base","value":{odd}}},{{"key":"k2","value":2}},{{"key":"k3","value":"x"}}]}}"#
    );
    let stored = running.send("PUT", "key-values", "", &body).await.ok();
    assert_eq!(stored, json!({ "stored": 3, "at": "2026-02-02T12:00:00Z" }));
    let found = running.get("key-values?key=tariff.base&key=none&key=k3").await;
    assert!(found.text.contains(&format!("\"value\":{odd}}}")), "{}", found.text);
    let found = found.ok();
    assert_eq!(found["missing"], json!(["none"]));
    assert_eq!((&found["values"][1]["value"], &found["values"][1]["owner"]), (&json!("x"), &json!("local")));
    let deleted = running.send("DELETE", "key-values?key=k2&key=none", "", "").await.ok();
    assert_eq!(deleted, json!({ "deleted": ["k2"] }));
    // Page by page nothing is lost and nothing comes twice; a new server on the same directory says the same.
    running.server.stop().await;
    let running = Running::start(folder.path()).await;
    let first = running.get("key-values?limit=1").await.ok();
    assert_eq!((&first["values"][0]["key"], &first["next"]), (&json!("k3"), &json!("k3")));
    let second = running.get("key-values?limit=1&after=k3").await.ok();
    assert_eq!((&second["values"][0]["key"], &second["next"]), (&json!("tariff.base"), &json!(null)));
    running.server.stop().await;
}

#[tokio::test]
async fn a_foreign_owner_cannot_overwrite_or_delete_and_reads_all() {
    let folder = tempfile::tempdir().unwrap();
    let names = [("home3", Role::Prosumer, &[3][..]), ("home4", Role::Prosumer, &[4][..])];
    let (running, tokens) = Running::start_for(folder.path(), &names).await;
    let put = |token: &str, value: u32| {
        let body = json!({ "values": [{ "key": "mine", "value": value }] }).to_string();
        let token = token.to_owned();
        let running = &running;
        async move { running.send("PUT", "key-values", &token, &body).await }
    };
    put(&tokens[0], 1).await.ok();
    let refused = put(&tokens[1], 2).await;
    assert!(refused.is(403, "not_own") && refused.text.contains("mine belongs to home3"), "{}", refused.text);
    let refused = running.send("DELETE", "key-values?key=mine", &tokens[1], "").await;
    assert!(refused.is(403, "not_own"), "{}", refused.text);
    let found = running.send("GET", "key-values?key=mine", &tokens[1], "").await.ok();
    assert_eq!((&found["values"][0]["value"], &found["values"][0]["owner"]), (&json!(1), &json!("home3")));
    put(&tokens[0], 3).await.ok();
    running.server.stop().await;
    let audit = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    assert!(audit.contains("create key-value"), "{audit}");
}

#[tokio::test]
async fn what_is_no_key_no_value_or_too_much_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let many: Vec<_> = (0..101).map(|n| json!({ "key": format!("k{n}"), "value": 1 })).collect();
    for (body, status, code, words) in [
        (json!({ "values": many }), 422, "limit", "keys at once: at most 100"),
        (json!({ "values": [{ "key": "k", "value": "x".repeat(16_383) }] }), 422, "limit", "at most 16384"),
        (json!({ "values": [{ "key": "a/b", "value": 1 }] }), 422, "malformed", "contains '/'"),
        (json!({ "values": [{ "key": "a" }] }), 422, "malformed", "missing field `value`"),
        (json!({ "values": [], "more": 1 }), 422, "malformed", "unknown field"),
        (json!({ "values": [{ "key": "k", "value": "x".repeat(65_536) }] }), 413, "body_too_large", "65536"),
    ] {
        let answer = running.put("key-values", body).await;
        assert!(answer.is(status, code) && answer.text.contains(words), "{words}: {}", answer.text);
    }
    let broken = running.send("PUT", "key-values", "", "{").await;
    assert!(broken.is(400, "not_json"), "{}", broken.text);
    for query in ["key=a&limit=1", "limit=0", "limit=101", "after=a/b", "keys=a"] {
        let answer = running.get(&format!("key-values?{query}")).await;
        assert!(answer.is(422, "query_malformed"), "{query}: {}", answer.text);
    }
    running.server.stop().await;
}

#[tokio::test]
async fn a_benchmark_is_told_of_ten_and_of_nobody_before_the_period_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let portfolio: Vec<u32> = (1..=11).collect();
    let homes: Vec<String> = (1..=11).map(|number| format!("home{number}")).collect();
    // Of home 1, 2 and so on; the last is an aggregator's.
    let mut names: Vec<(&str, Role, &[u32])> = homes
        .iter()
        .zip(portfolio.chunks(1))
        .map(|(name, own)| (name.as_str(), Role::Prosumer, own))
        .collect();
    names.push(("aggregator", Role::Aggregator, &portfolio));
    let (running, mut tokens) = Running::start_for(folder.path(), &names).await;
    let aggregator = tokens.pop().unwrap();
    let stranger = tokens[10].clone();
    let contribute = |token: &str, prosumer: u32, period: &str, energy: f64| {
        let body =
            json!({ "prosumer": prosumer, "load_type": "heat-pump", "period": period, "energy_kwh": energy });
        let (token, running) = (token.to_owned(), &running);
        async move { running.send("POST", "benchmarks", &token, &body.to_string()).await }
    };
    for prosumer in 1..=10 {
        let own = &tokens[prosumer as usize - 1];
        contribute(own, prosumer, "2026-01", f64::from(prosumer)).await.ok();
        if prosumer < 10 {
            contribute(own, prosumer, "2026-02-01", 1.0).await.ok();
        }
        // Ten contributors, nine of whose values one account knows.
        let by = if prosumer < 10 { &aggregator } else { own };
        contribute(by, prosumer, "2026-01-31", 1.0).await.ok();
    }
    // Repeating replaces.
    contribute(&tokens[9], 10, "2026-01", 12.0).await.ok();
    assert!(contribute(&stranger, 10, "2026-01", 1.0).await.is(403, "not_own"));
    assert!(contribute(&stranger, 11, "2026-02", 1.0).await.is(409, "closed"));
    assert!(contribute(&stranger, 11, "2026-01", -1.0).await.is(422, "malformed"));
    let ask = async |period: &str| {
        running.send("GET", &format!("benchmarks/heat-pump/{period}"), &stranger, "").await
    };
    let early = ask("2026-01").await;
    assert!(
        early.is(404, "not_found") && early.text.contains("from 2026-02-03T00:00:00Z on"),
        "{}",
        early.text
    );
    running.it_is("2026-02-04T00:00:00Z");
    // 1 to 9 and 12: sum 57.
    let told = ask("2026-01").await.ok();
    assert_eq!((&told["count"], &told["mean_kwh"], &told["p50_kwh"]), (&json!(10), &json!(5.7), &json!(5.5)));
    let known = ask("2026-01-31").await;
    assert!(
        known.is(404, "not_found") && known.text.contains("unknown to any one account"),
        "{}",
        known.text
    );
    let few = ask("2026-02-01").await;
    assert!(few.is(404, "not_found") && few.text.contains("at least 10"), "{}", few.text);
    assert!(contribute(&stranger, 11, "2026-01", 1.0).await.is(409, "closed"));
    assert!(ask("2026-13").await.is(422, "malformed"));
    running.server.stop().await;
}

#[tokio::test]
async fn an_indicator_under_its_goal_raises_one_alarm_that_clears_with_hysteresis_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let value = |minute: u32, value: f64| json!({ "site": "demo", "name": "served", "ts": format!("2026-02-02T11:{minute:02}:00Z"), "value": value, "unit": "%" });
    assert!(
        running
            .put("kpis/served/goal", json!({ "target": 90, "direction": "up" }))
            .await
            .is(404, "not_found")
    );
    let first = running.post("kpis", value(0, 95.0)).await;
    assert_eq!(first.status, 201, "{}", first.text);
    assert_eq!(running.post("kpis", value(0, 95.0)).await.status, 200);
    assert!(running.post("kpis", value(0, 94.0)).await.is(409, "taken"));
    let refused = running.put("kpis/served/alarm", json!({ "threshold": 90 })).await;
    assert!(refused.is(422, "malformed") && refused.text.contains("direction"), "{}", refused.text);
    running.put("kpis/served/goal", json!({ "target": 90, "direction": "up" })).await.ok();
    running.put("kpis/served/alarm", json!({ "threshold": 90, "hysteresis": 2 })).await.ok();
    for (minute, number, stands) in [
        (1, 89.0, true),
        (2, 85.0, true),
        (3, 91.0, true),
        (4, 92.0, false),
        (5, 90.0, false),
        (6, 89.9, true),
    ] {
        let posted = running.post("kpis", value(minute, number)).await.ok();
        assert_eq!(posted["alarm"].is_object(), stands, "{posted}");
    }
    running.server.stop().await;
    let running = Running::start(folder.path()).await;
    let series = running.get("kpis/served?from=2026-02-02T11:02:00Z&limit=3").await.ok();
    assert_eq!(series["values"].as_array().unwrap().len(), 3);
    assert_eq!(series["next"], json!("2026-02-02T11:05:00Z"));
    let alarms = json!([
        { "raised_at": "2026-02-02T11:01:00Z", "value": 89.0, "cleared_at": "2026-02-02T11:04:00Z" },
        { "raised_at": "2026-02-02T11:06:00Z", "value": 89.9, "cleared_at": null },
    ]);
    assert_eq!(series["alarms"], alarms);
    let list = running.get("kpis").await.ok();
    assert_eq!((&list["site"], &list["kpis"][0]["newest"]["value"]), (&json!("demo"), &json!(89.9)));
    let mut other = value(7, 1.0);
    other["site"] = json!("elsewhere");
    assert!(running.post("kpis", other).await.is(422, "other_site"));
    assert!(running.post("kpis", json!({ "site": "demo", "name": "served", "ts": "2027-01-01T00:00:00Z", "value": 1, "unit": "%" })).await.is(422, "malformed"));
    running.server.stop().await;
}

#[tokio::test]
async fn who_waits_for_the_registers_disk_keeps_nobody_else_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let (picture, served) = super::served(folder.path());
    let register = std::sync::Arc::clone(served.register.as_ref().unwrap());
    let running = Running::start_with(picture, served).await;
    // As a writer that waits for a slow disk.
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let (end, ends) = tokio::sync::oneshot::channel::<()>();
    let writer = tokio::task::spawn_blocking(move || {
        let _held = register.lock().unwrap();
        begun.send(()).unwrap();
        let _ = ends.blocking_recv();
    });
    has_begun.await.unwrap();
    let meanwhile = async {
        // More than there are workers, so that each has one that waits.
        let waiting = futures_util::future::join_all((0..64).map(|_| running.get("kpis")));
        let others = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let answers = futures_util::future::join_all((0..64).map(|_| running.get("snapshot")));
            let answers = tokio::time::timeout(std::time::Duration::from_secs(5), answers).await;
            end.send(()).unwrap();
            answers.unwrap()
        };
        tokio::join!(waiting, others)
    };
    let (waited, others) = meanwhile.await;
    assert!(waited.iter().chain(&others).all(|answer| answer.status == 200));
    writer.await.unwrap();
    running.server.stop().await;
}
