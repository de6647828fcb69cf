//! FlexOffers in the words of others: the same offer, the codes of the rules, the examples of the documentation.

use super::{assert_problem, start};
use serde_json::{Value, json};

/// An offer of prosumer 1 in the words of the specification: a charger that takes 1.5 kWh now or in half an hour.
fn specified() -> Value {
    json!({ "flexOffer": [{
        "id": "their-1", "state": "offered", "offeredById": "1", "creationTime": "2026-01-15T16:00:00Z",
        "acceptBeforeTime": "2026-01-15T17:10:00Z", "assignmentBeforeTime": "2026-01-15T17:15:00Z",
        "startAfterTime": "2026-01-15T17:30:00Z", "startBeforeTime": "2026-01-15T18:00:00Z",
        "flexOfferProfileConstraints": [{ "energyConstraintList": [{ "lower": 0.5, "upper": 1.5 }],
            "priceConstraint": { "minPrice": 0.1, "maxPrice": 0.2 } }],
        "defaultSchedule": { "startTime": "2026-01-15T17:30:00Z", "scheduleSlices": [{ "energyAmount": 1.5 }] },
    }] })
}

/// The same in the words of GOFLEX's manager, and of its market, where positive energy is fed in.
fn manager_and_market() -> [Value; 2] {
    let mut offer = specified()["flexOffer"][0].clone();
    let fields = offer.as_object_mut().unwrap();
    let accept = fields.remove("acceptBeforeTime").unwrap();
    fields.insert("acceptanceBeforeTime".to_owned(), accept.clone());
    fields.insert("locationId".to_owned(), json!({}));
    let prices = json!({ "minTariff": 0.1, "maxTariff": 0.2 });
    let slice = |bounds: Value| json!([{ "energyConstraintList": [bounds], "tariffConstraint": prices }]);
    offer["flexOfferProfileConstraints"] = slice(json!({ "lower": 0.5, "upper": 1.5 }));
    let mut fed_in = offer.clone();
    fed_in["flexOfferProfileConstraints"] = slice(json!({ "lowerBound": -1.5, "upperBound": -0.5 }));
    fed_in["defaultSchedule"]["scheduleSlices"][0]["energyAmount"] = json!(-1.5);
    fed_in["offeredById"] = json!(1);
    [offer, json!({ "flexOffer": [fed_in] })]
}

#[tokio::test]
async fn the_same_offer_in_every_dialect_is_one_offer() {
    let running = start().await;
    let first = running.post(&specified().to_string()).await;
    assert!(first.starts_with("HTTP/1.1 201") && first.contains("{\"id\":\"their-1\"}"), "{first}");
    for message in manager_and_market() {
        let again = running.post(&message.to_string()).await;
        assert!(again.starts_with("HTTP/1.1 200"), "{message}: {again}");
    }
    let found = running.get("/api/v1/flexoffers/their-1").await;
    for part in [
        "\"prosumer\":1,\"usage_point\":3001,\"device\":11",
        "\"slices\":[{\"min\":500000,\"max\":1500000}]",
        "\"start_after\":1964998,\"start_before\":1965000",
        "\"energies\":[1500000]",
        "\"decrease\":200000",
    ] {
        assert!(found.contains(part), "{part}: {found}");
    }
    // Without a name it is named after its content; what is not understood is said.
    let mut unnamed = specified();
    unnamed["flexOffer"][0]["id"] = json!(-1);
    unnamed["flexOffer"][0]["colour"] = json!("red");
    let answer = running.post(&unnamed.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("{\"id\":\"1:1964998:"), "{answer}");
    assert!(answer.contains("colour") && answer.contains("not read"), "{answer}");
    assert!(running.post(&unnamed.to_string()).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_examples_in_the_documentation_are_accepted() {
    let running = start().await;
    let page = include_str!("../../../../docs/http.md");
    let examples = page.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut offers = Vec::new();
    for example in examples {
        let answer = running.post(example).await;
        assert!(answer.starts_with("HTTP/1.1 201") && !answer.contains("notes"), "{example}: {answer}");
        let id = answer.split("location: ").nth(1).unwrap().lines().next().unwrap().to_owned();
        let found = running.get(&id).await;
        let found: Value = serde_json::from_str(found.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        let mut offer = found["offer"].clone();
        offer.as_object_mut().unwrap().remove("id");
        offers.push(offer);
    }
    assert_eq!(offers.len(), 2);
    assert_eq!(offers[0], offers[1], "both say the same");
}

#[tokio::test]
async fn a_bad_offer_in_a_dialect_is_refused_with_the_code_of_its_rule() {
    let running = start().await;
    let changed = |pointer: &str, value: Value| {
        let mut message = specified();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        message.pointer_mut(&format!("/flexOffer/0{parent}")).unwrap()[key] = value;
        message.to_string()
    };
    let bounds = "/flexOfferProfileConstraints/0/energyConstraintList";
    for (pointer, value, code) in [
        (bounds, json!([{ "lower": 2.0, "upper": 1.5 }]), "inverted-slice"),
        (bounds, json!([{ "lower": 1e308, "upper": 1e308 }]), "number-out-of-range"),
        (bounds, json!([{ "lower": 0.5, "upper": 1.5, "lowerBound": 0, "upperBound": 0 }]), "mixed-signs"),
        ("/defaultSchedule/scheduleSlices/0/energyAmount", json!(1.6), "schedule-energy"),
        ("/assignmentBeforeTime", json!("2026-01-15T17:05:00Z"), "deadline-order"),
        ("/startBeforeTime", json!("soon"), "unreadable-time"),
        ("/numSecondsPerInterval", json!(3600), "interval-length"),
        ("/unit", json!("bananas"), "unknown-word"),
        ("/flexOfferProfileConstraints", json!([]), "empty-profile"),
        ("/state", json!("executed"), "wrong-state"),
        ("/offeredById", json!("harry"), "bad-name"),
        ("/offeredById", json!(2), "missing-field"),
        ("/offeredById", json!(9), "unknown-device"),
        ("/locationID", json!("behind the church"), "unknown-location"),
        ("/id", json!("a/b"), "bad-name"),
    ] {
        let body = changed(pointer, value);
        let answer = running.post(&body).await;
        assert!(answer.starts_with("HTTP/1.1 422") && answer.contains(code), "{code}: {answer}");
        assert_problem(&answer, 422, code);
    }
    let two = json!({ "flexOffer": [specified()["flexOffer"][0], specified()["flexOffer"][0]] });
    let mut other = two.clone();
    other["flexOffer"][1]["id"] = json!("their-2");
    assert_problem(&running.post(&other.to_string()).await, 422, "too-many");
    assert_problem(&running.post(r#"{"flexOffer":[]}"#).await, 422, "missing-field");
    assert_problem(&running.post(r#"{"flexOffer":7}"#).await, 422, "wrong-kind");
    let same_name = changed("/offeredById", json!(2)).replace("\"state\"", "\"deviceId\":22,\"state\"");
    assert!(running.post(&same_name).await.starts_with("HTTP/1.1 201"));
    assert_problem(&running.post(&specified().to_string()).await, 409, "id_taken");
}
