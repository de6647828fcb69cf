//! Files of aggregates as files of offers again: names, limits, spellings.

use super::*;

/// The `aggregates` of a document as (name, members).
fn members(document: &Value) -> BTreeMap<String, Vec<String>> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |aggregate: &Value| {
        (text(&aggregate["id"]), aggregate["members"].as_array().unwrap().iter().map(text).collect())
    };
    document["aggregates"].as_array().unwrap().iter().map(of).collect()
}

/// A schedule for every offer of a document: its lowest bounds at its latest start.
fn assignments(document: &Value) -> Value {
    let lowest = |slice: &Value| json!({"energyAmount": slice["energyConstraintList"][0]["lower"]});
    let assignment = |offer: &Value| -> Value {
        let slices = offer["flexOfferProfileConstraints"].as_array().unwrap();
        let slices: Vec<Value> = slices.iter().map(lowest).collect();
        json!({"id": offer["id"], "startTime": offer["startBeforeTime"], "scheduleSlices": slices})
    };
    let list: Vec<Value> = document["flexOffers"].as_array().unwrap().iter().map(assignment).collect();
    json!({ "assignments": list })
}

#[test]
fn a_thousand_and_one_offers_of_one_euro_are_two_aggregates() {
    let mut one = file()["flexOffers"][0].clone();
    one["cost"] = json!({"activation": 1.0});
    let list: Vec<Value> = (0..1_001)
        .map(|n| {
            let mut offer = one.clone();
            offer["id"] = format!("fo-{n}").into();
            offer
        })
        .collect();
    let text = json!({ "flexOffers": list }).to_string();
    let Answer { document, figures } =
        aggregate(text.as_bytes(), Tolerances::default(), Bounds::default()).unwrap();
    assert_eq!((figures.aggregates, figures.members, figures.refused, figures.dissolved), (2, 1_001, 0, 0));
    let costs: Vec<&Value> =
        document["flexOffers"].as_array().unwrap().iter().map(|o| &o["cost"]["activation"]).collect();
    assert_eq!(costs, [&json!(1_000), &json!(1)]);
    // Both levels hold: what is assigned to the two is split among all.
    let result = assignments(&document).to_string();
    let parts = disaggregate(document.to_string().as_bytes(), Some(result.as_bytes())).unwrap();
    assert_eq!((parts.figures.members, parts.figures.refused), (1_001, 0));
}

/// `later` ends seven days after its creation, and `early` must be assigned before that creation: an offer of both would
/// have to be made before one of them was, and would then end too late.
#[test]
fn an_aggregate_that_would_break_a_rule_is_dissolved_and_its_members_pass() {
    let offer = |id: &str, created: &str, assigned: &str, (after, before): (&str, &str)| {
        let mut offer = file()["flexOffers"][0].clone();
        offer["id"] = id.into();
        offer["creationTime"] = format!("2026-01-08T{created}:00Z").into();
        offer["assignmentBeforeTime"] = format!("2026-01-08T{assigned}:00Z").into();
        offer["startAfterTime"] = format!("2026-01-15T{after}:00Z").into();
        offer["startBeforeTime"] = format!("2026-01-15T{before}:00Z").into();
        offer["defaultSchedule"]["startTime"] = offer["startAfterTime"].clone();
        offer
    };
    let early = offer("early", "11:00", "11:00", ("10:00", "10:30"));
    let later = offer("later", "11:15", "14:00", ("10:15", "10:45"));
    let mut neighbour = offer("neighbour", "11:15", "14:00", ("10:00", "10:45"));
    neighbour["locationID"] = "b1".into();
    let text = json!({ "flexOffers": [early, later, neighbour] }).to_string();
    let tolerances = Tolerances { flexibility_slots: 4, ..Tolerances::default() };
    let Answer { document, figures } = aggregate(text.as_bytes(), tolerances, Bounds::default()).unwrap();
    assert_eq!((figures.aggregates, figures.members), (1, 1), "{document}");
    assert_eq!((figures.dissolved, figures.passed, figures.refused), (1, 2, 0));
    assert_eq!(document["dissolved"][0]["members"], json!(["early", "later"]));
    assert_eq!(document["dissolved"][0]["code"], "beyond-horizon");
    let ids: Vec<&Value> = document["flexOffers"].as_array().unwrap().iter().map(|o| &o["id"]).collect();
    assert_eq!(ids[1..], [&json!("early"), &json!("later")]);
}

#[test]
fn aggregates_of_aggregates_have_names_of_their_own_and_both_levels_are_split() {
    let Answer { document: first, .. } = aggregated();
    let wide = Tolerances { flexibility_slots: 8, price: grid::Money(1_000_000), ..Tolerances::default() };
    let Answer { document: second, figures } =
        aggregate(first.to_string().as_bytes(), wide, Bounds::default()).unwrap();
    assert_eq!((figures.offers, figures.refused, figures.dissolved), (5, 0, 0));
    assert_eq!((figures.aggregates, figures.members, figures.passed), (2, 4, 1));
    let (below, above) = (members(&first), members(&second));
    assert!(above.keys().all(|name| !below.contains_key(name)), "{above:?}");
    assert!(above.values().flatten().all(|member| below.contains_key(member)));
    // A third level meets the names of both below it.
    let third = aggregate(second.to_string().as_bytes(), wide, Bounds::default()).unwrap().document;
    assert!(members(&third).keys().all(|name| !above.contains_key(name) && !below.contains_key(name)));

    let result = assignments(&second).to_string();
    let upper = disaggregate(second.to_string().as_bytes(), Some(result.as_bytes())).unwrap();
    assert_eq!((upper.figures.split, upper.figures.passed, upper.figures.refused), (2, 1, 0));
    let result = upper.document.to_string();
    let lower = disaggregate(first.to_string().as_bytes(), Some(result.as_bytes())).unwrap();
    assert_eq!((lower.figures.split, lower.figures.passed, lower.figures.refused), (4, 1, 0));
    assert_eq!(lower.figures.members, 10);
    assert_eq!(lower.figures.distributed_mwh, upper.figures.assigned_mwh);
}

/// The wire of GOFLEX's market counts positive what is fed in. Whatever becomes of its offers, the file written has one sign.
#[test]
fn a_file_of_another_sign_is_written_in_one_sign_and_says_the_same() {
    let wire = include_str!("../../../testdata/flexoffer/trading_interface.json");
    let one = serde_json::from_str::<Value>(wire).unwrap()["flexOffer"][0].clone();
    let mut list = vec![one.clone()];
    for owner in [7_500_001, 7_500_002] {
        let mut alone = one.clone();
        alone["offeredById"] = owner.into();
        alone["id"] = (40_000 + owner).into();
        alone["exclusiveGroup"] = "either".into();
        alone["colour"] = "green".into();
        list.push(alone);
    }
    list.push(file()["flexOffers"][0].clone());
    let list = Value::Array(list);
    let text = json!({ "flexOffer": list }).to_string();
    let Answer { document, figures } =
        aggregate(text.as_bytes(), Tolerances::default(), Bounds::default()).unwrap();
    assert_eq!((figures.offers, figures.members, figures.passed, figures.refused), (4, 2, 2, 0));
    // What could not be read is told.
    assert_eq!((figures.notes, &document["notes"][1]["path"]), (2, &json!("[2].colour")));
    assert!(!document.to_string().contains("Bound\""), "{document}");
    let mut names = Directory::open();
    let before = offers(&list, &mut names, &mut Vec::new()).unwrap();
    let mut after = offers(&document["flexOffers"], &mut names, &mut Vec::new()).unwrap();
    after.extend(offers(&document["memberOffers"], &mut names, &mut Vec::new()).unwrap());
    for (_, message) in &before {
        let same = after.iter().filter(|(_, after)| after.says_the_same(message)).count();
        assert_eq!(same, 1, "{}", message.offer.id);
    }
    assert_eq!(after.len(), before.len() + figures.aggregates);
}
