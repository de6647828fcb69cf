//! Bad input is answered with a code and a sentence that names the place; the rest of a message proceeds.

use super::*;
use proptest::prelude::*;

/// The code for the specification's sample with one text replaced by another.
fn code(from: &str, to: &str) -> String {
    assert!(SPECIFICATION.contains(from), "{from}");
    let text = SPECIFICATION.replacen(from, to, 1);
    match decode(text.as_bytes(), &mut Directory::open()) {
        Err(error) => error.code().to_owned(),
        Ok(document) => {
            document.entries[0].as_ref().map_or_else(|e| e.code().to_owned(), |_| "ok".to_owned())
        }
    }
}

#[test]
fn every_fault_has_its_code() {
    let id = r#""id": "7500001:1965460:same""#;
    let creation = r#""creationTime": "2026-01-15T12:00:00Z","#;
    let start_before = "\"startBeforeTime\": \"2026-01-15T18:00:00Z\"";
    assert_eq!(code(id, id), "ok");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": 5"), "inverted-slice");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": 1e308"), "number-out-of-range");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": \"NaN\""), "number-out-of-range");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": -1000000001"), "number-out-of-range");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": NaN"), "syntax");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": 1e999"), "syntax");
    assert_eq!(code("\"lower\": 0.5", "\"lower\": {}"), "wrong-kind");
    assert_eq!(code("\"lower\": 0.5", "\"lowerBound\": 0.5"), "mixed-signs");
    assert_eq!(code("\"lower\": 0.5,", ""), "missing-field");
    assert_eq!(code(creation, ""), "missing-field");
    assert_eq!(code(creation, "\"creationTime\": \"yesterday\","), "unreadable-time");
    assert_eq!(code(creation, "\"creationTime\": -9223372036854775808,"), "unreadable-time");
    assert_eq!(code(creation, "\"creationTime\": \"9223372036854775807\","), "unreadable-time");
    assert_eq!(code(creation, "\"creationTime\": \"2026-01-15T17:01:00Z\","), "deadline-order");
    assert_eq!(code(start_before, "\"startBeforeTime\": \"2026-01-15T16:00:00Z\""), "inverted-start-window");
    assert_eq!(code(start_before, "\"startBeforeInterval\": 1e15"), "number-out-of-range");
    assert_eq!(code(start_before, "\"startBeforeTime\": \"2026-03-15T16:00:00Z\""), "beyond-horizon");
    assert_eq!(code("\"state\": \"offered\"", "\"state\": \"sold\""), "unknown-word");
    assert_eq!(code("\"state\": \"offered\"", "\"unit\": \"horsepower\""), "unknown-word");
    assert_eq!(code("\"state\": \"offered\"", "\"flexOfferProfilType\": \"voltage\""), "unknown-word");
    assert_eq!(code("\"state\": \"offered\"", "\"numSecondsPerInterval\": 3600"), "interval-length");
    assert_eq!(code("\"state\": \"offered\"", "\"numSecondsPerInterval\": 0"), "interval-length");
    assert_eq!(code(id, "\"id\": \"two words\""), "bad-name");
    assert_eq!(code("\"7500001\"", "\"\""), "missing-field");
    assert_eq!(code("[{\"lower\": 0.5, \"upper\": 2.5}]", "[]"), "wrong-kind");
    let durations = "\"minDuration\": 1, \"maxDuration\": 3, \"energyConstraintList\"";
    assert_eq!(code("\"energyConstraintList\"", durations), "variable-duration");
    assert_eq!(code("\"energyAmount\": 1.5", "\"energyAmount\": 3"), "schedule-energy");
    assert_eq!(code("{\"energyAmount\": 1.5}, ", ""), "schedule-length");
    let total = r#""totalEnergyConstraint": {"lower": 3, "upper": 2}, "state""#;
    assert_eq!(code("\"state\"", total), "inverted-total");
}

#[test]
fn a_sentence_names_the_place() {
    let text = SPECIFICATION.replace("\"lower\": -0.25", "\"lower\": \"few\"");
    let document = decode(text.as_bytes(), &mut Directory::open()).unwrap();
    let error = document.entries[0].as_ref().unwrap_err();
    assert_eq!(
        error.to_string(),
        "flexOffer[0].flexOfferProfileConstraints[1].energyConstraintList[0].lower: \
         few is not a number within ±1e9"
    );
}

#[test]
fn one_bad_offer_does_not_spoil_the_others() {
    let good = serde_json::from_str::<Value>(SPECIFICATION).unwrap()["flexOffer"][0].clone();
    let mut bad = good.clone();
    bad["id"] = "bad".into();
    bad["flexOfferProfileConstraints"] = 7.into();
    let mut other = good.clone();
    other["label"] = "other".into();
    let mut elsewhere = good.clone();
    elsewhere["id"] = "elsewhere".into();
    elsewhere["locationID"] = "b9".into();
    let mut here = good.clone();
    here["locationID"] = "b1".into();
    let list = Value::Array(vec![here.clone(), bad, here.clone(), other, elsewhere]);
    let document = decode_value(&list, &mut Directory::of_places(["b0", "b1"])).unwrap();
    let codes: Vec<&str> = document
        .entries
        .iter()
        .map(|entry| entry.as_ref().map_or_else(|error| error.code(), |_| "ok"))
        .collect();
    // The second time the same is no news; with another content it is refused.
    assert_eq!(codes, ["ok", "wrong-kind", "unknown-location", "unknown-location"]);
    here["label"] = "other".into();
    let list = Value::Array(vec![list[0].clone(), list[2].clone(), here]);
    let document = decode_value(&list, &mut Directory::of_places(["b0", "b1"])).unwrap();
    let codes: Vec<&str> = document
        .entries
        .iter()
        .map(|entry| entry.as_ref().map_or_else(|error| error.code(), |_| "ok"))
        .collect();
    assert_eq!(codes, ["ok", "other-content"]);
}

/// Notes name where in the message an offer stood; they are nothing it says.
#[test]
fn a_repetition_with_a_note_is_still_a_repetition() {
    let mut offer = serde_json::from_str::<Value>(SPECIFICATION).unwrap()["flexOffer"][0].clone();
    offer["colour"] = "green".into();
    offer.as_object_mut().unwrap().remove("defaultSchedule");
    let document = decode_value(&Value::Array(vec![offer.clone(), offer]), &mut Directory::open()).unwrap();
    assert_eq!((document.entries.len(), document.positions.as_slice()), (1, &[0][..]));
    assert_eq!(document.offers().next().unwrap().notes.len(), 2);
}

#[test]
fn xml_refers_to_nothing_outside() {
    let code =
        |text: &str| decode(text.as_bytes(), &mut Directory::open()).map_or_else(|e| e.code(), |_| "ok");
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>";
    assert_eq!(code(entity), "syntax");
    assert_eq!(code("<a>&unknown;</a>"), "syntax");
    assert_eq!(code("<a><b></a></b>"), "syntax");
    assert_eq!(code("<a>"), "syntax");
    assert_eq!(code("<a/><b/>"), "syntax");
    assert_eq!(code(&"<a>".repeat(100_000)), "syntax");
    assert_eq!(code(&"[".repeat(100_000)), "syntax");
    assert_eq!(code("7"), "wrong-kind");
    assert_eq!(code(""), "syntax");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Whatever is done to a message, it is answered.
    #[test]
    fn damaged_messages_are_answered(
        which in 0_usize..7,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..8),
    ) {
        let texts = [SAMPLES[0], SAMPLES[1], SAMPLES[2], SPECIFICATION, MANAGER, TRADING_INTERFACE, XML];
        let mut bytes = texts[which].as_bytes().to_vec();
        for (at, byte, kind) in damage {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => { bytes.remove(at); }
                _ => bytes.insert(at, byte),
            }
        }
        if let Ok(document) = decode(&bytes, &mut Directory::open()) {
            for message in document.offers() {
                prop_assert!(message.offer.check().is_ok());
            }
        }
    }

    /// Fields of any kind in any place.
    #[test]
    fn misplaced_values_are_answered(
        key in any::<prop::sample::Index>(),
        value in prop_oneof![
            Just(Value::Null), Just(Value::Bool(true)), Just(serde_json::json!({})), Just(serde_json::json!([])),
            Just(serde_json::json!([[[1]]])), Just(serde_json::json!({"a": {"b": [1]}})),
            any::<f64>().prop_map(|x| serde_json::json!(x)), any::<i64>().prop_map(|x| serde_json::json!(x)),
            "[ -~]{0,12}".prop_map(Value::String),
        ],
        sample in 0_usize..3,
    ) {
        let mut offer: Value = serde_json::from_str(SAMPLES[sample]).unwrap();
        let keys: Vec<String> = offer.as_object().unwrap().keys().cloned().collect();
        offer[key.get(&keys).as_str()] = value;
        let document = decode_value(&offer, &mut Directory::open());
        if let Ok(document) = document {
            for entry in document.entries {
                let _ = entry.map_err(|error| (error.code(), error.to_string()));
            }
        }
    }
}
