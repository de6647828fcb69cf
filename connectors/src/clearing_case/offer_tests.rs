//! Every word of an offer that a case may carry: what it becomes, or by which code it is refused.

use super::{CaseError, MarketCase, OFFERS_MAX, ResultExtras, read_case, read_result, write_result};
use crate::portfolio_file::aggregate;
use market::certificate::verify;
use market::portfolio::{Bounds, Tolerances};
use market::price_clearing::{OfferTerms, clear_by_prices};
use serde_json::{Value, json};

/// A plain offer: 1.5 kWh in the second quarter-hour by default, two slices, 0.5 to 2 kWh each.
fn plain(id: &str) -> Value {
    json!({
        "id": id, "state": "offered", "creationTime": "2026-01-14T12:00:00Z", "offeredById": "p", "locationID": "a",
        "numSecondsPerInterval": 900,
        "startAfterTime": "2026-01-15T00:00:00Z", "startBeforeTime": "2026-01-15T00:30:00Z",
        "flexOfferProfileConstraints": [
            {"minDuration": 1, "maxDuration": 1, "energyConstraintList": [{"lower": 0.5, "upper": 2}]},
            {"minDuration": 1, "maxDuration": 1, "energyConstraintList": [{"lower": 0.5, "upper": 2}]}],
        "defaultSchedule": {"startTime": "2026-01-15T00:15:00Z",
            "scheduleSlices": [{"duration": 1, "energyAmount": 1.5}, {"duration": 1, "energyAmount": 1}]},
        "cost": {"perEnergyDeviation": 0.1},
    })
}

fn case(offers: &[Value], rules: Value) -> String {
    json!({
        "schema": "gridflex-market/1", "startTime": "2026-01-15T00:00:00Z", "intervals": 8, "currency": "EUR",
        "nodes": ["a", "b"],
        "grid": {"rows": [{"element": "line", "headroom": vec![0.75; 8], "penalty": 3,
            "sensitivities": [{"node": "a", "factor": 1}, {"node": "b", "factor": 1}]}]},
        "bids": [{"id": "doms", "congestionPoint": "lateral", "nodes": ["a", "b"],
            "startTime": "2026-01-15T00:15:00Z", "scheduleChange": [4, 2], "energyPrice": [0.3, 0.25]}],
        "flexOffers": offers, "rules": rules,
    })
    .to_string()
}

fn read(offers: &[Value]) -> MarketCase {
    read_case(&case(offers, json!({}))).unwrap()
}

/// The offer with some of its fields set; null takes one away.
fn with(fields: Value) -> Value {
    let mut offer = plain("x");
    for (key, value) in fields.as_object().unwrap() {
        offer[key] = value.clone();
    }
    offer
}

fn terms(fields: Value) -> OfferTerms {
    let case = read(&[with(fields)]);
    assert!(case.refused.is_empty(), "{:?}", case.refused);
    case.problem.offer(0).terms()
}

fn code(fields: Value) -> (&'static str, String) {
    let case = read(&[with(fields.clone())]);
    assert!(case.offers.is_empty(), "{fields} was taken");
    (case.refused[0].code, case.refused[0].sentence.clone())
}

#[test]
fn a_price_is_read_however_it_is_written() {
    let prices = |fields: Value| {
        let terms = terms(fields);
        (terms.price_down, terms.price_up)
    };
    assert_eq!(prices(json!({})), (100_000, 100_000));
    let both = json!({"perEnergyDecrease": 0.2, "perEnergyIncrease": 0.05});
    assert_eq!(prices(json!({"cost": both})), (200_000, 50_000));
    let one = json!({"perEnergyDeviation": 0.1, "perEnergyIncrease": "0.3"});
    assert_eq!(prices(json!({"cost": one})), (100_000, 300_000));
    // Without prices of its own: the largest magnitude among the slices' tariffs.
    for (word, min, max) in
        [("tariffConstraint", "minTariff", "maxTariff"), ("priceConstraint", "minPrice", "maxPrice")]
    {
        let bounds = json!([{"lower": 0.5, "upper": 2}]);
        let slices = json!([
            {"energyConstraintList": bounds, word: {min: -0.4, max: 0.2}}, {"energyConstraintList": bounds}]);
        assert_eq!(prices(json!({"cost": null, "flexOfferProfileConstraints": slices})), (400_000, 400_000));
        let cost = json!({"perEnergyDeviation": 0.01});
        assert_eq!(prices(json!({"cost": cost, "flexOfferProfileConstraints": slices})), (10_000, 10_000));
    }
    let sums = terms(json!({"cost": {"activation": 0.5, "perIntervalShifted": 0.25}}));
    assert_eq!((sums.activation, sums.per_interval_shifted, sums.price_down), (500_000, 250_000, 0));
}

#[test]
fn an_offer_in_every_spelling_is_the_same_offer() {
    let taken = terms(json!({"totalEnergyConstraint": {"lower": 2, "upper": 3}}));
    assert_eq!((taken.total_lower, taken.total_upper), (2_000_000, 3_000_000));
    let fed = |energy: f64| json!({"lowerBound": -energy.max(2.0), "upperBound": -0.5});
    let slices = json!([{"energyConstraintList": [fed(2.0)]}, {"energyConstraintList": [fed(2.0)]}]);
    let schedule = json!({"startTime": "2026-01-15T00:15:00Z",
        "scheduleSlices": [{"energyAmount": -1.5}, {"energyAmount": -1}]});
    let spelled_otherwise = [
        json!({"flexOfferProfileConstraints": slices, "defaultSchedule": schedule,
            "totalEnergyConstraint": {"lowerBound": -3, "upperBound": -2}}),
        json!({"totalEnergyConstraint": {"lower": 2000, "upper": 3000}, "unit": "Wh",
            "flexOfferProfileConstraints": [{"duration": 2, "energyConstraintList": [{"lower": 500, "upper": 2000}]}],
            "defaultSchedule": {"startTime": "2026-01-15T00:15:00Z", "energyAmounts": [1500, "1000"]}}),
        json!({"totalEnergyConstraint": {"lower": "2", "upper": 3.0}, "locationID": null,
            "locationId": {"a": {"longitude": 14.5}},
            "startAfterTime": "2026-01-15T00:00:00.000+0000", "startBeforeTime": null,
            "startBeforeInterval": 1_768_437_000 / 900}),
        json!({"totalEnergyConstraint": [{"lower": 2, "upper": 3}], "startBeforeTime": "2026-01-15T01:00:00Z",
            "endBeforeTime": "2026-01-15T01:00:00Z", "locationID": null, "offeredById": "a"}),
    ];
    for fields in spelled_otherwise {
        assert_eq!(terms(fields.clone()), taken, "{fields}");
    }
    // A deviation has its sign by the same spelling, a least acceptance has none.
    let option = terms(json!({"flexOfferProfileConstraints": slices, "defaultSchedule": schedule,
        "activationOption": {"deviation": [0.5, -0.25], "minActivationFactor": 0.5}}));
    let option = option.option.unwrap();
    assert_eq!((option.deviation, option.factor_min), (vec![-500_000, 250_000], 500_000));
    assert_eq!(terms(json!({"minimumAcceptance": 0.75})).least, 750_000);
    let least = json!({"flexOfferProfileConstraints": slices, "defaultSchedule": schedule, "minimumAcceptance": 0.75});
    assert_eq!(terms(least).least, 750_000);
    // Bounds on running sums, said of the offer or, as an example of the specification does, among its slices.
    let said = json!({"lower": 0.5, "upper": 3});
    assert_eq!(terms(json!({"subTotalEnergyConstraint": said})).running, Some((500_000, 3_000_000)));
    let bounds = json!([{"lower": 0.5, "upper": 2}]);
    let slices = json!([{"energyConstraintList": bounds}, {"energyConstraintList": bounds}, {"subTotalEnergyConstraint": said}]);
    let among = terms(json!({"flexOfferProfileConstraints": slices}));
    assert_eq!((among.running, among.lower.len()), (Some((500_000, 3_000_000)), 2));
    // Without a default: as little as the bounds allow, from the earliest start.
    let silent = terms(json!({"defaultSchedule": null}));
    assert_eq!((silent.start_default, silent.default), (0, vec![500_000, 500_000]));
    // Without an earliest start: from when it was made.
    let early = terms(json!({"startAfterTime": null, "creationTime": "2026-01-15T00:05:00Z"}));
    assert_eq!((early.start_first, early.start_last), (1, 2));
}

#[test]
fn groups_are_read_by_name() {
    let named = |id: &str, group: &str| {
        let mut offer = plain(id);
        offer["exclusiveGroup"] = json!(group);
        offer
    };
    let case = read(&[named("1", "day"), plain("2"), named("3", "night"), named("4", "day")]);
    let groups: Vec<u32> = (0..4).map(|offer| case.problem.offer(offer).parts().group).collect();
    assert_eq!(groups, [1, 0, 2, 1]);
    let clearing = clear_by_prices(&case.problem);
    assert_eq!(verify(&case.problem, &clearing), Ok(()));
    assert!(clearing.plans.iter().filter(|plan| [0, 3].contains(&plan.offer)).count() <= 1);
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    assert_eq!(read_result(&case, &text).unwrap().declined, clearing.declined);
}

#[test]
fn what_is_not_cleared_is_refused_by_its_name() {
    let bounds = json!([{"lower": 0.5, "upper": 2}]);
    let rows = json!([{"energyConstraintList": bounds, "DependencyEnergyConstraintList": [[1, 1, 3]]},
        {"energyConstraintList": bounds}]);
    for (name, fields) in [
        ("DependencyEnergyConstraintList", json!({"flexOfferProfileConstraints": rows})),
        ("totalCostConstraint", json!({"totalCostConstraint": {"lower": 0, "upper": 2}})),
        ("powerFactorConstraint", json!({"powerFactorConstraint": {"lower": 0.9, "upper": 1}})),
        ("flexOfferTariffConstraint", json!({"flexOfferTariffConstraint": {"tariffSlices": []}})),
        ("minimumAcceptance", json!({"minimumAcceptance": 1, "activationOption": {"deviation": [0, 1]}})),
    ] {
        let (code, sentence) = code(fields);
        assert!(code == "term-not-cleared" && sentence.starts_with(name), "{name}: {code}: {sentence}");
    }
    // An empty list of rows says nothing.
    let none = json!([{"energyConstraintList": bounds, "DependencyEnergyConstraintList": []},
        {"energyConstraintList": bounds}]);
    assert_eq!(terms(json!({"flexOfferProfileConstraints": none})), terms(json!({})));
}

#[test]
fn everything_else_that_is_wrong_with_an_offer_has_its_code() {
    let slices = |bounds: Value| json!({"flexOfferProfileConstraints": [bounds]});
    let schedule = |start: &str, energies: [f64; 2]| json!({"flexOfferSchedule": {"startTime": format!("2026-01-15T00:{start}:00Z"), "energyAmounts": energies}});
    for (wanted, fields) in [
        ("unknown-field", json!({"cost": {"perEnergyDeviatoin": 0.1}})),
        ("unknown-field", json!({"minimumAcceptanceQuantity": 2})),
        ("unknown-field", slices(json!({"energyConstraintList": [{"lower": 1, "upper": 2}], "phases3": 1}))),
        ("unknown-field", json!({"activationOption": {"deviation": [1, 0], "leastFactor": 0.5}})),
        ("mixed-signs", slices(json!({"energyConstraintList": [{"lower": 1, "upperBound": 2}]}))),
        ("mixed-signs", json!({"totalEnergyConstraint": {"lowerBound": -3, "upperBound": -2}})),
        (
            "slice-duration",
            slices(
                json!({"minDuration": 1, "maxDuration": 2, "energyConstraintList": [{"lower": 1, "upper": 2}]}),
            ),
        ),
        ("missing-field", json!({"flexOfferProfileConstraints": [{"minDuration": 1}]})),
        ("missing-field", json!({"startBeforeTime": null})),
        ("unknown-word", json!({"state": "sold"})),
        ("unknown-word", json!({"unit": "BTU"})),
        ("unknown-word", json!({"flexOfferProfilType": "reactiveEnergy"})),
        ("unknown-word", json!({"assignment": "perhaps"})),
        ("assignment-optional", json!({"assignment": "Optional"})),
        ("running-unreachable", json!({"subTotalEnergyConstraint": {"lower": 0, "upper": 0.9}})),
        ("default-outside-offer", json!({"subTotalEnergyConstraint": {"lower": 0, "upper": 2}})),
        ("unknown-field", json!({"subTotalEnergyConstraint": {"lower": 0, "upper": 2, "most": 3}})),
        (
            "running-beside",
            json!({"subTotalEnergyConstraint": {"lower": 0, "upper": 3}, "minimumAcceptance": 1}),
        ),
        ("closed-state", json!({"state": "Rejected"})),
        ("closed-state", json!({"state": "executed"})),
        ("closed-state", json!({"state": "canceled"})),
        ("closed-state", json!({"state": "invalid"})),
        ("closed-state", json!({"state": "inAdaptation"})),
        ("deadline-order", json!({"acceptBeforeTime": "2026-01-14T11:00:00Z"})),
        (
            "deadline-order",
            json!({"acceptBeforeTime": "2026-01-14T20:00:00Z", "assignmentBeforeTime": "2026-01-14T19:00:00Z"}),
        ),
        ("deadline-order", json!({"assignmentBeforeTime": "2026-01-15T00:20:00Z"})),
        ("deadline-order", json!({"creationTime": "2026-01-15T00:05:00Z"})),
        ("not-whole", json!({"cost": {"perEnergyIncrease": 0.1234567}})),
        ("out-of-range", json!({"cost": {"perEnergyDecrease": 1e7}})),
        ("out-of-range", json!({"cost": {"perEnergyDecrease": -0.1}})),
        ("out-of-range", json!({"minimumAcceptance": -1})),
        ("factor", json!({"activationOption": {"deviation": [1, 0], "minActivationFactor": 0}})),
        ("out-of-range", json!({"activationOption": {"deviation": [1, 0], "minActivationFactor": 1.5}})),
        ("unknown-node", json!({"locationID": "z"})),
        ("unknown-node", json!({"locationID": null})),
        ("withdrawn", json!({"flexOfferProfileConstraints": []})),
        // Schedules outside of the offer, also without a gate.
        ("commitment-outside-offer", schedule("15", [1.5, 2.5])),
        ("commitment-outside-offer", schedule("45", [1.5, 1.0])),
        (
            "outside-horizon",
            json!({"flexOfferSchedule": {"startTime": "2026-01-14T00:00:00Z", "energyAmounts": [1, 1]}}),
        ),
        ("missing-field", json!({"flexOfferSchedule": {"energyAmounts": [1, 1]}})),
        ("interval", json!({"numSecondsPerInterval": 60})),
    ] {
        let (code, sentence) = code(fields.clone());
        assert_eq!(code, wanted, "{fields}: {sentence}");
        assert!(sentence.len() > 10);
    }
    let mut small = with(schedule("15", [1.5, 1.25]));
    small["minimumAcceptance"] = json!(0.5);
    assert_eq!(read(&[small]).refused[0].code, "commitment-outside-offer");
}

#[test]
fn a_deadline_that_has_passed_leaves_an_offer_to_its_default_or_to_what_was_decided() {
    let cleared = json!({"clearedAt": "2026-01-14T20:00:00Z"});
    let late = json!({"assignmentBeforeTime": "2026-01-14T19:00:00Z"});
    let case_of =
        |fields: &Value, rules: &Value| read_case(&case(&[with(fields.clone())], rules.clone())).unwrap();
    assert!(case_of(&late, &json!({})).refused.is_empty());
    assert_eq!(case_of(&late, &cleared).refused[0].code, "deadline-passed");
    // The gate stands for it where nothing else is said.
    assert_eq!(case_of(&late, &json!({"gate": "2026-01-14T20:00:00Z"})).refused[0].code, "deadline-passed");
    let waiting = json!({"acceptBeforeTime": "2026-01-14T19:00:00Z"});
    assert_eq!(case_of(&waiting, &cleared).refused[0].code, "deadline-passed");
    let accepted = json!({"acceptBeforeTime": "2026-01-14T19:00:00Z", "state": "accepted"});
    assert!(case_of(&accepted, &cleared).refused.is_empty());
    // What was decided in time stays as it was decided, though another schedule would be worth more.
    let decided = json!({"assignmentBeforeTime": "2026-01-14T19:00:00Z", "state": "assigned",
        "flexOfferSchedule": {"startTime": "2026-01-15T00:00:00Z", "energyAmounts": [0.5, 1.25]}});
    for (fields, rules) in [
        (decided.clone(), cleared),
        (json!({"state": "inAdaptation", "flexOfferSchedule": decided["flexOfferSchedule"]}), json!({})),
    ] {
        let case = case_of(&fields, &rules);
        let clearing = clear_by_prices(&case.problem);
        assert_eq!(verify(&case.problem, &clearing), Ok(()));
        assert_eq!(
            (clearing.plans[0].start, clearing.plans[0].energies.as_slice()),
            (0, &[500_000, 1_250_000][..])
        );
    }
}

#[test]
fn two_commitments_of_a_group_are_one_too_many() {
    let committed = |id: &str| {
        let mut offer = plain(id);
        offer["exclusiveGroup"] = json!("either");
        offer["state"] = json!("inAdaptation");
        offer["flexOfferSchedule"] =
            json!({"startTime": "2026-01-15T00:00:00Z", "energyAmounts": [0.5, 1.25]});
        offer
    };
    let mut free = plain("free");
    free["exclusiveGroup"] = json!("either");
    let case = read(&[free, committed("first"), committed("second")]);
    assert_eq!(case.offers, ["free", "first"]);
    assert_eq!((case.refused[0].id.as_str(), case.refused[0].code), ("second", "exclusive-group"));
    let clearing = clear_by_prices(&case.problem);
    assert_eq!(verify(&case.problem, &clearing), Ok(()));
    assert_eq!(clearing.plans.iter().map(|plan| plan.offer).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_repeated_offer_is_ignored_another_body_is_refused_and_an_empty_one_takes_it_back() {
    let mut other = plain("x");
    other["cost"] = json!({"perEnergyDeviation": 0.2});
    let mut spelled: Value = json!({});
    for (key, value) in plain("x").as_object().unwrap().iter().rev() {
        spelled[key] = value.clone();
    }
    let case = read(&[plain("x"), plain("y"), plain("x"), spelled, other]);
    assert_eq!((case.offers.as_slice(), case.repeated), (&["x".to_owned(), "y".to_owned()][..], 2));
    assert_eq!((case.refused[0].id.as_str(), case.refused[0].code), ("x", "duplicate-id"));
    assert_eq!(case.problem.offer(0).terms().price_up, 100_000);
    let mut back = plain("x");
    back["flexOfferProfileConstraints"] = Value::Null;
    let case = read(&[plain("x"), plain("y"), back]);
    assert_eq!((case.offers.as_slice(), case.problem.offers()), (&["y".to_owned()][..], 1));
    assert_eq!(case.refused[0].code, "withdrawn");
}

/// Looked for and moved down one by one, these were some 10⁹ steps.
#[test]
fn tens_of_thousands_of_offers_are_taken_back_at_once() {
    let count = 30_000;
    let id = |number: usize| format!("offer-{number:06}");
    let mut offers: Vec<Value> = (0..2 * count).map(|number| plain(&id(number))).collect();
    offers.extend((0..count).map(|number| {
        json!({ "id": id(2 * count - 1 - 2 * number), "offeredById": "p", "flexOfferProfileConstraints": [] })
    }));
    let case = read(&offers);
    assert_eq!((case.offers.len(), case.problem.offers(), case.refused.len()), (count, count, count));
    assert!(case.offers.iter().enumerate().all(|(at, name)| *name == id(2 * at)));
}

#[test]
fn a_case_that_is_too_much_or_says_what_is_not_known_is_refused_with_its_code() {
    let whole = case(&[plain("x")], json!({}));
    let code = |text: &str| read_case(text).map(|_| "taken").unwrap_or_else(|error| error.code());
    assert_eq!(code(&whole), "taken");
    for (wanted, old, new) in [
        ("syntax", "\"currency\"", "\"curency\""),
        ("syntax", "\"energyPrice\"", "\"price\""),
        ("syntax", "\"penalty\":3", "\"penalty\":3,\"soft\":true"),
        ("syntax", "\"rules\":{}", "\"rules\":{\"gates\":1}"),
        ("unknown-form", "gridflex-market/1", "gridflex-market/9"),
        ("unknown-form", "\"rules\":{}", "\"rules\":{\"pricing\":\"free\"}"),
        ("time", "\"rules\":{}", "\"rules\":{\"clearedAt\":\"now\"}"),
        ("unknown-node", "[\"a\",\"b\"],\"startTime\"", "[\"a\",\"z\"],\"startTime\""),
        ("out-of-range", "\"penalty\":3", "\"penalty\":1e300"),
        ("too-much-in-all", "0.75", "1000000000.0"),
        ("named-twice", "\"nodes\":[\"a\",\"b\"],\"grid\"", "\"nodes\":[\"a\",\"a\"],\"grid\""),
    ] {
        let new = whole.replace(old, new).replace(
            "\"penalty\":3,",
            if wanted == "too-much-in-all" { "\"penalty\":1000000," } else { "\"penalty\":3," },
        );
        assert_ne!(new, whole, "{wanted}");
        assert_eq!(code(&new), wanted, "{old}");
    }
    let list = format!("\"flexOffers\":[{}0]", "0,".repeat(OFFERS_MAX));
    let start = whole.find("\"flexOffers\"").unwrap();
    let end = whole.find(",\"rules\"").unwrap();
    let many = format!("{}{list}{}", &whole[..start], &whole[end..]);
    let error = read_case(&many).unwrap_err();
    assert_eq!(error, CaseError::TooMuch { what: "offers", count: OFFERS_MAX + 1, limit: OFFERS_MAX });
    assert_eq!(error.code(), "too-many");
}

#[test]
fn a_bid_for_more_consumption_is_paid_to_whoever_takes_more() {
    let fixed =
        with(json!({"startAfterTime": "2026-01-15T00:15:00Z", "startBeforeTime": "2026-01-15T00:15:00Z"}));
    let text = case(&[fixed], json!({"pricing": "uniform"})).replace("[4,2]", "[-4,2]");
    let case = read_case(&text).unwrap();
    assert_eq!(case.congestion_points, ["lateral", "lateral (more)"]);
    let clearing = clear_by_prices(&case.problem);
    assert_eq!(verify(&case.problem, &clearing), Ok(()));
    // Half a kWh more in the second quarter-hour, half a kWh less in the third: 0.275, less 0.1 per kWh.
    assert_eq!(clearing.plans[0].energies, [2_000_000, 500_000]);
    assert_eq!(clearing.welfare.micro_floor(), 175_000);
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    assert_eq!(
        read_result(&case, &text).unwrap(),
        market::price_clearing::PriceClearing { claimed: None, claimed_offers: 0, ..clearing }
    );
}

#[test]
fn what_was_aggregated_is_cleared_at_the_prices_that_its_members_ask() {
    let mut offers = Vec::new();
    for n in 0..6 {
        let mut offer = plain(&format!("fo-{n}"));
        offer["offeredById"] = json!(format!("p-{n}"));
        offer["startBeforeTime"] = json!("2026-01-15T00:15:00Z");
        offer["startAfterTime"] = json!("2026-01-15T00:15:00Z");
        // 0.3 is paid for a kWh less: dear ones do not sell, and nobody sells for nothing.
        offer["cost"] = match n {
            5 => json!({"perEnergyDecrease": 0.5, "perEnergyIncrease": 0.4}),
            _ => json!({"perEnergyDecrease": 0.2, "perEnergyIncrease": 0.05}),
        };
        if n == 4 {
            offer["exclusiveGroup"] = json!("alone");
        }
        offers.push(offer);
    }
    let file = case(&offers, json!({"pricing": "pay-as-bid"}));
    let answer = aggregate(file.as_bytes(), Tolerances::default(), Bounds::default(), None).unwrap();
    assert_eq!((answer.figures.refused, answer.figures.passed, answer.figures.members), (0, 1, 5));
    let case = read_case(&answer.document.to_string()).unwrap();
    assert!(case.refused.is_empty(), "{:?}", case.refused);
    let prices: Vec<(i64, i64)> = (0..case.problem.offers())
        .map(|offer| {
            (case.problem.offer(offer).parts().price_down, case.problem.offer(offer).parts().price_up)
        })
        .collect();
    assert_eq!(prices.iter().filter(|prices| **prices == (200_000, 50_000)).count(), 2);
    assert_eq!(prices.iter().filter(|prices| **prices == (500_000, 400_000)).count(), 1);
    let clearing = clear_by_prices(&case.problem);
    assert_eq!(verify(&case.problem, &clearing), Ok(()));
    // The aggregate of four gives what is worth most, at what its members ask; the one that passed may give a part of it.
    assert!(!clearing.plans.is_empty() && clearing.plans.iter().all(|plan| plan.payment >= 200_000));
    assert_eq!(clearing.welfare, clearing.bound);
    let alone = clear_by_prices(&read_case(&file).unwrap().problem);
    assert!(alone.welfare >= clearing.welfare && clearing.welfare.0 > 0);
}

#[test]
fn the_short_way_of_reading_says_what_the_long_one_says_or_nothing() {
    let mut short = 0;
    for fields in [
        json!({}),
        json!({"totalEnergyConstraint": {"lower": 2, "upper": 3.25}, "state": "Assigned"}),
        json!({"cost": {"activation": 0.5, "perIntervalShifted": 0.01, "perEnergyDecrease": 0.2}}),
        json!({"cost": {"perEnergyDeviation": 0.2, "perEnergyIncrease": 0.3}, "state": null}),
        json!({"activationOption": {"deviation": [0.5, -0.25], "minActivationFactor": 0.3}, "cost": null}),
        json!({"activationOption": {"deviation": [0.5, -0.25]}}),
        json!({"acceptBeforeTime": "2026-01-14T20:00:00Z", "assignmentBeforeTime": "2026-01-14T21:00:00+00:00"}),
        json!({"startAfterTime": null, "creationTime": null, "numSecondsPerInterval": null}),
        json!({"numSecondsPerInterval": 60}),
        // From here on only the long way knows.
        json!({"locationID": null, "locationId": {"a": {}}}),
        json!({"totalEnergyConstraint": {"lower": "2", "upper": 3}}),
        json!({"totalEnergyConstraint": {"lowerBound": 2, "upperBound": 3}}),
        json!({"cost": {"perEnergyDecrease": 0.0000001}}),
        json!({"cost": {"perEnergyDecrease": 1e7}}),
        json!({"minimumAcceptance": 1}),
        json!({"exclusiveGroup": "g"}),
        json!({"unit": "Wh"}),
        json!({"defaultSchedule": null}),
        json!({"state": "sold"}),
        json!({"id": 7}),
        json!({"startBeforeTime": "soon"}),
        json!({"flexOfferProfileConstraints": []}),
    ] {
        let offer = with(fields.clone());
        let text = offer.to_string();
        let long = super::offer::read(&offer, 900);
        if let Some((id, said)) = super::plain::read(&text) {
            short += 1;
            assert_eq!(id, super::offer::name(&offer, 0), "{fields}");
            assert!(matches!(long, Ok(super::offer::Entry::Offer(found)) if *found == said), "{fields}");
        }
    }
    assert_eq!(short, 9);
}
