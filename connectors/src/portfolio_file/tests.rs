mod levels;

use super::*;
use market::portfolio::Bounds;
use std::collections::BTreeMap;

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
