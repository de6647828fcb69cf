//! Air temperature: handed in, told, refused.

use super::Running;
use serde_json::json;

#[tokio::test]
async fn temperatures_are_kept_and_told_and_what_was_measured_counts() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let nothing = running.get("weather").await.ok();
    assert_eq!((&nothing["slots"], &nothing["forecast_age_s"]), (&json!([]), &json!(null)));
    let forecast = json!({ "kind": "forecast", "issued_at": "2026-02-02T06:00:00Z", "start": "2026-02-02T11:00:00Z",
        "step_minutes": 60, "air_temperature_c": [1.0, 2.5] });
    let kept = running.send("POST", "weather", "", &forecast.to_string()).await.ok();
    assert_eq!(kept, json!({ "changed_slots": 8 }));
    let measured = json!({ "kind": "measured", "start": "2026-02-02T11:00:00Z", "step_minutes": 15,
        "air_temperature_c": [0.125] });
    assert_eq!(running.send("POST", "weather", "", &measured.to_string()).await.ok()["changed_slots"], 1);
    running.server.stop().await;
    // Another server on the same directory says the same.
    let running = Running::start(folder.path()).await;
    let told = running.get("weather?from=2026-02-02T11:00:00Z&until=2026-02-02T12:07:00Z").await.ok();
    let slots = told["slots"].as_array().unwrap();
    assert_eq!(slots.len(), 5, "a quarter-hour that has begun is told whole");
    assert_eq!(
        slots[0],
        json!({ "start": "2026-02-02T11:00:00Z", "air_temperature_c": 0.125, "kind": "measured",
        "issued_at": "2026-02-02T12:00:00Z" })
    );
    assert_eq!((&slots[4]["air_temperature_c"], &slots[4]["kind"]), (&json!(2.5), &json!("forecast")));
    assert_eq!(told["forecast_age_s"], 6 * 3600);
    running.server.stop().await;
}

#[tokio::test]
async fn temperatures_that_cannot_be_are_refused_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path()).await;
    let given = |key: &str, value: serde_json::Value| {
        let mut given = json!({ "kind": "measured", "start": "2026-02-02T11:00:00Z", "step_minutes": 60,
            "air_temperature_c": [1.0] });
        given[key] = value;
        given.to_string()
    };
    for (key, value, word) in [
        ("start", json!("2026-02-02T11:01:00Z"), "quarter-hour"),
        ("start", json!("2026-02-02T11:15:00Z"), "measured temperatures"),
        ("step_minutes", json!(30), "15 or 60"),
        ("air_temperature_c", json!([280.0]), "°C"),
        ("air_temperature_c", json!(vec![1.0; 4_000]), "limit"),
        ("issued_at", json!("2026-02-02T12:00:01Z"), "future"),
        ("kind", json!("guessed"), "guessed"),
        ("wind", json!(3), "wind"),
    ] {
        let body = given(key, value);
        let answer = running.send("POST", "weather", "", &body).await;
        assert!(
            answer.status == 422 && answer.text.contains(word),
            "{key}: {} {}",
            answer.status,
            answer.text
        );
    }
    for query in [
        "until=soon",
        "from=2026-02-03T00:00:00Z&until=2026-02-02T00:00:00Z",
        "from=1970-01-01T00:00:00Z",
        "at=now",
    ] {
        let answer = running.get(&format!("weather?{query}")).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.text);
    }
    running.server.stop().await;
}
