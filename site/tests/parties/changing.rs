//! Changing an offer by its name, as the protocol of GOFLEX's manager has it: status by status.

use super::*;
use market::{AggregateId, FlexOffer, FlexOfferId, ZoneId, aggregation::combine};

/// The evening's offer, changed like this.
fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut offer = offer();
    change(&mut offer);
    offer
}

fn at_price(price: i64) -> Value {
    with(|offer| offer["prices"]["increase"] = json!(price))
}

impl Running {
    async fn put(&self, id: &str, body: &Value) -> (u16, String) {
        let (status, answer) = self.ask("PUT", &format!("flexoffers/{id}"), &body.to_string()).await;
        (status, answer["code"].as_str().unwrap_or("").to_owned())
    }

    /// Asks all of these, one after the other.
    async fn answer(&self, asked: &[(&str, Value, u16, &str)]) {
        for (id, body, status, code) in asked {
            let answer = self.put(id, body).await;
            assert_eq!(answer, (*status, (*code).to_owned()), "{id}: {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_offer_is_changed_by_its_name_and_what_it_says_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    assert_eq!(running.put("fo-7", &offer()).await, (404, "not_found".to_owned()));
    assert_eq!(running.post("flexoffers", offer()).await.0, 201);
    let late = with(|offer| offer["acceptance_before"] = json!("2026-01-15T17:20:00Z"));
    let elsewhere = with(|offer| offer["device"] = json!(27));
    let mut broken = offer();
    broken["slices"] = json!([]);
    let mut named = offer();
    named["colour"] = json!(1);
    running
        .answer(&[
            ("fo-7", at_price(7), 200, ""),
            ("fo-7", at_price(7), 200, ""),
            ("fo-7", offer(), 200, ""),
            ("fo-8", offer(), 404, "not_found"),
            ("a%2Fb", offer(), 400, "id_malformed"),
            ("fo-7", with(|offer| offer["id"] = json!("fo-8")), 403, "other_id"),
            ("fo-7", with(|offer| offer["prosumer"] = json!(2)), 403, "other_owner"),
            ("fo-7", late, 422, "past-acceptance"),
            ("fo-7", elsewhere, 422, "unknown-device"),
            ("fo-7", broken, 422, "empty-profile"),
            ("fo-7", named, 422, "offer_malformed"),
            ("fo-7", json!({}), 422, "offer_malformed"),
            ("fo-7", with(|offer| offer["terms"] = json!({ "revision": 1 })), 200, ""),
            (
                "fo-7",
                with(|offer| {
                    offer["terms"] = json!({ "revision": 1 });
                    offer["prices"]["increase"] = json!(9);
                }),
                409,
                "old-revision",
            ),
            ("fo-7", at_price(8), 200, ""),
        ])
        .await;
    assert_eq!(running.ask("PUT", "flexoffers/fo-7", "{").await.1["code"], json!("not_json"));
    let (_, found) = running.get("flexoffers/fo-7").await;
    let said = |found: &Value| {
        json!([found["offer"]["prices"]["increase"], found["offer"]["terms"], found["state"]])
    };
    assert_eq!(said(&found), json!([8, { "revision": 3 }, "accepted"]), "{found}");
    // What was read is a body again, as it is and changed.
    let mut read = found["offer"].clone();
    assert_eq!(running.put("fo-7", &read).await.0, 200);
    read["prices"]["increase"] = json!(5);
    assert_eq!(running.put("fo-7", &read).await.0, 200);
    running.stop().await;

    let running = Running::start(folder.path(), &[], "2026-01-15T17:21:00Z").await;
    let (_, found) = running.get("flexoffers/fo-7").await;
    assert_eq!(said(&found), json!([5, { "revision": 4 }, "accepted"]), "{found}");
    assert_eq!(running.put("fo-7", &read).await.0, 200);
    assert_eq!(running.ask("DELETE", "flexoffers/fo-7", "").await.0, 200);
    assert_eq!(running.put("fo-7", &read).await, (403, "not-open".to_owned()));
    running.stop().await;
    // Twice seven, once back, then eight and five.
    let facts = Journal::verify(folder.path()).unwrap().entries;
    let changes =
        facts.iter().filter(|entry| matches!(entry.fact, Fact::Market(MarketEvent::OfferChanged { .. })));
    assert_eq!(changes.count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_in_a_dialect_is_changed_in_its_words_and_what_was_not_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let running = Running::start(folder.path(), &[], "2026-01-15T17:20:05Z").await;
    let named = |highest: f64| {
        let mut message = market_offer(12, 1, highest);
        message["colour"] = json!("blue");
        message
    };
    let (status, answer) = running.post("flexoffers", named(1.0)).await;
    assert_eq!(status, 201, "{answer}");
    let (status, answer) = running.ask("PUT", "flexoffers/12", &named(0.5).to_string()).await;
    assert_eq!((status, &answer["id"]), (200, &json!("12")), "{answer}");
    assert!(answer["notes"].to_string().contains("colour"), "{answer}");
    let (_, found) = running.get("flexoffers/12").await;
    let slice = &found["offer"]["slices"][0];
    assert_eq!(slice, &json!({ "min": 500_000, "max": 1_000_000 }), "{found}");
    assert_eq!(running.put("12", &named(0.5)).await.0, 200);
    assert_eq!(running.put("12", &market_offer(12, 2, 0.5)).await, (403, "other_owner".to_owned()));
    assert_eq!(running.put("12", &market_offer(13, 1, 0.5)).await, (403, "other_id".to_owned()));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_executed_over_or_bundled_with_others_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    // Ordered, under way, and executed long ago.
    for now in ["2026-01-15T17:29:30Z", "2026-01-15T17:50:00Z", "2026-01-15T22:00:00Z"] {
        let folder = tempfile::tempdir().unwrap();
        let running = Running::start(folder.path(), &up_to_the_order(), now).await;
        for body in [offer(), at_price(7)] {
            assert_eq!(running.put("fo-7", &body).await, (403, "not-open".to_owned()), "{now}");
        }
        let other = with(|offer| offer["prosumer"] = json!(2));
        assert_eq!(running.put("fo-7", &other).await, (403, "other_owner".to_owned()));
        running.stop().await;
    }

    let MarketEvent::OfferAccepted { offer: first, at } = up_to_the_order().remove(0) else { unreachable!() };
    let id = FlexOfferId::new("second").unwrap();
    let second = FlexOffer { id, device: DeviceId(27), prosumer: ProsumerId(2), ..first.clone() };
    let both = combine(AggregateId::numbered("aggregate-", 1), ZoneId(1), &[&first, &second]).unwrap();
    let accepted = [first, second].map(|offer| MarketEvent::OfferAccepted { offer, at });
    let facts = [&accepted[..], &[MarketEvent::AggregateFormed { aggregate: both, at }]].concat();
    let running = Running::start(folder.path(), &facts, "2026-01-15T17:20:05Z").await;
    running.answer(&[("fo-7", at_price(7), 409, "bundled"), ("fo-7", offer(), 200, "")]).await;
    running.stop().await;
}
