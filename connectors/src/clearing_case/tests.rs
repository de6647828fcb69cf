use super::{CaseError, MarketCase, ResultError, ResultExtras, read_case, read_result, write_result};
use market::certificate::verify;
use market::price_clearing::{Limit, LumpPrice, clear_by_prices};
use serde_json::{Value, json};

fn offer(id: &str, node: &str, lower: &str, upper: &str) -> String {
    format!(
        r#"{{"id":"{id}","locationID":"{node}","startAfterTime":"2026-01-15T00:00:00Z",
        "startBeforeTime":"2026-01-15T00:45:00Z","defaultSchedule":{{"startTime":"2026-01-15T00:00:00Z",
        "scheduleSlices":[{{"duration":1,"energyAmount":1.5}}]}},"cost":{{"activation":0.01}},
        "flexOfferProfileConstraints":[{{"minDuration":1,"maxDuration":1,
        "energyConstraintList":[{{"lower":{lower},"upper":{upper}}}]}}]}}"#
    )
}

fn case(offers: &[String]) -> String {
    format!(
        r#"{{"schema":"gridflex-market/1","numSecondsPerInterval":900,"startTime":"2026-01-15T00:00:00Z",
        "intervals":4,"energyUnit":"kWh","currency":"EUR","nodes":["a","b"],
        "grid":{{"rows":[{{"element":"line","headroom":[0.5,0.5,2,2],"penalty":3,
        "sensitivities":[{{"node":"a","factor":1.0}},{{"node":"b","factor":0.25}}]}}]}},
        "bids":[{{"id":"doms","congestionPoint":"lateral","nodes":["a","b"],"startTime":"2026-01-15T00:00:00Z",
        "intervalLength":900,"scheduleChange":[2,0,0,0],"energyPrice":[0.3,0.3,0,0]}}],
        "flexOffers":[{}],"rules":{{"pricing":"uniform-make-whole"}}}}"#,
        offers.join(",")
    )
}

#[test]
fn a_case_is_cleared_written_read_back_and_holds() {
    let case = read_case(&case(&[offer("x", "a", "1.5", "1.5"), offer("y", "b", "1.5", "1.5")])).unwrap();
    assert!(case.refused.is_empty());
    let clearing = clear_by_prices(&case.problem);
    // Both move out of the first quarter-hour: 2 kWh of relief are asked for, worth 0.60.
    assert_eq!((clearing.plans.len(), clearing.welfare.micro_floor()), (2, 580_000));
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    let read = read_result(&case, &text).unwrap();
    assert_eq!(verify(&case.problem, &read), Ok(()));
    let tampered = text.replace("\"energyAmount\":1.5", "\"energyAmount\":1.499999");
    assert!(verify(&case.problem, &read_result(&case, &tampered).unwrap()).is_err());
}

/// A market with assignments, refusals of every kind, lump prices and overload, and its result.
fn rich() -> (MarketCase, Value) {
    let offers: Vec<String> = (0..12)
        .map(|n| match n % 4 {
            0 => offer(&format!("shift-{n}"), "a", "1.5", "1.5"),
            1 => offer(&format!("amount-{n}"), "b", "0.5", "2.0")
                .replace("0.01}", "0.01,\"perEnergyDeviation\":0.1}"),
            2 => offer(&format!("dear-{n}"), "b", "1.5", "1.5").replace("0.01}", "7.5}"),
            _ => offer(&format!("fixed-{n}"), "a", "1.5", "1.5").replace("00:45:00Z", "00:00:00Z"),
        })
        .chain([offer("nowhere", "z", "1.0", "2.0")])
        .collect();
    let case = read_case(&case(&offers)).unwrap();
    let clearing = clear_by_prices(&case.problem);
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    (case, serde_json::from_str(&text).unwrap())
}

/// Pointers to everything in a document that is no list and no object.
fn leaves(value: &Value, at: &str, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &format!("{at}/{key}"), out)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| leaves(value, &format!("{at}/{n}"), out));
        }
        _ => out.push(at.to_owned()),
    }
}

#[test]
fn whatever_is_changed_in_a_result_is_found_wherever_it_stands() {
    let (case, honest) = rich();
    let holds = |result: &Value| {
        read_result(&case, &result.to_string())
            .map_err(|error| error.to_string())
            .and_then(|read| verify(&case.problem, &read).map_err(|objection| objection.to_string()))
    };
    assert_eq!(holds(&honest), Ok(()));
    let mut all = Vec::new();
    leaves(&honest, "", &mut all);
    let mut changed = 0;
    for at in all.iter().filter(|at| *at != "/cpuSeconds" && !at.starts_with("/claimed")) {
        // The alternative of a divisible offer: another one may be as good.
        let divisible = at.contains("/alternative/energyAmounts");
        let old = honest.pointer(at).unwrap().clone();
        let new: Vec<Value> = match &old {
            Value::Number(number) => {
                let number = number.as_f64().unwrap();
                [1e-6, -1e-6, 0.25, -1.0, number * 1e-9].map(|step| json!(number + step)).to_vec()
            }
            // A result of another revision of the clearing is judged like any other.
            Value::String(text) if at == "/ruleSet" => vec![json!(text.replace("uniform", "pay")), json!("")],
            Value::String(text) => vec![json!(format!("{text}1")), json!("")],
            other => panic!("{at} is {other}"),
        };
        for new in new.into_iter().filter(|new| *new != old && !divisible) {
            let mut bad = honest.clone();
            *bad.pointer_mut(at).unwrap() = new.clone();
            assert!(holds(&bad).is_err(), "{at}: {new} instead of {old} was accepted");
            changed += 1;
        }
    }
    assert!(changed > 400 && all.iter().any(|at| at.contains("/lumps/")), "{changed}");
}

#[test]
fn lump_prices_are_read_back_with_what_offers_count_from() {
    let (case, _) = rich();
    let mut clearing = clear_by_prices(&case.problem);
    let lump = |limit, interval, from: &[(u32, i64)]| {
        let (price, unit) = (12_345, 1_500_000);
        LumpPrice { limit, interval, price, unit, from: from.to_vec() }
    };
    clearing.prices.lumps = vec![
        lump(Limit::Bid(0), 0, &[(0, -1_500_000), (3, 1)]),
        lump(Limit::Bid(0), 0, &[]),
        lump(Limit::Row(0), 0, &[(1, 7)]),
        lump(Limit::Bid(0), 1, &[]),
    ];
    let text = write_result(&case, &clearing, &ResultExtras::default()).unwrap();
    assert_eq!(read_result(&case, &text).unwrap().prices, clearing.prices);
    assert!(read_result(&case, &text.replace("\"energyAmount\":1e-6", "\"energyAmount\":1e-7")).is_err());
}

#[test]
fn figures_for_people_are_compared_with_the_exact_ones_and_named() {
    let (case, honest) = rich();
    for field in ["welfare", "bound", "gap"] {
        let mut bad = honest.clone();
        bad[field] = json!(honest[field].as_f64().unwrap() * 1.000_001);
        let error = read_result(&case, &bad.to_string()).unwrap_err();
        assert!(matches!(&error, ResultError::Twin { field: named, .. } if named == field), "{error}");
    }
    let mut more = honest.clone();
    more["remark"] = json!("cleared by hand");
    assert!(matches!(read_result(&case, &more.to_string()), Err(ResultError::Json { .. })));
}

#[test]
fn bad_offers_are_refused_with_their_code_and_the_rest_proceeds() {
    let offers = [
        offer("good", "a", "1.0", "2.0"),
        offer("inverted", "a", "2.0", "1.0"),
        offer("huge", "a", "-1e308", "2.0"),
        offer("nowhere", "z", "1.0", "2.0"),
        offer("good", "b", "1.0", "2.0"),
        offer("outside", "a", "3.0", "4.0"),
        offer("fine-grained", "a", "1.00000001", "2.0"),
        offer("unreadable", "a", "true", "2.0"),
        offer("beyond-all", "a", "-1e999", "2.0"),
        offer("huge-cost", "a", "1.0", "2.0").replace("0.01", "1e308"),
        offer("huge-total", "a", "1.0", "2.0")
            .replace("\"cost\"", "\"totalEnergyConstraint\":{\"lower\":-1e308,\"upper\":1e308},\"cost\""),
        offer("no-total", "a", "1.0", "2.0")
            .replace("\"cost\"", "\"totalEnergyConstraint\":{\"lower\":9,\"upper\":10},\"cost\""),
        offer("yesterday", "a", "1.0", "2.0").replace("2026-01-15T00:00:00Z", "2026-01-14T00:00:00Z"),
        offer("half-way", "a", "1.0", "2.0").replace("T00:45:00Z", "T00:40:00Z"),
        offer("other-length", "a", "1.0", "2.0").replace("\"cost\"", "\"numSecondsPerInterval\":60,\"cost\""),
        offer("less-than-nothing", "a", "1.0", "2.0").replace("0.01", "-0.01"),
        offer("empty", "a", "1.0", "2.0").replace(
            "\"energyConstraintList\":[{\"lower\":1.0,\"upper\":2.0}]",
            "\"energyConstraintList\":[]",
        ),
    ];
    let case = read_case(&case(&offers)).unwrap();
    assert_eq!(case.offers, ["good"]);
    let codes: Vec<_> = case.refused.iter().map(|refused| (refused.id.as_str(), refused.code)).collect();
    let expected = [
        ("inverted", "inverted-bounds"),
        ("huge", "out-of-range"),
        ("nowhere", "unknown-node"),
        ("good", "duplicate-id"),
        ("outside", "default-outside-offer"),
        ("fine-grained", "not-whole"),
        ("unreadable", "wrong-kind"),
        ("#8", "unreadable"),
        ("huge-cost", "out-of-range"),
        ("huge-total", "out-of-range"),
        ("no-total", "total-unreachable"),
        ("yesterday", "outside-horizon"),
        ("half-way", "time"),
        ("other-length", "interval"),
        ("less-than-nothing", "out-of-range"),
        ("empty", "wrong-kind"),
    ];
    assert_eq!(codes, expected);
    assert!(case.refused.iter().all(|refused| refused.sentence.len() > 10));
    let clearing = clear_by_prices(&case.problem);
    assert_eq!(
        (verify(&case.problem, &clearing), clearing.plans.len() + clearing.declined.len()),
        (Ok(()), 1)
    );
}

#[test]
fn a_number_that_is_none_or_breaks_off_ends_the_reading_with_its_place() {
    for (bad, place) in [("NaN", "line"), ("Infinity", "line"), ("-", "line")] {
        let error = read_case(&case(&[offer("x", "a", bad, "2.0")])).unwrap_err();
        assert!(matches!(&error, CaseError::Json { reason } if reason.contains(place)), "{bad}: {error}");
    }
    let whole = case(&[offer("x", "a", "1.0", "2.0")]);
    for cut in 0..whole.len() {
        assert!(read_case(&whole[..cut]).is_err(), "{cut} of {} bytes were taken", whole.len());
    }
    for (old, new) in [
        ("\"penalty\":3", "\"penalty\":1e308"),
        ("[0.5,0.5,2,2]", "[0.5,0.5,2]"),
        ("\"factor\":0.25", "\"factor\":1e300"),
        ("{\"node\":\"b\"", "{\"node\":\"z\""),
        ("[0.3,0.3,0,0]", "[0.3,0.3]"),
        ("\"EUR\",\"nodes\":[\"a\",\"b\"]", "\"EUR\",\"nodes\":[\"a\",\"a\"]"),
        ("\"intervals\":4", "\"intervals\":4000000000"),
        ("\"energyUnit\":\"kWh\"", "\"energyUnit\":\"BTU\""),
        ("\"numSecondsPerInterval\":900", "\"numSecondsPerInterval\":0"),
    ] {
        let bad = whole.replace(old, new);
        assert!(bad != whole && read_case(&bad).is_err(), "{new} was taken");
    }
}

#[test]
fn a_gate_keeps_what_runs_inside() {
    let text = case(&[offer("x", "a", "1.5", "1.5")]);
    let gated = text.replace("\"rules\":{", "\"rules\":{\"gate\":\"2026-01-15T00:15:00Z\",");
    assert!(gated != text);
    let case = read_case(&gated).unwrap();
    assert_eq!(case.rule_set(3), "uniform-make-whole/3 gate=2026-01-15T00:15:00Z");
    let clearing = clear_by_prices(&case.problem);
    assert!(clearing.plans.is_empty());
}

#[test]
fn what_is_no_case_is_said_to_be_none() {
    assert!(matches!(read_case("{"), Err(CaseError::Json { .. })));
    assert!(matches!(read_case("NaN"), Err(CaseError::Json { .. })));
    let other = case(&[]).replace("gridflex-market/1", "gridflex-market/2");
    assert!(matches!(read_case(&other), Err(CaseError::Form { .. })));
}

#[test]
fn a_foreign_result_with_numbers_beyond_all_is_refused_and_stops_nothing() {
    let (case, honest) = rich();
    let mut all = Vec::new();
    leaves(&honest, "", &mut all);
    let (i64_max, i64_min) = (i64::MAX as f64, i64::MIN as f64);
    let mut refused = 0;
    for at in all.iter().filter(|at| *at != "/cpuSeconds") {
        let old = honest.pointer(at).unwrap();
        let new: Vec<Value> = match old {
            Value::Number(_) => [1e308, -1e308, 1e38, -1e38, 1e24, i64_max, i64_min, 9e12, -9e12]
                .map(|number| json!(number))
                .to_vec(),
            Value::String(_) if at.ends_with("Exact") => {
                [i128::MAX, i128::MIN, i128::MIN + 1].map(|number| json!(number.to_string())).to_vec()
            }
            _ => continue,
        };
        for new in new {
            let mut bad = honest.clone();
            *bad.pointer_mut(at).unwrap() = new.clone();
            let holds =
                read_result(&case, &bad.to_string()).map_err(|error| error.to_string()).and_then(|read| {
                    assert!(!read.gap().is_nan());
                    verify(&case.problem, &read).map_err(|objection| objection.to_string())
                });
            assert!(holds.is_err(), "{at}: {new} was accepted");
            refused += 1;
        }
    }
    // All of them at once.
    for extreme in [1e308, -1e308, i64_max, i64_min, 1e12, -1e12] {
        let mut bad = honest.clone();
        for at in &all {
            if let Some(place @ Value::Number(_)) = bad.pointer_mut(at) {
                *place = json!(extreme);
            }
        }
        let read = read_result(&case, &bad.to_string());
        assert!(read.is_err() || read.is_ok_and(|read| verify(&case.problem, &read).is_err()));
    }
    assert!(refused > 700, "{refused}");
}
