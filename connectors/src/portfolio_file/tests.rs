mod levels;

use super::*;
use crate::flex_offer::OfferMessage;
use market::portfolio::Bounds;

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).unwrap()
}

/// The offers of a list.
fn offers(
    list: &Value,
    directory: &mut Directory,
    refusals: &mut Vec<Value>,
) -> Result<Vec<(usize, OfferMessage)>, ReadError> {
    let read = super::offers(&raw(list), "flexOffers", directory, refusals, &mut BTreeSet::new())?;
    Ok(read.offers)
}

/// Aggregates a file in no other name.
fn aggregate(
    text: &[u8],
    tolerances: Tolerances,
    bounds: Bounds,
) -> Result<Answer<AggregateFigures>, ReadError> {
    super::aggregate(text, tolerances, bounds, None)
}

/// Twelve offers at two nodes: amounts with totals, shifts, a block, and one that is broken.
fn file() -> Value {
    let mut list = Vec::new();
    for n in 0..12 {
        let node = format!("b{}", n % 2);
        let base = 1.0 + f64::from(n) / 10.0;
        let mut offer = json!({
            "id": format!("fo-{n}"), "state": "offered", "creationTime": "2026-01-14T12:00:00Z",
            "offeredById": format!("p-{n}"), "locationID": node,
            "startAfterTime": "2026-01-15T10:00:00Z", "startBeforeTime": "2026-01-15T10:00:00Z",
            "flexOfferProfileConstraints": [
                {"energyConstraintList": [{"lower": 0.5, "upper": 3.0}]},
                {"energyConstraintList": [{"lower": 0.25, "upper": 3.5}]}],
            "totalEnergyConstraint": {"lower": 2.0 * base - 0.25, "upper": 2.0 * base + 0.125},
            "defaultSchedule": {"startTime": "2026-01-15T10:00:00Z",
                "scheduleSlices": [{"energyAmount": base}, {"energyAmount": base}]},
            "cost": {"perEnergyDeviation": 0.125},
        });
        if n >= 6 {
            offer["startBeforeTime"] = "2026-01-15T11:00:00Z".into();
            offer["flexOfferProfileConstraints"] = json!([
                {"energyConstraintList": [{"lower": base, "upper": base}]},
                {"energyConstraintList": [{"lower": base, "upper": base}]}]);
            offer["cost"] = json!({"activation": 0.01, "perIntervalShifted": 0.002});
        }
        if n == 11 {
            offer["activationOption"] = json!({"deviation": [-1.0, 0.5], "minActivationFactor": 1.0});
            offer.as_object_mut().unwrap().remove("totalEnergyConstraint");
        }
        list.push(offer);
    }
    list[5]["totalEnergyConstraint"] = json!({"lower": 3, "upper": 2});
    json!({"schema": "gridflex-market/1", "nodes": ["b0", "b1"], "bids": [7], "flexOffers": list})
}

fn aggregated() -> Answer<AggregateFigures> {
    aggregate(file().to_string().as_bytes(), Tolerances::default(), Bounds::default()).unwrap()
}

#[test]
fn a_file_of_offers_becomes_a_file_of_aggregates() {
    let Answer { document, figures } = aggregated();
    assert_eq!((figures.offers, figures.refused, figures.passed), (11, 1, 1));
    // Amounts and shifts at each of two nodes.
    assert_eq!((figures.aggregates, figures.members), (4, 10));
    assert_eq!(document["bids"], json!([7]));
    assert_eq!(document["refusals"][0]["code"], "inverted-total");
    assert_eq!(document["refusals"][0]["id"], "fo-5");
    assert_eq!(document["flexOffers"].as_array().unwrap().len(), 5);
    // What passes says the same as it did.
    let mut names = Directory::of_places(["b0", "b1"]);
    let before = offers(&file()["flexOffers"], &mut names, &mut Vec::new()).unwrap();
    let after = offers(&document["flexOffers"], &mut names, &mut Vec::new()).unwrap();
    let block = before.iter().find(|(position, _)| *position == 11).unwrap();
    assert!(after[4].1.says_the_same(&block.1));
    assert_eq!(document["memberOffers"].as_array().unwrap().len(), 10);
    // What was written is a file of offers again.
    let again = aggregate(document.to_string().as_bytes(), Tolerances::default(), Bounds::default()).unwrap();
    assert_eq!((again.figures.offers, again.figures.refused), (5, 0));
}

#[test]
fn schedules_of_aggregates_become_schedules_of_members_to_the_milliwatt_hour() {
    let Answer { document, .. } = aggregated();
    let mut assignments = Vec::new();
    for offer in document["flexOffers"].as_array().unwrap() {
        let slices = offer["flexOfferProfileConstraints"].as_array().unwrap();
        let lowest = |slice: &Value| json!({"energyAmount": slice["energyConstraintList"][0]["lower"]});
        let slices: Vec<Value> = slices.iter().map(lowest).collect();
        assignments.push(
            json!({"id": offer["id"], "startTime": offer["startBeforeTime"], "scheduleSlices": slices}),
        );
    }
    let result = json!({ "assignments": assignments }).to_string();
    let answer = disaggregate(document.to_string().as_bytes(), Some(result.as_bytes())).unwrap();
    let figures = answer.figures;
    assert_eq!((figures.split, figures.passed, figures.refused, figures.members), (4, 1, 0, 10));
    assert_eq!(figures.assigned_mwh, figures.distributed_mwh);
    let mut names = Directory::of_places(["b0", "b1"]);
    let originals = offers(&file()["flexOffers"], &mut names, &mut Vec::new()).unwrap();
    let originals: BTreeMap<String, _> =
        originals.into_iter().map(|(_, m)| (m.offer.id.to_string(), m.offer)).collect();
    for part in answer.document["assignments"].as_array().unwrap() {
        let id = part["id"].as_str().unwrap();
        let schedule = crate::flex_offer::read_schedule(part, "part").unwrap();
        if id != "fo-11" {
            originals[id].check_schedule(&schedule).unwrap();
        }
    }
}

#[test]
fn orders_as_a_running_market_hands_them_over_are_split_like_assignments() {
    let Answer { document, .. } = aggregated();
    let offer = &document["flexOffers"][0];
    let lowest = |slice: &Value| slice["energyConstraintList"][0]["lower"].as_f64().unwrap();
    let slices: Vec<f64> =
        offer["flexOfferProfileConstraints"].as_array().unwrap().iter().map(lowest).collect();
    let start: grid::Timestamp = offer["startBeforeTime"].as_str().unwrap().parse().unwrap();
    let id = offer["id"].as_str().unwrap();
    let slices_of =
        |energies: &[f64]| energies.iter().map(|e| json!({"energyAmount": e})).collect::<Vec<_>>();
    let assignments = json!({ "assignments": [
        {"id": id, "startTime": offer["startBeforeTime"], "scheduleSlices": slices_of(&slices)},
    ]});
    let energies: Vec<i64> = slices.iter().map(|kwh| (kwh * 1e6).round() as i64).collect();
    let schedules = json!({ "not_open": [], "schedules": { id: {
        "id": "act-1", "device": 40, "offer": id, "contract": "c-1", "replaces_from": start.slot(),
        "schedule": {"start": start.slot(), "energies": energies},
    }}});
    let split = |result: &Value| {
        disaggregate(document.to_string().as_bytes(), Some(result.to_string().as_bytes())).unwrap()
    };
    let (by_assignments, by_orders) = (split(&assignments), split(&schedules));
    assert_eq!(by_orders.figures.split, 1);
    assert_eq!(by_orders.document, by_assignments.document);
    for wrong in [json!({"schedules": []}), json!({"schedules": {id: {"schedule": 7}}})] {
        let answer = disaggregate(document.to_string().as_bytes(), Some(wrong.to_string().as_bytes()));
        assert_eq!(answer.map_or_else(|error| error.code(), |_| "ok"), "wrong-kind", "{wrong}");
    }
}

#[test]
fn a_schedule_that_is_none_is_refused_and_the_others_proceed() {
    let Answer { mut document, .. } = aggregated();
    document["assignments"] = json!([
        {"id": "agg-1", "startTime": "2026-01-15T10:00:00Z", "scheduleSlices": [{"energyAmount": 1}]},
        {"id": "agg-2", "startTime": "2026-01-15T10:00:00Z", "scheduleSlices": [{"energyAmount": 99}, {"energyAmount": 0.5}]},
        {"id": "agg-3", "startTime": "2026-01-15T12:00:00Z", "scheduleSlices": [{"energyAmount": 1}, {"energyAmount": 1}]},
        {"id": "agg-4", "startTime": "soon", "scheduleSlices": []},
        {"id": "agg-4", "startTime": "2026-01-15T10:15:00Z", "scheduleSlices": []},
    ]);
    let answer = disaggregate(document.to_string().as_bytes(), None).unwrap();
    let codes: Vec<&str> =
        answer.document["refusals"].as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap()).collect();
    let expected =
        ["schedule-length", "schedule-unattainable", "schedule-start", "unreadable-time", "assigned-twice"];
    assert_eq!(codes, expected);
    let code = |text: &str| disaggregate(text.as_bytes(), None).map_or_else(|error| error.code(), |_| "ok");
    assert_eq!((code("{}"), code("7"), code("{")), ("missing-field", "wrong-kind", "syntax"));
}

#[test]
fn an_offer_that_the_file_takes_back_is_not_aggregated_whichever_comes_first() {
    let mut file = file();
    let list = file["flexOffers"].as_array_mut().unwrap();
    let empty = |id: &str| json!({"id": id, "offeredById": "p", "flexOfferProfileConstraints": []});
    list.push(empty("fo-0"));
    list.insert(0, empty("fo-11"));
    list.push(empty("nobody"));
    let Answer { document, figures } =
        aggregate(file.to_string().as_bytes(), Tolerances::default(), Bounds::default()).unwrap();
    // Eleven could be read; one that would be a member and the one that would pass are taken back.
    assert_eq!((figures.offers, figures.withdrawn, figures.refused), (9, 2, 4));
    assert_eq!((figures.members, figures.passed), (9, 0));
    for gone in ["fo-0", "fo-11"] {
        let members =
            document["aggregates"].as_array().unwrap().iter().flat_map(|a| a["members"].as_array().unwrap());
        let mut written =
            document["flexOffers"].as_array().unwrap().iter().map(|offer| &offer["id"]).chain(members);
        assert!(written.all(|id| id != gone), "{document}");
        let told =
            document["refusals"].as_array().unwrap().iter().find(|refusal| refusal["id"] == gone).unwrap();
        assert_eq!(told["code"], "withdrawn");
    }
}

#[test]
fn more_offers_than_are_read_are_refused_with_their_count_before_one_is_taken_apart() {
    let count = crate::flex_offer::OFFERS_MAX + 3;
    let many = format!("[{}7]", "7,".repeat(count - 1));
    let error = |text: String| {
        let error = aggregate(text.as_bytes(), Tolerances::default(), Bounds::default()).unwrap_err();
        (error.code(), error.to_string())
    };
    let told = |field: &str| format!("{field}: {count} entries, at most 1000000 are read: split them");
    assert_eq!(error(many.clone()), ("too-many", told("flexOffers")));
    assert_eq!(error(format!(r#"{{"flexOffers": {many}}}"#)), ("too-many", told("flexOffers")));
    // Neither does anything else of the file get in without being counted.
    for field in ["memberOffers", "aggregates", "bids", "assignments"] {
        let text = format!(r#"{{"flexOffers": [], "{field}": {many}}}"#);
        assert_eq!(error(text), ("too-many", told(field)));
    }
    let tolerances = tolerances_value(&Tolerances::default());
    for field in ["memberOffers", "aggregates", "assignments"] {
        let mut parts = BTreeMap::from([("memberOffers", "[]"), ("aggregates", "[]"), ("assignments", "[]")]);
        parts.insert(field, &many);
        let parts: Vec<String> = parts.iter().map(|(name, list)| format!(r#""{name}": {list}"#)).collect();
        let text = format!(r#"{{"tolerances": {tolerances}, {}}}"#, parts.join(", "));
        let error = disaggregate(text.as_bytes(), None).unwrap_err();
        assert_eq!((error.code(), error.to_string()), ("too-many", told(field)));
    }
}

#[test]
fn a_number_larger_than_any_spoils_its_own_offer_alone() {
    let text = file().to_string().replacen("\"lower\":0.25", "\"lower\":1e999", 1);
    let Answer { document, figures } =
        aggregate(text.as_bytes(), Tolerances::default(), Bounds::default()).unwrap();
    assert_eq!((figures.offers, figures.refused), (10, 2));
    assert_eq!(document["refusals"][0]["code"], "syntax");
    assert_eq!(document["refusals"][0]["position"], 0);
}
